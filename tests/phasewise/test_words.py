import math

import pytest

from phasewise.statistics import PairedDifference, compare, estimate
from phasewise.words import (
    caution,
    collapses,
    headline,
    labels,
    lede,
    number,
    plus_minus,
    probability,
    seconds,
    signed,
    typeset,
    unmeasured,
)
from tests.phasewise.synthetic import episode, episodes

SEEDS = (0.0, 0.4, -0.3, 0.1, -0.2, 0.3)


def around(mean: float) -> list[float]:
    """Make six seeds with about this mean."""
    return [mean + shift for shift in SEEDS]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(1234.5, 0, "1,234"), (19.84, 1, "19.8"), (-3.25, 1, "−3.2"), (-0.04, 1, "0.0"), (math.nan, 1, "–"), (math.inf, 0, "–")],
)
def test_numbers_read_well(value: float, digits: int, text: str) -> None:
    """Thousands are apart, minus is a minus, nothing is negative zero, and what is no number is a dash."""
    assert text == number(value, digits)


def test_differences_carry_their_sign() -> None:
    """More is +, less is −, and none has no sign."""
    assert ["+2.0", "−2.0", "0.0"] == [signed(value) for value in (2.0, -2.0, 0.01)]


def test_long_times_are_told_in_whole_seconds() -> None:
    """A tenth of a second says nothing beside a thousand."""
    assert ["999.9", "1,205"] == [seconds(value) for value in (999.9, 1204.7)]


def test_an_interval_is_told_only_where_there_is_one() -> None:
    """One seed has a mean without ±; one of over a thousand needs no tenths."""
    assert ["12.0 ±5.0", "12.0", "200.0 ±1,271"] == [
        plus_minus(estimate(values)) for values in ([10.0, 12.0, 14.0], [12.0], [100.0, 300.0])
    ]


@pytest.mark.parametrize(("p", "text"), [(None, "–"), (0.0004, "<0.001"), (0.03125, "0.031"), (0.0996, "0.100"), (0.437, "0.44")])
def test_probabilities_are_not_told_finer_than_they_are(p: float | None, text: str) -> None:
    """Tiny ones as a bound, small ones to three digits, large ones to two; untested ones as a dash."""
    assert text == probability(PairedDifference(reference="fixed_time", difference=estimate([1.0]), p_value=p))


def test_a_path_is_shortened_to_its_end_if_that_is_its_own() -> None:
    """Two files of the same name keep their folders."""
    assert {"runs/a/ppo": "ppo", "x/best": "x/best", "y/best": "y/best", "sotl": "sotl"} == labels(
        ["runs/a/ppo", "x/best", "y/best", "sotl"]
    )


def test_the_headline_is_the_best_policy_against_fixed_time() -> None:
    """By how much less delay, in per cent of the reference's mean."""
    assert "max_pressure: 40 % less delay than fixed_time" == headline(
        compare(episodes({"fixed_time": around(30.0), "max_pressure": around(18.0)}))
    )


def test_the_lede_gives_both_means_the_interval_and_the_test() -> None:
    """Differences of exactly 12 s with six seeds: p = 2 / 64."""
    said = lede(compare(episodes({"fixed_time": around(30.0), "max_pressure": around(18.0)})))

    assert "Each of the 2,015 vehicles due lost 18.1 s on average instead of 30.1 s: 12.0 s less (95 % interval 12.0 to 12.0 s" in said
    assert "Wilcoxon signed-rank, p = 0.031), over the same 6 seeds." in said


def test_an_interval_that_holds_zero_is_no_result() -> None:
    """A policy that is better by chance is not called better."""
    assert "No clear difference in delay between a and fixed_time" == headline(
        compare(episodes({"fixed_time": [30.0, 31.0, 30.0], "a": [29.0, 31.5, 29.0]}))
    )


def test_a_better_median_with_a_worse_mean_is_said_so() -> None:
    """One gridlocked seed can cost more than all others gain."""
    compared = compare(episodes({"fixed_time": [30.0, 31.0, 30.0], "a": [20.0, 21.0, 200.0]}))

    assert "a has the least median delay, but not the least mean" == headline(compared)
    assert "50.0 s more" in lede(compared)


def test_fixed_time_may_be_the_best() -> None:
    """Then the next policy is set against it."""
    compared = compare(episodes({"fixed_time": around(30.0), "a": around(33.0), "b": around(50.0)}))

    assert "fixed_time has the least delay: 30.1 s per vehicle" == headline(compared)
    assert "The next, a, has 3.0 s more (95 % interval 3.0 to 3.0 s)." in lede(compared)


def test_one_policy_is_told_alone() -> None:
    """Without another there is no difference to tell."""
    compared = compare(episodes({"a": around(30.0)}))

    assert "a: 30.1 s of delay per vehicle" == headline(compared)
    assert "Each of the 2,015 vehicles due lost 30.1 ±0.3 s on average over 6 seeds." == lede(compared)


def test_what_qualifies_a_result_is_said_with_it() -> None:
    """Gridlock, vehicles kept out, and a better reference that bypasses the gate stand beside the headline."""
    results = [
        *episodes({"fixed_time": [30.0, 31.0], "a": [20.0, 21.0]}, gridlocked=True, inserted=2000),
        *episodes({"program": [10.0, 11.0]}, outside=True, violations=7),
    ]

    said = lede(compare(results))

    assert "It ended in gridlock with 2 of 2 seeds. Over 2 seeds, 30 vehicles never got in." in said
    assert "program has less (10.5 s), but bypasses the gate, and its displays were illegal 14 times." in said
    assert "Only 2 seeds" in said


def test_one_of_a_kind_is_told_in_the_singular() -> None:
    """One vehicle that never got in, and one illegal display."""
    said = lede(compare([episode("a", inserted=2014, violations=1)]))

    assert "Over one seed, 1 vehicle never got in. Over one seed, the audit found 1 illegal display." in said


@pytest.mark.parametrize(("count", "words"), [(1, "One seed gives no interval"), (4, "Only 4 seeds"), (5, "")])
def test_too_few_seeds_are_said_to_be_too_few(count: int, words: str) -> None:
    """Five seeds are enough to say nothing."""
    said = caution(compare([episode("a", seed) for seed in range(count)]))

    assert said.startswith(words)
    assert bool(said) == bool(words)


def test_a_number_and_its_unit_stay_on_one_line() -> None:
    """Narrow no-break spaces bind them, and nothing else."""
    assert "19.8\u202f±\u202f0.6\u202fs of 95\u202f% in 3 seeds" == typeset("19.8 ±0.6 s of 95 % in 3 seeds")


def test_a_collapse_is_named_with_its_size_and_its_gridlocked_seeds() -> None:
    """The worst first; then who ended in gridlock without collapsing; who did neither is not named."""
    results = [
        *episodes({"fixed_time": [100.0, 110.0, 120.0], "max_wave": [90.0, 95.0, 91.0], "sotl": [500.0, 520.0, 582.0]}),
        *[episode("greedy", seed, 1200.0, gridlocked=True) for seed in (101, 102, 103)],
        *[episode("max_pressure", seed, 80.0 + 200 * (seed == 103), gridlocked=seed == 103) for seed in (101, 102, 103)],
    ]

    assert [
        "greedy collapses here: 1,200 s, 10.9 times fixed_time (median 1,200 s, worst 1,200 s with seed 101); 3 of 3 seeds gridlocked.",
        "sotl collapses here: 534.0 s, 4.9 times fixed_time (median 520.0 s, worst 582.0 s with seed 103); none of 3 seeds gridlocked.",
        "max_pressure: 1 of 3 seeds gridlocked (103); 146.7 s, 1.3 times fixed_time (median 80.0 s, worst 280.0 s with seed 103).",
    ] == collapses(compare(results))


def test_a_collapse_with_one_seed_is_told_without_a_spread() -> None:
    """One seed has neither a median nor a worst."""
    of = compare([episode("program", 101, 20.0, outside=True, gridlocked=True), episode("a", 101, 80.0)])

    assert ["a collapses here: 80.0 s, 4.0 times program; not gridlocked.", "program: its only seed gridlocked; 20.0 s."] == collapses(of)


def test_without_a_yardstick_the_reader_is_told_to_run_one() -> None:
    """A collapse that cannot be seen is not silently none."""
    assert "Neither fixed_time nor program was run" in unmeasured(compare(episodes({"a": [30.0]})))
    assert "" == unmeasured(compare(episodes({"fixed_time": [30.0]})))
