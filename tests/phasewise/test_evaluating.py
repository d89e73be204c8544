import json
import math
from pathlib import Path
from statistics import fmean
from xml.etree import ElementTree as ET

import pytest

from envs.evaluation import evaluate
from phasewise.evaluating import evaluate_policy, runs_of, summary
from tests.envs import sumo_tools
from tests.phasewise.synthetic import episode

END_S = 150

TOP = ["scenario", "policy", "seeds", "sumo_version", "scenario_sha256", "delay_s", "per_seed"]
PER_SEED = [
    *("seed", "delay_s", "time_loss_s", "due", "inserted", "finished", "p95_wait_s", "max_wait_s", "max_red_s", "stops"),
    *("co2_kg", "fuel_l", "teleports", "collisions", "emergency_brakings", "gridlocked", "violations"),
]

FLOWS = {"a": ("AB", "BC", 2), "e": ("EB", "BD", 3)}
"""First edge, last edge and seconds between two vehicles: more than the crossroads let in."""


@pytest.fixture(scope="module")
def crossroads(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build a scenario of flows, trips and vehicles, some of which never get in."""
    folder = tmp_path_factory.mktemp("scenario")
    net = sumo_tools.crossroads(folder)
    demand = [
        f'<flow id="{name}" begin="0" end="{END_S}" period="{period}" from="{origin}" to="{destination}"/>'
        for name, (origin, destination, period) in FLOWS.items()
    ]
    demand += ['<trip id="t" depart="20" from="EB" to="BC"/>', '<vehicle id="v" depart="30"><route edges="AB BD"/></vehicle>']
    (folder / "demand.rou.xml").write_text(f"<routes>{''.join(demand)}</routes>", encoding="utf-8")
    config = folder / "crossroads.sumocfg"
    config.write_text(
        f'<configuration><net-file value="{net.name}"/><route-files value="demand.rou.xml"/><end value="{END_S}"/></configuration>',
        encoding="utf-8",
    )
    return str(config)


def due_of(vehicle: str) -> float:
    """Tell from the demand alone when a vehicle was due, in seconds."""
    flow, _, number = vehicle.partition(".")
    return {"t": 20.0, "v": 30.0}[flow] if not number else float(int(number) * FLOWS[flow][2])


def judged(record: Path) -> dict[str, float]:
    """Judge a record of trips by nothing but its XML and the demand."""
    trips = list(ET.parse(record).getroot().iter("tripinfo"))
    delays, losses, waits, stops, co2, fuel, finished = [], [], [], [], 0.0, 0.0, 0
    for trip in trips:
        if float(trip.attrib["depart"]) < 0:
            delays.append(END_S - due_of(trip.attrib["id"]))
            continue
        late = float(trip.attrib["depart"]) - due_of(trip.attrib["id"])
        losses.append(float(trip.attrib["timeLoss"]))
        delays.append(losses[-1] + late)
        waits.append(float(trip.attrib["waitingTime"]))
        stops.append(float(trip.attrib["waitingCount"]))
        finished += float(trip.attrib["arrival"]) >= 0
        emitted = trip.find("emissions")
        assert emitted is not None
        co2 += float(emitted.attrib["CO2_abs"]) / 1e6
        fuel += float(emitted.attrib["fuel_abs"]) / 1e3
    waits.sort()
    rank = 0.95 * (len(waits) - 1)
    low = math.floor(rank)
    return {
        "delay_s": fmean(delays),
        "time_loss_s": fmean(losses),
        "due": len(trips),
        "inserted": len(losses),
        "finished": finished,
        "p95_wait_s": waits[low] + (rank - low) * (waits[low + 1] - waits[low]),
        "max_wait_s": waits[-1],
        "stops": fmean(stops),
        "co2_kg": co2,
        "fuel_l": fuel,
    }


def test_the_summary_agrees_with_an_independent_reading_of_the_record(crossroads: str, tmp_path: Path) -> None:
    """Every due vehicle counts, one that never got in by the end less its due time; figure by figure, seed by seed, and in the mean."""
    runs = runs_of(crossroads, ["fixed_time"], [101, 102], observation="area", preset="resco", record=tmp_path)

    said = summary([evaluate(run) for run in runs])
    wanted = {seed: judged(tmp_path / f"fixed_time-{seed}-tripinfo.xml") for seed in (101, 102)}

    per_seed = said["per_seed"]
    assert isinstance(per_seed, list)
    assert all(each["due"] == END_S / 2 + END_S / 3 + 2 for each in per_seed)
    assert all(each["inserted"] < each["due"] for each in per_seed)
    for each in per_seed:
        assert wanted[each["seed"]] == pytest.approx({name: each[name] for name in wanted[each["seed"]]}, abs=0.01)
    assert fmean(one["delay_s"] for one in wanted.values()) == pytest.approx(said["delay_s"], abs=0.01)


def test_json_has_the_keys_that_were_promised_and_no_other(crossroads: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The last line of standard output is one object, in the order of the documentation."""
    evaluate_policy(crossroads, "fixed_time", seeds="103", observation="area", preset="resco", record=None, json=True, scale=0.5, workers=1)

    found = json.loads(capsys.readouterr().out.splitlines()[-1])

    assert TOP == list(found)
    assert [PER_SEED] == [list(each) for each in found["per_seed"]]
    assert (crossroads, "fixed_time", [103]) == (found["scenario"], found["policy"], found["seeds"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_figure_that_is_no_number_is_null(value: float) -> None:
    """JSON knows neither NaN nor Infinity: what was not recorded is null, and everything else stays."""
    said = summary([episode("a", 101, 20.0, co2_kg=value, max_red_s=value), episode("a", 102, 30.0)])

    found = json.loads(json.dumps(said, allow_nan=False))

    assert [(None, None, 20.0), (246.0, 90.0, 30.0)] == [(each["co2_kg"], each["max_red_s"], each["delay_s"]) for each in found["per_seed"]]
    assert 25.0 == found["delay_s"]
