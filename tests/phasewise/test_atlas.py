import dataclasses
from pathlib import Path

import pytest

from envs.results import Movement, Series
from envs.sumo_network import STREET, SumoSignal, import_network
from envs.sumo_session import Net, read_net
from phasewise.report.atlas import arms, geography_of, heading, movements, picture, turn
from tests.envs import sumo_tools
from tests.phasewise.synthetic import episode


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Net, SumoSignal]:
    """Read a four-legged intersection with crossings, and its signal."""
    path = sumo_tools.crossing(tmp_path_factory.mktemp("crossing"))
    [signal] = import_network(path, timing=STREET).signals
    return read_net(path, withPrograms=False), signal


@pytest.mark.parametrize(
    ("approach", "leaving", "name"),
    [
        (0, 180, "through"),
        (0, 90, "left"),
        (0, 270, "right"),
        (90, 0, "right"),
        (350, 355, "U-turn"),
        (170, 10, "through"),
        (20, 245, "through"),
    ],
)
def test_a_turn_is_named_by_the_arms_that_it_joins(approach: float, leaving: float, name: str) -> None:
    """From the north to the east is a left turn, for one who heads south."""
    assert name == turn(approach, leaving)


def test_a_heading_is_one_of_eight() -> None:
    """By the nearest eighth of the compass, around north too."""
    assert ["northbound", "northbound", "northeastbound", "southbound", "westbound"] == [heading(each) for each in (0, 350, 30, 190, 260)]


def test_bearings_that_lie_close_are_one_arm() -> None:
    """Both sides of one road, also around north; what lies further apart stays apart."""
    found = arms([350.0, 8.0, 90.0, 94.0, 180.0])

    assert {350.0: 359.0, 8.0: 359.0, 90.0: 92.0, 94.0: 92.0, 180.0: 180.0} == pytest.approx(found)
    assert {} == arms([])


def test_a_stage_is_pictured_by_arrows_crossings_and_words(crossing: tuple[Net, SumoSignal]) -> None:
    """Each arrow leads from arm to arm; a crossing lies on the arm that it crosses; and the words say the same."""
    found = picture(*crossing)
    stages = crossing[1].config.stages

    assert "B" == found["name"]
    assert len(stages) == len(found["stages"]) == len(found["crossings"]) == len(found["words"])
    [north_south] = [at for at, words in enumerate(found["words"]) if "southbound through" in words]
    ways = {(way["approach"], way["exit"]): way["protected"] for way in found["stages"][north_south]}
    assert {(0.0, 180.0): True, (180.0, 0.0): True, (0.0, 90.0): False, (180.0, 270.0): False}.items() <= ways.items()
    assert [90.0, 270.0] == sorted(found["crossings"][north_south])
    assert "crossing east" in found["words"][north_south]
    assert "(permissive)" in found["words"][north_south]


def test_movements_at_an_only_signal_are_named_by_heading_and_turn(crossing: tuple[Net, SumoSignal]) -> None:
    """As an engineer reads them off a plan; what the network does not have keeps its edges."""
    net, signal = crossing
    pairs = {("NB", "BS"): "southbound through", ("NB", "BE"): "southbound left", ("WB", "BS"): "eastbound right"}

    assert pairs == movements(net, [signal], [*pairs, ("NB", "nowhere")])


def test_movements_of_one_name_are_told_apart(crossing: tuple[Net, SumoSignal]) -> None:
    """By their edges, in brackets; trips on a single edge are said to be on it."""
    net, signal = crossing

    found = movements(net, [signal, signal], [("NB", "BS"), ("BS", "BS")])

    assert {("NB", "BS"): "NB southbound → BS southbound", ("BS", "BS"): "on BS southbound"} == found


def test_streets_bear_their_names(tmp_path: Path) -> None:
    """Where the network has names they stand for edges, and a signal is called by its streets; edges of one street are told apart."""
    path = sumo_tools.crossroads(tmp_path)
    text = path.read_text(encoding="utf-8")
    for edge, name in (("AB", "Main St"), ("BC", "Main St"), ("EB", "Hill Rd"), ("BD", "Main St")):
        text = text.replace(f'<edge id="{edge}"', f'<edge id="{edge}" name="{name}"')
    path.write_text(text, encoding="utf-8")
    net, signals = read_net(path, withPrograms=False), import_network(path).signals

    found = movements(net, [*signals, *signals], [("AB", "BC"), ("AB", "BD"), ("EB", "BD")])

    assert {"Main St / Hill Rd (B)", "Hill Rd / Main St (B)"} & {picture(net, signals[0])["name"]}
    assert {
        ("AB", "BC"): "Main St eastbound → Main St eastbound",
        ("AB", "BD"): "Main St eastbound → Main St northbound",
        ("EB", "BD"): "Hill Rd northbound → Main St northbound",
    } == found


def test_two_ways_into_one_approach_are_told_apart() -> None:
    """Cologne's northern arm is reached by two streets: the same movement twice, each with its edges."""
    ways = [("27115123#2", "32324544#0"), ("130165204", "32324544#0"), ("-32038056#3", "32324544#0")]
    series = Series(movements=tuple(Movement(origin=a, destination=b, trips=1, delay_s=1.0) for a, b in ways))

    found = geography_of([dataclasses.replace(episode("a"), series=series)])

    assert {
        ways[0]: "southbound through (27115123#2 → 32324544#0)",
        ways[1]: "southbound through (130165204 → 32324544#0)",
        ways[2]: "westbound left",
    } == found.movements
    assert 4 == len(found.signals["GS_cluster_357187_359543"]["stages"])
