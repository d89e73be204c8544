"""Watches a signal from the street, and says when a promise is broken.

It shares no code with the gate, the machine or the tables. It is told the configuration, the calls that detectors placed, and what the
lamps showed from instant to instant; conflicts, intergreens, overlaps and bounds it works out for itself.
"""

from collections.abc import Iterable, Sequence

from intersection.config import IntersectionConfig
from intersection.phase import Tenths
from intersection.state import FREE, NEVER, Interval, PedInterval, PhaseState

LIT = (Interval.GREEN, Interval.YELLOW_CHANGE)
AFTER = {
    Interval.GREEN: (Interval.YELLOW_CHANGE, Interval.RED_CLEARANCE, Interval.RED),
    Interval.YELLOW_CHANGE: (Interval.RED_CLEARANCE, Interval.RED, Interval.GREEN),
    Interval.RED_CLEARANCE: (Interval.RED, Interval.GREEN),
    Interval.RED: (Interval.GREEN,),
}
"""What may follow each interval; how long each must last is checked apart."""


class BrokenPromise(AssertionError):
    """Something that must never be seen on the street was seen."""


class Judge:
    """Follows one signal. `begin`, then `see` at every instant at which a lamp may change and `place` whenever detectors speak."""

    def __init__(self, config: IntersectionConfig) -> None:
        """Work out from the configuration alone what may happen."""
        self.config = config
        self.phases = config.phases
        self.numbers = [phase.number for phase in config.phases] + [overlap.number for overlap in config.overlaps]
        self.count = len(self.numbers)
        everyone = range(self.count)
        timing = {phase.number: phase.timing for phase in config.phases}
        overlaps = config.overlaps
        self.parents = [frozenset({phase.number}) for phase in config.phases] + [overlap.parents for overlap in overlaps]
        self.parent_indices = [[self.numbers.index(number) for number in overlap.parents] for overlap in overlaps]
        times = [timing[phase.number] for phase in config.phases]
        self.min_green = [t.min_green for t in times] + [min(timing[p].min_green for p in o.parents) for o in overlaps]
        self.yellow = [t.yellow_change for t in times] + [o.yellow_change for o in overlaps]
        self.red = [t.red_clearance for t in times] + [o.red_clearance for o in overlaps]
        self.walk = [t.walk for t in times] + [0] * len(overlaps)
        self.ped_clearance = [t.ped_clearance for t in times] + [0] * len(overlaps)
        self.conflicts = [[b for b in everyone if self._conflict(a, b)] for a in everyone]
        pairs = config.compatibility.yields
        self.yields = [[b for b in everyone if (self.numbers[a], self.numbers[b]) in pairs] for a in everyone]
        declared = {(item.ending, item.starting): item.time for item in config.intergreens}
        self.intergreen = [
            [declared.get((self.numbers[a], self.numbers[b]), self.yellow[a] + self.red[a]) for b in everyone] for a in everyone
        ]
        self.protected = [[bool(self.parents[a] & stage.protected) for a in everyone] for stage in config.stages]
        self.green = [[bool(self.parents[a] & stage.phases) for a in everyone] for stage in config.stages]
        self.only_permissive = [
            any(green[a] for green in self.green) and not any(protected[a] for protected in self.protected) for a in everyone
        ]
        self.service = [
            max(max(self.min_green[a], self.walk[a] + self.ped_clearance[a]) for a in everyone if green[a]) for green in self.green
        ]
        names = [stage.name for stage in config.stages]
        self.prohibited = {(names.index(a), names.index(b)) for a, b in config.prohibited_moves}
        self.max_green = {FREE: [t.max_green for t in times] + [sum(timing[p].max_green for p in o.parents) for o in overlaps]}
        for pattern in config.patterns:
            entries = [(self.green[names.index(name)], split) for name, split in zip(pattern.sequence, pattern.splits, strict=True)]
            self.max_green[pattern.number] = [
                _longest_run([split if green[a] else 0 for green, split in entries]) or self.max_green[FREE][a] for a in everyone
            ]
        self.locking = [any(d.locking and phase.number in d.phases for d in config.detectors) for phase in config.phases]

    def _conflict(self, a: int, b: int) -> bool:
        pairs = self.config.compatibility.conflicts
        first, second = self.numbers[a], self.numbers[b]
        if (first, second) in pairs or (second, first) in pairs:
            return True
        if a == b or self.parents[a] & self.parents[b]:
            return False
        return all((p, q) in pairs or (q, p) in pairs for p in self.parents[a] for q in self.parents[b])

    def begin(self, now: Tenths, lamps: Sequence[PhaseState], stage: int) -> None:
        """Start to watch a signal that comes out of all red into a stage."""
        self.now, self.lamps, self.stage, self.moving, self.pattern = now, tuple(lamps), stage, False, FREE
        self.began = [now] * self.count
        self.ended = [NEVER] * self.count
        self.permissive_end = [False] * self.count
        self.walked = [NEVER] * self.count
        self.grace = [NEVER] * self.count
        self.called_out = [False] * self.count
        self.calls: dict[int, Tenths] = {}
        self.ped_calls: dict[int, Tenths] = {}
        self._check_claim()
        self._check_together()

    def place(self, vehicles: int, pedestrians: int, discharged: int) -> None:
        """Take in what detectors say at the instant last seen: masks over the phases in the order of the configuration."""
        for at, phase in enumerate(self.phases):
            lamp = self.lamps[at]
            detected = phase.vehicle and bool(vehicles >> at & 1 or phase.min_recall)
            left = self.only_permissive[at] and discharged >> at & 1
            if left:
                kept = self.calls.pop(at, None) is not None and detected
            else:
                kept = self.calls.get(at) is not None and (detected or self.locking[at])
            if not kept and at in self.calls:
                del self.calls[at]
            if (detected or kept) and at not in self.calls and not (lamp.interval is Interval.GREEN and lamp.protected):
                self.calls[at] = self.now
            pressed = pedestrians >> at & 1 or (phase.ped_recall and lamp.interval is not Interval.GREEN)
            if phase.pedestrian and pressed and at not in self.ped_calls and lamp.pedestrian is not PedInterval.WALK:
                self.ped_calls[at] = self.now

    def see(self, now: Tenths, lamps: Sequence[PhaseState], stage: int, *, moving: bool, pattern: int) -> None:
        """Look at all lamps.

        Args:
            now: the instant, in tenths of a second; nothing changed since the last one seen until just now.
            lamps: what each group shows, phases first, then overlaps.
            stage: the stage that the cabinet says is running, or is being left.
            moving: whether it says that it is being left.
            pattern: the pattern that the cabinet says it runs by.
        """
        if now < self.now:
            raise BrokenPromise(f"time runs backwards, from {self.now} to {now}")
        self.now = now
        self._check_waits()
        self._check_max_green()
        before, self.lamps = self.lamps, tuple(lamps)
        starting = []
        if any(old[:4] != new[:4] for old, new in zip(before, self.lamps, strict=True)):
            for at, (old, new) in enumerate(zip(before, self.lamps, strict=True)):
                if old.interval is not new.interval:
                    self._check_interval(at, old, new)
                if new.interval is Interval.GREEN and (old.interval is not Interval.GREEN or (new.protected and not old.protected)):
                    starting.append(at)
                if old.protected and new.interval is Interval.GREEN and not new.protected:
                    self._check_loss(at)
                if old.pedestrian is not new.pedestrian:
                    self._check_pedestrians(at, old.pedestrian, new.pedestrian)
                elif new.pedestrian is not PedInterval.DONT_WALK and new.interval is not Interval.GREEN:
                    self._fail(at, "pedestrians walk without a green")
        self._follow(stage, moving=moving, pattern=pattern)
        self._serve()
        for at in starting:
            self._check_start(at)
        self._check_claim()
        self._check_together()

    def check_calls(self) -> None:
        """Compare the calls that the signal reports with those that were placed and not yet served."""
        for at, lamp in enumerate(self.lamps):
            if lamp.call_since != self.calls.get(at, NEVER):
                self._fail(at, f"reports a call since {lamp.call_since} instead of {self.calls.get(at, NEVER)}")
            if lamp.ped_call_since != self.ped_calls.get(at, NEVER):
                self._fail(at, f"reports a pedestrian call since {lamp.ped_call_since} instead of {self.ped_calls.get(at, NEVER)}")

    def _fail(self, at: int, words: str) -> None:
        raise BrokenPromise(f"at {self.now}: group {self.numbers[at]} {words}")

    def _check_waits(self) -> None:
        """No call waits beyond its maximum. One that only ever is permissive waits from the end of its last green on."""
        for at, since in self.calls.items():
            if self.only_permissive[at] and self.lamps[at].interval is Interval.GREEN:
                continue
            waits_since = max(since, self.ended[at]) if self.only_permissive[at] else since
            if self.now - waits_since > self.phases[at].timing.max_wait:
                self._fail(at, f"has waited since {waits_since}, maximum {self.phases[at].timing.max_wait}")
        for at, since in self.ped_calls.items():
            if self.now - since > self.phases[at].timing.ped_max_wait:
                self._fail(at, f"has let pedestrians wait since {since}, maximum {self.phases[at].timing.ped_max_wait}")

    def _conflicting_call(self, at: int) -> Tenths | None:
        calls = [
            max(self.calls[other], self.ended[other]) if self.only_permissive[other] else self.calls[other]
            for other in self.conflicts[at]
            if other in self.calls and not (self.only_permissive[other] and self.lamps[other].interval is Interval.GREEN)
        ]
        calls += [self.ped_calls[other] for other in self.conflicts[at] if other in self.ped_calls]
        return min(calls, default=None)

    def _green_until(self, at: int, pattern: int) -> Tenths | None:
        since = self._conflicting_call(at)
        return None if since is None else max(since, self.began[at]) + self.max_green[pattern][at]

    def _check_max_green(self) -> None:
        if not self.calls and not self.ped_calls:
            return
        for at, lamp in enumerate(self.lamps):
            if lamp.interval is Interval.GREEN:
                until = self._green_until(at, self.pattern)
                if until is not None and self.now > max(until, self.grace[at]):
                    self._fail(at, f"is green since {self.began[at]}, beyond {until}")

    def _check_interval(self, at: int, old: PhaseState, new: PhaseState) -> None:
        if new.interval not in AFTER[old.interval]:
            self._fail(at, f"goes from {old.interval.value} to {new.interval.value}")
        if new.since != self.now:
            self._fail(at, f"says that its {new.interval.value} began at {new.since}")
        if old.interval is Interval.GREEN:
            if self.now - self.began[at] < self.min_green[at]:
                self._fail(at, f"was green for {self.now - self.began[at]}, less than its minimum")
            if self.walked[at] != NEVER and self.now - self.walked[at] < self.walk[at] + self.ped_clearance[at]:
                self._fail(at, "ends while pedestrians walk")
            self.ended[at], self.permissive_end[at], self.walked[at] = self.now, not old.protected, NEVER
            self.called_out[at] = self._conflicting_call(at) is not None
        if old.interval is Interval.YELLOW_CHANGE and self.now - self.ended[at] != self.yellow[at]:
            self._fail(at, f"showed yellow for {self.now - self.ended[at]} instead of {self.yellow[at]}")
        if old.interval is Interval.GREEN and self.yellow[at] and new.interval is not Interval.YELLOW_CHANGE:
            self._fail(at, "ended its green without a yellow")
        if new.interval in (Interval.RED, Interval.GREEN) and old.interval is not Interval.RED:
            gone = self.now - self.ended[at]
            if gone < self.yellow[at] + self.red[at]:
                self._fail(at, f"cleared for {gone}, less than yellow change and red clearance")
        if new.interval is Interval.GREEN:
            self.began[at], self.grace[at] = self.now, NEVER

    def _check_pedestrians(self, at: int, old: PedInterval, new: PedInterval) -> None:
        if new is PedInterval.WALK:
            over = self.walked[at] != NEVER and self.now - self.walked[at] >= self.walk[at] + self.ped_clearance[at]
            if old is not PedInterval.DONT_WALK and not over:
                self._fail(at, "begins to walk before the last pedestrian clearance is over")
            if self.lamps[at].interval is not Interval.GREEN:
                self._fail(at, "walks without a green")
            self.walked[at] = self.now
        elif new is PedInterval.PED_CLEARANCE:
            if old is not PedInterval.WALK or self.now - self.walked[at] != self.walk[at]:
                self._fail(at, "cuts or stretches its walk")
        elif old is not PedInterval.PED_CLEARANCE or (
            self.walked[at] != NEVER and self.now - self.walked[at] != self.walk[at] + self.ped_clearance[at]
        ):
            self._fail(at, "cuts or stretches its pedestrian clearance")

    def _check_start(self, at: int) -> None:
        """A green, or a green that becomes protected, begins when all conflicting greens are over for their intergreen."""
        for other in self.conflicts[at]:
            if self.lamps[other].interval is Interval.GREEN or self.ended[other] == NEVER:
                continue
            gone = self.now - self.ended[other]
            if gone < self.intergreen[other][at]:
                self._fail(at, f"starts {gone} after {self.numbers[other]}, intergreen {self.intergreen[other][at]}")

    def _check_loss(self, at: int) -> None:
        """A green that was protected ends before a conflicting one begins, and does not merely begin to give way."""
        for other in self.conflicts[at]:
            if self.lamps[other].interval is Interval.GREEN:
                self._fail(at, f"loses its protection to {self.numbers[other]} without an end of its green")

    def _serve(self) -> None:
        for at, lamp in enumerate(self.lamps):
            if lamp.protected:
                self.calls.pop(at, None)
            if lamp.pedestrian is PedInterval.WALK and self.walked[at] == self.now:
                self.ped_calls.pop(at, None)

    def _follow(self, stage: int, *, moving: bool, pattern: int) -> None:
        """Follow the stages as the cabinet tells them, and its pattern."""
        if stage != self.stage:
            if (self.stage, stage) in self.prohibited:
                raise BrokenPromise(f"at {self.now}: went straight from stage {self.stage} to {stage}")
            self._check_continued(self.stage, stage)
        if pattern != self.pattern:
            # A shorter bound may be over already when it comes in: then the green ends as soon as the stage can be left.
            for at, lamp in enumerate(self.lamps):
                if lamp.interval is Interval.GREEN:
                    until = self._green_until(at, self.pattern)
                    leaving = self.now + self.service[stage]
                    self.grace[at] = leaving if until is None else min(max(until, self.grace[at]), leaving)
        self.stage, self.moving, self.pattern = stage, moving, pattern

    def _check_continued(self, source: int, target: int) -> None:
        """A green that both stages hold goes on, unless its maximum, a yellow trap or a loss of protection stopped it."""
        for at in range(self.count):
            if not (self.green[source][at] and self.green[target][at]) or self.began[at] != self.now:
                continue
            family = [at] + [len(self.phases) + child for child, indices in enumerate(self.parent_indices) if at in indices]
            if not any(self._may_stop(member, source, target) for member in family):
                self._fail(at, f"was stopped and started again between stages {source} and {target} without need")

    def _may_stop(self, at: int, source: int, target: int) -> bool:
        loses = self.protected[source][at] and not self.protected[target][at]
        given_way = any(
            at in self.yields[other] and self.green[source][other] and not self.protected[source][other] for other in range(self.count)
        )
        return loses or given_way or self.called_out[at]

    def _check_claim(self) -> None:
        """What the cabinet says of its stage is what the lamps show."""
        for at, lamp in enumerate(self.lamps):
            green = lamp.interval is Interval.GREEN
            if green and not self.green[self.stage][at]:
                self._fail(at, f"is green outside its stages (stage {self.stage})")
            if green and lamp.protected != self.protected[self.stage][at]:
                self._fail(at, f"tells protected and permissive wrongly in stage {self.stage}")
            if not self.moving and self.green[self.stage][at] and not green:
                self._fail(at, f"is not green in stage {self.stage}")
            if lamp.protected and not green:
                self._fail(at, "is protected without a green")
        for child, indices in enumerate(self.parent_indices, len(self.phases)):
            if any(self.lamps[at].interval is Interval.GREEN for at in indices) and self.lamps[child].interval is not Interval.GREEN:
                self._fail(child, "is not green with its parent")

    def _check_together(self) -> None:
        """No two conflicting groups are green or yellow at once, but where a permissive one gives way; and no yellow trap."""
        lit = [at for at, lamp in enumerate(self.lamps) if lamp.interval in LIT]
        for at in lit:
            for other in self.conflicts[at]:
                if other < at or self.lamps[other].interval not in LIT:
                    continue
                if not (self._gives_way(at, other) or self._gives_way(other, at)):
                    self._fail(at, f"and {self.numbers[other]} conflict and are green or yellow at once")
        for at in lit:
            if self.lamps[at].interval is Interval.YELLOW_CHANGE and self.permissive_end[at]:
                for other in self.yields[at]:
                    if self.lamps[other].interval is Interval.GREEN and self.lamps[other].since < self.ended[at]:
                        self._fail(at, f"sees yellow while {self.numbers[other]}, to which it gives way, stays green: yellow trap")

    def _gives_way(self, at: int, other: int) -> bool:
        lamp = self.lamps[at]
        permissive = self.permissive_end[at] if lamp.interval is Interval.YELLOW_CHANGE else not lamp.protected
        return permissive and other in self.yields[at] and self.green[self.stage][at] and self.green[self.stage][other]


def _longest_run(splits: Iterable[Tenths]) -> Tenths:
    """Find the largest sum of neighbouring splits above zero, the last and the first being neighbours too."""
    row = list(splits)
    if all(row):
        return sum(row)
    best = run = 0
    for split in row + row:
        run = run + split if split else 0
        best = max(best, run)
    return best
