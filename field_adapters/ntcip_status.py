"""Reads what a cabinet of NTCIP 1202 shows, and what stands against us, out of the values of one poll. Pure: nothing is asked here.

What is not there to be read has been found when the cabinet was looked at (`ntcip_survey`); whatever of the rest has no value makes the
poll fail. Nothing takes the place of a value.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from field_adapters import ntcip_objects as mib
from field_adapters._base import Condition, DetectorTrouble, PlanStep
from field_adapters.ntcip_objects import ControlStatus, DetectorFault, FlashStatus, Instance, NtcipObject, phases_in
from field_adapters.ntcip_program import Method, NtcipProgram, OutputKind
from field_adapters.ntcip_requests import Requests, instances, requests_of
from field_adapters.snmp import Values
from intersection.config import IntersectionConfig
from intersection.detection import Readings
from intersection.measured import Report
from intersection.phase import Tenths
from intersection.sensed import sensed
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

_ALARMS = (
    (0, DetectorTrouble.NO_ACTIVITY),
    (1, DetectorTrouble.MAX_PRESENCE),
    (2, DetectorTrouble.ERRATIC),
    (3, DetectorTrouble.OTHER),
    (4, DetectorTrouble.OTHER),
    (7, DetectorTrouble.OTHER),
)
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


def reports(program: NtcipProgram, at_once: int) -> tuple[tuple[Instance, ...], ...]:
    """Name the volumes and occupancies, in messages of which each tells its report's number."""
    sequence = mib.VOLUME_OCCUPANCY_SEQUENCE.at()
    values = [entry.at(number) for number in program.detectors.values() for entry in (mib.DETECTOR_VOLUME, mib.DETECTOR_OCCUPANCY)]
    room = max(2, (at_once - 1) // 2 * 2)
    return tuple((sequence, *values[begin : begin + room]) for begin in range(0, len(values), room))


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


# --- detectors -----------------------------------------------------------------------------------------------------------------------
class Passed(NamedTuple):
    """What the loops have counted since the last readings, by their number."""

    over: Tenths
    counts: Mapping[int, float]
    stood: Mapping[int, Tenths]
    """How long a vehicle stood there, in tenths of a second."""

    lost: frozenset[int]
    """Those that did not tell in some report."""

    troubles: Mapping[int, DetectorTrouble]
    """What the last report says is wrong."""


def passed(parts: Iterable[Values], program: NtcipProgram, over: Tenths) -> Passed:
    """Read one report of volumes and occupancies, which covers some tenths of a second."""
    integers = {at: value for part in parts for at, value in part.integers.items()}
    counts: dict[int, float] = {}
    stood: dict[int, Tenths] = {}
    lost: set[int] = set()
    troubles: dict[int, DetectorTrouble] = {}
    for number in program.detectors.values():
        counts[number], stood[number], trouble, works = _loop(integers, number, over)
        if not works:
            lost.add(number)
        if trouble is not None:
            troubles[number] = trouble
    return Passed(over, counts, stood, frozenset(lost), troubles)


def together(before: Passed | None, now: Passed) -> Passed:
    """Add a report to those before it that nobody has read yet."""
    if before is None:
        return now
    return Passed(
        over=before.over + now.over,
        counts={number: before.counts[number] + count for number, count in now.counts.items()},
        stood={number: before.stood[number] + stood for number, stood in now.stood.items()},
        lost=before.lost | now.lost,
        troubles=now.troubles,
    )


class Sensed(NamedTuple):
    """What the detectors said."""

    readings: Readings
    reported: Mapping[str, DetectorTrouble]


def sense(
    loops: Passed, polled: Values, status: Status, config: IntersectionConfig, program: NtcipProgram, *, before: Readings | None
) -> Sensed:
    """Make readings of what the loops have counted, and of the push buttons.

    A cabinet that does not tell whether a button is pressed (only v03 does) tells whether its call waits; that is taken for it.

    Args:
        loops: what they have counted.
        polled: the values of `slow`.
        status: of the same poll.
        config: the signal's configuration.
        program: what the cabinet holds.
        before: the readings before.
    """
    counts, occupied, valid = [], [], []
    reported: dict[str, DetectorTrouble] = {}
    for detector in config.detectors:
        count, stood, works = 0.0, 0, False
        trouble: DetectorTrouble | None = None
        if detector.id in program.buttons:
            waits = bool(status.shown.ped_calls & config.tables.mask(frozenset(detector.phases)))
            count, trouble = _button(polled.integers, program.buttons[detector.id], waits=waits)
            works = trouble is None
        elif detector.id in program.detectors:
            number = program.detectors[detector.id]
            count, stood, trouble = loops.counts[number], loops.stood[number], loops.troubles.get(number)
            works = number not in loops.lost
        if trouble is not None:
            reported[detector.id] = trouble
        counts.append(count)
        occupied.append(stood)
        valid.append(works)
    return Sensed(sensed(config, counts, occupied, valid, over=loops.over, before=before), reported)


def _loop(integers: Mapping[Instance, int], number: int, over: Tenths) -> tuple[float, Tenths, DetectorTrouble | None, bool]:
    """Read one loop: vehicles, how long one stood there, what is wrong, and whether the first two say anything."""
    asked = [mib.DETECTOR_VOLUME.at(number), mib.DETECTOR_OCCUPANCY.at(number)]
    if any(at not in integers for at in asked):
        return 0.0, 0, DetectorTrouble.OTHER, False
    volume, share = mib.volume(integers[asked[0]]), mib.occupancy(integers[asked[1]])
    if isinstance(share, DetectorFault):
        return 0.0, 0, DetectorTrouble[share.name], False
    if isinstance(volume, DetectorFault):  # an overflow: the loop works, but how many have passed is not known
        return 0.0, 0, None, False
    return float(volume), round(share * over), None, True


def _button(integers: Mapping[Instance, int], number: int, *, waits: bool) -> tuple[float, DetectorTrouble | None]:
    """Read one push button: 1 while it is pressed, and what is wrong."""
    alarms = integers.get(mib.PED_DETECTOR_ALARMS.at(number), 0)
    trouble = next((trouble for bit, trouble in _ALARMS if alarms >> bit & 1), None)
    if trouble is not None:
        return 0.0, trouble
    active = integers.get(mib.PED_DETECTORS_ACTIVE.at((number + 7) // 8))
    return float(waits if active is None else active >> (number - 1) % 8 & 1), None


def newer(sequence: int, last: int | None) -> int:
    """Tell how many reports there have been since the last that was read: 0 none, above 1 some were missed."""
    return 1 if last is None else (sequence - last) & 255
