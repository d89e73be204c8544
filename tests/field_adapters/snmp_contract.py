"""What every `SnmpTransport` promises. An implementation's test class says how to open a link to a store, and inherits the rest."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, TypeVar

import pytest

from field_adapters.ntcip_objects import (
    CONTROL_BYTES,
    FORCE_OFF,
    FREE,
    GLOBAL_TIME,
    HOLD,
    PHASE_CONCURRENCY,
    PHASE_GREENS,
    PHASE_MINIMUM_GREEN,
    PHASE_REDS,
    PHASE_STARTUP,
    PHASE_WALK,
    PHASE_YELLOWS,
    SYSTEM_DESCRIPTION,
    SYSTEM_PATTERN_CONTROL,
    SYSTEM_UP_TIME,
    UNIT_BACKUP_TIME,
    UNIT_FLASH_STATUS,
    VEH_CALL,
    Instance,
    Oid,
    Write,
    released,
    requests,
)
from field_adapters.simulated.snmp_agent import TableStore
from field_adapters.snmp import (
    Accepted,
    Counter,
    ErrorStatus,
    Gauge,
    NoSuchObject,
    OutOfRange,
    ReadResult,
    Refusal,
    SnmpTransport,
    Status,
    Ticks,
    Timeout,
    Unreachable,
    Values,
    WireValue,
    WriteResult,
    WrongType,
)

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds within which an answer on loopback comes even from a busy machine."""


def cabinet_values() -> dict[Oid, WireValue]:
    """Write down what a small cabinet holds: twelve phases, all requests zero."""
    values: dict[Instance, WireValue] = {
        **{instance: 0 for control in CONTROL_BYTES for instance in control.groups()},
        **{PHASE_MINIMUM_GREEN.at(phase): 5 + phase for phase in range(1, 13)},
        PHASE_REDS.at(1): 0b11011101,
        PHASE_REDS.at(2): 0b00001111,
        PHASE_YELLOWS.at(1): 0,
        PHASE_YELLOWS.at(2): 0,
        PHASE_GREENS.at(1): 0b00100010,
        PHASE_GREENS.at(2): 0,
        PHASE_CONCURRENCY.at(1): bytes((5, 6)),
        PHASE_CONCURRENCY.at(2): b"",
        PHASE_STARTUP.at(1): 6,
        UNIT_FLASH_STATUS.at(): 2,
        UNIT_BACKUP_TIME.at(): 900,
        SYSTEM_PATTERN_CONTROL.at(): 0,
        SYSTEM_DESCRIPTION.at(): b"a cabinet",
        SYSTEM_UP_TIME.at(): Ticks(4_000_000_000),
        GLOBAL_TIME.at(): Counter(1_800_000_000),
    }
    return {instance.oid: value for instance, value in values.items()}


def byte(value: WireValue) -> Status | None:
    """Refuse what is no byte."""
    return None if isinstance(value, int) and 0 <= value <= 255 else Status.WRONG_VALUE


def cabinet_store(**more: WireValue) -> TableStore:
    """Make the store of a small cabinet that takes requests, with some values changed, by the names below."""
    names = {"flash": UNIT_FLASH_STATUS.at(), "backup": UNIT_BACKUP_TIME.at(), "startup": PHASE_STARTUP.at(1), "greens": PHASE_GREENS.at(1)}
    values = cabinet_values() | {names[name].oid: value for name, value in more.items()}
    writable = [instance for control in CONTROL_BYTES for instance in control.groups()] + [SYSTEM_PATTERN_CONTROL.at()]
    return TableStore(values, {instance.oid: byte for instance in writable})


class Standing:
    """A store that hands everything to another, so that one agent can stand on many: an engine takes a tenth of a second to make."""

    def __init__(self) -> None:
        self.on = cabinet_store()

    def read(self, oid: Oid) -> WireValue | None:
        """Hand it on."""
        return self.on.read(oid)

    def next(self, oid: Oid) -> Oid | None:
        """Hand it on."""
        return self.on.next(oid)

    def write(self, writes: Sequence[tuple[Oid, WireValue]]) -> Refusal | None:
        """Hand it on."""
        return self.on.write(writes)


def soon() -> float:
    """Return a deadline that no working link misses."""
    return asyncio.get_running_loop().time() + PATIENCE


class SnmpTransportContract(ABC):
    """The promises."""

    refuses_with: ClassVar[Mapping[str, Status]]
    """What the link's version says to: an object that is not there to be written, and a value that is wrong."""

    @abstractmethod
    def opened(self, store: TableStore) -> AbstractAsyncContextManager[SnmpTransport]:
        """Open a link to a store."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end what a test does."""
        return asyncio.run(work)

    def with_link(self, store: TableStore, work: Callable[[SnmpTransport], Awaitable[T]]) -> T:
        """Do something on a link of its own."""

        async def session() -> T:
            async with self.opened(store) as link:
                return await work(link)

        return self.run(session())

    def read(self, store: TableStore, *instances: Instance) -> Values:
        """Read on a link of its own what must come back."""

        async def work(link: SnmpTransport) -> ReadResult:
            return await link.get(instances, soon())

        result = self.with_link(store, work)
        assert isinstance(result, Values), result
        return result

    def test_what_the_cabinet_holds_is_read(self) -> None:
        """Whole numbers, octets, counters and ticks come back as they are held, each in its place."""
        asked = (PHASE_GREENS.at(1), PHASE_CONCURRENCY.at(1), PHASE_CONCURRENCY.at(2), SYSTEM_UP_TIME.at(), GLOBAL_TIME.at())

        values = self.read(cabinet_store(), *asked)

        expected = Values(
            {PHASE_GREENS.at(1): 34, SYSTEM_UP_TIME.at(): 4_000_000_000, GLOBAL_TIME.at(): 1_800_000_000},
            {PHASE_CONCURRENCY.at(1): b"\x05\x06", PHASE_CONCURRENCY.at(2): b""},
            {},
        )
        assert expected == values

    def test_an_object_that_is_missing_is_named_and_the_others_are_read(self) -> None:
        """Each missing object is a fault by its name, wherever it stands in the message, and hides nothing else."""
        asked = (PHASE_WALK.at(1), PHASE_GREENS.at(1), PHASE_MINIMUM_GREEN.at(16), PHASE_GREENS.at(2), PHASE_WALK.at(2))

        values = self.read(cabinet_store(), *asked)

        missing = dict.fromkeys((PHASE_WALK.at(1), PHASE_MINIMUM_GREEN.at(16), PHASE_WALK.at(2)), NoSuchObject())
        assert Values({PHASE_GREENS.at(1): 34, PHASE_GREENS.at(2): 0}, {}, missing) == values

    def test_nothing_there_at_all_is_all_faults(self) -> None:
        """A read of nothing but missing objects is an answer without values."""
        values = self.read(cabinet_store(), PHASE_WALK.at(1), PHASE_WALK.at(2))

        assert Values({}, {}, dict.fromkeys((PHASE_WALK.at(1), PHASE_WALK.at(2)), NoSuchObject())) == values

    @pytest.mark.parametrize(
        ("wrong", "fault"),
        [
            (b"\x02", WrongType("OCTET STRING")),
            (Counter(2), WrongType("Counter32")),
            (Gauge(2), WrongType("Gauge32")),
            (Ticks(2), WrongType("TimeTicks")),
            ((1, 3, 6), WrongType("OBJECT IDENTIFIER")),
            (256, OutOfRange(256, "0 to 255")),
            (-1, OutOfRange(-1, "0 to 255")),
        ],
    )
    def test_a_value_that_cannot_be_is_no_value(self, wrong: WireValue, fault: WrongType | OutOfRange) -> None:
        """A value of another type or beyond its range is a fault, and never cut to fit."""
        values = self.read(cabinet_store(greens=wrong), PHASE_GREENS.at(1), PHASE_GREENS.at(2))

        assert Values({PHASE_GREENS.at(2): 0}, {}, {PHASE_GREENS.at(1): fault}) == values

    def test_a_code_that_does_not_exist_is_no_value(self) -> None:
        """A value between or beyond the codes of an enumeration is a fault."""
        values = self.read(cabinet_store(flash=9, startup=0), UNIT_FLASH_STATUS.at(), PHASE_STARTUP.at(1))

        expected = {UNIT_FLASH_STATUS.at(): OutOfRange(9, "1, 2, 3, 4, 5, 6, 7, 8"), PHASE_STARTUP.at(1): OutOfRange(0, "1, 2, 3, 4, 5, 6")}
        assert Values({}, {}, expected) == values

    def test_a_long_read_is_whole(self) -> None:
        """More objects than fit into one message are all read."""
        asked = [instance for control in CONTROL_BYTES for instance in control.groups()]
        asked += [PHASE_MINIMUM_GREEN.at(phase) for phase in range(1, 17)] + [PHASE_WALK.at(phase) for phase in range(1, 17)]

        values = self.read(cabinet_store(), *asked)

        assert (24, 20) == (len(values.integers), len(values.faults))

    def test_a_request_reaches_all_sixteen_phases(self) -> None:
        """A hold of phases on both sides of the byte's end is written to both groups."""
        store = cabinet_store()

        async def work(link: SnmpTransport) -> WriteResult:
            return await link.set(requests(HOLD, {2, 8, 9, 16}), soon())

        result = self.with_link(store, work)

        assert (Accepted(), 0b10000010, 0b10000001) == (result, *(store.values[instance.oid] for instance in HOLD.groups()))

    def test_release_zeroes_every_request(self) -> None:
        """What lets go is one message, and leaves nothing asked for."""
        store = cabinet_store()

        async def work(link: SnmpTransport) -> list[WriteResult]:
            held = [*requests(HOLD, {2, 6}), *requests(VEH_CALL, {4}), Write(SYSTEM_PATTERN_CONTROL.at(), FREE)]
            return [await link.set(held, soon()), await link.set(released(), soon())]

        results = self.with_link(store, work)

        left = [store.values[write.instance.oid] for write in released()]
        assert ([Accepted(), Accepted()], [0] * 13) == (results, left)

    def test_a_message_that_is_refused_changes_nothing(self) -> None:
        """One write that the cabinet does not take stops all of them, and is named."""
        store = cabinet_store()
        del store.values[FORCE_OFF.at(2).oid]

        async def work(link: SnmpTransport) -> WriteResult:
            return await link.set((*requests(HOLD, {2}), *requests(FORCE_OFF, {2})), soon())

        result = self.with_link(store, work)

        assert ErrorStatus(self.refuses_with["absent"], 4, FORCE_OFF.at(2)) == result
        assert [0, 0] == [store.values[instance.oid] for instance in HOLD.groups()]

    def test_a_value_that_the_cabinet_refuses_is_named(self) -> None:
        """A pattern that this cabinet does not have is refused with its place in the message."""
        store = cabinet_store()
        store.forbid(SYSTEM_PATTERN_CONTROL.at().oid, Status.WRONG_VALUE)

        async def work(link: SnmpTransport) -> WriteResult:
            return await link.set((*requests(HOLD, {2}), Write(SYSTEM_PATTERN_CONTROL.at(), 7)), soon())

        result = self.with_link(store, work)

        assert ErrorStatus(self.refuses_with["wrong"], 3, SYSTEM_PATTERN_CONTROL.at()) == result
        assert 0 == store.values[HOLD.at(1).oid]

    def test_a_deadline_that_has_passed_sends_nothing(self) -> None:
        """What is asked too late is not asked."""
        store = cabinet_store()

        async def work(link: SnmpTransport) -> tuple[ReadResult, WriteResult]:
            past = asyncio.get_running_loop().time() - 1.0
            return await link.get([PHASE_GREENS.at(1)], past), await link.set(requests(HOLD, {2}), past)

        read, written = self.with_link(store, work)

        assert isinstance(read, Timeout)
        assert isinstance(written, Timeout)
        assert (0, 0, 0) == (read.sent, written.sent, store.values[HOLD.at(1).oid])

    def test_messages_go_out_in_the_order_in_which_they_were_asked_for(self) -> None:
        """Messages asked for at once are carried out one after the other, the last one last."""
        store = cabinet_store()

        async def work(link: SnmpTransport) -> list[WriteResult | ReadResult]:
            writes = [link.set(requests(HOLD, {phase}), soon()) for phase in range(1, 9)]
            return list(await asyncio.gather(*writes, link.get(HOLD.groups(), soon())))

        *written, read = self.with_link(store, work)

        assert ([Accepted()] * 8, Values({HOLD.at(1): 128, HOLD.at(2): 0}, {}, {})) == (written, read)

    def test_a_closed_link_reaches_nobody(self) -> None:
        """After closing, once or twice, what is asked is unreachable, and writes nothing."""
        store = cabinet_store()

        async def work(link: SnmpTransport) -> tuple[ReadResult, WriteResult]:
            link.close()
            link.close()
            return await link.get([PHASE_GREENS.at(1)], soon()), await link.set(requests(HOLD, {2}), soon())

        results = self.with_link(store, work)

        assert (Unreachable("the link is closed"), Unreachable("the link is closed"), 0) == (*results, store.values[HOLD.at(1).oid])

    def test_a_message_that_makes_no_sense_is_an_error(self) -> None:
        """To read nothing, to write nothing, and to write two values to one object are mistakes of the caller."""

        async def work(link: SnmpTransport) -> list[str]:
            said = []
            for message in (link.get([], soon()), link.set([], soon()), link.set((Write(HOLD.at(1), 1), Write(HOLD.at(1), 2)), soon())):
                with pytest.raises(ValueError, match=r"nothing|no writes|two values") as raised:
                    await message
                said.append(str(raised.value))
            return said

        said = self.with_link(cabinet_store(), work)

        twice = "two values for one object: phaseControlGroupHold.1 = 1, phaseControlGroupHold.1 = 2"
        assert ["a read of nothing", "a message of no writes", twice] == said
