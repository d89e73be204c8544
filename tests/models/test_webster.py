import numpy as np
import pytest

from intersection.detection import Channel, DetectorKind
from models import webster
from models._sequence import Round, sequence
from models.webster import Counts, Webster
from tests.models.crossing import AREA, LEFT, SIDE, THROUGH, crossing, look, readings, running

CONFIG = crossing(DetectorKind.STOP_BAR)


def planner(**given: float) -> Webster:
    """Make the policy, for its planning."""
    policy = webster.make(CONFIG, **given)
    assert isinstance(policy, Webster)
    return policy


def test_cycle_and_splits_are_those_of_the_formula() -> None:
    """Flow ratios 0.3, 0.1 and 0.2 with 9 s lost give a cycle of 18.5 / 0.4 s; its 37.25 s of green are shared 3 : 1 : 2."""
    policy = planner(saturation_vph=1800.0)
    policy.counts.total[:] = [540.0, 180.0, 360.0]
    policy.counts._since, policy.counts.window = 0, 36_000

    assert (190, 60, 120) == policy.plan(36_000)


def test_the_cycle_stays_within_its_bound() -> None:
    """Near saturation the formula asks for an endless cycle: the greens fill the longest one."""
    policy = planner(saturation_vph=1800.0, max_cycle_s=90.0)
    policy.counts.total[:] = [900.0, 450.0, 450.0]
    policy.counts._since, policy.counts.window = 0, 36_000

    assert 10 * (90 - 9) == pytest.approx(sum(policy.plan(36_000)), abs=10)


def test_a_green_is_never_below_its_minimum() -> None:
    """A stage that nobody uses keeps its minimum green, one with pedestrians their walk and clearance."""
    policy = planner()
    policy.counts.total[:] = [600.0, 0.0, 0.0]
    policy.counts._since, policy.counts.window = 0, 36_000

    assert (50, 100) == policy.plan(36_000)[1:]


def test_before_it_has_counted_all_lanes_are_equal() -> None:
    """The first cycle shares its green evenly, save for what pedestrians need."""
    assert planner().greens[THROUGH] == planner().greens[LEFT]


def test_flows_come_from_a_sliding_window() -> None:
    """What was counted before the window no longer counts."""
    counts = Counts(3, 3000)
    busy = readings(CONFIG, {"stop_bar main": {Channel.COUNT: 10.0}})
    counts.take(busy, 0)
    for now in range(300, 3301, 300):
        counts.take(busy, now)
    full = counts.flows(3300)[0]
    for now in range(3600, 6901, 300):
        counts.take(readings(CONFIG), now)

    assert [1200.0, 0.0] == [full, counts.flows(6900)[0]]


def test_an_unseen_time_is_filled_by_what_is_expected() -> None:
    """After one of two minutes of learning, the flow lies half way between what was counted and the expectation."""
    counts = Counts(3, 6000)
    counts.take(readings(CONFIG), 0)
    counts.take(readings(CONFIG, {"stop_bar main": {Channel.COUNT: 10.0}}), 600)

    assert [450.0, 150.0, 150.0] == counts.flows(600).tolist()


def test_a_failed_loop_is_taken_to_count_as_before() -> None:
    """The flow of a lane stays what it was while its loop is broken."""
    counts = Counts(3, 3000)
    counts.take(readings(CONFIG), 0)
    for now in range(300, 1501, 300):
        counts.take(readings(CONFIG, {"stop_bar main": {Channel.COUNT: 5.0}}), now)
    before = counts.flows(1500)[0]
    for now in range(1800, 6001, 300):
        counts.take(readings(CONFIG, failed=("stop_bar main",)), now)

    assert before == pytest.approx(counts.flows(6000)[0])


def test_a_lane_that_several_stages_serve_asks_for_what_they_lack() -> None:
    """Where a lane is green in two stages of the sequence, their greens add up for it."""
    policy = planner(saturation_vph=1800.0)
    policy.lanes = [(0, (0,), 1.0), (1, (1,), 1.0), (2, (0, 1), 1.0)]

    assert [0.2, 0.3, 0.0] == pytest.approx(policy.ratios(np.array([180.0, 360.0, 900.0])).tolist())


def test_it_goes_round_as_planned() -> None:
    """Each stage is kept for its green and then followed by the next."""
    policy = planner()
    green = policy.greens[LEFT]
    empty = readings(CONFIG)

    stages = [policy.propose(look(running(CONFIG, LEFT, 1000, 1000 + age), empty)).stage for age in (0, green - 1, green)]

    assert [LEFT, LEFT, SIDE] == stages


def test_it_follows_where_the_gate_went() -> None:
    """When the gate has gone to another stage by itself, the round goes on from there."""
    policy = planner()
    policy.propose(look(running(CONFIG, THROUGH, 0, 0), readings(CONFIG)))

    assert THROUGH == policy.propose(look(running(CONFIG, SIDE, 0, 2000), readings(CONFIG))).stage


def test_it_plans_anew_when_the_round_ends() -> None:
    """What was counted in a cycle tells in the next one, not before."""
    policy = planner()
    before = policy.greens
    policy.propose(look(running(CONFIG, LEFT, 0, 0), readings(CONFIG)))
    busy = readings(CONFIG, {"stop_bar main": {Channel.COUNT: 60.0}})
    policy.propose(look(running(CONFIG, LEFT, 0, 1200), busy))
    within = policy.greens
    policy.propose(look(running(CONFIG, SIDE, 0, 2400), busy))

    assert (before, True) == (within, policy.greens[THROUGH] > before[THROUGH])


def test_a_green_is_never_beyond_its_maximum() -> None:
    """The gate would end a longer green anyway; the cycle is planned with what it grants."""
    policy = planner(max_cycle_s=900.0)
    policy.counts.total[:] = [1700.0, 0.0, 0.0]
    policy.counts._since, policy.counts.window = 0, 36_000

    assert 600 == policy.plan(36_000)[THROUGH]


def test_a_lane_that_only_gives_way_counts_twice() -> None:
    """Its saturation flow is half of a protected lane's."""
    config = crossing(DetectorKind.STOP_BAR, protected_left=False)
    policy = webster.make(config, saturation_vph=1800.0)
    assert isinstance(policy, Webster)

    assert 0.4 == pytest.approx(policy.ratios(np.array([0.0, 360.0, 0.0])).max())


def test_the_sequence_is_the_first_patterns() -> None:
    """A plan's order is kept."""
    assert (THROUGH, LEFT, SIDE) == sequence(CONFIG)


def test_without_a_pattern_the_sequence_serves_every_call() -> None:
    """Stages are found that together serve everybody."""
    config = crossing(*AREA, patterns=False)

    assert {THROUGH, LEFT, SIDE} == set(sequence(config))


def test_a_round_tells_repeated_stages_apart() -> None:
    """A stage that stands twice in a sequence is found where the round stands."""
    here = Round((0, 1, 0, 2))

    assert [0, 1, 2, 3, 0] == [here.entry(stage) for stage in (0, 1, 0, 2, 0)]
