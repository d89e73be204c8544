"""What a cabinet reports becomes the state that the gate judges by."""

from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intersection.config import IntersectionConfig, parse
from intersection.machine import advance, place_calls, show, start
from intersection.measured import Report, Strange, measure, reported
from intersection.shield import Command, Refused, review
from intersection.state import NEVER, NO_STAGE, Display, IntersectionState
from tests.intersection.documents import GOOD
from tests.intersection.strategies import configurations, turns

TABLES = parse(GOOD).tables
A, B, C = range(3)
WALK, PED_TIME = 50, 110


def known(report: Report, before: IntersectionState | None = None, asked: int = NO_STAGE) -> IntersectionState:
    """Measure what must be known."""
    state = measure(before, report, asked, TABLES)
    assert isinstance(state, IntersectionState)
    return state


@settings(max_examples=min(20, settings().max_examples))
@given(config=configurations(), seed=st.integers(0, 2**32 - 1))
def test_a_cabinet_that_is_polled_every_tenth_is_known_as_well_as_our_own_machine(config: IntersectionConfig, seed: int) -> None:
    """All that the gate looks at is the same; a call that a discharge answered and that stands again is only taken to be older."""
    random, tables = Random(seed), config.tables
    state = start(tables, random.randrange(len(config.stages)), 0)
    seen = measure(None, reported(state, tables), NO_STAGE, tables)

    def look() -> None:
        nonlocal seen
        assert isinstance(seen, IntersectionState)
        seen = measure(seen, reported(state, tables), state.target, tables)
        assert isinstance(seen, IntersectionState)
        assert all(mine <= theirs for mine, theirs in zip(seen.called, state.called, strict=True))
        assert state == seen._replace(called=state.called, oldest=state.oldest)

    for turn in islice(turns(random, config), 40):
        if turn.placed is not None:
            state = place_calls(state, tables, *turn.placed)
            look()
        verdict = None if turn.proposal is None else review(turn.proposal, state, tables)
        command = None if verdict is None or isinstance(verdict, Refused) else verdict.command
        for now in range(state.now, state.now + min(turn.lasts or 30, 60) + 1):
            state = advance(state, command, now, tables)
            command = None
            look()


def test_at_the_first_poll_everything_is_taken_to_begin_now() -> None:
    """A green that is found may be a second old or an hour: it is given its whole minimum, and a walk its whole time."""
    state = known(Report(now=700, stage=A, greens=0b101, walks=0b001, calls=0b010))

    assert (A, NO_STAGE, 700) == (state.stage, state.target, state.arrived)
    assert (700, NEVER, 700) == state.began
    assert (700, NEVER, NEVER) == state.walked
    assert (NEVER, 700, NEVER) == state.called


def test_a_stage_that_is_left_is_known_by_the_greens_that_ended() -> None:
    """In B's yellow the change runs to what was asked; asked nothing, the cabinet changes by itself, and nothing else can be begun."""
    before = known(Report(now=0, stage=B, greens=0b010))
    asked = known(Report(now=100, stage=B, greens=0, yellows=0b010), before, A)
    alone = known(Report(now=100, stage=B, greens=0, yellows=0b010), before)
    later = known(Report(now=130, stage=B, greens=0, yellows=0b010), asked, A)

    assert (A, 100, 140, 0b010) == (asked.target, asked.left, asked.arrives, asked.clearing)
    assert B == alone.target
    assert (100, 100) == (later.left, later.ended[1])
    assert NEVER == later.began[1]


def test_a_stage_that_comes_back_after_it_was_being_left_begins_anew() -> None:
    """A cabinet that took its change back has the stage again, and its green its whole minimum."""
    leaving = known(Report(now=100, stage=B, greens=0, yellows=0b010), known(Report(now=0, stage=B, greens=0b010)), A)
    back = known(Report(now=140, stage=B, greens=0b010), leaving, A)

    assert (B, NO_STAGE, 140, 140) == (back.stage, back.target, back.arrived, back.began[1])


def test_at_rest_in_walk_all_of_the_clearance_is_still_to_come() -> None:
    """A cabinet may show walk for longer than it must; whenever it ends, the clearance follows in full."""
    state = known(Report(now=0, stage=A, greens=0b101, walks=0b001))
    for now in range(1, 301):
        state = known(Report(now=now, stage=A, greens=0b101, walks=0b001), state)
    clearing = known(Report(now=301, stage=A, greens=0b101, ped_clears=0b001), state)

    assert 300 - WALK + 1 == state.walked[0]
    assert 300 + PED_TIME - WALK + 1 == clearing.walked[0] + PED_TIME


def test_a_clearance_that_lasts_longer_than_its_time_is_not_over() -> None:
    """What the street shows rules, also a pedestrian clearance whose walk nobody saw."""
    unseen = known(Report(now=500, stage=A, greens=0b101, ped_clears=0b001))
    state = unseen
    for now in range(501, 701):
        state = known(Report(now=now, stage=A, greens=0b101, ped_clears=0b001), state)

    assert 500 - WALK == unseen.walked[0]
    assert state.walked[0] + PED_TIME == 701


@pytest.mark.parametrize("display", [Display.FLASH, Display.DARK])
def test_flash_and_dark_are_seen_and_what_was_known_before_counts_no_more(display: Display) -> None:
    """After flash every time begins anew."""
    before = known(Report(now=0, stage=B, greens=0b010))
    flashing = known(Report(now=50, stage=B, greens=0, display=display), before)
    after = known(Report(now=90, stage=B, greens=0b010), flashing)

    assert (50, display) == (flashing.now, flashing.display)
    assert display is known(Report(now=0, stage=B, greens=0, display=display)).display
    assert 90 == after.began[1] == after.arrived


@pytest.mark.parametrize(
    "report",
    [
        Report(now=0, stage=B, greens=0b001),
        Report(now=0, stage=A, greens=0b001, yellows=0b010),
        Report(now=0, stage=A, greens=0b001, yellows=0b001),
        Report(now=0, stage=3, greens=0b001),
        Report(now=0, stage=NO_STAGE, greens=0b001),
    ],
)
def test_lamps_that_the_configuration_never_shows_are_strange(report: Report) -> None:
    """A green or a yellow outside the stage that is on, both at once, or no such stage: another cabinet, or another mapping."""
    assert Strange(report.stage, report.greens, report.yellows) == measure(None, report, NO_STAGE, TABLES)


def test_what_the_machine_shows_is_what_a_cabinet_would_report() -> None:
    """Half a second into B's change to A, phase 2 is yellow, and who waits is told."""
    moving = place_calls(advance(start(TABLES, B, 0), Command(A, 0, 0), 5, TABLES), TABLES, 0b001, 0b001)

    assert Report(now=5, stage=B, greens=0, yellows=0b010, calls=0b101, ped_calls=0b001, target=A) == reported(moving, TABLES)
    assert Display.FLASH is reported(show(moving, Display.FLASH), TABLES).display
