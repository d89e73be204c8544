"""Streets, junctions and signal plans of a network, as `network.toml` states them.

    speed = 50                            # km/h
    [junctions]                           # metres, x to the east, y to the north
    C = [0, 0]                            # and so on for west, east, ...
    [[streets]]
    junctions = ["west", "C", "east"]     # in order: signals inside, traffic enters and leaves at the ends
    lanes = 2
    left_bay = 90
    [[plans]]
    junctions = ["C"]
    stages = [{ phases = [2, 6], green = 30 }, { phases = [4, 8], green = 20 }]

Phases are numbered as in NEMA's dual ring. 2, 4, 6 and 8 go straight on or turn right, coming from the west, north, east and south; 5, 7, 1
and 3 turn left, coming from the same. A left turn whose phase a plan leaves out is permissive and goes with the through phase beside it.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import IntEnum
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")

RINGS = ({1, 2, 3, 4}, {5, 6, 7, 8})
BARRIER_GROUPS = ({1, 2, 5, 6}, {3, 4, 7, 8})


class BuildError(ValueError):
    """Data from which no network can be built. The message names the file, the key, its value and what is allowed."""


class Leg(IntEnum):
    """The side on which a street leaves a junction, clockwise."""

    NORTH = 0
    EAST = 1
    SOUTH = 2
    WEST = 3

    @property
    def clockwise(self) -> "Leg":
        """The next leg clockwise."""
        return Leg((self + 1) % 4)

    @property
    def counterclockwise(self) -> "Leg":
        """The next leg counterclockwise."""
        return Leg((self - 1) % 4)


class Turn(IntEnum):
    """What a driver does at a junction, in the order of turning counts."""

    LEFT = 0
    THROUGH = 1
    RIGHT = 2

    def leads_to(self, leg: Leg) -> Leg:
        """Say by which leg a driver leaves who came by `leg`: whoever turns left leaves by the next one clockwise."""
        return Leg((leg + self + 1) % 4)


THROUGH_PHASE = {Leg.WEST: 2, Leg.NORTH: 4, Leg.EAST: 6, Leg.SOUTH: 8}
LEFT_PHASE = {Leg.WEST: 5, Leg.NORTH: 7, Leg.EAST: 1, Leg.SOUTH: 3}


@dataclass(frozen=True, kw_only=True)
class Street:
    """A road through a row of junctions, the same in both directions."""

    junctions: list[str]

    lanes: int = 1
    """Lanes of each direction, bays not counted."""

    left_bay: float = 0.0
    """Where the lane of their own begins that left turns have before each signal, in metres from the junction's centre; 0 for none."""

    sidewalk: bool = False
    """Whether it has sidewalks, and crossings at its signals."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Phases that are green together."""

    phases: list[int]

    green: int
    """How long, in seconds, without the clearances that follow."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The static program of some signals."""

    junctions: list[str]

    stages: list[Stage]

    yellow: int = 3
    """Yellow change, in seconds."""

    all_red: int = 1
    """Red clearance, in seconds."""

    ped_clearance: int = 0
    """Flashing don't walk before the yellow of the phase beside a crossing, in seconds; yellow change and red clearance come on top."""

    offsets: list[int] = field(default_factory=list)
    """Start of the cycle at each junction, in seconds; none for 0 everywhere."""


@dataclass(frozen=True)
class Section:
    """One direction of a street between two neighbouring junctions."""

    origin: str
    target: str
    street: Street
    signal_ahead: bool

    @property
    def name(self) -> str:
        """Its name, as in `A-B`."""
        return f"{self.origin}-{self.target}"

    @property
    def has_bay(self) -> bool:
        """Whether left turns have a lane of their own at its end."""
        return self.signal_ahead and self.street.left_bay > 0

    @property
    def edges(self) -> list[str]:
        """SUMO's edges, in driving order."""
        return [self.name, f"{self.name}.bay"] if self.has_bay else [self.name]


@dataclass(frozen=True, kw_only=True)
class Network:
    """What `network.toml` says."""

    speed: float
    """Limit on every street, in kilometres per hour."""

    junctions: dict[str, list[float]]
    """Where the junctions and the ends of the streets are, in metres."""

    streets: list[Street]

    plans: list[Plan]

    @cached_property
    def signals(self) -> list[str]:
        """The signalised junctions."""
        inner = {name for street in self.streets for name in street.junctions[1:-1]}
        return [name for name in self.junctions if name in inner]

    @cached_property
    def sections(self) -> dict[tuple[str, str], Section]:
        """All sections, by the junctions at their ends."""
        return {
            (origin, target): Section(origin, target, street, target in self.signals)
            for street in self.streets
            for pair in pairwise(street.junctions)
            for origin, target in (pair, pair[::-1])
        }

    @cached_property
    def entries(self) -> list[Section]:
        """The sections by which traffic enters."""
        return [section for section in self.sections.values() if section.origin not in self.signals]

    @cached_property
    def legs(self) -> dict[str, dict[Leg, str]]:
        """The neighbour at the end of each leg of each signal."""
        return {name: {self._leg(name, target): target for origin, target in self.sections if origin == name} for name in self.signals}

    def length(self, section: Section) -> float:
        """Measure a section from centre to centre, in metres."""
        return math.dist(self.junctions[section.origin], self.junctions[section.target])

    def approach(self, section: Section) -> Leg:
        """Say by which leg of its target a section arrives."""
        return self._leg(section.target, section.origin)

    def after(self, section: Section, turn: Turn) -> Section:
        """Find the section onto which a turn at the end of this one leads."""
        leg = turn.leads_to(self.approach(section))
        return self.sections[section.target, self.legs[section.target][leg]]

    def _leg(self, junction: str, neighbour: str) -> Leg:
        (x, y), (to_x, to_y) = self.junctions[junction], self.junctions[neighbour]
        return Leg(round(math.atan2(to_x - x, to_y - y) / (math.pi / 2)) % 4)


def load(path: Path) -> Network:
    """Read and check `network.toml`.

    Raises:
        BuildError: the file is missing or broken, or says what cannot be built.
    """
    data = read(path)
    streets = records(Street, data.get("streets"), path)
    plans = [record(Plan, {**plan, "stages": records(Stage, plan.get("stages"), path)}, path) for plan in tables(data.get("plans"), path)]
    network = record(Network, {**data, "streets": streets, "plans": plans}, path)
    try:
        _check_streets(network)
        _check_plans(network)
    except BuildError as error:
        raise BuildError(f"{path}: {error}") from error
    return network


def read(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        BuildError: the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BuildError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise BuildError(f"{path}: {error}") from error


def tables(value: object, path: Path) -> list[dict[str, Any]]:
    """Take a TOML value as a list of tables; none for a value that is not there.

    Raises:
        BuildError: it is something else.
    """
    if value is None:
        return []
    if not (isinstance(value, list) and all(isinstance(table, dict) for table in value)):
        raise BuildError(f"{path}: {value!r} stands where a list of tables is wanted")
    return value


def record(kind: type[Record], table: Mapping[str, Any], path: Path) -> Record:
    """Make a dataclass of a TOML table.

    Raises:
        BuildError: a key is unknown or missing, or its value is of the wrong type.
    """
    title = kind.__name__.lower()
    types = get_type_hints(kind)
    for key, value in table.items():
        if key not in types:
            raise BuildError(f"{path}: unknown key {key!r} in a {title}; allowed: {', '.join(types)}")
        wanted = get_origin(types[key]) or types[key]
        if not isinstance(value, (int, float) if wanted is float else wanted):
            raise BuildError(f"{path}: {key} = {value!r} in a {title}; allowed: {wanted.__name__}")
    for entry in fields(kind):
        if entry.name not in table and entry.default is MISSING and entry.default_factory is MISSING:
            raise BuildError(f"{path}: a {title} lacks {entry.name!r}")
    return kind(**table)


def records(kind: type[Record], value: object, path: Path) -> list[Record]:
    """Make dataclasses of a list of TOML tables.

    Raises:
        BuildError: as `tables` and `record`.
    """
    return [record(kind, table, path) for table in tables(value, path)]


def _check_streets(network: Network) -> None:
    for name, place in network.junctions.items():
        if not _is_point(place):
            raise BuildError(f"junctions.{name} = {place}; allowed: [x, y] in metres")
    for name in (name for street in network.streets for name in street.junctions):
        if name not in network.junctions:
            raise BuildError(f"a street runs through {name!r}, which is no junction; known: {', '.join(network.junctions)}")
    for section in network.sections.values():
        if network.length(section) <= section.street.left_bay:
            raise BuildError(f"left_bay = {section.street.left_bay}; {section.name} is {network.length(section):.0f} m long")
    for name, legs in network.legs.items():
        if len(legs) != len(Leg):
            raise BuildError(f"{name} has {len(legs)} legs; a signal needs four, to the north, east, south and west")


def _check_plans(network: Network) -> None:
    planned = [name for plan in network.plans for name in plan.junctions]
    if sorted(planned) != sorted(network.signals):
        raise BuildError(f"there are plans for {', '.join(planned) or 'nothing'}; needed is one for each of {', '.join(network.signals)}")
    for plan in network.plans:
        if plan.offsets and len(plan.offsets) != len(plan.junctions):
            raise BuildError(f"{len(plan.offsets)} offsets for {len(plan.junctions)} junctions")
        for stage in plan.stages:
            if not _are_compatible(set(stage.phases)):
                raise BuildError(f"phases = {stage.phases}; allowed: one of each ring, within {BARRIER_GROUPS[0]} or {BARRIER_GROUPS[1]}")
        unserved = set(THROUGH_PHASE.values()) - {phase for stage in plan.stages for phase in stage.phases}
        if unserved:
            raise BuildError(f"the plan for {', '.join(plan.junctions)} never serves phase {min(unserved)}")


def _are_compatible(phases: set[int]) -> bool:
    one_of_each_ring = all(len(phases & ring) <= 1 for ring in RINGS)
    return bool(phases) and one_of_each_ring and any(phases <= group for group in BARRIER_GROUPS)


def _is_point(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(number, int | float) for number in value)
