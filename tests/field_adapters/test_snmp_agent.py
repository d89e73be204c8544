"""The agent, judged by clients that nobody here wrote, and by garbage."""

import asyncio
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto.api import v1, v2c

from field_adapters._errors import LinkError
from field_adapters._pysnmp import read_value, written_value
from field_adapters.ntcip_objects import ASC, HOLD, PHASE_GREENS, SYSTEM_DESCRIPTION, Oid
from field_adapters.simulated.snmp_agent import Right, SnmpAgent, TableStore, _Request
from field_adapters.snmp import (
    AuthProtocol,
    Counter,
    Foreign,
    Gauge,
    ObjectStore,
    PrivProtocol,
    Refusal,
    Status,
    Ticks,
    UsmUser,
    Values,
    WireValue,
)
from field_adapters.snmp_manager import SnmpManager
from intersection.errors import ConfigError
from tests.field_adapters.snmp_contract import Standing, cabinet_store, cabinet_values, soon

WRITER = UsmUser(name="supervisor", auth_passphrase="correct horse", priv_passphrase="battery staple")
READER = UsmUser(
    name="viewer", auth_passphrase="correct horse", priv_passphrase="battery staple", auth=AuthProtocol.SHA512, priv=PrivProtocol.AES256
)
COMMUNITIES = {"public": Right.READ, "private": Right.WRITE}
USERS = {WRITER: Right.WRITE, READER: Right.READ}

ASC_TEXT = ".".join(map(str, ASC))
HOLD_1, HOLD_2, GREENS_1 = f"{ASC_TEXT}.1.5.1.4.1", f"{ASC_TEXT}.1.5.1.4.2", f"{ASC_TEXT}.1.4.1.4.1"
MISSING = f"{ASC_TEXT}.1.99.0"

LOW = "Unsupported security level|authorizationError"

V1, V2C = ("-v1", "-c", "private"), ("-v2c", "-c", "private")
V3 = ("-v3", "-u", "supervisor", "-l", "authPriv", "-a", "SHA-256", "-A", "correct horse", "-x", "AES", "-X", "battery staple")


# ---------------------------------------------------------------------------------------------------------------------------------
# net-snmp


class NetSnmp:
    """The command line of net-snmp against an agent of ours."""

    def __init__(self, home: Path) -> None:
        (home / "cert_indexes").mkdir()  # net-snmp says so when it makes it itself
        self._environment = dict(os.environ) | {"MIBS": "", "SNMPCONFPATH": str(home), "SNMP_PERSISTENT_DIR": str(home), "HOME": str(home)}
        self._runner = asyncio.Runner()
        self._store = Standing()
        self._agent = SnmpAgent(self._store, communities=COMMUNITIES, users=USERS)
        self._runner.run(self._agent.open())

    def __call__(self, store: TableStore, tool: str, *arguments: str) -> str:
        """Run a tool against a store, and return what it says, with "asc" for the branch of signal controllers."""
        self._store.on = store
        host, port = self._agent.address
        at = next(place for place, word in enumerate(arguments) if word.startswith(ASC_TEXT))
        command = (tool, *arguments[:at], "-On", "-r0", "-t1", f"{host}:{port}", *arguments[at:])

        async def session() -> str:
            process = await asyncio.create_subprocess_exec(
                *command, env=self._environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            said, _ = await asyncio.wait_for(process.communicate(), 20.0)
            return said.decode().replace(f".{ASC_TEXT}", "asc")

        return self._runner.run(session())

    def close(self) -> None:
        """Clear up."""
        self._runner.run(self._agent.__aexit__(None, None, None))
        self._runner.close()


@pytest.fixture(scope="module")
def net_snmp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetSnmp]:
    """Find net-snmp, or leave the test out."""
    missing = [tool for tool in ("snmpget", "snmpwalk", "snmpbulkwalk", "snmpset") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"net-snmp is not installed (Debian's package snmp): no {', '.join(missing)}")
    tools = NetSnmp(tmp_path_factory.mktemp("net-snmp"))
    yield tools
    tools.close()


@pytest.mark.parametrize("version", [V1, V2C, V3], ids=["v1", "v2c", "v3"])
def test_net_snmp_reads(net_snmp: NetSnmp, version: Sequence[str]) -> None:
    """Snmpget reads several objects in one message by each version."""
    said = net_snmp(cabinet_store(), "snmpget", *version, GREENS_1, HOLD_1)

    assert "asc.1.4.1.4.1 = INTEGER: 34\nasc.1.5.1.4.1 = INTEGER: 0\n" == said


@pytest.mark.parametrize("version", [V1, V2C, V3], ids=["v1", "v2c", "v3"])
def test_net_snmp_is_told_which_object_is_missing(net_snmp: NetSnmp, version: Sequence[str]) -> None:
    """v1 refuses the message and names the object; the others answer for the rest."""
    said = net_snmp(cabinet_store(), "snmpget", *version, GREENS_1, MISSING)

    if version is V1:
        assert "(noSuchName)" in said
        assert "Failed object: asc.1.99.0" in said
    else:
        assert "asc.1.4.1.4.1 = INTEGER: 34\nasc.1.99.0 = No Such Instance currently exists at this OID\n" == said


@pytest.mark.parametrize("version", [V1, V2C, V3], ids=["v1", "v2c", "v3"])
def test_net_snmp_walks_everything_once(net_snmp: NetSnmp, version: Sequence[str]) -> None:
    """Snmpwalk sees each object below asc once, in order, and finds the end."""
    said = net_snmp(cabinet_store(), "snmpwalk", *version, ASC_TEXT)

    seen = [line.split(" ")[0] for line in said.splitlines() if line.startswith("asc.")]
    held = ["asc" + "".join(f".{part}" for part in oid[len(ASC) :]) for oid in sorted(cabinet_values()) if oid[: len(ASC)] == ASC]
    assert held == seen[: len(held)]
    assert "= " not in "".join(said.splitlines()[len(held) :]) or "No more variables" in said


@pytest.mark.parametrize("version", [V2C, V3], ids=["v2c", "v3"])
def test_net_snmp_walks_in_bulk(net_snmp: NetSnmp, version: Sequence[str]) -> None:
    """Snmpbulkwalk sees what snmpwalk sees, however many it asks for at once."""
    walked, bulk = (
        net_snmp(cabinet_store(), tool, *version, *more, ASC_TEXT) for tool, more in (("snmpwalk", ()), ("snmpbulkwalk", ("-Cr200",)))
    )

    assert walked == bulk


@pytest.mark.parametrize("version", [V1, V2C, V3], ids=["v1", "v2c", "v3"])
def test_net_snmp_writes(net_snmp: NetSnmp, version: Sequence[str]) -> None:
    """Snmpset writes both groups in one message."""
    store = cabinet_store()

    said = net_snmp(store, "snmpset", *version, HOLD_1, "i", "34", HOLD_2, "i", "2")

    assert "asc.1.5.1.4.1 = INTEGER: 34\nasc.1.5.1.4.2 = INTEGER: 2\n" == said
    assert [34, 2] == [store.values[instance.oid] for instance in HOLD.groups()]


@pytest.mark.parametrize(
    ("version", "second", "status"),
    [
        (V1, (HOLD_2, "i", "400"), "badValue"),
        (V1, (HOLD_2, "s", "x"), "badValue"),
        (V1, (GREENS_1, "i", "1"), "noSuchName"),
        (V1, (MISSING, "i", "1"), "noSuchName"),
        (V2C, (HOLD_2, "i", "400"), "wrongValue"),
        (V2C, (HOLD_2, "s", "x"), "wrongType"),
        (V2C, (GREENS_1, "i", "1"), "notWritable"),
        (V2C, (MISSING, "i", "1"), "noCreation"),
        (V3, (HOLD_2, "i", "400"), "wrongValue"),
        (V3, (HOLD_2, "a", "10.0.0.1"), "wrongType"),
    ],
)
def test_net_snmp_is_told_what_was_refused_and_nothing_is_written(
    net_snmp: NetSnmp, version: Sequence[str], second: Sequence[str], status: str
) -> None:
    """One write that cannot be stops the message, with the status of the version and the object's name."""
    store = cabinet_store()

    said = net_snmp(store, "snmpset", *version, HOLD_1, "i", "34", *second)

    assert status in said
    assert f"Failed object: {second[0].replace(ASC_TEXT, 'asc')}" in said
    assert [0, 0] == [store.values[instance.oid] for instance in HOLD.groups()]


@pytest.mark.parametrize(
    ("who", "status"),
    [
        (("-v1", "-c", "public"), "noSuchName"),
        (("-v2c", "-c", "public"), "noAccess"),
        (
            ("-v3", "-u", "viewer", "-l", "authPriv", "-a", "SHA-512", "-A", "correct horse", "-x", "AES-256", "-X", "battery staple"),
            "noAccess",
        ),
    ],
    ids=["v1", "v2c", "v3"],
)
def test_net_snmp_may_not_write_where_it_may_only_read(net_snmp: NetSnmp, who: Sequence[str], status: str) -> None:
    """Whoever may read only reads, and is refused a write."""
    store = cabinet_store()

    assert "asc.1.5.1.4.1 = INTEGER: 0\n" == net_snmp(store, "snmpget", *who, HOLD_1)
    assert status in net_snmp(store, "snmpset", *who, HOLD_1, "i", "2")
    assert 0 == store.values[HOLD.at(1).oid]


@pytest.mark.parametrize(
    ("who", "words"),
    [
        (("-v2c", "-c", "guess"), "Timeout: No Response"),
        (("-v3", "-u", "supervisor", "-l", "noAuthNoPriv"), LOW),
        (
            ("-v3", "-u", "supervisor", "-l", "authNoPriv", "-a", "SHA-256", "-A", "correct horse"),
            "Unsupported security level|authorizationError",
        ),
        ((*V3[:8], "wrong horse!", *V3[9:]), "Authentication failure"),
        (("-v3", "-u", "nobody", *V3[3:]), "Unknown user name"),
        ((*V3, "-n", "elsewhere"), "genError"),
    ],
    ids=["community", "no authentication", "no privacy", "key", "name", "context"],
)
def test_net_snmp_is_not_let_in_without_the_key(net_snmp: NetSnmp, who: Sequence[str], words: str) -> None:
    """Without the right name, key, level and context nothing is read."""
    said = net_snmp(cabinet_store(), "snmpget", *who, HOLD_1)

    assert any(word in said for word in words.split("|")), said
    assert "INTEGER" not in said


# ---------------------------------------------------------------------------------------------------------------------------------
# Messages by hand


class Post:
    """An agent without a socket: datagrams go in, and what it sends is kept."""

    def __init__(self, store: ObjectStore, *, largest: int = 1472, engine_id: bytes | None = None) -> None:
        self.sent: list[bytes] = []
        self.agent = SnmpAgent(store, communities=COMMUNITIES, users=USERS, largest=largest, engine_id=engine_id)
        self.agent._transport = self  # type: ignore[assignment]  # a transport that only sends

    def sendto(self, data: bytes, _address: tuple[str, int]) -> None:
        """Keep what is sent."""
        self.sent.append(data)

    def answers(self, request: bytes) -> list[bytes]:
        """Hand a datagram in, and take what comes out."""
        self.sent.clear()
        self.agent.datagram_received(request, ("127.0.0.1", 40000))
        return list(self.sent)

    def ask(self, version: str, kind: str, *parts: tuple[Oid, Any], bulk: tuple[int, int] = (0, 10)) -> "Answer":
        """Ask by v1 or v2c, and read the one answer."""
        module = v1 if version == "v1" else v2c
        (answer,) = self.answers(written(module, kind, parts, bulk=bulk))
        whole, rest = decoder.decode(answer, asn1Spec=module.Message())
        assert not rest
        pdu = module.apiMessage.get_pdu(whole)
        api = module.apiPDU
        found = [(tuple(oid), read_value(value)) for oid, value in api.get_varbinds(pdu)]
        return Answer(Status(int(api.get_error_status(pdu))), int(api.get_error_index(pdu, muteErrors=True)), found, len(answer))


class Answer(NamedTuple):
    """What an agent says."""

    status: Status
    place: int
    found: list[tuple[Oid, WireValue | Foreign | None]]
    size: int


def written(
    module: ModuleType, kind: str, parts: Sequence[tuple[Oid, Any]], *, bulk: tuple[int, int] = (0, 10), community: str = "private"
) -> bytes:
    """Write a message of v1 or v2c; a part without a value asks."""
    kinds = {"get": module.GetRequestPDU, "next": module.GetNextRequestPDU, "set": module.SetRequestPDU, "bulk": v2c.GetBulkRequestPDU}
    pdu = kinds[kind]()
    api = v2c.apiBulkPDU if kind == "bulk" else module.apiPDU
    api.set_defaults(pdu)
    if kind == "bulk":
        api.set_non_repeaters(pdu, bulk[0])
        api.set_max_repetitions(pdu, bulk[1])
    api.set_varbinds(
        pdu, [(module.ObjectIdentifier(oid), module.Null("") if value is None else written_value(value, module)) for oid, value in parts]
    )
    whole = module.Message()
    module.apiMessage.set_defaults(whole)
    module.apiMessage.set_community(whole, community)
    module.apiMessage.set_pdu(whole, pdu)
    return bytes(encoder.encode(whole))


GOOD = written(v2c, "get", [(PHASE_GREENS.at(1).oid, None)])


@pytest.fixture(scope="module")
def post() -> Post:
    """Make one agent for the tests that leave it as it was."""
    return Post(cabinet_store())


@pytest.mark.parametrize("version", ["v1", "v2c"])
def test_values_of_every_type_are_sent_as_what_they_are(version: str) -> None:
    """INTEGER, OCTET STRING, OBJECT IDENTIFIER, Counter32, Gauge32 and TimeTicks come out as they are held."""
    deep: Oid = (1, 3, 6, 1, 2**32 - 1)
    values: list[WireValue] = [-(2**31), 2**31 - 1, b"", b"\x00\xff", deep, Counter(2**32 - 1), Gauge(7), Ticks(9)]
    held: list[tuple[Oid, WireValue]] = [((1, 3, 6, 1, number), value) for number, value in enumerate(values)]

    answer = Post(TableStore(dict(held))).ask(version, "get", *((oid, None) for oid, _ in held))

    assert held == answer.found
    assert [type(value) for _, value in held] == [type(value) for _, value in answer.found]


@pytest.mark.parametrize("version", ["v1", "v2c"])
def test_a_walk_visits_everything_in_order(version: str, post: Post) -> None:
    """GETNEXT from the root sees each object once, in the order of OIDs, and then the end."""
    seen: list[Oid] = []
    place: Oid = (0, 0)
    while True:
        answer = post.ask(version, "next", (place, None))
        place, value = answer.found[0]
        if value is None or answer.status:
            break
        seen.append(place)

    assert sorted(cabinet_values()) == seen
    assert ((Status.NO_SUCH_NAME, 1) if version == "v1" else (Status.NO_ERROR, 0)) == answer[:2]


def test_v1_names_the_first_object_that_is_missing(post: Post) -> None:
    """In v1 a GET of several objects with two missing is refused for the first of them."""
    here, gone = PHASE_GREENS.at(1).oid, (1, 3, 9)

    answer = post.ask("v1", "get", (here, None), (gone, None), (here, None), (gone, None))

    assert (Status.NO_SUCH_NAME, 2) == answer[:2]
    assert [here, gone, here, gone] == [oid for oid, _ in answer.found]


@pytest.mark.parametrize(
    ("parts", "status", "v1_status", "index"),
    [
        ([(HOLD.at(1).oid, 1), (HOLD.at(2).oid, 256)], Status.WRONG_VALUE, Status.BAD_VALUE, 2),
        ([(HOLD.at(1).oid, 1), (HOLD.at(2).oid, b"x")], Status.WRONG_TYPE, Status.BAD_VALUE, 2),
        ([(HOLD.at(1).oid, 1), (HOLD.at(2).oid, 1), (PHASE_GREENS.at(1).oid, 1)], Status.NOT_WRITABLE, Status.NO_SUCH_NAME, 3),
        ([((1, 3, 9), 1), (HOLD.at(2).oid, 256)], Status.NO_CREATION, Status.NO_SUCH_NAME, 1),
        ([(HOLD.at(1).oid, 1), (HOLD.at(2).oid, None), (HOLD.at(2).oid, 1)], Status.WRONG_TYPE, Status.BAD_VALUE, 2),
    ],
)
def test_a_write_is_whole_or_not_at_all(parts: Sequence[tuple[Oid, Any]], status: Status, v1_status: Status, index: int) -> None:
    """The first write that cannot be stops the message, by the status that its version knows, with its place."""
    store = cabinet_store()
    before = dict(store.values)
    post = Post(store)

    answers = [post.ask(version, "set", *parts)[:2] for version in ("v2c", "v1")]

    assert [(status, index), (v1_status, index)] == answers
    assert before == store.values


class Refusing(TableStore):
    """A store that refuses every message with one status."""

    status = Status.GEN_ERR

    def write(self, writes: Sequence[tuple[Oid, WireValue]]) -> Refusal | None:
        """Refuse the last part."""
        return Refusal(len(writes), self.status)


def test_v1_hears_only_what_it_knows() -> None:
    """Every status that a store may give is told in v2c as it is, and in v1 as one of its five."""
    store = Refusing(cabinet_values())
    post = Post(store)
    parts = [(HOLD.at(1).oid, 1), (HOLD.at(2).oid, 1)]

    for status in list(Status)[1:]:
        store.status = status
        assert status == post.ask("v2c", "set", *parts).status
        assert post.ask("v1", "set", *parts).status <= Status.GEN_ERR


@pytest.mark.parametrize(
    ("bulk", "expected"),
    [((0, 3), 6), ((1, 3), 4), ((2, 3), 2), ((9, 3), 2), ((0, 0), 0), ((1, 0), 1), ((2**31 - 1, 2**31 - 1), 2)],
)
def test_bulk_walks_on_from_each_place(post: Post, bulk: tuple[int, int], expected: int) -> None:
    """Non-repeaters are followed once, the others as often as asked."""
    answer = post.ask("v2c", "bulk", (ASC, None), (ASC, None), bulk=bulk)

    assert (Status.NO_ERROR, expected) == (answer.status, len(answer.found))


def test_bulk_is_never_longer_than_a_datagram() -> None:
    """However much is asked for, the answer is cut to what fits, and is a beginning of the walk."""
    post = Post(cabinet_store(), largest=484)

    answer = post.ask("v2c", "bulk", (ASC, None), bulk=(0, 2**31 - 1))

    held = [oid for oid in sorted(cabinet_values()) if oid[: len(ASC)] == ASC]
    assert 5 < len(answer.found) < len(held)
    assert held[: len(answer.found)] == [oid for oid, _ in answer.found]
    assert answer.size <= 484 + 40  # the frame around the PDU


def test_bulk_ends_with_the_objects(post: Post) -> None:
    """A walk that has come to the end is not told so a thousand times."""
    answer = post.ask("v2c", "bulk", (max(cabinet_values()), None), bulk=(0, 1000))

    assert [None] == [value for _, value in answer.found]


@pytest.mark.parametrize(("version", "parts"), [("v1", 40), ("v2c", 0)])
def test_an_answer_that_is_too_long_says_so(version: str, parts: int) -> None:
    """A GET whose answer does not fit is refused as too big; v2c leaves the parts out."""
    store = cabinet_store()
    store.values[SYSTEM_DESCRIPTION.at().oid] = b"x" * 60

    answer = Post(store, largest=1000).ask(version, "get", *[(SYSTEM_DESCRIPTION.at().oid, None)] * 40)

    assert (Status.TOO_BIG, 0, parts) == (*answer[:2], len(answer.found))


def test_a_walk_steps_over_an_object_that_has_gone() -> None:
    """An object that is named as the next but has no value any more is passed over."""
    store = cabinet_store()
    del store.values[HOLD.at(1).oid]

    answer = Post(store).ask("v2c", "next", (HOLD.oid, None))

    assert [(HOLD.at(2).oid, 0)] == answer.found


def test_an_error_of_the_store_is_seen_and_survived() -> None:
    """A defect of the store is raised to whoever delivers the datagram, and the next message is answered."""

    class Defective(TableStore):
        broken = True

        def read(self, oid: Oid) -> WireValue | None:
            if self.broken:
                raise KeyError(oid)
            return super().read(oid)

    store = Defective(cabinet_values())
    post = Post(store)

    with pytest.raises(KeyError):
        post.answers(GOOD)
    store.broken = False

    assert 34 == post.ask("v2c", "get", (PHASE_GREENS.at(1).oid, None)).found[0][1]
    assert 0 == post.agent.dropped


def test_who_is_not_known_gets_no_answer(post: Post) -> None:
    """A message of an unknown community is met with silence."""
    assert [] == post.answers(written(v2c, "get", [(PHASE_GREENS.at(1).oid, None)], community="guess"))


@pytest.mark.parametrize(("level", "status"), [(1, Status.AUTHORIZATION_ERROR), (2, Status.AUTHORIZATION_ERROR), (3, None)])
def test_a_user_without_privacy_is_refused(post: Post, level: int, status: Status | None) -> None:
    """Should pysnmp ever let a user of v3 by without authentication and privacy, the agent does not."""
    pdu = v2c.GetRequestPDU()
    request = _Request(3, 3, b"supervisor", level, b"", b"", 1, pdu, 1472, 0)

    outcome = post.agent._carried_out(request, [(PHASE_GREENS.at(1).oid, None)])

    assert status == (outcome.status if isinstance(outcome, Refusal) else None)


# ---------------------------------------------------------------------------------------------------------------------------------
# Garbage

GARBAGE = [
    b"",
    b"\x00",
    b"\x30",
    b"\x30\x80",
    b"\x30\x84\xff\xff\xff\xff",
    b"\x30\x82\x05\x00" * 300,
    b"\x30" * 3000,
    b"\x30\x80" * 3000,
    b"\x02\x01\x01",
    bytes(range(256)) * 8,
    b"\xff" * 65000,
    GOOD[:-1],
    GOOD + GOOD,
    GOOD[:1] + b"\x03" + GOOD[2:],
]


@pytest.fixture(scope="module")
def recorded() -> tuple[bytes, list[bytes]]:
    """Record an agent's engine id and what a manager sends it by v3: the discovery, and a read."""
    heard: list[bytes] = []

    async def session() -> bytes:
        async with SnmpAgent(cabinet_store(), users=USERS) as agent, SnmpManager() as manager:
            deliver = agent.datagram_received

            def hear(data: bytes, address: tuple[str, int]) -> None:
                heard.append(data)
                deliver(data, address)

            agent.datagram_received = hear  # type: ignore[method-assign]  # a tap on the wire
            link = await manager.connect(*agent.address, WRITER)
            assert isinstance(await link.get([PHASE_GREENS.at(1)], soon()), Values)
            return agent.engine_id

    return asyncio.run(session()), heard


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_known_garbage_is_survived(post: Post, garbage: bytes) -> None:
    """Cut, nested, endless and empty datagrams are dropped, and the next message is answered."""
    post.answers(garbage)

    assert 1 == len(post.answers(GOOD))


@given(garbage=st.binary(max_size=300))
def test_any_garbage_is_survived(post: Post, garbage: bytes) -> None:
    """Whatever arrives, nothing is raised, and the next message is answered."""
    post.answers(garbage)

    assert 1 == len(post.answers(GOOD))


ENCRYPTED = b"\x04\x01\x03\x02\x01\x03"
"""The header of a v3 message with authentication and privacy: its flags, and the security model."""

FLIPS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=5)
SEEDS = [
    GOOD,
    written(v1, "get", [(PHASE_GREENS.at(1).oid, None)]),
    written(v1, "set", [(HOLD.at(1).oid, 1)]),
    written(v2c, "set", [(HOLD.at(1).oid, 1), (HOLD.at(2).oid, b"x")]),
    written(v2c, "bulk", [(ASC, None)]),
    written(v2c, "next", [(ASC, None)]),
]


def flipped(seed: bytes, flips: Sequence[tuple[int, int]], cut: int) -> bytes:
    """Change some octets of a message, and cut its end."""
    changed = bytearray(seed)
    for place, value in flips:
        changed[place % len(changed)] = value
    return bytes(changed[: len(changed) - cut])


@given(seed=st.sampled_from(SEEDS), flips=FLIPS, cut=st.integers(0, 3))
def test_a_changed_message_is_survived(post: Post, seed: bytes, flips: Sequence[tuple[int, int]], cut: int) -> None:
    """A message with octets changed or cut is answered or dropped; nothing but a byte is ever written."""
    post.answers(flipped(seed, flips, cut))

    store = post.agent._store
    assert 1 == len(post.answers(GOOD))
    assert all(type(store.read(instance.oid)) is int and 0 <= cast("int", store.read(instance.oid)) <= 255 for instance in HOLD.groups())


@given(which=st.integers(0, 1), flips=FLIPS, cut=st.integers(0, 3))
def test_a_changed_message_of_v3_is_survived_and_never_believed(
    recorded: tuple[bytes, list[bytes]], secure: Post, which: int, flips: Sequence[tuple[int, int]], cut: int
) -> None:
    """A v3 message with octets changed is dropped or reported on, never answered as if it were whole."""
    _, heard = recorded
    genuine = heard[which]
    changed = flipped(genuine, flips, cut)

    replies = secure.answers(changed)

    assert 1 == len(secure.answers(GOOD))
    if which == 1 and changed != genuine:
        assert not any(ENCRYPTED in reply for reply in replies)


@pytest.fixture(scope="module")
def secure(recorded: tuple[bytes, list[bytes]]) -> Post:
    """Make an agent of the identity that the recorded messages were meant for."""
    return Post(cabinet_store(), engine_id=recorded[0])


def test_garbage_is_counted_and_leaves_nothing(post: Post) -> None:
    """What cannot be read is counted, and a thousand such datagrams leave no message waiting."""
    before = post.agent.dropped
    for _ in range(1000):
        post.answers(GOOD[:-1])

    assert 1000 == post.agent.dropped - before
    assert [] == post.agent._requests


# ---------------------------------------------------------------------------------------------------------------------------------
# Where it listens


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "cabinet.example"])
def test_it_listens_on_this_machine_only(host: str) -> None:
    """An address beyond loopback is refused, unless it is said that it is meant."""
    with pytest.raises(ConfigError, match="heard on this machine only"):
        SnmpAgent(cabinet_store(), host=host)

    assert SnmpAgent(cabinet_store(), host=host, anywhere=True).dropped == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_has_many_names(host: str) -> None:
    """Every address of this machine alone is one to listen on."""
    assert SnmpAgent(cabinet_store(), host=host).dropped == 0


def test_a_port_that_is_taken_is_an_error() -> None:
    """Two agents cannot have one port."""

    async def work() -> None:
        async with SnmpAgent(cabinet_store()) as agent:
            second = SnmpAgent(cabinet_store(), port=agent.address[1])
            with pytest.raises(LinkError, match="cannot be listened on"):
                await second.open()
            with pytest.raises(LinkError, match="the agent is closed"):
                _ = second.address

    asyncio.run(work())


def test_closing_gives_the_port_back() -> None:
    """After closing, once or twice, nobody listens, and the port is free."""

    async def work() -> int:
        agent = SnmpAgent(cabinet_store())
        async with agent:
            port = agent.address[1]
        agent.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", port))
            return port

    assert asyncio.run(work()) > 0
