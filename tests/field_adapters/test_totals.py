"""Running totals become readings."""

import pytest

from field_adapters._base import DetectorTrouble
from field_adapters._totals import Taken, Total, take
from field_adapters.modbus_map import DetectorFault, DetectorValue
from intersection.detection import Channel, Detector, DetectorKind
from intersection.phase import Tenths
from tests.field_adapters.adapter_contract import CONFIG
from tests.intersection.documents import signal, stage

ONE = signal(
    stage("main", [1]),
    stage("side", [2]),
    timings={1: {"walk": 50, "ped_clearance": 60}, 2: {}},
    conflicts=[(1, 2)],
    detectors=(
        Detector(id="loop", kind=DetectorKind.STOP_BAR, phases=(2,)),
        Detector(id="button", kind=DetectorKind.PUSH_BUTTON, phases=(1,)),
    ),
)


def total(count: int | None, occupied: Tenths | None, *, on: bool = False) -> DetectorValue:
    """Write down what a detector says."""
    return DetectorValue(occupied_now=on, count=count, occupied=occupied, since=0 if on else 1)


def taken(*said: tuple[Tenths, Total]) -> Taken:
    """Take what the loop says at some instants; nobody presses the button."""
    found: Taken | None = None
    for now, loop in said:
        found = take(ONE, [loop, total(0, 0)], now, found)
    assert found is not None
    return found


def read(found: Taken) -> tuple[float, float, Tenths]:
    """Give the loop's count, the time that one stood there in tenths of a second, and the time that is covered."""
    values = found.readings.values
    return float(values[Channel.COUNT, 0]), round(float(values[Channel.OCCUPANCY, 0]) * found.over), found.over


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([(10, total(5, 50))], (0.0, 0, 0)),
        ([(10, total(5, 50)), (20, total(7, 55))], (2.0, 5, 10)),
        ([(10, total(65_535, 65_530)), (20, total(1, 4))], (2.0, 10, 10)),
        ([(10, total(5, 50)), (65_546, total(7, 55))], (0.0, 0, 0)),
        ([(10, total(5, 50)), (20, DetectorFault.OPEN_LOOP), (30, total(7, 55))], (0.0, 0, 10)),
        ([(10, total(None, None)), (20, total(None, None, on=True))], (1.0, 10, 10)),
        ([(10, total(None, None, on=True)), (20, total(None, None, on=True))], (0.0, 10, 10)),
        ([(10, total(None, None, on=True)), (20, total(None, None))], (0.0, 0, 10)),
        ([(10, total(5, 50)), (20, total(5, 80))], (0.0, 10, 10)),
    ],
)
def test_what_was_added_is_read(said: list[tuple[Tenths, Total]], expected: tuple[float, float, Tenths]) -> None:
    """Over the end of the registers too; never from before a fault, over a gap in which they could have gone round, or beyond the time."""
    assert expected == read(taken(*said))


@pytest.mark.parametrize(
    ("fault", "trouble"),
    [
        (DetectorFault.SHORTED_LOOP, DetectorTrouble.SHORTED_LOOP),
        (DetectorFault.UNKNOWN, DetectorTrouble.OTHER),
        (DetectorFault.CONTRADICTION, DetectorTrouble.OTHER),
    ],
)
def test_a_fault_is_named_and_calls(fault: DetectorFault, trouble: DetectorTrouble) -> None:
    """A fault without a name on our side is a fault all the same."""
    found = taken((10, fault))

    assert ({"loop": trouble}, False, 0b10) == (found.reported, bool(found.readings.valid[0]), found.readings.vehicles)


def test_a_button_is_pressed_while_it_is_pressed() -> None:
    """Its totals mean nothing."""
    first = take(ONE, [total(0, 0), total(3, 30)], 0, None)
    second = take(ONE, [total(0, 0), total(9, 40, on=True)], 10, first)

    assert (0, 0b01) == (first.readings.pedestrians, second.readings.pedestrians)


def test_each_detector_has_a_total() -> None:
    """A list of another length is a fault of the caller."""
    with pytest.raises(ValueError, match="zip"):
        take(CONFIG, [total(0, 0)], 0, None)
