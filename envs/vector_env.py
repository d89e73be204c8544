"""Signals as the slots of a stable-baselines3 vector environment: all share one policy, networks run in processes of their own.

Every signal of a network is one slot. Observations are padded block by block to one layout, so the same index means the same thing for
every signal, and answers to the largest number of stages; what a signal does not have is masked.

Who masks: sb3-contrib's MaskablePPO asks for `action_masks` and never answers what the gate would not carry out. Algorithms without
masks (DQN) explore and bootstrap over all answers: an answer that the gate amends keeps the running stage, the transition that is
learnt from is what happened, and what the gate made of it is in `info["verdict"]`.
"""

import os
import signal as signals_of_the_system
import traceback
from collections.abc import Callable, Sequence
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from envs.traffic import Options, Traffic
from intersection.detection import Values
from intersection.errors import ConfigError, PhasewiseError, RuntimeFault
from intersection.layout import Layout
from intersection.shield import Verdict

PATIENCE_S = 30.0
"""How long a worker may take to end when it is asked to, in seconds."""


class _Shape(NamedTuple):
    """What a worker tells of its network."""

    signals: tuple[str, ...]
    layout: Layout
    actions: int


class _Outcome(NamedTuple):
    """What a worker tells of one step."""

    observations: Values
    masks: NDArray[np.bool_]
    rewards: NDArray[np.float64]
    verdicts: tuple[Verdict | None, ...]
    last: Values | None
    """The observations at the end of the episode, where it ended; the others are then those of the next one."""


class _Worker:
    """One network in a process of its own."""

    def __init__(self, options: Options, seed: int) -> None:
        self.traffic = Traffic(options)
        self.rng = np.random.default_rng(seed)
        tables = [signal.config.tables for signal in self.traffic.signals]
        self.own = [Layout.of(self.traffic.specs[at]) for at in self.traffic.agents]
        self.shape = _Shape(
            tuple(signal.id for signal in self.traffic.signals),
            Layout.covering(self.own),
            max(self.traffic.action.size(each) for each in tables),
        )

    def lay_out(self, layout: Layout, actions: int) -> None:
        """Take the layout of all networks together."""
        self.places = [layout.places(own) for own in self.own]
        self.width, self.actions = layout.size, actions

    def reset(self) -> tuple[Values, NDArray[np.bool_]]:
        """Begin an episode."""
        self.traffic.reset(self.rng)
        return self.observations(), self.masks()

    def step(self, answers: Sequence[int]) -> _Outcome:
        """Carry out one answer a signal; begin the next episode where this one ends."""
        verdicts = tuple(self.traffic.step(answers))
        rewards = self.traffic.rewards()
        if not self.traffic.done:
            return _Outcome(self.observations(), self.masks(), rewards, verdicts, None)
        last = self.observations()
        observations, masks = self.reset()
        return _Outcome(observations, masks, rewards, verdicts, last)

    def observations(self) -> Values:
        """Give all observations, shape (signals, width)."""
        padded = np.zeros((len(self.places), self.width), np.float32)
        for row, places, agent in zip(padded, self.places, self.traffic.agents, strict=True):
            row[places] = self.traffic.encoder.vectors[agent]
        return padded

    def masks(self) -> NDArray[np.bool_]:
        """Tell which answers are open, shape (signals, actions)."""
        masks = np.zeros((len(self.places), self.actions), bool)
        for agent in range(len(self.places)):
            mask = self.traffic.mask(agent)
            masks[agent, : len(mask)] = mask
        return masks


def _work(pipe: Connection, options: Options, seed: int) -> None:
    """Serve one network until the pipe closes. Ctrl-C is for the parent, which then closes it."""
    signals_of_the_system.signal(signals_of_the_system.SIGINT, signals_of_the_system.SIG_IGN)
    worker: _Worker | None = None
    try:
        worker = _Worker(options, seed)
        pipe.send(worker.shape)
        while True:
            command, *arguments = pipe.recv()
            pipe.send(getattr(worker, command)(*arguments))
    except (EOFError, BrokenPipeError):
        pass
    except PhasewiseError as error:
        pipe.send(error)
    except Exception as error:  # noqa: BLE001  # whatever it is, the parent must hear of it instead of waiting for ever
        pipe.send(RuntimeFault(f"a worker failed: {error!r}\n{traceback.format_exc()}"))
    finally:
        if worker is not None:
            worker.traffic.close()


class SignalVecEnv(VecEnv):
    """Every signal of some networks as a slot."""

    def __init__(self, networks: Sequence[Options], seed: int = 0) -> None:
        """Start a process for each network.

        Args:
            networks: what each runs; all with the same observation and action kinds.
            seed: from which each process derives its episodes.

        Raises:
            PhasewiseError: whatever a worker says of its options.
        """
        kinds = {(each.observation, each.action) for each in networks}
        if len(kinds) != 1 or next(iter(kinds))[1] == "splits":
            raise ConfigError(
                "slots share one observation kind and one action kind with an index for an answer",
                key="networks",
                value=sorted(kinds),
                allowed="action stage or extend",
            )
        context = get_context("forkserver")
        context.set_forkserver_preload(["envs.traffic"])
        self._pipes: list[Connection] = []
        self._processes = []
        for at, options in enumerate(networks):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, options, _derived(seed, at)), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        try:
            shapes = [self._receive(pipe) for pipe in self._pipes]
        except BaseException:
            self.close()
            raise
        self.layout = Layout.covering([shape.layout for shape in shapes])
        self.names = tuple(name for shape in shapes for name in shape.signals)
        actions = max(shape.actions for shape in shapes)
        ends = np.cumsum([0, *(len(shape.signals) for shape in shapes)]).tolist()
        self._slots = [slice(start, end) for start, end in pairwise(ends)]
        self._ask("lay_out", [(self.layout, actions)] * len(shapes))
        self._masks: NDArray[np.bool_] = np.ones((len(self.names), actions), bool)
        self._waiting = False
        super().__init__(len(self.names), spaces.Box(0.0, 1.0, (self.layout.size,), np.float32), spaces.Discrete(actions))

    def reset(self) -> Values:
        """Begin an episode everywhere."""
        answers = self._ask("reset", [()] * len(self._pipes))
        self._masks = np.concatenate([masks for _, masks in answers])
        return np.concatenate([observations for observations, _ in answers])

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Hand out one answer a slot."""
        for pipe, slots in zip(self._pipes, self._slots, strict=True):
            self._send(pipe, ("step", actions[slots].tolist()))
        self._waiting = True

    def step_wait(self) -> tuple[Values, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Collect what became of the answers."""
        self._waiting = False
        outcomes: list[_Outcome] = [self._receive(pipe) for pipe in self._pipes]
        self._masks = np.concatenate([outcome.masks for outcome in outcomes])
        infos: list[dict[str, Any]] = []
        for outcome in outcomes:
            for at, verdict in enumerate(outcome.verdicts):
                info: dict[str, Any] = {"verdict": verdict}
                if outcome.last is not None:
                    info |= {"terminal_observation": outcome.last[at], "TimeLimit.truncated": True}
                infos.append(info)
        ended = [np.full(len(outcome.rewards), outcome.last is not None) for outcome in outcomes]
        return (
            np.concatenate([outcome.observations for outcome in outcomes]),
            np.concatenate([outcome.rewards for outcome in outcomes]).astype(np.float32),
            np.concatenate(ended),
            infos,
        )

    def action_masks(self) -> NDArray[np.bool_]:
        """Tell which answers are open, shape (slots, actions)."""
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
        for pipe, given in zip(self._pipes, arguments, strict=True):
            self._send(pipe, (command, *given))
        return [self._receive(pipe) for pipe in self._pipes]

    def _send(self, pipe: Connection, message: tuple[Any, ...]) -> None:
        try:
            pipe.send(message)
        except OSError as cause:
            raise RuntimeFault("a worker process died in the middle of an episode") from cause

    def _receive(self, pipe: Connection) -> Any:  # noqa: ANN401  # what the worker's method returns
        try:
            answer = pipe.recv()
        except (EOFError, OSError) as cause:
            raise RuntimeFault("a worker process died in the middle of an episode") from cause
        if isinstance(answer, PhasewiseError):
            raise answer
        return answer


def _derived(seed: int, at: int) -> int:
    """Give each network a seed of its own."""
    return int(np.random.SeedSequence((seed, at)).generate_state(1)[0])


def make_vector_env(networks: Sequence[Options] | Options, workers: int | None = None, seed: int = 0) -> SignalVecEnv:
    """Make a vector environment.

    Args:
        networks: one for each process; or one, which then runs in `workers` processes.
        workers: how many processes run a single network; one a core by default.
        seed: from which the episodes derive.
    """
    every = [networks] * (workers or os.cpu_count() or 1) if isinstance(networks, Options) else list(networks)
    return SignalVecEnv(every, seed)


Factory = Callable[[], SignalVecEnv]
"""Makes the environment that a trainer is handed."""
