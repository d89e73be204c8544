"""`phasewise bench`: how fast the environment is, how it scales over processes, and whether it keeps its memory.

`bench env` times it against a bare SUMO loop that replays the very same signal states, pair by pair in one run.
"""

import os
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.table import Table

from envs.scenario import find
from envs.seeds import Split
from envs.sumo_session import SumoSession
from envs.traffic import Options, Traffic
from envs.vector_env import SignalVecEnv
from intersection.errors import RuntimeFault
from intersection.observation import Observation
from phasewise import parallel, policies
from phasewise.console import out

SEED = 7
SETTLED = 10
"""After so many episodes everything that is made once has been made."""

MEBI = 1 << 10
"""KiB in a MiB."""

POLICY = "max_wave"
"""Whose stages are recorded once and then replayed on both sides."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What both sides repeat."""

    answers: tuple[tuple[int, ...], ...]
    """For each decision the stage of each signal."""

    steps: tuple[tuple[float, tuple[tuple[str, str], ...]], ...]
    """For each step of the simulation its end, and the states that are shown then: (signal, letters)."""

    first: tuple[tuple[str, str], ...]
    """The states at the begin."""

    decisions: frozenset[float]
    """The ends of steps at which a decision is due."""


def bench_environment(scenarios: Sequence[str], *, pairs: int, rival: bool) -> None:
    """Time each scenario and print the median ratio over interleaved pairs, each side in a fresh process.

    Beside it stands what reading the detectors alone costs, by the same getters: no environment over SUMO's interface can be cheaper.
    """
    table = Table(title="Simulated seconds a second: 5 s decisions, area observation, delay reward")
    for column in (
        "scenario",
        "bare SUMO loop",
        "environment",
        "ratio (median)",
        "all ratios",
        "reading alone",
        "sumo-rl, its own control",
    ):
        table.add_column(column, justify="left" if column == "scenario" else "right")
    for name in scenarios:
        duration = find(name).duration
        recording: Recording = _alone(record, name)
        bare, ours, reading = [], [], []
        for _ in range(pairs):
            ours.append(_alone(partial(time_environment, recording=recording), name))
            bare.append(_alone(partial(time_bare, recording=recording), name))
            reading.append(_alone(partial(time_reading, recording=recording), name))
        ratios = [a / b for a, b in zip(ours, bare, strict=True)]
        least = median(a / b for a, b in zip(reading, bare, strict=True))
        theirs = f"{duration / _alone(time_rival, name):,.0f}" if rival and name.startswith("resco:") else "not timed"
        table.add_row(
            name,
            f"{duration / median(bare):,.0f}",
            f"{duration / median(ours):,.0f}",
            f"{median(ratios):.2f}",
            " ".join(f"{ratio:.2f}" for ratio in ratios),
            f"{least:.2f}",
            theirs,
        )
    out.print(table)


def _alone(function: Any, name: str) -> Any:  # noqa: ANN401  # a measurement, or a recording
    """Run one function in a fresh process."""
    for _, result in parallel.each(function, [name], title="", workers=1, quiet=True):
        return result
    raise RuntimeFault("a measurement gave nothing")


def _traffic(name: str) -> Traffic:
    traffic = Traffic(Options(scenario=name, split=Split.TEST))
    traffic.begin(SEED)
    return traffic


def record(name: str) -> Recording:
    """Let a baseline control a scenario through the environment and note all that it did."""
    traffic = _traffic(name)
    simulation = traffic.simulation
    if simulation.session is None:
        raise RuntimeFault("the simulation did not start")
    log: list[tuple[int, str, str]] = []
    steps: list[int] = []
    first = tuple((signal.sumo.id, signal.shown) for signal in simulation.signals)
    show, step_to = simulation._show_letters, simulation.session.step_to  # noqa: SLF001  # the recorder stands between the two

    def showing(signal: str, letters: str) -> None:
        log.append((simulation.now, signal, letters))
        show(signal, letters)

    def stepping(until: float) -> None:
        steps.append(round(until * 10))
        step_to(until)

    simulation._show_letters = showing  # noqa: SLF001
    simulation.session.step_to = stepping  # type: ignore[method-assign]
    chosen = policies.find(POLICY, scenario=name, preset="resco", observation="area")
    if chosen.make is None:
        raise RuntimeFault(f"{POLICY} cannot be asked for stages")
    agents = [chosen.make(signal.config) for signal in simulation.signals_of]
    answers, decisions = [], []
    begin = simulation.now
    while not traffic.done:
        asked = [
            agent.propose(Observation(simulation.signals[at].state, simulation.readings(at))).stage or 0 for at, agent in enumerate(agents)
        ]
        answers.append(tuple(asked))
        traffic.step(asked)
        decisions.append(simulation.now / 10)
    traffic.close()
    shown: dict[int, list[tuple[str, str]]] = {}
    for at, signal, letters in log:
        shown.setdefault(at, []).append((signal, letters))
    return Recording(
        tuple(answers),
        tuple((at / 10, tuple(shown.get(at, ()))) for at in steps),
        (*first, *shown.get(begin, ())),
        frozenset(decisions),
    )


def time_environment(name: str, recording: Recording) -> float:
    """Replay the answers through the environment, observations and rewards included, and return the seconds it took."""
    traffic = _traffic(name)
    agents = range(len(traffic.agents))
    began = time.perf_counter()
    for answers in recording.answers:
        traffic.step(answers)
        traffic.rewards()
        for agent in agents:
            traffic.observation(agent)
    took = time.perf_counter() - began
    traffic.close()
    return took


def time_bare(name: str, recording: Recording) -> float:
    """Replay the signal states in a bare loop that steps to the same times, and return the seconds it took."""
    with SumoSession.start(find(name), seed=SEED) as session:
        step, show = session.api.simulationStep, session.api.trafficlight.setRedYellowGreenState
        for signal, letters in recording.first:
            show(signal, letters)
        began = time.perf_counter()
        for until, shown in recording.steps:
            step(until)
            for signal, letters in shown:
                show(signal, letters)
        return time.perf_counter() - began


def time_reading(name: str, recording: Recording) -> float:
    """Replay as in `time_bare`, read the detectors at each decision and do nothing with them; return the seconds it took."""
    sensors = Traffic(Options(scenario=name)).simulation.sensors
    with SumoSession.start(find(name), seed=SEED) as session:
        sensors.bind(session)
        step, show = session.api.simulationStep, session.api.trafficlight.setRedYellowGreenState
        for signal, letters in recording.first:
            show(signal, letters)
        began = time.perf_counter()
        for until, shown in recording.steps:
            step(until)
            if until in recording.decisions:
                sensors.read(5.0)
            for signal, letters in shown:
                show(signal, letters)
        return time.perf_counter() - began


def time_rival(name: str) -> float:
    """Run sumo-rl on the same scenario over libsumo, its signals on their own programs, and return the seconds it took."""
    os.environ["LIBSUMO_AS_TRACI"] = "1"
    import sumo

    os.environ.setdefault("SUMO_HOME", str(Path(sumo.SUMO_HOME)))
    import sumo_rl

    scenario = find(name)
    env = sumo_rl.SumoEnvironment(
        net_file=str(scenario.net_file),
        route_file=",".join(map(str, scenario.route_files)),
        begin_time=int(scenario.begin),
        num_seconds=int(scenario.duration),
        delta_time=5,
        yellow_time=3,
        sumo_seed=SEED,
        sumo_warnings=False,
        fixed_ts=True,
        time_to_teleport=-1,
    )
    env.reset()
    began = time.perf_counter()
    for _ in range(int(scenario.duration // 5)):
        env.step({})
    took = time.perf_counter() - began
    env.close()
    return took


def bench_scaling(scenario: str, *, pairs: int, seconds: float) -> None:
    """Time one and two processes, interleaved, each pair for the same work a process, and print how many times one two are.

    Once as runs that know nothing of each other, as evaluations are; once as two networks of one vector environment, which wait for
    each other at every decision, as in training.
    """
    table = Table(title=f"Two processes against one: {scenario}, {seconds:g} simulated seconds a process")
    for column in ("", "one", "two", "ratio (median)", "all ratios"):
        table.add_column(column, justify="left" if not column else "right")
    for title, measure in (("runs of their own", _time_apart), ("a vector environment", _time_vector)):
        rates = [(measure(scenario, 1, seconds), measure(scenario, 2, seconds)) for _ in range(pairs)]
        ratios = [two / one for one, two in rates]
        table.add_row(
            title,
            f"{median(one for one, _ in rates):,.0f}",
            f"{median(two for _, two in rates):,.0f}",
            f"{median(ratios):.2f}",
            " ".join(f"{ratio:.2f}" for ratio in ratios),
        )
    out.print(table)
    out.print("simulated seconds a second, of all processes together")


def _time_apart(scenario: str, processes: int, seconds: float) -> float:
    """Let some processes run by themselves, and return the simulated seconds that all of them have made in a second."""
    with ThreadPoolExecutor(processes) as pool:
        took: list[float] = list(pool.map(lambda _: _alone(partial(time_random, seconds=seconds), scenario), range(processes)))
    return sum(seconds / each for each in took)


def time_random(scenario: str, seconds: float) -> float:
    """Run the environment under random stages for a while, and return the seconds it took."""
    traffic = _traffic(scenario)
    rng = np.random.default_rng(SEED)
    agents = range(len(traffic.agents))
    sizes = [len(signal.config.stages) for signal in traffic.signals]
    began = time.perf_counter()
    for _ in range(round(seconds / traffic.options.period)):
        if traffic.done:
            traffic.begin(SEED)
        traffic.step(rng.integers(sizes).tolist())
        traffic.rewards()
        for agent in agents:
            traffic.observation(agent)
    took = time.perf_counter() - began
    traffic.close()
    return took


def _time_vector(scenario: str, processes: int, seconds: float) -> float:
    """Let a vector environment run some networks, and return the simulated seconds that all of them have made in a second."""
    env = SignalVecEnv([Options(scenario=scenario)] * processes, seed=SEED)
    try:
        env.reset()
        rng = np.random.default_rng(SEED)
        decisions = round(seconds / env.networks[0].period)
        began = time.perf_counter()
        for _ in range(decisions):
            env.step(np.array([rng.choice(np.flatnonzero(mask)) for mask in env.action_masks()]))
        rate: float = processes * seconds / (time.perf_counter() - began)
        return rate
    finally:
        env.close()


def bench_memory(scenario: str, *, episodes: int, seconds: float) -> None:
    """Run many episodes in one process and print by how much its memory has grown since the tenth."""
    sizes: list[int] = _alone(partial(memory_of, episodes=episodes, seconds=seconds), scenario)
    settled = sizes[min(SETTLED, len(sizes)) - 1]
    out.print(
        f"{scenario}: {episodes} episodes of {seconds:g} s; after the first {sizes[0] / MEBI:.1f} MiB, after the {SETTLED}th "
        f"{settled / MEBI:.1f} MiB, after the last {sizes[-1] / MEBI:.1f} MiB: {100 * (sizes[-1] / settled - 1):+.1f} %"
    )


def memory_of(scenario: str, episodes: int, seconds: float) -> list[int]:
    """Run episodes one after another and return the most memory that was ever resident, after each, in KiB."""
    traffic = Traffic(Options(scenario=scenario, split=Split.TEST, duration=seconds))
    sizes = []
    for episode in range(episodes):
        traffic.begin(SEED + episode)
        while not traffic.done:
            traffic.step([0] * len(traffic.agents))
            traffic.rewards()
        sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    traffic.close()
    return sizes
