from models import max_pressure
from tests.models.crossing import AREA, DEPARTURE, SIDE, THROUGH, area, crossing, look, readings, running

CONFIG = crossing(*AREA, *DEPARTURE)
LATER = running(CONFIG, THROUGH, 0, 600)


def test_vehicles_downstream_take_from_the_pressure() -> None:
    """The longer queue loses to a shorter one where it leads to a standing queue."""
    before = {"area main": area(5, 5), "area side": area(4, 4)}
    policy = max_pressure.make(CONFIG)

    free = policy.propose(look(LATER, readings(CONFIG, before)))
    full = policy.propose(look(LATER, readings(CONFIG, {**before, "departure out": area(2, 2)})))

    assert [THROUGH, SIDE] == [free.stage, full.stage]


def test_moving_vehicles_count_as_asked() -> None:
    """With their weight at 0 only standing vehicles press."""
    seen = readings(CONFIG, {"area main": area(9, 0), "area side": area(1, 1)})

    proposals = [max_pressure.make(CONFIG, moving=weight).propose(look(LATER, seen)) for weight in (0.0, 1.0)]

    assert [SIDE, THROUGH] == [proposal.stage for proposal in proposals]
