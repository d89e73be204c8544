"""Runs the stage with the highest pressure: vehicles before it less those on the lanes it leads to.

Varaiya (2013), Max pressure control of a network of signalized intersections, Transportation Research C 36, 177-195. A detector is
counted once for a stage, as a lane shared by several movements is.
"""

from collections.abc import Mapping

import numpy as np

from intersection.config import IntersectionConfig
from intersection.detection import DetectorKind, Values
from intersection.observation import Observation
from intersection.policy import Policy
from models._parameters import settle, tenths
from models._scores import Greedy, departure_weights, stage_weights, vehicles

SENSORS: tuple[DetectorKind, ...] = (DetectorKind.AREA, DetectorKind.DEPARTURE)

GRID: Mapping[str, tuple[float, ...]] = {
    "downstream": (0.2, 1.0),
    "max_wait_s": (90.0, 150.0),
    "min_green_s": (5.0, 10.0),
    "moving": (0.3, 1.0),
    "permissive": (0.3, 0.7),
}

DEFAULTS: Mapping[str, float] = {"downstream": 1.0, "max_wait_s": 120.0, "min_green_s": 5.0, "moving": 0.3, "permissive": 0.3, "stay": 0.0}


def make(config: IntersectionConfig, **parameters: float) -> Policy:
    """Make the policy.

    Args:
        config: the signal's configuration.
        parameters: `downstream`, the weight of a vehicle on the lanes led to; `max_wait_s`, the wait after which a call comes first,
            in seconds; `min_green_s`, how long a stage is kept, in seconds; `moving`, the weight of every vehicle beside the weight 1
            of standing ones; `permissive`, the weight of lanes whose green gives way; `stay`, by what share of its score the running
            stage must be outdone.

    Raises:
        UnknownNameError: there is no such parameter.
        ConfigError: a value is out of range.
    """
    given = settle("max_pressure", DEFAULTS, parameters)
    permissive, moving = given["permissive"], given["moving"]
    leaving = np.float32(given["downstream"]) * departure_weights(config, permissive)
    weights: Values = stage_weights(config, DetectorKind.AREA, permissive) - leaving

    def score(observation: Observation) -> Values:
        scores: Values = weights @ vehicles(observation.readings, moving, 1.0)
        return scores

    return Greedy(config, score, min_green=tenths(given["min_green_s"]), max_wait=tenths(given["max_wait_s"]), stay=given["stay"])
