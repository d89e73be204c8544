"""Radar or camera over each approach up to its declared range: vehicles, queue and mean speed."""

from intersection.detection import Channel, DetectorKind
from intersection.observations._base import ObservationKind

KIND = ObservationKind(name="area", detectors=(DetectorKind.AREA,), channels=(Channel.COUNT, Channel.QUEUE, Channel.SPEED))
