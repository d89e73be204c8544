"""A bad wire, for tests: stands on loopback between a daemon and a cabinet, and loses, delays, doubles, reorders, spoils or cuts.

`UdpProxy` carries datagrams (SNMP), `TcpProxy` streams (Modbus). The weather of each way can be changed at any time. What befalls the nth
message of a way depends on the seed, the weather and n alone; when it arrives is up to the machine's load.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from random import Random
from types import TracebackType
from typing import NamedTuple, Self, TypeAlias

from field_adapters._errors import LinkError
from intersection.errors import ConfigError

Address: TypeAlias = tuple[str, int]

LOOPBACK = "127.0.0.1"

CLIENTS = 64
"""How many clients a UDP proxy knows apart; beyond that it forgets the one that came first."""

CHUNK = 65_536
"""The longest datagram, and how much of a stream is taken at a time, in octets."""


class Way(Enum):
    """A direction."""

    THERE = "there"
    """From the daemon to the cabinet."""

    BACK = "back"
    """From the cabinet to the daemon."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """What befalls datagrams.

    Raises:
        ConfigError: a share or a time is out of its range.
    """

    lost: float = 0.0
    """Share that never arrives."""

    delay: float = 0.0
    """How long each is on its way, in seconds."""

    jitter: float = 0.0
    """Up to how much longer, in seconds, drawn evenly; what is sent later may so arrive earlier."""

    doubled: float = 0.0
    """Share that arrives twice."""

    reordered: float = 0.0
    """Share that is held back by `held` besides, so that what follows overtakes it."""

    held: float = 0.05
    """In seconds."""

    corrupted: float = 0.0
    """Share in which one octet is another one."""

    cut: bool = False
    """Whether nothing arrives at all."""

    def __post_init__(self) -> None:
        _check(self, shares=("lost", "doubled", "reordered", "corrupted"), times=("delay", "jitter", "held"))


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamWeather:
    """What befalls a stream.

    Raises:
        ConfigError: a share or a time is out of its range.
    """

    delay: float = 0.0
    """How long each piece is on its way, in seconds."""

    jitter: float = 0.0
    """Up to how much longer, in seconds; a stream keeps its order."""

    corrupted: float = 0.0
    """Share of the pieces in which one octet is another one."""

    stalled: bool = False
    """Whether everything is held, to go on where it was."""

    def __post_init__(self) -> None:
        _check(self, shares=("corrupted",), times=("delay", "jitter"))


def _check(weather: Weather | StreamWeather, shares: tuple[str, ...], times: tuple[str, ...]) -> None:
    bounds = {**dict.fromkeys(shares, 1.0), **dict.fromkeys(times, float("inf"))}
    for name, most in bounds.items():
        value = getattr(weather, name)
        if not 0.0 <= value <= most or value == float("inf"):
            raise ConfigError("is out of its range", key=name, value=value, allowed="0..1" if most == 1.0 else "0 or more seconds")


class Arrival(NamedTuple):
    """What comes out of the wire."""

    after: float
    """How long after it went in, in seconds."""

    data: bytes


def arrivals(data: bytes, weather: Weather, lots: Random) -> list[Arrival]:
    """Say what becomes of a datagram. As many lots are drawn in every weather, so that a change of it does not change the next ones."""
    lost, doubled, reordered, corrupted, jitter, again = (lots.random() for _ in range(6))
    spoilt = _spoil(data, Random(lots.random()))
    if weather.cut or lost < weather.lost:
        return []
    after = weather.delay + jitter * weather.jitter + (weather.held if reordered < weather.reordered else 0.0)
    found = [Arrival(after, spoilt if corrupted < weather.corrupted else data)]
    if doubled < weather.doubled:
        found.append(Arrival(weather.delay + again * weather.jitter, data))
    return found


def _spoil(data: bytes, lots: Random) -> bytes:
    """Change one octet of a message."""
    if not data:
        return data
    at = lots.randrange(len(data))
    return data[:at] + bytes((data[at] ^ lots.randrange(1, 256),)) + data[at + 1 :]


class _Proxy:
    """What both kinds have in common: a port on loopback, and a fortune for each way."""

    def __init__(self, target: Address, *, port: int, seed: int) -> None:
        self.target, self.address = target, (LOOPBACK, port)
        self.taken = dict.fromkeys(Way, 0)
        """How many messages, or pieces of a stream, have come in, each way."""

        self.passed = dict.fromkeys(Way, 0)
        """How many have gone out."""

        self._lots = {way: Random(f"{seed} {way.value}") for way in Way}


class UdpProxy(_Proxy):
    """Carries datagrams between any number of clients and one target.

        async with UdpProxy(agent.address) as proxy:
            proxy.there = Weather(lost=0.2)

    Attributes:
        address: where clients find it.
        there, back: the weather each way.
    """

    def __init__(self, target: Address, *, port: int = 0, seed: int = 0) -> None:
        super().__init__(target, port=port, seed=seed)
        self.there = self.back = Weather()
        self._clients: dict[Address, socket.socket] = {}
        self._on_the_way: set[asyncio.TimerHandle] = set()
        self._front: socket.socket | None = None

    async def __aenter__(self) -> Self:
        """Listen. Raises LinkError where the port is taken."""
        self._front = _socket()
        try:
            self._front.bind(self.address)
        except OSError as error:
            self._front.close()
            raise LinkError(f"nothing can listen at {LOOPBACK}:{self.address[1]} ({error.strerror})") from error
        self.address = self._front.getsockname()
        asyncio.get_running_loop().add_reader(self._front, self._take_requests, self._front)
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and forget what is on the way. Twice does no harm."""
        for handle in self._on_the_way:
            handle.cancel()
        self._on_the_way.clear()
        for client in list(self._clients):
            self._forget(client)
        if self._front is not None:
            _shut(self._front)
        self._front = None

    def set(self, weather: Weather) -> None:
        """Let both ways have the same weather."""
        self.there = self.back = weather

    def _take_requests(self, front: socket.socket) -> None:
        for data, client in _received(front):
            if client not in self._clients:
                self._know(client, front)
            self._carry(Way.THERE, data, self._clients[client].send)

    def _know(self, client: Address, front: socket.socket) -> None:
        if len(self._clients) >= CLIENTS:
            self._forget(next(iter(self._clients)))
        back = _socket()
        back.connect(self.target)
        asyncio.get_running_loop().add_reader(back, self._take_answers, back, partial(_send_to, front, client))
        self._clients[client] = back

    def _take_answers(self, back: socket.socket, send: Callable[[bytes], object]) -> None:
        for data, _ in _received(back):
            self._carry(Way.BACK, data, send)

    def _forget(self, client: Address) -> None:
        _shut(self._clients.pop(client))

    def _carry(self, way: Way, data: bytes, send: Callable[[bytes], object]) -> None:
        self.taken[way] += 1
        for after, arriving in arrivals(data, self.there if way is Way.THERE else self.back, self._lots[way]):
            if after:
                self._later(after, way, arriving, send)
            else:
                self._hand_on(way, arriving, send)

    def _later(self, after: float, way: Way, data: bytes, send: Callable[[bytes], object]) -> None:
        def arrive() -> None:
            self._on_the_way.discard(handle)
            self._hand_on(way, data, send)

        handle = asyncio.get_running_loop().call_later(after, arrive)
        self._on_the_way.add(handle)

    def _hand_on(self, way: Way, data: bytes, send: Callable[[bytes], object]) -> None:
        with suppress(OSError):  # nobody listens there any more: a datagram is lost without a word
            send(data)
            self.passed[way] += 1


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def _shut(open_: socket.socket) -> None:
    asyncio.get_running_loop().remove_reader(open_)
    open_.close()


def _send_to(front: socket.socket, client: Address, data: bytes) -> int:
    return front.sendto(data, client)


def _received(ready: socket.socket) -> list[tuple[bytes, Address]]:
    """Take all datagrams that are there; that nobody listens at the other end is none."""
    found = []
    while True:
        try:
            found.append(ready.recvfrom(CHUNK))
        except ConnectionRefusedError:
            continue
        except OSError:
            return found


class TcpProxy(_Proxy):
    """Carries streams between any number of clients and one target.

        async with TcpProxy(("127.0.0.1", server.port)) as proxy:
            proxy.back = StreamWeather(stalled=True)
            proxy.reset()

    Attributes:
        address: where clients find it.
    """

    def __init__(self, target: Address, *, port: int = 0, seed: int = 0) -> None:
        super().__init__(target, port=port, seed=seed)
        self._weather = dict.fromkeys(Way, StreamWeather())
        self._moving = {way: asyncio.Event() for way in Way}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        for moving in self._moving.values():
            moving.set()

    @property
    def there(self) -> StreamWeather:
        """The weather from the daemon to the cabinet."""
        return self._weather[Way.THERE]

    @there.setter
    def there(self, weather: StreamWeather) -> None:
        self._change(Way.THERE, weather)

    @property
    def back(self) -> StreamWeather:
        """The weather from the cabinet to the daemon."""
        return self._weather[Way.BACK]

    @back.setter
    def back(self, weather: StreamWeather) -> None:
        self._change(Way.BACK, weather)

    def set(self, weather: StreamWeather) -> None:
        """Let both ways have the same weather."""
        self.there = self.back = weather

    async def __aenter__(self) -> Self:
        """Listen. Raises LinkError where the port is taken."""
        await self.mend()
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        await self.cut()

    def reset(self) -> None:
        """Break every connection off: both ends see a reset. New ones are taken."""
        for writer in list(self._writers):
            open_ = writer.get_extra_info("socket")
            with suppress(OSError):
                open_.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def cut(self) -> None:
        """Break every connection off and refuse new ones, until `mend`. Twice does no harm."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def mend(self) -> None:
        """Take connections, at the same port as before. Raises LinkError where it is taken."""
        if self._server is None:
            try:
                self._server = await asyncio.start_server(self._serve, *self.address)
            except OSError as error:
                raise LinkError(f"nothing can listen at {LOOPBACK}:{self.address[1]} ({error.strerror})") from error
            self.address = self._server.sockets[0].getsockname()

    def _change(self, way: Way, weather: StreamWeather) -> None:
        self._weather[way] = weather
        if weather.stalled:
            self._moving[way].clear()
        else:
            self._moving[way].set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        writers = [writer]
        self._writers.add(writer)
        try:
            target_reader, target_writer = await asyncio.open_connection(*self.target)
            writers.append(target_writer)
            self._writers.add(target_writer)
            async with asyncio.TaskGroup() as group:
                for way, source, sink in ((Way.THERE, reader, target_writer), (Way.BACK, target_reader, writer)):
                    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CLIENTS)
                    group.create_task(self._take(way, source, pieces))
                    group.create_task(self._give(way, pieces, sink))
        except* (OSError, asyncio.CancelledError):
            pass  # an end that is gone, or a wire that is cut, ends the connection and nothing else
        finally:
            for each in writers:
                self._writers.discard(each)
                each.transport.abort()
            if task is not None:
                self._tasks.discard(task)

    async def _take(self, way: Way, source: asyncio.StreamReader, pieces: "asyncio.Queue[tuple[float, bytes]]") -> None:
        """Take pieces of a stream in, each with the instant from which on it may arrive; an empty one is its end."""
        lots, loop = self._lots[way], asyncio.get_running_loop()
        while True:
            data = await source.read(CHUNK)
            self.taken[way] += 1
            weather = self._weather[way]
            jitter, corrupted, spoilt = lots.random(), lots.random(), _spoil(data, Random(lots.random()))
            arrives = loop.time() + weather.delay + jitter * weather.jitter
            await pieces.put((arrives, spoilt if corrupted < weather.corrupted else data))
            if not data:
                return

    async def _give(self, way: Way, pieces: "asyncio.Queue[tuple[float, bytes]]", sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            arrives, data = await pieces.get()
            await asyncio.sleep(max(0.0, arrives - loop.time()))
            await self._moving[way].wait()
            if not data:
                sink.write_eof()
                return
            sink.write(data)
            self.passed[way] += 1
            await sink.drain()
