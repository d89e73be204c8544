"""Reads from a SUMO network what its signals and streets are called, and how they lie: pictures and names for a report.

stages      arrows between arms, whose bearings are those of the lanes near the stop line; U-turns and links that never change are left out
phases      named by the importer ("northbound left + through"), a crossing by the arm that it crosses
movements   at an only signal by heading and turn ("southbound left"); else by street and heading, where a street without a name is
            called by its edge
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from math import atan2, cos, degrees, hypot, radians, sin

from envs.results import EpisodeResult
from envs.scenario import find
from envs.sumo_network import PRESETS, SumoSignal
from envs.sumo_session import Net, read_net
from envs.traffic import network_of
from intersection.tables import bits
from phasewise.report.geometry import Geography, SignalGeometry, StageMovement

REACH = 15.0
"""How far from the stop line a lane's bearing is taken, in metres: its last stretch may be bent to fit the junction."""

ONE_ARM = 25.0
"""Bearings that lie closer belong to one arm, in degrees."""

STRAIGHT, BACK = 45.0, 150.0
"""Up to which change of heading a movement goes through, and from which it turns back, in degrees."""

COMPASS = ("north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest")

Point = tuple[float, float]
Pair = tuple[str, str]


def geography_of(results: Sequence[EpisodeResult]) -> Geography:
    """Find what a report can tell of the network that its results were made on.

    Raises:
        UserError: the scenario is no longer there.
    """
    scenario = find(results[0].scenario)
    network = network_of(scenario, PRESETS[results[0].preset])
    pairs = {(way.origin, way.destination) for one in results if one.series for way in one.series.movements}
    net = read_net(scenario.net_file, withPrograms=False)
    return Geography(
        signals={signal.id: picture(net, signal) for signal in network.signals}, movements=movements(net, network.signals, pairs)
    )


def picture(net: Net, signal: SumoSignal) -> SignalGeometry:
    """Picture a signal: arrows, crossings and words by stage."""
    tables = signal.config.tables
    ways = {link: way for link, lanes in enumerate(signal.lanes_of_link) if (way := _way(net, *lanes))}
    arm = arms(bearing for way in ways.values() for bearing in way)
    crossed = {group: _crossed(net, signal, group) for group, each in enumerate(tables.groups) if not each.vehicle}
    names = {phase.number: phase.name for phase in signal.config.phases}
    stages: list[list[StageMovement]] = []
    words, crossings = [], []
    for green, protected in zip(tables.green, tables.protected, strict=True):
        arrows: dict[tuple[float, float], bool] = {}
        said = []
        for group in bits(green):
            kept = bool(protected >> group & 1)
            named = names.get(tables.groups[group].number, "")
            for way in (ways[link] for link in signal.links[group] if link in ways):
                arrow = arm[way[0]], arm[way[1]]
                arrows[arrow] = arrows.get(arrow, False) or kept
            if group in crossed:
                said.append(f"crossing {' and '.join(COMPASS[_eighth(bearing)] for bearing in crossed[group]) or 'the street'}")
            elif named:
                said.append(named if kept else f"{named} (permissive)")
        stages.append([{"approach": a, "exit": b, "protected": kept} for (a, b), kept in arrows.items() if a != b])
        crossings.append([bearing for group in bits(green) for bearing in crossed.get(group, ())])
        words.append("; ".join(said) or "nobody")
    return {"name": _title(net, signal), "stages": stages, "crossings": crossings, "words": words}


def movements(net: Net, signals: Sequence[SumoSignal], pairs: Collection[Pair]) -> dict[Pair, str]:
    """Name movements by their first and last edge; two that would be called the same are told apart by their edges."""
    named = {pair: (_at_only_signal(net, signals[0], pair) if len(signals) == 1 else "") or _by_street(net, pair) for pair in pairs}
    counts = Counter(named.values())
    return {pair: name if counts[name] == 1 else f"{name} ({' → '.join(pair)})" for pair, name in named.items() if name}


def turn(approach: float, leaving: float) -> str:
    """Name the turn of a movement from the bearing of the arm that it comes from to that of the arm it leaves by, in degrees."""
    change = (leaving - approach - 180.0 + 180.0) % 360.0 - 180.0
    if abs(change) >= BACK:
        return "U-turn"
    return "through" if abs(change) <= STRAIGHT else "right" if change > 0 else "left"


def heading(bearing: float) -> str:
    """Name where one heads, by a bearing in degrees: "southbound"."""
    return f"{COMPASS[_eighth(bearing)]}bound"


def _eighth(bearing: float) -> int:
    return round(bearing / 45.0) % 8


def _way(net: Net, before: str, after: str) -> tuple[float, float] | None:
    """Find the bearings of the arms that a link comes from and leaves by; None for a crossing, a U-turn and what is not connected."""
    if not before or not after or ":" in (before[0], after[0]):
        return None
    way = _outward(net.getLane(before).getShape()[::-1]), _outward(net.getLane(after).getShape())
    return None if turn(*way) == "U-turn" else way


def _outward(points: Sequence[Point]) -> float:
    """Find the bearing of a line from its first point to the point `REACH` along it, in degrees."""
    left = REACH
    x, y = points[0]
    for (x1, y1), (x2, y2) in pairwise(points):
        length = hypot(x2 - x1, y2 - y1)
        share = min(1.0, left / length) if length else 1.0
        x, y, left = x1 + share * (x2 - x1), y1 + share * (y2 - y1), left - length
        if left <= 0:
            break
    return _bearing(points[0], (x, y))


def _bearing(start: Point, end: Point) -> float:
    """Find the direction from one point to another, in degrees clockwise from north."""
    return degrees(atan2(end[0] - start[0], end[1] - start[1])) % 360.0


def arms(bearings: Iterable[float]) -> dict[float, float]:
    """Find the arm that each bearing belongs to: the mean of those that lie close together, in degrees."""
    found = sorted(set(bearings))
    # Begin after the widest gap, so that an arm around north is not cut in two.
    widest = max(range(len(found)), key=lambda at: (found[at] - found[at - 1]) % 360.0, default=0)
    groups: list[list[float]] = []
    for bearing in found[widest:] + found[:widest]:
        if groups and (bearing - groups[-1][0]) % 360.0 <= ONE_ARM:
            groups[-1].append(bearing)
        else:
            groups.append([bearing])
    return {bearing: _mean(group) for group in groups for bearing in group}


def _mean(bearings: Sequence[float]) -> float:
    """Average bearings around the circle, to a tenth of a degree."""
    east, north = sum(sin(radians(each)) for each in bearings), sum(cos(radians(each)) for each in bearings)
    return round(degrees(atan2(east, north)), 1) % 360.0


def _crossed(net: Net, signal: SumoSignal, group: int) -> list[float]:
    """Find the bearings of the arms that the crossings of a group cross, from the middle of the junction, in degrees."""
    found = []
    for lane in (lane for link in signal.links[group] for lane in signal.lanes_of_link[link]):
        edge = net.getLane(lane).getEdge() if lane else None
        if edge is not None and edge.getFunction() == "crossing":
            points = net.getLane(lane).getShape()
            x, y = (sum(point[axis] for point in points) / len(points) for axis in (0, 1))
            middle = edge.getFromNode().getCoord() if edge.getFromNode() else net.getNode(lane[1:].rpartition("_c")[0]).getCoord()
            found.append(round(_bearing(middle, (x, y)), 1) % 360.0)
    return list(dict.fromkeys(found))


def _title(net: Net, signal: SumoSignal) -> str:
    """Name a signal by the streets that lead there, if they have names, and by its own."""
    lanes = [before for before, _ in signal.lanes_of_link if before and before[0] != ":"]
    streets = list(dict.fromkeys(name for lane in lanes if (name := net.getLane(lane).getEdge().getName())))
    return f"{' / '.join(streets)} ({signal.id})" if streets else signal.id


def _at_only_signal(net: Net, signal: SumoSignal, pair: Pair) -> str:
    """Name a movement by its heading and turn at a signal that the shortest way leads through; empty if it does not."""
    if not all(net.hasEdge(edge) for edge in pair):
        return ""
    path, _ = net.getShortestPath(*(net.getEdge(edge) for edge in pair), vClass="passenger")
    joined = {(_edge(before), _edge(after)): (before, after) for before, after in signal.lanes_of_link if before and before[0] != ":"}
    for one, other in pairwise(path or ()):
        if (one.getID(), other.getID()) in joined:
            before, after = (net.getLane(lane).getShape() for lane in joined[one.getID(), other.getID()])
            return f"{heading(_bearing(*before[-2:]))} {turn(_outward(before[::-1]), _outward(after))}"
    return ""


def _by_street(net: Net, pair: Pair) -> str:
    """Name a movement by where it sets out and where it ends; empty for edges that the network does not have."""
    if not all(net.hasEdge(edge) for edge in pair):
        return ""
    first, last = (net.getEdge(edge) for edge in pair)
    out, back = heading(_outward(first.getShape())), heading(_outward(last.getShape()[::-1]) + 180.0)
    if first is last:
        return f"on {first.getName() or pair[0]} {out}"
    return f"{first.getName() or pair[0]} {out} → {last.getName() or pair[1]} {back}"


def _edge(lane: str) -> str:
    return lane.rpartition("_")[0]
