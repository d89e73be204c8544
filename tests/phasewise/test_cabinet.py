import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from field_adapters.modbus_profile import load_profile
from field_adapters.ntcip_objects import PHASE_GREENS
from field_adapters.simulated.host import Lag
from field_adapters.snmp import Community, Credentials, ReadResult, Values, Version
from field_adapters.snmp_manager import SnmpManager
from intersection.state import Display
from phasewise.__main__ import run
from phasewise.cabinet import COMMUNITY, USER, Lags
from tests.phasewise.command_line import command, environment, phasewise, street

PROFILE = load_profile("phasewise_v1")

HOSTED = """
import json, sys
from envs.evaluation import control
from envs.scenario import find
from envs.simulation import Simulation
from envs.street import SumoStreets
from envs.sumo_network import PRESETS
from envs.traffic import network_of
from field_adapters.simulated.host import Host, Stand
from intersection.observation import Observation
from intersection.policy import FixedTime
from intersection.sensed import LOOPS
from tests.field_adapters.plain_cabinet import PlainCabinet

scenario = find(sys.argv[2])
network = network_of(scenario, PRESETS["street" if "eight" in sys.argv[2] else "resco"])
told = []
wish = lambda second, tables: second // 7 % len(tables.stages)
if sys.argv[1] == "simulation":
    from intersection.shield import Proposal
    with Simulation(scenario, network, sensors=LOOPS) as simulation:
        simulation.reset(11)
        for second in range(900):
            told.append([[s.shown, s.state.calls, s.state.ped_calls] for s in simulation.signals])
            simulation.advance([Proposal(stage=wish(second, s.tables)) for s in simulation.signals], simulation.now + 10)
else:
    with SumoStreets(scenario, network, seed=11) as streets:
        cabinets = {s.signal.id: PlainCabinet(s.config, s.first_stage, s.now) for s in streets}
        host = Host([Stand(name=s.signal.id, config=s.config, street=s, cabinet=cabinets[s.signal.id]) for s in streets])
        letters = streets.session.api.trafficlight.getRedYellowGreenState
        for second in range(900):
            told.append([[letters(name), cabinet.state.calls, cabinet.state.ped_calls] for name, cabinet in cabinets.items()])
            for cabinet in cabinets.values():
                cabinet.request(wish(second, cabinet.tables))
            host.advance(host.now + 10)
print(json.dumps(told))
"""


@pytest.mark.parametrize("scenario", ["resco:cologne3", "phasewise:eight_phase"])
def test_hosted_cabinets_show_what_the_environments_show(scenario: str) -> None:
    """With the same requests at the same instants, every display and call of 15 minutes is that of `Simulation`."""
    one, other = (
        json.loads(subprocess.run([sys.executable, "-c", HOSTED, which, scenario], capture_output=True, text=True, check=True).stdout)
        for which in ("simulation", "host")
    )

    assert 900 == len(one) == len(other)
    assert [] == [second for second, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the scenario good.sumocfg, two minutes at signal B."""
    return street(tmp_path_factory.mktemp("street"))


@contextmanager
def standing(folder: Path, *options: object, **popen: Any) -> Iterator[tuple["subprocess.Popen[str]", list[dict[str, Any]]]]:
    """Let a cabinet stand in a process of its own, and give what it says of itself once it listens."""
    words = command("cabinet", "good.sumocfg", "--json", *options)
    with subprocess.Popen(
        words, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **popen
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise AssertionError(f"it did not start: {process.communicate()}")
            yield process, json.loads(line)["cabinets"]
        finally:
            process.kill()


def status(port: int) -> dict[str, int]:
    """Read a Modbus cabinet's first block of status."""
    (block, *_) = PROFILE.status
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, block.address, block.size))
        answer = b""
        while len(answer) < 9 + 2 * block.size:
            answer += link.recv(4096)
    return block.take(struct.unpack(f">{block.size}H", answer[9:]))


def test_a_cabinet_is_heard_over_modbus_and_its_time_passes(folder: Path) -> None:
    """It shows a stage of its own plan, and says what it is."""
    with standing(folder, "--modbus", 0, "--speed", 20) as (_, [cabinet]):
        first = later = status(cabinet["port"])
        deadline = time.monotonic() + 20
        while later["clock"] < first["clock"] + 20 and time.monotonic() < deadline:
            later = status(cabinet["port"])

        assert ("B", "modbus", "127.0.0.1") == (cabinet["signal"], cabinet["protocol"], cabinet["host"])
        assert PROFILE.status[0].fields["magic"].value == first["magic"]
        assert Display.NORMAL is list(Display)[first["display"]]
        assert later["clock"] >= first["clock"] + 20
        assert first["greens"]


async def greens(port: int, credentials: Credentials) -> ReadResult:
    """Ask an NTCIP cabinet which of its first eight phases are green."""
    async with SnmpManager() as manager:
        link = await manager.connect("127.0.0.1", port, credentials)
        return await link.get([PHASE_GREENS.at(1)], asyncio.get_running_loop().time() + 10.0)


@pytest.mark.parametrize("credentials", [USER, Community(name=COMMUNITY, version=Version.V2C, insecure=True)], ids=["v3", "v2c"])
def test_a_cabinet_is_heard_over_ntcip_and_modbus_at_once(folder: Path, credentials: Credentials) -> None:
    """Each has streets of its own; both show a green, and Ctrl-C ends both simulations."""
    with standing(folder, "--ntcip", 0, "--modbus", 0) as (process, cabinets):
        family = psutil.Process(process.pid).children(recursive=True)
        ports = {cabinet["protocol"]: cabinet["port"] for cabinet in cabinets}
        answer = asyncio.run(greens(ports["ntcip"], credentials))

        assert status(ports["modbus"])["greens"]
        assert isinstance(answer, Values)
        assert 0 < answer.integers[PHASE_GREENS.at(1)] < 256
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)

        assert (0, "") == (process.returncode, told)
        assert [] == psutil.wait_procs(family, timeout=10)[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_cabinet_and_leaves_nothing_running(folder: Path, number: signal.Signals) -> None:
    """It ends at once with code 0; no process, no file and no open port are left."""
    with standing(folder, "--modbus", 0) as (process, [cabinet]):
        family = psutil.Process(process.pid).children(recursive=True)
        status(cabinet["port"])
        os.killpg(process.pid, number)
        _, told = process.communicate(timeout=20)

        assert (0, "") == (process.returncode, told)
        assert [] == psutil.wait_procs(family, timeout=10)[1]
        with pytest.raises(ConnectionRefusedError):
            status(cabinet["port"])


def test_a_cabinet_ends_with_its_time_and_its_records_are_judged(folder: Path, tmp_path: Path) -> None:
    """Its own plan runs legally in SUMO's records, which are kept; everybody due is accounted for."""
    said = phasewise("cabinet", "good.sumocfg", "--modbus", 0, "--speed", 200, "--seconds", 100, "--record", tmp_path, folder=folder)

    assert 0 == said.code, said.err
    assert "B: modbus at 127.0.0.1:" in said.out
    assert "0 illegal displays" in said.err
    assert {f"modbus-101-{name}.xml" for name in ("tripinfo", "statistics", "tlsstates")} == {path.name for path in tmp_path.iterdir()}


def test_a_machine_that_is_too_slow_is_told_ever_more_rarely(capfd: pytest.CaptureFixture[str]) -> None:
    """The time that was given up is told at first, and whenever it has doubled."""
    lags = Lags()
    for second in range(100):
        lags(Lag(at=10 * second, given_up=0.5))

    totals = [line.split("; ")[1].split()[0] for line in capfd.readouterr().err.splitlines()]

    assert ["0.5", "1.0", "2.0", "4.0", "8.0", "16.0", "32.0"] == totals


def test_faults_are_ordered_at_a_local_socket(folder: Path, tmp_path: Path) -> None:
    """What is ordered is seen on the wire; what cannot be understood is answered with what can."""
    path = tmp_path / "orders"
    with standing(folder, "--modbus", 0, "--orders", path) as (process, [cabinet]):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            lines = link.makefile("rw")

            def answer(line: str) -> str:
                lines.write(line + "\n")
                lines.flush()
                return lines.readline().strip()

            assert "done" == answer("flash on")
            assert list(Display).index(Display.FLASH) == status(cabinet["port"])["display"]
            assert "done" == answer("B: flash off")
            assert list(Display).index(Display.FLASH) == status(cabinet["port"])["display"]  # until it has started up
            assert "allowed: flash on|off" in answer("flash")
            assert "did you mean 'reboot'" in answer("rebot")
            assert "unknown cabinet 'C' (known: B)" == answer("C: reboot")
            assert "change_identity NUMBER" in [answer("help"), *(lines.readline().strip() for _ in range(21))]
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)

        assert not path.exists()


def test_faults_are_ordered_on_standard_input(folder: Path) -> None:
    """Each line is answered on standard error."""
    with standing(folder, "--modbus", 0, "--orders", "-", stdin=subprocess.PIPE) as (process, [cabinet]):
        if process.stdin is None or process.stderr is None:
            raise AssertionError("there are pipes")
        process.stdin.write("flash on\n")
        process.stdin.flush()

        assert "done" == process.stderr.readline().strip()
        assert list(Display).index(Display.FLASH) == status(cabinet["port"])["display"]


def test_a_cabinet_can_have_the_configuration_of_a_file(folder: Path, tmp_path: Path) -> None:
    """The file that a controller loads is the cabinet's too; it says which signal it is."""
    assert 0 == phasewise("import", folder / "crossroads.net.xml", "--out", tmp_path, "--preset", "resco", folder=folder).code
    file = tmp_path / "B" / "intersection.toml"
    with standing(folder, "--modbus", 0, "--config", file) as (_, [cabinet]):
        assert "B" == cabinet["signal"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], ["a cabinet needs a wire", "--modbus PORT"]),
        (["--modbus", 0, "--host", "192.0.2.1"], ["--host = '192.0.2.1'", "on this machine only"]),
        (["--modbus", 65536], ["65536"]),
        (["--ntcip", 0, "--watchdog", 1.5], ["--watchdog = 1.5", "whole seconds"]),
        (["--ntcip", 0, "--method", "ring"], ["unknown method 'ring'; did you mean 'rings'"]),
        (["--modbus", 0, "--signal", "C"], ["unknown signal 'C'", "known: B"]),
        (["--modbus", 0, "--speed", 0], ["--speed = 0.0", "above 0"]),
        (["--modbus", 0, "--preset", "reso"], ["unknown preset 'reso'; did you mean 'resco'"]),
        (["--modbus", 0, "--profile", "phasewise"], ["unknown Modbus profile 'phasewise'; did you mean 'phasewise_v1'"]),
        (["--modbus", 0, "--config", "none.toml"], ["none.toml"]),
    ],
)
def test_what_the_user_can_mend_is_told(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[object], told: list[str]
) -> None:
    """Exit code 2, and one message that says what is wrong and what is allowed."""
    monkeypatch.chdir(folder)
    code = run(["cabinet", "good.sumocfg", *map(str, options)])
    said = capfd.readouterr()

    assert (2, "") == (code, said.out)
    assert [] == [part for part in told if part not in said.err]


def test_a_socket_that_cannot_be_is_told(folder: Path) -> None:
    """Exit code 2, and its path."""
    said = phasewise("cabinet", "good.sumocfg", "--modbus", 0, "--orders", "no/such/folder", folder=folder)

    assert (2, "") == (said.code, said.out)
    assert "nothing can listen at no/such/folder" in said.err


def test_a_port_that_is_taken_is_told(folder: Path) -> None:
    """Exit code 1, and the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = phasewise("cabinet", "good.sumocfg", "--modbus", port, folder=folder)

    assert (1, "") == (said.code, said.out)
    assert f"nothing can listen at 127.0.0.1:{port}" in said.err
