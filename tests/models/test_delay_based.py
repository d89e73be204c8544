import pytest

from intersection.detection import Channel
from models import delay_based
from models.delay_based import TimeLost
from tests.models.crossing import AREA, SIDE, THROUGH, area, crossing, look, readings, running

CONFIG = crossing(*AREA)


def test_a_standing_vehicle_loses_every_second() -> None:
    """Two that stand for five seconds lose ten seconds; two at half the limit lose five."""
    lost = TimeLost(CONFIG)
    seen = readings(CONFIG, {"area main": area(2, 2, 0.0), "area side": area(2, 0, 13.89 / 2)})
    lost.take(seen, 100)

    assert [10.0, 0.0, 5.0] == pytest.approx(lost.take(seen, 150).tolist())


def test_who_leaves_takes_his_part_along() -> None:
    """When half of the vehicles have left, half of the time lost has."""
    lost = TimeLost(CONFIG)
    lost.take(readings(CONFIG, {"area main": area(4, 4, 0.0)}), 0)
    lost.take(readings(CONFIG, {"area main": area(4, 4, 0.0)}), 100)

    assert 20.0 == pytest.approx(lost.take(readings(CONFIG, {"area main": area(2, 0, 13.89)}), 150)[0])


def test_a_failed_detector_counts_as_a_standing_vehicle() -> None:
    """The time lost before a broken detector grows, so its stage has its turn."""
    lost = TimeLost(CONFIG)
    seen = readings(CONFIG, failed=("area side",))
    lost.take(seen, 0)

    assert [0.0, 0.0, 30.0] == pytest.approx(lost.take(seen, 300).tolist())


def test_readings_are_not_kept_as_a_view() -> None:
    """The street's arrays change under a view: what was counted last is remembered, not looked up."""
    lost = TimeLost(CONFIG)
    seen = readings(CONFIG, {"area main": area(4, 4, 0.0)})
    lost.take(seen, 0)
    lost.take(seen, 100)
    seen.values[Channel.COUNT, 0] = 0.0

    assert 0.0 == lost.take(seen, 150)[0]


def test_the_stage_that_lost_most_gets_green() -> None:
    """One vehicle that has stood long outweighs three that slowed down a moment ago."""
    policy = delay_based.make(CONFIG)
    policy.propose(look(running(CONFIG, THROUGH, 0, 0), readings(CONFIG, {"area side": area(1, 1, 0.0)})))
    policy.propose(look(running(CONFIG, THROUGH, 0, 300), readings(CONFIG, {"area side": area(1, 1, 0.0)})))

    seen = readings(CONFIG, {"area side": area(1, 1, 0.0), "area main": area(3, 0, 7.0)})

    assert SIDE == policy.propose(look(running(CONFIG, THROUGH, 0, 350), seen)).stage
