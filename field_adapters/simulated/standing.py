"""Puts right, in the state of a signal, what only a cabinet knows: whose calls stand, and time that does not count."""

from intersection.phase import Tenths
from intersection.state import FOREVER, NEVER, IntersectionState


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
