"""`phasewise cabinet`: a simulated cabinet that stands on a scenario's street in SUMO and speaks a cabinet's protocol over a real wire.

Every signal of the scenario has a cabinet. Those that are asked for are heard, each at a port of its own; the others run their own plan.
With both protocols, each has streets of its own with the same demand, since a signal has one cabinet only.
"""

import asyncio
import ipaddress
import json as json_
import shutil
import signal as signal_
import sys
import time
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, replace
from enum import Enum
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, assert_never
from typing import Protocol as Interface
from zlib import crc32

from controller.ticker import SystemClock
from envs.files import replacing, writable_folder
from envs.scenario import Scenario, check_routes, find
from envs.street import SumoStreet, SumoStreets, account
from envs.sumo_network import PRESETS, Network, SumoSignal, read_signal
from envs.sumo_session import Backend
from envs.traffic import network_of
from field_adapters._errors import LinkError
from field_adapters.modbus_profile import load_profile
from field_adapters.ntcip_program import Method, NtcipProgram, program_of
from field_adapters.simulated.host import Host, HostedCabinet, Lag, Stand
from field_adapters.simulated.modbus_device import ModbusDevice
from field_adapters.simulated.modbus_server import ModbusServer
from field_adapters.simulated.ntcip_controller import NtcipController
from field_adapters.simulated.ntcip_store import NtcipStore
from field_adapters.simulated.orders import ORDERS, Order, Reboot, TakesOrders, UnsupportedOrder, parse, usage
from field_adapters.simulated.snmp_agent import Right, SnmpAgent
from field_adapters.snmp import UsmUser
from intersection.config import IntersectionConfig
from intersection.errors import ConfigError, UnknownNameError, UserError
from intersection.phase import Tenths
from intersection.state import FREE
from phasewise.console import err, out

RECORDS = ("tripinfo.xml", "statistics.xml", "tlsstates.xml")

HELP = "help"
"""In place of an order: list them all."""


class Protocol(Enum):
    """What a cabinet speaks."""

    NTCIP = "ntcip"
    MODBUS = "modbus"


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the cabinets stand.

    Raises:
        ConfigError: a value is out of its range.
        UnknownNameError: there is no such preset.
    """

    scenario: Scenario
    network: Network
    signals: tuple[str, ...]
    """The signals whose cabinets are heard."""

    ports: dict[Protocol, int]
    """Of the first of them; each further one has the next; 0: any that is free."""

    host: str = "127.0.0.1"
    seed: int = 101
    scale: float = 1.0
    speed: float = 1.0
    seconds: float | None = None
    """For how long, in simulated seconds; to the scenario's end by default."""

    record: Path | None = None
    profile: str = "phasewise_v1"
    """Of the Modbus cabinets."""

    watchdog: Tenths = 50
    """After what time without a heartbeat, or a request, a cabinet goes back to its own plan, in tenths of a second."""

    method: str = ""
    """How stages become phases of an NTCIP cabinet: a value of `Method`; by default stages, or rings where that cannot be."""

    def __post_init__(self) -> None:
        if not self.ports:
            raise ConfigError("a cabinet needs a wire", allowed="--ntcip PORT, --modbus PORT, or both")
        if not (isfinite(self.speed) and self.speed > 0):
            raise ConfigError("time passes forward", key="--speed", value=self.speed, allowed="above 0")
        if self.method not in ("", *(method.value for method in Method)):
            raise UnknownNameError("method", self.method, [method.value for method in Method])
        if Protocol.NTCIP in self.ports and (self.watchdog < 10 or self.watchdog % 10):
            raise ConfigError(
                "an NTCIP cabinet counts its backup time in whole seconds", key="--watchdog", value=self.watchdog / 10, allowed="1 or more"
            )
        highest = 65_536 - len(self.signals)
        for protocol, port in self.ports.items():
            if not 0 <= port <= highest:
                raise ConfigError("no such port", key=f"--{protocol.value}", value=port, allowed=f"1..{highest}, or 0 for any that is free")
        if not _is_loopback(self.host):
            raise ConfigError(
                "a simulated cabinet is heard on this machine only", key="--host", value=self.host, allowed="127.0.0.1, ::1, localhost"
            )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Heard(NamedTuple):
    """One cabinet that is heard."""

    signal: str
    protocol: Protocol
    host: str
    port: int
    words: str
    """What it is."""


def run_cabinet(
    scenario: str,
    *,
    signal: str,
    ports: dict[str, int],
    preset: str,
    config: Path | None,
    orders: str,
    json: bool,
    host: str,
    seed: int,
    scale: float,
    speed: float,
    seconds: float | None,
    record: Path | None,
    profile: str,
    watchdog: float,
    method: str,
) -> None:
    """Let cabinets stand on a scenario until it ends, or until Ctrl-C.

    Args:
        scenario: the scenario's name or file.
        signal: whose cabinet is heard; all by default.
        ports: by protocol.
        preset: where times come from, where `config` does not say.
        config: an `intersection.toml` that one of the cabinets has in the place of what the network says.
        orders: "-" for orders by lines on standard input, or the path of a local socket; none by default.
        json: print one JSON object once everything listens, instead of words.
        host: where to listen.
        seed: of SUMO.
        scale: factor on the demand.
        speed: how many times as fast as the clock.
        seconds: for how long, in simulated seconds.
        record: a folder in which SUMO's own records are kept.
        profile: of the Modbus cabinets.
        watchdog: or backup time of the cabinets, in seconds.
        method: of the NTCIP cabinets.

    Raises:
        UserError: something that was asked for does not exist or fit.
        RuntimeFault: a port is taken, or SUMO refused or died.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    found = find(scenario)
    check_routes(found)
    network = network_of(found, PRESETS[preset])
    standing = read_signal(config) if config is not None else None
    if standing is not None:
        network = replace(network, signals=_put(network.signals, standing))
    names = [each.id for each in network.signals]
    if signal and signal not in names:
        raise UnknownNameError("signal", signal, names)
    site = Site(
        scenario=found,
        network=network,
        signals=(signal,) if signal else (standing.id,) if standing is not None else tuple(names),
        ports={protocol: ports[protocol.value] for protocol in Protocol if protocol.value in ports},
        host=host,
        seed=seed,
        scale=scale,
        speed=speed,
        seconds=seconds,
        record=record,
        profile=profile,
        watchdog=round(watchdog * 10),
        method=method,
    )
    if record is not None:
        writable_folder(record)
    asyncio.run(_run(site, orders=orders, json=json))


def _put(signals: Iterable[SumoSignal], standing: SumoSignal) -> tuple[SumoSignal, ...]:
    """Put a signal that was read from a file in its own place."""
    listed = tuple(signals)
    if standing.id not in (each.id for each in listed):
        raise UnknownNameError("signal", standing.id, [each.id for each in listed])
    return tuple(standing if each.id == standing.id else each for each in listed)


async def _run(site: Site, *, orders: str, json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal_.SIGINT, signal_.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with TemporaryDirectory(prefix="phasewise-") as temporary:
        records = Path(temporary)
        with ExitStack() as simulations:
            backends: tuple[Backend, ...] = ("libsumo", "traci")  # libsumo has room for one simulation in a process
            standing = [
                Standing(site, protocol, simulations, records, backend) for protocol, backend in zip(site.ports, backends, strict=False)
            ]
            async with AsyncExitStack() as wires:
                for each in standing:
                    await each.listen(wires)
                if orders:
                    await _take_orders(orders, standing, wires)
                _tell(site, [heard for each in standing for heard in each.heard], json=json)
                await _until(stop, [each.host.run(SystemClock(), speed=site.speed, until=each.end, told=Lags()) for each in standing])
        for each in standing:
            each.keep_records()


async def _until(stop: asyncio.Event, runs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run until all is done, or somebody stops it. What one of them raises is raised."""
    stopping = asyncio.create_task(stop.wait())
    running = {asyncio.create_task(run) for run in runs}
    ended: set[asyncio.Task[None]] = set()
    try:
        while running != ended and not stopping.done():
            await asyncio.wait({stopping, *(running - ended)}, return_when=asyncio.FIRST_COMPLETED)
            ended = {task for task in running if task.done()}
            for task in ended:
                await task
    finally:
        for task in running:
            task.cancel()
        stopping.cancel()
        await asyncio.gather(stopping, *running, return_exceptions=True)


def _tell(site: Site, heard: Sequence[Heard], *, json: bool) -> None:
    if json:
        listed = [{"signal": each.signal, "protocol": each.protocol.value, "host": each.host, "port": each.port} for each in heard]
        sys.stdout.write(json_.dumps({"cabinets": listed}) + "\n")
        sys.stdout.flush()
        return
    out.print(f"{site.scenario.name}, seed {site.seed}, at {site.speed:g} times real time; Ctrl-C ends it")
    for each in heard:
        out.print(f"{each.signal}: {each.protocol.value} at {each.host}:{each.port}; {each.words}", markup=False, soft_wrap=True)


class Lags:
    """Tells that the machine is too slow, again whenever the time that was given up has doubled."""

    def __init__(self) -> None:
        self._total, self._told = 0.0, 0.0

    def __call__(self, lag: Lag) -> None:
        """Add a lag, and tell it where it is time to."""
        self._total += lag.given_up
        if self._total >= 2 * self._told:
            self._told = self._total
            told = f"at {lag.at / 10:.1f} s this machine was too slow for the speed; {self._total:.1f} s have been given up in all"
            err.print(told, style="yellow", soft_wrap=True)


# --- cabinets and their wires --------------------------------------------------------------------------------------------------------
class Standing:
    """The cabinets of one protocol, all over one simulation."""

    def __init__(self, site: Site, protocol: Protocol, simulations: ExitStack, records: Path, backend: Backend) -> None:
        """Start SUMO, and put a cabinet up at each signal.

        Raises:
            ConfigError: a signal does not fit into what its protocol can say.
            SimulationError: SUMO refused.
        """
        self.site, self.protocol = site, protocol
        self._records = records / protocol.value
        self._records.mkdir()
        self.streets = simulations.enter_context(
            SumoStreets(
                site.scenario,
                site.network,
                seed=site.seed,
                sensors=None,
                scale=site.scale,
                backend=backend,
                records=self._records if site.record else None,
            )
        )
        self._wires = {street.signal.id: self._put_up(street) for street in self.streets}
        stands = [
            Stand(name=street.signal.id, config=street.config, street=street, cabinet=wired.cabinet, orders=wired.orders)
            for street, wired in zip(self.streets, self._wires.values(), strict=True)
        ]
        self.host = Host(stands, step=max(10, self.streets.step))
        self.heard: list[Heard] = []

    @property
    def end(self) -> Tenths:
        """When to stop, in tenths of a second."""
        seconds = self.site.seconds
        return self.streets.end if seconds is None else min(self.streets.end, self.host.now + round(seconds * 10))

    def _put_up(self, street: SumoStreet) -> "Wired":
        match self.protocol:
            case Protocol.MODBUS:
                return ModbusWired(self.site, street)
            case Protocol.NTCIP:
                return NtcipWired(self.site, street)
            case _:
                assert_never(self.protocol)

    async def listen(self, wires: AsyncExitStack) -> None:
        """Let the cabinets be heard until `wires` is left. Raises RuntimeFault where a port is taken."""
        for at, name in enumerate(self.site.signals):
            first = self.site.ports[self.protocol]
            wanted = first + at if first else 0
            try:
                port = await self._wires[name].listen(self.site.host, wanted, wires)
            except OSError as error:
                raise LinkError(f"nothing can listen at {self.site.host}:{wanted} ({error.strerror})") from error
            self.heard.append(Heard(name, self.protocol, self.site.host, port, self._wires[name].words))

    async def order(self, name: str, order: Order) -> UnsupportedOrder | None:
        """Order a fault at a cabinet. Raises UnknownNameError."""
        refused = self.host.order(name, order)
        if refused is None and isinstance(order, Reboot):
            await self._wires[name].hang_up()
        return refused

    def keep_records(self) -> None:
        """Keep SUMO's records, and say what they tell. Raises RuntimeFault where the disk is full."""
        if self.site.record is None:
            return
        for name in RECORDS:
            kept = self.site.record / f"{self.protocol.value}-{self.site.seed}-{name}"
            with replacing(kept) as copy, (self._records / name).open("rb") as original:
                shutil.copyfileobj(original, copy)
        found = account(self.streets, self._records)
        trips, judged = found.trips, found.audit
        err.print(
            f"{self.protocol.value}: {trips.due} vehicles due, {trips.finished} finished, {trips.running} on their way, "
            f"{trips.waiting_to_enter} waiting to enter; {trips.delay_s:.1f} s mean delay; {len(judged.violations)} illegal displays",
            soft_wrap=True,
        )


class Wired(Interface):
    """A cabinet and what carries its protocol."""

    @property
    def cabinet(self) -> HostedCabinet:
        """The cabinet."""
        ...

    @property
    def orders(self) -> TakesOrders:
        """Who takes its orders."""
        ...

    @property
    def words(self) -> str:
        """What it is, in words."""
        ...

    async def listen(self, host: str, port: int, wires: AsyncExitStack) -> int:
        """Be heard until `wires` is left; give the port. Raises OSError where it is taken."""
        ...

    async def hang_up(self) -> None:
        """Close every connection, as a device does that starts anew."""
        ...


class ModbusWired:
    """A cabinet on Modbus TCP."""

    def __init__(self, site: Site, street: SumoStreet) -> None:
        config = street.config
        self.cabinet = self.orders = ModbusDevice(
            config,
            load_profile(site.profile),
            watchdog=site.watchdog,
            own_pattern=config.patterns[0].number if config.patterns else FREE,
            stage=street.first_stage,
            identity=crc32(street.signal.id.encode()),
            now=street.now,
        )
        self._server = ModbusServer(self.cabinet)
        self._site = site

    @property
    def words(self) -> str:
        """What it is, in words."""
        program = self.cabinet.map.program
        return (
            f"{program.groups} groups, {len(program.stages)} stages, {program.detectors} detectors; {self._site.profile}, unit "
            f"{self._server.unit}, identity {program.identity:#010x}, watchdog {self._site.watchdog / 10:g} s"
        )

    async def listen(self, host: str, port: int, wires: AsyncExitStack) -> int:
        """Be heard."""
        server = await wires.enter_async_context(self._server)
        return await server.listen(host, port)

    async def hang_up(self) -> None:
        """Close every connection."""
        await self._server.hang_up()


COMMUNITY = "phasewise"
"""Who may read and write in SNMP v1 and v2c; everybody on this machine may know it."""

USER = UsmUser(name="phasewise", auth_passphrase="phasewise auth", priv_passphrase="phasewise priv")
"""Who may read and write in SNMP v3, as public as the community."""


class NtcipWired:
    """A cabinet of NTCIP 1202 on SNMP."""

    def __init__(self, site: Site, street: SumoStreet) -> None:
        config = street.config
        self._program, self._site = _program(config, site.method), site
        self.cabinet = NtcipController(
            config,
            self._program,
            backup=site.watchdog,
            own_pattern=config.patterns[0].number if config.patterns else FREE,
            stage=street.first_stage,
            now=street.now,
            wall=time.time(),
            identity=crc32(street.signal.id.encode()),
        )
        self.orders = NtcipStore(self.cabinet)

    @property
    def words(self) -> str:
        """What it is, in words."""
        program = self._program
        return (
            f"{len(program.phases)} phases by {program.method.value}, {len(program.overlaps)} overlaps, {len(program.detectors)} loops, "
            f"{len(program.buttons)} buttons; v1 and v2c with community {COMMUNITY!r}, v3 with user {USER.name!r}, pass phrases "
            f"{USER.auth_passphrase!r} (SHA-256) and {USER.priv_passphrase!r} (AES-128), backup time {self._site.watchdog / 10:g} s"
        )

    async def listen(self, host: str, port: int, wires: AsyncExitStack) -> int:
        """Be heard."""
        agent = SnmpAgent(self.orders, communities={COMMUNITY: Right.WRITE}, users={USER: Right.WRITE}, host=host, port=port)
        return (await wires.enter_async_context(agent)).address[1]

    async def hang_up(self) -> None:
        """Do nothing: datagrams know no connection."""


def _program(config: IntersectionConfig, method: str) -> NtcipProgram:
    """Work out what the cabinet holds, by one ring of stages where that can be, else by dual ring. Raises ConfigError with the causes."""
    causes = []
    for each in Method if not method else [Method(method)]:
        found = program_of(config, each)
        if isinstance(found, NtcipProgram):
            return found
        causes.append(f"by {each.value}: {found.cause}")
    raise ConfigError(f"no NTCIP cabinet can run signal {config.name} ({'; '.join(causes)})")


# --- orders --------------------------------------------------------------------------------------------------------------------------
async def carry_out(line: str, standing: Sequence[Standing]) -> str:
    """Carry out an order in words: `[SIGNAL: ]NAME [WORD...]`, or `help`; the signal may be left out where only one is heard.

    Returns:
        "done", what cannot be understood or done, or the list of all orders.
    """
    if line.strip() == HELP:
        return "\n".join(usage(kind) for kind in ORDERS.values())
    name, _, words = line.rpartition(": ")
    heard = standing[0].site.signals
    try:
        order = parse(words)
        if not name and len(heard) > 1:
            raise ConfigError("several cabinets are heard", key="order", value=words, allowed="SIGNAL: " + words)
        told = [await each.order(name.strip() or heard[0], order) for each in standing]
    except UserError as error:
        return str(error)
    return "; ".join(each.reason for each in told if each is not None) or "done"


async def _take_orders(source: str, standing: Sequence[Standing], wires: AsyncExitStack) -> None:
    """Take orders by lines from standard input ("-") or a local socket, and answer each with one line or more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while line := await reader.readline():
                writer.write((await carry_out(line.decode(errors="replace"), standing) + "\n").encode())
                await writer.drain()
        writer.close()

    if source != "-":
        try:
            server = await asyncio.start_unix_server(serve, source)
        except OSError as error:
            raise UserError(f"nothing can listen at {source} ({error.strerror})") from error
        wires.callback(Path(source).unlink, missing_ok=True)
        await wires.enter_async_context(server)
        return

    async def read_lines() -> None:
        while line := await reader.readline():
            err.print(await carry_out(line.decode(errors="replace"), standing), markup=False, soft_wrap=True)

    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    wires.callback(transport.close)
    task = asyncio.create_task(read_lines())
    wires.callback(task.cancel)
