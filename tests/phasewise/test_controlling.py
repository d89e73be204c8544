import asyncio
import getpass
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from controller.control_socket import MOST_RECORDS, ControlSocket
from controller.events import Fault, FaultBegan, FaultEnded
from controller.journal import Decision, Event, Folder, Gap, Journal, ModeChange, Order
from controller.mode import LadderSettings
from field_adapters._base import PlanStep
from intersection.errors import ConfigError
from phasewise import controlling
from phasewise.__main__ import run
from phasewise.controlling import duration, record_line
from tests.controller.operated import UP, Corridor, Operated
from tests.phasewise.command_line import environment

TRAINER = {"torch", "libsumo", "traci", "sumolib", "gymnasium", "stable_baselines3", "onnxruntime", "pymodbus", "pysnmp"}


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Ctl = Callable[..., Said]


@contextmanager
def daemon(path: Path, corridor: Corridor) -> Iterator[None]:
    """Let a daemon listen at a path, in a thread of its own."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def listen() -> None:
        async with ControlSocket(corridor, path):
            ready.set()
            await stop.wait()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(listen())

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(5)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)


@pytest.fixture
def loop() -> Operated:
    """Return a cabinet in ADAPTIVE."""
    return Operated("main", settings=LadderSettings(flash_enabled=True))


@pytest.fixture
def path(tmp_path: Path, loop: Operated) -> Iterator[Path]:
    """Return the socket of a daemon with that cabinet."""
    with daemon(tmp_path / "s", Corridor(loop)):
        yield tmp_path / "s"


@pytest.fixture
def ctl(path: Path, capsys: pytest.CaptureFixture[str]) -> Ctl:
    """Return a way to run `phasewise ctl` against it."""

    def call(*words: str) -> Said:
        code = run(["ctl", *words, "--socket", str(path)])
        return Said(code, *capsys.readouterr())

    return call


def test_a_status_is_told_in_a_few_lines(ctl: Ctl, loop: Operated) -> None:
    """Mode, stage, gate, faults, detectors and link stand in one line each, and what there is nothing to say of stands nowhere."""
    loop.happen(FaultBegan(Fault.DETECTOR_FAILED, "loop 2"))
    loop.street = {
        "stage": "A",
        "going_to": "B",
        "plan": 0,
        "verdict": "granted",
        "detectors_failed": ("loop 2",),
        "round_trip": 0.012,
        "backup_left": 250,
        "journal_waiting": 5_000,
    }

    said = ctl("status")

    assert (0, "") == (said.code, said.err)
    assert [
        "main: ADAPTIVE for 0 s",
        "  stage      A, going to B",
        "  plan       free",
        "  gate       granted",
        "  detectors  failed: loop 2",
        "  link       12 ms, the cabinet takes back in 25 s if we fall silent",
        "  journal    5000 records wait for the disk",
        "  fault      A detector has failed; the policy does without it, and its phase is recalled (loop 2), seen for 0 s",
    ] == said.out.splitlines()


def test_json_is_one_line(ctl: Ctl) -> None:
    """With --json the answer is one line for machines."""
    [line] = ctl("status", "--json").out.splitlines()

    assert [("main", "adaptive")] == [(each["cabinet"], each["mode"]) for each in json.loads(line)]


def test_a_forced_plan_is_shown_as_it_comes_into_step(ctl: Ctl, loop: Operated) -> None:
    """An order is told when it is given, and then as accepted, in transition with the cycles left, and in step."""
    shown = [ctl("force", "plan", "3", "--for", "30min", "--reason", "road works", "--operator", "Kim").out]
    for step, cycles in ((PlanStep.ACCEPTED, 0), (PlanStep.IN_TRANSITION, 2), (PlanStep.IN_TRANSITION, 1), (PlanStep.IN_STEP, 0)):
        loop.plan_step, loop.cycles_left = step, cycles
        shown.append(ctl("status").out)

    assert [
        "plan 3,",
        "plan 3 (accepted),",
        "plan 3 (in transition, 2 cycles left),",
        "plan 3 (in transition, 1 cycle left),",
        "plan 3 (in step),",
    ] == [each.partition("order      ")[2].partition(" for ")[0] for each in shown]
    assert "for 30 min 0 s more, by Kim (uid " in shown[0]
    assert "): road works\n" in shown[0]


def test_an_order_that_was_taken_up_again_says_so(ctl: Ctl, loop: Operated) -> None:
    """After a restart of the daemon an order is shown with what happened meanwhile."""
    ctl("force", "free", "--for", "2h", "--reason", "works")
    for event in UP[:2]:
        loop.happen(event)

    assert "the cabinet had released itself meanwhile" in ctl("status").out


def test_flash_takes_no_expiry(ctl: Ctl) -> None:
    """Flash is ordered without --for, and stands until it is withdrawn; whoever gives an expiry is told."""
    wrong = ctl("force", "flash", "--for", "5min", "--reason", "crash")
    right = ctl("force", "flash", "--reason", "crash")

    assert (2, True) == (wrong.code, "flash does not end by itself" in wrong.err)
    assert (0, True) == (right.code, "flash, until it is withdrawn, by " in right.out)


def test_an_order_is_withdrawn(ctl: Ctl) -> None:
    """Release ends the order; a second one has nothing to end."""
    ctl("force", "free", "--for", "90s", "--reason", "works")

    said, again = ctl("release", "--reason", "over"), ctl("release", "--reason", "over")

    assert (0, False) == (said.code, "order" in said.out)
    assert (2, "error: not done: no order stands") == (again.code, again.err.strip())


def test_a_cap_is_set_and_lifted(ctl: Ctl) -> None:
    """Mode caps at once, and says so until the cap is lifted."""
    capped, lifted = ctl("mode", "shadow", "--reason", "trial"), ctl("mode", "adaptive", "--reason", "over")

    assert ("main: SHADOW for 0 s\n  cap        shadow\n", False) == (capped.out, "cap" in lifted.out)


def test_what_waits_for_a_person_is_re_enabled(ctl: Ctl, loop: Operated) -> None:
    """Enable lets go what was latched, and says what remains."""
    loop.happen(FaultBegan(Fault.REBOOTED))

    before, after = ctl("status").out, ctl("enable", "--reason", "looked at it").out

    assert "The cabinet has restarted, seen 0 s ago; waits for a person" in before
    assert "waits for a person" not in after


def test_a_lock_out_is_cleared_at_the_cabinet(ctl: Ctl, loop: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlock needs the word that one stands at the cabinet, and does not believe it of whoever comes over the network."""
    loop.happen(FaultBegan(Fault.LOCAL_LOCK_OUT))
    loop.happen(FaultEnded(Fault.LOCAL_LOCK_OUT))
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")
    monkeypatch.delenv("SSH_TTY", raising=False)
    afar = ctl("unlock", "--at-cabinet")
    monkeypatch.delenv("SSH_CONNECTION")

    assert [2, 2, 0] == [afar.code, ctl("unlock").code, ctl("unlock", "--at-cabinet").code]
    assert "cleared at the cabinet, and only there" in afar.err


def test_an_explanation_is_text_or_json(ctl: Ctl) -> None:
    """Explain writes the ladder's words, or their parts for machines."""
    assert "ADAPTIVE for 0 s\nNothing is wrong.\n" == ctl("explain").out[:35]
    assert ["Nothing is wrong."] == json.loads(ctl("explain", "--json").out)["why"]


def test_a_reload_tells_what_came_of_it(ctl: Ctl) -> None:
    """Reload says what was taken over, and exits with 2 where the file is wrong."""
    first, second = ctl("reload"), ctl("reload")

    assert (0, "nothing has changed\n") == (first.code, first.out)
    assert (2, "error: cabinet.toml: the file is wrong") == (second.code, second.err.strip())


RECORDS = (
    Event(1, 82, 3),
    Decision(2, "max_pressure", "stage B", "amended", "minimum green still running"),
    ModeChange(3, "adaptive", "released", "The cabinet does not answer."),
    Order(4, "Kim", "plan 3", "[bold]works", "done"),
    Gap(5, 7, "the disk is full"),
)


def at(stamp: int) -> list[Event | Decision | ModeChange | Order | Gap]:
    """Give one record of each kind at an instant."""
    return [record._replace(at=stamp) for record in RECORDS]


def test_events_come_from_the_daemon_page_by_page(ctl: Ctl, loop: Operated) -> None:
    """More records than one answer holds are asked for until there are no more, each told once and the old ones never."""
    now = round(time.time() * 10)
    for record in (*at(now - 100_000), *(record for n in range(3 * MOST_RECORDS // 10) for record in at(now - 1_000 + n) * 2)):
        loop.recent.append(record)

    told = [json.loads(line) for line in ctl("events", "--last", "10min", "--json").out.splitlines()]

    assert 3 * MOST_RECORDS == len(told)
    assert sorted(each[1] for each in told) == [each[1] for each in told]
    assert ["gap", now - 1_000, 7, "the disk is full"] == told[4]


def test_too_many_records_at_one_instant_end_the_asking(ctl: Ctl, loop: Operated) -> None:
    """Where one instant holds more than an answer, the rest of it is not told, and the command ends."""
    now = round(time.time() * 10)
    for number in range(2 * MOST_RECORDS):
        loop.recent.append(Event(now, 1, number))

    assert MOST_RECORDS == len(ctl("events", "--json").out.splitlines())


def test_records_of_another_release_are_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A record that this release does not know ends the asking in words."""
    with answering(tmp_path / "s", b'{"version": 1, "answer": {"records": [["omen", 1]], "more": false}}\n'):
        code = run(["ctl", "events", "--socket", str(tmp_path / "s")])

    assert (1, True) == (code, "of another release" in capsys.readouterr().err)


def test_events_are_read_from_a_journal_without_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --journal the folder itself is read, and damage in it is counted."""
    now = round(time.time() * 10)
    journal = Journal(Folder(tmp_path))
    for record in at(now):
        journal.append(record)
    assert journal.close()
    [file] = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[20] ^= 1
    file.write_bytes(content)

    code = run(["ctl", "events", "--journal", str(tmp_path)])
    said = capsys.readouterr()

    assert (0, 4) == (code, len(said.out.splitlines()))
    assert "Kim ordered plan 3: [bold]works; done" in said.out
    assert "1 stretches of this journal cannot be read" in said.err


def test_every_record_is_a_line_of_words() -> None:
    """Each kind of record reads as a sentence without its names of fields."""
    assert [
        "event 82 (3)",
        "max_pressure proposed stage B: amended (minimum green still running)",
        "adaptive -> released: The cabinet does not answer.",
        "Kim ordered plan 3: [bold]works; done",
        "7 records were lost: the disk is full",
    ] == [record_line(record).partition("  ")[2] for record in RECORDS]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mode", "shdow", "--reason", "x"), "did you mean 'shadow'?"),
        (("mode", "forced", "--reason", "x"), "unknown mode to cap at 'forced'"),
        (("force", "pln", "3", "--for", "1h", "--reason", "x"), "did you mean 'plan'?"),
        (("force", "plan", "--for", "1h", "--reason", "x"), "which plan?"),
        (("force", "plan", "254", "--for", "1h", "--reason", "x"), "1..253"),
        (("force", "plan", "3", "--reason", "x"), "such an order ends by itself"),
        (("force", "free", "3", "--for", "1h", "--reason", "x"), "only a plan has a number"),
        (("force", "free", "--for", "an hour", "--reason", "x"), "for instance 90s, 30min or 2h"),
        (("force", "free", "--for", "25h", "--reason", "x"), "longer than is allowed"),
        (("force", "free", "--for", "1h", "--reason", " "), "not a line of text"),
        (("release",), "--reason"),
        (("status", "--cabinet", "mian"), "did you mean 'main'?"),
        (("events", "--last", "0s"), "not a duration"),
        (("events", "--journal", "no-such-folder"), "no such folder"),
    ],
)
def test_what_the_operator_gets_wrong_exits_with_2(ctl: Ctl, words: tuple[str, ...], said: str) -> None:
    """A mistake gets one message with what would be right, and exit code 2."""
    got = ctl(*words)

    assert (2, "") == (got.code, got.out)
    assert said in got.err.replace("\n", " ")
    assert "Traceback" not in got.err


def test_a_bug_of_the_daemon_exits_with_1(ctl: Ctl, loop: Operated) -> None:
    """Where the daemon fails at a question the fault is ours."""
    loop.fails = True

    assert 1 == ctl("status").code


def test_without_a_daemon_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody at the socket is our fault or the world's, in one message."""
    code = run(["ctl", "status", "--socket", str(tmp_path / "none")])

    assert (1, True) == (code, "is the service running" in capsys.readouterr().err)


@contextmanager
def answering(path: Path, said: bytes | None) -> Iterator[None]:
    """Let something else than a daemon listen: it says a line, hangs up for an empty one, or says nothing for None."""
    done = threading.Event()

    def work() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100_000)
            if said is None:
                done.wait(5)
            else:
                connection.sendall(said)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=work)
        thread.start()
        yield
        done.set()
        thread.join(5)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "is no daemon of ours"),
        (b"[]\n", "is no daemon of ours"),
        (b'{"version": 2, "answer": []}\n', "of another release"),
        (b'{"version": 1}\n', "of another release"),
        (b"", "it hung up"),
        (None, "does not answer"),
    ],
)
def test_who_else_listens_is_no_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, said: bytes | None, words: str
) -> None:
    """What answers in other words, or not at all, is told as such and exits with 1."""
    monkeypatch.setattr(controlling, "PATIENCE", 0.1)
    with answering(tmp_path / "s", said):
        code = run(["ctl", "status", "--socket", str(tmp_path / "s")])

    assert (1, True) == (code, words in capsys.readouterr().err.replace("\n", " "))


def test_who_may_not_ask_is_told(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket of another group is the operator's to sort out."""

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", forbidden)

    assert (2, True) == (run(["ctl", "status", "--socket", str(path)]), "you may not ask" in capsys.readouterr().err)


def test_who_has_no_name_gives_one(ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a login name is asked for one."""

    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)

    assert "who asks?" in ctl("release", "--reason", "over").err


@pytest.mark.parametrize(("text", "tenths"), [("90s", 900), ("30min", 18_000), ("2h", 72_000), ("1 h", 36_000)])
def test_durations_are_read(text: str, tenths: int) -> None:
    """Seconds, minutes and hours are read into tenths of a second."""
    assert tenths == duration("--for", text)


@pytest.mark.parametrize("text", ["", "5", "min", "-5s", "1.5h", "0min", "5 m", "9999999s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A duration without a unit, of nothing, or in parts is refused."""
    with pytest.raises(ConfigError, match="not a duration"):
        duration("--for", text)


def test_ctl_loads_neither_sumo_nor_a_trainer(tmp_path: Path) -> None:
    """The command comes up with nothing but the core, so that it works on a cabinet's box, and at once."""
    program = (
        f"import sys; from phasewise.__main__ import run; run(['ctl', 'status', '--socket', 'none']); print(*{TRAINER} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)

    assert "" == done.stdout.strip()
