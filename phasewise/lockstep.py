"""A stand for trials: a daemon's loop, a wire, a simulated cabinet and a street in SUMO, in step with each other.

    async with Lockstep(Setup(scenario="resco:cologne1", protocol=Protocol.NTCIP), policy) as stand:
        await stand.order(Preempt(on=True))
        await stand.run(stand.now + 600)

Time stands while the loop ticks and its messages go over the wire; then a tenth of a second passes on the street and in the cabinet. So a
run repeats, whatever the machine's load, as long as every message arrives in its time. The wire is a real one on loopback (SNMP v3 with
authentication and privacy, or Modbus TCP), with a proxy in between where one is asked for, or one in memory.

What a daemon's death, halt and restart are to a cabinet can be staged: `kill`, `halt` and `resume`, `shut`, `start`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Self, TypeAlias, assert_never
from zlib import crc32

from controller import journal
from controller.detectors import Limits, Watch
from controller.fixed_time import Follower, Plans
from controller.loop import CabinetLoop, Parts
from controller.mode import LadderSettings, LadderState, initial
from controller.policy_source import PolicySource
from controller.ticker import TENTH, Lag, Tick
from controller.watchdog import Bounds
from envs.scenario import find
from envs.street import Account, SumoStreet, SumoStreets, account
from envs.sumo_network import PRESETS
from envs.traffic import network_of
from field_adapters._base import FieldAdapter
from field_adapters.modbus import ModbusAdapter
from field_adapters.modbus_link import Budget, ModbusLink, VirtualWire, tcp
from field_adapters.modbus_profile import load_profile
from field_adapters.ntcip import NtcipAdapter, NtcipOptions
from field_adapters.ntcip_program import Method, NtcipProgram, program_of
from field_adapters.profiles import ntcip as ntcip_profiles
from field_adapters.simulated.host import Host, HostedCabinet, Stand
from field_adapters.simulated.modbus_device import ModbusDevice
from field_adapters.simulated.modbus_server import ModbusServer
from field_adapters.simulated.ntcip_controller import NtcipController
from field_adapters.simulated.ntcip_store import NtcipStore
from field_adapters.simulated.orders import Order, Reboot, UnsupportedOrder
from field_adapters.simulated.proxy import TcpProxy, UdpProxy
from field_adapters.simulated.snmp_agent import Right, SnmpAgent
from field_adapters.snmp import InMemorySnmp, UsmUser
from field_adapters.snmp_manager import SnmpManager
from field_adapters.virtual import VirtualAdapter, VirtualCabinet
from intersection.config import IntersectionConfig
from intersection.errors import ConfigError, RuntimeFault, UnknownNameError
from intersection.phase import Tenths
from intersection.state import FREE

MIDNIGHT = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
"""The midnight of a Monday at which a scenario's time counts from 0, in seconds since 1970 UTC."""

USER = UsmUser(name="phasewise", auth_passphrase="phasewise auth", priv_passphrase="phasewise priv")

LOOPBACK = "127.0.0.1"


class Protocol(Enum):
    """What the cabinet speaks."""

    NTCIP = "ntcip"
    MODBUS = "modbus"
    VIRTUAL = "virtual"
    """Nothing: it is asked as an object in memory."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What stands, and how the loop looks at it. Times in tenths of a second, those of the machine's own clock in seconds."""

    scenario: str
    protocol: Protocol
    in_memory: bool = False
    """Whether messages take no wire: neither sockets nor octets."""

    proxied: bool = False
    """Whether a proxy stands in the wire, with fair weather at first."""

    signal: str = ""
    """The signal that the loop controls; the first by default. Cabinets at the others run their own plan."""

    seed: int = 101
    """SUMO's, and the proxy's."""

    scale: float = 1.0
    preset: str = "resco"
    method: Method | None = None
    """How stages become phases of an NTCIP cabinet; by default by stages, or by rings where that cannot be."""

    own_plan: bool = True
    """Whether the cabinet by itself runs its first pattern, rather than calls and bounds."""

    backup: Tenths = 50
    """Its backup or watchdog time; whole seconds over NTCIP."""

    settle: Tenths = 0
    """From a prepared change to its force-off: none is needed while time stands."""

    profile: str = "phasewise_v1"
    """Of a Modbus cabinet."""

    period: Tenths = 10
    answer_within: float = 1.0
    """How long a message may take within a tick, by the machine's clock; in the field it is 0.09."""

    think_within: float = 1.0
    pace: float = 0.0
    """How long a tick takes at least, by the machine's clock: 0.1 is real time. Delays in the wire are by that clock."""

    ladder: LadderSettings = field(default_factory=LadderSettings)
    bounds: Bounds = field(default_factory=Bounds)
    limits: Limits = field(default_factory=Limits)
    records: Path | None = None
    """A folder that gets SUMO's records; needed for an `account`."""


Policies: TypeAlias = Callable[[IntersectionConfig], PolicySource | None]
"""Makes the policy of a daemon that starts."""

Act: TypeAlias = Callable[["Lockstep"], Awaitable[object] | object]
"""Something that happens at an instant, before the loop's tick then."""

NO_ACTS: Mapping[Tenths, Sequence[Act]] = MappingProxyType({})


class Lockstep:
    """The stand. It is an asynchronous context manager; one at a time in a process, since SUMO has room for one simulation.

    Attributes:
        street: the street of the signal that is controlled.
        config: the signal.
        cabinet: at the signal.
        loop: the daemon's; None while it is dead.
        ladder: where the ladder stood when it was last saved.
        notes: all records for the journal, of all daemons.
        proxy: in the wire, where one was asked for.
        wall_off: by how much the computer's wall clock is wrong, in seconds.
    """

    def __init__(self, setup: Setup, policies: Policies) -> None:
        """Start SUMO, and put up a cabinet at each signal.

        Raises:
            ConfigError: the signal cannot stand in such a cabinet.
            SimulationError: SUMO refused.
        """
        self.setup = setup
        if setup.preset not in PRESETS:
            raise UnknownNameError("preset", setup.preset, PRESETS)
        scenario = find(setup.scenario)
        self.streets = SumoStreets(
            scenario, network_of(scenario, PRESETS[setup.preset]), seed=setup.seed, scale=setup.scale, records=setup.records
        )
        try:
            self._put_up()
        except BaseException:
            self.streets.close()
            raise
        self._policies = policies
        self._wires = AsyncExitStack()
        self._snmp: SnmpManager | None = None
        self._address = (LOOPBACK, 0)
        self._server: ModbusServer | None = None
        self._policy: PolicySource | None = None
        self._adapter: FieldAdapter | None = None
        self._halted_at: Tenths | None = None
        self._missed = 0
        self._began = self.now
        self._daemon = 0
        self.proxy: UdpProxy | TcpProxy | None = None
        self.loop: CabinetLoop | None = None
        self.ladder: LadderState | None = None
        self.notes: list[journal.Record] = []
        self.heard: Callable[[journal.Record], object] = self.notes.append
        """Who takes the records for the journal; in long runs somebody who does not keep them."""

        self.wall_off = 0.0
        self.spent = 0.0
        """How long all ticks have taken, by the machine's clock, in seconds."""

    def _put_up(self) -> None:
        streets = list(self.streets)
        self.street: SumoStreet = self.streets[self.setup.signal or streets[0].signal.id]
        self.config = self.street.config
        self.cabinet = self._cabinet()
        self._store = NtcipStore(self.cabinet) if isinstance(self.cabinet, NtcipController) else None
        stands = [
            Stand(name=street.signal.id, config=street.config, street=street, cabinet=self.cabinet, orders=self._store)
            if street is self.street
            else Stand(name=street.signal.id, config=street.config, street=street, cabinet=_by_itself(street))
            for street in streets
        ]
        self.host = Host(stands, step=max(10, self.streets.step))

    def _cabinet(self) -> HostedCabinet:
        setup, street = self.setup, self.street
        own = _own_pattern(street) if setup.own_plan else FREE
        identity = crc32(street.signal.id.encode())
        match setup.protocol:
            case Protocol.NTCIP:
                self._program = _program(self.config, setup.method)
                return NtcipController(
                    self.config,
                    self._program,
                    backup=setup.backup,
                    own_pattern=own,
                    stage=street.first_stage,
                    now=street.now,
                    wall=MIDNIGHT + street.now / 10,
                    identity=identity,
                )
            case Protocol.MODBUS:
                return ModbusDevice(
                    self.config,
                    load_profile(setup.profile),
                    watchdog=setup.backup,
                    own_pattern=own,
                    stage=street.first_stage,
                    identity=identity,
                    now=street.now,
                )
            case Protocol.VIRTUAL:
                return VirtualCabinet(
                    self.config,
                    watchdog=setup.backup,
                    own_pattern=own,
                    stage=street.first_stage,
                    identity=identity,
                    now=street.now,
                )
            case _:
                assert_never(setup.protocol)

    # --- begin and end -----------------------------------------------------------------------------------------------------------
    async def __aenter__(self) -> Self:
        """Let the cabinet be heard, and start a daemon that has looked at it.

        Raises:
            LinkError: nothing can listen on loopback.
        """
        self._wires.callback(self.streets.close)
        try:
            await self._listen()
            await self.start()
        except BaseException:
            await self._wires.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the daemon, the wire and the simulation. Raises SimulationError where SUMO could not finish its records."""
        try:
            await self.kill()
        finally:
            await self._wires.aclose()

    async def _listen(self) -> None:
        if self.setup.in_memory or self.setup.protocol is Protocol.VIRTUAL:
            return
        if self._store is not None:
            agent = await self._wires.enter_async_context(SnmpAgent(self._store, users={USER: Right.WRITE}))
            self._snmp = await self._wires.enter_async_context(SnmpManager())
            self._address = (LOOPBACK, agent.address[1])
            if self.setup.proxied:
                self.proxy = await self._wires.enter_async_context(UdpProxy(self._address, seed=self.setup.seed))
        elif isinstance(self.cabinet, ModbusDevice):
            self._server = await self._wires.enter_async_context(ModbusServer(self.cabinet))
            self._address = (LOOPBACK, await self._server.listen(LOOPBACK))
            if self.setup.proxied:
                self.proxy = await self._wires.enter_async_context(TcpProxy(self._address, seed=self.setup.seed))
        if self.proxy is not None:
            self._address = self.proxy.address

    async def _new_adapter(self) -> FieldAdapter:
        cabinet, setup = self.cabinet, self.setup
        if isinstance(cabinet, VirtualCabinet):
            return VirtualAdapter(cabinet, self.config, identity=crc32(self.street.signal.id.encode()))
        if isinstance(cabinet, ModbusDevice):
            wire = tcp(*self._address) if self._server is not None else VirtualWire(cabinet)
            link = ModbusLink(wire, Budget(deadline=setup.answer_within))
            return ModbusAdapter(link, self.config, load_profile(setup.profile), identity=cabinet.map.program.identity)
        if self._store is None:
            raise RuntimeFault("a cabinet of no protocol")
        profile = ntcip_profiles.load("standard")
        options = NtcipOptions(program=self._program, profile=profile, settle=setup.settle)
        if self._snmp is None:
            return NtcipAdapter(InMemorySnmp(self._store), self.config, options)
        agent = await self._snmp.connect(*self._address, USER, objects_per_message=profile.objects_per_message)
        return NtcipAdapter(agent, self.config, options)

    # --- the daemon --------------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Start a daemon where the last one has ended: with the ladder's state that was saved, and a policy that begins anew."""
        await self.kill()
        setup, now = self.setup, self.now
        self._adapter = await self._new_adapter()
        self._policy = self._policies(self.config)
        self._daemon += 1
        mine = self._daemon

        def append(record: journal.Record) -> None:
            if mine == self._daemon:
                self.heard(record)

        def save(state: LadderState) -> None:
            if mine == self._daemon:
                self.ladder = state

        parts = Parts(
            name=self.street.signal.id,
            config=self.config,
            adapter=self._adapter,
            policy=self._policy,
            plan=Follower(Plans(self.config, self.config.schedule)) if self.config.patterns else None,
            watch=Watch(detectors=self.config.detectors, groups=self.config.tables.index, limits=setup.limits),
            ladder=setup.ladder,
            bounds=setup.bounds,
            period=setup.period,
            answer_within=setup.answer_within,
            think_within=setup.think_within,
        )
        self.loop = CabinetLoop(parts, self.ladder or initial(now), now=now, wall=self.wall, append=append, save=save)
        await self.loop.prepare(now)

    async def kill(self) -> None:
        """Let the daemon die at once, as by SIGKILL: nothing is let go of. Twice is once."""
        loop, self.loop = self.loop, None
        self._daemon += 1
        self._halted_at, self._missed = None, 0
        if loop is not None:
            await loop.stop(patience=0.0)
        if self._policy is not None:
            self._policy.close()
        self._policy = self._adapter = None

    async def shut(self, patience: float = 5.0) -> bool:
        """End the daemon as by SIGTERM: let go of the cabinet; tell whether its zeros were read back."""
        if self.loop is None:
            return True
        released = await self.loop.stop(patience)
        await self.kill()
        return released

    def halt(self) -> None:
        """Let the daemon stand still, as by SIGSTOP."""
        self._halted_at = self.now

    def resume(self) -> None:
        """Let it go on, as by SIGCONT."""
        halted, self._halted_at = self._halted_at, None
        if halted is not None:
            self._missed = max(0, self.now - halted)

    # --- time --------------------------------------------------------------------------------------------------------------------
    @property
    def now(self) -> Tenths:
        """The time of all, in tenths of a second after midnight."""
        return self.host.now

    def wall(self) -> float:
        """Read the computer's wall clock, in seconds since 1970 UTC."""
        return MIDNIGHT + self.now / 10 + self.wall_off

    async def run(self, until: Tenths, acts: Mapping[Tenths, Sequence[Act]] = NO_ACTS) -> None:
        """Let time pass, tenth by tenth.

        Args:
            until: the instant to reach; the tick that is due then is left to the next call.
            acts: what happens meanwhile, at its instant and before the tick that is due then.

        Raises:
            SimulationError: SUMO failed.
        """
        while self.now < until:
            for act in acts.get(self.now, ()):
                done = act(self)
                if isinstance(done, Awaitable):
                    await done
            began = time.perf_counter()
            await self._tick()
            self.spent += time.perf_counter() - began
            if self.setup.pace:
                await asyncio.sleep(max(0.0, self.setup.pace - (time.perf_counter() - began)))
            self.host.advance(self.now + 1)

    async def _tick(self) -> None:
        if self.loop is None or self._halted_at is not None:
            await asyncio.sleep(0)
            return
        missed, self._missed = self._missed, 0
        number = self.now - self._began
        late = Lag(number, missed * TENTH, missed) if missed else None
        await self.loop.tick(Tick(number, 0, missed, late), self.now)

    # --- what happens ------------------------------------------------------------------------------------------------------------
    async def order(self, order: Order) -> UnsupportedOrder | None:
        """Order a fault at the cabinet that is controlled, or at its detectors; it acts at once. A start anew ends its connections.

        Raises:
            UnknownNameError: there is no such detector.
        """
        refused = self.host.order(self.street.signal.id, order)
        if refused is None and isinstance(order, Reboot) and self._server is not None:
            await self._server.hang_up()
        return refused

    def account(self) -> Account:
        """Tell, once the stand has been left, what became of everybody and whether every display was legal.

        Raises:
            ConfigError: nothing was recorded, or no vehicle was due.
            SimulationError: SUMO did not finish a record.
        """
        if self.setup.records is None:
            raise ConfigError("nothing was recorded", key="records", allowed="a folder")
        return account(self.streets, self.setup.records)


def _own_pattern(street: SumoStreet) -> int:
    return street.config.patterns[0].number if street.config.patterns else FREE


def _by_itself(street: SumoStreet) -> VirtualCabinet:
    return VirtualCabinet(street.config, own_pattern=_own_pattern(street), stage=street.first_stage, now=street.now)


def _program(config: IntersectionConfig, method: Method | None) -> NtcipProgram:
    """Work out what an NTCIP cabinet holds. Raises ConfigError with the causes."""
    causes = []
    for each in Method if method is None else [method]:
        found = program_of(config, each)
        if isinstance(found, NtcipProgram):
            return found
        causes.append(f"by {each.value}: {found.cause}")
    raise ConfigError(f"no NTCIP cabinet can run signal {config.name} ({'; '.join(causes)})")
