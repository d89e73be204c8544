"""What a report may be told of a network's shape, as plain data, so that it need not know networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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

    crossings: Sequence[Sequence[float]]
    """By the stage's number: the bearings of the arms that people may cross, in degrees."""

    words: Sequence[str]
    """By the stage's number: its phases in an engineer's words."""


@dataclass(frozen=True, kw_only=True)
class Geography:
    """What is known of a network's shape."""

    signals: Mapping[str, SignalGeometry] = field(default_factory=dict)
    """By the signal's identity in the series."""

    movements: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """What to call the trips from a first to a last edge."""
