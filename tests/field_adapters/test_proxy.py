import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import cast

import pytest

from field_adapters._errors import LinkError
from field_adapters.simulated.proxy import Arrival, StreamWeather, TcpProxy, UdpProxy, Way, Weather, arrivals
from intersection.errors import ConfigError

PATIENCE = 5.0
"""Seconds within which what can arrive on loopback arrives."""

HELLO = b"hello, cabinet"


async def taken(proxy: UdpProxy | TcpProxy, way: Way, count: int) -> None:
    """Wait until a proxy has taken so much in."""
    async with asyncio.timeout(PATIENCE):
        while proxy.taken[way] < count:
            await asyncio.sleep(0)


# --- what becomes of one datagram ----------------------------------------------------------------------------------------------------
def fates(weather: Weather, seed: int = 1, count: int = 2000) -> list[list[Arrival]]:
    """Send many datagrams into a weather."""
    lots = Random(seed)
    return [arrivals(HELLO, weather, lots) for _ in range(count)]


def test_in_fair_weather_everything_arrives_at_once_and_whole() -> None:
    """A proxy that is asked for nothing changes nothing."""
    assert [[Arrival(0.0, HELLO)]] * 2000 == fates(Weather())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_asked_share_is_lost(share: float) -> None:
    """Of many, so many never arrive."""
    found = fates(Weather(lost=share))

    assert pytest.approx(share, abs=0.03) == sum(not each for each in found) / len(found)


def test_a_delay_is_the_same_for_all_and_jitter_is_not() -> None:
    """Each is on its way at least for the delay, and at most for the jitter longer."""
    after = [one.after for each in fates(Weather(delay=0.1, jitter=0.05)) for one in each]

    assert 0.1 <= min(after) < 0.105
    assert 0.145 < max(after) <= 0.15


def test_the_asked_share_arrives_twice() -> None:
    """Both copies are whole."""
    found = fates(Weather(doubled=0.25))

    assert {HELLO} == {one.data for each in found for one in each}
    assert pytest.approx(0.25, abs=0.03) == sum(len(each) == 2 for each in found) / len(found)


def test_the_asked_share_is_overtaken() -> None:
    """So many are held back for the time that is given."""
    after = [one.after for each in fates(Weather(reordered=0.25, held=0.2)) for one in each]

    assert {0.0, 0.2} == set(after)
    assert pytest.approx(0.25, abs=0.03) == after.count(0.2) / len(after)


def test_the_asked_share_arrives_with_one_octet_changed() -> None:
    """A spoilt datagram keeps its length."""
    data = [one.data for each in fates(Weather(corrupted=0.25)) for one in each]
    changed = [sum(a != b for a, b in zip(each, HELLO, strict=True)) for each in data]

    assert {0, 1} == set(changed)
    assert pytest.approx(0.25, abs=0.03) == changed.count(1) / len(changed)
    assert [Arrival(0.0, b"")] == arrivals(b"", Weather(corrupted=1.0), Random(1))


def test_nothing_passes_a_cut() -> None:
    """Whatever else the weather is."""
    assert [[]] * 2000 == fates(Weather(cut=True, doubled=1.0))


def test_the_same_seed_gives_the_same_weather_whatever_it_was_before() -> None:
    """A change of the weather does not change what befalls the messages after it."""
    lots = Random(7)
    for _ in range(10):
        arrivals(HELLO, Weather(cut=True), lots)
    after_a_cut = [arrivals(HELLO, Weather(lost=0.5), lots) for _ in range(100)]

    assert fates(Weather(lost=0.5), seed=7, count=110)[10:] == after_a_cut


@pytest.mark.parametrize(
    ("weather", "key", "value"),
    [(Weather, "lost", 1.5), (Weather, "delay", -1.0), (StreamWeather, "corrupted", float("nan")), (StreamWeather, "jitter", float("inf"))],
)
def test_weather_stays_within_its_bounds(weather: type, key: str, value: float) -> None:
    """A share lies between 0 and 1, a time is not negative and ends."""
    with pytest.raises(ConfigError) as told:
        weather(**{key: value})

    assert key in str(told.value)


# --- datagrams -----------------------------------------------------------------------------------------------------------------------
class Heard(asyncio.DatagramProtocol):
    """Keeps what it hears, and answers each message by itself where it is to echo."""

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        """Keep a message."""
        self.heard.put_nowait(data)
        if self.echo and self.transport is not None:
            self.transport.sendto(data, address)

    def say(self, *messages: bytes) -> None:
        """Send messages to whom this end is connected to."""
        for message in messages:
            if self.transport is not None:
                self.transport.sendto(message)

    async def hear(self, count: int) -> list[bytes]:
        """Wait for so many messages."""
        async with asyncio.timeout(PATIENCE):
            return [await self.heard.get() for _ in range(count)]


@asynccontextmanager
async def over_udp(seed: int = 3) -> AsyncIterator[tuple[Heard, UdpProxy, Heard]]:
    """Put a proxy between a client and an echo."""
    loop = asyncio.get_running_loop()
    server, cabinet = await loop.create_datagram_endpoint(lambda: Heard(echo=True), local_addr=("127.0.0.1", 0))
    async with UdpProxy(server.get_extra_info("sockname"), seed=seed) as proxy:
        client, daemon = await loop.create_datagram_endpoint(Heard, remote_addr=proxy.address)
        try:
            yield daemon, proxy, cabinet
        finally:
            client.close()
            server.close()


def test_datagrams_go_there_and_back() -> None:
    """Each client hears its own answers."""

    async def go() -> None:
        async with over_udp() as (daemon, proxy, _):
            other, second = await asyncio.get_running_loop().create_datagram_endpoint(Heard, remote_addr=proxy.address)
            daemon.say(b"1", b"2")
            second.say(b"3")

            assert [b"1", b"2"] == await daemon.hear(2)
            assert [b"3"] == await second.hear(1)
            assert {Way.THERE: 3, Way.BACK: 3} == proxy.passed
            other.close()

    asyncio.run(go())


def test_each_way_has_its_own_weather_and_it_can_change() -> None:
    """With the way back cut, the cabinet hears and nobody learns of it; afterwards all is as before."""

    async def go() -> None:
        async with over_udp() as (daemon, proxy, cabinet):
            proxy.back = Weather(cut=True)
            daemon.say(b"1")
            assert [b"1"] == await cabinet.hear(1)
            await taken(proxy, Way.BACK, 1)
            proxy.set(Weather(delay=0.001))
            daemon.say(b"2")

            assert [b"2"] == await daemon.hear(1)
            proxy.there = Weather(cut=True)
            daemon.say(b"3")
            await taken(proxy, Way.THERE, 3)
            proxy.there = Weather()
            daemon.say(b"4")

            assert [b"2", b"4"] == await cabinet.hear(2)

    asyncio.run(go())


def test_a_held_datagram_is_overtaken() -> None:
    """What was sent first arrives last."""

    async def go() -> None:
        async with over_udp() as (daemon, proxy, cabinet):
            proxy.there = Weather(reordered=1.0, held=0.02)
            daemon.say(b"1")
            await taken(proxy, Way.THERE, 1)
            proxy.there = Weather()
            daemon.say(b"2")

            assert [b"2", b"1"] == await cabinet.hear(2)

    asyncio.run(go())


def test_the_same_seed_loses_the_same_datagrams() -> None:
    """Two runs hear the same, and other than a third with another seed."""

    async def run(seed: int) -> list[bytes]:
        async with over_udp(seed) as (daemon, proxy, cabinet):
            proxy.there = Weather(lost=0.5)
            for number in range(40):
                daemon.say(bytes((number,)))
            await taken(proxy, Way.THERE, 40)
            return await cabinet.hear(proxy.passed[Way.THERE])

    first, again, other = (asyncio.run(run(seed)) for seed in (1, 1, 2))

    assert first == again != other


def test_a_proxy_forgets_the_oldest_client() -> None:
    """However many ports a client comes from, the number of open sockets is bounded."""

    async def go() -> None:
        async with over_udp() as (_, proxy, cabinet):
            for number in range(70):
                transport, client = await asyncio.get_running_loop().create_datagram_endpoint(Heard, remote_addr=proxy.address)
                client.say(bytes((number,)))
                await cabinet.hear(1)
                transport.close()

            assert 64 == len(proxy._clients)

    asyncio.run(go())


def test_a_target_that_is_not_there_is_silence() -> None:
    """The proxy goes on, and carries as soon as somebody listens."""

    async def go() -> None:
        loop = asyncio.get_running_loop()
        server, _ = await loop.create_datagram_endpoint(Heard, local_addr=("127.0.0.1", 0))
        address = server.get_extra_info("sockname")
        server.close()
        await asyncio.sleep(0)
        async with UdpProxy(address) as proxy:
            client, daemon = await loop.create_datagram_endpoint(Heard, remote_addr=proxy.address)
            daemon.say(b"1")
            await taken(proxy, Way.THERE, 1)
            server, cabinet = await loop.create_datagram_endpoint(lambda: Heard(echo=True), local_addr=address)
            daemon.say(b"2", b"3")

            assert b"3" in await cabinet.hear(2)
            client.close()
            server.close()

    asyncio.run(go())


def test_what_is_on_the_way_when_a_proxy_closes_is_lost() -> None:
    """Nothing is sent afterwards, and closing twice does no harm."""

    async def go() -> None:
        async with over_udp() as (daemon, proxy, cabinet):
            proxy.there = Weather(delay=60.0)
            daemon.say(b"1")
            await taken(proxy, Way.THERE, 1)
            proxy.close()
            proxy.close()

            assert 0 == proxy.passed[Way.THERE]
            assert cabinet.heard.empty()

    asyncio.run(go())


def test_a_port_that_is_taken_is_told() -> None:
    """For both kinds of wire."""

    async def go() -> None:
        async with UdpProxy(("127.0.0.1", 9)) as first, TcpProxy(("127.0.0.1", 9)) as stream:
            with pytest.raises(LinkError, match="nothing can listen"):
                await UdpProxy(("127.0.0.1", 9), port=first.address[1]).__aenter__()
            with pytest.raises(LinkError, match="nothing can listen"):
                await TcpProxy(("127.0.0.1", 9), port=stream.address[1]).__aenter__()

    asyncio.run(go())


# --- streams -------------------------------------------------------------------------------------------------------------------------
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1000):
            writer.write(data)
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def over_tcp() -> AsyncIterator[tuple[TcpProxy, Callable[[], Awaitable[Client]]]]:
    """Put a proxy before an echo, and give a way to connect."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> Client:
        client = await asyncio.open_connection(*proxy.address)
        writers.append(client[1])
        return client

    try:
        async with asyncio.timeout(2 * PATIENCE), TcpProxy(server.sockets[0].getsockname(), seed=5) as proxy:
            yield proxy, connect
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()


async def asked(client: Client, data: bytes) -> bytes:
    """Say something and wait for as much."""
    reader, writer = client
    writer.write(data)
    return await reader.readexactly(len(data))


def test_streams_go_there_and_back_until_either_end_hangs_up() -> None:
    """An end of one side becomes the end of the other."""

    async def go() -> None:
        async with over_tcp() as (_, connect):
            reader, writer = client = await connect()
            assert HELLO == await asked(client, HELLO)
            writer.write_eof()

            assert b"" == await reader.read()

    asyncio.run(go())


def test_a_stream_keeps_its_order_whatever_the_jitter() -> None:
    """Pieces that are delayed by chance arrive as one stream."""

    async def go() -> None:
        async with over_tcp() as (proxy, connect):
            reader, writer = await connect()
            proxy.set(StreamWeather(delay=0.001, jitter=0.01))
            for number in range(20):
                writer.write(bytes((number,)))
                await asyncio.sleep(0)

            assert bytes(range(20)) == await reader.readexactly(20)

    asyncio.run(go())


def test_a_stalled_stream_goes_on_where_it_was() -> None:
    """Nothing arrives while it stalls, and nothing is lost."""

    async def go() -> None:
        async with over_tcp() as (proxy, connect):
            reader, writer = await connect()
            proxy.back = StreamWeather(stalled=True)
            writer.write(HELLO)
            await taken(proxy, Way.BACK, 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.read(1)
            proxy.back = StreamWeather()

            assert HELLO == await reader.readexactly(len(HELLO))

    asyncio.run(go())


def test_an_octet_of_a_stream_can_be_spoilt() -> None:
    """One in the piece is another one, there or back."""

    async def go() -> None:
        async with over_tcp() as (proxy, connect):
            client = await connect()
            proxy.there = StreamWeather(corrupted=1.0)
            answer = await asked(client, HELLO)

            assert 1 == sum(a != b for a, b in zip(answer, HELLO, strict=True))

    asyncio.run(go())


def test_a_reset_breaks_connections_off_and_takes_new_ones() -> None:
    """The client sees a reset, connects again and is served."""

    async def go() -> None:
        async with over_tcp() as (proxy, connect):
            client = await connect()
            await asked(client, HELLO)
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                await client[0].read(1)

            assert HELLO == await asked(await connect(), HELLO)

    asyncio.run(go())


def test_a_cut_refuses_connections_until_it_is_mended() -> None:
    """Afterwards the port is the same."""

    async def go() -> None:
        async with over_tcp() as (proxy, connect):
            address = proxy.address
            client = await connect()
            await asked(client, HELLO)
            await proxy.cut()
            await proxy.cut()
            with pytest.raises(ConnectionResetError):
                await client[0].read(1)
            with pytest.raises(ConnectionRefusedError):
                await connect()
            await proxy.mend()
            await proxy.mend()

            assert address == proxy.address
            assert HELLO == await asked(await connect(), HELLO)

    asyncio.run(go())


def test_a_target_that_refuses_ends_the_connection() -> None:
    """The client is hung up on, and the proxy goes on."""

    async def go() -> None:
        async with asyncio.timeout(PATIENCE), UdpProxy(("127.0.0.1", 9)) as free, TcpProxy(free.address) as proxy:
            for _ in range(2):
                reader, writer = await asyncio.open_connection(*proxy.address)
                try:
                    assert b"" == await reader.read(1)
                except ConnectionResetError:
                    pass
                finally:
                    writer.transport.abort()

    asyncio.run(go())
