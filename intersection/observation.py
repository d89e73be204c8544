"""Readings and signal state become a policy's observation here, by the same code in training and in the field."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intersection import plugins
from intersection.config import IntersectionConfig
from intersection.detection import Channel, Detector, Readings, Values
from intersection.machine import lamps
from intersection.observations._base import ObservationKind
from intersection.phase import Tenths
from intersection.shield import ready
from intersection.state import FOREVER, NEVER, NO_STAGE, Display, IntersectionState
from intersection.tables import Tables

ELAPSED_SCALE: Tenths = 1200
"""Elapsed times are told as a share of two minutes, and no more than 1."""

SINCE_SCALE: float = 60.0
"""The time since a loop's last actuation is told as a share of a minute, and no more than 1."""

SATURATION_COUNT: float = 4.0
"""Vehicles that pass a loop in a five-second decision period at saturation flow, rounded up."""


class Observation(NamedTuple):
    """What a policy is given: nothing that a cabinet could not know."""

    state: IntersectionState
    readings: Readings
    vector: Values | None = None
    """The encoded form, float32 in 0..1, shape (ObservationSpec.size,); None for a policy that does not ask for it."""


def kind(name: str) -> ObservationKind:
    """Find an observation kind by name. Raises UnknownNameError."""
    found: ObservationKind = plugins.load("intersection.observations", name, "observation").KIND
    return found


@dataclass(frozen=True)
class ObservationSpec:
    """The layout of one signal's observation vector.

    In this order, each value in 0..1: one-hot of the running stage, or of the target in a transition (stages); transition running
    (1); for each group green, protected, yellow change, walk or pedestrian clearance (4 x groups); for each group the time since its
    green began or ended, vehicle call, its wait as a share of the maximum, pedestrian call (4 x groups); for each channel of the kind the
    values of all seen detectors (channels x detectors); for each seen detector whether it works (detectors).
    """

    config: IntersectionConfig
    kind: ObservationKind

    @cached_property
    def detectors(self) -> tuple[Detector, ...]:
        """The detectors that are seen, in the configuration's order."""
        return tuple(detector for detector in self.config.detectors if detector.kind in self.kind.detectors)

    @cached_property
    def columns(self) -> list[int]:
        """Where the seen detectors stand among all of the configuration."""
        return [at for at, detector in enumerate(self.config.detectors) if detector.kind in self.kind.detectors]

    @cached_property
    def head(self) -> int:
        """The length of the part that tells the stages and groups."""
        tables = self.config.tables
        return len(tables.stages) + 1 + 8 * tables.size

    @cached_property
    def size(self) -> int:
        """The length of the vector."""
        return self.head + (len(self.kind.channels) + 1) * len(self.detectors)

    @cached_property
    def scale(self) -> Values:
        """Factors that bring each seen value to 0..1, shape (channels, detectors)."""
        return np.array([[_scale(channel, d) for d in self.detectors] for channel in self.kind.channels], np.float32).reshape(
            len(self.kind.channels), len(self.detectors)
        )


def _scale(channel: Channel, detector: Detector) -> float:
    match channel:
        case Channel.SPEED:
            return 1.0 / detector.speed_limit
        case Channel.OCCUPANCY:
            return 1.0
        case Channel.SINCE:
            return 1.0 / SINCE_SCALE
        case _:
            return 1.0 / (detector.storage if detector.length > 10.0 else SATURATION_COUNT)


class Encoder:
    """Encodes what is known of one signal, or of many at once, as vectors. There is no other way from readings to an observation.

    Only what has changed since the last time is worked out again, so an encoder belongs to one run of its signals.

    Attributes:
        vectors: for each signal float32, shape (spec.size,), each value in 0..1; overwritten by the next `encode`.
    """

    def __init__(self, specs: Sequence[ObservationSpec]) -> None:
        """Lay out the vectors.

        Args:
            specs: of the signals, in the order in which states and detectors will be given; all of one observation kind.
        """
        self.specs = tuple(specs)
        starts = np.cumsum([0, *(spec.size for spec in specs)]).tolist()
        self._flat: Values = np.zeros(starts[-1], np.float32)
        self.vectors = [self._flat[start:end] for start, end in pairwise(starts)]
        self._groups = np.cumsum([0, *(spec.config.tables.size for spec in specs)]).tolist()
        count = self._groups[-1]
        # Since when: of each group's green or red, then of its call. A call that nobody made is still to come.
        self._since = np.full(2 * count, FOREVER, np.float64)
        waits = [group.max_wait or group.ped_max_wait or 1 for spec in specs for group in spec.config.tables.groups]
        self._per = np.array([1.0 / ELAPSED_SCALE] * count + [1.0 / wait for wait in waits])
        self._times = np.zeros(2 * count)
        self._lay_out(starts[:-1])
        self._memo: list[dict[tuple[int, int, int, int, int], Values]] = [{} for _ in specs]
        self._walked = [bool(spec.config.tables.pedestrians) for spec in self.specs]
        self._last: list[IntersectionState | None] = [None] * len(self.specs)

    def _lay_out(self, starts: list[int]) -> None:
        """Find out where in the flat array each block of each signal stands."""
        elapsed: list[int] = []
        works: list[int] = []
        columns: list[int] = []
        seen, scales = [], []
        offset = 0
        self._heads = []
        for start, spec in zip(starts, self.specs, strict=True):
            size = spec.config.tables.size
            fixed = start + len(spec.config.stages) + 1 + 4 * size
            self._heads.append((start, fixed))
            elapsed += range(fixed, fixed + size)
            detectors, channels = len(spec.detectors), len(spec.kind.channels)
            seen.append(start + spec.head + np.arange(channels * detectors).reshape(channels, detectors))
            works += range(start + spec.head + channels * detectors, start + spec.size)
            columns += [offset + column for column in spec.columns]
            offset += len(spec.config.detectors)
            scales.append(spec.scale)
        sizes = np.repeat([spec.config.tables.size for spec in self.specs], np.diff(self._groups))
        at_elapsed = np.array(elapsed, np.intp)
        self._at_times = _as_slice(np.concatenate([at_elapsed, at_elapsed + 2 * sizes]).tolist())
        at_seen = np.concatenate(seen, axis=1).astype(np.intp)
        whole = _as_slice(at_seen.ravel().tolist())
        self._at_seen: slice | NDArray[np.intp] = whole if isinstance(whole, slice) else at_seen
        self._at_works = np.array(works, np.intp)
        self._columns = _as_slice(columns)
        self._rows = _as_slice([int(channel) for channel in self.specs[0].kind.channels])
        self._scale: Values = np.concatenate(scales, axis=1)
        self._alone = isinstance(self._at_seen, slice)
        self._sliced = isinstance(self._columns, slice) and isinstance(self._rows, slice)
        self._seen: Values = np.zeros_like(self._scale)
        self._all_work = False

    def encode(self, states: Sequence[IntersectionState], values: Values, valid: NDArray[np.bool_]) -> list[Values]:
        """Encode the signals as they are now.

        Args:
            states: of the signals, all at one instant.
            values: of all their detectors, shape (len(Channel), detectors of all signals), see `Readings`.
            valid: which of these can be believed, shape (detectors of all signals,).

        Returns:
            `vectors`.
        """
        for at, state in enumerate(states):
            known = self._last[at]
            if state.target != NO_STAGE or self._walked[at] or known is None or known.began is not state.began or known.target != NO_STAGE:
                self._tell_indications(at, state)
            if known is None or known.called is not state.called or known.ped_called is not state.ped_called:
                self._tell_calls(at, state)
            self._last[at] = state
        flat = self._flat
        times = self._times
        np.subtract(states[0].now, self._since, out=times)
        np.multiply(times, self._per, out=times)
        np.maximum(times, 0.0, out=times)
        np.minimum(times, 1.0, out=times)
        flat[self._at_times] = times
        seen = values[self._rows, self._columns] if self._sliced else values[self._rows][:, self._columns]
        np.multiply(seen, self._scale, out=self._seen)
        np.minimum(self._seen, 1.0, out=self._seen)
        flat[self._at_seen] = self._seen.reshape(-1) if self._alone else self._seen
        works = np.count_nonzero(valid) == valid.size
        if not (works and self._all_work):
            flat[self._at_works] = valid[self._columns]
            self._all_work = works
        return self.vectors

    def _tell_indications(self, at: int, state: IntersectionState) -> None:
        """Write what the lamps show, and note since when."""
        start, fixed = self._heads[at]
        self._flat[start:fixed] = self._indications(at, state)
        self._since[self._groups[at] : self._groups[at + 1]] = [
            began if began != NEVER else (ended if ended != NEVER else -ELAPSED_SCALE)
            for began, ended in zip(state.began, state.ended, strict=True)
        ]

    def _tell_calls(self, at: int, state: IntersectionState) -> None:
        """Write who waits, and note since when."""
        first, end = self._groups[at], self._groups[at + 1]
        _, fixed = self._heads[at]
        size = end - first
        count = self._groups[-1]
        self._since[count + first : count + end] = [since if since != NEVER else FOREVER for since in state.called]
        self._flat[fixed + size : fixed + 2 * size] = _row(state.calls, size)
        self._flat[fixed + 3 * size : fixed + 4 * size] = _row(state.ped_calls, size)

    def _indications(self, at: int, state: IntersectionState) -> Values:
        """Look up the part of the vector that only depends on what the lamps show."""
        tables = self.specs[at].config.tables
        green, yellow, walks, ped_clears = lamps(state, tables)
        walking = walks | ped_clears
        key = (state.stage, state.target, green, yellow, walking)
        shown = self._memo[at].get(key)
        if shown is None:
            stage = state.stage if state.target == NO_STAGE else state.target
            shown = self._memo[at][key] = np.array(
                [float(each == stage) for each in range(len(tables.stages))]
                + [float(state.target != NO_STAGE)]
                + [
                    float(mask >> group & 1)
                    for mask in (green, green & tables.protected[state.stage], yellow, walking)
                    for group in range(tables.size)
                ],
                np.float32,
            )
        return shown


@lru_cache(maxsize=4096)
def _row(mask: int, size: int) -> Values:
    """Write a mask of groups as float32, 1 where its bit is set."""
    row = np.array([mask >> group & 1 for group in range(size)], np.float32)
    row.flags.writeable = False
    return row


def _as_slice(at: list[int]) -> slice | NDArray[np.intp]:
    """Give indices that stand together as a slice, which reads faster."""
    return slice(at[0], at[-1] + 1) if at and at == list(range(at[0], at[-1] + 1)) else np.array(at, np.intp)


def encode(spec: ObservationSpec, state: IntersectionState, readings: Readings) -> Values:
    """Encode one signal at one instant; float32, shape (spec.size,). For a run of instants keep an `Encoder`."""
    return Encoder([spec]).encode([state], readings.values, readings.valid)[0]


def stage_mask(state: IntersectionState, tables: Tables) -> list[bool]:
    """Tell for each stage whether the gate would let it begin, or go on, now.

    In a transition only its target is open. A stage that the gate would carry out in amended form (a clearance more, a way round) is
    open: what a policy learns from it is what happened.
    """
    count = len(tables.stages)
    if state.display is not Display.NORMAL:
        return [at == state.stage for at in range(count)]
    if state.target != NO_STAGE:
        return [at == state.target for at in range(count)]
    now, running = state.now, state.stage
    if now < state.arrived + tables.min_dwell:
        return [at == running for at in range(count)]
    hops = tables.next_hop[running]
    return [at == running or now >= ready(state, tables, tables.move(running, hops[at]).ending) for at in range(count)]
