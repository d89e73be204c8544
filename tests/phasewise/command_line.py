"""Runs the command line for tests: in this process, or as a user does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.envs.sumo_tools import crossroads

ROOT = Path(__file__).parents[2]

DEMAND = '<routes><flow id="w" end="60" period="5" from="AB" to="BC"/><flow id="s" end="60" period="6" from="EB" to="BD"/></routes>'


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def phasewise(*arguments: object, folder: Path, prefix: tuple[str, ...] = ()) -> Said:
    """Run the command in a process of its own, after the words of `prefix`, to its end."""
    done = subprocess.run(
        [*prefix, *command(*arguments)], cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=120
    )
    return Said(done.returncode, done.stdout, done.stderr)


def command(*arguments: object) -> list[str]:
    """Give the words of a command."""
    return [sys.executable, "-m", "phasewise", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """Give the environment of a command that may run in any folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **more}


def street(folder: Path) -> Path:
    """Build a crossing of two one-way streets with two minutes of demand, and give its folder."""
    crossroads(folder)
    (folder / "good.rou.xml").write_text(DEMAND)
    configure(folder, "good")
    return folder


def configure(folder: Path, name: str, *, net: str = "crossroads.net.xml", routes: str = "good.rou.xml", additional: str = "") -> None:
    """Write a scenario of two minutes."""
    files = {"net-file": net, "route-files": routes, "additional-files": additional}
    inputs = "".join(f'<{key} value="{value}"/>' for key, value in files.items() if value)
    (folder / f"{name}.sumocfg").write_text(f'<configuration>{inputs}<end value="120"/></configuration>')
