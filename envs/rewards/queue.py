"""Queue: vehicles that stand, in vehicles, negative."""

from envs.rewards._base import Measures, Need, Terms

NEEDS = Need.NOTHING


def terms(before: Measures, after: Measures, seconds: float) -> Terms:
    """Count the standing vehicles at the end of the decision."""
    return {"queue": -after.per_signal(after.queue)}
