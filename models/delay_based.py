"""Runs the stage before which the vehicles in range have lost most time.

The time lost is estimated from what an area detector tells: each second, each vehicle in range loses the share by which the mean speed
falls short of the limit. Vehicles that leave the range take their part of the sum with them.
"""

from collections.abc import Mapping

import numpy as np

from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind, Readings, Values
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import Policy
from intersection.state import NEVER
from models._parameters import settle, tenths
from models._scores import RECALL, Greedy, stage_weights

SENSORS: tuple[DetectorKind, ...] = (DetectorKind.AREA,)

GRID: Mapping[str, tuple[float, ...]] = {
    "max_wait_s": (90.0, 150.0),
    "min_green_s": (5.0, 10.0),
    "permissive": (0.3, 0.7),
    "stay": (0.0, 0.2, 0.5),
}

DEFAULTS: Mapping[str, float] = {"max_wait_s": 120.0, "min_green_s": 5.0, "permissive": 0.5, "stay": 0.0}


class TimeLost:
    """The time that the vehicles now in the range of each area detector have lost there, in seconds."""

    def __init__(self, config: IntersectionConfig) -> None:
        self.limits: Values = np.array([detector.speed_limit for detector in config.detectors], np.float32)
        self.lost: Values = np.zeros(len(config.detectors), np.float32)
        self._count: Values = np.zeros(len(config.detectors), np.float32)
        self._read: Tenths = NEVER

    def take(self, readings: Readings, now: Tenths) -> Values:
        """Take in a reading, and give the time lost; shape (detectors,). A failed detector counts as a vehicle that stands."""
        count, speed = readings.values[Channel.COUNT], readings.values[Channel.SPEED]
        if np.count_nonzero(readings.valid) < readings.valid.size:
            count, speed = np.where(readings.valid, count, RECALL), np.where(readings.valid, speed, 0.0)
        seconds = 0.0 if self._read == NEVER else (now - self._read) / 10
        self.lost *= np.minimum(count / np.maximum(self._count, 1.0), 1.0)
        self.lost += count * np.maximum(1.0 - speed / self.limits, 0.0) * np.float32(seconds)
        self._count, self._read = count.copy(), now
        return self.lost


def make(config: IntersectionConfig, **parameters: float) -> Policy:
    """Make the policy.

    Args:
        config: the signal's configuration.
        parameters: `max_wait_s`, the wait after which a call comes first, in seconds; `min_green_s`, how long a stage is kept, in
            seconds; `permissive`, the weight of lanes whose green gives way; `stay`, by what share of its time lost the running
            stage must be outdone.

    Raises:
        UnknownNameError: there is no such parameter.
        ConfigError: a value is out of range.
    """
    given = settle("delay_based", DEFAULTS, parameters)
    weights = stage_weights(config, DetectorKind.AREA, given["permissive"])
    lost = TimeLost(config)

    def score(observation: Observation) -> Values:
        scores: Values = weights @ lost.take(observation.readings, observation.state.now)
        return scores

    return Greedy(config, score, min_green=tenths(given["min_green_s"]), max_wait=tenths(given["max_wait_s"]), stay=given["stay"])
