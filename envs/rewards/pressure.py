"""Pressure: vehicles that come less vehicles that leave, in vehicles, negative (Varaiya 2013; Wei et al. 2019)."""

import numpy as np

from envs.rewards._base import Measures, Need, Terms

NEEDS = Need.DOWNSTREAM


def terms(before: Measures, after: Measures, seconds: float) -> Terms:
    """Take the absolute difference between the vehicles in range upstream and downstream."""
    if after.downstream is None:
        raise ValueError("downstream was not measured")
    return {"pressure": -np.abs(after.per_signal(after.count) - after.downstream)}
