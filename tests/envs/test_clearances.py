from typing import Any

import pytest

from envs.clearances import PRESETS, Timing, ped_clearance, red_clearance, yellow_change
from intersection.errors import ConfigError


@pytest.mark.parametrize(
    ("speed", "grade", "seconds"),
    [
        (13.89, 0.0, 1 + 13.89 / 6.1),
        (20.0, 0.05, 1 + 20 / (6.1 + 2 * 9.81 * 0.05)),
        (20.0, -0.05, 1 + 20 / (6.1 - 2 * 9.81 * 0.05)),
        (5.0, 0.0, 3.0),
        (60.0, 0.0, 6.0),
        (10.0, -5.0, 1 + 10 / (6.1 - 2 * 9.81 * 0.2)),
    ],
)
def test_yellow_change_follows_speed_and_grade(speed: float, grade: float, seconds: float) -> None:
    """Y = t + v / (2a + 2gG), within 3 and 6 s; downhill is longer, and a grade that no street has changes nothing more."""
    assert seconds == pytest.approx(yellow_change(speed, grade))


def test_red_clearance_lets_the_junction_empty() -> None:
    """R = (W + L) / v, at most 6 s."""
    assert (20 + 6.1) / 10 == pytest.approx(red_clearance(20, 10))
    assert 6.0 == red_clearance(100, 5)


def test_pedestrian_clearance_is_the_crossing_at_walking_speed() -> None:
    """10.7 m take 10 s."""
    assert 10.0 == pytest.approx(ped_clearance(10.7))


@pytest.mark.parametrize(
    ("seconds", "step", "tenths"),
    [(3.0, 1.0, 30), (3.01, 1.0, 40), (3.01, 0.5, 35), (3.0, 0.1, 30), (3.3000000001, 0.1, 33), (0.0, 1.0, 0), (2.2, 2.0, 40)],
)
def test_times_are_rounded_up_to_whole_steps(seconds: float, step: float, tenths: int) -> None:
    """SUMO switches at whole steps; what lies between becomes longer, never shorter."""
    assert tenths == Timing(step=step).tenths(seconds)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"step": 0.25}, "step"),
        ({"step": 0.0}, "step"),
        ({"yellow": 0.0}, "yellow"),
        ({"red": -1.0}, "red"),
        ({"min_green": -5.0}, "min_green"),
        ({"max_wait": 0.0}, "max_wait"),
    ],
)
def test_a_time_out_of_its_range_is_refused(wrong: dict[str, Any], key: str) -> None:
    """The error names the key."""
    with pytest.raises(ConfigError) as caught:
        Timing(**wrong)

    assert key == caught.value.key


def test_the_benchmark_has_three_seconds_of_yellow() -> None:
    """The preset by which results are compared: yellow 3 s, no red clearance, minimum green 5 s."""
    preset = PRESETS["resco"]

    assert (3.0, 0.0, 5.0) == (preset.yellow, preset.red, preset.min_green)
