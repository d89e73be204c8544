"""A cycle and splits worked out anew, every cycle, from the vehicles counted lately.

Webster (1958), Traffic signal settings, Road Research Technical Paper 39: the cycle of least delay is (1.5 L + 5) / (1 - Y), with the
lost time L and the sum Y of the stages' critical flow ratios, and the greens share it as the ratios. Akcelik (1981), Traffic signals:
capacity and timing analysis, ARR 123: the lost time of a change is its intergreen, the start lost being won again in the yellow.
"""

from collections import deque
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind, Readings
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import Policy
from intersection.shield import Proposal
from intersection.state import NEVER, NO_STAGE, Display
from intersection.tables import bits
from models._parameters import settle, tenths
from models._sequence import Round, sequence

Numbers: TypeAlias = NDArray[np.float64]

SENSORS: tuple[DetectorKind, ...] = (DetectorKind.STOP_BAR,)

GRID: Mapping[str, tuple[float, ...]] = {
    "max_cycle_s": (90.0, 120.0, 180.0),
    "saturation_vph": (1600.0, 1900.0),
    "window_s": (300.0, 600.0, 900.0),
}

DEFAULTS: Mapping[str, float] = {"max_cycle_s": 120.0, "saturation_vph": 1800.0, "window_s": 600.0}

PERMISSIVE = 0.5
"""The saturation flow of a lane whose green gives way, as a share of that of a protected one."""

EXPECTED_VPH = 300.0
"""The flow that every lane is taken to have before it was counted."""

LEARNING: Tenths = 1200
"""How long after the start that expectation still fills in for what was not yet counted, in tenths of a second."""

MAX_SATURATION = 0.95
"""Flow ratios that sum to more are treated as this: beyond it the formula has no cycle."""

SLOT: Tenths = 300
"""Counts are kept by the half minute."""


class Counts:
    """Vehicles counted by each detector over a sliding window."""

    def __init__(self, size: int, window: Tenths) -> None:
        """Begin to count `size` detectors, over `window` tenths of a second."""
        self.window = window
        self.total = np.zeros(size)
        self._slots: deque[tuple[Tenths, Numbers]] = deque()
        self._since = self._read = NEVER

    def take(self, readings: Readings, now: Tenths) -> None:
        """Add what the detectors counted since the last reading. One that failed is taken to count as it did before."""
        if self._since == NEVER:
            self._since = self._read = now
            return
        counted = readings.values[Channel.COUNT].astype(np.float64)
        if np.count_nonzero(readings.valid) < readings.valid.size:
            usual = self.flows(self._read) / 3600.0 * ((now - self._read) / 10)
            counted = np.where(readings.valid, counted, usual)
        self._read = now
        self.total += counted
        if self._slots and now - self._slots[-1][0] < SLOT:
            np.add(self._slots[-1][1], counted, out=self._slots[-1][1])
        else:
            self._slots.append((now, counted))
        while self._slots[0][0] <= now - self.window:
            self.total -= self._slots.popleft()[1]

    def flows(self, now: Tenths) -> Numbers:
        """Give the flow over each detector, in vehicles an hour."""
        seen = min(now - self._since, self.window) if self._since != NEVER else 0
        missing = max(0, min(LEARNING, self.window) - seen)
        flows: Numbers = np.maximum(self.total, 0.0) * 36_000.0 / (seen + missing) + EXPECTED_VPH * missing / (seen + missing)
        return flows


class Webster:
    """Goes round the stages with greens that follow the counts."""

    def __init__(self, config: IntersectionConfig, *, max_cycle: Tenths, saturation: float, window: Tenths) -> None:
        """Plan for a signal.

        Args:
            config: the signal's configuration.
            max_cycle: the longest cycle, in tenths of a second.
            saturation: the flow that a lane discharges on protected green, in vehicles an hour.
            window: how far back the counts reach, in tenths of a second.
        """
        self.tables = tables = config.tables
        self.max_cycle, self.saturation = max_cycle, saturation
        self.round = Round(sequence(config))
        order = self.round.order
        self.changes = tuple(tables.move(stage, following).duration for stage, following in zip(order, order[1:] + order[:1], strict=True))
        self.bounds = tuple(
            (tables.service[stage], max(tables.service[stage], min(tables.max_green[0][g] for g in bits(tables.green[stage]))))
            for stage in order
        )
        self.counts = Counts(len(config.detectors), window)
        self.lanes = []
        for at, detector in enumerate(config.detectors):
            mask = tables.mask(frozenset(detector.phases)) if detector.kind in SENSORS else 0
            protected = tuple(entry for entry, stage in enumerate(order) if tables.protected[stage] & mask)
            green = protected or tuple(entry for entry, stage in enumerate(order) if tables.green[stage] & mask)
            if green:
                self.lanes.append((at, green, 1.0 if protected else PERMISSIVE))
        self.lanes.sort(key=lambda lane: len(lane[1]))
        self.greens = self.plan(0)

    @property
    def period(self) -> Tenths:
        """A second, the resolution of a plan."""
        return 10

    def propose(self, observation: Observation) -> Proposal:
        """Propose the stage at which the cycle stands."""
        state = observation.state
        self.counts.take(observation.readings, state.now)
        if state.target != NO_STAGE:
            return Proposal(stage=state.target)
        entry = self.round.entry(state.stage)
        order = self.round.order
        if state.display is Display.NORMAL and order[entry] == state.stage and state.now < state.arrived + self.greens[entry]:
            return Proposal(stage=state.stage)
        following = (entry + 1) % len(order)
        if following == 0:
            self.greens = self.plan(state.now)
        return Proposal(stage=order[following])

    def plan(self, now: Tenths) -> tuple[Tenths, ...]:
        """Work out the green of each entry of the sequence from the flows, in tenths of a second."""
        ratios = self.ratios(self.counts.flows(now))
        lost = sum(self.changes)
        load = min(float(ratios.sum()), MAX_SATURATION)
        cycle = min((1.5 * lost + 50) / (1.0 - load), self.max_cycle)
        share = ratios / ratios.sum() if ratios.sum() > 0 else np.full(len(ratios), 1.0 / len(ratios))
        greens = share * max(cycle - lost, 0.0)
        return tuple(max(least, min(most, 10 * round(float(green) / 10))) for green, (least, most) in zip(greens, self.bounds, strict=True))

    def ratios(self, flows: Numbers) -> Numbers:
        """Find the critical flow ratio of each entry of the sequence.

        Lanes are taken in the order of how few entries serve them; a lane that several serve only asks for what they lack together, in
        equal parts.
        """
        found: Numbers = np.zeros(len(self.round.order))
        for at, entries, share in self.lanes:
            lacking = flows[at] / (self.saturation * share) - found[list(entries)].sum()
            if lacking > 0:
                found[list(entries)] += lacking / len(entries)
        return found


def make(config: IntersectionConfig, **parameters: float) -> Policy:
    """Make the policy.

    Args:
        config: the signal's configuration.
        parameters: `max_cycle_s`, the longest cycle, in seconds; `saturation_vph`, the flow of a lane on protected green, in vehicles
            an hour; `window_s`, how far back the counts reach, in seconds.

    Raises:
        UnknownNameError: there is no such parameter.
        ConfigError: a value is out of range.
    """
    given = settle("webster", DEFAULTS, parameters)
    return Webster(
        config, max_cycle=tenths(given["max_cycle_s"]), saturation=max(1.0, given["saturation_vph"]), window=tenths(given["window_s"])
    )
