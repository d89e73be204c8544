import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest

from controller import __main__ as by_itself
from controller import daemon as daemon_module
from controller._errors import AlreadyRunningError, RejectedError
from controller.control_socket import AskEvents, AskExplanation, AskReload, AskStatus, Force, ReEnable, Request
from controller.daemon import Daemon
from controller.events import Fault, Mode, Plan
from controller.journal import MemoryDisk
from controller.mode import Readiness
from controller.settings import load
from controller.state_file import read
from controller.ticker import TENTH, FakeClock, Tick
from intersection.errors import UserError
from intersection.phase import Tenths
from models.trust import Trust, to_toml
from phasewise.controlling import ask

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "cabinet.toml"
ERA = 1_800_000_000.0
PATIENCE = 20.0
"""Seconds within which a daemon does what it is waited for, even on a busy machine."""

T = TypeVar("T")


@dataclass
class House:
    """The folder of a daemon, and what its cabinet.toml says."""

    folder: Path
    names: tuple[str, ...] = ("main",)
    ladder: str = ""
    head: str = ""
    more: str = ""
    clock: FakeClock = field(default_factory=lambda: FakeClock(1_000 * TENTH))

    def write(self) -> Path:
        """Write cabinet.toml."""
        approved = re.search(r'approved = "(\w{64})"', EXAMPLE.read_text())
        assert approved
        cabinet = """
[[cabinet]]
name = "{name}"
intersection = "main-and-first.toml"
approved = "{approved}"
[cabinet.adapter]
kind = "virtual"
[cabinet.ladder]
clean_time = 20
fixed_time_bound = 90_000
{ladder}
{more}
"""
        head = f'version = 1\nstate_folder = "state"\n{self.head}\n[control]\nsocket = "s"\n[journal]\nfolder = "journal"\n'
        cabinets = (cabinet.format(name=name, approved=approved[1], ladder=self.ladder, more=self.more) for name in self.names)
        path = self.folder / "cabinet.toml"
        path.write_text(head + "".join(cabinets))
        return path

    def daemon(self) -> Daemon:
        """Make a daemon by what is written, whose clock runs as fast as it can work."""
        return Daemon(load(self.write()), clock=self.clock, wall=lambda: ERA + self.clock.now() / (10 * TENTH))

    def state(self, name: str = "main") -> Any:  # noqa: ANN401  # whatever is found
        """Read what a daemon left."""
        return read(self.folder / "state" / f"{name}.json", epoch=0)

    def journal(self, name: str = "main") -> bytes:
        """Give all that was journalled."""
        return b"".join(path.read_bytes() for path in sorted((self.folder / "journal" / name).iterdir()))

    async def ask(self, request: Request) -> Any:  # noqa: ANN401  # what JSON can hold
        """Ask the daemon as an operator does."""
        return await asyncio.get_running_loop().run_in_executor(None, partial(ask, self.folder / "s", request))


@pytest.fixture
def house() -> Iterator[House]:
    """Return a folder whose path is short enough for a socket."""
    with TemporaryDirectory(prefix="pw") as folder:
        shutil.copy(EXAMPLE.with_name("main-and-first.toml"), folder)
        (Path(folder) / "trusted.toml").write_text(to_toml(Trust()))
        yield House(Path(folder))


def during(daemon: Daemon, body: Callable[[], Awaitable[None]]) -> bool:
    """Do something while a daemon runs, then stop it; tell whether its zeros were read back."""

    async def whole() -> bool:
        running = asyncio.create_task(daemon.run())
        try:
            async with asyncio.timeout(PATIENCE):
                await body()
        finally:
            daemon.stop()
        return await running

    return asyncio.run(whole())


async def until(true: Callable[[], bool]) -> None:
    """Let others run until something is so."""
    while not true():  # what is waited for has no bell
        await asyncio.sleep(0)


async def reached(daemon: Daemon, mode: Mode, name: str = "main") -> None:
    """Wait for a mode."""
    await until(lambda: name in daemon.cabinets and daemon.cabinets[name].ladder.mode is mode)


# --- a whole daemon --------------------------------------------------------------------------------------------------------------
def test_a_daemon_takes_its_cabinet_up_and_gives_it_back(house: House) -> None:
    """It climbs, carries out an order, and ends with zeros that were read back, a record that says so, and a journal of all of it."""
    daemon = house.daemon()

    async def body() -> None:
        await reached(daemon, Mode.ADAPTIVE)
        said = await house.ask(Force(what=Plan(1), operator="Ada", reason="roadworks", lasts=6_000))
        assert "plan 1" in str(said)
        await until(lambda: daemon.cabinets["main"].status().plan == 1)

    assert during(daemon, body)
    state = house.state()
    assert (Readiness.STOPPED, "Ada") == (state.readiness, state.order.operator.split()[0])
    assert b"roadworks" in house.journal()


def test_operators_reach_it_at_its_socket(house: House) -> None:
    """Status, explanation and events come back in words; what cannot be done is told so."""
    daemon = house.daemon()
    said: list[Any] = []

    async def body() -> None:
        await reached(daemon, Mode.ADAPTIVE)
        said.extend([await house.ask(question) for question in (AskStatus(), AskExplanation(), AskEvents())])
        with pytest.raises(RejectedError, match="nothing waits for a person"):
            await house.ask(ReEnable(operator="Ada", reason="to try"))

    during(daemon, body)
    status, explanation, events = said

    assert ("main", "adaptive") == (status[0]["cabinet"], status[0]["mode"])
    assert "ADAPTIVE" in str(explanation)
    assert "adaptive" in str(events)
    assert not (house.folder / "s").exists()


def test_a_corridor_runs_in_one_process(house: House) -> None:
    """Each cabinet has its own ladder, record and journal; all are given back."""
    house.names = ("main", "second")
    daemon = house.daemon()

    async def body() -> None:
        for name in house.names:
            await reached(daemon, Mode.ADAPTIVE, name)

    assert during(daemon, body)
    assert [Readiness.STOPPED] * 2 == [house.state(name).readiness for name in house.names]
    assert all(house.journal(name) for name in house.names)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_watchers_are_told_that_it_ticks(house: House) -> None:
    """/healthz is well while the cabinet ticks, and /metrics has its mode."""
    port = _free_port()
    house.head = f"health_port = {port}"
    daemon = house.daemon()
    pages: list[bytes] = []

    async def body() -> None:
        await reached(daemon, Mode.ADAPTIVE)
        for path in ("/healthz", "/metrics"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            pages.append(await reader.read())
            writer.close()

    during(daemon, body)

    assert pages[0].startswith(b"HTTP/1.1 200 ")
    assert b'phasewise_mode{cabinet="main",mode="adaptive"} 1' in pages[1]


def test_systemd_is_told_of_its_start_its_reload_and_its_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready once it ticks, reloading and ready again, stopping before it lets go; a signal asks for each."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(house.folder / "n"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(house.folder / "n"))
        daemon = house.daemon()
        heard: list[str] = []

        async def told(word: str) -> None:
            loop = asyncio.get_running_loop()
            while not heard or word not in heard[-1]:
                heard.append((await loop.sock_recv(systemd, 4_096)).decode())

        async def whole() -> bool:
            async with asyncio.timeout(PATIENCE):
                running = asyncio.create_task(daemon.run())
                await told("READY=1")
                os.kill(os.getpid(), signal.SIGHUP)
                await told("RELOADING=1")
                await told("READY=1")
                (house.folder / "cabinet.toml").write_text("version = 2")
                os.kill(os.getpid(), signal.SIGHUP)
                await told("RELOADING=1")
                await told("READY=1")
                os.kill(os.getpid(), signal.SIGTERM)
                await told("STOPPING=1")
                return await running

        assert asyncio.run(whole())


def test_a_second_daemon_is_refused(house: House) -> None:
    """One cabinet has one daemon: the other says whose it is, and touches nothing."""
    hold = "import sys\nfrom pathlib import Path\nfrom controller.service import locked\n"
    hold += "with locked(Path(sys.argv[1]), ['main']):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    words = [sys.executable, "-c", hold, str(house.folder / "state")]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert "held\n" == other.stdout.readline()
        with pytest.raises(AlreadyRunningError, match=f"process {other.pid} holds"):
            asyncio.run(house.daemon().run())
        other.kill()

    assert not (house.folder / "journal").exists()


def test_a_loop_that_breaks_ends_the_daemon_after_every_cabinet_was_let_go_of(house: House) -> None:
    """A bug of ours is told and never survived in silence; systemd starts it anew."""
    daemon = house.daemon()

    async def broken(beat: Tick, now: Tenths) -> None:
        raise ZeroDivisionError("a bug")

    async def whole() -> None:
        running = asyncio.create_task(daemon.run())
        await reached(daemon, Mode.ADAPTIVE)
        daemon.cabinets["main"].tick = broken  # type: ignore[method-assign]  # the bug
        with pytest.raises(ZeroDivisionError, match="a bug"):
            await running

    asyncio.run(whole())

    assert Readiness.STOPPED is house.state().readiness


# --- what the last one left ------------------------------------------------------------------------------------------------------
def test_what_was_latched_outlives_the_daemon(house: House) -> None:
    """A record that can be read is taken up where the last daemon left it."""
    (house.folder / "state").mkdir()
    (house.folder / "state" / "main.json").write_text("{}")
    first = house.daemon()
    during(first, lambda: reached(first, Mode.RELEASED))
    second = house.daemon()
    during(second, lambda: reached(second, Mode.RELEASED))

    assert [(Fault.STATE_LOST, True)] == [(cause.fault, cause.latched) for cause in house.state().causes]


def test_a_record_that_cannot_be_read_waits_for_a_person(house: House) -> None:
    """A daemon that does not know what was latched commands nothing until somebody looked."""
    (house.folder / "state").mkdir()
    (house.folder / "state" / "main.json").write_text("half a rec")
    daemon = house.daemon()

    async def body() -> None:
        await reached(daemon, Mode.RELEASED)
        assert {Fault.STATE_LOST} == {cause.fault for cause in daemon.cabinets["main"].ladder.causes}
        await house.ask(ReEnable(operator="Ada", reason="looked at the cabinet"))
        await reached(daemon, Mode.ADAPTIVE)

    assert during(daemon, body)


# --- its own house ---------------------------------------------------------------------------------------------------------------
def _faults(daemon: Daemon) -> dict[Fault, str]:
    return {cause.fault: cause.detail for cause in daemon.cabinets["main"].ladder.causes}


def test_a_full_disk_is_told_and_stops_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control goes on without a journal, and the operator reads why there is none."""
    monkeypatch.setattr(daemon_module, "_folder", lambda _: MemoryDisk(capacity=100))
    daemon = house.daemon()

    async def body() -> None:
        await until(lambda: "main" in daemon.cabinets and Fault.JOURNAL_FULL in _faults(daemon))
        assert "No space left on device" in _faults(daemon)[Fault.JOURNAL_FULL]
        await reached(daemon, Mode.ADAPTIVE)

    assert during(daemon, body)


def test_a_record_that_cannot_be_written_is_told_and_stops_nothing(house: House) -> None:
    """What is lost is asked of a person after the next start."""
    (house.folder / "state" / "main.new").mkdir(parents=True)
    daemon = house.daemon()

    async def body() -> None:
        await until(lambda: "main" in daemon.cabinets and Fault.JOURNAL_FULL in _faults(daemon))
        assert "the record of the mode: Is a directory" == _faults(daemon)[Fault.JOURNAL_FULL]
        await reached(daemon, Mode.ADAPTIVE)

    assert during(daemon, body)


def test_a_folder_that_cannot_be_made_is_the_users_to_mend(house: House) -> None:
    """It is told before anything ticks."""
    (house.folder / "journal").touch()

    with pytest.raises(UserError, match="cannot keep a journal in"):
        asyncio.run(house.daemon().run())


# --- a reload --------------------------------------------------------------------------------------------------------------------
def test_new_settings_are_taken_over_while_it_runs(house: House) -> None:
    """A lower cap holds from the next tick on, and the answer says what has changed."""
    daemon = house.daemon()
    said: list[str] = []

    async def body() -> None:
        await reached(daemon, Mode.ADAPTIVE)
        house.ladder = 'limit = "monitor"'
        house.write()
        said.append(await house.ask(AskReload()))
        await reached(daemon, Mode.MONITOR)

    assert during(daemon, body)
    assert "main: ladder" in str(said)


@pytest.mark.parametrize(
    ("names", "ladder", "words"),
    [
        (("main",), "returns_per_hour = 9", "ladder.returns_per_hour = 9: too many returns"),
        (("other",), "", "this changes only with a new start: the list of cabinets"),
    ],
    ids=["wrong", "too late"],
)
def test_settings_that_cannot_be_taken_over_are_refused_and_the_old_ones_stay(
    house: House, names: tuple[str, ...], ladder: str, words: str
) -> None:
    """The refusal stands where operators look, until sound settings have come."""
    daemon = house.daemon()
    stood = []

    async def body() -> None:
        await reached(daemon, Mode.ADAPTIVE)
        house.names, house.ladder = names, ladder
        house.write()
        with pytest.raises(RejectedError, match=words):
            await house.ask(AskReload())
        await until(lambda: Fault.SETTINGS_REFUSED in _faults(daemon))
        stood.append(_faults(daemon)[Fault.SETTINGS_REFUSED])
        house.names, house.ladder = ("main",), ""
        house.write()
        await house.ask(AskReload())
        await until(lambda: Fault.SETTINGS_REFUSED not in _faults(daemon))

    assert during(daemon, body)
    assert words in stood[0]


# --- its policy ------------------------------------------------------------------------------------------------------------------
POLICY = '[cabinet.policy]\nbundle = "none.bundle"\ntrusted = "trusted.toml"\n'


def test_without_its_bundle_the_street_gets_our_plan(house: House) -> None:
    """A bundle that is missing is a fault of the ladder and not of the file; a reload that finds none says so."""
    house.more = POLICY
    daemon = house.daemon()
    said: list[str] = []

    async def body() -> None:
        await reached(daemon, Mode.FIXED_TIME)
        await until(lambda: daemon.cabinets["main"].status().verdict.startswith("granted"))
        said.append(await house.ask(AskReload()))
        await until(lambda: Fault.SETTINGS_REFUSED in _faults(daemon))

    assert during(daemon, body)
    assert "main: the new bundle: " in str(said)


# --- by itself -------------------------------------------------------------------------------------------------------------------
def test_by_itself_it_wants_one_file_that_is_sound(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """What the user can mend ends with 2 and a line."""
    path = house.write()
    path.write_text("version = 2")
    codes = [by_itself.main([]), by_itself.main([str(path)])]
    said = capsys.readouterr().err

    assert [2, 2] == codes
    assert "usage: python -m controller CABINET.toml" in said
    assert "version = 2: a form that this release does not read" in said


def test_by_itself_it_runs_until_it_is_told_to_end(house: House) -> None:
    """SIGTERM ends it with 0: every cabinet was let go of, and read back so."""
    words = [sys.executable, "-m", "controller", str(house.write())]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        while running.poll() is None and not (house.folder / "s").exists():
            os.sched_yield()
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=PATIENCE)

    assert 0 == running.returncode, said
    assert Readiness.STOPPED is house.state().readiness
