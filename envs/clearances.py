"""How long the intervals of a phase are: proposed by the formulas of traffic engineering, or fixed, always in whole steps of SUMO.

Yellow change and red clearance follow the kinematic equations of the ITE Traffic Engineering Handbook, bounded as the MUTCD bounds them:

    Y = t + v / (2 a + 2 g G)      t = 1.0 s, a = 3.05 m/s2 (10 ft/s2), g = 9.81 m/s2, G the grade (uphill positive); 3 to 6 s
    R = (W + L) / v                W the path through the junction, L = 6.1 m (20 ft); 0 to 6 s

A walk lasts 7 s, its clearance gives a person of 1.07 m/s (3.5 ft/s) time to reach the other side, and 3 s more pass before a conflicting
green (MUTCD). What comes from here is a proposal: only an approved timing sheet ever reaches a cabinet.
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from intersection.errors import ConfigError
from intersection.phase import Tenths

REACTION = 1.0
"""Time in which a driver perceives a yellow and reacts, in seconds."""

DECELERATION = 3.05
"""Of a driver who stops for a yellow, in m/s2."""

GRAVITY = 9.81
"""In m/s2."""

VEHICLE_LENGTH = 6.1
"""By which a vehicle must have left the junction, in metres."""

YELLOW_BOUNDS = (3.0, 6.0)
"""The shortest and the longest yellow change, in seconds."""

LONGEST_RED = 6.0
"""The longest red clearance, in seconds."""

WALK = 7.0
"""The shortest walk that is proposed, in seconds."""

PED_BUFFER = 3.0
"""Between the end of a pedestrian clearance and a conflicting green, in seconds; it runs beside yellow change and red clearance."""

WALKING_SPEED = 1.07
"""Of a pedestrian in the clearance, in m/s."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How the phases of an imported network get their times. All in seconds.

    Raises:
        ConfigError: a time is out of its range.
    """

    source: Literal["scenario", "ite"] = "scenario"
    """Whether yellow change and red clearance are those of the scenario's program, or proposed by the ITE formulas."""

    yellow: float | None = None
    """Yellow change of every vehicle phase, in the place of the source's."""

    red: float | None = None
    """Red clearance of every vehicle phase, in the place of the source's."""

    min_green: float = 5.0
    """Shortest green of every phase."""

    max_green: float = 120.0
    """Longest green after a conflicting call."""

    max_wait: float = 180.0
    """Longest wait of a vehicle call; more where a signal's stages cannot be served in it."""

    ped_max_wait: float = 180.0
    """Longest wait of a pedestrian call; more where a signal's stages cannot be served in it."""

    alike: bool = False
    """Whether every vehicle phase has the longest yellow change and red clearance of its signal: a cabinet whose phases are stages clears a
    whole stage at once."""

    step: float = 1.0
    """One step of the simulation, to whole numbers of which all times are rounded up."""

    def __post_init__(self) -> None:
        if self.step <= 0 or abs(self.step * 10 - round(self.step * 10)) > 1e-9:
            raise ConfigError(
                "clearances are counted in whole tenths of a second", key="step", value=self.step, allowed="0.1, 0.2, ... seconds"
            )
        for key in ("yellow", "min_green", "max_green", "max_wait", "ped_max_wait"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise ConfigError("a time is above zero", key=key, value=value, allowed="more than 0 s")
        if self.red is not None and self.red < 0:
            raise ConfigError("a time is not negative", key="red", value=self.red, allowed="0 s or more")

    def tenths(self, seconds: float) -> Tenths:
        """Turn seconds into tenths of a second, rounded up to whole steps."""
        return ceil(seconds / self.step - 1e-6) * round(self.step * 10)


RESCO = Timing(yellow=3.0, red=0.0)
"""The benchmark's: 3 s of yellow, no red clearance, 5 s of green at least. Never for a street."""

STREET = Timing(source="ite", min_green=7.0, max_green=60.0)
"""What a street would have: clearances by speed and width, longer minimum greens. A proposal, not approved."""

CABINET = Timing(source="ite", min_green=7.0, max_green=60.0, alike=True)
"""The same for a cabinet whose phases are stages. A proposal, not approved."""

PRESETS = {"resco": RESCO, "street": STREET, "cabinet": CABINET}


def yellow_change(speed: float, grade: float = 0.0) -> float:
    """Propose a yellow change, in seconds.

    Args:
        speed: of approach, in m/s.
        grade: rise over run towards the stop line.
    """
    shortest, longest = YELLOW_BOUNDS
    return min(max(REACTION + speed / (2 * DECELERATION + 2 * GRAVITY * max(grade, -0.2)), shortest), longest)


def red_clearance(width: float, speed: float) -> float:
    """Propose a red clearance, in seconds.

    Args:
        width: the path from the stop line through the junction, in metres.
        speed: on it, in m/s.
    """
    return min((width + VEHICLE_LENGTH) / speed, LONGEST_RED)


def ped_clearance(length: float) -> float:
    """Propose a pedestrian clearance for a crossing of a length in metres, in seconds."""
    return length / WALKING_SPEED
