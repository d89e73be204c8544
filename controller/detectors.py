"""Which detectors can be believed: each is watched over time, a failed one is masked, and its phase is recalled.

    readings --follow--> the health of each detector --judge--> masked readings, recalls, and whether the policy is blind

What one reading can tell is `intersection.detection.plausibility`; here is what only time tells, and what cabinets report themselves.

**No single detector can hold a phase beyond its maximum green**, found out or not. The gate counts a maximum green from the first
conflicting call, and neither that instant nor the bound depends on what the phase's own detectors say (`shield.review`): they can move a
policy to stay, and the gate then amends it with `Reason.MAX_GREEN`. A detector that is stuck on keeps a call of its own phase standing,
and a standing call shortens the others' greens and lengthens nothing. What one detector can do is starve: silent, it hides the
conflicting call itself. That is why a failed detector always becomes a standing call, and why silence is a fault; until it is found
(`Limits.all_silent` where all are silent, an hour where one is, a comparison where it has neighbours) its own lane waits unseen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from math import inf
from typing import NamedTuple, TypeAlias

from controller.indiana import actuated
from intersection.detection import Channel, Detector, DetectorKind, Fault, Readings, plausibility
from intersection.errors import ConfigError
from intersection.phase import Tenths

LOOPS = (DetectorKind.STOP_BAR, DetectorKind.ADVANCE)
CALLING = (*LOOPS, DetectorKind.AREA)
"""What places vehicle calls."""


class FieldFault(Enum):
    """Why a detector cannot be believed, beyond what one reading tells, in the technician's words."""

    CHATTERING = "turns on and off faster than vehicles pass"
    DISAGREES = "counts far fewer vehicles than its neighbours up- or downstream"
    NO_READING = "sends no reading, or only old ones"
    MAX_PRESENCE = "the cabinet reports: occupied too long"
    NO_ACTIVITY = "the cabinet reports: no activity"
    OPEN_LOOP = "the cabinet reports: open loop"
    SHORTED_LOOP = "the cabinet reports: shorted loop"
    EXCESSIVE_CHANGE = "the cabinet reports: excessive change of inductance"
    WATCHDOG = "the cabinet reports: watchdog failure"
    ERRATIC = "the cabinet reports: erratic counts"
    OTHER = "the cabinet reports a fault without a name"


Cause: TypeAlias = Fault | FieldFault

CODES = {
    210: FieldFault.MAX_PRESENCE,
    211: FieldFault.NO_ACTIVITY,
    212: FieldFault.OPEN_LOOP,
    213: FieldFault.SHORTED_LOOP,
    214: FieldFault.EXCESSIVE_CHANGE,
    216: FieldFault.WATCHDOG,
    217: FieldFault.ERRATIC,
}
"""What NTCIP 1202 detectorOccupancy says above 200."""


def occupancy_of(reported: int) -> float | FieldFault:
    """Read NTCIP 1202 detectorOccupancy: a share of time, 0 to 1, in half per cents, or above 200 the code of a fault."""
    return reported / 200 if 0 <= reported <= 200 else CODES.get(reported, FieldFault.OTHER)


class Recall(IntEnum):
    """How a phase is served whose detector failed: it has a standing call. Of two, the greater holds."""

    MINIMUM = 1
    """Its green is to last the fail time."""

    MAXIMUM = 2
    """Its green is to last until its maximum."""


class Recalls(NamedTuple):
    """The phases that are served whether or not anybody is seen there, by number."""

    vehicles: Mapping[int, Recall]
    pedestrians: frozenset[int]
    fail_time: Tenths
    """How long the green of a minimum recall is to last, within the phase's bounds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """When a detector is not believed, and when it is again.

    Raises:
        ConfigError: a limit is out of its range.
    """

    window: Tenths = 600
    """Changes and counts are added up over this time, in tenths of a second; no cabinet's report of counts covers a longer one."""

    changes: int = 100
    """More ons and offs in a window are chatter; the densest flow makes about 85 a minute."""

    missing: Tenths = 300
    """A detector without a reading for this long has failed, in tenths of a second; until then it is only masked."""

    gap: Tenths = 100
    """After a longer time without a reading, clocks begin anew, in tenths of a second."""

    period: Tenths = 9_000
    """Neighbours are compared over this time, in tenths of a second."""

    enough: int = 30
    """Vehicles that one side must have counted in a period for a comparison to mean anything."""

    ratio: float = 0.25
    """A side that counts a smaller share of the other's vehicles disagrees; lanes that join or part between them leave more."""

    clean: Tenths = 3_000
    """A failed detector is believed again after this time without a fault, in tenths of a second."""

    share: float = 0.3
    """With a greater share of detectors failed a policy is blind."""

    all_silent: Tenths = 12_000
    """When no vehicle detector has seen anything for this long, in tenths of a second, a policy is blind as well.

    Then either nobody is there, and a plan harms nobody, or all are dead, and whoever waits would never be served.
    """

    fail_time: Tenths = 100
    """How long the green of a left turn lasts that is on minimum recall, within its bounds, in tenths of a second."""

    def __post_init__(self) -> None:
        for key in ("window", "changes", "missing", "gap", "period", "enough", "clean", "all_silent", "fail_time"):
            value = getattr(self, key)
            if value < 1:
                raise ConfigError("must be above zero", key=f"detectors.{key}", value=value, allowed="1 or more")
        for key in ("ratio", "share"):
            value = getattr(self, key)
            if not 0.0 <= value <= 1.0:
                raise ConfigError("a share lies between 0 and 1", key=f"detectors.{key}", value=value, allowed="0..1")


class Comparison(NamedTuple):
    """Detectors that the same vehicles pass, by their places in the configuration."""

    upstream: tuple[int, ...]
    downstream: tuple[int, ...]


class Health(NamedTuple):
    """What is remembered of one detector. Instants and durations in tenths of a second."""

    read: Tenths
    """When it last had a reading."""

    last: tuple[float, ...] = ()
    """The values of that reading."""

    on: bool = False
    occupied_since: Tenths = 0
    silent_since: Tenths = 0
    window_since: Tenths = 0
    changes: int = 0
    counted: float = 0.0
    """Vehicles in this window."""

    compared: float = 0.0
    """Vehicles in this period of comparison."""

    whole: bool = False
    """Whether it can be compared: it had no fault of its own in this period."""

    suspect: bool = False
    """Whether the last comparison was against it."""

    cause: Cause | None = None
    """Why it has failed; None: it works."""

    bad_at: Tenths = 0
    """When a fault was last found."""


class State(NamedTuple):
    """What is remembered of all detectors of an intersection."""

    healths: tuple[Health, ...]
    compared_at: Tenths
    now: Tenths


class Failed(NamedTuple):
    """A detector that is not believed."""

    detector: str
    cause: Cause


class Blind(NamedTuple):
    """Too little is seen for a policy: FIXED_TIME."""

    failed: int
    detectors: int
    silent: bool
    """Whether it is since no vehicle detector has seen anything for long."""


class Judgement(NamedTuple):
    """What may be believed of some readings."""

    readings: Readings
    """With failed detectors masked, their calls taken out, and their phases called."""

    failed: tuple[Failed, ...]
    recalls: Recalls
    blind: Blind | None


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Watches the detectors of one intersection. Pure: what it remembers is handed in and out."""

    detectors: Sequence[Detector]
    """All of the configuration, in its order."""

    groups: Mapping[int, int]
    """From a phase's number to its index in masks (`Tables.index`)."""

    left_turns: frozenset[int] = frozenset()
    """The numbers of the phases that are left turns."""

    limits: Limits = field(default_factory=Limits)

    comparisons: tuple[Comparison, ...] | None = None
    """Who is compared with whom; None: the advance loops of a phase with its stop-bar loops."""

    def start(self, now: Tenths) -> State:
        """Begin with every detector believed."""
        return State(tuple(_anew(Health(now), now)._replace(whole=True) for _ in self.detectors), now, now)

    def follow(self, state: State, readings: Readings, now: Tenths, reported: Mapping[str, FieldFault] | None = None) -> State:
        """Take in what the detectors say now.

        Args:
            state: what was remembered.
            readings: as they came, unmasked; also those of failed detectors, which so recover.
            now: the instant of the readings, in tenths of a second.
            reported: the detectors, by id, whose faults the cabinet itself reports (see `occupancy_of`).
        """
        reported = reported or {}
        healths = tuple(
            self._judged(detector, self._seen(at, health, readings, now), now, reported.get(detector.id))
            for at, (detector, health) in enumerate(zip(self.detectors, state.healths, strict=True))
        )
        if now - state.compared_at < self.limits.period:
            return State(healths, state.compared_at, now)
        suspects = self._suspects(healths)
        return State(tuple(_anew_compared(h, suspects.get(at, h.suspect)) for at, h in enumerate(healths)), now, now)

    def judge(self, state: State, readings: Readings) -> Judgement:
        """Say what may be believed of the readings that were followed last."""
        failed = [
            Failed(detector.id, health.cause or FieldFault.NO_READING) if health.cause or not readings.valid[at] else None
            for at, (detector, health) in enumerate(zip(self.detectors, state.healths, strict=True))
        ]
        lost = [at for at, entry in enumerate(failed) if entry is not None]
        recalls = self._recalls(frozenset(lost))
        return Judgement(
            readings=self._masked(readings, frozenset(lost), recalls) if lost else readings,
            failed=tuple(entry for entry in failed if entry is not None),
            recalls=recalls,
            blind=self._blind(state, len(lost)),
        )

    def _seen(self, at: int, health: Health, readings: Readings, now: Tenths) -> Health:
        """Take in one detector's reading."""
        if not readings.valid[at]:
            return health
        if now - health.read > self.limits.gap:
            health = _anew(health, now)
        detector = self.detectors[at]
        values = tuple(map(float, readings.values[:, at]))
        count, occupancy = values[Channel.COUNT], values[Channel.OCCUPANCY]
        on = actuated(at, detector, readings)
        if detector.kind in (DetectorKind.AREA, DetectorKind.DEPARTURE):
            unbroken = values == health.last  # an area need never be empty, but where vehicles are nothing stays as it is
        else:
            unbroken = health.on and not (detector.kind in LOOPS and occupancy < 0.999)
        fresh = now - health.window_since >= self.limits.window
        counts = count if detector.kind in LOOPS and 0.0 <= count < inf else 0.0
        return health._replace(
            read=now,
            last=values,
            on=on,
            occupied_since=health.occupied_since if on and unbroken else now,
            silent_since=now if _active(at, detector, readings) else health.silent_since,
            window_since=now if fresh else health.window_since,
            changes=(0 if fresh else health.changes) + (on != health.on),
            counted=(0.0 if fresh else health.counted) + counts,
            compared=health.compared + counts,
        )

    def _judged(self, detector: Detector, health: Health, now: Tenths, reported: FieldFault | None) -> Health:
        """Say whether it can be believed: a fault counts at once, its end after the clean time."""
        found = reported or self._found(detector, health, now)
        whole = health.whole and found in (None, FieldFault.DISAGREES)
        if found is not None:
            return health._replace(cause=found, bad_at=now, whole=whole)
        recovered = now - health.bad_at >= self.limits.clean
        return health._replace(cause=None if recovered else health.cause, whole=whole)

    def _found(self, detector: Detector, health: Health, now: Tenths) -> Cause | None:
        if health.read != now or not health.last:
            return FieldFault.NO_READING if now - health.read >= self.limits.missing else None
        sound = all(0.0 <= value < inf for value in health.last)
        fault = plausibility(
            detector,
            occupied_for=now - health.occupied_since,
            silent_for=now - health.silent_since,
            count=health.counted if sound else -1.0,
            over=self.limits.window,
            occupancy=health.last[Channel.OCCUPANCY],
        )
        if fault is not None:
            return fault
        if health.changes > self.limits.changes:
            return FieldFault.CHATTERING
        return FieldFault.DISAGREES if health.suspect else None

    def _compared(self) -> tuple[Comparison, ...]:
        if self.comparisons is not None:
            return self.comparisons
        found = []
        for phases in sorted({detector.phases for detector in self.detectors if detector.phases}):
            up, down = (
                tuple(at for at, detector in enumerate(self.detectors) if detector.kind is kind and detector.phases == phases)
                for kind in (DetectorKind.ADVANCE, DetectorKind.STOP_BAR)
            )
            if up and down:
                found.append(Comparison(up, down))
        return tuple(found)

    def _suspects(self, healths: Sequence[Health]) -> dict[int, bool]:
        """Compare neighbours: of a side that counts far less, the one that counts least is suspect.

        Who could not be compared, for want of traffic or through a fault that is known, is left out.
        """
        suspects: dict[int, bool] = {}
        for comparison in self._compared():
            members = comparison.upstream + comparison.downstream
            if not all(healths[at].whole for at in members):
                continue
            less, more = sorted(comparison, key=lambda side: sum(healths[at].compared for at in side))
            few, many = (sum(healths[at].compared for at in side) for side in (less, more))
            if many < self.limits.enough:
                continue
            least = min(less, key=lambda at: healths[at].compared)
            for at in members:
                suspects[at] = suspects.get(at, False) or (at == least and few < self.limits.ratio * many)
        return suspects

    def _recalls(self, lost: frozenset[int]) -> Recalls:
        """Choose the recalls by the kinds of the failed detectors.

        A stop bar: maximum, of a left turn minimum. An advance loop: minimum, where nothing that works sees the stop line.
        """
        vehicles: dict[int, Recall] = {}
        pedestrians: set[int] = set()
        for at in lost:
            detector = self.detectors[at]
            if detector.kind is DetectorKind.PUSH_BUTTON:
                pedestrians.update(detector.phases)
            if detector.kind not in CALLING:
                continue
            for phase in detector.phases:
                kind = Recall.MINIMUM if phase in self.left_turns else Recall.MAXIMUM
                if detector.kind is DetectorKind.ADVANCE:
                    kind = Recall.MINIMUM
                    if any(phase in other.phases and self._at_stop_line(n, lost) for n, other in enumerate(self.detectors)):
                        continue
                vehicles[phase] = max(kind, vehicles.get(phase, kind))
        return Recalls(dict(sorted(vehicles.items())), frozenset(pedestrians), self.limits.fail_time)

    def _at_stop_line(self, at: int, lost: frozenset[int]) -> bool:
        return at not in lost and self.detectors[at].kind in (DetectorKind.STOP_BAR, DetectorKind.AREA)

    def _masked(self, readings: Readings, lost: frozenset[int], recalls: Recalls) -> Readings:
        """Take failed detectors out of readings and their calls out of the calls; only then are their phases called."""
        values, valid = readings.values.copy(), readings.valid.copy()
        columns = sorted(lost)
        values[:, columns], valid[columns] = 0.0, False
        discharging = [at for at in lost if self.detectors[at].kind in CALLING]
        return Readings(
            values,
            valid,
            self._calls(readings, readings.vehicles, CALLING, lost) | self._mask(recalls.vehicles),
            self._calls(readings, readings.pedestrians, (DetectorKind.PUSH_BUTTON,), lost) | self._mask(recalls.pedestrians),
            readings.discharged & ~self._mask(phase for at in discharging for phase in self.detectors[at].phases),
        )

    def _calls(self, readings: Readings, calls: int, kinds: tuple[DetectorKind, ...], lost: frozenset[int]) -> int:
        """Disconnect the failed detectors: what they call is called only where another that works says so."""
        doubtful = real = 0
        for at, detector in enumerate(self.detectors):
            if detector.kind in kinds and at in lost:
                doubtful |= self._mask(detector.phases)
            elif detector.kind in kinds and _active(at, detector, readings):
                real |= self._mask(detector.phases)
        return calls & ~doubtful | real & doubtful

    def _mask(self, phases: Iterable[int]) -> int:
        mask = 0
        for phase in phases:
            mask |= 1 << self.groups[phase]
        return mask

    def _blind(self, state: State, lost: int) -> Blind | None:
        sensing = [h for detector, h in zip(self.detectors, state.healths, strict=True) if detector.kind in CALLING]
        silent = bool(sensing) and all(state.now - health.silent_since >= self.limits.all_silent for health in sensing)
        if lost > self.limits.share * len(self.detectors) or silent:
            return Blind(lost, len(self.detectors), silent)
        return None


def _anew(health: Health, now: Tenths) -> Health:
    """Start all clocks now; what was found stays."""
    return health._replace(
        last=(), on=False, occupied_since=now, silent_since=now, window_since=now, changes=0, counted=0.0, compared=0.0, whole=False
    )


def _active(at: int, detector: Detector, readings: Readings) -> bool:
    """Tell whether anybody was there since the last readings."""
    return actuated(at, detector, readings) or bool((readings.values[[Channel.COUNT, Channel.OCCUPANCY], at] > 0.0).any())


def _anew_compared(health: Health, suspect: bool) -> Health:
    return health._replace(compared=0.0, whole=True, suspect=suspect)
