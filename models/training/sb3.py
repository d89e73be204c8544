"""Trains one network for all signals of an environment with stable-baselines3, for a given time, and keeps the best checkpoint."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from intersection.errors import UnknownNameError
from models.training.trained import Description, add_description

ALGORITHMS = ("ppo", "dqn")

GAMMA = 0.95
"""A vehicle that waits is felt for about a hundred seconds: 20 decisions of 5 s."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How a training stands."""

    elapsed_s: float
    steps: int
    delay_s: float | None
    """The last validation's mean delay of all due vehicles, in seconds."""

    best_delay_s: float | None


Validate = Callable[[Path], float]
"""Gives a saved policy's mean delay on validation seeds, in seconds."""


def train(
    env: VecEnv,
    *,
    algorithm: str,
    minutes: float,
    described: Description,
    out: Path,
    validate: Validate,
    tell: Callable[[Progress], None],
    every_s: float = 40.0,
) -> Description:
    """Train, and write the checkpoint with the lowest validation delay.

    Args:
        env: whose slots share the policy.
        algorithm: "ppo" (sb3-contrib's MaskablePPO) or "dqn".
        minutes: how long, validation included.
        described: what is known of the policy beforehand.
        out: the file; it is replaced as a whole, and only by a better checkpoint.
        validate: judges a checkpoint.
        tell: hears how it stands, several times a second.
        every_s: seconds between validations.

    Raises:
        UnknownNameError: there is no such algorithm.
    """
    if algorithm not in ALGORITHMS:
        raise UnknownNameError("algorithm", algorithm, ALGORITHMS)
    torch.set_num_threads(1)
    scaled = VecNormalize(env, norm_obs=False, gamma=GAMMA)
    model = _make(algorithm, scaled, described.seed)
    model.set_logger(Logger(folder=None, output_formats=[]))  # its own would leave an empty folder behind
    keeper = _Keeper(seconds=minutes * 60.0, described=described, out=out, validate=validate, tell=tell, every_s=every_s)
    model.learn(total_timesteps=1 << 40, callback=keeper)
    return keeper.best


def _make(algorithm: str, env: VecEnv, seed: int) -> Any:  # noqa: ANN401  # one of SB3's algorithms
    network = {"net_arch": [128, 128]}
    if algorithm == "ppo":
        return MaskablePPO(
            "MlpPolicy",
            env,
            seed=seed,
            gamma=GAMMA,
            n_steps=max(64, 1024 // env.num_envs),
            batch_size=256,
            n_epochs=6,
            ent_coef=0.005,
            policy_kwargs=network,
            device="cpu",
        )
    return DQN(
        "MlpPolicy",
        env,
        seed=seed,
        gamma=GAMMA,
        learning_rate=5e-4,
        buffer_size=100_000,
        learning_starts=1_000,
        batch_size=128,
        train_freq=4,
        gradient_steps=2,
        target_update_interval=500,
        exploration_fraction=1e-9,
        exploration_final_eps=0.05,
        policy_kwargs=network,
        device="cpu",
    )


class _Keeper(BaseCallback):
    """Validates now and then, keeps the best, and ends the training when its time is up."""

    def __init__(
        self,
        *,
        seconds: float,
        described: Description,
        out: Path,
        validate: Validate,
        tell: Callable[[Progress], None],
        every_s: float,
    ) -> None:
        super().__init__()
        self.best = described
        self._seconds, self._out, self._validate, self._tell, self._every = seconds, out, validate, tell, every_s
        self._began = self._judged = time.monotonic()
        self._delay: float | None = None
        self._found = False

    def _on_step(self) -> bool:
        now = time.monotonic()
        over = now - self._began >= self._seconds
        if over or now - self._judged >= self._every:
            self._judge()
            self._judged = time.monotonic()
        best = self.best.validation_delay_s if self._found else None
        self._tell(Progress(elapsed_s=now - self._began, steps=self.num_timesteps, delay_s=self._delay, best_delay_s=best))
        return not over

    def _judge(self) -> None:
        """Save a checkpoint aside, judge it, and put it in the place of the best if it is better."""
        with TemporaryDirectory(prefix=".phasewise-", dir=self._out.parent) as folder:
            path = Path(folder) / self._out.name
            self.model.save(path)
            add_description(path, replace(self.best, steps=self.num_timesteps))
            self._delay = self._validate(path)
            if self._found and self._delay >= self.best.validation_delay_s:
                return
            self.model.save(path)
            self.best, self._found = replace(self.best, steps=self.num_timesteps, validation_delay_s=self._delay), True
            add_description(path, self.best)
            with path.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(path, self._out)
