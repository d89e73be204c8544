"""A cabinet in memory, and its adapter: the twin of a wire, for the daemon's tests and for long runs in accelerated time.

What is asked for reaches the cabinet at once and whole. It has the same gate, watchdog and faults as a cabinet on Modbus. It does not
imitate messages: none is late, doubled, spoilt or lost, except all of them by order (`VirtualAdapter.silent`).
"""

import asyncio
from typing import NamedTuple, assert_never

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
from field_adapters._totals import Taken, Total, take
from field_adapters.modbus_map import CabinetFault
from field_adapters.modbus_profile import Mode
from field_adapters.simulated.requested import RequestedSignal
from intersection.config import IntersectionConfig
from intersection.measured import reported
from intersection.phase import Tenths
from intersection.state import FREE, NEVER, IntersectionState
from intersection.transition import Step

FRESHNESS: Tenths = 15
"""How old a decision may be that is still sent, in tenths of a second."""


class Look(NamedTuple):
    """What a cabinet tells of itself."""

    state: IntersectionState
    mode: Mode
    locked_out: bool
    faults: frozenset[CabinetFault]
    totals: tuple[Total, ...]
    plan: int
    left: Tenths
    """Of its watchdog's time, in tenths of a second."""

    start: int
    """Another number after each start."""

    writer: object
    """Who has asked last; None since a start."""

    decided: Tenths
    """When that was decided, by the writer's clock."""

    identity: int


class VirtualCabinet(RequestedSignal):
    """The cabinet. It stands on a street as a `SimulatedCabinet`, and takes orders."""

    def __init__(
        self,
        config: IntersectionConfig,
        *,
        watchdog: Tenths = 50,
        own_pattern: int = FREE,
        stage: int = 0,
        identity: int = 0,
        now: Tenths = 0,
    ) -> None:
        """Start up in a stage, running its own plan. The arguments are those of `RequestedSignal`, and the number of its database."""
        self._identity = identity
        self._frozen: Look | None = None
        self._writer: object = None
        self._decided: Tenths = NEVER
        super().__init__(config, watchdog=watchdog, own_pattern=own_pattern, stage=stage, now=now)

    def look(self) -> Look:
        """Tell what stands now, or stood when that was frozen."""
        if self._frozen is not None:
            return self._frozen
        own = self.own_pattern if self._mode in (Mode.RELEASED, Mode.EXPIRED) else FREE
        return Look(
            state=self.state,
            mode=self._mode,
            locked_out=self._locked_out,
            faults=frozenset(self.faults),
            totals=tuple(self.detectors),
            plan=self._plan if self._mode is Mode.PLAN else own,
            left=max(0, self._until - self.state.now),
            start=self._boot,
            writer=self._writer,
            decided=self._decided,
            identity=self._identity,
        )

    def ask(self, mode: Mode, number: int, *, decided: Tenths, writer: object) -> str | None:
        """Follow a stage, by its index, or a plan, by its number; say why not where it does not. A newer decision winds the watchdog up.

        Args:
            mode: STAGE, PLAN, or RELEASED, for which the number means nothing.
            number: of the stage or the plan.
            decided: when that was decided, by the writer's clock.
            writer: who asks.
        """
        if self._refuses:
            return "it refuses every request"
        if mode is Mode.RELEASED:
            self._writer = writer
            self._let_go(Mode.RELEASED)
            return None
        refusal = self.objection(mode, number)
        if refusal is not None:
            return refusal.words
        if self._writer is not writer or decided > self._decided:
            self.wind_up(self.watchdog)
        self._writer, self._decided = writer, decided
        if self._until > self.state.now:
            self.follow(mode, number)
        return None

    def _forget(self) -> None:
        self._writer, self._decided = None, NEVER

    def _freeze(self, *, on: bool) -> None:
        self._frozen = self.look() if on else None

    def _change_identity(self, number: int) -> None:
        self._identity = number

    def _write_as_another(self) -> None:
        self.ask(Mode.STAGE, self._next_stage(), decided=self.now, writer="another")


class VirtualAdapter:
    """An adapter to a cabinet in memory. See `FieldAdapter`."""

    def __init__(self, cabinet: VirtualCabinet, config: IntersectionConfig, *, identity: int = 0, alone: bool = False) -> None:
        """Prepare to speak to a cabinet.

        Args:
            cabinet: the one that is reached.
            config: the signal that it should control.
            identity: the number of the database that was commissioned.
            alone: whether the cabinet stands on no street: then its time is that of whoever reads it.
        """
        self.config, self.tables, self.alone = config, config.tables, alone
        self.silent = False
        """Whether the cabinet cannot be reached."""

        self._cabinet, self._identity = cabinet, identity
        self._closed = False
        self._following = Following(self.tables)
        self._told = Told()
        self._pulse = Pulse()
        self._taken: Taken | None = None
        self._start: int | None = None
        self._found: tuple[object, Tenths] | None = None
        """Who had asked last, and for which decision, before we did."""

        self._asked: tuple[Mode, int, Tenths] | None = None
        """What of ours stands: a stage or a plan, and when it was decided."""

    async def open(self, now: Tenths, deadline: float) -> Opened | Failed:
        """See `FieldAdapter`."""
        look = self._look(deadline)
        if isinstance(look, Failed):
            if look.trouble is Trouble.IDENTITY_CHANGED:
                return Opened(conditions={Condition.IDENTITY_CHANGED: look.detail})
            return look
        self._start, self._asked, self._taken = look.start, None, None
        self._found = (look.writer, look.decided)
        self._told.forget()
        self._pulse = Pulse()
        self._following.forget()
        return Opened(backup=self._cabinet.watchdog)

    async def read(self, now: Tenths, deadline: float, *, detectors: bool) -> Poll | Failed:
        """See `FieldAdapter`."""
        if self.alone and now > self._cabinet.now:
            self._cabinet.advance(now)
        look = self._look(deadline)
        if isinstance(look, Failed):
            return look
        if not self._pulse.beats(look.state.now, now):
            return Failed(Trouble.LINK_LOST, "the cabinet answers, but its clock stands still")
        self._note(look, now)
        if detectors:
            self._taken = take(self.config, look.totals, now, self._taken)
        taken = self._taken
        follows = look.mode in (Mode.STAGE, Mode.PLAN)
        expired = self._asked is not None and look.mode is Mode.EXPIRED
        conditions = standing(look.faults, look.state.display, locked_out=look.locked_out, expired=expired)
        plan = look.plan if look.mode is Mode.PLAN else FREE
        return Poll(
            report=reported(look.state, self.tables)._replace(now=now, calls=0, pattern=plan),
            readings=taken.readings if taken is not None and detectors else None,
            over=taken.over if taken is not None and detectors else 0,
            reported=taken.reported if taken is not None else {},
            conditions=conditions | self._told.standing(now),
            requests=follows,
            plan=look.plan,
            backup_left=look.left if follows else 0,
        )

    async def apply(self, wanted: Wanted, state: IntersectionState, now: Tenths, deadline: float) -> Applied | Withheld | Failed:
        """See `FieldAdapter`."""
        match wanted:
            case RunFlash():
                return Withheld("it has no request for flash")
            case RunFree():
                released = await self.release(now, deadline)
                return released if isinstance(released, Failed) else Applied(Step.ARRIVED)
            case GoTo(command, decided):
                asked = (Mode.STAGE, command.stage, decided)
            case RunPlan(command, decided):
                asked = (Mode.PLAN, command.pattern, decided)
            case _:
                assert_never(wanted)
        if not 0 <= now - decided <= FRESHNESS:
            return Withheld("its decision is too old, or lies ahead of the clock")
        look = self._look(deadline)
        if isinstance(look, Failed):
            return look
        if asked != self._asked:
            refused = self._cabinet.ask(asked[0], asked[1], decided=decided, writer=self)
            self._asked = None if refused is not None else asked
            if refused is not None:
                return Failed(Trouble.REQUEST_REFUSED, refused)
            look = self._cabinet.look()
            if look.writer is not self or look.mode is not asked[0]:
                return Failed(Trouble.REQUEST_NOT_ECHOED, "the cabinet says nothing of it")
        if asked[0] is Mode.PLAN:
            self._following.forget()
            return Applied(Step.ARRIVED)
        step = self._following.step(command, state, reported(look.state, self.tables)._replace(now=now))
        if step is Step.MISSED:
            released = await self.release(now, deadline)
            return released if isinstance(released, Failed) else Applied(step)
        return Applied(step)

    async def release(self, now: Tenths, deadline: float) -> Released | Failed:
        """See `FieldAdapter`."""
        self._following.forget()
        self._asked = None
        look = self._look(deadline)
        if isinstance(look, Failed):
            return look
        refused = self._cabinet.ask(Mode.RELEASED, 0, decided=now, writer=self)
        if refused is not None:
            return Failed(Trouble.REQUEST_REFUSED, refused)
        mode = self._cabinet.look().mode
        return Failed(Trouble.REQUEST_LEFT_BEHIND, mode.value) if mode in (Mode.STAGE, Mode.PLAN) else Released()

    def close(self) -> None:
        """See `FieldAdapter`."""
        self._closed = True

    def _look(self, deadline: float) -> Look | Failed:
        """Look at the cabinet, if it can be reached and is ours."""
        if self._closed or self.silent or asyncio.get_running_loop().time() >= deadline:
            return Failed(Trouble.LINK_LOST, "the link is closed" if self._closed else "no answer in time")
        look = self._cabinet.look()
        if look.identity != self._identity:
            return Failed(Trouble.IDENTITY_CHANGED, f"identity {look.identity}, not {self._identity}")
        return look

    def _note(self, look: Look, now: Tenths) -> None:
        """Keep what a look tells that the next will not."""
        if look.start != self._start:
            self._told.see(Condition.REBOOTED, f"start {look.start}", now)
            self._start, self._asked, self._taken = look.start, None, None
        elif look.writer is not self and (look.writer, look.decided) not in ((None, NEVER), self._found):
            self._told.see(Condition.ANOTHER_WRITER, str(look.writer), now)
