"""Extends each stage while vehicles keep coming, within bounds, and passes over stages that nobody calls.

Fully actuated control: a stage ends when all its protected lanes have gapped out, or when it maxes out, its maximum being counted from the
first call for another stage (Traffic Signal Timing Manual, FHWA 2008, section 5). Lanes are judged by their loops; without
loops, by the mean headway that count and speed of their area give.
"""

from collections.abc import Mapping

import numpy as np

from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind, Readings, Values
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import Policy
from intersection.shield import Proposal
from intersection.state import FOREVER, NO_STAGE, Display, IntersectionState
from intersection.tables import bits
from models._parameters import settle, tenths
from models._scores import stage_weights
from models._sequence import Round, sequence

SENSORS: tuple[DetectorKind, ...] = (DetectorKind.STOP_BAR, DetectorKind.ADVANCE)

GRID: Mapping[str, tuple[float, ...]] = {
    "max_green_s": (20.0, 30.0, 40.0, 60.0),
    "min_green_s": (5.0, 10.0),
    "passage_s": (1.5, 2.0, 3.0),
}

DEFAULTS: Mapping[str, float] = {"max_green_s": 40.0, "min_green_s": 5.0, "passage_s": 2.0}


class Actuated:
    """Goes round the stages that are called, each as long as vehicles keep coming."""

    def __init__(self, config: IntersectionConfig, *, min_green: Tenths, max_green: Tenths, passage: float) -> None:
        """Control a signal.

        Args:
            config: the signal's configuration.
            min_green: how long a stage is kept, in tenths of a second.
            max_green: the longest green after a call for another stage, in tenths of a second.
            passage: the gap after which a lane needs its green no more, in seconds.
        """
        self.tables = config.tables
        self.min_green, self.max_green, self.passage = min_green, max_green, passage
        self.round = Round(sequence(config))
        loops = stage_weights(config, DetectorKind.STOP_BAR, 0.0) + stage_weights(config, DetectorKind.ADVANCE, 0.0)
        with_loops = {
            phase
            for detector in config.detectors
            if detector.kind in (DetectorKind.STOP_BAR, DetectorKind.ADVANCE)
            for phase in detector.phases
        }
        without = np.array([not with_loops.issuperset(detector.phases) for detector in config.detectors], bool)
        self.loops = loops > 0
        self.areas = (stage_weights(config, DetectorKind.AREA, 0.0) > 0) & without
        self.watched = self.loops | self.areas
        self.has_areas = bool(self.areas.any())
        self.ranges: Values = np.array([detector.length for detector in config.detectors], np.float32)

    @property
    def period(self) -> Tenths:
        """A second."""
        return 10

    def propose(self, observation: Observation) -> Proposal:
        """Propose to stay, or the next stage that is called."""
        state = observation.state
        if state.target != NO_STAGE:
            return Proposal(stage=state.target)
        running = state.stage
        if state.display is not Display.NORMAL or state.now < state.arrived + self.min_green:
            return Proposal(stage=running)
        following = self._next(state)
        if following is None or (state.now < self._maxes_out_at(state) and self._extends(running, observation.readings)):
            return Proposal(stage=running)
        return Proposal(stage=following)

    def _next(self, state: IntersectionState) -> int | None:
        """Find the next stage of the sequence with a call that the running stage does not serve, or None."""
        waiting = (state.calls | state.ped_calls << self.tables.size) & ~self.tables.serves[state.stage]
        if not waiting:
            return None
        entry = self.round.entry(state.stage)
        order = self.round.order
        return next((order[at] for at in self.round.after(entry) if self.tables.serves[order[at]] & waiting), order[entry])

    def _maxes_out_at(self, state: IntersectionState) -> Tenths:
        here = self.tables.serves[state.stage]
        first = min((state.called[group] for group in bits(state.calls & ~here)), default=FOREVER)
        first = min(first, min((state.ped_called[group] for group in bits(state.ped_calls & ~(here >> self.tables.size))), default=FOREVER))
        return max(first, state.arrived) + self.max_green

    def _extends(self, stage: int, readings: Readings) -> bool:
        """Tell whether a protected lane of the stage still needs its green; one with a failed detector always does."""
        values = readings.values
        needed = self.loops[stage] & (values[Channel.SINCE] < self.passage)
        if self.has_areas:
            close = values[Channel.COUNT] * values[Channel.SPEED] * self.passage >= self.ranges
            needed |= self.areas[stage] & (close | (values[Channel.QUEUE] > 0))
        return bool((needed | (self.watched[stage] & ~readings.valid)).any())


def make(config: IntersectionConfig, **parameters: float) -> Policy:
    """Make the policy.

    Args:
        config: the signal's configuration.
        parameters: `max_green_s`, the longest green after a call for another stage, in seconds; `min_green_s`, how long a stage is
            kept, in seconds; `passage_s`, the gap that ends a green, in seconds.

    Raises:
        UnknownNameError: there is no such parameter.
        ConfigError: a value is out of range.
    """
    given = settle("actuated", DEFAULTS, parameters)
    return Actuated(config, min_green=tenths(given["min_green_s"]), max_green=tenths(given["max_green_s"]), passage=given["passage_s"])
