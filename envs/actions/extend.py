"""Keep the running stage, or go on to the next of a fixed order."""

from typing import SupportsIndex, SupportsInt

from envs.actions._base import Script, last_of, order_of
from intersection.observation import stage_mask
from intersection.phase import Tenths
from intersection.shield import Proposal
from intersection.state import NO_STAGE, IntersectionState
from intersection.tables import Tables


def following(state: IntersectionState, tables: Tables) -> int:
    """Find the stage after the running one; the first of the order where the running one is not in it."""
    order, running = order_of(tables), last_of(state)
    return order[(order.index(running) + 1) % len(order)] if running in order else order[0]


class Kind:
    """An answer is 0 to keep the running stage, 1 to go on. The order is that in which the first pattern comes to its stages."""

    discrete = True
    insists = False

    def size(self, tables: Tables) -> int:
        """Give two: keep and next."""
        return 2

    def duration(self, period: Tenths) -> Tenths:
        """Give the decision period itself."""
        return period

    def script(self, answer: SupportsInt | SupportsIndex, state: IntersectionState, tables: Tables, period: Tenths) -> Script:
        """Propose the running stage or the next."""
        return [(0, Proposal(stage=following(state, tables) if int(answer) else last_of(state)))]

    def mask(self, state: IntersectionState, tables: Tables) -> list[bool]:
        """Tell whether keeping and going on are open. In a transition only keeping to it is."""
        return [True, state.target == NO_STAGE and stage_mask(state, tables)[following(state, tables)]]
