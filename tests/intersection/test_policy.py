import pytest

from intersection.config import parse
from intersection.detection import empty_readings
from intersection.errors import ConfigError
from intersection.machine import advance, start
from intersection.observation import Observation
from intersection.policy import FixedTime, Hold
from intersection.shield import Proposal, Refused, review
from intersection.state import NO_STAGE
from tests.intersection.documents import GOOD, RINGS

CONFIG = parse(GOOD.replace('prohibited_moves = [["A", "B"]]', ""))
TABLES = CONFIG.tables


def test_hold_proposes_one_stage_for_ever() -> None:
    """The twin proposes what it was made with, whatever it sees."""
    observation = Observation(start(TABLES, 0, 0), empty_readings(CONFIG.detectors))

    assert (Proposal(stage=2), 50) == (Hold(2).propose(observation), Hold(2).period)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_plan_falls_into_step_from_any_stage(first: int) -> None:
    """From whatever stage is running, after one cycle each green ends where its split ends, less the change interval."""
    policy = FixedTime(CONFIG)
    state = start(TABLES, first, 0)
    left: dict[int, set[int]] = {}
    for now in range(0, 3600, policy.period):
        verdict = review(policy.propose(Observation(state, empty_readings(CONFIG.detectors))), state, TABLES)
        assert not isinstance(verdict, Refused)
        after = advance(state, verdict.command, now + policy.period, TABLES)
        if after.target != NO_STAGE and state.target == NO_STAGE and now >= 1800:
            left.setdefault(state.stage, set()).add(policy.pattern.position(now))
        state = after

    ends = {0: 300, 2: 600, 1: 900}
    following = {0: 2, 2: 1, 1: 0}
    assert {stage: {-(-(end - TABLES.move(stage, following[stage]).duration) // 10) * 10} for stage, end in ends.items()} == left


def test_a_plan_must_exist() -> None:
    """A configuration without the pattern is refused, with those that it has."""
    with pytest.raises(ConfigError, match="allowed: 1"):
        FixedTime(CONFIG, 7)
    with pytest.raises(ConfigError, match="a configuration with a pattern"):
        FixedTime(parse(RINGS))
