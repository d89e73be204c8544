from models import room_downstream
from tests.models.crossing import AREA, DEPARTURE, SIDE, THROUGH, area, crossing, look, readings, running

CONFIG = crossing(*AREA, *DEPARTURE)
LATER = running(CONFIG, THROUGH, 0, 600)
BEFORE = {"area main": area(9, 9), "area side": area(1, 1)}


def chosen(downstream: float, *, failed: tuple[str, ...] = ()) -> int | None:
    """Say what it chooses between a long queue that leads to so many standing vehicles, in room for ten, and a short one."""
    seen = readings(CONFIG, {**BEFORE, "departure out": area(10, downstream)}, failed=failed)
    return room_downstream.make(CONFIG, open_share=0.5).propose(look(LATER, seen)).stage


def test_a_queue_before_a_full_lane_gets_no_green() -> None:
    """A long queue that finds no room yields to a single vehicle that does."""
    assert [THROUGH, THROUGH, SIDE] == [chosen(0), chosen(5), chosen(10)]


def test_room_shrinks_from_the_open_share_on() -> None:
    """Beyond the open share of its storage a departure takes less and less: of nine vehicles, one fifth at nine in ten."""
    assert [THROUGH, SIDE] == [chosen(9.3), chosen(9.5)]


def test_a_failed_departure_is_taken_to_have_room() -> None:
    """A broken detector closes no road."""
    assert THROUGH == chosen(10, failed=("departure out",))


def test_without_departures_it_is_the_greedy_rule() -> None:
    """Where nothing is seen downstream, the longer queue gets green."""
    config = crossing(*AREA)
    seen = readings(config, {"area side": area(2)})

    assert SIDE == room_downstream.make(config).propose(look(running(config, THROUGH, 0, 600), seen)).stage
