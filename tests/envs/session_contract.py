"""What every backend of a SUMO session must do. A backend's test class inherits this one and names itself."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from envs.errors import SimulationError
from envs.scenario import Scenario, find
from envs.sumo_session import Backend, SumoSession

BEGIN = 25200.0
LANES = ("28198821#3_0", "28198821#3_1", "-32038056#3_0")
READ = ("getLastStepVehicleNumber", "getLastStepHaltingNumber", "getLastStepMeanSpeed", "getLastStepVehicleIDs", "getLastStepOccupancy")


def fresh_process(script: str, *arguments: object) -> str:
    """Run a script in a process of its own and return what it printed, without the last line's end."""
    command = [sys.executable, "-W", "error", "-c", dedent(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=Path(__file__).parents[2])
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.rstrip("\n")


def trips(tripinfo: Path) -> dict[str, dict[str, str]]:
    """Return every trip that SUMO wrote down, by the vehicle's name."""
    return {trip.attrib["id"]: trip.attrib for trip in ET.parse(tripinfo).getroot().iter("tripinfo")}


class SessionContract:
    """The tests."""

    backend: Backend

    @pytest.fixture
    def scenario(self) -> Scenario:
        """Return an isolated intersection's morning peak."""
        return find("resco:cologne1")

    @pytest.fixture
    def session(self, scenario: Scenario) -> Iterator[SumoSession]:
        """Yield a session at its begin."""
        with SumoSession.start(scenario, seed=1, backend=self.backend) as session:
            yield session

    def test_starts_at_the_begin(self, session: SumoSession) -> None:
        """A session stands at the scenario's begin before its first step."""
        assert session.now == BEGIN

    def test_steps_to_a_time(self, session: SumoSession) -> None:
        """A session simulates to the time that it is told, and a time that has passed changes nothing."""
        session.step_to(BEGIN + 30)
        session.step_to(BEGIN + 10)

        assert session.now == BEGIN + 30

    @pytest.mark.parametrize("variable", READ)
    def test_getters_read_what_the_api_reads(self, session: SumoSession, variable: str) -> None:
        """A getter returns what the function of its name returns, at every step, for lanes that others are asked about too."""
        read, other = session.getter("lane", variable), session.getter("lane", READ[0])
        before = [read(lane) for lane in LANES]
        session.step_to(BEGIN + 100)
        seen = [other(lane) for lane in LANES]

        assert not any(value for value in before if value != session.api.lane.getMaxSpeed(LANES[0]))
        assert [getattr(session.api.lane, variable)(lane) for lane in LANES] == [read(lane) for lane in LANES]
        assert sum(seen) > 0

    def test_getters_read_vehicles_and_edges(self, session: SumoSession) -> None:
        """Edges count the vehicles of their lanes, and a vehicle tells its own speed."""
        session.step_to(BEGIN + 100)
        edge, count = LANES[0].rpartition("_")[0], session.getter("lane", READ[0])
        vehicle = session.api.vehicle.getIDList()[0]

        assert session.getter("edge", READ[0])(edge) == sum(count(lane) for lane in LANES if lane.startswith(edge))
        assert session.api.vehicle.getSpeed(vehicle) == session.getter("vehicle", "getSpeed")(vehicle)

    def test_a_refused_call_ends_nothing(self, session: SumoSession) -> None:
        """A call that SUMO cannot answer is a SimulationError with SUMO's words, and the simulation goes on."""
        with pytest.raises(SimulationError, match="Lane 'nowhere' is not known"), session.translating():
            session.getter("lane", READ[0])("nowhere")
        with pytest.raises(SimulationError, match="SUMO said: Lane 'nowhere' is not known"), session.translating():
            session.api.lane.getLength("nowhere")
        session.step_to(BEGIN + 1)

        assert session.now == BEGIN + 1

    def test_loads_another_seed(self, session: SumoSession) -> None:
        """Loading begins again at the begin, with changes where they are given."""
        session.step_to(BEGIN + 200)
        session.load(seed=2, begin=BEGIN + 60)

        assert session.now == BEGIN + 60
        assert "25260" in session.options

    def test_options_are_what_a_result_records(self, scenario: Scenario) -> None:
        """The options hold what decides the traffic, and neither the files nor the seed, which a result records on their own."""
        scenario = replace(scenario, scale=0.5, options=(("time-to-impatience", "100"),))
        with SumoSession.start(
            scenario, seed=7, backend=self.backend, scale=0.5, begin=BEGIN + 0.5, end=26000, extra_args=("--eager-insert",)
        ) as session:
            options = " ".join(session.options)

        expected = "--begin 25200.5 --end 26000 --step-length 1 --scale 0.25 --time-to-teleport -1 --time-to-impatience 100 --eager-insert"
        assert expected == options

    def test_scale_and_routes_replace_demand(self, scenario: Scenario, tmp_path: Path) -> None:
        """Another route file is driven instead of the scenario's, as often as the scale says."""
        routes = tmp_path / "one.rou.xml"
        routes.write_text('<routes><trip id="only" depart="25201" from="28198821#3" to="32038051#0"/></routes>')
        with SumoSession.start(scenario, seed=1, backend=self.backend, scale=3, route_files=[routes]) as session:
            session.step_to(BEGIN + 30)
            vehicles = set(session.api.vehicle.getIDList())

        assert {"only", "only.1", "only.2"} == vehicles

    def test_writes_all_trips_and_statistics(self, scenario: Scenario, tmp_path: Path) -> None:
        """Closing finishes the outputs: every due trip, the unfinished ones too, and the statistics. Closing twice is harmless."""
        tripinfo, statistics = tmp_path / "tripinfo.xml", tmp_path / "statistics.xml"
        session = SumoSession.start(scenario, seed=1, backend=self.backend, tripinfo=tripinfo, statistics=statistics)
        session.step_to(BEGIN + 100)
        running = set(session.api.vehicle.getIDList())
        session.close()
        session.close()

        assert running
        assert running <= set(trips(tripinfo))
        assert ET.parse(statistics).getroot().find("teleports") is not None

    def test_loading_finishes_the_outputs_before(self, scenario: Scenario, tmp_path: Path) -> None:
        """Loading with another output file leaves the one before whole."""
        with SumoSession.start(scenario, seed=1, backend=self.backend, tripinfo=tmp_path / "1.xml") as session:
            session.step_to(BEGIN + 100)
            session.load(seed=2, tripinfo=tmp_path / "2.xml")
            written = len(trips(tmp_path / "1.xml"))

        assert written > 10

    def test_loading_tells_what_is_not_whole(self, scenario: Scenario) -> None:
        """Loading after a simulation whose output could not be finished says so."""
        with SumoSession.start(scenario, seed=1, backend=self.backend, tripinfo=Path("/dev/full")) as session:
            with pytest.raises(SimulationError, match="could not finish its output /dev/full"):
                session.load(seed=2, tripinfo=None)

            assert session.now == BEGIN

    def test_a_full_disk_is_told(self, scenario: Scenario) -> None:
        """An output that SUMO could not finish, of which it says nothing, is an error at the end."""
        session = SumoSession.start(scenario, seed=1, backend=self.backend, tripinfo=Path("/dev/full"))
        session.step_to(BEGIN + 100)
        with pytest.raises(SimulationError, match=r"could not finish its output /dev/full .*; is the disk full\?"):
            session.close()
        session.close()

    @pytest.mark.parametrize(
        "fault",
        [
            ("<a><b></a>", "net_file", "expected end of tag 'b'"),
            (
                '<additional><inductionLoop id="x" lane="nowhere" pos="1" period="10" file="NUL"/></additional>',
                "additional_files",
                "The lane with the id 'nowhere' is not known",
            ),
            (
                '<routes><vehicle id="lost" depart="0"><route edges="nowhere"/></vehicle></routes>',
                "route_files",
                "The edge 'nowhere' within the route for vehicle 'lost' is not known",
            ),
            ("", "options", "No option with the name 'no-such-option' exists"),
        ],
    )
    def test_refusals_carry_the_words_of_sumo(
        self, scenario: Scenario, tmp_path: Path, capfd: pytest.CaptureFixture[str], fault: tuple[str, str, str]
    ) -> None:
        """A simulation that SUMO refuses is one error with SUMO's words, none of them on the terminal, and the next one starts."""
        content, change, words = fault
        path = tmp_path / "bad.xml"
        path.write_text(content)
        changes: dict[str, Any] = {change: {"net_file": path, "options": (("no-such-option", "1"),)}.get(change, (path,))}
        with pytest.raises(SimulationError) as refusal:
            SumoSession.start(replace(scenario, **changes), seed=1, backend=self.backend)
        with SumoSession.start(scenario, seed=1, backend=self.backend) as session:
            session.step_to(BEGIN + 1)

        assert words in refusal.value.words
        assert words in str(refusal.value)
        assert "\n" not in str(refusal.value)
        assert refusal.value.__cause__ is not None
        assert ("", "") == capfd.readouterr()

    def test_demand_that_breaks_midway(self, scenario: Scenario, tmp_path: Path) -> None:
        """A route file that breaks in the middle of a run is one error that names it; the session is closed, and can load again."""
        routes = tmp_path / "cut.rou.xml"
        whole = scenario.route_files[0].read_text()
        routes.write_text(whole[: len(whole) // 4])
        with SumoSession.start(scenario, seed=1, backend=self.backend, route_files=[routes]) as session:
            with pytest.raises(SimulationError, match=r"on the way to 27000 s; SUMO said: .*cut\.rou\.xml"):
                session.step_to(BEGIN + 1800)
            session.close()
            session.load(seed=1, route_files=None)
            session.step_to(BEGIN + 1)
            now = session.now

        assert now == BEGIN + 1

    def test_an_interrupt_closes(self, scenario: Scenario) -> None:
        """Ctrl-C leaves the session as a KeyboardInterrupt, with the simulation ended: another one starts."""

        def episode() -> None:
            with SumoSession.start(scenario, seed=1, backend=self.backend) as session:
                session.close()
                session.load(seed=2)
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            episode()
        with SumoSession.start(scenario, seed=1, backend=self.backend) as session:
            now = session.now

        assert now == BEGIN
