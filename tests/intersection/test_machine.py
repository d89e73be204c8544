import pytest

from intersection.config import parse
from intersection.machine import advance, interval_of, next_change, ped_interval_of, phase_states, place_calls, show, start
from intersection.shield import Command
from intersection.state import FOREVER, NEVER, Display, Interval, PedInterval
from tests.intersection.documents import GOOD

TABLES = parse(GOOD).tables
A, B, C = range(3)


def test_time_runs_forward() -> None:
    """An instant before the state is refused."""
    with pytest.raises(ValueError, match="time runs forward"):
        advance(start(TABLES, A, 10), None, 9, TABLES)


@pytest.mark.parametrize(
    ("now", "interval"),
    [(0, Interval.YELLOW_CHANGE), (39, Interval.YELLOW_CHANGE), (40, Interval.RED), (99, Interval.RED)],
)
def test_a_green_ends_by_yellow_to_the_tenth(now: int, interval: Interval) -> None:
    """Phase 2 has 4 s of yellow and no red clearance."""
    state = advance(start(TABLES, B, 0), Command(A, 0, 0), now, TABLES)

    assert interval is interval_of(state, 1, TABLES)[0]


def test_red_clearance_follows_the_yellow() -> None:
    """Phase 1 shows 3 s of yellow and 1 s of red clearance; an intergreen of 5.5 s holds back phase 2 until then."""
    state = advance(start(TABLES, A, 0), Command(B, 0, 0), 35, TABLES)

    assert (Interval.RED_CLEARANCE, 30) == interval_of(state, 0, TABLES)
    assert Interval.RED is interval_of(advance(state, None, 54, TABLES), 1, TABLES)[0]
    assert (Interval.GREEN, 55) == interval_of(advance(state, None, 55, TABLES), 1, TABLES)


def test_changes_are_foretold() -> None:
    """The next change is the end of a yellow or a red clearance, the arrival, or the end of a walk or its clearance."""
    moving = advance(start(TABLES, A, 0), Command(B, 0, 0), 0, TABLES)
    walking = place_calls(start(TABLES, A, 0), TABLES, 0, 0b001)

    assert 30 == next_change(moving, TABLES)
    assert [40, 55] == [next_change(advance(moving, None, now, TABLES), TABLES) for now in (30, 40)]
    assert [50, 110, FOREVER] == [next_change(advance(walking, None, now, TABLES), TABLES) for now in (0, 50, 110)]


@pytest.mark.parametrize(
    ("now", "shown"), [(0, PedInterval.WALK), (49, PedInterval.WALK), (50, PedInterval.PED_CLEARANCE), (110, PedInterval.DONT_WALK)]
)
def test_pedestrians_walk_and_clear_to_the_tenth(now: int, shown: PedInterval) -> None:
    """A walk of 5 s is followed by a clearance of 6 s."""
    state = advance(place_calls(start(TABLES, A, 0), TABLES, 0, 0b001), None, now, TABLES)

    assert shown is ped_interval_of(state, 0, TABLES)


@pytest.mark.parametrize(
    ("display", "interval", "ped"),
    [(Display.FLASH, Interval.FLASH, PedInterval.FLASH), (Display.DARK, Interval.DARK, PedInterval.DARK)],
)
def test_flash_and_dark_cover_all_lamps(display: Display, interval: Interval, ped: PedInterval) -> None:
    """In flash and dark every phase shows just that."""
    states = phase_states(show(start(TABLES, A, 0), display), TABLES)

    assert [(interval, ped, False)] * 3 == [(state.interval, state.pedestrian, state.protected) for state in states]


def test_a_permissive_green_is_told_from_a_protected_one() -> None:
    """In A phase 1 is protected and phase 3 gives way."""
    states = phase_states(start(TABLES, A, 0), TABLES)

    assert [(Interval.GREEN, True), (Interval.RED, False), (Interval.GREEN, False)] == [(s.interval, s.protected) for s in states]
    assert NEVER == states[1].since
