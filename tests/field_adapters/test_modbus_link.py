import asyncio
import datetime as dt
import ipaddress
import os
import ssl
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from field_adapters.modbus_link import (
    Budget,
    Line,
    ModbusLink,
    PymodbusWire,
    RegisterBank,
    VirtualWire,
    Wire,
    WriteAnswer,
    Written,
    client_context,
    serial,
    server_context,
    tcp,
    tls,
)
from field_adapters.modbus_map import Answer, Cause, Cells, Failure
from field_adapters.modbus_profile import Table
from field_adapters.simulated.modbus_server import ROLE, ModbusServer, role_of
from intersection.errors import ConfigError
from tests.field_adapters.modbus_contract import Bank, ConnectionContract, LinkContract, Peer, block, request

WORD = block(Table.INPUT, 0, 1)


class VirtualPeer:
    """The twin's device."""

    def __init__(self, bank: RegisterBank) -> None:
        self.virtual = VirtualWire(bank)
        self.wire: Wire = self.virtual

    def silence(self, silent: bool) -> None:
        """Answer nothing, or again."""
        self.virtual.silent = silent

    async def cut(self) -> None:
        """Cut the connection."""
        self.virtual.cut = True

    async def mend(self) -> None:
        """Connect again."""
        self.virtual.cut = False


class ServedPeer:
    """A device behind a socket or a line."""

    def __init__(self, bank: RegisterBank, server: ModbusServer, wire: PymodbusWire, context: ssl.SSLContext | None = None) -> None:
        self.bank, self.server, self.context = bank, server, context
        self.wire: Wire = wire

    def silence(self, silent: bool) -> None:
        """Answer nothing, or again."""
        self.server.silent = silent

    async def cut(self) -> None:
        """Stop serving."""
        await self.server.close()

    async def mend(self) -> None:
        """Serve at the same port again."""
        await self.server.listen(port=self.server.port, context=self.context)


class TestVirtual(ConnectionContract):
    """The in-memory twin."""

    def peer(self, bank: RegisterBank) -> AbstractAsyncContextManager[Peer]:
        """Make a bank in memory."""

        @asynccontextmanager
        async def made() -> AsyncIterator[Peer]:
            yield VirtualPeer(bank)

        return made()


class TestTcp(ConnectionContract):
    """Modbus TCP on loopback."""

    def peer(self, bank: RegisterBank) -> AbstractAsyncContextManager[Peer]:
        """Serve at a free port."""

        @asynccontextmanager
        async def made() -> AsyncIterator[Peer]:
            async with ModbusServer(bank) as server:
                port = await server.listen()
                yield ServedPeer(bank, server, tcp("127.0.0.1", port))

        return made()


class TestTls(ConnectionContract):
    """Modbus TCP Security on loopback, each side with a certificate."""

    @pytest.fixture(autouse=True)
    def _certificates(self, certificates: Path) -> None:
        self.folder = certificates

    def peer(self, bank: RegisterBank) -> AbstractAsyncContextManager[Peer]:
        """Serve at a free port those who have a certificate."""

        @asynccontextmanager
        async def made() -> AsyncIterator[Peer]:
            context = _server(self.folder)
            async with ModbusServer(bank) as server:
                port = await server.listen(context=context)
                yield ServedPeer(bank, server, tls("127.0.0.1", port, context=_client(self.folder, "daemon")), context)

        return made()


class TestSerial(LinkContract):
    """Modbus RTU over a pseudo-terminal."""

    def peer(self, bank: RegisterBank) -> AbstractAsyncContextManager[Peer]:
        """Serve one end of a pseudo-terminal."""

        @asynccontextmanager
        async def made() -> AsyncIterator[Peer]:
            with terminal() as (near, far):
                async with ModbusServer(bank) as server:
                    server.serve_line(near)
                    yield ServedPeer(bank, server, serial(far, Line(parity="N")))

        return made()


@contextmanager
def terminal() -> Iterator[tuple[int, Path]]:
    """Open a pseudo-terminal: the handle of one end, which its user closes, and the path of the other."""
    near, far = os.openpty()
    tty.setraw(far)
    os.set_blocking(near, False)
    try:
        yield near, Path(os.ttyname(far))
    finally:
        os.close(far)


ROLES = {"daemon": b"\x0c\x08operator", "viewer": b"\x0c\x06viewer", "malformed": b"\x0c\x09operator"}
"""What stands in the certificates' role extension; a device's has none."""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an authority, a certificate for the device and one for the daemon, and another authority with a stranger's."""
    folder = tmp_path_factory.mktemp("certificates")
    for authority, names in (("authority", ("device", "daemon", "viewer", "malformed")), ("other", ("stranger",))):
        signer = ec.generate_private_key(ec.SECP256R1())
        root = _certificate(authority, key=signer, issuer=authority, signer=signer)
        (folder / f"{authority}.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
        for name in names:
            key = ec.generate_private_key(ec.SECP256R1())
            own = _certificate(name, key=key, issuer=authority, signer=signer, address="127.0.0.1", role=ROLES.get(name))
            (folder / f"{name}.pem").write_bytes(own.public_bytes(serialization.Encoding.PEM))
            (folder / f"{name}.key").write_bytes(
                key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            )
    return folder


def _certificate(
    subject: str,
    *,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    address: str | None = None,
    role: bytes | None = None,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), critical=True)
    )
    if address is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    if role is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(ROLE, role), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _server(folder: Path) -> ssl.SSLContext:
    return server_context(authority=folder / "authority.pem", certificate=folder / "device.pem", key=folder / "device.key")


def _client(folder: Path, name: str, authority: str = "authority") -> ssl.SSLContext:
    return client_context(authority=folder / f"{authority}.pem", certificate=folder / f"{name}.pem", key=folder / f"{name}.key")


def _read_over_tls(server: ssl.SSLContext, client: ssl.SSLContext, host: str = "127.0.0.1") -> Answer:
    async def whole() -> Answer:
        async with ModbusServer(Bank()) as device:
            port = await device.listen(context=server)
            link = ModbusLink(tls(host, port, context=client), Budget(deadline=2.0, retries=0))
            answer = await link.read(WORD)
            link.close()
            return answer

    return asyncio.run(whole())


def test_a_device_does_not_talk_to_a_stranger(certificates: Path) -> None:
    """A certificate of another authority gets no reading, and the refusal is noticed at once, not when the time is out."""
    stranger = client_context(
        authority=certificates / "authority.pem", certificate=certificates / "stranger.pem", key=certificates / "stranger.key"
    )

    began = monotonic()
    answer = _read_over_tls(_server(certificates), stranger)

    assert isinstance(answer, Failure)
    assert Cause.DISCONNECTED is answer.cause
    assert monotonic() - began < 1.5


def test_we_do_not_talk_to_a_device_of_another_authority(certificates: Path) -> None:
    """A device whose certificate our authority has not signed is not read."""
    answer = _read_over_tls(_server(certificates), _client(certificates, "daemon", authority="other"))

    assert isinstance(answer, Failure)
    assert Cause.DISCONNECTED is answer.cause


def test_we_do_not_talk_to_a_device_of_another_name(certificates: Path) -> None:
    """A right certificate at a wrong address is another cabinet's."""
    answer = _read_over_tls(_server(certificates), _client(certificates, "daemon"), host="localhost")

    assert isinstance(answer, Failure)
    assert Cause.DISCONNECTED is answer.cause


@pytest.mark.parametrize(("name", "writes"), [("daemon", True), ("viewer", False), ("malformed", False), ("device", False)])
def test_a_device_lets_only_the_right_role_write(certificates: Path, name: str, writes: bool) -> None:
    """Whoever has a certificate may read; what writes is told by the role in it, and none, or one in another form, is no role."""

    async def whole() -> tuple[Answer, WriteAnswer]:
        async with ModbusServer(Bank()) as device:
            port = await device.listen(context=_server(certificates), writers=frozenset({"operator"}))
            link = ModbusLink(tls("127.0.0.1", port, context=_client(certificates, name)), Budget(deadline=2.0, retries=0))
            answers = await link.read(WORD), await link.write(request())
            link.close()
            return answers

    read, written = asyncio.run(whole())

    assert Cells((60_000,)) == read
    assert (Written() if writes else Failure(Cause.EXCEPTION, "ILLEGAL_FUNCTION")) == written


@given(value=st.one_of(st.binary(max_size=200), st.binary(max_size=20).map(lambda text: bytes((12, len(text))) + text)))
@settings(max_examples=20)
def test_any_role_extension_gives_a_role_or_none(value: bytes) -> None:
    """Fuzz: only a UTF8String of the length that it says is a role."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = _certificate("any", key=key, issuer="any", signer=key, role=value).public_bytes(serialization.Encoding.DER)
    found = role_of(made)

    assert found is None or value == bytes((12, len(found.encode()))) + found.encode()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_certificate_or_none(data: bytes) -> None:
    """Fuzz: what is no certificate gives no role."""
    assert role_of(data) is None


def test_a_context_that_would_trust_anybody_is_refused(certificates: Path) -> None:
    """No link is made that does not check whom it talks to."""
    lax = _client(certificates, "daemon")
    lax.check_hostname = False

    with pytest.raises(ConfigError, match="would not be checked"):
        tls("127.0.0.1", context=lax)


@pytest.mark.parametrize(("wrong", "key"), [("authority", "authority"), ("certificate", "certificate"), ("key", "certificate")])
def test_a_certificate_that_is_missing_is_named(certificates: Path, wrong: str, key: str) -> None:
    """A file that is not there, or holds something else, is an error of the configuration."""
    files = {"authority": "authority.pem", "certificate": "daemon.pem", "key": "daemon.key"} | {wrong: "nowhere.pem"}

    with pytest.raises(ConfigError, match="not a certificate") as raised:
        client_context(**{name: certificates / file for name, file in files.items()})

    assert key == raised.value.key


@asynccontextmanager
async def answering(answer: Callable[[bytes], list[bytes]]) -> AsyncIterator[int]:
    """Serve whatever bytes a function gives, or hang up where it gives none."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while data := await reader.read(512):
                pieces = answer(data)
                if not pieces:
                    break
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _ask(answer: Callable[[bytes], list[bytes]], *, writes: bool = False, deadline: float = 0.1, times: int = 1) -> list[object]:
    async def whole() -> list[object]:
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with answering(answer) as port:
            link = ModbusLink(tcp("127.0.0.1", port), Budget(deadline=deadline, retries=0))
            answers: list[object] = [await (link.write(request()) if writes else link.read(WORD)) for _ in range(times)]
            link.close()
        assert complaints == []
        return answers

    return asyncio.run(whole())


def _frame(question: bytes, message: bytes, *, transaction: int | None = None, unit: int = 1) -> bytes:
    head = question[:2] if transaction is None else transaction.to_bytes(2, "big")
    return head + b"\0\0" + (len(message) + 1).to_bytes(2, "big") + bytes((unit,)) + message


RIGHT = bytes((4, 2, 0, 42))

STRANGE = {
    "another transaction": (lambda q: [_frame(q, RIGHT, transaction=999)], Cause.TIMED_OUT),
    "another unit": (lambda q: [_frame(q, RIGHT, unit=2)], Cause.TIMED_OUT),
    "another protocol": (lambda q: [q[:2] + b"\0\7" + _frame(q, RIGHT)[4:]], Cause.TIMED_OUT),
    "half a frame": (lambda q: [_frame(q, RIGHT)[:9]], Cause.TIMED_OUT),
    "another function": (lambda q: [_frame(q, bytes((3, 2, 0, 42)))], Cause.GARBAGE),
    "an answer to a write": (lambda q: [_frame(q, bytes((16, 0, 0, 0, 1)))], Cause.GARBAGE),
    "no function of Modbus": (lambda q: [_frame(q, bytes((0x63, 1, 2)))], Cause.GARBAGE),
    "fewer bytes than it says": (lambda q: [_frame(q, bytes((4, 9, 0, 42)))], Cause.GARBAGE),
    "nothing behind the function": (lambda q: [_frame(q, bytes((4,)))], Cause.GARBAGE),
    "more registers": (lambda q: [_frame(q, bytes((4, 4, 0, 42, 0, 43)))], Cause.SHORT),
    "half a register": (lambda q: [_frame(q, bytes((4, 1, 0)))], Cause.SHORT),
    "an exception that does not exist": (lambda q: [_frame(q, bytes((0x84, 77)))], Cause.EXCEPTION),
    "nothing": (lambda q: [], Cause.DISCONNECTED),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_answer_is_a_failure(name: str) -> None:
    """Whatever is not the answer to the question is no reading, and does not disturb the event loop."""
    answer, cause = STRANGE[name]

    [found] = _ask(answer)

    assert isinstance(found, Failure), found
    assert cause is found.cause


def test_an_answer_in_pieces_is_put_together() -> None:
    """A wire may cut a frame anywhere."""
    answers = _ask(lambda q: [_frame(q, RIGHT)[at : at + 1] for at in range(11)], deadline=1.0)

    assert [Cells((42,))] == answers


def test_a_late_answer_is_not_taken_for_the_next() -> None:
    """What comes in after its time belongs to a connection that is gone."""
    asked: list[bytes] = []

    def late(question: bytes) -> list[bytes]:
        asked.append(question)
        return [b"\0"] if len(asked) == 1 else [_frame(question, RIGHT)]

    lost, found = _ask(late, times=2)

    assert isinstance(lost, Failure)
    assert Cells((42,)) == found


def test_a_device_that_wrote_something_else_has_not_written() -> None:
    """An acknowledgement of another address or length is none."""
    answers = _ask(lambda q: [_frame(q, bytes((16, 0, 0, 0, 5)))], writes=True)

    assert [Failure(Cause.GARBAGE, "it wrote 5 cells at 0")] == answers


@settings(max_examples=40)
@given(message=st.binary(min_size=1, max_size=60), framed=st.booleans())
def test_no_bytes_from_a_device_disturb_us(message: bytes, framed: bool) -> None:
    """Fuzz: random messages, in a right frame or bare, give cells or a failure, in time, and never an exception."""
    [found] = _ask(lambda q: [_frame(q, message) if framed else message], deadline=0.03)

    assert isinstance(found, Cells | Failure)


def test_a_bit_answer_of_another_length_is_too_short() -> None:
    """Bits come in bytes; too few or too many are not what was asked."""

    async def whole() -> Answer:
        async with answering(lambda q: [_frame(q, bytes((2, 1, 255)))]) as port:
            link = ModbusLink(tcp("127.0.0.1", port), Budget(deadline=0.5, retries=0))
            answer = await link.read(block(Table.DISCRETE, 0, 9))
            link.close()
            return answer

    assert Failure(Cause.SHORT, "8 cells, not 16") == asyncio.run(whole())


def test_a_damaged_frame_on_a_line_is_no_reading() -> None:
    """A frame with a wrong CRC is silence; the next one is heard."""

    async def whole() -> list[Answer]:
        with terminal() as (near, far):
            loop = asyncio.get_running_loop()
            asked: list[bytes] = []

            def answer() -> None:
                asked.append(os.read(near, 256))
                right = bytes.fromhex("01 04 02 00 2a 38 ef")
                os.write(near, right[:-1] + b"\0" if len(asked) == 1 else right)

            loop.add_reader(near, answer)
            link = ModbusLink(serial(far, Line(baud=9600, parity="N", stop_bits=2)), Budget(deadline=0.1, retries=0))
            answers = [await link.read(WORD) for _ in range(2)]
            link.close()
            loop.remove_reader(near)
            os.close(near)
        return answers

    damaged, right = asyncio.run(whole())

    assert isinstance(damaged, Failure)
    assert Cells((42,)) == right


def test_a_line_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    """A serial device that is missing, or is none, is no connection."""
    (tmp_path / "file").touch()

    async def whole() -> list[Answer]:
        return [await ModbusLink(serial(tmp_path / name)).read(WORD) for name in ("nothing", "file")]

    answers = asyncio.run(whole())

    assert [Cause.DISCONNECTED] * 2 == [answer.cause for answer in answers if isinstance(answer, Failure)]


def test_a_line_that_goes_away_is_a_failure() -> None:
    """A pulled plug is noticed while waiting."""

    async def whole() -> Answer:
        with terminal() as (near, far):
            link = ModbusLink(serial(far, Line(parity="N")), Budget(deadline=2.0, retries=0))
            waiting = asyncio.create_task(link.read(WORD))
            loop = asyncio.get_running_loop()

            def pull() -> None:
                loop.remove_reader(near)
                os.close(near)

            loop.add_reader(near, pull)
            answer = await waiting
            link.close()
            return answer

    answer = asyncio.run(whole())

    assert isinstance(answer, Failure)
    assert Cause.DISCONNECTED is answer.cause


@pytest.mark.parametrize(
    "make",
    [
        lambda: Budget(deadline=0.0),
        lambda: Budget(deadline=11.0),
        lambda: Budget(retries=-1),
        lambda: Line(baud=300),
        lambda: Line(parity="X"),
        lambda: Line(stop_bits=3),
    ],
)
def test_a_setting_that_no_link_has_is_named(make: Callable[[], object]) -> None:
    """Bad values are the user's to mend, with what is allowed."""
    with pytest.raises(ConfigError, match="allowed"):
        make()


def test_a_link_that_waits_for_its_turn_keeps_its_deadline() -> None:
    """Behind a slow question, the next one fails in time without having been asked."""

    async def whole() -> tuple[object, int]:
        bank = Bank()
        wire = VirtualWire(bank)
        wire.silent = True
        link = ModbusLink(wire, Budget(deadline=0.1, retries=0))
        slow = asyncio.create_task(link.read(WORD))
        answer = await link.write(request())
        await slow
        return answer, len(bank.written)

    answer, written = asyncio.run(whole())

    assert isinstance(answer, Failure)
    assert written <= 1


class Stubborn(VirtualWire):
    """Answers a cancellation with a failure, as a connection does that is being made."""

    async def read(self, table: Table, address: int, count: int) -> Answer:
        """Wait, and give a failure in the end."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Failure(Cause.DISCONNECTED)
        return Failure(Cause.GARBAGE)


def test_a_wire_cannot_swallow_the_end_of_its_time() -> None:
    """Time that is out is time that is out."""

    async def whole() -> Answer:
        return await ModbusLink(Stubborn(Bank()), Budget(deadline=0.05, retries=0)).read(WORD)

    assert Failure(Cause.TIMED_OUT, "50 ms") == asyncio.run(whole())


def test_a_wire_cannot_swallow_a_cancellation() -> None:
    """Whoever is cancelled ends."""

    async def whole() -> None:
        asked = asyncio.create_task(ModbusLink(Stubborn(Bank()), Budget(deadline=5.0)).read(WORD))
        await asyncio.wait([asked], timeout=0.02)
        asked.cancel()
        await asked

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(whole())
