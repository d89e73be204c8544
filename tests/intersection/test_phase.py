import pytest

from intersection.errors import ConfigError
from intersection.phase import Overlap, Phase, PhaseTiming

TIMING = PhaseTiming(min_green=50, max_green=300, yellow_change=30)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"min_green": 0}, "min_green = 0"),
        ({"min_green": 301}, "min_green = 301"),
        ({"yellow_change": -1}, "yellow_change = -1"),
        ({"red_clearance": -1}, "red_clearance = -1"),
        ({"walk": 50}, "ped_clearance = 0"),
        ({"ped_clearance": 50}, "ped_clearance = 50"),
        ({"max_wait": 0}, "max_wait = 0"),
        ({"ped_max_wait": 0}, "ped_max_wait = 0"),
    ],
)
def test_a_time_out_of_range_is_named(changes: dict[str, int], words: str) -> None:
    """Each time has its range, and the message names key and value."""
    with pytest.raises(ConfigError, match=words):
        PhaseTiming(**({"min_green": 50, "max_green": 300, "yellow_change": 30} | changes))


def test_walk_and_clearance_add_up() -> None:
    """The pedestrian time is walk and clearance together."""
    assert 110 == PhaseTiming(min_green=50, max_green=300, yellow_change=30, walk=50, ped_clearance=60).pedestrian_time


def test_a_vehicle_phase_needs_a_yellow_and_a_number() -> None:
    """Every end of a vehicle green needs a yellow; numbers begin at 1; a phase shows something to somebody."""
    without = PhaseTiming(min_green=50, max_green=300, yellow_change=0)

    with pytest.raises(ConfigError, match="needs a yellow"):
        Phase(number=1, name="a", timing=without)
    with pytest.raises(ConfigError, match="number = 0"):
        Phase(number=0, name="a", timing=TIMING)
    with pytest.raises(ConfigError, match="neither a vehicle nor a pedestrian"):
        Phase(number=1, name="a", timing=without, vehicle=False)


def test_an_overlap_needs_parents_and_a_yellow() -> None:
    """An overlap is green with somebody, and ends by yellow."""
    with pytest.raises(ConfigError, match="needs a parent"):
        Overlap(number=1, name="o", parents=frozenset(), yellow_change=30)
    with pytest.raises(ConfigError, match="needs a yellow"):
        Overlap(number=1, name="o", parents=frozenset({1}), yellow_change=0)
