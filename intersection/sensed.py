"""What loops and push buttons have counted becomes `Readings`: one rule for a simulator's loops and for those on a wire.

A cabinet reports how many vehicles have passed a loop and how long one stood on it, over some time, scan by scan. Everything else that a
policy or the gate is told of loops follows from these two numbers here.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np

from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind, Readings, empty_readings
from intersection.phase import Tenths

LOOPS = (DetectorKind.STOP_BAR, DetectorKind.ADVANCE)

LONG_AGO: float = 3600.0
"""The seconds since the last actuation of a loop that has never seen any."""

_GRAIN = 1e-6
"""A share of a scan that is rounding, in tenths of a second."""


def scans(seconds: float) -> Tenths:
    """Tell how many scans of a cabinet see a vehicle that stands on a loop for a time, a scan each tenth of a second."""
    return ceil(10 * seconds - _GRAIN)


def sensed(
    config: IntersectionConfig,
    counts: Sequence[float],
    occupied: Sequence[Tenths],
    valid: Sequence[bool],
    *,
    over: Tenths,
    before: Readings | None,
) -> Readings:
    """Make readings of what loops and buttons say.

    Args:
        config: the signal's configuration; what follows is in the order of its detectors.
        counts: the vehicles that have passed each loop; of a button, 1 while it is pressed.
        occupied: how long a vehicle stood on each loop, in tenths of a second.
        valid: whether each detector says anything. A detector of a kind that is neither loop nor button never does.
        over: the time that this covers, in tenths of a second.
        before: the readings at its begin; None where there were none.
    """
    last = before if before is not None else empty_readings(config.detectors)
    values = np.zeros_like(last.values)
    working = np.zeros(len(config.detectors), bool)
    vehicles = pedestrians = discharged = 0
    for at, detector in enumerate(config.detectors):
        count, stood, groups = counts[at], occupied[at], config.tables.mask(frozenset(detector.phases))
        is_loop = detector.kind in LOOPS
        working[at] = valid[at] and (is_loop or detector.kind is DetectorKind.PUSH_BUTTON)
        active = count > 0 or stood > 0
        calls = groups if active or not working[at] else 0
        if detector.kind is DetectorKind.PUSH_BUTTON:
            pedestrians |= calls
        elif is_loop:
            vehicles |= calls
        if not working[at]:
            continue
        values[Channel.COUNT, at] = count
        if is_loop:
            values[Channel.OCCUPANCY, at] = min(1.0, stood / over) if over else 0.0
            values[Channel.SINCE, at] = 0.0 if active else min(LONG_AGO, float(last.values[Channel.SINCE, at]) + over / 10)
            if count > 0 and detector.kind is DetectorKind.STOP_BAR:
                discharged |= groups
    return Readings(values, working, vehicles, pedestrians, discharged & config.tables.only_permissive)
