"""The socket at which operators ask the daemon: local, one JSON object a line, each answered by one.

    {"version": 1, "ask": "status", "cabinet": "main-and-first"}
    {"version": 1, "answer": {...}}    or    {"version": 1, "error": "...", "kind": "rejected"}

Who may ask is told by the socket's file mode and group; who does ask is told by the kernel (SO_PEERCRED) and stands with the operator's
name in every order. A client that is slow, silent or sends garbage costs the loop nothing: lines, answers, clients and their time are
bounded, and what is wrong is answered in words.

The control loop is reached by `Commands`, one for each cabinet, whose methods return at once.
"""

import asyncio
import json
import logging
import os
import shutil
import socket
import stat
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, assert_never

from controller._errors import SocketError
from controller.events import (
    FAULTS,
    Event,
    Flash,
    Free,
    LimitSet,
    LockOutCleared,
    Mode,
    Order,
    Ordered,
    OrderGiven,
    OrderWithdrawn,
    Place,
    Plan,
    ReEnabled,
)
from controller.explanation import Explanation, ordered
from controller.journal import NAMES, Record, Stamp
from controller.mode import LadderSettings, LadderState, Objection, cap
from field_adapters._base import PlanStep
from intersection.errors import ConfigError, PhasewiseError, UserError, nearest
from intersection.phase import Tenths

VERSION = 1
"""The version of the questions and answers that this code speaks."""

LONGEST_LINE = 4_096
"""No question is longer, in bytes."""

LONGEST_WORDS = 200
"""No operator's name and no reason is longer, in characters."""

MOST_CLIENTS = 8
MOST_RECORDS = 500
"""In one answer; the client asks on."""

PATIENCE = 10.0
"""How long a client may take to ask, or to take its answer, in seconds."""

_LOG = logging.getLogger(__name__)


# ----- what may be asked ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True, slots=True)
class AskStatus:
    """How does it stand?"""

    cabinet: str | None = None
    """None: the only one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AskExplanation:
    """Why does it stand so?"""

    cabinet: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AskEvents:
    """What happened lately?"""

    cabinet: str | None = None
    since: Stamp = 0
    """In tenths of a second since 1970 UTC."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """Cap the mode, or lift the cap."""

    cabinet: str | None = None
    mode: Mode
    operator: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Force:
    """Order a plan, free operation or flash."""

    cabinet: str | None = None
    what: Ordered
    operator: str
    reason: str
    lasts: Tenths | None = None
    """After what time it ends by itself, in tenths of a second; None for flash, and only for flash."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdraw:
    """End the order that stands."""

    cabinet: str | None = None
    operator: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReEnable:
    """Give the street back after what was latched."""

    cabinet: str | None = None
    operator: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ClearLockOut:
    """Clear the technician's lock-out. The ladder refuses it from elsewhere than at the cabinet."""

    cabinet: str | None = None
    operator: str
    place: Place


@dataclass(frozen=True, slots=True)
class AskReload:
    """Read cabinet.toml anew, for all cabinets."""


OfCabinet: TypeAlias = AskStatus | AskExplanation | AskEvents | Limit | Force | Withdraw | ReEnable | ClearLockOut
Request: TypeAlias = OfCabinet | AskReload

_ASKS: Mapping[str, type[Request]] = {
    "status": AskStatus,
    "explain": AskExplanation,
    "events": AskEvents,
    "mode": Limit,
    "force": Force,
    "release": Withdraw,
    "enable": ReEnable,
    "clear lock-out": ClearLockOut,
    "reload": AskReload,
}
"""By the word that stands at `ask`."""

_WORDS: Mapping[type[Request], str] = {kind: word for word, kind in _ASKS.items()}


def to_line(request: Request) -> bytes:
    """Write a question as a line."""
    said: dict[str, Any] = {"version": VERSION, "ask": _WORDS[type(request)]}
    for key in request.__slots__:
        value = getattr(request, key)
        if value is not None:
            said[key] = _plain(value)
    return json.dumps(said, separators=(",", ":")).encode("ascii") + b"\n"


def from_line(line: bytes) -> Request:
    """Read a question.

    Raises:
        ConfigError: it is none; the message says why.
    """
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError("not a line of JSON", allowed="one object a line, in UTF-8") from error
    if not isinstance(said, dict):
        raise ConfigError("not an object", allowed="one object a line")
    if said.pop("version", None) != VERSION:
        raise ConfigError("another version", key="version", allowed=str(VERSION))
    word = said.pop("ask", None)
    kind = _ASKS.get(word) if isinstance(word, str) else None
    if kind is None:
        raise ConfigError(f"not a question{nearest(str(word)[:LONGEST_WORDS], _ASKS)}", key="ask", allowed=", ".join(_ASKS))
    readers = {key: _READERS[key] for key in kind.__slots__}
    for key in said:
        if key not in readers:
            raise ConfigError(f"unknown key{nearest(key[:LONGEST_WORDS], readers)}", key=word, allowed=", ".join(readers) or "none")
    try:
        values: dict[str, Any] = {key: readers[key](key, value) for key, value in said.items()}
        return kind(**values)
    except TypeError as error:
        missing = [key for key in readers if key not in said and key not in {"cabinet", "since", "lasts"}]
        raise ConfigError("incomplete", key=word, value=sorted(said), allowed=f"with {', '.join(missing)}") from error


def _plain(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case Plan(pattern=pattern):
            return pattern
        case Free():
            return "free"
        case Flash():
            return "flash"
        case _:
            return value


def _words(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > LONGEST_WORDS:
        raise ConfigError("not a line of text", key=key, allowed=f"a line of up to {LONGEST_WORDS} characters")
    return value


def _count(key: str, value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise ConfigError("not a count", key=key, allowed="a whole number from 0")
    return value


def _mode(key: str, value: object) -> Mode:
    for mode in Mode:
        if mode.value == value:
            return mode
    raise ConfigError("no such mode", key=key, allowed=", ".join(mode.value for mode in Mode))


def _place(key: str, value: object) -> Place:
    for place in Place:
        if place.value == value:
            return place
    raise ConfigError("no such place", key=key, allowed=", ".join(place.value for place in Place))


def _ordered(key: str, value: object) -> Ordered:
    if value == "free":
        return Free()
    if value == "flash":
        return Flash()
    if type(value) is int:
        return Plan(value)
    raise ConfigError("not an order", key=key, allowed="a plan's number, free, or flash")


_READERS: Mapping[str, Callable[[str, object], object]] = {
    "cabinet": _words,
    "since": _count,
    "mode": _mode,
    "operator": _words,
    "reason": _words,
    "what": _ordered,
    "lasts": _count,
    "place": _place,
}


# ----- what is answered ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True, slots=True)
class StandingFault:
    """A fault that the ladder reckons with."""

    fault: str
    what: str
    detail: str
    ago: Tenths
    """Since when, in tenths of a second before now."""

    present: bool
    latched: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StandingOrder:
    """An order, and how far it has come."""

    what: str
    operator: str
    reason: str
    left: Tenths | None
    """Until it ends by itself, in tenths of a second; None for never."""

    resumed: bool
    """Whether it was taken up again after a restart of the daemon; the cabinet had released itself meanwhile."""

    step: str = ""
    """Of a plan: accepted, in transition, in step; empty where the cabinet has not told yet."""

    cycles_left: int = 0
    """Of a plan in transition: how many cycles it still takes, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """How one cabinet stands. Made by `status_of`."""

    cabinet: str
    mode: str
    lasted: Tenths
    """How long the mode has been in force, in tenths of a second."""

    limit: str
    """The cap that holds: a person's or the configuration's."""

    faults: tuple[StandingFault, ...]
    order: StandingOrder | None
    stage: str = ""
    """The stage that is shown; empty in a transition, or where nothing is known."""

    going_to: str = ""
    """The stage that a transition leads to."""

    plan: int | None = None
    """The pattern that the cabinet or our own plan runs; 0 is free; None where nothing is known."""

    verdict: str = ""
    """What the gate made of the last proposal, with its reason."""

    detectors_failed: tuple[str, ...] = ()
    round_trip: float | None = None
    """Of the last reading, in seconds."""

    backup_left: Tenths | None = None
    """What is left of the cabinet's backup time, in tenths of a second."""

    journal_waiting: int = 0
    hours: Mapping[str, float] = field(default_factory=dict)
    """How long each mode has lasted in all, in hours."""


def status_of(
    name: str,
    state: LadderState,
    now: Tenths,
    settings: LadderSettings,
    *,
    plan_step: PlanStep | None = None,
    cycles_left: int = 0,
    **street: Any,
) -> Status:
    """Tell how a cabinet stands.

    Args:
        name: of the cabinet.
        state: where its ladder stands.
        now: the instant, in tenths of a second.
        settings: of its ladder.
        plan_step: how far a plan has come that was ordered, as the last poll said.
        cycles_left: of a plan in transition, as the last poll said.
        street: whatever else is known of the fields of `Status`.
    """
    order = state.order
    step = plan_step.value if plan_step is not None and order is not None and isinstance(order.what, Plan) else ""
    return Status(
        cabinet=name,
        mode=state.mode.value,
        lasted=now - state.since,
        limit=cap(state, settings).value,
        faults=tuple(
            StandingFault(
                fault=cause.fault.value,
                what=FAULTS[cause.fault].what,
                detail=cause.detail,
                ago=now - cause.since,
                present=cause.present,
                latched=cause.latched,
            )
            for cause in state.causes
        ),
        order=None
        if order is None
        else StandingOrder(
            what=ordered(order.what),
            operator=order.operator,
            reason=order.reason,
            left=None if order.expires is None else order.expires - now,
            resumed=state.resumed,
            step=step,
            cycles_left=cycles_left if step == PlanStep.IN_TRANSITION.value else 0,
        ),
        hours={mode.value: round(spent / 36_000, 3) for mode, spent in zip(Mode, state.spent, strict=True)},
        **street,
    )


class Kind(Enum):
    """Whose fault an error is."""

    REJECTED = "rejected"
    """What was asked cannot be done, or was asked wrongly."""

    FAILED = "failed"
    """Ours."""


# ----- the loop's side -----------------------------------------------------------------------------------------------------------
class Commands(Protocol):
    """One cabinet's control loop, as operators reach it. Each method returns at once, and is called between two ticks."""

    def now(self) -> Tenths:
        """Read the ladder's clock, in tenths of a second."""
        ...

    def status(self) -> Status:
        """Tell how it stands."""
        ...

    def explain(self) -> Explanation:
        """Tell why."""
        ...

    def events(self, since: Stamp) -> Sequence[Record]:
        """Give the latest records that are kept in memory, from an instant on, in order (`Recent` keeps them)."""
        ...

    def submit(self, event: Event) -> Objection | None:
        """Let a person's wish happen, journal it with its answer, and tell what speaks against it."""
        ...


class Daemon(Protocol):
    """What the socket stands on."""

    @property
    def cabinets(self) -> Mapping[str, Commands]:
        """The loops, by the names of their cabinets."""
        ...

    async def reload(self) -> str:
        """Read cabinet.toml anew, and tell what was taken over.

        Raises:
            UserError: nothing was; it says why.
        """
        ...


class Recent:
    """The latest records of a journal, in memory."""

    def __init__(self, most: int = 2_000) -> None:
        self._kept: deque[Record] = deque(maxlen=most)

    def append(self, record: Record) -> None:
        """Keep a record; the oldest makes room."""
        self._kept.append(record)

    def since(self, stamp: Stamp) -> list[Record]:
        """Give those from an instant on, in order."""
        return [record for record in self._kept if record.at >= stamp]


class Peer(NamedTuple):
    """Who asks, as the kernel tells it."""

    pid: int
    uid: int
    gid: int


async def answer(line: bytes, daemon: Daemon, peer: Peer) -> bytes:
    """Answer one line by one line. Whatever goes wrong is answered, and nothing raised."""
    try:
        told = await _answer(from_line(line), daemon, peer)
        said: dict[str, object] = {"version": VERSION, "answer": told}
    except PhasewiseError as error:
        kind = Kind.REJECTED if isinstance(error, UserError) else Kind.FAILED
        said = {"version": VERSION, "error": str(error), "kind": kind.value}
    except Exception:  # noqa: BLE001  # the loop must not fall by a question
        _LOG.exception("a question could not be answered")
        said = {"version": VERSION, "error": "this should not have happened; the daemon's log says where", "kind": Kind.FAILED.value}
    return json.dumps(said, separators=(",", ":")).encode("ascii") + b"\n"


async def _answer(request: Request, daemon: Daemon, peer: Peer) -> object:
    if isinstance(request, AskReload):
        return {"reloaded": await daemon.reload()}
    cabinets = daemon.cabinets
    if request.cabinet is None:
        if isinstance(request, AskStatus):
            return [_told(commands.status()) for commands in cabinets.values()]
        if len(cabinets) != 1:
            raise ConfigError("which cabinet?", key="cabinet", allowed=", ".join(sorted(cabinets)))
        [commands] = cabinets.values()
    elif request.cabinet in cabinets:
        commands = cabinets[request.cabinet]
    else:
        said = f"no such cabinet{nearest(request.cabinet, cabinets)}"
        raise ConfigError(said, key="cabinet", value=request.cabinet, allowed=", ".join(sorted(cabinets)))
    if isinstance(request, Force) and isinstance(request.what, Flash):
        _require_no_other_flash(commands, cabinets)
    return _of(commands, request, peer)


def _require_no_other_flash(commands: Commands, cabinets: Mapping[str, Commands]) -> None:
    """Refuse to let a second signal flash by order: a whole corridor that flashes is nobody's plan. Raises ConfigError."""
    for name, other in cabinets.items():
        order = other.status().order
        if other is not commands and order is not None and order.what == ordered(Flash()):
            raise ConfigError(f"not done: one signal flashes at a time, and {name} does", key="cabinet", value=name)


def _of(commands: Commands, request: OfCabinet, peer: Peer) -> object:
    """Answer for one cabinet."""
    match request:
        case AskStatus():
            return [_told(commands.status())]
        case AskExplanation():
            return _told(commands.explain()) | {"text": str(commands.explain())}
        case AskEvents(since=since):
            found = commands.events(since)
            return {"records": [[NAMES[type(record)], *record] for record in found[:MOST_RECORDS]], "more": len(found) > MOST_RECORDS}
        case Limit() | Force() | Withdraw() | ReEnable() | ClearLockOut():
            objection = commands.submit(_event(request, _signed(request.operator, peer), commands.now()))
            if objection is not None:
                raise ConfigError(f"not done: {objection.value}")
            return _told(commands.status())
        case _:
            assert_never(request)


def _event(request: Limit | Force | Withdraw | ReEnable | ClearLockOut, operator: str, now: Tenths) -> Event:
    """Make the ladder's event of a wish."""
    match request:
        case Limit(mode=mode, reason=reason):
            return LimitSet(limit=mode, operator=operator, reason=reason)
        case Force(what=what, reason=reason, lasts=lasts):
            expires = None if lasts is None else now + lasts
            return OrderGiven(Order(what=what, operator=operator, reason=reason, expires=expires))
        case Withdraw(reason=reason):
            return OrderWithdrawn(operator=operator, reason=reason)
        case ReEnable(reason=reason):
            return ReEnabled(operator=operator, reason=reason)
        case ClearLockOut(place=place):
            return LockOutCleared(technician=operator, place=place)
        case _:
            assert_never(request)


def _signed(operator: str, peer: Peer) -> str:
    """Put beside the name that a person gave what the kernel knows of them."""
    return f"{operator} (uid {peer.uid})"


def _told(value: Any) -> dict[str, Any]:  # noqa: ANN401  # a dataclass of what JSON can hold
    return {key: _json(getattr(value, key)) for key in value.__slots__}


def _json(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case StandingFault() | StandingOrder():
            return _told(value)
        case tuple():
            return [_json(each) for each in value]
        case Mapping():
            return dict(value)
        case _:
            return value


# ----- the socket ----------------------------------------------------------------------------------------------------------------
class ControlSocket:
    """Listens at a path; used as `async with ControlSocket(...)`.

    Raises:
        SocketError: the socket cannot be made there.
    """

    def __init__(self, daemon: Daemon, path: Path, *, mode: int = 0o660, group: str | None = None, patience: float = PATIENCE) -> None:
        self.daemon, self.path, self.mode, self.group, self.patience = daemon, path, mode, group, patience
        self._server: asyncio.Server
        self._clients: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "ControlSocket":
        try:
            listener = self._bound()
        except (OSError, LookupError) as error:
            raise SocketError(f"cannot listen at {self.path}: {error}") from error
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=LONGEST_LINE, backlog=MOST_CLIENTS)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for client in tuple(self._clients):
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        with suppress(OSError):
            self.path.unlink()

    def _bound(self) -> socket.socket:
        """Bind with the right mode from the first instant on: at another name, moved into its place when it is ready."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not stat.S_ISSOCK(self.path.stat().st_mode):
            raise FileExistsError("there is a file that is no socket")
        if _answers(self.path):
            raise FileExistsError("another daemon listens there")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        fresh = self.path.with_name(f".{os.getpid()}")
        try:
            fresh.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                listener.bind(os.fspath(fresh))
            finally:
                os.umask(before)
            if self.group is not None:
                shutil.chown(fresh, group=self.group)
            fresh.chmod(self.mode)
            listener.listen(MOST_CLIENTS)
            os.replace(fresh, self.path)
        except BaseException:
            listener.close()
            fresh.unlink(missing_ok=True)
            raise
        return listener

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._clients) >= MOST_CLIENTS:
            writer.transport.abort()
            return
        self._clients.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, TimeoutError, ValueError, asyncio.CancelledError):
            pass  # a client that went, fell silent, or spoke without end, or the end of the socket: it is let go of, and told nothing
        finally:
            self._clients.discard(task)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of(writer.get_extra_info("socket"))
        writer.transport.set_write_buffer_limits(high=0)  # an answer is taken before the next question is heard
        while True:
            async with asyncio.timeout(self.patience):
                line = await reader.readline()
            if not line.endswith(b"\n"):
                return
            writer.write(await answer(line, self.daemon, peer))
            async with asyncio.timeout(self.patience):
                await writer.drain()


def _answers(path: Path) -> bool:
    """Tell whether somebody listens at a socket; one that a dead daemon left behind is nobody's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def peer_of(connection: socket.socket) -> Peer:
    """Ask the kernel who is on the other side of a Unix socket."""
    return Peer(*struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))))


# ----- the twin ------------------------------------------------------------------------------------------------------------------
class VirtualSocket:
    """The in-memory twin of a socket and its client. It imitates no file mode, no slow client and no lost connection."""

    def __init__(self, daemon: Daemon, peer: Peer | None = None) -> None:
        self.daemon, self.peer = daemon, peer or Peer(pid=0, uid=0, gid=0)

    async def ask(self, request: Request) -> dict[str, Any]:
        """Ask, and give the answer as it stands in its line."""
        said: dict[str, Any] = json.loads(await answer(to_line(request), self.daemon, self.peer))
        return said
