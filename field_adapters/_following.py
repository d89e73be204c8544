"""A change of stage that was asked for is followed until the street shows it, or it is missed."""

from dataclasses import dataclass

from intersection.measured import Report
from intersection.phase import Tenths
from intersection.shield import Command
from intersection.state import NO_STAGE, IntersectionState
from intersection.tables import Tables
from intersection.transition import Seen, Step, Transition, ask, follow

SLACK: Tenths = 20
"""What polling and messages may cost a change of stage on top of its times, in tenths of a second."""


@dataclass(slots=True)
class Following:
    """What was asked for last, as far as it has not come about."""

    tables: Tables
    transition: Transition | None = None

    def step(self, command: Command, state: IntersectionState, report: Report) -> Step:
        """Say how far a change of stage has come, of which `report` is the newest that was seen; MISSED is told once."""
        if self.transition is None or self.transition.target != command.stage:
            if state.stage == command.stage and state.target in (NO_STAGE, command.stage):
                self.transition = None
                return Step.ARRIVED
            self.transition = ask(state, command.stage, command.clear, self.tables, SLACK)
        self.transition = follow(self.transition, Seen(report.now, report.greens, report.yellows))
        step = self.transition.step
        if step in (Step.ARRIVED, Step.MISSED):
            self.transition = None
        return step

    def forget(self) -> None:
        """Follow nothing: all was let go."""
        self.transition = None
