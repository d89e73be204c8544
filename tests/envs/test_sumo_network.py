import dataclasses
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Literal
from xml.etree import ElementTree as ET

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from envs import scenario
from envs.clearances import Timing
from envs.errors import NetworkError, ScenarioError
from envs.signal_groups import MOST_STAGES
from envs.sumo_network import PRESETS, RESCO, STREET, Network, SumoSignal, import_network, read_signal, write_network
from intersection.compatibility import Stage
from intersection.detection import DetectorKind
from intersection.errors import ConfigError
from intersection.machine import advance, place_calls, start
from intersection.policy import FixedTime
from intersection.shield import Granted, Reason, Refused, review
from intersection.state import NO_STAGE
from tests.envs.sumo_tools import crossing, crossroads, resco, run

Kind = Literal["program", "maximal"]

RESCO_NETS = [resco(name).with_suffix(".net.xml") for name in scenario.RESCO]
OUR_NETS = sorted(scenario.OUR_NETWORKS.glob("*/*.net.xml"))
NETS = [*RESCO_NETS, *OUR_NETS]


def _name(value: object) -> str:
    return value.name.partition(".")[0] if isinstance(value, Path) else str(value)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build two one-way streets that cross: foes are 0 and 2, 1 and 2, 1 and 3; 2 gives way to 0 and 1, 3 to 1."""
    return crossroads(tmp_path_factory.mktemp("crossroads"))


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a four-legged intersection with vehicle links 0 to 15 and crossings 16 to 19."""
    return crossing(tmp_path_factory.mktemp("crossing"))


def program(folder: Path, *states: str, attributes: str = 'type="static" programID="own" offset="0"', signal: str = "B") -> Path:
    """Write an additional file with a program; each state is "letters duration", or "letters duration name"."""
    phases = []
    for state in states:
        letters, duration, *name = state.split(maxsplit=2)
        phases.append(f'<phase state="{letters}" duration="{duration}"' + (f' name="{name[0]}"' if name else "") + "/>")
    path = folder / "program.add.xml"
    path.write_text(f'<additional><tlLogic id="{signal}" {attributes}>{"".join(phases)}</tlLogic></additional>', encoding="utf-8")
    return path


def imported(net: Path, folder: Path, *states: str, timing: Timing = RESCO, stages: Kind = "program", add_missing: bool = False) -> Network:
    """Import a net with a program of its only signal."""
    files = [program(folder, *states)]
    return import_network(net, additional_files=files, timing=timing, stages=stages, add_missing=add_missing)


def shown(signal: SumoSignal) -> list[str]:
    """Spell each stage in SUMO's letters."""
    words = []
    for stage in signal.config.stages:
        letters = ["r"] * signal.link_count
        for number, links in enumerate(signal.links, 1):
            for link in links:
                letters[link] = "G" if number in stage.protected else "g" if number in stage.permissive else "r"
        for link, letter in signal.fixed.items():
            letters[link] = letter
        words.append("".join(letters))
    return words


def causes(network: Network) -> str:
    """Join all notes, for a look-up."""
    return "\n".join(f"{note.cause} -> {note.effect}" for note in network.notes)


@cache
def network_of(net: Path, preset: str = "resco", stages: Kind = "program") -> Network:
    """Import a whole network, once for all tests."""
    return import_network(net, timing=PRESETS[preset], stages=stages)


def only(network: Network) -> SumoSignal:
    """Take the only signal of a network."""
    (signal,) = network.signals
    return signal


def splits(signal: SumoSignal) -> list[tuple[str, float]]:
    """List pattern 1 as (letters of the stage, split in seconds)."""
    words = dict(zip((stage.name for stage in signal.config.stages), shown(signal), strict=True))
    pattern = signal.config.patterns[0]
    return [(words[name], split / 10) for name, split in zip(pattern.sequence, pattern.splits, strict=True)]


# ------------------------------------------------------------------------------------------------------- whole networks


@pytest.mark.parametrize("stages", ["program", "maximal"])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("net", NETS, ids=_name)
def test_every_network_imports(net: Path, preset: str, stages: Kind) -> None:
    """RESCO's networks and our own import with both presets and both kinds of stages; each link is accounted for, each note explained."""
    network = network_of(net, preset, stages)
    ids = {signal.id for signal in network.signals}
    for signal in network.signals:
        grouped = [link for group in signal.links for link in group]
        connected = {link for link, (lane, _) in enumerate(signal.lanes_of_link) if lane}
        assert sorted([*grouped, *signal.fixed]) == sorted(connected)
        assert {detector.id for detector in signal.config.detectors} == signal.segments.keys()
        assert len(signal.links) == signal.config.tables.size

    assert all(note.signal in ids and note.cause and note.effect for note in network.notes)


@pytest.mark.parametrize("net", NETS, ids=_name)
def test_a_network_reads_back_as_it_was_written(net: Path, tmp_path: Path) -> None:
    """A signal that is read back from its file is equal to the one that was written, and its file marks it as not approved."""
    network = network_of(net, "street")

    paths = write_network(network, tmp_path)

    assert list(network.signals) == [read_signal(path) for path in paths]
    assert [tmp_path / signal.file_name / "intersection.toml" for signal in network.signals] == paths
    assert not any(signal.config.approved for signal in network.signals)


def test_resco_rebuilds_the_greens_that_return_by_yellow() -> None:
    """Of RESCO's 73 signals 27 show a green, a yellow and a green again on some link, and each has its note."""
    networks = [network_of(net) for net in RESCO_NETS]

    assert 73 == sum(len(network.signals) for network in networks)
    assert 27 == sum("by yellow back to green" in note.cause for network in networks for note in network.notes)


def test_a_program_with_conflicting_greens_is_mended() -> None:
    """gneJ210 makes merging foes green together, 6 and 8, 7 and 9; those that give way are permissive, and the rest is as it was."""
    network = network_of(resco("ingolstadt7").with_suffix(".net.xml"))
    signal = next(signal for signal in network.signals if signal.id == "gneJ210")
    notes = [note for note in network.notes if note.signal == "gneJ210" and "both protected" in note.cause]

    assert ["GGggrrrrrrGGGG", "GGGGrrrrrrrrrr", "rrrrGGggGGGGrr"] == shown(signal)
    assert ["links 6, 7, which give way at the junction, are permissive in it"] == [note.effect for note in notes]


def test_sensing_follows_short_lanes_upstream() -> None:
    """gneJ143 controls lanes of 0.92 m; their areas see 200 m upstream, through an unsignalised junction, and loops lie beyond it."""
    network = network_of(resco("ingolstadt7").with_suffix(".net.xml"))
    signal = next(signal for signal in network.signals if signal.id == "gneJ143")
    area = signal.segments["area:10425609#1_2"]

    assert ["10425609#1_2", ":1195228772_0_1", "10425609#0_2"] == [segment.lane for segment in area[:3]]
    assert sum(segment.end - segment.start for segment in area[:3]) > 40
    assert ["10425609#0_2"] == [point.lane for point in signal.segments["advance:10425609#1_2"]]
    assert any("0.92 m" in note.cause for note in network.notes if note.signal == "gneJ143")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("net", NETS, ids=_name)
def test_the_program_can_be_followed_through_the_gate(net: Path, preset: str) -> None:
    """A plan that follows pattern 1 stays in step with it, with calls everywhere, and the gate has to amend nothing but yellow traps."""
    for signal in network_of(net, preset).signals:
        tables, pattern, policy = signal.config.tables, signal.config.patterns[0], FixedTime(signal.config)
        names = [stage.name for stage in signal.config.stages]
        state = start(tables, names.index(pattern.sequence[pattern.stage_at(pattern.position(0))]), 0)
        for now in range(0, 3 * pattern.cycle, 10):
            state = place_calls(state, tables, (1 << tables.size) - 1, tables.pedestrians & ~tables.green[state.stage])
            verdict = review(policy.propose(SimpleNamespace(state=state)), state, tables)  # type: ignore[arg-type]  # it looks no further
            assert not isinstance(verdict, Refused)
            if now >= pattern.cycle:
                assert isinstance(verdict, Granted) or verdict.reason is Reason.YELLOW_TRAP
            state = advance(state, verdict.command, now + 10, tables)
            if now >= pattern.cycle and state.target == NO_STAGE:
                entry = pattern.stage_at(pattern.position(now))
                assert names[state.stage] in (pattern.sequence[entry], pattern.sequence[(entry + 1) % len(pattern.sequence)])


@pytest.mark.parametrize("begin", [0, 25_217])
def test_a_pattern_keeps_time_with_sumo(begin: int, tmp_path: Path) -> None:
    """With offsets in the network, and one program in an additional file, pattern 1 shows the stage that SUMO shows at every second."""
    net = scenario.OUR_NETWORKS / "arterial" / "arterial.net.xml"
    own = program(
        tmp_path,
        *("rrrGGGrrrrGGGr 20", "rrryyyrrrryyyr 3", "GGgrrrrGGgrrrr 30", "yyyrrrryyyrrrr 3", "rrrrrrGrrrrrrG 30", "rrrrrryrrrrrry 3"),
        attributes='type="static" programID="own" offset="-7"',
        signal="J1",
    )
    network = import_network(net, additional_files=[own])
    record, output = tmp_path / "record.add.xml", tmp_path / "states.xml"
    events = "".join(f'<timedEvent type="SaveTLSStates" source="{signal.id}" dest="{output}"/>' for signal in network.signals)
    record.write_text(f"<additional>{events}</additional>", encoding="utf-8")
    run("sumo", "-n", net, "-a", f"{own},{record}", "-b", begin, "-e", begin + 200, "--no-step-log")

    compared = 0
    for element in ET.parse(output).getroot():
        signal = next(signal for signal in network.signals if signal.id == element.get("id"))
        state = element.get("state", "").replace("s", "r")
        if set(state) <= {"G", "g", "r"} and "G" in state:
            pattern = signal.config.patterns[0]
            now = round(float(element.get("time", "")) * 10)
            name = pattern.sequence[pattern.stage_at(pattern.position(now))]
            assert shown(signal)[[stage.name for stage in signal.config.stages].index(name)] == state
            compared += 1

    assert compared > 5 * 150


# ------------------------------------------------------------------------------------------------------- irregular programs


def test_a_phase_of_yellow_and_green_is_a_transition(plain: Path, tmp_path: Path) -> None:
    """A state in which one link is yellow while another goes on is no stage; its time belongs to the stage that it leads out of."""
    signal = only(imported(plain, tmp_path, "GGrr 30", "Gyrr 3", "GrrG 20", "yrrG 3", "rrGG 20", "rryy 3"))

    assert [("GGrr", 33), ("GrrG", 23), ("rrGG", 23)] == splits(signal)


def test_a_short_clearance_beside_a_green_is_a_transition(plain: Path, tmp_path: Path) -> None:
    """A red clearance during which another green goes on is no stage; a longer one is."""
    short = imported(plain, tmp_path, "GGrr 30", "Gyrr 3", "Grrr 2", "GrrG 20", "yrrG 3", "rrGG 20", "rryy 3")
    long = imported(plain, tmp_path, "GGrr 30", "Gyrr 3", "Grrr 6", "GrrG 20", "yrrG 3", "rrGG 20", "rryy 3")

    assert [("GGrr", 35), ("GrrG", 23), ("rrGG", 23)] == splits(only(short))
    assert ["GGrr", "Grrr", "GrrG", "rrGG"] == shown(only(long))


def test_clearances_are_those_of_the_scenario(plain: Path, tmp_path: Path) -> None:
    """Yellow change is the program's, red clearance what it leaves before a conflicting green; both are rounded up to the step."""
    states = ("GGrr 30", "yyrr 4", "rrrr 2", "rrGG 30", "rryy 3.5", "rrrr 0.5")

    times = [phase.timing for phase in only(imported(plain, tmp_path, *states, timing=Timing())).config.phases]

    assert [(40, 20), (40, 10)] == [(time.yellow_change, time.red_clearance) for time in times]


def test_the_least_red_clearance_of_the_program_counts(plain: Path, tmp_path: Path) -> None:
    """Where a program leaves 4 s after one green of a phase and 2 s after another, 2 s are enough for it."""
    states = ("GGrr 30", "yyrr 3", "rrrr 4", "rrGG 30", "rryy 3", "GGrr 30", "yyrr 3", "rrrr 2", "rrgG 20", "rryy 3")

    times = [phase.timing for phase in only(imported(plain, tmp_path, *states, timing=Timing())).config.phases]

    assert 20 == times[0].red_clearance


def test_a_yellow_of_the_preset_outranks_the_program(plain: Path, tmp_path: Path) -> None:
    """The benchmark preset has 3 s of yellow and no red clearance, whatever the program shows."""
    times = [phase.timing for phase in only(imported(plain, tmp_path, "GGrr 30", "yyrr 5", "rrrr 2", "rrGG 30", "rryy 5")).config.phases]

    assert [(30, 0), (30, 0)] == [(time.yellow_change, time.red_clearance) for time in times]


def test_a_green_that_ends_without_a_yellow_gets_one(plain: Path, tmp_path: Path) -> None:
    """A program without yellows gets yellow changes of 3 s, and a note."""
    network = imported(plain, tmp_path, "GGrr 30", "rrGG 30", timing=Timing())

    assert {30} == {phase.timing.yellow_change for phase in only(network).config.phases}
    assert "links 0, 1 lose green without a yellow -> their yellow change is 3 s" in causes(network)


def test_a_red_clearance_above_the_minimum_green_raises_it(plain: Path, tmp_path: Path) -> None:
    """The gate needs red clearances not above minimum green: 7 s of all-red make a minimum green of 7 s, and a note."""
    network = imported(plain, tmp_path, "GGrr 30", "yyrr 3", "rrrr 7", "rrGG 30", "rryy 3", timing=Timing())

    assert {70} == {phase.timing.min_green for phase in only(network).config.phases}
    assert "a red clearance of 7 s is longer than the minimum green -> the minimum green is 7 s" in causes(network)


def test_red_yellow_is_red(plain: Path, tmp_path: Path) -> None:
    """A red-yellow before a green is part of the transition, and noted."""
    network = imported(plain, tmp_path, "GGrr 30", "yyuu 3", "rruu 1", "rrGG 30", "uuyy 3")

    assert [("GGrr", 34), ("rrGG", 33)] == splits(only(network))
    assert "red and yellow together before a green -> red until the green" in causes(network)


def test_a_stop_light_stands_for_red(plain: Path, tmp_path: Path) -> None:
    """A link that shows a stop light when it is not green keeps it; one that mixes it with red is noted."""
    network = imported(plain, tmp_path, "GGrs 30", "yyrs 3", "ssGG 30", "rryy 3")

    assert {0, 1, 3} == only(network).stop_links
    assert ["GGrr", "rrGG"] == shown(only(network))
    assert "links 0, 1 show s in some states and r in others -> s whenever they are not green" in causes(network)


def test_links_that_never_change_belong_to_no_phase(plain: Path, tmp_path: Path) -> None:
    """A link that is off, or a stop light, or green throughout, always shows its letter."""
    off = only(imported(plain, tmp_path, "GGro 30", "yyro 3", "rrGo 30", "rryo 3"))
    stop = only(imported(plain, tmp_path, "GGrs 30", "yyrs 3", "rrGr 30", "rryr 3"))
    green = only(imported(plain, tmp_path, "GGrr 30", "Gyrr 3", "Grgg 30", "Gryy 3"))

    assert [{3: "o"}, {3: "s"}, {0: "G"}] == [off.fixed, stop.fixed, green.fixed]
    assert not stop.stop_links
    assert "area:AB_0" in off.segments  # by link 2, which stands in a phase


def test_a_green_throughout_that_meets_a_foe_stays_a_phase(plain: Path, tmp_path: Path) -> None:
    """Link 3 is green in both stages and protected against its foe 1 in one: it must be mended, so it stands in a phase."""
    network = imported(plain, tmp_path, "GGrG 30", "yyrG 3", "rrGG 30", "rryG 3")

    assert ["GGrg", "rrGG"] == shown(only(network))
    assert not only(network).fixed


def test_lamps_that_go_off_for_a_while(plain: Path, tmp_path: Path) -> None:
    """A pause of the whole signal lengthens the stage before it; lamps that are off beside lit ones count as greens."""
    pause = imported(plain, tmp_path, "GGrr 30", "yyrr 3", "oooo 20", "rrGG 30", "rryy 3")
    beside = imported(plain, tmp_path, "GGrr 30", "yyrr 3", "rrOo 30", "rryy 3")

    assert [("GGrr", 53), ("rrGG", 33)] == splits(only(pause))
    assert "these 20 s go to the stage before them" in causes(pause)
    assert ["GGrr", "rrGg"] == shown(only(beside))
    assert "o counts as a permissive green" in causes(beside)


def test_a_program_that_is_off_or_never_changes_is_skipped(plain: Path, tmp_path: Path) -> None:
    """A network whose only signal is off, or shows stop lights alone, has no signal; the message says so."""
    with pytest.raises(NetworkError, match="off all the time"):
        imported(plain, tmp_path, "oooo 30")
    with pytest.raises(NetworkError, match="none of its links ever changes"):
        imported(plain, tmp_path, "ssrs 30", "sssr 30")


def test_links_that_are_only_ever_permissive_stay_so(plain: Path, tmp_path: Path) -> None:
    """A link with only small greens is permissive in every stage, in those that are added too."""
    states = ("ggrr 30", "yyrr 3", "rrgg 30", "rryy 3")

    assert ["ggrr", "rrgg"] == shown(only(imported(plain, tmp_path, *states)))
    assert ["ggrr", "rrgg"] == shown(only(imported(plain, tmp_path, *states, stages="maximal")))


def test_a_permissive_link_gives_way_by_the_junctions_own_table(plain: Path, tmp_path: Path) -> None:
    """Link 3 gives way to 1 at the junction, so it may be green beside it when permissive."""
    signal = only(imported(plain, tmp_path, "GGrg 30", "yyrg 3", "rrGG 30", "rryy 3"))
    number = {links: at for at, links in enumerate(signal.links, 1)}

    assert ["GGrg", "rrGG"] == shown(signal)
    assert (number[3,], number[0, 1]) in signal.config.compatibility.yields


def test_a_stage_of_foes_demotes_the_one_that_gives_way(plain: Path, tmp_path: Path) -> None:
    """1 and 3 are foes and both protected; the junction makes 3 give way."""
    network = imported(plain, tmp_path, "GGrG 30", "yyry 3", "rrGG 30", "rryy 3")

    assert ["GGrg", "rrGG"] == shown(only(network))
    assert "foes, links 1 and 3, both protected -> links 3, which give way at the junction" in causes(network)


def test_a_group_of_two_minds_is_split(plain: Path, tmp_path: Path) -> None:
    """Links 2 and 3 show the same, but only 2 meets 0: split, so that 3 stays protected beside it."""
    network = imported(plain, tmp_path, "GrGG 30", "yryy 3", "rGrr 30", "ryrr 3")

    assert ["GrgG", "rGrr"] == shown(only(network))
    assert ((0,), (1,), (2,), (3,)) == only(network).links


def test_stages_that_are_alike_when_mended_become_one(plain: Path, tmp_path: Path) -> None:
    """The last stage of the cycle is what the first is mended to: together they are one, which begins before the cycle does."""
    signal = only(imported(plain, tmp_path, "GrGG 30", "yryy 3", "rGrr 30", "ryrr 3", "GrgG 20"))

    assert [("GrgG", 53), ("rGrr", 33)] == splits(signal)
    assert 860 - 200 == signal.config.patterns[0].offset


@pytest.fixture
def blind(plain: Path, tmp_path: Path) -> Path:
    """Give the crossroads a table by which nobody gives way."""
    net = tmp_path / "blind.net.xml"
    text = re.sub(r'(<request index="\d" response=")\d+"', r'\g<1>0000"', plain.read_text(encoding="utf-8"))
    net.write_text(text, encoding="utf-8")
    return net


def test_foes_of_which_none_gives_way_are_parted(blind: Path, tmp_path: Path) -> None:
    """Of four links green at once, those remain that are no foes of each other."""
    network = imported(blind, tmp_path, "GGGG 30", "yyyy 3", "Grrr 9", "yrrr 3", "rGrr 9", "ryrr 3", "rrGr 9", "rryr 3", "rrrG 9", "rrry 3")

    assert ["rrGG", "Grrr", "rGrr", "rrGr", "rrrG"] == shown(only(network))


def test_a_link_left_out_of_its_only_stage_gets_one(blind: Path, tmp_path: Path) -> None:
    """Where neither of two foes gives way by the junction's table, one is red in that stage, and another stage serves it."""
    network = imported(blind, tmp_path, "GrGr 30", "yryr 3", "rGrr 30", "ryrr 3", "rrrG 30", "rrry 3")

    assert ["rrGr", "rGrr", "rrrG", "Grrr"] == shown(only(network))
    assert "links 0 are red in it" in causes(network)
    assert "no green stage serves links 0 -> a stage of their own is added" in causes(network)
    assert ("Grrr", 8) == splits(only(network))[-1]


def test_a_link_without_a_green_is_refused_by_name(plain: Path, tmp_path: Path) -> None:
    """The error names signal, links and lanes."""
    with pytest.raises(NetworkError) as caught:
        imported(plain, tmp_path, "GGrr 30", "yyrr 3", "rrGr 30", "rryr 3")

    assert ("B", (3,), ("AB_0",)) == (caught.value.signal, caught.value.links, caught.value.lanes)
    assert all(word in str(caught.value) for word in ("signal = 'B'", "links 3", "lanes AB_0", "add_missing"))


def test_a_link_without_a_green_can_be_given_a_stage(plain: Path, tmp_path: Path) -> None:
    """With the flag, links that no stage serves get stages of their own, at the end of the pattern, and a note."""
    network = imported(plain, tmp_path, "GGrr 30", "yyrr 3", "rrrr 9", add_missing=True)

    assert [("GGrr", 34), ("rrGG", 8)] == splits(only(network))
    assert "no green stage serves links 2, 3 -> a stage of their own is added" in causes(network)


def test_a_program_without_any_green_can_be_given_all_its_stages(plain: Path, tmp_path: Path) -> None:
    """Even a program of reds becomes a signal with the flag: foes stand in different stages."""
    assert ["GGrr", "rrGG"] == shown(only(imported(plain, tmp_path, "rrrr 30", add_missing=True)))


def test_one_stage_is_enough(plain: Path, tmp_path: Path) -> None:
    """A signal of one stage has phases and a pattern of that stage, although its links never change."""
    signal = only(imported(plain, tmp_path, "GGrg 80", "yyry 3", add_missing=True))
    single = only(imported(plain, tmp_path, "Grro 30", "Grro 10", add_missing=True))

    assert "GGrg" == shown(signal)[0]
    assert "Grro" == shown(single)[0]


def test_equal_neighbours_are_one_stage_around_the_cycles_end(plain: Path, tmp_path: Path) -> None:
    """A stage that the cycle's end cuts in two is one, and begins before the cycle does."""
    signal = only(imported(plain, tmp_path, "GGrr 10", "yyrr 3", "rrGG 30", "rryy 3", "GGrr 20"))

    assert [("GGrr", 33), ("rrGG", 33)] == splits(signal)
    assert 660 - 200 == signal.config.patterns[0].offset


@pytest.mark.parametrize("kind", ["actuated", "delay_based"])
def test_an_actuated_program_gives_its_stages(kind: str, plain: Path, tmp_path: Path) -> None:
    """The stages of an actuated program are those of its states; that its splits are only defaults is noted."""
    states = ("GGrr 30", "yyrr 3", "rrGG 20", "rryy 3")
    path = program(tmp_path, *states, attributes=f'type="{kind}" programID="own" offset="0"')
    path.write_text(path.read_text(encoding="utf-8").replace('duration="20"', 'minDur="15" maxDur="50"'), encoding="utf-8")

    network = import_network(plain, additional_files=[path])

    assert [("GGrr", 33), ("rrGG", 18)] == splits(only(network))
    assert f"its program is {kind}" in causes(network)


def test_a_nema_program_has_its_clearances(plain: Path, tmp_path: Path) -> None:
    """SUMO's NEMA controller names yellow and red instead of showing them."""
    path = program(tmp_path, "GGrr 30", "rrGG 20", attributes='type="NEMA" programID="own" offset="0"')
    path.write_text(path.read_text(encoding="utf-8").replace("duration=", 'yellow="4" red="2" duration='), encoding="utf-8")

    signal = only(import_network(plain, additional_files=[path], timing=Timing()))

    assert [("GGrr", 36), ("rrGG", 26)] == splits(signal)
    assert {(40, 20)} == {(phase.timing.yellow_change, phase.timing.red_clearance) for phase in signal.config.phases}


def test_the_program_that_sumo_starts_with_counts(plain: Path, tmp_path: Path) -> None:
    """Of several programs the last that is read counts, and a program without states shifts one that is there."""
    later = tmp_path / "later.add.xml"
    later.write_text('<additional><tlLogic id="B" programID="own" offset="-5"/></additional>', encoding="utf-8")
    outer = tmp_path / "outer.add.xml"
    outer.write_text('<additional><include href="later.add.xml"/></additional>', encoding="utf-8")
    own = program(tmp_path, "GGrr 20", "yyrr 3", "rrGG 34", "rryy 3")

    network = import_network(plain, additional_files=[own, outer])

    assert [("GGrr", 23), ("rrGG", 37)] == splits(only(network))
    assert 600 - 50 == only(network).config.patterns[0].offset
    assert "more than one program: '0', 'own' -> 'own', with which SUMO starts, not '0'" in causes(network)


def test_an_offset_can_count_from_the_begin(plain: Path, tmp_path: Path) -> None:
    """SUMO's offset "begin" puts the cycle's start at the simulation's begin."""
    path = program(tmp_path, "GGrr 30", "yyrr 3", "rrGG 30", "rryy 3", attributes='type="static" programID="own" offset="begin"')

    network = import_network(plain, additional_files=[path], begin=100.0)

    assert 340 == only(network).config.patterns[0].offset
    assert "counts from the simulation's begin -> pattern 1 takes that to be 100 s" in causes(network)


def test_greens_of_nothing_are_no_stage(plain: Path, tmp_path: Path) -> None:
    """Letters beyond the links are kept in the count and show red; a state that makes only them green is no stage."""
    network = imported(plain, tmp_path, "GGrrr 30", "yyrrr 3", "rrGGr 30", "rryyr 3", "rrrrG 20")

    assert 5 == only(network).link_count
    assert [("GGrrr", 33), ("rrGGr", 53)] == splits(only(network))
    assert "nothing is connected to links 4 -> they show red" in causes(network)
    assert "their 20 s go to the stage before them" in causes(network)


def test_a_stage_of_constant_links_alone_is_left_out(plain: Path, tmp_path: Path) -> None:
    """A state in which only a link without a phase is green lengthens the stage before it, also over the cycle's end."""
    network = imported(plain, tmp_path, "Grrr 10", "GGrr 30", "Gyrr 3", "Grrr 10", "Grgg 30", "Gryy 3")

    assert [("GGrr", 43), ("Grgg", 43)] == splits(only(network))
    assert 100 == only(network).config.patterns[0].offset
    assert "their 20 s go to the stage before them" in causes(network)


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (("GGrr 30", "yyr 3"), "state 1 of program 'own' has 3 letters"),
        (("GGr 30", "yyr 3"), "state 0 of program 'own' has 3 letters"),
        (("GGrr 30", "yxrr 3"), "state 1 of program 'own' shows 'x'"),
        (("GGrr soon",), "its program has no time in duration='soon'"),
        (("GGrr inf",), "its program has no time in duration='inf'"),
        (("GGrr 0",), "program 'own' has no states"),
    ],
)
def test_a_program_that_cannot_be_run_is_refused(states: tuple[str, ...], words: str, plain: Path, tmp_path: Path) -> None:
    """The message names the signal, the state and what is wrong with it."""
    with pytest.raises(NetworkError, match=re.escape(words)) as caught:
        imported(plain, tmp_path, *states)

    assert "B" == caught.value.signal


# ------------------------------------------------------------------------------------------------------- splits and bounds


def test_a_split_too_short_is_lengthened_at_the_others_cost(plain: Path, tmp_path: Path) -> None:
    """A green of 2 s becomes the minimum green; the cycle stays as long as it was where another split can spare the time."""
    network = imported(plain, tmp_path, "GGrr 30", "yyrr 3", "rrGG 2", "rryy 3")

    assert [("GGrr", 30), ("rrGG", 8)] == splits(only(network))
    assert "stage 1 33 -> 30 s, stage 2 5 -> 8 s" in causes(network)


def test_a_cycle_too_short_is_lengthened(plain: Path, tmp_path: Path) -> None:
    """Where no split can spare time the cycle grows, and the note tells by how much."""
    network = imported(plain, tmp_path, "GGrr 2", "yyrr 3", "rrGG 2", "rryy 3")

    assert [("GGrr", 8), ("rrGG", 8)] == splits(only(network))
    assert "the cycle is 16 s instead of 10 s" in causes(network)


def test_a_walk_keeps_its_split_when_another_is_lengthened(walked: Path, tmp_path: Path) -> None:
    """The longest split holds just its walk and clearance, so the time comes from the next one that can spare it."""
    greens = ("gGggrrrrgGggrrrroGoG 13", "rrrrgGggrrrrgGggoror 12", "rrrrgrrrrrrrgrrroror 2")
    yellows = ("yyyyrrrryyyyrrrroror 3", "rrrryyyyrrrryyyyoror 3", "rrrryrrrrrrryrrroror 3")

    signal = only(imported(walked, tmp_path, *(state for pair in zip(greens, yellows, strict=True) for state in pair)))

    assert [16, 12, 8] == [split for _, split in splits(signal)]


def test_a_long_red_raises_the_maximum_wait(plain: Path, tmp_path: Path) -> None:
    """A program with a red of 303 s can only be followed with a longer maximum wait, which is noted."""
    network = imported(plain, tmp_path, "GGrr 300", "yyrr 3", "rrGG 30", "rryy 3")
    (wait,) = {phase.timing.max_wait for phase in only(network).config.phases}

    assert 3030 + only(network).config.tables.round_trip == wait
    assert f"the maximum wait is {wait / 10:g} s" in causes(network)


def test_a_short_maximum_green_is_raised_where_a_walk_needs_it(walked: Path) -> None:
    """A stage must last through its walk and its clearance; a maximum green below that is raised, with a note."""
    network = import_network(walked, timing=dataclasses.replace(RESCO, max_green=10))

    assert "do not fit into 10 s of maximum green" in causes(network)
    assert {160} == {phase.timing.max_green for phase in only(network).config.phases}


def test_stages_bear_the_programs_names(plain: Path, tmp_path: Path) -> None:
    """A stage is called what the program calls it, unless two would be called the same."""
    named = only(imported(plain, tmp_path, "GGrr 30 4+8", "yyrr 3", "rrGG 30 2+6", "rryy 3"))
    twice = only(imported(plain, tmp_path, "GGrr 30 on", "yyrr 3", "rrGG 30 on", "rryy 3"))

    assert ["4+8", "2+6"] == [stage.name for stage in named.config.stages]
    assert ["stage 1", "stage 2"] == [stage.name for stage in twice.config.stages]


# ------------------------------------------------------------------------------------------------------- every maximal stage


def test_maximal_stages_are_those_to_which_nothing_can_be_added(plain: Path, tmp_path: Path) -> None:
    """The program's stages come first, then every maximal one that it lacks; phases are split by the edge they come from."""
    signal = only(imported(plain, tmp_path, "GGrr 30", "yyrr 3", "rrGr 30", "rryr 3", "rrrG 30", "rrry 3", stages="maximal"))

    assert ["GGrr", "rrGr", "rrrG", "rrGG"] == shown(signal)


def test_maximal_stages_keep_what_can_give_way(walked: Path) -> None:
    """No maximal stage has a clash, each serves as much as can be protected together, and permissive turns join where they give way."""
    signal = only(import_network(walked, stages="maximal"))
    config = signal.config
    program_stages = len(import_network(walked).signals[0].config.stages)
    ever_protected = {number for stage in config.stages for number in stage.protected}
    for stage in config.stages[program_stages:]:
        for number in ever_protected - stage.protected:
            more = Stage(name="more", protected=stage.protected | {number})
            assert config.compatibility.clash(more) is not None

    assert all(config.compatibility.clash(stage) is None for stage in config.stages)
    assert any(stage.permissive for stage in config.stages[program_stages:])


def test_the_enumeration_of_stages_is_bounded(tmp_path: Path) -> None:
    """A signal with more maximal stages than the bound keeps that many, and says so."""
    legs = [f"L{at}" for at in range(14)]
    net = _star(tmp_path, legs)

    network = import_network(net, stages="maximal", add_missing=True)

    assert MOST_STAGES == len(only(network).config.stages)
    assert f"there are more than {MOST_STAGES} maximal stages" in causes(network)


# ------------------------------------------------------------------------------------------------------- odd signals


def build(folder: Path, nodes: str, edges: str, *options: str) -> Path:
    """Build a net from plain XML."""
    (folder / "own.nod.xml").write_text(f"<nodes>{nodes}</nodes>", encoding="utf-8")
    (folder / "own.edg.xml").write_text(f"<edges>{edges}</edges>", encoding="utf-8")
    net = folder / "own.net.xml"
    run("netconvert", "-n", folder / "own.nod.xml", "-e", folder / "own.edg.xml", "-o", net, *options)
    return net


def _star(folder: Path, legs: list[str]) -> Path:
    """Build one signal over many separate junctions, where a one-way street meets another."""
    nodes, edges = "", ""
    for at, leg in enumerate(legs):
        x = at * 400
        for name, dx, dy in (("w", -90, 0), ("s", 0, -90), ("e", 90, 0)):
            nodes += f'<node id="{leg}{name}" x="{x + dx}" y="{dy}"/>'
            ends = f'from="{leg}{name}" to="{leg}"' if name != "e" else f'from="{leg}" to="{leg}{name}"'
            edges += f'<edge id="{leg}{name}" {ends}/>'
        nodes += f'<node id="{leg}" x="{x}" y="0" type="traffic_light" tl="all"/>'
    return build(folder, nodes, edges)


def test_one_program_over_several_junctions(tmp_path: Path) -> None:
    """Foes are found within each junction, and links of different junctions never conflict."""
    signal = only(import_network(_star(tmp_path, ["A", "B"]), stages="maximal"))
    lanes = {link: lane for link, (lane, _) in enumerate(signal.lanes_of_link)}
    number = {lanes[links[0]]: at for at, links in enumerate(signal.links, 1)}
    conflict = signal.config.compatibility.conflict

    assert conflict(number["Aw_0"], number["As_0"])
    assert conflict(number["Bw_0"], number["Bs_0"])
    assert not any(conflict(number[f"A{a}_0"], number[f"B{b}_0"]) for a in "ws" for b in "ws")
    assert 4 == sum(len(stage.phases) == 2 for stage in signal.config.stages)


def test_rail_signals_are_left_alone(tmp_path: Path) -> None:
    """A level crossing and a rail signal are skipped with the reason; a network of nothing else is refused."""
    nodes = (
        '<node id="a" x="-100" y="0"/><node id="c" x="0" y="0" type="rail_crossing"/><node id="b" x="100" y="0" type="rail_signal"/>'
        '<node id="e" x="200" y="0"/><node id="n" x="0" y="100"/><node id="s" x="0" y="-100"/>'
    )
    edges = "".join(
        f'<edge id="{name}" from="{name[0]}" to="{name[1]}"{rail}/>'
        for name, rail in (("ac", ' allow="rail"'), ("cb", ' allow="rail"'), ("be", ' allow="rail"'), ("nc", ""), ("cs", ""))
    )
    alone = build(tmp_path, nodes, edges)
    with pytest.raises(NetworkError, match=r"a network without signals .*a rail signal"):
        import_network(alone)
    more = '<node id="x" x="0" y="-300" type="traffic_light"/><node id="y" x="100" y="-300"/><node id="z" x="-100" y="-300"/>'
    roads = '<edge id="sx" from="s" to="x"/><edge id="zx" from="z" to="x"/><edge id="xy" from="x" to="y"/>'

    network = import_network(build(tmp_path, nodes + more, edges + roads))

    assert ["x"] == [signal.id for signal in network.signals]
    assert {"b": "a rail signal", "c": "a rail signal"} == network.skipped


def test_a_pedestrian_only_signal_has_pedestrian_phases_alone(walked: Path, tmp_path: Path) -> None:
    """Where only crossings are controlled, phases have walks and push buttons, and no vehicle indication."""
    net = tmp_path / "only.net.xml"
    text = walked.read_text(encoding="utf-8")
    net.write_text(re.sub(r'(<connection from="\w\w".*?) tl="B" linkIndex="\d+"', r"\1", text), encoding="utf-8")

    signal = only(import_network(net))

    assert [False, False] == [phase.vehicle for phase in signal.config.phases]
    assert {DetectorKind.PUSH_BUTTON} == {detector.kind for detector in signal.config.detectors}
    assert ((16, 18), (17, 19)) == signal.links


def test_crossings_have_walks_by_their_length(walked: Path) -> None:
    """A crossing of 6.4 m has a walk of 7 s and a clearance of 6.4 m / 1.07 m/s, rounded up to 6 s, and a button."""
    signal = only(import_network(walked))
    times = [phase.timing for phase in signal.config.phases if not phase.vehicle]
    button = next(detector for detector in signal.config.detectors if detector.id == "button::B_c0")

    assert [(70, 60), (70, 60)] == [(time.walk, time.ped_clearance) for time in times]
    assert [(0, 30), (0, 30)] == [(time.yellow_change, time.red_clearance) for time in times]
    assert "crossing :B_c0, :B_c2" == next(phase.name for phase in signal.config.phases if phase.number in button.phases)
    assert ":B_c0_0" == signal.segments["button::B_c0"][0].lane
    assert {":B_w0_0", ":B_w1_0"} == {segment.lane for segment in signal.segments["button::B_c0"][1:]}


def test_a_pedestrian_clearance_belongs_to_its_stage(walked: Path) -> None:
    """The state in which only the crossings have turned red is no stage of its own."""
    signal = only(import_network(walked))

    assert [45, 45] == [split for _, split in splits(signal)]
    assert 2 == len(signal.config.stages)


def test_right_turns_give_way_to_pedestrians(walked: Path) -> None:
    """A turn over a crossing that walks in the same stage is permissive and yields to it."""
    signal = only(import_network(walked))
    number = {link: at for at, links in enumerate(signal.links, 1) for link in links}
    stage = next(stage for stage in signal.config.stages if number[16] in stage.protected)

    assert number[4] in stage.permissive
    assert (number[4], number[19]) in signal.config.compatibility.yields


def test_links_of_one_lane_do_not_conflict(plain: Path, tmp_path: Path) -> None:
    """Vehicles of one lane follow each other, whatever the junction's table says of their connections."""
    net = tmp_path / "foes.net.xml"
    text = plain.read_text(encoding="utf-8")
    text = re.sub(r'(<request index="2".*?foes=")0011"', r'\g<1>1011"', text)
    net.write_text(re.sub(r'(<request index="3".*?foes=")0010"', r'\g<1>0110"', text), encoding="utf-8")

    assert text != plain.read_text(encoding="utf-8")
    assert ["GGrr", "rrGG"] == shown(only(import_network(net)))


def test_a_controlled_lane_inside_a_junction(plain: Path, tmp_path: Path) -> None:
    """A signal in the middle of a junction has the conflicts of the paths it stands on, and its detectors look upstream."""
    text = plain.read_text(encoding="utf-8")
    outer = re.compile(r'(<connection from="AB" to="BC".*?) tl="B" linkIndex="2"')
    inner = '<connection from=":B_2" to="BC" fromLane="0" toLane="0"'
    net = tmp_path / "inner.net.xml"
    net.write_text(outer.sub(r"\1", text).replace(inner, f'{inner} tl="B" linkIndex="2"'), encoding="utf-8")

    signal = only(import_network(net))
    number = {link: at for at, links in enumerate(signal.links, 1) for link in links}

    assert signal.config.compatibility.conflict(number[1], number[2])
    assert [":B_2_0", "AB_0"] == [segment.lane for segment in signal.segments["area::B_2_0"]]
    assert ["AB_0"] == [point.lane for point in signal.segments["advance::B_2_0"]]


def test_a_network_without_internal_lanes(tmp_path: Path) -> None:
    """A net without lanes inside junctions imports, with clearances by the distance across."""
    run("netgenerate", "--grid", "--grid.number", 2, "-j", "traffic_light", "--no-internal-links", "-o", tmp_path / "own.net.xml")

    network = import_network(tmp_path / "own.net.xml", timing=STREET)

    assert 4 == len(network.signals)
    assert all(10 <= phase.timing.red_clearance <= 60 for signal in network.signals for phase in signal.config.phases)


def test_every_signal_gets_a_name_that_a_file_can_bear(tmp_path: Path) -> None:
    """Separators, dots and names that differ only by what a file system ignores do not collide; changed names are noted."""
    names = ["a/b", "a_b", "A_B", "..", "é"]
    nodes, edges = "", ""
    for at, name in enumerate(names):
        y = at * 400
        nodes += f'<node id="{name}" x="0" y="{y}" type="traffic_light"/>'
        for end, dx, dy in (("w", -90, 0), ("s", 0, -90), ("e", 90, 0)):
            nodes += f'<node id="{end}{at}" x="{dx}" y="{y + dy}"/>'
            ends = f'from="{name}" to="{end}{at}"' if end == "e" else f'from="{end}{at}" to="{name}"'
            edges += f'<edge id="{end}{at}" {ends}/>'
    network = import_network(build(tmp_path, nodes, edges))
    bears = {signal.id: signal.file_name for signal in network.signals}

    paths = write_network(network, tmp_path / "out")

    assert len(names) == len({name.lower() for name in bears.values()})
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name) for name in bears.values())
    assert all(path.parent.parent == tmp_path / "out" and path.is_file() for path in paths)
    assert {name for name, plain in bears.items() if name != plain} == {note.signal for note in network.notes if "folder" in note.effect}


def test_phases_are_named_by_where_they_head(walked: Path) -> None:
    """A phase is called by heading and turns, and crossings by their edges."""
    names = [phase.name for phase in only(import_network(walked, stages="maximal")).config.phases]

    assert "southbound through" in names
    assert "westbound left + U-turn" in names or "westbound left" in names
    assert len(set(names)) == len(names)


def test_street_times_come_from_speed_and_width(plain: Path) -> None:
    """At 13.89 m/s a yellow of 1 + 13.89/6.1 = 3.28 s, and over 9.03 m at 6.51 m/s a red of 2.32 s, each rounded up to the step."""
    whole = only(import_network(plain, timing=STREET)).config.phases
    fine = only(import_network(plain, timing=dataclasses.replace(STREET, step=0.1))).config.phases

    assert {(40, 30)} == {(phase.timing.yellow_change, phase.timing.red_clearance) for phase in whole}
    assert {(33, 24)} == {(phase.timing.yellow_change, phase.timing.red_clearance) for phase in fine}


# ------------------------------------------------------------------------------------------------------- bad input


def test_a_network_without_signals_is_refused(tmp_path: Path) -> None:
    """The message names the file."""
    net = build(tmp_path, '<node id="a" x="0" y="0"/><node id="b" x="90" y="0"/>', '<edge id="ab" from="a" to="b"/>')

    with pytest.raises(NetworkError, match=r"own\.net\.xml: a network without signals"):
        import_network(net)


def test_a_signal_without_a_program_is_refused(plain: Path, tmp_path: Path) -> None:
    """A road signal that has no program anywhere cannot be imported; the error names it."""
    net = tmp_path / "none.net.xml"
    net.write_text(re.sub(r"<tlLogic.*</tlLogic>", "", plain.read_text(encoding="utf-8"), flags=re.DOTALL), encoding="utf-8")

    with pytest.raises(NetworkError, match="'B': it has no program"):
        import_network(net)


def test_a_signal_that_sumo_switches_by_the_clock_is_refused(plain: Path, tmp_path: Path) -> None:
    """A WAUT would take the signal from us in the middle of an episode; the error names the file and the signal."""
    file = tmp_path / "clock.add.xml"
    switch = '<WAUT id="w" startProg="0"><wautSwitch time="60" to="1"/></WAUT><wautJunction wautID="w" junctionID="B"/>'
    file.write_text(f"<additional>{switch}</additional>", encoding="utf-8")

    with pytest.raises(NetworkError, match=r"clock\.add\.xml.*'B'.*WAUT"):
        import_network(plain, additional_files=[file])


def test_a_file_that_is_missing_or_broken_is_named(plain: Path, tmp_path: Path) -> None:
    """A net or an additional file that cannot be read gives an error of ours with its path."""
    cut = tmp_path / "cut.net.xml"
    cut.write_text(plain.read_text(encoding="utf-8")[:3000], encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"missing\.net\.xml"):
        import_network(tmp_path / "missing.net.xml")
    with pytest.raises(ScenarioError, match=r"cut\.net\.xml"):
        import_network(cut)
    with pytest.raises(ConfigError, match=r"missing\.add\.xml"):
        import_network(plain, additional_files=[tmp_path / "missing.add.xml"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: text.index("[sumo]")],
        lambda text: text.replace("link_count", "count"),
        lambda text: re.sub(r"link_count = \d+", 'link_count = "4"', text),
        lambda text: re.sub(r"\nid = \"B\"", "\nid = 5", text),
        lambda text: text.replace("stop_links = []", "stop_links = [true]"),
    ],
)
def test_a_file_without_its_sumo_table_is_refused(spoil: object, plain: Path, tmp_path: Path) -> None:
    """A configuration that does not say how it stands in SUMO, or says it wrong, is refused by its path."""
    (path,) = write_network(import_network(plain), tmp_path)
    path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")  # type: ignore[operator]  # a lambda of the list above

    with pytest.raises(ConfigError, match=r"intersection\.toml: sumo = "):
        read_signal(path)


LETTERS = st.sampled_from(["Gr", "gr", "Ggr", "GgrYy", "Ggrs", "GgyrsuoO"])


@settings(max_examples=60)
@given(data=st.data())
def test_any_program_becomes_a_signal_that_can_run_or_is_refused(
    data: st.DataObject, plain: Path, walked: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever letters a program shows, it is imported with every link served and its checks kept, or refused with our error."""
    net, count = data.draw(st.sampled_from([(plain, 4), (walked, 20)]))
    letters = data.draw(LETTERS)
    state = st.text(letters, min_size=count, max_size=count)
    durations = st.sampled_from([1, 2, 5, 6, 30])
    states = [f"{letters} {duration}" for letters, duration in data.draw(st.lists(st.tuples(state, durations), min_size=1, max_size=7))]
    kind: Kind = data.draw(st.sampled_from(["program", "maximal"]))
    timing = data.draw(st.sampled_from([RESCO, STREET]))
    try:
        network = imported(net, tmp_path_factory.mktemp("program"), *states, timing=timing, stages=kind, add_missing=True)
    except NetworkError:
        columns = [set(column) for column in zip(*(state.split()[0] for state in states), strict=True)]
        assume(any(not column <= set("oO") and not column <= set("srR") for column in columns))
        raise
    signal = only(network)
    tables = signal.config.tables
    covered = 0
    for stage in range(len(tables.stages)):
        covered |= tables.green[stage]

    assert (1 << tables.size) - 1 == covered
    assert sorted([*(link for group in signal.links for link in group), *signal.fixed]) == list(range(count))
