"""Scores stages by the vehicles they would let go, and runs the best of them: what the greedy policies share."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from intersection.config import IntersectionConfig
from intersection.detection import Channel, Detector, DetectorKind, Readings, Values
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.shield import Proposal
from intersection.state import NEVER, NO_STAGE, Display, IntersectionState
from intersection.tables import bits

RECALL: float = 1.0
"""A failed detector counts as this many standing vehicles; whoever reads the detectors lets it call as well."""

CALLING = (DetectorKind.STOP_BAR, DetectorKind.ADVANCE, DetectorKind.AREA)
"""The detectors that place vehicle calls."""

Score: TypeAlias = Callable[[Observation], Values]
"""Says what each stage is worth now; shape (stages,)."""


def stage_weights(config: IntersectionConfig, kind: DetectorKind, permissive: float) -> Values:
    """Tell how much of what a detector sees each stage lets go.

    A lane that several phases share discharges only until its first vehicle waits for another green, so it weighs the mean of what its
    phases weigh.

    Args:
        config: the signal's configuration.
        kind: the kind of the detectors; others weigh nothing.
        permissive: the weight of a phase whose green gives way; that of a protected one is 1.

    Returns:
        float32, shape (stages, detectors of the configuration), 0 to 1.
    """
    return _weights(config, kind, permissive, lambda phases: sum(phases) / len(phases))


def departure_weights(config: IntersectionConfig, permissive: float) -> Values:
    """Tell how freely each stage lets vehicles into a departure: as the phase of most weight that leads there.

    Args:
        config: the signal's configuration.
        permissive: the weight of a phase whose green gives way; that of a protected one is 1.

    Returns:
        float32, shape (stages, detectors of the configuration), 0 to 1.
    """
    return _weights(config, DetectorKind.DEPARTURE, permissive, max)


def _weights(config: IntersectionConfig, kind: DetectorKind, permissive: float, together: Callable[[list[float]], float]) -> Values:
    tables = config.tables

    def weigh(stage: int, detector: Detector) -> float:
        if detector.kind is not kind or not detector.phases:
            return 0.0
        groups = [tables.index[phase] for phase in detector.phases]
        return together(
            [1.0 if tables.protected[stage] >> at & 1 else permissive if tables.permissive[stage] >> at & 1 else 0.0 for at in groups]
        )

    weights = [[weigh(stage, detector) for detector in config.detectors] for stage in range(len(tables.stages))]
    return np.array(weights, np.float32).reshape(len(tables.stages), len(config.detectors))


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


class Starving:
    """Finds who has waited too long, by lanes and by pedestrian calls.

    A lane has waited since the last of its phases' calls was placed: only a protected green of one of them ends that, or a discharge from
    a phase that never is protected, for a permissive green behind a saturated stream serves nobody. A lane's phases are not looked at
    one by one, since nothing tells which of them its vehicles want.
    """

    def __init__(self, config: IntersectionConfig, bound: Tenths) -> None:
        """Watch a signal.

        Args:
            config: its configuration.
            bound: the longest wait that is let pass, in tenths of a second.
        """
        self.tables = tables = config.tables
        self.bound = bound
        masks = {tables.mask(frozenset(detector.phases)) for detector in config.detectors if detector.kind in CALLING and detector.phases}
        self.lanes = tuple((tuple(bits(mask)), self._serving(mask)) for mask in sorted(masks))
        self.walks = tuple((group, self._serving(1 << tables.size + group)) for group in bits(tables.pedestrians))

    def _serving(self, calls: int) -> tuple[int, ...]:
        return tuple(stage for stage, served in enumerate(self.tables.serves) if served & calls)

    def stages(self, state: IntersectionState) -> tuple[int, ...]:
        """List the stages that serve who has waited longest, if that is at least the bound."""
        now = state.now
        if now - state.oldest < self.bound:
            return ()
        found: tuple[int, ...] = ()
        latest = now - self.bound + 1
        yielding = self.tables.green[state.stage] & ~state.clearing & self.tables.only_permissive
        for groups, serving in self.lanes:
            since = NEVER
            for group in groups:
                called = state.called[group]
                if called == NEVER or yielding >> group & 1:
                    break
                if self.tables.only_permissive >> group & 1:
                    called = max(called, state.ended[group])
                since = max(since, called)
            else:
                if since < latest and serving:
                    found, latest = serving, since
        if state.ped_calls:
            for group, serving in self.walks:
                if NEVER != state.ped_called[group] < latest:
                    found, latest = serving, state.ped_called[group]
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
            stay: by what share of its worth the running stage must be outdone.
        """
        self.tables = config.tables
        self.score = score
        self.min_green, self.stay = min_green, stay
        self.starving = Starving(config, max_wait)

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
        urgent = self.starving.stages(state)
        if urgent:
            return Proposal(stage=max(urgent, key=scores.__getitem__))
        best = int(scores.argmax())
        here = float(scores[running])
        return Proposal(stage=best if scores[best] > here + self.stay * abs(here) else running)

    def _pedestrians(self, state: IntersectionState) -> Values:
        """Count each pedestrian call as one standing vehicle."""
        wanted = state.ped_calls << self.tables.size
        return np.array([RECALL * (served & wanted).bit_count() for served in self.tables.serves], np.float32)
