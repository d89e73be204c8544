"""Runs a bundle as the policy of one signal: the same encoder as in training, the same layout, one thread, the best open stage."""

from pathlib import Path

import numpy as np

from intersection.config import IntersectionConfig
from intersection.detection import Channel, Values
from intersection.errors import ConfigError
from intersection.layout import Layout
from intersection.observation import Encoder, Observation, ObservationSpec, kind, stage_mask
from intersection.phase import Tenths
from intersection.policy import Policy
from intersection.shield import Proposal
from models.bundle import Bundle, Departure, load_for_simulation
from models.errors import PolicyFault


class OnnxPolicy:
    """A bundle's network as a policy.

    Attributes:
        departure: how far its last observation lay from what training saw; None before the first.
    """

    def __init__(self, config: IntersectionConfig, bundle: Bundle) -> None:
        """Fit a bundle to the signal that it was loaded for."""
        form = bundle.manifest.observation
        spec = ObservationSpec(config, kind(form.kind))
        self.bundle = bundle
        self.departure: Departure | None = None
        self._tables = config.tables
        self._encoder = Encoder([spec])
        self._places = form.layout.places(Layout.of(spec))
        self._padded: Values = np.zeros((1, form.size), np.float32)
        self._readings = (len(Channel), len(config.detectors))

    @property
    def period(self) -> Tenths:
        """The decision period that it was trained with, in tenths of a second."""
        return self.bundle.manifest.action.period

    def propose(self, observation: Observation) -> Proposal:
        """Propose the stage that the network rates best among those that are open.

        Raises:
            PolicyFault: the observation is of another signal or no number, or the network's answer is.
        """
        self._check(observation)
        state, readings = observation.state, observation.readings
        vector = self._encoder.encode([state], readings.values, readings.valid)[0]
        if not np.isfinite(vector).all():
            raise PolicyFault("a reading is no number")
        self.departure = self.bundle.signal.seen.departure(vector)
        self._padded[0, self._places] = vector
        rated = self.bundle.network.rate(self._padded)
        stages = len(self._tables.stages)
        if rated.shape != (1, self.bundle.manifest.action.stages):
            raise PolicyFault(f"the network answers in the shape {rated.shape}")
        if not np.isfinite(rated).all():
            raise PolicyFault("the network's answer is no number")
        open_ = stage_mask(state, self._tables)
        return Proposal(stage=int(np.where(open_, rated[0, :stages], -np.inf).argmax()))

    def _check(self, observation: Observation) -> None:
        """Refuse what belongs to another signal. Raises PolicyFault."""
        state, readings = observation.state, observation.readings
        count, groups = len(self._tables.stages), self._tables.size
        if readings.values.shape != self._readings or readings.valid.shape != self._readings[1:]:
            raise PolicyFault(f"readings of the shape {readings.values.shape}, and not {self._readings}")
        if len(state.began) != groups or not 0 <= state.stage < count or not -1 <= state.target < count:
            raise PolicyFault("the state is that of another signal")


def make(config: IntersectionConfig, path: Path) -> Policy:
    """Make the policy of one signal of a simulation from a bundle's file, whoever signed it.

    Raises:
        ConfigError: it is no bundle, was changed, or was not made for this signal.
    """
    found = load_for_simulation(path, config)
    if not isinstance(found, Bundle):
        raise ConfigError(found.reason, source=str(path), allowed="a bundle that `phasewise export` wrote for this signal")
    return OnnxPolicy(config, found)
