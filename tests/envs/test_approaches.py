from pathlib import Path

import pytest

from envs.approaches import Segment, Streets
from envs.sumo_session import Net, read_net
from tests.envs.sumo_tools import run

NODES = {"a": (-400, 0), "n": (-60, 40), "b": (-60, 0), "c": (0, 0), "s": (0, -90), "d": (50, 0), "e": (250, 40), "f": (250, -40)}
EDGES = {"ab": "a b", "nb": "n b", "bc": "b c", "sc": "s c", "cd": "c d", "de": "d e", "df": "d f"}
"""A street that forks upstream of signal c, at b, and downstream of it, at d; n is a signal too."""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Net:
    """Build the street."""
    folder = tmp_path_factory.mktemp("fork")
    lights = {"c", "n"}
    nodes = "".join(
        f'<node id="{name}" x="{x}" y="{y}"{" type=" + chr(34) + "traffic_light" + chr(34) if name in lights else ""}/>'
        for name, (x, y) in {**NODES, "m": (-60, 140), "o": (-160, 40)}.items()
    )
    edges = "".join(
        f'<edge id="{name}" from="{ends.split()[0]}" to="{ends.split()[1]}" speed="10"/>'
        for name, ends in {**EDGES, "mn": "m n", "on": "o n"}.items()
    )
    (folder / "n.xml").write_text(f"<nodes>{nodes}</nodes>", encoding="utf-8")
    (folder / "e.xml").write_text(f"<edges>{edges}</edges>", encoding="utf-8")
    run("netconvert", "-n", folder / "n.xml", "-e", folder / "e.xml", "-o", folder / "net.xml")
    return read_net(folder / "net.xml", withPrograms=False)


@pytest.fixture(scope="module")
def streets(net: Net) -> Streets:
    """Draw its graph."""
    return Streets(net)


def _edges(segments: list[Segment]) -> set[str]:
    return {segment.lane.rpartition("_")[0] for segment in segments if not segment.lane.startswith(":")}


def test_upstream_goes_through_a_junction_without_a_signal(streets: Streets) -> None:
    """Both legs that lead to the stop line are seen, over the inside of the junction, and not the signal beyond one of them."""
    segments, reach = streets.upstream("bc_0", 200.0)

    assert {"bc", "ab", "nb"} == _edges(segments)
    assert Segment("bc_0", 0.0, streets.length["bc_0"]) == segments[0]
    assert {":b"} == {segment.lane.partition("_")[0] for segment in segments if segment.lane.startswith(":")}
    assert 200.0 == reach


def test_a_range_is_cut_at_its_end(streets: Streets) -> None:
    """The last lane is seen as far as the range goes, measured along the path."""
    segments, _ = streets.upstream("bc_0", 100.0)
    far = next(segment for segment in segments if segment.lane == "ab_0")
    inner = [segment.end - segment.start for segment in segments if segment.lane.startswith(":b")]
    rest = 100.0 - streets.length["bc_0"] - (far.end - far.start)

    assert far.end == streets.length["ab_0"]
    assert any(rest == pytest.approx(length) for length in inner)


def test_upstream_ends_where_the_network_does(streets: Streets) -> None:
    """A lane that nothing leads to is all there is to see."""
    segments, reach = streets.upstream("sc_0", 200.0)

    assert [Segment("sc_0", 0.0, streets.length["sc_0"])] == segments
    assert streets.length["sc_0"] == reach


def test_downstream_follows_every_fork(streets: Streets) -> None:
    """What leads away is followed through the junction without a signal, on both legs, as far as the range."""
    segments, reach = streets.downstream("cd_0", 80.0)

    assert {"cd", "de", "df"} == _edges(segments)
    assert 80.0 == reach
    assert all(segment.start == 0.0 for segment in segments)


def test_downstream_ends_at_the_next_stop_line(streets: Streets) -> None:
    """A lane that ends at a signal ends what is seen, and the inside of that signal's junction is no part of it."""
    segments, reach = streets.downstream("mn_0", 500.0)

    assert [Segment("mn_0", 0.0, streets.length["mn_0"])] == segments
    assert streets.length["mn_0"] == reach


def test_a_point_upstream_lies_on_every_path(streets: Streets) -> None:
    """A distance beyond the fork gives a point on each leg; one short of it gives one point."""
    (near,) = streets.points_upstream("bc_0", 2.0)
    far = streets.points_upstream("bc_0", 90.0)

    assert Segment("bc_0", streets.length["bc_0"] - 2.0, streets.length["bc_0"] - 2.0) == near
    assert {"ab_0", "nb_0"} == {point.lane for point in far}
    assert all(point.start == point.end for point in far)


def test_a_path_that_is_too_short_has_its_point_at_its_beginning(streets: Streets) -> None:
    """Where the network, or the next signal, comes before the distance, the point lies where the path begins."""
    assert [Segment("sc_0", 0.0, 0.0)] == streets.points_upstream("sc_0", 500.0)
    assert Segment("nb_0", 0.0, 0.0) in streets.points_upstream("bc_0", 300.0)


def test_headings_are_counted_from_north(streets: Streets) -> None:
    """Clockwise: a lane that leads east heads 90 degrees, one that leads north 0."""
    assert 90.0 == pytest.approx(streets.heading("bc_0"))
    assert 0.0 == pytest.approx(streets.heading("sc_0"))


def test_a_grade_is_rise_over_run(tmp_path: Path) -> None:
    """A lane that climbs 5 m in 100 m has a grade of 0.05."""
    (tmp_path / "n.xml").write_text('<nodes><node id="a" x="0" y="0" z="0"/><node id="b" x="100" y="0" z="5"/></nodes>', encoding="utf-8")
    (tmp_path / "e.xml").write_text('<edges><edge id="ab" from="a" to="b"/></edges>', encoding="utf-8")
    run("netconvert", "-n", tmp_path / "n.xml", "-e", tmp_path / "e.xml", "-o", tmp_path / "net.xml")

    assert 0.05 == pytest.approx(Streets(read_net(tmp_path / "net.xml")).grade("ab_0"), rel=0.01)
