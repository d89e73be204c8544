"""CO2: what the vehicles on the lanes emit, in grams, negative (HBEFA, as SUMO computes it)."""

from envs.rewards._base import Measures, Need, Terms

NEEDS = Need.CO2


def terms(before: Measures, after: Measures, seconds: float) -> Terms:
    """Take the rate at the end of the decision for its whole length."""
    if after.co2 is None:
        raise ValueError("CO2 was not measured")
    return {"co2": -seconds / 1000.0 * after.per_signal(after.co2)}
