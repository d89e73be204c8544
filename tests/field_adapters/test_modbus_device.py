import asyncio
import os
import shutil
import struct
import tty
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from field_adapters.modbus_link import Budget, ExceptionCode, Line, ModbusLink, Wire, serial, tcp
from field_adapters.modbus_map import (
    Accepted,
    Acknowledgement,
    CabinetFault,
    Cells,
    DetectorFault,
    Detectors,
    DetectorValue,
    GoTo,
    Heartbeat,
    Refusal,
    Refused,
    Release,
    Request,
    RequestBlock,
    RunPlan,
    Status,
    acknowledgement,
    compose,
    decode_detectors,
    decode_status,
)
from field_adapters.modbus_profile import Mode, Table, crc16, load_profile
from field_adapters.simulated.modbus_device import ModbusDevice
from field_adapters.simulated.modbus_server import ModbusServer, respond, rtu_length, take_mbap, take_rtu
from field_adapters.simulated.standing import ALL_RED
from intersection.config import parse
from intersection.shield import Command
from intersection.state import Display, Interval, PedInterval
from tests.field_adapters.modbus_contract import Bank
from tests.intersection.documents import GOOD

CONFIG = parse(GOOD)
STAGE_A, STAGE_B, STAGE_C = range(3)


class Cabinet:
    """A device, and somebody who reads it and asks it by the map."""

    def __init__(self, vendor: str = "phasewise_v1", *, own_pattern: int = 0, watchdog: int = 50) -> None:
        self.device = ModbusDevice(CONFIG, load_profile(vendor), own_pattern=own_pattern, watchdog=watchdog, identity=77)
        self.map = self.device.map
        self.sequence = 0
        self.beat: Heartbeat | None = None

    def status(self) -> Status:
        """Read it; what a healthy device says is always a status."""
        cells = [self.device.read(block.table, block.address, block.size) for block in self.map.profile.status]
        found = decode_status([Cells(cell) for cell in cells if isinstance(cell, tuple)], self.map)
        assert isinstance(found, Status), found
        return found

    def heart(self, command: Command) -> Heartbeat:
        """Decide anew."""
        now = self.device.state.now
        self.beat = Heartbeat(command, now, 1 if self.beat is None else self.beat.count + 1)
        return self.beat

    def block(self, request: Request, seen: Status | None = None) -> RequestBlock:
        """Compose a request with the next sequence."""
        self.sequence += 1
        made = compose(request, to=self.map, seen=seen or self.status(), sequence=self.sequence, now=self.device.state.now)
        assert isinstance(made, RequestBlock), made
        return made

    def ask(self, request: Request) -> Acknowledgement:
        """Write a request and say what came of it."""
        block = self.block(request)
        assert self.device.write(block.table, block.address, block.cells) is None
        return acknowledgement(block, self.status())

    def go(self, stage: int, hold: int = 300) -> Acknowledgement:
        """Decide for a stage and ask for it."""
        return self.ask(GoTo(self.heart(Command(stage, 0, 0)), hold))

    def put(self, **changed: int) -> Refusal | None:
        """Write a request for stage C in which some registers are changed and the CRC is right again; say why it is refused."""
        block = self.block(GoTo(self.heart(Command(STAGE_C, 0, 0)), 300))
        request = self.map.profile.request
        cells = list(block.cells)
        for name, value in changed.items():
            field = request.fields[name]
            cells[field.at : field.at + field.size] = [value >> 16, value & 0xFFFF] if field.size == 2 else [value]
        if "crc" not in changed:
            cells[-1] = crc16(cells[:-1])
        assert self.device.write(block.table, block.address, cells) is None
        return self.status().refusal


# --- what it carries out -----------------------------------------------------------------------------------------------------------
def test_an_accepted_request_brings_its_stage() -> None:
    """Asked, acknowledged, in transition, arrived."""
    cabinet = Cabinet()
    cabinet.device.advance(100)

    answer = cabinet.go(STAGE_C)
    leaving = cabinet.status()
    cabinet.device.advance(145)
    arrived = cabinet.status()

    assert Accepted() == answer
    assert (Mode.STAGE, STAGE_A, STAGE_C, Interval.YELLOW_CHANGE) == (leaving.mode, leaving.stage, leaving.target, leaving.vehicles[0])
    assert (STAGE_C, None, Interval.GREEN, 5) == (arrived.stage, arrived.target, arrived.vehicles[2], arrived.watchdog)


def test_the_device_times_its_own_minimum_green() -> None:
    """A request that comes too early is kept, and carried out at the first instant that the device's gate allows."""
    cabinet = Cabinet()
    cabinet.device.advance(17)

    answer = cabinet.go(STAGE_C)
    cabinet.device.advance(49)
    before = cabinet.status()
    cabinet.device.advance(51)
    after = cabinet.status()

    assert Accepted() == answer
    assert (None, STAGE_C) == (before.target, after.target)


def test_a_request_is_for_one_arrival() -> None:
    """What the device's gate does later, for a call that waits, is not undone by a request of before."""
    cabinet = Cabinet(watchdog=3000)
    cabinet.device.advance(100)
    cabinet.go(STAGE_C, hold=3000)
    stages = []
    for now in range(150, 2000, 50):
        cabinet.device.place_calls(0b010)
        cabinet.device.advance(now)
        stages.append(cabinet.device.state.stage)

    served = stages.index(STAGE_B)

    assert {STAGE_C} == set(stages[:served])
    assert STAGE_C not in stages[served : served + 2]


def test_the_watchdog_counts_down_and_returns_to_the_device_s_own_plan() -> None:
    """Without a new heartbeat the device follows nobody, says so, and runs its plan."""
    cabinet = Cabinet(own_pattern=1)
    cabinet.device.advance(100)
    cabinet.go(STAGE_A)
    left = []
    for now in (100, 101, 149, 150):
        cabinet.device.advance(now)
        left.append((cabinet.status().mode, cabinet.status().watchdog))
    cabinet.device.advance(150 + 1800)
    stages = set()
    for now in range(1950, 1950 + 900, 10):
        cabinet.device.advance(now)
        stages.add(cabinet.device.state.stage)

    assert [(Mode.STAGE, 50), (Mode.STAGE, 49), (Mode.STAGE, 1), (Mode.EXPIRED, 0)] == left
    assert {STAGE_A, STAGE_B, STAGE_C} == stages
    assert 1 == cabinet.status().plan


def test_a_hold_that_ends_first_ends_the_request() -> None:
    """No request holds a stage longer than it says."""
    cabinet = Cabinet()
    cabinet.go(STAGE_A, hold=20)
    cabinet.device.advance(20)

    assert Mode.EXPIRED is cabinet.status().mode


def test_the_same_heartbeat_does_not_wind_the_watchdog_up() -> None:
    """A daemon whose policy is dead may write on: it is accepted, and changes nothing about the end."""
    cabinet = Cabinet()
    cabinet.go(STAGE_A)
    beat = cabinet.beat
    assert beat is not None
    cabinet.device.advance(15)

    answer = cabinet.ask(GoTo(beat, 300))

    assert (Accepted(), 35) == (answer, cabinet.status().watchdog)


def test_a_new_heartbeat_winds_the_watchdog_up() -> None:
    """A decision later, it is full again."""
    cabinet = Cabinet()
    cabinet.go(STAGE_A)
    cabinet.device.advance(15)
    cabinet.go(STAGE_A)

    assert 50 == cabinet.status().watchdog


def test_a_plan_is_run_by_the_device_itself() -> None:
    """The plan that was reviewed is the one that runs."""
    cabinet = Cabinet()

    answer = cabinet.ask(RunPlan(cabinet.heart(Command(STAGE_A, 0, 1)), 3000))

    assert (Accepted(), Mode.PLAN, 1) == (answer, cabinet.status().mode, cabinet.status().plan)


def test_a_release_is_possible_whatever_is_known() -> None:
    """Without a status, with a start in between: the device runs its own plan."""
    cabinet = Cabinet()
    cabinet.go(STAGE_C)
    block = compose(Release(), to=cabinet.map, seen=None, sequence=9, now=0)
    assert isinstance(block, RequestBlock)
    cabinet.device.write(block.table, block.address, block.cells)

    assert (Mode.RELEASED, Accepted(), 0) == (
        cabinet.status().mode,
        acknowledgement(block, cabinet.status()),
        cabinet.status().watchdog,
    )


# --- what it refuses ---------------------------------------------------------------------------------------------------------------
def _local(cabinet: Cabinet) -> Refusal | None:
    cabinet.device.set_local(True)
    return cabinet.put()


def _flash(cabinet: Cabinet) -> Refusal | None:
    cabinet.device.show(Display.FLASH)
    return cabinet.put()


def _prohibited(cabinet: Cabinet) -> Refusal | None:
    return cabinet.put(target=STAGE_B + 1)


REFUSED: dict[Refusal, Callable[[Cabinet], Refusal | None]] = {
    Refusal.CHECKSUM: lambda cabinet: cabinet.put(crc=1),
    Refusal.WRONG_MAP: lambda cabinet: cabinet.put(version=2),
    Refusal.WRONG_BOOT: lambda cabinet: cabinet.put(boot=2),
    Refusal.STALE_SEQUENCE: lambda cabinet: (cabinet.put(), cabinet.put(sequence=1))[1],
    Refusal.EXPIRED: lambda cabinet: cabinet.put(not_after=99),
    Refusal.TOO_FAR: lambda cabinet: cabinet.put(not_after=121),
    Refusal.UNKNOWN_MODE: lambda cabinet: cabinet.put(mode=1),
    Refusal.UNKNOWN_STAGE: lambda cabinet: cabinet.put(target=4),
    Refusal.UNKNOWN_PLAN: lambda cabinet: cabinet.put(mode=3, target=2),
    Refusal.HOLD: lambda cabinet: cabinet.put(hold=3001),
    Refusal.CLEAR: lambda cabinet: cabinet.put(clear=0b010),
    Refusal.LOCAL: _local,
    Refusal.FLASH: _flash,
    Refusal.CONFLICT: _prohibited,
    Refusal.HEARTBEAT: lambda cabinet: cabinet.put(heartbeat=0),
}


@pytest.mark.parametrize("reason", Refusal)
def test_each_refusal_has_its_code_and_moves_nothing(reason: Refusal) -> None:
    """The signal goes on as it was; the request's sequence and the reason are shown; nothing is acknowledged."""
    cabinet = Cabinet()
    cabinet.device.advance(100)
    found = REFUSED[reason](cabinet)

    assert reason is found
    assert cabinet.device.state.target == (STAGE_C if reason is Refusal.STALE_SEQUENCE else -1)


@pytest.mark.parametrize(("changed", "reason"), [({"not_after": 100}, None), ({"not_after": 120}, None), ({"hold": 0}, Refusal.HOLD)])
def test_limits_belong_to_what_is_allowed(changed: dict[str, int], reason: Refusal | None) -> None:
    """A request is good until its not-after, that instant included."""
    cabinet = Cabinet()
    cabinet.device.advance(100)

    assert reason is cabinet.put(**changed)


def test_a_late_request_is_refused() -> None:
    """A packet that stood in a queue for three seconds asks for something of the past."""
    cabinet = Cabinet()
    cabinet.device.advance(100)
    block = cabinet.block(GoTo(cabinet.heart(Command(STAGE_C, 0, 0)), 300))
    cabinet.device.advance(130)
    cabinet.device.write(block.table, block.address, block.cells)

    assert Refused(Refusal.EXPIRED) == acknowledgement(block, cabinet.status())


def test_a_doubled_request_counts_once() -> None:
    """The second copy is refused, and the first stays acknowledged."""
    cabinet = Cabinet()
    cabinet.device.advance(100)
    block = cabinet.block(GoTo(cabinet.heart(Command(STAGE_C, 0, 0)), 300))
    for _ in range(2):
        cabinet.device.write(block.table, block.address, block.cells)

    assert (Accepted(), Refusal.STALE_SEQUENCE) == (acknowledgement(block, cabinet.status()), cabinet.status().refusal)


def test_a_request_of_before_a_new_start_is_refused() -> None:
    """A device that lost power forgets what it was asked, and does not take it again."""
    cabinet = Cabinet()
    cabinet.device.advance(100)
    cabinet.go(STAGE_C)
    old = cabinet.block(GoTo(cabinet.heart(Command(STAGE_C, 0, 0)), 300))
    cabinet.device.restart()
    cabinet.device.write(old.table, old.address, old.cells)
    status = cabinet.status()

    assert (Mode.RELEASED, Refusal.WRONG_BOOT, 2, 0, 0) == (
        status.mode,
        status.refusal,
        status.boot,
        status.clock,
        status.acknowledged,
    )


def test_a_dead_heart_does_not_take_control_again() -> None:
    """After the watchdog ran out, the old heartbeat is worth nothing."""
    cabinet = Cabinet(watchdog=5)
    cabinet.go(STAGE_A)
    beat = cabinet.beat
    assert beat is not None
    cabinet.device.advance(10)

    assert Refused(Refusal.HEARTBEAT) == cabinet.ask(GoTo(beat, 300))


def test_local_control_ends_requests_at_once() -> None:
    """And shows itself, until the key is turned back."""
    cabinet = Cabinet()
    cabinet.go(STAGE_A)
    cabinet.device.set_local(True)
    during = cabinet.status().mode
    cabinet.device.set_local(False)

    assert (Mode.LOCAL, Mode.RELEASED) == (during, cabinet.status().mode)


def test_flash_and_dark_show_no_colours_and_end_requests() -> None:
    """Time goes on; normal operation begins anew, after red on all sides and without a request."""
    cabinet = Cabinet()
    cabinet.go(STAGE_A)
    cabinet.device.show(Display.DARK)
    cabinet.device.advance(35)
    dark = cabinet.status()
    cabinet.device.show(Display.NORMAL)
    reds = {shown.interval for shown in cabinet.device.indications().values()}
    cabinet.device.advance(35 + ALL_RED)

    assert {Interval.RED} == reds
    assert (Display.DARK, None, 35) == (dark.display, dark.stage, dark.clock)
    assert (Display.NORMAL, Mode.RELEASED, STAGE_A) == (cabinet.status().display, cabinet.status().mode, cabinet.status().stage)


@pytest.mark.parametrize(
    ("table", "address", "count"),
    [(Table.HOLDING, 0, 12), (Table.HOLDING, 1, 13), (Table.HOLDING, 0, 14), (Table.COIL, 0, 13), (Table.HOLDING, 5, 1)],
)
def test_a_part_of_a_request_cannot_be_written(table: Table, address: int, count: int) -> None:
    """A request is one block, or none."""
    cabinet = Cabinet()

    assert ExceptionCode.ILLEGAL_ADDRESS is cabinet.device.write(table, address, (0,) * count)


def test_time_does_not_run_backwards() -> None:
    """A clock that is set back is a fault of whoever owns it."""
    cabinet = Cabinet()
    cabinet.device.advance(10)

    with pytest.raises(ValueError, match="runs forward"):
        cabinet.device.advance(9)


# --- what it shows -----------------------------------------------------------------------------------------------------------------
def test_detectors_and_their_faults_are_shown() -> None:
    """Totals count over; a fault is a fault of the cabinet too."""
    cabinet = Cabinet()
    cabinet.device.detectors[0] = DetectorValue(True, 65_537, 65_536 + 9, 0)
    [page] = cabinet.map.pages

    def read() -> object:
        cells = cabinet.device.read(page.table, page.address, page.size)
        assert isinstance(cells, tuple)
        return decode_detectors([Cells(cells)], cabinet.map)

    working = read()
    cabinet.device.detectors[0] = DetectorFault.OPEN_LOOP
    failed = read()

    assert (Detectors((DetectorValue(True, 1, 9, 0),)), Detectors((DetectorFault.OPEN_LOOP,))) == (working, failed)
    assert frozenset({CabinetFault.DETECTOR}) == cabinet.status().faults


def test_calls_and_walks_are_shown() -> None:
    """A pressed button is a call; the walk it gets answers it."""
    cabinet = Cabinet()
    cabinet.device.advance(50)
    cabinet.device.place_calls(0b010, 0b001)
    shown = cabinet.status()
    pedestrians = shown.pedestrians

    assert shown.calls is not None
    assert pedestrians is not None
    assert (0b010, PedInterval.WALK) == (shown.calls & 0b010, pedestrians[0])


def test_what_lies_outside_its_blocks_cannot_be_read() -> None:
    """Nor what spans two of them."""
    cabinet = Cabinet()

    reads = [(Table.INPUT, 30, 12), (Table.INPUT, 41, 1), (Table.DISCRETE, 0, 1), (Table.HOLDING, 13, 1)]

    assert [ExceptionCode.ILLEGAL_ADDRESS] * 4 == [cabinet.device.read(*read) for read in reads]


def test_another_vendor_s_cabinet_is_data() -> None:
    """The same device with a coil a group: asked, read back, arrived, and on its own when the coil stops toggling."""
    cabinet = Cabinet("coil_groups")
    cabinet.device.advance(100)

    answer = cabinet.go(STAGE_C)
    beat = cabinet.beat
    assert beat is not None
    cabinet.device.advance(110)
    again = cabinet.ask(GoTo(beat, 300))
    cabinet.device.advance(145)
    arrived = cabinet.status()
    cabinet.device.advance(150)
    expired = cabinet.status()
    cabinet.device.write(Table.COIL, 0, cabinet.map.profile.request.put({"mode": 1, "heartbeat": 1, "groups": 0b100}))

    assert (Accepted(), Accepted(), STAGE_C, Mode.STAGE) == (answer, again, arrived.stage, arrived.mode)
    assert (Mode.RELEASED, Mode.RELEASED) == (expired.mode, cabinet.status().mode)


def test_a_vendor_s_coils_that_fit_no_stage_move_nothing() -> None:
    """Greens that are no stage are not asked for."""
    cabinet = Cabinet("coil_groups")
    cabinet.device.advance(100)
    cabinet.device.write(Table.COIL, 0, (1, 1, *[0] * 6, 1, 1, 1, *[0] * 13))

    assert (-1, Mode.RELEASED) == (cabinet.device.state.target, cabinet.status().mode)


# --- over time ---------------------------------------------------------------------------------------------------------------------
@given(
    st.lists(
        st.tuples(
            st.integers(1, 80),
            st.sampled_from(["go", "again", "release", "forge", "calls", "restart", "local", "flash"]),
            st.integers(0, 2),
        ),
        max_size=40,
    )
)
def test_whatever_happens_it_follows_nobody_longer_than_its_watchdog(steps: list[tuple[int, str, int]]) -> None:
    """In any order of requests, forgeries, calls and mishaps: its statuses are sound, and control ends in time."""
    cabinet = Cabinet(own_pattern=1)
    beat_at = -1000
    for wait, what, which in steps:
        cabinet.device.advance(cabinet.device.state.now + wait)
        if what == "go" and cabinet.go(which) == Accepted():
            beat_at = cabinet.device.state.now
        elif what == "again" and cabinet.beat is not None and cabinet.device.state.now - cabinet.beat.decided <= 15:
            cabinet.ask(GoTo(cabinet.beat, 300))
        elif what == "release":
            cabinet.ask(Release())
        elif what == "forge":
            cabinet.device.write(Table.HOLDING, 0, [0x5057, 1, 1, cabinet.sequence + 1, 2, which + 1, 0, 0, 300, 0, 1, 9, which])
        elif what == "calls":
            cabinet.device.place_calls(1 << which, 1)
        elif what == "restart":
            cabinet.device.restart(which)
        elif what == "local":
            cabinet.device.set_local(which == 0)
        elif what == "flash":
            cabinet.device.show(Display.NORMAL if which else Display.FLASH)
        status = cabinet.status()
        if status.mode in (Mode.STAGE, Mode.PLAN):
            assert cabinet.device.state.now < beat_at + cabinet.device.watchdog


def test_slicing_time_does_not_change_what_is_shown() -> None:
    """Advanced by tenths or at once, the same state follows."""
    cabinets = []
    for slices in (1, 7, 400):
        cabinet = Cabinet(own_pattern=1)
        cabinet.device.advance(20)
        cabinet.go(STAGE_C)
        for now in range(20, 420, slices):
            cabinet.device.advance(now)
        cabinet.device.advance(420)
        cabinets.append(cabinet.device.state)

    assert cabinets[0] == cabinets[1] == cabinets[2]


@given(st.lists(st.integers(0, 65_535), min_size=13, max_size=13), st.booleans())
def test_random_registers_control_nothing(cells: list[int], checked: bool) -> None:
    """Fuzz: even with a right head and CRC, a request needs the start, the clock and a stage to be right, or it is a release."""
    cabinet = Cabinet()
    if checked:
        cells[:2] = [0x5057, 1]
        cells[-1] = crc16(cells[:-1])
    cabinet.device.write(Table.HOLDING, 0, cells)

    assert cabinet.status().mode is Mode.RELEASED or (cells[2] == 1 and cells[9] == 0 and cells[10] <= 20)


# --- on the wire -------------------------------------------------------------------------------------------------------------------
@given(st.binary(max_size=300))
def test_any_message_gets_an_answer_that_fits_a_frame(message: bytes) -> None:
    """Fuzz: whatever comes in, the answer has its function or says that it is refused."""
    answer = respond(message, Bank())
    function = message[0] if message else 0

    assert 2 <= len(answer) <= 253
    assert answer[0] in (function, function & 0x7F | 0x80)


@given(st.binary(max_size=600))
def test_any_stream_is_cut_or_given_up(data: bytes) -> None:
    """Fuzz: frames come off a buffer until it is short or spoilt; never for ever."""
    buffer = bytearray(data)
    try:
        while take_mbap(buffer) is not None:
            pass
    except ValueError:
        return

    assert len(buffer) < 260


@given(st.binary(max_size=300))
def test_any_bytes_of_a_line_are_a_message_or_nothing(data: bytes) -> None:
    """Fuzz: a frame without a right CRC carries nothing."""
    length = rtu_length(data)

    assert length is None or 8 <= length <= 264
    assert take_rtu(data, 1) in (None, data[1:-2])


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", 1),
        (bytes((6, 0, 5, 0, 1)), 1),
        (bytes((4, 0, 0, 0)), 3),
        (struct.pack(">BHH", 4, 0, 0), 3),
        (struct.pack(">BHH", 4, 0, 126), 3),
        (struct.pack(">BHH", 4, 60_000, 1), 2),
        (bytes((16, 0, 0)), 3),
        (struct.pack(">BHHBH", 16, 0, 2, 2, 9), 3),
        (struct.pack(">BHHB", 16, 0, 0, 0), 3),
    ],
)
def test_a_message_that_cannot_be_served_gets_its_exception(message: bytes, code: int) -> None:
    """By the codes of the protocol; single cells cannot be written at all."""
    assert code == respond(message, Bank())[1]


@pytest.mark.parametrize("wire", ["tcp", "rtu"])
def test_a_request_travels_over_a_real_wire(wire: str) -> None:
    """Read, decided, asked, acknowledged, and carried out, over loopback or a pseudo-terminal."""
    cabinet = Cabinet()
    cabinet.device.advance(100)

    async def travel(link: ModbusLink) -> Acknowledgement:
        async def read() -> Status:
            found = decode_status([await link.read(block) for block in cabinet.map.profile.status], cabinet.map)
            assert isinstance(found, Status), found
            return found

        block = cabinet.block(GoTo(cabinet.heart(Command(STAGE_C, 0, 0)), 300), seen=await read())
        await link.write(block)
        answer = acknowledgement(block, await read())
        link.close()
        return answer

    async def whole() -> Acknowledgement:
        async with ModbusServer(cabinet.device) as server:
            made: Wire
            if wire == "tcp":
                made = tcp("127.0.0.1", await server.listen())
                return await travel(ModbusLink(made, Budget(deadline=2.0)))
            near, far = os.openpty()
            tty.setraw(far)
            os.set_blocking(near, False)
            server.serve_line(near)
            made = serial(Path(os.ttyname(far)), Line(parity="N"))
            try:
                return await travel(ModbusLink(made, Budget(deadline=2.0)))
            finally:
                os.close(far)

    assert Accepted() == asyncio.run(whole())
    assert STAGE_C == cabinet.device.state.target


def _mbpoll(cabinet: Cabinet, *arguments: str) -> tuple[int, str]:
    program = shutil.which("mbpoll")
    if program is None:
        pytest.skip("mbpoll is not installed (Debian: mbpoll)")

    async def whole() -> tuple[int, str]:
        async with ModbusServer(cabinet.device) as server:
            port = await server.listen()
            started = await asyncio.create_subprocess_exec(
                program,
                *("-m", "tcp", "-p", str(port), "-a", "1", "-0", "-q", "-o", "2"),
                *arguments,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            out, _ = await asyncio.wait_for(started.communicate(), 20)
            return started.returncode or 0, out.decode()

    return asyncio.run(whole())


def test_mbpoll_reads_the_status() -> None:
    """A client that nobody here wrote reads the whole block, and it decodes."""
    cabinet = Cabinet()
    cabinet.device.advance(70)
    code, out = _mbpoll(cabinet, "-t", "3:hex", "-r", "0", "-c", "41", "-1", "127.0.0.1")
    words = tuple(int(line.split("0x")[1], 16) for line in out.splitlines() if line.startswith("["))

    assert 0 == code, out
    assert cabinet.status() == decode_status([Cells(words)], cabinet.map)


def test_mbpoll_writes_a_request() -> None:
    """The same client writes a request that we composed, and the device carries it out."""
    cabinet = Cabinet()
    cabinet.device.advance(100)
    block = cabinet.block(GoTo(cabinet.heart(Command(STAGE_C, 0, 0)), 300))
    code, out = _mbpoll(cabinet, "-t", "4", "-r", "0", "127.0.0.1", *map(str, block.cells))

    assert 0 == code, out
    assert (Accepted(), STAGE_C) == (acknowledgement(block, cabinet.status()), cabinet.device.state.target)


def test_mbpoll_cannot_write_a_part() -> None:
    """One register of a request, written by itself, is refused."""
    cabinet = Cabinet()
    code, out = _mbpoll(cabinet, "-t", "4", "-r", "5", "127.0.0.1", "3")

    assert 0 != code
    assert "Illegal" in out
