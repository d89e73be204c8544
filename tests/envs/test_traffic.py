import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from envs.detector_faults import DetectorFaults
from envs.errors import SimulationError
from envs.measuring import sensors_for
from envs.rewards._base import Need
from envs.seeds import Split
from envs.traffic import Demand, Options, Traffic
from intersection.detection import Channel, DetectorKind
from intersection.errors import ConfigError, UnknownNameError, UserError
from intersection.shield import Amended, Granted, Reason
from intersection.state import NO_STAGE
from tests.envs.session_contract import fresh_process

EPISODE = """
    import json, sys
    import numpy as np
    from envs.detector_faults import DetectorFaults
    from envs.traffic import Demand, Options, Traffic

    given = json.loads(sys.argv[1])
    faults = DetectorFaults(dropout=0.1, miss=0.1, speed_noise=0.1) if given.pop("faulty", False) else None
    demand = Demand(scale=(0.8, 1.2), shift=300.0, jitter=5.0)
    traffic = Traffic(Options(duration=300.0, demand=demand, faults=faults, **given))
    print(traffic.reset(np.random.default_rng(7)))
    answers = np.random.default_rng(8)
    while not traffic.done:
        verdicts = traffic.step(answers.integers(0, 3, len(traffic.agents)).tolist())
        vectors = [traffic.observation(agent).tobytes().hex() for agent in range(len(traffic.agents))]
        print(verdicts, traffic.rewards().tolist(), vectors)
    traffic.close()
"""
"""Prints everything that comes of an episode."""


def episode(**options: Any) -> str:
    """Run an episode in a fresh process and give all that it showed."""
    return fresh_process(EPISODE, json.dumps(options))


@pytest.mark.parametrize(
    "options",
    [
        {"scenario": "resco:cologne1", "reward": {"delay": 1.0, "co2": 0.1, "waiting": 0.1, "throughput": 1.0, "pressure": 1.0}},
        {"scenario": "resco:cologne3", "observation": "loops", "faulty": True},
    ],
)
def test_the_same_seed_gives_the_same_episode_in_fresh_processes(options: dict[str, Any]) -> None:
    """Observations, verdicts and rewards repeat to the last bit, faults of detectors included."""
    assert episode(**options) == episode(**options)


@pytest.mark.parametrize("observation", ["area", "loops"])
def test_backends_give_the_same_episode(observation: str) -> None:
    """The backends give the same observations, verdicts and rewards for the same seed."""
    both = [episode(observation=observation, reward={"delay": 1.0, "waiting": 0.1}, backend=backend) for backend in ("libsumo", "traci")]

    assert both[0] == both[1]


def test_a_step_with_other_signals_counts_what_passed_in_it() -> None:
    """Where other signals follow their plans second by second, loops still tell what passed in the whole decision."""
    traffic = Traffic(Options(scenario="resco:cologne3", observation="loops", backend="traci"), ["360086"])
    traffic.reset(np.random.default_rng(1))
    assert traffic.simulation.session is not None
    api = traffic.simulation.session.api
    loops = [
        (column, [name for name in api.inductionloop.getIDList() if name.startswith(f"phasewise/{owner.id}/{detector.id}/")])
        for owner, columns in zip(traffic.simulation.signals_of, traffic.simulation.sensors.columns, strict=True)
        for column, detector in zip(range(columns.start, columns.stop), owner.config.detectors, strict=True)
        if detector.kind is DetectorKind.STOP_BAR
    ]

    def passed() -> list[int]:
        return [sum(api.inductionloop.getIntervalVehicleNumber(name) for name in names) for _, names in loops]

    for _ in range(20):
        before = passed()
        traffic.step([0])
        counted = [float(traffic.simulation.sensors.values[Channel.COUNT, column]) for column, _ in loops]
        assert [float(b - a) for a, b in zip(before, passed(), strict=True)] == counted
    traffic.close()


def test_a_decision_is_put_to_the_gate_once() -> None:
    """An answer that the gate held back is not carried out later in the same decision, though other signals are asked every second."""
    traffic = Traffic(Options(scenario="resco:cologne3", duration=60.0, backend="traci"), ["360086"])
    traffic.reset(np.random.default_rng(1))
    controlled = traffic.simulation.signals[traffic.agents[0]]
    running = controlled.state.stage
    other, third = (running + 1) % 4, (running + 2) % 4
    traffic.step([running])
    traffic.step([other])
    arrived = controlled.state.stage, controlled.state.arrived - traffic.simulation.now

    [verdict] = traffic.step([third])

    assert (other, -20) == arrived
    assert isinstance(verdict, Amended)
    assert (Reason.MIN_GREEN, other, NO_STAGE) == (verdict.reason, controlled.state.stage, controlled.state.target)
    traffic.close()


def test_others_follow_their_programs() -> None:
    """A signal that no agent answers for goes through the stages of its program."""
    traffic = Traffic(Options(scenario="resco:cologne3", duration=150.0, backend="traci"), ["360086"])
    traffic.reset(np.random.default_rng(1))
    seen = set()
    while not traffic.done:
        traffic.step([0])
        seen.add(traffic.simulation.signals[0].state.stage)
    traffic.close()

    assert {0, 1, 2} == seen


def test_demand_is_drawn_within_its_bounds() -> None:
    """Each episode draws a training seed, a scale and a later begin; the same generator draws the same."""
    demand = Demand(scale=(0.5, 1.5), shift=600.0, jitter=10.0)
    traffic = Traffic(Options(duration=10.0, demand=demand, backend="traci"))

    def drawn() -> list[dict[str, Any]]:
        rng = np.random.default_rng(3)
        return [traffic.reset(rng) for _ in range(4)]

    first = drawn()
    assert first == drawn()
    traffic.close()
    assert {Split.TRAIN} == {Split.of(each["sumo_seed"]) for each in first}
    assert 4 == len({each["demand_scale"] for each in first})
    for each in first:
        assert 0.5 <= each["demand_scale"] <= 1.5
        assert 25200.0 <= each["begin"] <= 25800.0


@pytest.mark.parametrize("split", [Split.VALIDATION, Split.TEST])
def test_a_split_draws_its_own_seeds(split: Split) -> None:
    """Validation and test episodes have seeds of their own ranges."""
    traffic = Traffic(Options(split=split, duration=10.0, backend="traci"))
    drawn = traffic.reset(np.random.default_rng(3))
    traffic.close()

    assert split is Split.of(drawn["sumo_seed"])


def test_an_episode_lasts_as_long_as_it_is_asked_to() -> None:
    """It begins and ends when it should; the last decision is as short as it must be."""
    traffic = Traffic(Options(begin=25300.0, duration=12.0, backend="traci"))
    traffic.reset(np.random.default_rng(1))
    instants = [traffic.simulation.now]
    while not traffic.done:
        traffic.step([0])
        instants.append(traffic.simulation.now)
    traffic.close()

    assert [253000, 253050, 253100, 253120] == instants


def test_rewards_see_through_faults() -> None:
    """An agent whose detectors are all stuck off is rewarded for the traffic that there is."""
    traffic = Traffic(Options(begin=25500.0, faults=DetectorFaults(stuck_off=1.0), reward="queue", backend="traci"))
    traffic.reset(np.random.default_rng(1))
    for _ in range(20):
        traffic.step([0])
    reported = traffic.simulation.sensors.values[Channel.QUEUE].sum()
    [reward] = traffic.rewards()
    traffic.close()

    assert 0.0 == reported
    assert reward < 0.0


@pytest.mark.parametrize("answer", [0, 1])
def test_sumo_dying_is_told_in_one_message(answer: int) -> None:
    """Where SUMO is killed in an episode, the next decision ends in one error, also where it shows lamps first; a new episode can begin."""
    traffic = Traffic(Options(duration=60.0, backend="traci"))
    traffic.reset(np.random.default_rng(1))
    traffic.step([0])
    [sumo] = [child for child in psutil.Process().children() if child.name() == "sumo"]
    os.kill(sumo.pid, signal.SIGKILL)

    with pytest.raises(SimulationError) as error:
        traffic.step([answer])
    traffic.reset(np.random.default_rng(1))
    [verdict] = traffic.step([0])
    traffic.close()

    assert str(error.value).startswith("resco:cologne1: SUMO failed")
    assert "\n" not in str(error.value)
    assert isinstance(verdict, Granted)


def test_nothing_runs_before_the_first_episode_or_after_the_end() -> None:
    """A step without an episode says what is missing; closing twice is nothing."""
    traffic = Traffic(Options(duration=60.0, backend="traci"))
    for _ in range(2):
        with pytest.raises(SimulationError, match="no episode has begun, or the simulation was closed; reset it first"):
            traffic.step([0])
        traffic.reset(np.random.default_rng(1))
        traffic.close()
        traffic.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"period": 0.0}, "period = 0.0: is out of its range; allowed: above 0 s"),
        ({"period": 2.5}, "period = 2.5: decisions fall on SUMO's steps; allowed: multiples of 1 s"),
        ({"period": float("nan")}, "period = nan: is out of its range; allowed: above 0 s"),
        ({"sensing_range": 250.0}, "sensing_range = 250.0: is out of its range; allowed: above 0, up to 200 m"),
        ({"duration": -1.0}, "duration = -1.0: is out of its range; allowed: above 0 s"),
        ({"begin": 10.0}, "begin = 10.0: resco:cologne1 does not run then; allowed: 25200 up to 28800 s"),
        ({"begin": 25200.5}, "begin = 25200.5: decisions fall on SUMO's steps; allowed: multiples of 1 s"),
        ({"demand": Demand(shift=3600.0)}, "demand.shift = 3600.0: resco:cologne1 would have ended; allowed: below 3600 s"),
    ],
)
def test_impossible_times_are_refused(options: dict[str, Any], words: str) -> None:
    """A value that no episode can have is refused, with the key and what is allowed."""
    with pytest.raises(ConfigError) as error:
        Traffic(Options.of(options))

    assert words == str(error.value)


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        ({"scale": (0.0, 1.0)}, "a range of factors runs from low to high"),
        ({"scale": (1.2, 0.8)}, "a range of factors runs from low to high"),
        ({"shift": -1.0}, "demand.shift = -1.0: cannot be negative"),
        ({"jitter": -1.0}, "demand.jitter = -1.0: cannot be negative"),
    ],
)
def test_impossible_demand_is_refused(demand: dict[str, Any], words: str) -> None:
    """A demand out of its range is refused."""
    with pytest.raises(ConfigError, match=words):
        Demand(**demand)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scenario": "resco:cologn1"}, r"unknown scenario or .sumocfg file 'resco:cologn1'; did you mean 'resco:cologne1'\?"),
        ({"observation": "areas"}, r"unknown observation 'areas'; did you mean 'area'\?"),
        ({"action": "stages"}, r"unknown action 'stages'; did you mean 'stage'\?"),
        ({"reward": "delays"}, r"unknown reward 'delays'; did you mean 'delay'\?"),
        ({"preset": "rescue"}, r"unknown preset 'rescue'; did you mean 'resco'\?"),
        ({"stages": "programme"}, r"unknown stages 'programme'; did you mean 'program'\?"),
        ({"backend": "libsumu"}, r"unknown backend 'libsumu'; did you mean 'libsumo'\?"),
        ({"observations": "area"}, r"unknown option 'observations'; did you mean 'observation'\?"),
    ],
)
def test_unknown_names_are_met_by_the_nearest(options: dict[str, Any], words: str) -> None:
    """A slip of the pen is told, with the name that was meant."""
    with pytest.raises(UnknownNameError, match=words):
        Traffic(Options.of(options))


def test_an_unknown_signal_is_met_by_the_nearest() -> None:
    """A signal that the network does not have is told."""
    with pytest.raises(UnknownNameError, match=r"unknown signal '360087'; did you mean '360086'\?"):
        Traffic(Options(scenario="resco:cologne3"), ["360087"])


def test_sumo_refusing_a_scenario_is_told_in_its_own_words(tmp_path: Path) -> None:
    """Demand of another network is refused before anything runs, with the edge that is not there."""
    known = Traffic(Options()).scenario
    routes = tmp_path / "other.rou.xml"
    routes.write_text('<routes><trip id="1" depart="25200" from="nowhere" to="28198821#3"/></routes>')
    config = tmp_path / "other.sumocfg"
    values = {"net-file": known.net_file, "route-files": routes, "begin": known.begin, "end": known.end}
    config.write_text("".join(["<configuration>", *(f'<{key} value="{value}"/>' for key, value in values.items()), "</configuration>"]))

    with pytest.raises(UserError, match="nowhere"):
        Traffic(Options(scenario=str(config)))


def test_sensors_are_those_that_observation_and_reward_need() -> None:
    """Areas are always read, since rewards are measured by them; departures only for pressure; loops only where they are seen."""
    loops = (DetectorKind.STOP_BAR, DetectorKind.ADVANCE)

    assert (DetectorKind.AREA,) == sensors_for((DetectorKind.AREA,), Need.WAITING)
    assert (*loops, DetectorKind.AREA, DetectorKind.DEPARTURE) == sensors_for(loops, Need.DOWNSTREAM)


def test_options_are_told_apart() -> None:
    """Options are values: the same are equal, and a changed copy is not."""
    assert Options() == Options.of({})
    assert Options() != replace(Options(), period=10.0)
