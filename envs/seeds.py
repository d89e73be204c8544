"""Seeds for training, validation and testing, disjoint by construction."""

from enum import Enum

import numpy as np

from intersection.errors import ConfigError


class Split(Enum):
    """What an episode is for. Each split draws SUMO's seeds from a range of its own: (first, after the last)."""

    TEST = (0, 100_000)
    VALIDATION = (100_000, 200_000)
    TRAIN = (1_000_000, 2**31 - 1)

    def draw(self, rng: np.random.Generator) -> int:
        """Draw a seed for SUMO from this split's range."""
        return int(rng.integers(*self.value))

    @classmethod
    def of(cls, seed: int) -> "Split | None":
        """Tell which split a seed belongs to, or None."""
        return next((split for split in cls if split.value[0] <= seed < split.value[1]), None)


def check_test_seed(seed: int) -> int:
    """Give back a seed that results may be reported on. Raises ConfigError for any other."""
    first, end = Split.TEST.value
    if not first <= seed < end:
        raise ConfigError("results are reported on test seeds only", key="seed", value=seed, allowed=f"{first}..{end - 1}")
    return seed
