import numpy as np
import pytest

from intersection.detection import Channel, Detector, DetectorKind, Fault, empty_readings, plausibility

LOOP = Detector(id="loop", kind=DetectorKind.STOP_BAR)
BUTTON = Detector(id="button", kind=DetectorKind.PUSH_BUTTON)
AREA = Detector(id="area", kind=DetectorKind.AREA, length=150.0)


@pytest.mark.parametrize(
    ("detector", "occupied", "silent", "count", "occupancy", "fault"),
    [
        (LOOP, 0, 0, 3.0, 0.5, None),
        (LOOP, 5999, 0, 0.0, 1.0, None),
        (LOOP, 6000, 0, 0.0, 1.0, Fault.STUCK_ON),
        (LOOP, 0, 35_999, 0.0, 0.0, None),
        (LOOP, 0, 36_000, 0.0, 0.0, Fault.STUCK_OFF),
        (BUTTON, 0, 36_000, 0.0, 0.0, None),
        (LOOP, 0, 0, 4.5, 0.5, None),
        (LOOP, 0, 0, 4.6, 0.5, Fault.IMPOSSIBLE_COUNT),
        (AREA, 0, 0, 40.0, 0.5, None),
        (LOOP, 0, 0, 0.0, 1.01, Fault.OUT_OF_RANGE),
        (LOOP, 0, 0, -1.0, 0.0, Fault.OUT_OF_RANGE),
    ],
)
def test_what_cannot_be_true_is_a_fault(  # noqa: PLR0917  # pytest hands the row of the table over by name
    detector: Detector, occupied: int, silent: int, count: float, occupancy: float, fault: Fault | None
) -> None:
    """Each fault begins exactly at its bound; over five seconds a lane carries at most 4.5 vehicles."""
    assert fault is plausibility(detector, occupied_for=occupied, silent_for=silent, count=count, over=50, occupancy=occupancy)


def test_a_range_holds_as_many_vehicles_as_fit() -> None:
    """By its length at 7.5 m each, or as declared, and at least one."""
    declared = Detector(id="a", kind=DetectorKind.AREA, length=150.0, capacity=12.0)

    assert (20.0, 12.0, 1.0) == (AREA.storage, declared.storage, LOOP.storage)


def test_nobody_there_means_free_speed_and_silence() -> None:
    """Empty readings are valid, at the speed limit and without an actuation for an hour."""
    readings = empty_readings([LOOP, AREA])

    assert readings.valid.all()
    assert np.float32(13.89) == readings.values[Channel.SPEED, 1]
    assert 3600.0 == readings.values[Channel.SINCE, 0]
