"""The adapter for NTCIP 1202 keeps the contract in memory and over SNMP v3 on loopback, by both methods."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest

from field_adapters._base import Condition
from field_adapters.ntcip import NtcipAdapter, NtcipOptions
from field_adapters.ntcip_program import Method
from field_adapters.profiles import ntcip as profiles
from field_adapters.simulated.ntcip_controller import NOTHING, NtcipController
from field_adapters.simulated.ntcip_store import NtcipStore
from field_adapters.simulated.proxy import UdpProxy, Weather
from field_adapters.simulated.snmp_agent import Right, SnmpAgent
from field_adapters.snmp import InMemorySnmp, SnmpTransport, Timeout, UsmUser
from field_adapters.snmp_manager import SnmpManager
from tests.field_adapters.adapter_contract import CONFIG, SIDE, AdapterContract, Bench
from tests.field_adapters.ntcip_script import suitable

USER = UsmUser(name="supervisor", auth_passphrase="correct horse", priv_passphrase="battery staple")

IN_A_CABINET = replace(CONFIG, phases=tuple(replace(phase, timing=replace(phase.timing, max_green=2550)) for phase in CONFIG.phases))
"""The contract's signal, with the longest maximum green that a cabinet can count."""


class NtcipBench(Bench):
    """A controller, its store, and an adapter over some link."""

    config = IN_A_CABINET
    untold = frozenset({Condition.LAMP_POWER_LOST})

    def __init__(self, method: Method) -> None:
        self.program = suitable(IN_A_CABINET, method)
        self.controller = self.cabinet = NtcipController(IN_A_CABINET, self.program)
        self.store = NtcipStore(self.controller)

    def connect(self, link: SnmpTransport) -> None:
        """Let an adapter speak over a link."""
        options = NtcipOptions(program=self.program, profile=profiles.load("standard"), settle=0)
        self.adapter = NtcipAdapter(link, IN_A_CABINET, options)

    def is_asked(self) -> bool:
        """Look at the controller's requests."""
        return self.controller.requests != NOTHING or self.controller.pattern != 0


class MemoryBench(NtcipBench):
    """Without a wire."""

    def __init__(self, method: Method) -> None:
        super().__init__(method)
        self.link = InMemorySnmp(self.store)
        self.connect(self.link)

    async def silence(self, *, on: bool) -> None:
        """Let nothing come back."""
        self.link.broken = Timeout(waited=0.1, sent=1) if on else None


class TestStages(AdapterContract):
    """One ring of stages."""

    @asynccontextmanager
    async def _bench(self) -> AsyncIterator[Bench]:
        yield MemoryBench(Method.STAGES)

    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench."""
        return self._bench()


class TestRings(AdapterContract):
    """Two rings."""

    @asynccontextmanager
    async def _bench(self) -> AsyncIterator[Bench]:
        yield MemoryBench(Method.RINGS)

    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench."""
        return self._bench()


class WireBench(NtcipBench):
    """Over UDP, by way of a proxy that can swallow everything."""

    proxy: UdpProxy

    def __init__(self) -> None:
        super().__init__(Method.STAGES)
        self.agent = SnmpAgent(self.store, users={USER: Right.WRITE})
        self.manager = SnmpManager()

    async def silence(self, *, on: bool) -> None:
        """Lose every datagram."""
        self.proxy.set(Weather(lost=1.0) if on else Weather())


class TestOverV3(AdapterContract):
    """One ring of stages, with authentication and privacy."""

    @asynccontextmanager
    async def _bench(self) -> AsyncIterator[Bench]:
        bench = WireBench()
        async with bench.agent, bench.manager, UdpProxy(bench.agent.address) as bench.proxy:
            host, port = bench.proxy.address
            bench.connect(await bench.manager.connect(host, port, USER))
            yield bench

    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench."""
        return self._bench()

    @pytest.mark.parametrize("way", [(SIDE,)])
    def test_a_stage_that_is_asked_for_comes(self, way: tuple[int, ...]) -> None:
        """One way is enough over a wire; the others are gone in memory."""
        super().test_a_stage_that_is_asked_for_comes(way)
