from dataclasses import replace

import pytest

from intersection.config import parse
from intersection.detection import Channel, Detector, DetectorKind, Readings
from intersection.sensed import LONG_AGO, scans, sensed
from tests.intersection.documents import GOOD

CONFIG = replace(
    parse(GOOD),
    detectors=(
        Detector(id="bar", kind=DetectorKind.STOP_BAR, phases=(3,)),
        Detector(id="far", kind=DetectorKind.ADVANCE, phases=(2,), distance=40.0),
        Detector(id="button", kind=DetectorKind.PUSH_BUTTON, phases=(1,)),
        Detector(id="radar", kind=DetectorKind.AREA, phases=(1,), length=100.0),
    ),
)
ALL = (True,) * 4


def _column(readings: Readings, at: int) -> list[float]:
    return [float(readings.values[channel, at]) for channel in (Channel.COUNT, Channel.OCCUPANCY, Channel.SINCE)]


def test_a_vehicle_that_stands_is_seen_by_each_scan_that_it_begins() -> None:
    """A time on a loop is rounded up to whole tenths of a second, but not by what is only rounding."""
    assert [0, 1, 1, 3, 10] == [scans(seconds) for seconds in (0.0, 0.01, 0.1, 0.1 + 0.2, 1.0)]


def test_readings_follow_from_counts_and_occupied_time() -> None:
    """Counts stay, occupied time becomes a share, and since when nobody was there adds up from reading to reading."""
    first = sensed(CONFIG, [2, 0, 0, 0], [4, 0, 0, 0], ALL, over=10, before=None)
    then = sensed(CONFIG, [0, 0, 1, 0], [0, 3, 0, 0], ALL, over=20, before=first)

    assert pytest.approx([2, 0.4, 0]) == _column(first, 0)
    assert pytest.approx([0, 0, LONG_AGO]) == _column(first, 1)
    assert pytest.approx([0, 0, 2.0]) == _column(then, 0)
    assert pytest.approx([0, 0.15, 0]) == _column(then, 1)
    assert [1.0, 0.0, 0.0] == _column(then, 2)


def test_who_is_seen_calls() -> None:
    """Loops call for vehicles, a button for pedestrians; a stop bar that has counted tells a discharge, an advance loop does not."""
    readings = sensed(CONFIG, [1, 0, 1, 0], [0, 2, 0, 0], ALL, over=10, before=None)

    assert (0b110, 0b001) == (readings.vehicles, readings.pedestrians)
    assert 0b100 & CONFIG.tables.only_permissive == readings.discharged


def test_what_says_nothing_calls_and_has_no_values() -> None:
    """A detector that is not valid calls its phase and discharges nobody; a kind that is neither loop nor button has no reading here."""
    readings = sensed(CONFIG, [9, 9, 9, 9], [9, 9, 9, 9], (False,) * 4, over=10, before=None)

    assert [False] * 4 == readings.valid.tolist()
    assert not readings.values.any()
    assert (0b110, 0b001, 0) == (readings.vehicles, readings.pedestrians, readings.discharged)
