"""What an observation kind is made of."""

from dataclasses import dataclass

from intersection.detection import Channel, DetectorKind


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservationKind:
    """Which detectors a policy sees, and which of their values."""

    name: str
    detectors: tuple[DetectorKind, ...]
    """The kinds of detectors that are read."""

    channels: tuple[Channel, ...]
    """Their values, in the order of the observation."""

    whole_lane: bool = False
    """Whether an area covers its controlled lane to the end, whatever its length, instead of a declared range."""
