"""What every policy module promises; `test_policies.py` runs it over all of them."""

import itertools
from types import ModuleType

import numpy as np
import pytest

from intersection import plugins
from intersection.config import IntersectionConfig
from intersection.detection import Channel, Readings, empty_readings
from intersection.errors import ConfigError, UnknownNameError
from intersection.machine import advance, place_calls, start
from intersection.observation import Observation
from intersection.policy import Policy
from intersection.shield import Granted, Proposal, Refused, review
from intersection.state import NEVER, Display, IntersectionState
from tests.models.crossing import crossing

DURATION = 6000
"""Ten minutes, in tenths of a second."""


class PolicyContract:
    """Inherit it and give `name`, the policy's module in `models/`."""

    name: str

    @property
    def module(self) -> ModuleType:
        """The policy's module."""
        return plugins.load("models", self.name, "policy")

    @property
    def config(self) -> IntersectionConfig:
        """A crossing with just the detectors that the policy reads."""
        return crossing(*self.module.SENSORS)

    def make(self, config: IntersectionConfig, **parameters: float) -> Policy:
        """Make the policy."""
        policy: Policy = self.module.make(config, **parameters)
        return policy

    def run(self, config: IntersectionConfig, *, seed: int = 1, failed: bool = False) -> list[tuple[IntersectionState, Proposal]]:
        """Let the policy run the machine through chance readings; give each state at which it was asked, and its answer.

        Failed detectors call, as whoever reads them lets them.
        """
        rng, tables, policy = np.random.default_rng(seed), config.tables, self.make(config)
        state, asked = start(tables, 0, 0), []
        while state.now < DURATION:
            seen = dark(config) if failed else crowd(config, rng)
            calls = tables.vehicles if failed else sum(1 << at for at in range(tables.size) if rng.random() < 0.9)
            state = place_calls(state, tables, calls, calls & tables.pedestrians)
            proposal = policy.propose(Observation(state, seen))
            asked.append((state, proposal))
            verdict = review(proposal, state, tables)
            command = None if isinstance(verdict, Refused) else verdict.command
            state = advance(state, command, state.now + policy.period, tables)
        return asked

    def test_it_wants_to_be_asked_at_whole_seconds(self) -> None:
        """Its period is one second or some."""
        period = self.make(self.config).period

        assert 0 < period
        assert period % 10 == 0

    def test_it_proposes_what_the_signal_has(self) -> None:
        """The gate never has to refuse a proposal in normal operation, whatever the detectors say."""
        config = self.config

        refused = [p for state, p in self.run(config) if isinstance(review(p, state, config.tables), Refused)]

        assert [] == refused

    def test_it_is_repeatable(self) -> None:
        """The same readings bring the same proposals."""
        assert self.run(self.config) == self.run(self.config)

    def test_it_survives_the_loss_of_all_detectors(self) -> None:
        """With nothing valid to read it still goes on, and no stage stands for ever."""
        config = self.config

        stages = {state.stage for state, _ in self.run(config, failed=True)}

        assert {0, 1, 2} == stages

    def test_it_leaves_a_running_change_alone(self) -> None:
        """In a transition it proposes its target, or nothing."""
        config = self.config
        tables = config.tables
        state = start(tables, 0, 0)
        verdict = review(Proposal(stage=2), state._replace(now=300), tables)
        command = verdict.command if isinstance(verdict, Granted) else None
        state = advance(state._replace(now=300), command, 310, tables)

        proposal = self.make(config).propose(Observation(state, empty_readings(config.detectors)))

        assert proposal.stage in {2, None}

    @pytest.mark.parametrize("display", [Display.FLASH, Display.DARK])
    def test_it_keeps_still_while_the_signal_is_out(self, display: Display) -> None:
        """A flashing or dark signal is met without an error."""
        config = self.config
        state = start(config.tables, 0, 0)._replace(now=900, display=display)

        proposal = self.make(config).propose(Observation(state, empty_readings(config.detectors)))

        assert isinstance(proposal, Proposal)

    def test_it_accepts_any_stage_and_any_past(self) -> None:
        """It can begin in every stage, at any instant, with calls of any age."""
        config = self.config
        tables = config.tables
        policy = self.make(config)
        seen = empty_readings(config.detectors)
        for stage, now, mask in itertools.product(range(len(config.stages)), (0, 7, 100_000), range(1 << tables.size)):
            state = start(tables, stage, 0)._replace(now=now)
            state = place_calls(state, tables, mask, mask & tables.pedestrians)
            state = state._replace(ended=tuple(NEVER if now == 7 else now for _ in state.ended))
            proposal = policy.propose(Observation(state, seen))

            assert proposal.stage is None or 0 <= proposal.stage < len(config.stages)

    def test_it_can_be_tuned(self) -> None:
        """The grid names known parameters and at most 32 combinations, and each of them makes a policy."""
        grid = self.module.GRID
        combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]

        for parameters in combinations:
            self.make(self.config, **parameters)

        assert set(grid) <= set(self.module.DEFAULTS)
        assert len(combinations) <= 32

    def test_it_refuses_a_parameter_that_it_does_not_have(self) -> None:
        """A misspelt parameter is not passed over."""
        with pytest.raises(UnknownNameError, match="min_gren"):
            self.make(self.config, min_gren=1.0)

    def test_it_refuses_a_value_that_cannot_be(self) -> None:
        """A parameter below zero or without a value is an error that names it."""
        for key, value in itertools.product(self.module.DEFAULTS, (-1.0, float("nan"), float("inf"))):
            with pytest.raises(ConfigError, match=key):
                self.make(self.config, **{key: value})


def crowd(config: IntersectionConfig, rng: np.random.Generator) -> Readings:
    """Make readings by chance, some of them invalid."""
    seen = empty_readings(config.detectors)
    size = len(config.detectors)
    values = seen.values.copy()
    values[Channel.COUNT] = rng.integers(0, 12, size)
    values[Channel.QUEUE] = rng.integers(0, 8, size)
    values[Channel.SPEED] = rng.random(size) * 14
    values[Channel.OCCUPANCY] = rng.random(size)
    values[Channel.SINCE] = rng.random(size) * 20
    valid = rng.random(size) > 0.1
    values[:, ~valid] = 0.0
    return Readings(values, valid)


def dark(config: IntersectionConfig) -> Readings:
    """Make the readings of detectors that all failed."""
    seen = empty_readings(config.detectors)
    return Readings(np.zeros_like(seen.values), np.zeros_like(seen.valid))
