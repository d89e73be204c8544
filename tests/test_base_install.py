"""What a cabinet's box gets: an installation without simulator and trainer, in an environment of its own."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import pytest

from controller.control_socket import AskStatus
from envs.scenario import find
from envs.sumo_network import PRESETS, write_network
from envs.traffic import network_of
from intersection.config import load
from intersection.errors import PhasewiseError
from models.bundle import digest
from phasewise.controlling import ask
from phasewise.live import approved

ROOT = Path(__file__).parents[1]
LARGEST = 250
"""Megabytes that an installation may take, pip left out."""

ABSENT = (
    "libsumo",
    "sumolib",
    "traci",
    "torch",
    "gymnasium",
    "stable_baselines3",
    "pandas",
    "pyarrow",
    "duckdb",
    "sqlalchemy",
    "matplotlib",
)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the base into an empty environment, and give its Python."""
    folder = tmp_path_factory.mktemp("box")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), str(ROOT)]
    subprocess.run(pip, check=True)
    return folder / "bin" / "python"


@pytest.mark.long
def test_a_base_install_is_small_and_holds_no_simulator_trainer_or_database(box: Path) -> None:
    """Without pip it takes less than the limit, and nothing of the training side can be imported."""
    packages = next((box.parents[1] / "lib").glob("python*/site-packages"))
    size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file() and "pip" not in file.relative_to(packages).parts[0])
    question = f"import importlib.util as u; print([name for name in {ABSENT!r} if u.find_spec(name)])"
    told = subprocess.run([box, "-c", question], capture_output=True, text=True, check=True)

    assert "[]" == told.stdout.strip()
    assert size < LARGEST * 1_000_000


@pytest.mark.long
def test_it_runs_the_daemon_against_a_cabinet_of_another_environment(box: Path, tmp_path: Path) -> None:
    """A simulated Modbus cabinet, run by this environment, is read by a daemon of the box's own; which then lets go and ends."""
    network = approved(network_of(find("resco:cologne1"), PRESETS["cabinet"]))
    [path] = write_network(network, tmp_path)
    command = [sys.executable, "-m", "phasewise", "cabinet", "resco:cologne1", "--modbus", "0", "--config", str(path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as cabinet:
        try:
            assert cabinet.stdout is not None
            [heard] = json.loads(cabinet.stdout.readline())["cabinets"]
            (tmp_path / "cabinet.toml").write_text(
                f"""version = 1
state_folder = "state"
[control]
socket = "control.sock"
[journal]
folder = "journal"
[[cabinet]]
name = "box"
intersection = "{path}"
approved = "{digest(load(path))}"
[cabinet.adapter]
kind = "modbus"
host = "127.0.0.1"
port = {heard["port"]}
insecure = true
identity = {crc32(path.parent.name.encode())}
"""
            )
            environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            with subprocess.Popen([box, "-m", "controller", tmp_path / "cabinet.toml"], cwd=tmp_path, env=environment) as daemon:
                status = asyncio.run(_answered(tmp_path / "control.sock"))
                daemon.terminate()

            assert status["stage"] or status["going_to"]
            assert 0 == daemon.returncode
        finally:
            cabinet.terminate()


async def _answered(socket: Path) -> dict[str, str]:
    """Wait until the daemon has seen its cabinet."""
    async with asyncio.timeout(30.0):
        while True:
            await asyncio.sleep(0.2)  # a process of its own: only asking tells
            try:
                [status] = ask(socket, AskStatus())
            except PhasewiseError:
                continue
            if status["stage"] or status["going_to"]:
                return dict(status)
