"""Writes a network as SUMO's plain XML (nodes, edges, connections, signal programs), of which netconvert makes a net."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from _network import LEFT_PHASE, THROUGH_PHASE, BuildError, Leg, Network, Plan, Section, Turn

LANE_WIDTH = 3.2
SIDEWALK_WIDTH = 2.0
CROSSING_WIDTH = 4.0


@dataclass(frozen=True, kw_only=True)
class Movement:
    """One signalised way over a junction: from lane to lane, or on foot over a leg."""

    attributes: dict[str, str]
    """The connection or the crossing in SUMO's words."""

    phase: int
    """The NEMA phase with which it is green."""

    green: str
    """`G`, or `g` if it has to give way while green."""

    on_foot: bool = False


def plain_xml(network: Network) -> dict[str, ET.Element]:
    """Write a network as plain XML, by the option that hands each file to netconvert.

    Raises:
        BuildError: a green is too short for the pedestrians who cross in it.
    """
    movements = {junction: list(_movements(network, junction, plan)) for plan in network.plans for junction in plan.junctions}
    return {
        "node-files": _nodes(network),
        "edge-files": _edges(network),
        "connection-files": _connections(network, movements),
        "tllogic-files": _programs(network, movements),
    }


def _nodes(network: Network) -> ET.Element:
    root = ET.Element("nodes")
    places = {name: (x, y) for name, (x, y) in network.junctions.items()}
    bays = [section for section in network.sections.values() if section.has_bay]
    places |= {section.edges[-1]: _place(network, section, before_end=section.street.left_bay) for section in bays}
    for name, (x, y) in places.items():
        kind = "traffic_light" if name in network.signals else "priority"
        ET.SubElement(root, "node", {"id": name, "x": f"{x:.2f}", "y": f"{y:.2f}", "type": kind})
    return root


def _edges(network: Network) -> ET.Element:
    root = ET.Element("edges")
    for section in network.sections.values():
        street, length = section.street, network.length(section)
        bay = street.left_bay if section.has_bay else 0.0
        # Bays lie in the middle of a street, in a lane's width that its two directions leave between them.
        median = LANE_WIDTH if street.left_bay else 0.0
        parts = [(length, bay, median / 2, street.lanes), (bay, 0.0, -median / 2, street.lanes + 1)]
        nodes = [section.origin, *section.edges[1:], section.target]
        for edge, (start, end), (far, near, right, lanes) in zip(section.edges, pairwise(nodes), parts, strict=False):
            shape = [_place(network, section, before_end=metres, right=right) for metres in (far, near)]
            attributes = {
                "id": edge,
                "from": start,
                "to": end,
                "numLanes": str(lanes + street.sidewalk),
                "speed": f"{network.speed / 3.6:.2f}",
                "width": str(LANE_WIDTH),
                "shape": " ".join(f"{x:.2f},{y:.2f}" for x, y in shape),
                "spreadType": "right",
            }
            element = ET.SubElement(root, "edge", attributes)
            if street.sidewalk:
                ET.SubElement(element, "lane", {"index": "0", "allow": "pedestrian", "width": str(SIDEWALK_WIDTH)})
                for index in range(1, lanes + 1):
                    ET.SubElement(element, "lane", {"index": str(index), "disallow": "pedestrian"})
    return root


def _connections(network: Network, movements: dict[str, list[Movement]]) -> ET.Element:
    root = ET.Element("connections")
    for section in network.sections.values():
        if section.has_bay:
            lanes = section.street.lanes
            for lane, bay_lane in [*zip(range(lanes), range(lanes), strict=True), (lanes - 1, lanes)]:
                ET.SubElement(root, "connection", _connection((section, 0, lane), (section, 1, bay_lane)))
    for ways in movements.values():
        for index, movement in enumerate(ways):
            if movement.on_foot:
                ET.SubElement(root, "crossing", {**movement.attributes, "linkIndex": str(index)})
            else:
                ET.SubElement(root, "connection", movement.attributes)
    return root


def _programs(network: Network, movements: dict[str, list[Movement]]) -> ET.Element:
    root = ET.Element("tlLogics")
    for plan in network.plans:
        for junction, offset in zip(plan.junctions, plan.offsets or [0] * len(plan.junctions), strict=True):
            logic = ET.SubElement(root, "tlLogic", {"id": junction, "type": "static", "programID": "0", "offset": str(offset)})
            for duration, state, name in _intervals(plan, movements[junction]):
                ET.SubElement(logic, "phase", {"duration": str(duration), "state": state, "name": name})
            for index, movement in enumerate(movements[junction]):
                if not movement.on_foot:
                    ET.SubElement(root, "connection", {**movement.attributes, "tl": junction, "linkIndex": str(index)})
    return root


def _movements(network: Network, junction: str, plan: Plan) -> Iterator[Movement]:
    """Yield the movements of a signal in the order of its link indices: vehicles clockwise from the north, then pedestrians likewise."""
    protected = {phase for stage in plan.stages for phase in stage.phases} & set(LEFT_PHASE.values())
    approaches = {leg: network.sections[network.legs[junction][leg], junction] for leg in Leg}
    for leg, section in approaches.items():
        for turn in reversed(Turn):
            onto = network.after(section, turn)
            phase, green = THROUGH_PHASE[leg], "G"
            if turn is Turn.LEFT and LEFT_PHASE[leg] in protected:
                phase = LEFT_PHASE[leg]
            elif turn is Turn.LEFT or (turn is Turn.RIGHT and onto.street.sidewalk):
                green = "g"
            for lane, onto_lane in _lanes(section, turn, onto):
                yield Movement(attributes=_connection((section, -1, lane), (onto, 0, onto_lane)), phase=phase, green=green)
    for leg, section in approaches.items():
        if section.street.sidewalk:
            away = network.sections[junction, section.origin]
            attributes = {"node": junction, "edges": f"{section.edges[-1]} {away.edges[0]}", "width": str(CROSSING_WIDTH)}
            # Who walks over a leg walks beside the traffic that passes this leg on its right.
            yield Movement(attributes=attributes, phase=THROUGH_PHASE[leg.clockwise], green="G", on_foot=True)


def _lanes(section: Section, turn: Turn, onto: Section) -> list[tuple[int, int]]:
    """List from which lane to which a turn leads, both counted from the right without sidewalks."""
    match turn:
        case Turn.RIGHT:
            return [(0, 0)]
        case Turn.THROUGH:
            return [(lane, lane) for lane in range(min(section.street.lanes, onto.street.lanes))]
        case Turn.LEFT:
            return [(section.street.lanes - (not section.has_bay), onto.street.lanes - 1)]


def _intervals(plan: Plan, movements: list[Movement]) -> Iterator[tuple[int, str, str]]:
    """Yield duration, state and name of each interval of a cycle.

    A movement that the next stage serves too stays green throughout. A crossing whose phase ends shows flashing don't walk (`y`, on which
    SUMO's pedestrians do not step off the kerb) until the yellow of its phase.
    """
    for stage, following in zip(plan.stages, [*plan.stages[1:], plan.stages[0]], strict=True):
        name = "+".join(map(str, stage.phases))
        running = frozenset(stage.phases)
        ending = running.difference(following.phases)
        staying = running - ending
        flashing = plan.ped_clearance if any(movement.on_foot and movement.phase in ending for movement in movements) else 0
        if stage.green <= flashing:
            raise BuildError(f"stage {name}: green = {stage.green}; allowed: more than ped_clearance ({flashing} s)")
        yield stage.green - flashing, _state(movements, green=running), name
        if flashing:
            yield flashing, _state(movements, green=running, flashing=ending), f"{name} pedestrian clearance"
        if ending:
            yield plan.yellow, _state(movements, green=staying, yellow=ending), f"{name} yellow change"
        if ending and plan.all_red:
            yield plan.all_red, _state(movements, green=staying), f"{name} red clearance"


def _state(
    movements: list[Movement], *, green: frozenset[int], yellow: frozenset[int] = frozenset(), flashing: frozenset[int] = frozenset()
) -> str:
    """Write what every movement shows, given the phases that are green, those in yellow and those whose crossings flash."""

    def colour(movement: Movement) -> str:
        if movement.phase in (flashing if movement.on_foot else yellow):
            return "y"
        return movement.green if movement.phase in green else "r"

    return "".join(map(colour, movements))


def _connection(come_from: tuple[Section, int, int], go_to: tuple[Section, int, int]) -> dict[str, str]:
    """Write a connection between two lanes, each given by section, number of the edge in it and lane counted from the right."""
    ends = {"from": come_from, "to": go_to}
    edges = {end: section.edges[edge] for end, (section, edge, _) in ends.items()}
    return edges | {f"{end}Lane": str(lane + section.street.sidewalk) for end, (section, _, lane) in ends.items()}


def _place(network: Network, section: Section, *, before_end: float, right: float = 0.0) -> tuple[float, float]:
    """Find the point so many metres before the end of a section, and so many to the right of its axis."""
    (x, y), (to_x, to_y) = network.junctions[section.origin], network.junctions[section.target]
    length = network.length(section)
    along_x, along_y = (to_x - x) / length, (to_y - y) / length
    return to_x - along_x * before_end + along_y * right, to_y - along_y * before_end - along_x * right
