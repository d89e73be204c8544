"""A simulated NTCIP 1202 actuated controller on a street: calls, requests by phase, patterns, flash, preemption, and its backup time.

What runs is timed by `intersection.machine`, and its own gate, by its own configuration, is its conflict protection. Ten times a second it
looks at its calls and at what was requested; a request acts at the instant at which it comes in. What it says on the wire is
`field_adapters.simulated.ntcip_store`.

What it does not imitate: added initial, red revert, simultaneous gap, phases of more than two rings, and the delays of a real controller.
"""

from dataclasses import dataclass, field, replace
from typing import assert_never

from field_adapters.ntcip_objects import FLASH, FREE
from field_adapters.ntcip_program import Method, NtcipProgram
from field_adapters.simulated import orders
from field_adapters.simulated.ntcip_rings import Demand, Requests, following
from intersection import machine
from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind, Readings, empty_readings
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import FixedTime
from intersection.sensed import LOOPS
from intersection.shield import Proposal, Refused, review
from intersection.state import FOREVER, NEVER, NO_STAGE, Display, IntersectionState, PhaseState
from intersection.tables import bits

SECOND: Tenths = 10
REPORT: Tenths = 10
"""What a volume and occupancy report covers, in tenths of a second."""

NOTHING = Requests()


@dataclass(slots=True)
class Trouble:
    """What was ordered to be wrong with it."""

    police: bool = False
    manual: bool = False
    locked_out: bool = False
    stopped: bool = False
    preempt: int | None = None
    """The number of the preemption that runs."""

    monitor: bool = False
    """Whether the conflict monitor has tripped."""

    flash: bool = False
    dark: bool = False
    refuses: bool = False
    ignores: bool = False
    another_writes: bool = False
    sequence_changed: bool = False
    edited: dict[int, Tenths] = field(default_factory=dict)
    """Minimum greens that were edited at the keyboard, by phase: reported, not timed."""


@dataclass(slots=True)
class Report:
    """What loops have counted in the last whole period."""

    sequence: int = 0
    volumes: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    """Occupied shares of the period, 0 to 1."""

    valid: list[bool] = field(default_factory=list)


class NtcipController:
    """The cabinet: its signal, its requests, and its backup timer."""

    def __init__(
        self,
        config: IntersectionConfig,
        program: NtcipProgram,
        *,
        backup: Tenths = 50,
        own_pattern: int = 0,
        passage: Tenths = 30,
        stage: int = 0,
        now: Tenths = 0,
        wall: float = 0.0,
        identity: int = 0,
    ) -> None:
        """Start up in a stage, running its own plan.

        Args:
            config: the signal that it controls.
            program: how it stands in phases, rings and overlaps.
            backup: after what time without a request it goes back to its own plan, in tenths of a second; 0: never.
            own_pattern: the pattern of its own time-of-day plan; 0: free.
            passage: how long a vehicle extends a green, in tenths of a second.
            stage: the stage in which it starts.
            now: the instant of the start, in tenths of a second.
            wall: its clock's time then, in seconds since 1970 UTC.
            identity: a number that its description names.
        """
        self.config, self.tables, self.program = config, config.tables, program
        self.backup, self.own_pattern, self.passage, self.identity = backup, own_pattern, passage, identity
        self.wall_at_zero = wall - now / 10
        self.requests = NOTHING
        self.pattern = 0
        """systemPatternControl as it was written."""

        self.in_backup = False
        self.trouble = Trouble()
        self.report = Report(
            volumes=[0] * len(config.detectors), shares=[0.0] * len(config.detectors), valid=[True] * len(config.detectors)
        )
        self.active: list[bool] = [False] * len(config.detectors)
        self.born = now
        self.written_at = now
        self._vehicles = self._waiting_walkers = self._discharged = 0
        self._seen: dict[int, Tenths] = {}
        self._called_since: dict[int, Tenths] = {}
        self._called: tuple[Tenths, ...] = (NEVER,) * self.tables.size
        """Since when a vehicle has waited at each group, omitted or not."""

        self._plans = {pattern.number: FixedTime(config, pattern.number) for pattern in config.patterns}
        self._readings = empty_readings(config.detectors)
        self._counted: list[float] = [0.0] * len(config.detectors)
        self._stood: list[Tenths] = [0] * len(config.detectors)
        self._reported_at = now
        self.state = machine.start(self.tables, stage, now)

    # --- as a simulated cabinet ----------------------------------------------------------------------------------------------------
    @property
    def now(self) -> Tenths:
        """The cabinet's time, in tenths of a second."""
        return self.state.now

    def sense(self, readings: Readings, elapsed: Tenths) -> None:
        """See `SimulatedCabinet`."""
        self._vehicles, self._discharged = readings.vehicles, readings.discharged
        walking = machine.lamps(self.state, self.tables).walks
        self._waiting_walkers |= readings.pedestrians & self.tables.pedestrians & ~walking
        for at, detector in enumerate(self.config.detectors):
            count, share = float(readings.values[Channel.COUNT, at]), float(readings.values[Channel.OCCUPANCY, at])
            is_button = detector.kind is DetectorKind.PUSH_BUTTON
            self.active[at] = count > 0 if is_button else elapsed > 0 and share >= 1.0
            self._counted[at] += count
            self._stood[at] += round(share * elapsed)
            self.report.valid[at] = bool(readings.valid[at])
        if self.now - self._reported_at >= REPORT:
            self._publish()
        self._scan(self.now)

    def advance(self, until: Tenths) -> None:
        """See `SimulatedCabinet`."""
        if until < self.now:
            raise ValueError(f"time runs forward: from {self.now} to {until} tenths of a second")
        while self.now < until:
            if self.trouble.stopped:
                self.state = later(self.state, 1)
            else:
                self._scan(self.now + 1)
            self._keep_time()

    def next_change(self) -> Tenths:
        """See `SimulatedCabinet`: with calls coming and going, that may be the next scan."""
        return FOREVER if self.trouble.stopped or self.state.display is not Display.NORMAL else self.now + 1

    def indications(self) -> dict[int, PhaseState]:
        """See `SimulatedCabinet`."""
        return {group.number: shown for group, shown in zip(self.tables.groups, machine.phase_states(self.state, self.tables), strict=True)}

    # --- what is requested ---------------------------------------------------------------------------------------------------------
    def request(self, requests: Requests, pattern: int) -> None:
        """Take in what was written to the control objects; it acts at once, and winds the backup timer up."""
        self.requests, self.pattern = requests, pattern
        self.written_at, self.in_backup = self.now, False
        if pattern == FLASH and not self.trouble.ignores:
            self.show(Display.FLASH)
        elif self.state.display is Display.FLASH and not (self.trouble.flash or self.trouble.monitor):
            self.show(Display.NORMAL)
        if not self.trouble.stopped:
            self._scan(self.now)

    def show(self, display: Display) -> None:
        """Go to flash or dark, or from there through a start-up back to normal."""
        if display is not Display.NORMAL:
            self.state = machine.show(self.state, display)
        elif self.state.display is not Display.NORMAL:
            self.state = machine.start(self.tables, 0, self.now)

    @property
    def is_free(self) -> bool:
        """Whether it serves calls by its rings, and no pattern."""
        return self.running_pattern == 0

    @property
    def running_pattern(self) -> int:
        """The pattern that it runs; 0 where it is free."""
        if self.pattern == FREE or self.trouble.preempt is not None:
            return 0
        asked = self.pattern if self.pattern in self._plans else 0
        return asked or (self.own_pattern if self.own_pattern in self._plans else 0)

    @property
    def phases_on(self) -> frozenset[int]:
        """The phases of the stage that runs, or is being left."""
        return self.program.stages[self.state.stage]

    def groups_of(self, phase: int) -> int:
        """The groups that a phase drives, as a mask."""
        return self._groups[phase]

    @property
    def _groups(self) -> dict[int, int]:
        masks = dict.fromkeys(self.program.phases, 0)
        for stage, green in zip(self.program.stages, self.tables.green, strict=True):
            for phase in stage:
                driven = [
                    at
                    for at in bits(green)
                    if self.program.method is Method.STAGES
                    or self.program.outputs[at].number == phase
                    or (at >= len(self.tables.phases) and phase in self.program.overlaps[self.program.outputs[at].number - 1])
                ]
                masks[phase] |= sum(1 << at for at in driven)
        return masks

    def vehicle_calls(self) -> frozenset[int]:
        """The phases at which a vehicle waits, by detector, recall or request; omitted ones too."""
        waiting = (self._vehicles | self.tables.vehicle_recall) & self.tables.vehicles & ~self.state_greens()
        own = {self._serving(group) for group in bits(waiting)}
        return frozenset(own | (self.effective.veh_call - self.phases_on if self.state.target == NO_STAGE else self.effective.veh_call))

    def ped_calls(self) -> frozenset[int]:
        """The phases at which a pedestrian waits; omitted ones too."""
        return frozenset(self._serving_walk(group) for group in bits(self._walkers()))

    def state_greens(self) -> int:
        """The groups that are green and protected, as a mask."""
        return self.tables.protected[self.state.stage] & ~self.state.clearing

    @property
    def effective(self) -> Requests:
        """The requests that it heeds."""
        return NOTHING if self.trouble.ignores or self.trouble.locked_out or not self.is_free else self.requests

    # --- scans ---------------------------------------------------------------------------------------------------------------------
    def _scan(self, until: Tenths) -> None:
        """Choose what is next, have the gate look at it, and let time pass."""
        state = self.state
        if state.display is not Display.NORMAL:
            self.state = state._replace(now=until)
            return
        before, state = state, self._with_calls(state)
        proposal = self._proposal(state)
        verdict = review(proposal, state, self.tables) if proposal is not None else None
        command = None if verdict is None or isinstance(verdict, Refused) else verdict.command
        self._discharged = 0
        self.state = machine.advance(state, command, until, self.tables)
        self._after(before)

    def _proposal(self, state: IntersectionState) -> Proposal | None:
        if self.trouble.manual or self.trouble.police:
            return None
        if self.trouble.preempt is not None:
            return Proposal(stage=(self.trouble.preempt - 1) % len(self.tables.stages))
        if state.target != NO_STAGE:
            return None
        plan = self._plans.get(self.running_pattern)
        if plan is not None:
            return plan.propose(Observation(state, self._readings)) if state.now % SECOND == 0 else None
        goal = following(self._demand(state), self.program)
        return None if goal is None else Proposal(stage=goal)

    def _with_calls(self, state: IntersectionState) -> IntersectionState:
        """Submit the calls of the phases that are not omitted, and of none while what runs is held.

        A walk begins in a green that has time for it before all who wait, omitted or not: the cabinet keeps its own maximum waits.
        """
        requests = self.effective
        open_phases = self.program.phases - requests.omit
        held = bool(requests.hold & self.phases_on) and state.target == NO_STAGE
        walkers = 0
        for group in bits(self._walkers()):
            phase = self._serving_walk(group)
            if phase in open_phases - requests.ped_omit and (phase in self.phases_on or not held):
                walkers |= 1 << group
        everybody = _with_waiting(state, self._called, state.ped_called)
        everybody = machine.take_calls(everybody, self.tables, self._vehicles, 0, self._discharged)
        self._called = everybody.called
        walkers_since = tuple(
            (since if since != NEVER else state.now) if walkers >> group & 1 else NEVER for group, since in enumerate(state.ped_called)
        )
        walking = machine.place_calls(_with_waiting(everybody, everybody.called, walkers_since), self.tables, self._vehicles)
        submitted = tuple(
            since if since != NEVER and not held and self._serving(group) in open_phases else NEVER
            for group, since in enumerate(walking.called)
        )
        return _with_waiting(walking, submitted, walking.ped_called)

    def _walkers(self) -> int:
        """The groups at which a pedestrian waits: by button, recall or request."""
        asked = sum(self.groups_of(phase) & self.tables.pedestrians for phase in self.effective.ped_call)
        recalled = self.tables.ped_recall & ~(self.tables.green[self.state.stage] & ~self.state.clearing)
        return (self._waiting_walkers | asked | recalled) & ~machine.lamps(self.state, self.tables).walks

    def _serving(self, group: int) -> int:
        """The phase that serves a group's vehicles: the one that drives it, or the stage that must serve its call."""
        if self.program.method is Method.STAGES:
            return self.tables.rescue[group] + 1
        return next(phase for phase, mask in self._groups.items() if mask >> group & 1)

    def _serving_walk(self, group: int) -> int:
        if self.program.method is Method.STAGES:
            return self.tables.rescue[self.tables.size + group] + 1
        return next(phase for phase, mask in self._groups.items() if mask >> group & 1)

    def _demand(self, state: IntersectionState) -> Demand:
        requests = self.effective
        submitted = {self._serving(group) for group in bits(state.calls)} | {self._serving_walk(group) for group in bits(state.ped_calls)}
        called = frozenset(submitted | requests.veh_call | requests.ped_call) - requests.omit - self.phases_on
        self._called_since = {phase: self._called_since.get(phase, state.now) for phase in called}
        return Demand(on=self.phases_on, called=called, over=self._over(state, bool(called)), requests=requests)

    def _over(self, state: IntersectionState, called: bool) -> frozenset[int]:
        """Find the phases that have gapped out, or maxed out since the first conflicting call."""
        over = set()
        for phase in self.phases_on:
            groups = self._groups[phase]
            for group in bits(groups & self._vehicles):
                self._seen[group] = state.now
            seen = max((self._seen.get(group, NEVER) for group in bits(groups)), default=NEVER)
            began = max((state.began[group] for group in bits(groups) if state.began[group] != NEVER), default=state.now)
            since = max(began, min(self._called_since.values(), default=state.now))
            longest = 10 * self.program.times[phase].max_green
            if called and (state.now - max(seen, began) >= self.passage or state.now - since >= longest):
                over.add(phase)
        return frozenset(over)

    def _after(self, before: IntersectionState) -> None:
        """Clear the force-offs whose greens have ended, and the walkers who walk."""
        ended = {phase for phase in self.requests.force_off if not self.groups_of(phase) & self._greens()}
        if ended:
            self.requests = replace(self.requests, force_off=self.requests.force_off - ended)
        for group in bits(self.tables.pedestrians):
            if NEVER != self.state.walked[group] != before.walked[group]:
                self._waiting_walkers &= ~(1 << group)

    def _greens(self) -> int:
        return self.tables.green[self.state.stage] & ~self.state.clearing

    def _keep_time(self) -> None:
        """Let the backup timer run out, and somebody else write."""
        if self.trouble.another_writes and self.now % SECOND == 0:
            self.request(replace(self.requests, veh_call=self.requests.veh_call ^ {min(self.program.phases)}), self.pattern)
        standing = self.requests != NOTHING or self.pattern != 0
        if self.backup and standing and self.now - self.written_at >= self.backup:
            self.requests, self.pattern, self.in_backup = NOTHING, 0, True
            if not (self.trouble.flash or self.trouble.monitor or self.trouble.dark):
                self.show(Display.NORMAL)

    def _publish(self) -> None:
        over = self.now - self._reported_at
        self.report.sequence = (self.report.sequence + 1) % 256
        self.report.volumes = [min(254, round(count)) for count in self._counted]
        self.report.shares = [min(1.0, stood / over) for stood in self._stood]
        self._counted = [0.0] * len(self._counted)
        self._stood = [0] * len(self._stood)
        self._reported_at = self.now

    # --- faults --------------------------------------------------------------------------------------------------------------------
    def reboot(self) -> None:
        """Lose power and start anew: nothing that was requested before holds, and the time since the start begins again."""
        self.requests, self.pattern, self.in_backup, self.born = NOTHING, 0, False, self.now
        self.state = machine.start(self.tables, 0, self.now)

    def order(self, order: orders.CabinetOrder) -> orders.UnsupportedOrder | None:  # noqa: C901, PLR0912  # one line for each order
        """Carry an order out at once, or say why not."""
        trouble = self.trouble
        match order:
            case orders.FreezeStatus():
                return orders.UnsupportedOrder("its store freezes, not the controller")
            case orders.Reboot():
                self.reboot()
            case orders.JumpClock(seconds):
                self.wall_at_zero += seconds
            case orders.RefuseRequests(on):
                trouble.refuses = on
            case orders.IgnoreRequests(on):
                trouble.ignores = on
            case orders.Flash(on):
                trouble.flash = on
                self.show(Display.FLASH if on else Display.NORMAL)
            case orders.ConflictFlash():
                trouble.monitor = True
                self.show(Display.FLASH)
            case orders.ResetMonitor():
                trouble.monitor = False
                self.show(Display.NORMAL)
            case orders.LampsDark(on):
                trouble.dark = on
                self.show(Display.DARK if on else Display.NORMAL)
            case orders.Preempt(on, number):
                trouble.preempt = number if on else None
            case orders.Police(on):
                trouble.police = on
            case orders.Manual(on):
                trouble.manual = on
            case orders.LockOut(on):
                trouble.locked_out = on
            case orders.StopTime(on):
                trouble.stopped = on
            case orders.AnotherWriter(on):
                trouble.another_writes = on
            case orders.SetBackupTime(tenths):
                self.backup = tenths
            case orders.ChangeIdentity(number):
                self.identity = number
            case orders.EditTiming(phase, min_green):
                trouble.edited[phase] = min_green
            case orders.ChangeSequence(on):
                trouble.sequence_changed = on
            case _:
                assert_never(order)
        return None

    def loops(self) -> list[tuple[int, int]]:
        """List the loops: their number on the wire, and their place in the configuration."""
        places = {detector.id: at for at, detector in enumerate(self.config.detectors) if detector.kind in LOOPS}
        return [(number, places[name]) for name, number in self.program.detectors.items()]

    def buttons(self) -> list[tuple[int, int]]:
        """List the push buttons: their number on the wire, and their place in the configuration."""
        places = {detector.id: at for at, detector in enumerate(self.config.detectors)}
        return [(number, places[name]) for name, number in self.program.buttons.items()]


def _with_waiting(state: IntersectionState, called: tuple[Tenths, ...], ped_called: tuple[Tenths, ...]) -> IntersectionState:
    """Let exactly these vehicle and pedestrian calls stand, each since its instant."""
    waiting = [since for since in (*called, *ped_called) if since != NEVER]
    return state._replace(
        called=called,
        ped_called=ped_called,
        calls=sum(1 << group for group, since in enumerate(called) if since != NEVER),
        ped_calls=sum(1 << group for group, since in enumerate(ped_called) if since != NEVER),
        oldest=min(waiting, default=FOREVER),
    )


def later(state: IntersectionState, by: Tenths) -> IntersectionState:
    """Let time pass that does not count: every instant moves along with it."""

    def moved(instant: Tenths) -> Tenths:
        return instant if instant in (NEVER, FOREVER) else instant + by

    def all_moved(instants: tuple[Tenths, ...]) -> tuple[Tenths, ...]:
        return tuple(map(moved, instants))

    return state._replace(
        now=state.now + by,
        arrived=moved(state.arrived),
        left=moved(state.left),
        arrives=moved(state.arrives),
        began=all_moved(state.began),
        ended=all_moved(state.ended),
        called=all_moved(state.called),
        ped_called=all_moved(state.ped_called),
        walked=all_moved(state.walked),
        oldest=moved(state.oldest),
    )
