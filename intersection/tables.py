"""What follows from a configuration, computed once: masks instead of sets, the moves between stages and what they cost.

A group is a phase or an overlap; it has an index, and a set of groups is the integer with those bits set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

from intersection.compatibility import Compatibility, Intergreen, Stage
from intersection.errors import ConfigError
from intersection.phase import Overlap, Phase, Tenths
from intersection.plan import Pattern


@lru_cache(maxsize=4096)
def bits(mask: int) -> tuple[int, ...]:
    """List the indices of the set bits, lowest first."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return tuple(found)


class Move(NamedTuple):
    """How one stage becomes another: who ends, who starts, and how long it takes."""

    ending: int
    """Groups whose green ends when the move begins; those that the target holds too restart."""

    duration: Tenths
    """From the end of green to the arrival at the target."""

    marks: tuple[Tenths, ...]
    """Offsets at which an indication changes, ascending; the last is the duration."""


class Group(NamedTuple):
    """The times of a phase or an overlap, as the tables need them."""

    number: int
    name: str
    min_green: Tenths
    max_green: Tenths
    yellow: Tenths
    red: Tenths
    walk: Tenths
    pedestrian_time: Tenths
    max_wait: Tenths
    ped_max_wait: Tenths
    vehicle: bool


@dataclass(frozen=True)
class Tables:
    """The compiled form of an intersection's configuration. Made by `IntersectionConfig.tables`."""

    phases: tuple[Phase, ...]
    overlaps: tuple[Overlap, ...]
    stages: tuple[Stage, ...]
    compatibility: Compatibility
    intergreens: tuple[Intergreen, ...]
    prohibited: frozenset[tuple[int, int]]
    """Pairs of stage indices (from, to) that never follow each other directly."""

    patterns: tuple[Pattern, ...]
    locking: frozenset[int]
    """Numbers of the phases whose calls are kept until they are served."""

    _moves: dict[tuple[int, int, int], Move] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Phases, then overlaps, in the order of the state's tuples."""
        timings = {phase.number: phase.timing for phase in self.phases}
        made = [
            Group(
                number=phase.number,
                name=phase.name,
                min_green=phase.timing.min_green,
                max_green=phase.timing.max_green,
                yellow=phase.timing.yellow_change,
                red=phase.timing.red_clearance,
                walk=phase.timing.walk,
                pedestrian_time=phase.timing.pedestrian_time,
                max_wait=phase.timing.max_wait,
                ped_max_wait=phase.timing.ped_max_wait,
                vehicle=phase.vehicle,
            )
            for phase in self.phases
        ]
        made += [
            Group(
                number=overlap.number,
                name=overlap.name,
                min_green=min(timings[parent].min_green for parent in overlap.parents),
                max_green=sum(timings[parent].max_green for parent in overlap.parents),
                yellow=overlap.yellow_change,
                red=overlap.red_clearance,
                walk=0,
                pedestrian_time=0,
                max_wait=0,
                ped_max_wait=0,
                vehicle=True,
            )
            for overlap in self.overlaps
        ]
        return tuple(made)

    @cached_property
    def size(self) -> int:
        """The number of groups."""
        return len(self.groups)

    @cached_property
    def index(self) -> dict[int, int]:
        """From a phase's or overlap's number to its index."""
        return {group.number: at for at, group in enumerate(self.groups)}

    def mask(self, numbers: frozenset[int]) -> int:
        """Turn numbers of phases into a mask of groups."""
        return sum(1 << self.index[number] for number in numbers)

    @cached_property
    def permissive(self) -> tuple[int, ...]:
        """For each stage, the groups that are green and give way. An overlap gives way when all its green parents do."""
        return tuple(
            self.mask(stage.permissive | {o.number for o in self.overlaps if o.parents & stage.phases and not o.parents & stage.protected})
            for stage in self.stages
        )

    @cached_property
    def protected(self) -> tuple[int, ...]:
        """For each stage, the groups that are green and give way to nobody."""
        return tuple(self.mask(stage.protected | {o.number for o in self.overlaps if o.parents & stage.protected}) for stage in self.stages)

    @cached_property
    def green(self) -> tuple[int, ...]:
        """For each stage, the groups that are green."""
        return tuple(protected | permissive for protected, permissive in zip(self.protected, self.permissive, strict=True))

    @cached_property
    def conflicts(self) -> tuple[int, ...]:
        """For each group, those it is never protected with. An overlap conflicts as declared, or where all its parents do."""
        parents = [frozenset({phase.number}) for phase in self.phases] + [overlap.parents for overlap in self.overlaps]
        conflict = self.compatibility.conflict

        def clash(a: int, b: int) -> bool:
            return a != b and (
                conflict(self.groups[a].number, self.groups[b].number)
                or (
                    max(a, b) >= len(self.phases)
                    and not parents[a] & parents[b]
                    and all(conflict(p, q) for p in parents[a] for q in parents[b])
                )
            )

        return tuple(sum(1 << b for b in range(self.size) if clash(a, b)) for a in range(self.size))

    @cached_property
    def yields(self) -> tuple[int, ...]:
        """For each group, those it gives way to when it is permissive."""
        given: list[int] = [0] * self.size
        for permissive, other in self.compatibility.yields:
            given[self.index[permissive]] |= 1 << self.index[other]
        return tuple(given)

    @cached_property
    def intergreen(self) -> tuple[tuple[Tenths, ...], ...]:
        """For each ending and each starting group, the time between; NEMA's yellow and red clearance where none is declared."""
        declared = {(item.ending, item.starting): item.time for item in self.intergreens}
        return tuple(
            tuple(declared.get((ending.number, starting.number), ending.yellow + ending.red) for starting in self.groups)
            for ending in self.groups
        )

    @cached_property
    def only_permissive(self) -> int:
        """The groups that no stage protects: a green alone does not serve them, a discharge does."""
        return self._union(self.permissive) & ~self._union(self.protected)

    @cached_property
    def pedestrians(self) -> int:
        """The groups that pedestrians walk with."""
        return sum(1 << at for at, group in enumerate(self.groups) if group.walk)

    @cached_property
    def vehicles(self) -> int:
        """The phases that vehicles can call."""
        return sum(1 << at for at, phase in enumerate(self.phases) if phase.vehicle)

    @cached_property
    def locked(self) -> int:
        """The groups whose calls are kept until they are served."""
        return self.mask(self.locking)

    @cached_property
    def vehicle_recall(self) -> int:
        """The groups with a standing vehicle call."""
        return sum(1 << at for at, phase in enumerate(self.phases) if phase.min_recall)

    @cached_property
    def ped_recall(self) -> int:
        """The groups with a standing pedestrian call."""
        return sum(1 << at for at, phase in enumerate(self.phases) if phase.ped_recall)

    @cached_property
    def service(self) -> tuple[Tenths, ...]:
        """For each stage, the longest of its minimum greens and its walks with their clearances."""
        return tuple(max(max(self.groups[g].min_green, self.groups[g].pedestrian_time) for g in bits(green)) for green in self.green)

    @cached_property
    def min_dwell(self) -> Tenths:
        """The shortest stay in any stage."""
        return min(group.min_green for group in self.groups)

    @cached_property
    def serves(self) -> tuple[int, ...]:
        """For each stage, the calls it serves: vehicles of group g as bit g, pedestrians as bit size + g."""
        return tuple(
            (protected | (green & self.only_permissive)) & self.vehicles | (green & self.pedestrians) << self.size
            for protected, green in zip(self.protected, self.green, strict=True)
        )

    @cached_property
    def rescue(self) -> tuple[int, ...]:
        """For each call (bits as in `serves`), the stage that serves it when it must be; -1 for what cannot call.

        The stages are chosen greedily, each the one that serves most of the calls still without.
        """
        open_calls = self.vehicles | self.pedestrians << self.size
        chosen = [-1] * (2 * self.size)
        while open_calls:
            best = max(range(len(self.stages)), key=lambda stage: (self.serves[stage] & open_calls).bit_count())
            served = self.serves[best] & open_calls
            if not served:
                lost = sorted({self.groups[call % self.size].number for call in bits(open_calls)})
                raise ConfigError("phases that no stage makes green", key="stage", value=lost, allowed="each phase green in a stage")
            for call in bits(served):
                chosen[call] = best
            open_calls &= ~served
        return tuple(chosen)

    def move(self, source: int, target: int, clear: int = 0) -> Move:
        """Work out how stage `source` becomes stage `target`.

        Besides the groups that the target does not hold, these end too and restart at the arrival: the groups in `clear`;
        a green that loses its protection to a conflicting one; and a green to which an ending permissive one gives way, since
        a driver who sees yellow believes that the opposing traffic sees it as well (the yellow trap).
        """
        key = (source, target, clear)
        known = self._moves.get(key)
        if known is None:
            known = self._moves[key] = self._work_out(source, target, clear)
        return known

    def _work_out(self, source: int, target: int, clear: int) -> Move:
        green, goal = self.green[source], self.green[target]
        ending = green & (~goal | clear)
        for group in bits(green & goal & self.protected[source] & self.permissive[target]):
            if self.conflicts[group] & goal:
                ending |= 1 << group
        ending = self._with_bound(source, ending)
        entering = goal & ~(green & ~ending) | goal & self.protected[target] & ~self.protected[source]
        duration = 1 if ending & goal else 0  # a green that restarts is seen to have ended, also where it has nothing to clear
        marks: set[Tenths] = set()
        for group in bits(ending):
            timing = self.groups[group]
            between = [self.intergreen[group][other] for other in bits(entering & self.conflicts[group])]
            duration = max(duration, timing.yellow + timing.red, *between)
            marks.update((timing.yellow, timing.yellow + timing.red))
        marks.discard(0)
        return Move(ending, duration, (*sorted(mark for mark in marks if mark < duration), duration) if duration else ())

    def _with_bound(self, source: int, ending: int) -> int:
        """Add the greens that cannot outlast the given ones: those in a yellow trap, and the parents of an overlap."""
        while True:
            bound = 0
            for group in bits(ending & self.permissive[source]):
                bound |= self.yields[group]
            for at, overlap in enumerate(self.overlaps, len(self.phases)):
                if ending >> at & 1:
                    bound |= self.mask(overlap.parents)
            bound &= self.green[source] & ~ending
            if not bound:
                return ending
            ending |= bound

    @cached_property
    def trapped(self) -> tuple[tuple[bool, ...], ...]:
        """Whether going from one stage straight to another would set a yellow trap."""
        count = range(len(self.stages))
        ending = [[self.green[source] & ~self.green[target] for target in count] for source in count]
        return tuple(tuple(self._with_bound(source, mask) != mask for mask in ending[source]) for source in count)

    @cached_property
    def _longest(self) -> tuple[tuple[Tenths, ...], ...]:
        everything = (1 << self.size) - 1
        count = range(len(self.stages))
        return tuple(tuple(self.move(a, b, everything).duration for b in count) for a in count)

    def longest_move(self, source: int, target: int) -> Tenths:
        """The duration of a move in which every green ends."""
        return self._longest[source][target]

    @cached_property
    def _routes(self) -> tuple[tuple[tuple[Tenths, ...], ...], tuple[tuple[int, ...], ...]]:
        """Travel times and next hops between stages over permitted moves (Floyd and Warshall)."""
        count = len(self.stages)
        unreachable = 1 << 40
        cost = [
            [0 if a == b else (unreachable if (a, b) in self.prohibited else self._longest[a][b]) for b in range(count)]
            for a in range(count)
        ]
        hop = [list(range(count)) for _ in range(count)]
        for via in range(count):
            for a in range(count):
                for b in range(count):
                    by_way = cost[a][via] + self.service[via] + cost[via][b]
                    if a != via != b and a != b and by_way < cost[a][b] and (a, b) in self.prohibited:
                        cost[a][b], hop[a][b] = by_way, hop[a][via]
        for a in range(count):
            for b in range(count):
                if cost[a][b] >= unreachable:
                    raise ConfigError(
                        "prohibited moves leave a stage out of reach",
                        key="prohibited_moves",
                        value=[self.stages[a].name, self.stages[b].name],
                        allowed="some way from each stage to each other",
                    )
        return tuple(map(tuple, cost)), tuple(map(tuple, hop))

    @property
    def travel(self) -> tuple[tuple[Tenths, ...], ...]:
        """The longest time from leaving one stage to arriving at another, over intermediate stages where need be."""
        return self._routes[0]

    @property
    def next_hop(self) -> tuple[tuple[int, ...], ...]:
        """The first stage on the way from one stage to another."""
        return self._routes[1]

    @cached_property
    def arrive(self) -> tuple[Tenths, ...]:
        """For each stage, the longest time from leaving any other to arriving there."""
        return tuple(max(row[stage] for row in self.travel) for stage in range(len(self.stages)))

    @cached_property
    def round_trip(self) -> Tenths:
        """The longest time until every call is served, from any instant on."""
        legs = [arrive + service for arrive, service in zip(self.arrive, self.service, strict=True)]
        return max(legs) + sum(legs[stage] for stage in {stage for stage in self.rescue if stage >= 0})

    def longest_wait(self, call: int) -> Tenths:
        """The longest time in which the gate can promise to serve a call (bits as in `serves`)."""
        return self.round_trip - self.service[self.rescue[call]]

    @cached_property
    def max_green(self) -> dict[int, tuple[Tenths, ...]]:
        """For each pattern's number (0: free), the longest green of each group after a conflicting call.

        In a pattern, the splits of neighbouring stages that hold a group are its bound; where none holds it, that of free operation.
        """
        free = tuple(group.max_green for group in self.groups)
        bounds = {0: free}
        by_name = {stage.name: at for at, stage in enumerate(self.stages)}
        for pattern in self.patterns:
            held = [self.green[by_name[name]] for name in pattern.sequence]
            bounds[pattern.number] = tuple(
                _longest_run([split if green >> group & 1 else 0 for green, split in zip(held, pattern.splits, strict=True)]) or free[group]
                for group in range(self.size)
            )
        return bounds

    @cached_property
    def reachable(self) -> dict[int, tuple[int, ...]]:
        """For each pattern's number (0: free), the stages that can be gone to in it.

        Those of its sequence, those that serve a call when it must be, and those on the way to either; in free operation all.
        """
        everything = range(len(self.stages))
        reached = {0: tuple(everything)}
        for pattern in self.patterns:
            goals = {at for at in everything if self.stages[at].name in pattern.sequence or at in self.rescue}
            reached[pattern.number] = tuple(sorted(goals | {self.next_hop[a][b] for a in everything for b in goals if a != b}))
        return reached

    @cached_property
    def patience(self) -> dict[int, Tenths]:
        """For each pattern's number (0: free), a time after the oldest call within which no bound can have been reached."""
        waits = [self.groups[g].max_wait for g in bits(self.vehicles)]
        waits += [self.groups[g].ped_max_wait for g in bits(self.pedestrians)]
        return {number: min(min(waits) - self.round_trip, *greens) for number, greens in self.max_green.items()}

    @staticmethod
    def _union(masks: Sequence[int]) -> int:
        total = 0
        for mask in masks:
            total |= mask
        return total


def _longest_run(splits: list[Tenths]) -> Tenths:
    """Find the longest time without a zero in splits that repeat; once around at most."""
    longest = run = 0
    for split in splits * 2:
        run = run + split if split else 0
        longest = max(longest, run)
    return min(longest, sum(splits))
