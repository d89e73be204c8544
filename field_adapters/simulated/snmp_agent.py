"""An SNMP agent over an object store: answers GET, GETNEXT, GETBULK and SET in v1, v2c and v3.

pysnmp reads and writes the messages and keeps the users of v3; what an agent does with a message (RFC 3416, section 4; for v1 RFC 1157,
section 4.1, and RFC 3584, section 4.4) is done here, because pysnmp's own responder answers with the wrong index where a message has
several parts, and sees only one part of a SET at a time.
"""

import asyncio
import contextlib
import ipaddress
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeAlias

from pysnmp.error import PySnmpError
from pysnmp.proto.api import v1, v2c

from field_adapters._errors import LinkError
from field_adapters._pysnmp import (
    TICK,
    UDP,
    Address,
    Wire,
    add_community,
    add_user,
    new_engine,
    random_engine_id,
    read_value,
    written_value,
)
from field_adapters.ntcip_objects import Oid
from field_adapters.snmp import Foreign, ObjectStore, Refusal, Status, UsmUser, WireValue
from intersection.errors import ConfigError


class Right(Enum):
    """What someone may do."""

    READ = "read"
    WRITE = "write"


_V1_STATUS: Mapping[Status, Status] = MappingProxyType(
    {
        Status.NO_ACCESS: Status.NO_SUCH_NAME,
        Status.WRONG_TYPE: Status.BAD_VALUE,
        Status.WRONG_LENGTH: Status.BAD_VALUE,
        Status.WRONG_ENCODING: Status.BAD_VALUE,
        Status.WRONG_VALUE: Status.BAD_VALUE,
        Status.NO_CREATION: Status.NO_SUCH_NAME,
        Status.INCONSISTENT_VALUE: Status.BAD_VALUE,
        Status.RESOURCE_UNAVAILABLE: Status.GEN_ERR,
        Status.COMMIT_FAILED: Status.GEN_ERR,
        Status.UNDO_FAILED: Status.GEN_ERR,
        Status.AUTHORIZATION_ERROR: Status.NO_SUCH_NAME,
        Status.NOT_WRITABLE: Status.NO_SUCH_NAME,
        Status.INCONSISTENT_NAME: Status.NO_SUCH_NAME,
    }
)
"""What v1 says for a status that it does not know (RFC 3584, section 4.4)."""

_GET, _NEXT, _BULK, _SET = (pdu.tagSet for pdu in (v2c.GetRequestPDU, v2c.GetNextRequestPDU, v2c.GetBulkRequestPDU, v2c.SetRequestPDU))

_Part: TypeAlias = tuple[Oid, WireValue | Foreign | None]


class _Absent(Enum):
    """What stands in place of a value that does not exist; v1 has no words for it and refuses the message."""

    NO_SUCH_OBJECT = "no such object"
    END = "end of the view"


_Found: TypeAlias = tuple[Oid, WireValue | _Absent]


@dataclass(frozen=True, slots=True)
class _Request:
    """A message that was read and waits for its answer, with what pysnmp wants back to send it."""

    messages: int
    security: int
    name: bytes
    level: int
    context_engine: Any
    context: Any
    version: Any
    pdu: Any
    largest: int
    state: Any

    @property
    def module(self) -> Any:  # noqa: ANN401  pysnmp's protocol modules are untyped
        return v1 if self.messages == 0 else v2c


class SnmpAgent(asyncio.DatagramProtocol):
    """An agent on a UDP port.

        async with SnmpAgent(store, users={UsmUser(...): Right.WRITE}) as agent:
            agent.address

    Whatever arrives, it goes on: what cannot be read is dropped and counted, as are messages of unknown communities. An error that the
    store itself raises is a defect and goes to the event loop's handler; that message is then not answered.

    Args:
        store: the objects.
        communities: who may speak v1 and v2c; nobody by default.
        users: who may speak v3, always with authentication and privacy.
        host: where to listen: on loopback, unless `anywhere` is given.
        port: 0 takes any that is free.
        anywhere: says that listening beyond this machine is meant.
        engine_id: the agent's identity; by chance if not given.
        boots: how often it has started before and now.
        largest: the longest response, in octets.

    Raises:
        ConfigError: the host is not loopback and `anywhere` is not given.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        communities: Mapping[str, Right] = MappingProxyType({}),
        users: Mapping[UsmUser, Right] = MappingProxyType({}),
        host: str = "127.0.0.1",
        port: int = 0,
        anywhere: bool = False,
        engine_id: bytes | None = None,
        boots: int = 1,
        largest: int = 1472,
    ) -> None:
        if not anywhere and not _is_loopback(host):
            raise ConfigError(
                "a simulated cabinet is heard on this machine only", key="host", value=host, allowed="127.0.0.1, ::1, localhost"
            )
        self._store, self._host, self._port, self._largest = store, host, port, largest
        self.engine_id = engine_id or random_engine_id()
        self._engine = new_engine(self.engine_id, boots=boots)
        self._wire = Wire(self._engine)
        self._wire.attach(UDP, self._send)
        self._rights: dict[tuple[int, bytes], Right] = {}
        for number, (name, right) in enumerate(communities.items()):
            alias = f"community-{number}"
            add_community(self._engine, name, alias)
            self._rights[1, alias.encode()] = self._rights[2, alias.encode()] = right
        for user, right in users.items():
            add_user(self._engine, user)
            self._rights[3, user.name.encode()] = right
        self._requests: list[_Request] = []
        self._engine.message_dispatcher.register_context_engine_id(self._engine.snmpEngineID, (_GET, _NEXT, _BULK, _SET), self._take)
        self._transport: asyncio.DatagramTransport | None = None
        self._housekeeping: asyncio.TimerHandle | None = None
        self.dropped = 0
        """Datagrams that were not answered: garbage, and whoever is not known."""
        self._sent = 0

    # -----------------------------------------------------------------------------------------------------------------------------
    # On the network

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.close()
        await asyncio.sleep(0)  # the event loop gives the port back in its next turn

    async def open(self) -> None:
        """Begin to listen.

        Raises:
            LinkError: the address cannot be listened on.
        """
        try:
            self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: self, local_addr=(self._host, self._port)
            )
        except OSError as error:
            raise LinkError(f"{self._host}:{self._port} cannot be listened on: {error}") from error
        self._keep_house()

    def close(self) -> None:
        """Stop listening; twice is once."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            self._housekeeping = None
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._wire.close()

    @property
    def address(self) -> Address:
        """Where it listens: host and port.

        Raises:
            LinkError: it does not listen.
        """
        if self._transport is None:
            raise LinkError("the agent is closed")
        host, port = self._transport.get_extra_info("sockname")[:2]
        return str(host), int(port)

    def datagram_received(self, data: bytes, address: Address) -> None:
        """Answer a datagram, or drop it."""
        before = self._sent
        self._wire.deliver(UDP, address, data)
        while self._requests:
            self._answer(self._requests.pop())
        self.dropped += self._sent == before

    def _send(self, message: bytes, address: Address) -> None:
        self._sent += 1
        if self._transport is not None:
            self._transport.sendto(message, tuple(address))

    def _keep_house(self) -> None:
        self._wire.tick()
        self._housekeeping = asyncio.get_running_loop().call_later(TICK, self._keep_house)

    # -----------------------------------------------------------------------------------------------------------------------------
    # One message

    def _take(self, _engine: object, *told: Any) -> None:
        """Keep what pysnmp has read; it is answered outside pysnmp, so that an error of the store is no garbled datagram."""
        messages, security, name, level, context_engine, context, version, pdu, largest, state = told
        self._requests.append(
            _Request(int(messages), int(security), bytes(name), int(level), context_engine, context, version, pdu, int(largest), state)
        )

    def _answer(self, request: _Request) -> None:
        api = request.module.apiPDU
        asked: list[_Part] = [(tuple(oid), read_value(value)) for oid, value in api.get_varbinds(request.pdu)]
        outcome = self._carried_out(request, asked)
        response = api.get_response(request.pdu)
        if not isinstance(outcome, Refusal):
            fitting = _fitting(outcome, min(request.largest, self._largest))
            if request.pdu.tagSet == _BULK and fitting:
                outcome = outcome[:fitting]
            elif fitting < len(outcome):
                outcome = Refusal(0, Status.TOO_BIG)
        if isinstance(outcome, Refusal):
            self._refuse(request, response, outcome)
        else:
            api.set_varbinds(response, self._written(request, outcome))
        self._reply(request, response)

    def _carried_out(self, request: _Request, asked: Sequence[_Part]) -> Sequence[_Found] | Refusal:
        """Do what a message asks for."""
        right = self._rights.get((request.security, request.name))
        if right is None or (request.security == 3 and request.level != 3):
            return Refusal(0, Status.AUTHORIZATION_ERROR)
        if bytes(request.context):
            return Refusal(0, Status.GEN_ERR)
        kind = request.pdu.tagSet
        if kind == _SET:
            return self._set(asked, right)
        if kind == _BULK:
            api = v2c.apiBulkPDU
            return self._bulk(asked, int(api.get_non_repeaters(request.pdu)), int(api.get_max_repetitions(request.pdu)))
        look = self._here if kind == _GET else self._after
        found = [look(oid) for oid, _ in asked]
        if request.messages == 0:
            absent = next((place for place, (_, value) in enumerate(found, start=1) if isinstance(value, _Absent)), None)
            if absent is not None:
                return Refusal(absent, Status.NO_SUCH_NAME)
        return found

    def _here(self, oid: Oid) -> _Found:
        value = self._store.read(oid)
        return oid, _Absent.NO_SUCH_OBJECT if value is None else value

    def _after(self, oid: Oid) -> _Found:
        while (following := self._store.next(oid)) is not None:
            value = self._store.read(following)
            if value is not None:
                return following, value
            oid = following
        return oid, _Absent.END

    def _bulk(self, asked: Sequence[_Part], non_repeaters: int, repetitions: int) -> Sequence[_Found]:
        """Walk on from each place, as far as a response could ever hold (RFC 3416, section 4.2.3)."""
        single = max(0, min(non_repeaters, len(asked)))
        found = [self._after(oid) for oid, _ in asked[:single]]
        places = [oid for oid, _ in asked[single:]]
        most = self._largest // 8  # no part is shorter than 8 octets
        for _ in range(max(0, repetitions)):
            row = [self._after(oid) for oid in places]
            found.extend(row)
            places = [oid for oid, _ in row]
            if len(found) >= most or all(value is _Absent.END for _, value in row):
                break
        return found

    def _set(self, asked: Sequence[_Part], right: Right) -> Sequence[_Found] | Refusal:
        if right is not Right.WRITE:
            return Refusal(1, Status.NO_ACCESS)
        writes: list[tuple[Oid, WireValue]] = []
        for place, (oid, value) in enumerate(asked, start=1):
            if value is None or isinstance(value, Foreign):
                return Refusal(place, Status.WRONG_TYPE)
            writes.append((oid, value))
        return self._store.write(writes) or list(writes)

    # -----------------------------------------------------------------------------------------------------------------------------
    # One response

    def _written(self, request: _Request, found: Sequence[_Found]) -> list[tuple[Any, Any]]:
        module = request.module
        absences = {_Absent.NO_SUCH_OBJECT: v2c.NoSuchInstance(""), _Absent.END: v2c.EndOfMibView("")}
        return [
            (module.ObjectIdentifier(oid), absences[value] if isinstance(value, _Absent) else written_value(value, module))
            for oid, value in found
        ]

    def _refuse(self, request: _Request, response: Any, refusal: Refusal) -> None:  # noqa: ANN401
        """Say no: with the parts as they came, or, where v2 says that they are too long, without."""
        api = request.module.apiPDU
        status = _V1_STATUS.get(refusal.status, refusal.status) if request.messages == 0 else refusal.status
        api.set_error_status(response, int(status))
        api.set_error_index(response, refusal.index)
        shorn = refusal.status is Status.TOO_BIG and request.messages != 0
        api.set_varbinds(response, [] if shorn else api.get_varbinds(request.pdu))

    def _reply(self, request: _Request, response: Any) -> None:  # noqa: ANN401
        with contextlib.suppress(PySnmpError):  # it could not be written: it counts as not answered
            self._engine.message_dispatcher.return_response_pdu(
                self._engine,
                request.messages,
                request.security,
                request.name,
                request.level,
                request.context_engine,
                request.context,
                request.version,
                response,
                request.largest,
                request.state,
                {},
            )


def _fitting(found: Sequence[_Found], room: int) -> int:
    """Count the parts that fit into a response of so many octets, at most (BER: each value under a header of 2 to 4 octets)."""
    used = 32  # the PDU around them
    for count, (oid, value) in enumerate(found):
        used += 12 + _octets(oid) + (0 if isinstance(value, _Absent) else _octets(value))
        if used > room:
            return count
    return len(found)


def _octets(value: WireValue) -> int:
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, int):
        return value.bit_length() // 8 + 1
    return sum(max(1, -(-part.bit_length() // 7)) for part in value)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# ---------------------------------------------------------------------------------------------------------------------------------
# The plainest store


class TableStore:
    """A store of plain values: what is there can be read, and what has a test can be written.

    Args:
        values: by OID.
        writable: which OIDs can be written, and what says no to a value: a status, or None.
    """

    def __init__(
        self, values: Mapping[Oid, WireValue], writable: Mapping[Oid, Callable[[WireValue], Status | None]] = MappingProxyType({})
    ) -> None:
        self.values = dict(values)
        self._order = sorted(self.values)
        self._writable = dict(writable)

    def forbid(self, oid: Oid, status: Status) -> None:
        """Refuse every value for an instance from now on, as a cabinet may that has other things to do."""
        self._writable[oid] = lambda _: status

    def read(self, oid: Oid) -> WireValue | None:
        """See `ObjectStore`."""
        return self.values.get(oid)

    def next(self, oid: Oid) -> Oid | None:
        """See `ObjectStore`."""
        place = bisect_right(self._order, oid)
        return self._order[place] if place < len(self._order) else None

    def write(self, writes: Sequence[tuple[Oid, WireValue]]) -> Refusal | None:
        """See `ObjectStore`."""
        for place, (oid, value) in enumerate(writes, start=1):
            if oid not in self.values:
                return Refusal(place, Status.NO_CREATION)
            test = self._writable.get(oid)
            status = (
                Status.NOT_WRITABLE if test is None else Status.WRONG_TYPE if type(value) is not type(self.values[oid]) else test(value)
            )
            if status is not None:
                return Refusal(place, status)
        self.values.update(writes)
        return None
