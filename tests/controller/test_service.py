import asyncio
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller._errors import AlreadyRunningError
from controller.health import Freshness
from controller.service import Heartbeat, Notifier, Wish, heeding, locked, watchdog_interval
from controller.ticker import SECOND
from intersection.errors import UserError

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "phasewise.service"


# ----- systemd -------------------------------------------------------------------------------------------------------------------
class Systemd:
    """Hears what a service tells."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """Take the messages so far."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4_096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """Return one that listens at a path."""
    made = Systemd(str(tmp_path / "notify"))
    yield made
    made.socket.close()


@pytest.fixture
def notifier(tmp_path: Path, systemd: Systemd) -> Iterator[Notifier]:
    """Return a notifier that reaches it."""
    del systemd
    made = Notifier(str(tmp_path / "notify"))
    yield made
    made.close()
    made.close()


def test_systemd_is_told_how_the_service_stands(systemd: Systemd, notifier: Notifier) -> None:
    """Start, reload, state and end are told in sd_notify's words, one line a variable whatever stands in it."""
    notifier.ready("main: ADAPTIVE\nMAINPID=1")
    notifier.reloading(3_000_000)
    notifier.status("late")
    notifier.alive()
    notifier.stopping()

    assert [
        "READY=1\nSTATUS=main: ADAPTIVE MAINPID=1",
        "RELOADING=1\nMONOTONIC_USEC=3000",
        "STATUS=late",
        "WATCHDOG=1",
        "STOPPING=1",
    ] == systemd.heard()


def test_an_abstract_address_is_reached() -> None:
    """An address that begins with @ is one without a file."""
    name = f"phasewise-test-{os.getpid()}"
    systemd = Systemd(f"\0{name}")
    notifier = Notifier(f"@{name}")
    notifier.alive()
    notifier.close()

    assert ["WATCHDOG=1"] == systemd.heard()
    systemd.socket.close()


def test_without_systemd_nobody_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A daemon that was started by hand tells nobody, and one whose systemd is gone goes on."""
    alone, orphan = Notifier(), Notifier(str(tmp_path / "gone"))
    with caplog.at_level(logging.WARNING):
        for notifier in (alone, orphan):
            notifier.ready()
            notifier.close()
            notifier.ready()

    assert ["systemd does not listen: No such file or directory"] == caplog.messages


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "7"}, 5 * SECOND),
        ({"WATCHDOG_USEC": "5000000"}, 5 * SECOND),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_interval_is_systemds(environment: dict[str, str], interval: int | None) -> None:
    """How often to feed is read from the environment, where this process is meant."""
    assert interval == watchdog_interval(environment, 7)


def test_the_watchdog_is_fed_by_ticks(systemd: Systemd, notifier: Notifier) -> None:
    """Ticks feed it at once and then every third of its interval."""
    beat = Heartbeat(notifier, Freshness(["main"]), 3 * SECOND)
    fed = []
    for tenths in range(21):
        beat.ticked("main", tenths * SECOND // 10)
        fed += [tenths] * len(systemd.heard())

    assert [0, 10, 20] == fed


def test_one_cabinet_that_stands_still_starves_the_watchdog(systemd: Systemd, notifier: Notifier) -> None:
    """With two cabinets ticks of one alone feed nothing, before the other's first tick and after its last."""
    beat = Heartbeat(notifier, Freshness(["main", "side"], bound=2 * SECOND), 3 * SECOND)
    beat.ticked("main", 0)
    alone = systemd.heard()
    beat.ticked("side", 0)
    both = systemd.heard()
    for second in range(1, 10):
        beat.ticked("main", second * SECOND)

    assert ([], ["WATCHDOG=1"], ["WATCHDOG=1"] * 2) == (alone, both, systemd.heard())


def test_who_is_not_watched_feeds_nothing(systemd: Systemd, notifier: Notifier) -> None:
    """Without a watchdog ticks only keep the cabinet fresh."""
    freshness = Freshness(["main"])
    Heartbeat(notifier, freshness, None).ticked("main", 5)

    assert ([], ()) == (systemd.heard(), freshness.stale(5))


# ----- locks ---------------------------------------------------------------------------------------------------------------------
HOLD = """
import sys
from pathlib import Path
from controller.service import locked
with locked(Path(sys.argv[1]), sys.argv[2:]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Return another process that holds the lock of a cabinet."""
    words = [sys.executable, "-c", HOLD, str(tmp_path / "locks"), "side"]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert "held\n" == other.stdout.readline()
        yield other
        other.kill()


def test_a_second_daemon_is_refused_with_the_owners_pid(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """Who finds a cabinet locked is told by whom, and holds no other lock afterwards."""
    refusal = pytest.raises(AlreadyRunningError, match=rf"another daemon controls side: process {holder.pid} holds ")
    with refusal, locked(tmp_path / "locks", ["side", "main"]):
        pass

    done = subprocess.run(
        [sys.executable, "-c", HOLD, str(tmp_path / "locks"), "main"], cwd=ROOT, input="", capture_output=True, text=True, check=True
    )

    assert "held\n" == done.stdout


def test_a_lock_goes_with_its_process(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """A daemon that was killed locks nothing, and its successor's pid takes the place of its own."""
    holder.kill()
    holder.wait()
    with locked(tmp_path / "locks", ["side"]):
        content = (tmp_path / "locks" / "side.lock").read_text()

    assert f"{os.getpid()}\n" == content


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A folder that is a file, or a link in place of the lock, is the user's to sort out."""
    (tmp_path / "file").touch()
    (tmp_path / "main.lock").symlink_to(tmp_path / "file")
    for folder in (tmp_path / "file", tmp_path):
        with pytest.raises(UserError, match="cannot lock"), locked(folder, ["main"]):
            pass

    assert "" == (tmp_path / "file").read_text()


# ----- signals -------------------------------------------------------------------------------------------------------------------
def test_signals_are_events() -> None:
    """TERM and INT ask for the end and HUP for a reload, in the order in which they came; afterwards they do as before."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]

    async def run() -> list[Wish]:
        told: asyncio.Queue[Wish] = asyncio.Queue()
        with heeding(told.put_nowait):
            wishes = []
            for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), number)
                wishes.append(await asyncio.wait_for(told.get(), 5))
        return wishes

    assert [Wish.RELOAD, Wish.STOP, Wish.STOP] == asyncio.run(run())
    assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]


# ----- the unit ------------------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    """The check of systemd itself, with a command that is here, has nothing to say."""
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^(ExecStart=)\S+", r"\1/bin/true", UNIT.read_text()))

    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False, timeout=60)

    assert (0, "") == (done.returncode, done.stdout + done.stderr)


def test_the_unit_is_watched_and_fenced_in() -> None:
    """The unit waits for READY, is watched, comes back by itself unless its file is wrong, and can write nowhere but to its own folders."""
    lines = UNIT.read_text().splitlines()

    assert set() == {
        *("Type=notify", "WatchdogSec=5", "Restart=always", "RestartPreventExitStatus=2", "User=phasewise", "KillMode=mixed"),
        *("NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "CapabilityBoundingSet=", "StateDirectory=phasewise"),
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    } - set(lines)
