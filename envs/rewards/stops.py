"""Stops: vehicles that came to stand, in vehicles, negative."""

import numpy as np

from envs.rewards._base import Measures, Need, Terms

NEEDS = Need.NOTHING


def terms(before: Measures, after: Measures, seconds: float) -> Terms:
    """Take by how much each lane's queue grew; who joins while others leave the front of the same lane is not seen."""
    return {"stops": -after.per_signal(np.maximum(after.queue - before.queue, 0.0))}
