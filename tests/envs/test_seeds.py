from itertools import combinations

import numpy as np
import pytest

from envs.seeds import Split, check_test_seed
from intersection.errors import ConfigError


def test_splits_are_disjoint() -> None:
    """No seed belongs to two of training, validation and testing."""
    for one, other in combinations(Split, 2):
        assert one.value[1] <= other.value[0] or other.value[1] <= one.value[0]


@pytest.mark.parametrize("split", Split)
def test_a_split_draws_from_its_own_range(split: Split) -> None:
    """Whatever a split draws belongs to it, and the same generator draws the same."""
    rng = np.random.default_rng(1)
    drawn = [split.draw(rng) for _ in range(500)]

    assert {split} == {Split.of(seed) for seed in drawn}
    assert drawn[:3] == [split.draw(again) for again in [np.random.default_rng(1)] for _ in range(3)]


def test_edges_belong_to_one_split() -> None:
    """The first seed of a range belongs to it, the one after the last does not, and what lies between ranges belongs to none."""
    assert [Split.TEST, Split.TEST, Split.VALIDATION] == [Split.of(seed) for seed in (0, 99_999, 100_000)]
    assert [Split.VALIDATION, None, None, Split.TRAIN] == [Split.of(seed) for seed in (199_999, 200_000, 999_999, 1_000_000)]


@pytest.mark.parametrize("seed", [100_000, 1_000_000, -1])
def test_results_are_reported_on_test_seeds_only(seed: int) -> None:
    """A seed of another split is refused where results are reported."""
    assert 101 == check_test_seed(101)

    with pytest.raises(ConfigError, match="results are reported on test seeds only"):
        check_test_seed(seed)
