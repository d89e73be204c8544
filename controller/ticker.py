"""The beat of the control loop: ten ticks a second by the monotonic clock, whose lag is an event.

Tick n is due at the start plus n periods, and runs before tick n + 1 is due or not at all: a loop that was held up skips what it missed and
never runs ticks in a bunch to catch up. A step of the wall clock moves nothing; that the box's wall clock and the cabinet's differ is told
by `clock_offset`.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from intersection.errors import ConfigError
from intersection.phase import Tenths

Nanoseconds: TypeAlias = int
"""An instant or a duration by the monotonic clock, whole so that a year of ticks does not drift."""

TENTH: Nanoseconds = 100_000_000
SECOND: Nanoseconds = 10 * TENTH


class Clock(Protocol):
    """A clock that never steps, and a way to wait by it."""

    def now(self) -> Nanoseconds:
        """Read the clock; only differences mean anything."""

    async def sleep_until(self, instant: Nanoseconds) -> None:
        """Let others run until an instant; at once where it has passed."""


class SystemClock:
    """The computer's monotonic clock."""

    def now(self) -> Nanoseconds:
        """Read the clock."""
        return time.monotonic_ns()

    async def sleep_until(self, instant: Nanoseconds) -> None:
        """Let others run until an instant."""
        while True:
            left = instant - self.now()
            await asyncio.sleep(max(0, left) / SECOND)
            if self.now() >= instant:  # a sleep may end a moment early
                return


class FakeClock:
    """The in-memory twin of a clock: time passes only while somebody sleeps, or when it is told to.

    It does not imitate others that run meanwhile for long: whoever works takes no time unless `pass_by` says so.
    """

    def __init__(self, now: Nanoseconds = 0, oversleep: Nanoseconds = 0) -> None:
        """Begin at an instant; `oversleep` is by how much each sleep is too long."""
        self._now, self.oversleep = now, oversleep

    def now(self) -> Nanoseconds:
        """Read the clock."""
        return self._now

    def pass_by(self, duration: Nanoseconds) -> None:
        """Let time pass."""
        self._now += duration

    async def sleep_until(self, instant: Nanoseconds) -> None:
        """Let others run, then be at that instant, or as much later as is overslept."""
        await asyncio.sleep(0)
        if self._now < instant:
            self._now = instant + self.oversleep


class Lag(NamedTuple):
    """A tick began later than the bound allows, or others had to be skipped: for the journal and the metrics."""

    number: int
    lag: Nanoseconds
    skipped: int


class Tick(NamedTuple):
    """One beat."""

    number: int
    """Counted from 0 by due times, so skipped ones count too: its due time is the start plus so many periods."""

    lag: Nanoseconds
    """By how much it began after it was due."""

    skipped: int
    """How many ticks were missed before it."""

    event: Lag | None
    """Where that is more than the bound allows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TickerSettings:
    """How a ticker beats.

    Raises:
        ConfigError: a time is out of its range.
    """

    period: Tenths = 1
    """From one tick to the next, in tenths of a second."""

    bound: Nanoseconds = 50_000_000
    """The lag from which on a tick is told as late, in nanoseconds; a skipped tick always is."""

    def __post_init__(self) -> None:
        if self.period < 1:
            raise ConfigError("a tick takes time", key="ticker.period", value=self.period, allowed="1 or more tenths of a second")
        if self.bound < 0:
            raise ConfigError("a lag cannot be negative", key="ticker.bound", value=self.bound, allowed="0 or more nanoseconds")


class Ticker:
    """Yields ticks for ever: `async for tick in Ticker(clock)`. The first is due when the loop begins."""

    def __init__(self, clock: Clock, settings: TickerSettings | None = None) -> None:
        self.clock, self.settings = clock, settings or TickerSettings()

    async def __aiter__(self) -> AsyncIterator[Tick]:
        period = self.settings.period * TENTH
        start = self.clock.now()
        last = -1
        while True:
            await self.clock.sleep_until(start + (last + 1) * period)
            number, lag = divmod(self.clock.now() - start, period)
            skipped = number - last - 1
            late = skipped > 0 or lag > self.settings.bound
            yield Tick(number, lag, skipped, Lag(number, lag, skipped) if late else None)
            last = number


class ClockOffset(NamedTuple):
    """By how much the cabinet's wall clock is ahead of the box's."""

    seconds: float
    """Negative where it is behind."""

    uncertainty: float
    """By how much this may be wrong, in seconds: half of the answer's way, and half of the unit in which the cabinet tells its time."""

    alarm: bool
    """Whether it surely is more than the bound."""


def clock_offset(*, cabinet: float, asked: float, answered: float, unit: float = 1.0, bound: float = 2.0) -> ClockOffset:
    """Compare the cabinet's wall clock with the box's.

    Args:
        cabinet: what the cabinet said, in seconds of the same era; it is taken to cut off parts of a unit.
        asked: the box's wall clock when it asked, in seconds.
        answered: the box's wall clock when the answer came, in seconds.
        unit: of the cabinet's time, in seconds (NTCIP 1201 globalTime: 1).
        bound: the offset above which an alarm is due, in seconds.
    """
    seconds = cabinet + unit / 2 - (asked + answered) / 2
    uncertainty = (answered - asked + unit) / 2
    return ClockOffset(seconds, uncertainty, abs(seconds) - uncertainty > bound)
