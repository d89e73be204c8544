import math
from dataclasses import replace

import pytest

from intersection.errors import UnknownNameError, UserError
from phasewise.statistics import Estimate, check_comparable, compare, estimate, paired_difference
from tests.phasewise.synthetic import episode, episodes


def test_an_interval_is_students_over_seeds() -> None:
    """Three seeds of 10, 12 and 14 have mean 12, deviation 2 and t = 4.3027, hence 12 ± 4.9683."""
    found = estimate([10.0, 12.0, 14.0])

    assert (3, 12.0) == (found.n, found.mean)
    assert pytest.approx(4.302652729911275 * 2 / math.sqrt(3)) == found.half_width
    assert pytest.approx((12 - 4.9682809, 12 + 4.9682809)) == (found.low, found.high)


def test_one_seed_has_no_interval() -> None:
    """What one seed cannot tell is left out, rather than told as zero."""
    assert Estimate(n=1, mean=7.0, low=None, high=None) == estimate([7.0])


def test_seeds_that_agree_leave_an_interval_of_no_width() -> None:
    """The same value from every seed is its own interval."""
    assert Estimate(n=3, mean=7.0, low=7.0, high=7.0) == estimate([7.0, 7.0, 7.0])


def test_a_figure_that_was_not_recorded_has_no_mean() -> None:
    """A value that is no number is not averaged away."""
    found = estimate([1.0, math.nan, 3.0])

    assert math.isnan(found.mean)
    assert found.half_width is None


def test_a_difference_is_taken_seed_by_seed() -> None:
    """What a seed does to both policies alike drops out, in whatever order the seeds stand."""
    found = paired_difference({1: 50.0, 2: 90.0}, {2: 93.0, 1: 53.0}, name="fixed_time")

    assert Estimate(n=2, mean=-3.0, low=-3.0, high=-3.0) == found.difference
    assert "fixed_time" == found.reference


def test_few_seeds_are_judged_by_paired_t() -> None:
    """Differences of 1, 2 and 3 have t = 2 sqrt(3), whose two-sided p with two degrees is 1 - t / sqrt(2 + t**2)."""
    found = paired_difference({1: 11.0, 2: 22.0, 3: 33.0}, {1: 10.0, 2: 20.0, 3: 30.0})

    t = 2 * math.sqrt(3)

    assert "paired t" == found.test
    assert pytest.approx(1 - t / math.sqrt(2 + t * t)) == found.p_value


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([-1.0, -2.0, -3.0, -4.0, -5.0, -6.0], 2 / 2**6),
        ([1.0, -2.0, -3.0, -4.0, -5.0, -6.0], 4 / 2**6),
        ([-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0, -9.0, -10.0], 2 / 2**10),
        ([0.0] * 6, 1.0),
    ],
)
def test_six_seeds_and_more_are_judged_by_signed_ranks(differences: list[float], p: float) -> None:
    """The p-value is exact: of 2**n ways to deal signs, as many as are at least this one-sided. No difference at all is p = 1."""
    found = paired_difference(dict(enumerate(differences)), dict.fromkeys(range(len(differences)), 0.0))

    assert "Wilcoxon signed-rank" == found.test
    assert pytest.approx(p) == found.p_value


def test_one_gridlocked_seed_does_not_decide_the_test() -> None:
    """Nine seeds better and one far worse: the mean is worse, and the ranks say so less loudly than the mean does."""
    found = paired_difference(dict(enumerate([-5.0] * 4 + [-6.0] * 5 + [500.0])), dict.fromkeys(range(10), 0.0))

    assert found.difference.mean > 40
    assert found.p_value is not None
    assert found.p_value < 0.2


@pytest.mark.parametrize(("differences", "p"), [([2.0, 2.0, 2.0], 0.0), ([0.0, 0.0, 0.0], 1.0)])
def test_differences_without_scatter_leave_no_doubt(differences: list[float], p: float) -> None:
    """The paired t of equal differences is certain, either way, and warns of nothing."""
    assert p == paired_difference(dict(enumerate(differences)), dict.fromkeys(range(3), 0.0)).p_value


def test_one_pair_is_not_tested() -> None:
    """A single seed gives a difference and no p-value."""
    found = paired_difference({1: 4.0}, {1: 6.0})

    assert (-2.0, "", None) == (found.difference.mean, found.test, found.p_value)


def test_a_difference_needs_the_same_seeds() -> None:
    """Different seeds are different demand, and refused by name."""
    with pytest.raises(UserError, match=r"same seeds: 1, 2 and 1, 3"):
        paired_difference({1: 1.0, 2: 2.0}, {1: 1.0, 3: 2.0})


def test_policies_are_ranked_by_median_then_mean() -> None:
    """One bad seed moves a policy's mean, not its rank; equal medians are told apart by the mean."""
    compared = compare(episodes({"steady": [30.0, 30.0, 30.0], "wild": [20.0, 21.0, 300.0], "even": [29.0, 30.0, 30.5]}))

    assert ["wild", "even", "steady"] == [one.policy for one in compared.policies]


def test_a_summary_tells_means_and_extremes() -> None:
    """Delay as mean, median and worst seed; counts over all seeds together."""
    results = [
        episode("a", 101, 20.0, max_wait_s=80.0, max_red_s=90.0, p95_wait_s=40.0, stops=1.0, due=100, inserted=100, violations=2),
        episode("a", 102, 60.0, max_wait_s=70.0, max_red_s=95.0, p95_wait_s=50.0, stops=2.0, due=100, inserted=93, gridlocked=True),
        episode("a", 103, 22.0, max_wait_s=60.0, max_red_s=70.0, p95_wait_s=30.0, stops=1.5, due=100, inserted=100, violations=1),
    ]

    found = compare(results)["a"]

    assert (34.0, 22.0, 60.0, 102) == (found.delay.mean, found.median_delay_s, found.worst_delay_s, found.worst_seed)
    assert (40.0, 80.0, 95.0, 1.5) == (found.p95_wait_s, found.max_wait_s, found.max_red_s, found.stops)
    assert (7, 1, 3, 3) == (found.never_inserted, found.gridlocked, found.violations, found.n)


def test_differences_are_against_fixed_time_where_it_was_run() -> None:
    """`fixed_time` is the reference although another policy is better; it has no difference to itself."""
    compared = compare(episodes({"fixed_time": [30.0, 40.0], "actuated": [20.0, 32.0]}))
    against = compared["actuated"].against

    assert ("fixed_time", "actuated") == (compared.reference, compared.best)
    assert compared["fixed_time"].against is None
    assert against is not None
    assert -9.0 == against.difference.mean


def test_without_fixed_time_differences_are_against_the_best() -> None:
    """The best policy is the reference of the others."""
    assert "b" == compare(episodes({"a": [30.0], "b": [20.0], "c": [25.0]})).reference


def test_an_outside_reference_is_never_the_best() -> None:
    """What bypasses the gate is ranked, but the best is the first that goes through it."""
    results = [*episodes({"program": [10.0, 11.0]}, outside=True), *episodes({"a": [20.0, 21.0], "b": [30.0, 31.0]})]

    compared = compare(results)

    assert ("program", "a") == (compared.policies[0].policy, compared.best)


def test_outside_references_alone_have_a_best() -> None:
    """A comparison of SUMO's own programs is possible too."""
    assert "program" == compare(episodes({"program": [10.0], "sumo_actuated": [11.0]}, outside=True)).best


def test_a_reference_may_be_chosen() -> None:
    """Any policy that was run may be the reference, and a wrong name is answered with the nearest."""
    results = episodes({"actuated": [20.0], "webster": [30.0]})

    assert "webster" == compare(results, reference="webster").reference
    with pytest.raises(UnknownNameError, match="did you mean 'webster'"):
        compare(results, reference="webstre")


def test_order_of_results_does_not_matter() -> None:
    """Results come from parallel processes in any order."""
    results = episodes({"a": [30.0, 31.0, 33.0], "b": [20.0, 22.0, 21.0]})

    assert compare(results) == compare(results[::-1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scenario_sha256": "beef"}, r"scenarios cannot be compared: 5f0c.* \(resco:cologne1, a, seed 101\) and beef .*, b, seed 101\)"),
        ({"sumo_version": "1.27.0"}, r"SUMO versions cannot be compared: 1\.28\.0 .* and 1\.27\.0"),
        ({"preset": "street"}, r"presets cannot be compared: resco .* and street"),
        ({"scale": 1.5}, r"demand scales cannot be compared: 1 .*, a, seed 101\) and 1\.5 .*, b, seed 101\)"),
        ({"observation": "loops"}, r"observation ranges cannot be compared: area .* and loops"),
    ],
)
def test_what_differs_in_its_making_is_not_compared(change: dict[str, object], words: str) -> None:
    """Another scenario, demand, SUMO, preset or observation range is another question; both are named."""
    first, second = episode("a"), episode("b")

    with pytest.raises(UserError, match=words):
        compare([first, replace(second, **change)])  # type: ignore[arg-type]  # each key is a field, each value of its type


def test_what_an_outside_reference_observes_does_not_matter() -> None:
    """SUMO's own programs have detectors of their own."""
    check_comparable([episode("a", observation="loops"), episode("program", outside=True, observation="area")])


def test_no_result_is_refused() -> None:
    """There is nothing to say about nothing."""
    with pytest.raises(UserError, match="no result"):
        compare([])


def test_a_seed_counts_once() -> None:
    """The same run twice would make an interval narrower than it is."""
    with pytest.raises(UserError, match="a was run twice with the same seed: 101, 101"):
        compare([episode("a", 101), episode("a", 101)])


def test_policies_that_met_different_seeds_are_refused() -> None:
    """A policy that was spared a hard seed is not compared with one that was not."""
    with pytest.raises(UserError, match="a had 101, 102, and b had 101"):
        compare([episode("a", 101), episode("a", 102), episode("b", 101)])


def test_the_yardstick_is_the_cheaper_of_fixed_time_and_the_networks_program() -> None:
    """What the street costs without any adaptive control; a policy of another name is never it."""
    results = [*episodes({"fixed_time": [90.0], "a": [20.0]}), *episodes({"program": [30.0], "sumo_actuated": [10.0]}, outside=True)]

    assert "program" == compare(results).yardstick
    assert "fixed_time" == compare(results[:2]).yardstick
    assert compare(results[1:2]).yardstick is None


@pytest.mark.parametrize(("delay_s", "collapsed"), [(59.0, False), (60.0, True), (94.0, True)])
def test_a_policy_collapses_from_three_times_the_yardstick_on(delay_s: float, collapsed: bool) -> None:
    """By its mean, which one gridlocked seed can move."""
    compared = compare(episodes({"fixed_time": [20.0, 20.0, 20.0], "a": [15.0, 15.0, 3 * delay_s - 30.0]}))

    assert pytest.approx(delay_s / 20.0) == compared.times("a")
    assert collapsed == compared.has_collapsed("a")


def test_without_a_yardstick_nothing_collapses() -> None:
    """And the yardstick is not measured by itself; one of no delay measures nothing."""
    alone = compare(episodes({"a": [900.0], "b": [20.0]}))
    idle = compare(episodes({"a": [900.0], "fixed_time": [0.0]}))

    assert (None, None, None) == (alone.times("a"), idle.times("a"), idle.times("fixed_time"))
    assert not alone.has_collapsed("a")


def test_a_summary_tells_which_seeds_ended_in_gridlock() -> None:
    """So that the run can be looked at."""
    found = compare([episode("a", 101), episode("a", 102, gridlocked=True), episode("a", 103, gridlocked=True)])["a"]

    assert ((102, 103), 2) == (found.gridlocked_seeds, found.gridlocked)
