import gzip
import pickle
import sys
from pathlib import Path

import pytest

from envs import scenario as scenarios
from envs.errors import NetworkError, ScenarioError, SimulationError
from envs.scenario import RESCO, Scenario, check_routes, find, names
from intersection.errors import UnknownNameError, UserError
from tests.envs.session_contract import fresh_process

NET = '<net><edge id="in"/><edge id="out"/></net>'
ROUTES = '<routes><trip id="1" depart="0" from="in" to="out"/></routes>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a net and some demand, and no configuration yet."""
    for name, content in {"a.net.xml": NET, "a.rou.xml": ROUTES, "b.rou.xml": ROUTES + " ", "a.add.xml": "<additional/>"}.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def configured(folder: Path, *options: str, name: str = "a.sumocfg") -> Scenario:
    """Write a configuration with a net and the given elements, and find it."""
    net = "" if any("net" in option for option in options) else '<net-file value="a.net.xml"/>'
    (folder / name).write_text(f"<configuration><input>{net}{''.join(options)}</input></configuration>")
    return find(str(folder / name))


@pytest.mark.parametrize("name", RESCO)
def test_resco_scenarios_are_found_where_they_are_installed(name: str) -> None:
    """Each of the eight RESCO scenarios is an hour of its own network and demand, and its routes drive on its net."""
    scenario = find(f"resco:{name}")
    check_routes(scenario)

    assert (f"{name}.net.xml", 1, 3600.0) == (scenario.net_file.name, len(scenario.route_files), scenario.duration)
    assert f"resco:{name}" in names()


def test_resco_is_found_without_importing_its_package() -> None:
    """Finding a RESCO scenario does not import sumo_rl, which would load its simulator interface."""
    said = fresh_process("import sys; from envs.scenario import find; print(find('resco:cologne1').begin, 'sumo_rl' in sys.modules)")

    assert said == "25200.0 False"


def test_resco_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sumo-rl is not installed, the error says which extra brings it."""
    monkeypatch.setitem(sys.modules, "sumo_rl", None)

    with pytest.raises(UserError, match=r"phasewise\[bench\]"):
        find("resco:cologne1")


def test_our_own_scenarios_are_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of our networks with a configuration of its own name is a scenario; other folders are not."""
    monkeypatch.setattr(scenarios, "OUR_NETWORKS", folder.parent)
    (folder.parent / "unfinished").mkdir(exist_ok=True)
    configured(folder, name=f"{folder.name}.sumocfg")

    assert folder / "a.net.xml" == find(f"phasewise:{folder.name}").net_file
    assert [f"phasewise:{folder.name}"] == [name for name in names() if name.startswith("phasewise:")]


@pytest.mark.parametrize(
    ("name", "nearest"), [("cologne1", "resco:cologne1"), ("resco:cologne9", "resco:cologne8"), ("resco:gird4x4", "resco:grid4x4")]
)
def test_an_unknown_name_offers_the_nearest(name: str, nearest: str) -> None:
    """A name that is neither known nor a path is refused with the nearest known one."""
    with pytest.raises(UnknownNameError, match=f"did you mean '{nearest}'"):
        find(name)


def test_a_path_honours_what_the_configuration_says(folder: Path) -> None:
    """Net, routes, additional files, hours, step, scale and whatever changes the traffic are read from any .sumocfg."""
    (folder / "a.weights.xml").write_text("<meandata/>")
    scenario = configured(
        folder,
        '<route-files value="a.rou.xml, b.rou.xml"/><additional-files value="a.add.xml"/><weight-files value="a.weights.xml"/>',
        '<begin value="100"/><end value="250.5"/><step-length value="0.5"/><scale value="0.8"/><lateral-resolution value="0.8"/>',
    )

    expected = Scenario(
        name=str(folder / "a.sumocfg"),
        config_file=folder / "a.sumocfg",
        net_file=folder / "a.net.xml",
        route_files=(folder / "a.rou.xml", folder / "b.rou.xml"),
        additional_files=(folder / "a.add.xml",),
        begin=100.0,
        end=250.5,
        step_length=0.5,
        scale=0.8,
        options=(("weight-files", str(folder / "a.weights.xml")), ("lateral-resolution", "0.8")),
    )
    assert expected == scenario
    assert scenario.duration == 150.5


def test_what_the_run_decides_is_left_out(folder: Path) -> None:
    """Outputs, reports, windows, seeds and teleports of a configuration are left to the run."""
    scenario = configured(
        folder,
        *(f'<{key} value="1"/>' for key in ("tripinfo-output", "summary", "fcd-output.geo", "verbose", "no-step-log", "log", "v", "W")),
        *(f'<{key} value="1"/>' for key in ("gui-settings-file", "start", "delay", "seed", "random", "time-to-teleport", "remote-port")),
        *(
            f'<{key} value="1"/>'
            for key in ("no-internal-links", "random-depart-offset", "startup-wait-threshold", "device.rerouting.mode")
        ),
    )

    kept = ("no-internal-links", "random-depart-offset", "startup-wait-threshold", "device.rerouting.mode")
    assert kept == tuple(key for key, _ in scenario.options)


@pytest.mark.parametrize("listed", ["a.rou.xml,b.rou.xml", "a.rou.xml b.rou.xml", " a.rou.xml , b.rou.xml ", "a.rou.xml\n\tb.rou.xml"])
def test_files_are_listed_by_commas_or_spaces(folder: Path, listed: str) -> None:
    """A list of files is separated by commas or by white space."""
    assert (folder / "a.rou.xml", folder / "b.rou.xml") == configured(folder, f'<route-files value="{listed}"/>').route_files


def test_a_file_may_have_a_space_in_its_name(folder: Path) -> None:
    """A name with a space is one file where such a file exists."""
    (folder / "my routes.rou.xml").write_text(ROUTES)

    assert (folder / "my routes.rou.xml",) == configured(folder, '<route-files value="my routes.rou.xml"/>').route_files


@pytest.mark.parametrize(
    "options", ['<n value="a.net.xml"/><r v="a.rou.xml"/><b value="5"/>', "<net>a.net.xml</net><routes>a.rou.xml</routes><b>5</b>"]
)
def test_synonyms_are_understood(folder: Path, options: str) -> None:
    """SUMO's short names, its attribute v and values as text mean the same."""
    scenario = configured(folder, options)

    assert (folder / "a.net.xml", (folder / "a.rou.xml",), 5.0) == (scenario.net_file, scenario.route_files, scenario.begin)


@pytest.mark.parametrize(("written", "seconds"), [("25200", 25200.0), ("7:0:0", 25200.0), ("1:00:00:00.5", 86400.5), ("0", 0.0)])
def test_times_are_read_as_sumo_writes_them(folder: Path, written: str, seconds: float) -> None:
    """A time is seconds, hours:minutes:seconds, or days before these."""
    assert seconds == configured(folder, f'<begin value="{written}"/>').begin


@pytest.mark.parametrize("end", ["", '<end value="-1"/>'])
def test_without_an_end_it_lasts_an_hour(folder: Path, end: str) -> None:
    """A configuration without an end, in either of SUMO's ways to say so, lasts an hour."""
    assert configured(folder, '<begin value="600"/>', end).end == 4200.0


@pytest.mark.parametrize(
    ("options", "key", "value", "words"),
    [
        ('<net-file value=""/>', "net-file", "", "a scenario needs a network"),
        ('<net-file value="a.nett.xml"/>', "net-file", "a.nett.xml", "did you mean 'a.net.xml'"),
        ('<route-files value="a.rou.xml,c.rou.xml"/>', "route-files", "c.rou.xml", "no such file"),
        ('<additional-files value="a.add.xm"/>', "additional-files", "a.add.xm", "did you mean 'a.add.xml'"),
        ('<weight-files value="none.xml"/>', "weight-files", "none.xml", "no such file"),
        ('<begin value="soon"/>', "begin", "soon", "a number"),
        ('<begin value="7:00"/>', "begin", "7:00", "H:M:S"),
        ('<begin value="-5"/>', "begin", "-5", "not negative"),
        ('<end value="nan"/>', "end", "nan", "a number"),
        ('<begin value="10"/><end value="10"/>', "end", 10.0, "more than 10.0 s"),
        ('<step-length value="0"/>', "step-length", 0.0, "more than 0 s"),
    ],
)
def test_a_bad_value_is_named(folder: Path, options: str, key: str, value: object, words: str) -> None:
    """A missing file or an impossible value is an error that names the configuration, the key, the value and what is allowed."""
    with pytest.raises(ScenarioError, match=words) as refusal:
        configured(folder, options)

    assert (str(folder / "a.sumocfg"), key, value) == (refusal.value.source, refusal.value.key, refusal.value.value)
    assert refusal.value.allowed


@pytest.mark.parametrize("content", ["", "<configuration>", "no XML", "\x00"])
def test_a_broken_configuration_is_named(folder: Path, content: str) -> None:
    """A configuration that is no whole XML is an error that names it."""
    (folder / "a.sumocfg").write_text(content)

    with pytest.raises(ScenarioError, match=r"a\.sumocfg: this file cannot be read"):
        find(str(folder / "a.sumocfg"))


def test_a_missing_configuration_offers_the_nearest(folder: Path) -> None:
    """A path to nowhere is refused, with a file of nearly that name where there is one."""
    configured(folder)

    with pytest.raises(ScenarioError, match=r"did you mean 'a\.sumocfg'"):
        find(str(folder / "aa.sumocfg"))


@pytest.mark.parametrize("name", ["a.net.xml", "."])
def test_other_files_are_no_scenarios(folder: Path, name: str) -> None:
    """A net or a folder is refused with what is allowed instead."""
    with pytest.raises(ScenarioError, match=r"this is no scenario; allowed: a \.sumocfg file, or one of resco:"):
        find(str(folder / name))


def test_routes_of_another_network_are_refused() -> None:
    """A route file of another network is refused with the first edge that the network has not."""
    scenario, other = find("resco:cologne1"), find("resco:cologne3")
    mixed = Scenario(name="mixed", config_file=scenario.config_file, net_file=scenario.net_file, route_files=other.route_files)

    with pytest.raises(ScenarioError, match="is this a route file of another network") as refusal:
        check_routes(mixed)

    assert (str(other.route_files[0]), "edge", "-5229966#3") == (refusal.value.source, refusal.value.key, refusal.value.value)


@pytest.mark.parametrize(
    "demand",
    [
        '<vehicle id="1" depart="0"><route edges="in nowhere"/></vehicle>',
        '<trip id="1" depart="0" from="in" via="nowhere" to="out"/>',
        '<flow id="1" begin="0" end="9" from="nowhere" to="out"/>',
        '<person id="1" depart="0"><walk edges="nowhere"/></person>',
        '<person id="1" depart="0"><personTrip from="in" to="nowhere"/></person>',
    ],
)
@pytest.mark.parametrize("kind", ["route-files", "additional-files"])
def test_every_way_to_name_an_edge_is_checked(folder: Path, demand: str, kind: str) -> None:
    """Routes, trips, flows and walks, in route and additional files, packed or not, must drive on the network."""
    (folder / "c.xml.gz").write_bytes(gzip.compress(f"<routes>{demand}</routes>".encode()))
    scenario = configured(folder, f'<{kind} value="c.xml.gz"/>')

    with pytest.raises(ScenarioError, match="edge = 'nowhere'"):
        check_routes(scenario)


def test_junctions_and_zones_are_no_edges(folder: Path) -> None:
    """Trips between junctions or zones, and relations between zones, name no edge."""
    (folder / "c.xml").write_text('<routes><trip id="1" depart="0" fromTaz="x" toJunction="y"/><tazRelation from="x" to="y"/></routes>')
    check_routes(configured(folder, '<route-files value="c.xml"/>'))


@pytest.mark.parametrize(
    ("name", "content"), [("c.xml", ROUTES[:40].encode()), ("c.xml.gz", gzip.compress(ROUTES.encode(), mtime=0)[:30]), ("c.xml.gz", b"x")]
)
def test_demand_cut_short_is_refused(folder: Path, name: str, content: bytes) -> None:
    """A route file that ends too early is refused before it could end a run in its middle."""
    (folder / name).write_bytes(content)
    scenario = configured(folder, f'<route-files value="{name}"/>')

    with pytest.raises(ScenarioError, match=f"{name}: this file cannot be read"):
        check_routes(scenario)


def test_a_scenario_may_ignore_route_errors(folder: Path) -> None:
    """Where the configuration tells SUMO to drop bad routes, they are no error."""
    (folder / "c.xml").write_text(ROUTES.replace("out", "nowhere"))
    check_routes(configured(folder, '<route-files value="c.xml"/><ignore-route-errors value="true"/>'))


def test_the_digest_is_of_the_contents(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The digest changes with any file, included file, hour or option, and not with the folder or the name."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for path in folder.iterdir():
        (elsewhere / path.name).write_bytes(path.read_bytes())
    usual = '<route-files value="a.rou.xml"/><additional-files value="a.add.xml"/><weight-files value="b.rou.xml"/>'

    def digest(where: Path, name: str, *options: str) -> str:
        return configured(where, *options, name=f"{name}.sumocfg").sha256

    same = {digest(folder, "1", usual), digest(elsewhere, "2", usual)}
    others = [
        digest(folder, "3", usual, '<begin value="1"/>'),
        digest(folder, "4", usual, '<step-length value="0.5"/>'),
        digest(folder, "5", usual, '<lateral-resolution value="0.8"/>'),
        digest(folder, "6", usual.replace("a.rou", "b.rou")),
        digest(folder, "7", usual.replace("a.rou", "c.rou").replace("a.add", "a.rou").replace("c.rou", "a.add")),
    ]
    for name in ("a.net.xml", "a.rou.xml", "a.add.xml", "b.rou.xml"):
        (elsewhere / name).write_text((elsewhere / name).read_text() + " ")
        others.append(digest(elsewhere, f"with {name}", usual))
    for name in ("a.rou.xml", "b.rou.xml"):
        (elsewhere / name).write_text("a")
    both = '<route-files value="a.rou.xml,b.rou.xml"/>'
    others.append(digest(elsewhere, "8", both))
    (elsewhere / "a.rou.xml").write_text("aa")
    (elsewhere / "b.rou.xml").write_text("")
    others.append(digest(elsewhere, "9", both))
    (elsewhere / "a.add.xml").write_text('<additional><include href="inner.xml"/></additional>')
    for content in ("<additional/>", "<additional> </additional>", '<additional><include href="a.add.xml"/></additional>'):
        (elsewhere / "inner.xml").write_text(content)
        others.append(digest(elsewhere, f"with {len(content)}", usual))

    assert len(same) == 1
    assert len({*same, *others}) == 1 + len(others)
    assert len(same.pop()) == 64


def test_a_missing_include_is_named(folder: Path) -> None:
    """A file that is included and not there is an error when the digest is asked for."""
    (folder / "a.add.xml").write_text('<additional><include href="gone.xml"/></additional>')

    with pytest.raises(ScenarioError, match=r"gone\.xml: this file cannot be read"):
        _ = configured(folder, '<additional-files value="a.add.xml"/>').sha256


@pytest.mark.parametrize(
    "error",
    [
        ScenarioError("m", source="s", key="k", value=1, allowed="a"),
        NetworkError("a link that no green stage serves", source="n", signal="A0", links=[3, 4], lanes=["e_0"]),
        SimulationError("m", words="w"),
    ],
)
def test_errors_survive_a_journey_between_processes(error: Exception) -> None:
    """What an error says and carries is the same after pickling."""
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own

    assert (str(error), vars(error)) == (str(twin), vars(twin))


def test_network_errors_name_signal_links_and_lanes() -> None:
    """A network that cannot be imported is told by signal, links and lanes."""
    error = NetworkError("no green stage serves a link", source="x.net.xml", signal="A0", links=[3, 4], lanes=["e_0", "e_1"], allowed="b")

    assert str(error) == "x.net.xml: signal = 'A0': no green stage serves a link (links 3, 4; lanes e_0, e_1); allowed: b"
    assert str(NetworkError("no signals", source="x.net.xml")) == "x.net.xml: no signals"
