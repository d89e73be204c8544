import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.ticker import TENTH, Clock, FakeClock, Lag, SystemClock, Tick, Ticker, TickerSettings, clock_offset
from intersection.errors import ConfigError

MS = 1_000_000


def run(clock: Clock, ticks: int, work: Callable[[Tick], None] = lambda _: None, settings: TickerSettings | None = None) -> list[Tick]:
    """Let a loop take so many ticks, and do some work in each."""

    async def loop() -> list[Tick]:
        taken: list[Tick] = []
        async for tick in Ticker(clock, settings):
            taken.append(tick)
            work(tick)
            if len(taken) == ticks:
                break
        return taken

    return asyncio.run(loop())


def busy(clock: FakeClock, *durations: int) -> Callable[[Tick], None]:
    """Make work that takes these times one after the other, then none."""
    left = list(durations)
    return lambda _: clock.pass_by(left.pop(0) if left else 0)


def test_ticks_come_ten_times_a_second() -> None:
    """Without work each tick begins exactly when it is due, the first at once."""
    clock = FakeClock(now=123)

    assert [Tick(n, 0, 0, None) for n in range(5)] == run(clock, 5)
    assert 123 + 4 * TENTH == clock.now()


def test_work_within_a_tick_costs_nothing() -> None:
    """Ticks are due by the start, not by the end of the work before, so they do not drift."""
    clock = FakeClock()

    assert [0] * 6 == [tick.lag for tick in run(clock, 6, busy(clock, 99 * MS, 1, 50 * MS, 99 * MS, 7))]


def test_oversleeping_does_not_add_up() -> None:
    """A timer that is always 3 ms late makes each tick 3 ms late, and no more."""
    assert [3 * MS] * 10 == [tick.lag for tick in run(FakeClock(oversleep=3 * MS), 11)[1:]]


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (150 * MS, Tick(1, 50 * MS, 0, None)),
        (150 * MS + 1, Tick(1, 50 * MS + 1, 0, Lag(1, 50 * MS + 1, 0))),
        (200 * MS - 1, Tick(1, 100 * MS - 1, 0, Lag(1, 100 * MS - 1, 0))),
        (200 * MS, Tick(2, 0, 1, Lag(2, 0, 1))),
        (1234 * MS, Tick(12, 34 * MS, 11, Lag(12, 34 * MS, 11))),
    ],
)
def test_a_missed_tick_is_skipped(work: int, expected: Tick) -> None:
    """A late tick runs while the next is not due; else it is left out and counted. More lag than the bound, or a skip, is an event."""
    clock = FakeClock()
    taken = run(clock, 3, busy(clock, work))

    assert expected == taken[1]
    assert Tick(expected.number + 1, 0, 0, None) == taken[2]


@given(st.lists(st.integers(0, 450 * MS), max_size=60), st.integers(0, 120 * MS), st.integers(1, 3))
def test_ticks_are_never_bunched(work: list[int], oversleep: int, period: int) -> None:
    """Whatever holds the loop up, at most one tick runs in each period, numbers tell the due time, and skips make up the difference."""
    clock = FakeClock(oversleep=oversleep)
    began: list[int] = []
    occupy = busy(clock, *work)

    def note(tick: Tick) -> None:
        began.append(clock.now())
        occupy(tick)

    taken = run(clock, len(work) + 2, note, TickerSettings(period=period))

    assert [tick.number for tick in taken] == [at // (period * TENTH) for at in began]
    assert all(a.number < b.number == a.number + 1 + b.skipped for a, b in pairwise(taken))
    assert began == [tick.number * period * TENTH + tick.lag for tick in taken]
    assert all((tick.event is not None) == (tick.skipped > 0 or tick.lag > 50 * MS) for tick in taken)


@pytest.mark.parametrize("clock", [FakeClock(), SystemClock()])
class TestClock:
    """The contract of a clock."""

    def test_a_sleep_ends_not_before_its_instant(self, clock: Clock) -> None:
        """Whoever wakes up finds that the instant has come."""
        instant = clock.now() + 2 * MS
        asyncio.run(clock.sleep_until(instant))

        assert clock.now() >= instant

    def test_an_instant_that_has_passed_is_not_waited_for(self, clock: Clock) -> None:
        """A sleep until the past ends at once, and time has not run backwards."""
        before = clock.now()
        asyncio.run(clock.sleep_until(before - 3_600_000 * MS))

        assert 0 <= clock.now() - before < 60_000 * MS

    def test_others_run_meanwhile(self, clock: Clock) -> None:
        """A sleep gives way even where its instant has passed, so a loop that lags does not starve the rest of the process."""
        ran: list[str] = []

        async def both() -> None:
            other = asyncio.create_task(note())
            await clock.sleep_until(clock.now() - 1)
            ran.append("sleeper")
            await other

        async def note() -> None:
            ran.append("other")

        asyncio.run(both())

        assert ["other", "sleeper"] == ran


def test_a_sleep_that_ends_early_is_slept_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop's timers may fire a moment early; a tick never does."""
    times = iter([0, 99 * MS, 99 * MS, 100 * MS])
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("controller.ticker.time.monotonic_ns", lambda: next(times))
    monkeypatch.setattr("controller.ticker.asyncio.sleep", sleep)
    coroutine = SystemClock().sleep_until(100 * MS)

    with pytest.raises(StopIteration):
        coroutine.send(None)

    assert [0.1, 0.001] == slept


def test_ticks_follow_the_real_clock() -> None:
    """By the computer's own clock the third tick is not before its due time."""
    clock = SystemClock()
    before = clock.now()
    taken = run(clock, 3)

    assert clock.now() - before >= taken[-1].number * TENTH


@pytest.mark.parametrize(
    ("cabinet", "asked", "answered", "seconds", "uncertainty", "alarm"),
    [
        (100.0, 100.5, 100.5, 0.0, 0.5, False),
        (100.0, 100.25, 100.75, 0.0, 0.75, False),
        (103.0, 101.0, 101.0, 2.5, 0.5, False),
        (104.0, 101.0, 101.0, 3.5, 0.5, True),
        (98.0, 101.0, 101.0, -2.5, 0.5, False),
        (97.0, 101.0, 101.0, -3.5, 0.5, True),
        (104.0, 100.0, 102.0, 3.5, 1.5, False),
    ],
)
def test_clocks_that_differ_are_told(  # noqa: PLR0917  # pytest hands the row of the table over by name
    cabinet: float, asked: float, answered: float, seconds: float, uncertainty: float, alarm: bool
) -> None:
    """An offset is known as well as the way of the answer and whole seconds allow; only what surely is above 2 s is an alarm."""
    assert (seconds, uncertainty, alarm) == clock_offset(cabinet=cabinet, asked=asked, answered=answered)


def test_a_finer_clock_is_known_better() -> None:
    """A cabinet that tells milliseconds is compared by milliseconds, and the bound is the caller's."""
    offset = clock_offset(cabinet=101.0, asked=100.0, answered=100.0, unit=0.001, bound=0.5)

    assert offset.alarm
    assert pytest.approx((1.0005, 0.0005)) == offset[:2]


@pytest.mark.parametrize(("key", "value"), [("period", 0), ("bound", -1)])
def test_settings_out_of_range_are_refused(key: str, value: int) -> None:
    """The message names the key, the value and what is allowed."""
    with pytest.raises(ConfigError, match=rf"ticker\.{key} = {value}: .*allowed"):
        TickerSettings(**{key: value})


def test_settings_may_lie_at_their_bounds() -> None:
    """A ticker may beat every tenth of a second and tell any lag at all."""
    assert Lag(1, 1, 0) == run(FakeClock(oversleep=1), 2, settings=TickerSettings(period=1, bound=0))[1].event
