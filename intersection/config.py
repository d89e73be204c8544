"""`intersection.toml`: one signal's whole configuration, checked before anything runs by it."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import time
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from intersection.compatibility import Barrier, Compatibility, Intergreen, Ring, Stage
from intersection.detection import Detector, DetectorKind
from intersection.errors import ConfigError, nearest
from intersection.phase import Overlap, Phase, PhaseTiming
from intersection.plan import Pattern, Schedule, ScheduleEntry
from intersection.tables import Tables, bits

VERSION = 1
"""The version of the file's form that this code reads."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class IntersectionConfig:
    """Everything that is known of one signal before it runs. Checked as a whole when it is made.

    Raises:
        ConfigError: it cannot run safely, or one of the gate's promises could not be kept; the message says which.
    """

    name: str
    """What operators call it."""

    phases: tuple[Phase, ...]
    overlaps: tuple[Overlap, ...] = ()
    compatibility: Compatibility
    intergreens: tuple[Intergreen, ...] = ()
    """Where a pair needs another time than the ending phase's yellow change and red clearance."""

    stages: tuple[Stage, ...]
    prohibited_moves: tuple[tuple[str, str], ...] = ()
    """Pairs of stages (from, to) that never follow each other directly."""

    detectors: tuple[Detector, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)
    approved: bool = False
    """Whether the times come from an approved timing sheet; no other configuration ever reaches a cabinet."""

    extensions: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Tables of the file that belong to others, for instance `sumo`."""

    def __post_init__(self) -> None:
        self._check_names()
        self._check_stages()
        self._check_intergreens()
        self._check_promises()

    @cached_property
    def tables(self) -> Tables:
        """The compiled form, made once."""
        by_name = {stage.name: at for at, stage in enumerate(self.stages)}
        return Tables(
            phases=self.phases,
            overlaps=self.overlaps,
            stages=self.stages,
            compatibility=self.compatibility,
            intergreens=self.intergreens,
            prohibited=frozenset((by_name[a], by_name[b]) for a, b in self.prohibited_moves),
            patterns=self.patterns,
            locking=frozenset(phase for detector in self.detectors if detector.locking for phase in detector.phases),
        )

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of all phases and overlaps."""
        return frozenset(phase.number for phase in self.phases) | frozenset(overlap.number for overlap in self.overlaps)

    def _check_names(self) -> None:
        if not self.phases:
            raise ConfigError("a signal needs a phase", key="phase", value=[], allowed="1 or more")
        if not self.stages:
            raise ConfigError("a signal needs a stage", key="stage", value=[], allowed="1 or more")
        _unique("number", [item.number for item in self.phases] + [item.number for item in self.overlaps])
        _unique("stage.name", [stage.name for stage in self.stages])
        _unique("detector.id", [detector.id for detector in self.detectors])
        _unique("pattern.number", [pattern.number for pattern in self.patterns])
        phases = frozenset(phase.number for phase in self.phases)
        named: list[tuple[str, Iterable[int], frozenset[int]]] = [
            ("overlap.parents", (n for overlap in self.overlaps for n in overlap.parents), phases),
            ("stage.protected", (n for stage in self.stages for n in stage.protected), phases),
            ("stage.permissive", (n for stage in self.stages for n in stage.permissive), phases),
            ("conflicts", (n for pair in self.compatibility.conflicts for n in pair), self.numbers),
            ("intergreen", (n for item in self.intergreens for n in (item.ending, item.starting)), self.numbers),
            ("detector.phases", (n for detector in self.detectors for n in detector.phases), phases),
        ]
        for key, numbers, known in named:
            for number in numbers:
                if number not in known:
                    raise ConfigError("no such phase", key=key, value=number, allowed=", ".join(map(str, sorted(known))))
        stages = {stage.name for stage in self.stages}
        for key, names in (
            ("prohibited_moves", [name for pair in self.prohibited_moves for name in pair]),
            ("pattern.sequence", [name for pattern in self.patterns for name in pattern.sequence]),
        ):
            for name in names:
                if name not in stages:
                    raise ConfigError("no such stage", key=key, value=name, allowed=", ".join(sorted(stages)))
        patterns = {pattern.number for pattern in self.patterns} | {0}
        for entry in self.schedule.entries:
            if entry.pattern not in patterns:
                raise ConfigError(
                    "no such pattern", key="schedule.pattern", value=entry.pattern, allowed=", ".join(map(str, sorted(patterns)))
                )

    def _check_stages(self) -> None:
        for stage in self.stages:
            if not stage.phases:
                raise ConfigError("a stage needs a green phase", key="stage", value=stage.name, allowed="1 or more phases")
            if stage.protected & stage.permissive:
                raise ConfigError(
                    f"stage {stage.name!r}: a phase is protected or permissive, not both",
                    key="stage.permissive",
                    value=sorted(stage.protected & stage.permissive),
                )
        tables = self.tables
        for at, stage in enumerate(self.stages):
            for group in bits(tables.green[at]):
                gives_way = tables.yields[group] if tables.permissive[at] >> group & 1 else 0
                for other in bits(tables.conflicts[group] & tables.green[at] & ~gives_way):
                    if not (tables.permissive[at] >> other & 1 and tables.yields[other] >> group & 1):
                        raise ConfigError(
                            f"stage {stage.name!r}: conflicting phases are green together",
                            key="stage",
                            value=[tables.groups[group].number, tables.groups[other].number],
                            allowed="phases without a conflict, or one of them permissive and giving way",
                        )

    def _check_intergreens(self) -> None:
        tables = self.tables
        for item in self.intergreens:
            ending = tables.groups[tables.index[item.ending]]
            if not tables.conflicts[tables.index[item.ending]] >> tables.index[item.starting] & 1:
                raise ConfigError("an intergreen stands between conflicting phases", key="intergreen", value=[item.ending, item.starting])
            longest = ending.yellow + tables.min_dwell
            if not ending.yellow <= item.time <= longest:
                raise ConfigError(
                    f"intergreen from {item.ending} to {item.starting} is out of range",
                    key="intergreen.time",
                    value=item.time,
                    allowed=f"{ending.yellow}..{longest} (yellow change .. yellow change and the shortest minimum green)",
                )
        for group in tables.groups:
            if group.red > tables.min_dwell:
                raise ConfigError(
                    f"phase {group.number}: red clearance is longer than the shortest minimum green",
                    key="red_clearance",
                    value=group.red,
                    allowed=f"0..{tables.min_dwell}",
                )

    def _check_promises(self) -> None:
        """Refuse what the gate could not keep: a maximum wait, or a maximum green shorter than what a stage needs."""
        tables = self.tables
        for call, rescue in enumerate(tables.rescue):
            if rescue < 0:
                continue
            group = tables.groups[call % tables.size]
            key, wait = ("max_wait", group.max_wait) if call < tables.size else ("ped_max_wait", group.ped_max_wait)
            if wait < tables.longest_wait(call):
                raise ConfigError(
                    f"phase {group.number}: the other stages' minimum greens, walks and clearances take longer than this wait",
                    key=key,
                    value=wait,
                    allowed=f"{tables.longest_wait(call)} or more",
                )
        for number, bounds in tables.max_green.items():
            for at in tables.reachable[number]:
                stage = self.stages[at]
                entry = max(tables.longest_move(source, at) for source in range(len(self.stages)))
                for held in bits(tables.green[at]):
                    if bounds[held] < entry + tables.service[at]:
                        what = f"pattern {number}: the splits of" if number else "the maximum green of"
                        raise ConfigError(
                            f"{what} phase {tables.groups[held].number} cannot last through stage {stage.name!r}",
                            key="pattern.splits" if number else "max_green",
                            value=bounds[held],
                            allowed=f"{entry + tables.service[at]} or more (clearance into the stage and its longest service)",
                        )


def load(path: Path) -> IntersectionConfig:
    """Read and check an `intersection.toml`.

    Raises:
        ConfigError: the file cannot be read or cannot run; the message names the file, the key, the value and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise ConfigError(f"cannot be read: {cause}", source=str(path)) from cause
    return parse(text, source=str(path))


def parse(text: str, *, source: str = "intersection.toml") -> IntersectionConfig:
    """Turn the text of an `intersection.toml` into a checked configuration. Raises ConfigError, with `source` in the message."""
    try:
        return _Reader(tomllib.loads(text)).config()
    except tomllib.TOMLDecodeError as cause:
        raise ConfigError(f"not a TOML file: {cause}", source=source) from cause
    except ConfigError as cause:
        raise ConfigError(str(cause), source=source) from cause


class _Reader:
    """Takes a document apart, and complains of every key it does not know."""

    OWN = frozenset({"version", "name", "approved", "phase", "overlap", "ring", "barrier", "conflicts", "yields", "intergreen"}) | {
        "stage", "prohibited_moves", "detector", "pattern", "schedule"
    }  # fmt: skip

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def config(self) -> IntersectionConfig:
        if self.document.get("version") != VERSION:
            raise ConfigError("unknown form", key="version", value=self.document.get("version"), allowed=str(VERSION))
        foreign = {key: value for key, value in self.document.items() if key not in self.OWN}
        for key, value in foreign.items():
            if not isinstance(value, dict):
                raise _unknown(key, key, value, self.OWN)
        return IntersectionConfig(
            name=self._value("name", str, required=True),
            phases=tuple(self._items("phase", _phase)),
            overlaps=tuple(self._items("overlap", lambda item: _make(Overlap, item, "overlap", parents=frozenset))),
            compatibility=self._compatibility(),
            intergreens=tuple(self._items("intergreen", lambda item: _make(Intergreen, item, "intergreen"))),
            stages=tuple(self._items("stage", lambda item: _make(Stage, item, "stage", protected=frozenset, permissive=frozenset))),
            prohibited_moves=tuple(_pairs(self._value("prohibited_moves", list), "prohibited_moves", str)),
            detectors=tuple(self._items("detector", lambda item: _make(Detector, item, "detector", kind=_kind, phases=tuple))),
            patterns=tuple(self._items("pattern", lambda item: _make(Pattern, item, "pattern", sequence=tuple, splits=tuple))),
            schedule=self._schedule(),
            approved=self._value("approved", bool),
            extensions=foreign,
        )

    def _value(self, key: str, kind: type[T], *, required: bool = False) -> T:
        if key not in self.document and not required:
            return kind()
        value = self.document.get(key)
        if not isinstance(value, kind):
            raise ConfigError("wrong or missing value", key=key, value=value, allowed=f"a {kind.__name__}")
        return value

    def _items(self, key: str, make: Callable[[dict[str, Any]], T]) -> list[T]:
        return [make(item) for item in _tables_of(self._value(key, list), key)]

    def _compatibility(self) -> Compatibility:
        yields = _pairs(self._value("yields", list), "yields", int)
        conflicts = _pairs(self._value("conflicts", list), "conflicts", int)
        if "ring" not in self.document:
            return Compatibility.of(conflicts, yields)
        rings = self._items("ring", lambda item: _make(Ring, item, "ring", phases=tuple))
        barriers = self._items("barrier", lambda item: _make(Barrier, item, "barrier", phases=frozenset))
        derived = Compatibility.from_rings(rings, barriers)
        return Compatibility.of([*derived.conflicts, *conflicts], yields)

    def _schedule(self) -> Schedule:
        given = dict(self._value("schedule", dict))
        entries = [
            _make(ScheduleEntry, item, "schedule.entry", start=_time, days=frozenset)
            for item in _tables_of(given.pop("entry", []), "schedule.entry")
        ]
        return _make(Schedule, given | {"entries": entries}, "schedule", entries=tuple)


def _tables_of(items: object, key: str) -> list[dict[str, Any]]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ConfigError("must be a list of tables", key=key, value=items, allowed=f"[[{key}]]")
    return items


def _pairs(items: list[Any], key: str, kind: type[T]) -> list[tuple[T, T]]:
    for item in items:
        if not isinstance(item, list) or len(item) != 2 or not all(isinstance(part, kind) for part in item):
            raise ConfigError("must be a list of pairs", key=key, value=item, allowed=f"pairs of {kind.__name__}")
    return [(first, second) for first, second in items]


def _unknown(name: str, key: str, value: object, known: Iterable[str]) -> ConfigError:
    return ConfigError(f"unknown key{nearest(name, known)}", key=key, value=value, allowed=", ".join(sorted(known)))


def _make(cls: type[T], item: dict[str, Any], key: str, /, **convert: Callable[[Any], Any]) -> T:
    """Build a dataclass from a table of the file, naming any key that is unknown, missing or of the wrong type."""
    known = {entry.name: entry.type for entry in fields(cls)}  # type: ignore[arg-type]  # every class passed is a dataclass
    for name, value in item.items():
        if name not in known:
            raise _unknown(name, f"{key}.{name}", value, known)
        if name not in convert and not _fits(value, known[name]):
            raise ConfigError("wrong type", key=f"{key}.{name}", value=value, allowed=f"{known[name]}")
    try:
        return cls(**{name: convert[name](value) if name in convert else value for name, value in item.items()})
    except TypeError as cause:
        raise ConfigError(f"incomplete: {cause}", key=key, value=item, allowed=", ".join(sorted(known))) from cause


def _fits(value: object, declared: object) -> bool:
    if declared is bool or isinstance(value, bool):
        return declared is bool and isinstance(value, bool)
    if declared is float:
        return isinstance(value, int | float)
    return isinstance(value, declared) if isinstance(declared, type) else True


def _phase(item: dict[str, Any]) -> Phase:
    times = {entry.name for entry in fields(PhaseTiming)}
    known = times | {entry.name for entry in fields(Phase)} - {"timing"}
    for name, value in item.items():
        if name not in known:
            raise _unknown(name, f"phase.{name}", value, known)
    timing = _make(PhaseTiming, {key: value for key, value in item.items() if key in times}, "phase")
    return _make(Phase, {key: value for key, value in item.items() if key not in times} | {"timing": timing}, "phase")


def _kind(value: object) -> DetectorKind:
    try:
        return DetectorKind(value)
    except ValueError as cause:
        allowed = ", ".join(kind.value for kind in DetectorKind)
        raise ConfigError("no such kind", key="detector.kind", value=value, allowed=allowed) from cause


def _time(value: object) -> time:
    if not isinstance(value, time):
        raise ConfigError("not a time of day", key="schedule.entry.start", value=value, allowed="for instance 06:30:00")
    return value


def _unique(key: str, values: list[Any]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ConfigError("stands more than once", key=key, value=value, allowed="each once")
