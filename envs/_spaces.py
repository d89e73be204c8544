"""The spaces of one signal, in Gymnasium's words."""

from typing import TypeAlias

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.actions._base import ActionKind

Floats: TypeAlias = NDArray[np.float32]

ObservationSpace: TypeAlias = "spaces.Box[np.float32]"

ActionSpace: TypeAlias = "spaces.Discrete | spaces.Box[np.float32]"


def observations(size: int) -> ObservationSpace:
    """Make the space of observation vectors: float32, shape (size,), each value in 0..1."""
    return spaces.Box(0.0, 1.0, (size,), np.float32)


def actions(kind: ActionKind, size: int) -> ActionSpace:
    """Make the space of answers: an index below `size`, or a vector of that length with each value in -1..1."""
    return spaces.Discrete(size) if kind.discrete else spaces.Box(-1.0, 1.0, (size,), np.float32)
