"""Says by which requests a stage is held, and by which another is gone to. Pure: nothing is sent here.

dwell     every phase but the stage's is omitted; walks only where they fit
prepare   the target is called and freed, whatever could come between is omitted; of several rings none may go ahead
force     the greens that must end are told to, once, and all are held no longer
dwell     of the target, when it has arrived
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from field_adapters.ntcip_objects import (
    CONTROL_BYTES,
    FLASH,
    FORCE_OFF,
    FREE,
    HOLD,
    PED_CALL,
    PED_OMIT,
    PHASE_OMIT,
    SYSTEM_PATTERN_CONTROL,
    VEH_CALL,
    Instance,
    NtcipObject,
    Write,
    phases_in,
    requests,
)
from field_adapters.ntcip_program import NtcipProgram
from intersection.shield import walk_fits
from intersection.state import IntersectionState
from intersection.tables import Tables, bits

PATTERN = SYSTEM_PATTERN_CONTROL.at()

_NOBODY: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Requests:
    """What stands at a cabinet, or is to stand there: phases by request, and the pattern asked for."""

    omit: frozenset[int] = _NOBODY
    ped_omit: frozenset[int] = _NOBODY
    hold: frozenset[int] = _NOBODY
    force_off: frozenset[int] = _NOBODY
    veh_call: frozenset[int] = _NOBODY
    ped_call: frozenset[int] = _NOBODY
    pattern: int = 0
    """systemPatternControl: 0 none asked for, 254 free, 255 flash."""

    @property
    def by_phase(self) -> bool:
        """Whether anything is asked of a phase."""
        return any(getattr(self, name) for name in _OBJECTS)

    def may_be(self, seen: "Requests") -> bool:
        """Tell whether a cabinet that was sent these can hold those: it clears a force-off itself when the green ends."""
        return replace(self, force_off=seen.force_off) == seen and seen.force_off <= self.force_off


NOTHING = Requests()
"""What stands at a cabinet that we have let go of."""

_OBJECTS: Mapping[str, NtcipObject] = MappingProxyType(
    {
        "omit": PHASE_OMIT,
        "ped_omit": PED_OMIT,
        "hold": HOLD,
        "force_off": FORCE_OFF,
        "veh_call": VEH_CALL,
        "ped_call": PED_CALL,
    }
)


def instances(groups: int) -> tuple[Instance, ...]:
    """Name what is to be read to know all requests at a cabinet with so many groups of eight phases."""
    return (*(control.at(group) for control in CONTROL_BYTES for group in range(1, groups + 1)), PATTERN)


def requests_of(values: Mapping[Instance, int]) -> Requests:
    """Read the requests that stand at a cabinet. What was not read is taken for 0."""
    phases = {
        name: frozenset(
            phase for instance, mask in values.items() if instance.object is control for phase in phases_in(mask, instance.rows[0])
        )
        for name, control in _OBJECTS.items()
    }
    return Requests(**phases, pattern=values.get(PATTERN, 0))


def writes(wanted: Requests, groups: int) -> tuple[Write, ...]:
    """Write all requests anew in one message, those that are not wanted as 0."""
    by_phase = (
        write
        for name, control in _OBJECTS.items()
        for write in requests(control, getattr(wanted, name))
        if write.instance.rows[0] <= groups
    )
    return (*by_phase, Write(PATTERN, wanted.pattern, flash=wanted.pattern == FLASH))


def force_writes(wanted: Requests, groups: int) -> tuple[Write, ...]:
    """Write the force-offs, and that nothing is held any more, in one message."""
    both = (*requests(HOLD, wanted.hold), *requests(FORCE_OFF, wanted.force_off))
    return tuple(write for write in both if write.instance.rows[0] <= groups)


def renewal(wanted: Requests, groups: int) -> tuple[Write, ...]:
    """Write again what winds up the backup time and changes nothing: the omissions, or the pattern. Never a force-off."""
    if wanted.by_phase:
        return tuple(write for write in requests(PHASE_OMIT, wanted.omit) if write.instance.rows[0] <= groups)
    return (Write(PATTERN, wanted.pattern, flash=wanted.pattern == FLASH),)


def by_pattern(number: int) -> Requests:
    """Ask for a pattern of the cabinet's own, for free operation or for flash, and for nothing else."""
    return Requests(pattern=number)


def dwell(stage: int, state: IntersectionState, known: int, before: Requests, *, program: NtcipProgram, tables: Tables) -> Requests:
    """Hold a stage: nothing else can be served, so its greens rest.

    Args:
        stage: its index.
        state: the signal as measured.
        known: the groups whose pedestrian call the cabinet itself knows of, as a mask.
        before: what has been asked for up to now.
        program: what the cabinet holds.
        tables: the compiled configuration.
    """
    walks = _fitting(stage, state, program, tables)
    return Requests(
        omit=program.phases - program.stages[stage],
        ped_omit=program.walking - walks,
        ped_call=_recalled(walks, state, known, before, program),
        pattern=FREE,
    )


def prepare(target: int, state: IntersectionState, known: int, before: Requests, *, program: NtcipProgram, tables: Tables) -> Requests:
    """Make a stage the only one that can follow: it is called and freed, and no walk begins in what must end.

    With several rings, what runs is held: a ring that has gapped out would otherwise go ahead alone, to a stage that nobody wanted. The
    arguments are those of `dwell`.
    """
    goal = program.stages[target]
    kept = goal & program.stages[state.stage]
    walks = (goal - kept | kept & _fitting(state.stage, state, program, tables)) & program.walking
    return Requests(
        omit=program.phases - goal,
        ped_omit=program.walking - walks,
        hold=program.stages[state.stage] if len(program.rings) > 1 else _NOBODY,
        veh_call=goal,
        ped_call=_recalled(walks, state, known, before, program),
        pattern=FREE,
    )


def force(prepared: Requests, target: int, stage: int, green: frozenset[int], program: NtcipProgram) -> Requests:
    """End what the target does not hold: only phases of the running stage that are green now, never one of the target."""
    return replace(prepared, hold=_NOBODY, force_off=(program.stages[stage] - program.stages[target]) & green)


def _fitting(stage: int, state: IntersectionState, program: NtcipProgram, tables: Tables) -> frozenset[int]:
    """Find the phases of a running stage in which a walk may begin, called now or before the next poll."""
    return frozenset(
        program.outputs[group].number for group in bits(tables.pedestrians & tables.green[stage]) if walk_fits(state, group, tables)
    )


def _recalled(walks: frozenset[int], state: IntersectionState, known: int, before: Requests, program: NtcipProgram) -> frozenset[int]:
    """Find the phases whose walk nobody but us can call, since their button has failed."""
    called = {program.outputs[group].number for group in bits(state.ped_calls)}
    unknown = {program.outputs[group].number for group in bits(state.ped_calls & ~known)}
    return walks & (unknown | called & before.ped_call)
