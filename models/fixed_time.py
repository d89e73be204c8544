"""The first pattern of the configuration, by the clock: for a SUMO network its own program, repaired where it is illegal."""

from collections.abc import Mapping

from intersection.config import IntersectionConfig
from intersection.detection import DetectorKind
from intersection.policy import FixedTime, Policy
from models._parameters import settle

SENSORS: tuple[DetectorKind, ...] = ()
GRID: Mapping[str, tuple[float, ...]] = {}
DEFAULTS: Mapping[str, float] = {}


def make(config: IntersectionConfig, **parameters: float) -> Policy:
    """Follow the configuration's first pattern.

    Raises:
        ConfigError: the configuration has no pattern.
        UnknownNameError: a parameter was given; a plan has none.
    """
    settle("fixed_time", DEFAULTS, parameters)
    return FixedTime(config)
