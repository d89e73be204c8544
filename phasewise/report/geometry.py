"""What a report may be told of a signal's shape, as plain data, so that it need not know networks."""

from collections.abc import Sequence
from typing import TypedDict


class StageMovement(TypedDict):
    """A movement with green in a stage, by compass bearings seen from the middle of the junction: 0 is north, 90 east, in degrees."""

    approach: float
    """Bearing of the arm it comes from."""

    exit: float
    """Bearing of the arm it leaves by."""

    protected: bool


class SignalGeometry(TypedDict, total=False):
    """How to name and picture a signal; what is left out is not drawn."""

    name: str
    stages: Sequence[Sequence[StageMovement]]
    """By the stage's number."""
