"""Carries reads and requests to a Modbus device, within a deadline of our own.

Layers: a `ModbusLink` owns deadline, retries and order; a `Wire` below it moves cells. `PymodbusWire` is TCP, mutual TLS or a serial line;
`VirtualWire` is its in-memory twin. Whatever goes wrong is a `Failure`, never an exception, and never a value.

Of pymodbus, only its framers, messages and transaction manager are used (pinned: they change in minor releases):

- its clients wait 3 s, four times over, within one call, reconnect on their own up to five minutes apart, do not notice that a peer hung
  up before that time is out, and let a damaged answer escape as an exception into the event loop: here each has our deadline, and a
  connection is made anew by the next read;
- a device's refusal is an answer there, and any answer is taken for any question: here both are failures, told apart;
- on a serial line nothing tells a late answer from the next one. So after each failure the connection is dropped and what comes in late is
  thrown away; and a request is written once only, since a doubled one is not the same as one.
"""

import asyncio
import logging
import os
import ssl
import termios
import tty
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
)
from pymodbus.transaction import TransactionManager
from pymodbus.transport import CommParams, CommType

from field_adapters._modbus_errors import LinkClosed, UnreviewedError
from field_adapters.modbus_map import Answer, Cause, Cells, Failure, RequestBlock
from field_adapters.modbus_profile import Block, Table
from intersection.errors import ConfigError

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # it dumps packets at each failure, which we tell in our own words


class ExceptionCode(Enum):
    """Why a device does not serve a Modbus request, by the code of the exception it answers (Application Protocol 1.1b3, section 7)."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    DEVICE_FAILURE = 4
    ACKNOWLEDGE = 5
    BUSY = 6
    MEMORY_PARITY = 8
    GATEWAY_PATH = 10
    GATEWAY_TARGET = 11
    OTHER = 255


class RegisterBank(Protocol):
    """What a device has inside: cells of four tables."""

    def read(self, table: Table, address: int, count: int) -> tuple[int, ...] | ExceptionCode:
        """Give cells, or say why not."""

    def write(self, table: Table, address: int, cells: Sequence[int]) -> ExceptionCode | None:
        """Take cells in, or say why not."""


@dataclass(frozen=True, slots=True)
class Written:
    """The device took the cells in; what it makes of them is told by its status."""


WriteAnswer: TypeAlias = Written | Failure


class Wire(Protocol):
    """Moves cells. It may take for ever, and is then cancelled and dropped: the link keeps the time."""

    async def read(self, table: Table, address: int, count: int) -> Answer:
        """Read cells."""

    async def write(self, block: RequestBlock) -> WriteAnswer:
        """Write a request's cells."""

    def drop(self) -> None:
        """Forget the connection and all that is still to come from it; the next read or write makes a new one. Twice does no harm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How long a link may take.

    Raises:
        ConfigError: a link needs time.
    """

    deadline: float = 0.4
    """Of one read or write with all that belongs to it, in seconds."""

    retries: int = 1
    """How often a read is tried again within the deadline, which all tries share evenly."""

    def __post_init__(self) -> None:
        if not 0.001 <= self.deadline <= 10.0:
            raise ConfigError("a link needs time, and a tick has not much", key="deadline", value=self.deadline, allowed="0.001..10 s")
        if not 0 <= self.retries <= 5:
            raise ConfigError("retries cost the deadline", key="retries", value=self.retries, allowed="0..5")


_Outcome = TypeVar("_Outcome", Cells | Failure, Written | Failure)


class ModbusLink:
    """One device's link: one question at a time, each within its deadline."""

    def __init__(self, wire: Wire, budget: Budget | None = None) -> None:
        self._wire, self._budget = wire, budget or Budget()
        self._order = asyncio.Lock()
        self._closed = False

    async def read(self, block: Block) -> Answer:
        """Read a block's cells.

        Raises:
            LinkClosed: the link has been closed.
        """
        tries = 1 + self._budget.retries
        answer: Answer = Failure(Cause.TIMED_OUT)
        end = asyncio.get_running_loop().time() + self._budget.deadline
        for _ in range(tries):
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                break
            answer = await self._within(
                min(left, self._budget.deadline / tries), lambda: self._wire.read(block.table, block.address, block.size)
            )
            if isinstance(answer, Cells) or answer.cause is Cause.EXCEPTION:
                break
        return answer

    async def write(self, block: RequestBlock) -> WriteAnswer:
        """Write a request, once.

        Raises:
            LinkClosed: the link has been closed.
            UnreviewedError: it is no request block, but something that looks like one.
        """
        if type(block) is not RequestBlock:  # a subclass could hold cells that no rule has seen
            raise UnreviewedError(f"a link writes request blocks, not {block!r}")
        return await self._within(self._budget.deadline, lambda: self._wire.write(block))

    def close(self) -> None:
        """End the link. Twice does no harm."""
        self._closed = True
        self._wire.drop()

    async def _within(self, seconds: float, ask: Callable[[], Awaitable[_Outcome]]) -> _Outcome:
        """Ask, one question at a time. After a failure nothing that is still on the way can be taken for the next answer."""
        if self._closed:
            raise LinkClosed("this link has been closed")
        asked = False
        try:
            async with asyncio.timeout(seconds) as limit, self._order:
                asked = True
                answer = await ask()
                if limit.expired() or _is_cancelled():  # a connection that is being made may answer a cancellation with an error
                    raise asyncio.CancelledError
        except TimeoutError:
            if asked:
                self._wire.drop()
            return Failure(Cause.TIMED_OUT, f"{seconds * 1000:.0f} ms")
        except asyncio.CancelledError:
            if asked:
                self._wire.drop()
            raise
        if isinstance(answer, Failure) and answer.cause is not Cause.EXCEPTION:
            self._wire.drop()
        return answer


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class VirtualWire:
    """The in-memory twin of a wire: reaches a bank of registers at once and in order.

    It imitates silence and a lost connection, by order; not loss by chance, delay, damage, or the bytes of any protocol.
    """

    def __init__(self, bank: RegisterBank) -> None:
        self.bank = bank
        self.silent = False
        """Whether the device never answers."""

        self.cut = False
        """Whether there is no connection."""

    async def read(self, table: Table, address: int, count: int) -> Answer:
        """Read the bank's cells."""
        if self.cut:
            return Failure(Cause.DISCONNECTED)
        if self.silent:
            await asyncio.Event().wait()
        answer = self.bank.read(table, address, count)
        return Failure(Cause.EXCEPTION, answer.name) if isinstance(answer, ExceptionCode) else Cells(answer)

    async def write(self, block: RequestBlock) -> WriteAnswer:
        """Write into the bank. A silent device takes it in and says nothing: the worse of the two cases."""
        if self.cut:
            return Failure(Cause.DISCONNECTED)
        answer = self.bank.write(block.table, block.address, block.cells)
        if self.silent:
            await asyncio.Event().wait()
        return Failure(Cause.EXCEPTION, answer.name) if isinstance(answer, ExceptionCode) else Written()

    def drop(self) -> None:
        """Do nothing: there is no connection."""


# --- pymodbus ----------------------------------------------------------------------------------------------------------------------
class _Garbage(Exception):
    """What came in is none of Modbus."""


class _Session(TransactionManager):
    """One connection. What is damaged, or a peer that hangs up, ends a question at once."""

    def __init__(self, framer: FramerBase, params: CommParams) -> None:
        super().__init__(params, framer, 0, is_server=False, trace_packet=None, trace_pdu=None, trace_connect=None)
        self.asking = False

    async def ask(self, question: ModbusPDU) -> ModbusPDU:
        """Send a question and wait for its answer."""
        self.asking = True
        try:
            return await self.execute(False, question)
        finally:
            self.asking = False

    def callback_data(self, data: bytes, addr: tuple[Any, ...] | None = None) -> int:
        """Take bytes in. Whatever a decoder trips over is garbage: it is never let into the event loop."""
        try:
            used: int = super().callback_data(data, addr)
        except Exception as cause:  # noqa: BLE001 -- decoders of received bytes raise what they please: struct.error, IndexError, ...
            self._fail(_Garbage(str(cause)))
            return len(data)
        return used

    def callback_disconnected(self, exc: Exception | None) -> None:
        """End the question that the peer will not answer any more."""
        super().callback_disconnected(exc)
        self._fail(ConnectionError("the other side hung up"))

    def _fail(self, cause: Exception) -> None:
        if self.asking and not self.response_future.done():
            self.response_future.set_exception(cause)


class PymodbusWire:
    """Moves cells by pymodbus. Made by `tcp`, `tls` and `serial`."""

    def __init__(self, new_session: Callable[[], _Session], device_id: int) -> None:
        self._new_session, self._device_id = new_session, device_id
        self._session: _Session | None = None

    async def read(self, table: Table, address: int, count: int) -> Answer:
        """Read cells."""
        answer = await self._ask(_READS[table](address=address, count=count, dev_id=self._device_id))
        if isinstance(answer, Failure):
            return answer
        cells = [int(bit) for bit in answer.bits] if table.is_bits else answer.registers
        whole = -(-count // 8) * 8 if table.is_bits else count
        if len(cells) != whole:
            return Failure(Cause.SHORT, f"{len(cells)} cells, not {whole}")
        return Cells(tuple(cells[:count]))

    async def write(self, block: RequestBlock) -> WriteAnswer:
        """Write cells, and check that the device says that it took just these in."""
        cells, address = block.cells, block.address
        question: ModbusPDU
        if block.table.is_bits:
            question = WriteMultipleCoilsRequest(address=address, bits=[bool(cell) for cell in cells], dev_id=self._device_id)
        else:
            question = WriteMultipleRegistersRequest(address=address, registers=list(cells), dev_id=self._device_id)
        answer = await self._ask(question)
        if isinstance(answer, Failure):
            return answer
        if (answer.address, answer.count) != (address, len(cells)):
            return Failure(Cause.GARBAGE, f"it wrote {answer.count} cells at {answer.address}")
        return Written()

    def drop(self) -> None:
        """Close the connection."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    async def _ask(self, question: ModbusPDU) -> ModbusPDU | Failure:
        if self._session is None or not self._session.is_active():
            self.drop()
            session = self._session = self._new_session()
            try:
                connected = await session.connect()
            except (OSError, ValueError, termios.error) as cause:
                return Failure(Cause.DISCONNECTED, str(cause))
            if not connected:
                return Failure(Cause.DISCONNECTED)
        try:
            answer = await self._session.ask(question)
        except _Garbage as cause:
            return Failure(Cause.GARBAGE, str(cause))
        except (ModbusException, OSError) as cause:
            return Failure(Cause.DISCONNECTED, str(cause))
        if answer.function_code == question.function_code | 0x80:
            return Failure(Cause.EXCEPTION, _refused(answer.exception_code).name)
        if answer.function_code != question.function_code:
            return Failure(Cause.GARBAGE, f"an answer to function {answer.function_code}, not {question.function_code}")
        return answer


_READS: dict[Table, Callable[..., ModbusPDU]] = {
    Table.COIL: ReadCoilsRequest,
    Table.DISCRETE: ReadDiscreteInputsRequest,
    Table.HOLDING: ReadHoldingRegistersRequest,
    Table.INPUT: ReadInputRegistersRequest,
}


def _refused(code: int) -> ExceptionCode:
    try:
        return ExceptionCode(code)
    except ValueError:
        return ExceptionCode.OTHER


def tcp(host: str, port: int = 502, *, device_id: int = 1) -> PymodbusWire:
    """Make a wire of plain Modbus TCP. It has no protection at all: only for a network that is closed by other means."""
    return _over_sockets(host, port, device_id, None)


def tls(host: str, port: int = 802, *, context: ssl.SSLContext, device_id: int = 1) -> PymodbusWire:
    """Make a wire of Modbus TCP Security: each side proves who it is (`client_context`).

    Raises:
        ConfigError: the context would talk to anybody, or to the wrong host.
    """
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ConfigError("the device's certificate would not be checked", key="tls", allowed="a context of client_context")
    return _over_sockets(host, port, device_id, context)


def _over_sockets(host: str, port: int, device_id: int, context: ssl.SSLContext | None) -> PymodbusWire:
    def session() -> _Session:
        kind = CommType.TCP if context is None else CommType.TLS
        params = CommParams(comm_type=kind, host=host, port=port, sslctx=context, reconnect_delay=0.0, timeout_connect=_FOREVER)
        return _Session(FramerSocket(DecodePDU(False)), params)

    return PymodbusWire(session, device_id)


_FOREVER = 60.0
"""Longer than any budget: the link keeps the time."""

BAUD_RATES = {rate: getattr(termios, f"B{rate}") for rate in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """How a serial line is set.

    Raises:
        ConfigError: no line can be set so.
    """

    baud: int = 19200
    parity: str = "E"
    """N, E or O; even is Modbus's own (Serial Line 1.02, section 2.5.1). A pseudo-terminal knows N alone."""

    stop_bits: int = 1

    def __post_init__(self) -> None:
        if self.baud not in BAUD_RATES:
            raise ConfigError("no such speed", key="baud", value=self.baud, allowed=", ".join(map(str, BAUD_RATES)))
        if self.parity not in ("N", "E", "O"):
            raise ConfigError("no such parity", key="parity", value=self.parity, allowed="N, E, O")
        if self.stop_bits not in (1, 2):
            raise ConfigError("no such number of stop bits", key="stop_bits", value=self.stop_bits, allowed="1, 2")


def serial(device: Path, line: Line | None = None, *, device_id: int = 1) -> PymodbusWire:
    """Make a wire of Modbus RTU over a serial device."""
    how = line or Line()

    def session() -> _Session:
        made = _Session(FramerRTU(DecodePDU(False)), CommParams(comm_type=CommType.TCP, reconnect_delay=0.0, timeout_connect=_FOREVER))

        async def open_line() -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
            return SerialLine(open_tty(device, how), made), made

        made.call_create = open_line
        return made

    return PymodbusWire(session, device_id)


def open_tty(device: Path, line: Line) -> int:
    """Open a serial device, raw, without waiting, and throw away what came in before.

    Raises:
        OSError: it cannot be opened.
        termios.error: it is no terminal.
    """
    handle = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        tty.setraw(handle)
        iflag, oflag, cflag, lflag, _, _, control = termios.tcgetattr(handle)
        cflag &= ~(termios.PARENB | termios.PARODD | termios.CSTOPB)
        cflag |= {"N": 0, "E": termios.PARENB, "O": termios.PARENB | termios.PARODD}[line.parity]
        cflag |= (termios.CSTOPB if line.stop_bits == 2 else 0) | termios.CLOCAL | termios.CREAD
        speed = BAUD_RATES[line.baud]
        termios.tcsetattr(handle, termios.TCSANOW, [iflag, oflag, cflag, lflag, speed, speed, control])
        termios.tcflush(handle, termios.TCIFLUSH)
    except BaseException:
        os.close(handle)
        raise
    return handle


class SerialLine(asyncio.Transport):
    """A serial device as a transport of asyncio: enough for frames of 256 bytes, which a driver's buffer always takes."""

    def __init__(self, handle: int, protocol: asyncio.Protocol | _Session) -> None:
        super().__init__()
        self._handle, self._protocol = handle, protocol
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(handle, self._come_in)
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a frame; a driver that does not take it whole has lost its line."""
        try:
            whole = os.write(self._handle, data) == len(data)
        except OSError:
            whole = False
        if not whole:
            self._lose()

    def close(self) -> None:
        """Close the device. Twice does no harm."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            self._loop.remove_reader(handle)
            with suppress(OSError):
                os.close(handle)

    def is_closing(self) -> bool:
        """Whether it has been closed."""
        return self._handle < 0

    def _come_in(self) -> None:
        try:
            data = os.read(self._handle, 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._protocol.data_received(data)
        else:
            self._lose()

    def _lose(self) -> None:
        self.close()
        self._protocol.connection_lost(None)


# --- certificates ------------------------------------------------------------------------------------------------------------------
def client_context(*, authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """Make the context by which we prove who we are, and check who the device is: TLS 1.2 or later, its certificate and its host name.

    Raises:
        ConfigError: a file is missing, or no certificate or key.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, authority, certificate, key)


def server_context(*, authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """Make the context of a device that talks to nobody without a certificate.

    Raises:
        ConfigError: a file is missing, or no certificate or key.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, authority, certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _context(protocol: int, authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as cause:
        raise ConfigError(f"not a certificate: {cause}", key="authority", value=str(authority)) from cause
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as cause:
        raise ConfigError(f"not a certificate and its key: {cause}", key="certificate", value=str(certificate)) from cause
    return context
