"""A simulated cabinet on Modbus: keeps every promise that docs/modbus-map.md asks of a device.

`ModbusDevice` is a bank of registers over a signal that is timed by the same `machine` as everywhere, with a gate of its own: whatever is
requested, the device's own `review` against its own configuration decides. It acknowledges, refuses with a code, counts its watchdog down
on the clock that it is given, and then runs its own plan. `ModbusServer` carries Modbus TCP, TLS and RTU to a bank; it shares no code with
pymodbus, so that the two judge each other.

What it does not imitate: the delays of a real device, lamps, and detectors (whoever owns the street reports them).
"""

import asyncio
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import assert_never

from cryptography import x509

from field_adapters.modbus_link import ExceptionCode, RegisterBank, SerialLine
from field_adapters.modbus_map import DISPLAYS, CabinetFault, DetectorFault, DetectorValue, Program, Refusal, RegisterMap, is_newer
from field_adapters.modbus_profile import LARGEST_WORD, Block, Mode, Profile, Table, crc16, crc16_of_bytes
from intersection import machine
from intersection.config import IntersectionConfig
from intersection.detection import empty_readings
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import FixedTime
from intersection.shield import Amended, Granted, Proposal, Reason, Refused, review
from intersection.state import FREE, NO_STAGE, Display, Interval, PedInterval
from intersection.tables import bits

SECOND: Tenths = 10

DETECTOR_FREE = DetectorValue(occupied_now=False, count=0, occupied=0, since=LARGEST_WORD)
"""A detector on which no vehicle has ever stood."""


class ModbusDevice:
    """The cabinet: its signal, its watchdog, and what it says on the wire."""

    def __init__(
        self,
        config: IntersectionConfig,
        profile: Profile,
        *,
        watchdog: Tenths = 50,
        own_pattern: int = FREE,
        stage: int = 0,
        identity: int = 0,
        now: Tenths = 0,
    ) -> None:
        """Start up in a stage, running its own plan.

        Args:
            config: the signal that the cabinet controls.
            profile: the map that it speaks.
            watchdog: how long it follows a heartbeat, in tenths of a second.
            own_pattern: the plan that it runs by itself; FREE leaves it to calls and bounds.
            stage: the stage in which it starts.
            identity: the number of its database.
            now: the instant of the start, in tenths of a second.
        """
        self.config, self.tables = config, config.tables
        self.map = RegisterMap(profile=profile, program=Program.of(config.tables, detectors=len(config.detectors), identity=identity))
        self.watchdog, self.own_pattern = watchdog, own_pattern
        self.faults: set[CabinetFault] = set()
        self.detectors: list[DetectorValue | DetectorFault] = [DETECTOR_FREE] * len(config.detectors)
        self._plans = {pattern.number: FixedTime(config, pattern.number) for pattern in config.patterns}
        self._readings = empty_readings(config.detectors)
        self._boot = 0
        self._local = False
        self.state = machine.start(self.tables, stage, now)
        self.restart(stage)

    # --- what the technician and the street do -------------------------------------------------------------------------------------
    def restart(self, stage: int = 0) -> None:
        """Lose power and start anew: nothing that was requested before holds."""
        self._boot = self._boot % LARGEST_WORD + 1
        self._born = self.state.now
        self._mode, self._wanted, self._plan, self._until = Mode.RELEASED, NO_STAGE, FREE, self.state.now
        self._acknowledged = self._refused = self._heartbeat = 0
        self._refusal: Refusal | None = None
        self._written = (0,) * self.map.profile.request.size
        self.state = machine.start(self.tables, stage, self.state.now)

    def set_local(self, local: bool) -> None:
        """Turn the key of local control: requests end at once, and are refused while it is turned."""
        self._local = local
        if local:
            self._let_go(Mode.RELEASED)

    def show(self, display: Display) -> None:
        """Go to flash or dark, or from there through a start-up back to normal."""
        if display is Display.NORMAL:
            self.state = machine.start(self.tables, 0, self.state.now)
        else:
            self.state = machine.show(self.state, display)
            self._let_go(Mode.RELEASED)

    def place_calls(self, vehicles: int, pedestrians: int = 0, discharged: int = 0) -> None:
        """Take in calls, as masks of groups (see `machine.place_calls`)."""
        self.state = machine.place_calls(self.state, self.tables, vehicles, pedestrians, discharged)

    def advance(self, now: Tenths) -> None:
        """Let time pass until an instant, in tenths of a second. Raises ValueError where it would run backwards."""
        if now < self.state.now:
            raise ValueError(f"time runs forward: from {self.state.now} to {now} tenths of a second")
        while self.state.now < now:
            step = self.state.now + 1 if self._is_waiting() else self.state.now // SECOND * SECOND + SECOND
            marks = (step, now, self.state.arrives, self._until)
            self._act(min(mark for mark in marks if mark > self.state.now))
            if self._follows() and self._until <= self.state.now:
                self._let_go(Mode.EXPIRED)

    def _follows(self) -> bool:
        """Whether a request is being carried out."""
        return self._mode in (Mode.STAGE, Mode.PLAN)

    def _is_waiting(self) -> bool:
        """Whether a requested stage may begin at any tenth of a second, as soon as the gate allows it."""
        return self._wanted != NO_STAGE and self.state.target == NO_STAGE

    def _act(self, until: Tenths) -> None:
        """Do what is proposed, as far as the device's own gate allows it, and let time pass."""
        if self.state.display is not Display.NORMAL:
            self.state = self.state._replace(now=until)
            return
        proposal = self._proposal()
        verdict = None if proposal is None else review(proposal, self.state, self.tables)
        command = None if verdict is None or isinstance(verdict, Refused) else verdict.command
        heading = self.state.target
        if heading == NO_STAGE:
            heading = self.state.stage if command is None else command.stage
        if self._wanted == heading or (self._wanted == self.state.stage and self.state.target == NO_STAGE):
            self._wanted = NO_STAGE  # a request is for one arrival: what the gate does after it is not undone
        self.state = machine.advance(self.state, command, until, self.tables)

    def _proposal(self) -> Proposal | None:
        """Say what is to be done: a request, a plan, or nothing but what runs."""
        match self._mode:
            case Mode.STAGE:
                return None if self._wanted == NO_STAGE else Proposal(stage=self._wanted)
            case Mode.PLAN:
                plan = self._plans.get(self._plan)
            case Mode.RELEASED | Mode.EXPIRED | Mode.LOCAL:
                plan = self._plans.get(self.own_pattern)
            case _:
                assert_never(self._mode)
        return Proposal() if plan is None else plan.propose(Observation(self.state, self._readings))

    def _let_go(self, mode: Mode) -> None:
        self._mode, self._wanted, self._plan, self._until = mode, NO_STAGE, FREE, self.state.now

    # --- the bank ------------------------------------------------------------------------------------------------------------------
    def read(self, table: Table, address: int, count: int) -> tuple[int, ...] | ExceptionCode:
        """Give cells that lie within one block."""
        for block, cells in self._shown():
            if block.table is table and block.address <= address and address + count <= block.address + block.size:
                return cells[address - block.address : address - block.address + count]
        return ExceptionCode.ILLEGAL_ADDRESS

    def write(self, table: Table, address: int, cells: Sequence[int]) -> ExceptionCode | None:
        """Take a whole request block in; a part of one, or anything else, is refused as a write."""
        request = self.map.profile.request
        if table is not request.table or address != request.address or len(cells) != request.size:
            return ExceptionCode.ILLEGAL_ADDRESS
        self._written = tuple(cells)
        values = request.take(cells)
        refusal = self._judge(values)
        sequence = values.get("sequence", 0)
        if refusal is None:
            self._acknowledged, self._refused, self._refusal = sequence, 0, None
            self._obey(values)
        else:
            self._refused, self._refusal = sequence, refusal
        return None

    def _judge(self, values: dict[str, int]) -> Refusal | None:
        """Say why a request is not carried out, or None. A release needs least: it is possible whenever the block is whole."""
        request = self.map.profile.request
        if "crc" in values and values["crc"] != crc16(self._written[:-1]):
            return Refusal.CHECKSUM
        if any(field.value is not None and values[name] != field.value for name, field in request.fields.items()):
            return Refusal.WRONG_MAP
        if "sequence" in values and not is_newer(values["sequence"], self._acknowledged):
            return Refusal.STALE_SEQUENCE
        mode = self._asked(values)
        if mode is Mode.RELEASED:
            return None
        if mode is None:
            return Refusal.UNKNOWN_MODE
        late = self._judge_age(values)
        if late is not None:
            return late
        if self._local:
            return Refusal.LOCAL
        if self.state.display is not Display.NORMAL:
            return Refusal.FLASH
        fresh = values["heartbeat"] != self._heartbeat
        if "sequence" in values and (values["heartbeat"] == 0 or not (fresh or self._follows())):
            return Refusal.HEARTBEAT
        if not 1 <= values.get("hold", 1) <= self.map.profile.limits.max_hold:
            return Refusal.HOLD
        return self._judge_target(mode, values)

    def _judge_age(self, values: dict[str, int]) -> Refusal | None:
        if "not_after" not in values:
            return None
        if values["boot"] != self._boot:
            return Refusal.WRONG_BOOT
        left = values["not_after"] - self._clock() & 0xFFFFFFFF
        if left > 0x7FFFFFFF:
            return Refusal.EXPIRED
        return Refusal.TOO_FAR if left > self.map.profile.limits.validity else None

    def _judge_target(self, mode: Mode, values: dict[str, int]) -> Refusal | None:
        if mode is Mode.PLAN:
            return None if values["target"] in self._plans else Refusal.UNKNOWN_PLAN
        stage = self._stage(values)
        if stage is None:
            return Refusal.UNKNOWN_STAGE
        if values.get("clear", 0) & ~self.tables.green[stage]:
            return Refusal.CLEAR
        verdict = review(Proposal(stage=stage), self.state, self.tables)
        match verdict:
            case Refused() | Amended(reason=Reason.PROHIBITED_MOVE):
                return Refusal.CONFLICT
            case Granted() | Amended():
                return None
            case _:
                assert_never(verdict)

    def _obey(self, values: dict[str, int]) -> None:
        """Carry an accepted request out. Only a new heartbeat winds the watchdog up."""
        mode = self._asked(values)
        fresh = values["heartbeat"] != self._heartbeat
        if mode is Mode.RELEASED or mode is None:
            self._let_go(Mode.RELEASED)
            return
        if fresh:
            self._heartbeat = values["heartbeat"]
            self._until = self.state.now + min(self.watchdog, values.get("hold", self.watchdog))
        elif self._until <= self.state.now:  # a map without sequences repeats itself, and what it repeats does not count
            return
        self._mode = mode
        stage = self._stage(values)
        self._plan = values["target"] if mode is Mode.PLAN else FREE
        self._wanted = NO_STAGE if mode is Mode.PLAN or stage is None else stage
        self._act(self.state.now)

    def _asked(self, values: dict[str, int]) -> Mode | None:
        return next((mode for mode, number in self.map.profile.request_modes.items() if number == values["mode"]), None)

    def _stage(self, values: dict[str, int]) -> int | None:
        stages = self.tables.green
        if "target" in values:
            return values["target"] - 1 if 1 <= values["target"] <= len(stages) else None
        return stages.index(values["groups"]) if values["groups"] in stages else None

    def _clock(self) -> Tenths:
        return self.state.now - self._born & 0xFFFFFFFF

    def _shown(self) -> list[tuple[Block, tuple[int, ...]]]:
        """Give every block with what it holds now."""
        values = self._status()
        profile = self.map.profile
        shown = [(profile.request, self._written)]
        shown += [(block, block.put(values)) for block in profile.status if block.table is not profile.request.table]
        layout = profile.detectors
        for at, page in enumerate(self.map.pages):
            cells = [0] * page.size
            for own, detector in enumerate(self.detectors[at * layout.per_page : (at + 1) * layout.per_page]):
                start = layout.first + own * layout.stride
                one = Block(table=page.table, address=0, size=layout.stride, fields=layout.fields)
                cells[start : start + layout.stride] = one.put(_of_detector(detector))
            head = page.put({"clock": self._clock()})
            for field in page.fields.values():
                cells[field.at : field.at + field.size] = head[field.at : field.at + field.size]
            if "crc" in page.fields:
                cells[-1] = crc16(cells[:-1])
            shown.append((page, tuple(cells)))
        return shown

    def _status(self) -> dict[str, int]:
        state, program = self.state, self.map.program
        groups = machine.phase_states(state, self.tables)
        lamps = {interval: sum(1 << at for at, group in enumerate(groups) if group.interval is interval) for interval in Interval}
        walks = {
            interval: sum(1 << at for at in bits(program.pedestrians) if groups[at].pedestrian is interval) for interval in PedInterval
        }
        mode = Mode.LOCAL if self._local else self._mode
        numbers = {shown: number for number, shown in self.map.profile.status_modes.items()}
        faults = set(self.faults)
        if any(isinstance(detector, DetectorFault) for detector in self.detectors):
            faults.add(CabinetFault.DETECTOR)
        return {
            "boot": self._boot,
            "clock": self._clock(),
            "acknowledged": self._acknowledged,
            "refused": self._refused,
            "refusal": 0 if self._refusal is None else self._refusal.code,
            "mode": numbers.get(mode, numbers[Mode.RELEASED]),
            "watchdog": max(0, self._until - state.now) if self._follows() else 0,
            "heartbeat": self._heartbeat,
            "stage": 0 if state.display is not Display.NORMAL else state.stage + 1,
            "target": 0 if state.target == NO_STAGE or state.display is not Display.NORMAL else state.target + 1,
            "plan": self._plan if mode is Mode.PLAN else self.own_pattern if mode is not Mode.STAGE else FREE,
            "elapsed": min(state.now - state.arrived, LARGEST_WORD),
            "display": DISPLAYS.index(state.display),
            "faults": sum(1 << fault.value for fault in faults),
            "detectors": program.detectors,
            "identity": program.identity,
            "greens": lamps[Interval.GREEN],
            "yellows": lamps[Interval.YELLOW_CHANGE],
            "reds": lamps[Interval.RED] | lamps[Interval.RED_CLEARANCE],
            "red_clears": lamps[Interval.RED_CLEARANCE],
            "walks": walks[PedInterval.WALK],
            "ped_clears": walks[PedInterval.PED_CLEARANCE],
            "dont_walks": walks[PedInterval.DONT_WALK],
            "calls": state.calls,
            "ped_calls": state.ped_calls,
            "protected": sum(1 << at for at, group in enumerate(groups) if group.protected),
        }


def _of_detector(detector: DetectorValue | DetectorFault) -> dict[str, int]:
    match detector:
        case DetectorFault():
            return {"state": max(detector.value, 2)}
        case DetectorValue(occupied_now, count, occupied, since):
            return {
                "state": int(occupied_now),
                "count": (count or 0) & LARGEST_WORD,
                "occupied": (occupied or 0) & LARGEST_WORD,
                "since": min(since or 0, LARGEST_WORD),
            }
        case _:
            assert_never(detector)


# --- Modbus, served ----------------------------------------------------------------------------------------------------------------
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
