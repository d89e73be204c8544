"""Difference of waiting time: by how much the standing times on the lanes fell since the last decision, in vehicle-seconds."""

from envs.rewards._base import Measures, Need, Terms

NEEDS = Need.WAITING


def terms(before: Measures, after: Measures, seconds: float) -> Terms:
    """Take the sum before less the sum after; it is positive when a queue has discharged."""
    if before.waiting is None or after.waiting is None:
        raise ValueError("waiting was not measured")
    return {"waiting": after.per_signal(before.waiting - after.waiting)}
