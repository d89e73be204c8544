"""What every environment is made of: a simulation, and for each of its signals an observation, an action and a reward.

The Gymnasium, PettingZoo and vector environments only give this their interfaces' form.
"""

import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import lru_cache
from math import isfinite
from typing import Any, Literal, Self

import numpy as np

from envs.actions._base import ActionKind
from envs.detector_faults import DetectorFaults
from envs.measuring import Meter, sensors_for
from envs.rewards._base import PerSignal, RewardSpec
from envs.scenario import Scenario, check_routes, find
from envs.seeds import Split
from envs.simulation import TENTHS, Simulation
from envs.sumo_network import PRESETS, Network, SumoSignal, Timing, import_network
from envs.sumo_session import Backend, libsumo_is_free
from intersection import plugins
from intersection.config import IntersectionConfig
from intersection.detection import Channel, Values
from intersection.errors import ConfigError, PhasewiseError, UnknownNameError
from intersection.observation import Encoder, Observation, ObservationSpec, kind
from intersection.phase import Tenths
from intersection.policy import FixedTime, Hold, Policy
from intersection.sensed import LOOPS
from intersection.shield import Granted, Proposal, Verdict

FARTHEST = 200.0
"""How far a radar or a camera reaches at most, in metres."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """How the demand of an episode differs from the scenario's, drawn anew each episode.

    Raises:
        ConfigError: a bound is out of its range.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    """Factor on the number of vehicles, drawn evenly from this range."""

    shift: float = 0.0
    """The episode begins up to this much later in the demand, in seconds."""

    jitter: float = 0.0
    """Each vehicle departs up to this much later, in seconds."""

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0.0 < low <= high:
            raise ConfigError("a range of factors runs from low to high", key="demand.scale", value=self.scale, allowed="0 < low <= high")
        for key in ("shift", "jitter"):
            if getattr(self, key) < 0.0:
                raise ConfigError("cannot be negative", key=f"demand.{key}", value=getattr(self, key), allowed="0 or more seconds")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that an environment can be asked for.

    Raises:
        ConfigError: a value is out of its range.
        UnknownNameError: there are no such stages, or no such backend.
    """

    scenario: str = "resco:cologne1"
    """A scenario's name, or a path to a `.sumocfg`."""

    observation: str = "area"
    """A module of `intersection.observations`."""

    action: str = "stage"
    """A module of `envs.actions`."""

    reward: str | Mapping[str, float] = "delay"
    """A module of `envs.rewards`, or several with weights."""

    preset: str = "resco"
    """Where the phases' times come from: "resco" (yellow 3 s, no red clearance) or "street" (ITE formulas)."""

    stages: Literal["program", "maximal"] = "program"
    """The stages of the network's programs, or every maximal compatible one."""

    period: float = 5.0
    """Seconds between decisions."""

    sensing_range: float = 200.0
    """How far areas reach, in metres."""

    begin: float | None = None
    """Simulated time at which episodes begin, in seconds after midnight; the scenario's begin by default."""

    duration: float | None = None
    """How long episodes last, in seconds; to the scenario's end by default, and never beyond it."""

    split: Split = Split.TRAIN
    """What the episodes are for."""

    demand: Demand = field(default_factory=Demand)
    """How the demand differs from the scenario's."""

    faults: DetectorFaults | None = None
    """How detectors fail; None: never."""

    backend: Backend | Literal["auto"] = "auto"
    """libsumo, traci, or auto: libsumo where this process has no simulation open yet, otherwise TraCI, slower and with the same traffic."""

    def __post_init__(self) -> None:
        for kind_of, value, known in (
            ("stages", self.stages, ("program", "maximal")),
            ("backend", self.backend, ("auto", "libsumo", "traci")),
        ):
            if value not in known:
                raise UnknownNameError(kind_of, value, known)
        for key, most in (("period", float("inf")), ("sensing_range", FARTHEST), ("duration", float("inf"))):
            value = getattr(self, key)
            if value is not None and not (isfinite(value) and 0.0 < value <= most):
                allowed = f"above 0, up to {most:g} m" if isfinite(most) else "above 0 s"
                raise ConfigError("is out of its range", key=key, value=value, allowed=allowed)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Make options from keyword arguments. Raises UnknownNameError for one that does not exist."""
        known = tuple(each.name for each in fields(cls))
        for name in options:
            if name not in known:
                raise UnknownNameError("option", name, known)
        return cls(**options)

    def timing(self) -> Timing:
        """Look the preset up. Raises UnknownNameError."""
        if self.preset not in PRESETS:
            raise UnknownNameError("preset", self.preset, PRESETS)
        return PRESETS[self.preset]


@lru_cache(maxsize=16)
def network_of(
    scenario: Scenario, timing: Timing, stages: Literal["program", "maximal"] = "program", sensing_range: float = 200.0
) -> Network:
    """Import a scenario's network, once a process."""
    return import_network(
        scenario.net_file,
        additional_files=scenario.additional_files,
        timing=timing,
        stages=stages,
        sensing_range=sensing_range,
        begin=scenario.begin,
    )


def fallback(config: IntersectionConfig) -> Policy:
    """Make the plan by which a signal runs that nobody else controls: its program, or whatever it shows where it has none."""
    return FixedTime(config) if config.patterns else Hold(period=10)


class Traffic:
    """Episodes of one scenario for agents that each answer for one signal."""

    def __init__(self, options: Options, controlled: Sequence[str] | None = None, *, gui: bool = False) -> None:
        """Prepare a scenario; `reset` begins an episode.

        Args:
            options: what is wanted.
            controlled: the signals that agents answer for; all by default. The others follow their programs.
            gui: show sumo-gui.

        Raises:
            UnknownNameError: no such scenario, observation, action, reward, preset or signal.
            ConfigError: a value is out of its range, or the network cannot be imported.
        """
        self.options = options
        self.scenario = find(options.scenario)
        check_routes(self.scenario)
        self.network = network_of(self.scenario, options.timing(), options.stages, options.sensing_range)
        self.kind = kind(options.observation)
        self.action: ActionKind = plugins.load("envs.actions", options.action, "action").Kind()
        self.reward = RewardSpec.of(options.reward)
        self.period: Tenths = round(options.period * TENTHS)
        self._check_times()
        self.simulation = Simulation(
            self.scenario,
            self.network,
            sensors=sensors_for(self.kind.detectors, self.reward.needs),
            whole_lane=self.kind.whole_lane,
            faults=options.faults,
            gui=gui,
        )
        self.end: Tenths = self.simulation.end
        self._finalizer = weakref.finalize(self, _end, self.simulation)
        signals = self.simulation.signals_of
        names = [signal.id for signal in signals]
        for name in controlled or ():
            if name not in names:
                raise UnknownNameError("signal", name, names)
        self.agents = tuple(at for at, name in enumerate(names) if controlled is None or name in controlled)
        self._others = {at: fallback(signal.config) for at, signal in enumerate(signals) if at not in self.agents}
        self.specs = tuple(ObservationSpec(signal.config, self.kind) for signal in signals)
        self.meter = Meter(self.simulation, self.reward.needs)
        loops = [at for at, detector in enumerate(self.simulation.sensors.detectors) if detector.kind in LOOPS]
        self._passages, self._presence = (Channel.COUNT, loops), (Channel.OCCUPANCY, loops)
        self.encoder = Encoder(self.specs)

    def _check_times(self) -> None:
        """Check what only the scenario can tell: its hours and its step."""
        options, scenario = self.options, self.scenario
        step = round(scenario.step_length * TENTHS)
        begin = scenario.begin if options.begin is None else options.begin
        for key, value in (("period", options.period), ("begin", begin - scenario.begin)):
            if round(value * TENTHS) % step or self.period == 0:
                raise ConfigError(
                    "decisions fall on SUMO's steps", key=key, value=getattr(options, key), allowed=f"multiples of {step / TENTHS:g} s"
                )
        if not scenario.begin <= begin < scenario.end:
            raise ConfigError(
                f"{scenario.name} does not run then", key="begin", value=begin, allowed=f"{scenario.begin:g} up to {scenario.end:g} s"
            )
        if begin + options.demand.shift >= scenario.end:
            raise ConfigError(
                f"{scenario.name} would have ended",
                key="demand.shift",
                value=options.demand.shift,
                allowed=f"below {scenario.end - begin:g} s",
            )
        self._begin = begin

    @property
    def signals(self) -> tuple[SumoSignal, ...]:
        """The signals that agents answer for."""
        return tuple(self.simulation.signals_of[at] for at in self.agents)

    @property
    def done(self) -> bool:
        """Whether the episode's time is up."""
        return self.simulation.now >= self.end

    def reset(self, rng: np.random.Generator) -> dict[str, Any]:
        """Begin an episode.

        Args:
            rng: from which the seed and the demand of the episode are drawn.

        Returns:
            What was drawn: SUMO's seed, the demand's scale, and the begin in simulated seconds.
        """
        demand = self.options.demand
        seed = self.options.split.draw(rng)
        scale = float(rng.uniform(*demand.scale)) if demand.scale[0] < demand.scale[1] else demand.scale[0]
        step = self.scenario.step_length
        begin = self._begin + float(rng.integers(0, int(demand.shift / step) + 1)) * step
        jitter = ("--random-depart-offset", str(demand.jitter)) if demand.jitter else ()
        return self.begin(seed, scale=scale, begin=begin, extra_args=jitter)

    def begin(self, seed: int, *, scale: float = 1.0, begin: float | None = None, **options: Any) -> dict[str, Any]:
        """Begin an episode with a given seed of SUMO, and demand; further options as in `Simulation.reset`."""
        begin = self._begin if begin is None else begin
        simulation = self.simulation
        if simulation.session is None:
            wanted = self.options.backend
            simulation.backend = wanted if wanted != "auto" else "libsumo" if libsumo_is_free() and not simulation.gui else "traci"
        simulation.reset(seed, scale=scale, begin=begin, **options)
        duration = self.options.duration
        self.end = simulation.end if duration is None else min(simulation.now + round(duration * TENTHS), simulation.end)
        with self.simulation.translating():
            self.meter.reset()
            self.measures = self.before = self.meter.measure()
        self.elapsed = 0.0
        self._encode()
        return {"sumo_seed": seed, "demand_scale": scale, "begin": begin}

    def step(self, answers: Sequence[Any]) -> list[Verdict | None]:
        """Carry out one answer an agent, let the decision's time pass, and take measures.

        Returns:
            For each agent the gate's verdict on what it proposed; of several the last that is not Granted, if there is one.

        Raises:
            SimulationError: SUMO failed or ended, or no episode has begun.
        """
        simulation = self.simulation
        now = simulation.now
        until = min(now + self.action.duration(self.period), self.end)
        with simulation.translating():
            if not self._others and not self.action.insists:
                script, period = self.action.script, self.period
                verdicts = simulation.advance(
                    [
                        script(answer, signal.state, signal.tables, period)[0][1]
                        for answer, signal in zip(answers, simulation.signals, strict=True)
                    ],
                    until,
                )
            else:
                verdicts = self._step_finely(answers, until)
            self.before, self.measures = self.measures, self.meter.measure()
        self.elapsed = (until - now) / TENTHS
        self._encode()
        return verdicts if not self._others else [verdicts[at] for at in self.agents]

    def _step_finely(self, answers: Sequence[Any], until: Tenths) -> list[Verdict | None]:
        """Go second by second, as plans want it; at the end the loops have counted over the whole decision all the same."""
        simulation = self.simulation
        scripts = {
            at: self.action.script(answer, simulation.signals[at].state, simulation.signals[at].tables, self.period)
            for at, answer in zip(self.agents, answers, strict=True)
        }
        began = simulation.now
        told: list[Verdict | None] = [None] * len(simulation.signals)
        step = max(TENTHS, round(self.scenario.step_length * TENTHS))
        values = simulation.sensors.values
        passed, occupied = np.zeros_like(values[self._passages]), np.zeros_like(values[self._presence])
        while (now := simulation.now) < until:
            proposals: list[Proposal | None] = [None] * len(simulation.signals)
            for at, script in scripts.items():
                if self.action.insists or now == began:
                    proposals[at] = [proposal for since, proposal in script if since <= now - began][-1]
            for at, policy in self._others.items():
                proposals[at] = policy.propose(Observation(simulation.signals[at].state, simulation.readings(at)))
            verdicts = simulation.advance(proposals, min(now + step, until))
            for at, verdict in enumerate(verdicts):
                if verdict is not None and (told[at] is None or not isinstance(verdict, Granted)):
                    told[at] = verdict
            passed += values[self._passages]
            occupied += values[self._presence] * (simulation.now - now)
        if until > began:
            values[self._passages], values[self._presence] = passed, occupied / (until - began)
        return told

    def rewards(self) -> PerSignal:
        """Give every agent's reward for the last decision."""
        total = self.reward.total(self.before, self.measures, self.elapsed)
        return total if not self._others else total[list(self.agents)]

    def terms(self) -> dict[str, PerSignal]:
        """Give the parts of every agent's reward by name, weighted."""
        terms = self.reward.terms(self.before, self.measures, self.elapsed)
        return terms if not self._others else {name: value[list(self.agents)] for name, value in terms.items()}

    def infos(self, answers: Sequence[Any], verdicts: Sequence[Verdict | None]) -> list[dict[str, Any]]:
        """Give what Gymnasium and PettingZoo call an info, one an agent, all new.

        Returns:
            "verdict", what the gate made of the answer; "asked", the answer; "rewards", the terms by name; "action_mask", int8, 1 where
            the gate would carry the answer out now.
        """
        terms = {name: values.tolist() for name, values in self.terms().items()}
        return [
            {
                "verdict": verdict,
                "asked": np.array(answer) if isinstance(answer, np.ndarray) else answer,
                "rewards": {name: values[at] for name, values in terms.items()},
                "action_mask": np.array(self.mask(at), np.int8),
            }
            for at, (answer, verdict) in enumerate(zip(answers, verdicts, strict=True))
        ]

    def mask(self, agent: int) -> list[bool]:
        """Tell which answers of an agent the gate would carry out now."""
        signal = self.simulation.signals[self.agents[agent]]
        return self.action.mask(signal.state, signal.tables)

    def _encode(self) -> None:
        sensors = self.simulation.sensors
        self.encoder.encode([signal.state for signal in self.simulation.signals], sensors.values, sensors.valid)

    def observation(self, agent: int) -> Values:
        """Give an agent's observation vector, a copy that it may keep."""
        return self.encoder.vectors[self.agents[agent]].copy()

    def close(self) -> None:
        """End the simulation. Ending it again does nothing."""
        self._finalizer.detach()
        self.simulation.close()


def _end(simulation: Simulation) -> None:
    """End a simulation that was left open; nobody is there any more to hear of a fault."""
    with suppress(PhasewiseError):
        simulation.close()
