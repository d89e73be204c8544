"""Reads the street as detectors would see it, for all signals of a network at once.

Everything is read once a decision into flat arrays, lane by lane and never vehicle by vehicle, save on lanes that a detector's range
cuts. An edge on which nobody drives is asked once for all its lanes.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from envs.sumo_network import Segment, SumoSignal
from envs.sumo_session import SumoSession
from intersection.detection import Channel, Detector, DetectorKind, Readings, Values
from intersection.tables import bits

HALTING = 0.1
"""A vehicle below this speed stands, in m/s, as SUMO counts it."""

AREAS = (DetectorKind.AREA, DetectorKind.DEPARTURE)
LOOPS = (DetectorKind.STOP_BAR, DetectorKind.ADVANCE)


class _Lane(NamedTuple):
    """One distinct stretch of lane that is read."""

    at: int
    """Its index in the stretch arrays."""

    lane: str
    start: float
    end: float
    cut: bool
    """Whether it is shorter than its lane."""


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
        self._areas = np.array([at for at, d in enumerate(self.detectors) if d.kind in AREAS], int)
        self._loops = [(at, loop_ids(signal, d.id)) for at, (signal, d) in enumerate(own) if d.kind in LOOPS]
        self._buttons = [
            (at, *_crossings_and_corners(signal.segments[d.id])) for at, (signal, d) in enumerate(own) if d.kind is DetectorKind.PUSH_BUTTON
        ]
        self._calling = np.array([d.kind in (DetectorKind.AREA, *LOOPS) for d in self.detectors], bool)
        self._lay_out_areas(lane_lengths)
        self._front_lanes = tuple(self._discharging(signal) for signal in signals)

    def _segments(self, at: int) -> tuple[Segment, ...]:
        signal, detector = self._names[at]
        return next(s for s in self.signals if s.id == signal).segments[detector]

    def _lay_out_areas(self, lengths: Mapping[str, float]) -> None:
        """Give each distinct stretch one place, and each area the list of its places."""
        places: dict[Segment, int] = {}
        gather: list[int] = []
        starts: list[int] = []
        for at in self._areas.tolist():
            starts.append(len(gather))
            gather += [places.setdefault(segment, len(places)) for segment in self._segments(at)]
        self._gather, self._starts = np.array(gather, int), np.array(starts, int)
        self._simple = len(places) == len(gather) == len(starts)
        lanes = [_Lane(place, s.lane, s.start, s.end, s.start > 0.1 or s.end < lengths[s.lane] - 0.1) for s, place in places.items()]
        edges: dict[str, list[_Lane]] = {}
        for lane in lanes:
            edges.setdefault(lane.lane.rpartition("_")[0], []).append(lane)
        self._edges = [(edge, group) for edge, group in edges.items() if len(group) > 1]
        self._single = [lane for group in edges.values() if len(group) == 1 for lane in group]
        self._stretches: Values = np.zeros((3, len(lanes)), np.float32)

    def _discharging(self, signal: SumoSignal) -> list[tuple[str, int]]:
        """List the lanes whose front vehicle tells a discharge, with the groups that never are protected."""
        only = signal.config.tables.only_permissive
        return [(lane, 1 << group) for group in bits(only) for link in signal.links[group] for lane in {signal.lanes_of_link[link][0]}]

    def bind(self, session: SumoSession) -> None:
        """Take the functions of a simulation that has just been started."""
        api = session.api
        self._edge_count = session.getter("edge", "getLastStepVehicleNumber")
        self._lane_count = session.getter("lane", "getLastStepVehicleNumber")
        self._lane_halting = session.getter("lane", "getLastStepHaltingNumber")
        self._lane_speed = session.getter("lane", "getLastStepMeanSpeed")
        self._lane_vehicles = session.getter("lane", "getLastStepVehicleIDs")
        self._position = session.getter("vehicle", "getLanePosition")
        self._speed = session.getter("vehicle", "getSpeed")
        self._api = api
        self._fronts: dict[str, str] = {}
        self._last = [(0.0, 0.0)] * len(self.detectors)
        self._elapsed = 0.0
        self.values[:] = 0.0
        self.values[Channel.SPEED] = self.limits
        self.valid[:] = True

    def read(self, seconds: float) -> None:
        """Read every detector.

        Args:
            seconds: the time since the last reading, by which loops count.
        """
        if len(self._areas):
            self._read_areas()
        if self._loops:
            self._read_loops(seconds)
        if self._buttons:
            self._read_buttons()

    def calls(self) -> list[int]:
        """Say for each signal at which of its groups a vehicle calls, as masks. A detector that failed calls: its phase is on recall."""
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
        return tuple(bool(lanes) for lanes in self._front_lanes)

    def readings(self, signal: int, vehicles: int = 0, pedestrians: int = 0, discharged: int = 0) -> Readings:
        """Give one signal's part of the arrays; a view, which the next reading changes."""
        columns = self.columns[signal]
        return Readings(self.values[:, columns], self.valid[columns], vehicles, pedestrians, discharged)

    def _read_areas(self) -> None:
        stretches = self._stretches
        stretches[:] = 0.0
        count, halting, speed = stretches
        lane_count, lane_halting, lane_speed = self._lane_count, self._lane_halting, self._lane_speed
        edge_count = self._edge_count
        for edge, lanes in self._edges:
            if not edge_count(edge):
                continue
            for lane in lanes:
                at, name, _, _, cut = lane
                here = lane_count(name)
                if not here:
                    continue
                if cut:
                    self._cut(lane, here)
                else:
                    count[at] = here
                    halting[at] = lane_halting(name)
                    speed[at] = lane_speed(name) * here
        for lane in self._single:
            at, name, _, _, cut = lane
            here = lane_count(name)
            if not here:
                continue
            if cut:
                self._cut(lane, here)
            else:
                count[at] = here
                halting[at] = lane_halting(name)
                speed[at] = lane_speed(name) * here
        gathered = stretches[:, self._gather]
        sums = gathered if self._simple else np.add.reduceat(gathered, self._starts, axis=1)
        values, areas = self.values, self._areas
        values[Channel.COUNT, areas] = sums[0]
        values[Channel.QUEUE, areas] = sums[1]
        empty = sums[0] == 0
        values[Channel.SPEED, areas] = np.where(empty, self.limits[areas], sums[2] / (sums[0] + empty))

    def _cut(self, lane: _Lane, here: int) -> None:
        """Read a stretch that is shorter than its lane: find its ends by bisection, and ask the smaller part for its speeds."""
        at, name, start, end, _ = lane
        vehicles = self._lane_vehicles(name)
        position, speed = self._position, self._speed
        low = bisect_left(vehicles, start, key=position) if start > 0.1 else 0
        high = bisect_left(vehicles, end, lo=low, key=position) if start <= 0.1 else here
        inside = high - low
        if not inside:
            return
        self._stretches[0, at] = inside
        if inside == here:
            self._stretches[1, at] = self._lane_halting(name)
            self._stretches[2, at] = self._lane_speed(name) * here
        elif inside * 2 <= here:
            speeds = [speed(vehicle) for vehicle in vehicles[low:high]]
            self._stretches[1, at] = sum(each < HALTING for each in speeds)
            self._stretches[2, at] = sum(speeds)
        else:
            speeds = [speed(vehicle) for vehicle in (*vehicles[:low], *vehicles[high:])]
            self._stretches[1, at] = self._lane_halting(name) - sum(each < HALTING for each in speeds)
            self._stretches[2, at] = self._lane_speed(name) * here - sum(speeds)

    def _read_loops(self, seconds: float) -> None:
        loop = self._api.inductionloop
        self._elapsed += seconds
        for at, names in self._loops:
            passed = occupied = 0.0
            since = 3600.0
            for name in names:
                passed += loop.getIntervalVehicleNumber(name)
                occupied += loop.getIntervalOccupancy(name) / 100.0 * self._elapsed
                since = min(since, max(0.0, loop.getTimeSinceDetection(name)))
            before = self._last[at]
            self.values[Channel.COUNT, at] = max(0.0, passed - before[0])
            self.values[Channel.OCCUPANCY, at] = min(1.0, max(0.0, occupied - before[1]) / seconds) if seconds else 0.0
            self.values[Channel.SINCE, at] = since
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
