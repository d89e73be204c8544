import asyncio
import grp
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller._errors import SocketError
from controller.control_socket import (
    LONGEST_LINE,
    LONGEST_WORDS,
    MOST_CLIENTS,
    MOST_RECORDS,
    AskEvents,
    AskExplanation,
    AskReload,
    AskStatus,
    ClearLockOut,
    ControlSocket,
    Force,
    Limit,
    Peer,
    Recent,
    ReEnable,
    Request,
    VirtualSocket,
    Withdraw,
    answer,
    from_line,
    to_line,
)
from controller.events import Fault, FaultBegan, FaultEnded, Flash, Free, Mode, Place, Plan
from controller.journal import Event as Happened
from controller.mode import LadderSettings
from field_adapters._base import PlanStep
from intersection.errors import ConfigError
from tests.controller.operated import UP, Corridor, Operated

KIM = Peer(pid=77, uid=1000, gid=1000)

WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=LONGEST_WORDS)
NAMES = st.none() | WORDS
REQUESTS: st.SearchStrategy[Request] = st.one_of(
    st.builds(AskStatus, cabinet=NAMES),
    st.builds(AskExplanation, cabinet=NAMES),
    st.builds(AskEvents, cabinet=NAMES, since=st.integers(0, 1 << 50)),
    st.builds(Limit, cabinet=NAMES, mode=st.sampled_from(Mode), operator=WORDS, reason=WORDS),
    st.builds(
        Force,
        cabinet=NAMES,
        what=st.just(Free()) | st.just(Flash()) | st.builds(Plan, st.integers(1, 253)),
        operator=WORDS,
        reason=WORDS,
        lasts=st.none() | st.integers(0, 1 << 50),
    ),
    st.builds(Withdraw, cabinet=NAMES, operator=WORDS, reason=WORDS),
    st.builds(ReEnable, cabinet=NAMES, operator=WORDS, reason=WORDS),
    st.builds(ClearLockOut, cabinet=NAMES, operator=WORDS, place=st.sampled_from(Place)),
    st.just(AskReload()),
)


def ask(daemon: Corridor, request: Request) -> dict[str, Any]:
    """Ask without a wire."""
    return asyncio.run(VirtualSocket(daemon, KIM).ask(request))


def asked(daemon: Corridor, **said: object) -> dict[str, Any]:
    """Ask by whatever stands in a line."""
    told: dict[str, Any] = json.loads(asyncio.run(answer(json.dumps(said).encode(), daemon, KIM)))
    return told


# ----- lines ---------------------------------------------------------------------------------------------------------------------
@given(REQUESTS)
def test_a_question_reads_as_it_was_written(request_: Request) -> None:
    """Every question that can be made comes out of its line unchanged."""
    assert request_ == from_line(to_line(request_))


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda it: json.dumps(it).encode()))
def test_garbage_is_answered_in_words(line: bytes) -> None:
    """Whatever comes in as a line gets one line back, and nothing is raised."""
    said = asyncio.run(answer(line, Corridor(Operated("main")), KIM))

    assert said.endswith(b"\n")
    assert "rejected" == json.loads(said)["kind"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"\xff", "not a line of JSON"),
        (b"[" * 4_000, "not a line of JSON"),
        (b"[1]", "not an object"),
        (b'{"ask": "status"}', "another version"),
        (b'{"version": 2, "ask": "status"}', "another version"),
        (b'{"version": 1, "ask": "statsu"}', "did you mean 'status'?"),
        (b'{"version": 1, "ask": ["status"]}', "not a question"),
        (b'{"version": 1, "ask": "status", "cabinte": "x"}', "did you mean 'cabinet'?"),
        (b'{"version": 1, "ask": "reload", "cabinet": "x"}', "allowed: none"),
        (b'{"version": 1, "ask": "release", "operator": "Kim"}', "with reason"),
        (b'{"version": 1, "ask": "release", "operator": "Kim", "reason": " "}', "not a line of text"),
        (b'{"version": 1, "ask": "release", "operator": "K\\nm", "reason": "x"}', "not a line of text"),
        (b'{"version": 1, "ask": "release", "operator": "Kim", "reason": 7}', "not a line of text"),
        (b'{"version": 1, "ask": "events", "since": 1.5}', "not a count"),
        (b'{"version": 1, "ask": "events", "since": -1}', "not a count"),
        (b'{"version": 1, "ask": "events", "since": true}', "not a count"),
        (b'{"version": 1, "ask": "mode", "mode": "full", "operator": "Kim", "reason": "x"}', "no such mode"),
        (b'{"version": 1, "ask": "clear lock-out", "place": "home", "operator": "Kim"}', "no such place"),
        (b'{"version": 1, "ask": "force", "what": "dark", "operator": "Kim", "reason": "x"}', "not an order"),
        (b'{"version": 1, "ask": "force", "what": 254, "operator": "Kim", "reason": "x"}', "1..253"),
    ],
)
def test_what_is_wrong_with_a_question_is_said(line: bytes, words: str) -> None:
    """A question that cannot be is refused with what is wrong, and with the nearest that can."""
    with pytest.raises(ConfigError) as raised:
        from_line(line)

    assert words in str(raised.value)


def test_words_are_bounded() -> None:
    """A reason longer than its bound is refused."""
    with pytest.raises(ConfigError, match="up to 200 characters"):
        from_line(to_line(Withdraw(operator="Kim", reason="x" * (LONGEST_WORDS + 1))))


# ----- answers -------------------------------------------------------------------------------------------------------------------
def test_a_status_tells_all_cabinets() -> None:
    """Without a name a status is that of each cabinet."""
    told = ask(Corridor(Operated("main"), Operated("side", UP[0])), AskStatus())["answer"]

    assert [("main", "adaptive"), ("side", "monitor")] == [(each["cabinet"], each["mode"]) for each in told]


def test_a_status_tells_one_cabinet() -> None:
    """With a name a status is that cabinet's, its faults and hours in it."""
    loop = Operated("main", *UP, FaultBegan(Fault.DETECTOR_FAILED, "loop 2"))
    loop.street = {"stage": "A", "detectors_failed": ("loop 2",)}

    [told] = ask(Corridor(loop, Operated("side")), AskStatus(cabinet="main"))["answer"]

    assert ("A", ["loop 2"], "detector failed", "loop 2", True, False) == (
        told["stage"],
        told["detectors_failed"],
        *(told["faults"][0][key] for key in ("fault", "detail", "present", "latched")),
    )
    assert {mode.value for mode in Mode} == set(told["hours"])


@pytest.mark.parametrize("request_", [AskExplanation(), AskEvents(), Withdraw(operator="Kim", reason="over")])
def test_a_corridor_asks_which_cabinet(request_: Request) -> None:
    """Whatever is not for all cabinets of a corridor needs a name."""
    told = ask(Corridor(Operated("main"), Operated("side")), request_)

    assert "which cabinet?; allowed: main, side" in told["error"]


def test_an_unknown_cabinet_is_told_the_nearest() -> None:
    """A misspelt cabinet gets the nearest name."""
    told = ask(Corridor(Operated("main")), AskStatus(cabinet="mian"))

    assert ("rejected", True) == (told["kind"], "did you mean 'main'?" in told["error"])


def test_an_explanation_is_told_in_parts_and_in_words() -> None:
    """What raises the mode is there for machines, and the whole text for people."""
    told = ask(Corridor(Operated("main", *UP, FaultBegan(Fault.POLICE))), AskExplanation())["answer"]

    assert "released" == told["mode"]
    assert ["It ends by itself soon after the police hand back."] == told["raises"]
    assert told["text"].startswith("RELEASED for 0 s\n")


def test_events_are_told_from_an_instant_on() -> None:
    """Records of the memory are told from an instant on, as many as an answer holds, and whether there are more."""
    loop = Operated("main")
    for at in range(MOST_RECORDS + 100):
        loop.recent.append(Happened(at, 1, 2))

    first = ask(Corridor(loop), AskEvents(since=10))["answer"]
    last = ask(Corridor(loop), AskEvents(since=200))["answer"]

    assert (["event", 10, 1, 2], MOST_RECORDS, True) == (first["records"][0], len(first["records"]), first["more"])
    assert (400, False) == (len(last["records"]), last["more"])


def test_a_memory_forgets_the_oldest() -> None:
    """Beyond its bound a memory of records lets the oldest go."""
    recent = Recent(most=2)
    for at in range(3):
        recent.append(Happened(at, 1, 2))

    assert [Happened(1, 1, 2), Happened(2, 1, 2)] == recent.since(0)


def test_a_limit_takes_effect_and_names_who_asked() -> None:
    """A cap is set at once, and the ladder knows the name and what the kernel says of who asked."""
    loop = Operated("main")

    told = ask(Corridor(loop), Limit(mode=Mode.SHADOW, operator="Kim", reason="trial"))["answer"]

    assert ("shadow", "shadow") == (told["mode"], told["limit"])
    assert "Kim (uid 1000)" == loop.state.limited_by


def test_a_forced_plan_is_accepted_then_in_transition_then_in_step() -> None:
    """An order for a plan is told with how far it has come, and when it ends."""
    loop = Operated("main")
    daemon = Corridor(loop)

    told = [ask(daemon, Force(what=Plan(3), operator="Kim", reason="works", lasts=600))["answer"]]
    for plan_step, cycles in ((PlanStep.ACCEPTED, 0), (PlanStep.IN_TRANSITION, 2), (PlanStep.IN_STEP, 2)):
        loop.instant += 100
        loop.plan_step, loop.cycles_left = plan_step, cycles
        told += ask(daemon, AskStatus())["answer"]

    assert ["forced"] * 4 == [each["mode"] for each in told]
    assert [("", 0, 600), ("accepted", 0, 500), ("in transition", 2, 400), ("in step", 0, 300)] == [
        (each["order"]["step"], each["order"]["cycles_left"], each["order"]["left"]) for each in told
    ]


def test_free_operation_is_in_no_step() -> None:
    """Only a plan comes into step."""
    loop = Operated("main")
    loop.plan_step = PlanStep.IN_STEP

    told = ask(Corridor(loop), Force(what=Free(), operator="Kim", reason="works", lasts=600))["answer"]

    assert ("free operation", "") == (told["order"]["what"], told["order"]["step"])


def test_flash_has_no_expiry() -> None:
    """Flash is ordered without an expiry, where it is enabled."""
    loop = Operated("main", settings=LadderSettings(flash_enabled=True))

    told = ask(Corridor(loop), Force(what=Flash(), operator="Kim", reason="crash"))["answer"]

    assert ("flash", None) == (told["order"]["what"], told["order"]["left"])


def test_one_signal_flashes_at_a_time() -> None:
    """Of a corridor a second one is refused until the first has ended; the same one may be ordered anew."""
    first, second = (Operated(name, settings=LadderSettings(flash_enabled=True)) for name in ("first", "second"))
    corridor = Corridor(first, second)
    on_first, on_second = (Force(cabinet=name, what=Flash(), operator="Kim", reason="crash") for name in ("first", "second"))
    ask(corridor, on_first)
    told = ask(corridor, on_second)

    assert "one signal flashes at a time, and first does" in told["error"]
    assert "answer" in ask(corridor, on_first)
    assert second.state.order is None


def test_what_speaks_against_an_order_is_said() -> None:
    """A wish to which there is an objection is rejected with it, and nothing changes."""
    loop = Operated("main")
    before = loop.state

    told = ask(Corridor(loop), Force(what=Flash(), operator="Kim", reason="crash"))

    assert {"version": 1, "error": "not done: remote flash is not enabled for this signal", "kind": "rejected"} == told
    assert before == loop.state


def test_an_order_is_withdrawn() -> None:
    """A release ends the order that stands."""
    daemon = Corridor(Operated("main"))
    ask(daemon, Force(what=Plan(3), operator="Kim", reason="works", lasts=600))

    told = ask(daemon, Withdraw(operator="Ida", reason="over"))["answer"]

    assert ("adaptive", None) == (told["mode"], told["order"])


def test_a_person_re_enables() -> None:
    """What waits for a person is let go by one."""
    daemon = Corridor(Operated("main", *UP, FaultBegan(Fault.REBOOTED)))

    told = ask(daemon, ReEnable(operator="Kim", reason="looked at it"))["answer"]

    assert [False] == [each["latched"] for each in told["faults"]]


def test_a_lock_out_is_cleared_at_the_cabinet_only() -> None:
    """A lock-out stays whoever asks from afar, and goes at the cabinet."""
    loop = Operated("main", *UP, FaultBegan(Fault.LOCAL_LOCK_OUT), FaultEnded(Fault.LOCAL_LOCK_OUT))
    daemon = Corridor(loop)

    afar = ask(daemon, ClearLockOut(operator="Kim", place=Place.REMOTE))
    there = ask(daemon, ClearLockOut(operator="Kim", place=Place.AT_CABINET))

    assert "not done: a lock-out is cleared at the cabinet, and only there" == afar["error"]
    assert [False] == [each["present"] for each in there["answer"]["faults"]]


def test_a_reload_says_what_was_taken_over_or_why_not() -> None:
    """The daemon's words about a reload come back, good ones and bad ones."""
    daemon = Corridor(Operated("main"))

    assert {"reloaded": "nothing has changed"} == ask(daemon, AskReload())["answer"]
    assert ("rejected", "cabinet.toml: the file is wrong") == tuple(ask(daemon, AskReload())[key] for key in ("kind", "error"))


def test_a_bug_behind_a_question_stays_behind_it() -> None:
    """Where the loop's own side fails, the answer says that it is ours, and nothing is raised."""
    loop = Operated("main")
    loop.fails = True

    assert "failed" == ask(Corridor(loop), AskStatus())["kind"]


def test_a_fault_of_the_world_is_not_the_operators() -> None:
    """A runtime fault is told as ours, with its words."""

    class Broken(Corridor):
        async def reload(self) -> str:
            raise SocketError("the disk is gone")

    assert ("failed", "the disk is gone") == tuple(ask(Broken(), AskReload())[key] for key in ("kind", "error"))


# ----- the socket ----------------------------------------------------------------------------------------------------------------
Client = Callable[[Path], Awaitable[Any]]


def with_socket(folder: Path, client: Client, *, patience: float = 5.0, **how: Any) -> Any:  # noqa: ANN401  # whatever the client gives
    """Let a client do its work at a socket, within a bound."""

    async def run() -> Any:  # noqa: ANN401
        async with asyncio.timeout(10), ControlSocket(Corridor(Operated("main")), folder / "s", patience=patience, **how):
            return await client(folder / "s")

    return asyncio.run(run())


async def status(path: Path) -> str:
    """Ask for a status, and give the mode."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(to_line(AskStatus()))
    told = json.loads(await reader.readline())
    writer.close()
    return str(told["answer"][0]["mode"])


def test_a_connection_answers_one_question_after_another(tmp_path: Path) -> None:
    """Questions on one connection are answered in order, also after a bad one."""

    async def client(path: Path) -> list[str]:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(to_line(AskStatus()) + b"garbage\n" + to_line(AskExplanation()))
        told = [json.loads(await reader.readline()) for _ in range(3)]
        writer.close()
        return [next(key for key in each if key != "version") for each in told]

    assert ["answer", "error", "answer"] == with_socket(tmp_path, client)


def test_the_kernel_tells_who_asks(tmp_path: Path) -> None:
    """An order bears the user id of the process at the other end."""

    async def client(path: Path) -> str:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(to_line(Force(what=Plan(3), operator="Kim", reason="works", lasts=600)))
        told = json.loads(await reader.readline())
        writer.close()
        return str(told["answer"]["order"]["operator"])

    assert f"Kim (uid {os.getuid()})" == with_socket(tmp_path, client)


async def silent(path: Path) -> bytes:
    """Say nothing, and wait until it is hung up."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        return await reader.read()
    finally:
        writer.close()


async def half(path: Path) -> bytes:
    """Say half a line, and hang up half."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"version": 1')
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()


async def endless(path: Path) -> bytes:
    """Say a line that is too long."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"x" * (2 * LONGEST_LINE + 1))
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def deaf(path: Path) -> bytes:
    """Ask and ask, and take no answer."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        await loop.sock_connect(caller, os.fspath(path))
        try:
            while True:
                await loop.sock_sendall(caller, to_line(AskStatus()) * 50)
        except (BrokenPipeError, ConnectionResetError):
            return b""


@pytest.mark.parametrize("client", [silent, half, endless, deaf])
def test_a_bad_client_is_let_go_of(tmp_path: Path, client: Client) -> None:
    """Who is silent, speaks half, without end, or takes no answer is hung up on, and the next is served."""

    async def both(path: Path) -> tuple[bytes, str]:
        return await client(path), await status(path)

    assert (b"", "adaptive") == with_socket(tmp_path, both, patience=0.05)


def test_no_more_clients_than_the_bound(tmp_path: Path) -> None:
    """One client more than the bound is hung up on, and those before are still served."""

    async def client(path: Path) -> tuple[bytes, bool]:
        kept = [await asyncio.open_unix_connection(path) for _ in range(MOST_CLIENTS)]
        for _, writer in kept:
            writer.write(to_line(AskStatus()))
        served = [bool(await reader.readline()) for reader, _ in kept]
        over = await silent(path)
        for _, writer in kept:
            writer.close()
        return over, all(served)

    assert (b"", True) == with_socket(tmp_path, client)


@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_the_socket_is_its_owners_and_its_groups(tmp_path: Path, mode: int) -> None:
    """The file mode and the group are those that were asked for, and the file goes with the daemon."""
    own = grp.getgrgid(os.getgid()).gr_name

    async def client(path: Path) -> tuple[int, int]:
        return stat.S_IMODE(path.stat().st_mode), path.stat().st_gid

    assert (mode, os.getgid()) == with_socket(tmp_path, client, mode=mode, group=own)
    assert [] == list(tmp_path.iterdir())


def test_what_a_dead_daemon_left_is_replaced(tmp_path: Path) -> None:
    """A socket that nobody listens at is no hindrance."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(tmp_path / "s"))

    assert "adaptive" == with_socket(tmp_path, status)


def test_a_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    """Where another daemon listens, or a file is that is no socket, or the group does not exist, nothing is replaced."""
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "s").write_text("mine")

    async def again(path: Path) -> str:
        with pytest.raises(SocketError, match="another daemon listens there"):
            async with ControlSocket(Corridor(), path):
                pass
        return await status(path)

    assert "adaptive" == with_socket(tmp_path, again)
    with pytest.raises(SocketError, match="no socket"):
        with_socket(tmp_path / "file", status)
    with pytest.raises(SocketError, match="nobody-has-this"):
        with_socket(tmp_path, status, group="nobody-has-this")
    assert [] == [path for path in tmp_path.iterdir() if path.name != "file"]
    assert "mine" == (tmp_path / "file" / "s").read_text()
