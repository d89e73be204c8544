"""Looks at a cabinet before anything is asked of it: what it can tell, and whether its database is that of our configuration.

It writes nothing. Whatever differs is listed; what cannot be read of the timings differs too.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from field_adapters import ntcip_objects as mib
from field_adapters._base import Condition
from field_adapters.ntcip_objects import Instance, NtcipObject
from field_adapters.ntcip_program import Method, NtcipProgram, PhaseTimes
from field_adapters.ntcip_status import FAST, SLOW, Known
from field_adapters.profiles.ntcip import NtcipProfile
from field_adapters.snmp import Values
from intersection.phase import Tenths

_ENABLED = 1

_TIMES = (mib.PHASE_MINIMUM_GREEN, mib.PHASE_MAXIMUM_1, mib.PHASE_YELLOW_CHANGE, mib.PHASE_RED_CLEAR)
_WALKS = (mib.PHASE_WALK, mib.PHASE_PEDESTRIAN_CLEAR)
_OPTIONAL = (*FAST, *SLOW, mib.PED_DETECTORS_ACTIVE, mib.PED_DETECTOR_ALARMS)

_LOST = {
    mib.UNIT_CONTROL_STATUS: "manual control and the end of its backup time cannot be seen",
    mib.UNIT_FLASH_STATUS: "flash cannot be seen",
    mib.UNIT_ALARM_STATUS_2: "stop time cannot be seen",
    mib.SHORT_ALARM_STATUS: "preemption cannot be seen",
    mib.COORD_PATTERN_STATUS: "the running pattern cannot be seen",
    mib.LOCAL_FREE_STATUS: "free operation cannot be seen",
    mib.COORD_OPERATIONAL_MODE: "a pattern chosen by hand cannot be seen",
    mib.GLOBAL_TIME: "its clock cannot be seen",
    mib.PED_DETECTORS_ACTIVE: "a push button is taken to be pressed while its call waits",
    mib.PED_DETECTOR_ALARMS: "faults of push buttons cannot be seen",
}

NEEDED = (mib.UNIT_FLASH_STATUS, mib.COORD_PATTERN_STATUS)
"""Optional in the standard, but nothing is asked of a cabinet without them."""


class Bounds(NamedTuple):
    """What a cabinet must be like."""

    backup_limit: Tenths
    identity: str
    """What its sysDescr must be; empty: whatever it was when it was first looked at."""


class Surveyed(NamedTuple):
    """What was found."""

    known: Known
    conditions: Mapping[Condition, str]
    notes: tuple[str, ...]
    description: str
    backup: Tenths
    database: Mapping[Instance, int | bytes]
    """All that was compared."""


def questions(program: NtcipProgram, profile: NtcipProfile) -> tuple[Instance, ...]:
    """Name all that is read."""
    return (
        mib.SYSTEM_DESCRIPTION.at(),
        mib.MAX_PHASES.at(),
        *profile.backup_time,
        mib.VOLUME_OCCUPANCY_PERIOD.at(),
        *(entry.at() for entry in (*FAST, *SLOW)),
        *((mib.PED_DETECTORS_ACTIVE.at(1), mib.PED_DETECTOR_ALARMS.at(1)) if program.buttons else ()),
        *_database(program),
    )


def _database(program: NtcipProgram) -> tuple[Instance, ...]:
    phases = (*_TIMES, *(_WALKS if program.walking else ()), mib.PHASE_RING, mib.PHASE_OPTIONS, mib.PHASE_CONCURRENCY)
    return (
        *(entry.at(phase) for phase in sorted(program.phases) for entry in phases),
        *(mib.OVERLAP_PARENTS.at(number) for number in range(1, len(program.overlaps) + 1)),
        *(mib.SEQUENCE_DATA.at(1, ring) for ring in range(1, len(program.rings) + 1)),
        *(mib.DETECTOR_CALL_PHASE.at(number) for number in program.detectors.values()),
        *(mib.PED_DETECTOR_CALL_PHASE.at(number) for number in program.buttons.values()),
    )


def survey(values: Values, program: NtcipProgram, profile: NtcipProfile, bounds: Bounds, before: Surveyed | None = None) -> Surveyed:
    """Judge what was read.

    Args:
        values: the answer to `questions`.
        program: what the cabinet must hold.
        profile: its vendor's.
        bounds: what it must be like.
        before: what was found when it was looked at before, where it was.
    """
    conditions: dict[Condition, str] = {}
    objects = frozenset(instance.object for instance in (*values.integers, *values.octets) if instance.object in _OPTIONAL)
    asked = [*FAST, *SLOW, *((mib.PED_DETECTORS_ACTIVE, mib.PED_DETECTOR_ALARMS) if program.buttons else ())]
    notes = [f"{entry.name} is not there: {_LOST[entry]}" for entry in asked if entry not in objects]
    description = described(values)
    if bounds.identity and description != bounds.identity:
        conditions[Condition.IDENTITY_CHANGED] = f"it is {description!r}, known was {bounds.identity!r}"
    place, seconds = _backup(values.integers, profile)
    if place != profile.backup_time[0]:
        notes.append(f"its backup time stands at {place}")
    backup = seconds * 10
    if not backup:
        conditions[Condition.BACKUP_TIME_ZERO] = ""
    elif backup > bounds.backup_limit:
        conditions[Condition.BACKUP_TIME_LONG] = f"{seconds} s; allowed: up to {bounds.backup_limit / 10:g} s"
    period = values.integers.get(mib.VOLUME_OCCUPANCY_PERIOD.at(), 0)
    if program.detectors and not period:
        notes.append("it makes no reports of volume and occupancy")
    groups = (min(values.integers.get(mib.MAX_PHASES.at(), 0), mib.PHASES) + 7) // 8
    differences = [*_differences(values, program), *(f"{entry.name} is not there" for entry in NEEDED if entry not in objects)]
    if differences:
        conditions[Condition.TIMINGS_DIFFER] = "; ".join(differences)
    database = {at: _value(values, at) for at in _database(program) if at not in values.faults}
    changed = [at for at, value in database.items() if before is not None and before.database.get(at) != value]
    if changed:
        sequence = any(at.object is mib.SEQUENCE_DATA for at in changed)
        conditions[Condition.SEQUENCE_CHANGED if sequence else Condition.DATABASE_CHANGED] = ", ".join(map(str, changed))
    return Surveyed(
        known=Known(groups=max(groups, 1), objects=objects, backup=place, period=period),
        conditions=conditions,
        notes=(*notes, *program.notes),
        description=description,
        backup=backup,
        database=database,
    )


def described(values: Values) -> str:
    """Read who it says that it is."""
    return values.octets.get(mib.SYSTEM_DESCRIPTION.at(), b"").decode("utf-8", errors="replace")


def _value(values: Values, at: Instance) -> int | bytes:
    return values.integers[at] if at in values.integers else values.octets[at]


def _backup(integers: Mapping[Instance, int], profile: NtcipProfile) -> tuple[Instance, int]:
    """Find where the backup time stands, and what it is, in seconds; one that is nowhere is none."""
    return next(((at, integers[at]) for at in profile.backup_time if at in integers), (profile.backup_time[0], 0))


def _differences(values: Values, program: NtcipProgram) -> Iterator[str]:
    """List in what its database differs from the program."""
    phases = values.integers.get(mib.MAX_PHASES.at(), 0)
    if max(program.phases) > phases:
        yield f"it has {phases} phases, and {max(program.phases)} is needed"
    for phase, times in sorted(program.times.items()):
        yield from _of_phase(phase, times, values, program)
    for number, parents in enumerate(program.overlaps, start=1):
        yield from _set_differs(mib.OVERLAP_PARENTS.at(number), parents, values)
    for ring in range(len(program.rings)):
        at = mib.SEQUENCE_DATA.at(1, ring + 1)
        found = values.octets.get(at)
        if found is not None and tuple(phase for phase in found if phase in program.phases) != program.sequence(ring):
            yield f"{at} is {_list(found)}, here {_list(program.sequence(ring))}"
    calls = {
        **{mib.DETECTOR_CALL_PHASE.at(number): program.calls.get(id_, 0) for id_, number in program.detectors.items()},
        **{mib.PED_DETECTOR_CALL_PHASE.at(number): program.calls.get(id_, 0) for id_, number in program.buttons.items()},
    }
    for at, phase in calls.items():
        if values.integers.get(at, phase) != phase:
            yield f"{at} is {values.integers[at]}, here {phase}"


def _of_phase(phase: int, times: PhaseTimes, values: Values, program: NtcipProgram) -> Iterator[str]:
    exact: dict[NtcipObject, int] = {
        mib.PHASE_MINIMUM_GREEN: times.min_green,
        mib.PHASE_YELLOW_CHANGE: times.yellow,
        mib.PHASE_RED_CLEAR: times.red,
        mib.PHASE_RING: program.ring_of(phase),
    }
    if program.walking:
        exact |= {mib.PHASE_WALK: times.walk, mib.PHASE_PEDESTRIAN_CLEAR: times.ped_clear}
    for entry, here in exact.items():
        at = entry.at(phase)
        if at not in values.integers:
            yield f"{at} cannot be read"
        elif values.integers[at] != here:
            yield f"{at} is {values.integers[at]}, here {here}"
    longest = values.integers.get(mib.PHASE_MAXIMUM_1.at(phase), 0)
    if longest < times.max_green:
        yield f"{mib.PHASE_MAXIMUM_1.at(phase)} is {longest}, here at least {times.max_green}"
    if not values.integers.get(mib.PHASE_OPTIONS.at(phase), _ENABLED) & _ENABLED:
        yield f"phase {phase} is not enabled"
    if program.method is Method.RINGS and mib.PHASE_CONCURRENCY.at(phase) in values.octets:
        yield from _set_differs(mib.PHASE_CONCURRENCY.at(phase), program.concurrent(phase), values)


def _set_differs(at: Instance, here: frozenset[int], values: Values) -> Iterator[str]:
    found = values.octets.get(at)
    if found is None:
        yield f"{at} cannot be read"
    elif frozenset(found) - {0} != here:
        yield f"{at} is {_list(found)}, here {_list(sorted(here))}"


def _list(phases: bytes | tuple[int, ...] | list[int]) -> str:
    return ", ".join(map(str, phases)) or "none"
