"""One signal of a scenario as a Gymnasium environment, `phasewise/Intersection-v0`."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs import _spaces
from envs._spaces import Floats
from envs.actions._base import Answer
from envs.rendering import Renderer, check_mode, shown_modes
from envs.scenario import find
from envs.traffic import Options, Traffic, network_of


class IntersectionEnv(gymnasium.Env[Floats, Answer]):
    """Decides for one signal; the others of the network follow their own programs.

    Observation: float32, shape (ObservationSpec.size,), each value in 0..1. Action: as the action kind says. Reward: the weighted sum
    of the chosen terms. An episode is truncated at its time limit and never terminates.

    `info` after a step: "verdict", what the gate made of the answer; "asked", the answer; "rewards", the terms by name; "action_mask",
    int8, 1 where the gate would carry the answer out now. After a reset: what was drawn ("sumo_seed", "demand_scale", "begin" in
    seconds) and "action_mask".
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 10}  # noqa: RUF012  # Gymnasium declares it so

    def __init__(self, *, signal: str | None = None, render_mode: str | None = None, **options: Any) -> None:
        """Prepare a scenario; `reset` begins an episode.

        Args:
            signal: the signal to decide for; the network's first by default.
            render_mode: "rgb_array" draws by itself and needs no display, "human" opens sumo-gui.
            options: fields of `Options`.

        Raises:
            UnknownNameError: no such option, scenario, signal, observation, action, reward, preset or render mode.
            ConfigError: a value is out of its range, or the network cannot be imported.
            UserError: render mode "human" without a display.
        """
        check_mode(render_mode)
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_modes": shown_modes()}
        chosen = Options.of(options)
        if signal is None:
            scenario = find(chosen.scenario)
            signal = network_of(scenario, chosen.timing(), chosen.stages, chosen.sensing_range).signals[0].id
        self.traffic = Traffic(chosen, [signal], gui=render_mode == "human")
        [at] = self.traffic.agents
        self.signal = self.traffic.signals[0]
        self.observation_space = _spaces.observations(self.traffic.specs[at].size)
        self.action_space = _spaces.actions(self.traffic.action, self.traffic.action.size(self.signal.config.tables))
        self._running = False
        self._renderer: Renderer | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: of the generator from which this and the following episodes' SUMO seeds and demands are drawn; None goes on.
            options: nothing is looked for in them.

        Raises:
            SimulationError: SUMO refused to start; the message carries its own words.
        """
        super().reset(seed=seed)
        drawn = self.traffic.reset(self.np_random)
        self._running = True
        return self.traffic.observation(0), {**drawn, "action_mask": np.array(self.traffic.mask(0), np.int8)}

    def step(self, action: Answer) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Put an answer to the gate, and let a decision's time pass.

        Raises:
            ResetNeeded: no episode has begun.
            SimulationError: SUMO failed or ended in the middle of the episode.
        """
        if not self._running:
            raise ResetNeeded("an episode begins with reset()")
        traffic = self.traffic
        [info] = traffic.infos([action], traffic.step([action]))
        return traffic.observation(0), sum(info["rewards"].values()), False, traffic.done, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Tell which answers the gate would carry out now, by the name under which sb3-contrib looks for it; shape (answers,)."""
        return np.array(self.traffic.mask(0), bool)

    def render(self) -> NDArray[np.uint8] | None:
        """Draw the junction as it is now: uint8, shape (800, 800, 3), in "rgb_array"; nothing in "human", where sumo-gui draws."""
        if self.render_mode != "rgb_array":
            return None
        if not self._running:
            raise ResetNeeded("there is something to draw after reset()")
        if self._renderer is None:
            self._renderer = Renderer(self.traffic.scenario.net_file, self.signal)
        return self._renderer.draw(self.traffic.simulation)

    def close(self) -> None:
        """End the simulation. Ending it again does nothing."""
        self._running = False
        self.traffic.close()
