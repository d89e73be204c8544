"""Runs a bundle as the policy of one signal: the same encoder as in training, the same layout, one thread, the best open stage."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intersection.config import IntersectionConfig
from intersection.detection import Channel, Values
from intersection.errors import ConfigError
from intersection.layout import Layout
from intersection.observation import Encoder, Observation, ObservationSpec, kind, stage_mask
from intersection.phase import Tenths
from intersection.policy import Policy
from intersection.shield import Proposal
from intersection.state import NO_STAGE
from models._network import Network
from models.bundle import Bundle, load_for_simulation
from models.errors import NotFiniteFault, PolicyFault
from models.manifest import Departure


class Recording(NamedTuple):
    """What one signal's policy was given, and what it proposed.

    Attributes:
        vectors: float32, shape (decisions, values), as `encode` made them.
        open_: bool, shape (decisions, stages), which stages were open.
        stages: integers, shape (decisions,), what was proposed.
    """

    vectors: Values
    open_: NDArray[np.bool_]
    stages: NDArray[np.int64]


class NetworkPolicy:
    """A network as a policy.

    Attributes:
        vector: its last observation, as `encode` made it, float32, shape (spec.size,); overwritten by the next.
        open_: which stages were open then.
    """

    def __init__(self, config: IntersectionConfig, network: Network, *, observation: str, layout: Layout, period: Tenths) -> None:
        """Fit a network to a signal.

        Args:
            config: of the signal.
            network: what rates the stages.
            observation: the kind that it was trained with.
            layout: the blocks of what it takes.
            period: between decisions, in tenths of a second.

        Raises:
            ConfigError: the signal is larger than what it was trained for.
        """
        spec = ObservationSpec(config, kind(observation))
        self.vector: Values = np.zeros(spec.size, np.float32)
        self.open_: list[bool] = [False] * len(config.stages)
        self._network, self._period = network, period
        self._tables = config.tables
        self._encoder = Encoder([spec])
        self._places = layout.places(Layout.of(spec))
        self._padded: Values = np.zeros((1, layout.size), np.float32)
        self._readings = (len(Channel), len(config.detectors))

    @property
    def period(self) -> Tenths:
        """The decision period that it was trained with, in tenths of a second."""
        return self._period

    def propose(self, observation: Observation) -> Proposal:
        """Propose the stage that the network rates best among those that are open.

        Raises:
            PolicyFault: the observation is of another signal or no number, or the network's answer is.
        """
        self._check(observation)
        state, readings = observation.state, observation.readings
        self.vector = self._encoder.encode([state], readings.values, readings.valid)[0]
        if not np.isfinite(self.vector).all():
            raise NotFiniteFault("a reading is no number")
        self._padded[0, self._places] = self.vector
        rated = self._network.rate(self._padded)
        stages = len(self._tables.stages)
        if rated.ndim != 2 or rated.shape[0] != 1 or rated.shape[1] < stages:
            raise PolicyFault(f"the network answers in the shape {rated.shape}")
        if not np.isfinite(rated).all():
            raise NotFiniteFault("the network's answer is no number")
        self.open_ = stage_mask(state, self._tables)
        return Proposal(stage=int(np.where(self.open_, rated[0, :stages], -np.inf).argmax()))

    def _check(self, observation: Observation) -> None:
        """Refuse what belongs to another signal. Raises PolicyFault."""
        state, readings = observation.state, observation.readings
        count, groups = len(self._tables.stages), self._tables.size
        if readings.values.shape != self._readings or readings.valid.shape != self._readings[1:]:
            raise PolicyFault(f"readings of the shape {readings.values.shape}, and not {self._readings}")
        if len(state.began) != groups or not 0 <= state.stage < count or not -1 <= state.target < count:
            raise PolicyFault("the state is that of another signal")


class OnnxPolicy(NetworkPolicy):
    """A bundle's network as a policy."""

    def __init__(self, config: IntersectionConfig, bundle: Bundle) -> None:
        """Fit a bundle to the signal that it was loaded for."""
        form, action = bundle.manifest.observation, bundle.manifest.action
        super().__init__(config, bundle.network, observation=form.kind, layout=form.layout, period=action.period)
        self.bundle = bundle

    @property
    def departure(self) -> Departure:
        """How far its last observation lay from what training saw."""
        return self.bundle.signal.seen.departure(self.vector)


class Recorder(NetworkPolicy):
    """A network as a policy that notes what it was given and what it proposed."""

    def __init__(self, config: IntersectionConfig, network: Network, *, observation: str, layout: Layout, period: Tenths) -> None:
        super().__init__(config, network, observation=observation, layout=layout, period=period)
        self._noted: list[tuple[Values, list[bool], int]] = []

    def propose(self, observation: Observation) -> Proposal:
        """Propose what the network does, and note it. Raises PolicyFault."""
        proposal = super().propose(observation)
        self._noted.append((self.vector.copy(), self.open_, NO_STAGE if proposal.stage is None else proposal.stage))
        return proposal

    @property
    def recording(self) -> Recording:
        """All that it noted."""
        vectors, open_, stages = zip(*self._noted, strict=True)
        return Recording(np.array(vectors, np.float32), np.array(open_, bool), np.array(stages, np.int64))


def make(config: IntersectionConfig, path: Path) -> Policy:
    """Make the policy of one signal of a simulation from a bundle's file, whoever signed it.

    Raises:
        ConfigError: it is no bundle, was changed, or was not made for this signal.
    """
    found = load_for_simulation(path, config)
    if not isinstance(found, Bundle):
        raise ConfigError(found.reason, source=str(path), allowed="a bundle that `phasewise export` wrote for this signal")
    return OnnxPolicy(config, found)
