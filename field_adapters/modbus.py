"""A cabinet behind a Modbus register map, whatever the vendor's profile: see docs/modbus-map.md.

A request is one block, written whole and answered in the status that is read next. The cabinet's watchdog is wound up by a newer decision
and by nothing else; where it runs out, the cabinet goes back to its own plan.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar, assert_never

from field_adapters import modbus_map as wire
from field_adapters._base import (
    Applied,
    Condition,
    Failed,
    GoTo,
    Opened,
    Poll,
    Released,
    RunFlash,
    RunFree,
    RunPlan,
    Trouble,
    Wanted,
    Withheld,
)
from field_adapters._conditions import Pulse, Told, standing
from field_adapters._following import Following
from field_adapters._totals import Taken, take
from field_adapters.modbus_link import ModbusLink
from field_adapters.modbus_map import Cause, Detectors, Failure, Heartbeat, RegisterMap, RequestBlock, Status
from field_adapters.modbus_profile import Mode, Profile
from intersection.config import IntersectionConfig
from intersection.measured import Report
from intersection.phase import Tenths
from intersection.shield import Command
from intersection.state import FREE, NO_STAGE, IntersectionState, Interval, PedInterval
from intersection.transition import Step

_TROUBLES: Mapping[Cause, Trouble] = {
    Cause.TIMED_OUT: Trouble.LINK_LOST,
    Cause.DISCONNECTED: Trouble.LINK_LOST,
    Cause.EXCEPTION: Trouble.REQUEST_REFUSED,
    Cause.WRONG_CABINET: Trouble.IDENTITY_CHANGED,
}

T = TypeVar("T")


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
        self._tells_stage = any("stage" in block.fields for block in profile.status)
        self._tells_expiry = Mode.EXPIRED in profile.status_modes.values()
        self._link = link
        self._closed = False
        self._following = Following(self.tables)
        self._status: Status | None = None
        self._report: Report | None = None
        self._pulse = Pulse()
        self._sequence = 0
        """The last sequence that was written."""

        self._ours: set[int] = set()
        """The sequences that were written and may yet be acknowledged."""

        self._acknowledged: int | None = None
        self._boot: int | None = None
        self._untold = False
        """Whether it has started anew and no poll has told so: while we let go, nobody polls."""

        self._beat: Heartbeat | None = None
        self._asked: tuple[int, int] | None = None
        """Mode and groups of the request that stands, as an echo tells them; None where none of ours does."""

        self._told = Told()
        self._taken: Taken | None = None

    async def open(self, now: Tenths, deadline: float) -> Opened | Failed:
        """See `FieldAdapter`."""
        status = await self._within(deadline, self._read_status)
        if isinstance(status, Failure):
            if status.cause is Cause.WRONG_CABINET:
                return Opened(conditions={Condition.IDENTITY_CHANGED: status.detail})
            return _failed(status)
        rebooted = self._untold or self._boot not in (None, status.boot)
        if rebooted:
            self._ours.clear()
        self._boot, self._acknowledged = status.boot, status.acknowledged
        self._taken = self._beat = self._asked = None
        self._told.forget()
        if rebooted:
            self._told.see(Condition.REBOOTED, f"start {status.boot}", now)
        self._pulse = Pulse()
        self._following.forget()
        self._keep(status, now)
        notes = () if status.watchdog is not None else ("the map does not tell what is left of the watchdog's time",)
        return Opened(notes=notes, backup=None if status.watchdog is None else self.hold)

    async def read(self, now: Tenths, deadline: float, *, detectors: bool) -> Poll | Failed:
        """See `FieldAdapter`."""

        async def ask_all() -> tuple[Status, Detectors | None] | Failure:
            status = await self._read_status()
            if isinstance(status, Failure) or not detectors:
                return status if isinstance(status, Failure) else (status, None)
            found = await self._read_detectors()
            return found if isinstance(found, Failure) else (status, found)

        answer = await self._within(deadline, ask_all)
        if isinstance(answer, Failure):
            return _failed(answer)
        status, found = answer
        if not self._pulse.beats(status.clock, now):
            return Failed(Trouble.LINK_LOST, "the cabinet answers, but its clock stands still")
        self._note(status, now)
        report = self._keep(status, now)
        if found is not None:
            self._taken = take(self.config, found.values, now, self._taken)
        taken, self._untold = self._taken, False
        return Poll(
            report=report,
            readings=taken.readings if taken is not None and found is not None else None,
            over=taken.over if taken is not None and found is not None else 0,
            reported=taken.reported if taken is not None else {},
            conditions=self._conditions(status, now),
            requests=status.mode in (Mode.STAGE, Mode.PLAN),
            plan=FREE if status.mode is Mode.STAGE else status.plan or FREE,
            backup_left=status.watchdog,
        )

    async def apply(self, wanted: Wanted, state: IntersectionState, now: Tenths, deadline: float) -> Applied | Withheld | Failed:
        """See `FieldAdapter`."""
        match wanted:
            case RunFlash():
                return Withheld("this map has no request for flash")
            case RunFree():
                return await self._run_free(now, deadline)
            case GoTo(command, decided) | RunPlan(command, decided):
                if now - decided > self.map.profile.limits.freshness:
                    return Withheld(wire.Withheld.STALE.value)
            case _:
                assert_never(wanted)
        is_plan = isinstance(wanted, RunPlan)
        if self._is_new(is_plan, command, decided):
            sent = await self._within(deadline, lambda: self._ask(is_plan, command, decided, now))
            if isinstance(sent, Failure):
                return _failed(sent)
            if isinstance(sent, Withheld | Failed):
                return sent
        if is_plan or self._report is None:
            self._following.forget()
            return Applied(Step.ARRIVED)
        step = self._following.step(command, state, self._report)
        if step is Step.MISSED:
            released = await self.release(now, deadline)
            return released if isinstance(released, Failed) else Applied(step)
        return Applied(step)

    async def release(self, now: Tenths, deadline: float) -> Released | Failed:
        """See `FieldAdapter`."""
        self._following.forget()
        self._asked = None
        status = await self._within(deadline, lambda: self._let_go(now))
        if isinstance(status, Failure):
            return _failed(status)
        self._note(status, now)
        self._keep(status, now)
        if status.mode in (Mode.STAGE, Mode.PLAN):
            return Failed(Trouble.REQUEST_LEFT_BEHIND, f"its mode is {status.mode.value}")
        return Released()

    def close(self) -> None:
        """See `FieldAdapter`."""
        self._closed = True
        self._link.close()

    # --- reading -----------------------------------------------------------------------------------------------------------------
    async def _within(self, deadline: float, ask_it: Callable[[], Awaitable[T | Failure]]) -> T | Failure:
        """Ask for something that has an answer when the deadline passes; past it nothing is asked."""
        if self._closed:
            return Failure(Cause.DISCONNECTED, "the link is closed")
        if asyncio.get_running_loop().time() >= deadline:
            return Failure(Cause.TIMED_OUT, "there was no time left to ask")
        try:
            async with asyncio.timeout_at(deadline):
                return await ask_it()
        except TimeoutError:
            return Failure(Cause.TIMED_OUT, "not within the tick")

    async def _read_status(self) -> Status | Failure:
        answers = [await self._link.read(block) for block in self.map.profile.status]
        return wire.decode_status(answers, self.map)

    async def _read_detectors(self) -> Detectors | Failure:
        answers = [await self._link.read(page) for page in self.map.pages]
        return wire.decode_detectors(answers, self.map)

    def _keep(self, status: Status, now: Tenths) -> Report:
        """Keep the newest status, and say what it shows."""
        walks = status.pedestrians or ()
        greens = _mask(interval is Interval.GREEN for interval in status.vehicles)
        yellows = _mask(interval is Interval.YELLOW_CHANGE for interval in status.vehicles)
        report = Report(
            now=now,
            stage=self._stage(status, greens, yellows),
            greens=greens,
            yellows=yellows,
            walks=_mask(interval is PedInterval.WALK for interval in walks),
            ped_clears=_mask(interval is PedInterval.PED_CLEARANCE for interval in walks),
            ped_calls=status.ped_calls or 0,
            pattern=status.plan or FREE if status.mode is Mode.PLAN else FREE,
            display=status.display,
            target=NO_STAGE if status.target is None else status.target,
        )
        self._status, self._report = status, report
        return report

    def _stage(self, status: Status, greens: int, yellows: int) -> int:
        """Find the stage that is on. Where the map tells stages by their greens, one that is being left is the last that was seen."""
        if self._tells_stage:
            return NO_STAGE if status.stage is None else status.stage
        stages, shown = self.tables.green, greens | yellows
        if not yellows and greens in stages:
            return stages.index(greens)
        last = self._report.stage if self._report is not None else NO_STAGE
        if last != NO_STAGE and not shown & ~stages[last]:
            return last
        return next((at for at, green in enumerate(stages) if not shown & ~green), NO_STAGE)

    def _note(self, status: Status, now: Tenths) -> None:
        """Keep what a status tells that the next will not."""
        if status.boot != self._boot:
            self._told.see(Condition.REBOOTED, f"start {status.boot}", now)
            self._untold = True
            self._taken = self._asked = None
            self._ours.clear()
        elif status.acknowledged is not None and status.acknowledged != self._acknowledged and status.acknowledged not in self._ours:
            self._told.see(Condition.ANOTHER_WRITER, f"sequence {status.acknowledged} is not ours", now)
        elif status.echo is not None and self._asked is not None and status.echo != self._asked:
            self._told.see(Condition.ANOTHER_WRITER, f"groups {status.echo[1]:#x} are not what we asked for", now)
        if status.acknowledged != self._acknowledged:
            self._ours = {sequence for sequence in self._ours if wire.is_newer(sequence, status.acknowledged or 0)}
        self._boot, self._acknowledged = status.boot, status.acknowledged

    def _conditions(self, status: Status, now: Tenths) -> dict[Condition, str]:
        let_go = status.mode is Mode.EXPIRED or (status.mode is Mode.RELEASED and not self._tells_expiry)
        found = standing(status.faults, status.display, locked_out=status.mode is Mode.LOCAL, expired=let_go and self._asked is not None)
        return found | self._told.standing(now)

    # --- asking ------------------------------------------------------------------------------------------------------------------
    def _is_new(self, is_plan: bool, command: Command, decided: Tenths) -> bool:
        """Whether something is to be written: nothing of ours stands, it is a newer decision, or the gate has acted by itself."""
        if self._asked is None or self._beat is None or decided > self._beat.decided:
            return True
        return command != self._beat.command or self._asked[0] != self.map.profile.request_modes.get(Mode.PLAN if is_plan else Mode.STAGE)

    async def _run_free(self, now: Tenths, deadline: float) -> Applied | Failed:
        """Run free, which is what the cabinet does by itself."""
        if self._asked is None and self._status is not None and self._status.mode not in (Mode.STAGE, Mode.PLAN):
            return Applied(Step.ARRIVED)
        released = await self.release(now, deadline)
        return released if isinstance(released, Failed) else Applied(Step.ARRIVED)

    async def _ask(self, is_plan: bool, command: Command, decided: Tenths, now: Tenths) -> Status | Withheld | Failed | Failure:
        """Write a request, and read what the cabinet makes of it."""
        before = self._beat
        if before is None:
            seen = 0 if self._status is None else self._status.heartbeat or 0
            beat = Heartbeat(command, decided, seen + 1)
        elif decided > before.decided:
            beat = before.then(command, decided)
        else:  # no newer decision: it winds nothing up that the last one has wound up already
            beat = Heartbeat(command, before.decided, before.count)
        request = wire.RunPlan(beat, self.hold) if is_plan else wire.GoTo(beat, self.hold)
        block = wire.compose(request, to=self.map, seen=self._status, sequence=self._next(), now=now)
        if isinstance(block, wire.Withheld):
            return Withheld(block.value)
        self._beat, self._asked = beat, None
        status = await self._write(block)
        if isinstance(status, Failure):
            return status
        return self._answered(block, status, now)

    def _answered(self, block: RequestBlock, status: Status, now: Tenths) -> Status | Failed:
        """Say what the cabinet has made of a request."""
        answer = wire.acknowledgement(block, status)
        self._note(status, now)
        self._keep(status, now)
        match answer:
            case wire.Accepted():
                self._asked = (self.map.profile.request_modes[block.mode], block.groups)
                return status
            case wire.Refused(reason):
                return Failed(Trouble.REQUEST_REFUSED, reason.words)
            case wire.Pending():
                return Failed(Trouble.REQUEST_NOT_ECHOED, "the cabinet has said nothing of it")
            case wire.Overtaken() | wire.Rebooted():
                return Failed(Trouble.REQUEST_NOT_ECHOED, "another request stands, or it has started anew")
            case _:
                assert_never(answer)

    def _next(self) -> int:
        """Number the next request: after all of ours, and after what the cabinet has accepted."""
        accepted = 0 if self._status is None else self._status.acknowledged or 0
        return wire.next_sequence(accepted if wire.is_newer(accepted, self._sequence) else self._sequence)

    async def _write(self, block: RequestBlock) -> Status | Failure:
        self._sequence = block.sequence
        self._ours.add(block.sequence)
        written = await self._link.write(block)
        return written if isinstance(written, Failure) else await self._read_status()

    async def _let_go(self, now: Tenths) -> Status | Failure:
        block = RequestBlock(map=self.map, request=wire.Release(), seen=self._status, sequence=self._next(), now=now)
        return await self._write(block)


def _failed(failure: Failure) -> Failed:
    return Failed(_TROUBLES.get(failure.cause, Trouble.REPLY_GARBLED), failure.detail or failure.cause.value)


def _mask(bits: Iterable[bool]) -> int:
    return sum(1 << at for at, bit in enumerate(bits) if bit)
