from dataclasses import replace

import numpy as np

from intersection.config import IntersectionConfig
from intersection.detection import Channel, Detector, DetectorKind, Values
from intersection.observation import Observation
from models._scores import Greedy, Starving, stage_weights, vehicles
from tests.models.crossing import AREA, BUTTON, LEFT, SIDE, THROUGH, area, called, crossing, look, readings, running


def with_shared_lane() -> IntersectionConfig:
    """Make the crossing with the main road's movements in one lane."""
    detectors = (
        Detector(id="both", kind=DetectorKind.AREA, phases=(1, 2)),
        Detector(id="side", kind=DetectorKind.AREA, phases=(3,)),
    )
    return replace(crossing(), detectors=detectors)


def greedy(*worth: float, stay: float = 0.0, kinds: tuple[DetectorKind, ...] = AREA) -> Greedy:
    """Make a greedy policy for which each stage has a fixed worth."""

    def score(observation: Observation) -> Values:
        return np.array(worth, np.float32)

    return Greedy(crossing(*kinds), score, min_green=100, max_wait=900, stay=stay)


def test_a_lane_weighs_by_how_its_phase_is_green() -> None:
    """A lane counts whole for a stage that protects it, in part for one in which it gives way, else not."""
    weights = stage_weights(crossing(*AREA), DetectorKind.AREA, 0.5)

    assert [[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] == weights.tolist()


def test_a_shared_lane_weighs_the_mean_of_its_phases() -> None:
    """A lane for the through movement and the left turn is stopped by its first vehicle that waits for the other green."""
    weights = stage_weights(with_shared_lane(), DetectorKind.AREA, 0.5)

    assert [0.75, 0.5, 0.0] == weights[:, 0].tolist()


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
    """With a stay of a half, a stage that is worth 4 gives way to one that is worth more than 6, and at -4 to more than -2."""
    state, seen = running(crossing(*AREA), THROUGH, 0, 600), readings(crossing(*AREA))
    worth = ((4, 6, 0), (4, 6.5, 0), (-4, -2, -9), (-4, -1.5, -9))

    stages = [greedy(*each, stay=0.5).propose(look(state, seen)).stage for each in worth]

    assert [THROUGH, LEFT, THROUGH, LEFT] == stages


def test_an_overdue_call_comes_before_every_score() -> None:
    """A call that has waited out its bound is served although its stage is worth least."""
    config = crossing(*AREA)
    policy = greedy(9, 0, 5)

    proposals = [
        policy.propose(look(called(running(config, THROUGH, 0, 1000), config, since, 2), readings(config))) for since in (101, 100)
    ]

    assert [THROUGH, LEFT] == [proposal.stage for proposal in proposals]


def test_the_longest_wait_is_served_first() -> None:
    """Of two overdue lanes the one that has waited longer counts."""
    config = crossing(*AREA)
    state = called(called(running(config, THROUGH, 0, 2000), config, 300, 3), config, 400, 2, 3)

    assert (SIDE,) == Starving(config, 900).stages(state)


def test_a_permissive_green_does_not_end_a_wait() -> None:
    """The left turn that gives way on the main road's green goes on waiting."""
    config = crossing(*AREA)
    state = called(running(config, THROUGH, 0, 2000), config, 300, 2)

    assert (LEFT,) == Starving(config, 900).stages(state)


def test_nobody_starves_before_the_bound() -> None:
    """A shorter wait is left to the scores."""
    config = crossing(*AREA)
    state = called(running(config, THROUGH, 0, 1199), config, 300, 2)

    assert () == Starving(config, 900).stages(state)


def test_a_shared_lane_waits_since_any_of_its_phases_ran() -> None:
    """Of a lane for two phases, both are called by whoever is in it: a green of one of them counts for all."""
    config = with_shared_lane()
    state = running(config, SIDE, 0, 2000)
    both_long, one_lately = called(state, config, 300, 1, 2), called(called(state, config, 300, 1), config, 1500, 1, 2)
    starving = Starving(config, 900)

    assert [(THROUGH, LEFT), ()] == [starving.stages(both_long), starving.stages(one_lately)]


def test_a_shared_lane_with_one_phase_served_does_not_wait() -> None:
    """While one of its phases has a protected green, a lane is not starved."""
    config = with_shared_lane()
    state = called(running(config, THROUGH, 0, 2000), config, 300, 1, 2)

    assert () == Starving(config, 900).stages(state)


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


def test_whom_a_green_serves_by_giving_way_waits_anew_from_its_end() -> None:
    """A phase that never is protected has all that it can get while it is green; its wait begins when that green ends."""
    config = crossing(*AREA, protected_left=False)
    starving = Starving(config, 900)
    state = called(running(config, THROUGH, 0, 2000), config, 300, 2)
    later = called(running(config, 1, 0, 2000), config, 300, 2)
    lately, long_ago = later._replace(ended=(-1, 1500, -1)), later._replace(ended=(-1, 900, -1))

    assert [(), (), (THROUGH,)] == [starving.stages(each) for each in (state, lately, long_ago)]


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
