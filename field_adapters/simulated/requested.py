"""What a simulated cabinet is that follows requests: a signal, a gate of its own, a watchdog, and hands at the cabinet.

`RequestedSignal` is timed by the same `machine` as everywhere; whatever is requested, its own `review` against its own configuration
decides. It follows a request until its watchdog runs out, and then runs its own plan. It stands on a street as a `SimulatedCabinet`, and
faults can be ordered at it. How requests come in and what is told outside is for its heirs.

What it does not imitate: delays, lamps, and detectors (whoever owns the street reports them).
"""

from abc import ABC, abstractmethod
from typing import assert_never

from field_adapters.modbus_map import CabinetFault, DetectorFault, DetectorValue, Refusal
from field_adapters.modbus_profile import LARGEST_WORD, Mode
from field_adapters.simulated import orders
from field_adapters.simulated.standing import StartUp, after_flash, after_power, all_red
from intersection import machine
from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind, Readings, empty_readings
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import FixedTime
from intersection.shield import Amended, Granted, Proposal, Reason, Refused, review
from intersection.state import FOREVER, FREE, NEVER, NO_STAGE, Display, IntersectionState, PhaseState

SECOND: Tenths = 10

DETECTOR_FREE = DetectorValue(occupied_now=False, count=0, occupied=0, since=LARGEST_WORD)
"""A detector on which no vehicle has ever stood."""


class RequestedSignal(ABC):
    """The cabinet without its wire."""

    def __init__(
        self,
        config: IntersectionConfig,
        *,
        watchdog: Tenths = 50,
        own_pattern: int = FREE,
        stage: int = 0,
        now: Tenths = 0,
    ) -> None:
        """Start up in a stage, running its own plan.

        Args:
            config: the signal that the cabinet controls.
            watchdog: how long it follows a request that is not renewed, in tenths of a second.
            own_pattern: the plan that it runs by itself; FREE leaves it to calls and bounds.
            stage: the stage in which it starts.
            now: the instant of the start, in tenths of a second.
        """
        self.config, self.tables = config, config.tables
        self.watchdog, self.own_pattern = watchdog, own_pattern
        self.faults: set[CabinetFault] = set()
        self._plans = {pattern.number: FixedTime(config, pattern.number) for pattern in config.patterns}
        self._readings = empty_readings(config.detectors)
        self.detectors: list[DetectorValue | DetectorFault]
        self._boot = 0
        self._locked_out = False
        self._by_hand = False
        self._preempt: int | None = None
        self._stopped = False
        self._starting: StartUp | None = None
        self._refuses = self._ignores = self._another_writes = False
        self.state = machine.start(self.tables, stage, now)
        self.restart(stage)

    # --- what the technician and the street do -------------------------------------------------------------------------------------
    def restart(self, stage: int = 0) -> None:
        """Lose power and start anew: nothing that was requested before holds."""
        self._boot = self._boot % LARGEST_WORD + 1
        self._born = self.state.now
        self._let_go(Mode.RELEASED)
        self._forget()
        self._starting = None
        self.detectors = [DETECTOR_FREE] * len(self.config.detectors)
        self.state = machine.start(self.tables, stage, self.state.now)
        if CabinetFault.CONFLICT_MONITOR in self.faults or CabinetFault.LAMP in self.faults:  # neither ends with a new start
            self.state = machine.show(self.state, Display.DARK if CabinetFault.LAMP in self.faults else Display.FLASH)

    @abstractmethod
    def _forget(self) -> None:
        """Forget what is told outside of requests."""

    def set_local(self, local: bool) -> None:
        """Turn the key that locks remote requests out: they end at once, and are refused while it is turned."""
        self._locked_out = local
        if local:
            self._let_go(Mode.RELEASED)

    def show(self, display: Display) -> None:
        """Go to flash or dark, or from there through a start-up back to normal."""
        if display is Display.NORMAL:
            self._starting = after_flash(self.state.now)
        else:
            self._starting = None
            self.state = machine.show(self.state, display)
            self._let_go(Mode.RELEASED)

    def place_calls(self, vehicles: int, pedestrians: int = 0, discharged: int = 0) -> None:
        """Take in calls, as masks of groups (see `machine.place_calls`)."""
        self.state = machine.place_calls(self.state, self.tables, vehicles, pedestrians, discharged)

    def order(self, order: orders.CabinetOrder) -> orders.UnsupportedOrder | None:  # noqa: C901, PLR0912  # one line for each order
        """Carry an order out at once, or say why not."""
        match order:
            case orders.FreezeStatus(on):
                self._freeze(on=on)
            case orders.Reboot():
                self.restart()
                if self.state.display is Display.NORMAL:
                    self.show(Display.FLASH)
                    self._starting = after_power(self.state.now)
            case orders.RefuseRequests(on):
                self._refuses = on
            case orders.IgnoreRequests(on):
                self._ignores = on
                self._wanted = NO_STAGE
            case orders.Flash(on):
                if CabinetFault.CONFLICT_MONITOR not in self.faults:
                    self.show(Display.FLASH if on else Display.NORMAL)
            case orders.ConflictFlash():
                self.faults.add(CabinetFault.CONFLICT_MONITOR)
                self.show(Display.FLASH)
            case orders.ResetMonitor():
                self.faults.discard(CabinetFault.CONFLICT_MONITOR)
                self.show(Display.NORMAL)
            case orders.LampsDark(on):
                self._fault(CabinetFault.LAMP, on=on)
                self.show(Display.DARK if on else Display.NORMAL)
            case orders.Preempt(on, number):
                self._fault(CabinetFault.PREEMPT, on=on)
                self._preempt = (number - 1) % len(self.tables.stages) if on else None
            case orders.Police(on) | orders.Manual(on):
                self._fault(CabinetFault.MANUAL, on=on)
                self._by_hand = on
            case orders.LockOut(on):
                self.set_local(on)
            case orders.StopTime(on):
                self._fault(CabinetFault.STOP_TIME, on=on)
                self._stopped = on
            case orders.AnotherWriter(on):
                self._another_writes = on
            case orders.ChangeIdentity(number):
                self._change_identity(number)
            case orders.JumpClock():
                return orders.UnsupportedOrder("it tells no time of day")
            case orders.SetBackupTime():
                return orders.UnsupportedOrder("its watchdog's time is fixed")
            case orders.EditTiming() | orders.ChangeSequence():
                return orders.UnsupportedOrder("its database cannot be edited while it runs")
            case _:
                assert_never(order)
        self._decide()
        return None

    def _fault(self, fault: CabinetFault, *, on: bool) -> None:
        """Begin or end something that goes before every request."""
        if on:
            self.faults.add(fault)
            self._let_go(Mode.RELEASED)
        else:
            self.faults.discard(fault)

    @abstractmethod
    def _freeze(self, *, on: bool) -> None:
        """Tell outside what stands now, and nothing newer, or tell the truth again."""

    @abstractmethod
    def _change_identity(self, number: int) -> None:
        """Be another cabinet to those outside."""

    @abstractmethod
    def _write_as_another(self) -> None:
        """Ask for another stage, as somebody else would who can write."""

    # --- as a simulated cabinet ----------------------------------------------------------------------------------------------------
    @property
    def now(self) -> Tenths:
        """The cabinet's time, in tenths of a second."""
        return self.state.now

    @property
    def following(self) -> Mode:
        """What it follows: a stage or a plan that was asked for, or its own plan."""
        return self._mode

    def sense(self, readings: Readings, elapsed: Tenths) -> None:
        """See `SimulatedCabinet`. Totals run on, so that a poll that is lost loses no vehicle."""
        self.detectors = [
            _detected(before, readings, at, elapsed, is_button=detector.kind is DetectorKind.PUSH_BUTTON)
            for at, (before, detector) in enumerate(zip(self.detectors, self.config.detectors, strict=True))
        ]
        self.place_calls(readings.vehicles, readings.pedestrians, readings.discharged)

    def next_change(self) -> Tenths:
        """See `SimulatedCabinet`. While it follows a request or a plan of its own, that may be any tenth."""
        if self._starting is not None:
            return min(mark for mark in (*self._starting, self.state.now + 1) if mark > self.state.now)
        return FOREVER if self._stopped or self.state.display is not Display.NORMAL else self.state.now + 1

    def indications(self) -> dict[int, PhaseState]:
        """See `SimulatedCabinet`."""
        if self._starting is not None and self.state.now >= self._starting.red:
            return all_red(self.tables)
        return {group.number: shown for group, shown in zip(self.tables.groups, machine.phase_states(self.state, self.tables), strict=True)}

    def advance(self, now: Tenths) -> None:
        """Let time pass until an instant, in tenths of a second. Raises ValueError where it would run backwards."""
        if now < self.state.now:
            raise ValueError(f"time runs forward: from {self.state.now} to {now} tenths of a second")
        if self._stopped:
            self.state = _later(self.state, now - self.state.now)
            return
        while self.state.now < now:
            step = self.state.now + 1 if self._is_waiting() else self.state.now // SECOND * SECOND + SECOND
            marks = (step, now, self.state.arrives, self._until, FOREVER if self._starting is None else self._starting.ends)
            self._pass(min(mark for mark in marks if mark > self.state.now))
            if self._follows() and self._until <= self.state.now:
                self._let_go(Mode.EXPIRED)
            if self._another_writes and self.state.now % SECOND == 0:
                self._write_as_another()
            self._decide()

    def _follows(self) -> bool:
        """Whether a request is being carried out."""
        return self._mode in (Mode.STAGE, Mode.PLAN)

    def _is_waiting(self) -> bool:
        """Whether a requested stage may begin at any tenth of a second, as soon as the gate allows it."""
        return self._wanted != NO_STAGE and self.state.target == NO_STAGE

    def _pass(self, until: Tenths) -> None:
        """Let time pass."""
        if self.state.display is Display.NORMAL:
            self.state = machine.advance(self.state, None, until, self.tables)
            return
        self.state = self.state._replace(now=until)
        if self._starting is not None and self._starting.ends <= until:
            self._starting = None
            self.state = machine.start(self.tables, 0, until)

    def _decide(self) -> None:
        """Begin what is proposed now, as far as the device's own gate allows it: at the instant that is shown next, never before it."""
        if self.state.display is not Display.NORMAL or self._stopped:
            return
        proposal = self._proposal()
        verdict = None if proposal is None else review(proposal, self.state, self.tables)
        command = None if verdict is None or isinstance(verdict, Refused) else verdict.command
        heading = self.state.target
        if heading == NO_STAGE:
            heading = self.state.stage if command is None else command.stage
        if self._wanted == heading or (self._wanted == self.state.stage and self.state.target == NO_STAGE):
            self._wanted = NO_STAGE  # a request is for one arrival: what the gate does after it is not undone
        self.state = machine.advance(self.state, command, self.state.now, self.tables)

    def _proposal(self) -> Proposal | None:
        """Say what is to be done: a preemption, a request, a plan, or nothing but what runs."""
        if self._preempt is not None:
            return Proposal(stage=self._preempt)
        if self._by_hand:
            return None
        match self._mode:
            case Mode.STAGE:
                return None if self._wanted == NO_STAGE else Proposal(stage=self._wanted)
            case Mode.PLAN:
                plan = self._plans.get(self._plan)
            case Mode.RELEASED | Mode.EXPIRED | Mode.LOCAL:
                plan = self._plans.get(self.own_pattern)
            case _:
                assert_never(self._mode)
        return Proposal() if plan is None else plan.propose(Observation(self.state, self._readings))

    def _let_go(self, mode: Mode) -> None:
        self._mode, self._wanted, self._plan, self._until = mode, NO_STAGE, FREE, self.state.now

    def _next_stage(self) -> int:
        """Give a stage that another one would ask for: the first on the way to the next one."""
        return self.tables.next_hop[self.state.stage][(self.state.stage + 1) % len(self.tables.stages)]

    def objection(self, mode: Mode, number: int) -> Refusal | None:
        """Say why a stage, by its index, or a plan, by its number, is not followed now, or None."""
        if self._locked_out or self._by_hand or self._stopped or self._preempt is not None:
            return Refusal.LOCAL
        if self.state.display is not Display.NORMAL:
            return Refusal.FLASH
        if mode is Mode.PLAN:
            return None if number in self._plans else Refusal.UNKNOWN_PLAN
        verdict = review(Proposal(stage=number), self.state, self.tables)
        match verdict:
            case Refused() | Amended(reason=Reason.PROHIBITED_MOVE):
                return Refusal.CONFLICT
            case Granted() | Amended():
                return None
            case _:
                assert_never(verdict)

    def wind_up(self, hold: Tenths) -> None:
        """Let the watchdog run anew, for its own time and at most so long."""
        self._until = self.state.now + min(self.watchdog, hold)

    def follow(self, mode: Mode, number: int) -> None:
        """Follow a stage, by its index, or a plan, by its number, from now on until the watchdog runs out."""
        self._mode = mode
        self._plan = number if mode is Mode.PLAN else FREE
        self._wanted = NO_STAGE if mode is Mode.PLAN or self._ignores else number
        self._decide()


def _detected(
    before: DetectorValue | DetectorFault, readings: Readings, at: int, elapsed: Tenths, *, is_button: bool
) -> DetectorValue | DetectorFault:
    """Add what a detector says now to its totals."""
    if not readings.valid[at]:
        return DetectorFault.OPEN_LOOP
    was = before if isinstance(before, DetectorValue) else DETECTOR_FREE
    count, share = float(readings.values[Channel.COUNT, at]), float(readings.values[Channel.OCCUPANCY, at])
    stood = elapsed * int(count > 0) if is_button else round(share * elapsed)
    on = count > 0 if is_button else elapsed > 0 and stood >= elapsed
    since = 0 if on else 1 if count > 0 or stood > 0 else min((was.since or 0) + elapsed, LARGEST_WORD)
    return DetectorValue(
        occupied_now=on,
        count=(was.count or 0) + round(count) & LARGEST_WORD,
        occupied=(was.occupied or 0) + stood & LARGEST_WORD,
        since=max(since, int(not on)),
    )


def _later(state: IntersectionState, by: Tenths) -> IntersectionState:
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
