"""What a machine may know of the daemon, on loopback only: `/healthz` for a watcher, `/metrics` for Prometheus.

    Meters      counts what happens at one cabinet; the loop tells it
    Freshness   knows when each cabinet's loop last ticked; /healthz and the service's watchdog ask it
    serve       answers GET and HEAD over HTTP/1.1, one question a connection, all bounded

`/healthz` is 200 only while every cabinet's ticks are fresh, and 503 otherwise: a daemon that answers is not one that controls.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from controller._errors import SocketError
from controller.events import Fault, Mode
from controller.ticker import SECOND, Nanoseconds, Tick
from intersection.phase import Tenths

LONGEST_HEAD = 4_096
"""No question is longer, in bytes."""

MOST_CLIENTS = 8
PATIENCE = 5.0
"""How long a client may take to ask and to take its answer, in seconds."""

LAG_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Upper bounds of the classes of lag, in seconds."""


# ----- what is counted -----------------------------------------------------------------------------------------------------------
class Freshness:
    """When each cabinet's loop last ticked, and whether that is recent."""

    def __init__(self, cabinets: Sequence[str], bound: Nanoseconds = 2 * SECOND) -> None:
        """Begin without any tick; `bound` is how old a tick may be and still be fresh, in nanoseconds of the ticker's clock."""
        self.bound = bound
        self._last: dict[str, Nanoseconds | None] = dict.fromkeys(cabinets)

    def ticked(self, cabinet: str, now: Nanoseconds) -> None:
        """Note that a tick's work is done."""
        self._last[cabinet] = now

    def stale(self, now: Nanoseconds) -> tuple[str, ...]:
        """Name the cabinets without a fresh tick."""
        return tuple(name for name, last in self._last.items() if last is None or now - last > self.bound)


@dataclass(kw_only=True, slots=True)
class Meters:
    """What has happened at one cabinet since the daemon began, and how it stands."""

    mode: Mode = Mode.OFF
    spent: Mapping[Mode, Tenths] = field(default_factory=dict)
    """How long each mode has lasted in all, in tenths of a second (`controller.mode.time_in`)."""

    ticks: int = 0
    skipped: int = 0
    lag_classes: list[int] = field(default_factory=lambda: [0] * (len(LAG_BOUNDS) + 1))
    lag_sum: Nanoseconds = 0
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Decisions by verdict and reason."""

    faults: Counter[Fault] = field(default_factory=Counter)
    """How often each fault began."""

    standing: frozenset[Fault] = frozenset()
    """Those that are seen or latched now."""

    round_trip: float | None = None
    """Of the last reading, in seconds."""

    journal_waiting: int = 0
    journal_lost: int = 0

    def ticked(self, tick: Tick) -> None:
        """Count a tick."""
        self.ticks += 1
        self.skipped += tick.skipped
        self.lag_sum += tick.lag
        self.lag_classes[next((at for at, bound in enumerate(LAG_BOUNDS) if tick.lag <= bound * SECOND), len(LAG_BOUNDS))] += 1

    def decided(self, verdict: str, reason: str = "") -> None:
        """Count a decision. Both words are of closed lists: each pair is a series of its own for as long as the daemon runs."""
        self.verdicts[verdict, reason] += 1


# ----- Prometheus' text ----------------------------------------------------------------------------------------------------------
Labels: TypeAlias = Mapping[str, str]


class _Sample(NamedTuple):
    name: str
    labels: Labels
    value: float


class _Family(NamedTuple):
    name: str
    kind: str
    help: str
    samples: list[_Sample]


def exposition(meters: Mapping[str, Meters], stale: Sequence[str], resident: int) -> str:
    """Write all metrics in Prometheus' text format, version 0.0.4.

    Args:
        meters: of each cabinet, by its name.
        stale: the cabinets without a fresh tick.
        resident: the process's resident memory, in bytes.
    """
    lines = []
    for family in _families(meters, stale, resident):
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
        for sample in family.samples:
            labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sample.labels.items())
            lines.append(f"{sample.name}{{{labels}}} {sample.value:.10g}" if labels else f"{sample.name} {sample.value:.10g}")
    return "\n".join(lines) + "\n"


def _families(meters: Mapping[str, Meters], stale: Sequence[str], resident: int) -> Iterator[_Family]:
    def family(name: str, kind: str, words: str, values: Callable[[Meters], Mapping[tuple[tuple[str, str], ...], float]]) -> _Family:
        full = f"phasewise_{name}"
        samples = [
            _Sample(full, {"cabinet": cabinet, **dict(labels)}, value)
            for cabinet, each in meters.items()
            for labels, value in values(each).items()
        ]
        return _Family(full, kind, words, samples)

    yield _Family("process_resident_memory_bytes", "gauge", "Resident memory.", [_Sample("process_resident_memory_bytes", {}, resident)])
    fresh = [_Sample("phasewise_ticks_fresh", {"cabinet": name}, float(name not in stale)) for name in meters]
    yield _Family("phasewise_ticks_fresh", "gauge", "1 while the cabinet's loop ticks.", fresh)
    yield family("mode", "gauge", "1 for the mode in force.", lambda each: {(("mode", mode.value),): mode is each.mode for mode in Mode})
    yield family(
        "mode_hours_total",
        "counter",
        "Hours in each mode, restarts included.",
        lambda each: {(("mode", mode.value),): each.spent.get(mode, 0) / 36_000 for mode in Mode},
    )
    yield family("ticks_total", "counter", "Ticks.", lambda each: {(): each.ticks})
    yield family("ticks_skipped_total", "counter", "Ticks that were skipped, the loop being late.", lambda each: {(): each.skipped})
    yield _lag(meters)
    yield family(
        "decisions_total",
        "counter",
        "Decisions by what the gate made of them.",
        lambda each: {(("verdict", verdict), ("reason", reason)): count for (verdict, reason), count in sorted(each.verdicts.items())},
    )
    yield family(
        "faults_total",
        "counter",
        "How often each fault began.",
        lambda each: {(("fault", fault.value),): each.faults[fault] for fault in Fault},
    )
    yield family(
        "fault_standing",
        "gauge",
        "1 while a fault is seen or latched.",
        lambda each: {(("fault", fault.value),): 1 for fault in Fault if fault in each.standing},
    )
    yield family(
        "link_round_trip_seconds",
        "gauge",
        "Round trip of the last reading of the cabinet.",
        lambda each: {} if each.round_trip is None else {(): each.round_trip},
    )
    yield family("journal_waiting_records", "gauge", "Records not on the medium yet.", lambda each: {(): each.journal_waiting})
    yield family("journal_lost_records_total", "counter", "Records lost to a full or slow disk.", lambda each: {(): each.journal_lost})


def _lag(meters: Mapping[str, Meters]) -> _Family:
    name = "phasewise_tick_lag_seconds"
    samples = []
    for cabinet, each in meters.items():
        below = 0
        for bound, count in zip((*map(str, LAG_BOUNDS), "+Inf"), each.lag_classes, strict=True):
            below += count
            samples.append(_Sample(f"{name}_bucket", {"cabinet": cabinet, "le": bound}, below))
        samples += [
            _Sample(f"{name}_sum", {"cabinet": cabinet}, each.lag_sum / SECOND),
            _Sample(f"{name}_count", {"cabinet": cabinet}, below),
        ]
    return _Family(name, "histogram", "By how much ticks began late.", samples)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resident_memory() -> int:
    """Read the process's resident memory, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


# ----- HTTP ----------------------------------------------------------------------------------------------------------------------
class Page(NamedTuple):
    """What is at a path."""

    status: str
    kind: str
    body: str


class Health:
    """The pages of one daemon."""

    def __init__(self, meters: Mapping[str, Meters], freshness: Freshness, clock: Callable[[], Nanoseconds]) -> None:
        self.meters, self.freshness, self.clock = meters, freshness, clock

    def page(self, path: str) -> Page | None:
        """Give what is at a path, or None."""
        stale = self.freshness.stale(self.clock())
        if path == "/healthz":
            said = json.dumps({"healthy": not stale, "stale": list(stale)}) + "\n"
            return Page("503 Service Unavailable" if stale else "200 OK", "application/json", said)
        if path == "/metrics":
            return Page("200 OK", "text/plain; version=0.0.4; charset=utf-8", exposition(self.meters, stale, resident_memory()))
        return None


def respond(head: bytes, health: Health) -> bytes:
    """Answer the head of an HTTP request."""
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return _response(Page("400 Bad Request", "text/plain", "not a request\n"))
    method, target, _ = words
    if method not in (b"GET", b"HEAD"):
        return _response(Page("405 Method Not Allowed", "text/plain", "this only tells\n"), extra="Allow: GET, HEAD\r\n")
    page = health.page(target.split(b"?", 1)[0].decode("latin-1"))
    return _response(page or Page("404 Not Found", "text/plain", "/healthz or /metrics\n"), body=method == b"GET")


def _response(page: Page, *, body: bool = True, extra: str = "") -> bytes:
    content = page.body.encode()
    head = f"HTTP/1.1 {page.status}\r\nContent-Type: {page.kind}\r\nContent-Length: {len(content)}\r\n{extra}Connection: close\r\n\r\n"
    return head.encode() + (content if body else b"")


@asynccontextmanager
async def serve(health: Health, port: int, *, patience: float = PATIENCE) -> AsyncIterator[int]:
    """Answer on loopback while the block runs; it gets the port, which the system chooses for 0.

    Raises:
        SocketError: the port cannot be had.
    """
    clients: set[asyncio.Task[None]] = set()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(clients) >= MOST_CLIENTS:
            writer.transport.abort()
            return
        clients.add(task)
        try:
            async with asyncio.timeout(patience):
                writer.write(respond(await reader.readuntil(b"\r\n\r\n"), health))
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # a client that fell silent or never ended, or our own end: it is let go of
        finally:
            clients.discard(task)
            writer.transport.abort()

    try:
        server = await asyncio.start_server(client, "127.0.0.1", port, limit=LONGEST_HEAD, backlog=MOST_CLIENTS)
    except OSError as error:
        raise SocketError(f"cannot listen on port {port} of loopback: {error.strerror or error}") from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(clients):
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
