"""What detectors say, how old it is, and whether it can be true."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from intersection.errors import ConfigError
from intersection.phase import Tenths

Values: TypeAlias = NDArray[np.float32]


class DetectorKind(Enum):
    """What a detector senses and where."""

    STOP_BAR = "stop_bar"
    """A loop at the stop line."""

    ADVANCE = "advance"
    """A loop some seconds upstream of the stop line."""

    AREA = "area"
    """A radar or camera over the approach up to a declared range."""

    DEPARTURE = "departure"
    """A radar or camera over a leg that leads away, up to a declared range."""

    PUSH_BUTTON = "push_button"
    """A pedestrian push button."""


class Channel(IntEnum):
    """The rows of a readings array."""

    COUNT = 0
    """AREA, DEPARTURE: vehicles in range now; loops: vehicles that passed since the last reading; a button: 1 when pressed."""

    QUEUE = 1
    """AREA, DEPARTURE: vehicles slower than 0.1 m/s in range."""

    SPEED = 2
    """AREA, DEPARTURE: mean speed in range, m/s; the speed limit where no vehicle is."""

    OCCUPANCY = 3
    """Loops: share of the time since the last reading in which a vehicle stood on it, 0 to 1."""

    SINCE = 4
    """Loops: seconds since the end of the last time between two readings in which a vehicle was there; 0 where it was in this one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Detector:
    """One detector, and the phases that it calls."""

    id: str
    """Unique at the intersection."""

    kind: DetectorKind

    phases: tuple[int, ...] = ()
    """The numbers of the phases that it calls; of a departure, the phases that lead there."""

    distance: float = 0.0
    """From the stop line to its downstream edge, in metres."""

    length: float = 2.0
    """Along the lane, in metres; of an area, its range."""

    speed_limit: float = 13.89
    """Of its lane, in m/s."""

    capacity: float = 0.0
    """The vehicles that fit into its range standing; 0: by its length at 7.5 m each."""

    locking: bool = False
    """Whether its call is kept until the phase is served."""

    def __post_init__(self) -> None:
        if self.length <= 0 or self.distance < 0 or self.speed_limit <= 0:
            raise ConfigError(
                f"detector {self.id}: a length and a speed limit are positive, a distance is not negative",
                key="detector.length",
                value=self.length,
                allowed="above 0 m",
            )

    @property
    def storage(self) -> float:
        """The vehicles that fit into its range standing, at least one."""
        return max(1.0, self.capacity or self.length / 7.5)


@dataclass(frozen=True, slots=True)
class Readings:
    """What all detectors of an intersection say at one instant.

    Attributes:
        values: float32, shape (len(Channel), detectors), in the order of the configuration; see `Channel` for units.
        valid: bool, shape (detectors,); False where a detector failed or its reading is too old. Its values are then 0.
        vehicles: the groups at which a vehicle calls, as a mask.
        pedestrians: the groups whose button was pressed, as a mask.
        discharged: the groups from which a vehicle has left since the last readings, as a mask.
    """

    values: Values
    valid: NDArray[np.bool_]
    vehicles: int = 0
    pedestrians: int = 0
    discharged: int = 0


class Fault(Enum):
    """Why a detector cannot be believed, in the technician's words."""

    STUCK_ON = "occupied longer than any queue stands"
    STUCK_OFF = "silent longer than any gap lasts"
    IMPOSSIBLE_COUNT = "counts more vehicles than a lane carries"
    OUT_OF_RANGE = "reports a value that does not exist"


MAX_PRESENCE: Tenths = 6000
"""Ten minutes: longer than any red, so no vehicle stands that long on a working loop."""

NO_ACTIVITY: Tenths = 36_000
"""An hour without a vehicle."""

SATURATION: float = 0.7
"""Vehicles a second and lane: above the densest flow that is ever counted (about 2,500 an hour)."""


def plausibility(
    detector: Detector, *, occupied_for: Tenths, silent_for: Tenths, count: float, over: Tenths, occupancy: float
) -> Fault | None:
    """Say why a detector cannot be believed, or None.

    Args:
        detector: the detector.
        occupied_for: how long it has reported a vehicle without a break, in tenths of a second.
        silent_for: how long it has reported none, in tenths of a second.
        count: vehicles counted.
        over: in this time, in tenths of a second.
        occupancy: share of that time, 0 to 1; NTCIP 1202 codes above 1 are the adapter's to take out.
    """
    if not 0.0 <= occupancy <= 1.0 or count < 0:
        return Fault.OUT_OF_RANGE
    if occupied_for >= MAX_PRESENCE:
        return Fault.STUCK_ON
    if silent_for >= NO_ACTIVITY and detector.kind is not DetectorKind.PUSH_BUTTON:
        return Fault.STUCK_OFF
    if detector.kind in (DetectorKind.STOP_BAR, DetectorKind.ADVANCE) and count > 1 + SATURATION * over / 10:
        return Fault.IMPOSSIBLE_COUNT
    return None


def empty_readings(detectors: Sequence[Detector]) -> Readings:
    """Make the readings of an intersection at which nobody is."""
    values = np.zeros((len(Channel), len(detectors)), np.float32)
    values[Channel.SPEED] = [detector.speed_limit for detector in detectors]
    values[Channel.SINCE] = 3600.0
    return Readings(values, np.ones(len(detectors), bool))
