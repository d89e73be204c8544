"""Carries Modbus TCP, TLS and RTU to a bank of registers. It shares no code with pymodbus, so that the two judge each other."""

import asyncio
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress

from cryptography import x509

from field_adapters.modbus_link import ExceptionCode, RegisterBank, SerialLine
from field_adapters.modbus_profile import Table, crc16_of_bytes

_READS = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT}
_WRITES = {15: Table.COIL, 16: Table.HOLDING}


def respond(request: bytes, bank: RegisterBank) -> bytes:
    """Answer one message (function and data, without its frame) from a bank.

    Functions 1 to 4, 15 and 16; no single cell can be written. Any bytes get an answer (Application Protocol 1.1b3, section 6).
    """
    function = request[0] if request else 0
    if function in _READS:
        answer = _respond_read(_READS[function], request, bank)
    elif function in _WRITES:
        answer = _respond_write(_WRITES[function], request, bank)
    else:
        answer = ExceptionCode.ILLEGAL_FUNCTION
    if isinstance(answer, ExceptionCode):
        return bytes((function & 0x7F | 0x80, answer.value))
    return bytes((function,)) + answer


def _respond_read(table: Table, request: bytes, bank: RegisterBank) -> bytes | ExceptionCode:
    if len(request) != 5:
        return ExceptionCode.ILLEGAL_VALUE
    _, address, count = struct.unpack(">BHH", request)
    if not 1 <= count <= (2000 if table.is_bits else 125):
        return ExceptionCode.ILLEGAL_VALUE
    cells = bank.read(table, address, count)
    if isinstance(cells, ExceptionCode):
        return cells
    data = _packed(cells) if table.is_bits else struct.pack(f">{count}H", *cells)
    return bytes((len(data),)) + data


def _respond_write(table: Table, request: bytes, bank: RegisterBank) -> bytes | ExceptionCode:
    if len(request) < 6:
        return ExceptionCode.ILLEGAL_VALUE
    _, address, count, length = struct.unpack(">BHHB", request[:6])
    data = request[6:]
    right = -(-count // 8) if table.is_bits else 2 * count
    if not 1 <= count <= table.largest or length != right or len(data) != right:
        return ExceptionCode.ILLEGAL_VALUE
    cells = [data[at // 8] >> at % 8 & 1 for at in range(count)] if table.is_bits else struct.unpack(f">{count}H", data)
    refused = bank.write(table, address, cells)
    return struct.pack(">HH", address, count) if refused is None else refused


def _packed(bits_: Sequence[int]) -> bytes:
    return bytes(sum(bit << at for at, bit in enumerate(bits_[start : start + 8])) for start in range(0, len(bits_), 8))


def take_mbap(buffer: bytearray) -> tuple[bytes, bytes] | None:
    """Take one frame of Modbus TCP off a buffer: its transaction and unit, and its message; None while it is not whole.

    Raises:
        ValueError: what has come in is no Modbus TCP, and nothing after it will be.
    """
    if len(buffer) < 7:
        return None
    transaction, protocol, length, unit = struct.unpack(">HHHB", buffer[:7])
    if protocol != 0 or not 2 <= length <= 254:
        raise ValueError(f"protocol {protocol}, length {length}")
    if len(buffer) < 6 + length:
        return None
    message = bytes(buffer[7 : 6 + length])
    del buffer[: 6 + length]
    return struct.pack(">HB", transaction, unit), message


def take_rtu(frame: bytes, unit: int) -> bytes | None:
    """Take the message out of one RTU frame to this unit; None where it is damaged, or not for us."""
    if len(frame) < 4 or frame[0] != unit or _crc_bytes(frame[:-2]) != frame[-2:]:
        return None
    return frame[1:-2]


def _crc_bytes(frame: bytes) -> bytes:
    return struct.pack("<H", crc16_of_bytes(frame))


ROLE = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")
"""The extension of a client's certificate that names its role, a UTF8String (Modbus/TCP Security, R-21 and R-22)."""


def role_of(certificate: bytes) -> str | None:
    """Read the role that a certificate (DER) gives its owner; None where it gives none, or anything but one in the prescribed form."""
    try:
        extension = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_oid(ROLE).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return None
    value = extension.value if isinstance(extension, x509.UnrecognizedExtension) else b""
    if len(value) < 3 or value[0] != 0x0C or value[1] > 0x7F or value[1] != len(value) - 2:
        return None
    try:
        return value[2:].decode("utf-8")
    except UnicodeDecodeError:
        return None


class ModbusServer:
    """Carries Modbus to a bank. Used as `async with`; closes all connections at its end."""

    def __init__(self, bank: RegisterBank, *, unit: int = 1) -> None:
        self.bank, self.unit = bank, unit
        self.silent = False
        """Whether requests are taken in and never answered."""

        self.port = 0
        """Where it listens."""

        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lines: list[SerialLine] = []

    async def __aenter__(self) -> "ModbusServer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def listen(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        context: ssl.SSLContext | None = None,
        writers: frozenset[str] | None = None,
    ) -> int:
        """Serve Modbus TCP, or TLS with a context.

        Args:
            host: the address to listen at.
            port: the port; 0 for any that is free.
            context: with it, TLS (see `modbus_link.server_context`).
            writers: the roles that may write, by their certificates; all others read only. None: everybody may.

        Returns:
            The port.

        Raises:
            OSError: it cannot be listened there.
        """

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            secured = writer.get_extra_info("ssl_object")
            certificate = None if secured is None else secured.getpeercert(binary_form=True)
            await self._serve(reader, writer, writers is None or role_of(certificate or b"") in writers)

        server = await asyncio.start_server(serve, host, port, ssl=context)
        self._servers.append(server)
        self.port = int(server.sockets[0].getsockname()[1])
        return self.port

    def serve_line(self, handle: int) -> None:
        """Serve Modbus RTU over an open serial device; it is closed in the end. A frame's end is told by its length and CRC."""
        self._lines.append(SerialLine(handle, _RtuProtocol(self)))

    async def hang_up(self) -> None:
        """Close every connection, as a device does that starts anew."""
        for writer in list(self._writers):
            writer.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Stop serving. Twice does no harm."""
        for server in self._servers:
            server.close()
        await self.hang_up()
        for line in self._lines:
            line.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_write: bool) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        self._writers.add(writer)
        buffer = bytearray()
        try:
            while data := await reader.read(4096):
                buffer += data
                while (frame := take_mbap(buffer)) is not None:
                    address, message = frame
                    if not self._is_for(address[2]) or (answer := self.answer(message, may_write)) is None:
                        continue
                    writer.write(address[:2] + struct.pack(">HHB", 0, len(answer) + 1, address[2]) + answer)
                await writer.drain()
        except (ValueError, OSError, asyncio.CancelledError):
            pass  # a peer that speaks something else, or is gone, is hung up on
        finally:
            self._writers.discard(writer)
            if task is not None:
                self._tasks.discard(task)
            with suppress(OSError):
                writer.close()

    def _is_for(self, unit: int) -> bool:
        return unit in (self.unit, 0, 255)  # over TCP the unit may be left out

    def answer(self, message: bytes, may_write: bool = True) -> bytes | None:
        """Answer a message, or stay silent. To write without the right to is no function that there is for that client."""
        if not may_write and message and message[0] not in _READS:
            answer = bytes((message[0] & 0x7F | 0x80, ExceptionCode.ILLEGAL_FUNCTION.value))
        else:
            answer = respond(message, self.bank)
        return None if self.silent else answer


class _RtuProtocol(asyncio.Protocol):
    """Cuts what comes in over a line into frames: each request's length follows from its function."""

    def __init__(self, server: ModbusServer) -> None:
        self._server = server
        self._buffer = b""
        self._line: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._line = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        length = rtu_length(self._buffer)
        if length is None or len(self._buffer) < length:
            if len(self._buffer) > 256:
                self._buffer = b""
            return
        frame, self._buffer = self._buffer[:length], b""  # one question at a time: what follows a frame is noise
        message = take_rtu(frame, self._server.unit)
        answer = None if message is None else self._server.answer(message)
        if answer is not None and self._line is not None:
            out = bytes((self._server.unit,)) + answer
            self._line.write(out + _crc_bytes(out))


def rtu_length(buffer: bytes) -> int | None:
    """Tell how long the request at the head of a buffer is with its frame; None while that cannot be told."""
    if len(buffer) < 2:
        return None
    if buffer[1] in _WRITES:
        return None if len(buffer) < 7 else 9 + buffer[6]
    return 8
