import gzip
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from envs.errors import ScenarioError, SimulationError
from envs.scenario import Scenario, find
from envs.sumo_session import SumoSession, read_net, sumo_version
from intersection.errors import RuntimeFault, UnknownNameError, UserError
from tests.envs.session_contract import BEGIN, LANES, SessionContract, fresh_process, trips


class TestLibsumo(SessionContract):
    """SUMO inside this process."""

    backend = "libsumo"

    def test_one_simulation_a_process(self, scenario: Scenario, session: SumoSession) -> None:
        """A second libsumo simulation is refused, and the first one goes on undisturbed."""
        with pytest.raises(RuntimeFault, match="one simulation a process"):
            SumoSession.start(scenario, seed=2)
        session.step_to(BEGIN + 1)

        assert session.now == BEGIN + 1


class TestTraci(SessionContract):
    """SUMO beside this process."""

    backend = "traci"

    def test_two_at_once(self, scenario: Scenario, session: SumoSession) -> None:
        """Two simulations run side by side, each with its own time and its own getters."""
        with SumoSession.start(scenario, seed=2, backend="traci") as other:
            mine, others = (each.getter("lane", "getLastStepVehicleNumber") for each in (session, other))
            session.step_to(BEGIN + 100)
            times, vehicles = (session.now, other.now), (sum(map(mine, LANES)), sum(map(others, LANES)))

        assert (BEGIN + 100, BEGIN) == times
        assert vehicles[0] > vehicles[1]

    def test_beside_libsumo(self, scenario: Scenario, session: SumoSession) -> None:
        """A TraCI simulation runs beside one in libsumo, which puts exceptions of its own into traci's modules."""
        with SumoSession.start(scenario, seed=1) as other:
            other.step_to(BEGIN + 5)
            with pytest.raises(SimulationError, match="'nowhere' is not known"), session.translating():
                session.api.lane.getLength("nowhere")
            times = session.now, other.now

        assert (BEGIN, BEGIN + 5) == times

    @pytest.mark.parametrize("call", [lambda session: session.step_to(BEGIN + 10), lambda session: session.now, SumoSession.close])
    def test_a_killed_sumo_is_one_clear_error(self, scenario: Scenario, tmp_path: Path, call: Callable[[SumoSession], object]) -> None:
        """When SUMO's process is killed, the next call tells how it ended, and closing is quiet, whatever became of the outputs."""
        session = SumoSession.start(scenario, seed=1, backend="traci", tripinfo=tmp_path / "tripinfo.xml")
        os.kill(process_of(session), signal.SIGKILL)
        with pytest.raises(SimulationError, match="ended with code -9") as death:
            call(session)
        session.close()

        assert death.value.__cause__ is not None

    def test_loads_repeat_exactly(self, scenario: Scenario, tmp_path: Path) -> None:
        """Over TraCI every load is a new process, so the same seed gives the same trips however many were before."""
        with SumoSession.start(scenario, seed=1, backend="traci", tripinfo=tmp_path / "1.xml") as session:
            for seed, name in ((2, "2.xml"), (1, "3.xml")):
                session.step_to(BEGIN + 600)
                session.load(seed=seed, tripinfo=tmp_path / name)
            session.step_to(BEGIN + 600)

        assert trips(tmp_path / "1.xml") == trips(tmp_path / "3.xml")
        assert trips(tmp_path / "1.xml") != trips(tmp_path / "2.xml")

    def test_an_interrupt_of_the_group_is_ours(self) -> None:
        """Ctrl-C reaches every process of the terminal but not SUMO: who handles it can go on, who does not leaves no SUMO behind."""
        said = fresh_process(
            """
            import os, signal
            from envs.scenario import find
            from envs.sumo_session import SumoSession

            os.setpgid(0, 0)
            signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGINT))
            try:
                with SumoSession.start(find("resco:cologne8"), seed=1, backend="traci") as session:
                    sumo = session._driver._process
                    for _ in range(2):  # SUMO would survive the first, and end on the second
                        try:
                            os.killpg(0, signal.SIGINT)
                        except KeyboardInterrupt:
                            session.step_to(session.now + 50)
                    print("went on to", session.now)
                    signal.setitimer(signal.ITIMER_REAL, 0.02)
                    session.step_to(28800)
                    session.load(seed=2)
            except KeyboardInterrupt:
                print("SUMO ended:", sumo.poll() is not None)
            """
        )

        assert said.splitlines() == ["went on to 25300.0", "SUMO ended: True"]

    def test_an_alias_changes_nothing(self) -> None:
        """LIBSUMO_AS_TRACI, by which other tools turn traci into libsumo, is not for us: TraCI stays TraCI, with its errors told."""
        said = fresh_process(
            """
            import os
            os.environ["LIBSUMO_AS_TRACI"] = "quiet"
            from envs.errors import SimulationError
            from envs.scenario import find
            from envs.sumo_session import SumoSession

            with SumoSession.start(find("resco:cologne1"), seed=1, backend="traci") as session:
                try:
                    with session.translating():
                        session.getter("lane", "getLastStepVehicleNumber")("nowhere")
                except SimulationError:
                    print(type(session.api).__name__)
            """
        )

        assert said == "Connection"


def process_of(session: SumoSession) -> int:
    """Return the number of the process in which a TraCI session's SUMO runs."""
    process = getattr(session._driver, "_process", None)
    assert process is not None
    return int(process.pid)


COUNTS = """
import sys
from envs.scenario import find
from envs.sumo_session import SumoSession

with SumoSession.start(find(sys.argv[2]), seed=11, backend=sys.argv[1]) as session:
    for step in range(1, 31):
        session.step_to(session.now + 10)
        print(session.api.vehicle.getIDCount(), *session.api.vehicle.getIDList())
"""


@pytest.mark.parametrize("name", ["resco:cologne1", "resco:grid4x4"])
def test_backends_agree(name: str) -> None:
    """The same seed gives the same vehicles at every tenth second in libsumo and over TraCI, each in a fresh process."""
    libsumo, traci = (fresh_process(COUNTS, backend, name).splitlines() for backend in ("libsumo", "traci"))

    assert len(libsumo) == 30
    assert libsumo == traci


def test_names_the_backends() -> None:
    """A backend that does not exist is refused with those that do."""
    with pytest.raises(UnknownNameError, match="did you mean 'libsumo'"):
        SumoSession.start(find("resco:cologne1"), seed=1, backend="libsum")  # type: ignore[arg-type]  # a user's slip


def test_a_window_needs_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a display, asking for a window is refused before sumo-gui could end the process."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(UserError, match="neither DISPLAY nor WAYLAND_DISPLAY is set"):
        SumoSession.start(find("resco:cologne1"), seed=1, gui=True)


def test_a_display_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A display that cannot be opened is an error with sumo-gui's words, and this process lives on."""
    monkeypatch.setenv("DISPLAY", ":987")

    with pytest.raises(SimulationError, match="unable to open display"):
        SumoSession.start(find("resco:cologne1"), seed=1, gui=True)


def test_version_is_that_of_the_session() -> None:
    """The version known beforehand is the version that runs."""
    with SumoSession.start(find("resco:cologne1"), seed=1, backend="traci") as session:
        version = session.version

    assert sumo_version() == version


@pytest.mark.parametrize("package", ["libsumo", "sumolib.net"])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Without SUMO's packages, the error names the extra that brings them."""
    monkeypatch.setitem(sys.modules, package, None)
    scenario = find("resco:cologne1")

    with pytest.raises(UserError, match=r"phasewise\[train\]"):
        SumoSession.start(scenario, seed=1) if package == "libsumo" else read_net(scenario.net_file)


def test_importing_needs_no_sumo() -> None:
    """Importing the module imports no part of SUMO."""
    said = fresh_process("import sys, envs.sumo_session; print({'libsumo', 'traci', 'sumolib', 'sumo'} & set(sys.modules))")

    assert said == "set()"


def test_reads_nets_with_all_that_importing_needs(tmp_path: Path) -> None:
    """A net is read with its programs and internal lanes, plain or gz; sumolib's own options change that."""
    plain = find("resco:cologne1").net_file
    packed = tmp_path / "cologne1.net.xml.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    nets = [read_net(path) for path in (plain, packed)]
    bare = read_net(plain, withInternal=False)

    assert [True, True] == [bool(net.getTrafficLights()[0].getPrograms()) for net in nets]
    assert len(nets[0].getEdges()) == len(nets[1].getEdges()) > len(bare.getEdges())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file"),
        (b"", "cannot be read"),
        (b"<net><edge id='a'>", "cannot be read"),
        (b"<net><edge id='a'><lane id='a_0'/></edge></net>", "cannot be read"),
        (b"<routes/>", "holds no edges"),
        (gzip.compress(b"<net>" * 1000, mtime=0)[:30], "cannot be read"),
    ],
)
def test_nets_that_cannot_be_read_are_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    """A net that is missing, empty, cut, senseless or of another kind is an error that names the file."""
    path = tmp_path / "some.net.xml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ScenarioError, match=words) as refusal:
        read_net(path)

    assert str(path) == refusal.value.source
