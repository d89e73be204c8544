from datetime import UTC, datetime, time

import pytest

from intersection.plan import Pattern, Running, Schedule, ScheduleEntry

DAY = Pattern(number=1, name="day", cycle=900, offset=100, sequence=("A", "B"), splits=(500, 400))
BERLIN = Schedule(
    time_zone="Europe/Berlin",
    entries=(
        ScheduleEntry(start=time(6), pattern=1, days=frozenset(range(5))),
        ScheduleEntry(start=time(2, 30), pattern=2),
        ScheduleEntry(start=time(22), pattern=0),
    ),
)


@pytest.mark.parametrize(("since", "position"), [(100, 0), (99, 899), (1000, 0), (0, 800), (1001, 1)])
def test_a_cycle_begins_an_offset_after_the_reference(since: int, position: int) -> None:
    """The position in the cycle is 0 an offset after the reference, and every cycle from there."""
    assert position == DAY.position(since)


@pytest.mark.parametrize(("position", "entry"), [(0, 0), (499, 0), (500, 1), (899, 1), (900, 0)])
def test_a_split_ends_where_the_next_begins(position: int, entry: int) -> None:
    """Each position in the cycle belongs to one entry of the sequence."""
    assert entry == DAY.stage_at(position)
    assert (500, 900) == (DAY.ends_at(0), DAY.ends_at(1))


@pytest.mark.parametrize(
    ("instant", "pattern"),
    [
        (datetime(2026, 11, 23, 4, 59, 59, tzinfo=UTC), 2),  # Monday 05:59:59 in Berlin
        (datetime(2026, 11, 23, 5, 0, tzinfo=UTC), 1),
        (datetime(2026, 11, 23, 21, 0, tzinfo=UTC), 0),
        (datetime(2026, 11, 24, 0, 0, tzinfo=UTC), 0),  # over midnight
        (datetime(2026, 11, 21, 9, 0, tzinfo=UTC), 2),  # Saturday
    ],
)
def test_the_latest_entry_of_local_time_holds(instant: datetime, pattern: int) -> None:
    """An entry holds from its local time of day until the next one, over midnight if need be."""
    assert pattern == BERLIN.at(instant).pattern


def test_an_hour_that_is_skipped_starts_what_began_in_it() -> None:
    """On the day on which 02:30 does not exist, its entry holds from 03:00 on; cycles count elapsed time."""
    before, after = datetime(2026, 3, 29, 0, 59, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)

    assert Running(0, 71_400) == BERLIN.at(before)
    assert Running(2, 72_000) == BERLIN.at(after)


def test_an_hour_that_comes_twice_is_read_off_the_clock() -> None:
    """When 02:00 to 03:00 comes twice, the clock's time decides, and elapsed time goes on."""
    first, second = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 10, tzinfo=UTC)

    assert Running(2, 90_000) == BERLIN.at(first)
    assert Running(0, 114_000) == BERLIN.at(second)


def test_without_entries_a_signal_is_free() -> None:
    """An empty schedule means free operation, all day."""
    assert 0 == Schedule().at(datetime(2026, 1, 1, tzinfo=UTC)).pattern


def test_an_instant_needs_a_zone() -> None:
    """A naive instant has no local time."""
    with pytest.raises(ValueError, match="time zone"):
        BERLIN.at(datetime(2026, 1, 1))  # noqa: DTZ001  # the mistake that is tested
