"""Which phases may be green together, and how long one must be over before another begins."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from intersection.errors import ConfigError
from intersection.phase import Tenths


@dataclass(frozen=True, kw_only=True, slots=True)
class Ring:
    """Phases of which at most one is green at a time, in the order they are served."""

    number: int
    phases: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Barrier:
    """The phases on one side of the barriers; phases of two sides never run together."""

    phases: frozenset[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Intergreen:
    """The time from the end of one green to the start of a conflicting one, for an ordered pair."""

    ending: int
    """The phase whose green ends."""

    starting: int
    """The phase whose green starts."""

    time: Tenths
    """At least the ending phase's yellow change, in tenths of a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Phases that are green together. A protected phase yields to none of them, a permissive one does."""

    name: str
    protected: frozenset[int]
    permissive: frozenset[int] = frozenset()

    @property
    def phases(self) -> frozenset[int]:
        """All phases that are green in this stage."""
        return self.protected | self.permissive


@dataclass(frozen=True, slots=True)
class Compatibility:
    """The conflict matrix of an intersection.

    Attributes:
        conflicts: pairs (low, high) of numbers that are never protected together.
        yields: ordered pairs (permissive, other) of conflicting phases that may run together while the first gives way.
    """

    conflicts: frozenset[tuple[int, int]]
    yields: frozenset[tuple[int, int]] = frozenset()

    def __post_init__(self) -> None:
        for first, second in self.conflicts:
            if first >= second:
                raise ConfigError("a conflict is a pair of two different phases, the lower first", key="conflicts", value=[first, second])
        for permissive, other in self.yields:
            if not self.conflict(permissive, other):
                raise ConfigError(
                    "a phase gives way only to one it conflicts with",
                    key="yields",
                    value=[permissive, other],
                    allowed="pairs that stand in conflicts too",
                )

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]], yields: Iterable[tuple[int, int]] = ()) -> "Compatibility":
        """Make a matrix from conflicting pairs in any order."""
        return cls(frozenset((min(pair), max(pair)) for pair in pairs), frozenset(yields))

    @classmethod
    def from_rings(cls, rings: Iterable[Ring], barriers: Iterable[Barrier], yields: Iterable[tuple[int, int]] = ()) -> "Compatibility":
        """Derive the matrix of rings and barriers: compatible are phases of different rings on one side of a barrier.

        Raises:
            ConfigError: a phase stands in two rings, or not on exactly one side of the barriers.
        """
        ring_of: dict[int, int] = {}
        for ring in rings:
            for phase in ring.phases:
                if phase in ring_of:
                    raise ConfigError("a phase stands in one ring only", key="ring.phases", value=phase)
                ring_of[phase] = ring.number
        side_of: dict[int, int] = {}
        for side, barrier in enumerate(barriers):
            for phase in barrier.phases:
                if phase in side_of:
                    raise ConfigError("a phase stands on one side of the barriers only", key="barrier.phases", value=phase)
                side_of[phase] = side
        if ring_of.keys() != side_of.keys():
            odd = sorted(ring_of.keys() ^ side_of.keys())
            raise ConfigError("rings and barriers must name the same phases", key="barrier.phases", value=odd)
        pairs = ((a, b) for a, b in combinations(sorted(ring_of), 2) if ring_of[a] == ring_of[b] or side_of[a] != side_of[b])
        return cls.of(pairs, yields)

    def conflict(self, first: int, second: int) -> bool:
        """Tell whether two phases are never protected together."""
        return (min(first, second), max(first, second)) in self.conflicts

    def clash(self, stage: Stage) -> tuple[int, int] | None:
        """Find two phases of a stage that may not be green together, or None."""
        for first, second in combinations(sorted(stage.phases), 2):
            if not self.conflict(first, second):
                continue
            gives_way = (first in stage.permissive and (first, second) in self.yields) or (
                second in stage.permissive and (second, first) in self.yields
            )
            if not gives_way:
                return first, second
        return None
