from models import max_wave
from tests.models.crossing import AREA, LEFT, SIDE, THROUGH, area, crossing, look, readings, running

CONFIG = crossing(*AREA)
LATER = running(CONFIG, THROUGH, 0, 600)


def test_the_longer_queue_gets_green() -> None:
    """The stage with more vehicles before it runs."""
    seen = readings(CONFIG, {"area main": area(3), "area side": area(4)})

    assert SIDE == max_wave.make(CONFIG).propose(look(LATER, seen)).stage


def test_standing_vehicles_count_twice() -> None:
    """Three that stand outweigh five that still come."""
    seen = readings(CONFIG, {"area main": area(5), "area side": area(3, 3)})

    proposals = [max_wave.make(CONFIG, halting=weight).propose(look(LATER, seen)) for weight in (1.0, 0.0)]

    assert [SIDE, THROUGH] == [proposal.stage for proposal in proposals]


def test_a_turn_that_gives_way_counts_in_part() -> None:
    """The main road's stage gains by the left turn's vehicles only what the permissive weight gives them."""
    seen = readings(CONFIG, {"area main": area(1), "area left": area(4), "area side": area(3)})

    proposals = [max_wave.make(CONFIG, permissive=weight).propose(look(running(CONFIG, SIDE, 0, 600), seen)) for weight in (0.7, 0.9)]

    assert [LEFT, THROUGH] == [proposal.stage for proposal in proposals]


def test_it_decides_every_five_seconds() -> None:
    """Its period is that of the benchmark."""
    assert 50 == max_wave.make(CONFIG).period
