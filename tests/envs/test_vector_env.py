import numpy as np
import pytest

from envs.traffic import Options
from envs.vector_env import SignalVecEnv, make_vector_env
from intersection.detection import Values
from intersection.errors import ConfigError, UnknownNameError

SHORT = Options(scenario="resco:cologne3", duration=100.0)


def test_every_signal_is_a_slot_and_episodes_follow_each_other() -> None:
    """Three signals are three slots of one layout; at the time limit the last observation is told, truncated, and the next one begins."""
    env = make_vector_env(SHORT, workers=1, seed=3)
    try:
        first = env.reset()
        assert (3, env.observation_space.shape) == (env.num_envs, first.shape[1:])
        for step in range(1, 21):
            masks = np.stack(env.env_method("action_masks"))
            assert masks.any(axis=1).all()
            env.step_async(masks.argmax(axis=1))
            observations, rewards, dones, infos = env.step_wait()
            assert observations.shape == first.shape
            assert np.isfinite(rewards).all()
            assert [step == 20] * 3 == dones.tolist()
        assert all(info["TimeLimit.truncated"] and info["terminal_observation"].shape == first.shape[1:] for info in infos)
    finally:
        env.close()


def _step(env: SignalVecEnv, answer: int) -> Values:
    env.step_async(np.full(env.num_envs, answer))
    return env.step_wait()[0]


def test_the_same_seed_gives_the_same_episode() -> None:
    """Each side in a process of its own: observations are equal to the bit."""
    runs = []
    for _ in range(2):
        env = make_vector_env(SHORT, workers=1, seed=5)
        try:
            env.reset()
            runs.append(np.array([_step(env, step // 4 % 2) for step in range(10)]))
        finally:
            env.close()

    assert np.array_equal(runs[0], runs[1])


def test_a_worker_tells_what_is_wrong() -> None:
    """An error of a worker arrives as what it is."""
    with pytest.raises(UnknownNameError, match="did you mean 'delay'"):
        make_vector_env(Options(reward="dealy"), workers=1)
    with pytest.raises(ConfigError, match="share an observation kind"):
        SignalVecEnv([Options(observation="area"), Options(observation="loops")])
