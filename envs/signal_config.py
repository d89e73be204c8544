"""Puts together what was found at a signal: phases with their times, stages, conflicts, detectors and the pattern."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from envs.approaches import Streets
from envs.clearances import PED_BUFFER, WALK, Timing, ped_clearance, red_clearance, yellow_change
from envs.detector_layout import Layout, lay_out
from envs.program_pattern import longest_red, pattern_of, required_green
from envs.signal_groups import Groups, Report
from envs.signal_links import Links
from envs.signal_program import Reading, red_after
from intersection.compatibility import Compatibility, Stage
from intersection.config import IntersectionConfig
from intersection.phase import Phase, PhaseTiming, Tenths
from intersection.tables import Tables, bits

DEFAULT_YELLOW = 3.0
"""The yellow change of a group whose green the program ends without one, in seconds."""

_UNBOUNDED: Tenths = 1 << 40

_HEADINGS = ("northbound", "northeastbound", "eastbound", "southeastbound", "southbound", "southwestbound", "westbound", "northwestbound")
_TURNS = {"l": "left", "L": "left", "s": "through", "r": "right", "R": "right", "t": "U-turn", "T": "U-turn"}


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that was found at a signal."""

    links: Links
    reading: Reading
    groups: Groups
    streets: Streets
    report: Report


def configure(found: Found, timing: Timing, sensing_range: float) -> tuple[IntersectionConfig, Layout]:
    """Make the configuration of a signal.

    Args:
        found: at the signal.
        timing: where the times come from.
        sensing_range: of areas and departures, in metres.

    Raises:
        ConfigError: it cannot be run.
    """
    groups, report = found.groups, found.report
    layout = lay_out(found.links, groups.links, found.streets, sensing_range)
    draft = IntersectionConfig(
        name=found.links.signal,
        phases=_phases(found, timing),
        compatibility=_compatibility(groups),
        stages=_stages(found),
        detectors=layout.detectors,
    )
    tables = draft.tables
    step = timing.tenths(timing.step)
    pattern = pattern_of(found.reading, groups, tables, step, report)
    patience = tables.round_trip + longest_red(pattern, tables)
    phases = tuple(_bounded(phase, at, tables, timing, patience) for at, phase in enumerate(draft.phases))
    _report_bounds(phases, timing, patience, report)
    return replace(draft, phases=phases, patterns=(pattern,)), layout


def _bounded(phase: Phase, group: int, tables: Tables, timing: Timing, patience: Tenths) -> Phase:
    """Give a phase its maximum green and waits: the timing's, or more where the gate could not keep them."""
    times = replace(
        phase.timing,
        max_green=max(timing.tenths(timing.max_green), required_green(tables, group)),
        max_wait=max(timing.tenths(timing.max_wait), patience),
        ped_max_wait=max(timing.tenths(timing.ped_max_wait), patience),
    )
    return replace(phase, timing=times)


def _report_bounds(phases: Sequence[Phase], timing: Timing, patience: Tenths, report: Report) -> None:
    longer = {phase.number: phase.timing.max_green for phase in phases if phase.timing.max_green > timing.tenths(timing.max_green)}
    if longer:
        report(
            f"walks and clearances do not fit into {timing.max_green:g} s of maximum green",
            ", ".join(f"phase {number}: {bound / 10:g} s" for number, bound in longer.items()),
        )
    if any(phase.timing.max_wait > timing.tenths(timing.max_wait) for phase in phases):
        report(
            f"a round of its stages, and its program's longest red, take longer than {timing.max_wait:g} s",
            f"the maximum wait is {patience / 10:g} s",
        )


def _phases(found: Found, timing: Timing) -> tuple[Phase, ...]:
    """Make the phases, with nothing yet that bounds their greens and waits from above."""
    groups, links = found.groups, found.links
    conflicts = groups.conflicts
    names = _unique([_name(group, found) for group in groups.links])
    clearances = []
    for at, group in enumerate(groups.links):
        foes = [link for other in bits(conflicts[at]) for link in groups.links[other]]
        clearances.append((0.0, PED_BUFFER) if links.links[group[0]].crossing else _clearance(group, foes, found, timing))
    if timing.alike:
        crosses = [links.links[group[0]].crossing for group in groups.links]
        vehicles = [times for times, crossing in zip(clearances, crosses, strict=True) if not crossing]
        common = max((yellow for yellow, _ in vehicles), default=0.0), max((red for _, red in vehicles), default=0.0)
        clearances = [times if crossing else common for times, crossing in zip(clearances, crosses, strict=True)]
    # The gate counts on a red clearance to be over before the stage that follows can be left.
    longest = max(red for _, red in clearances)
    if timing.tenths(longest) > timing.tenths(timing.min_green):
        found.report(f"a red clearance of {longest:g} s is longer than the minimum green", f"the minimum green is {longest:g} s")
    phases = []
    for number, (name, group, (yellow, red)) in enumerate(zip(names, groups.links, clearances, strict=True), 1):
        crossing = links.links[group[0]].crossing
        length = max((links.crossing_length(link) for link in group), default=0.0) if crossing else 0.0
        times = PhaseTiming(
            min_green=timing.tenths(max(timing.min_green, longest)),
            max_green=_UNBOUNDED,
            yellow_change=timing.tenths(yellow),
            red_clearance=timing.tenths(red),
            walk=timing.tenths(WALK) if crossing else 0,
            ped_clearance=timing.tenths(ped_clearance(length)) if crossing else 0,
            max_wait=_UNBOUNDED,
            ped_max_wait=_UNBOUNDED,
        )
        phases.append(Phase(number=number, name=name, timing=times, vehicle=not crossing))
    return tuple(phases)


def _clearance(group: Sequence[int], foes: Sequence[int], found: Found, timing: Timing) -> tuple[float, float]:
    """Work out the yellow change and the red clearance of a group of vehicles, in seconds."""
    reading, streets = found.reading, found.streets
    connections = [connection for link in group for connection in found.links.links[link].connections]
    if timing.source == "ite":
        approaches = {connection.getFromLane().getID() for connection in connections}
        yellow = max(yellow_change(streets.speed[lane], streets.grade(lane)) for lane in approaches)
        red = max(red_clearance(*streets.crossing_path(connection)) for connection in connections)
    else:
        yellow = max(reading.yellow[link] for link in group) / 10
        red = red_after(reading, group, sum(1 << link for link in foes)) / 10
        ends = any(stage[group[0]] == "r" for stage in reading.stages)
        if not yellow and ends and timing.yellow is None:
            found.report(f"links {', '.join(map(str, group))} lose green without a yellow", f"their yellow change is {DEFAULT_YELLOW:g} s")
        yellow = yellow or DEFAULT_YELLOW
    return (yellow if timing.yellow is None else timing.yellow, red if timing.red is None else timing.red)


def _compatibility(groups: Groups) -> Compatibility:
    pairs = [(at + 1, other + 1) for at, mask in enumerate(groups.conflicts) for other in bits(mask)]
    permissive = groups.ever_permissive
    yields = [(at + 1, other + 1) for at, mask in enumerate(groups.yields) if permissive >> at & 1 for other in bits(mask)]
    return Compatibility.of(pairs, yields)


def _stages(found: Found) -> tuple[Stage, ...]:
    groups = found.groups
    given: list[str] = [""] * len(groups.stages)
    names = {run.letters: run.name for run in found.reading.runs}
    for letters, at in zip(found.reading.stages, groups.at, strict=True):
        if at >= 0:
            given[at] = given[at] or names[letters]
    titles = [name or f"stage {number}" for number, name in enumerate(given, 1)]
    if len(set(titles)) < len(titles):
        titles = [f"stage {number}" for number in range(1, len(titles) + 1)]
    return tuple(
        Stage(
            name=title,
            protected=frozenset(group + 1 for group in bits(stage.protected)),
            permissive=frozenset(group + 1 for group in bits(stage.permissive)),
        )
        for title, stage in zip(titles, groups.stages, strict=True)
    )


def _name(group: Sequence[int], found: Found) -> str:
    """Name a phase by where its vehicles head and how they turn: "northbound left + through"."""
    links = [found.links.links[link] for link in group]
    if links[0].crossing:
        return "crossing " + ", ".join(lane.rpartition("_")[0] for link in links for lane in link.to_lanes)
    turns: dict[str, dict[str, None]] = {}
    for link in links:
        for connection in link.connections:
            heading = _HEADINGS[round(found.streets.heading(connection.getFromLane().getID()) / 45) % 8]
            turns.setdefault(heading, {})[_TURNS.get(connection.getDirection(), "through")] = None
    order = list(dict.fromkeys(_TURNS.values()))
    return ", ".join(f"{heading} {' + '.join(sorted(own, key=order.index))}" for heading, own in turns.items())


def _unique(names: Sequence[str]) -> list[str]:
    return [f"{name} ({names[:at].count(name) + 1})" if names.count(name) > 1 else name for at, name in enumerate(names)]
