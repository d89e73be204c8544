"""Runs the stage with the most vehicles before it, standing ones counted twice: the greedy rule, also called longest queue first."""

from collections.abc import Mapping

from intersection.config import IntersectionConfig
from intersection.detection import DetectorKind, Values
from intersection.observation import Observation
from intersection.policy import Policy
from models._parameters import settle, tenths
from models._scores import Greedy, stage_weights, vehicles

SENSORS: tuple[DetectorKind, ...] = (DetectorKind.AREA,)

GRID: Mapping[str, tuple[float, ...]] = {
    "max_wait_s": (90.0, 150.0),
    "min_green_s": (5.0, 10.0),
    "permissive": (0.3, 0.5, 0.7),
    "stay": (0.0, 0.25),
}

DEFAULTS: Mapping[str, float] = {"halting": 1.0, "max_wait_s": 120.0, "min_green_s": 5.0, "permissive": 0.5, "stay": 0.0}


def make(config: IntersectionConfig, **parameters: float) -> Policy:
    """Make the policy.

    Args:
        config: the signal's configuration.
        parameters: `halting`, the weight that a standing vehicle has besides that of every vehicle; `max_wait_s`, the wait after
            which a call comes first, in seconds; `min_green_s`, how long a stage is kept, in seconds; `permissive`, the weight of
            lanes whose green gives way; `stay`, by what share of its score the running stage must be outdone.

    Raises:
        UnknownNameError: there is no such parameter.
        ConfigError: a value is out of range.
    """
    given = settle("max_wave", DEFAULTS, parameters)
    weights = stage_weights(config, DetectorKind.AREA, given["permissive"])
    halting = given["halting"]

    def score(observation: Observation) -> Values:
        scores: Values = weights @ vehicles(observation.readings, 1.0, halting)
        return scores

    return Greedy(config, score, min_green=tenths(given["min_green_s"]), max_wait=tenths(given["max_wait_s"]), stay=given["stay"])
