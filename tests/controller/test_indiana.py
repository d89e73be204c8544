from collections.abc import Iterable, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.indiana import FREE_PATTERN, NOT_FLASH, OTHER, Code, HighResolution, between
from intersection.config import IntersectionConfig, parse
from intersection.detection import Channel, Detector, DetectorKind, Readings, empty_readings
from intersection.machine import advance, interval_of, ped_interval_of, place_calls, show, start
from intersection.shield import Amended, Command, Granted, Proposal, Reason, Refused, Verdict, review
from intersection.state import Display, IntersectionState, Interval, PedInterval
from intersection.tables import Tables
from tests.intersection.documents import GOOD, RINGS, signal, stage
from tests.intersection.strategies import configurations, turns

TABLES = parse(GOOD).tables
A, B, C = range(3)

SHOWN = {
    Code.BEGIN_GREEN: Interval.GREEN,
    Code.GREEN_TERMINATION: Interval.RED,
    Code.BEGIN_YELLOW: Interval.YELLOW_CHANGE,
    Code.END_YELLOW: Interval.RED,
    Code.BEGIN_RED_CLEARANCE: Interval.RED_CLEARANCE,
    Code.END_RED_CLEARANCE: Interval.RED,
    Code.OVERLAP_BEGIN_GREEN: Interval.GREEN,
    Code.OVERLAP_BEGIN_YELLOW: Interval.YELLOW_CHANGE,
    Code.OVERLAP_BEGIN_RED_CLEARANCE: Interval.RED_CLEARANCE,
    Code.OVERLAP_OFF: Interval.RED,
}
WALKS = {
    Code.BEGIN_WALK: PedInterval.WALK,
    Code.BEGIN_PED_CLEARANCE: PedInterval.PED_CLEARANCE,
    Code.BEGIN_DONT_WALK: PedInterval.DONT_WALK,
}
REASONS = {Code.GAP_OUT, Code.MAX_OUT, Code.FORCE_OFF}


def events(found: Iterable[HighResolution], *codes: Code) -> list[tuple[int, int, int]]:
    """List events as (tenth, code, parameter), all or those of some codes."""
    return [(event.at, int(event.code), event.parameter) for event in found if not codes or event.code in codes]


class Reel:
    """What a reader of the log believes that each lamp shows, and which calls stand."""

    def __init__(self, state: IntersectionState, tables: Tables) -> None:
        self.tables = tables
        self.lamps = {group.number: interval_of(state, at, tables)[0] for at, group in enumerate(tables.groups)}
        self.walks = {group.number: ped_interval_of(state, at, tables) for at, group in enumerate(tables.groups)}
        self.calls = {tables.groups[at].number for at in range(tables.size) if state.calls >> at & 1}

    def take(self, event: HighResolution) -> None:
        """Believe an event."""
        if event.code in SHOWN:
            self.lamps[event.parameter] = SHOWN[event.code]
        if event.code in WALKS:
            self.walks[event.parameter] = WALKS[event.code]
        if event.code is Code.CALL_ON:
            self.calls.add(event.parameter)
        if event.code is Code.CALL_OFF:
            self.calls.remove(event.parameter)

    def agrees(self, state: IntersectionState) -> bool:
        """Tell whether the state is what the log says."""
        return vars(self) == vars(Reel(state, self.tables))


@given(configurations(), st.randoms(use_true_random=False))
def test_the_log_tells_every_lamp_at_every_tenth(config: IntersectionConfig, random: Random) -> None:
    """Whoever reads the events knows what each phase and overlap showed at each tenth, and they are the same however time is sliced."""
    tables = config.tables
    fine = coarse = start(tables, 0, 0)
    reel = Reel(fine, tables)
    for turn, _ in zip(turns(random, config), range(12), strict=False):
        lasts = random.randint(1, tables.min_dwell)
        verdict = review(turn.proposal or Proposal(), fine, tables)
        command = None if isinstance(verdict, Refused) else verdict.command
        told: list[HighResolution] = []
        then = fine.now + lasts
        while fine.now < then:
            later = advance(fine, command, fine.now + 1, tables)
            if turn.placed is not None and later.now == then:
                later = place_calls(later, tables, *turn.placed)
            found = between(fine, later, tables, verdict=None if command is None else verdict)
            for event in found:
                reel.take(event)
            told += found
            fine, command = later, None

            assert reel.agrees(fine)
        found = between(coarse, fine, tables, verdict=verdict)
        coarse = fine

        assert sorted(events(e for e in told if e.code not in REASONS)) == sorted(events(e for e in found if e.code not in REASONS))
        assert all(1 == sum(e.code in REASONS for e in told if e[::2] == end[::2]) for end in told if end.code is Code.GREEN_TERMINATION)


def test_a_change_of_stage_is_told_to_the_tenth() -> None:
    """Phase 1 ends by yellow and red clearance, phase 2 begins when the intergreen of 5.5 s is over, whenever one looks."""
    before = start(TABLES, A, 100)
    after = advance(before, Command(B, 0, 0), 160, TABLES)
    found = between(before, after, TABLES, verdict=Granted(Command(B, 0, 0)))

    assert [(100, 6, 1), (100, 7, 1), (100, 8, 1), (130, 9, 1), (130, 10, 1), (140, 11, 1)] == [e for e in events(found) if e[2] == 1]
    assert [(155, 1, 2)] == [e for e in events(found) if e[2] == 2]


def test_nothing_happens_in_no_time() -> None:
    """Between a state and itself there is nothing to tell, also at the instant of an event."""
    moving = advance(start(TABLES, A, 0), Command(B, 0, 0), 30, TABLES)

    assert () == between(moving, moving, TABLES)


def test_overlaps_have_codes_of_their_own() -> None:
    """An overlap that ends with its parents tells yellow and red, with its own number; one that goes on tells nothing."""
    rings = parse(RINGS.replace('name = "right turn"\nparents = [1, 2]', 'name = "right turn"\nparents = [1]')).tables
    before = start(rings, 0, 0)
    there = advance(before, Command(1, 0, 0), 60, rings)
    back = advance(there, Command(0, 0, 0), 200, rings)
    going_on = parse(RINGS).tables
    held = between(start(going_on, 0, 0), advance(start(going_on, 0, 0), Command(1, 0, 0), 60, going_on), going_on)

    assert [(0, 63, 9), (30, 65, 9)] == [e for e in events(between(before, there, rings)) if e[2] == 9]
    assert [(90, 61, 9)] == [e for e in events(between(there, back, rings)) if e[2] == 9]
    assert [] == [e for e in events(held) if e[2] == 9]


def test_an_overlap_has_red_clearance_only_where_it_is_timed() -> None:
    """Its red clearance begins when its yellow ends."""
    tables = parse(RINGS.replace("parents = [1, 2]\nyellow_change = 30", "parents = [1]\nyellow_change = 20\nred_clearance = 5")).tables
    before = start(tables, 0, 0)

    found = between(before, advance(before, Command(1, 0, 0), 60, tables), tables)

    assert [(0, 63, 9), (20, 64, 9), (25, 65, 9)] == [e for e in events(found) if e[2] == 9]


LOOP = Detector(id="loop", kind=DetectorKind.STOP_BAR, phases=(1,))
AREA = Detector(id="area", kind=DetectorKind.AREA, phases=(1,), length=100.0)
BUTTON = Detector(id="button", kind=DetectorKind.PUSH_BUTTON, phases=(1,))
DETECTORS = (LOOP, AREA, BUTTON)


def readings(
    *, since: float = 3600.0, occupancy: float = 0.0, area: float = 0.0, pressed: bool = False, valid: bool = True, vehicles: int = 0
) -> Readings:
    """Say what a loop, an area and a button read; `valid` is the loop's."""
    values = empty_readings(DETECTORS).values
    values[Channel.SINCE, 0], values[Channel.OCCUPANCY, 0] = since, occupancy
    values[Channel.COUNT, 1:] = area, pressed
    return Readings(values, np.array([valid, True, True]), vehicles)


MOVE = Command(B, 0, 0)


@pytest.mark.parametrize(
    ("verdict", "vehicles", "code"),
    [
        (Granted(MOVE), 0b000, Code.GAP_OUT),
        (Granted(MOVE), 0b110, Code.GAP_OUT),
        (Granted(MOVE), 0b001, Code.FORCE_OFF),
        (Granted(MOVE), None, Code.FORCE_OFF),
        (Granted(Command(B, 0, 1)), 0b000, Code.FORCE_OFF),
        (Amended(MOVE, Reason.MAX_GREEN), 0b001, Code.MAX_OUT),
        (Amended(MOVE, Reason.MAX_WAIT), 0b000, Code.FORCE_OFF),
        (Amended(MOVE, Reason.YELLOW_TRAP), 0b000, Code.FORCE_OFF),
    ],
)
def test_why_a_green_ended(verdict: Granted | Amended, vehicles: int | None, code: Code) -> None:
    """The gate's maximum is a max-out; a policy that leaves an empty approach in free operation gaps out; all else is a force-off."""
    before = start(TABLES, A, 100)
    after = advance(before, verdict.command, 101, TABLES)
    said = None if vehicles is None else (readings(vehicles=vehicles), readings())

    found = between(before, after, TABLES, verdict=verdict, readings=said)

    assert [(100, code, 1)] == [event for event in events(found, *REASONS) if event[2] == 1]


@pytest.mark.parametrize("verdict", [None, Granted(Command(0, 0, 0)), Refused(Reason.EXPIRED)])
@pytest.mark.parametrize(("max_green", "max_wait", "code"), [(200, 9_000, Code.MAX_OUT), (9_000, 400, Code.FORCE_OFF)])
def test_an_end_that_nobody_asked_for_is_the_gates(verdict: Verdict | None, max_green: int, max_wait: int, code: Code) -> None:
    """Whatever was decided at the earlier state, a green that the gate ends later by itself maxed out, or made way for a call."""
    tables = signal(
        stage("one", [1]),
        stage("two", [2]),
        timings={1: {"max_green": max_green, "max_wait": max_wait}, 2: {"max_wait": max_wait}},
        conflicts=[(1, 2)],
    ).tables
    before = place_calls(start(tables, 0, 0), tables, 0b10)
    after = advance(before, None, 500, tables)

    ((at, why, phase),) = events(between(before, after, tables, verdict=verdict), *REASONS)

    assert (code, 1) == (why, phase)
    assert after.ended[0] == at > 0


def test_walks_are_told_to_the_tenth() -> None:
    """A walk of 5 s and a clearance of 6 s; one who presses while it could walk at once has called all the same."""
    before = start(TABLES, A, 0)
    after = advance(place_calls(before, TABLES, 0, 0b001), None, 200, TABLES)
    found = events(between(before, after, TABLES), *WALKS, Code.PED_CALL_ON)

    assert [(0, 45, 1), (0, 21, 1), (50, 22, 1), (110, 23, 1)] == found


def test_a_walk_follows_another_at_the_same_tenth() -> None:
    """Of what happens to one indication at one tenth, the end is told before the beginning."""
    walking = advance(place_calls(start(TABLES, A, 0), TABLES, 0, 0b001), None, 60, TABLES)
    before = place_calls(walking, TABLES, 0, 0b001)
    after = advance(before, None, 115, TABLES)

    assert [(60, 45, 1)] == events(between(walking, before, TABLES))
    assert [(110, 23, 1), (110, 21, 1)] == events(between(before, after, TABLES))


def test_a_recalled_walk_is_nobodys_call() -> None:
    """With pedestrian recall a walk begins without a call registered."""
    tables = signal(
        stage("one", [1]),
        stage("two", [2]),
        timings={1: {}, 2: {"walk": 40, "ped_clearance": 40}},
        conflicts=[(1, 2)],
        flags={2: {"ped_recall": True}},
    ).tables
    before = start(tables, 0, 0)
    after = advance(before, Command(1, 0, 0), 40, tables)

    assert [(30, 21, 2)] == events(between(before, after, tables), Code.BEGIN_WALK, Code.PED_CALL_ON)


def test_calls_come_and_go() -> None:
    """A call is registered when it is placed; it is dropped when its vehicle leaves, or when its stage is reached."""
    before = start(TABLES, A, 0)
    called = place_calls(advance(before, None, 7, TABLES), TABLES, 0b110)
    gone = place_calls(advance(called, None, 9, TABLES), TABLES, 0b010)
    left = advance(gone, Command(B, 0, 0), 100, TABLES)

    assert [(7, 43, 2), (7, 43, 3)] == events(between(before, called, TABLES))
    assert [(64, 44, 2)] == events(between(gone, left, TABLES), Code.CALL_OFF)
    assert [(9, 44, 2)] == events(between(called, called._replace(now=9, calls=0b100), TABLES))


def test_a_call_that_is_answered_and_placed_anew_is_both() -> None:
    """A phase that never is protected: a vehicle leaves and the next one stands there at the same reading."""
    before = start(TABLES, A, 0)._replace(calls=0b100, called=(-1, -1, 0))
    after = before._replace(now=5, called=(-1, -1, 5))

    assert [(5, 44, 3), (5, 43, 3)] == events(between(before, after, TABLES))


@pytest.mark.parametrize(("number", "parameter"), [(1, 1), (0, FREE_PATTERN)])
def test_a_pattern_changes_with_the_command(number: int, parameter: int) -> None:
    """The new pattern holds from the earlier state on; free operation has the number that cabinets give it."""
    before = start(TABLES, A, 20)._replace(pattern=1 - number)
    after = advance(before, Command(A, 0, number), 30, TABLES)

    assert [(20, 131, parameter)] == events(between(before, after, TABLES))


@pytest.mark.parametrize("display", [Display.FLASH, Display.DARK])
def test_flash_covers_the_lamps(display: Display) -> None:
    """What would have been shown is not told; what was shown before is; normal operation begins with the greens of its stage."""
    before = advance(start(TABLES, A, 0), Command(B, 0, 0), 25, TABLES)
    flashing = show(advance(before, None, 40, TABLES), display)
    later = flashing._replace(now=50)
    again = advance(start(TABLES, C, 60), None, 65, TABLES)

    assert [(30, 9, 1), (30, 10, 1), (30, 9, 3), (40, 173, OTHER)] == sorted(
        events(between(before, flashing, TABLES)), key=lambda e: (e[0], e[2], e[1])
    )
    assert () == between(flashing, later, TABLES)
    assert [(60, 1, 3), (65, 173, NOT_FLASH)] == events(between(later, again, TABLES))


def edges(earlier: Readings, later: Readings, lasts: int, detectors: Sequence[Detector] = DETECTORS) -> list[tuple[int, int, int]]:
    """List the detector events of a step that begins at tenth 100."""
    before = start(TABLES, A, 100)
    return events(between(before, before._replace(now=100 + lasts), TABLES, readings=(earlier, later), detectors=detectors))


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        (readings(), readings(), []),
        (readings(), readings(since=0.0, occupancy=0.4), [(106, 82, 1)]),
        (readings(), readings(since=0.0, occupancy=0.0), [(110, 82, 1)]),
        (readings(since=0.0), readings(since=0.0, occupancy=1.0), []),
        (readings(since=0.0), readings(since=0.3, occupancy=0.7), [(107, 81, 1)]),
        (readings(since=0.0), readings(since=60.0), [(100, 81, 1)]),
        (readings(), readings(since=0.3, occupancy=0.2), [(105, 82, 1), (107, 81, 1)]),
        (readings(), readings(since=0.9, occupancy=0.5), [(100, 82, 1), (101, 81, 1)]),
        (readings(since=0.5), readings(since=1.5), []),
        (readings(since=0.0), readings(valid=False), [(110, 81, 1)]),
        (readings(), readings(since=0.0, valid=False), []),
        (readings(since=0.0, valid=False), readings(since=0.0, occupancy=1.0), [(100, 82, 1)]),
        (readings(), readings(area=2.0), [(110, 82, 2)]),
        (readings(area=2.0), readings(area=1.0), []),
        (readings(area=2.0), readings(), [(110, 81, 2)]),
        (readings(), readings(pressed=True), [(110, 90, 3)]),
        (readings(pressed=True), readings(), [(110, 89, 3)]),
    ],
)
def test_detectors_tell_their_edges(earlier: Readings, later: Readings, expected: list[tuple[int, int, int]]) -> None:
    """A loop's edges are exact within a second; areas and buttons tell theirs at the reading; a failed detector is off."""
    assert expected == edges(earlier, later, 10)


def test_at_ten_readings_a_second_edges_are_exact() -> None:
    """Each edge is at the reading that shows it."""
    assert [(101, 82, 1)] == edges(readings(), readings(since=0.0, occupancy=0.0), 1)
    assert [(100, 82, 1)] == edges(readings(), readings(since=0.0, occupancy=1.0), 1)


def test_every_code_has_its_words() -> None:
    """What a number means can be read without the enumeration."""
    assert ["begin green", "begin don't walk", "ped detector on"] == [Code(number).words for number in (1, 23, 90)]
