"""One frozen snapshot of a signal, and the words for what its lamps show."""

from enum import Enum
from typing import NamedTuple

from intersection.phase import Tenths

NEVER: Tenths = -1
"""The instant of something that has not happened."""

FOREVER: Tenths = 1 << 60
"""The instant of something that need not happen."""

NO_STAGE = -1
"""In `IntersectionState.target`: no transition is running."""

FREE = 0
"""In `IntersectionState.pattern`: free operation."""


class Interval(Enum):
    """What the vehicle indication of a phase shows, or why it shows nothing of its own."""

    GREEN = "green"
    YELLOW_CHANGE = "yellow change"
    RED_CLEARANCE = "red clearance"
    RED = "red"
    FLASH = "flash"
    DARK = "dark"


class PedInterval(Enum):
    """What the pedestrian indication of a phase shows."""

    WALK = "walk"
    PED_CLEARANCE = "pedestrian clearance"
    DONT_WALK = "don't walk"
    FLASH = "flash"
    DARK = "dark"


class Display(Enum):
    """Whether the signal as a whole follows its phases."""

    NORMAL = "normal"
    FLASH = "flash"
    DARK = "dark"


class PhaseState(NamedTuple):
    """What one phase shows, since when, and what waits for it. Instants in tenths of a second."""

    interval: Interval
    protected: bool
    """Whether a green yields to nobody; False while it shows no green."""

    since: Tenths
    """When the interval began; NEVER where it has not been known to begin."""

    pedestrian: PedInterval
    call_since: Tenths
    """When its vehicle call was placed; NEVER without a call."""

    ped_call_since: Tenths
    """When its pedestrian call was placed; NEVER without a call."""


class IntersectionState(NamedTuple):
    """A signal at one instant. Tuples are ordered as `Tables.groups`; instants in tenths of a second, NEVER where none.

    It holds instants, not countdowns: time passes without making it anew, and the same state follows however time is sliced.
    """

    now: Tenths
    stage: int
    """The stage that runs; in a transition, the one that is being left."""

    arrived: Tenths
    """When the running stage was reached."""

    target: int
    """The stage of the running transition, or NO_STAGE."""

    left: Tenths
    """When the running transition began."""

    arrives: Tenths
    """When the running transition ends."""

    clearing: int
    """The groups whose green ended with the running transition, as a mask."""

    began: tuple[Tenths, ...]
    """Start of the present green of each group."""

    ended: tuple[Tenths, ...]
    """End of the last green of each group."""

    called: tuple[Tenths, ...]
    """Since when each group has an unserved vehicle call."""

    ped_called: tuple[Tenths, ...]
    """Since when each group has an unserved pedestrian call."""

    walked: tuple[Tenths, ...]
    """Start of the last walk of each group in its present green."""

    calls: int
    """The groups with an unserved vehicle call, as a mask."""

    ped_calls: int
    """The groups with an unserved pedestrian call, as a mask."""

    oldest: Tenths
    """Since when the oldest of these calls waits; FOREVER without a call."""

    pattern: int
    """The number of the running pattern, or FREE."""

    display: Display
