import math
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import sumolib

ROOT = Path(__file__).resolve().parents[2] / "sumo_networks"
NAMES = ["arterial", "eight_phase", "grid", "surge"]
SUMO = Path(sys.executable).with_name("sumo")
SOURCES = ["network.toml", "demand.toml"]


def run_build(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the script as a user does, without leaving bytecode in the folder."""
    return subprocess.run([sys.executable, "-B", ROOT / "build.py", *arguments], capture_output=True, text=True, check=False)


def sources_of(name: str, tmp_path: Path) -> Path:
    """Copy what a network is built of, and nothing else."""
    folder = tmp_path / name
    folder.mkdir()
    for source in SOURCES:
        shutil.copy(ROOT / name / source, folder)
    return folder


def generated(folder: Path) -> dict[str, bytes]:
    """Read the files that a build makes."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in {".xml", ".sumocfg"}}


def routes(name: str) -> ET.Element:
    """Read the demand of a network."""
    return ET.parse(ROOT / name / f"{name}.rou.xml").getroot()


def net(name: str) -> sumolib.net.Net:
    """Read a net with its programs, pedestrians left out."""
    return sumolib.net.readNet(str(ROOT / name / f"{name}.net.xml"), withPrograms=True)


def programs(name: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Yield each signal's cycle as durations and states."""
    for logic in ET.parse(ROOT / name / f"{name}.net.xml").iter("tlLogic"):
        yield logic.attrib["id"], [(int(phase.attrib["duration"]), phase.attrib["state"]) for phase in logic.iter("phase")]


def test_four_networks_stand_here() -> None:
    """Every folder with sources is a network of the tests below."""
    assert NAMES == sorted(path.parent.name for path in ROOT.glob("*/network.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_build_gives_the_very_files_in_the_repository(name: str, tmp_path: Path) -> None:
    """A network built elsewhere, from its two sources alone, is the one that was committed, byte for byte."""
    folder = sources_of(name, tmp_path)

    run = run_build(folder)

    assert (0, "") == (run.returncode, run.stderr)
    assert generated(ROOT / name) == generated(folder)


def test_an_edited_count_changes_its_own_flow_alone(tmp_path: Path) -> None:
    """Whoever edits one count and builds again finds one line changed."""
    folder = sources_of("eight_phase", tmp_path)
    demand = folder / "demand.toml"
    demand.write_text(demand.read_text().replace("west  = [[20, 122, 16]", "west  = [[29, 122, 16]"))

    run_build(folder)

    old, new = (path.read_text().splitlines() for path in (ROOT / "eight_phase/eight_phase.rou.xml", folder / "eight_phase.rou.xml"))
    changed = [line for line, before in zip(new, old, strict=True) if line != before]
    assert ["west-north.0"] == [ET.fromstring(line).attrib["id"] for line in changed]
    assert f'probability="{29 / 900:.5f}"' in changed[0]


@pytest.mark.parametrize("name", NAMES)
def test_no_file_tells_when_or_where_it_was_built(name: str) -> None:
    """What is generated holds no comment, no absolute path and no date, and stays small."""
    files = generated(ROOT / name)

    for text in (content.decode() for content in files.values()):
        assert not re.search(r'<!--|"/[^>]|\b20\d\d-\d\d-\d\d\b', text)
    assert sum(map(len, files.values())) < 600_000


@pytest.mark.parametrize("name", NAMES)
def test_every_way_is_open(name: str) -> None:
    """Edges of routes, trips and walks exist, and each edge of a route leads onto the next."""
    network, demand = net(name), routes(name)
    ways = [route.attrib["edges"].split() for route in demand.iter("route")]

    ends = [element.attrib[end] for element in demand.iter() for end in ("from", "to") if end in element.attrib]
    assert all(network.hasEdge(edge) for edge in [*ends, *(edge for way in ways for edge in way)])
    assert all(network.getEdge(onto) in network.getEdge(edge).getOutgoing() for way in ways for edge, onto in pairwise(way))


@pytest.mark.parametrize("name", NAMES)
def test_no_two_conflicting_links_are_protected_at_once(name: str) -> None:
    """Wherever two links show G together, their ways over the junction neither cross nor merge."""
    network = net(name)
    conflicting = []
    for signal, cycle in programs(name):
        junction = network.getNode(signal)
        index = {link: junction.getLinkIndex(lane.getConnection(onto)) for lane, onto, link in network.getTLS(signal).getConnections()}
        for _, state in cycle:
            protected = [link for link in index if state[link] == "G"]
            conflicting += [
                (signal, state, pair) for pair in combinations(protected, 2) if junction.areFoes(*(index[link] for link in pair))
            ]

    assert [] == conflicting


@pytest.mark.parametrize("name", NAMES)
def test_each_green_ends_by_yellow_and_red_and_is_never_broken(name: str) -> None:
    """In a cycle a link goes once from green to yellow, for 3 s or more, and to red; no yellow breaks a green that the next stage has."""
    for _, cycle in programs(name):
        for link in range(len(cycle[0][1])):
            colours = [state[link].lower() for duration, state in cycle for _ in range(duration)]
            changes = Counter(pairwise([*colours, colours[0]]))
            ends = {pair: count for pair, count in changes.items() if pair[0] != pair[1]}

            assert {("r", "g"): 1, ("g", "y"): 1, ("y", "r"): 1} == ends
            assert colours.count("y") >= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_red_clearance_separates_stages(name: str) -> None:
    """No link turns green in the second after another turned from yellow to red."""
    for _, cycle in programs(name):
        states = [state for _, state in cycle]
        for before, after in pairwise([*states, states[0]]):
            ends = any(old == "y" and new == "r" for old, new in zip(before, after, strict=True))
            begins = any(old == "r" and new in "Gg" for old, new in zip(before, after, strict=True))

            assert not (ends and begins)


def leg(network: sumolib.net.Net, signal: str, neighbour: str) -> str:
    """Say on which side of a signal a neighbour lies."""
    (x, y), (to_x, to_y) = (network.getNode(name).getCoord() for name in (signal, neighbour))
    if abs(to_x - x) > abs(to_y - y):
        return "east" if to_x > x else "west"
    return "north" if to_y > y else "south"


@pytest.mark.parametrize("name", ["arterial", "eight_phase", "grid"])
def test_traffic_on_the_routes_agrees_with_the_turning_counts(name: str) -> None:
    """At least 85 % of all turns have a GEH below 5 against the hour's count, the usual mark of a calibrated model (FHWA)."""
    network, demand = net(name), routes(name)
    counts = tomllib.loads((ROOT / name / "demand.toml").read_text())["counts"]
    ways = {
        route.get("id"): [edge for edge in route.attrib["edges"].split() if not edge.endswith(".bay")] for route in demand.findall("route")
    }
    driven: dict[tuple[str, str], float] = defaultdict(float)
    for element in demand:
        duration = float(element.get("end", 0)) - float(element.get("begin", 0))
        for turn in pairwise(ways.get(element.get("route"), [])):
            driven[turn] += float(element.attrib["probability"]) * duration if element.tag == "flow" else 1

    deviations = []
    for signal, legs in counts.items():
        for edge in network.getNode(signal).getIncoming():
            section = edge.getID().removesuffix(".bay")
            rows = legs[leg(network, signal, section.partition("-")[0])]
            for onto, connections in edge.getOutgoing().items():
                counted = sum(row["lsr".index(connections[0].getDirection())] for row in rows)
                modelled = driven[section, onto.getID()]
                deviations.append(math.sqrt(2 * (modelled - counted) ** 2 / (modelled + counted)))
    assert len(deviations) == 12 * len(counts)
    assert sum(deviation < 5 for deviation in deviations) >= 0.85 * len(deviations)


def test_an_event_let_out_triples_one_approach() -> None:
    """In `surge`, the arena sends three times its traffic for twenty minutes, while one lane has been blocked for fifteen before."""
    trips = list(routes("surge").iter("trip"))
    from_arena = [float(trip.attrib["depart"]) for trip in trips if trip.attrib["from"].startswith("arena")]
    before, during = (
        sum(begin <= depart < end for depart in from_arena) / (end - begin) for begin, end in ((63000, 63900), (63900, 65100))
    )
    stops = [stop.attrib["duration"] for trip in trips for stop in trip.iter("stop")]

    assert ["900"] == stops
    assert during / before == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_sumo_runs_it_without_a_word(name: str) -> None:
    """The first three minutes load and run, without a warning and without a vehicle in trouble."""
    begin = int(ET.parse(ROOT / name / f"{name}.sumocfg").getroot().find("time/begin").attrib["value"])  # type: ignore[union-attr]  # it is there
    options = ["--end", str(begin + 180), "--no-step-log"]

    run = subprocess.run([SUMO, "-c", ROOT / name / f"{name}.sumocfg", *options], capture_output=True, text=True, check=False)

    assert (0, "") == (run.returncode, run.stderr)


@pytest.mark.parametrize(
    ("source", "old", "new", "message"),
    [
        ("network.toml", "lanes = 2", "lines = 2", "unknown key 'lines' in a street; allowed: junctions, lanes, left_bay, sidewalk"),
        ("network.toml", "lanes = 2", 'lanes = "two"', "lanes = 'two' in a street; allowed: int"),
        ("network.toml", '"C", "east"]', '"C", "yeast"]', "a street runs through 'yeast', which is no junction"),
        ("network.toml", "left_bay = 100", "left_bay = 500", "left_bay = 500; west-C is 400 m long"),
        ("network.toml", "[1, 5]", "[1, 4]", "phases = [1, 4]; allowed: one of each ring"),
        ("network.toml", "[4, 8]", "[3, 8]", "never serves phase 4"),
        ("network.toml", "green = 29", "green = 12", "stage 4+8: green = 12; allowed: more than ped_clearance (12 s)"),
        ("demand.toml", '"07:15"', '"7.15"', "'7.15' is no time of day; allowed: HH:MM"),
        ("demand.toml", "[18,  86, 12], ", "", "counts.C.north"),
        ("demand.toml", "[18,  86, 12]", "[18,  -6, 12]", "needed: [left, through, right] 4 times, 0 or more"),
        ("demand.toml", 'form = "flow"', 'form = "flaw"', "form = 'flaw'; allowed: flow, vehicle, trip"),
        ("demand.toml", "[counts.C]", "[counts.D]", "counts are given for D; needed: C"),
        ("demand.toml", "[counts.C]", "counts.C", "demand.toml: Expected '=' after a key"),
    ],
)
def test_bad_data_are_named_and_nothing_is_written(source: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    """A mistake in the sources ends the build with status 2, one line that says where and what, and no file."""
    folder = sources_of("eight_phase", tmp_path)
    text = (folder / source).read_text()
    (folder / source).write_text(text.replace(old, new, 1))

    run = run_build(folder)

    assert text != (folder / source).read_text()
    assert message in run.stderr
    assert f"{folder / source}: " in run.stderr
    assert (2, 1, sorted(SOURCES)) == (run.returncode, run.stderr.count("\n"), sorted(path.name for path in folder.iterdir()))


def test_an_unknown_network_is_answered_with_the_known_ones() -> None:
    """A name that is neither a network nor a folder with sources is refused."""
    run = run_build("eigth_phase")

    assert (2, "build.py: no network 'eigth_phase'; allowed: arterial, eight_phase, grid, surge, or a folder with a network.toml\n") == (
        run.returncode,
        run.stderr,
    )
