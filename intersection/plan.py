"""Coordination and time of day: patterns, the schedule that picks one, and where in its cycle a pattern stands."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from intersection.errors import ConfigError
from intersection.phase import Tenths


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """A coordinated plan: a cycle cut into the splits of a sequence of stages, shifted by an offset.

    Raises:
        ConfigError: the splits do not fill the cycle, the offset lies outside it, or a list is empty or uneven.
    """

    number: int
    """1 to 253, as in NTCIP 1202 patternNumber."""

    name: str
    """What the operator calls it."""

    cycle: Tenths
    """The cycle's length, in tenths of a second."""

    offset: Tenths = 0
    """How long after the reference the cycle begins (start of the first split), in tenths of a second."""

    sequence: tuple[str, ...]
    """The names of the stages, in order."""

    splits: tuple[Tenths, ...]
    """For each stage of the sequence its time, the change interval that leads out of it included, in tenths of a second."""

    def __post_init__(self) -> None:
        if not 1 <= self.number <= 253:
            raise ConfigError("a pattern's number is out of range", key="pattern.number", value=self.number, allowed="1..253")
        if not self.sequence or len(self.sequence) != len(self.splits):
            raise ConfigError(
                f"pattern {self.number}: each stage of the sequence needs one split",
                key="pattern.splits",
                value=list(self.splits),
                allowed=f"{max(1, len(self.sequence))} times",
            )
        if min(self.splits) <= 0 or sum(self.splits) != self.cycle:
            raise ConfigError(
                f"pattern {self.number}: the splits must fill the cycle",
                key="pattern.splits",
                value=list(self.splits),
                allowed=f"positive times that sum to {self.cycle}",
            )
        if not 0 <= self.offset < self.cycle:
            raise ConfigError(
                f"pattern {self.number}: the offset lies outside the cycle",
                key="pattern.offset",
                value=self.offset,
                allowed=f"0..{self.cycle - 1}",
            )

    def position(self, since_reference: Tenths) -> Tenths:
        """Tell how far into its cycle the pattern is, a given time after the reference, in tenths of a second."""
        return (since_reference - self.offset) % self.cycle

    def stage_at(self, position: Tenths) -> int:
        """Find which entry of the sequence runs at a position in the cycle."""
        position %= self.cycle
        return next(at for at, end in enumerate(accumulate(self.splits)) if position < end)

    def ends_at(self, entry: int) -> Tenths:
        """Tell at which position in the cycle an entry of the sequence ends."""
        return sum(self.splits[: entry + 1])


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleEntry:
    """From a time of day on, on some days of the week, a pattern runs."""

    start: time
    """Local time of day."""

    pattern: int
    """The number of a pattern, or 0 for free operation."""

    days: frozenset[int] = frozenset(range(7))
    """Days of the week, Monday is 0."""

    def __post_init__(self) -> None:
        if not self.days or not self.days <= frozenset(range(7)):
            raise ConfigError("days run from Monday, 0, to Sunday, 6", key="schedule.days", value=sorted(self.days), allowed="0..6")


class Running(NamedTuple):
    """What a schedule says at one instant."""

    pattern: int
    since_reference: Tenths
    """Time since the reference (local midnight) by which offsets are counted, in tenths of a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Picks the pattern by local time of day and day of the week; free where it has no entry.

    Raises:
        ConfigError: the time zone is not known.
    """

    time_zone: str = "UTC"
    """An IANA name."""

    entries: tuple[ScheduleEntry, ...] = ()
    """In any order."""

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as cause:
            raise ConfigError(
                "no such time zone", key="schedule.time_zone", value=self.time_zone, allowed="a name such as Europe/Berlin"
            ) from cause

    def at(self, instant: datetime) -> Running:
        """Say which pattern runs at an aware instant, and how long ago its reference was.

        An entry holds until the next, over midnight if need be. The reference is local midnight, counted in elapsed time: on the
        two days on which clocks change, cycles go on undisturbed and only the entries' starts follow the clock. An entry whose
        start the clock skips takes effect when the clock has passed it; in the hour that comes twice, the clock's time decides.

        Raises:
            ValueError: the instant has no time zone.
        """
        if instant.tzinfo is None:
            raise ValueError("an instant without a time zone has no local time")
        local = instant.astimezone(ZoneInfo(self.time_zone))
        midnight = datetime.combine(local.date(), time(), local.tzinfo)
        elapsed = (instant.astimezone(UTC) - midnight) // timedelta(milliseconds=100)
        return Running(self._pattern(local.date(), local.time()), elapsed)

    def _pattern(self, today: date, clock: time) -> int:
        for back in range(8):
            day = (today - timedelta(days=back)).weekday()
            started = [entry for entry in self.entries if day in entry.days and (back or entry.start <= clock)]
            if started:
                return max(started, key=lambda entry: entry.start).pattern
        return 0
