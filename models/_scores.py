"""Scores stages by the vehicles they would let go, and runs the best of them: what the greedy policies share."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind, Readings, Values
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.shield import Proposal
from intersection.state import NO_STAGE, Display, IntersectionState
from intersection.tables import Tables, bits

RECALL: float = 1.0
"""A failed detector counts as this many standing vehicles; whoever reads the detectors lets it call as well."""

Score: TypeAlias = Callable[[Observation], Values]
"""Says what each stage is worth now; shape (stages,)."""


def stage_weights(config: IntersectionConfig, kind: DetectorKind, permissive: float) -> Values:
    """Tell how much of what a detector sees each stage lets go.

    Args:
        config: the signal's configuration.
        kind: the kind of the detectors; others weigh nothing.
        permissive: the weight of a detector whose green phases all give way.

    Returns:
        float32, shape (stages, detectors of the configuration): 1 where a phase of the detector is protected.
    """
    tables = config.tables
    masks = [tables.mask(frozenset(detector.phases)) if detector.kind is kind else 0 for detector in config.detectors]
    return np.array(
        [
            [1.0 if mask & protected else permissive if mask & yielding else 0.0 for mask in masks]
            for protected, yielding in zip(tables.protected, tables.permissive, strict=True)
        ],
        np.float32,
    ).reshape(len(tables.stages), len(masks))


def vehicles(readings: Readings, moving: float, halting: float) -> Values:
    """Weigh the vehicles that each area detector sees; shape (detectors,).

    Args:
        readings: of all detectors of the signal.
        moving: the weight of every vehicle in range.
        halting: the weight that a standing vehicle has besides.
    """
    seen: Values = moving * readings.values[Channel.COUNT] + halting * readings.values[Channel.QUEUE]
    if np.count_nonzero(readings.valid) < readings.valid.size:
        seen[~readings.valid] = (moving + halting) * RECALL
    return seen


def overdue(state: IntersectionState, tables: Tables, bound: Tenths) -> int | None:
    """Find the call that has waited longest, at least as long as a bound, as a bit of `Tables.serves`; or None.

    Only a protected green, or a discharge from a phase that never is protected, ends a wait: a permissive green behind a saturated
    stream serves nobody.

    Args:
        state: the signal.
        tables: its compiled configuration.
        bound: the longest wait that is let pass, in tenths of a second.
    """
    if state.now - state.oldest < bound:
        return None
    found, since = None, state.now - bound + 1
    yielding = tables.only_permissive
    for group in bits(state.calls & ~(tables.green[state.stage] & ~state.clearing & yielding)):
        called = max(state.called[group], state.ended[group]) if yielding >> group & 1 else state.called[group]
        if called < since:
            found, since = group, called
    for group in bits(state.ped_calls):
        if state.ped_called[group] < since:
            found, since = tables.size + group, state.ped_called[group]
    return found


class Greedy:
    """Runs the stage of the highest score, for a minimum time, unless a call is overdue."""

    def __init__(self, config: IntersectionConfig, score: Score, *, min_green: Tenths, max_wait: Tenths, stay: float = 0.0) -> None:
        """Choose by a score.

        Args:
            config: the signal's configuration.
            score: what each stage is worth now; asked at every decision, so that it may follow what it sees.
            min_green: how long a stage is kept before another is looked at, in tenths of a second.
            max_wait: the wait after which a call comes before every score, in tenths of a second.
            stay: by how much the running stage must be outdone.
        """
        self.tables = config.tables
        self.score = score
        self.min_green, self.max_wait, self.stay = min_green, max_wait, stay
        self.serving = tuple(
            tuple(stage for stage, served in enumerate(self.tables.serves) if served >> call & 1) for call in range(2 * self.tables.size)
        )

    @property
    def period(self) -> Tenths:
        """Five seconds."""
        return 50

    def propose(self, observation: Observation) -> Proposal:
        """Propose the stage that is worth most."""
        state = observation.state
        scores = self.score(observation)
        if state.target != NO_STAGE:
            return Proposal(stage=state.target)
        running = state.stage
        if state.display is not Display.NORMAL or state.now < state.arrived + self.min_green:
            return Proposal(stage=running)
        if state.ped_calls:
            scores = scores + self._pedestrians(state)
        waiting = overdue(state, self.tables, self.max_wait)
        if waiting is not None and self.serving[waiting]:
            return Proposal(stage=max(self.serving[waiting], key=scores.__getitem__))
        best = int(scores.argmax())
        return Proposal(stage=best if scores[best] > scores[running] + self.stay else running)

    def _pedestrians(self, state: IntersectionState) -> Values:
        """Count each pedestrian call as one standing vehicle."""
        wanted = state.ped_calls << self.tables.size
        return np.array([RECALL * (served & wanted).bit_count() for served in self.tables.serves], np.float32)
