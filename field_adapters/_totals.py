"""Running totals of detectors become readings: what has been added since the totals before, however many polls were lost between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from field_adapters._base import DetectorTrouble
from field_adapters.modbus_map import DetectorFault, DetectorValue
from field_adapters.modbus_profile import LARGEST_WORD
from intersection.config import IntersectionConfig
from intersection.detection import DetectorKind, Readings
from intersection.phase import Tenths
from intersection.sensed import sensed

Total: TypeAlias = DetectorValue | DetectorFault


@dataclass(frozen=True, slots=True)
class Taken:
    """All detectors at one instant, and what they have said since the last one."""

    now: Tenths
    totals: tuple[Total, ...]
    readings: Readings
    over: Tenths = 0
    """The time that the readings cover, in tenths of a second; 0 at the first."""

    reported: Mapping[str, DetectorTrouble] = field(default_factory=dict)
    """The detectors that have failed, by id."""


def take(config: IntersectionConfig, totals: Sequence[Total], now: Tenths, before: Taken | None) -> Taken:
    """Make readings of totals; where there were none before, of nothing yet.

    Args:
        config: the signal's configuration; totals are in the order of its detectors.
        totals: what the detectors say now.
        now: the instant, in tenths of a second.
        before: what was taken last; None where that does not count: after a new start of the cabinet, for instance.
    """
    if before is not None and now - before.now > LARGEST_WORD:  # the totals may have gone round unseen
        before = None
    over = now - before.now if before is not None else 0
    counts, occupied, reported = [], [], {}
    for at, (detector, total) in enumerate(zip(config.detectors, totals, strict=True)):
        if isinstance(total, DetectorFault):
            reported[detector.id] = DetectorTrouble.__members__.get(total.name, DetectorTrouble.OTHER)
        count, stood = _added(before.totals[at] if before is not None else None, total, over)
        if detector.kind is DetectorKind.PUSH_BUTTON:
            count = float(isinstance(total, DetectorValue) and total.occupied_now)
        counts.append(count)
        occupied.append(stood)
    readings = sensed(
        config,
        counts,
        occupied,
        [isinstance(total, DetectorValue) for total in totals],
        over=over,
        before=before.readings if before is not None else None,
    )
    return Taken(now, tuple(totals), readings, over, reported)


def _added(was: Total | None, total: Total, over: Tenths) -> tuple[float, Tenths]:
    """Tell how many vehicles have passed a loop since the totals before, and how long one stood there, in tenths of a second.

    A map without totals tells only whether a vehicle is there now: one that was not there at the last poll is counted.
    """
    if not isinstance(total, DetectorValue) or not isinstance(was, DetectorValue):
        return 0.0, 0
    if total.count is None or was.count is None or total.occupied is None or was.occupied is None:
        return float(total.occupied_now and not was.occupied_now), over if total.occupied_now else 0
    return float((total.count - was.count) & LARGEST_WORD), min((total.occupied - was.occupied) & LARGEST_WORD, over)
