"""Makes an `IntersectionConfig` of every signal of a SUMO network.

    phases      links that show the same in every stage of the signal's program (`envs.signal_groups`)
    conflicts   the foes in the junctions' own tables, and who gives way to whom (`envs.signal_links`)
    stages      what remains of the program without its transitions (`envs.signal_program`); on request every maximal one
    times       the scenario's, fixed ones, or the formulas' (`envs.clearances`)
    detectors   a stop-bar loop, an advance loop and an area for each controlled lane, a departure for each lane that leads away, a push
                button for each crossing (`envs.approaches`)
    pattern     number 1, the program's own cycle, splits and offset; times of a green that could not be run are mended

Whatever is unusual is told in a note: cause and effect. Links without a phase: those that nothing is connected to (red), those whose letter
never changes (off, a stop light, a right turn that is green throughout). They need no signal, and no detector watches them alone.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from envs.approaches import Segment, Streets
from envs.clearances import PRESETS, RESCO, STREET, Timing
from envs.errors import NetworkError
from envs.files import write_atomically
from envs.signal_config import Found, configure
from envs.signal_groups import Grouping, Report, constant_links
from envs.signal_links import Links, links_of
from envs.signal_program import Program, Reading, check_program, read_programs, read_stages
from envs.sumo_session import read_net
from envs.toml_writer import to_toml
from intersection.config import IntersectionConfig, load
from intersection.errors import ConfigError
from intersection.tables import bits

__all__ = [
    "PRESETS",
    "RESCO",
    "STREET",
    "ImportNote",
    "Network",
    "Segment",
    "SumoSignal",
    "Timing",
    "import_network",
    "read_signal",
    "write_network",
]

SHORT_LANE = 10.0
"""A controlled lane below this length is worth a note, in metres."""


@dataclass(frozen=True, kw_only=True)
class SumoSignal:
    """One signal of a network: what it is, and how its phases stand in SUMO."""

    id: str
    """SUMO's name of it."""

    file_name: str
    """A name that a file can bear, unique in the network."""

    config: IntersectionConfig
    """Phases, conflicts, stages, detectors, and the program as pattern 1 where it has one."""

    links: tuple[tuple[int, ...], ...]
    """For each group, in the order of the configuration's tables, the links that show it."""

    link_count: int
    """The letters in its state string."""

    stop_links: frozenset[int]
    """Links that show `s` (go after a stop) instead of `r` whenever they are not green."""

    fixed: Mapping[int, str]
    """Links of no phase whose letter never changes. What is in neither `links` nor here shows red."""

    segments: Mapping[str, tuple[Segment, ...]]
    """For each detector what it covers: an area from the stop line upstream, a departure from the junction downstream, a loop its
    middle (a point on each lane that leads there), a push button the crossing, then where people wait for it."""

    lanes_of_link: tuple[tuple[str, str], ...]
    """For each link the controlled lane and the lane it leads to; of several the first, empty names of none."""


class ImportNote(NamedTuple):
    """One explained warning."""

    signal: str
    cause: str
    effect: str


@dataclass(frozen=True, kw_only=True)
class Network:
    """The signals of a network."""

    net_file: Path
    signals: tuple[SumoSignal, ...]
    notes: tuple[ImportNote, ...]
    skipped: Mapping[str, str]
    """The signals that were left as they are, with the reason."""

    lane_lengths: Mapping[str, float]
    """Of every lane of the network, in metres."""


def import_network(
    net_file: Path,
    *,
    additional_files: Sequence[Path] = (),
    timing: Timing = RESCO,
    stages: Literal["program", "maximal"] = "program",
    sensing_range: float = 200.0,
    add_missing: bool = False,
    begin: float = 0.0,
) -> Network:
    """Make a configuration of every signal of a network.

    Args:
        net_file: a .net.xml file, plain or .gz.
        additional_files: files whose programs take precedence over the network's.
        timing: where the times come from.
        stages: those of the program, or every maximal compatible one too; then links from different edges stand in different phases.
        sensing_range: of areas and departures, in metres.
        add_missing: add a stage for links that no stage of the program makes green, instead of refusing the network.
        begin: the simulation's, in seconds; an offset can count from it.

    Raises:
        ScenarioError: a file is missing or broken.
        NetworkError: the network has no signals, a program cannot be run, or a link is never green; the message names signal, links and
            lanes.
    """
    net = read_net(net_file, withPrograms=False)
    programs = read_programs(net_file, additional_files)
    wanted = _Wanted(
        source=str(net_file),
        streets=Streets(net),
        timing=timing,
        maximal=stages == "maximal",
        sensing_range=sensing_range,
        add_missing=add_missing,
        begin=begin,
    )
    signals, notes, skipped, names = [], list[ImportNote](), dict[str, str](), set[str]()
    for name, links in links_of(net).items():
        own = programs.get(name, {})
        reason = _reason_to_skip(links, own)
        if reason:
            skipped[name] = reason
            continue

        def report(cause: str, effect: str, name: str = name) -> None:
            notes.append(ImportNote(name, cause, effect))

        signals.append(_signal(links, own, wanted, names, report))
    if not signals:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise NetworkError(f"a network without signals{f' ({reasons})' if reasons else ''}", source=str(net_file))
    return Network(net_file=net_file, signals=tuple(signals), notes=tuple(notes), skipped=skipped, lane_lengths=wanted.streets.length)


def write_network(network: Network, directory: Path) -> list[Path]:
    """Write DIR/<file_name>/intersection.toml for every signal, each whole or not at all.

    How a signal stands in SUMO is the file's `sumo` table.

    Returns:
        The files.

    Raises:
        UserError: nothing can be written at this place.
        RuntimeFault: the disk is full or broken.
    """
    paths = []
    for signal in network.signals:
        path = directory / signal.file_name / "intersection.toml"
        text = to_toml(replace(signal.config, extensions={**signal.config.extensions, "sumo": _mapping(signal)}))
        write_atomically(path, text.encode())
        paths.append(path)
    return paths


def read_signal(path: Path) -> SumoSignal:
    """Read a signal back from an `intersection.toml` with a `sumo` table.

    Raises:
        ConfigError: the file cannot be read, cannot run, or has no such table.
    """
    config = load(path)
    table = config.extensions.get("sumo")
    try:
        if not isinstance(table, Mapping):
            raise TypeError("it has no such table")
        return SumoSignal(
            id=_text(table["id"]),
            file_name=_text(table["file_name"]),
            config=config,
            links=tuple(tuple(map(_whole, group)) for group in table["links"]),
            link_count=_whole(table["link_count"]),
            stop_links=frozenset(map(_whole, table["stop_links"])),
            fixed={int(link): _text(letter) for link, letter in table["fixed"].items()},
            segments={
                detector: tuple(Segment(_text(lane), float(start), float(end)) for lane, start, end in covered)
                for detector, covered in table["segments"].items()
            },
            lanes_of_link=tuple((_text(before), _text(after)) for before, after in table["lanes_of_link"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        raise ConfigError(
            f"how the signal stands in SUMO cannot be read ({cause!r})",
            source=str(path),
            key="sumo",
            allowed="the table that `phasewise import` writes",
        ) from cause


def _mapping(signal: SumoSignal) -> dict[str, Any]:
    return {
        "id": signal.id,
        "file_name": signal.file_name,
        "link_count": signal.link_count,
        "links": signal.links,
        "stop_links": signal.stop_links,
        "lanes_of_link": signal.lanes_of_link,
        "fixed": {str(link): letter for link, letter in signal.fixed.items()},
        "segments": signal.segments,
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no whole number")
    return value


def file_name(signal: str, taken: set[str]) -> str:
    """Make a name that a file can bear on every system of a signal's name, and add it to those taken."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", signal)[:80].strip(".") or "signal"
    name, number = plain, 1
    while name.lower() in taken:
        number += 1
        name = f"{plain}-{number}"
    taken.add(name.lower())
    return name


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What an import is to do, the same for all signals of a network."""

    source: str
    streets: Streets
    timing: Timing
    maximal: bool
    sensing_range: float
    add_missing: bool
    begin: float


def _reason_to_skip(links: Links, programs: Mapping[str, Program]) -> str:
    """Say why a signal is no matter of stages, if so."""
    if not links.links:
        return "it controls no link"
    nodes = {connection.getJunction().getType() for link in links.links for connection in link.connections}
    if not programs and any(kind.startswith("rail") for kind in nodes):
        return "a rail signal"
    states = [state.state for program in list(programs.values())[-1:] for state in program.states]
    if states and all(letter in "oO" for state in states for letter in state):
        return "its program is off all the time"
    if states and all(len(state) >= len(links.links) for state in states):
        constant = constant_links((), states, links)
        if all(link in constant for link in bits(links.connected)):
            return "none of its links ever changes: lamps that are off, or stop lights"
    return ""


def _signal(links: Links, programs: Mapping[str, Program], wanted: _Wanted, names: set[str], report: Report) -> SumoSignal:
    """Import one signal; its name as a file is added to the names."""
    program = _program(links, programs, wanted, report)
    reading = read_stages(program, links)
    fixed = constant_links(reading.stages, [state.state for state in program.states], links)
    _check_served(reading, links, fixed, wanted)
    _report_program(program, reading, links, fixed, report)
    _report_lanes(links, wanted.streets, report)
    grouping = Grouping(links, reading.stages, report, by_edge=wanted.maximal, fixed=fixed)
    groups = grouping.work_out(maximal=wanted.maximal)
    found = Found(links=links, reading=reading, groups=groups, streets=wanted.streets, report=report)
    config, layout = configure(found, wanted.timing, wanted.sensing_range)
    plain = file_name(links.signal, names)
    if plain != links.signal:
        report("no file can bear its name, or another signal's comes too close", f"its folder is {plain!r}")
    return SumoSignal(
        id=links.signal,
        file_name=plain,
        config=config,
        links=groups.links,
        link_count=len(program.states[0].state),
        stop_links=_stop_links(program, links, fixed, report),
        fixed=fixed,
        segments=layout.segments,
        lanes_of_link=tuple((link.from_lanes[0], link.to_lanes[0]) if link.connections else ("", "") for link in links.links),
    )


def _check_served(reading: Reading, links: Links, fixed: Mapping[int, str], wanted: _Wanted) -> None:
    dead = [link for link in bits(links.connected) if link not in fixed and all(stage[link] == "r" for stage in reading.stages)]
    if dead and not wanted.add_missing:
        raise NetworkError(
            "its program never makes these links green; they can be given a stage (add_missing)",
            source=wanted.source,
            signal=links.signal,
            links=dead,
            lanes=links.lanes(sum(1 << link for link in dead)),
        )


def _program(links: Links, programs: Mapping[str, Program], wanted: _Wanted, report: Report) -> Program:
    """Take the program with which SUMO starts, the one that was read last."""
    if not programs:
        raise NetworkError("it has no program", source=wanted.source, signal=links.signal, lanes=links.lanes(links.connected))
    program = list(programs.values())[-1]
    check_program(program, links, source=wanted.source)
    if not program.anchored:
        program = replace(program, offset=wanted.timing.tenths(wanted.begin))
        report("its offset counts from the simulation's begin", f"pattern 1 takes that to be {wanted.begin:g} s")
    if len(programs) > 1:
        others = ", ".join(repr(name) for name in programs if name != program.name)
        report(f"it has more than one program: {', '.join(map(repr, programs))}", f"{program.name!r}, with which SUMO starts, not {others}")
    return program


def _report_program(program: Program, reading: Reading, links: Links, fixed: Mapping[int, str], report: Report) -> None:
    """Tell what is unusual in a program and how it was taken."""
    if program.kind != "static":
        report(f"its program is {program.kind}", "its stages are those of its states, the splits of pattern 1 their default durations")
    unconnected = [link for link in range(len(program.states[0].state)) if not links.connected >> link & 1]
    if unconnected:
        report(f"nothing is connected to links {_list(unconnected)}", "they show red")
    if reading.empty:
        report("greens that only nothing is connected to", f"their {reading.empty / 10:g} s go to the stage before them")
    if reading.pauses:
        report("all lamps are off for a part of the cycle", f"these {reading.pauses / 10:g} s go to the stage before them")
    if reading.returning:
        report(
            f"links {_list(bits(reading.returning))} go from green by yellow back to green",
            "transitions are rebuilt link by link: a green that goes on shows no yellow",
        )
    shown = "".join(state.state for state in program.states)
    if "u" in shown or "U" in shown:
        report("red and yellow together before a green", "red until the green")
    lamps_off = [link for link in bits(links.connected) if link not in fixed and any(state.state[link] in "oO" for state in program.states)]
    if lamps_off and reading.pauses < program.cycle:
        report(f"links {_list(lamps_off)} are off for a part of the cycle", "o counts as a permissive green, O as a protected one")
    if fixed:
        report(
            f"links {', '.join(f'{link} ({letter})' for link, letter in fixed.items())} never change",
            "they belong to no phase and always show this letter",
        )


def _report_lanes(links: Links, streets: Streets, report: Report) -> None:
    short = [lane for lane in links.lanes(links.connected & ~links.crossings) if streets.length[lane] < SHORT_LANE]
    if short:
        named = ", ".join(f"{lane} ({streets.length[lane]:g} m)" for lane in short)
        report(f"short controlled lanes: {named}", "detectors follow the lanes upstream")


def _stop_links(program: Program, links: Links, fixed: Mapping[int, str], report: Report) -> frozenset[int]:
    """Find the links that show a stop light instead of red."""
    found = {link for link in bits(links.connected) if link not in fixed and any(state.state[link] == "s" for state in program.states)}
    mixed = [link for link in found if any(state.state[link] in "rR" for state in program.states)]
    if mixed:
        report(f"links {_list(mixed)} show s in some states and r in others", "s whenever they are not green")
    return frozenset(found)


def _list(links: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(links)))
