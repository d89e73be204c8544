from dataclasses import replace

import pytest

from envs.actions import extend, splits, stage
from envs.actions._base import ActionKind
from intersection.machine import start
from intersection.plan import Pattern
from intersection.state import NO_STAGE, IntersectionState
from intersection.tables import Tables
from tests.models.crossing import LEFT, SIDE, THROUGH, crossing

PERIOD = 50


def tables_of(*sequence: str) -> Tables:
    """Compile the crossing, whose plan runs through its stages in some order; without an order it has no plan."""
    config = crossing()
    splits_of = tuple(600 // len(sequence) for _ in sequence)
    plan = Pattern(number=1, name="plan", cycle=sum(splits_of), sequence=sequence, splits=splits_of) if sequence else None
    return replace(config, patterns=(plan,) if plan else ()).tables


PLAN = tables_of("through", "left", "side")


def running(at: int, *, green_for: int = 100, target: int = NO_STAGE) -> IntersectionState:
    """Give the crossing's state in a stage that has been green for some tenths of a second."""
    return start(PLAN, at, 0)._replace(now=green_for, target=target)


def proposed(kind: ActionKind, answer: object, state: IntersectionState, tables: Tables = PLAN) -> list[int | None]:
    """List the stages that an answer proposes, in order."""
    return [proposal.stage for _, proposal in kind.script(answer, state, tables, PERIOD)]


def test_a_stage_is_chosen_by_its_index() -> None:
    """The answer is the stage, for the whole decision; there is one for each stage."""
    kind = stage.Kind()

    assert [SIDE] == proposed(kind, SIDE, running(THROUGH))
    assert (3, PERIOD) == (kind.size(PLAN), kind.duration(PERIOD))


def test_stages_are_open_when_minimum_green_is_served() -> None:
    """Before the minimum green only the running stage is open, after it all are, and in a transition only its target is."""
    kind = stage.Kind()

    assert [False, True, False] == kind.mask(running(LEFT, green_for=49), PLAN)
    assert [True, True, True] == kind.mask(running(LEFT, green_for=50), PLAN)
    assert [False, False, True] == kind.mask(running(LEFT, target=SIDE), PLAN)


def test_extend_keeps_or_goes_on() -> None:
    """0 proposes the running stage and 1 the next of the plan, after the last the first again."""
    kind = extend.Kind()

    assert [LEFT] == proposed(kind, 0, running(LEFT))
    assert [SIDE] == proposed(kind, 1, running(LEFT))
    assert [THROUGH] == proposed(kind, 1, running(SIDE))
    assert 2 == kind.size(PLAN)


def test_extend_in_a_transition_keeps_to_it() -> None:
    """While a change runs, its target is what is kept, and going on is closed."""
    kind = extend.Kind()
    moving = running(LEFT, target=SIDE)

    assert [SIDE] == proposed(kind, 0, moving)
    assert [True, False] == kind.mask(moving, PLAN)


def test_extend_opens_with_minimum_green() -> None:
    """Going on is open from the end of minimum green; keeping always is."""
    kind = extend.Kind()

    assert [True, False] == kind.mask(running(LEFT, green_for=49), PLAN)
    assert [True, True] == kind.mask(running(LEFT, green_for=50), PLAN)


@pytest.mark.parametrize(
    ("sequence", "visited"),
    [
        (("side", "through", "left"), [LEFT, SIDE, THROUGH]),
        (("through", "left", "through", "side"), [LEFT, SIDE, THROUGH]),
        ((), [LEFT, SIDE, THROUGH]),
    ],
)
def test_extend_comes_to_every_stage(sequence: tuple[str, ...], visited: list[int]) -> None:
    """Whatever the plan's order, and also where it comes to a stage twice or there is no plan, going on leads to each stage in turn."""
    tables, state, seen = tables_of(*sequence), running(THROUGH), []
    for _ in visited:
        seen.append(extend.following(state, tables))
        state = running(seen[-1])

    assert visited == seen


def test_extend_finds_back_into_the_plan() -> None:
    """From a stage that the plan does not have, the next is the plan's first."""
    assert SIDE == extend.following(running(LEFT), tables_of("side", "through"))


def test_splits_fill_the_cycle_in_order() -> None:
    """The cycle begins with the stage after the running one and ends in it; equal weights share evenly what is left beside the needs."""
    script = splits.Kind().script([0.0, 0.0, 0.0], running(THROUGH), PLAN, PERIOD)

    # Each stage needs 3 s of yellow and its 5 s, side 10 s of walk and clearance; the spare 61 s make 20.3 s for each.
    assert [(0, LEFT), (280, SIDE), (620, THROUGH)] == [(since, proposal.stage) for since, proposal in script]
    assert splits.CYCLE == splits.Kind().duration(PERIOD)


def test_splits_follow_the_weights() -> None:
    """The lowest weight gives a stage just what it needs, and all that is spare goes to the others."""
    script = splits.Kind().script([1.0, -1.0, -1.0], running(THROUGH), PLAN, PERIOD)

    assert [(0, LEFT), (80, SIDE), (210, THROUGH)] == [(since, proposal.stage) for since, proposal in script]


def test_splits_ignore_what_padding_adds() -> None:
    """A vector that is longer than the signal has stages means the same as its beginning; and all weights are open."""
    kind, state = splits.Kind(), running(THROUGH)

    assert kind.script([0.5, -0.5, 0.0], state, PLAN, PERIOD) == kind.script([0.5, -0.5, 0.0, 1.0, 1.0], state, PLAN, PERIOD)
    assert [True, True, True] == kind.mask(state, PLAN)
