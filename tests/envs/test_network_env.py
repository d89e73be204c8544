import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from pettingzoo.test import parallel_api_test, parallel_seed_test

from envs.network_env import parallel_env
from intersection import plugins
from intersection.errors import UnknownNameError

SIGNALS = ["360082", "360086", "GS_cluster_2415878664_254486231_359566_359576"]


@pytest.mark.parametrize("action", plugins.names("envs.actions"))
@pytest.mark.parametrize("observation", plugins.names("intersection.observations"))
def test_passes_the_api_test(observation: str, action: str) -> None:
    """PettingZoo's test of the interface finds nothing to fault or to warn of, over the end of an episode and the next."""
    env = parallel_env("resco:cologne3", observation=observation, action=action, duration=60.0)
    parallel_api_test(env, num_cycles=30)
    env.close()


def test_passes_the_seed_test() -> None:
    """PettingZoo's test of seeding finds two environments alike that were given the same seed and answers."""
    parallel_seed_test(lambda: parallel_env("resco:cologne3", duration=60.0), num_cycles=12)


def test_all_agents_are_truncated_together() -> None:
    """Signals are agents; the time limit truncates all of them at once, none terminates, and then nobody is left."""
    env = parallel_env("resco:cologne3", duration=10.0)
    observations, infos = env.reset(seed=1)

    assert SIGNALS == env.possible_agents == env.agents == list(observations) == list(infos)
    _, _, terminated, truncated, _ = env.step(dict.fromkeys(SIGNALS, 0))
    assert ({False}, {False}) == (set(terminated.values()), set(truncated.values()))
    _, _, terminated, truncated, _ = env.step(dict.fromkeys(SIGNALS, 0))
    assert ({False}, {True}, []) == (set(terminated.values()), set(truncated.values()), env.agents)
    with pytest.raises(ResetNeeded):
        env.step({})
    env.close()
    env.close()


def test_each_agent_has_its_own_reward_and_info() -> None:
    """Rewards are the sums of each signal's own terms; infos tell each signal's own verdict, answer and mask."""
    env = parallel_env("resco:cologne3", duration=300.0, reward={"queue": 1.0, "delay": 0.1})
    _, infos = env.reset(seed=1)
    for _ in range(40):
        answers = {name: int(np.flatnonzero(infos[name]["action_mask"])[-1]) for name in SIGNALS}
        _, rewards, _, _, infos = env.step(answers)
        for name in SIGNALS:
            assert answers[name] == infos[name]["asked"]
            assert sum(infos[name]["rewards"].values()) == rewards[name]
    env.close()

    assert 3 == len(set(rewards.values()))
    assert [3, 4, 4] == [len(infos[name]["action_mask"]) for name in SIGNALS]


def test_draws_without_a_display() -> None:
    """The first signal's junction is drawn."""
    env = parallel_env("resco:cologne3", duration=60.0, render_mode="rgb_array")
    env.reset(seed=1)
    picture = env.render()
    env.close()

    assert picture is not None
    assert (800, 800, 3) == picture.shape


def test_an_unknown_option_is_met_by_the_nearest() -> None:
    """A slip of the pen is told."""
    with pytest.raises(UnknownNameError, match="unknown option 'observations'; did you mean 'observation'"):
        parallel_env("resco:cologne3", observations="area")
