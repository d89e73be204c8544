"""Every promise of the gate, judged from the street, whatever a policy proposes and whatever detectors say."""

import os
import sys
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intersection.config import IntersectionConfig
from intersection.machine import advance, next_change, phase_states, place_calls, show, start
from intersection.phase import Tenths
from intersection.shield import Amended, Command, Granted, Reason, Refused, due, review
from intersection.state import FOREVER, NO_STAGE, Display, Interval, PedInterval
from tests.intersection.judge import Judge
from tests.intersection.strategies import Turn, configurations, make_config, turns

LONG_SECONDS = int(os.environ.get("PHASEWISE_LONG_SECONDS", "1000000"))
"""How many simulated seconds the long run takes."""


class Street:
    """One signal, its judge, and a count of what the gate answered."""

    def __init__(self, config: IntersectionConfig, random: Random, counts: Counter[Reason]) -> None:
        self.config, self.random, self.counts = config, random, counts
        self.tables = config.tables
        self.judge = Judge(config)
        self.begin(0)

    def begin(self, now: Tenths) -> None:
        """Start the signal and its judge in a stage drawn by chance."""
        self.state = start(self.tables, self.random.randrange(len(self.config.stages)), now)
        self.judge.begin(now, phase_states(self.state, self.tables), self.state.stage)

    def play(self, turn: Turn, *, dense: bool) -> None:
        """Let one turn happen: detectors speak, the policy proposes, time passes."""
        if turn.placed is not None:
            vehicles, pedestrians, discharged = turn.placed
            self.state = place_calls(self.state, self.tables, vehicles, pedestrians, discharged)
            self.judge.place(vehicles, pedestrians, discharged)
            self._look()
        command = self._review(turn)
        end = self.state.now + turn.lasts if turn.lasts is not None else self._brink(command)
        in_one = advance(self.state, command, end, self.tables)
        self.state = advance(self.state, command, self.state.now, self.tables)
        self._look()
        while self.state.now < end:
            nearest = end
            if dense:
                nearest = self.state.now + 1
            else:
                nearest = min(end, next_change(self.state, self.tables), due(self.state, self.tables))
                if self.random.random() < 0.1:
                    nearest = self.random.randint(self.state.now + 1, nearest)
            self.state = advance(self.state, None, nearest, self.tables)
            self._look()

        assert in_one == self.state

    def flash(self) -> None:
        """Flash or go dark for a while, refuse all that, and start again."""
        display = self.random.choice((Display.FLASH, Display.DARK))
        self.state = show(self.state, display)
        for turn, _ in zip(turns(self.random, self.config), range(self.random.randint(1, 5)), strict=False):
            if turn.placed is not None:
                self.state = place_calls(self.state, self.tables, *turn.placed)
            if turn.proposal is not None:
                verdict = review(turn.proposal, self.state, self.tables)
                self.counts[Reason.FLASH] += 1

                assert Refused(Reason.FLASH) == verdict
            self.state = advance(self.state, None, self.state.now + (turn.lasts or 1), self.tables)
            lamps = phase_states(self.state, self.tables)

            assert {Interval(display.value)} == {lamp.interval for lamp in lamps}
            assert {PedInterval(display.value)} == {lamp.pedestrian for lamp in lamps}
        self.begin(self.state.now)

    def _brink(self, command: Command | None) -> Tenths:
        """Find the last tenth before the running transition arrives or the gate acts by itself."""
        state = advance(self.state, command, self.state.now, self.tables)
        acts = state.arrives if state.target != NO_STAGE else due(state, self.tables)
        return max(state.now, acts - 1) if acts != FOREVER else state.now + 100

    def _look(self) -> None:
        state = self.state
        lamps = phase_states(state, self.tables)
        self.judge.see(state.now, lamps, state.stage, moving=state.target != NO_STAGE, pattern=state.pattern)
        self.judge.check_calls()

    def _review(self, turn: Turn) -> Command | None:
        proposal = turn.proposal
        if proposal is None:
            return None
        verdict = review(proposal, self.state, self.tables)
        match verdict:
            case Granted(command=command):
                if proposal.stage is not None:
                    assert proposal.stage == command.stage
                if proposal.phases is not None and proposal.stage is None:
                    assert proposal.phases == self.config.stages[command.stage].phases
                return command
            case Amended(command=command, reason=reason):
                self.counts[reason] += 1
                return command
            case Refused(reason=reason):
                self.counts[reason] += 1
                return None


def run(config: IntersectionConfig, seed: int, length: Tenths, counts: Counter[Reason], *, dense: bool = False) -> Tenths:
    """Play one signal for a while and give the tenths of a second that passed."""
    random = Random(seed)
    street = Street(config, random, counts)
    for turn in turns(random, config):
        street.play(turn, dense=dense)
        if random.random() < 0.002:
            street.flash()
        if street.state.now >= length:
            break
    return street.state.now


@given(config=configurations(), seed=st.integers(0, 2**32 - 1), length=st.sampled_from([600, 6_000, 12_000]))
def test_no_promise_is_ever_broken(config: IntersectionConfig, seed: int, length: Tenths) -> None:
    """Whatever a policy proposes and detectors say, a separate judge sees no promise broken, and slicing time changes nothing."""
    run(config, seed, length, Counter())


@settings(max_examples=min(500, settings().max_examples))
@given(config=configurations(), seed=st.integers(0, 2**32 - 1))
def test_no_promise_is_broken_between_the_instants_at_which_lamps_change(config: IntersectionConfig, seed: int) -> None:
    """Looked at in every tenth of a second, a signal changes only at the instants that it announces."""
    run(config, seed, 900, Counter(), dense=True)


@pytest.mark.long
def test_a_long_run_breaks_no_promise_and_gives_every_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """Over a million simulated seconds of hostile proposals no promise is broken, and every verdict's reason has come up often."""
    counts: Counter[Reason] = Counter()
    passed, seed = 0, 0
    while passed < LONG_SECONDS * 10:
        random = Random(seed)
        config = make_config(random, phases=random.randint(2, 16), rich=random.random() < 0.75, tight=random.random() < 0.5)
        try:
            passed += run(config, seed, 12_000, counts, dense=seed % 50 == 0)
        except AssertionError as broken:
            broken.add_note(f"in the run of seed {seed}")
            raise
        seed += 1
    words = "".join(f"{counts[reason]:>10,}  {reason.value}\n" for reason in Reason)
    rare = [reason for reason in Reason if counts[reason] < 100]
    with capsys.disabled():
        sys.stdout.write(f"\n{passed // 10:,} simulated seconds, {seed} signals\n{words}")

    assert [] == rare
