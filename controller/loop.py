"""The control loop of one cabinet: ten times a second read, judge, ask, and bring the cabinet towards what was granted.

    read -> view -> faults -> ladder -> (policy | plan | order) -> gate -> apply | release

Nothing in a tick waits for longer than its deadlines: the cabinet's answer, and the policy's, which lives in a process of its own. What a
person asks for comes in between two ticks (`submit`) and acts at the next.

The loop owns no clock and no thread. `now` is the daemon's steady clock in tenths of a second; `wall` is the clock on the wall.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias, assert_never

from controller import journal
from controller.control_socket import Recent, Status, status_of
from controller.detectors import Watch
from controller.events import (
    FAULTS,
    Checked,
    Event,
    Fault,
    FaultBegan,
    FaultEnded,
    Flash,
    Free,
    LimitSet,
    LockOutCleared,
    Mode,
    Ordered,
    OrderGiven,
    OrderWithdrawn,
    Plan,
    ReEnabled,
    Started,
    Stopped,
)
from controller.events import Tick as Ticked
from controller.explanation import Explanation, explain, ordered
from controller.fixed_time import Follower
from controller.health import Meters
from controller.indiana import between
from controller.mode import LadderSettings, LadderState, Objection, Readiness, may_zero, objection, step, time_in
from controller.policy_source import Answer, Loading, PolicySource, Proposed, fault_of
from controller.ticker import Tick, clock_offset
from controller.view import Observer, View, known
from controller.watchdog import Bounds, Link, Standing, heard, of_cabinet, of_link, of_walks, told
from field_adapters._base import (
    Applied,
    Failed,
    FieldAdapter,
    GoTo,
    Opened,
    PlanStep,
    Poll,
    Released,
    RunFlash,
    RunFree,
    RunPlan,
    Wanted,
    Withheld,
)
from intersection.config import IntersectionConfig
from intersection.detection import DetectorKind
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.shield import Amended, Command, Granted, Proposal, Reason, Refused, Verdict, review
from intersection.state import NO_STAGE, IntersectionState
from intersection.transition import Step

COMMANDING = frozenset({Mode.ADAPTIVE, Mode.FIXED_TIME, Mode.FORCED})
"""The modes in which requests of ours may stand at the cabinet."""

ASKING = frozenset({Mode.SHADOW, *COMMANDING})
"""The modes in which the policy is asked: also where it does not decide, so that it is known when it works again."""

ILLEGAL = frozenset({Reason.UNKNOWN_STAGE, Reason.CONFLICT, Reason.UNKNOWN_PATTERN})
"""Refusals for which the one who proposed is to blame."""

LOADING: Tenths = 50
"""How long a start waits for the policy, in tenths of a second."""

REOPENING: Tenths = 100
"""How long after a look at the cabinet that failed, or that found something against us, it is looked at anew, in tenths of a second."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a loop is made of."""

    name: str
    config: IntersectionConfig
    adapter: FieldAdapter
    policy: PolicySource | None
    """None where nothing but plans is to run."""

    plan: Follower | None
    """Our own plan; None where the configuration has none."""

    others: Callable[[], Standing] = dict
    """Tells the faults that are found elsewhere in the daemon: of the journal, of new settings."""

    watch: Watch
    ladder: LadderSettings = field(default_factory=LadderSettings)
    bounds: Bounds = field(default_factory=Bounds)
    period: Tenths = 10
    """Between decisions, in tenths of a second."""

    epoch: Tenths = 0
    """Decisions fall where the time on the wall, less this, is a multiple of the period."""

    answer_within: float = 0.06
    """How long a message to the cabinet may take within a tick, in seconds."""

    think_within: float = 0.05
    """How long the policy may take within a tick, in seconds."""

    open_within: float = 5.0
    """How long a first look at the cabinet may take, in seconds; ticks go on meanwhile."""


class Order(NamedTuple):
    """What is carried out until something else is decided."""

    command: Command
    decided: Tenths


Save: TypeAlias = Callable[[LadderState], None]
"""Takes a ladder's state to be written down soon, and returns at once."""


def no_save(_: LadderState) -> None:
    """Keep nothing: in trials, nothing outlives the loop."""


class CabinetLoop:
    """One cabinet's loop. `tick` is awaited ten times a second; everything else returns at once."""

    def __init__(
        self,
        parts: Parts,
        ladder: LadderState,
        *,
        now: Tenths,
        wall: Callable[[], float],
        append: Callable[[journal.Record], None],
        save: Save = no_save,
    ) -> None:
        """Start: what is latched in the ladder's state stays so, and an order that stands is taken up again.

        Args:
            parts: what it is made of.
            ladder: where the ladder stood when the daemon ended, or `mode.initial`.
            now: the instant, in tenths of a second.
            wall: the clock on the wall, in seconds since 1970 UTC.
            append: takes records for the journal, and returns at once.
            save: takes the ladder's state when it has changed.
        """
        self.parts = parts
        self.meters = Meters()
        self.recent = Recent()
        self.view = View()
        self.last_verdict: Verdict | None = None
        self._append, self._save, self._wall = append, save, wall
        self._observer = Observer(parts.config, parts.watch)
        self._ladder = ladder
        self._now = now
        self._link = Link(answered=now, read=now)
        self._poll: Poll | None = None
        self._opened: Opened | None = None
        self._opening: asyncio.Task[Opened | Failed] | None = None
        self._open_at = now
        self._standing: dict[Fault, str] = {}
        self._policy_faults: dict[Fault, str] = {}
        self._clock_off: dict[Fault, str] = {}
        self._going: Order | None = None
        self._decided_slot: int | None = None
        self._withheld: tuple[Wanted, str] | None = None
        self._started_at = now
        self._policy_known = parts.policy is None
        self._may_stand = ladder.mode in COMMANDING
        """Whether requests of ours may stand at the cabinet, since they were not read back as zero after the last that was written."""
        self._step(Started())

    # --- what people ask ---------------------------------------------------------------------------------------------------------
    @property
    def ladder(self) -> LadderState:
        """Where the ladder stands."""
        return self._ladder

    def now(self) -> Tenths:
        """Read the ladder's clock: the instant of the last tick, in tenths of a second."""
        return self._now

    def submit(self, event: Event) -> Objection | None:
        """Let a person's wish happen, journal it with its answer, and tell what speaks against it."""
        against = objection(self._ladder, event, self._now, self.parts.ladder)
        self._note(_wish(event, self._stamp(), against))
        if against is None:
            self._step(event)
        return against

    def tell(self, event: FaultBegan) -> None:
        """Tell the ladder of a fault that was found before the first tick."""
        self._step(event)

    def take_over(self, *, ladder: LadderSettings, watch: Watch, plan: Follower | None) -> None:
        """Go on by new settings from the next tick on; what was remembered of detectors that are still there stays."""
        self.parts = replace(self.parts, ladder=ladder, watch=watch, plan=plan)
        self._observer = Observer(self.parts.config, watch)

    def explain(self) -> Explanation:
        """Tell why it stands as it does."""
        return explain(self._ladder, self._now, self.parts.ladder)

    def events(self, since: journal.Stamp) -> Sequence[journal.Record]:
        """Give the latest records, from an instant on, in order."""
        return self.recent.since(since)

    def status(self) -> Status:
        """Tell how it stands."""
        state, poll = self.view.state, self._poll
        stages = self.parts.config.stages
        moving = state is not None and state.target != NO_STAGE
        return status_of(
            self.parts.name,
            self._ladder,
            self._now,
            self.parts.ladder,
            plan_step=self._plan_step(),
            cycles_left=poll.cycles_left if poll else 0,
            stage=stages[state.stage].name if state is not None and not moving and state.stage != NO_STAGE else "",
            going_to=stages[state.target].name if state is not None and moving else "",
            plan=poll.plan if poll else None,
            verdict="" if self.last_verdict is None else " ".join(_said(self.last_verdict, self.parts.config)).strip(),
            detectors_failed=tuple(failed.detector for failed in self.view.judgement.failed) if self.view.judgement else (),
            round_trip=self.meters.round_trip,
            backup_left=poll.backup_left if poll else None,
            journal_waiting=self.meters.journal_waiting,
        )

    def _plan_step(self) -> PlanStep | None:
        order = self._ladder.order
        if order is None or not isinstance(order.what, Plan) or self._poll is None:
            return None
        return self._poll.plan_step if self._poll.plan == order.what.pattern else PlanStep.ACCEPTED

    # --- a tick ------------------------------------------------------------------------------------------------------------------
    async def tick(self, beat: Tick, now: Tenths) -> None:
        """Do the work of one tick.

        Args:
            beat: which tick, and how late it is.
            now: its instant, in tenths of a second.
        """
        self._now, before = now, self.view
        self.meters.ticked(beat)
        if beat.event is not None:
            self._begin(Fault.TICKER_LAG, f"{beat.lag / 1e9:.3f} s")
        off = self._ladder.mode is Mode.OFF and self._ladder.readiness is not Readiness.STOPPED
        if off:  # what is not read is not missed, and is looked at anew when it is read again
            self._opened, self._poll, self.view = None, None, View()
            self._open_at, self._link = now, Link(answered=now, read=now)
        poll = None if off else await self._look(now)
        self._judge(poll, beat, now)
        if poll is not None and self.view.state is not None:
            await self._keep(self.view.state, now)
            self._sense(poll, beat, now)
            if self.view.state is not None:
                await self._act(self.view.state, now)
        elif self._may_stand and self._ladder.mode not in COMMANDING:
            await self._let_go(now)
        self._journal(before, self.view)
        self._step(Ticked())
        self.meters.mode, self.meters.spent = self._ladder.mode, time_in(self._ladder, now)

    async def _look(self, now: Tenths) -> Poll | None:
        """Read the cabinet, or look at it for the first time; None where it says nothing."""
        if self._opened is None or self._opened.conditions or self._opening is not None:
            self._open(now)
        return None if self._opened is None else await self._read(now, detectors=self._is_due(now))

    async def _read(self, now: Tenths, *, detectors: bool) -> Poll | None:
        """Read the cabinet, and take in what it says."""
        loop = asyncio.get_running_loop()
        began, wall = loop.time(), self._wall()
        poll = await self.parts.adapter.read(now, began + self.parts.answer_within, detectors=detectors)
        self._link = heard(self._link, poll, now)
        if isinstance(poll, Failed):
            return None
        self.meters.round_trip = loop.time() - began
        if poll.clock is not None:
            offset = clock_offset(cabinet=poll.clock, asked=wall, answered=self._wall())
            self._clock_off = {Fault.CLOCK_OFF: f"the cabinet is {offset.seconds:+.1f} s ahead"} if offset.alarm else {}
        self._poll = poll
        asked = self._going.command.stage if self._going is not None else NO_STAGE
        self.view = self._observer.look(self.view, poll, asked)
        return poll

    def _open(self, now: Tenths) -> None:
        """Begin to look at the cabinet, or see what came of it."""
        if self._opening is None:
            if now >= self._open_at:
                loop = asyncio.get_running_loop()
                self._opening = loop.create_task(self.parts.adapter.open(now, loop.time() + self.parts.open_within))
            return
        if not self._opening.done():
            return
        opened, self._opening = self._opening.result(), None
        self._open_at = now + REOPENING
        if isinstance(opened, Failed):
            self._link = self._link._replace(why=opened.detail or opened.trouble.value)
            return
        if self._opened is None:
            self._link = Link(answered=now, read=now)
        self._opened = opened

    async def prepare(self, now: Tenths) -> None:
        """Look at the cabinet before the first tick, and wait for it; without it the ticks do so in passing."""
        self._open(now)
        if self._opening is not None:
            await asyncio.wait([self._opening])
            self._open(now)

    def _judge(self, poll: Poll | None, beat: Tick, now: Tenths) -> None:
        """Tell the ladder what has begun and what has ended."""
        bounds = self.parts.bounds
        faults = {**self._policy_faults, **self.parts.others()}
        if beat.skipped >= bounds.stall:
            faults[Fault.DAEMON_STALLED] = f"{beat.skipped} ticks missed"
        faults |= of_link(self._link, now, bounds)
        if Fault.LINK_LOST in faults:  # whatever comes back is looked at anew
            self._opened = self._poll = None
            self.view = View(watched=self.view.watched)
        for seen in (self._opened, self._poll):
            faults |= {} if seen is None else of_cabinet(seen)
        faults |= self._clock_off | self._of_view(self.view)
        for event in told(self._standing, faults):
            self._step(event)
        self._standing = faults
        if self._ladder.readiness is Readiness.UNCHECKED and self._is_checked(poll, now):
            self._step(Checked())

    def _of_view(self, view: View) -> dict[Fault, str]:
        """Say what is wrong with what is seen of the street."""
        found: dict[Fault, str] = {}
        if view.strange is not None and self._ladder.mode in COMMANDING:  # by itself a cabinet may run phases together that we never do
            found[Fault.STREET_DISAGREES] = f"greens {view.strange.greens:#x}, yellows {view.strange.yellows:#x}"
        if view.state is not None and self._ladder.mode in COMMANDING:
            found |= of_walks(view.state, self.parts.config.tables, self.parts.bounds)
        return found | self._of_detectors(view)

    def _of_detectors(self, view: View) -> dict[Fault, str]:
        if view.judgement is None:
            return {}
        kinds = {detector.id: detector.kind for detector in self.parts.config.detectors}
        found: dict[Fault, str] = {}
        for failed in view.judgement.failed:
            fault = Fault.BUTTON_FAILED if kinds[failed.detector] is DetectorKind.PUSH_BUTTON else Fault.DETECTOR_FAILED
            words = f"{failed.detector} {failed.cause.value}"
            found[fault] = f"{found[fault]}; {words}" if fault in found else words
        blind = view.judgement.blind
        if blind is not None:
            found[Fault.DETECTORS_FAILED] = "all are silent" if blind.silent else f"{blind.failed} of {blind.detectors}"
        return found

    def _is_checked(self, poll: Poll | None, now: Tenths) -> bool:
        """Tell whether all is known that decides where the ladder begins; the policy is waited for, but not for ever."""
        waited = now - self._started_at >= LOADING
        if self._opened is None or poll is None:
            return waited and Fault.LINK_LOST in self._standing
        if not self._policy_known and waited:
            self._policy_known = True
            self._policy_faults = {Fault.BUNDLE_MISSING: "it is still being loaded"}
            self._begin(Fault.BUNDLE_MISSING, "it is still being loaded")
        return self._policy_known and known(self.view) is not None and not self._may_stand

    # --- decisions ---------------------------------------------------------------------------------------------------------------
    def _slot(self, now: Tenths) -> int:
        """Number the decision periods by the clock on the wall."""
        return (now - self.parts.epoch) // self.parts.period

    def _is_due(self, now: Tenths) -> bool:
        return self._decided_slot is None or self._slot(now) > self._decided_slot

    async def _act(self, state: IntersectionState, now: Tenths) -> None:
        """Ask who has to decide, put the proposal to the gate, and bring the cabinet towards what came of it."""
        due = self._is_due(now) and known(self.view) is not None
        answer = await self._ask(now) if due else None
        mode = self._ladder.mode
        if due:
            self._decided_slot = self._slot(now)
        if mode is Mode.FORCED and self._ladder.order is not None:
            wanted = self._ordered(self._ladder.order.what, state, now, due=due)
        elif mode in COMMANDING:
            wanted = self._decided(answer, state, now, due=due)
        else:
            self._going = wanted = None
            if mode is Mode.SHADOW and isinstance(answer, Proposed):
                self._shadow(answer.proposal, state)
        if self._ladder.mode not in COMMANDING:  # what was decided may have shown that nobody should
            self._going = wanted = None
        if wanted is not None:
            await self._apply(wanted, state, now)
        elif self._may_stand:
            await self._let_go(now)

    async def _keep(self, state: IntersectionState, now: Tenths) -> None:
        """Let the gate do what it does by itself, before anybody new is seen or asked: as the machine of a simulation does."""
        if self._going is None or self._ladder.mode not in COMMANDING or self._ladder.order is not None:
            return
        going = self._continued(self._going, state)
        if going != self._going:
            self._going = going
            await self._apply(GoTo(*going), state, now)

    def _sense(self, poll: Poll, beat: Tick, now: Tenths) -> None:
        """Take in what the detectors said, and what follows from it."""
        before = self.view
        self.view = self._observer.sense(before, poll)
        if self.view is not before:
            self._judge(poll, beat, now)

    async def _ask(self, now: Tenths) -> Answer | None:
        """Ask the policy, and tell the ladder what came of it where it is no proposal."""
        seen = known(self.view)
        if self.parts.policy is None or seen is None or (self._ladder.mode not in ASKING and self._policy_known):
            return None
        deadline = asyncio.get_running_loop().time() + self.parts.think_within
        answer = await self.parts.policy.ask(Observation(*seen), now, deadline)
        if isinstance(answer, Loading):
            return None
        self._policy_known = True
        found = fault_of(answer)
        if found is None or not FAULTS[found[0]].momentary:  # what happens at an instant leaves what stands as it is
            for fault in self._policy_faults.keys() - ({found[0]} if found else set()):
                self._step(FaultEnded(fault))
                self._standing.pop(fault, None)
            self._policy_faults = dict([found]) if found else {}
        if found is not None:
            self._begin(*found)
        return answer

    def _begin(self, fault: Fault, words: str) -> None:
        """Tell the ladder of a fault at once, unless it stands already."""
        if fault not in self._standing:
            self._step(FaultBegan(fault, words))
            if not FAULTS[fault].momentary:
                self._standing[fault] = words

    def _decided(self, answer: Answer | None, state: IntersectionState, now: Tenths, *, due: bool) -> Wanted | None:
        """Decide anew where it is time, else go on with what was decided."""
        if due or self._going is None:
            self._going = None
            if self._ladder.mode is Mode.ADAPTIVE and isinstance(answer, Proposed):
                self._going = self._put("policy", answer.proposal, state, now, Fault.POLICY_ILLEGAL_STAGE)
            if self._going is None and self._ladder.mode is Mode.FIXED_TIME:
                self._going = self._planned(state, now)
        return None if self._going is None else GoTo(*self._going)

    def _put(self, who: str, proposal: Proposal, state: IntersectionState, now: Tenths, blame: Fault) -> Order | None:
        """Put a proposal to the gate, and write down what it made of it."""
        verdict = review(proposal, state, self.parts.config.tables)
        self._noted(who, proposal, verdict)
        match verdict:
            case Granted(command) | Amended(command):
                return Order(command, now)
            case Refused(reason):
                if reason in ILLEGAL:
                    self._step(FaultBegan(blame, reason.value))
                    return None
                return self._held(proposal.pattern, state, now)
            case _:
                assert_never(verdict)

    def _held(self, pattern: int, state: IntersectionState, now: Tenths) -> Order | None:
        """Let what runs go on, within its bounds: that is what the gate makes of no proposal."""
        own = review(Proposal(pattern=pattern), state, self.parts.config.tables)
        return None if isinstance(own, Refused) else Order(own.command, now)

    def _planned(self, state: IntersectionState, now: Tenths) -> Order | None:
        """Let our own plan decide."""
        if self.parts.plan is None:
            self._step(FaultBegan(Fault.FIXED_TIME_FAILED, "the configuration has no pattern"))
            return None
        try:
            proposal = self.parts.plan.propose(state, self._wall())
        except Exception as error:  # noqa: BLE001  # whatever is wrong with our plan, the street gets the cabinet's own
            self._step(FaultBegan(Fault.FIXED_TIME_FAILED, f"{type(error).__name__}: {error}"))
            return None
        return self._put("plan", proposal, state, now, Fault.FIXED_TIME_FAILED)

    def _continued(self, going: Order, state: IntersectionState) -> Order:
        """Go on with what was decided, unless the gate acts by itself or would no longer have it begin."""
        tables = self.parts.config.tables
        own = review(Proposal(pattern=going.command.pattern), state, tables)
        if isinstance(own, Amended) and own.command.stage != going.command.stage:
            self._noted("gate", Proposal(), own)
            return Order(own.command, going.decided)
        if state.target == NO_STAGE and going.command.stage != state.stage and not going.command.clear:
            verdict = review(Proposal(stage=going.command.stage, pattern=going.command.pattern), state, tables)
            if isinstance(verdict, Amended) and verdict.command != going.command:
                self._noted("gate", Proposal(stage=going.command.stage), verdict)
                return Order(verdict.command, going.decided)
        return going

    def _ordered(self, what: Ordered, state: IntersectionState, now: Tenths, *, due: bool) -> Wanted | None:
        """Say what a person's order asks for."""
        match what:
            case Free():
                self._going = None
                return RunFree(now)
            case Flash():
                self._going = None
                return RunFlash(now)
            case Plan(pattern):
                if due or self._going is None or self._going.command.pattern != pattern:
                    self._going = self._put("operator", Proposal(pattern=pattern), state, now, Fault.FIXED_TIME_FAILED)
                return None if self._going is None else RunPlan(*self._going)
            case _:
                assert_never(what)

    def _shadow(self, proposal: Proposal, state: IntersectionState) -> None:
        """Write down what the policy would have done."""
        self._noted("shadow", proposal, review(proposal, state, self.parts.config.tables))

    # --- requests ----------------------------------------------------------------------------------------------------------------
    async def _apply(self, wanted: Wanted, state: IntersectionState, now: Tenths) -> None:
        self._may_stand = True
        applied = await self.parts.adapter.apply(wanted, state, now, self._deadline())
        match applied:
            case Applied(step=Step.MISSED):
                self._going = None
                self._step(FaultBegan(Fault.DISOBEYED, self._where(wanted)))
            case Applied():
                if isinstance(wanted, GoTo) and state.target == NO_STAGE and wanted.command.stage != state.stage:
                    await self._read(now, detectors=False)  # what has just been asked for begins now, not at the next tick
            case Withheld(reason):
                if (wanted, reason) != self._withheld:  # told once, not at each tick
                    self._withheld = (wanted, reason)
                    self._note(journal.Decision(self._stamp(), "adapter", self._where(wanted), "withheld", reason))
            case Failed() if Fault[applied.trouble.name] is Fault.LINK_LOST:
                pass  # the polls will tell: one message that was lost is no lost link
            case Failed():
                self._step(FaultBegan(Fault[applied.trouble.name], applied.detail))
            case _:
                assert_never(applied)

    async def _let_go(self, now: Tenths) -> None:
        """Zero what we have asked for, and verify it; not at a cabinet that is not ours."""
        self._going = None
        if not may_zero(self._ladder):
            self._may_stand = False
            return
        released = await self.parts.adapter.release(now, self._deadline())
        if isinstance(released, Released):
            self._may_stand = False
        elif Fault[released.trouble.name] is not Fault.LINK_LOST:
            self._step(FaultBegan(Fault[released.trouble.name], released.detail))

    async def stop(self, patience: float = 5.0) -> bool:
        """Let go of the cabinet and end; tell whether its zeros were read back."""
        until = asyncio.get_running_loop().time() + patience
        while self._may_stand and may_zero(self._ladder) and asyncio.get_running_loop().time() < until:
            await self._let_go(self._now)
        if self._opening is not None:
            self._opening.cancel()
        released = not self._may_stand
        if released:
            self._step(Stopped())
        self.parts.adapter.close()
        return released

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.parts.answer_within

    def _where(self, wanted: Wanted) -> str:
        match wanted:
            case GoTo(command):
                return self.parts.config.stages[command.stage].name
            case RunPlan(command):
                return f"pattern {command.pattern}"
            case RunFree():
                return "free"
            case RunFlash():
                return "flash"
            case _:
                assert_never(wanted)

    # --- what is written down ----------------------------------------------------------------------------------------------------
    def _step(self, event: Event) -> None:
        """Let something happen to the ladder."""
        before = self._ladder
        after = self._ladder = step(before, event, self._now, self.parts.ladder)
        if isinstance(event, FaultBegan):
            self.meters.faults[event.fault] += 1
            self._note(journal.ModeChange(self._stamp(), before.mode.value, after.mode.value, _fault_words(event)))
        elif before.mode is not after.mode:
            self._note(journal.ModeChange(self._stamp(), before.mode.value, after.mode.value, _reason(event)))
        if before.order is not None and after.order is None and not isinstance(event, OrderWithdrawn):
            self._note(journal.Order(self._stamp(), before.order.operator, ordered(before.order.what), before.order.reason, "ended"))
        if replace(before, at=after.at, spent=after.spent) != after:
            self.meters.standing = frozenset(cause.fault for cause in after.causes if cause.present or cause.latched)
            self._save(after)

    def _noted(self, who: str, proposal: Proposal, verdict: Verdict) -> None:
        self.last_verdict = verdict
        words, reason = _said(verdict, self.parts.config)
        wish = "nothing" if proposal.stage is None else _stage_name(proposal.stage, self.parts.config)
        self.meters.decided(type(verdict).__name__.lower(), reason)
        self._note(journal.Decision(self._stamp(), who, wish, words, reason))

    def _journal(self, before: View, after: View) -> None:
        """Write down what has happened in the street since the last poll."""
        if before.state is None or after.state is None:
            return
        fresh = after.detectors is not before.detectors and after.detectors is not None
        found = between(
            before.state,
            after.state,
            self.parts.config.tables,
            verdict=self.last_verdict,
            readings=after.detectors if fresh else None,
            detectors=self.parts.config.detectors if fresh else (),
        )
        shift = self._stamp() - self._now
        for event in found:
            self._append(journal.Event(event.at + shift, int(event.code), event.parameter))

    def _note(self, record: journal.Record) -> None:
        self.recent.append(record)
        self._append(record)

    def _stamp(self) -> journal.Stamp:
        return round(self._wall() * 10)


def _stage_name(stage: int, config: IntersectionConfig) -> str:
    return config.stages[stage].name if 0 <= stage < len(config.stages) else f"stage {stage}"


def _said(verdict: Verdict, config: IntersectionConfig) -> tuple[str, str]:
    match verdict:
        case Granted(command):
            return f"granted {_stage_name(command.stage, config)}", ""
        case Amended(command, reason):
            return f"amended {_stage_name(command.stage, config)}", reason.value
        case Refused(reason):
            return "refused", reason.value
        case _:
            assert_never(verdict)


def _fault_words(event: FaultBegan) -> str:
    return f"{FAULTS[event.fault].what} {event.detail}".strip()


def _reason(event: Event) -> str:
    return type(event).__name__


def _wish(event: Event, stamp: journal.Stamp, against: Objection | None) -> journal.Record:
    answer = "done" if against is None else against.value
    match event:
        case OrderGiven(order):
            return journal.Order(stamp, order.operator, ordered(order.what), order.reason, answer)
        case OrderWithdrawn(operator=operator, reason=reason):
            return journal.Order(stamp, operator, "withdraw", reason, answer)
        case ReEnabled(operator=operator, reason=reason):
            return journal.Order(stamp, operator, "re-enable", reason, answer)
        case LimitSet(limit=limit, operator=operator, reason=reason):
            return journal.Order(stamp, operator, f"limit to {limit.value}", reason, answer)
        case LockOutCleared(technician=technician, place=place):
            return journal.Order(stamp, technician, "clear the lock-out", place.value, answer)
        case _:
            return journal.Order(stamp, "", type(event).__name__, "", answer)
