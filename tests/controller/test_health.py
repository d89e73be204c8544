import asyncio
import json
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller._errors import SocketError
from controller.events import Fault, Mode
from controller.health import LONGEST_HEAD, MOST_CLIENTS, Freshness, Health, Meters, exposition, resident_memory, respond, serve
from controller.ticker import SECOND, Tick

MS = SECOND // 1_000


def metered() -> Meters:
    """Return the meters of a cabinet at which something has happened."""
    meters = Meters(mode=Mode.ADAPTIVE, spent={Mode.ADAPTIVE: 72_000, Mode.RELEASED: 36_000}, round_trip=0.0125, journal_waiting=3)
    for lag, skipped in ((0, 0), (1 * MS, 0), (1 * MS + 1, 0), (1_500 * MS, 15)):
        meters.ticked(Tick(0, lag, skipped, None))
    meters.decided("granted")
    meters.decided("amended", "minimum green still running")
    meters.decided("amended", "minimum green still running")
    meters.faults[Fault.LINK_LOST] += 2
    meters.standing = frozenset({Fault.LINK_LOST})
    return meters


def health(*, fresh: bool = True) -> Health:
    """Return the pages of a daemon with one cabinet."""
    freshness = Freshness(["main"])
    freshness.ticked("main", 10 * SECOND)
    return Health({"main": metered()}, freshness, lambda: (11 if fresh else 13) * SECOND)


def values(text: str) -> dict[str, float]:
    """Read the samples of an exposition, as Prometheus does."""
    samples = (re.fullmatch(r"([a-z_]+(?:\{.*\})?) (\S+)", line) for line in text.splitlines() if not line.startswith("#"))
    return {sample[1]: float(sample[2]) for sample in samples if sample is not None}


# ----- freshness -----------------------------------------------------------------------------------------------------------------
def test_a_loop_that_has_never_ticked_is_not_fresh() -> None:
    """Before its first tick a cabinet counts as stale."""
    assert ("main",) == Freshness(["main"]).stale(0)


def test_ticks_grow_stale_just_beyond_the_bound() -> None:
    """A tick is fresh up to the bound; of several cabinets the stale ones are named."""
    freshness = Freshness(["main", "side"], bound=2 * SECOND)
    freshness.ticked("main", 0)
    freshness.ticked("side", 1)

    assert ((), ("main",), ("main", "side")) == tuple(freshness.stale(2 * SECOND + late) for late in (0, 1, 2))


# ----- metrics -------------------------------------------------------------------------------------------------------------------
def test_every_metric_is_told() -> None:
    """Mode, hours, ticks, lag, decisions, faults, link, journal and memory stand in Prometheus' text, by cabinet."""
    told = values(exposition({"main": metered()}, (), 5_000_000))
    wanted = {
        "process_resident_memory_bytes": 5_000_000,
        'phasewise_ticks_fresh{cabinet="main"}': 1,
        'phasewise_mode{cabinet="main",mode="adaptive"}': 1,
        'phasewise_mode{cabinet="main",mode="fixed time"}': 0,
        'phasewise_mode_hours_total{cabinet="main",mode="adaptive"}': 2,
        'phasewise_mode_hours_total{cabinet="main",mode="off"}': 0,
        'phasewise_ticks_total{cabinet="main"}': 4,
        'phasewise_ticks_skipped_total{cabinet="main"}': 15,
        'phasewise_tick_lag_seconds_bucket{cabinet="main",le="0.001"}': 2,
        'phasewise_tick_lag_seconds_bucket{cabinet="main",le="0.002"}': 3,
        'phasewise_tick_lag_seconds_bucket{cabinet="main",le="1.0"}': 3,
        'phasewise_tick_lag_seconds_bucket{cabinet="main",le="+Inf"}': 4,
        'phasewise_tick_lag_seconds_sum{cabinet="main"}': 1.502000001,
        'phasewise_tick_lag_seconds_count{cabinet="main"}': 4,
        'phasewise_decisions_total{cabinet="main",verdict="granted",reason=""}': 1,
        'phasewise_decisions_total{cabinet="main",verdict="amended",reason="minimum green still running"}': 2,
        'phasewise_faults_total{cabinet="main",fault="link lost"}': 2,
        'phasewise_faults_total{cabinet="main",fault="police"}': 0,
        'phasewise_fault_standing{cabinet="main",fault="link lost"}': 1,
        'phasewise_link_round_trip_seconds{cabinet="main"}': 0.0125,
        'phasewise_journal_waiting_records{cabinet="main"}': 3,
        'phasewise_journal_lost_records_total{cabinet="main"}': 0,
    }

    assert wanted == {key: told.get(key) for key in wanted}


def test_every_sample_belongs_to_a_family() -> None:
    """Each line is a sample under the HELP and TYPE of its own family, no family stands twice, and no sample does."""
    text = exposition({"main": metered(), "side": Meters()}, ("side",), 1)
    families = re.findall(r"^# HELP (\S+) .+\n# TYPE \1 (?:gauge|counter|histogram)$", text, re.MULTILINE)
    samples = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]

    assert len(set(families)) == len(families) == text.count("# HELP")
    assert len(set(samples)) == len(samples)
    assert all(any(sample.startswith(family) for family in families) for sample in samples)
    assert 'phasewise_link_round_trip_seconds{cabinet="side"}' not in text


def test_labels_are_escaped() -> None:
    """A quotation mark, a backslash and a line's end in a label break no line."""
    assert 'phasewise_ticks_total{cabinet="a\\"b\\\\c\\nd"} 0' in exposition({'a"b\\c\nd': Meters()}, (), 1)


def test_memory_is_that_of_this_process() -> None:
    """The resident memory is some megabytes, in bytes."""
    assert 10 << 20 < resident_memory() < 4 << 30


# ----- HTTP ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("head", "status", "body"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", "200 OK", '{"healthy": true, "stale": []}\n'),
        (b"GET /healthz?x=1 HTTP/1.0\r\nHost: x\r\n\r\n", "200 OK", '{"healthy": true, "stale": []}\n'),
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", "200 OK", ""),
        (b"GET / HTTP/1.1\r\n\r\n", "404 Not Found", "/healthz or /metrics\n"),
        (b"POST /healthz HTTP/1.1\r\n\r\n", "405 Method Not Allowed", "this only tells\n"),
        (b"GET /healthz\r\n\r\n", "400 Bad Request", "not a request\n"),
        (b"GET /healthz SSH/2.0\r\n\r\n", "400 Bad Request", "not a request\n"),
        (b"\xff\xfe\r\n\r\n", "400 Bad Request", "not a request\n"),
    ],
)
def test_each_question_gets_its_answer(head: bytes, status: str, body: str) -> None:
    """Two pages can be had by two methods, and all else is told what it is."""
    answer, _, content = respond(head, health()).decode().partition("\r\n\r\n")

    assert (f"HTTP/1.1 {status}", body) == (answer.splitlines()[0], content)
    assert "Connection: close" in answer


def test_healthz_fails_while_ticks_are_stale() -> None:
    """A daemon that answers but whose loop stands still is not healthy, and says which cabinet it is."""
    answer, _, content = respond(b"GET /healthz HTTP/1.1\r\n\r\n", health(fresh=False)).decode().partition("\r\n\r\n")

    assert ("HTTP/1.1 503 Service Unavailable", {"healthy": False, "stale": ["main"]}) == (answer.splitlines()[0], json.loads(content))


@given(st.binary(max_size=100))
def test_no_head_makes_the_responder_fall(head: bytes) -> None:
    """Whatever comes in, an answer goes out."""
    assert respond(head, health()).startswith(b"HTTP/1.1 ")


def served(client: Callable[[int], Awaitable[Any]], *, patience: float = 5.0) -> Any:  # noqa: ANN401  # whatever the client gives
    """Let a client do its work, within a bound."""

    async def run() -> Any:  # noqa: ANN401
        async with asyncio.timeout(10), serve(health(), 0, patience=patience) as port:
            return await client(port)

    return asyncio.run(run())


async def ask(port: int, said: bytes, *, end: bool = False) -> bytes:
    """Say something, and hear until it is hung up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(said)
        if end:
            writer.write_eof()
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def test_others_clients_are_served() -> None:
    """The standard library's client gets its pages, and its error for what is not there."""

    def fetch(port: int) -> tuple[int, str, int]:
        url = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
            status, kind = answer.status, answer.headers["Content-Type"]
            assert "phasewise_ticks_total" in answer.read().decode()
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(f"{url}/other", timeout=5)
        raised.value.close()
        return status, kind, raised.value.code

    async def client(port: int) -> tuple[int, str, int]:
        return await asyncio.to_thread(fetch, port)

    assert (200, "text/plain; version=0.0.4; charset=utf-8", 404) == served(client)


@pytest.mark.parametrize(
    ("said", "end"), [(b"", False), (b"GET /healthz HTTP/1.1\r\n", False), (b"GET /hea", True), (b"x" * (2 * LONGEST_HEAD + 1), False)]
)
def test_a_bad_client_is_let_go_of(said: bytes, *, end: bool) -> None:
    """Who is silent, stops midway or never ends is hung up on without an answer, and the next is served."""

    async def client(port: int) -> tuple[bytes, bytes]:
        return await ask(port, said, end=end), await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")

    first, second = served(client, patience=0.05)

    assert (b"", True) == (first, second.startswith(b"HTTP/1.1 200 OK\r\n"))


def test_no_more_clients_than_the_bound() -> None:
    """One client more than the bound is hung up on."""

    async def client(port: int) -> bytes:
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_CLIENTS)]
        over = await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")
        for _, writer in kept:
            writer.close()
        return over

    assert b"" == served(client)


def test_it_listens_on_loopback_only() -> None:
    """No other address of the machine answers."""

    async def client(port: int) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.2", port))

    assert served(client) is None


def test_a_port_that_is_taken_is_told() -> None:
    """Where another program holds the port, the error says so."""

    async def run() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            async with serve(health(), taken.getsockname()[1]):
                pass

    with pytest.raises(SocketError, match="cannot listen on port"):
        asyncio.run(run())
