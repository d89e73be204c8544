"""Puts right, in the state of a signal, what only a cabinet knows: whose calls stand, time that does not count, and how it starts up."""

from typing import NamedTuple

from intersection.phase import Tenths
from intersection.state import FOREVER, NEVER, IntersectionState, Interval, PedInterval, PhaseState
from intersection.tables import Tables

FLASHING: Tenths = 20
"""How long a cabinet flashes that has power again, in tenths of a second."""

ALL_RED: Tenths = 60
"""How long it is red on all sides before its first green, also after a flash, in tenths of a second."""


class StartUp(NamedTuple):
    """A start-up: from when on all sides are red, and when the first green begins. It counts as flash until then."""

    red: Tenths
    ends: Tenths


def after_flash(now: Tenths) -> StartUp:
    """Leave flash or darkness: red on all sides from now on."""
    return StartUp(now, now + ALL_RED)


def after_power(now: Tenths) -> StartUp:
    """Start anew: flash, then red on all sides."""
    return StartUp(now + FLASHING, now + FLASHING + ALL_RED)


def all_red(tables: Tables) -> dict[int, PhaseState]:
    """Show red everywhere, by the groups' numbers."""
    red = PhaseState(
        interval=Interval.RED, protected=False, since=NEVER, pedestrian=PedInterval.DONT_WALK, call_since=NEVER, ped_call_since=NEVER
    )
    return {group.number: red for group in tables.groups}


def with_waiting(state: IntersectionState, called: tuple[Tenths, ...], ped_called: tuple[Tenths, ...]) -> IntersectionState:
    """Let exactly these vehicle and pedestrian calls stand, each since its instant."""
    waiting = [since for since in (*called, *ped_called) if since != NEVER]
    return state._replace(
        called=called,
        ped_called=ped_called,
        calls=sum(1 << group for group, since in enumerate(called) if since != NEVER),
        ped_calls=sum(1 << group for group, since in enumerate(ped_called) if since != NEVER),
        oldest=min(waiting, default=FOREVER),
    )


def later(state: IntersectionState, by: Tenths) -> IntersectionState:
    """Let time pass that does not count: every instant moves along with it."""

    def moved(instant: Tenths) -> Tenths:
        return instant if instant in (NEVER, FOREVER) else instant + by

    def all_moved(instants: tuple[Tenths, ...]) -> tuple[Tenths, ...]:
        return tuple(map(moved, instants))

    return state._replace(
        now=state.now + by,
        arrived=moved(state.arrived),
        left=moved(state.left),
        arrives=moved(state.arrives),
        began=all_moved(state.began),
        ended=all_moved(state.ended),
        called=all_moved(state.called),
        ped_called=all_moved(state.ped_called),
        walked=all_moved(state.walked),
        oldest=moved(state.oldest),
    )
