"""Readings and signal state become a policy's observation here, by the same code in training and in the field."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from intersection import plugins
from intersection.config import IntersectionConfig
from intersection.detection import Channel, Detector, Readings, Values
from intersection.observations._base import ObservationKind
from intersection.phase import Tenths
from intersection.shield import ready
from intersection.state import NEVER, NO_STAGE, Display, IntersectionState
from intersection.tables import Tables, bits

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
    (1); for each group green, protected, yellow change, walk or pedestrian clearance (4 x groups); for each group elapsed time of its
    interval, vehicle call, its wait as a share of the maximum, pedestrian call (4 x groups); for each channel of the kind the
    values of all seen detectors (channels x detectors); for each seen detector whether it works (detectors).
    """

    config: IntersectionConfig
    kind: ObservationKind

    @cached_property
    def detectors(self) -> tuple[Detector, ...]:
        """The detectors that are seen, in the configuration's order."""
        return tuple(detector for detector in self.config.detectors if detector.kind in self.kind.detectors)

    @cached_property
    def columns(self) -> slice | list[int]:
        """Where the seen detectors stand among all: a slice where they stand together, which reads faster."""
        at = [index for index, detector in enumerate(self.config.detectors) if detector.kind in self.kind.detectors]
        return slice(at[0], at[-1] + 1) if at and at == list(range(at[0], at[-1] + 1)) else at

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

    @cached_property
    def rows(self) -> slice | list[int]:
        """Where the kind's channels stand in a readings array."""
        at = [int(channel) for channel in self.kind.channels]
        return slice(at[0], at[-1] + 1) if at == list(range(at[0], at[-1] + 1)) else at

    @cached_property
    def memo(self) -> dict[tuple[int, int, int, int, int], Values]:
        """What `encode` has worked out of lamps that it saw before."""
        return {}


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


def scaled(values: Values, rows: slice | list[int], columns: slice | list[int], scale: Values) -> Values:
    """Bring the seen values to 0..1; shape (channels, detectors). Also over many signals at once."""
    seen: Values = values[rows][:, columns] * scale
    np.minimum(seen, 1.0, out=seen)
    return seen


def encode(
    spec: ObservationSpec,
    state: IntersectionState,
    readings: Readings,
    out: Values | None = None,
    seen: Values | None = None,
) -> Values:
    """Encode what is known of a signal as one vector.

    Args:
        spec: the layout.
        state: the signal.
        readings: of all its detectors.
        out: float32, shape (spec.size,), written in place; made where it is None.
        seen: the seen values already brought to 0..1, where they were scaled for many signals at once.

    Returns:
        float32, shape (spec.size,), each value in 0..1.
    """
    tables = spec.config.tables
    if out is None:
        out = np.empty(spec.size, np.float32)
    size, now = tables.size, state.now
    fixed = len(tables.stages) + 1 + 4 * size
    out[:fixed] = _indications(spec, state, tables)
    times = [
        min((now - (began if began != NEVER else ended)) / ELAPSED_SCALE, 1.0) if began != NEVER or ended != NEVER else 1.0
        for began, ended in zip(state.began, state.ended, strict=True)
    ]
    if state.calls or state.ped_calls:
        times += [0.0 if since == NEVER else 1.0 for since in state.called]
        times += [
            0.0 if since == NEVER else min((now - since) / wait, 1.0) for since, wait in zip(state.called, _max_waits(tables), strict=True)
        ]
        times += [0.0 if since == NEVER else 1.0 for since in state.ped_called]
        out[fixed : spec.head] = times
    else:
        out[fixed : fixed + size] = times
        out[fixed + size : spec.head] = 0.0
    if seen is None:
        seen = scaled(readings.values, spec.rows, spec.columns, spec.scale)
    count = seen.size
    out[spec.head : spec.head + count] = seen.reshape(-1)
    out[spec.head + count :] = readings.valid[spec.columns]
    return out


def _max_waits(tables: Tables) -> list[Tenths]:
    return [group.max_wait or 1 for group in tables.groups]


def _indications(spec: ObservationSpec, state: IntersectionState, tables: Tables) -> Values:
    """Look up the part of the vector that only depends on what the lamps show."""
    now = state.now
    yellow = 0
    for group in bits(state.clearing):
        if now < state.left + tables.groups[group].yellow:
            yellow |= 1 << group
    walking = 0
    if tables.pedestrians:
        for group in bits(tables.pedestrians):
            if state.walked[group] != NEVER and now < state.walked[group] + tables.groups[group].pedestrian_time:
                walking |= 1 << group
    key = (state.stage, state.target, state.clearing, yellow, walking)
    shown = spec.memo.get(key)
    if shown is None:
        green = tables.green[state.stage] & ~state.clearing
        stage = state.stage if state.target == NO_STAGE else state.target
        shown = spec.memo[key] = np.array(
            [float(at == stage) for at in range(len(tables.stages))]
            + [float(state.target != NO_STAGE)]
            + [
                float(mask >> group & 1)
                for mask in (green, green & tables.protected[state.stage], yellow, walking)
                for group in range(tables.size)
            ],
            np.float32,
        )
    return shown


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
