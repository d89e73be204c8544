"""A simulated NTCIP 1202 actuated controller on a street: calls, requests by phase, patterns, flash, preemption, and its backup time.

What runs is timed by `intersection.machine`, and its own gate, by its own configuration, is its conflict protection. Ten times a second it
looks at its calls and at what was requested; a request acts at the instant at which it comes in. What it says on the wire is
`field_adapters.simulated.ntcip_store`.

What it does not imitate: added initial, red revert, simultaneous gap, phases of more than two rings, and the delays of a real controller.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import assert_never

from field_adapters.ntcip_objects import FLASH, FREE
from field_adapters.ntcip_program import Method, NtcipProgram
from field_adapters.simulated import orders
from field_adapters.simulated.ntcip_reports import DetectorReports
from field_adapters.simulated.ntcip_rings import Demand, Requests, following
from field_adapters.simulated.standing import StartUp, after_flash, after_power, all_red, later, with_waiting
from intersection import machine
from intersection.config import IntersectionConfig
from intersection.detection import Readings, empty_readings
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import FixedTime
from intersection.shield import Proposal, Refused, review
from intersection.state import FOREVER, NEVER, NO_STAGE, Display, IntersectionState, PhaseState
from intersection.tables import bits

SECOND: Tenths = 10
NOTHING = Requests()

GAP_OUT, MAX_OUT, FORCED_OFF = 8, 16, 32
"""How a green ended, as the bits of ringStatus."""


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

        self.sync = 0
        """systemSyncControl as it was written."""

        self.preempts: frozenset[int] = frozenset()
        """The preemptions that were asked for over the wire."""

        self.in_backup = self.in_step = False
        self._starting: StartUp | None = None
        self.trouble = Trouble()
        self.report = DetectorReports(config, program, now)
        self.ended_by: dict[int, int] = {}
        """How the last green of each phase ended, as the bit of ringStatus: 8 gap out, 16 max out, 32 force-off."""

        self.born = now
        self.written_at = now
        self._vehicles = self._waiting_walkers = self._discharged = 0
        self._seen: dict[int, Tenths] = {}
        self._called_since: dict[int, Tenths] = {}
        self._called: tuple[Tenths, ...] = (NEVER,) * self.tables.size
        """Since when a vehicle has waited at each group, omitted or not."""

        self._plans = {pattern.number: FixedTime(config, pattern.number) for pattern in config.patterns}
        self._readings = empty_readings(config.detectors)
        self._over_by: dict[int, int] = {}
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
        self.report.take(readings, elapsed, self.now)
        self._scan()

    def advance(self, until: Tenths) -> None:
        """See `SimulatedCabinet`."""
        if until < self.now:
            raise ValueError(f"time runs forward: from {self.now} to {until} tenths of a second")
        while self.now < until:
            self._pass(self.now + 1)
            self._scan()
            self._keep_time()

    def next_change(self) -> Tenths:
        """See `SimulatedCabinet`: with calls coming and going, that may be the next scan."""
        if self._starting is not None:
            return self.now + 1
        return FOREVER if self.trouble.stopped or self.state.display is not Display.NORMAL else self.now + 1

    def indications(self) -> dict[int, PhaseState]:
        """See `SimulatedCabinet`."""
        if self._starting is not None and self.now >= self._starting.red:
            return all_red(self.tables)
        return {group.number: shown for group, shown in zip(self.tables.groups, machine.phase_states(self.state, self.tables), strict=True)}

    # --- what is requested ---------------------------------------------------------------------------------------------------------
    def request(self, requests: Requests, pattern: int, *, sync: int = 0, preempts: frozenset[int] = frozenset()) -> None:
        """Take in what was written to the control objects; it acts at once, and winds the backup timer up."""
        self.requests, self.pattern, self.sync, self.preempts = requests, pattern, sync, preempts
        self.written_at, self.in_backup = self.now, False
        self._light()
        self._scan()

    def _forget(self) -> None:
        """Zero whatever was requested."""
        self.requests, self.pattern, self.sync, self.preempts = NOTHING, 0, 0, frozenset()

    def _light(self) -> None:
        """Go to flash or dark where something asks for it, or from there through a start-up back to normal."""
        trouble, asked = self.trouble, self.pattern == FLASH and self._is_heard
        display = Display.DARK if trouble.dark else Display.FLASH if trouble.monitor or trouble.flash or asked else Display.NORMAL
        before = self.state
        if display is not Display.NORMAL:
            self._starting, self.state = None, machine.show(before, display)
        elif before.display is not Display.NORMAL and self._starting is None:
            self._starting = after_flash(self.now)
        elif self._starting is not None and self.now >= self._starting.ends:
            self._starting, self.state = None, machine.start(self.tables, 0, self.now)
        self._after(before)

    @property
    def _is_heard(self) -> bool:
        return not (self.trouble.ignores or self.trouble.locked_out)

    @property
    def preempting(self) -> int | None:
        """The number of the preemption that runs; the lowest of those asked for goes first."""
        return min(self.preempts, default=None) if self.trouble.preempt is None else self.trouble.preempt

    @property
    def is_free(self) -> bool:
        """Whether it serves calls by its rings, and no pattern."""
        return self.running_pattern == 0

    @property
    def running_pattern(self) -> int:
        """The pattern that it runs; 0 where it is free."""
        if self.pattern == FREE or self.preempting is not None:
            return 0
        asked = self.pattern if self.pattern in self._plans else 0
        return asked or (self.own_pattern if self.own_pattern in self._plans else 0)

    @property
    def phases_on(self) -> frozenset[int]:
        """The phases of the stage that runs, or is being left."""
        return self.program.stages[self.state.stage]

    @property
    def phases_green(self) -> frozenset[int]:
        """The phases that show green. One that the next stage keeps stays green meanwhile."""
        return self._green_in(self.state)

    def _green_in(self, state: IntersectionState) -> frozenset[int]:
        if state.display is not Display.NORMAL:
            return frozenset()
        on = self.program.stages[state.stage]
        return on if state.target == NO_STAGE else on & self.program.stages[state.target]

    def groups_of(self, phase: int) -> int:
        """The groups that a phase drives, as a mask."""
        return self._groups[phase]

    @cached_property
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

    @property
    def has_demand(self) -> bool:
        """Whether somebody calls a phase that does not run and may be served."""
        return bool(self._called_since)

    def options_of(self, phase: int) -> int:
        """Give the phaseOptions of a phase: enabled, with minimum and pedestrian recall where it has them."""
        vehicles = any(self._serving(group) == phase for group in bits(self.tables.vehicle_recall))
        walkers = any(self._serving_walk(group) == phase for group in bits(self.tables.ped_recall))
        return 1 + (vehicles << 6) + (walkers << 8)

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
        return self.requests if self._is_heard and self.is_free else NOTHING

    # --- scans ---------------------------------------------------------------------------------------------------------------------
    def _pass(self, until: Tenths) -> None:
        """Let time pass."""
        before = self.state
        if self.trouble.stopped:
            self.state = later(before, until - before.now)
        elif before.display is not Display.NORMAL:
            self.state = before._replace(now=until)
        else:
            self.state = machine.advance(before, None, until, self.tables)
        self._after(before)

    def _scan(self) -> None:
        """Choose what is next, have the gate look at it, and begin it now."""
        before = self.state
        if self.trouble.stopped or before.display is not Display.NORMAL:
            return
        self._over_by = {}
        state = self._with_calls(before)
        proposal = self._proposal(state)
        verdict = review(proposal, state, self.tables) if proposal is not None else None
        command = None if verdict is None or isinstance(verdict, Refused) else verdict.command
        self._discharged = 0
        self.state = machine.advance(state, command, state.now, self.tables)
        self._after(before)

    def _proposal(self, state: IntersectionState) -> Proposal | None:
        if self.trouble.manual or self.trouble.police:
            return None
        if self.preempting is not None:
            return Proposal(stage=(self.preempting - 1) % len(self.tables.stages))
        plan = self._plans.get(self.running_pattern)
        self.in_step = plan is not None and (self.in_step or _is_in_step(state, plan))
        if state.target != NO_STAGE:
            return None
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
        everybody = with_waiting(state, self._called, state.ped_called)
        everybody = machine.take_calls(everybody, self.tables, self._vehicles, 0, self._discharged)
        self._called = everybody.called
        walkers_since = tuple(
            (since if since != NEVER else state.now) if walkers >> group & 1 else NEVER for group, since in enumerate(state.ped_called)
        )
        walking = machine.place_calls(with_waiting(everybody, everybody.called, walkers_since), self.tables, self._vehicles)
        submitted = tuple(
            since if since != NEVER and not held and self._serving(group) in open_phases else NEVER
            for group, since in enumerate(walking.called)
        )
        return with_waiting(walking, submitted, walking.ped_called)

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
        vehicles = {self._serving(group) for group, since in enumerate(self._called) if since != NEVER}
        walkers = {self._serving_walk(group) for group in bits(self._walkers())} - requests.ped_omit
        called = frozenset(vehicles | walkers | requests.veh_call | requests.ped_call) - requests.omit - self.phases_on
        self._called_since = {phase: self._called_since.get(phase, state.now) for phase in called}
        return Demand(on=self.phases_on, called=called, over=self._over(state, bool(called)), requests=requests)

    def _over(self, state: IntersectionState, called: bool) -> frozenset[int]:
        """Find the phases that have gapped out, or maxed out since the first conflicting call."""
        self._over_by = {}
        for phase in self.phases_on:
            groups = self._groups[phase]
            for group in bits(groups & self._vehicles):
                self._seen[group] = state.now
            seen = max((self._seen.get(group, NEVER) for group in bits(groups)), default=NEVER)
            began = max((state.began[group] for group in bits(groups) if state.began[group] != NEVER), default=state.now)
            since = max(began, min(self._called_since.values(), default=state.now))
            if called and state.now - since >= SECOND * self.program.times[phase].max_green:
                self._over_by[phase] = MAX_OUT
            elif called and state.now - max(seen, began) >= self.passage:
                self._over_by[phase] = GAP_OUT
        return frozenset(self._over_by)

    def _after(self, before: IntersectionState) -> None:
        """Clear the force-offs whose greens have ended, and no others; and the walkers who walk."""
        ended = self._green_in(before) - self.phases_green
        if ended:
            forced = self.requests.force_off & ended
            otherwise = MAX_OUT if self.is_free and self.preempting is None else FORCED_OFF
            self.ended_by |= {phase: FORCED_OFF if phase in forced else self._over_by.get(phase, otherwise) for phase in ended}
            self.requests = replace(self.requests, force_off=self.requests.force_off - forced)
        for group in bits(self.tables.pedestrians):
            if NEVER != self.state.walked[group] != before.walked[group]:
                self._waiting_walkers &= ~(1 << group)

    def _keep_time(self) -> None:
        """Let the backup timer run out, somebody else write, and a start-up end."""
        if self._starting is not None:
            self._light()
        if self.trouble.another_writes and self.now % SECOND == 0:
            calls = self.requests.veh_call ^ {min(self.program.phases)}
            self.request(replace(self.requests, veh_call=calls), self.pattern, sync=self.sync, preempts=self.preempts)
        standing = self.requests != NOTHING or self.pattern or self.sync or self.preempts
        if self.backup and standing and self.now - self.written_at >= self.backup:
            self._forget()
            self.in_backup = True
            self._light()

    # --- faults --------------------------------------------------------------------------------------------------------------------
    def reboot(self) -> None:
        """Lose power and start anew: nothing that was requested before holds, and the time since the start begins again."""
        self._forget()
        self.in_backup, self.born = False, self.now
        self.state = machine.show(machine.start(self.tables, 0, self.now), Display.FLASH)
        self._starting = after_power(self.now)
        self._light()

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
            case orders.ConflictFlash():
                trouble.monitor = True
            case orders.ResetMonitor():
                trouble.monitor = False
            case orders.LampsDark(on):
                trouble.dark = on
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
        self._light()
        return None


def _is_in_step(state: IntersectionState, plan: FixedTime) -> bool:
    """Tell whether the stage that runs is the one at which the plan stands."""
    entry = plan.pattern.stage_at(plan.pattern.position(state.now - plan.reference))
    return state.target == NO_STAGE and state.stage == plan.stages[entry]
