"""Says how an intersection's configuration stands in a cabinet of NTCIP 1202: its phases, rings and overlaps, or why it cannot.

    STAGES   one ring in which phase n is stage n, and every signal group an overlap with the stages it is green in as parents
    RINGS    dual ring: a phase is a phase, or the groups that are always green together; phases that run together stand in two rings

A cabinet times its clearances by phase, not by pair of groups. What the gate expects of a change of stage must follow from these times,
or the program is unsuitable; nothing is rounded in silence. It is the agency that enters a program into a cabinet, never we.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from field_adapters.ntcip_objects import PHASES
from intersection.config import IntersectionConfig
from intersection.detection import DetectorKind
from intersection.phase import Tenths
from intersection.sensed import LOOPS
from intersection.tables import Group, Tables, bits

OVERLAPS = 16
"""Overlaps that a cabinet has, as we speak it."""

DETECTORS = 255
"""Vehicle detectors, and push buttons, that NTCIP 1202 can number."""

_LONGEST_SECONDS, _LONGEST_TENTHS = 2550, 255


class Method(Enum):
    """How stages become phases of a cabinet."""

    STAGES = "stages"
    """One ring, phase = stage, signal group = overlap."""

    RINGS = "rings"
    """Two rings and barriers."""


class OutputKind(Enum):
    """What drives the lamps of a group."""

    PHASE = "phase"
    OVERLAP = "overlap"


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """Where the lamps of a group are reported."""

    kind: OutputKind
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseTimes:
    """What the cabinet's timing table must say of a phase, in its own units."""

    min_green: int
    """In seconds."""

    max_green: int
    """The least that it may be, in seconds: a shorter one ends greens that the gate has granted."""

    walk: int
    """In seconds."""

    ped_clear: int
    """In seconds."""

    yellow: Tenths
    red: Tenths


@dataclass(frozen=True, slots=True)
class Unsuitable:
    """This configuration cannot stand in such a cabinet by such a method."""

    cause: str


@dataclass(frozen=True, kw_only=True)
class NtcipProgram:
    """What a cabinet must hold to run a configuration. Phases and overlaps are numbered from 1, as on the wire."""

    method: Method
    rings: tuple[tuple[tuple[int, ...], ...], ...]
    """For each ring and each side of the barriers, the phases in their sequence."""

    stages: tuple[frozenset[int], ...]
    """The phases that are on in each stage, by its index."""

    outputs: tuple[Output, ...]
    """For each group of `Tables.groups`, what drives its lamps; its pedestrians are those of the same phase."""

    overlaps: tuple[frozenset[int], ...]
    """The parents of overlap 1, 2, ..."""

    times: Mapping[int, PhaseTimes]
    """By phase."""

    detectors: Mapping[str, int]
    """The number of each loop among the vehicle detectors, by its id."""

    buttons: Mapping[str, int]
    """The number of each push button among the pedestrian detectors, by its id."""

    calls: Mapping[str, int]
    """The phase that each of them calls, by its id."""

    notes: tuple[str, ...] = ()
    """What a cabinet's engineer must know of it."""

    @cached_property
    def phases(self) -> frozenset[int]:
        """All phases in use."""
        return frozenset(self.times)

    @cached_property
    def walking(self) -> frozenset[int]:
        """The phases that pedestrians walk with."""
        return frozenset(phase for phase, times in self.times.items() if times.walk)

    def phase_of(self, stage: int) -> int:
        """Name the lowest phase of a stage; by STAGES its only one."""
        return min(self.stages[stage])

    def sequence(self, ring: int) -> tuple[int, ...]:
        """List the phases of a ring (from 0) in their sequence, over all sides of the barriers."""
        return tuple(phase for side in self.rings[ring] for phase in side)

    def ring_of(self, phase: int) -> int:
        """Name the ring of a phase, from 1."""
        return next(number for number, ring in enumerate(self.rings, start=1) if any(phase in side for side in ring))

    def concurrent(self, phase: int) -> frozenset[int]:
        """List the phases that may run with a phase: those of the other ring on its side of the barriers."""
        at = self.ring_of(phase) - 1
        side = next(number for number, phases in enumerate(self.rings[at]) if phase in phases)
        return frozenset(other for number, ring in enumerate(self.rings) if number != at for other in ring[side])


class _Cannot(Exception):
    """Ends the search for a program with a cause; it never leaves this module."""


def program_of(config: IntersectionConfig, method: Method) -> NtcipProgram | Unsuitable:
    """Work out what a cabinet must hold to run a configuration, or why none can."""
    try:
        _check_common(config)
        return _by_stages(config) if method is Method.STAGES else _by_rings(config)
    except _Cannot as cannot:
        return Unsuitable(str(cannot))


# --- what either method refuses ------------------------------------------------------------------------------------------------------
def _check_common(config: IntersectionConfig) -> None:
    if config.prohibited_moves:
        source, target = config.prohibited_moves[0]
        raise _Cannot(f"the move from {source!r} to {target!r} is prohibited, and a cabinet skips phases that nobody calls")
    for group in config.tables.groups:
        _check_times(group, timed=group.number in _phases(config))
    for item in config.intergreens:
        ending = config.tables.groups[config.tables.index[item.ending]]
        if item.time != ending.yellow + ending.red:
            raise _Cannot(
                f"the intergreen from {item.ending} to {item.starting} is {item.time / 10} s, yellow change and red clearance of "
                f"{item.ending} together {(ending.yellow + ending.red) / 10} s; a cabinet has no times by pair"
            )
    for kinds, what in ((LOOPS, "loops"), ((DetectorKind.PUSH_BUTTON,), "push buttons")):
        count = sum(detector.kind in kinds for detector in config.detectors)
        if count > DETECTORS:
            raise _Cannot(f"{count} {what}; a cabinet numbers {DETECTORS}")


def _check_times(group: Group, *, timed: bool) -> None:
    """Refuse times that a cabinet's table cannot hold. The greens of an overlap are those of its parents."""
    for what, value in (
        ("minimum green", group.min_green),
        ("walk", group.walk),
        ("pedestrian clearance", group.pedestrian_time - group.walk),
    ):
        if value % 10:
            raise _Cannot(f"{what} of {_named(group)} is {value / 10} s; a cabinet counts it in whole seconds")
        if value > _LONGEST_SECONDS:
            raise _Cannot(f"{what} of {_named(group)} is {value / 10} s; a cabinet counts to 255 s")
    if timed and group.max_green > _LONGEST_SECONDS:
        raise _Cannot(f"maximum green of {_named(group)} is {group.max_green / 10} s; a cabinet counts to 255 s")
    if max(group.yellow, group.red) > _LONGEST_TENTHS:
        raise _Cannot(f"a clearance of {_named(group)} is above 25.5 s; a cabinet counts no further")


def _phases(config: IntersectionConfig) -> frozenset[int]:
    return frozenset(phase.number for phase in config.phases)


def _named(group: Group) -> str:
    return f"group {group.number} ({group.name})"


# --- one ring of stages --------------------------------------------------------------------------------------------------------------
def _by_stages(config: IntersectionConfig) -> NtcipProgram:
    tables = config.tables
    if len(config.stages) > PHASES:
        raise _Cannot(f"{len(config.stages)} stages; a cabinet has {PHASES} phases")
    if tables.size > OVERLAPS:
        raise _Cannot(f"{tables.size} signal groups; a cabinet has {OVERLAPS} overlaps")
    for group in tables.groups:
        if group.walk:
            raise _Cannot(f"pedestrians walk with {_named(group)}, and overlaps have no walk")
    _alike(tables.groups, "minimum green", lambda group: group.min_green)
    numbers = range(1, len(config.stages) + 1)
    for at, green in enumerate(tables.green):
        clearing = [tables.groups[group] for group in bits(green)]
        within = f" within stage {config.stages[at].name!r}"
        _alike(clearing, "yellow change", lambda group: group.yellow, within)
        _alike(clearing, "red clearance", lambda group: group.red, within)
        for other in range(len(tables.green)):
            if other != at and not tables.move(at, other).ending:
                raise _Cannot(
                    f"no green ends from stage {config.stages[at].name!r} to {config.stages[other].name!r}, "
                    f"yet the phase of a stage that ends is cleared"
                )
    return NtcipProgram(
        method=Method.STAGES,
        rings=((tuple(numbers),),),
        stages=tuple(frozenset({number}) for number in numbers),
        outputs=tuple(Output(kind=OutputKind.OVERLAP, number=at + 1) for at in range(tables.size)),
        overlaps=tuple(frozenset(number for number in numbers if tables.green[number - 1] >> at & 1) for at in range(tables.size)),
        times={number: _times([tables.groups[group] for group in bits(tables.green[number - 1])]) for number in numbers},
        detectors=_numbered(config, LOOPS),
        buttons={},
        calls={
            detector.id: tables.rescue[tables.index[detector.phases[0]]] + 1
            for detector in config.detectors
            if detector.phases and detector.kind in LOOPS
        },
        notes=_restarts(config),
    )


def _restarts(config: IntersectionConfig) -> tuple[str, ...]:
    """Name the groups that the gate ends between two stages that both hold them: an overlap does not do so by itself."""
    tables, count = config.tables, range(len(config.stages))
    again = {group for a in count for b in count if a != b for group in bits(tables.move(a, b).ending & tables.green[b])}
    return tuple(
        f"overlap {group + 1} ({tables.groups[group].name}) must end before it goes on as permissive: its heads need an interlock"
        for group in sorted(again)
    )


# --- dual ring -----------------------------------------------------------------------------------------------------------------------
def _by_rings(config: IntersectionConfig) -> NtcipProgram:
    """Take each phase of the configuration for one of the cabinet, as in NEMA; where that has no rings, the groups that go together."""
    try:
        return _with_members(config, {phase.number: [at] for at, phase in enumerate(config.phases)})
    except _Cannot:
        members = _members(config.tables)
        if len(members) == len(config.phases):
            raise
        return _with_members(config, members)


def _with_members(config: IntersectionConfig, members: Mapping[int, list[int]]) -> NtcipProgram:
    """Make the program in which each phase drives the given groups."""
    tables = config.tables
    if max(members) > PHASES:
        raise _Cannot(f"phase {max(members)}; a cabinet numbers them 1 to {PHASES}")
    together: dict[int, set[int]] = {phase: set() for phase in members}
    stages = [frozenset(phase for phase, groups in members.items() if green >> groups[0] & 1) for green in tables.green]
    for stage in stages:
        for phase in stage:
            together[phase] |= stage - {phase}
    rings = _rings(together, stages, members, tables)
    times = {phase: _phase_times(phase, groups, tables) for phase, groups in members.items()}
    phase_at = {group: phase for phase, groups in members.items() for group in groups}
    overlaps = _overlaps(config, phase_at)
    program = NtcipProgram(
        method=Method.RINGS,
        rings=rings,
        stages=tuple(stages),
        outputs=(
            *(Output(kind=OutputKind.PHASE, number=phase_at[at]) for at in range(len(config.phases))),
            *(Output(kind=OutputKind.OVERLAP, number=number) for number in range(1, len(overlaps) + 1)),
        ),
        overlaps=overlaps,
        times=times,
        detectors=_numbered(config, LOOPS),
        buttons=_numbered(config, (DetectorKind.PUSH_BUTTON,)),
        calls={
            detector.id: phase_at[tables.index[detector.phases[0]]]
            for detector in config.detectors
            if detector.phases and detector.kind in (*LOOPS, DetectorKind.PUSH_BUTTON)
        },
    )
    _check_moves(config, program)
    return program


def _members(tables: Tables) -> dict[int, list[int]]:
    """Find the groups of each phase: those that are green in the same stages. Phases are numbered in the order of the stages."""
    by_stages: dict[tuple[int, ...], list[int]] = {}
    for at in range(len(tables.phases)):
        by_stages.setdefault(tuple(green >> at & 1 for green in tables.green), []).append(at)
    in_order = sorted(by_stages.items(), key=lambda item: (item[0].index(1), item[1]))
    return {number: groups for number, (_, groups) in enumerate(in_order, start=1)}


def _rings(
    together: Mapping[int, set[int]], stages: Sequence[frozenset[int]], members: Mapping[int, list[int]], tables: Tables
) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Part the phases into two rings and the sides of the barriers: phases that run together are in two rings on one side."""
    order = list(dict.fromkeys(phase for stage in stages for phase in sorted(stage)))
    ring_of: dict[int, int] = {}
    sides: list[list[int]] = []
    for first in order:
        if first in ring_of:
            continue
        ring_of[first], side = 0, [first]
        for phase in side:
            for other in sorted(together[phase]):
                if other not in ring_of:
                    ring_of[other] = 1 - ring_of[phase]
                    side.append(other)
                elif ring_of[other] == ring_of[phase]:
                    raise _Cannot(f"phases {min(phase, other)} and {max(phase, other)} run together, and two rings have no room for both")
        sides.append(side)
    for side in sides:
        for phase in side:
            for other in side:
                if ring_of[phase] < ring_of[other] and (pair := _clash(members[phase], members[other], tables)):
                    raise _Cannot(f"groups {pair[0]} and {pair[1]} conflict, and a cabinet may run phases {phase} and {other} together")
    return tuple(
        tuple(tuple(phase for phase in order if phase in side and ring_of[phase] == ring) for side in sides)
        for ring in range(max(ring_of.values()) + 1)
    )


def _clash(first: Iterable[int], second: Sequence[int], tables: Tables) -> tuple[int, int] | None:
    """Find two groups that conflict, and of which neither gives way."""
    for a in first:
        for b in second:
            if tables.conflicts[a] >> b & 1 and not (tables.yields[a] >> b & 1 or tables.yields[b] >> a & 1):
                return tables.groups[a].number, tables.groups[b].number
    return None


def _phase_times(phase: int, groups: Sequence[int], tables: Tables) -> PhaseTimes:
    known = [tables.groups[at] for at in groups]
    heads = [group for group in known if group.vehicle]
    within = f" within phase {phase}"
    if not heads:
        raise _Cannot(f"phase {phase} has no vehicle indication, and a cabinet times one")
    _alike(known, "minimum green", lambda group: group.min_green, within)
    _alike(heads, "yellow change", lambda group: group.yellow, within)
    _alike(heads, "red clearance", lambda group: group.red, within)
    for group in known:
        if group.yellow + group.red > heads[0].yellow + heads[0].red:
            raise _Cannot(f"{_named(group)} is cleared for longer than the vehicles{within}; a cabinet clears a phase once")
    walking = [group for group in known if group.walk]
    _alike(walking, "walk", lambda group: group.walk, within)
    _alike(walking, "pedestrian clearance", lambda group: group.pedestrian_time, within)
    return _times([*heads, *walking])


def _overlaps(config: IntersectionConfig, phase_at: Mapping[int, int]) -> tuple[frozenset[int], ...]:
    tables = config.tables
    if len(config.overlaps) > OVERLAPS:
        raise _Cannot(f"{len(config.overlaps)} overlaps; a cabinet has {OVERLAPS}")
    for overlap in config.overlaps:
        for parent in overlap.parents:
            group = tables.groups[tables.index[parent]]
            if (group.yellow, group.red) != (overlap.yellow_change, overlap.red_clearance):
                raise _Cannot(f"overlap {overlap.number} is cleared otherwise than its parent {parent}; a cabinet clears it as its parent")
    return tuple(frozenset(phase_at[tables.index[parent]] for parent in overlap.parents) for overlap in config.overlaps)


def _check_moves(config: IntersectionConfig, program: NtcipProgram) -> None:
    """Refuse changes of stage that a dual ring would show otherwise than the gate expects."""
    tables = config.tables
    for a, source in enumerate(program.stages):
        for b, target in enumerate(program.stages):
            if a == b:
                continue
            names = f"from stage {config.stages[a].name!r} to {config.stages[b].name!r}"
            if again := tables.move(a, b).ending & tables.green[b]:
                raise _Cannot(f"{_named(tables.groups[bits(again)[0]])} would have to end and begin again {names}: a ring keeps it green")
            lengths = {program.times[phase].yellow + program.times[phase].red for phase in source - target}
            if len(lengths) > 1 and any(_same_side(program, p, q) for p in source for q in target):
                raise _Cannot(f"the rings would not begin together {names}: their clearances differ")


def _same_side(program: NtcipProgram, first: int, second: int) -> bool:
    return any(first in side and second in side for ring in program.rings for side in ring) or second in program.concurrent(first)


# --- both ----------------------------------------------------------------------------------------------------------------------------
def _alike(groups: Sequence[Group], what: str, of: Callable[[Group], Tenths], within: str = "") -> None:
    """Refuse groups whose times differ where a cabinet has one."""
    for group in groups[1:]:
        if of(group) != of(groups[0]):
            raise _Cannot(
                f"{what} differs{within}: {_named(groups[0])} {of(groups[0]) / 10} s, {_named(group)} {of(group) / 10} s; a cabinet has one"
            )


def _times(groups: Sequence[Group]) -> PhaseTimes:
    """Write the times of a phase that drives these groups; those that must be alike have been found to be."""
    walking = [group for group in groups if group.walk]
    return PhaseTimes(
        min_green=groups[0].min_green // 10,
        max_green=min(255, max(-(-group.max_green // 10) for group in groups)),
        walk=walking[0].walk // 10 if walking else 0,
        ped_clear=(walking[0].pedestrian_time - walking[0].walk) // 10 if walking else 0,
        yellow=groups[0].yellow,
        red=groups[0].red,
    )


def _numbered(config: IntersectionConfig, kinds: tuple[DetectorKind, ...]) -> dict[str, int]:
    """Number the detectors of some kinds in the order of the configuration, from 1."""
    return {id_: number for number, id_ in enumerate((d.id for d in config.detectors if d.kind in kinds), start=1)}
