"""A cabinet of NTCIP 1202, moved by omissions, calls and force-offs in free operation, or by its own patterns.

    GoTo          prepare -> settle -> force off, once -> follow until it has arrived -> zero what moved it, and dwell
    RunPlan ...   systemPatternControl, with every request by phase at zero

Each message is read back. What the cabinet holds and we did not write is told; so is a reboot. Its backup time is wound up by a new and
fresh decision alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias, assert_never

from field_adapters import ntcip_objects as mib
from field_adapters import ntcip_requests as ask_for
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
from field_adapters.ntcip_detectors import Passed, newer, passed, reports, sense, together
from field_adapters.ntcip_ledger import words
from field_adapters.ntcip_messages import Messages, Turn
from field_adapters.ntcip_objects import FLASH, FREE, Instance
from field_adapters.ntcip_program import NtcipProgram
from field_adapters.ntcip_requests import NOTHING, Requests
from field_adapters.ntcip_status import TRANSITION_CYCLES, Status, fast, missing, slow, status_of
from field_adapters.ntcip_survey import Bounds, Surveyed, described, questions, survey
from field_adapters.profiles.ntcip import NtcipProfile
from field_adapters.snmp import SnmpTransport, Values
from intersection.config import IntersectionConfig
from intersection.detection import Readings
from intersection.phase import Tenths
from intersection.state import NO_STAGE, Display, IntersectionState
from intersection.transition import Seen, Step, Transition, ask, follow

SLACK: Tenths = 20
"""What polling and messages may cost a change of stage on top of its times, in tenths of a second."""

SEEN_FOR: Tenths = 100
"""How long a restart, or another writer, is told after it was seen, in tenths of a second."""

FREEING: Tenths = 600
"""How long a cabinet may take to leave its pattern after it was told to run free, in tenths of a second."""

FROZEN: Tenths = 10
"""A cabinet whose time since its start has not moved for this long is not believed, in tenths of a second."""

DARK_FOR: Tenths = 100
"""How long no phase may be on, as after a start, before its lamps are taken to be dark, in tenths of a second."""

_WRAPS = 2**32 - 360_000
"""A sysUpTime above this may start anew by itself within an hour, in hundredths of a second."""


@dataclass(frozen=True, kw_only=True)
class NtcipOptions:
    """What is particular about one cabinet."""

    program: NtcipProgram
    profile: NtcipProfile

    settle: Tenths = 2
    """From a prepared change to its force-off, in tenths of a second: at least a scan of the cabinet and a poll."""

    freshness: Tenths = 15
    """An older decision is not sent, in tenths of a second."""

    backup_limit: Tenths = 600
    """The longest backup time with which anything is asked of it, in tenths of a second."""

    identity: str = ""
    """What its sysDescr must be; empty: whatever it is when it is first looked at."""

    flash: bool = False
    """Whether flash may be asked for."""


class _Change(NamedTuple):
    """A change of stage that was prepared."""

    target: int
    since: Tenths
    requests: Requests
    followed: Transition | None = None
    """Since its force-off was sent, or it began by itself."""


Done: TypeAlias = Applied | Withheld | Failed


class NtcipAdapter:
    """One cabinet on NTCIP 1202. See `FieldAdapter`."""

    def __init__(self, link: SnmpTransport, config: IntersectionConfig, options: NtcipOptions) -> None:
        """Prepare to speak to a cabinet.

        Args:
            link: to its agent.
            config: the signal that it controls.
            options: what is particular about it.
        """
        self.config, self.tables, self.options = config, config.tables, options
        self._cabinet, self._program = Messages(link), options.program
        self._identity = options.identity
        self._surveyed: Surveyed | None = None
        self._status: Status | None = None
        self._seldom: dict[Instance, int] = {}
        self._change: _Change | None = None
        self._lit: Tenths | None = None
        self._moved: tuple[int, Tenths] = (-1, 0)
        self._up_time: int | None = None
        """What it was at the last poll; kept while the link is lost, since a cabinet without power does not answer either."""

        self._told: dict[Condition, tuple[Tenths, str]] = {}
        self._sequence: int | None = None
        self._loops: Passed | None = None
        self._readings: Readings | None = None
        self._reported: Mapping[str, DetectorTrouble] = {}

    # --- looking -----------------------------------------------------------------------------------------------------------------
    async def open(self, now: Tenths, deadline: float) -> Opened | Failed:
        """See `FieldAdapter`."""
        values = await self._cabinet.get(questions(self._program, self.options.profile), deadline)
        if isinstance(values, Failed):
            return values
        found = survey(
            values, self._program, self.options.profile, Bounds(self.options.backup_limit, self._identity), before=self._surveyed
        )
        self._identity = self._identity or found.description
        self._surveyed = found
        self._status = self._change = self._sequence = self._loops = self._readings = None
        self._cabinet.ledger.forget()
        self._told.clear()
        self._seldom.clear()
        return Opened(conditions=found.conditions, notes=found.notes, backup=found.backup or None, identity=found.description)

    async def read(self, now: Tenths, deadline: float, *, detectors: bool) -> Poll | Failed:
        """See `FieldAdapter`."""
        if self._surveyed is None:
            return Failed(Trouble.LINK_LOST, "it has not been looked at")
        known = self._surveyed.known
        seldom = slow(self._program, known) if detectors else ()
        asked = (*fast(self._program, known), *seldom)
        values = await self._cabinet.get(asked, deadline)
        if isinstance(values, Failed):
            return values
        if gap := missing(values, asked):
            return Failed(Trouble.REPLY_GARBLED, gap)
        self._seldom |= {at: values.integers[at] for at in seldom}
        if self._stands_still(values.integers[mib.SYSTEM_UP_TIME.at()], now):
            return Failed(Trouble.REPLY_GARBLED, "its time has stood still")
        last = self._status.shown.stage if self._status is not None else NO_STAGE
        status = status_of(self._seldom | dict(values.integers), now, last, self._program, self.tables)
        self._note(status, values, now)
        if known.period:
            await self._count(values.integers[mib.VOLUME_OCCUPANCY_SEQUENCE.at()], known.period * 10, deadline)
        over, sensed = 0, None
        if detectors and self._loops is not None:
            over, sensed = self._loops.over, sense(self._loops, values, status, self.config, self._program, before=self._readings)
            (self._readings, self._reported), self._loops = sensed, None
        clock = values.integers.get(mib.GLOBAL_TIME.at())
        return Poll(
            report=status.shown,
            readings=None if sensed is None else sensed.readings,
            over=over,
            reported=self._reported,
            conditions=self._conditions(status, now),
            requests=status.requests != NOTHING,
            plan=status.plan,
            plan_step=status.plan_step,
            cycles_left=0 if status.plan_step is PlanStep.IN_STEP else TRANSITION_CYCLES,
            clock=None if clock is None else float(clock),
        )

    async def _count(self, sequence: int, period: Tenths, deadline: float) -> None:
        """Read the volumes and occupancies where there is a new report. One that is lost, or another by then, is left to the next poll."""
        if not newer(sequence, self._sequence):
            return
        number = mib.VOLUME_OCCUPANCY_SEQUENCE.at()
        parts: list[Values] = []
        for message in reports(self._program, self.options.profile.objects_per_message):
            part = await self._cabinet.get(message, deadline)
            if isinstance(part, Failed) or part.integers.get(number) != sequence:
                return
            parts.append(part)
        self._sequence = sequence
        self._loops = together(self._loops, passed(parts, self._program, period))

    def _stands_still(self, up_time: int, now: Tenths) -> bool:
        """Tell whether a cabinet says the same time for so long that it does not tell what is."""
        if up_time != self._moved[0]:
            self._moved = up_time, now
        return now - self._moved[1] >= FROZEN

    def _note(self, status: Status, values: Values, now: Tenths) -> None:
        """Keep what a poll tells that the next will not."""
        description = described(values)
        if description != self._identity:
            self._told[Condition.IDENTITY_CHANGED] = (now, description)
        self._status, self._cabinet.free, self._cabinet.greens = status, status.free, status.greens
        up_time, self._up_time = self._up_time, status.up_time
        if up_time is not None and status.up_time < up_time < _WRAPS:
            self._told[Condition.REBOOTED] = (now, "")
            self._cabinet.ledger.forget()
            self._change, self._sequence = None, values.integers.get(mib.VOLUME_OCCUPANCY_SEQUENCE.at())
        odd = self._cabinet.ledger.judge(status.requests, expired=status.expired)
        if odd is not None:
            self._told[odd[0]] = (now, odd[1])
            if odd[0] is Condition.BACKUP_EXPIRED:  # what was asked for is forgotten there, also that it run free
                self._cabinet.asked_free = None
        if status.requests.pattern != FREE:
            self._change = None

    def _conditions(self, status: Status, now: Tenths) -> dict[Condition, str]:
        found = dict(status.conditions)
        backup = self._seldom.get(self._surveyed.known.backup) if self._surveyed is not None else None
        if backup == 0:
            found[Condition.BACKUP_TIME_ZERO] = "it was set to 0"
        elif backup is not None and backup * 10 > self.options.backup_limit:
            found[Condition.BACKUP_TIME_LONG] = f"{backup} s"
        if self._cabinet.asked_free is not None and not status.free and now - self._cabinet.asked_free > FREEING:
            found[Condition.COORDINATED] = f"pattern {status.plan}"
        if status.shown.display is not Display.DARK or self._lit is None:
            self._lit = now
        elif now - self._lit > DARK_FOR:
            found[Condition.LAMP_POWER_LOST] = "no phase is on"
        self._told = {condition: told for condition, told in self._told.items() if now - told[0] < SEEN_FOR}
        return found | {condition: said for condition, (_, said) in self._told.items()}

    # --- asking ------------------------------------------------------------------------------------------------------------------
    async def apply(self, wanted: Wanted, state: IntersectionState, now: Tenths, deadline: float) -> Done:
        """See `FieldAdapter`."""
        if self._surveyed is None or self._status is None:
            return Withheld("the cabinet has not been read")
        if self._surveyed.conditions:
            return Withheld("; ".join(condition.value for condition in self._surveyed.conditions))
        if now - wanted.decided > self.options.freshness:
            return Withheld("the decision is too old")
        turn = Turn(self._surveyed, self._status, state, wanted.decided, now, deadline)
        match wanted:
            case GoTo(command):
                return await self._go_to(command.stage, command.clear, turn)
            case RunPlan(command):
                return await self._run(command.pattern or FREE, turn)
            case RunFree():
                return await self._run(FREE, turn)
            case RunFlash():
                return await self._run(FLASH, turn) if self.options.flash else Withheld("flash is not enabled for this cabinet")
            case _:
                assert_never(wanted)

    async def release(self, now: Tenths, deadline: float) -> Released | Failed:
        """See `FieldAdapter`."""
        self._change = self._cabinet.asked_free = None
        seen = await self._cabinet.write(NOTHING, self._surveyed, deadline)
        if isinstance(seen, Failed):
            return seen
        if seen != NOTHING:
            return Failed(Trouble.REQUEST_LEFT_BEHIND, words(seen))
        return Released()

    def close(self) -> None:
        """See `FieldAdapter`."""
        self._cabinet.close()

    async def _run(self, pattern: int, turn: Turn) -> Done:
        """Ask for a pattern, for free operation or for flash, with no request by phase beside it."""
        self._change = None
        return await self._cabinet.stand(ask_for.by_pattern(pattern), turn) or Applied(Step.ARRIVED)

    async def _go_to(self, target: int, clear: int, turn: Turn) -> Done:
        """Hold a stage, or go to it, in free operation only: within a pattern the cabinet's own coordinator would fight us."""
        state, change = turn.state, self._change
        if state.display is not Display.NORMAL:
            return Withheld("the signal flashes, or is dark")
        if change is not None and change.followed is not None:
            return await self._followed(change, change.followed, turn)
        if not self._cabinet.free or turn.status.requests.pattern != FREE:
            if failed := await self._cabinet.stand(ask_for.by_pattern(FREE), turn):
                return failed
            if not self._cabinet.free:
                return Applied(Step.ACCEPTED)
        if state.target != NO_STAGE:
            if change is None:
                return await self._cabinet.renew(self._cabinet.ledger.standing, turn) or Applied(Step.TERMINATING)
            followed = self._asked(change.target, clear, turn)
            self._change = change._replace(followed=followed)
            return await self._followed(change, followed, turn)
        if target == state.stage:
            self._change = None
            return await self._dwell(turn) or Applied(Step.ARRIVED)
        return await self._leave(target, clear, turn)

    async def _leave(self, target: int, clear: int, turn: Turn) -> Done:
        """Prepare a change of stage, and once it has settled force off what must end."""
        state, program = turn.state, self._program
        prepared = ask_for.prepare(
            target, state, turn.status.shown.ped_calls, self._cabinet.ledger.standing or NOTHING, program=program, tables=self.tables
        )
        if failed := await self._cabinet.stand(prepared, turn):
            return failed
        change = self._change
        since = change.since if change is not None and change.target == target else turn.now
        self._change = _Change(target, since, prepared)
        if turn.now < since + self.options.settle:
            return Applied(Step.ACCEPTED)
        forced = ask_for.force(prepared, target, state.stage, self._cabinet.greens, program)
        if forced.force_off and (failed := await self._cabinet.force(forced, turn)):
            if failed.trouble is Trouble.REQUEST_REFUSED:
                self._change = None
                return failed
            self._change = _Change(target, since, prepared, self._asked(target, clear, turn))
            return failed
        self._change = _Change(target, since, prepared, self._asked(target, clear, turn))
        return Applied(Step.ACCEPTED)

    def _asked(self, target: int, clear: int, turn: Turn) -> Transition:
        """Begin to follow. A group that both stages hold need not be seen to end: of two parents in a row, an overlap shows no end."""
        followed = ask(turn.state, target, clear, self.tables, SLACK)
        return replace(followed, ending=followed.ending & ~self.tables.green[target])

    async def _followed(self, change: _Change, followed: Transition, turn: Turn) -> Done:
        """Say how far a change of stage has come: dwell where it has arrived, let go where it has not come about."""
        shown = turn.status.shown
        after = follow(followed, Seen(turn.now, shown.greens, shown.yellows))
        step = after.step
        if step is Step.ARRIVED and turn.state.stage != change.target:
            after = followed
            step = Step.MISSED if turn.now > followed.deadline else Step.CLEARED
        if step is Step.ARRIVED:
            self._change = None
            return await self._dwell(turn) or Applied(step)
        if step is Step.MISSED:
            released = await self.release(turn.now, turn.deadline)
            return released if isinstance(released, Failed) else Applied(step)
        self._change = change._replace(followed=after)
        return await self._cabinet.renew(change.requests, turn) or Applied(step)

    async def _dwell(self, turn: Turn) -> Failed | None:
        before = self._cabinet.ledger.standing or NOTHING
        calls = turn.status.shown.ped_calls
        return await self._cabinet.stand(
            ask_for.dwell(turn.state.stage, turn.state, calls, before, program=self._program, tables=self.tables), turn
        )
