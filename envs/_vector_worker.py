"""One network of a vector environment in a process of its own.

It stands apart from `vector_env` so that workers need not import what only trains: stable-baselines3 and torch.
"""

import signal as signals_of_the_system
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import _spaces
from envs._spaces import ActionSpace
from envs.traffic import Options, Traffic
from intersection.detection import Values
from intersection.errors import PhasewiseError, RuntimeFault
from intersection.layout import Layout
from intersection.shield import Verdict


class Shape(NamedTuple):
    """What a worker tells of its network."""

    signals: tuple[str, ...]
    layout: Layout
    actions: int
    space: ActionSpace


class Outcome(NamedTuple):
    """What a worker tells of one step."""

    observations: Values
    masks: NDArray[np.bool_]
    terms: dict[str, NDArray[np.float64]]
    verdicts: list[Verdict | None]
    last: Values | None
    """The observations at the end of the episode, where it ended; the others are then those of the next one."""


class Worker:
    """One network in a process of its own."""

    def __init__(self, options: Options, seed: int) -> None:
        self.traffic = Traffic(options)
        self.rng = np.random.default_rng(seed)
        kind = self.traffic.action
        self.own = [Layout.of(self.traffic.specs[at]) for at in self.traffic.agents]
        actions = max(kind.size(signal.config.tables) for signal in self.traffic.signals)
        names = tuple(signal.id for signal in self.traffic.signals)
        self.shape = Shape(names, Layout.covering(self.own), actions, _spaces.actions(kind, actions))

    def lay_out(self, layout: Layout, actions: int) -> None:
        """Take the layout of all networks together."""
        self.places = [layout.places(own) for own in self.own]
        self.width, self.actions = layout.size, actions

    def reset(self, seed: int | None) -> tuple[Values, NDArray[np.bool_]]:
        """Begin an episode; a seed begins a new row of them."""
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.traffic.reset(self.rng)
        return self.observations(), self.masks()

    def step(self, answers: Sequence[Any]) -> Outcome:
        """Carry out one answer a signal; begin the next episode where this one ends."""
        verdicts = self.traffic.step(answers)
        terms = self.traffic.terms()
        if not self.traffic.done:
            return Outcome(self.observations(), self.masks(), terms, verdicts, None)
        last = self.observations()
        observations, masks = self.reset(None)
        return Outcome(observations, masks, terms, verdicts, last)

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


def work(pipe: Connection, options: Options, seed: int) -> None:
    """Serve one network until the pipe closes. Ctrl-C is for the parent, which then closes it."""
    signals_of_the_system.signal(signals_of_the_system.SIGINT, signals_of_the_system.SIG_IGN)
    worker: Worker | None = None
    with suppress(EOFError, ConnectionError):
        try:
            worker = Worker(options, seed)
            pipe.send(worker.shape)
            while True:
                command, *arguments = pipe.recv()
                pipe.send(getattr(worker, command)(*arguments))
        except (EOFError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, the parent must hear of it instead of waiting for ever
            pipe.send(_portable(error))
    if worker is not None:
        with suppress(PhasewiseError):
            worker.traffic.close()


def _portable(error: Exception) -> Exception:
    """Give an error that can cross to the parent: itself, or where it is not one of ours, its words and where they were said."""
    if isinstance(error, PhasewiseError):
        return error
    fault = RuntimeFault(f"a worker failed: {error!r}")
    fault.add_note("".join(traceback.format_exception(error)))
    return fault
