"""What happened between two looks at a signal, as the high-resolution events that performance measures are made of.

The codes are those of the Indiana Traffic Signal Hi Resolution Data Logger Enumerations (Purdue University, 2012), as far as they can be
told from states and readings. A parameter is the number of a phase or overlap, or of a detector: its place in the configuration, from 1.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from intersection.detection import Channel, Detector, DetectorKind, Readings
from intersection.phase import Tenths
from intersection.shield import Amended, Granted, Proposal, Reason, Verdict, review
from intersection.state import FREE, NEVER, Display, IntersectionState
from intersection.tables import Tables, bits


class Code(IntEnum):
    """An event's code; its name says what happens."""

    BEGIN_GREEN = 1
    GAP_OUT = 4
    MAX_OUT = 5
    FORCE_OFF = 6
    GREEN_TERMINATION = 7
    BEGIN_YELLOW = 8
    END_YELLOW = 9
    BEGIN_RED_CLEARANCE = 10
    END_RED_CLEARANCE = 11
    BEGIN_WALK = 21
    BEGIN_PED_CLEARANCE = 22
    BEGIN_DONT_WALK = 23
    CALL_ON = 43
    CALL_OFF = 44
    PED_CALL_ON = 45
    OVERLAP_BEGIN_GREEN = 61
    OVERLAP_BEGIN_YELLOW = 63
    OVERLAP_BEGIN_RED_CLEARANCE = 64
    OVERLAP_OFF = 65
    DETECTOR_OFF = 81
    DETECTOR_ON = 82
    PED_DETECTOR_OFF = 89
    PED_DETECTOR_ON = 90
    PATTERN_CHANGE = 131
    FLASH_STATUS = 173

    @property
    def words(self) -> str:
        """The name as words."""
        return self.name.lower().replace("_", " ").replace("dont", "don't")


BEGINNINGS = frozenset({Code.BEGIN_GREEN, Code.BEGIN_WALK, Code.CALL_ON, Code.OVERLAP_BEGIN_GREEN})
"""What, at the same tenth, comes after that which it follows on."""

FREE_PATTERN = 254
"""Free operation, as the parameter of `PATTERN_CHANGE` (NTCIP 1202 coordPatternStatus)."""

OTHER, NOT_FLASH = 1, 2
"""The parameters of `FLASH_STATUS` (NTCIP 1202 unitFlashStatus): no normal operation, of a cause that a state does not tell; normal."""


class HighResolution(NamedTuple):
    """One event."""

    at: Tenths
    """By the clock of the states."""

    code: Code
    parameter: int


def between(
    before: IntersectionState,
    after: IntersectionState,
    tables: Tables,
    *,
    verdict: Verdict | None = None,
    readings: tuple[Readings, Readings] | None = None,
    detectors: Sequence[Detector] = (),
) -> tuple[HighResolution, ...]:
    """List the events after one state up to and with the next, each at its exact tenth, in order.

    What a command does at the instant of the earlier state belongs to them too: that state was taken before it.
    A green that begins and ends within one step is told by its end only, so states follow each other faster than a minimum green runs.

    Args:
        before: a state.
        after: the state that was seen next.
        tables: the compiled configuration.
        verdict: what the gate made of the proposal at `before`; it says why a green ended.
        readings: what the detectors said at both instants; without them there are no detector events, and no green gaps out.
        detectors: all of the configuration, in its order; empty where there are no readings.
    """
    found = [*_calls(before, after, tables), *_operation(before, after)]
    step = _Step(before, after, tables)
    for group in range(tables.size):
        found += step.greens(group, verdict, readings[0] if readings else None)
        found += step.walks(group)
    if readings is not None:
        for at, detector in enumerate(detectors):
            found += _actuations(at, detector, *readings, first=before.now, last=after.now)
    return tuple(sorted(found, key=lambda event: (event.at, event.code in BEGINNINGS, event.code, event.parameter)))


def termination(
    group: int, ended: Tenths, *, before: IntersectionState, tables: Tables, verdict: Verdict | None, readings: Readings | None
) -> Code:
    """Say why a green ended.

    The gate ends a green at its maximum: it maxed out. A policy that leaves in free operation while no vehicle is at the phase's detectors
    lets it gap out. Everything else is a force-off: the end of a split, a policy that leaves vehicles behind, a call that must be served.
    """
    if isinstance(verdict, Granted | Amended) and verdict.command.stage != before.stage:
        reason = verdict.reason if isinstance(verdict, Amended) else None
        free = verdict.command.pattern == FREE
    else:  # nobody asked for this end: the gate acted by itself
        own = review(Proposal(pattern=before.pattern), before._replace(now=ended), tables)
        reason, free = own.reason if isinstance(own, Amended) else Reason.MAX_WAIT, False
    if reason is Reason.MAX_GREEN:
        return Code.MAX_OUT
    if reason is None and free and readings is not None and not readings.vehicles >> group & 1:
        return Code.GAP_OUT
    return Code.FORCE_OFF


class _Step:
    """The lamps between two states. In flash or dark a signal shows nothing of its own."""

    def __init__(self, before: IntersectionState, after: IntersectionState, tables: Tables) -> None:
        nothing = (NEVER,) * tables.size
        shown = before.display is Display.NORMAL
        self.before, self.after, self.tables = before, after, tables
        self.began, self.ended, self.walked = (before.began, before.ended, before.walked) if shown else (nothing,) * 3
        self.last = after.now if after.display is Display.NORMAL else after.now - 1 if shown else NEVER

    def _marks(self, old: Tenths, new: Tenths, marks: Sequence[tuple[Tenths, Code]], number: int) -> Iterator[HighResolution]:
        """Give the marks of an instant, each at its offset; those of the old one go on until a new one is there."""
        for instant in {old, new} - {NEVER}:
            for offset, code in marks:
                at = instant + offset
                if self.before.now + (instant == old) <= at <= self.last:
                    yield HighResolution(at, code, number)

    def greens(self, group: int, verdict: Verdict | None, readings: Readings | None) -> Iterator[HighResolution]:
        """Give the events of a group's vehicle indication."""
        timing = self.tables.groups[group]
        overlap = group >= len(self.tables.phases)
        cleared = timing.yellow + timing.red
        begin = Code.OVERLAP_BEGIN_GREEN if overlap else Code.BEGIN_GREEN
        yield from self._marks(self.began[group], self.after.began[group], [(0, begin)], timing.number)
        ended = self.after.ended[group]
        marks: list[tuple[Tenths, Code]] = []
        if overlap:
            marks += [(0, Code.OVERLAP_BEGIN_YELLOW), (cleared, Code.OVERLAP_OFF)]
            marks += [(timing.yellow, Code.OVERLAP_BEGIN_RED_CLEARANCE)] if timing.red else []
        else:
            if ended not in (NEVER, self.ended[group]):
                why = termination(group, ended, before=self.before, tables=self.tables, verdict=verdict, readings=readings)
                marks.append((0, why))
            marks += [(0, Code.GREEN_TERMINATION)]
            marks += [(0, Code.BEGIN_YELLOW), (timing.yellow, Code.END_YELLOW)] if timing.yellow else []
            marks += [(timing.yellow, Code.BEGIN_RED_CLEARANCE), (cleared, Code.END_RED_CLEARANCE)] if timing.red else []
        yield from self._marks(self.ended[group], ended, marks, timing.number)

    def walks(self, group: int) -> Iterator[HighResolution]:
        """Give the events of a group's pedestrian indication, and the call of one who found it ready to walk."""
        timing, walked = self.tables.groups[group], self.after.walked[group]
        marks = [(0, Code.BEGIN_WALK), (timing.walk, Code.BEGIN_PED_CLEARANCE), (timing.pedestrian_time, Code.BEGIN_DONT_WALK)]
        if walked != self.walked[group] and self.before.ped_called[group] == NEVER and not self.tables.ped_recall >> group & 1:
            marks.append((0, Code.PED_CALL_ON))
        yield from self._marks(self.walked[group], walked, marks, timing.number)


def _calls(before: IntersectionState, after: IntersectionState, tables: Tables) -> Iterator[HighResolution]:
    """Give the calls that were registered and dropped. One that is answered is dropped when its stage is reached."""
    for group in bits(before.calls | after.calls):
        number = tables.groups[group].number
        was, now = before.calls >> group & 1, after.calls >> group & 1
        anew = before.called[group] != after.called[group]
        if was and not now:
            answered = tables.protected[after.stage] >> group & 1 and after.arrived > before.now
            yield HighResolution(after.arrived if answered else after.now, Code.CALL_OFF, number)
        elif anew:
            if was:
                yield HighResolution(after.called[group], Code.CALL_OFF, number)
            yield HighResolution(after.called[group], Code.CALL_ON, number)
    for group in bits(after.ped_calls):
        if before.ped_called[group] != after.ped_called[group]:
            yield HighResolution(after.ped_called[group], Code.PED_CALL_ON, tables.groups[group].number)


def _operation(before: IntersectionState, after: IntersectionState) -> Iterator[HighResolution]:
    """Give what happened to the signal as a whole. A pattern changes with a command, so at the earlier state."""
    if before.pattern != after.pattern:
        yield HighResolution(before.now, Code.PATTERN_CHANGE, FREE_PATTERN if after.pattern == FREE else after.pattern)
    normal = after.display is Display.NORMAL
    if normal != (before.display is Display.NORMAL):
        yield HighResolution(after.now, Code.FLASH_STATUS, NOT_FLASH if normal else OTHER)


def _actuations(
    at: int, detector: Detector, earlier: Readings, later: Readings, *, first: Tenths, last: Tenths
) -> Iterator[HighResolution]:
    """Give a detector's edges between two readings; a failed one is off.

    Loops tell their edges to the tenth, by the time since the last actuation and the share of occupied time; of several within one step
    the last is told. Other detectors tell them at the reading.
    """
    button = detector.kind is DetectorKind.PUSH_BUTTON
    off, on = (Code.PED_DETECTOR_OFF, Code.PED_DETECTOR_ON) if button else (Code.DETECTOR_OFF, Code.DETECTOR_ON)
    loop = detector.kind in (DetectorKind.STOP_BAR, DetectorKind.ADVANCE)
    was, now = (actuated(at, detector, readings) for readings in (earlier, later))
    ended = occupied = 0
    if loop and later.valid[at]:
        ended = round(10 * float(later.values[Channel.SINCE, at]))
        occupied = round(float(later.values[Channel.OCCUPANCY, at]) * (last - first))
    passed = loop and bool(later.valid[at]) and not was and not now and ended < last - first
    if (now or passed) and not was:
        yield HighResolution(max(first, last - ended - occupied), on, at + 1)
    if (was or passed) and not now:
        yield HighResolution(max(first, last - ended), off, at + 1)


def actuated(at: int, detector: Detector, readings: Readings) -> bool:
    """Tell whether a vehicle stands on a loop, is in an area, or a button was pressed; a failed detector says no."""
    if not readings.valid[at]:
        return False
    if detector.kind in (DetectorKind.STOP_BAR, DetectorKind.ADVANCE):
        return bool(readings.values[Channel.SINCE, at] == 0.0)
    return bool(readings.values[Channel.COUNT, at] > 0.0)
