"""Reads the street as detectors would see it, for all signals of a network at once.

Everything is read once a decision into flat arrays, lane by lane and never vehicle by vehicle, save on lanes that a detector's range
cuts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from struct import Struct
from typing import NamedTuple, TypeAlias
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from envs.sumo_network import Segment, SumoSignal
from envs.sumo_session import SumoSession
from intersection.detection import Channel, Detector, DetectorKind, Readings, Values
from intersection.errors import ConfigError
from intersection.sensed import LONG_AGO, LOOPS, scans
from intersection.tables import bits

HALTING = 0.1
"""A vehicle below this speed stands, in m/s, as SUMO counts it."""

TENTHS = 10
"""Tenths of a second in a second."""

CUT = 0.1
"""A stretch that leaves out less than this of its lane covers it whole, in metres."""

AREAS = (DetectorKind.AREA, DetectorKind.DEPARTURE)

Covering: TypeAlias = tuple[tuple[int, int, int], ...]
"""The areas that a stretch of lane belongs to: index of the area, of its signal, and the groups that it calls as a mask."""


class _Cut(NamedTuple):
    """A stretch that ends within its lane."""

    lane: str
    covering: Covering
    at: float
    """Where it ends, or begins, in metres from the lane's begin."""

    upstream: bool
    """Whether it is the lane's upstream part."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Which signal and which groups a detector calls."""

    signal: int
    groups: int


def loop_ids(signal: SumoSignal, detector: str) -> list[str]:
    """Name the induction loops in SUMO that stand for a detector, one for each lane that it lies on."""
    return [f"phasewise/{signal.id}/{detector}/{at}" for at in range(len(signal.segments[detector]))]


class Sensors:
    """The detectors of all signals of a network, as flat arrays; each signal has a stretch of columns."""

    def __init__(self, signals: Sequence[SumoSignal], lane_lengths: Mapping[str, float]) -> None:
        """Lay out the arrays.

        Args:
            signals: whose configurations hold just the detectors to be read.
            lane_lengths: of every lane that a segment names, in metres.
        """
        self.signals = tuple(signals)
        self.detectors: tuple[Detector, ...] = tuple(d for signal in signals for d in signal.config.detectors)
        sizes = [len(signal.config.detectors) for signal in signals]
        ends = np.cumsum([0, *sizes]).tolist()
        self.columns = tuple(slice(start, end) for start, end in pairwise(ends))
        self.targets = tuple(
            _Target(at, signal.config.tables.mask(frozenset(detector.phases)))
            for at, signal in enumerate(signals)
            for detector in signal.config.detectors
        )
        self.limits: Values = np.array([detector.speed_limit for detector in self.detectors], np.float32)
        self.values: Values = np.zeros((len(Channel), len(self.detectors)), np.float32)
        self.valid: NDArray[np.bool_] = np.ones(len(self.detectors), bool)
        own = [(signal, detector) for signal in signals for detector in signal.config.detectors]
        self._names = [(signal.id, detector.id) for signal, detector in own]
        areas = [at for at, d in enumerate(self.detectors) if d.kind in AREAS]
        self._has_areas = bool(areas)
        self._areas = np.array(areas, np.intp)
        self._loops = [(at, loop_ids(signal, d.id)) for at, (signal, d) in enumerate(own) if d.kind in LOOPS]
        self._buttons = [
            (at, *_crossings_and_corners(signal.segments[d.id])) for at, (signal, d) in enumerate(own) if d.kind is DetectorKind.PUSH_BUTTON
        ]
        self._calling = np.array([d.kind in (DetectorKind.AREA, *LOOPS) for d in self.detectors], bool)
        self._lay_out_areas(lane_lengths)
        self._front_lanes = tuple(self._discharging(signal) for signal in signals)
        self._stop_bars = tuple(
            [
                (at, groups)
                for at in range(columns.start, columns.stop)
                if self.detectors[at].kind is DetectorKind.STOP_BAR
                if (groups := self.targets[at].groups & signal.config.tables.only_permissive)
            ]
            for signal, columns in zip(signals, self.columns, strict=True)
        )

    def _segments(self, at: int) -> tuple[Segment, ...]:
        signal, detector = self._names[at]
        return next(s for s in self.signals if s.id == signal).segments[detector]

    def _lay_out_areas(self, lengths: Mapping[str, float]) -> None:
        """List each distinct stretch once with the areas that it is part of, those that cover their lane whole apart from those cut."""
        areas: list[int] = self._areas.tolist()
        covering: dict[Segment, list[tuple[int, int, int]]] = {}
        for area, at in enumerate(areas):
            target = self.targets[at]
            groups = target.groups if self.detectors[at].kind is DetectorKind.AREA else 0
            for segment in self._segments(at):
                covering.setdefault(segment, []).append((area, target.signal, groups))
        self._whole: list[tuple[str, Covering]] = []
        self._cut: list[_Cut] = []
        for segment, entries in covering.items():
            starts, ends = segment.start <= CUT, segment.end >= lengths[segment.lane] - CUT
            if starts and ends:
                self._whole.append((segment.lane, tuple(entries)))
            elif starts or ends:
                self._cut.append(_Cut(segment.lane, tuple(entries), segment.end if starts else segment.start, starts))
            else:
                raise ConfigError("a stretch ends within its lane at one end only", key="sumo.segments", value=segment.lane)
        self._whole_lanes = [lane for lane, _ in self._whole]
        self._cut_lanes = [cut.lane for cut in self._cut]
        self._area_limits: list[float] = self.limits[self._areas].tolist()
        self._nobody = [0.0] * len(areas)
        self._columns_of_areas = _together(areas)
        self._seen: Values = np.zeros((3, len(areas)), np.float32)
        self._pack = Struct(f"{3 * len(areas)}f").pack_into
        self._found = [0] * len(self.signals)

    def _discharging(self, signal: SumoSignal) -> list[tuple[str, int]]:
        """List the lanes whose front vehicle tells a discharge, with the groups that never are protected: none where loops tell it."""
        if self._loops:
            return []
        only = signal.config.tables.only_permissive
        return [(lane, 1 << group) for group in bits(only) for link in signal.links[group] for lane in {signal.lanes_of_link[link][0]}]

    def bind(self, session: SumoSession) -> None:
        """Take the functions of a simulation that has just been started."""
        api = session.api
        self._lane_count = session.getter("lane", "getLastStepVehicleNumber")
        self._lane_halting = session.getter("lane", "getLastStepHaltingNumber")
        self._lane_speed = session.getter("lane", "getLastStepMeanSpeed")
        self._lane_vehicles = session.getter("lane", "getLastStepVehicleIDs")
        self._position = session.getter("vehicle", "getLanePosition")
        self._speed = session.getter("vehicle", "getSpeed")
        self._api = api
        self._fronts: dict[str, str] = {}
        self._last = [(0.0, 0.0)] * len(self.detectors)
        self._since = [LONG_AGO] * len(self.detectors)
        self._elapsed = 0.0
        self._beyond = [""] * len(self._cut)
        self.values[:] = 0.0
        self.values[Channel.SPEED] = self.limits
        self.valid[:] = True

    def read(self, seconds: float) -> None:
        """Read every detector.

        Args:
            seconds: the time since the last reading, by which loops count.
        """
        if self._has_areas:
            self._read_areas()
        if self._loops:
            self._read_loops(seconds)
        if self._buttons:
            self._read_buttons()

    def calls(self, *, faulty: bool = False) -> list[int]:
        """Say for each signal at which of its groups a vehicle calls, as masks. A detector that failed calls: its phase is on recall.

        Args:
            faulty: whether the values were spoilt after they were read.
        """
        if not faulty and not self._loops:
            return self._found
        found = [0] * len(self.signals)
        active = (self.values[Channel.COUNT] > 0) | (self.values[Channel.OCCUPANCY] > 0) | ~self.valid
        targets = self.targets
        for at in np.flatnonzero(active & self._calling).tolist():
            target = targets[at]
            found[target.signal] |= target.groups
        return found

    def pressed(self) -> list[int]:
        """Say for each signal at which of its groups a push button is pressed, as masks."""
        found = [0] * len(self.signals)
        for at, _, _ in self._buttons:
            if self.values[Channel.COUNT, at] > 0 or not self.valid[at]:
                found[self.targets[at].signal] |= self.targets[at].groups
        return found

    def discharged(self, signal: int) -> int:
        """Say from which never protected groups of a signal a vehicle has left since this was last asked, as a mask."""
        found = 0
        for at, groups in self._stop_bars[signal]:
            if self.values[Channel.COUNT, at] > 0 and self.valid[at]:
                found |= groups
        for lane, group in self._front_lanes[signal]:
            vehicles = self._lane_vehicles(lane)
            front = vehicles[-1] if vehicles else ""
            before = self._fronts.get(lane, "")
            if before and front != before:
                found |= group
            self._fronts[lane] = front
        return found

    @property
    def has_buttons(self) -> bool:
        """Whether there is a push button anywhere."""
        return bool(self._buttons)

    @property
    def has_discharging(self) -> tuple[bool, ...]:
        """Whether a signal has groups that never are protected."""
        return tuple(bool(lanes or stop_bars) for lanes, stop_bars in zip(self._front_lanes, self._stop_bars, strict=True))

    def readings(self, signal: int, vehicles: int = 0, pedestrians: int = 0, discharged: int = 0) -> Readings:
        """Give one signal's part of the arrays; a view, which the next reading changes."""
        columns = self.columns[signal]
        return Readings(self.values[:, columns], self.valid[columns], vehicles, pedestrians, discharged)

    def _read_areas(self) -> None:
        """Sum each area over its stretches. In plain lists: most stretches are empty, and an array costs more to touch than it saves."""
        found = self._found
        for signal in range(len(found)):
            found[signal] = 0
        count, queue, total, mean = self._nobody[:], self._nobody[:], self._nobody[:], self._area_limits[:]
        lane_count, lane_halting, lane_speed = self._lane_count, self._lane_halting, self._lane_speed
        numbers = list(map(lane_count, self._whole_lanes))
        for (lane, covering), here in zip(compress(self._whole, numbers), filter(None, numbers), strict=True):
            speed = lane_speed(lane)
            standing = lane_halting(lane) if here > 1 else int(speed < HALTING)
            for area, signal, groups in covering:
                count[area] += here
                queue[area] += standing
                total[area] += speed * here
                mean[area] = total[area] / count[area]
                found[signal] |= groups
        numbers = list(map(lane_count, self._cut_lanes))
        for at in compress(range(len(numbers)), numbers):
            here, standing, moving = self._read_cut(at, numbers[at])
            if here:
                for area, signal, groups in self._cut[at].covering:
                    count[area] += here
                    queue[area] += standing
                    total[area] += moving
                    mean[area] = total[area] / count[area]
                    found[signal] |= groups
        self._pack(self._seen.data, 0, *count, *queue, *mean)
        self.values[: Channel.SPEED + 1, self._columns_of_areas] = self._seen

    def _read_cut(self, at: int, here: int) -> tuple[int, int, float]:
        """Read a stretch that ends within its lane: vehicles on it, those that stand, and the sum of their speeds.

        Vehicles stand in the order of the lane, and who has passed the cut stays beyond it: so only those are asked for their position
        that were not known to have passed it. Then the smaller side of the cut is asked for its speeds.
        """
        lane, _, cut, upstream = self._cut[at]
        vehicles = self._lane_vehicles(lane)
        passed, known = here, self._beyond[at]
        if known in vehicles:
            passed = vehicles.index(known)
        while passed and self._position(vehicles[passed - 1]) >= cut:
            passed -= 1
        self._beyond[at] = vehicles[passed] if passed < here else ""
        inside = passed if upstream else here - passed
        if not inside:
            return 0, 0, 0.0
        if inside == here:
            speed = self._lane_speed(lane)
            return here, self._lane_halting(lane) if here > 1 else int(speed < HALTING), speed * here
        before = passed * 2 <= here
        speeds = list(map(self._speed, vehicles[:passed] if before else vehicles[passed:]))
        standing, total = sum([each < HALTING for each in speeds]), sum(speeds)
        if before is upstream:
            return inside, standing, total
        return inside, self._lane_halting(lane) - standing, self._lane_speed(lane) * here - total

    def _read_loops(self, seconds: float) -> None:
        """Read what a cabinet would report of loops: who has passed, and how long one stood there, in whole scans."""
        loop, values = self._api.inductionloop, self.values
        self._elapsed += seconds
        for at, names in self._loops:
            passed = occupied = 0.0
            for name in names:
                passed += loop.getIntervalVehicleNumber(name)
                occupied += loop.getIntervalOccupancy(name) / 100.0 * self._elapsed
            before = self._last[at]
            count, stood = max(0.0, passed - before[0]), max(0, scans(occupied - before[1]))
            values[Channel.COUNT, at] = count
            values[Channel.OCCUPANCY, at] = min(1.0, stood / TENTHS / seconds) if seconds else 0.0
            self._since[at] = 0.0 if count > 0 or stood > 0 else min(LONG_AGO, self._since[at] + seconds)
            values[Channel.SINCE, at] = self._since[at]
            self._last[at] = (passed, occupied)

    def _read_buttons(self) -> None:
        """A button is pressed while somebody stands before its crossing and means to use it."""
        edge, person = self._api.edge, self._api.person
        for at, crossings, corners in self._buttons:
            pressed = any(
                person.getSpeed(walker) < HALTING and person.getNextEdge(walker) in crossings
                for corner in corners
                for walker in edge.getLastStepPersonIDs(corner)
            )
            self.values[Channel.COUNT, at] = float(pressed)


def _together(at: list[int]) -> slice | NDArray[np.intp]:
    """Give indices that stand together as a slice, which is written faster."""
    return slice(at[0], at[-1] + 1) if at and at == list(range(at[0], at[-1] + 1)) else np.array(at, np.intp)


def _crossings_and_corners(segments: Sequence[Segment]) -> tuple[set[str], set[str]]:
    """Tell a button's crossings from the corners where people wait: in SUMO's names the former hold `_c`, the latter `_w`."""
    edges = {segment.lane.rpartition("_")[0] for segment in segments}
    crossings = {edge for edge in edges if "_c" in edge}
    return crossings, edges - crossings


def loops_xml(signals: Sequence[SumoSignal]) -> str:
    """Write the induction loops that stand for the signals' loops, as the text of an additional file."""
    lines = ["<additional>"]
    for signal in signals:
        for detector in signal.config.detectors:
            if detector.kind in LOOPS:
                lines += [
                    f"    <inductionLoop id={quoteattr(name)} lane={quoteattr(segment.lane)} "
                    f'pos="{segment.start:.2f}" period="1000000" file="NUL"/>'
                    for name, segment in zip(loop_ids(signal, detector.id), signal.segments[detector.id], strict=True)
                ]
    return "\n".join([*lines, "</additional>", ""])
