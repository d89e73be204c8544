"""What every `FieldAdapter` promises. An adapter's test class says how a bench of it is made, and inherits the rest."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from time import monotonic

import pytest

from field_adapters._base import (
    Applied,
    Condition,
    DetectorTrouble,
    Failed,
    FieldAdapter,
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
from field_adapters.simulated import orders
from field_adapters.simulated.host import HostedCabinet
from intersection.compatibility import Stage
from intersection.config import IntersectionConfig
from intersection.detection import Channel, Detector, DetectorKind, Readings
from intersection.measured import measure
from intersection.phase import Tenths
from intersection.plan import Pattern
from intersection.sensed import sensed
from intersection.shield import Command, Proposal, Refused, review
from intersection.state import NO_STAGE, IntersectionState, Interval, PedInterval
from intersection.transition import Step
from tests.intersection.documents import signal

PATIENCE = 2.0
"""Seconds within which an answer on loopback comes even from a busy machine."""

CONFIG = signal(
    Stage(name="main", protected=frozenset({1, 2})),
    Stage(name="main left", protected=frozenset({2, 3})),
    Stage(name="side", protected=frozenset({4})),
    timings={number: {"red_clearance": 10} for number in range(1, 5)},
    conflicts=[(1, 3), (1, 4), (2, 4), (3, 4)],
    detectors=tuple(Detector(id=f"loop {at}", kind=DetectorKind.STOP_BAR, phases=(at,)) for at in range(1, 5)),
    patterns=(Pattern(number=7, name="day", cycle=600, sequence=("main", "side"), splits=(300, 300)),),
)
MAIN, LEFT, SIDE = range(3)

CROSSING = signal(
    Stage(name="road", protected=frozenset({1})),
    Stage(name="crossing", protected=frozenset({2})),
    timings={1: {}, 2: {"walk": 40, "ped_clearance": 30}},
    conflicts=[(1, 2)],
    detectors=(
        Detector(id="loop", kind=DetectorKind.STOP_BAR, phases=(1,)),
        Detector(id="button", kind=DetectorKind.PUSH_BUTTON, phases=(2,)),
    ),
)
"""A road, and people who cross it."""


class Bench(ABC):
    """An adapter, and the simulated cabinet at the other end of its wire; the cabinet's time is the only clock."""

    config: IntersectionConfig = CONFIG
    adapter: FieldAdapter
    cabinet: HostedCabinet

    backup: Tenths = 50
    """How long the cabinet follows a request that is not renewed, at most."""

    has_plans: bool = True
    """Whether a plan can be asked for."""

    has_totals: bool = True
    """Whether detectors count, and can be told to have failed."""

    tells_time: bool = True
    """Whether the cabinet tells by a clock that it lives."""

    untold: frozenset[Condition] = frozenset()
    """What the protocol has no word for."""

    @abstractmethod
    def is_asked(self) -> bool:
        """Tell, from inside the cabinet, whether any request stands there."""

    @abstractmethod
    async def silence(self, *, on: bool) -> None:
        """Let no message be answered, or let them be answered again."""


class Hand:
    """Does what the daemon does, as far as a test wants it."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.adapter, self.cabinet, self.tables = bench, bench.adapter, bench.cabinet, bench.config.tables
        self.state: IntersectionState | None = None
        self.going: GoTo | None = None
        self.passing: dict[int, tuple[float, Tenths]] = {}
        """What each loop says each second: vehicles, and how long one stood there."""

        self.silent: set[int] = set()
        self._last: Readings | None = None

    @property
    def now(self) -> Tenths:
        """The instant."""
        return self.cabinet.now

    def deadline(self) -> float:
        """Give a deadline that no working link misses."""
        return asyncio.get_running_loop().time() + PATIENCE

    def wait(self, tenths: Tenths) -> None:
        """Let time pass; the street's detectors are read each second."""
        for _ in range(tenths):
            self.cabinet.advance(self.now + 1)
            if self.now % 10 == 0:
                self.sense(10)

    def sense(self, over: Tenths) -> None:
        """Let the detectors say what they have to say."""
        said = [self.passing.get(at, (0.0, 0)) for at in range(len(self.bench.config.detectors))]
        valid = [at not in self.silent for at in range(len(said))]
        counts, stood = [count for count, _ in said], [stood for _, stood in said]
        self._last = sensed(self.bench.config, counts, stood, valid, over=over, before=self._last)
        self.cabinet.sense(self._last, over)

    async def open(self) -> Opened:
        """Look at the cabinet, which must answer."""
        self.sense(0)
        opened = await self.adapter.open(self.now, self.deadline())
        assert isinstance(opened, Opened), opened
        return opened

    async def read(self, *, detectors: bool = False) -> Poll:
        """Read the cabinet, which must answer, and measure its state."""
        poll = await self.adapter.read(self.now, self.deadline(), detectors=detectors)
        assert isinstance(poll, Poll), poll
        asked = self.going.command.stage if self.going is not None else NO_STAGE
        state = measure(self.state, poll.report, asked, self.tables)
        assert isinstance(state, IntersectionState), state
        self.state = state
        return poll

    def granted(self, stage: int) -> Command:
        """Let the gate decide on a stage."""
        assert self.state is not None
        verdict = review(Proposal(stage=stage), self.state, self.tables)
        assert not isinstance(verdict, Refused), verdict
        return verdict.command

    async def apply(self, wanted: Wanted) -> Applied | Withheld | Failed:
        """Apply, as at a tick after a poll."""
        assert self.state is not None
        return await self.adapter.apply(wanted, self.state, self.now, self.deadline())

    async def tick(self, stage: int, *, decide: bool = True) -> Applied | Withheld | Failed:
        """Read, decide if a second has passed since, apply, and let a tenth pass."""
        await self.read()
        if self.going is None or (decide and self.now - self.going.decided >= 10):
            self.going = GoTo(self.granted(stage), self.now)
        applied = await self.apply(self.going)
        self.wait(1)
        return applied

    async def hold(self, stage: int, tenths: Tenths) -> list[Step]:
        """Ask for a stage for some time; the cabinet must do as it is asked. Gives the steps, each once."""
        steps: list[Step] = []
        for _ in range(tenths):
            applied = await self.tick(stage)
            assert isinstance(applied, Applied), applied
            if steps[-1:] != [applied.step]:
                steps.append(applied.step)
        return steps

    def order(self, order: orders.CabinetOrder) -> None:
        """Order a fault, or skip the test where the cabinet cannot."""
        unsupported = self.cabinet.order(order)
        if unsupported is not None:
            pytest.skip(unsupported.reason)

    def shown(self, interval: Interval) -> int:
        """Give the groups whose lamps show something, as a mask, from inside the cabinet."""
        lamps = self.cabinet.indications()
        return sum(1 << at for at, group in enumerate(self.tables.groups) if lamps[group.number].interval is interval)

    def walking(self, interval: PedInterval) -> int:
        """Give the groups whose pedestrians see something, as a mask, from inside the cabinet."""
        lamps = self.cabinet.indications()
        return sum(1 << at for at, group in enumerate(self.tables.groups) if lamps[group.number].pedestrian is interval)


Body = Callable[[Hand], Awaitable[None]]

TOLD: Mapping[str, tuple[orders.CabinetOrder, frozenset[Condition]]] = {
    "flash": (orders.Flash(on=True), frozenset({Condition.FLASH})),
    "conflict": (orders.ConflictFlash(), frozenset({Condition.CONFLICT_FLASH})),
    "dark": (orders.LampsDark(on=True), frozenset({Condition.LAMP_POWER_LOST})),
    "preempt": (orders.Preempt(on=True, number=3), frozenset({Condition.PREEMPT})),
    "stop time": (orders.StopTime(on=True), frozenset({Condition.STOP_TIME})),
    "lock-out": (orders.LockOut(on=True), frozenset({Condition.LOCAL_LOCK_OUT})),
    "manual": (orders.Manual(on=True), frozenset({Condition.LOCAL_MANUAL})),
    "police": (orders.Police(on=True), frozenset({Condition.POLICE, Condition.LOCAL_MANUAL})),
    "reboot": (orders.Reboot(), frozenset({Condition.REBOOTED})),
    "another writer": (orders.AnotherWriter(on=True), frozenset({Condition.ANOTHER_WRITER})),
}
"""Each order, and the conditions one of which tells of it."""


class AdapterContract(ABC):
    """Inherited by the tests of each adapter."""

    @abstractmethod
    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a cabinet that stands in the first stage since instant 0, and an adapter to it."""

    def crossing_bench(self) -> AbstractAsyncContextManager[Bench] | None:
        """Make the same of `CROSSING`, or None where the protocol knows no pedestrians."""
        return None

    def run(self, body: Body, made: AbstractAsyncContextManager[Bench] | None = None) -> None:
        """Run a test's body on a bench, on a fresh one by default."""

        async def whole() -> None:
            async with made or self.bench() as bench:
                await body(Hand(bench))
                bench.adapter.close()

        asyncio.run(whole())

    # --- looking -----------------------------------------------------------------------------------------------------------------
    def test_opening_and_reading_ask_for_nothing(self) -> None:
        """A cabinet that is only looked at has no request, and runs as it would without us."""

        async def body(hand: Hand) -> None:
            opened = await hand.open()
            for _ in range(20):
                poll = await hand.read(detectors=True)
                hand.wait(1)
                assert not poll.requests

            assert ({}, False) == (opened.conditions, hand.bench.is_asked())

        self.run(body)

    def test_a_poll_tells_what_the_lamps_show(self) -> None:
        """Greens and yellows are those of the cabinet at each tenth of a second, and so is the stage that is on or being left."""

        async def body(hand: Hand) -> None:
            await hand.open()
            for stage in (MAIN, SIDE, LEFT, MAIN):
                for _ in range(100):
                    poll = await hand.read()
                    report = poll.report
                    assert (hand.shown(Interval.GREEN), hand.shown(Interval.YELLOW_CHANGE)) == (report.greens, report.yellows)
                    assert 0 == (report.greens | report.yellows) & ~hand.tables.green[report.stage]
                    await hand.tick(stage)

        self.run(body)

    def test_a_poll_tells_what_pedestrians_want_and_see(self) -> None:
        """A pressed button is a call until its walk begins; walk and clearance are those of the lamps at each tenth of a second."""
        made = self.crossing_bench()
        if made is None:
            pytest.skip("the protocol knows no pedestrians")

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(0, 60)
            told: list[tuple[int, int, int]] = []
            pressed: set[int] = set()
            for tenth in range(200):
                hand.passing = {1: (1.0, 0)} if tenth < 10 else {}
                poll = await hand.read(detectors=True)
                report = poll.report
                if poll.readings is not None and poll.readings.values[Channel.COUNT, 1]:
                    pressed.add(poll.readings.pedestrians)
                assert (hand.walking(PedInterval.WALK), hand.walking(PedInterval.PED_CLEARANCE)) == (report.walks, report.ped_clears)
                seen = report.ped_calls, report.walks, report.ped_clears
                told += [seen] if told[-1:] != [seen] else []
                await hand.tick(1 if tenth > 20 else 0)

            assert [(0, 0, 0), (0b10, 0, 0), (0, 0b10, 0), (0, 0, 0b10), (0, 0, 0)] == told
            assert {0b10} == pressed

        self.run(body, made)

    # --- asking ------------------------------------------------------------------------------------------------------------------
    @pytest.mark.parametrize("way", [(SIDE,), (LEFT,), (SIDE, LEFT, MAIN), (LEFT, SIDE, MAIN, SIDE)])
    def test_a_stage_that_is_asked_for_comes(self, way: tuple[int, ...]) -> None:
        """Each stage is reached, and the steps to it are told in their order and never go back."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(MAIN, 60)
            for stage in way:
                steps = await hand.hold(stage, 110)
                asked = steps[1:] if steps[0] is Step.ARRIVED else steps

                assert sorted(asked) == asked, steps
                assert Step.ARRIVED is steps[-1]
                assert hand.tables.green[stage] == hand.shown(Interval.GREEN)

        self.run(body)

    def test_a_stage_is_held_for_as_long_as_somebody_decides_so(self) -> None:
        """With a decision a second the cabinet never lets go by itself."""

        async def body(hand: Hand) -> None:
            await hand.open()
            for _ in range(3 * hand.bench.backup):
                await hand.tick(MAIN)
                poll = await hand.read()
                assert poll.requests
                assert Condition.BACKUP_EXPIRED not in poll.conditions

            assert hand.tables.green[MAIN] == hand.shown(Interval.GREEN)

        self.run(body)

    @pytest.mark.parametrize("calling", [True, False])
    def test_nothing_is_renewed_without_a_newer_decision(self, calling: bool) -> None:
        """A decider that died is forgotten within the backup time, whether or not its last wish is applied on and on."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(MAIN, 31)
            withheld = 0
            for _ in range(hand.bench.backup + 10):
                if calling:
                    withheld += isinstance(await hand.tick(MAIN, decide=False), Withheld)
                else:
                    hand.wait(1)
            poll = await hand.read()

            assert calling == (withheld > 0)
            assert (False, False) == (hand.bench.is_asked(), poll.requests)
            assert {Condition.BACKUP_EXPIRED} - hand.bench.untold <= poll.conditions.keys()

        self.run(body)

    def test_after_the_backup_time_a_newer_decision_takes_hold_again(self) -> None:
        """It is for the ladder to say whether that may be; the adapter and the cabinet stand ready."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(MAIN, 1)
            hand.wait(hand.bench.backup + 10)
            await hand.read()
            await hand.hold(MAIN, 11)

            assert hand.bench.is_asked()

        self.run(body)

    def test_an_old_decision_is_withheld(self) -> None:
        """What was decided more than a second and a half ago is not sent."""

        async def body(hand: Hand) -> None:
            await hand.open()
            hand.wait(50)
            await hand.read()
            applied = await hand.apply(GoTo(hand.granted(SIDE), hand.now - 16))

            assert isinstance(applied, Withheld)
            assert not hand.bench.is_asked()

        self.run(body)

    def test_flash_is_never_asked_for_by_itself(self) -> None:
        """Without the word for it in the settings, an order to flash is withheld."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.read()
            applied = await hand.apply(RunFlash(hand.now))

            assert isinstance(applied, Withheld)
            assert not hand.bench.is_asked()

        self.run(body)

    def test_free_operation_ends_the_hold_of_a_stage(self) -> None:
        """An order to run free is what a cabinet does by its own calls and times."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(MAIN, 11)
            await hand.read()
            first = await hand.apply(RunFree(hand.now))
            await hand.read()
            second = await hand.apply(RunFree(hand.now))

            assert [Applied(Step.ARRIVED)] * 2 == [first, second]

        self.run(body)

    def test_a_plan_is_run_by_the_cabinet_itself(self) -> None:
        """The plan that was reviewed is the one that runs, renewed by each newer decision; where none can be asked for, that is said."""

        async def body(hand: Hand) -> None:
            await hand.open()
            for _ in range(2 * hand.bench.backup):
                poll = await hand.read()
                assert hand.state is not None
                verdict = review(Proposal(pattern=7), hand.state, hand.tables)
                assert not isinstance(verdict, Refused)
                applied = await hand.apply(RunPlan(verdict.command, hand.now // 10 * 10))
                hand.wait(1)
                if not hand.bench.has_plans:
                    assert isinstance(applied, Withheld)
                    return
                assert Applied(Step.ARRIVED) == applied
            poll = await hand.read()

            assert (7, True) == (poll.plan, poll.requests)

        self.run(body)

    def test_a_cabinet_that_does_not_obey_is_told_once_and_let_go(self) -> None:
        """A request that is acknowledged and without effect is missed at its deadline, and then zeroed."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(MAIN, 60)
            hand.order(orders.IgnoreRequests(on=True))
            missed = None
            for _ in range(120):
                applied = await hand.tick(SIDE)
                if applied == Applied(Step.MISSED):
                    missed = hand.now
                    break
            poll = await hand.read()

            assert missed is not None
            assert (False, False) == (poll.requests, hand.bench.is_asked())

        self.run(body)

    def test_a_request_that_is_refused_is_told(self) -> None:
        """It is no success, and nothing stands at the cabinet."""

        async def body(hand: Hand) -> None:
            await hand.open()
            hand.wait(50)
            hand.order(orders.RefuseRequests(on=True))
            applied = await hand.tick(SIDE)

            assert isinstance(applied, Failed)
            assert Trouble.REQUEST_REFUSED is applied.trouble
            assert not hand.bench.is_asked()

        self.run(body)

    # --- letting go --------------------------------------------------------------------------------------------------------------
    def test_a_release_zeroes_everything_and_is_read_back(self) -> None:
        """After it nothing stands at the cabinet; letting go again is no harm."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(SIDE, 75)
            released = [await hand.adapter.release(hand.now, hand.deadline()) for _ in range(2)]
            poll = await hand.read()

            assert [Released()] * 2 == released
            assert (False, False) == (poll.requests, hand.bench.is_asked())
            assert Condition.BACKUP_EXPIRED not in poll.conditions

        self.run(body)

    def test_a_release_needs_nothing_before_it(self) -> None:
        """A daemon that was started again lets go of what the one before it has left."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(MAIN, 11)
            async with asyncio.timeout(PATIENCE):
                await hand.open()
                released = await hand.adapter.release(hand.now, hand.deadline())

            assert (Released(), False) == (released, hand.bench.is_asked())

        self.run(body)

    def test_a_release_that_is_refused_is_no_release(self) -> None:
        """It fails, is tried again, and succeeds when the cabinet listens."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(MAIN, 11)
            hand.order(orders.RefuseRequests(on=True))
            refused = await hand.adapter.release(hand.now, hand.deadline())
            hand.order(orders.RefuseRequests(on=False))
            released = await hand.adapter.release(hand.now, hand.deadline())

            assert isinstance(refused, Failed)
            assert Released() == released

        self.run(body)

    def test_after_a_release_the_cabinet_can_be_taken_again(self) -> None:
        """Letting go leaves nothing that hinders the next decision."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(MAIN, 60)
            await hand.adapter.release(hand.now, hand.deadline())
            hand.going = None
            steps = await hand.hold(SIDE, 110)

            assert Step.ARRIVED is steps[-1]

        self.run(body)

    # --- what stands against us --------------------------------------------------------------------------------------------------
    @pytest.mark.parametrize("what", TOLD)
    def test_what_happens_at_the_cabinet_is_told(self, what: str) -> None:
        """While we hold a stage, whatever goes before us, or is wrong, is told within two seconds."""
        order, expected = TOLD[what]

        async def body(hand: Hand) -> None:
            if not expected - hand.bench.untold:
                pytest.skip("the protocol has no word for it")
            await hand.open()
            await hand.hold(MAIN, 31)
            quiet = (await hand.read()).conditions
            hand.order(order)
            told: set[Condition] = set()
            for _ in range(20):
                poll = await hand.adapter.read(hand.now, hand.deadline(), detectors=False)
                assert isinstance(poll, Poll), poll
                told |= poll.conditions.keys()
                hand.wait(1)

            assert not quiet
            assert expected & told, told

        self.run(body)

    @pytest.mark.parametrize("what", [orders.Flash, orders.Preempt, orders.Manual, orders.LockOut])
    def test_what_has_ended_is_told_no_more(self, what: type[orders.Flash | orders.Preempt | orders.Manual | orders.LockOut]) -> None:
        """The conditions of a poll are those that stand now."""

        async def body(hand: Hand) -> None:
            await hand.open()
            hand.order(what(on=True))
            hand.wait(5)
            await hand.adapter.read(hand.now, hand.deadline(), detectors=False)
            hand.order(what(on=False))
            hand.wait(200)
            poll = await hand.adapter.read(hand.now, hand.deadline(), detectors=False)

            assert isinstance(poll, Poll)
            assert {} == poll.conditions

        self.run(body)

    def test_another_cabinet_at_the_address_is_told_and_never_asked(self) -> None:
        """Whatever it shows is not taken for ours, and looking at it anew says why."""

        async def body(hand: Hand) -> None:
            if Condition.IDENTITY_CHANGED in hand.bench.untold:
                pytest.skip("the protocol has no word for it")
            await hand.open()
            hand.order(orders.ChangeIdentity(number=99))
            poll = await hand.adapter.read(hand.now, hand.deadline(), detectors=False)
            opened = await hand.adapter.open(hand.now, hand.deadline())

            if isinstance(poll, Poll):
                assert Condition.IDENTITY_CHANGED in poll.conditions
            else:
                assert Trouble.IDENTITY_CHANGED is poll.trouble
            assert isinstance(opened, Opened)
            assert Condition.IDENTITY_CHANGED in opened.conditions

        self.run(body)

    def test_a_cabinet_whose_status_is_frozen_is_not_believed(self) -> None:
        """What stood seconds ago is not taken for what is: a poll fails, or tells a clock that stands still."""

        async def body(hand: Hand) -> None:
            if not hand.bench.tells_time:
                pytest.skip("the protocol tells no time")
            await hand.open()
            await hand.hold(MAIN, 31)
            before = await hand.read()
            hand.order(orders.FreezeStatus(on=True))
            hand.wait(20)
            await hand.adapter.read(hand.now, hand.deadline(), detectors=False)
            hand.wait(20)
            frozen = await hand.adapter.read(hand.now, hand.deadline(), detectors=False)
            hand.order(orders.FreezeStatus(on=False))
            await hand.read()

            assert isinstance(frozen, Failed) or (before.clock is not None and before.clock == frozen.clock)

        self.run(body)

    # --- the link ----------------------------------------------------------------------------------------------------------------
    def test_a_cabinet_that_does_not_answer_has_no_value(self) -> None:
        """Each question fails within its deadline, and the next one after the silence is answered."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(MAIN, 60)
            await hand.bench.silence(on=True)
            clock = asyncio.get_running_loop().time
            assert hand.state is not None
            wanted = GoTo(hand.granted(SIDE), hand.now + 1)
            hand.wait(1)
            began = monotonic()
            answers = [
                await hand.adapter.read(hand.now, clock() + 0.1, detectors=True),
                await hand.adapter.apply(wanted, hand.state, hand.now, clock() + 0.1),
                await hand.adapter.release(hand.now, clock() + 0.1),
                await hand.adapter.open(hand.now, clock() + 0.1),
            ]
            took = monotonic() - began
            await hand.bench.silence(on=False)
            await hand.read()

            assert [Trouble.LINK_LOST] * 4 == [answer.trouble for answer in answers if isinstance(answer, Failed)]
            assert took < 1.0

        self.run(body)

    def test_after_a_silence_the_cabinet_is_led_on(self) -> None:
        """Messages that were lost on their way count for nobody else's."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(MAIN, 31)
            await hand.bench.silence(on=True)
            clock = asyncio.get_running_loop().time
            assert hand.state is not None
            for _ in range(2):
                wanted = GoTo(hand.granted(MAIN), hand.now)
                await hand.adapter.apply(wanted, hand.state, hand.now, clock() + 0.05)
                hand.wait(1)
            await hand.bench.silence(on=False)
            await hand.hold(MAIN, 31)
            poll = await hand.read()

            assert {} == poll.conditions

        self.run(body)

    def test_a_deadline_that_has_passed_sends_nothing(self) -> None:
        """What is asked too late is not asked."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.read()
            assert hand.state is not None
            past = asyncio.get_running_loop().time() - 1.0
            applied = await hand.adapter.apply(GoTo(hand.granted(SIDE), hand.now), hand.state, hand.now, past)

            assert isinstance(applied, Failed)
            assert Trouble.LINK_LOST is applied.trouble
            assert not hand.bench.is_asked()

        self.run(body)

    def test_closing_writes_nothing_and_twice_is_once(self) -> None:
        """What stands at the cabinet stays until its backup time is over; a closed adapter answers with a failure."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.hold(MAIN, 11)
            hand.adapter.close()
            hand.adapter.close()
            poll = await hand.adapter.read(hand.now, hand.deadline(), detectors=False)

            assert hand.bench.is_asked()
            assert isinstance(poll, Failed)
            assert Trouble.LINK_LOST is poll.trouble

        self.run(body)

    # --- detectors ---------------------------------------------------------------------------------------------------------------
    def test_readings_add_up_over_polls_that_were_lost(self) -> None:
        """However the polls fall, no vehicle is counted twice or lost, and no time that one stood on a loop."""

        async def body(hand: Hand) -> None:
            if not hand.bench.has_totals:
                pytest.skip("the protocol tells whether a vehicle is there, and no more")
            await hand.open()
            hand.passing = {0: (1.0, 7), 2: (2.0, 3)}
            first = await hand.read(detectors=True)
            counts, stood, over = [0.0] * 4, [0.0] * 4, 0
            for seconds in (1, 2, 1, 7, 3, 1):
                for _ in range(seconds):
                    await hand.read()
                    hand.wait(10)
                poll = await hand.read(detectors=True)
                assert poll.readings is not None
                over += poll.over
                for at in range(4):
                    counts[at] += float(poll.readings.values[Channel.COUNT, at])
                    stood[at] += float(poll.readings.values[Channel.OCCUPANCY, at]) * poll.over

            assert first.readings is None or not first.readings.values[Channel.COUNT].any()
            assert (150, [15.0, 0.0, 30.0, 0.0]) == (over, counts)
            assert [105, 0, 45, 0] == [round(time) for time in stood]

        self.run(body)

    def test_detectors_are_read_only_when_asked_for(self) -> None:
        """A poll without them has none, rather than old ones."""

        async def body(hand: Hand) -> None:
            await hand.open()
            await hand.read(detectors=True)
            hand.wait(10)
            poll = await hand.read()

            assert (None, 0) == (poll.readings, poll.over)

        self.run(body)

    def test_a_detector_that_has_failed_has_no_reading(self) -> None:
        """It is named with its trouble, and calls; the others are read."""

        async def body(hand: Hand) -> None:
            if not hand.bench.has_totals:
                pytest.skip("the protocol tells whether a vehicle is there, and no more")
            await hand.open()
            await hand.read(detectors=True)
            hand.silent = {1}
            hand.passing = {0: (1.0, 10)}
            hand.wait(20)
            poll = await hand.read(detectors=True)

            assert poll.readings is not None
            assert [True, False, True, True] == poll.readings.valid.tolist()
            assert {"loop 2": DetectorTrouble.OPEN_LOOP} == dict(poll.reported)
            assert 0b0011 == poll.readings.vehicles

        self.run(body)

    def test_after_a_new_start_readings_are_none_rather_than_wrong(self) -> None:
        """Totals that began anew are not taken for a great many vehicles."""

        async def body(hand: Hand) -> None:
            await hand.open()
            hand.passing = {0: (1.0, 7)}
            hand.wait(50)
            await hand.read(detectors=True)
            hand.order(orders.Reboot())
            poll = await hand.read(detectors=True)

            assert poll.readings is None or (0, 0.0) == (poll.over, float(poll.readings.values[Channel.COUNT, 0]))

        self.run(body)
