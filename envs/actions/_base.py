"""What an action kind is made of."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from intersection.phase import Tenths
from intersection.shield import Proposal
from intersection.state import NO_STAGE, IntersectionState
from intersection.tables import Tables

Answer: TypeAlias = Any
"""An index, or a vector of numbers: what an agent gives, of whatever type its library makes it."""

Script: TypeAlias = Sequence[tuple[Tenths, Proposal]]
"""Proposals of one decision: each holds from its offset (tenths of a second, the first is 0) until the next."""


class ActionKind(Protocol):
    """How an agent's answer becomes proposals."""

    discrete: bool
    """Whether an answer is an index; otherwise a vector in -1..1."""

    insists: bool
    """Whether a proposal that holds for longer is put to the gate anew each second, so that what was held back is only late."""

    def size(self, tables: Tables) -> int:
        """Give how many answers there are, or how long the vector of an answer is."""

    def duration(self, period: Tenths) -> Tenths:
        """Give how long one decision lasts where decisions are due each `period`."""

    def script(self, answer: Answer, state: IntersectionState, tables: Tables, period: Tenths) -> Script:
        """Turn an answer into proposals."""

    def mask(self, state: IntersectionState, tables: Tables) -> list[bool]:
        """Tell which answers the gate would carry out now. For vectors: all true."""


def order_of(tables: Tables) -> tuple[int, ...]:
    """Give the stages in the order in which the first pattern first comes to each, or by number where there is no pattern."""
    if not tables.patterns:
        return tuple(range(len(tables.stages)))
    by_name = {stage.name: at for at, stage in enumerate(tables.stages)}
    return tuple(dict.fromkeys(by_name[name] for name in tables.patterns[0].sequence))


def last_of(state: IntersectionState) -> int:
    """Give the stage that runs, or to which a transition leads."""
    return state.stage if state.target == NO_STAGE else state.target
