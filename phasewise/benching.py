"""`phasewise bench env`: the environment against a bare SUMO loop that replays the very same signal states, pair by pair in one run."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from envs.scenario import find
from envs.seeds import Split
from envs.sumo_session import SumoSession
from envs.traffic import Options, Traffic
from intersection.errors import RuntimeFault
from intersection.observation import Observation
from phasewise import parallel, policies
from phasewise.console import out

SEED = 7
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


def bench_environment(scenarios: Sequence[str], *, pairs: int, rival: bool) -> None:
    """Time each scenario and print the median ratio over interleaved pairs, each side in a fresh process."""
    table = Table(title="Simulated seconds a second: 5 s decisions, area observation, delay reward")
    for column in ("scenario", "bare SUMO loop", "environment", "ratio (median)", "all ratios", "sumo-rl, its own control"):
        table.add_column(column, justify="left" if column == "scenario" else "right")
    for name in scenarios:
        duration = find(name).duration
        recording: Recording = _alone(record, name)
        bare, ours = [], []
        for _ in range(pairs):
            ours.append(_alone(partial(time_environment, recording=recording), name))
            bare.append(_alone(partial(time_bare, recording=recording), name))
        ratios = [a / b for a, b in zip(ours, bare, strict=True)]
        theirs = f"{duration / _alone(time_rival, name):,.0f}" if rival and name.startswith("resco:") else "not timed"
        table.add_row(
            name,
            f"{duration / median(bare):,.0f}",
            f"{duration / median(ours):,.0f}",
            f"{median(ratios):.2f}",
            " ".join(f"{ratio:.2f}" for ratio in ratios),
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
    answers = []
    begin = simulation.now
    while not traffic.done:
        asked = [
            agent.propose(Observation(simulation.signals[at].state, simulation.readings(at))).stage or 0 for at, agent in enumerate(agents)
        ]
        answers.append(tuple(asked))
        traffic.step(asked)
    traffic.close()
    shown: dict[int, list[tuple[str, str]]] = {}
    for at, signal, letters in log:
        shown.setdefault(at, []).append((signal, letters))
    return Recording(tuple(answers), tuple((at / 10, tuple(shown.get(at, ()))) for at in steps), (*first, *shown.get(begin, ())))


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
