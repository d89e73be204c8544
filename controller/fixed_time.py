"""Our own plan, when the policy is away: a time-of-day schedule of patterns, entered from whatever runs, brought into step bit by bit.

A pattern is in step when its cycle stands where the clock has it. On entry, after a change of pattern and after a step of the clock it is
not; then each split is stretched (dwell) or cut (shortway), by at most a fifth of itself, whichever way is the shorter, until it is. The
gate still has every word: no green is cut below its minimum or its walk.

Pure: where it stands is handed in and out, and the time of day is a parameter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple

from field_adapters._base import PlanStep
from intersection.config import IntersectionConfig
from intersection.errors import ConfigError
from intersection.phase import Tenths
from intersection.plan import Pattern, Schedule
from intersection.shield import Proposal
from intersection.state import NO_STAGE, IntersectionState

SHARE = 5
"""A split is corrected by at most this part of itself: a fifth, as cabinets have it."""

IN_STEP: Tenths = 10
"""A cycle that is off by no more than this is in step."""


class Standing(NamedTuple):
    """Where the plan stands. Instants in tenths of a second, by the daemon's clock."""

    pattern: int
    """The pattern's number."""

    entry: int
    """Which entry of its sequence runs."""

    ends: Tenths
    """When its split ends."""

    off: Tenths = 0
    """By how much the cycle is behind the clock, the shorter way round; negative where it is ahead."""

    seen: Tenths = 0
    """When it was last asked."""


@dataclass(frozen=True)
class Plans:
    """The patterns of a signal, and when each runs."""

    config: IntersectionConfig
    schedule: Schedule

    @cached_property
    def patterns(self) -> Mapping[int, Pattern]:
        """By number."""
        return {pattern.number: pattern for pattern in self.config.patterns}

    @cached_property
    def _stage(self) -> Mapping[str, int]:
        return {stage.name: at for at, stage in enumerate(self.config.stages)}

    def propose(self, before: Standing | None, state: IntersectionState, wall: float) -> tuple[Proposal, Standing]:
        """Say what the plan would have now, and where it then stands.

        Args:
            before: where it stood when it was last asked; None where it begins.
            state: the signal, as measured.
            wall: the time on the wall, in seconds since 1970 UTC.

        Raises:
            ConfigError: the signal has no pattern.
        """
        pattern, position = self._now(wall)
        if before is None or before.pattern != pattern.number or state.now - before.seen > pattern.cycle:
            before = self._enter(pattern, position, state)
        at = before._replace(off=_off(pattern, position, before, state.now), seen=state.now)
        running = state.stage if state.target == NO_STAGE else state.target
        if state.now >= at.ends - self._change(pattern, at.entry) and state.target == NO_STAGE:
            at = self._following(pattern, at, state.now)
        wanted = self._stage_of(pattern, at.entry)
        return Proposal(stage=wanted if state.target == NO_STAGE else running, pattern=pattern.number), at

    def cycles_left(self, at: Standing) -> int:
        """Tell how many cycles it will take at most to get into step."""
        if abs(at.off) <= IN_STEP:
            return 0
        return -(-abs(at.off) // max(1, self.patterns[at.pattern].cycle // SHARE))

    def step(self, at: Standing) -> PlanStep:
        """Tell whether it is in step."""
        return PlanStep.IN_STEP if abs(at.off) <= IN_STEP else PlanStep.IN_TRANSITION

    def _now(self, wall: float) -> tuple[Pattern, Tenths]:
        """Find the pattern of the hour, and where its cycle has to stand. Where the schedule says free, the first one stands in."""
        running = self.schedule.at(datetime.fromtimestamp(wall, UTC))
        pattern = self.patterns.get(running.pattern) or next(iter(self.patterns.values()), None)
        if pattern is None:
            raise ConfigError(f"signal {self.config.name!r} has no pattern", key="pattern", allowed="at least one")
        return pattern, pattern.position(running.since_reference)

    def _enter(self, pattern: Pattern, position: Tenths, state: IntersectionState) -> Standing:
        """Begin with the stage that runs, until its end by the clock, but for no longer than its split.

        Of several entries with that stage it is the one that ends soonest; where the sequence does not have it, the one that the clock has.
        """
        running = state.stage if state.target == NO_STAGE else state.target
        entries = [entry for entry in range(len(pattern.sequence)) if self._stage_of(pattern, entry) == running]
        if not entries:
            entry = pattern.stage_at(position)
            return Standing(pattern.number, entry, state.now + pattern.splits[entry], seen=state.now)
        entry = min(entries, key=lambda each: (pattern.ends_at(each) - position) % pattern.cycle)
        left = (pattern.ends_at(entry) - position) % pattern.cycle
        return Standing(pattern.number, entry, state.now + min(left, pattern.splits[entry]), seen=state.now)

    def _following(self, pattern: Pattern, at: Standing, now: Tenths) -> Standing:
        """Begin the next split, corrected by as much as may be towards the clock."""
        entry = (at.entry + 1) % len(pattern.sequence)
        split = pattern.splits[entry]
        most = split // SHARE
        correction = max(-most, min(most, at.off))
        late = max(0, now + self._change(pattern, at.entry) - at.ends)
        return at._replace(entry=entry, ends=at.ends + split - correction + late)

    def _change(self, pattern: Pattern, entry: int) -> Tenths:
        """The time from the end of an entry's green to the beginning of the next one's: it belongs to the split that ends."""
        following = (entry + 1) % len(pattern.sequence)
        return self.config.tables.move(self._stage_of(pattern, entry), self._stage_of(pattern, following)).duration

    def _stage_of(self, pattern: Pattern, entry: int) -> int:
        return self._stage[pattern.sequence[entry]]


def _off(pattern: Pattern, position: Tenths, at: Standing, now: Tenths) -> Tenths:
    """Tell by how much the cycle is behind the clock, the shorter way round."""
    stands = pattern.ends_at(at.entry) - (at.ends - now)
    behind = (position - stands) % pattern.cycle
    return behind if 2 * behind <= pattern.cycle else behind - pattern.cycle


class Follower:
    """A plan that is followed: keeps where it stands between questions. `leave` forgets it."""

    def __init__(self, plans: Plans) -> None:
        self.plans = plans
        self._at: Standing | None = None

    def propose(self, state: IntersectionState, wall: float) -> Proposal:
        """Say what the plan would have now. Raises ConfigError where there is none."""
        proposal, self._at = self.plans.propose(self._at, state, wall)
        return proposal

    def leave(self) -> None:
        """Forget where it stood: the next time it is entered anew."""
        self._at = None

    @property
    def standing(self) -> Standing | None:
        """Where it stands; None while it is not followed."""
        return self._at
