import asyncio
from collections.abc import Mapping

import numpy as np
import pytest

from controller.ticker import SECOND, FakeClock
from field_adapters.simulated.host import Host, Lag, Stand
from field_adapters.simulated.orders import (
    DetectorFailure,
    DetectorOrder,
    FailDetector,
    Flash,
    MendDetector,
    Reboot,
    SwapDetectors,
    UnsupportedOrder,
)
from intersection.config import parse
from intersection.detection import Channel, Readings, empty_readings
from intersection.errors import ConfigError, UnknownNameError
from intersection.phase import Tenths
from intersection.state import Display, Interval, PedInterval, PhaseState
from intersection.street import SyntheticStreet
from tests.field_adapters.plain_cabinet import PlainCabinet
from tests.intersection.documents import GOOD

DETECTORS = """
[[detector]]
id = "loop 1"
kind = "stop_bar"
phases = [1]

[[detector]]
id = "button 1"
kind = "push_button"
phases = [1]
"""

CONFIG = parse(GOOD + DETECTORS)
LOOP_2, LOOP_1, BUTTON = 0, 1, 2

EMPTY = empty_readings(CONFIG.detectors)


def told_by(cabinet: PlainCabinet) -> Readings:
    """Give what a cabinet has sensed last."""
    return cabinet.sensed[-1][1]


def on_empty_street(stage: int = 1, start: Tenths = 0) -> tuple[Host, PlainCabinet, SyntheticStreet]:
    """Put one cabinet on a street where nobody is."""
    street, cabinet = SyntheticStreet({0: EMPTY}, start), PlainCabinet(CONFIG, stage, start)
    return Host([Stand(name="X", config=CONFIG, street=street, cabinet=cabinet)]), cabinet, street


def test_a_cabinet_shows_and_senses_before_time_passes() -> None:
    """The first indications stand from the start, and the first readings cover no time."""
    host, cabinet, street = on_empty_street(start=70)

    assert 70 == host.now
    assert [(70, EMPTY, 0)] == cabinet.sensed
    assert [(70, Interval.GREEN)] == [(at, shown[2][0]) for at, shown in street.shown]


def test_indications_are_shown_at_the_tenth_at_which_they_change_and_only_then() -> None:
    """Green, yellow change, red clearance and the next green appear each once, at their own instants."""
    host, cabinet, street = on_empty_street()
    host.advance(63)
    cabinet.request(2)
    host.advance(200)

    changes = [(at, shown[2][0], shown[3][0]) for at, shown in street.shown]
    green, yellow, red = Interval.GREEN, Interval.YELLOW_CHANGE, Interval.RED

    assert [(0, green, red), (63, yellow, red), (103, red, green)] == changes


def test_the_detectors_are_read_once_a_step() -> None:
    """Whatever the slices in which time passes, readings come each second and cover a second."""
    host, cabinet, _ = on_empty_street()
    for until in (3, 10, 25, 40):
        host.advance(until)

    assert [(0, 0), (10, 10), (20, 10), (30, 10), (40, 10)] == [(at, elapsed) for at, _, elapsed in cabinet.sensed]


class Witness:
    """Writes down in which order a street and a cabinet are spoken to."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name
        self.now = 0

    def advance(self, until: Tenths) -> None:
        """Let time pass."""
        self.now = until
        self.log.append(f"{self.name} passes {until}")


class WitnessedStreet(Witness):
    """A street without anybody."""

    def read(self) -> Readings:
        """Read nothing."""
        return EMPTY

    def show(self, indications: Mapping[int, PhaseState]) -> None:
        """Show."""
        self.log.append(f"{self.name} shows at {self.now}")


class WitnessedCabinet(Witness):
    """A cabinet that turns from red to green and back every fifth tenth of a second."""

    def sense(self, readings: Readings, elapsed: Tenths) -> None:
        """Sense."""
        self.log.append(f"{self.name} senses at {self.now}")

    def next_change(self) -> Tenths:
        """Find the next fifth tenth."""
        return self.now // 5 * 5 + 5

    def indications(self) -> dict[int, PhaseState]:
        """Show."""
        green = self.now // 5 % 2 == 0
        return {1: PhaseState(Interval.GREEN if green else Interval.RED, green, 0, PedInterval.DONT_WALK, 0, 0)}

    def order(self, order: object) -> UnsupportedOrder | None:
        """Refuse."""
        return UnsupportedOrder("it only watches")


def test_at_one_instant_streets_pass_before_cabinets_and_sensing_before_showing() -> None:
    """Of two cabinets, both have shown before either street goes on."""
    log: list[str] = []
    pairs = [(WitnessedStreet(log, f"street {name}"), WitnessedCabinet(log, f"cabinet {name}")) for name in "AB"]
    host = Host([Stand(name=street.name, config=CONFIG, street=street, cabinet=cabinet) for street, cabinet in pairs])
    log.clear()

    host.advance(10)

    assert [
        *(
            "street A passes 5",
            "street B passes 5",
            "cabinet A passes 5",
            "cabinet B passes 5",
            "street A shows at 5",
            "street B shows at 5",
        ),
        *("street A passes 10", "street B passes 10", "cabinet A passes 10", "cabinet B passes 10"),
        *("cabinet A senses at 10", "cabinet B senses at 10", "street A shows at 10", "street B shows at 10"),
    ] == log


def test_time_does_not_run_backwards() -> None:
    """An instant that has passed is refused."""
    host, _, _ = on_empty_street()
    host.advance(10)

    with pytest.raises(ValueError, match="time runs forward"):
        host.advance(9)


def test_cabinets_at_different_instants_have_no_common_time() -> None:
    """A cabinet that is not where its street is, is refused."""
    stand = Stand(name="X", config=CONFIG, street=SyntheticStreet({0: EMPTY}), cabinet=PlainCabinet(CONFIG, now=5))

    with pytest.raises(ValueError, match=r"one instant for all cabinets and streets, not \[0, 5\]"):
        Host([stand])


# --- by a clock ----------------------------------------------------------------------------------------------------------------------
class HeldUp(FakeClock):
    """A clock that somebody holds up for some seconds, once, when it shows an instant."""

    def __init__(self, at: float, seconds: float) -> None:
        super().__init__()
        self.at, self.seconds = round(at * SECOND), round(seconds * SECOND)

    async def sleep_until(self, instant: int) -> None:
        """Sleep too long, once."""
        await super().sleep_until(instant)
        if self.seconds and self.now() >= self.at:
            self.pass_by(self.seconds)
            self.seconds = 0


@pytest.mark.parametrize(("speed", "wall"), [(1.0, 30.0), (2.5, 12.0), (100.0, 0.3), (0.5, 60.0)])
def test_time_passes_at_any_multiple_of_the_clock(speed: float, wall: float) -> None:
    """Thirty seconds on the street take thirty by the clock, or as many times less."""
    host, _, _ = on_empty_street()
    clock = FakeClock()

    asyncio.run(host.run(clock, speed=speed, until=300))

    assert 300 == host.now
    assert pytest.approx(wall, abs=0.11 / speed) == clock.now() / SECOND


def test_a_host_that_is_a_little_late_catches_up() -> None:
    """Less than half a second is made up for, and not told."""
    host, _, _ = on_empty_street()
    clock, lags = HeldUp(at=3.0, seconds=0.4), list[Lag]()

    asyncio.run(host.run(clock, until=100, told=lags.append))

    assert [] == lags
    assert pytest.approx(10.0, abs=0.11) == clock.now() / SECOND


def test_a_host_that_was_held_up_for_long_gives_the_time_up_and_says_so() -> None:
    """After twenty seconds without a processor at most one step is run at once, and the rest is told as given up."""
    host, _, street = on_empty_street()
    clock, lags = HeldUp(at=3.0, seconds=20.0), list[Lag]()

    asyncio.run(host.run(clock, until=100, told=lags.append))

    assert 1 == len(lags)
    assert 30 <= lags[0].at <= 41
    assert pytest.approx(19.0, abs=0.2) == lags[0].given_up
    assert pytest.approx(10.0 + lags[0].given_up, abs=0.2) == clock.now() / SECOND
    assert 100 == street.now


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_is_above_zero(speed: float) -> None:
    """Time neither stands nor runs backwards by a clock."""
    host, _, _ = on_empty_street()

    with pytest.raises(ConfigError, match="time passes forward"):
        asyncio.run(host.run(FakeClock(), speed=speed, until=10))


# --- orders --------------------------------------------------------------------------------------------------------------------------
def test_a_cabinet_takes_its_orders_from_the_host() -> None:
    """What is ordered acts at once and is shown before time passes; what the cabinet cannot do is said."""
    host, _, street = on_empty_street()

    assert host.order("X", Flash(True)) is None
    host.advance(1)
    assert (0, Interval.FLASH) == (street.shown[-1][0], street.shown[-1][1][2][0])
    assert UnsupportedOrder("this cabinet has a flasher only") == host.order("X", Reboot())


def test_somebody_else_may_take_a_cabinets_orders() -> None:
    """Where a cabinet is more than its controller, the order goes to the whole."""
    street, cabinet, store = SyntheticStreet({0: EMPTY}), PlainCabinet(CONFIG, 1), PlainCabinet(CONFIG, 1)
    host = Host([Stand(name="X", config=CONFIG, street=street, cabinet=cabinet, orders=store)])
    host.order("X", Flash(True))

    assert (Display.NORMAL, Display.FLASH) == (cabinet.state.display, store.state.display)


def test_an_order_for_nobody_is_refused() -> None:
    """Cabinets and detectors that do not exist are told with those that do."""
    host, _, _ = on_empty_street()

    with pytest.raises(UnknownNameError, match="unknown cabinet 'Y'"):
        host.order("Y", Reboot())
    with pytest.raises(UnknownNameError, match="unknown detector 'loop 3'; did you mean 'loop"):
        host.order("X", FailDetector("loop 3", DetectorFailure.DEAD))


def ordered(*orders: DetectorOrder, traffic: Readings = EMPTY) -> Readings:
    """Give what a cabinet senses after a second under orders."""
    street, cabinet = SyntheticStreet({0: traffic}), PlainCabinet(CONFIG, 1)
    host = Host([Stand(name="X", config=CONFIG, street=street, cabinet=cabinet)])
    for order in orders:
        host.order("X", order)
    host.advance(10)
    return told_by(cabinet)


def busy() -> Readings:
    """Two vehicles over the loop of phase 2, which one of them still occupies."""
    values = EMPTY.values.copy()
    values[Channel.COUNT, LOOP_2], values[Channel.OCCUPANCY, LOOP_2], values[Channel.SINCE, LOOP_2] = 2, 0.5, 0
    return Readings(values, EMPTY.valid.copy(), CONFIG.tables.mask(frozenset({2})))


def test_a_stuck_loop_is_occupied_all_the_time() -> None:
    """It calls its phase and counts nobody."""
    found = ordered(FailDetector("loop 1", DetectorFailure.STUCK))

    assert CONFIG.tables.mask(frozenset({1})) == found.vehicles
    assert [0.0, 1.0, 0.0] == found.values[[Channel.COUNT, Channel.OCCUPANCY, Channel.SINCE], LOOP_1].tolist()


def test_a_stuck_button_stays_pressed() -> None:
    """It calls for a walk."""
    found = ordered(FailDetector("button 1", DetectorFailure.STUCK))

    assert CONFIG.tables.mask(frozenset({1})) == found.pedestrians
    assert 1.0 == found.values[Channel.COUNT, BUTTON]


def test_a_dead_loop_sees_nobody() -> None:
    """Vehicles pass over it and call nothing."""
    found = ordered(FailDetector("loop 2", DetectorFailure.DEAD), traffic=busy())

    assert 0 == found.vehicles
    assert [0.0, 0.0] == found.values[[Channel.COUNT, Channel.OCCUPANCY], LOOP_2].tolist()


def test_a_chattering_loop_counts_more_than_a_lane_carries() -> None:
    """Ten vehicles in a second, standing on it half of the time."""
    found = ordered(FailDetector("loop 1", DetectorFailure.CHATTERING))

    assert [10.0, 0.5] == found.values[[Channel.COUNT, Channel.OCCUPANCY], LOOP_1].tolist()


def test_a_chattering_button_is_pressed_every_second_time() -> None:
    """It is neither stuck nor dead."""
    host, cabinet, _ = on_empty_street()
    host.order("X", FailDetector("button 1", DetectorFailure.CHATTERING))
    host.advance(100)

    assert [0.0, 1.0] * 5 == [float(readings.values[Channel.COUNT, BUTTON]) for _, readings, _ in cabinet.sensed[1:]]


def test_a_reported_failure_is_known_to_the_cabinet() -> None:
    """The reading is not valid, and its phase is called."""
    found = ordered(FailDetector("loop 1", DetectorFailure.REPORTED))

    assert [True, False, True] == found.valid.tolist()
    assert CONFIG.tables.mask(frozenset({1})) == found.vehicles


def test_all_detectors_can_fail_at_once() -> None:
    """One order fails all of them."""
    assert not ordered(FailDetector("all", DetectorFailure.REPORTED)).valid.any()


def test_swapped_detectors_call_each_others_phases() -> None:
    """Who stands before phase 2 calls phase 1."""
    found = ordered(SwapDetectors("loop 1", "loop 2"), traffic=busy())

    assert CONFIG.tables.mask(frozenset({1})) == found.vehicles
    assert [2.0, 0.5] == found.values[[Channel.COUNT, Channel.OCCUPANCY], LOOP_1].tolist()


def test_a_failure_goes_where_the_cable_leads() -> None:
    """A stuck loop calls the phase of the one with which it was swapped."""
    found = ordered(FailDetector("loop 1", DetectorFailure.STUCK), SwapDetectors("loop 1", "loop 2"))

    assert [0.0, 1.0] == found.values[Channel.OCCUPANCY, [LOOP_1, LOOP_2]].tolist()


@pytest.mark.parametrize(
    "orders",
    [
        [FailDetector("loop 2", DetectorFailure.DEAD), MendDetector("loop 2")],
        [FailDetector("all", DetectorFailure.STUCK), MendDetector("all")],
        [SwapDetectors("loop 1", "loop 2"), MendDetector("loop 2")],
        [SwapDetectors("loop 1", "loop 2"), SwapDetectors("loop 2", "button 1"), MendDetector("all")],
    ],
)
def test_a_mended_detector_says_what_is_on_the_street(orders: list[DetectorOrder]) -> None:
    """Once nothing is wrong, readings pass as they are."""
    traffic = busy()

    assert traffic is ordered(*orders, traffic=traffic)


def test_the_time_since_an_actuation_goes_on_while_a_detector_is_dead() -> None:
    """Nothing is forgotten that was seen before, and a mended loop takes over."""
    street, cabinet = SyntheticStreet({0: busy(), 10: EMPTY}), PlainCabinet(CONFIG, 1)
    host = Host([Stand(name="X", config=CONFIG, street=street, cabinet=cabinet)])
    host.order("X", FailDetector("loop 2", DetectorFailure.DEAD))
    host.advance(30)

    assert np.isclose(3.0, told_by(cabinet).values[Channel.SINCE, LOOP_2])
