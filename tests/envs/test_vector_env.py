import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import DQN, PPO

from envs.errors import SimulationError
from envs.traffic import Options, Traffic
from envs.vector_env import SignalVecEnv, make_vector_env
from intersection.errors import ConfigError, RuntimeFault, UnknownNameError
from intersection.layout import Layout
from intersection.shield import Granted, Reason, Refused

ONE = Options(scenario="resco:cologne1", duration=60.0)
THREE = Options(scenario="resco:cologne3", duration=100.0)


@pytest.fixture
def env() -> Iterator[SignalVecEnv]:
    """Yield two networks: slot 0 is cologne1's signal, slots 1 to 3 are cologne3's, the first of which has three stages."""
    made = make_vector_env([ONE, THREE])
    yield made
    made.close()


def open_answers(env: SignalVecEnv) -> NDArray[np.int64]:
    """Give the last open answer of each slot."""
    return np.array([np.flatnonzero(mask)[-1] for mask in get_action_masks(env)])


def stepped(env: SignalVecEnv) -> tuple[NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
    """Step with open answers; give observations, which slots ended, and infos."""
    observations, _, done, infos = env.step(open_answers(env))
    return np.asarray(observations), done, infos


def workers(env: SignalVecEnv) -> list[psutil.Process]:
    """Find the processes of an environment."""
    return [psutil.Process(process.pid) for process in env._processes]


def test_every_signal_is_a_slot(env: SignalVecEnv) -> None:
    """Slots are the signals of all networks in order; they share spaces that are as large as the largest needs."""
    names = ("GS_cluster_357187_359543", "360082", "360086", "GS_cluster_2415878664_254486231_359566_359576")

    assert (names, 4) == (env.names, env.num_envs)
    assert Layout(stages=4, groups=5, channels=3, detectors=8) == env.layout
    assert ((env.layout.size,), 4) == (env.observation_space.shape, getattr(env.action_space, "n", 0))


def test_observations_are_padded_to_one_layout(env: SignalVecEnv) -> None:
    """A slot sees what its signal would see alone, spread over the layout."""
    env.seed(11)
    env.reset()
    alone = Traffic(Options(scenario="resco:cologne1", duration=60.0, backend="traci"))
    alone.reset(np.random.default_rng(11))
    for _ in range(10):
        observations, *_ = env.step(np.zeros(4, int))
        alone.step([0])
    observations = np.asarray(observations)
    expected = env.layout.pad(alone.observation(0), alone.specs[0])
    alone.close()

    assert ("float32", (4, env.layout.size)) == (observations.dtype.name, observations.shape)
    assert expected.tolist() == observations[0].tolist()


def test_what_a_signal_does_not_have_is_masked(env: SignalVecEnv) -> None:
    """The fourth stage is never open where there are three, and the gate refuses it all the same."""
    assert is_masking_supported(env)
    env.reset()
    for _ in range(6):
        assert not get_action_masks(env)[1, 3]
        env.step(open_answers(env))
    _, _, _, infos = env.step(np.array([0, 3, 0, 0]))

    assert Refused(Reason.UNKNOWN_STAGE) == infos[1]["verdict"]


def test_open_answers_are_granted(env: SignalVecEnv) -> None:
    """What the masks leave open is carried out, and infos tell what was asked, what the gate said, and the reward's terms."""
    env.reset()
    answers = open_answers(env)
    _, rewards, _, infos = env.step(answers)

    assert answers.tolist() == [info["asked"] for info in infos]
    assert all(isinstance(info["verdict"], Granted) for info in infos)
    assert rewards.tolist() == [np.float32(info["rewards"]["delay"]) for info in infos]


def test_episodes_begin_anew_at_the_time_limit(env: SignalVecEnv) -> None:
    """All slots of a network end together; infos hold the last observation and that time was up, and the next episode has begun."""
    env.reset()
    ends = []
    for at in range(24):
        observations, done, infos = stepped(env)
        ends.append(done.tolist())
        for slot in np.flatnonzero(done):
            assert infos[slot]["TimeLimit.truncated"]
            assert infos[slot]["terminal_observation"].shape == observations[slot].shape
            assert infos[slot]["terminal_observation"].tolist() != observations[slot].tolist()
        for slot in np.flatnonzero(~done):
            assert "terminal_observation" not in infos[slot], at

    assert [[at % 12 == 11] + [at == 19] * 3 for at in range(24)] == ends


def episode(env: SignalVecEnv) -> list[list[Any]]:
    """Give all that a few decisions show."""
    env.seed(3)
    shown: list[list[Any]] = [[env.reset().tolist()]]
    for _ in range(10):
        observations, rewards, _, _ = env.step(open_answers(env))
        shown.append([np.asarray(observations).tolist(), rewards.tolist()])
    return shown


def test_seeds_repeat_in_fresh_workers() -> None:
    """Environments that begin alike and are given the same seed show the same; copies of a network within one do not."""
    shown = []
    for own in (1, 2):
        env = make_vector_env(Options(begin=25500.0, duration=200.0), workers=2, seed=own)
        shown.append(episode(env))
        env.close()

    assert shown[0] == shown[1]
    assert shown[0][-1][1][0] != shown[0][-1][1][1]


def test_closing_ends_the_workers(env: SignalVecEnv) -> None:
    """No process is left after closing, which may be done twice; nothing can be asked then."""
    env.reset()
    processes = workers(env)
    env.close()
    env.close()

    assert not any(process.is_running() for process in processes)
    with pytest.raises(SimulationError, match="the environment was closed"):
        env.reset()


def test_a_worker_that_is_killed_is_told(env: SignalVecEnv) -> None:
    """Where a worker dies, the next step ends in one error that names its network, and the other workers end too."""
    env.reset()
    processes = workers(env)
    os.kill(processes[1].pid, signal.SIGKILL)

    with pytest.raises(SimulationError) as error:
        env.step(np.zeros(4, int))

    assert "the process that simulates resco:cologne3 ended (code -9); out of memory?" == str(error.value)
    assert not any(process.is_running() for process in processes)


def test_sumo_dying_in_a_worker_is_told() -> None:
    """Where SUMO itself is killed, its error arrives as it is, and no worker is left."""
    env = make_vector_env([Options(duration=60.0, backend="traci"), ONE])
    env.reset()
    processes = workers(env)
    [sumo] = processes[0].children()
    os.kill(sumo.pid, signal.SIGKILL)

    with pytest.raises(SimulationError, match=r"^resco:cologne1: SUMO failed"):
        env.step(np.zeros(2, int))
    assert not any(process.is_running() for process in processes)


def test_a_workers_own_error_arrives() -> None:
    """What a worker has to say of its options is raised here, of the same class and in the same words."""
    with pytest.raises(UnknownNameError, match=r"unknown scenario or .sumocfg file 'resco:cologn1'; did you mean 'resco:cologne1'\?"):
        make_vector_env([ONE, Options(scenario="resco:cologn1")])


def test_what_nobody_expected_arrives_too(env: SignalVecEnv) -> None:
    """A fault of ours in a worker is told with its words, and where it happened stands in a note."""
    env.reset()
    with pytest.raises(RuntimeFault, match="a worker failed: TypeError") as error:
        env.step(np.array([[0, 0]] * 4))

    assert "Traceback" in error.value.__notes__[0]


@pytest.mark.parametrize(
    ("networks", "workers", "words"),
    [
        ([], None, r"networks = \[\]: slots share an observation kind and an action kind"),
        ([ONE, Options(observation="loops")], None, "slots share an observation kind and an action kind"),
        ([ONE, Options(action="extend")], None, "slots share an observation kind and an action kind"),
        (ONE, 0, "workers = 0: somebody must simulate; allowed: 1 or more"),
    ],
)
def test_networks_that_cannot_share_a_policy_are_refused(networks: Options | list[Options], workers: int | None, words: str) -> None:
    """Without a network or a worker, or where kinds differ, there is nothing to make."""
    with pytest.raises(ConfigError, match=words):
        make_vector_env(networks, workers)


def test_slots_answer_for_masks_only(env: SignalVecEnv) -> None:
    """Whatever else stable-baselines3 could ask of a slot has a plain answer."""
    assert [None] * 4 == env.get_attr("render_mode")
    assert [False, False] == env.env_is_wrapped(object, indices=[0, 1])
    assert env.action_masks()[2].tolist() == env.env_method("action_masks", indices=2)[0].tolist()
    for ask in (lambda: env.get_attr("traffic"), lambda: env.env_method("render"), lambda: env.set_attr("period", 1.0)):
        with pytest.raises(AttributeError):
            ask()


SCRIPT = """
import sys
import numpy as np
from envs.traffic import Options
from envs.vector_env import make_vector_env

if __name__ == "__main__":
    print("begun", flush=True)
    try:
        env = make_vector_env(Options(), 2)
        env.reset()
        print(*(process.pid for process in env._processes), flush=True)
        while True:
            env.step(np.zeros(2, int))
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Yield a process of its own, as the leader of its group, that steps two workers for ever."""
    path = tmp_path / "steps.py"
    path.write_text(SCRIPT)
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield process
    process.kill()
    process.communicate()


def line(process: "subprocess.Popen[str]") -> str:
    """Read the next line of what a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def started(process: "subprocess.Popen[str]", count: int) -> list[int]:
    """Wait until a process has so many descendants: a server, its tracker, and the workers that it has just forked."""
    while True:
        found = psutil.Process(process.pid).children(recursive=True)
        if len(found) >= count:
            return [child.pid for child in found]
        time.sleep(0.005)


def ended(pids: list[int], within: float = 20.0) -> bool:
    """Tell whether processes end within some seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("running", [True, False])
def test_ctrl_c_ends_everything_without_a_word(script: "subprocess.Popen[str]", *, running: bool) -> None:
    """Ctrl-C reaches the whole process group; only the parent hears it, whether workers run or are still starting."""
    line(script)
    pids = list(map(int, line(script).split())) if running else started(script, 4)
    os.killpg(script.pid, signal.SIGINT)
    said, _ = script.communicate(timeout=60)

    assert (0, "stopped") == (script.returncode, said.strip())
    assert ended(pids)


def test_workers_end_when_the_parent_dies(script: "subprocess.Popen[str]") -> None:
    """Where the parent is killed and can close nothing, its workers end by themselves."""
    line(script)
    pids = list(map(int, line(script).split()))
    os.kill(script.pid, signal.SIGKILL)

    assert 2 == len(pids)
    assert ended(pids)


def test_maskable_ppo_learns_on_it(env: SignalVecEnv) -> None:
    """sb3-contrib's MaskablePPO takes some steps, over ends of episodes, and never gives an answer that is closed."""
    model = MaskablePPO("MlpPolicy", env, n_steps=32, batch_size=64, n_epochs=2, seed=1, device="cpu")
    model.learn(256)
    observations = env.reset()
    for _ in range(10):
        masks = get_action_masks(env)
        answers, _ = model.predict(observations, action_masks=masks)
        assert masks[np.arange(4), answers].all()
        observations = np.asarray(env.step(answers)[0])


def test_algorithms_without_masks_learn_on_it() -> None:
    """DQN learns from stages, and PPO from vectors of splits, padded where networks differ."""
    stages = make_vector_env(ONE, workers=1)
    DQN("MlpPolicy", stages, learning_starts=8, buffer_size=100, seed=1, device="cpu").learn(48)
    stages.close()
    splits = make_vector_env(
        [Options(action="splits", duration=270.0), Options(scenario="resco:cologne3", action="splits", duration=270.0)]
    )
    PPO("MlpPolicy", splits, n_steps=4, batch_size=8, seed=1, device="cpu").learn(32)
    splits.close()

    assert (4,) == splits.action_space.shape
