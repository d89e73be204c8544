"""All signals of a scenario as a PettingZoo parallel environment: each is an agent, named as SUMO names it."""

from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from envs import _spaces
from envs._spaces import ActionSpace, Floats, ObservationSpace
from envs.actions._base import Answer
from envs.rendering import MODES, Renderer, check_mode, shown_modes
from envs.traffic import Options, Traffic


def parallel_env(scenario: str, *, render_mode: str | None = None, **options: Any) -> "NetworkEnv":
    """Make the environment of a scenario.

    Args:
        scenario: a scenario's name, or a path to a `.sumocfg`.
        render_mode: "rgb_array" draws the first signal's junction by itself and needs no display, "human" opens sumo-gui.
        options: fields of `Options`.

    Raises:
        UnknownNameError: no such option, scenario, observation, action, reward, preset or render mode.
        ConfigError: a value is out of its range, or the network cannot be imported.
        UserError: render mode "human" without a display.
    """
    return NetworkEnv(Options.of({"scenario": scenario, **options}), render_mode=render_mode)


class NetworkEnv(ParallelEnv):  # type: ignore[misc]  # PettingZoo ships no types
    """Decides for all signals of a network at once.

    Observations, actions, rewards and infos are those of `IntersectionEnv`, one an agent. All agents are truncated together, at the
    time limit; none terminates.
    """

    metadata = {"name": "phasewise_network_v0", "render_modes": list(MODES), "render_fps": 10}  # noqa: RUF012  # as PettingZoo has it

    def __init__(self, options: Options, *, render_mode: str | None = None) -> None:
        """Prepare a scenario; `reset` begins an episode. Arguments and errors as in `parallel_env`."""
        check_mode(render_mode)
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_modes": shown_modes()}
        self.traffic = Traffic(options, gui=render_mode == "human")
        self.possible_agents = [signal.id for signal in self.traffic.signals]
        self.agents: list[str] = []
        self.observation_spaces = {
            name: _spaces.observations(spec.size) for name, spec in zip(self.possible_agents, self.traffic.specs, strict=True)
        }
        action = self.traffic.action
        self.action_spaces: dict[str, ActionSpace] = {
            signal.id: _spaces.actions(action, action.size(signal.config.tables)) for signal in self.traffic.signals
        }
        self._rng: np.random.Generator | None = None
        self._renderer: Renderer | None = None

    def observation_space(self, agent: str) -> ObservationSpace:
        """Give an agent's observation space, always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> ActionSpace:
        """Give an agent's action space, always the same object."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Floats], dict[str, dict[str, Any]]]:
        """Begin an episode.

        Args:
            seed: of the generator from which this and the following episodes' SUMO seeds and demands are drawn; None goes on.
            options: nothing is looked for in them.

        Raises:
            SimulationError: SUMO refused to start; the message carries its own words.
        """
        if seed is not None or self._rng is None:
            self._rng, _ = seeding.np_random(seed)
        drawn = self.traffic.reset(self._rng)
        self.agents = list(self.possible_agents)
        infos = {name: {**drawn, "action_mask": np.array(self.traffic.mask(at), np.int8)} for at, name in enumerate(self.agents)}
        return self._observations(), infos

    def step(
        self, actions: dict[str, Answer]
    ) -> tuple[dict[str, Floats], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Put every agent's answer to the gate, and let a decision's time pass.

        Raises:
            ResetNeeded: no episode is running.
            SimulationError: SUMO failed or ended in the middle of the episode.
        """
        if not self.agents:
            raise ResetNeeded("an episode begins with reset()")
        traffic, agents = self.traffic, self.agents
        answers = [actions[name] for name in agents]
        infos = dict(zip(agents, traffic.infos(answers, traffic.step(answers)), strict=True))
        done = traffic.done
        result = (
            self._observations(),
            {name: sum(info["rewards"].values()) for name, info in infos.items()},
            dict.fromkeys(agents, False),
            dict.fromkeys(agents, done),
            infos,
        )
        if done:
            self.agents = []
        return result

    def _observations(self) -> dict[str, Floats]:
        return {name: self.traffic.observation(at) for at, name in enumerate(self.possible_agents)}

    def render(self) -> NDArray[np.uint8] | None:
        """Draw the first signal's junction: uint8, shape (800, 800, 3), in "rgb_array"; nothing in "human", where sumo-gui draws."""
        if self.render_mode != "rgb_array":
            return None
        if self._renderer is None:
            self._renderer = Renderer(self.traffic.scenario.net_file, self.traffic.signals[0])
        return self._renderer.draw(self.traffic.simulation)

    def close(self) -> None:
        """End the simulation. Ending it again does nothing."""
        self.agents = []
        self.traffic.close()
