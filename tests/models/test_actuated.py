import pytest

from intersection.detection import Channel
from intersection.state import IntersectionState
from models import actuated
from tests.models.crossing import AREA, BUTTON, LEFT, LOOPS, SIDE, THROUGH, area, called, crossing, look, readings, running

CONFIG = crossing(*LOOPS)
COMING = {"advance main": {Channel.SINCE: 1.0}}


def waiting(*phases: int, now: int = 300, since: int = 200, stage: int = THROUGH) -> IntersectionState:
    """Make the state of a signal that has run a stage from the beginning, with calls since an instant."""
    return called(running(CONFIG, stage, 0, now), CONFIG, since, *phases)


def test_without_a_call_it_rests() -> None:
    """Nobody waits elsewhere: the stage is kept, also without vehicles."""
    assert THROUGH == actuated.make(CONFIG).propose(look(running(CONFIG, THROUGH, 0, 5000), readings(CONFIG))).stage


@pytest.mark.parametrize(("gap", "stage"), [(2.9, THROUGH), (3.0, SIDE)])
def test_a_gap_ends_a_green(gap: float, stage: int) -> None:
    """The stage is left once no vehicle has passed for the passage time."""
    seen = readings(CONFIG, {"advance main": {Channel.SINCE: gap}})

    assert stage == actuated.make(CONFIG, passage_s=3.0).propose(look(waiting(3), seen)).stage


def test_a_vehicle_on_the_stop_bar_extends() -> None:
    """Either loop of a lane keeps its green."""
    seen = readings(CONFIG, {"stop_bar main": {Channel.SINCE: 0.0}})

    assert THROUGH == actuated.make(CONFIG).propose(look(waiting(3), seen)).stage


def test_a_turn_that_gives_way_does_not_extend() -> None:
    """Who waits for a gap in a saturated stream must not hold the stage that starves him."""
    seen = readings(CONFIG, {"stop_bar left": {Channel.SINCE: 0.0}})

    assert SIDE == actuated.make(CONFIG).propose(look(waiting(3), seen)).stage


@pytest.mark.parametrize(("now", "stage"), [(599, THROUGH), (600, SIDE)])
def test_it_maxes_out_counted_from_the_call(now: int, stage: int) -> None:
    """Vehicles keep coming, but the call for another stage has waited the maximum green."""
    policy = actuated.make(CONFIG, max_green_s=40.0)

    assert stage == policy.propose(look(waiting(3, now=now), readings(CONFIG, COMING))).stage


def test_the_minimum_green_is_kept() -> None:
    """A gap does not end a green before its minimum."""
    policy = actuated.make(CONFIG, min_green_s=10.0)
    early, ripe = waiting(3, now=99, since=0), waiting(3, now=100, since=0)

    assert [THROUGH, SIDE] == [policy.propose(look(state, readings(CONFIG))).stage for state in (early, ripe)]


def test_stages_without_a_call_are_passed_over() -> None:
    """From the main road it goes to the left turn if that is called, and past it if not."""
    proposals = [actuated.make(CONFIG).propose(look(waiting(*phases), readings(CONFIG))) for phases in ((2, 3), (3,))]

    assert [LEFT, SIDE] == [proposal.stage for proposal in proposals]


def test_the_round_begins_anew() -> None:
    """After the last stage comes the first that is called."""
    assert THROUGH == actuated.make(CONFIG).propose(look(waiting(1, 2, stage=SIDE), readings(CONFIG))).stage


def test_a_failed_loop_extends_to_the_maximum() -> None:
    """A lane that cannot be seen gets the green that it could need."""
    policy, seen = actuated.make(CONFIG, max_green_s=40.0), readings(CONFIG, failed=("advance main",))

    assert [THROUGH, SIDE] == [policy.propose(look(waiting(3, now=now), seen)).stage for now in (599, 600)]


@pytest.mark.parametrize(
    ("count", "queue", "speed", "stage"),
    [(5, 0, 13.89, THROUGH), (4, 0, 13.89, SIDE), (1, 1, 0.0, THROUGH), (0, 0, 13.89, SIDE)],
)
def test_an_area_is_judged_by_headway(count: float, queue: float, speed: float, stage: int) -> None:
    """Without loops, a mean headway in range below the passage time, or a queue, extends: 200 m at 50 km/h take 14.4 s."""
    config = crossing(*AREA)
    seen = readings(config, {"area main": area(count, queue, speed)})
    state = called(running(config, THROUGH, 0, 300), config, 200, 3)

    assert stage == actuated.make(config, passage_s=3.0).propose(look(state, seen)).stage


@pytest.mark.parametrize(("now", "stage"), [(599, THROUGH), (600, SIDE)])
def test_a_pedestrian_call_starts_the_maximum(now: int, stage: int) -> None:
    """A push button for another stage counts as a call of its own."""
    config = crossing(*LOOPS, *BUTTON)
    state = called(running(config, THROUGH, 0, now), config, 200, 3, walkers=True)

    assert stage == actuated.make(config, max_green_s=40.0).propose(look(state, readings(config, COMING))).stage


def test_the_maximum_counts_from_the_arrival_at_the_earliest() -> None:
    """A call that waited before the stage began takes nothing from its maximum green."""
    policy = actuated.make(CONFIG, max_green_s=40.0)
    state = called(running(CONFIG, THROUGH, 500, 899), CONFIG, 100, 3)

    assert [THROUGH, SIDE] == [policy.propose(look(each, readings(CONFIG, COMING))).stage for each in (state, state._replace(now=900))]
