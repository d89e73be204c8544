"""Reads the detectors of a cabinet of NTCIP 1202: reports of volume and occupancy, push buttons, and what is wrong with either. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from field_adapters import ntcip_objects as mib
from field_adapters._base import DetectorTrouble
from field_adapters.ntcip_objects import DetectorFault, Instance
from field_adapters.ntcip_program import NtcipProgram
from field_adapters.ntcip_status import Status
from field_adapters.snmp import Values
from intersection.config import IntersectionConfig
from intersection.detection import Readings
from intersection.phase import Tenths
from intersection.sensed import sensed

_ALARMS = (
    (0, DetectorTrouble.NO_ACTIVITY),
    (1, DetectorTrouble.MAX_PRESENCE),
    (2, DetectorTrouble.ERRATIC),
    (3, DetectorTrouble.OTHER),
    (4, DetectorTrouble.OTHER),
    (7, DetectorTrouble.OTHER),
)


def reports(program: NtcipProgram, at_once: int) -> tuple[tuple[Instance, ...], ...]:
    """Name the volumes and occupancies, in messages of which each tells its report's number."""
    sequence = mib.VOLUME_OCCUPANCY_SEQUENCE.at()
    values = [entry.at(number) for number in program.detectors.values() for entry in (mib.DETECTOR_VOLUME, mib.DETECTOR_OCCUPANCY)]
    room = max(2, (at_once - 1) // 2 * 2)
    return tuple((sequence, *values[begin : begin + room]) for begin in range(0, len(values), room))


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
