from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from envs.errors import SimulationError
from envs.evaluation import Run, emitted_kg, evaluate
from envs.scenario import find
from envs.sumo_network import RESCO
from envs.traffic import network_of
from envs.trips import Trips, read_trips
from intersection.config import IntersectionConfig
from intersection.observation import Observation
from intersection.shield import Proposal
from tests.envs import sumo_tools


@dataclass
class Stays:
    """Proposes the first stage for ever, every second."""

    config: IntersectionConfig
    period: int = 10

    def propose(self, observation: Observation) -> Proposal:
        """Ask for the first stage."""
        return Proposal(stage=0)


@dataclass
class Blunders(Stays):
    """Asks SUMO for a lane that is not there, after 20 s."""

    asked: int = 0

    def propose(self, observation: Observation) -> Proposal:
        """Ask for the first stage, 20 times."""
        import libsumo

        self.asked += 1
        if self.asked > 20:
            libsumo.lane.getLastStepHaltingNumber("nowhere")
        return super().propose(observation)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Prepare 120 s of the crossroads with more vehicles than it lets in, under a policy that only ever serves the first stage."""
    folder = tmp_path_factory.mktemp("crossroads")
    net = sumo_tools.crossroads(folder)
    flows = '<flow id="a" begin="0" end="120" period="2" from="AB" to="BC"/><flow id="e" begin="0" end="120" period="3" from="EB" to="BD"/>'
    (folder / "demand.rou.xml").write_text(f"<routes>{flows}</routes>", encoding="utf-8")
    config = folder / "crossroads.sumocfg"
    config.write_text(
        f'<configuration><net-file value="{net.name}"/><route-files value="demand.rou.xml"/><end value="120"/></configuration>',
        encoding="utf-8",
    )
    scenario = find(str(config))
    return Run(scenario=scenario, network=network_of(scenario, RESCO), seed=7, policy="stays", make=Stays)


def trips(*, depart: list[float], duration: list[float], kg: list[float]) -> Trips:
    """Make trips of which only these columns matter here; one that departs at NaN never got in."""
    count = len(depart)
    nothing, starts = np.zeros(count), np.array(depart)
    return Trips(
        ids=tuple(map(str, range(count))),
        origins=("",) * count,
        destinations=("",) * count,
        due_s=nothing,
        depart_s=starts,
        arrival_s=starts + np.array(duration),
        time_loss_s=nothing,
        depart_delay_s=nothing,
        waiting_s=nothing,
        duration_s=np.array(duration),
        stops=np.zeros(count, dtype=np.int64),
        removed=np.zeros(count, dtype=np.bool_),
        co2_mg=np.array(kg) * 1e6,
        fuel_ml=nothing,
        person_waiting_s=nothing,
        end_s=100.0,
    )


def test_emissions_grow_while_a_trip_lasts() -> None:
    """A trip's CO2 is spread over its time in the street; one that never got in emits none."""
    of = trips(depart=[0.0, 20.0, np.nan], duration=[40.0, 80.0, np.nan], kg=[4.0, 8.0, np.nan])

    found = emitted_kg(of, [0.0, 10.0, 40.0, 60.0, 100.0])

    assert [0.0, 1.0, 6.0, 8.0, 12.0] == pytest.approx(found.tolist())


def test_emissions_that_were_not_recorded_have_no_curve() -> None:
    """Nothing is drawn, instead of a line at zero."""
    assert [] == emitted_kg(trips(depart=[0.0], duration=[40.0], kg=[np.nan]), [0.0, 50.0]).tolist()


def test_the_emission_curve_counts_trips_that_have_not_ended(run: Run, tmp_path: Path) -> None:
    """At its last sample it holds more than the trips that have arrived by then emitted, and no more than all did in the end."""
    result = evaluate(replace(run, series=True, record=tmp_path))
    of = read_trips(tmp_path / "stays-7-tripinfo.xml", end_s=120.0)
    ended_kg = float(of.co2_mg[of.arrival_s <= 100.0].sum()) * 1e-6

    assert result.series is not None
    assert result.series.time_s[-1] == 100.0
    assert ended_kg + 0.5 < result.series.co2_kg_cumulative[-1] < result.figures.co2_kg


@pytest.mark.parametrize("emissions", [True, False])
def test_a_run_without_emissions_has_no_curve_of_them(run: Run, emissions: bool) -> None:
    """What was not recorded is empty, so that no report draws it."""
    series = evaluate(replace(run, series=True, emissions=emissions)).series

    assert series is not None
    assert emissions == bool(series.co2_kg_cumulative)


def test_the_scale_of_the_demand_stands_in_the_result(run: Run) -> None:
    """A third of the vehicles is another question, and the result says so."""
    result = evaluate(replace(run, scale=1 / 3))

    assert (1 / 3, True) == (result.scale, result.figures.due < 45)


def test_what_sumo_raises_while_a_policy_decides_is_a_simulation_error(run: Run) -> None:
    """SUMO's own words reach the user, though no step of the simulation failed; and the next run begins as if nothing had been."""
    with pytest.raises(SimulationError, match="SUMO said: Lane 'nowhere' is not known"):
        evaluate(replace(run, make=Blunders))

    assert evaluate(run).figures.due == 100


def test_what_sumo_raises_while_a_run_begins_is_a_simulation_error(run: Run) -> None:
    """A lane to be watched that SUMO does not have is told in SUMO's words."""
    [signal] = run.network.signals
    strange = {detector: tuple(each._replace(lane="nowhere") for each in covered) for detector, covered in signal.segments.items()}
    network = replace(run.network, signals=(replace(signal, segments=strange),), lane_lengths={**run.network.lane_lengths, "nowhere": 90.0})

    with pytest.raises(SimulationError, match="SUMO refused a call; SUMO said: Lane 'nowhere'"):
        evaluate(replace(run, network=network))


def test_an_error_of_ours_stays_what_it_is(run: Run) -> None:
    """Only what SUMO raises is told as SUMO's."""

    def make(config: IntersectionConfig) -> Stays:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        evaluate(replace(run, make=make))
