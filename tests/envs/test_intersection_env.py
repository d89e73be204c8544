from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as stable_baselines3_check

from envs.intersection_env import IntersectionEnv
from envs.registration import INTERSECTION, register
from intersection import plugins
from intersection.errors import UnknownNameError, UserError
from intersection.shield import Amended, Granted, Refused
from tests.envs.session_contract import fresh_process

OBSERVATIONS = plugins.names("intersection.observations")
ACTIONS = plugins.names("envs.actions")


@pytest.fixture
def env() -> Iterator[IntersectionEnv]:
    """Yield a short episode's environment."""
    made = IntersectionEnv(duration=100.0)
    yield made
    made.close()


def answers(env: IntersectionEnv, seed: int = 1) -> Iterator[int]:
    """Yield answers by chance, whether they are open or not."""
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.integers(4))


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_passes_both_checkers(observation: str, action: str) -> None:
    """Gymnasium's and stable-baselines3's checkers find nothing to fault or to warn of, drawing and closing included."""
    for check, options in ((gymnasium_check, {}), (stable_baselines3_check, {"skip_render_check": False})):
        made = gymnasium.make(INTERSECTION, observation=observation, action=action, render_mode="rgb_array")
        check(made.unwrapped, **options)
        made.close()


def test_importing_registers_once() -> None:
    """The id is known after the import, also when registered again, and in the form that imports by itself."""
    register()

    script = 'import gymnasium; print(gymnasium.make("envs:phasewise/Intersection-v0").unwrapped)'
    assert "<IntersectionEnv<phasewise/Intersection-v0>>" in fresh_process(script)


def test_the_package_is_imported_without_gymnasium() -> None:
    """Evaluation needs no Gymnasium: where it is missing, the package is imported all the same."""
    script = """
        import sys
        sys.modules["gymnasium"] = None
        import envs.evaluation
        print("imported")
    """

    assert "imported" == fresh_process(script)


def test_an_episode_is_truncated_at_its_time_limit(env: IntersectionEnv) -> None:
    """Twenty decisions of 5 s make 100 s; none of them terminates, and only the last truncates."""
    env.reset(seed=1)
    ends = [env.step(0)[2:4] for _ in range(20)]

    assert [(False, False)] * 19 + [(False, True)] == ends


def test_info_tells_what_was_asked_and_what_the_gate_made_of_it(env: IntersectionEnv) -> None:
    """A closed answer is never granted, and the running stage goes on; an open one is granted, or amended by the gate's own promises."""
    _, info = env.reset(seed=1)
    verdicts = []
    for answer, _ in zip(answers(env), range(20), strict=False):
        state = env.traffic.simulation.signals[0].state
        running, was_open = (state.stage if state.target < 0 else state.target), bool(info["action_mask"][answer])
        _, _, _, _, info = env.step(answer)
        verdict = info["verdict"]
        verdicts.append(type(verdict))
        assert answer == info["asked"]
        if was_open:
            assert not isinstance(verdict, Refused)
        else:
            assert isinstance(verdict, Amended)
            assert running == verdict.command.stage

    assert {Granted, Amended} == set(verdicts)


def test_a_stage_that_is_not_there_is_refused(env: IntersectionEnv) -> None:
    """An answer beyond the signal's stages changes nothing and is told."""
    env.reset(seed=1)
    _, _, _, _, info = env.step(7)

    assert isinstance(info["verdict"], Refused)


def test_the_reward_is_the_sum_of_its_named_terms() -> None:
    """Every term stands in info, weighed, and the reward is their sum."""
    env = IntersectionEnv(duration=300.0, reward={"delay": 0.5, "stops": 2.0})
    env.reset(seed=1)
    total = 0.0
    for _ in range(40):
        _, reward, _, _, info = env.step(0)
        total += reward
        assert {"delay", "stops"} == info["rewards"].keys()
        assert sum(info["rewards"].values()) == reward
        assert pytest.approx(reward) == env.traffic.rewards()[0]
    env.close()

    assert total < 0.0


def test_masks_agree(env: IntersectionEnv) -> None:
    """What MaskablePPO asks for is what info tells."""
    _, info = env.reset(seed=1)

    assert info["action_mask"].tolist() == env.action_masks().tolist()
    assert ("int8", "bool") == (info["action_mask"].dtype.name, env.action_masks().dtype.name)


def test_decides_for_the_signal_that_is_asked_for() -> None:
    """One signal of a network is the agent's; an unknown one is met by the nearest name."""
    env = IntersectionEnv(scenario="resco:cologne3", signal="360086")

    assert ("360086", 4) == (env.signal.id, getattr(env.action_space, "n", 0))
    with pytest.raises(UnknownNameError, match="unknown signal '360068'; did you mean '360086'"):
        IntersectionEnv(scenario="resco:cologne3", signal="360068")


def test_seeds_decide_what_is_drawn() -> None:
    """The same seed draws the same row of episodes, and another seed others."""
    env = IntersectionEnv(duration=10.0)

    def drawn(seed: int) -> list[Any]:
        return [env.reset(seed=seed)[1]["sumo_seed"], env.reset()[1]["sumo_seed"], env.reset()[1]["sumo_seed"]]

    first = drawn(1)
    assert first == drawn(1)
    assert not set(first) & set(drawn(2))
    assert 3 == len(set(first))
    env.close()


def test_a_second_environment_of_the_process_runs_beside_the_first() -> None:
    """Libsumo runs one simulation a process, so the second takes TraCI; both see the same for the same seed."""
    both = [IntersectionEnv(duration=200.0) for _ in range(2)]
    starts = [env.reset(seed=5)[0].tolist() for env in both]
    steps = [[env.step(at // 3 % 4)[:2] for env in both] for at in range(40)]
    backends = [env.traffic.simulation.backend for env in both]
    for env in both:
        env.close()

    assert ["libsumo", "traci"] == backends
    assert starts[0] == starts[1]
    for (one, reward), (other, other_reward) in steps:
        assert (one.tolist(), reward) == (other.tolist(), other_reward)


def test_closing_twice_and_beginning_again() -> None:
    """Closing again has no effect, and a reset begins anew, also where loops need a file of their own."""
    env = IntersectionEnv(observation="loops", duration=50.0)
    for _ in range(2):
        env.reset(seed=1)
        env.step(0)
        env.close()
        env.close()
        with pytest.raises(ResetNeeded):
            env.step(0)


def test_nothing_happens_before_reset(env: IntersectionEnv) -> None:
    """Stepping and drawing before the first episode are refused."""
    with pytest.raises(ResetNeeded):
        env.step(0)
    with pytest.raises(ResetNeeded):
        IntersectionEnv(render_mode="rgb_array").render()
    assert env.render() is None


def test_a_window_needs_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a display render mode "human" is refused when the environment is made, in one message."""
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)

    with pytest.raises(UserError, match="sumo-gui needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set"):
        gymnasium.make(INTERSECTION, render_mode="human")
    assert ["rgb_array"] == IntersectionEnv().metadata["render_modes"]


def test_unknown_words_are_met_by_the_nearest() -> None:
    """An option or a render mode that does not exist is told with the one that was meant."""
    with pytest.raises(UnknownNameError, match="unknown option 'rewards'; did you mean 'reward'"):
        IntersectionEnv(rewards="delay")
    with pytest.raises(UnknownNameError, match="unknown render mode 'rgb_arrays'; did you mean 'rgb_array'"):
        IntersectionEnv(render_mode="rgb_arrays")
