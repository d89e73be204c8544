from dataclasses import replace

from intersection.config import parse
from intersection.machine import advance, start
from intersection.shield import Command, Proposal, Refused, review
from intersection.transition import Seen, Step, ask, follow, seen
from tests.intersection.documents import GOOD

TABLES = parse(GOOD).tables


def _command(stage: int) -> tuple[Command, int]:
    state = advance(start(TABLES, 1, 0), None, 100, TABLES)
    verdict = review(Proposal(stage=stage), state, TABLES)
    assert not isinstance(verdict, Refused)
    return verdict.command, state.now


def test_the_machine_passes_every_step() -> None:
    """B to A: accepted, terminating and committed with the one yellow, cleared when it is over, arrived with the greens of A."""
    command, now = _command(0)
    state = advance(start(TABLES, 1, 0), None, now, TABLES)
    transition = ask(state, 0, command.clear, TABLES, slack=2)
    steps = [follow(transition, seen(state, TABLES)).step]
    state = advance(state, command, now, TABLES)
    for later in (now, now + 39, now + 40, now + 42):
        state = advance(state, None, later, TABLES)
        transition = follow(transition, seen(state, TABLES))
        steps.append(transition.step)

    assert [Step.ACCEPTED, Step.COMMITTED, Step.COMMITTED, Step.ARRIVED, Step.ARRIVED] == steps


def test_greens_that_end_one_after_the_other_are_terminating() -> None:
    """With one of two greens gone it terminates; with both gone and no yellow left it is cleared."""
    transition = replace(ask(start(TABLES, 0, 0), 1, 0, TABLES, slack=0), target=1)

    assert Step.TERMINATING is follow(transition, Seen(10, greens=0b001, yellows=0b100)).step
    assert Step.CLEARED is follow(transition, Seen(10, greens=0, yellows=0)).step


def test_a_deadline_that_passes_is_missed_for_good() -> None:
    """After the deadline without an arrival it is missed, and stays so; the deadline holds minimum green, clearance and slack."""
    transition = ask(start(TABLES, 1, 0), 0, 0, TABLES, slack=2)

    late = follow(transition, Seen(103, greens=0b010, yellows=0))
    assert 60 + 40 + 2 == transition.deadline
    assert Step.ACCEPTED is follow(transition, Seen(102, greens=0b010, yellows=0)).step
    assert (Step.MISSED, Step.MISSED) == (late.step, follow(late, Seen(104, greens=TABLES.green[0], yellows=0)).step)


def test_a_running_transition_can_be_followed_from_the_middle() -> None:
    """Asked while the machine already moves, the deadline is its own arrival and the slack."""
    command, now = _command(0)
    state = advance(advance(start(TABLES, 1, 0), None, now, TABLES), command, now + 10, TABLES)

    assert now + 40 + 5 == ask(state, 0, 0, TABLES, slack=5).deadline
