"""Delay: the time that vehicles in range lose against driving at the limit, in vehicle-seconds, negative."""

import numpy as np

from envs.rewards._base import Measures, Need, Terms

NEEDS = Need.NOTHING


def terms(before: Measures, after: Measures, seconds: float) -> Terms:
    """Take the loss rate at the end of the decision, count x (1 - speed / limit), for its whole length."""
    lost = after.count * (1.0 - np.minimum(after.speed / after.limit, 1.0))
    return {"delay": after.per_signal(lost) * -seconds}
