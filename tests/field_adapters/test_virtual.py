"""The cabinet in memory keeps the contract of every adapter."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from field_adapters.modbus_profile import Mode
from field_adapters.virtual import VirtualAdapter, VirtualCabinet
from tests.field_adapters.adapter_contract import CONFIG, AdapterContract, Bench

IDENTITY = 77


class VirtualBench(Bench):
    """A cabinet, and its adapter."""

    def __init__(self) -> None:
        self.virtual = self.cabinet = VirtualCabinet(CONFIG, identity=IDENTITY)
        self.twin = self.adapter = VirtualAdapter(self.virtual, CONFIG, identity=IDENTITY)

    def is_asked(self) -> bool:
        """Look at what the cabinet follows."""
        return self.virtual.following in (Mode.STAGE, Mode.PLAN)

    async def silence(self, *, on: bool) -> None:
        """Let nothing be answered, or everything again."""
        self.twin.silent = on


class TestVirtual(AdapterContract):
    """In memory, without bytes."""

    @asynccontextmanager
    async def _bench(self) -> AsyncIterator[Bench]:
        yield VirtualBench()

    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench."""
        return self._bench()
