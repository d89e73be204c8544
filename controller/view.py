"""What is known of a street between two polls: the signal's state as measured, who waits, and which detectors are believed.

Pure: a view and a poll give the next view. The simulator's state and this one are the same thing, made by the same core.
"""

from dataclasses import dataclass, field, replace
from typing import TypeAlias

from controller.detectors import FieldFault, Judgement, Watch
from controller.detectors import State as Watched
from field_adapters._base import Poll
from intersection.config import IntersectionConfig
from intersection.detection import Readings
from intersection.machine import take_calls
from intersection.measured import Strange, measure
from intersection.phase import Tenths
from intersection.state import NO_STAGE, Display, IntersectionState
from intersection.tables import Tables

GAP: Tenths = 10
"""After a longer time without a poll a signal could have changed unseen, in tenths of a second; no yellow is as short."""


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What is known. Nothing at first."""

    state: IntersectionState | None = None
    """The signal, as measured; None where it has not been seen for long."""

    judgement: Judgement | None = None
    """The last readings, and what may be believed of them."""

    watched: Watched | None = None
    strange: Strange | None = None
    """What the last poll showed, where the configuration never shows it."""

    detectors: tuple[Readings, Readings] | None = field(default=None, repr=False)
    """The last two readings, unmasked."""

    @property
    def readings(self) -> Readings | None:
        """The last readings, with failed detectors masked."""
        return None if self.judgement is None else self.judgement.readings


@dataclass(frozen=True)
class Observer:
    """Looks at one signal."""

    config: IntersectionConfig
    watch: Watch

    @property
    def tables(self) -> Tables:
        """The compiled configuration."""
        return self.config.tables

    def look(self, view: View, poll: Poll, asked: int) -> View:
        """Take in a poll.

        Args:
            view: what was known.
            poll: what the cabinet said.
            asked: the index of the stage that it was last asked to go to, or NO_STAGE.
        """
        report = poll.report
        before = view.state if view.state is not None and report.now - view.state.now <= GAP else None
        waiting = recalled = 0
        if before is not None and before.display is Display.NORMAL:
            waiting, recalled = before.calls, before.ped_calls & (self._ped_recalls(view.judgement) | self.tables.ped_recall)
        state = measure(before, report._replace(calls=waiting, ped_calls=report.ped_calls | recalled), asked, self.tables)
        if isinstance(state, Strange):
            return replace(view, state=None, strange=state)
        return replace(view, state=state, strange=None)

    def sense(self, view: View, poll: Poll) -> View:
        """Take in what the detectors said at a poll that was looked at, as far as it may be believed."""
        state, readings = view.state, poll.readings
        if state is None or readings is None:
            return view
        watched = view.watched if view.watched is not None else self.watch.start(state.now)
        reported = {detector: FieldFault[trouble.name] for detector, trouble in poll.reported.items()}
        watched = self.watch.follow(watched, readings, state.now, reported)
        judgement = self.watch.judge(watched, readings)
        believed = judgement.readings
        if state.display is Display.NORMAL and state.stage != NO_STAGE:
            state = take_calls(state, self.tables, believed.vehicles, self._ped_recalls(judgement), believed.discharged)
        return replace(
            view,
            state=state,
            judgement=judgement,
            watched=watched,
            detectors=(view.detectors[1] if view.detectors else readings, readings),
        )

    def _ped_recalls(self, judgement: Judgement | None) -> int:
        """The groups whose walk is recalled for a button that failed: the cabinet knows of no call there."""
        return 0 if judgement is None else self.tables.mask(judgement.recalls.pedestrians)


Known: TypeAlias = tuple[IntersectionState, Readings]


def known(view: View) -> Known | None:
    """Give state and readings where both are known."""
    readings = view.readings
    return None if view.state is None or readings is None else (view.state, readings)
