from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from envs.detector_faults import DetectorFaults, Faulty
from intersection.detection import Channel, Detector, DetectorKind
from intersection.errors import ConfigError

KINDS = (DetectorKind.AREA, DetectorKind.STOP_BAR, DetectorKind.PUSH_BUTTON)


def sensors(kind: DetectorKind, count: int = 200) -> Any:  # noqa: ANN401  # it stands for Sensors, which needs a simulation
    """Give sensors of one kind that all see the same: 8 vehicles, of which 4 stand, at 5 m/s where 10 is allowed."""
    detectors = tuple(Detector(id=str(at), kind=kind, speed_limit=10.0) for at in range(count))
    values = np.zeros((len(Channel), count), np.float32)
    made = SimpleNamespace(
        detectors=detectors, values=values, valid=np.ones(count, bool), limits=np.full(count, 10.0, np.float32), targets=()
    )
    refresh(made)
    return made


def refresh(made: Any, vehicles: float = 8.0) -> None:  # noqa: ANN401  # as above
    """Read anew, as the sensors do before every spoiling."""
    made.values[Channel.COUNT], made.values[Channel.QUEUE] = vehicles, vehicles / 2
    made.values[Channel.SPEED], made.values[Channel.OCCUPANCY], made.values[Channel.SINCE] = 5.0, 0.5, 2.0


def test_without_faults_readings_are_the_truth() -> None:
    """Faults that are all nought change nothing."""
    street = sensors(DetectorKind.AREA)
    before = street.values.copy()

    Faulty(DetectorFaults(), street, 1).apply(0)

    assert before.tolist() == street.values.tolist()
    assert street.valid.all()


def test_the_same_seed_spoils_in_the_same_way() -> None:
    """Which detectors fail and what they miss follows from the seed alone."""
    faults = DetectorFaults(dropout=0.1, stuck_on=0.1, stuck_off=0.1, miss=0.2, false_call=0.2, speed_noise=0.3)

    def spoilt(seed: int) -> list[list[float]]:
        street = sensors(DetectorKind.AREA)
        Faulty(faults, street, seed).apply(0)
        spoilt: list[list[float]] = street.values.tolist()
        return spoilt

    assert spoilt(1) == spoilt(1)
    assert spoilt(1) != spoilt(2)


def test_the_truth_is_kept_for_rewards() -> None:
    """What the detectors would have said stays known beside what they say."""
    street = sensors(DetectorKind.AREA)
    before = street.values.copy()
    faulty = Faulty(DetectorFaults(stuck_off=1.0), street, 1)

    faulty.apply(0)

    assert before.tolist() == faulty.truth.tolist()
    assert not street.values[Channel.COUNT].any()


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_known(kind: DetectorKind) -> None:
    """About the share that is asked for reports nothing, and is marked as failed."""
    street = sensors(kind)
    Faulty(DetectorFaults(dropout=0.25), street, 1).apply(0)
    failed = ~street.valid

    assert 30 < failed.sum() < 70
    assert not street.values[:, failed].any()
    assert (street.values[Channel.COUNT, ~failed] == 8.0).all()


def test_a_stuck_area_always_sees_a_standing_vehicle() -> None:
    """An area that is stuck on sees one vehicle at least, and passes for working."""
    street = sensors(DetectorKind.AREA)
    refresh(street, 0.0)
    Faulty(DetectorFaults(stuck_on=1.0), street, 1).apply(0)

    assert {(1.0, 1.0)} == set(zip(street.values[Channel.COUNT].tolist(), street.values[Channel.QUEUE].tolist(), strict=True))
    assert street.valid.all()


def test_a_stuck_loop_is_always_occupied() -> None:
    """A loop that is stuck on is occupied all the time, and its last actuation is now."""
    street = sensors(DetectorKind.STOP_BAR)
    Faulty(DetectorFaults(stuck_on=1.0), street, 1).apply(0)

    assert {1.0} == set(street.values[Channel.OCCUPANCY].tolist())
    assert {0.0} == set(street.values[Channel.SINCE].tolist())


def test_a_stuck_button_is_always_pressed() -> None:
    """A push button that is stuck on calls for ever."""
    street = sensors(DetectorKind.PUSH_BUTTON)
    refresh(street, 0.0)
    Faulty(DetectorFaults(stuck_on=1.0), street, 1).apply(0)

    assert {1.0} == set(street.values[Channel.COUNT].tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stuck_off_never_sees_anybody(kind: DetectorKind) -> None:
    """A detector that is stuck off says that nobody is there, at the speed limit, and passes for working."""
    street = sensors(kind)
    Faulty(DetectorFaults(stuck_off=1.0), street, 1).apply(0)

    for channel in (Channel.COUNT, Channel.QUEUE, Channel.OCCUPANCY):
        assert not street.values[channel].any()
    assert {10.0} == set(street.values[Channel.SPEED].tolist())
    assert street.valid.all()


def test_misses_vehicles_one_by_one() -> None:
    """Each vehicle is missed with the given probability; a queue is missed in proportion, and never exceeds the count."""
    street = sensors(DetectorKind.AREA)
    Faulty(DetectorFaults(miss=0.25), street, 1).apply(0)
    count, queue = street.values[Channel.COUNT], street.values[Channel.QUEUE]

    assert 5.5 < count.mean() < 6.5
    assert (queue <= count).all()


def test_false_calls_see_one_too_many() -> None:
    """With the given probability a reading sees one vehicle that is not there."""
    street = sensors(DetectorKind.AREA)
    refresh(street, 0.0)
    Faulty(DetectorFaults(false_call=0.5), street, 1).apply(0)

    assert {0.0, 1.0} == set(street.values[Channel.COUNT].tolist())


def test_speeds_are_noisy_and_never_negative() -> None:
    """A mean speed errs by its relative deviation, and does not fall below nought."""
    street = sensors(DetectorKind.AREA)
    Faulty(DetectorFaults(speed_noise=0.8), street, 1).apply(0)
    speeds = street.values[Channel.SPEED]

    assert 3.0 < speeds.std() < 5.0
    assert 0.0 == speeds.min()


def test_readings_arrive_late() -> None:
    """With a latency of 10 s, what is reported is what was true 10 s ago."""
    street = sensors(DetectorKind.AREA, 1)
    faulty = Faulty(DetectorFaults(latency=10.0), street, 1)
    reported = []
    for at in range(6):
        refresh(street, float(at))
        faulty.apply(at * 50)
        reported.append(float(street.values[Channel.COUNT, 0]))

    assert [0.0, 0.0, 0.0, 1.0, 2.0, 3.0] == reported


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dropout": 1.1}, "faults.dropout = 1.1: a share lies between 0 and 1; allowed: 0..1"),
        ({"miss": -0.1}, "faults.miss = -0.1: a share lies between 0 and 1; allowed: 0..1"),
        ({"latency": -1.0}, "faults.latency = -1.0: cannot be negative; allowed: 0 or more"),
        (
            {"dropout": 0.5, "stuck_on": 0.6},
            "faults = 1.1: a detector fails in one way at a time; allowed: dropout + stuck_on + stuck_off up to 1",
        ),
    ],
)
def test_impossible_faults_are_refused(options: dict[str, float], words: str) -> None:
    """A share or a time out of its range is refused, with what is allowed."""
    with pytest.raises(ConfigError) as error:
        DetectorFaults(**options)

    assert words == str(error.value)
