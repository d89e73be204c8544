"""A phase: one right of way with its own indication, and the times that bound it."""

from dataclasses import dataclass
from typing import TypeAlias

from intersection.errors import ConfigError

Tenths: TypeAlias = int
"""A duration or an instant in whole tenths of a second, the resolution of NTCIP 1202 clearances."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseTiming:
    """The times that bound one phase. A policy chooses within them and never changes them.

    Raises:
        ConfigError: a time is out of its range; the message names it.
    """

    min_green: Tenths
    """Shortest green, in tenths of a second (NTCIP 1202 phaseMinimumGreen, there in whole seconds)."""

    max_green: Tenths
    """Longest green in free operation, counted from the first conflicting call, in tenths of a second."""

    yellow_change: Tenths
    """Yellow after green, in tenths of a second; 0 only for a phase that has no vehicle indication."""

    red_clearance: Tenths = 0
    """Red after yellow before a conflicting start, in tenths of a second."""

    walk: Tenths = 0
    """Walk, in tenths of a second; 0 for a phase without pedestrians."""

    ped_clearance: Tenths = 0
    """Flashing don't walk after walk, in tenths of a second."""

    max_wait: Tenths = 1800
    """Longest wait of a vehicle call, in tenths of a second."""

    ped_max_wait: Tenths = 1800
    """Longest wait of a pedestrian call, in tenths of a second."""

    def __post_init__(self) -> None:
        if not 0 < self.min_green <= self.max_green:
            raise ConfigError(
                "minimum green must be above zero and not above maximum green",
                key="min_green",
                value=self.min_green,
                allowed=f"1..{self.max_green} tenths of a second (max_green)",
            )
        for key in ("yellow_change", "red_clearance", "walk", "ped_clearance"):
            value = getattr(self, key)
            if value < 0:
                raise ConfigError("a time cannot be negative", key=key, value=value, allowed="0 or more tenths of a second")
        if (self.walk > 0) != (self.ped_clearance > 0):
            raise ConfigError(
                "walk and pedestrian clearance come together",
                key="ped_clearance",
                value=self.ped_clearance,
                allowed="above 0 with a walk, 0 without",
            )
        for key in ("max_wait", "ped_max_wait"):
            value = getattr(self, key)
            if value <= 0:
                raise ConfigError("a call must be served in some time", key=key, value=value, allowed="1 or more tenths of a second")

    @property
    def pedestrian_time(self) -> Tenths:
        """Walk and pedestrian clearance together, in tenths of a second."""
        return self.walk + self.ped_clearance


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One right of way with its own indication: a NEMA phase, or a signal group in European practice."""

    number: int
    """1 or more, unique among phases and overlaps."""

    name: str
    """What the operator calls it."""

    timing: PhaseTiming
    """Its times."""

    vehicle: bool = True
    """Whether it has a vehicle indication; a crossing of its own has none."""

    min_recall: bool = False
    """Whether it always has a vehicle call."""

    ped_recall: bool = False
    """Whether it always has a pedestrian call."""

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ConfigError("a phase is numbered from 1", key="number", value=self.number, allowed="1 or more")
        if self.vehicle and self.timing.yellow_change <= 0:
            raise ConfigError(
                f"phase {self.number}: every end of a vehicle green needs a yellow",
                key="yellow_change",
                value=self.timing.yellow_change,
                allowed="1 or more tenths of a second",
            )
        if not self.vehicle and not self.pedestrian:
            raise ConfigError(
                f"phase {self.number}: it has neither a vehicle nor a pedestrian indication",
                key="walk",
                value=self.timing.walk,
                allowed="1 or more tenths of a second",
            )

    @property
    def pedestrian(self) -> bool:
        """Whether pedestrians walk with this phase."""
        return self.timing.walk > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """A signal group that is green whenever one of its parent phases is, and stays green from one parent to the next."""

    number: int
    """1 or more, unique among phases and overlaps."""

    name: str
    """What the operator calls it."""

    parents: frozenset[int]
    """The phases it is green with."""

    yellow_change: Tenths
    """Yellow when no parent follows, in tenths of a second."""

    red_clearance: Tenths = 0
    """Red after that yellow before a conflicting start, in tenths of a second."""

    def __post_init__(self) -> None:
        if not self.parents:
            raise ConfigError(f"overlap {self.number}: it needs a parent", key="parents", value=[], allowed="numbers of phases")
        if self.yellow_change <= 0:
            raise ConfigError(
                f"overlap {self.number}: every end of green needs a yellow",
                key="yellow_change",
                value=self.yellow_change,
                allowed="1 or more tenths of a second",
            )
