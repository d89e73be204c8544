"""Runs what `phasewise train` made: the same encoder as in training, the same layout, and never an answer that the gate would not take."""

import json
import zipfile
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from intersection.config import IntersectionConfig
from intersection.errors import ConfigError
from intersection.layout import Layout
from intersection.observation import Encoder, Observation, ObservationSpec, kind, stage_mask
from intersection.phase import Tenths
from intersection.policy import Policy
from intersection.shield import Proposal

ENTRY = "phasewise.json"
"""Where in a trained policy's archive its description stands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What is known of a trained policy besides its weights."""

    algorithm: str
    observation: str
    preset: str
    scenario: str
    period: Tenths
    layout: Layout
    seed: int
    steps: int
    validation_delay_s: float
    """The mean delay of all due vehicles on the validation seeds, by which this checkpoint was chosen, in seconds."""


def describe(path: Path) -> Description:
    """Read a trained policy's description.

    Raises:
        ConfigError: the file is missing, or no trained policy.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            known: dict[str, Any] = json.loads(archive.read(ENTRY))
        return Description(**{**known, "layout": Layout(**known["layout"])})
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as cause:
        raise ConfigError(
            f"this is no trained policy ({cause})", source=str(path), allowed="a file that `phasewise train` wrote, or a policy's name"
        ) from cause


def add_description(path: Path, description: Description) -> None:
    """Put a description into the archive of freshly saved weights."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(ENTRY, json.dumps(asdict(description)))


class Trained:
    """A trained network as the policy of one signal."""

    def __init__(self, config: IntersectionConfig, model: Any, described: Description) -> None:  # noqa: ANN401  # one of SB3's algorithms
        """Fit a network to a signal. Raises ConfigError where the signal is larger than what it was trained for."""
        spec = ObservationSpec(config, kind(described.observation))
        self._encoder = Encoder([spec])
        self._layout = described.layout
        self._places = described.layout.places(Layout.of(spec))
        self._model, self._period = model, described.period
        self._tables = config.tables
        self._answers = int(model.action_space.n)

    @property
    def period(self) -> Tenths:
        """The decision period that it was trained with, in tenths of a second."""
        return self._period

    def propose(self, observation: Observation) -> Proposal:
        """Propose the stage that the network rates best among those that are open."""
        readings = observation.readings
        vector = np.zeros(self._layout.size, np.float32)
        vector[self._places] = self._encoder.encode([observation.state], readings.values, readings.valid)[0]
        mask = np.zeros(self._answers, bool)
        mask[: len(self._tables.stages)] = stage_mask(observation.state, self._tables)
        return Proposal(stage=int(_best(self._model, vector, mask)))


def _best(model: Any, vector: Any, mask: Any) -> int:  # noqa: ANN401  # one of SB3's algorithms, and arrays
    """Ask a network for its best open answer."""
    if hasattr(model, "q_net"):
        import torch

        with torch.no_grad():
            values = model.q_net(torch.as_tensor(vector)[None])[0].numpy()
        return int(np.where(mask, values, -np.inf).argmax())
    answer, _ = model.predict(vector, action_masks=mask, deterministic=True)
    return int(answer)


@lru_cache(maxsize=4)
def _load(path: Path) -> Any:  # noqa: ANN401  # one of SB3's algorithms
    import torch
    from sb3_contrib import MaskablePPO
    from stable_baselines3 import DQN

    torch.set_num_threads(1)
    algorithms: dict[str, Any] = {"ppo": MaskablePPO, "dqn": DQN}
    return algorithms[describe(path).algorithm].load(path, device="cpu")


def make(config: IntersectionConfig, path: Path) -> Policy:
    """Make the policy of one signal from a trained policy's file.

    Raises:
        ConfigError: the file is no trained policy, or was trained for smaller signals.
    """
    return Trained(config, _load(path), describe(path))
