"""Speaks SNMP v1, v2c and v3 to cabinets by pysnmp: one engine for all of them, and our own deadlines."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeAlias

from pysnmp.error import PySnmpError
from pysnmp.proto import errind
from pysnmp.proto.api import v1, v2c
from pysnmp.proto.error import StatusInformation

from field_adapters._errors import CredentialsError, LinkError
from field_adapters._pysnmp import (
    TICK,
    UDP,
    Address,
    Engine,
    Wire,
    add_community,
    add_user,
    new_engine,
    random_engine_id,
    read_value,
    remove_user,
    written_value,
)
from field_adapters.ntcip_objects import Instance, Oid, Write
from field_adapters.snmp import (
    Accepted,
    AuthFailure,
    BadAnswer,
    Community,
    Credentials,
    ErrorStatus,
    Failure,
    Foreign,
    ReadResult,
    Status,
    Timeout,
    Unreachable,
    UsmUser,
    Version,
    WireValue,
    WriteResult,
    checked_writes,
    may_repeat,
    sorted_out,
)

_LOG = logging.getLogger(__name__)

_DISCOVERIES = 4
"""How often an agent may tell us its engine id or its time before we believe that it will not have us."""

_RESYNCHRONISE = (errind.unknownEngineID, errind.notInTimeWindow)

_NOT_HAVING_US = (
    *_RESYNCHRONISE,
    errind.unknownUserName,
    errind.unknownSecurityName,
    errind.unsupportedSecurityLevel,
    errind.unsupportedAuthProtocol,
    errind.unsupportedPrivProtocol,
    errind.wrongDigest,
    errind.authenticationFailure,
    errind.authenticationError,
    errind.decryptionError,
    errind.encryptionError,
)

_Sent: TypeAlias = tuple[Oid, WireValue | None]


@dataclass(frozen=True, slots=True)
class _Reply:
    """A response as it came."""

    status: int
    index: int
    values: Sequence[tuple[Oid, WireValue | Foreign | None]]


_Outcome: TypeAlias = _Reply | Failure


@dataclass(frozen=True, slots=True)
class _Speech:
    """How the engine addresses one cabinet."""

    messages: int
    """Message processing model: 0 v1, 1 v2c, 3 v3."""

    security: int
    """Security model: 1 v1, 2 v2c, 3 USM."""

    level: int
    """1 neither authentication nor privacy, 3 both."""

    name: Any
    """The engine's name of the community or user."""

    @property
    def module(self) -> Any:  # noqa: ANN401  pysnmp's protocol modules are untyped
        return v1 if self.messages == 0 else v2c


_SPEECHES = MappingProxyType({Version.V1: (0, 1, 1), Version.V2C: (1, 2, 1)})


class SnmpManager:
    """An SNMP engine and the links that it serves. One is enough for a process: an engine costs a tenth of a second and is not given back.

    async with SnmpManager() as manager:
        link = await manager.connect("192.0.2.7", 161, UsmUser(...))
    """

    def __init__(self) -> None:
        self._engine: Engine = new_engine(random_engine_id())
        self._wire = Wire(self._engine)
        self._links: list[PysnmpTransport] = []
        self._communities: dict[str, str] = {}
        self._users: dict[tuple[str, bytes | None], UsmUser] = {}
        self._housekeeping: asyncio.TimerHandle | None = None
        self._opened = 0

    async def __aenter__(self) -> Self:
        self._keep_house()
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.close()
        await asyncio.sleep(0)  # the event loop closes the sockets in its next turn

    def close(self) -> None:
        """Close every link, and let go of the engine."""
        for link in self._links:
            link.close()
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            self._housekeeping = None
        self._wire.close()

    async def connect(
        self, host: str, port: int, credentials: Credentials, *, attempts: int = 2, objects_per_message: int = 32
    ) -> "PysnmpTransport":
        """Open a link to a cabinet. Nothing is sent yet: whether anyone is there, the first answer tells.

        Args:
            host: its name or address.
            port: of its agent, normally 161.
            credentials: who we are; without privacy a warning goes to the log. New keys of a user take effect when no link uses the old.
            attempts: how often a message is sent at most, spread evenly over the time until its deadline.
            objects_per_message: a longer read is cut into several messages, and is then no snapshot. Writes are never cut.

        Raises:
            CredentialsError: another cabinet knows this user by another pass phrase, and no engine ids tell them apart.
            LinkError: the host cannot be found, or the manager is not open.
        """
        if self._housekeeping is None:
            raise LinkError(f"{host}:{port} cannot be reached: the manager is not open")
        self._links = [link for link in self._links if link.open]
        speech = self._introduced(credentials)
        if isinstance(credentials, Community):
            _LOG.warning("SNMP %s to %s:%d: without authentication and privacy, as configured", credentials.version.value, host, port)
        self._opened += 1
        link = PysnmpTransport(
            self._engine,
            self._wire,
            (*UDP, self._opened),
            speech,
            credentials=credentials,
            attempts=attempts,
            objects_per_message=objects_per_message,
        )
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: link.socket, remote_addr=(host, port))
        except OSError as error:
            link.close()
            raise LinkError(f"{host}:{port} cannot be reached: {error}") from error
        link.socket.open(transport)
        self._links.append(link)
        return link

    def _introduced(self, credentials: Credentials) -> _Speech:
        """Let the engine know who we are, once."""
        if isinstance(credentials, Community):
            alias = self._communities.get(credentials.name)
            if alias is None:
                alias = self._communities[credentials.name] = f"community-{len(self._communities)}"
                add_community(self._engine, credentials.name, alias)
            return _Speech(*_SPEECHES[credentials.version], name=v2c.OctetString(alias))
        identity = (credentials.name, credentials.engine_id)
        known = self._users.get(identity)
        if known is not None and known != credentials:
            if any(link.credentials == known for link in self._links):
                raise CredentialsError(
                    "two cabinets know this user by different keys",
                    key="user",
                    value=credentials.name,
                    allowed="one key, or an engine_id for each",
                )
            remove_user(self._engine, known)
            known = None
        if known is None:
            add_user(self._engine, credentials)
            self._users[identity] = credentials
        return _Speech(3, 3, 3, name=v2c.OctetString(credentials.name))

    def _keep_house(self) -> None:
        self._wire.tick()
        self._housekeeping = asyncio.get_running_loop().call_later(TICK, self._keep_house)


class _Socket(asyncio.DatagramProtocol):
    """The connected socket of one link: only its cabinet is heard on it, and the network can say that nobody is there."""

    def __init__(self, wire: Wire, domain: Oid) -> None:
        self._wire, self._domain = wire, domain
        self.transport: asyncio.DatagramTransport | None = None
        self.waiting: asyncio.Future[_Outcome] | None = None
        self.peer: Address = ("", 0)

    def open(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport
        self.peer = transport.get_extra_info("peername")[:2]
        self._wire.attach(self._domain, self._send)

    def _send(self, message: bytes, _address: Address) -> None:
        if self.transport is not None:
            self.transport.sendto(message)

    def datagram_received(self, data: bytes, _address: object) -> None:
        self._wire.deliver(self._domain, self.peer, data)

    def error_received(self, error: Exception) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(Unreachable(str(error)))

    def close(self) -> None:
        self._wire.detach(self._domain)
        if self.transport is not None:
            self.transport.close()
            self.transport = None
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(Unreachable("the link is closed"))


class PysnmpTransport:
    """A link to one cabinet over UDP; see `SnmpTransport`. Made by `SnmpManager.connect`."""

    def __init__(
        self,
        engine: Engine,
        wire: Wire,
        domain: Oid,
        speech: _Speech,
        *,
        credentials: Credentials,
        attempts: int,
        objects_per_message: int,
    ) -> None:
        self._engine, self._domain, self._speech = engine, domain, speech
        self._attempts, self._objects_per_message = attempts, objects_per_message
        self._turn = asyncio.Lock()
        self.credentials = credentials
        self.socket = _Socket(wire, domain)

    @property
    def open(self) -> bool:
        """Whether the link has not been closed."""
        return self.socket.transport is not None

    def close(self) -> None:
        """See `SnmpTransport`."""
        self.socket.close()

    async def get(self, instances: Sequence[Instance], deadline: float) -> ReadResult:
        """See `SnmpTransport`."""
        if not instances:
            raise ValueError("a read of nothing")
        received: dict[Instance, WireValue | Foreign | None] = {}
        left = list(dict.fromkeys(instances))
        while left:
            asked = left[: self._objects_per_message]
            reply = await self._exchange("get", [(instance.oid, None) for instance in asked], deadline, self._attempts)
            if not isinstance(reply, _Reply):
                return reply
            if reply.status == Status.NO_SUCH_NAME and self._speech.messages == 0 and 1 <= reply.index <= len(asked):
                absent = asked[reply.index - 1]  # v1 refuses a whole message for one missing object: ask for the rest
                received[absent] = None
                left.remove(absent)
                continue
            if failure := _misfit(reply, asked):
                return failure
            received.update(zip(asked, (value for _, value in reply.values), strict=True))
            left = left[len(asked) :]
        return sorted_out(received)

    async def set(self, writes: Sequence[Write], deadline: float) -> WriteResult:
        """See `SnmpTransport`."""
        checked_writes(writes)
        sent: list[_Sent] = [(write.instance.oid, write.value) for write in writes]
        reply = await self._exchange("set", sent, deadline, self._attempts if may_repeat(writes) else 1)
        if not isinstance(reply, _Reply):
            return reply
        if failure := _misfit(reply, [write.instance for write in writes]):
            return failure
        if [value for _, value in reply.values] != [write.value for write in writes]:
            return BadAnswer("acknowledges other values than were written")
        return Accepted()

    async def _exchange(self, kind: str, values: Sequence[_Sent], deadline: float, attempts: int) -> _Outcome:
        """Send one message, again while there is time, and wait for whatever answers it first."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError:
            return Timeout(waited=loop.time() - began, sent=0)
        conversation = _Conversation(self._engine, self._domain, self.socket, self._speech, _written(self._speech, kind, values))
        try:
            return await conversation.held(began, deadline, attempts)
        finally:
            conversation.forget()
            self._turn.release()


class _Conversation:
    """One message and what comes of it."""

    def __init__(self, engine: Engine, domain: Oid, socket: _Socket, speech: _Speech, pdu: Any) -> None:  # noqa: ANN401
        self._engine, self._domain, self._socket, self._speech, self._pdu = engine, domain, socket, speech, pdu
        self._handles: list[Any] = []
        self._discoveries = 0
        self._answer: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        socket.waiting = self._answer

    async def held(self, began: float, deadline: float, attempts: int) -> _Outcome:
        """Send up to `attempts` times, and return the first outcome, or that there was none by the deadline."""
        loop = asyncio.get_running_loop()
        if self._socket.transport is None:
            return Unreachable("the link is closed")
        sent = 0
        while sent < attempts and not self._answer.done():
            now = loop.time()
            if now >= deadline:
                break
            self._send()
            sent += 1
            await asyncio.wait((self._answer,), timeout=(deadline - now) / (attempts - sent + 1))
        return self._answer.result() if self._answer.done() else Timeout(waited=loop.time() - began, sent=sent)

    def forget(self) -> None:
        """Let the engine forget the messages, so that what is late is nobody's."""
        self._socket.waiting = None
        for handle in self._handles:
            self._engine.message_dispatcher.release_state_information(self._engine, handle, self._speech.messages)

    def _send(self) -> None:
        speech = self._speech
        try:
            handle = self._engine.message_dispatcher.send_pdu(
                self._engine,
                self._domain,
                self._socket.peer,
                speech.messages,
                speech.security,
                speech.name,
                speech.level,
                None,
                b"",
                0 if speech.messages == 0 else 1,
                self._pdu,
                True,
                3600,  # in ticks; our own deadline comes first
                self._received,
                None,
            )
        except StatusInformation as refusal:
            self._finish(_failure(refusal))
        except PySnmpError as error:
            self._finish(BadAnswer(f"the message could not be written: {error}"))
        else:
            self._handles.append(handle)

    def _received(self, *told: Any) -> None:
        """Take what the engine made of a datagram: the response in the ninth place, or what was wrong in the tenth."""
        pdu, trouble = told[8], told[9]
        if self._answer.done():
            return
        if not trouble:
            self._finish(_read(self._speech, self._pdu, pdu))
        elif trouble.get("errorIndication") in _RESYNCHRONISE and self._discoveries < _DISCOVERIES:
            self._discoveries += 1
            self._send()
        else:
            self._finish(_failure(trouble))

    def _finish(self, outcome: _Outcome) -> None:
        self._answer.set_result(outcome)


def _written(speech: _Speech, kind: str, values: Sequence[_Sent]) -> Any:  # noqa: ANN401
    module = speech.module
    pdu = module.GetRequestPDU() if kind == "get" else module.SetRequestPDU()
    module.apiPDU.set_defaults(pdu)
    null = module.Null("")
    module.apiPDU.set_varbinds(
        pdu, [(module.ObjectIdentifier(oid), null if value is None else written_value(value, module)) for oid, value in values]
    )
    return pdu


def _read(speech: _Speech, request: Any, pdu: Any) -> _Outcome:  # noqa: ANN401
    api = speech.module.apiPDU
    if int(api.get_request_id(pdu)) != int(api.get_request_id(request)):
        return BadAnswer("answers another request")
    return _Reply(
        status=int(api.get_error_status(pdu)),
        index=int(api.get_error_index(pdu, muteErrors=True)),
        values=[(tuple(oid), read_value(value)) for oid, value in api.get_varbinds(pdu)],
    )


def _misfit(reply: _Reply, asked: Sequence[Instance]) -> Failure | None:
    """Say what keeps a reply from being the answer to a question."""
    if reply.status != Status.NO_ERROR:
        if reply.status not in set(Status):
            return BadAnswer(f"error status {reply.status} does not exist")
        return ErrorStatus(Status(reply.status), reply.index, asked[reply.index - 1] if 1 <= reply.index <= len(asked) else None)
    if [oid for oid, _ in reply.values] != [instance.oid for instance in asked]:
        return BadAnswer("answers for other objects than were asked for")
    return None


def _failure(trouble: Any) -> Failure:  # noqa: ANN401
    indication = trouble.get("errorIndication")
    if indication in _NOT_HAVING_US:
        return AuthFailure(str(indication))
    return BadAnswer(str(indication or "a report without words"))
