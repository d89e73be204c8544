import numpy as np

from intersection.detection import Channel, DetectorKind, Values
from intersection.observation import Observation
from models._scores import Greedy, overdue, stage_weights, vehicles
from tests.models.crossing import AREA, BUTTON, LEFT, SIDE, THROUGH, area, called, crossing, look, readings, running


def greedy(*worth: float, stay: float = 0.0, kinds: tuple[DetectorKind, ...] = AREA) -> Greedy:
    """Make a greedy policy for which each stage has a fixed worth."""

    def score(observation: Observation) -> Values:
        return np.array(worth, np.float32)

    return Greedy(crossing(*kinds), score, min_green=100, max_wait=900, stay=stay)


def test_a_lane_weighs_by_how_its_phase_is_green() -> None:
    """A lane counts whole for a stage that protects it, in part for one in which it gives way, else not."""
    weights = stage_weights(crossing(*AREA), DetectorKind.AREA, 0.5)

    assert [[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] == weights.tolist()


def test_other_detectors_weigh_nothing() -> None:
    """Only the asked kind of detector counts."""
    weights = stage_weights(crossing(*AREA), DetectorKind.DEPARTURE, 0.5)

    assert not weights.any()


def test_standing_vehicles_weigh_more() -> None:
    """A standing vehicle has its own weight besides that of every vehicle."""
    seen = readings(crossing(*AREA), {"area main": area(5, 2)})

    assert [7.0, 0.0, 0.0] == vehicles(seen, 1.0, 1.0).tolist()


def test_a_failed_detector_counts_as_a_standing_vehicle() -> None:
    """Nobody is forgotten because a detector broke."""
    seen = readings(crossing(*AREA), {"area main": area(5, 2)}, failed=("area side",))

    assert [7.0, 0.0, 2.0] == vehicles(seen, 1.0, 1.0).tolist()


def test_weighing_leaves_the_readings_alone() -> None:
    """Readings are a view of the street's own arrays: nothing is written into them."""
    seen = readings(crossing(*AREA), {"area main": area(5, 2)}, failed=("area side",))
    before = seen.values.copy()

    vehicles(seen, 1.0, 1.0)

    assert (before == seen.values).all()


def test_the_stage_that_is_worth_most_runs() -> None:
    """After its minimum green a stage gives way to one that is worth more."""
    policy = greedy(1, 2, 3)

    proposal = policy.propose(look(running(crossing(*AREA), THROUGH, 0, 100), readings(crossing(*AREA))))

    assert SIDE == proposal.stage


def test_a_stage_is_kept_for_the_minimum_green() -> None:
    """Until its minimum green is over a stage is kept, whatever the others are worth."""
    policy = greedy(1, 2, 3)

    proposal = policy.propose(look(running(crossing(*AREA), THROUGH, 0, 99), readings(crossing(*AREA))))

    assert THROUGH == proposal.stage


def test_an_equal_stage_does_not_displace_the_running_one() -> None:
    """A change costs time, so worth as much is not enough."""
    policy = greedy(3, 3, 3)

    proposal = policy.propose(look(running(crossing(*AREA), LEFT, 0, 600), readings(crossing(*AREA))))

    assert LEFT == proposal.stage


def test_a_running_stage_must_be_outdone_by_the_stay() -> None:
    """With a stay of 2 a lead of 2 is not enough, and more is."""
    state, seen = running(crossing(*AREA), THROUGH, 0, 600), readings(crossing(*AREA))

    stages = [greedy(-1, worth, 0, stay=2.0).propose(look(state, seen)).stage for worth in (1.0, 1.5)]

    assert [THROUGH, LEFT] == stages


def test_an_overdue_call_comes_before_every_score() -> None:
    """A call that has waited out its bound is served although its stage is worth least."""
    config = crossing(*AREA)
    policy = greedy(9, 0, 5)

    proposals = [
        policy.propose(look(called(running(config, THROUGH, 0, 1000), config, since, 2), readings(config))) for since in (101, 100)
    ]

    assert [THROUGH, LEFT] == [proposal.stage for proposal in proposals]


def test_the_longest_wait_is_served_first() -> None:
    """Of two overdue calls the older one counts."""
    config = crossing(*AREA)
    state = called(called(running(config, THROUGH, 0, 2000), config, 300, 3), config, 400, 2, 3)

    assert config.tables.index[3] == overdue(state, config.tables, 900)


def test_a_permissive_green_does_not_end_a_wait() -> None:
    """The left turn that gives way on the main road's green goes on waiting."""
    config = crossing(*AREA)
    state = called(running(config, THROUGH, 0, 2000), config, 300, 2)

    assert config.tables.index[2] == overdue(state, config.tables, 900)


def test_nothing_is_overdue_before_the_bound() -> None:
    """A shorter wait is left to the scores."""
    config = crossing(*AREA)
    state = called(running(config, THROUGH, 0, 1199), config, 300, 2)

    assert overdue(state, config.tables, 900) is None


def test_pedestrians_who_wait_too_long_are_served() -> None:
    """A push button is bounded as a vehicle is."""
    config = crossing(*AREA, *BUTTON)
    policy = greedy(9, 8, 0, kinds=AREA + BUTTON)
    state = called(running(config, THROUGH, 0, 1000), config, 100, 3, walkers=True)

    assert SIDE == policy.propose(look(state, readings(config))).stage


def test_a_pedestrian_counts_as_a_standing_vehicle() -> None:
    """A push button tips the scale between stages that are worth the same."""
    config = crossing(*AREA, *BUTTON)
    policy = greedy(0, 0, 0, kinds=AREA + BUTTON)
    state = called(running(config, THROUGH, 0, 600), config, 500, 3, walkers=True)

    assert SIDE == policy.propose(look(state, readings(config))).stage


def test_whom_the_running_green_serves_by_giving_way_is_not_overdue() -> None:
    """A phase that never is protected has all that it can get while it is green, and waits anew from the end of that green."""
    config = crossing(*AREA)
    tables = config.tables
    only = tables.mask(frozenset({2}))
    object.__setattr__(tables, "only_permissive", only)
    state = called(running(config, THROUGH, 0, 2000), config, 300, 2)
    later = called(running(config, SIDE, 0, 2000), config, 300, 2)._replace(ended=(-1, 1500, -1))

    assert (None, None) == (overdue(state, tables, 900), overdue(later, tables, 900))


def test_the_score_is_asked_at_every_decision() -> None:
    """A score that follows what it sees misses nothing in changes of stage and minimum greens."""
    config, asked = crossing(*AREA), []

    def score(observation: Observation) -> Values:
        asked.append(observation.state.now)
        return np.zeros(3, np.float32)

    policy = Greedy(config, score, min_green=100, max_wait=900)
    changing = running(config, THROUGH, 0, 20)._replace(target=SIDE)
    for state in (running(config, THROUGH, 0, 10), changing, running(config, THROUGH, 0, 300)):
        policy.propose(look(state, readings(config, {"area main": {Channel.COUNT: 1.0}})))

    assert [10, 20, 300] == asked
