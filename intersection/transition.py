"""How a running stage becomes another, seen from outside: what was asked is followed until the street shows it.

    ACCEPTED -> TERMINATING -> COMMITTED -> CLEARED -> ARRIVED
        |            |             |           |
        +------------+-------------+-----------+-----> MISSED (deadline passed)

The machine that times our own intervals and a cabinet that times its own are followed by the same steps; a cabinet reports less often, so
steps may be passed over, never gone back.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from intersection.machine import lamps
from intersection.phase import Tenths
from intersection.shield import ready
from intersection.state import NO_STAGE, IntersectionState
from intersection.tables import Tables


class Step(IntEnum):
    """How far a transition has come."""

    ACCEPTED = 0
    """The request stands: what was asked has been read back."""

    TERMINATING = 1
    """A green that must end has ended: its yellow runs."""

    COMMITTED = 2
    """Every green that must end has ended: what comes next can no longer change."""

    CLEARED = 3
    """Every yellow is over."""

    ARRIVED = 4
    """The greens are those of the target."""

    MISSED = 5
    """The deadline passed before the arrival."""


class Seen(NamedTuple):
    """The indications that a signal shows, as masks of groups."""

    now: Tenths
    greens: int
    yellows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """A change of stage that was asked for."""

    target: int
    """The index of the stage to be reached."""

    ending: int
    """The groups whose green must end, as a mask."""

    greens: int
    """The groups that are green when the target is reached, as a mask."""

    asked: Tenths
    deadline: Tenths
    """When it must have arrived at the latest."""

    step: Step = Step.ACCEPTED


def ask(state: IntersectionState, target: int, clear: int, tables: Tables, slack: Tenths) -> Transition:
    """Begin to follow a change of stage.

    Args:
        state: the signal when it was asked.
        target: the index of the stage.
        clear: groups that end although the target holds them, as a mask.
        tables: the compiled configuration.
        slack: what polling and latency may cost on top of the times of the move, in tenths of a second.
    """
    if state.target != NO_STAGE:
        ending, done = state.clearing, state.arrives
    else:
        move = tables.move(state.stage, target, clear)
        ending, done = move.ending, max(state.now, ready(state, tables, move.ending)) + move.duration
    return Transition(target=target, ending=ending, greens=tables.green[target], asked=state.now, deadline=done + slack)


def follow(transition: Transition, seen: Seen) -> Transition:
    """Say how far a transition has come, by what the signal shows. One that arrived or missed stays so."""
    if transition.step in (Step.ARRIVED, Step.MISSED):
        return transition
    step = _step(transition, seen)
    if step is not Step.ARRIVED and seen.now > transition.deadline:
        step = Step.MISSED
    return replace(transition, step=max(transition.step, step))


def _step(transition: Transition, seen: Seen) -> Step:
    ended = transition.ending & ~seen.greens
    begun = transition.step >= Step.TERMINATING or bool(ended) or not transition.ending
    if seen.greens == transition.greens and not seen.yellows and begun:
        return Step.ARRIVED
    if not ended:
        return Step.ACCEPTED
    if ended != transition.ending:
        return Step.TERMINATING
    return Step.COMMITTED if seen.yellows & transition.ending else Step.CLEARED


def seen(state: IntersectionState, tables: Tables) -> Seen:
    """Say what the machine shows, as a cabinet would report it."""
    shown = lamps(state, tables)
    return Seen(state.now, shown.greens, shown.yellows)
