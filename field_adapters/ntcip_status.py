"""Reads what a cabinet of NTCIP 1202 shows, and what stands against us, out of the values of one poll. Pure: nothing is asked here.

What is not there to be read has been found when the cabinet was looked at (`ntcip_survey`); whatever of the rest has no value makes the
poll fail. Nothing takes the place of a value.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from field_adapters import ntcip_objects as mib
from field_adapters._base import Condition, PlanStep
from field_adapters.ntcip_objects import ControlStatus, FlashStatus, Instance, NtcipObject, phases_in
from field_adapters.ntcip_program import Method, NtcipProgram, OutputKind
from field_adapters.ntcip_requests import Requests, instances, requests_of
from field_adapters.snmp import Values
from intersection.measured import Report
from intersection.phase import Tenths
from intersection.state import FREE, NO_STAGE, Display
from intersection.tables import Tables

TRANSITION_CYCLES = 5
"""How many cycles a cabinet takes to get into step, at most."""

_LAMPS = (mib.PHASE_GREENS, mib.PHASE_ONS, mib.PHASE_NEXTS)
_RING_LAMPS = (mib.PHASE_YELLOWS,)
_WALKS = (mib.PHASE_WALKS, mib.PHASE_PED_CLEARS, mib.PHASE_PED_CALLS)
_OVERLAP_LAMPS = (mib.OVERLAP_GREENS, mib.OVERLAP_YELLOWS)

FAST = (
    mib.UNIT_CONTROL_STATUS,
    mib.UNIT_FLASH_STATUS,
    mib.UNIT_ALARM_STATUS_2,
    mib.SHORT_ALARM_STATUS,
    mib.COORD_PATTERN_STATUS,
    mib.LOCAL_FREE_STATUS,
)
"""Scalars of each poll; a cabinet may lack them."""

SLOW = (mib.COORD_OPERATIONAL_MODE, mib.GLOBAL_TIME)
"""Scalars that are read with the detectors; a cabinet may lack them."""

_STOP_TIME, _IN_TRANSITION, _PREEMPT = 1 << 4, 1 << 5, 1 << 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is known of a cabinet since it was looked at."""

    groups: int
    """Groups of eight phases that it has."""

    objects: frozenset[NtcipObject]
    """The optional ones that it has."""

    backup: Instance
    """Where its backup time stands."""

    period: int
    """Of its volume and occupancy reports, in seconds; 0 where it makes none."""


def fast(program: NtcipProgram, known: Known) -> tuple[Instance, ...]:
    """Name what each poll reads: lamps, who moves it, and the requests of the phases in use."""
    used = range(1, 2 + (max(program.phases) - 1) // 8)
    phases = [*_LAMPS]
    if program.method is Method.RINGS:
        phases += _RING_LAMPS
    if program.walking:
        phases += _WALKS
    overlaps = range(1, 1 + (len(program.overlaps) + 7) // 8)
    return (
        mib.SYSTEM_UP_TIME.at(),
        mib.SYSTEM_DESCRIPTION.at(),
        *((mib.VOLUME_OCCUPANCY_SEQUENCE.at(),) if known.period else ()),
        *(entry.at(group) for entry in phases for group in used),
        *(entry.at(group) for entry in _OVERLAP_LAMPS for group in overlaps),
        *(entry.at() for entry in FAST if entry in known.objects),
        *instances(used[-1]),
    )


def slow(program: NtcipProgram, known: Known) -> tuple[Instance, ...]:
    """Name what is read with the detectors: the clock, what a technician may have changed, and the requests of the other phases."""
    polled = set(fast(program, known))
    buttons = range(1, 1 + (len(program.buttons) + 7) // 8)
    return (
        known.backup,
        *(entry.at() for entry in SLOW if entry in known.objects),
        *(instance for instance in instances(known.groups) if instance not in polled),
        *(mib.PED_DETECTORS_ACTIVE.at(group) for group in buttons if mib.PED_DETECTORS_ACTIVE in known.objects),
        *(mib.PED_DETECTOR_ALARMS.at(number) for number in program.buttons.values() if mib.PED_DETECTOR_ALARMS in known.objects),
    )


def read_back(groups: int, known: Known | None) -> tuple[Instance, ...]:
    """Name what is read after a write: the requests, and what they have made of the greens and of the operation."""
    operation = (mib.COORD_PATTERN_STATUS, mib.LOCAL_FREE_STATUS)
    return (
        *instances(groups),
        *(mib.PHASE_GREENS.at(group) for group in range(1, groups + 1)),
        *(entry.at() for entry in operation if known is not None and entry in known.objects),
    )


class Status(NamedTuple):
    """What one poll said."""

    up_time: int
    """In hundredths of a second."""

    greens: frozenset[int]
    """Phases that are green."""

    shown: Report
    """As it is reported."""

    requests: Requests
    plan: int
    """1 to 253, or FREE."""

    free: bool
    """Whether it runs free because it was told to; taken for true of a cabinet that does not say."""

    plan_step: PlanStep
    conditions: Mapping[Condition, str]
    expired: bool
    """Whether its backup time has run out."""


def status_of(integers: Mapping[Instance, int], now: Tenths, last: int, program: NtcipProgram, tables: Tables) -> Status:
    """Read a poll.

    Args:
        integers: the values; of `fast` all are there.
        now: the instant that it stands for.
        last: the stage of the poll before, or NO_STAGE.
        program: what the cabinet holds.
        tables: the compiled configuration.
    """
    plan = integers.get(mib.COORD_PATTERN_STATUS.at(), mib.FREE)
    runs = plan if 1 <= plan < mib.FREE else FREE
    requests = requests_of({instance: value for instance, value in integers.items() if instance in _ASKED})
    return Status(
        up_time=integers[mib.SYSTEM_UP_TIME.at()],
        greens=phases_of(integers, mib.PHASE_GREENS),
        shown=_report(integers, now, last, runs, program=program, tables=tables),
        requests=requests,
        plan=runs,
        free=is_free(integers),
        plan_step=_plan_step(integers, requests.pattern, runs),
        conditions=_conditions(integers),
        expired=integers.get(mib.UNIT_CONTROL_STATUS.at()) == ControlStatus.BACKUP_MODE,
    )


def is_free(integers: Mapping[Instance, int]) -> bool:
    """Tell whether it runs free because it was told to. Of a cabinet that does not say why, that it does is enough."""
    why = integers.get(mib.LOCAL_FREE_STATUS.at(), mib.FreeStatus.COMMAND_FREE)
    return integers.get(mib.COORD_PATTERN_STATUS.at(), mib.FREE) == mib.FREE and why == mib.FreeStatus.COMMAND_FREE


_ASKED = frozenset(instances(mib.GROUPS))


def missing(values: Values, asked: Iterable[Instance]) -> str:
    """Say which of the objects asked for has no value, or ""."""
    for instance in asked:
        if instance in values.faults:
            return f"{instance}: {values.faults[instance]}"
    return ""


def phases_of(integers: Mapping[Instance, int], entry: NtcipObject) -> frozenset[int]:
    """List the phases, or overlaps, whose bit is set."""
    return frozenset(number for at in entry.groups() if at in integers for number in phases_in(integers[at], at.rows[0]))


def _report(integers: Mapping[Instance, int], now: Tenths, last: int, plan: int, *, program: NtcipProgram, tables: Tables) -> Report:
    def shown(phases: NtcipObject, overlaps: NtcipObject | None) -> int:
        by_kind = {
            OutputKind.PHASE: phases_of(integers, phases),
            OutputKind.OVERLAP: phases_of(integers, overlaps) if overlaps else frozenset(),
        }
        return sum(1 << at for at, output in enumerate(program.outputs) if output.number in by_kind[output.kind])

    heads = sum(1 << at for at, group in enumerate(tables.groups) if group.vehicle)
    greens = shown(mib.PHASE_GREENS, mib.OVERLAP_GREENS)
    yellows = shown(mib.PHASE_YELLOWS, mib.OVERLAP_YELLOWS) & heads
    ons = phases_of(integers, mib.PHASE_ONS)
    stage = _stage(ons, greens, greens | yellows, last, program=program, tables=tables)
    moving = stage != NO_STAGE and tables.green[stage] & ~greens
    kept = program.stages[stage] & phases_of(integers, mib.PHASE_GREENS) if moving else frozenset()
    nexts = phases_of(integers, mib.PHASE_NEXTS)
    flash = integers.get(mib.UNIT_FLASH_STATUS.at(), FlashStatus.NOT_FLASH) != FlashStatus.NOT_FLASH
    dark = not ons and not greens | yellows
    return Report(
        now=now,
        stage=stage,
        greens=greens,
        yellows=yellows,
        walks=shown(mib.PHASE_WALKS, None) & tables.pedestrians,
        ped_clears=shown(mib.PHASE_PED_CLEARS, None) & tables.pedestrians,
        ped_calls=shown(mib.PHASE_PED_CALLS, None) & tables.pedestrians,
        pattern=plan if plan in tables.max_green else FREE,
        display=Display.FLASH if flash else Display.DARK if dark else Display.NORMAL,
        target=next((at for at, phases in enumerate(program.stages) if nexts and phases == nexts | kept), NO_STAGE) if moving else NO_STAGE,
    )


def _stage(ons: frozenset[int], greens: int, shown: int, last: int, *, program: NtcipProgram, tables: Tables) -> int:
    """Find the stage that is on, or is being left until its last clearance is over.

    A ring that has cleared first rests in red at a barrier, so that fewer phases are on than the stage has. Then it is the last stage
    that was seen; before anything was seen, the first that all that is shown can belong to.
    """
    exact = [at for at, phases in enumerate(program.stages) if phases == ons]
    if exact and (program.method is Method.STAGES or greens == tables.green[exact[0]]):
        return exact[0]
    if last != NO_STAGE and ons <= program.stages[last] and not shown & ~tables.green[last]:
        return last
    possible = [at for at, phases in enumerate(program.stages) if ons <= phases and not shown & ~tables.green[at]]
    return next((at for at in exact + possible if not shown & ~tables.green[at]), NO_STAGE)


def _plan_step(integers: Mapping[Instance, int], asked: int, runs: int) -> PlanStep:
    if 1 <= asked < mib.FREE and runs != asked:
        return PlanStep.ACCEPTED
    in_transition = integers.get(mib.UNIT_ALARM_STATUS_2.at(), 0) & _IN_TRANSITION
    return PlanStep.IN_TRANSITION if runs != FREE and in_transition else PlanStep.IN_STEP


def _conditions(integers: Mapping[Instance, int]) -> dict[Condition, str]:
    """Say what stands against us, as far as one poll alone tells."""
    found: dict[Condition, str] = {}
    match integers.get(mib.UNIT_FLASH_STATUS.at(), FlashStatus.NOT_FLASH):
        case FlashStatus.NOT_FLASH:
            pass
        case FlashStatus.MMU | FlashStatus.FAULT_MONITOR as why:
            found[Condition.CONFLICT_FLASH] = FlashStatus(why).name.lower()
        case FlashStatus.PREEMPT:
            found[Condition.PREEMPT] = "in flash"
        case why:
            found[Condition.FLASH] = FlashStatus(why).name.lower().replace("_", " ")
    match integers.get(mib.UNIT_CONTROL_STATUS.at()):
        case ControlStatus.OTHER:
            found[Condition.LOCAL_LOCK_OUT] = "somebody else has control"
        case ControlStatus.MANUAL:
            found[Condition.POLICE] = ""
        case ControlStatus.LOCAL_MANUAL_CONTROL:
            found[Condition.LOCAL_MANUAL] = ""
        case ControlStatus.REMOTE_MANUAL_CONTROL:
            found[Condition.REMOTE_MANUAL] = ""
    if integers.get(mib.UNIT_ALARM_STATUS_2.at(), 0) & _STOP_TIME:
        found[Condition.STOP_TIME] = ""
    if integers.get(mib.SHORT_ALARM_STATUS.at(), 0) & _PREEMPT:
        found[Condition.PREEMPT] = ""
    if mode := integers.get(mib.COORD_OPERATIONAL_MODE.at(), 0):
        found[Condition.COORDINATED] = f"its operational mode is {mode}"
    return found
