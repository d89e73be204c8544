"""A cabinet behind a Modbus register map, whatever the vendor's profile: see docs/modbus-map.md.

A request is one block, written whole and answered in the status that is read next. The cabinet's watchdog is wound up by a newer decision
and by nothing else; where it runs out, the cabinet goes back to its own plan.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar, assert_never

from field_adapters import modbus_map as wire
from field_adapters._base import (
    Applied,
    Condition,
    DetectorTrouble,
    Failed,
    GoTo,
    Opened,
    PlanStep,
    Poll,
    Released,
    RunFlash,
    RunFree,
    RunPlan,
    Trouble,
    Wanted,
    Withheld,
)
from field_adapters.modbus_link import ModbusLink
from field_adapters.modbus_map import CabinetFault, Cause, Detectors, DetectorValue, Failure, Heartbeat, RegisterMap, RequestBlock, Status
from field_adapters.modbus_profile import LARGEST_WORD, Mode, Profile
from intersection.config import IntersectionConfig
from intersection.detection import DetectorKind, Readings
from intersection.measured import Report
from intersection.phase import Tenths
from intersection.sensed import sensed
from intersection.shield import Command
from intersection.state import FREE, NO_STAGE, Display, IntersectionState, Interval, PedInterval
from intersection.transition import Seen, Step, Transition, ask, follow

SLACK: Tenths = 20
"""What polling and messages may cost a change of stage on top of its times, in tenths of a second."""

SEEN_FOR: Tenths = 100
"""How long a restart, or another writer, is told after it was seen, in tenths of a second."""

_CONDITIONS: Mapping[CabinetFault, Condition] = {
    CabinetFault.CONFLICT_MONITOR: Condition.CONFLICT_FLASH,
    CabinetFault.LAMP: Condition.LAMP_POWER_LOST,
    CabinetFault.PREEMPT: Condition.PREEMPT,
    CabinetFault.STOP_TIME: Condition.STOP_TIME,
    CabinetFault.MANUAL: Condition.LOCAL_MANUAL,
}

_TROUBLES: Mapping[Cause, Trouble] = {
    Cause.TIMED_OUT: Trouble.LINK_LOST,
    Cause.DISCONNECTED: Trouble.LINK_LOST,
    Cause.EXCEPTION: Trouble.REQUEST_REFUSED,
    Cause.WRONG_CABINET: Trouble.IDENTITY_CHANGED,
}

T = TypeVar("T")


class _Totals(NamedTuple):
    """The detectors' running totals at one poll."""

    now: Tenths
    values: tuple[DetectorValue | wire.DetectorFault, ...]


class ModbusAdapter:
    """One cabinet on Modbus. See `FieldAdapter`."""

    def __init__(
        self, link: ModbusLink, config: IntersectionConfig, profile: Profile, *, identity: int = 0, hold: Tenths | None = None
    ) -> None:
        """Prepare to speak to a cabinet.

        Args:
            link: to the device.
            config: the signal that it controls.
            profile: the register map that it speaks.
            identity: the number of the database that was commissioned.
            hold: how long a stage may be held without another request, in tenths of a second; the map's longest by default.

        Raises:
            ConfigError: the map has no room for the signal.
        """
        self.config, self.tables = config, config.tables
        program = wire.Program.of(config.tables, detectors=len(config.detectors), identity=identity)
        self.map = RegisterMap(profile=profile, program=program)
        self.hold = profile.limits.max_hold if hold is None else hold
        self._link = link
        self._status: Status | None = None
        self._sequence: int | None = None
        self._beat: Heartbeat | None = None
        self._transition: Transition | None = None
        self._boot: int | None = None
        self._acknowledged: int | None = None
        self._told: dict[Condition, tuple[Tenths, str]] = {}
        self._totals: _Totals | None = None
        self._readings: Readings | None = None
        self._reported: dict[str, DetectorTrouble] = {}

    async def open(self, now: Tenths, deadline: float) -> Opened | Failed:
        """See `FieldAdapter`."""
        status = await self._within(deadline, self._read_status)
        if isinstance(status, Failure):
            if status.cause is Cause.WRONG_CABINET:
                return Opened(conditions={Condition.IDENTITY_CHANGED: status.detail})
            return _failed(status)
        self._boot, self._acknowledged = status.boot, status.acknowledged
        self._totals, self._beat, self._transition = None, None, None
        self._told.clear()
        return Opened(backup=None if status.watchdog is None else self.map.profile.limits.max_hold)

    async def read(self, now: Tenths, deadline: float, *, detectors: bool) -> Poll | Failed:
        """See `FieldAdapter`."""

        async def ask_all() -> tuple[Status, Detectors | None] | Failure:
            status = await self._read_status()
            found = await self._read_detectors() if detectors and isinstance(status, Status) else None
            if isinstance(status, Failure):
                return status
            return found if isinstance(found, Failure) else (status, found)

        answer = await self._within(deadline, ask_all)
        if isinstance(answer, Failure):
            return _failed(answer)
        status, found = answer
        self._note(status, now)
        over = now - self._totals.now if self._totals is not None else 0
        if found is not None:
            self._take(found, now)
        return Poll(
            report=self._report(status, now),
            readings=None if found is None else self._readings,
            over=over if found is not None else 0,
            reported=self._reported,
            conditions=self._conditions(status, now),
            requests=status.mode in (Mode.STAGE, Mode.PLAN),
            plan=status.plan or FREE if status.mode is not Mode.STAGE else FREE,
            plan_step=PlanStep.IN_STEP,
            backup_left=status.watchdog,
        )

    async def apply(self, wanted: Wanted, state: IntersectionState, now: Tenths, deadline: float) -> Applied | Withheld | Failed:
        """See `FieldAdapter`."""
        match wanted:
            case RunFlash():
                return Withheld("this map has no request for flash")
            case RunFree():
                released = Released() if self._lets_go() else await self.release(now, deadline)
                return Applied(Step.ARRIVED) if isinstance(released, Released) else released
            case GoTo(command, decided) | RunPlan(command, decided):
                if now - decided > self.map.profile.limits.freshness:
                    return Withheld(wire.Withheld.STALE.value)
            case _:
                assert_never(wanted)
        if self._is_new(command, decided):
            sent = await self._within(deadline, lambda: self._ask(isinstance(wanted, RunPlan), command, decided, now))
            if isinstance(sent, Withheld | Failed):
                return sent
            if isinstance(sent, Failure):
                return _failed(sent)
        return await self._followed(wanted, state, now, deadline)

    async def release(self, now: Tenths, deadline: float) -> Released | Failed:
        """See `FieldAdapter`."""
        self._beat = self._transition = None
        status = await self._within(deadline, lambda: self._let_go(now))
        if isinstance(status, Failure):
            return _failed(status)
        self._note(status, now)
        if status.mode in (Mode.STAGE, Mode.PLAN):
            return Failed(Trouble.REQUEST_LEFT_BEHIND, status.mode.value)
        return Released()

    def close(self) -> None:
        """See `FieldAdapter`."""
        self._link.close()

    # --- reading -----------------------------------------------------------------------------------------------------------------
    async def _within(self, deadline: float, ask_it: Callable[[], Awaitable[T | Failure]]) -> T | Failure:
        """Ask for something that has an answer when the deadline passes."""
        try:
            async with asyncio.timeout_at(deadline):
                return await ask_it()
        except TimeoutError:
            return Failure(Cause.TIMED_OUT, "within the tick")

    async def _read_status(self) -> Status | Failure:
        answers = [await self._link.read(block) for block in self.map.profile.status]
        return wire.decode_status(answers, self.map)

    async def _read_detectors(self) -> Detectors | Failure:
        answers = [await self._link.read(page) for page in self.map.pages]
        return wire.decode_detectors(answers, self.map)

    def _report(self, status: Status, now: Tenths) -> Report:
        shown, walks = status.vehicles, status.pedestrians or ()
        greens = _mask(interval is Interval.GREEN for interval in shown)
        yellows = _mask(interval is Interval.YELLOW_CHANGE for interval in shown)
        return Report(
            now=now,
            stage=self._stage(status, greens | yellows),
            greens=greens,
            yellows=yellows,
            walks=_mask(interval is PedInterval.WALK for interval in walks),
            ped_clears=_mask(interval is PedInterval.PED_CLEARANCE for interval in walks),
            ped_calls=status.ped_calls or 0,
            pattern=status.plan or FREE if status.mode is Mode.PLAN else FREE,
            display=status.display,
            target=NO_STAGE if status.target is None else status.target,
        )

    def _stage(self, status: Status, shown: int) -> int:
        """Find the stage that is on. Where the map tells stages by their greens, one that is being left is the last that was seen."""
        if status.stage is not None:
            return status.stage
        last = self._status.stage if self._status is not None else None
        if last is not None and not shown & ~self.tables.green[last]:
            return last
        return next((at for at, green in enumerate(self.tables.green) if not shown & ~green), NO_STAGE)

    def _take(self, found: Detectors, now: Tenths) -> None:
        """Make readings of totals; where there were none before, of nothing yet."""
        before = self._totals
        over = now - before.now if before is not None else 0
        counts, occupied, valid = [], [], []
        self._reported = {}
        for at, (detector, value) in enumerate(zip(self.config.detectors, found.values, strict=True)):
            was = before.values[at] if before is not None else None
            valid.append(isinstance(value, DetectorValue))
            if isinstance(value, wire.DetectorFault):
                self._reported[detector.id] = DetectorTrouble.__members__.get(value.name, DetectorTrouble.OTHER)
            count, stood = _since(was, value, over)
            counts.append(float(_is_on(value)) if detector.kind is DetectorKind.PUSH_BUTTON else count)
            occupied.append(stood)
        self._readings = sensed(self.config, counts, occupied, valid, over=over, before=self._readings)
        self._totals = _Totals(now, found.values)

    def _note(self, status: Status, now: Tenths) -> None:
        """Keep a status, and what it tells that the next will not."""
        if status.boot != self._boot:
            self._told[Condition.REBOOTED] = (now, f"start {status.boot}")
            self._boot, self._acknowledged, self._totals, self._beat = status.boot, status.acknowledged, None, None
        elif status.acknowledged not in (self._acknowledged, self._sequence):
            self._told[Condition.ANOTHER_WRITER] = (now, f"sequence {status.acknowledged}")
            self._acknowledged = status.acknowledged
        stage = self._stage(status, _mask(interval in (Interval.GREEN, Interval.YELLOW_CHANGE) for interval in status.vehicles))
        self._status = status if status.stage is not None or stage == NO_STAGE else _with_stage(status, stage)

    def _conditions(self, status: Status, now: Tenths) -> dict[Condition, str]:
        found = {_CONDITIONS[fault]: "" for fault in status.faults if fault in _CONDITIONS}
        if status.mode is Mode.LOCAL and Condition.LOCAL_MANUAL not in found:
            found[Condition.LOCAL_LOCK_OUT] = ""
        if status.mode is Mode.EXPIRED and self._beat is not None:
            found[Condition.BACKUP_EXPIRED] = ""
        if status.display is Display.FLASH and Condition.CONFLICT_FLASH not in found:
            found[Condition.FLASH] = ""
        if status.display is Display.DARK:
            found[Condition.LAMP_POWER_LOST] = ""
        self._told = {condition: told for condition, told in self._told.items() if now - told[0] < SEEN_FOR}
        return found | {condition: words for condition, (_, words) in self._told.items()}

    # --- asking ------------------------------------------------------------------------------------------------------------------
    def _is_new(self, command: Command, decided: Tenths) -> bool:
        return self._beat is None or decided > self._beat.decided or command != self._beat.command

    def _lets_go(self) -> bool:
        return self._status is not None and self._status.mode not in (Mode.STAGE, Mode.PLAN)

    async def _ask(self, plan: bool, command: Command, decided: Tenths, now: Tenths) -> Status | Withheld | Failed | Failure:
        """Write a request, and read what the cabinet makes of it."""
        before = self._beat
        if before is None:
            heart = 1 if self._status is None or self._status.heartbeat is None else self._status.heartbeat + 1
            beat = Heartbeat(command, decided, heart)
        elif decided > before.decided:
            beat = before.then(command, decided)
        else:  # the gate has acted by itself: that is no decision, and winds nothing up
            beat = Heartbeat(command, before.decided, before.count)
        request = wire.RunPlan(beat, self.hold) if plan else wire.GoTo(beat, self.hold)
        block = wire.compose(request, to=self.map, seen=self._status, sequence=self._next(), now=now)
        if isinstance(block, wire.Withheld):
            return Withheld(block.value)
        self._beat = beat
        return await self._write(block)

    def _next(self) -> int:
        last = self._sequence
        if last is None or self._status is None or (self._status.acknowledged or 0) == 0:
            last = (self._status.acknowledged if self._status is not None else None) or last or 0
        return wire.next_sequence(last)

    async def _write(self, block: RequestBlock) -> Status | Failed | Failure:
        self._sequence = block.sequence
        written = await self._link.write(block)
        if isinstance(written, Failure):
            self._beat = None
            return written
        status = await self._read_status()
        if isinstance(status, Failure):
            return status
        match wire.acknowledgement(block, status):
            case wire.Accepted():
                self._acknowledged = status.acknowledged
                self._status = _with_stage(status, self._stage(status, 0)) if status.stage is None else status
                return status
            case wire.Refused(reason):
                self._beat = None
                return Failed(Trouble.REQUEST_REFUSED, reason.words)
            case wire.Pending():
                self._beat = None
                return Failed(Trouble.REQUEST_NOT_ECHOED, "the cabinet has said nothing of it")
            case wire.Overtaken() | wire.Rebooted():  # the next poll tells of it
                self._beat = None
                return status
            case unknown:
                assert_never(unknown)

    async def _let_go(self, now: Tenths) -> Status | Failure:
        block = wire.compose(wire.Release(), to=self.map, seen=self._status, sequence=self._next(), now=now)
        if isinstance(block, wire.Withheld):  # pragma: no cover  # a release needs nothing that could be missing
            return Failure(Cause.EXCEPTION, block.value)
        self._sequence = block.sequence
        written = await self._link.write(block)
        return written if isinstance(written, Failure) else await self._read_status()

    async def _followed(self, wanted: GoTo | RunPlan, state: IntersectionState, now: Tenths, deadline: float) -> Applied | Failed:
        """Say how far the change of stage has come, and let go of one that did not come about."""
        if isinstance(wanted, RunPlan):
            self._transition = None
            return Applied(Step.ARRIVED)
        target = wanted.command.stage
        if self._transition is None or self._transition.target != target:
            if state.stage == target and state.target in (NO_STAGE, target):
                self._transition = None
                return Applied(Step.ARRIVED)
            self._transition = ask(state, target, wanted.command.clear, self.tables, SLACK)
            return Applied(self._transition.step)
        report = self._report(self._status, now) if self._status is not None else None
        greens, yellows = (report.greens, report.yellows) if report is not None else (0, 0)
        self._transition = follow(self._transition, Seen(now, greens, yellows))
        step = self._transition.step
        if step is Step.MISSED:
            released = await self.release(now, deadline)
            return released if isinstance(released, Failed) else Applied(step)
        if step is Step.ARRIVED:
            self._transition = None
        return Applied(step)


def _failed(failure: Failure) -> Failed:
    return Failed(_TROUBLES.get(failure.cause, Trouble.REPLY_GARBLED), failure.detail or failure.cause.value)


def _mask(bits: Iterable[bool]) -> int:
    return sum(1 << at for at, bit in enumerate(bits) if bit)


def _with_stage(status: Status, stage: int) -> Status:
    return replace(status, stage=None if stage == NO_STAGE else stage)


def _is_on(value: DetectorValue | wire.DetectorFault | None) -> bool:
    return isinstance(value, DetectorValue) and value.occupied_now


def _since(
    was: DetectorValue | wire.DetectorFault | None, value: DetectorValue | wire.DetectorFault, over: Tenths
) -> tuple[float, Tenths]:
    """Tell how many vehicles have passed a loop since the totals before, and how long one stood there, in tenths of a second.

    A map without totals tells only whether a vehicle is there now: one that was not there at the last poll is counted.
    """
    if isinstance(value, wire.DetectorFault) or not isinstance(was, DetectorValue):
        return 0.0, 0
    if value.count is None or was.count is None:
        return float(value.occupied_now and not was.occupied_now), over if value.occupied_now else 0
    stood = over if value.occupied is None or was.occupied is None else (value.occupied - was.occupied) & LARGEST_WORD
    return float((value.count - was.count) & LARGEST_WORD), min(stood, over)
