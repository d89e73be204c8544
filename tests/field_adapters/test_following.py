"""A change of stage is followed until it is seen, and anew where the cabinet has gone elsewhere."""

from field_adapters._following import SLACK, Following
from intersection import machine
from intersection.measured import reported
from intersection.phase import Tenths
from intersection.shield import Proposal, Refused, review
from intersection.state import IntersectionState
from intersection.transition import Step
from tests.field_adapters.adapter_contract import CONFIG, MAIN, SIDE

TABLES = CONFIG.tables


def follow(following: Following, state: IntersectionState, stage: int, *, now: Tenths | None = None) -> Step:
    """Ask for a stage, and say how far it has come."""
    verdict = review(Proposal(stage=stage), state, TABLES)
    assert not isinstance(verdict, Refused)
    report = reported(state, TABLES)
    return following.step(verdict.command, state, report if now is None else report._replace(now=now))


def moved(state: IntersectionState, stage: int, until: Tenths) -> IntersectionState:
    """Let a signal go to a stage."""
    verdict = review(Proposal(stage=stage), state, TABLES)
    assert not isinstance(verdict, Refused)
    return machine.advance(state, verdict.command, until, TABLES)


def test_an_arrival_is_seen_once_and_a_departure_is_asked_for_anew() -> None:
    """A stage that was reached and left again is not taken to be there still."""
    following = Following(TABLES)
    main = machine.advance(machine.start(TABLES, MAIN, 0), None, 60, TABLES)
    steps = [follow(following, main, SIDE)]
    side = moved(main, SIDE, 100)
    steps += [follow(following, side, SIDE), follow(following, side, SIDE)]
    back = moved(machine.advance(side, None, 200, TABLES), MAIN, 300)
    steps.append(follow(following, back, SIDE))

    assert [Step.ACCEPTED, Step.ARRIVED, Step.ARRIVED, Step.ACCEPTED] == steps


def test_a_change_that_does_not_come_is_missed_once() -> None:
    """At its deadline: the times of the move, and what polling may cost; then it is asked for anew."""
    following = Following(TABLES)
    main = machine.advance(machine.start(TABLES, MAIN, 0), None, 60, TABLES)
    late = 60 + 40 + SLACK
    steps = [follow(following, main, SIDE)]
    steps += [follow(following, main, SIDE, now=now) for now in (late, late + 1)]
    steps.append(follow(following, machine.advance(main, None, late + 2, TABLES), SIDE))

    assert [Step.ACCEPTED, Step.ACCEPTED, Step.MISSED, Step.ACCEPTED] == steps


def test_what_was_let_go_is_followed_no_more() -> None:
    """The next request begins anew."""
    following = Following(TABLES)
    main = machine.advance(machine.start(TABLES, MAIN, 0), None, 60, TABLES)
    follow(following, main, SIDE)
    following.forget()

    assert (Step.ARRIVED, None) == (follow(following, main, MAIN), following.transition)
