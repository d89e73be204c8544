"""Finds scenarios by name or path: a network, its demand, and the hours to simulate.

    resco:cologne1      one of the eight RESCO scenarios, read where the installed sumo-rl package keeps them
    phasewise:NAME      one of ours, in `sumo_networks/NAME/NAME.sumocfg`
    some/where.sumocfg  any scenario of SUMO's own format

Whatever in a configuration changes what happens on the street is honoured; outputs, reports and windows are left to the run.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from math import isfinite
from os.path import expandvars
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree as ET
from xml.parsers import expat
from xml.sax.saxutils import unescape

from envs.errors import ScenarioError
from intersection.errors import UnknownNameError, UserError

RESCO = ("arterial4x4", "cologne1", "cologne3", "cologne8", "grid4x4", "ingolstadt1", "ingolstadt21", "ingolstadt7")

DEFAULT_DURATION = 3600.0
"""How long a scenario lasts whose configuration names no end, in seconds."""

OUR_NETWORKS = Path(__file__).resolve().parent.parent / "sumo_networks"

_SYNONYMS = {
    "n": "net-file",
    "net": "net-file",
    "r": "route-files",
    "routes": "route-files",
    "a": "additional-files",
    "additional": "additional-files",
    "b": "begin",
    "e": "end",
    "s": "route-steps",
    "w": "weight-files",
    "weights": "weight-files",
}

_FIELDS = frozenset({"net-file", "route-files", "additional-files", "begin", "end", "step-length", "scale"})

# What a run decides for itself: its outputs, its report, its window, its seed, and that nobody is teleported.
_LEFT_OUT = re.compile(
    r".|.*output.*|(netstate|summary|tripinfo|personinfo|vehroutes|personroutes|person-fcd|n?dump|save-|write-|precision|human-readable).*"
    r"|(verbose|print-options|help|version|xml-validation|no-warnings|suppress-warnings|aggregate-warnings|log|message-log|error-log).*"
    r"|(language|duration-log|no-duration-log|no-step-log|step-log|remote-port|num-clients|random$|abs-rand|seed|srand).*"
    r"|(time-to-teleport|gui-|quit-on-end|game|start$|delay$|breakpoints|edgedata-files|data-files|alternative-net-file).*"
    r"|(selection-file|demo|disable-textures|registry-viewport|window-|tracker-interval|configuration).*"
)

_EDGE_ATTRIBUTES = ("edges", "from", "to", "via")
_MENTION_EDGES = frozenset({"route", "trip", "flow", "walk", "personTrip", "ride", "transport", "tranship"})
_TRAVELLERS = frozenset({"vehicle", "trip", "flow", "person", "personFlow", "include"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One network with its demand and the hours to simulate."""

    name: str
    """What the user calls it."""

    config_file: Path
    """The `.sumocfg` that it was read from."""

    net_file: Path

    route_files: tuple[Path, ...] = ()

    additional_files: tuple[Path, ...] = ()

    begin: float = 0.0
    """Simulated time at which it begins, in seconds after midnight."""

    end: float = DEFAULT_DURATION
    """Simulated time at which it ends, in seconds after midnight."""

    step_length: float = 1.0
    """One step of SUMO, in seconds."""

    scale: float = 1.0
    """The demand's own factor, dimensionless."""

    options: tuple[tuple[str, str], ...] = ()
    """SUMO's other options that change what happens on the street, as the configuration has them: (name, value)."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.begin < self.end:
            raise ScenarioError(
                "a scenario ends after it begins",
                source=str(self.config_file),
                key="end",
                value=self.end,
                allowed=f"more than {self.begin} s",
            )
        if self.step_length <= 0.0:
            raise ScenarioError(
                "time must pass", source=str(self.config_file), key="step-length", value=self.step_length, allowed="more than 0 s"
            )

    @property
    def duration(self) -> float:
        """Return how long the scenario lasts, in seconds."""
        return self.end - self.begin

    @property
    def sha256(self) -> str:
        """Digest all that decides what happens on the street: files with their includes, hours and options; not where they lie.

        Files are read once in a process.
        """
        return _digest(self)


def names() -> tuple[str, ...]:
    """List the scenarios that have names: RESCO's, then our own."""
    ours = sorted(folder.name for folder in OUR_NETWORKS.iterdir() if _config(folder).is_file()) if OUR_NETWORKS.is_dir() else ()
    return (*(f"resco:{name}" for name in RESCO), *(f"phasewise:{name}" for name in ours))


def find(name: str) -> Scenario:
    """Find a scenario by its name, or by the path of its `.sumocfg`.

    Raises:
        UnknownNameError: neither a known name nor a path.
        UserError: a RESCO scenario is asked for and the package that holds them is missing.
        ScenarioError: a file is missing or broken, or a value is out of its range.
    """
    if name in names():
        collection, _, own = name.partition(":")
        return _read(name, _config((_resco() if collection == "resco" else OUR_NETWORKS) / own))
    path = Path(name).expanduser()
    if path.suffix != ".sumocfg" and not path.exists():
        raise UnknownNameError("scenario or .sumocfg file", name, names())
    if path.suffix != ".sumocfg":
        raise ScenarioError("this is no scenario", source=name, allowed="a .sumocfg file, or one of " + ", ".join(names()))
    if not path.is_file():
        raise ScenarioError("there is no such file" + nearest(path), source=name, allowed="a .sumocfg file that exists")
    return _read(name, path)


def check_routes(scenario: Scenario) -> None:
    """Check that there is demand, that it is whole, and that it drives on this network.

    SUMO would find out only when the trip is due, in the middle of a run.

    Raises:
        ScenarioError: there is nobody, or a file is cut short, or of another network; the message names the first edge that is unknown.
    """
    edges = _edges(scenario.net_file)
    if not edges:
        raise ScenarioError("this network has no edges", source=str(scenario.net_file), allowed="a whole .net.xml file")
    checking = dict(scenario.options).get("ignore-route-errors", "false") in ("false", "0", "no", "off")
    seen: set[str] = set()
    for path in (*scenario.route_files, *scenario.additional_files):

        def visit(tag: str, attributes: dict[str, str], path: Path = path) -> None:
            seen.add(tag)
            if not checking or tag not in _MENTION_EDGES:
                return
            unknown = ((key, edge) for key in _EDGE_ATTRIBUTES for edge in attributes.get(key, "").split() if edge not in edges)
            for key, edge in unknown:
                raise ScenarioError(
                    f"the network has no such edge, which <{tag} id={attributes.get('id', '')!r} {key}=...> names;"
                    " is this a route file of another network?",
                    source=str(path),
                    key="edge",
                    value=edge,
                    allowed=f"the edges of {scenario.net_file}",
                )

        _scan(path, visit)
    if not seen & _TRAVELLERS:
        raise ScenarioError(
            "nobody travels in this scenario",
            source=str(scenario.config_file),
            key="route-files",
            value=", ".join(str(path) for path in scenario.route_files),
            allowed="files with vehicles, trips, flows or persons",
        )


def nearest(path: Path) -> str:
    """Offer the file beside it whose name is nearest to a missing one's, as the end of a message."""
    siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, siblings, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _names_files(option: str) -> bool:
    return option.endswith(("-file", "-files")) or option == "load-state"


def _config(folder: Path) -> Path:
    return folder / f"{folder.name}.sumocfg"


def _resco() -> Path:
    # Importing sumo_rl would load its whole simulator interface, only to learn where it lies.
    spec = find_spec("sumo_rl")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the RESCO scenarios come with the package sumo-rl, which is not installed; run: pip install 'phasewise[bench]'")
    return Path(spec.submodule_search_locations[0]) / "nets" / "RESCO"


def _read(name: str, config: Path) -> Scenario:
    """Read a `.sumocfg`. All paths in it are relative to its own folder."""
    values = _values(config)
    if "net-file" not in values:
        raise ScenarioError("a scenario needs a network", source=str(config), key="net-file", value="", allowed="a .net.xml file")
    begin = _seconds(config, "begin", values.get("begin", "0"))
    end = values.get("end", "-1")  # SUMO's own word for no end
    return Scenario(
        name=name,
        config_file=config.resolve(),
        net_file=_file(config, "net-file", values["net-file"]),
        route_files=_files(config, "route-files", values.get("route-files", "")),
        additional_files=_files(config, "additional-files", values.get("additional-files", "")),
        begin=begin,
        end=begin + DEFAULT_DURATION if end.startswith("-") else _seconds(config, "end", end),
        step_length=_seconds(config, "step-length", values.get("step-length", "1")),
        scale=_number(config, "scale", values.get("scale", "1")),
        options=tuple(
            (key, ",".join(map(str, _files(config, key, value))) if _names_files(key) else value)
            for key, value in values.items()
            if key not in _FIELDS and not _LEFT_OUT.fullmatch(key)
        ),
    )


def _values(config: Path) -> dict[str, str]:
    """Read the options of a configuration; sections are for human eyes only, and empty values are as good as none."""
    try:
        root = ET.parse(config).getroot()
    except (ET.ParseError, OSError, ValueError, LookupError) as error:
        _broken(config, error)
    found = ((node.tag, node.get("value", node.get("v", node.text or "")).strip()) for node in root.iter())
    return {_SYNONYMS.get(key, key): value for key, value in found if value}


def _number(config: Path, key: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not isfinite(number) or number < 0.0:
        raise ScenarioError("this is no amount", source=str(config), key=key, value=value, allowed="a number, not negative")
    return number


def _seconds(config: Path, key: str, value: str) -> float:
    """Read a time as SUMO writes it: seconds, hours:minutes:seconds, or days before these."""
    *larger, seconds = value.split(":")
    if len(larger) not in (0, 2, 3) or not all(part.isdecimal() for part in larger):
        raise ScenarioError("this is no time", source=str(config), key=key, value=value, allowed="seconds, H:M:S or D:H:M:S")
    units = (86400, 3600, 60)[-len(larger) :] if larger else ()
    return sum((int(part) * unit for part, unit in zip(larger, units, strict=True)), start=_number(config, key, seconds))


def _file(config: Path, key: str, value: str) -> Path:
    path = (config.parent / Path(expandvars(value)).expanduser()).resolve()
    if not path.is_file():
        raise ScenarioError(
            "there is no such file" + nearest(path), source=str(config), key=key, value=value, allowed="a file that exists, relative to it"
        )
    return path


def _files(config: Path, key: str, value: str) -> tuple[Path, ...]:
    """Read a list of files, separated by commas, or by spaces where no file bears the whole as its name."""
    parts = value.split(",") if "," in value or (config.parent / value).is_file() else value.split()
    return tuple(_file(config, key, part.strip()) for part in parts if part.strip())


def _broken(path: Path, error: Exception) -> NoReturn:
    raise ScenarioError(f"this file cannot be read ({error})", source=str(path), allowed="well-formed XML, plain or .gz") from error


def _scan(path: Path, visit: Callable[[str, dict[str, str]], None]) -> None:
    """Show every element of an XML file to `visit`, building no tree: demand files can be larger than memory."""
    parser = expat.ParserCreate()
    parser.StartElementHandler = visit
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            parser.ParseFile(stream)
    except (expat.ExpatError, OSError, EOFError, zlib.error) as error:
        _broken(path, error)


@cache
def _edges(net: Path) -> frozenset[str]:
    edges: set[str] = set()

    def visit(tag: str, attributes: dict[str, str]) -> None:
        if tag == "edge":
            edges.add(attributes.get("id", ""))

    _scan(net, visit)
    return frozenset(edges)


def _with_includes(paths: Iterable[Path]) -> list[Path]:
    """List files and, after them, every file that one of them includes."""
    found = list(paths)
    for path in found:  # which grows while it is read
        try:
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        except (OSError, EOFError, zlib.error) as error:
            _broken(path, error)
        hrefs = re.findall(rb"<include\s[^>]*?href\s*=\s*[\"']([^\"']+)", content)
        inner = [path.parent / unescape(href.decode(errors="replace")) for href in hrefs]
        found += [included for included in inner if included not in found]
    return found


@cache
def _digest(scenario: Scenario) -> str:
    inputs = {"net-file": [scenario.net_file], "route-files": scenario.route_files, "additional-files": scenario.additional_files}
    inputs |= {key: [Path(part) for part in value.split(",")] for key, value in scenario.options if _names_files(key)}
    values = [(key, value) for key, value in scenario.options if not _names_files(key)]
    digest = sha256(repr((scenario.begin, scenario.end, scenario.step_length, scenario.scale, values)).encode())
    for key, paths in inputs.items():
        for path in _with_includes(paths):
            content = path.read_bytes()
            digest.update(f"{key} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()
