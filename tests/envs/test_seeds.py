from itertools import combinations

import numpy as np
import pytest

from envs.seeds import Split, check_test_seed
from intersection.errors import ConfigError


def test_no_seed_belongs_to_two_splits() -> None:
    """Training, validation and test ranges are disjoint, and each draw stays in its own."""
    rng = np.random.default_rng(0)

    for one, other in combinations(Split, 2):
        assert one.value[1] <= other.value[0] or other.value[1] <= one.value[0]
    for split in Split:
        assert {split} == {Split.of(split.draw(rng)) for _ in range(100)}
    assert Split.of(500_000) is None


def test_results_are_reported_on_test_seeds_only() -> None:
    """A validation seed is refused, with the range of the test seeds."""
    assert 101 == check_test_seed(101)
    with pytest.raises(ConfigError, match=r"seed = 100000.*allowed: 0\.\.99999"):
        check_test_seed(100_000)
