"""Checks the parameters that a policy is made with."""

from collections.abc import Mapping
from math import isfinite

from intersection.errors import ConfigError, UnknownNameError
from intersection.phase import Tenths


def settle(policy: str, defaults: Mapping[str, float], given: Mapping[str, float]) -> dict[str, float]:
    """Complete the given parameters by the defaults.

    Raises:
        UnknownNameError: the policy has no parameter of a given name.
        ConfigError: a value is negative or not a number.
    """
    for name, value in given.items():
        if name not in defaults:
            raise UnknownNameError(f"parameter of {policy}", name, defaults)
        if not isfinite(value) or value < 0:
            raise ConfigError(f"a parameter of {policy} is out of range", key=name, value=value, allowed="a number, 0 or above")
    return {**defaults, **given}


def tenths(seconds: float) -> Tenths:
    """Turn seconds into whole tenths of a second."""
    return round(10 * seconds)
