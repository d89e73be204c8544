"""Reads and writes of a cabinet over SNMP: the twin in memory and pysnmp by each version pass one contract."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysnmp.error import PySnmpError
from pysnmp.proto.api import v2c

from field_adapters._errors import CredentialsError, LinkError
from field_adapters.ntcip_objects import FORCE_OFF, HOLD, OBJECTS, PHASE_GREENS, PHASE_WALK, Instance, NtcipObject, Syntax, requests
from field_adapters.simulated.snmp_agent import Right, SnmpAgent, TableStore
from field_adapters.snmp import (
    Accepted,
    AuthFailure,
    AuthProtocol,
    BadAnswer,
    Community,
    Counter,
    Credentials,
    Foreign,
    Gauge,
    InMemorySnmp,
    NoSuchObject,
    ObjectFault,
    OutOfRange,
    PrivProtocol,
    ReadResult,
    SnmpTransport,
    Status,
    Ticks,
    Timeout,
    Unreachable,
    UsmUser,
    Values,
    Version,
    WireValue,
    WrongType,
    judged,
    sorted_out,
)
from field_adapters.snmp_manager import PysnmpTransport, SnmpManager, _Conversation, _failure
from tests.field_adapters.snmp_contract import SnmpTransportContract, Standing, cabinet_store, soon

T = TypeVar("T")

USER = UsmUser(name="supervisor", auth_passphrase="correct horse", priv_passphrase="battery staple")
V1 = Community(name="private", version=Version.V1, insecure=True)
V2C = Community(name="private", version=Version.V2C, insecure=True)
STRICT = {"absent": Status.NO_CREATION, "wrong": Status.WRONG_VALUE}
LENIENT = {"absent": Status.NO_SUCH_NAME, "wrong": Status.BAD_VALUE}


class TestInMemory(SnmpTransportContract):
    """The twin."""

    refuses_with = STRICT

    def opened(self, store: TableStore) -> AbstractAsyncContextManager[SnmpTransport]:
        """Open the twin."""

        @asynccontextmanager
        async def link() -> AsyncIterator[SnmpTransport]:
            yield InMemorySnmp(store)

        return link()

    def test_a_staged_failure_is_what_every_message_comes_to(self) -> None:
        """While a failure is staged, nothing is read and nothing written."""
        store = cabinet_store()
        twin = InMemorySnmp(store)
        twin.broken = AuthFailure("staged")

        async def work() -> tuple[object, object]:
            return await twin.get([PHASE_GREENS.at(1)], soon()), await twin.set(requests(HOLD, {2}), soon())

        results = asyncio.run(work())

        assert (AuthFailure("staged"), AuthFailure("staged"), 0) == (*results, store.values[HOLD.at(1).oid])


class Bench:
    """One event loop with one agent and one manager on it, for all tests."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self.store = Standing()
        self.agent = SnmpAgent(self.store, communities={"private": Right.WRITE}, users={USER: Right.WRITE})
        self.manager = SnmpManager()
        self.run(self.agent.open())
        self.run(self.manager.__aenter__())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end what a test does."""
        return self._runner.run(work)

    @asynccontextmanager
    async def linked(self, store: TableStore, credentials: Credentials, objects_per_message: int = 32) -> AsyncIterator[PysnmpTransport]:
        """Open a link by pysnmp to the agent over a store."""
        self.store.on = store
        link = await self.manager.connect(*self.agent.address, credentials, objects_per_message=objects_per_message)
        yield link
        link.close()

    def asked(
        self,
        listener: "Listener",
        work: Callable[[SnmpTransport], Awaitable[T]],
        *,
        credentials: Credentials = V2C,
        attempts: int = 2,
    ) -> T:
        """Do something on a link to a listener."""

        async def session() -> T:
            async with listening(listener) as (host, port):
                link = await self.manager.connect(host, port, credentials, attempts=attempts)
                result = await work(link)
                link.close()
                return result

        return self.run(session())

    def close(self) -> None:
        """Clear up."""
        self.agent.close()
        self.run(self.manager.__aexit__(None, None, None))
        self._runner.close()


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Set the bench up once."""
    bench = Bench()
    yield bench
    bench.close()


class PysnmpContract(SnmpTransportContract):
    """The promises, by pysnmp and our agent over loopback."""

    refuses_with = STRICT
    credentials: Credentials = USER

    @pytest.fixture(autouse=True)
    def _on_the_bench(self, bench: Bench) -> None:
        self.bench = bench

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the bench."""
        return self.bench.run(work)

    def opened(self, store: TableStore) -> AbstractAsyncContextManager[SnmpTransport]:
        """Open a link over loopback."""
        return self.bench.linked(store, self.credentials, objects_per_message=20)


class TestV3(PysnmpContract):
    """Authentication and privacy."""


class TestV2c(PysnmpContract):
    """Neither, but all error codes."""

    credentials = V2C


class TestV1(PysnmpContract):
    """Neither, and five error codes."""

    refuses_with = LENIENT
    credentials = V1


# ---------------------------------------------------------------------------------------------------------------------------------
# Credentials


@pytest.mark.parametrize("version", Version)
def test_a_version_without_privacy_is_refused_unless_someone_decided_for_it(version: Version) -> None:
    """v1 and v2c need `insecure` to be said, whatever the community."""
    with pytest.raises(CredentialsError) as raised:
        Community(name="public", version=version)

    assert f"SNMP {version.value} has neither authentication nor privacy" in str(raised.value)


def test_a_community_has_a_name() -> None:
    """The empty community is no community."""
    with pytest.raises(CredentialsError, match="a community has a name"):
        Community(name="", version=Version.V2C, insecure=True)


@pytest.mark.parametrize(
    ("name", "auth", "priv", "engine"),
    [
        ("", "12345678", "12345678", None),
        ("n" * 33, "12345678", "12345678", None),
        ("n", "1234567", "12345678", None),
        ("n", "12345678", "1234567", None),
        ("n", "12345678", "12345678", b"1234"),
        ("n", "12345678", "12345678", b"1" * 33),
    ],
)
def test_a_user_that_no_engine_takes_is_refused(name: str, auth: str, priv: str, engine: bytes | None) -> None:
    """Names, pass phrases and engine ids have the lengths of RFC 3411 and RFC 3414."""
    with pytest.raises(CredentialsError):
        UsmUser(name=name, auth_passphrase=auth, priv_passphrase=priv, engine_id=engine)


def test_secrets_are_not_shown() -> None:
    """What is logged of credentials has no pass phrase and no community in it."""
    shown = repr(USER) + repr(V2C)

    assert not any(secret in shown for secret in ("correct horse", "battery staple", "private"))


def test_a_link_without_privacy_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Opening a link by v1 or v2c leaves a warning that names the cabinet; v3 leaves none."""

    async def work() -> None:
        async with SnmpManager() as manager:
            await manager.connect("127.0.0.1", 1610, V2C)
            await manager.connect("127.0.0.1", 1611, USER)

    with caplog.at_level(logging.WARNING):
        asyncio.run(work())

    assert ["SNMP v2c to 127.0.0.1:1610: without authentication and privacy, as configured"] == caplog.messages


@pytest.mark.parametrize("auth", AuthProtocol)
@pytest.mark.parametrize("priv", PrivProtocol)
def test_every_pair_of_protocols_works(auth: AuthProtocol, priv: PrivProtocol) -> None:
    """SHA-2 of each length goes with AES of each length."""
    user = UsmUser(name="u", auth_passphrase="correct horse", priv_passphrase="battery staple", auth=auth, priv=priv)

    async def work() -> ReadResult:
        async with SnmpAgent(cabinet_store(), users={user: Right.READ}) as agent, SnmpManager() as manager:
            return await (await manager.connect(*agent.address, user)).get([PHASE_GREENS.at(1)], soon())

    assert Values({PHASE_GREENS.at(1): 34}, {}, {}) == asyncio.run(work())


@pytest.mark.parametrize(
    "impostor",
    [
        UsmUser(name=USER.name, auth_passphrase="wrong horse!", priv_passphrase=USER.priv_passphrase),
        UsmUser(name=USER.name, auth_passphrase=USER.auth_passphrase, priv_passphrase=USER.priv_passphrase, auth=AuthProtocol.SHA512),
        UsmUser(name="nobody", auth_passphrase=USER.auth_passphrase, priv_passphrase=USER.priv_passphrase),
        UsmUser(name=USER.name, auth_passphrase=USER.auth_passphrase, priv_passphrase=USER.priv_passphrase, engine_id=b"another engine"),
    ],
    ids=["key", "protocol", "name", "engine"],
)
def test_who_is_not_known_is_told_so(bench: Bench, impostor: UsmUser) -> None:
    """A wrong key, protocol or user, and an agent that is not the one we know, are failures of authentication, not silence."""

    async def work() -> ReadResult:
        async with SnmpManager() as manager:
            return await (await manager.connect(*bench.agent.address, impostor)).get([PHASE_GREENS.at(1)], soon())

    assert isinstance(bench.run(work()), AuthFailure)


def test_the_agent_that_is_known_is_spoken_to() -> None:
    """A user bound to the engine id of the cabinet's agent reads it."""

    async def work() -> ReadResult:
        async with SnmpAgent(cabinet_store(), users={USER: Right.READ}) as agent, SnmpManager() as manager:
            known = UsmUser(
                name=USER.name, auth_passphrase=USER.auth_passphrase, priv_passphrase=USER.priv_passphrase, engine_id=agent.engine_id
            )
            return await (await manager.connect(*agent.address, known)).get([PHASE_GREENS.at(1)], soon())

    assert Values({PHASE_GREENS.at(1): 34}, {}, {}) == asyncio.run(work())


def test_one_user_with_two_keys_needs_engine_ids() -> None:
    """Two cabinets that know one user by different keys are refused, unless their engines tell them apart."""
    other = UsmUser(name=USER.name, auth_passphrase="another key", priv_passphrase="another key")

    async def work() -> None:
        async with SnmpManager() as manager:
            await manager.connect("127.0.0.1", 1610, USER)
            await manager.connect("127.0.0.1", 1611, USER)
            with pytest.raises(CredentialsError, match="different keys"):
                await manager.connect("127.0.0.1", 1612, other)

    asyncio.run(work())


def test_a_key_can_be_changed() -> None:
    """When the last link by a user's old key is closed, the user's new key is taken, at the same agent."""
    old, new = (UsmUser(name="u", auth_passphrase=f"{age} horse", priv_passphrase=f"{age} staple") for age in ("old old", "new new"))

    async def work() -> list[ReadResult]:
        results = []
        async with SnmpManager() as manager:
            port, engine_id = 0, None
            for boots, user in enumerate((old, new), start=1):
                store = cabinet_store()
                async with SnmpAgent(store, users={user: Right.READ}, port=port, engine_id=engine_id, boots=boots) as agent:
                    link = await manager.connect(*agent.address, user)
                    results.append(await link.get([PHASE_GREENS.at(1)], soon()))
                    link.close()
                    port, engine_id = agent.address[1], agent.engine_id
        return results

    assert [Values({PHASE_GREENS.at(1): 34}, {}, {})] * 2 == asyncio.run(work())


# ---------------------------------------------------------------------------------------------------------------------------------
# The network


class Listener(asyncio.DatagramProtocol):
    """A host that does with datagrams what it is told to."""

    def __init__(self, answer: Callable[[bytes], bytes | None] = lambda _: None) -> None:
        self.received: list[bytes] = []
        self._answer = answer
        self.transport: asyncio.DatagramTransport | None = None

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        """Keep it, and answer or not."""
        self.received.append(data)
        answer = self._answer(data)
        if answer is not None and self.transport is not None:
            self.transport.sendto(answer, address)


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[tuple[str, int]]:
    """Let a listener stand on a port of its own."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: listener, local_addr=("127.0.0.1", 0))
    listener.transport = transport
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()


@pytest.mark.parametrize("credentials", [V1, V2C, USER], ids=["v1", "v2c", "v3"])
def test_silence_ends_at_the_deadline(bench: Bench, credentials: Credentials) -> None:
    """A cabinet that does not answer is asked again within the time there is, and given up when it is over."""
    listener = Listener()

    async def work(link: SnmpTransport) -> tuple[ReadResult, float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        return await link.get([PHASE_GREENS.at(1)], began + 0.06), loop.time() - began

    result, took = bench.asked(listener, work, credentials=credentials, attempts=3)

    assert isinstance(result, Timeout)
    assert (3, 3) == (result.sent, len(listener.received))
    assert 0.06 <= took < 1.0


def test_a_force_off_is_never_sent_twice(bench: Bench) -> None:
    """A request that would cut the next green if it came late goes out once; others are repeated, as are force-offs of none."""
    counts = []
    for writes in (requests(FORCE_OFF, {2}), requests(FORCE_OFF, frozenset()), requests(HOLD, {2})):
        listener = Listener()

        async def work(link: SnmpTransport, writes: object = writes) -> object:
            return await link.set(writes, asyncio.get_running_loop().time() + 0.04)  # type: ignore[arg-type]  # bound by the loop

        bench.asked(listener, work)
        counts.append(len(listener.received))

    assert [1, 2, 2] == counts


def test_a_lost_datagram_is_made_good_in_time() -> None:
    """The first datagram of a read is lost, and the read succeeds all the same."""
    store = cabinet_store()

    async def work() -> tuple[ReadResult, int]:
        async with SnmpAgent(store, communities={"private": Right.READ}) as agent, SnmpManager() as manager:
            lost: list[bytes] = []
            deliver = agent.datagram_received

            def lossy(data: bytes, address: tuple[str, int]) -> None:
                if lost:
                    deliver(data, address)
                lost.append(data)

            agent.datagram_received = lossy  # type: ignore[method-assign]  # a network that loses the first
            link = await manager.connect(*agent.address, V2C)
            return await link.get([PHASE_GREENS.at(1)], asyncio.get_running_loop().time() + 0.2), len(lost)

    assert (Values({PHASE_GREENS.at(1): 34}, {}, {}), 2) == asyncio.run(work())


def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    """What the network says about a dead port is believed, and the deadline not waited for."""

    async def work() -> tuple[ReadResult, float]:
        async with listening(Listener()) as (host, port):
            pass
        async with SnmpManager() as manager:
            link = await manager.connect(host, port, USER)
            loop = asyncio.get_running_loop()
            began = loop.time()
            return await link.get([PHASE_GREENS.at(1)], began + 5.0), loop.time() - began

    result, took = asyncio.run(work())

    assert isinstance(result, Unreachable)
    assert took < 2.0


def test_a_cabinet_that_comes_back_is_read_again() -> None:
    """After the agent was gone, and came back with a new start of the same engine, the same link reads it."""
    store = cabinet_store()

    async def work() -> list[ReadResult]:
        results = []
        async with SnmpManager() as manager:
            async with SnmpAgent(store, users={USER: Right.READ}) as agent:
                link = await manager.connect(*agent.address, USER)
                results.append(await link.get([PHASE_GREENS.at(1)], soon()))
                port, engine_id = agent.address[1], agent.engine_id
            results.append(await link.get([PHASE_GREENS.at(1)], soon()))
            async with SnmpAgent(store, users={USER: Right.READ}, port=port, engine_id=engine_id, boots=2):
                results.append(await link.get([PHASE_GREENS.at(1)], soon()))
        return results

    first, gone, back = asyncio.run(work())

    assert isinstance(gone, Unreachable)
    assert (Values({PHASE_GREENS.at(1): 34}, {}, {}),) * 2 == (first, back)


def test_a_busy_link_keeps_the_deadline_of_whoever_waits(bench: Bench) -> None:
    """A message that has to wait for another until its deadline is given up unsent."""
    listener = Listener()

    async def work(link: SnmpTransport) -> list[ReadResult]:
        now = asyncio.get_running_loop().time()
        return list(await asyncio.gather(*(link.get([PHASE_GREENS.at(1)], now + patience) for patience in (0.06, 0.02))))

    first, second = bench.asked(listener, work, attempts=1)

    assert isinstance(first, Timeout)
    assert isinstance(second, Timeout)
    assert (1, 0, 1) == (first.sent, second.sent, len(listener.received))


def test_a_read_that_is_cancelled_leaves_nothing_behind(bench: Bench) -> None:
    """After a read was cancelled in the middle, the next one goes through."""

    async def work() -> ReadResult:
        async with bench.linked(cabinet_store(), USER) as link:
            doomed = asyncio.ensure_future(link.get([PHASE_GREENS.at(1)], soon()))
            await asyncio.sleep(0)
            doomed.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await doomed
            return await link.get([PHASE_GREENS.at(1)], soon())

    assert Values({PHASE_GREENS.at(1): 34}, {}, {}) == bench.run(work())


def test_a_message_without_an_answer_leaves_nothing_behind(bench: Bench) -> None:
    """After any number of messages that nobody answered, the engine holds none of them."""

    async def work(link: SnmpTransport) -> list[ReadResult]:
        now = asyncio.get_running_loop().time
        return [await link.get([PHASE_GREENS.at(1)], now() + 0.001) for _ in range(10)]

    results = bench.asked(Listener(), work)
    gc.collect()

    assert {Timeout} == {type(result) for result in results}
    assert [] == [held for held in gc.get_objects() if type(held) is _Conversation]


def test_the_first_of_two_answers_counts(bench: Bench) -> None:
    """Where both sendings of a message are answered at once, one answer is taken, and the link goes on."""
    held: list[bytes] = []

    class Late(Listener):
        def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
            held.append(data)
            if len(held) == 2 and self.transport is not None:
                for request in held:
                    self.transport.sendto(v2c_response(request, lambda whole: whole), address)

    async def work(link: SnmpTransport) -> ReadResult:
        return await link.get([PHASE_GREENS.at(1)], asyncio.get_running_loop().time() + 0.2)

    result = bench.asked(Late(), work)

    assert (Values({}, {}, {PHASE_GREENS.at(1): WrongType("NULL")}), 2) == (result, len(held))


def test_a_message_that_cannot_be_written_is_a_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the engine on the way out is told like one on the way in."""

    def fail(*_: object) -> None:
        raise PySnmpError("no")

    monkeypatch.setattr(bench.manager._engine.message_dispatcher, "send_pdu", fail)

    async def work(link: SnmpTransport) -> ReadResult:
        return await link.get([PHASE_GREENS.at(1)], soon())

    assert BadAnswer("the message could not be written: no") == bench.asked(Listener(), work)


def test_a_manager_that_is_not_open_links_to_nobody() -> None:
    """Before it is opened and after it is closed, a manager has no links to give."""

    async def work() -> None:
        manager = SnmpManager()
        for _ in range(2):
            with pytest.raises(LinkError, match="the manager is not open"):
                await manager.connect("127.0.0.1", 1610, USER)
            async with manager:
                pass
            manager.close()

    asyncio.run(work())


def test_a_report_is_told_in_its_words() -> None:
    """What an engine reports and we do not know by name is passed on; a report without words is one all the same."""
    assert BadAnswer("a report without words") == _failure({})
    assert BadAnswer("odd") == _failure({"errorIndication": "odd"})


def test_an_answer_to_another_request_is_none(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that proves itself, and answers by the number of another request, is not believed."""
    reply = bench.agent._reply

    def misnumbered(request: Any, response: Any) -> None:  # noqa: ANN401  as the agent has it
        v2c.apiPDU.set_request_id(response, 1)
        reply(request, response)

    monkeypatch.setattr(bench.agent, "_reply", misnumbered)

    async def work() -> ReadResult:
        async with bench.linked(cabinet_store(), USER) as link:
            return await link.get([PHASE_GREENS.at(1)], soon())

    assert BadAnswer("answers another request") == bench.run(work())


def test_closing_wakes_whoever_waits(bench: Bench) -> None:
    """A read that waits while its link is closed is told so, long before its deadline."""

    async def work(link: SnmpTransport) -> ReadResult:
        waiting = asyncio.ensure_future(link.get([PHASE_GREENS.at(1)], soon()))
        await asyncio.sleep(0)
        link.close()
        return await waiting

    assert Unreachable("the link is closed") == bench.asked(Listener(), work)


def test_a_host_that_does_not_exist_is_an_error() -> None:
    """A name that nobody has cannot be linked to."""

    async def work() -> None:
        async with SnmpManager() as manager:
            await manager.connect("no-such-host.invalid", 161, USER)

    with pytest.raises(LinkError, match=r"no-such-host\.invalid:161 cannot be reached"):
        asyncio.run(work())


# ---------------------------------------------------------------------------------------------------------------------------------
# What comes back


def v2c_response(request: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Turn a GET of one object into its own response, changed."""
    return change(request.replace(b"\xa0", b"\xa2", 1))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: data.replace(b"\x04\x01\x05\x00", b"\x04\x02\x05\x00"), BadAnswer("answers for other objects than were asked for")),
        (
            lambda data: data.replace(b"\x02\x01\x00\x02\x01\x00\x30", b"\x02\x01\x63\x02\x01\x00\x30"),
            BadAnswer("error status 99 does not exist"),
        ),
        (lambda data: data, Values({}, {}, {PHASE_GREENS.at(1): WrongType("NULL")})),
    ],
    ids=["another object", "an impossible status", "no value"],
)
def test_an_answer_to_something_else_is_no_answer(bench: Bench, change: Callable[[bytes], bytes], expected: ReadResult) -> None:
    """An answer for another object, with a status that does not exist, or without a value, never becomes one."""
    listener = Listener(lambda data: v2c_response(data, change))

    async def work(link: SnmpTransport) -> ReadResult:
        return await link.get([PHASE_GREENS.at(1)], soon())

    assert expected == bench.asked(listener, work)


@pytest.mark.parametrize("credentials", [V1, V2C, USER], ids=["v1", "v2c", "v3"])
def test_garbled_answers_are_waited_out(bench: Bench, credentials: Credentials) -> None:
    """Whatever a host sends back, the link neither falls over nor believes it, and times out."""
    answers = iter([b"", b"\x00", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x30" * 2000, bytes(range(256))] * 20)
    listener = Listener(lambda _: next(answers))

    async def work(link: SnmpTransport) -> list[ReadResult]:
        now = asyncio.get_running_loop().time
        return [await link.get([PHASE_GREENS.at(1)], now() + 0.02) for _ in range(4)]

    results = bench.asked(listener, work, credentials=credentials)

    assert [Timeout] * 4 == [type(result) for result in results]


@given(data=st.data())
def test_no_answer_of_garbage_becomes_a_value(bench: Bench, data: st.DataObject) -> None:
    """A response with octets changed is read only as what it says: a value of the object, a fault, or nothing."""
    flips = data.draw(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=4))

    def garble(request: bytes) -> bytes:
        response = bytearray(v2c_response(request, lambda whole: whole))
        for place, value in flips:
            response[place % len(response)] = value
        return bytes(response)

    async def work(link: SnmpTransport) -> ReadResult:
        return await link.get([PHASE_GREENS.at(1)], asyncio.get_running_loop().time() + 0.005)

    result = bench.asked(Listener(garble), work, attempts=1)

    if isinstance(result, Values):
        assert all(0 <= value <= 255 for value in result.integers.values())
        assert 1 == len(result.integers) + len(result.octets) + len(result.faults)
    else:
        assert isinstance(result, Timeout | BadAnswer | Unreachable) or type(result).__name__ == "ErrorStatus"


def instances_of(syntax: Syntax) -> list[Instance]:
    """Name an instance of every object of a syntax."""

    def any_row(entry: NtcipObject) -> Instance:
        for rows in ((), (1,), (1, 1)):
            with contextlib.suppress(ValueError):
                return entry.at(*rows)
        raise AssertionError(entry)

    return [any_row(entry) for entry in OBJECTS.values() if entry.syntax is syntax]


WIRE_VALUES: st.SearchStrategy[WireValue | Foreign | None] = st.one_of(
    st.none(),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 300),
    st.binary(max_size=300),
    st.integers(0, 2**32 - 1).map(Counter),
    st.integers(0, 2**32 - 1).map(Gauge),
    st.integers(0, 2**32 - 1).map(Ticks),
    st.lists(st.integers(0, 2**32 - 1), max_size=20).map(tuple),
    st.just(Foreign("IpAddress")),
)


@given(instance=st.sampled_from([instance for syntax in Syntax for instance in instances_of(syntax)]), received=WIRE_VALUES)
def test_a_judged_value_is_one_that_its_object_can_have(instance: Instance, received: WireValue | Foreign | None) -> None:
    """Whatever comes, what is taken for a value has the object's type and range, and equals what came; all else is a fault."""
    entry = instance.object

    verdict = judged(instance, received)

    match verdict:
        case NoSuchObject():
            assert received is None
        case WrongType() | OutOfRange():
            assert received is not None
        case bytes():
            assert entry.syntax is Syntax.OCTETS
            assert entry.lowest <= len(verdict) <= entry.highest
            assert received == verdict
        case int():
            assert entry.syntax is not Syntax.OCTETS
            assert entry.lowest <= verdict <= entry.highest
            assert entry.codes is None or verdict in list(entry.codes)
            assert (received, int) == (verdict, type(verdict))


def test_an_answer_is_sorted_into_exactly_one_place_each() -> None:
    """Numbers, octets and faults are kept apart, and nothing is lost."""
    received = {PHASE_GREENS.at(1): 3, PHASE_GREENS.at(2): None, PHASE_WALK.at(1): b"", PHASE_WALK.at(2): Foreign("IpAddress")}

    values = sorted_out(received)

    faults: dict[Instance, ObjectFault] = {
        PHASE_GREENS.at(2): NoSuchObject(),
        PHASE_WALK.at(1): WrongType("OCTET STRING"),
        PHASE_WALK.at(2): WrongType("IpAddress"),
    }
    assert Values({PHASE_GREENS.at(1): 3}, {}, faults) == values


def test_an_acknowledgement_of_something_else_is_none(bench: Bench) -> None:
    """A cabinet that answers a write with other values has not accepted it."""

    def change(data: bytes) -> bytes:
        return data.replace(b"\xa3", b"\xa2", 1).replace(b"\x04\x01\x02\x01\x02", b"\x04\x01\x02\x01\x03")

    async def work(link: SnmpTransport) -> object:
        return await link.set(requests(HOLD, {2}), soon())

    honest = bench.asked(Listener(lambda data: data.replace(b"\xa3", b"\xa2", 1)), work)
    crooked = bench.asked(Listener(change), work)

    assert (Accepted(), BadAnswer("acknowledges other values than were written")) == (honest, crooked)
