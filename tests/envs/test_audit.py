import gzip
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from envs.audit import Audit, Kind, LinkRequirement, Violation, audit, signal_states_additional
from intersection.errors import ConfigError
from tests.envs import sumo_tools

Display = tuple[int, str]

LEGAL: tuple[Display, ...] = ((10, "GGrr"), (3, "yyrr"), (2, "rrrr"), (10, "rrGG"), (3, "rryy"), (2, "rrrr"), (10, "GGrr"))
"""A cycle of the crossroads with 3 s of yellow, 2 s of red clearance and 10 s of green: seconds and states."""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the crossroads' net."""
    return sumo_tools.crossroads(tmp_path_factory.mktemp("net"))


def record(path: Path, displays: Sequence[Display], *, signal: str = "B", step_s: float = 1.0, left_out: Sequence[int] = ()) -> Path:
    """Write a record as SUMO does, a state for each step but those left out."""
    states = [state for seconds, state in displays for _ in range(round(seconds / step_s))]
    lines = [
        f'<tlsState time="{step * step_s:.2f}" id="{signal}" programID="0" phase="0" state="{state}"/>'
        for step, state in enumerate(states)
        if step not in left_out
    ]
    path.write_text(f"<tlsStates>{''.join(lines)}</tlsStates>", encoding="utf-8")
    return path


def judge(net: Path, states: Path, *, max_red_s: float | None = 20.0) -> Audit:
    """Audit against the times of the legal cycle."""
    return audit(net, states, yellow_s=3.0, red_s=2.0, min_green_s=5.0, max_red_s=max_red_s, step_s=1.0)


def test_a_legal_record_is_clean(net: Path, tmp_path: Path) -> None:
    """A cycle that gives every link its times has no violation, and its longest red is told."""
    result = judge(net, record(tmp_path / "states.xml", LEGAL))

    assert (True, (), 17.0, 0, 1, 0.0, 40.0) == (
        result.clean,
        result.violations,
        result.longest_red_s,
        result.yellow_back_to_green,
        result.signals,
        result.begin_s,
        result.end_s,
    )


def wrong(kind: Kind, *, time: float, links: tuple[int, ...], seconds: float) -> Violation:
    """Expect a violation at the crossroads."""
    return Violation(kind=kind, signal="B", time=time, links=links, seconds=seconds)


@pytest.mark.parametrize(
    ("displays", "expected"),
    [
        pytest.param(
            ((10, "GGrr"), (3, "ryrr"), *LEGAL[2:]),
            wrong(Kind.YELLOW, time=10.0, links=(0,), seconds=0.0),
            id="no yellow",
        ),
        pytest.param(
            ((10, "GGrr"), (2, "yyrr"), (1, "ryrr"), *LEGAL[2:]),
            wrong(Kind.YELLOW, time=10.0, links=(0,), seconds=2.0),
            id="yellow too short",
        ),
        pytest.param(
            ((10, "GGrr"), (2, "yyrr"), (1, "Oyrr"), *LEGAL[2:]),
            wrong(Kind.YELLOW, time=10.0, links=(0,), seconds=2.0),
            id="yellow cut by darkness",
        ),
        pytest.param(
            (*LEGAL[:2], (1, "rrrr"), (1, "rrrG"), *LEGAL[3:]),
            wrong(Kind.RED_CLEARANCE, time=14.0, links=(3, 1), seconds=1.0),
            id="red clearance too short",
        ),
        pytest.param(
            (*LEGAL[:3], (4, "rrGG"), (3, "rrGy"), (3, "rrGr"), (3, "rryr"), *LEGAL[5:]),
            wrong(Kind.MIN_GREEN, time=15.0, links=(3,), seconds=4.0),
            id="minimum green cut",
        ),
        pytest.param(
            (*LEGAL[:6], (10, "GGrG")),
            wrong(Kind.CONFLICT, time=30.0, links=(1, 3), seconds=10.0),
            id="conflicting protected greens",
        ),
        pytest.param(
            (LEGAL[0], (2, "yyrr"), (1, "yyrG"), (2, "rrrG"), *LEGAL[3:]),
            wrong(Kind.GREEN_IN_YELLOW, time=12.0, links=(3, 1), seconds=1.0),
            id="green in a conflicting yellow",
        ),
        pytest.param(
            (*LEGAL[:3], (10, "rrGr"), (3, "rryr"), *LEGAL[5:]),
            wrong(Kind.MAX_RED, time=0.0, links=(3,), seconds=40.0),
            id="red too long",
        ),
        pytest.param(
            tuple((seconds, state[:3]) for seconds, state in LEGAL),
            wrong(Kind.TOO_FEW_LINKS, time=0.0, links=(), seconds=3.0),
            id="a link is not recorded",
        ),
    ],
)
def test_each_wrong_display_is_found_once(net: Path, tmp_path: Path, displays: Sequence[Display], expected: Violation) -> None:
    """One wrong display gives one violation, which says what, where, when and how long."""
    result = judge(net, record(tmp_path / "states.xml", displays))

    assert ((expected,), {expected.kind: 1}) == (result.violations, result.counts())


def test_a_signal_that_turns_off_as_a_whole_is_legal_and_counted(net: Path, tmp_path: Path) -> None:
    """So a conflict monitor cuts whatever is shown; how often that was is told."""
    result = judge(net, record(tmp_path / "states.xml", (LEGAL[0], (2, "yyrr"), (5, "oooo"), (3, "rrrr"), *LEGAL[3:])))

    assert ((), 2) == (result.violations, result.cut_by_off)


def test_a_signal_that_is_not_recorded_is_told(net: Path, tmp_path: Path) -> None:
    """A record without a signal of the net does not pass for a clean one."""
    result = judge(net, record(tmp_path / "states.xml", ()))

    assert {Kind.NOT_RECORDED: 1} == result.counts()


def test_a_signal_that_is_not_in_the_net_is_told(net: Path, tmp_path: Path) -> None:
    """A record of another net does not pass for a clean one."""
    result = judge(net, record(tmp_path / "states.xml", LEGAL, signal="Z"))

    assert {Kind.NOT_RECORDED: 1, Kind.NOT_IN_NET: 1} == result.counts()


def test_a_gap_in_the_record_is_told_once(net: Path, tmp_path: Path) -> None:
    """Steps that are missing from the record might hide anything: the first gap of a signal is a violation."""
    result = judge(net, record(tmp_path / "states.xml", LEGAL, left_out=(5, 6, 8)))

    assert (wrong(Kind.GAP, time=4.0, links=(), seconds=3.0),) == result.violations


def test_links_from_one_lane_and_links_that_do_not_meet_never_conflict(net: Path, tmp_path: Path) -> None:
    """Greens side by side from one lane, or on ways that do not meet, are legal together."""
    result = judge(net, record(tmp_path / "states.xml", ((20, "GrrG"), (20, "GGrr"))), max_red_s=None)

    assert {Kind.YELLOW: 1, Kind.RED_CLEARANCE: 1} == result.counts()


def test_links_of_one_lane_never_conflict_even_as_foes(net: Path, tmp_path: Path) -> None:
    """Whoever stands behind another on one lane cannot meet it, even if a net calls their ways foes."""
    foes = net.read_text(encoding="utf-8").replace('foes="0100"', 'foes="0110"').replace('foes="1100"', 'foes="1101"')
    changed = tmp_path / "changed.net.xml"
    changed.write_text(foes, encoding="utf-8")

    assert judge(changed, record(tmp_path / "states.xml", LEGAL)).clean


def test_permissive_green_against_protected_green_is_legal(net: Path, tmp_path: Path) -> None:
    """A link in permissive green yields, so it may be green beside a conflicting protected green."""
    result = judge(net, record(tmp_path / "states.xml", ((20, "GGrg"),)))

    assert result.clean


def test_lengths_cut_by_the_record_are_not_judged(net: Path, tmp_path: Path) -> None:
    """A green and a yellow of which the record shows only a part may have been long enough."""
    result = judge(net, record(tmp_path / "states.xml", ((2, "GGrr"), (1, "yyrr"))))

    assert result.clean


def test_a_yellow_that_returns_to_green_is_counted_apart(net: Path, tmp_path: Path) -> None:
    """Green, yellow, green on a link is no missing yellow, but it is told."""
    result = judge(net, record(tmp_path / "states.xml", ((10, "GGrr"), (2, "Gyrr"), (10, "GGrr"))), max_red_s=None)

    assert ((), 1) == (result.violations, result.yellow_back_to_green)


def test_requirements_of_a_link_replace_the_common_ones(net: Path, tmp_path: Path) -> None:
    """A scenario may ask less of one link and more of another than of all others."""
    states = record(tmp_path / "states.xml", ((10, "GGrr"), (3, "ryrr"), *LEGAL[2:]))
    plain = LinkRequirement(yellow_s=3.0, red_s=2.0, min_green_s=5.0)
    no_yellow = LinkRequirement(yellow_s=0.0, red_s=2.0, min_green_s=5.0)
    slow = LinkRequirement(yellow_s=3.0, red_s=2.5, min_green_s=5.0)

    result = audit(
        net,
        states,
        yellow_s=9.0,
        red_s=9.0,
        min_green_s=99.0,
        max_red_s=1.0,
        step_s=1.0,
        requirements={"B": (no_yellow, plain, plain, slow)},
    )

    assert (wrong(Kind.RED_CLEARANCE, time=30.0, links=(1, 3), seconds=2.0),) == result.violations


def test_requirements_must_cover_every_link(net: Path, tmp_path: Path) -> None:
    """Requirements for fewer links than the signal has are refused by the signal's name."""
    states = record(tmp_path / "states.xml", LEGAL)
    asked = [LinkRequirement(yellow_s=3.0, red_s=0.0, min_green_s=5.0)] * 3

    with pytest.raises(ConfigError, match=r"B = 3: too few requirements.*each of 4 links"):
        audit(net, states, yellow_s=3.0, red_s=0.0, min_green_s=5.0, step_s=1.0, requirements={"B": asked})


def test_times_at_the_bound_pass_in_fractions_of_a_step(net: Path, tmp_path: Path) -> None:
    """Tenths of a second add up without a false alarm at the bound, and 0.1 s less is found."""
    states = record(tmp_path / "states.xml", ((10, "GGrr"), (3, "yyrr"), (2, "rrrr")), step_s=0.1)

    enough = audit(net, states, yellow_s=3.0, red_s=0.0, min_green_s=5.0, step_s=0.1)
    short = audit(net, states, yellow_s=3.1, red_s=0.0, min_green_s=5.0, step_s=0.1)

    assert ({}, {Kind.YELLOW: 2}) == (enough.counts(), short.counts())


def test_a_pedestrian_crossing_is_a_link_like_any_other(tmp_path: Path) -> None:
    """Walk against a protected movement over the same crossing is a conflict."""
    net = sumo_tools.crossing(tmp_path)
    state = "".join("G" if link in (1, 16) else "r" for link in range(20))

    result = judge(net, record(tmp_path / "states.xml", ((10, state),)))

    assert [(Kind.CONFLICT, (1, 16))] == [(violation.kind, violation.links) for violation in result.violations]


def test_a_compressed_record_reads_the_same(net: Path, tmp_path: Path) -> None:
    """A record that ends in .gz is judged as the plain one is."""
    plain = record(tmp_path / "states.xml", LEGAL[:4])
    packed = tmp_path / "states.xml.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    assert judge(net, plain) == judge(net, packed)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<tlsStates><tlsState time='0.00' id='B' state='GGrr'/>", "is not whole XML"),
        ("<tlsStates><tlsState time='0.00' state='GGrr'/></tlsStates>", "lacks its attribute 'id'"),
        ("<tlsStates><tlsState time='00:10:00' id='B' state='GGrr'/></tlsStates>", "time = '00:10:00': not a time"),
    ],
)
def test_a_broken_record_is_refused_by_name(net: Path, tmp_path: Path, text: str, words: str) -> None:
    """A record that is cut short or is something else is refused with its path and the cause."""
    states = tmp_path / "states.xml"
    states.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match=f"states.xml: .*{words}"):
        judge(net, states)


def test_a_missing_record_is_refused_by_name(net: Path, tmp_path: Path) -> None:
    """A record that does not exist is refused with its path."""
    with pytest.raises(ConfigError, match=r"nothing.xml: cannot be read \(No such file"):
        judge(net, tmp_path / "nothing.xml")


def test_the_additional_file_bears_any_name(tmp_path: Path) -> None:
    """Names with the characters of XML itself arrive in SUMO as they are."""
    names = ["B", 'the "A" & B', "<3>"]

    events = ET.fromstring(signal_states_additional(names, tmp_path / "a&b.xml"))

    assert [("SaveTLSStates", name, str(tmp_path / "a&b.xml")) for name in names] == [
        (event.get("type"), event.get("source"), event.get("dest")) for event in events
    ]


def recorded(name: str, signals: Sequence[str], seconds: int, folder: Path) -> Path:
    """Run a RESCO scenario under its own program and give the record of its signals."""
    config = sumo_tools.resco(name)
    begin = float(str(ET.parse(config).getroot().findall(".//begin")[0].get("value")))
    states, additional = folder / "states.xml.gz", folder / "record.add.xml"
    additional.write_text(signal_states_additional(signals, states), encoding="utf-8")
    sumo_tools.run(
        "sumo", "-c", config, "-a", additional, "-e", begin + seconds, "--no-step-log", "--no-warnings", "--time-to-teleport", -1
    )
    return states


def test_a_legal_program_of_sumo_is_clean(tmp_path: Path) -> None:
    """The program of cologne1 passes with its own yellow of 3 s, and every clearance of 1 s that it lacks is found."""
    states = recorded("cologne1", ["GS_cluster_357187_359543"], 600, tmp_path)
    net = sumo_tools.resco("cologne1").with_name("cologne1.net.xml")

    given = audit(net, states, yellow_s=3.0, red_s=0.0, min_green_s=5.0, step_s=1.0)
    clearing = audit(net, states, yellow_s=3.0, red_s=1.0, min_green_s=5.0, step_s=1.0)

    assert (True, [Kind.RED_CLEARANCE]) == (given.clean, list(clearing.counts()))


def test_a_program_that_conflicts_with_itself_is_shown(tmp_path: Path) -> None:
    """The program of ingolstadt7 has two pairs of conflicting links in protected green; both are found in each cycle."""
    net = sumo_tools.resco("ingolstadt7").with_name("ingolstadt7.net.xml")
    names = sorted({str(logic.get("id")) for logic in ET.parse(net).getroot().findall("tlLogic")})

    result = audit(net, recorded("ingolstadt7", names, 180, tmp_path), yellow_s=3.0, red_s=0.0, min_green_s=5.0, step_s=1.0)

    assert [("gneJ210", Kind.CONFLICT, pair) for _ in range(2) for pair in ((6, 8), (7, 9))] == [
        (violation.signal, violation.kind, violation.links) for violation in result.violations
    ]
