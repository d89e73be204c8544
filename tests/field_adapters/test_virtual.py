"""The cabinet in memory keeps the contract of every adapter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from field_adapters._base import Applied, Condition, Failed, Poll, Released, Trouble
from field_adapters.modbus_profile import Mode
from field_adapters.simulated import orders
from field_adapters.virtual import VirtualAdapter, VirtualCabinet
from intersection.config import IntersectionConfig
from tests.field_adapters.adapter_contract import CONFIG, CROSSING, MAIN, SIDE, AdapterContract, Bench, Hand

IDENTITY = 77


class VirtualBench(Bench):
    """A cabinet, and its adapter."""

    def __init__(self, config: IntersectionConfig = CONFIG) -> None:
        self.config = config
        self.virtual = self.cabinet = VirtualCabinet(config, identity=IDENTITY)
        self.twin = self.adapter = VirtualAdapter(self.virtual, config, identity=IDENTITY)

    def is_asked(self) -> bool:
        """Look at what the cabinet follows."""
        return self.virtual.following in (Mode.STAGE, Mode.PLAN)

    async def silence(self, *, on: bool) -> None:
        """Let nothing be answered, or everything again."""
        self.twin.silent = on


class TestVirtual(AdapterContract):
    """In memory, without bytes."""

    @asynccontextmanager
    async def _bench(self, config: IntersectionConfig = CONFIG) -> AsyncIterator[Bench]:
        yield VirtualBench(config)

    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench."""
        return self._bench()

    def crossing_bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench with pedestrians."""
        return self._bench(CROSSING)


def on_a_bench(body: Callable[[Hand], Awaitable[None]]) -> None:
    """Run a test's body on a fresh bench."""

    async def whole() -> None:
        await body(Hand(VirtualBench()))

    asyncio.run(whole())


def test_a_request_that_is_not_read_back_is_told() -> None:
    """A cabinet that tells what stood before has not acknowledged it."""

    async def body(hand: Hand) -> None:
        await hand.open()
        hand.order(orders.FreezeStatus(on=True))
        asked = await hand.tick(MAIN)

        assert isinstance(asked, Failed)
        assert Trouble.REQUEST_NOT_ECHOED is asked.trouble

    on_a_bench(body)


def test_a_release_that_is_not_read_back_is_told() -> None:
    """What still seems to stand is left behind, until it is seen to be gone."""

    async def body(hand: Hand) -> None:
        await hand.open()
        await hand.hold(MAIN, 5)
        hand.order(orders.FreezeStatus(on=True))
        first = await hand.adapter.release(hand.now, hand.deadline())
        hand.order(orders.FreezeStatus(on=False))
        second = await hand.adapter.release(hand.now, hand.deadline())

        assert isinstance(first, Failed)
        assert (Trouble.REQUEST_LEFT_BEHIND, Released()) == (first.trouble, second)

    on_a_bench(body)


def test_a_cabinet_that_does_not_obey_and_refuses_to_be_let_go_is_a_failure() -> None:
    """What was missed is not told as let go."""

    async def body(hand: Hand) -> None:
        await hand.open()
        await hand.hold(MAIN, 60)
        hand.order(orders.IgnoreRequests(on=True))
        applied = await hand.tick(SIDE)
        while isinstance(applied, Applied):
            await hand.read()
            if hand.now % 10 == 1:
                hand.order(orders.RefuseRequests(on=True))
            applied = await hand.tick(SIDE, decide=hand.now % 10 == 0)
            hand.order(orders.RefuseRequests(on=False))

        assert isinstance(applied, Failed)
        assert Trouble.REQUEST_REFUSED is applied.trouble

    on_a_bench(body)


def test_a_second_adapter_at_the_same_cabinet_is_another_writer() -> None:
    """Two daemons see each other; what was asked before one of them came is nobody else's."""

    async def body(hand: Hand) -> None:
        await hand.open()
        await hand.hold(MAIN, 15)
        cabinet = hand.cabinet
        assert isinstance(cabinet, VirtualCabinet)
        other = VirtualAdapter(cabinet, CONFIG, identity=IDENTITY)
        await other.open(hand.now, hand.deadline())
        before = await other.read(hand.now, hand.deadline(), detectors=False)
        await hand.hold(MAIN, 10)
        after = await other.read(hand.now, hand.deadline(), detectors=False)

        assert isinstance(before, Poll)
        assert isinstance(after, Poll)
        assert ([], [Condition.ANOTHER_WRITER]) == (list(before.conditions), list(after.conditions))

    on_a_bench(body)


def test_a_cabinet_on_no_street_lives_by_its_reader_s_clock() -> None:
    """It runs its own plan, and is read as a cabinet that lives."""

    async def body() -> list[int]:
        cabinet = VirtualCabinet(CONFIG, own_pattern=7)
        adapter = VirtualAdapter(cabinet, CONFIG, alone=True)
        stages: list[int] = []
        for now in (0, 0, *range(100, 1300, 100)):
            poll = await adapter.read(now, asyncio.get_running_loop().time() + 1.0, detectors=False)
            assert isinstance(poll, Poll), poll
            stages += [poll.report.stage] if stages[-1:] != [poll.report.stage] else []
        return stages

    assert [MAIN, SIDE, MAIN, SIDE, MAIN] == asyncio.run(body())


def test_a_plan_that_the_cabinet_does_not_have_is_refused_in_words() -> None:
    """Its own gate says why, and nothing is followed."""
    cabinet = VirtualCabinet(CONFIG)

    assert cabinet.ask(Mode.PLAN, 99, decided=0, writer="us")
    assert Mode.RELEASED is cabinet.following


def test_a_decision_that_has_run_out_is_not_followed_again() -> None:
    """To say once more what was decided before winds no watchdog up."""
    cabinet = VirtualCabinet(CONFIG)
    cabinet.ask(Mode.STAGE, SIDE, decided=0, writer="us")
    cabinet.advance(cabinet.watchdog)

    assert None is cabinet.ask(Mode.STAGE, SIDE, decided=0, writer="us")
    assert Mode.EXPIRED is cabinet.following
