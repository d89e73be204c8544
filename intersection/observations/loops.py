"""Stop-bar and advance loops: count, occupancy and time since the last actuation."""

from intersection.detection import Channel, DetectorKind
from intersection.observations._base import ObservationKind

KIND = ObservationKind(
    name="loops",
    detectors=(DetectorKind.STOP_BAR, DetectorKind.ADVANCE),
    channels=(Channel.COUNT, Channel.OCCUPANCY, Channel.SINCE),
)
