"""The stand on which faults are tried: `phasewise.lockstep`, whose wire, policy, disk and daemon can be spoilt while it runs."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import assert_never
from zlib import crc32

from controller import journal
from controller.detectors import Watch
from controller.events import Fault, LimitSet, LockOutCleared, Order, OrderGiven, OrderWithdrawn, Place, ReEnabled
from controller.fixed_time import Follower, Plans
from controller.loop import CabinetLoop, Parts
from controller.mode import Objection, initial
from controller.policy_source import Answer, asked
from controller.ticker import Tick
from controller.watchdog import Standing
from field_adapters._base import Applied, Failed, FieldAdapter, Opened, Poll, Released, Wanted, Withheld
from field_adapters.modbus import ModbusAdapter
from field_adapters.modbus_link import ExceptionCode, ModbusLink, RegisterBank, VirtualWire
from field_adapters.modbus_profile import Table, load_profile
from field_adapters.ntcip import NtcipAdapter, NtcipOptions
from field_adapters.ntcip_objects import Oid
from field_adapters.profiles import ntcip as ntcip_profiles
from field_adapters.simulated.modbus_device import ModbusDevice
from field_adapters.simulated.ntcip_controller import NOTHING, NtcipController
from field_adapters.simulated.orders import ALL, ChangeIdentity, FailDetector, MendDetector, SwapDetectors
from field_adapters.simulated.proxy import StreamWeather, TcpProxy, UdpProxy, Way, Weather
from field_adapters.snmp import InMemorySnmp, ObjectStore, Refusal, WireValue
from intersection.config import IntersectionConfig
from intersection.detection import DetectorKind
from intersection.errors import RuntimeFault
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import Policy
from intersection.state import IntersectionState
from models import actuated
from phasewise.faults import matrix
from phasewise.lockstep import Lockstep, Setup

PATIENT = 5.0
"""How long a message may take while the wire is sound, in seconds: the machine may be busy."""

FIELD = 0.09
"""How long it may take in the field, and here while the wire is spoilt."""

LOSSY = 0.3
"""How long it may take where messages are lost but not late, so that the machine's load is not taken for the wire's."""

SLOW = 3
"""By how much time is slowed down while messages are late: how long they take is by the machine's clock, which is shared."""

HOPELESS = 0.01
"""How long it may take while nothing arrives at all, so that ten minutes of it do not take ten minutes."""

RESENT: Tenths = 2
"""After what time TCP sends again what was lost, at least, in tenths of a second."""

WHO = "trial"


class Puppet:
    """A policy source: an ordinary rule, or the answer that a case stages. The staged answer outlives a restart, as a bundle does."""

    def __init__(self, rig: "Rig", config: IntersectionConfig) -> None:
        self._rig, self._stages = rig, len(config.stages)
        self._policy: Policy = actuated.make(config)

    async def ask(self, observation: Observation, now: Tenths, deadline: float) -> Answer:
        """See `PolicySource`."""
        said = self._rig.says
        return said if said is not None else asked(self._policy, observation, self._stages)

    def close(self) -> None:
        """See `PolicySource`."""


class Hurried:
    """An adapter whose messages may take as long as the rig says."""

    def __init__(self, adapter: FieldAdapter, rig: "Rig") -> None:
        self._adapter, self._rig = adapter, rig

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._rig.patience

    async def open(self, now: Tenths, deadline: float) -> Opened | Failed:
        """See `FieldAdapter`."""
        return await self._adapter.open(now, deadline)

    async def read(self, now: Tenths, deadline: float, *, detectors: bool) -> Poll | Failed:
        """See `FieldAdapter`."""
        return await self._adapter.read(now, self._deadline(), detectors=detectors)

    async def apply(self, wanted: Wanted, state: IntersectionState, now: Tenths, deadline: float) -> Applied | Withheld | Failed:
        """See `FieldAdapter`."""
        return await self._adapter.apply(wanted, state, now, self._deadline())

    async def release(self, now: Tenths, deadline: float) -> Released | Failed:
        """See `FieldAdapter`."""
        return await self._adapter.release(now, self._deadline())

    def close(self) -> None:
        """See `FieldAdapter`."""
        self._adapter.close()


class StoreDoor:
    """The objects of an NTCIP cabinet, whose writes can be spoilt."""

    def __init__(self, store: ObjectStore, rig: "Rig") -> None:
        self._store, self._rig = store, rig

    def read(self, oid: Oid) -> WireValue | None:
        """See `ObjectStore`."""
        return self._store.read(oid)

    def next(self, oid: Oid) -> Oid | None:
        """See `ObjectStore`."""
        return self._store.next(oid)

    def write(self, writes: Sequence[tuple[Oid, WireValue]]) -> Refusal | None:
        """See `ObjectStore`."""
        tamper = self._rig.tamper
        if tamper.again_after is not None:
            self._rig.again.append((self._rig.now + tamper.again_after, lambda: self._store.write(writes)))
        return self._store.write(writes[: (len(writes) + 1) // 2] if tamper.half else writes)


class BankDoor:
    """The registers of a Modbus cabinet, whose writes can be repeated."""

    def __init__(self, bank: RegisterBank, rig: "Rig") -> None:
        self._bank, self._rig = bank, rig

    def read(self, table: Table, address: int, count: int) -> tuple[int, ...] | ExceptionCode:
        """See `RegisterBank`."""
        return self._bank.read(table, address, count)

    def write(self, table: Table, address: int, cells: Sequence[int]) -> ExceptionCode | None:
        """See `RegisterBank`."""
        if self._rig.tamper.again_after is not None:
            due = self._rig.now + self._rig.tamper.again_after
            self._rig.again.append((due, lambda: self._bank.write(table, address, cells)))
        return self._bank.write(table, address, cells)


class Rig(Lockstep):
    """The stand, and what a case does to it.

    Attributes:
        says: the answer that the policy gives, or None for its own.
        tamper: what befalls writes at the cabinet's door.
        again: the writes that are repeated, and when.
        patience: how long a message may take, in seconds of the machine's clock.
        unsupported: acts that the cabinet cannot do.
    """

    def __init__(self, setup: Setup) -> None:
        self.says: Answer | None = None
        self.tamper = matrix.Tamper()
        self.again: list[tuple[Tenths, object]] = []
        self.patience = PATIENT
        self.unsupported: list[str] = []
        self._full = False
        self._twin: CabinetLoop | None = None
        self._weather = Weather()
        self._ways: tuple[Way, ...] = ()
        self._stalled_until: Tenths = 0
        self._lots = Random(setup.seed)
        super().__init__(setup, lambda config: Puppet(self, config))

    async def _new_adapter(self) -> FieldAdapter:
        if not self.setup.in_memory:
            return await super()._new_adapter()
        if isinstance(self.cabinet, ModbusDevice):
            link = ModbusLink(VirtualWire(BankDoor(self.cabinet, self)))
            return ModbusAdapter(link, self.config, load_profile(self.setup.profile), identity=self.cabinet.map.program.identity)
        if self._store is None:
            raise RuntimeFault("a cabinet of no protocol")
        options = NtcipOptions(program=self._program, profile=ntcip_profiles.load("standard"), settle=self.setup.settle)
        return NtcipAdapter(InMemorySnmp(StoreDoor(self._store, self)), self.config, options)

    async def start(self) -> None:
        """See `Lockstep`."""
        await super().start()
        if self.loop is not None:
            parts = self.loop.parts
            self.loop.parts = replace(parts, adapter=Hurried(parts.adapter, self), others=self._others)

    def _others(self) -> Standing:
        return {Fault.JOURNAL_FULL: "No space left on device"} if self._full else {}

    # --- what is seen ------------------------------------------------------------------------------------------------------------
    @property
    def state(self) -> IntersectionState:
        """The cabinet's own state."""
        if isinstance(self.cabinet, NtcipController | ModbusDevice):
            return self.cabinet.state
        raise RuntimeFault("a cabinet of no protocol")

    @property
    def requested(self) -> bool:
        """Whether any request stands at the cabinet."""
        if isinstance(self.cabinet, NtcipController):
            return self.cabinet.requests != NOTHING or bool(self.cabinet.pattern)
        return isinstance(self.cabinet, ModbusDevice) and self.cabinet.following.value in ("stage", "plan")

    # --- what is done ------------------------------------------------------------------------------------------------------------
    async def pass_tenth(self) -> None:
        """Let a tenth of a second pass, with the twin, the weather and what comes late."""
        if self.proxy is not None:
            self._stall()
        for item in [item for item in self.again if item[0] <= self.now]:
            self.again.remove(item)
            if callable(item[1]):
                item[1]()
        if self._twin is not None:
            await self._twin.tick(Tick(self.now, 0, 0, None), self.now)
        began = asyncio.get_running_loop().time()
        await self.run(self.now + 1)
        if _is_late(self._weather):  # these are by the machine's clock
            await asyncio.sleep(max(0.0, 0.1 * SLOW - (asyncio.get_running_loop().time() - began)))

    async def _tick(self) -> None:
        """See `Lockstep`. Time stands also while a daemon looks at its cabinet anew."""
        await super()._tick()
        opening = None if self.loop is None else self.loop._opening  # noqa: SLF001  # the loop goes on meanwhile: only a trial waits for it
        if opening is not None:
            await asyncio.wait([opening], timeout=self.patience)

    def _stall(self) -> None:
        """Let TCP wait for what was lost: there loss is delay."""
        if isinstance(self.proxy, TcpProxy) and self._weather.lost:
            if self._lots.random() < self._weather.lost:
                self._stalled_until = self.now + RESENT
            self.proxy.set(StreamWeather(stalled=self.now < self._stalled_until))

    async def do(self, act: matrix.Act) -> None:  # noqa: C901, PLR0912  # one line for each act
        """Do what a case asks for."""
        match act:
            case matrix.Say(answer):
                self.says = answer
            case matrix.AtCabinet(order):
                refused = await self.order(order)
                if refused is not None:
                    self.unsupported.append(refused.reason)
            case matrix.Impostor(on):
                await self.order(ChangeIdentity(7 if on else crc32(self.street.signal.id.encode())))
            case matrix.FirstDetector():
                await self._fail(act)
            case matrix.Wire(weather, ways):
                await self._change(weather, ways)
            case matrix.Tamper():
                self.tamper = act
            case matrix.Kill():
                await self.kill()
            case matrix.Revive():
                await self.start()
            case matrix.Halt(on):
                if on:
                    self.halt()
                else:
                    self.resume()
            case matrix.Twin(on):
                await self._double(on)
            case matrix.WallJump(seconds):
                self.wall_off += seconds
            case matrix.DiskFull(on):
                self._full = on
            case matrix.Force(what, seconds):
                expires = None if seconds is None else self.now + round(seconds * 10)
                self._submit(OrderGiven(Order(what=what, operator=WHO, reason=WHO, expires=expires)))
            case matrix.Withdraw():
                self._submit(OrderWithdrawn(operator=WHO, reason=WHO))
            case matrix.Limit(mode):
                self._submit(LimitSet(limit=mode, operator=WHO, reason=WHO))
            case _:
                assert_never(act)

    def re_enable(self) -> Objection | None:
        """Give the street back, as a person does who has looked into it."""
        return self._submit(ReEnabled(operator=WHO, reason=WHO))

    def unlock(self) -> Objection | None:
        """Clear the lock-out, as a technician does at the cabinet."""
        return self._submit(LockOutCleared(technician=WHO, place=Place.AT_CABINET))

    def _submit(self, event: OrderGiven | OrderWithdrawn | LimitSet | ReEnabled | LockOutCleared) -> Objection | None:
        return None if self.loop is None else self.loop.submit(event)

    async def _fail(self, act: matrix.FirstDetector) -> None:
        button = DetectorKind.PUSH_BUTTON
        ids = [detector.id for detector in self.config.detectors if (detector.kind is button) == act.button]
        if act.how is not None:
            await self.order(FailDetector(ids[0], act.how))
        elif act.swap:
            other = next(each.id for each in self.config.detectors if each.phases != self.config.detectors[0].phases)
            await self.order(SwapDetectors(ids[0], other))
        else:
            await self.order(MendDetector(ALL))

    async def _change(self, weather: Weather, ways: tuple[Way, ...]) -> None:
        self._weather, self._ways = weather, ways
        fair = weather == Weather()
        self.patience = PATIENT if fair else HOPELESS if weather.cut else FIELD * SLOW if _is_late(weather) else LOSSY
        if _is_late(weather):
            weather = replace(weather, delay=weather.delay * SLOW, jitter=weather.jitter * SLOW, held=weather.held * SLOW)
        if isinstance(self.proxy, UdpProxy):
            self.proxy.there = weather if Way.THERE in ways else Weather()
            self.proxy.back = weather if Way.BACK in ways else Weather()
        elif isinstance(self.proxy, TcpProxy):
            if weather.cut and len(ways) == len(Way):
                await self.proxy.cut()
                return
            await self.proxy.mend()
            stream = StreamWeather(delay=weather.delay, jitter=weather.jitter, corrupted=weather.corrupted, stalled=weather.cut)
            self.proxy.there = stream if Way.THERE in ways else StreamWeather()
            self.proxy.back = stream if Way.BACK in ways else StreamWeather()

    async def _double(self, on: bool) -> None:  # as in the act
        if not on or self.loop is None:
            if self._twin is not None:
                await self._twin.stop(patience=0.0)
            self._twin = None
            return
        config = self.config
        parts: Parts = replace(
            self.loop.parts,
            adapter=await self._new_adapter(),
            policy=Puppet(self, config),
            plan=Follower(Plans(config, config.schedule)),
            watch=Watch(detectors=config.detectors, groups=config.tables.index),
        )
        self._twin = CabinetLoop(parts, initial(self.now), now=self.now, wall=self.wall, append=_forget)
        await self._twin.prepare(self.now)


def _is_late(weather: Weather) -> bool:
    return bool(weather.delay or weather.jitter or weather.reordered)


def _forget(_: journal.Record) -> None:
    """Keep nothing of the twin's journal."""
