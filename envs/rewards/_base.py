"""What rewards are computed from, and how terms are weighed and summed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from intersection import plugins
from intersection.errors import ConfigError

Lanes: TypeAlias = NDArray[np.floating[Any]]
"""One value for each sensed lane of the network."""

PerSignal: TypeAlias = NDArray[np.float64]
"""One value for each signal of the network."""


class Need(Flag):
    """What a reward wants measured besides count, queue and speed. Measuring costs time, so it is done only on demand."""

    NOTHING = 0
    WAITING = auto()
    CO2 = auto()
    DISCHARGED = auto()
    DOWNSTREAM = auto()


@dataclass(slots=True)
class Measures:
    """The traffic at all signals at one instant. Unlike an observation it is the simulation's truth, not what detectors report.

    Nobody changes one; it is not frozen because freezing doubles what taking it costs, at every decision.
    """

    signals: int
    """The number of signals."""

    signal_of: NDArray[np.intp]
    """For each sensed lane, the index of its signal."""

    count: Lanes
    """Vehicles in range."""

    queue: Lanes
    """Vehicles in range slower than 0.1 m/s."""

    speed: Lanes
    """Mean speed in range, m/s."""

    limit: Lanes
    """Speed limit, m/s."""

    ped_waiting: PerSignal
    """Groups at which pedestrians wait."""

    waiting: Lanes | None = None
    """Sum of the present standing times of all vehicles on the lane, s (SUMO's lane.getWaitingTime)."""

    co2: Lanes | None = None
    """CO2 emitted on the lane in the last simulation step, mg/s."""

    discharged: PerSignal | None = None
    """Vehicles that left the controlled lanes since the last decision."""

    downstream: PerSignal | None = None
    """Vehicles in range on the lanes that lead away."""

    def per_signal(self, lanes: Lanes) -> PerSignal:
        """Sum a value of lanes over each signal's lanes."""
        total: PerSignal = np.bincount(self.signal_of, lanes, self.signals)  # type: ignore[assignment]  # with weights it sums floats
        return total


Terms: TypeAlias = Mapping[str, PerSignal]
"""A reward's parts by name."""

Reward: TypeAlias = Callable[[Measures, Measures, float], Terms]
"""From the measures before and after a decision, and the seconds between, to named terms. More is better."""


@dataclass(frozen=True, slots=True)
class RewardSpec:
    """A weighted sum of rewards."""

    weights: Mapping[str, float]
    """By the names of the rewards."""

    rewards: Mapping[str, Reward]
    needs: Need

    @classmethod
    def of(cls, chosen: str | Mapping[str, float]) -> "RewardSpec":
        """Look up rewards by name.

        Args:
            chosen: a reward's name, or names with weights.

        Raises:
            UnknownNameError: there is no such reward.
            ConfigError: nothing is chosen, or a weight is not a finite number.
        """
        weights = {chosen: 1.0} if isinstance(chosen, str) else dict(chosen)
        if not weights or not all(np.isfinite(weight) for weight in weights.values()):
            raise ConfigError("a reward needs finite weights", key="reward", value=chosen, allowed="a name, or names with weights")
        modules = {name: plugins.load("envs.rewards", name, "reward") for name in weights}
        needs = Need.NOTHING
        for module in modules.values():
            needs |= module.NEEDS
        return cls(weights, {name: module.terms for name, module in modules.items()}, needs)

    def terms(self, before: Measures, after: Measures, seconds: float) -> dict[str, PerSignal]:
        """Give every term by name, weighted."""
        return {
            name: value if weight == 1.0 else weight * value
            for reward, weight in self.weights.items()
            for name, value in self.rewards[reward](before, after, seconds).items()
        }

    def total(self, before: Measures, after: Measures, seconds: float) -> PerSignal:
        """Give the weighted sum for each signal."""
        terms = iter(self.terms(before, after, seconds).values())
        total = next(terms)
        for value in terms:
            total = total + value
        return total
