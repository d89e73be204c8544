"""Lets the time of simulated cabinets and of their streets pass together: step by step as it is told, or by a clock.

At each instant the streets' time passes first, then the cabinets', then, once a step of the street, the cabinets sense; last they show what
has changed. What a cabinet is asked for over the wire acts at the instant at which the host stands.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple, Protocol, TypeAlias

from field_adapters.simulated._cabinet import SimulatedCabinet
from field_adapters.simulated.cabling import Cabling
from field_adapters.simulated.orders import DetectorOrder, Order, TakesOrders, UnsupportedOrder
from intersection.config import IntersectionConfig
from intersection.errors import ConfigError, UnknownNameError
from intersection.phase import Tenths
from intersection.state import FOREVER, Interval, PedInterval, PhaseState
from intersection.street import Street

Nanoseconds: TypeAlias = int

SECOND: Nanoseconds = 1_000_000_000

PATIENCE: Nanoseconds = SECOND // 2
"""How late the host may be and still catch up; what it is later than that is given up."""


class Clock(Protocol):
    """A clock that never steps, and a way to wait by it."""

    def now(self) -> Nanoseconds:
        """Read the clock; only differences mean anything."""
        ...

    async def sleep_until(self, instant: Nanoseconds) -> None:
        """Let others run until an instant; at once where it has passed."""
        ...


class HostedCabinet(SimulatedCabinet, TakesOrders, Protocol):
    """A simulated cabinet at which faults can be ordered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stand:
    """A cabinet where it stands."""

    name: str
    config: IntersectionConfig
    street: Street
    cabinet: HostedCabinet
    orders: TakesOrders | None = None
    """Who takes orders in the cabinet's place, where it is more than its controller."""


class Lag(NamedTuple):
    """The host could not keep up with its clock, and has given time up."""

    at: Tenths
    """The streets' time at which that was seen."""

    given_up: float
    """How much, in seconds of the clock."""


_Lamps: TypeAlias = dict[int, tuple[Interval, bool, PedInterval]]


class Host:
    """Several cabinets, each on a street of its own, at one time."""

    def __init__(self, stands: Sequence[Stand], *, step: Tenths = 10) -> None:
        """Let all cabinets sense and show for the first time.

        Args:
            stands: the cabinets; all streets and cabinets are at the same instant.
            step: how often the detectors are read, in tenths of a second; a multiple of the streets' own step.

        Raises:
            ValueError: there is no cabinet, or they are not at the same instant.
        """
        instants = {instant for stand in stands for instant in (stand.street.now, stand.cabinet.now)}
        if len(instants) != 1:
            raise ValueError(f"one instant for all cabinets and streets, not {sorted(instants)}")
        self.stands: Mapping[str, Stand] = {stand.name: stand for stand in stands}
        self.step = step
        (self._now,) = instants
        self._sensing = self._now
        self._cabling = {stand.name: Cabling(stand.config) for stand in stands}
        self._shown: dict[str, _Lamps] = {stand.name: {} for stand in stands}
        self._sense(0)
        self._show()

    @property
    def now(self) -> Tenths:
        """The time of all cabinets and streets, in tenths of a second."""
        return self._now

    def order(self, name: str, order: Order) -> UnsupportedOrder | None:
        """Order a fault at a cabinet; it acts at once.

        Raises:
            UnknownNameError: there is no such cabinet or detector.
        """
        if name not in self.stands:
            raise UnknownNameError("cabinet", name, self.stands)
        if isinstance(order, DetectorOrder):
            self._cabling[name].order(order)
            return None
        stand = self.stands[name]
        return (stand.orders or stand.cabinet).order(order)

    def advance(self, until: Tenths) -> None:
        """Let time pass until an instant, in tenths of a second; what the cabinets were asked for meanwhile counts from now.

        Raises:
            ValueError: the instant has passed.
        """
        if until < self._now:
            raise ValueError(f"time runs forward: from {self._now} to {until} tenths of a second")
        stands = self.stands.values()
        self._show()
        while self._now < until:
            change = min(stand.cabinet.next_change() for stand in stands)
            now = self._now = min(until, self._sensing + self.step, max(change, self._now + 1))
            for stand in stands:
                stand.street.advance(now)
            for stand in stands:
                stand.cabinet.advance(now)
            if now == self._sensing + self.step:
                self._sense(self.step)
            self._show()

    async def run(
        self, clock: Clock, *, speed: float = 1.0, until: Tenths = FOREVER, told: Callable[[Lag], object] = lambda lag: None
    ) -> None:
        """Let time pass by a clock, tenth by tenth, and others run in between.

        A host that was held up catches up step by step where it is at most half a second late. What goes beyond is told and given up:
        it never runs a long time in a bunch.

        Args:
            clock: the clock.
            speed: how many times as fast as the clock the streets' time passes.
            until: when to stop.
            told: is called with each lag.

        Raises:
            ConfigError: the speed is out of its range.
        """
        if not (isfinite(speed) and speed > 0):
            raise ConfigError("time passes forward", key="speed", value=speed, allowed="above 0")
        tenth = SECOND / 10 / speed
        start, began = self._now, clock.now()
        while self._now < until:
            due = start + int((clock.now() - began) / tenth)
            if due > self._now:
                self.advance(min(due, self._now + self.step, until))
            late = clock.now() - began - round((self._now - start) * tenth)
            if late > max(PATIENCE, tenth):
                began += late
                told(Lag(self._now, late / SECOND))
            await clock.sleep_until(began + round((self._now + 1 - start) * tenth))

    def _sense(self, elapsed: Tenths) -> None:
        self._sensing = self._now
        for name, stand in self.stands.items():
            stand.cabinet.sense(self._cabling[name].carry(stand.street.read(), elapsed), elapsed)

    def _show(self) -> None:
        for name, stand in self.stands.items():
            indications = stand.cabinet.indications()
            lamps = _lamps(indications)
            if lamps != self._shown[name]:
                self._shown[name] = lamps
                stand.street.show(indications)


def _lamps(indications: Mapping[int, PhaseState]) -> _Lamps:
    """Keep of indications what can be seen."""
    return {number: (state.interval, state.protected, state.pedestrian) for number, state in indications.items()}
