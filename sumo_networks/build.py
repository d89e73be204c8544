"""Builds the networks of this folder: python sumo_networks/build.py [NAME or DIR ...].

A network is a folder with `network.toml` (streets, junctions, signal plans) and `demand.toml` (turning counts by time of day). Beside them
are put NAME.net.xml, NAME.rou.xml, NAME.add.xml if there are bus stops, and NAME.sumocfg. One release of SUMO makes the same files to the
byte, whenever and wherever it runs; so after an edit, a difference of the files shows what the edit did.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import _demand
import _network
import _plain
from _network import BuildError

HERE = Path(__file__).resolve().parent

COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
"""What netconvert says of itself: its version, its options, and when and where it ran."""


def main(arguments: list[str]) -> int:
    """Build the networks named, or all in this folder, and return the exit status."""
    parser = argparse.ArgumentParser(description="Builds SUMO networks of streets, signal plans and turning counts.")
    parser.add_argument("networks", nargs="*", metavar="NAME or DIR", help="networks to build; all in this folder if none is named")
    try:
        for folder in [_folder(name) for name in parser.parse_args(arguments).networks] or _ours():
            build(folder)
            print(f"built {folder.name}")
    except (BuildError, OSError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 2
    return 0


def build(folder: Path) -> None:
    """Build the network in a folder, whose name it gets.

    Raises:
        BuildError: its data do not make a network.
        OSError: a file cannot be written.
    """
    network = _network.load(folder / "network.toml")
    demand = _demand.load(folder / "demand.toml", network)
    try:
        net = _netconvert(_plain.plain_xml(network))
    except BuildError as error:
        raise BuildError(f"{folder / 'network.toml'}: {error}") from error
    files = {"net": net, "rou": _text(_demand.route_file(network, demand))}
    if demand.buses:
        files["add"] = _text(_demand.bus_stops(network, demand))
    names = {kind: f"{folder.name}.{kind}.xml" for kind in files}
    for kind, text in files.items():
        _write(folder / names[kind], text)
    _write(folder / f"{folder.name}.sumocfg", _text(_configuration(names, begin=demand.bounds[0], end=demand.bounds[-1])))


def _ours() -> list[Path]:
    return sorted(path.parent for path in HERE.glob("*/network.toml"))


def _folder(name: str) -> Path:
    for folder in (HERE / name, Path(name).resolve()):
        if (folder / "network.toml").is_file():
            return folder
    raise BuildError(f"no network {name!r}; allowed: {', '.join(folder.name for folder in _ours())}, or a folder with a network.toml")


def _netconvert(plain: dict[str, ET.Element]) -> str:
    """Have netconvert make a net of plain XML."""
    spec = find_spec("sumo")
    if spec is None or spec.origin is None:
        raise BuildError("netconvert is missing; it comes with the package eclipse-sumo")
    home = Path(spec.origin).parent
    with tempfile.TemporaryDirectory() as directory:
        net = Path(directory) / "net.xml"
        options = [f"--output-file={net}", "--no-turnarounds", "--offset.disable-normalization"]
        for option, root in plain.items():
            source = Path(directory) / f"{option}.xml"
            source.write_text(_text(root), encoding="utf-8")
            options.append(f"--{option}={source}")
        environment = {**os.environ, "SUMO_HOME": str(home)}
        run = subprocess.run([home / "bin" / "netconvert", *options], env=environment, capture_output=True, text=True, check=False)
        if run.returncode or run.stderr:
            raise BuildError(f"netconvert says: {run.stderr.strip()}")
        return COMMENT.sub("", net.read_text(encoding="utf-8"))


def _configuration(names: dict[str, str], *, begin: int, end: int) -> ET.Element:
    options = {"net": "net-file", "rou": "route-files", "add": "additional-files"}
    sections = {
        "input": {options[kind]: name for kind, name in names.items()},
        "time": {"begin": str(begin), "end": str(end)},
        "processing": {"time-to-teleport": "-1"},
    }
    root = ET.Element("configuration")
    for section, values in sections.items():
        element = ET.SubElement(root, section)
        for option, value in values.items():
            ET.SubElement(element, option, {"value": value})
    return root


def _text(root: ET.Element) -> str:
    ET.indent(root, "    ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
