"""Our own plan, when the policy is away: a time-of-day schedule of patterns, entered from whatever runs, brought into step bit by bit.

A pattern is in step when its cycle stands where the clock has it. On entry, after a change of pattern and after a step of the clock it is
not; then each split is stretched (dwell) or cut (shortway), by at most a fifth of itself, whichever takes fewer cycles, until it is. No
split is cut below the minimum green and walk of its stage, and none stretched beyond what the pattern lets a green last, so that the gate
has nothing to amend. A stage counts from its measured arrival and the next is wanted until it has arrived: what the gate or the street
holds up is late, never left out.

Pure: where it stands is handed in and out, and the time of day is a parameter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from math import ceil
from typing import NamedTuple

from field_adapters._base import PlanStep
from intersection.config import IntersectionConfig
from intersection.errors import ConfigError
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.plan import Pattern, Schedule
from intersection.shield import Proposal
from intersection.state import FOREVER, NO_STAGE, IntersectionState

SHARE = 5
"""A split is corrected by at most this part of itself: a fifth, as cabinets have it."""

PERIOD: Tenths = 10
"""A plan is asked every second; what that makes early or late is corrected like everything else."""

IN_STEP: Tenths = 10
"""A cycle that is off by no more than this is in step."""


class Room(NamedTuple):
    """By how much each split of a pattern can be corrected at a time, in tenths of a second."""

    cuts: tuple[Tenths, ...]
    dwells: tuple[Tenths, ...]


class Standing(NamedTuple):
    """Where the plan stands. Instants in tenths of a second, by the daemon's clock."""

    pattern: int
    """The pattern's number."""

    entry: int
    """Which entry of its sequence runs, or is wanted next."""

    ends: Tenths
    """When its split ends; FOREVER until its stage has arrived."""

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

    @cached_property
    def rooms(self) -> Mapping[int, Room]:
        """For each pattern's number, how far its splits can be corrected.

        Dwelling takes no more than the change that follows, since a pattern lets a green last as long as its split; a green that goes on
        in the next stage has no such room.
        """
        return {number: self._room(pattern) for number, pattern in self.patterns.items()}

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
        if before is None or before.pattern != pattern.number or not 0 <= state.now - before.seen <= pattern.cycle:
            before = self._enter(pattern, position, state)
        at = before._replace(seen=state.now)
        if state.target != NO_STAGE:
            return Proposal(pattern=pattern.number), at
        if at.ends != FOREVER and self._stage_of(pattern, at.entry) != state.stage:
            at = at._replace(entry=self._next(pattern, at.entry), ends=FOREVER)  # the gate has left it before its end
        if at.ends == FOREVER and self._stage_of(pattern, at.entry) == state.stage:
            at = self._arrived(pattern, position, at, state.arrived)
        early = 0 if any(self.rooms[pattern.number].cuts) else PERIOD - 1  # off to the side from which it can be corrected
        while at.ends != FOREVER and state.now + early >= at.ends - self._change(pattern, at.entry):
            following = self._next(pattern, at.entry)
            if self._stage_of(pattern, following) != state.stage:
                at = at._replace(entry=following, ends=FOREVER)
            else:
                at = self._arrived(pattern, position, at._replace(entry=following), max(at.ends, state.now))
        if at.ends != FOREVER:
            at = at._replace(off=_shorter(self._behind(pattern, position, at), pattern.cycle))
        return Proposal(stage=self._stage_of(pattern, at.entry), pattern=pattern.number), at

    def cycles_left(self, at: Standing) -> int:
        """Tell how many cycles it will take to get into step while nothing holds it up."""
        if abs(at.off) <= IN_STEP:
            return 0
        pattern = self.patterns[at.pattern]
        short, dwell = self._cycles(pattern, at.off % pattern.cycle)
        return ceil(min(short, dwell, pattern.cycle))

    def most_cycles(self, number: int) -> int:
        """Tell in how many cycles a pattern is in step at the latest, from wherever it is entered, while nothing holds it up."""
        pattern, room = self.patterns[number], self.rooms[number]
        return 1 + -(-pattern.cycle // max(1, sum(room.cuts) + sum(room.dwells)))

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
        """Begin with the stage that runs or is being gone to; where the sequence does not have it, with the one that the clock has.

        Of several entries with that stage it is the one that ends soonest.
        """
        running = state.stage if state.target == NO_STAGE else state.target
        entries = [entry for entry in range(len(pattern.sequence)) if self._stage_of(pattern, entry) == running]
        entry = min(entries, key=lambda each: (pattern.ends_at(each) - position) % pattern.cycle, default=pattern.stage_at(position))
        off = _shorter((position - pattern.ends_at(entry)) % pattern.cycle, pattern.cycle)
        return Standing(pattern.number, entry, FOREVER, off, state.now)

    def _arrived(self, pattern: Pattern, position: Tenths, at: Standing, arrived: Tenths) -> Standing:
        """Say when the split of a stage ends that has arrived: corrected towards the clock by as much as may be."""
        at = at._replace(ends=arrived + pattern.splits[at.entry])
        behind, room = self._behind(pattern, position, at), self.rooms[pattern.number]
        short, dwell = self._cycles(pattern, behind)
        if short <= dwell:
            return at._replace(ends=at.ends - min(behind, room.cuts[at.entry]))
        return at._replace(ends=at.ends + min(pattern.cycle - behind, room.dwells[at.entry]))

    def _cycles(self, pattern: Pattern, behind: Tenths) -> tuple[float, float]:
        """Tell in how many cycles shortways would close a gap, and dwells; a moment is not brought all round."""
        room = self.rooms[pattern.number]
        ahead = pattern.cycle - behind
        if behind <= IN_STEP or ahead <= IN_STEP:
            return (0.0, 1.0) if behind <= ahead else (1.0, 0.0)
        return behind / (sum(room.cuts) or 1e-9), ahead / (sum(room.dwells) or 1e-9)

    def _behind(self, pattern: Pattern, position: Tenths, at: Standing) -> Tenths:
        """Tell by how much the cycle is behind the clock, in 0 to a cycle."""
        return (position + at.ends - at.seen - pattern.ends_at(at.entry)) % pattern.cycle

    def _room(self, pattern: Pattern) -> Room:
        tables = self.config.tables
        cuts, dwells = [], []
        for entry, split in enumerate(pattern.splits):
            stage, change = self._stage_of(pattern, entry), self._change(pattern, entry)
            most = split // SHARE
            goes_on = tables.green[stage] & tables.green[self._stage_of(pattern, self._next(pattern, entry))]
            cuts.append(max(0, min(most, split - change - tables.service[stage])))
            dwells.append(0 if goes_on else max(0, min(most, change - PERIOD)))
        return Room(tuple(cuts), tuple(dwells))

    def _change(self, pattern: Pattern, entry: int) -> Tenths:
        """The time from the end of an entry's green to the beginning of the next one's: it belongs to the split that ends."""
        return self.config.tables.move(self._stage_of(pattern, entry), self._stage_of(pattern, self._next(pattern, entry))).duration

    def _stage_of(self, pattern: Pattern, entry: int) -> int:
        return self._stage[pattern.sequence[entry]]

    @staticmethod
    def _next(pattern: Pattern, entry: int) -> int:
        return (entry + 1) % len(pattern.sequence)


def _shorter(behind: Tenths, cycle: Tenths) -> Tenths:
    """Turn what is behind, in 0 to a cycle, into the shorter way round."""
    return behind if 2 * behind <= cycle else behind - cycle


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


class PlanPolicy:
    """The same plan as an ordinary policy, for a simulation: its clock began at an instant of the wall's."""

    def __init__(self, plans: Plans, began: float) -> None:
        """Follow plans; `began` is the time on the wall at the simulation's instant 0, in seconds since 1970 UTC."""
        self.follower, self._began = Follower(plans), began

    @property
    def period(self) -> Tenths:
        """A second, the resolution of a plan."""
        return PERIOD

    def propose(self, observation: Observation) -> Proposal:
        """Propose what the plan has now. Raises ConfigError where there is none."""
        return self.follower.propose(observation.state, self._began + observation.state.now / 10)
