"""Lets red approaches collect vehicle-seconds until they have enough to ask for green, and spares the tail of a platoon.

Self-organizing traffic lights after Cools, Gershenson, D'Hooghe (2007), Self-organizing traffic lights: a realistic simulation. Theirs has
two stages; with more, the one that has collected most among those that have enough is next.
"""

from collections.abc import Mapping

import numpy as np

from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind, Values
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import Policy
from intersection.shield import Proposal
from intersection.state import NEVER, NO_STAGE, Display
from models._parameters import settle, tenths
from models._scores import RECALL, stage_weights

SENSORS: tuple[DetectorKind, ...] = (DetectorKind.AREA, DetectorKind.ADVANCE)

GRID: Mapping[str, tuple[float, ...]] = {
    "enough": (20.0, 50.0, 100.0, 200.0),
    "min_green_s": (5.0, 10.0),
    "platoon": (1.0, 3.0),
}

DEFAULTS: Mapping[str, float] = {"enough": 50.0, "min_green_s": 5.0, "platoon": 3.0}

PERMISSIVE = 0.5
"""What a lane whose green gives way counts for its stage."""

CLOSE_S = 3.0
"""A vehicle that passed the advance loop this lately is between it and the stop line."""


class Sotl:
    """Switches when enough vehicle-seconds have been collected before a red stage and no small platoon would be cut."""

    def __init__(self, config: IntersectionConfig, *, enough: float, min_green: Tenths, platoon: float) -> None:
        """Control a signal.

        Args:
            config: the signal's configuration.
            enough: the vehicle-seconds with which a stage asks for green.
            min_green: how long a stage is kept, in tenths of a second.
            platoon: with so many lanes on which a vehicle is close, a platoon is long enough to be cut.
        """
        self.enough, self.min_green, self.platoon = enough, min_green, platoon
        self.weights = stage_weights(config, DetectorKind.AREA, PERMISSIVE)
        served = self.weights >= self.weights.max(axis=0, initial=0.1)
        self.red: Values = (~served).astype(np.float32)
        self.advance = stage_weights(config, DetectorKind.ADVANCE, 0.0) > 0
        self.collected: Values = np.zeros(len(config.detectors), np.float32)
        self._read: Tenths = NEVER

    @property
    def period(self) -> Tenths:
        """A second."""
        return 10

    def propose(self, observation: Observation) -> Proposal:
        """Propose to stay, or the stage that has collected most."""
        state, readings = observation.state, observation.readings
        count = readings.values[Channel.COUNT]
        if np.count_nonzero(readings.valid) < readings.valid.size:
            count = np.where(readings.valid, count, RECALL)
        seconds = 0.0 if self._read == NEVER else (state.now - self._read) / 10
        self._read = state.now
        self.collected += count * np.float32(seconds)
        if state.target != NO_STAGE:
            return Proposal(stage=state.target)
        running = state.stage
        self.collected *= self.red[running]
        if state.display is not Display.NORMAL or state.now < state.arrived + self.min_green:
            return Proposal(stage=running)
        scores = self.weights @ self.collected
        best = int(scores.argmax())
        if scores[best] < self.enough:
            return Proposal(stage=running)
        close = int(np.count_nonzero(self.advance[running] & readings.valid & (readings.values[Channel.SINCE] < CLOSE_S)))
        return Proposal(stage=running if 0 < close < self.platoon else best)


def make(config: IntersectionConfig, **parameters: float) -> Policy:
    """Make the policy.

    Args:
        config: the signal's configuration.
        parameters: `enough`, the vehicle-seconds with which a red stage asks for green; `min_green_s`, how long a stage is kept, in
            seconds; `platoon`, the number of lanes with a vehicle close to the stop line from which on green may be cut.

    Raises:
        UnknownNameError: there is no such parameter.
        ConfigError: a value is out of range.
    """
    given = settle("sotl", DEFAULTS, parameters)
    return Sotl(config, enough=given["enough"], min_green=tenths(given["min_green_s"]), platoon=given["platoon"])
