"""Choose the next stage."""

from functools import lru_cache
from typing import SupportsIndex, SupportsInt

from envs.actions._base import Script
from intersection.observation import stage_mask
from intersection.phase import Tenths
from intersection.shield import Proposal
from intersection.state import IntersectionState
from intersection.tables import Tables


class Kind:
    """An answer is the index of a stage; the one that runs goes on, any other is gone to."""

    discrete = True
    insists = False

    def size(self, tables: Tables) -> int:
        """Give the number of stages."""
        return len(tables.stages)

    def duration(self, period: Tenths) -> Tenths:
        """Give the decision period itself."""
        return period

    def script(self, answer: SupportsInt | SupportsIndex, state: IntersectionState, tables: Tables, period: Tenths) -> Script:
        """Propose the stage."""
        return _script(int(answer))

    def mask(self, state: IntersectionState, tables: Tables) -> list[bool]:
        """Tell which stages may begin, or go on, now."""
        return stage_mask(state, tables)


@lru_cache(maxsize=256)
def _script(stage: int) -> Script:
    return ((0, Proposal(stage=stage)),)
