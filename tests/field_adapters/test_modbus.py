"""The adapter for Modbus keeps the contract with our own map and with another vendor's, in memory and over TCP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from field_adapters import modbus_map as wire_map
from field_adapters._base import (
    Applied,
    Condition,
    Failed,
    GoTo,
    Opened,
    Poll,
    Released,
    RunFree,
    RunPlan,
    Trouble,
    Withheld,
)
from field_adapters._following import SLACK
from field_adapters.modbus import ModbusAdapter
from field_adapters.modbus_link import Budget, ExceptionCode, ModbusLink, VirtualWire, Wire, WriteAnswer, tcp
from field_adapters.modbus_map import Cause, Failure, Refusal, RequestBlock
from field_adapters.modbus_profile import LARGEST_WORD, Mode, Table, crc16, load_profile
from field_adapters.simulated import orders
from field_adapters.simulated.modbus_device import ModbusDevice
from field_adapters.simulated.modbus_server import ModbusServer
from intersection import machine
from intersection.config import IntersectionConfig, parse
from intersection.detection import Channel
from intersection.shield import Command, Proposal, Refused, review
from intersection.state import IntersectionState
from intersection.transition import Step
from tests.field_adapters.adapter_contract import CONFIG, CROSSING, LEFT, MAIN, SIDE, AdapterContract, Bench, Hand
from tests.intersection.documents import GOOD

IDENTITY = 77


class ModbusBench(Bench):
    """A device, and an adapter over some wire."""

    def __init__(self, vendor: str, config: IntersectionConfig = CONFIG) -> None:
        self.config = config
        self.device = self.cabinet = ModbusDevice(config, load_profile(vendor), identity=IDENTITY)
        self.server = ModbusServer(self.device)
        if vendor == "coil_groups":
            self.has_plans = self.has_totals = self.tells_time = False
            self.untold = frozenset(
                {
                    *(Condition.REBOOTED, Condition.PREEMPT, Condition.STOP_TIME, Condition.CONFLICT_FLASH),
                    *(
                        Condition.LOCAL_LOCK_OUT,
                        Condition.LOCAL_MANUAL,
                        Condition.POLICE,
                        Condition.IDENTITY_CHANGED,
                        Condition.LAMP_POWER_LOST,
                    ),
                }
            )

    def connect(self, wire: Wire) -> None:
        """Let an adapter speak over a wire."""
        link = ModbusLink(wire, Budget(deadline=1.0, retries=0))
        self.adapter = ModbusAdapter(link, self.config, self.device.map.profile, identity=IDENTITY)

    def is_asked(self) -> bool:
        """Look at what the device follows."""
        return self.device.following in (Mode.STAGE, Mode.PLAN)

    async def silence(self, *, on: bool) -> None:
        """Let the device take messages in and answer none."""
        self.server.silent = on


class VirtualBench(ModbusBench):
    """The same in memory."""

    def __init__(self, vendor: str, config: IntersectionConfig = CONFIG) -> None:
        super().__init__(vendor, config)
        self.wire = VirtualWire(self.device)
        self.connect(self.wire)

    async def silence(self, *, on: bool) -> None:
        """Let the device take messages in and answer none."""
        self.wire.silent = on


class TestInMemory(AdapterContract):
    """Our own map."""

    @asynccontextmanager
    async def _bench(self, config: IntersectionConfig = CONFIG) -> AsyncIterator[Bench]:
        yield VirtualBench("phasewise_v1", config)

    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench."""
        return self._bench()

    def crossing_bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench with pedestrians."""
        return self._bench(CROSSING)


class TestAnotherVendor(AdapterContract):
    """A coil a group."""

    @asynccontextmanager
    async def _bench(self) -> AsyncIterator[Bench]:
        yield VirtualBench("coil_groups")

    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench."""
        return self._bench()


class TestOverTcp(AdapterContract):
    """Our own map over loopback."""

    @asynccontextmanager
    async def _bench(self, config: IntersectionConfig = CONFIG) -> AsyncIterator[Bench]:
        bench = ModbusBench("phasewise_v1", config)
        async with bench.server:
            bench.connect(tcp("127.0.0.1", await bench.server.listen()))
            yield bench

    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench."""
        return self._bench()

    def crossing_bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench with pedestrians."""
        return self._bench(CROSSING)


# --- what is Modbus's own ------------------------------------------------------------------------------------------------------------
class LossyWire(VirtualWire):
    """A wire whose next write is lost, or whose next write's answer is."""

    loses_write = loses_answer = False

    async def write(self, block: RequestBlock) -> WriteAnswer:
        """Lose it, or write."""
        if self.loses_write:
            self.loses_write = False
            return Failure(Cause.TIMED_OUT)
        answer = await super().write(block)
        if self.loses_answer:
            self.loses_answer = False
            return Failure(Cause.TIMED_OUT)
        return answer


class MeddledBank:
    """A device between which and us somebody else has a hand."""

    def __init__(self, device: ModbusDevice) -> None:
        self.device = device
        self.deaf = False
        """Whether writes are taken in and go nowhere."""

        self.after_write: orders.CabinetOrder | None = None
        """What happens at the device right after a write."""

    def read(self, table: Table, address: int, count: int) -> tuple[int, ...] | ExceptionCode:
        """Read the device."""
        return self.device.read(table, address, count)

    def write(self, table: Table, address: int, cells: Sequence[int]) -> ExceptionCode | None:
        """Write into the device, or not."""
        if self.deaf:
            return None
        answer = self.device.write(table, address, cells)
        if self.after_write is not None:
            self.device.order(self.after_write)
            self.device.advance((self.device.now // 10 + 1) * 10)
        return answer


def meddled(body: Callable[[Hand, MeddledBank, LossyWire], Awaitable[None]], vendor: str = "phasewise_v1") -> None:
    """Run a test's body on a bench of which everything can be spoilt."""

    async def whole() -> None:
        bench = ModbusBench(vendor)
        bank = MeddledBank(bench.device)
        wire = LossyWire(bank)
        bench.connect(wire)
        await body(Hand(bench), bank, wire)

    asyncio.run(whole())


def test_a_lost_answer_and_a_lost_request_are_nobody_else_s() -> None:
    """A sequence of ours that is acknowledged later than the next one was written is no other writer's."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        await hand.open()
        await hand.hold(MAIN, 11)
        for lost in ("loses_answer", "loses_write"):
            hand.wait(10)
            await hand.read()
            setattr(wire, lost, True)
            assert isinstance(await hand.apply(GoTo(hand.granted(MAIN), hand.now)), Failed)
        poll = await hand.read()

        assert {} == poll.conditions

    meddled(body)


def test_a_request_that_arrives_after_a_new_look_is_nobody_else_s() -> None:
    """A stream that stood still may deliver it when the link has been given up and opened again."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        held: list[tuple[Table, int, tuple[int, ...]]] = []
        await hand.open()
        await hand.hold(MAIN, 11)
        hand.wait(10)
        await hand.read()
        wire.loses_write, write = True, wire.write

        async def hold_back(block: RequestBlock) -> WriteAnswer:
            held.append((block.table, block.address, tuple(block.cells)))
            return await write(block)

        wire.write = hold_back  # type: ignore[method-assign]  # the wire holds back what it does not carry
        await hand.apply(GoTo(hand.granted(MAIN), hand.now))
        await hand.open()
        bank.write(*held[0])
        poll = await hand.read()

        assert {} == poll.conditions

    meddled(body)


@pytest.mark.parametrize("lets_go", [False, True])
def test_a_start_anew_while_the_link_was_lost_is_told(lets_go: bool) -> None:
    """A cabinet without power does not answer either; that we let go of it before we look at it anew hides nothing."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        await hand.open()
        await hand.read()
        bank.device.restart()
        if lets_go:
            await hand.adapter.release(hand.now, hand.deadline())
        await hand.open()
        poll = await hand.read()

        assert {Condition.REBOOTED} == set(poll.conditions)

    meddled(body)


def test_one_decision_winds_the_watchdog_up_once() -> None:
    """Also where its acknowledgement was lost and it is written again."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        await hand.open()
        await hand.read()
        wire.loses_answer = True
        wanted = GoTo(hand.granted(MAIN), hand.now)
        first = await hand.apply(wanted)
        hand.wait(7)
        await hand.read()
        second = await hand.apply(wanted)
        poll = await hand.read()

        assert isinstance(first, Failed)
        assert (Applied(Step.ARRIVED), hand.bench.backup - 7) == (second, poll.backup_left)

    meddled(body)


def test_a_lost_request_is_written_again_at_the_next_tick() -> None:
    """The decision that stands behind it still counts."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        await hand.open()
        await hand.read()
        wire.loses_write = True
        wanted = GoTo(hand.granted(MAIN), hand.now)
        first = await hand.apply(wanted)
        hand.wait(7)
        await hand.read()
        second = await hand.apply(wanted)
        poll = await hand.read()

        assert isinstance(first, Failed)
        assert (Applied(Step.ARRIVED), hand.bench.backup) == (second, poll.backup_left)

    meddled(body)


def test_what_the_gate_does_by_itself_winds_nothing_up() -> None:
    """Another stage without a newer decision is written at once, and the watchdog runs on."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        await hand.open()
        await hand.hold(MAIN, 65)
        await hand.read()
        assert hand.going is not None
        decided = hand.going.decided
        applied = await hand.apply(GoTo(hand.granted(SIDE), decided))
        poll = await hand.read()

        assert isinstance(applied, Applied)
        assert (SIDE, decided + hand.bench.backup - hand.now) == (poll.report.target, poll.backup_left)

    meddled(body)


def test_a_request_that_goes_nowhere_is_told() -> None:
    """Taken in by the device's Modbus and never heard of again: it is not read back, and neither is the release of what stands."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        await hand.open()
        await hand.hold(MAIN, 11)
        bank.deaf, hand.going = True, None
        asked = await hand.tick(MAIN)
        released = await hand.adapter.release(hand.now, hand.deadline())

        assert isinstance(asked, Failed)
        assert isinstance(released, Failed)
        assert (Trouble.REQUEST_NOT_ECHOED, Trouble.REQUEST_LEFT_BEHIND) == (asked.trouble, released.trouble)

    meddled(body)


@pytest.mark.parametrize("wanted", [RunFree(0), None])
def test_an_order_that_cannot_be_let_go_for_is_a_failure(wanted: RunFree | None) -> None:
    """Free operation, and a stage that was missed, need a release that is read back."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        await hand.open()
        await hand.hold(MAIN, 60)
        if wanted is None:
            hand.order(orders.IgnoreRequests(on=True))
        applied: Applied | Withheld | Failed = Applied(Step.ARRIVED)
        for _ in range(120):
            await hand.read()
            bank.deaf = isinstance(wanted, RunFree) or hand.now >= 60 + 40 + SLACK
            hand.going = hand.going if hand.going is not None and (bank.deaf or hand.now % 10) else GoTo(hand.granted(SIDE), hand.now)
            applied = await hand.apply(wanted or replace(hand.going, decided=hand.now // 10 * 10))
            if isinstance(applied, Failed):
                break
            hand.wait(1)

        assert isinstance(applied, Failed)

    meddled(body)


@pytest.mark.parametrize(
    ("order", "condition"),
    [(orders.AnotherWriter(on=True), Condition.ANOTHER_WRITER), (orders.Reboot(), Condition.REBOOTED)],
)
def test_what_comes_between_a_request_and_its_answer_is_told(order: orders.CabinetOrder, condition: Condition) -> None:
    """The request is not taken to stand."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        await hand.open()
        await hand.hold(MAIN, 11)
        bank.after_write, hand.going = order, None
        asked = await hand.tick(MAIN)
        poll = await hand.adapter.read(hand.now, hand.deadline(), detectors=False)

        assert isinstance(asked, Failed)
        assert isinstance(poll, Poll)
        assert Trouble.REQUEST_NOT_ECHOED is asked.trouble
        assert condition in poll.conditions

    meddled(body)


def test_a_refusal_is_told_in_the_operator_s_words() -> None:
    """Its code is the map's."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        await hand.open()
        hand.order(orders.LockOut(on=True))
        asked = await hand.tick(MAIN)

        assert Failed(Trouble.REQUEST_REFUSED, Refusal.LOCAL.words) == asked

    meddled(body)


def test_a_request_needs_a_cabinet_that_was_read() -> None:
    """Before anything was seen, it is withheld."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        state = machine.start(hand.tables, MAIN, 0)
        hand.state = state
        asked = await hand.apply(GoTo(hand.granted(MAIN), 0))

        assert Withheld(wire_map.Withheld.NOTHING_SEEN.value) == asked

    meddled(body)


@pytest.mark.parametrize("waited", [62, 85])
def test_a_stage_that_is_being_left_is_found_without_its_number(waited: int) -> None:
    """A map that tells stages by their greens tells nothing of a change that runs at the first poll: any stage that fits is taken."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        device = bank.device
        device.advance(60)
        device.follow(Mode.STAGE, LEFT)
        device.advance(waited)
        poll = await hand.adapter.read(hand.now, hand.deadline(), detectors=False)

        assert isinstance(poll, Poll)
        assert MAIN == poll.report.stage

    meddled(body, "coil_groups")


def test_a_stage_whose_greens_are_part_of_another_s_is_not_told_too_early() -> None:
    """While a yellow of the stage before is on, that stage is being left, although the greens are already those of the next."""

    async def body() -> list[tuple[int, int, int]]:
        config = parse(GOOD)
        device = ModbusDevice(config, load_profile("coil_groups"))
        adapter = ModbusAdapter(ModbusLink(VirtualWire(device)), config, device.map.profile)
        found: list[tuple[int, int, int]] = []
        for now in range(55, 115):
            device.advance(now)
            if now == 60:
                device.follow(Mode.STAGE, 2)
            poll = await adapter.read(now, asyncio.get_running_loop().time() + 1.0, detectors=False)
            assert isinstance(poll, Poll), poll
            seen = poll.report.stage, poll.report.greens, poll.report.yellows
            found += [seen] if found[-1:] != [seen] else []
        return found

    assert [(0, 0b101, 0), (0, 0b100, 0b001), (2, 0b100, 0)] == asyncio.run(body())


def test_another_writer_s_coils_are_seen() -> None:
    """Where there are no sequences, what is read back tells."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        await hand.open()
        await hand.hold(MAIN, 31)
        before = (await hand.read()).conditions
        hand.order(orders.AnotherWriter(on=True))
        hand.wait(10)
        poll = await hand.adapter.read(hand.now, hand.deadline(), detectors=False)

        assert isinstance(poll, Poll)
        assert ([], [Condition.ANOTHER_WRITER]) == (list(before), list(poll.conditions))

    meddled(body, "coil_groups")


def test_where_detectors_do_not_count_a_vehicle_that_has_passed_is_seen() -> None:
    """It calls, and counts once for as long as it is told."""

    async def body(hand: Hand, bank: MeddledBank, wire: LossyWire) -> None:
        await hand.open()
        found = []
        for passing in ({}, {1: (1.0, 4)}, {1: (1.0, 4)}, {}):
            hand.passing = passing
            hand.wait(10)
            readings = (await hand.read(detectors=True)).readings
            assert readings is not None
            found.append((readings.vehicles, float(readings.values[Channel.COUNT, 1])))

        assert [(0, 0.0), (0b10, 1.0), (0b10, 0.0), (0, 0.0)] == found

    meddled(body, "coil_groups")


class NoisyBank:
    """A device that answers anything."""

    def __init__(self, device: ModbusDevice, random: Random) -> None:
        self.device, self.random = device, random

    def read(self, table: Table, address: int, count: int) -> tuple[int, ...] | ExceptionCode:
        """Answer the truth, some of it, or noise."""
        cells = self.device.read(table, address, count)
        if isinstance(cells, ExceptionCode) or self.random.random() < 0.4:
            return cells
        noise = [self.random.choice((cell, self.random.randrange(1 if table.is_bits else LARGEST_WORD))) for cell in cells]
        if not table.is_bits and self.random.random() < 0.8:
            noise[-1] = crc16(noise[:-1])
        return tuple(noise[: self.random.choice((count, count, count, 1))])

    def write(self, table: Table, address: int, cells: Sequence[int]) -> ExceptionCode | None:
        """Take it in, or refuse it."""
        return self.random.choice((self.device.write(table, address, cells), None, ExceptionCode.BUSY))


@settings(max_examples=min(40, settings().max_examples), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), vendor=st.sampled_from(["phasewise_v1", "coil_groups"]))
def test_whatever_a_device_answers_is_told_and_never_raised(seed: int, vendor: str) -> None:
    """Noise gives failures, or polls that the map allows; nothing escapes into the tick."""

    async def body() -> set[type]:
        bench, random = ModbusBench(vendor), Random(seed)
        bench.connect(VirtualWire(NoisyBank(bench.device, random)))
        adapter, state = bench.adapter, machine.start(CONFIG.tables, MAIN, 0)
        answers: set[type] = set()
        for now in range(0, 200, 5):
            bench.device.advance(now)
            deadline = asyncio.get_running_loop().time() + 1.0
            command = _command(state._replace(now=now), random.choice((MAIN, SIDE, LEFT)))
            wanted = random.choice((GoTo(command, now), RunPlan(command, now), RunFree(now)))
            answers |= {
                type(await adapter.open(now, deadline)) if now % 50 == 0 else Poll,
                type(await adapter.read(now, deadline, detectors=random.random() < 0.5)),
                type(await adapter.apply(wanted, state, now, deadline)),
                type(await adapter.release(now, deadline)) if random.random() < 0.1 else Released,
            }
        return answers

    assert asyncio.run(body()) <= {Opened, Poll, Applied, Withheld, Failed, Released}


def _command(state: IntersectionState, stage: int) -> Command:
    verdict = review(Proposal(stage=stage), state, CONFIG.tables)
    assert not isinstance(verdict, Refused)
    return verdict.command
