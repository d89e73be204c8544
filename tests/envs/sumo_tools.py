"""Runs SUMO's own programs for tests: small streets built on the spot, and RESCO's scenarios as they are installed."""

import importlib.util
import os
import subprocess
from pathlib import Path


def _installed(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise LookupError(f"{package} is not installed")
    return Path(spec.origin).parent


def run(program: str, *arguments: object) -> None:
    """Run one of SUMO's programs to its end."""
    home = _installed("sumo")
    command = [str(home / "bin" / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "SUMO_HOME": str(home)})
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr}")


def resco(name: str) -> Path:
    """Find a RESCO scenario: its `.sumocfg`, beside which lies its `.net.xml`."""
    return _installed("sumo_rl") / "nets" / "RESCO" / name / f"{name}.sumocfg"


def crossroads(folder: Path) -> Path:
    """Build two one-way streets that cross at signal B, and give the net.

    Links 0 and 1 come from the south (right, straight on), 2 and 3 from the west (straight on, left). 0 meets 2, 1 meets 2 and 3.
    """
    nodes = [
        ("A", -100, 0, "priority"),
        ("B", 0, 0, "traffic_light"),
        ("C", 100, 0, "priority"),
        ("D", 0, 100, "priority"),
        ("E", 0, -100, "priority"),
    ]
    return _build(folder, "crossroads", nodes, ["AB", "BC", "EB", "BD"], "")


def crossing(folder: Path) -> Path:
    """Build a four-legged intersection with sidewalks, whose signal B has vehicle links 0 to 15 and crossings 16 to 19, and give the net.

    Link 1 goes straight on from the north, over crossing 16 of the north leg.
    """
    nodes = [
        ("B", 0, 0, "traffic_light"),
        ("W", -100, 0, "priority"),
        ("E", 100, 0, "priority"),
        ("N", 0, 100, "priority"),
        ("S", 0, -100, "priority"),
    ]
    legs = "".join(f'<crossing node="B" edges="{leg}B B{leg}"/>' for leg in "WSEN")
    return _build(folder, "crossing", nodes, [edge for leg in "WSEN" for edge in (f"{leg}B", f"B{leg}")], legs)


def _build(folder: Path, name: str, nodes: list[tuple[str, int, int, str]], edges: list[str], crossings: str) -> Path:
    sidewalk = ' sidewalkWidth="2"' if crossings else ""
    parts = {
        "nodes": "".join(f'<node id="{node}" x="{x}" y="{y}" type="{kind}"/>' for node, x, y, kind in nodes),
        "edges": "".join(f'<edge id="{edge}" from="{edge[0]}" to="{edge[1]}" numLanes="1" speed="13.89"{sidewalk}/>' for edge in edges),
        "connections": crossings,
    }
    options = []
    for part, text in parts.items():
        (folder / f"{name}.{part}.xml").write_text(f"<{part}>{text}</{part}>", encoding="utf-8")
        options += [f"--{part.removesuffix('s')}-files", folder / f"{name}.{part}.xml"]
    net = folder / f"{name}.net.xml"
    run("netconvert", *options, "--output-file", net)
    return net
