"""Pedestrian wait: crossings at which somebody waits, in crossing-seconds, negative."""

from envs.rewards._base import Measures, Need, Terms

NEEDS = Need.NOTHING


def terms(before: Measures, after: Measures, seconds: float) -> Terms:
    """Count the groups with a pedestrian call at the end of the decision, for its whole length."""
    return {"ped_wait": -seconds * after.ped_waiting}
