"""Throughput: vehicles that left the controlled lanes, in vehicles."""

from envs.rewards._base import Measures, Need, Terms

NEEDS = Need.DISCHARGED


def terms(before: Measures, after: Measures, seconds: float) -> Terms:
    """Count the vehicles that were on a controlled lane at the last decision and are on none now."""
    if after.discharged is None:
        raise ValueError("discharged was not measured")
    return {"throughput": after.discharged}
