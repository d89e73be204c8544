import pytest

from intersection.config import parse
from intersection.machine import advance, place_calls, show, start
from intersection.shield import Amended, Command, Granted, Proposal, Reason, Refused, due, review
from intersection.state import FOREVER, NO_STAGE, Display
from tests.intersection.documents import GOOD, NEAR_AND_FAR

CONFIG = parse(GOOD)
TABLES = CONFIG.tables
A, B, C = range(3)
KEEP_B = Command(B, 0, 0)


@pytest.mark.parametrize("now", [0, 1, 49, 59, 60, 61, 300])
def test_a_green_lasts_its_minimum_to_the_tenth(now: int) -> None:
    """Phase 2 has 6 s of minimum green: at 5.9 s a move is held back, at 6.0 s it is granted."""
    state = advance(start(TABLES, B, 0), None, now, TABLES)
    expected = Granted(Command(A, 0, 0)) if now >= 60 else Amended(KEEP_B, Reason.MIN_GREEN)

    assert expected == review(Proposal(stage=A), state, TABLES)


@pytest.mark.parametrize("now", [109, 110])
def test_walk_and_clearance_are_served_to_the_tenth(now: int) -> None:
    """A walk of 5 s and a clearance of 6 s that began with the green hold it for 11 s."""
    state = advance(place_calls(start(TABLES, A, 0), TABLES, 0, 0b001), None, now, TABLES)
    verdict = review(Proposal(stage=C), state, TABLES)

    assert (Reason.PEDESTRIANS if now < 110 else None) == getattr(verdict, "reason", None)


def test_a_prohibited_move_goes_by_way_of_another_stage() -> None:
    """From A, B is reached over C."""
    state = advance(start(TABLES, A, 0), None, 200, TABLES)

    assert Amended(Command(C, 0, 0), Reason.PROHIBITED_MOVE) == review(Proposal(stage=B), state, TABLES)


def test_a_transition_is_not_changed() -> None:
    """While B becomes A, a proposal for A is granted and any other amended to A."""
    state = advance(start(TABLES, B, 0), Command(A, 0, 0), 20, TABLES)

    assert A == state.target
    assert Granted(Command(A, 0, 0)) == review(Proposal(stage=A), state, TABLES)
    assert Amended(Command(A, 0, 0), Reason.CLEARANCE) == review(Proposal(stage=C), state, TABLES)
    assert due(state, TABLES) == FOREVER


@pytest.mark.parametrize(
    ("proposal", "reason"),
    [
        (Proposal(stage=3), Reason.UNKNOWN_STAGE),
        (Proposal(stage=-1), Reason.UNKNOWN_STAGE),
        (Proposal(phases=frozenset()), Reason.UNKNOWN_STAGE),
        (Proposal(phases=frozenset({8})), Reason.UNKNOWN_STAGE),
        (Proposal(phases=frozenset({1, 2})), Reason.CONFLICT),
        (Proposal(phases=frozenset({1})), Reason.UNKNOWN_STAGE),
        (Proposal(stage=B, pattern=7), Reason.UNKNOWN_PATTERN),
        (Proposal(stage=B, not_after=199), Reason.EXPIRED),
    ],
)
def test_what_cannot_be_is_refused(proposal: Proposal, reason: Reason) -> None:
    """A proposal that names nothing real, conflicts or is too old is refused with its reason."""
    state = advance(start(TABLES, B, 0), None, 200, TABLES)

    assert Refused(reason) == review(proposal, state, TABLES)


def test_phases_name_their_stage() -> None:
    """Phases that are just those of a stage are as good as its index; a pattern's stage is granted in it."""
    state = advance(start(TABLES, B, 0), None, 200, TABLES)

    assert Granted(Command(C, 0, 0)) == review(Proposal(phases=frozenset({3})), state, TABLES)
    assert Granted(Command(C, 0, 1)) == review(Proposal(stage=C, pattern=1), state, TABLES)


@pytest.mark.parametrize("display", [Display.FLASH, Display.DARK])
def test_a_signal_that_flashes_is_left_alone(display: Display) -> None:
    """In flash or dark nothing is granted, and nothing is due."""
    state = show(place_calls(start(TABLES, B, 0), TABLES, 0b001), display)

    assert Refused(Reason.FLASH) == review(Proposal(stage=A), state, TABLES)
    assert due(state, TABLES) == FOREVER


def test_maximum_green_counts_from_the_conflicting_call() -> None:
    """A call of phase 1 at 20 s ends phase 2 at 110 s and not before, whatever is proposed."""
    state = place_calls(advance(start(TABLES, B, 0), None, 200, TABLES), TABLES, 0b001)
    just_before, then = (advance(state, None, now, TABLES) for now in (1099, 1100))

    assert Granted(KEEP_B) == review(Proposal(stage=B), just_before, TABLES)
    assert (NO_STAGE, 1100) == (just_before.target, then.left)


def test_a_call_too_old_goes_first() -> None:
    """Where a proposal would let a call wait beyond its maximum, the stage that serves the call comes instead."""
    state = place_calls(advance(start(TABLES, B, 0), None, 200, TABLES), TABLES, 0b001)
    late = state._replace(now=1_690, called=(0, -1, -1), calls=0b001, oldest=0)

    assert Amended(Command(A, 0, 0), Reason.MAX_WAIT) == review(Proposal(stage=C), late, TABLES)


@pytest.mark.parametrize(("now", "expected"), [(1_758, Granted(Command(1, 0, 0))), (1_759, Amended(Command(0, 0, 0), Reason.MAX_WAIT))])
def test_a_stage_that_would_serve_a_call_too_late_gives_way_to_a_nearer_one(now: int, expected: Granted | Amended) -> None:
    """Phase 1 may wait for 180 s; `far` takes 4.2 s to reach, `near` 3 s, and both serve it."""
    tables = parse(NEAR_AND_FAR).tables
    state = advance(place_calls(start(tables, 2, 0), tables, 0b0001), None, now, tables)

    assert expected == review(Proposal(stage=1), state, tables)


def test_pedestrians_of_the_running_stage_are_not_left_behind() -> None:
    """A walk that is overdue in the stage that runs keeps it, when nothing else waits."""
    state = advance(start(TABLES, A, 0), None, 1_900, TABLES)
    late = state._replace(ped_called=(0, -1, -1), ped_calls=0b001, oldest=0)

    assert Amended(Command(A, 0, 0), Reason.MAX_WAIT) == review(Proposal(stage=C), late, TABLES)


def test_an_overdue_call_waits_for_the_minimum_green() -> None:
    """However late a call is, the running stage has its minimum green first."""
    state = advance(start(TABLES, B, 3_000), None, 3_005, TABLES)
    late = state._replace(called=(0, -1, -1), calls=0b001, oldest=0)

    assert 3_060 == due(late, TABLES)
