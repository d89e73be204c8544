"""Signals as the slots of a stable-baselines3 vector environment: all share one policy, networks run in processes of their own.

Every signal of a network is one slot. Observations are padded block by block to one layout, so the same index means the same thing for
every signal, and answers to the largest number of stages; what a signal does not have is masked.

Who masks: sb3-contrib's MaskablePPO asks for `action_masks` and never answers what the gate would not carry out. Algorithms without
masks (DQN) explore and bootstrap over all answers. For them the gate is the mask: of an answer that cannot be carried out it carries
out what can, and refuses a stage that the signal does not have, so that what runs goes on. What is learnt from is what happened, and
what the gate made of an answer is in `info["verdict"]`.

Workers are forked from a clean server that has imported the environments once, as is the script that makes this: it needs the usual
`if __name__ == "__main__":`. A worker ends when its pipe closes, whether by `close`, by the end of this process or by its death.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from envs import _spaces
from envs._vector_worker import Outcome, Shape, work
from envs.errors import SimulationError
from envs.traffic import Options
from envs.workers import forking, interrupts_deferred
from intersection.detection import Values
from intersection.errors import ConfigError
from intersection.layout import Layout

PATIENCE_S = 30.0
"""How long a worker may take to end when it is asked to, in seconds."""


class SignalVecEnv(VecEnv):
    """Every signal of some networks as a slot."""

    def __init__(self, networks: Sequence[Options], seed: int = 0) -> None:
        """Start a process for each network.

        Args:
            networks: what each runs; all with the same observation and action kinds.
            seed: from which each process derives its episodes, until `VecEnv.seed` gives them others.

        Raises:
            ConfigError: no networks, or networks of different observation or action kinds.
            PhasewiseError: whatever a worker says of its options.
        """
        kinds = sorted({(each.observation, each.action) for each in networks})
        if len(kinds) != 1:
            raise ConfigError("slots share an observation kind and an action kind", key="networks", value=kinds, allowed="one of each")
        self.networks = tuple(networks)
        context = forking(["envs._vector_worker"])
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        try:
            with interrupts_deferred():
                for at, options in enumerate(networks):
                    ours, theirs = context.Pipe()
                    self._pipes.append(ours)
                    process = context.Process(target=work, args=(theirs, options, _derived(seed, at)), daemon=True)
                    process.start()
                    theirs.close()
                    self._processes.append(process)
            self._lay_out()
        except BaseException:
            self.close()
            raise

    def _lay_out(self) -> None:
        """Hear of all networks, and tell each the layout that they have in common."""
        shapes: list[Shape] = self._receive()
        self.layout = Layout.covering([shape.layout for shape in shapes])
        self.names = tuple(name for shape in shapes for name in shape.signals)
        ends = np.cumsum([0, *(len(shape.signals) for shape in shapes)]).tolist()
        self._slots = [slice(start, end) for start, end in pairwise(ends)]
        widest = max(shapes, key=lambda shape: shape.actions)
        self._ask("lay_out", [(self.layout, widest.actions)] * len(shapes))
        self._masks: NDArray[np.bool_] = np.ones((len(self.names), widest.actions), bool)
        super().__init__(len(self.names), _spaces.observations(self.layout.size), widest.space)

    def reset(self) -> Values:
        """Begin an episode everywhere. Where `seed` was called before, a network takes that of its first slot."""
        answers = self._ask("reset", [(self._seeds[slots.start],) for slots in self._slots])
        self._reset_seeds()
        self._reset_options()
        self._masks = np.concatenate([masks for _, masks in answers])
        return np.concatenate([observations for observations, _ in answers])

    def step_async(self, actions: NDArray[Any]) -> None:
        """Hand out one answer a slot."""
        self._asked = actions.tolist()
        self._send("step", [(self._asked[slots],) for slots in self._slots])

    def step_wait(self) -> tuple[Values, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Collect what became of the answers.

        Returns:
            Observations, float32, shape (slots, layout.size), where an episode ended those of the next one; rewards; which ended; infos:
            "verdict", "asked", "rewards" as in `Traffic.infos`, and where an episode ended "terminal_observation" and
            "TimeLimit.truncated".

        Raises:
            SimulationError: SUMO failed or ended in a worker, or a worker died. All workers are ended then.
        """
        outcomes: list[Outcome] = self._receive()
        self._masks = np.concatenate([outcome.masks for outcome in outcomes])
        infos: list[dict[str, Any]] = []
        for outcome in outcomes:
            terms = {name: values.tolist() for name, values in outcome.terms.items()}
            for at, verdict in enumerate(outcome.verdicts):
                rewards = {name: values[at] for name, values in terms.items()}
                info: dict[str, Any] = {"verdict": verdict, "asked": self._asked[len(infos)], "rewards": rewards}
                if outcome.last is not None:
                    info |= {"terminal_observation": outcome.last[at], "TimeLimit.truncated": True}
                infos.append(info)
        return (
            np.concatenate([outcome.observations for outcome in outcomes]),
            np.array([sum(info["rewards"].values()) for info in infos], np.float32),
            np.concatenate([np.full(len(outcome.verdicts), outcome.last is not None) for outcome in outcomes]),
            infos,
        )

    def action_masks(self) -> NDArray[np.bool_]:
        """Tell which answers are open, shape (slots, actions); all, where answers are vectors."""
        return self._masks

    def close(self) -> None:
        """End all processes. Ending them again does nothing."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(PATIENCE_S)
            if process.is_alive():
                process.kill()
                process.join()
        self._pipes, self._processes = [], []

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:  # noqa: ANN401  # SB3's signature
        """Answer `action_masks`, which is all that slots can be asked."""
        if method_name != "action_masks":
            raise AttributeError(f"a slot has no method {method_name!r}; it has action_masks")
        return [self._masks[at] for at in self._get_indices(indices)]

    def has_attr(self, attr_name: str) -> bool:
        """Tell whether slots have an attribute."""
        return attr_name in ("action_masks", "render_mode")

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:  # noqa: ANN401  # SB3's signature
        """Give an attribute of slots."""
        if not self.has_attr(attr_name):
            raise AttributeError(f"a slot has no attribute {attr_name!r}")
        found = {"render_mode": None, "action_masks": self.action_masks}[attr_name]
        return [found for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ANN401  # SB3's signature
        """Refuse: a slot is made of its options."""
        raise AttributeError(f"a slot's {attr_name!r} cannot be set; make the environment with other options")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:  # noqa: ANN401  # SB3's signature
        """Tell that no slot is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def _ask(self, command: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        self._send(command, arguments)
        return self._receive()

    def _send(self, command: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        """Ask each worker something. One that cannot hear it is gone, and `_receive` finds out what it said last."""
        if not self._pipes:
            raise SimulationError("the environment was closed")
        for pipe, given in zip(self._pipes, arguments, strict=True):
            with suppress(ConnectionError):
                pipe.send((command, *given))

    def _receive(self) -> list[Any]:
        """Hear what each worker answers; end them all where one fails, since the others are then out of step."""
        answers = []
        try:
            for at, pipe in enumerate(self._pipes):
                try:
                    answer = pipe.recv()
                except (EOFError, ConnectionError) as cause:
                    raise self._gone(at) from cause
                if isinstance(answer, Exception):
                    raise answer
                answers.append(answer)
        except BaseException:
            self.close()
            raise
        return answers

    def _gone(self, at: int) -> SimulationError:
        process = self._processes[at]
        process.join(1.0)
        return SimulationError(f"the process that simulates {self.networks[at].scenario} ended (code {process.exitcode}); out of memory?")


def _derived(seed: int, at: int) -> int:
    """Give each network a seed of its own."""
    return int(np.random.SeedSequence((seed, at)).generate_state(1)[0])


def make_vector_env(networks: Sequence[Options] | Options, workers: int | None = None, seed: int = 0) -> SignalVecEnv:
    """Make a vector environment.

    Args:
        networks: one for each process; or one, which then runs in `workers` processes.
        workers: how many processes run a single network; one a core by default.
        seed: from which the episodes derive.

    Raises:
        ConfigError: no workers or networks, or networks of different observation or action kinds.
        PhasewiseError: whatever a worker says of its options.
    """
    if workers is not None and workers < 1:
        raise ConfigError("somebody must simulate", key="workers", value=workers, allowed="1 or more")
    every = [networks] * (workers or os.cpu_count() or 1) if isinstance(networks, Options) else list(networks)
    return SignalVecEnv(every, seed)
