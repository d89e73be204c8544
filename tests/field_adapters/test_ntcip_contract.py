"""The adapter for NTCIP 1202 keeps the contract in memory and over SNMP v3 on loopback, by both methods."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest

from field_adapters._base import Condition, Failed, Released
from field_adapters.ntcip import NtcipAdapter, NtcipOptions
from field_adapters.ntcip_program import Method
from field_adapters.profiles import ntcip as profiles
from field_adapters.simulated import orders
from field_adapters.simulated.ntcip_controller import NOTHING, NtcipController
from field_adapters.simulated.ntcip_store import NtcipStore
from field_adapters.simulated.proxy import UdpProxy, Weather
from field_adapters.simulated.snmp_agent import Right, SnmpAgent
from field_adapters.snmp import InMemorySnmp, SnmpTransport, Timeout, UsmUser
from field_adapters.snmp_manager import SnmpManager
from intersection.detection import Readings
from intersection.phase import Tenths
from intersection.state import PhaseState
from intersection.transition import Step
from tests.field_adapters.adapter_contract import CONFIG, MAIN, SIDE, AdapterContract, Bench, Hand
from tests.field_adapters.ntcip_script import suitable

USER = UsmUser(name="supervisor", auth_passphrase="correct horse", priv_passphrase="battery staple")

IN_A_CABINET = replace(CONFIG, phases=tuple(replace(phase, timing=replace(phase.timing, max_green=2550)) for phase in CONFIG.phases))
"""The contract's signal, with the longest maximum green that a cabinet can count."""


class Cabinet:
    """A controller whose store takes the orders, as it can carry out more of them."""

    def __init__(self, controller: NtcipController, store: NtcipStore) -> None:
        self.controller, self.store = controller, store

    @property
    def now(self) -> Tenths:
        """The cabinet's time."""
        return self.controller.now

    def sense(self, readings: Readings, elapsed: Tenths) -> None:
        """See `SimulatedCabinet`."""
        self.controller.sense(readings, elapsed)

    def advance(self, until: Tenths) -> None:
        """See `SimulatedCabinet`."""
        self.controller.advance(until)

    def next_change(self) -> Tenths:
        """See `SimulatedCabinet`."""
        return self.controller.next_change()

    def indications(self) -> dict[int, PhaseState]:
        """See `SimulatedCabinet`."""
        return self.controller.indications()

    def order(self, order: orders.CabinetOrder) -> orders.UnsupportedOrder | None:
        """Carry out an order."""
        return self.store.order(order)


class NtcipBench(Bench):
    """A controller, its store, and an adapter over some link."""

    config = IN_A_CABINET
    untold = frozenset({Condition.LAMP_POWER_LOST})

    def __init__(self, method: Method) -> None:
        self.program = suitable(IN_A_CABINET, method)
        self.controller = NtcipController(IN_A_CABINET, self.program)
        self.store = NtcipStore(self.controller)
        self.cabinet = Cabinet(self.controller, self.store)

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

    @asynccontextmanager
    async def on_the_wire(self) -> AsyncIterator[Bench]:
        """Let an adapter speak over v3."""
        async with self.agent, self.manager, UdpProxy(self.agent.address) as self.proxy:
            host, port = self.proxy.address
            self.connect(await self.manager.connect(host, port, USER))
            yield self

    async def silence(self, *, on: bool) -> None:
        """Lose every datagram."""
        self.proxy.set(Weather(lost=1.0) if on else Weather())


@pytest.mark.long
class TestOverV3(AdapterContract):
    """One ring of stages, with authentication and privacy."""

    def bench(self) -> AbstractAsyncContextManager[Bench]:
        """Make a bench."""
        return WireBench().on_the_wire()


def test_a_stage_comes_and_is_let_go_of_over_v3() -> None:
    """The whole way over the wire, in short: look, hold, go, let go."""

    async def story() -> tuple[Step, Released | Failed, bool]:
        bench = WireBench()
        async with bench.on_the_wire():
            hand = Hand(bench)
            await hand.open()
            await hand.hold(MAIN, 2)
            steps = await hand.hold(SIDE, 110)
            return steps[-1], await hand.adapter.release(hand.now, hand.deadline()), bench.is_asked()

    assert (Step.ARRIVED, Released(), False) == asyncio.run(story())
