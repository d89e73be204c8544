"""Choose a whole cycle's splits."""

from collections.abc import Sequence

from envs.actions._base import Script, last_of, order_of
from intersection.phase import Tenths
from intersection.shield import Proposal
from intersection.state import IntersectionState
from intersection.tables import Tables

CYCLE: Tenths = 900
"""The length of the cycle, in tenths of a second: 90 s, the most common of the benchmark's programs."""


class Kind:
    """An answer is one weight a stage, from -1 for as little as may be to 1.

    Each stage is given what it needs at least (the change interval that leads into it, its minimum green or walk); the rest of the cycle
    is shared by the weights. The stages follow in the order in which the first pattern comes to them, or by number; the cycle begins
    with the one after the stage that runs and ends in that, which so is green until the next cycle begins.
    """

    discrete = False
    insists = True

    def size(self, tables: Tables) -> int:
        """Give the number of stages of the order."""
        return len(order_of(tables))

    def duration(self, period: Tenths) -> Tenths:
        """Give the cycle, whatever the period."""
        return CYCLE

    def script(self, answer: Sequence[float], state: IntersectionState, tables: Tables, period: Tenths) -> Script:
        """Propose each stage for its split."""
        order = order_of(tables)
        running = last_of(state)
        least = [tables.move(order[at - 1], stage).duration + tables.service[stage] for at, stage in enumerate(order)]
        weights = [1e-6 + max(0.0, 1.0 + float(weight)) / 2.0 for weight in answer[: len(order)]]
        spare = max(0, CYCLE - sum(least))
        splits = [need + spare * weight / sum(weights) for need, weight in zip(least, weights, strict=True)]
        squeeze = CYCLE / sum(splits)
        first = order.index(running) + 1 if running in order else 0
        script, offset = [], 0.0
        for step in range(len(order)):
            at = (first + step) % len(order)
            script.append((round(offset / 10) * 10, Proposal(stage=order[at])))
            offset += splits[at] * squeeze
        return script

    def mask(self, state: IntersectionState, tables: Tables) -> list[bool]:
        """Tell that every weight is open."""
        return [True] * self.size(tables)
