"""The adapter for Modbus keeps the contract with our own map and with another vendor's, in memory and over TCP."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from field_adapters._base import Condition
from field_adapters.modbus import ModbusAdapter
from field_adapters.modbus_link import Budget, ModbusLink, VirtualWire, Wire, tcp
from field_adapters.modbus_profile import Mode, load_profile
from field_adapters.simulated.modbus_device import ModbusDevice
from field_adapters.simulated.modbus_server import ModbusServer
from tests.field_adapters.adapter_contract import CONFIG, AdapterContract, Bench

IDENTITY = 77


class ModbusBench(Bench):
    """A device, and an adapter over some wire."""

    def __init__(self, vendor: str) -> None:
        self.device = self.cabinet = ModbusDevice(CONFIG, load_profile(vendor), identity=IDENTITY)
        self.server = ModbusServer(self.device)
        if vendor == "coil_groups":
            self.has_plans = self.has_totals = False
            self.untold = frozenset(
                {
                    *(Condition.REBOOTED, Condition.PREEMPT, Condition.STOP_TIME, Condition.CONFLICT_FLASH),
                    *(
                        Condition.LOCAL_LOCK_OUT,
                        Condition.LOCAL_MANUAL,
                        Condition.POLICE,
                        Condition.IDENTITY_CHANGED,
                        Condition.LAMP_POWER_LOST,
                    ),
                }
            )

    def connect(self, wire: Wire) -> None:
        """Let an adapter speak over a wire."""
        link = ModbusLink(wire, Budget(deadline=1.0, retries=0))
        self.adapter = ModbusAdapter(link, CONFIG, self.device.map.profile, identity=IDENTITY)

    def is_asked(self) -> bool:
        """Look at what the device follows."""
        return self.device.following in (Mode.STAGE, Mode.PLAN)

    async def silence(self, *, on: bool) -> None:
        """Let the device take messages in and answer none."""
        self.server.silent = on


class VirtualBench(ModbusBench):
    """The same in memory."""

    def __init__(self, vendor: str) -> None:
        super().__init__(vendor)
        self.wire = VirtualWire(self.device)
        self.connect(self.wire)

    async def silence(self, *, on: bool) -> None:
        """Let the device take messages in and answer none."""
        self.wire.silent = on


class TestInMemory(AdapterContract):
    """Our own map."""

    @asynccontextmanager
    async def _bench(self) -> AsyncIterator[Bench]:
        yield VirtualBench("phasewise_v1")

    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench."""
        return self._bench()


class TestAnotherVendor(AdapterContract):
    """A coil a group."""

    @asynccontextmanager
    async def _bench(self) -> AsyncIterator[Bench]:
        yield VirtualBench("coil_groups")

    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench."""
        return self._bench()


class TestOverTcp(AdapterContract):
    """Our own map over loopback."""

    @asynccontextmanager
    async def _bench(self) -> AsyncIterator[Bench]:
        bench = ModbusBench("phasewise_v1")
        async with bench.server:
            bench.connect(tcp("127.0.0.1", await bench.server.listen()))
            yield bench

    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench."""
        return self._bench()
