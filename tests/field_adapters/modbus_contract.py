"""What every wire to a Modbus device promises. A new wire inherits `LinkContract` and says how a peer of it is made."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from time import monotonic
from typing import Protocol

import pytest

from field_adapters._modbus_errors import LinkClosed, UnreviewedError
from field_adapters.modbus_link import Budget, ExceptionCode, ModbusLink, RegisterBank, Wire, Written
from field_adapters.modbus_map import Cause, Cells, Failure, GoTo, Heartbeat, RegisterMap, Release, RequestBlock
from field_adapters.modbus_profile import Block, Table, load_profile
from intersection.shield import Command
from tests.field_adapters.modbus_samples import PROGRAM, status

DEADLINE = 0.3


class Bank:
    """A bank with a word in each cell that tells where it lies, and one address that does not exist."""

    def __init__(self) -> None:
        self.written: list[tuple[Table, int, tuple[int, ...]]] = []

    def read(self, table: Table, address: int, count: int) -> tuple[int, ...] | ExceptionCode:
        """Give words that differ by table and address."""
        if address >= 60_000:
            return ExceptionCode.ILLEGAL_ADDRESS
        if table.is_bits:
            return tuple((address + at) % 3 % 2 for at in range(count))
        return tuple((7 * (address + at) + 60_000 * (table is Table.INPUT)) % 65_536 for at in range(count))

    def write(self, table: Table, address: int, cells: Sequence[int]) -> ExceptionCode | None:
        """Keep what is written."""
        self.written.append((table, address, tuple(cells)))
        return ExceptionCode.BUSY if len(self.written) > 3 else None


class Peer(Protocol):
    """A device at the other end."""

    wire: Wire

    def silence(self, silent: bool) -> None:
        """Let it take requests in and answer none, or answer again."""

    async def cut(self) -> None:
        """Cut every connection, and let nobody in."""

    async def mend(self) -> None:
        """Let the link in again."""


def block(table: Table, address: int, size: int) -> Block:
    """Make a block without fields."""
    return Block(table=table, address=address, size=size, fields={})


def request(vendor: str = "phasewise_v1", sequence: int = 9) -> RequestBlock:
    """Make a request that a vendor's map has."""
    to = RegisterMap(profile=load_profile(vendor), program=PROGRAM)
    seen = status() if vendor == "phasewise_v1" else replace(status(), boot=None, clock=None)
    return RequestBlock(map=to, request=GoTo(Heartbeat(Command(1, 0, 0), 100, 5), 300), seen=seen, sequence=sequence, now=101)


class LinkContract(ABC):
    """Inherited by the tests of each wire."""

    @abstractmethod
    def peer(self, bank: RegisterBank) -> AbstractAsyncContextManager[Peer]:
        """Make a device over a bank, and a wire to it."""

    def run(self, body: Callable[[ModbusLink, Peer, Bank], Awaitable[None]], budget: Budget | None = None) -> None:
        """Run a test's body with a link to a fresh device."""

        async def whole() -> None:
            bank = Bank()
            async with self.peer(bank) as peer:
                link = ModbusLink(peer.wire, budget or Budget(deadline=2.0))
                await body(link, peer, bank)
                link.close()

        asyncio.run(whole())

    @pytest.mark.parametrize("table", list(Table))
    @pytest.mark.parametrize("size", [1, 17, 123])
    def test_a_read_gives_the_cells_of_its_table(self, table: Table, size: int) -> None:
        """Each table is read by its own function, at its address, in full."""

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            answer = await link.read(block(table, 40, size))

            assert Cells(Bank().read(table, 40, size)) == answer  # type: ignore[arg-type]  # address 40 exists

        self.run(body)

    @pytest.mark.parametrize("vendor", ["phasewise_v1", "coil_groups"])
    def test_a_request_is_written_whole_and_once(self, vendor: str) -> None:
        """The device gets all cells of a request in one piece."""
        asked = request(vendor)

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            answer = await link.write(asked)

            assert (Written(), [(asked.table, asked.address, asked.cells)]) == (answer, bank.written)

        self.run(body)

    def test_a_release_is_written_without_a_status(self) -> None:
        """To let go, nothing need have been read."""
        to = RegisterMap(profile=load_profile("phasewise_v1"), program=PROGRAM)

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            answer = await link.write(RequestBlock(map=to, request=Release(), seen=None, sequence=1, now=0))

            assert Written() == answer

        self.run(body)

    def test_what_a_device_refuses_is_told_apart_from_a_failure(self) -> None:
        """An address that does not exist is named as such, and the link goes on."""

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            refused = await link.read(block(Table.INPUT, 60_000, 2))
            after = await link.read(block(Table.INPUT, 0, 1))

            assert (Failure(Cause.EXCEPTION, "ILLEGAL_ADDRESS"), Cells((60_000,))) == (refused, after)

        self.run(body)

    def test_a_refused_write_is_told(self) -> None:
        """A device that is busy has not taken a request in."""

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            answers = [await link.write(request(sequence=at)) for at in range(1, 5)]

            assert [Written()] * 3 + [Failure(Cause.EXCEPTION, "BUSY")] == answers

        self.run(body)

    @pytest.mark.parametrize("retries", [0, 2])
    def test_a_silent_device_costs_the_deadline_and_no_more(self, retries: int) -> None:
        """However often a read is tried again, all tries share one deadline."""

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            peer.silence(True)
            began = monotonic()
            answer = await link.read(block(Table.INPUT, 0, 4))
            took = monotonic() - began

            assert isinstance(answer, Failure)
            assert Cause.TIMED_OUT is answer.cause, answer
            assert 0.9 * DEADLINE <= took < 2 * DEADLINE

        self.run(body, Budget(deadline=DEADLINE, retries=retries))

    def test_a_request_is_never_written_twice(self) -> None:
        """A write that is not answered is not tried again: the device may have taken it in."""

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            peer.silence(True)
            answer = await link.write(request())

            assert (1, Failure(Cause.TIMED_OUT, f"{1000 * DEADLINE:.0f} ms")) == (len(bank.written), answer)

        self.run(body, Budget(deadline=DEADLINE, retries=2))

    def test_a_device_that_speaks_again_is_heard_at_once(self) -> None:
        """After a silence the next read makes its way by itself."""

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            peer.silence(True)
            lost = await link.read(block(Table.INPUT, 0, 4))
            peer.silence(False)
            found = await link.read(block(Table.INPUT, 1, 1))

            assert (Failure, Cells((60_007,))) == (type(lost), found)

        self.run(body, Budget(deadline=DEADLINE, retries=0))

    def test_questions_asked_at_once_get_each_their_answer(self) -> None:
        """A link asks one thing at a time."""

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            answers = await asyncio.gather(*(link.read(block(Table.HOLDING, at, 2)) for at in range(20)))

            assert [Cells((7 * at, 7 * at + 7)) for at in range(20)] == answers

        self.run(body)

    def test_a_cancelled_question_leaves_no_answer_behind(self) -> None:
        """Who gives up waiting does not spoil the next question."""

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            peer.silence(True)
            asked = asyncio.create_task(link.read(block(Table.HOLDING, 0, 2)))
            await asyncio.wait([asked], timeout=0.05)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            peer.silence(False)

            assert Cells((7, 14)) == await link.read(block(Table.HOLDING, 1, 2))

        self.run(body)

    def test_a_closed_link_says_so(self) -> None:
        """Closing twice does no harm; asking a closed link is a fault of ours."""

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            link.close()
            link.close()
            with pytest.raises(LinkClosed):
                await link.read(block(Table.INPUT, 0, 1))

        self.run(body)

    def test_what_only_looks_like_a_request_is_not_written(self) -> None:
        """A subclass with cells of its own does not pass."""

        class Forged(RequestBlock):
            cells = (0xFFFF,) * 13

        good = request()
        forged = Forged(map=good.map, request=good.request, seen=good.seen, sequence=9, now=good.now)

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            with pytest.raises(UnreviewedError, match="request blocks"):
                await link.write(forged)

            assert [] == bank.written

        self.run(body)


class ConnectionContract(LinkContract):
    """Inherited beyond that by wires that have a connection to lose."""

    def test_a_cut_connection_is_a_failure_and_heals_by_itself(self) -> None:
        """While nobody is there a read fails, fast; once somebody is, the next read works."""

        async def body(link: ModbusLink, peer: Peer, bank: Bank) -> None:
            before = await link.read(block(Table.INPUT, 1, 1))
            await peer.cut()
            began = monotonic()
            gone = [await link.read(block(Table.INPUT, 1, 1)) for _ in range(2)]
            took = monotonic() - began
            await peer.mend()
            after = await link.read(block(Table.INPUT, 1, 1))

            assert [Cause.DISCONNECTED] * 2 == [answer.cause for answer in gone if isinstance(answer, Failure)]
            assert took < 1.0
            assert Cells((60_007,)) == before == after

        self.run(body)
