"""The research observation, for comparison only: density and queue of each controlled lane to its end, which no cabinet can see."""

from intersection.detection import Channel, DetectorKind
from intersection.observations._base import ObservationKind

KIND = ObservationKind(name="lanes", detectors=(DetectorKind.AREA,), channels=(Channel.COUNT, Channel.QUEUE), whole_lane=True)
