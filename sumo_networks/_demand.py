"""Makes SUMO's demand of turning counts, as `demand.toml` states them.

    times = ["07:00", "07:15", "07:30"]           # bounds of the counting intervals
    form = "flow"                                 # the kind of element that SUMO reads
    trucks = 0.06                                 # share of all vehicles
    [counts.C]                                    # at junction C, for the leg by which they come:
    west = [[20, 150, 30], [25, 180, 30]]         # vehicles that turn left, go on, turn right, in each interval
    [pedestrians.C]
    north = [30, 40]                              # persons who cross that leg, both ways together, in each interval

What enters is what was counted at the first junction behind each entry. Further on, counts say which share turns: the vehicles on a route
are those that enter, times the share of each turn in that interval. No route meets a junction twice.
"""

import random
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path

from _network import BuildError, Leg, Network, Section, Turn, read, record, records

FORMS = ("flow", "vehicle", "trip")

VEHICLE_TYPES = {
    "car": {"vClass": "passenger", "length": "4.6", "speedFactor": "normc(1,0.1,0.7,1.3)"},
    "truck": {"vClass": "truck", "length": "10", "accel": "1.2", "decel": "4", "speedFactor": "normc(0.95,0.05,0.7,1.1)"},
    "bus": {"vClass": "bus", "length": "12", "accel": "1.2", "decel": "4", "speedFactor": "normc(0.95,0.05,0.7,1.1)"},
}
"""SUMO's attributes. The speed a driver would like is the limit times speedFactor: mean, deviation, and bounds."""

DEPARTURE = {"departLane": "best", "departSpeed": "max"}

WALK = 20.0
"""From where to where pedestrians walk, in metres before and after the junction."""

STOP = (40.0, 55.0)
"""From where to where a bus stop reaches, in metres after the junction behind it."""

Traveller = tuple[float, ET.Element]
"""When somebody departs, and an element of the route file."""


@dataclass(frozen=True, kw_only=True)
class BusLine:
    """Buses at a regular headway, which stop in the right lane."""

    line: str

    junctions: list[str]
    """The way from entry to exit."""

    headway: int
    """Time from bus to bus, in seconds."""

    stops: list[str]
    """The sections on which they stop, as in `A-B`."""

    dwell: int = 20
    """Time at a stop, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Platoon:
    """A signal beyond an entry, which lets traffic in by platoons."""

    cycle: int
    """Its cycle, in seconds; the first starts with the simulation."""

    green: int
    """How long vehicles enter from the start of each cycle, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Incident:
    """A car that breaks down and blocks a lane."""

    junctions: list[str]
    """Its way from entry to exit."""

    at: str
    """When it enters, as HH:MM."""

    section: str
    """Where it breaks down, as in `A-B`."""

    lane: int
    """The lane that it blocks, counted from 0 on the right."""

    before_end: float
    """Where it stands, in metres before the end of the section."""

    minutes: float
    """How long it stands."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What `demand.toml` says."""

    times: list[str]
    """Bounds of the counting intervals, as HH:MM. The first and the last are begin and end of the simulation."""

    form: str
    """The kind of element that SUMO reads.

    `flow`: arrivals by chance, others with each seed of SUMO. `vehicle`: as many as counted, at the same times with each seed. `trip`:
    likewise, but told by first and last edge, for networks in which that leaves no choice.
    """

    trucks: float
    """Share of trucks."""

    counts: dict[str, dict[str, list[list[int]]]]
    """Vehicles by junction, leg, interval and turn."""

    pedestrians: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """Persons by junction, leg and interval."""

    buses: list[BusLine] = field(default_factory=list)

    platoons: dict[str, Platoon] = field(default_factory=dict)
    """Signals beyond entries, by the name of the entry."""

    incidents: list[Incident] = field(default_factory=list)

    rarest: float = 0.0
    """Routes that a smaller share of their entry's vehicles takes are left to the other routes."""

    @property
    def bounds(self) -> list[int]:
        """Bounds of the intervals, in seconds after midnight."""
        return [_seconds(time) for time in self.times]

    @property
    def intervals(self) -> list[tuple[int, int, int]]:
        """Number, begin and end of each interval."""
        return [(number, begin, end) for number, (begin, end) in enumerate(pairwise(self.bounds))]

    def turning(self, network: Network, section: Section) -> list[list[int]]:
        """Look up what was counted at the end of a section, by interval and turn."""
        return self.counts[section.target][network.approach(section).name.lower()]


@dataclass(frozen=True, kw_only=True)
class Route:
    """A way through the network, and how many vehicles take it in each interval."""

    name: str
    way: list[Section]
    vehicles: list[float]


def load(path: Path, network: Network) -> Demand:
    """Read and check `demand.toml`.

    Raises:
        BuildError: the file is missing or broken, or does not fit the network.
    """
    data = read(path)
    for key, kind in {"buses": BusLine, "incidents": Incident}.items():
        data[key] = records(kind, data.get(key), path)
    platoons = data.get("platoons", {})
    if isinstance(platoons, dict):
        entries, given = list(platoons), records(Platoon, list(platoons.values()), path)
        platoons = dict(zip(entries, given, strict=True))
    demand = record(Demand, {**data, "platoons": platoons}, path)
    try:
        _check_counts(network, demand)
        _check_extras(network, demand)
    except BuildError as error:
        raise BuildError(f"{path}: {error}") from error
    return demand


def route_file(network: Network, demand: Demand) -> ET.Element:
    """Write vehicle types, routes and, in the order of departure, everybody who travels."""
    root = ET.Element("routes")
    mix = ET.SubElement(root, "vTypeDistribution", {"id": "mixed"})
    for name, share in {"car": 1 - demand.trucks, "truck": demand.trucks}.items():
        ET.SubElement(mix, "vType", {"id": name, **VEHICLE_TYPES[name], "probability": f"{share:g}"})
    if demand.buses:
        ET.SubElement(root, "vType", {"id": "bus", **VEHICLE_TYPES["bus"]})
    routes = list(find_routes(network, demand))
    if demand.form != "trip":
        for route in routes:
            ET.SubElement(root, "route", {"id": route.name, "edges": _edges(route.way)})
    traffic = _flows(demand, routes) if demand.form == "flow" else _vehicles(demand, routes)
    travellers = [*traffic, *_buses(network, demand), *_incidents(network, demand), *_pedestrians(network, demand)]
    root.extend(element for _, element in sorted(travellers, key=lambda traveller: traveller[0]))
    return root


def bus_stops(network: Network, demand: Demand) -> ET.Element:
    """Write the stops of all bus lines."""
    root = ET.Element("additional")
    start, end = STOP
    for name in sorted({name for bus in demand.buses for name in bus.stops}):
        section = network.sections[_ends(name)]
        lane = f"{section.edges[0]}_{section.street.sidewalk:d}"
        ET.SubElement(root, "busStop", {"id": name, "lane": lane, "startPos": f"{start:g}", "endPos": f"{end:g}"})
    return root


def find_routes(network: Network, demand: Demand) -> Iterator[Route]:
    """Yield every route that the turning counts lead to, with its vehicles in each interval."""
    for entry in network.entries:
        entering = [sum(counts) for counts in demand.turning(network, entry)]
        ways = list(_ways(network, demand, [entry], [1.0] * len(entering)))
        kept = [sum(shares) for shares in zip(*(shares for _, shares in ways), strict=True)]
        seen: Counter[str] = Counter()
        for way, shares in ways:
            name = f"{entry.origin}-{way[-1].target}"
            seen[name] += 1
            vehicles = [n * share / all_kept if all_kept else 0.0 for n, share, all_kept in zip(entering, shares, kept, strict=True)]
            yield Route(name=name if seen[name] == 1 else f"{name}.{seen[name]}", way=way, vehicles=vehicles)


def _ways(network: Network, demand: Demand, way: list[Section], shares: list[float]) -> Iterator[tuple[list[Section], list[float]]]:
    """Yield every continuation of a way to an exit, with the share of vehicles that takes it in each interval."""
    here = way[-1]
    if max(shares) <= demand.rarest:
        return
    if not here.signal_ahead:
        yield way, shares
        return
    met = {section.target for section in way}
    for turn in Turn:
        onto = network.after(here, turn)
        if onto.target not in met:
            counts = demand.turning(network, here)
            turning = [share * count[turn] / max(sum(count), 1) for share, count in zip(shares, counts, strict=True)]
            yield from _ways(network, demand, [*way, onto], turning)


def _flows(demand: Demand, routes: list[Route]) -> Iterator[Traveller]:
    for number, begin, end in demand.intervals:
        for route in routes:
            if route.vehicles[number]:
                attributes = {"id": f"{route.name}.{number}", "type": "mixed", "route": route.name, **DEPARTURE}
                yield begin, ET.Element("flow", attributes | _arrivals(begin, end, route.vehicles[number]))


def _vehicles(demand: Demand, routes: list[Route]) -> Iterator[Traveller]:
    """Yield as many vehicles as were counted, at random times in each interval that are the same in every build."""
    start = demand.bounds[0]
    for entry, group in groupby(routes, key=lambda route: route.way[0].origin):
        from_here, platoon = list(group), demand.platoons.get(entry)
        for number, begin, end in demand.intervals:
            rng = random.Random(f"{entry} {number}")
            for route, vehicles in zip(from_here, _whole([route.vehicles[number] for route in from_here]), strict=True):
                route_or_ends = {"route": route.name} if demand.form == "vehicle" else _from_to(route.way)
                for vehicle in range(vehicles):
                    depart = begin + rng.random() * (end - begin)
                    if platoon:
                        depart -= (depart - start) % platoon.cycle * (1 - platoon.green / platoon.cycle)
                    attributes = {"id": f"{route.name}.{number}.{vehicle}", "type": "mixed", "depart": f"{depart:.1f}"}
                    yield depart, ET.Element(demand.form, attributes | route_or_ends | DEPARTURE)


def _buses(network: Network, demand: Demand) -> Iterator[Traveller]:
    begin, *_, end = demand.bounds
    for bus in demand.buses:
        when = {"begin": str(begin), "end": str(end), "period": str(bus.headway)}
        flow = ET.Element("flow", {"id": f"bus.{bus.line}", "type": "bus", "line": bus.line, **when, **DEPARTURE})
        ET.SubElement(flow, "route", {"edges": _edges(_way(network, bus.junctions))})
        for stop in bus.stops:
            ET.SubElement(flow, "stop", {"busStop": stop, "duration": str(bus.dwell)})
        yield begin, flow


def _incidents(network: Network, demand: Demand) -> Iterator[Traveller]:
    for number, incident in enumerate(demand.incidents):
        depart = _seconds(incident.at)
        ends = _from_to(_way(network, incident.junctions))
        trip = ET.Element("trip", {"id": f"incident.{number}", "type": "car", "depart": f"{depart:.1f}", **ends, **DEPARTURE})
        section = network.sections[_ends(incident.section)]
        lane = f"{section.edges[-1]}_{incident.lane + section.street.sidewalk}"
        ET.SubElement(trip, "stop", {"lane": lane, "endPos": f"{-incident.before_end:g}", "duration": f"{60 * incident.minutes:g}"})
        yield depart, trip


def _pedestrians(network: Network, demand: Demand) -> Iterator[Traveller]:
    """Yield walks from the sidewalk on one side of a leg to that on the other, half of them each way."""
    for number, begin, end in demand.intervals:
        for junction, crossings in demand.pedestrians.items():
            for name, persons in crossings.items():
                leg, legs = Leg[name.upper()], network.legs[junction]
                near = network.sections[legs[leg.clockwise], junction].edges[-1], f"{-WALK:g}"
                far = network.sections[junction, legs[leg.counterclockwise]].edges[0], f"{WALK:g}"
                for direction, ((origin, start), (target, arrival)) in {"out": (near, far), "back": (far, near)}.items():
                    attributes = {"id": f"{junction}.{name}.{direction}.{number}", "departPos": start}
                    flow = ET.Element("personFlow", attributes | _arrivals(begin, end, persons[number] / 2))
                    ET.SubElement(flow, "walk", {"from": origin, "to": target, "arrivalPos": arrival})
                    yield begin, flow


def _arrivals(begin: int, end: int, expected: float) -> dict[str, str]:
    """Say that somebody departs in each second with the same probability."""
    return {"begin": str(begin), "end": str(end), "probability": f"{expected / (end - begin):.5f}"}


def _whole(shares: list[float]) -> list[int]:
    """Round numbers to whole ones with the same sum, up where the remainders are largest."""
    whole = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda number: whole[number] - shares[number])
    for number in by_remainder[: round(sum(shares)) - sum(whole)]:
        whole[number] += 1
    return whole


def _way(network: Network, junctions: list[str]) -> list[Section]:
    for pair in pairwise(junctions):
        if pair not in network.sections:
            raise BuildError(f"junctions = {junctions}; no street leads from {pair[0]} to {pair[1]}")
    return [network.sections[pair] for pair in pairwise(junctions)]


def _ends(name: str) -> tuple[str, str]:
    origin, _, target = name.partition("-")
    return origin, target


def _edges(way: list[Section]) -> str:
    return " ".join(edge for section in way for edge in section.edges)


def _from_to(way: list[Section]) -> dict[str, str]:
    return {"from": way[0].edges[0], "to": way[-1].edges[-1]}


def _seconds(time: str) -> int:
    try:
        hours, minutes = map(int, time.split(":"))
    except (AttributeError, ValueError) as error:
        raise BuildError(f"{time!r} is no time of day; allowed: HH:MM") from error
    return 3600 * hours + 60 * minutes


def _check_counts(network: Network, demand: Demand) -> None:
    intervals = len(demand.times) - 1
    if intervals < 1 or any(later <= earlier for earlier, later in pairwise(demand.bounds)):
        raise BuildError(f"times = {demand.times}; allowed: two or more, each later than the one before")
    if demand.counts.keys() != set(network.signals):
        raise BuildError(f"counts are given for {', '.join(demand.counts)}; needed: {', '.join(network.signals)}")
    legs = [leg.name.lower() for leg in Leg]
    for junction, counts in demand.counts.items():
        if sorted(counts) != sorted(legs):
            raise BuildError(f"counts.{junction} are given for {', '.join(counts)}; needed: {', '.join(legs)}")
        for leg, rows in counts.items():
            if len(rows) != intervals or not all(_are_counts(row, len(Turn)) for row in rows):
                raise BuildError(f"counts.{junction}.{leg} = {rows}; needed: [left, through, right] {intervals} times, 0 or more")
    for junction, crossings in demand.pedestrians.items():
        for leg, persons in crossings.items():
            if junction not in network.signals or leg not in legs or not _are_counts(persons, intervals):
                raise BuildError(f"pedestrians.{junction}.{leg} = {persons}; needed: a leg of a signal, and {intervals} numbers, 0 or more")


def _check_extras(network: Network, demand: Demand) -> None:
    if demand.form not in FORMS:
        raise BuildError(f"form = {demand.form!r}; allowed: {', '.join(FORMS)}")
    entries = [section.origin for section in network.entries]
    for entry in demand.platoons:
        if demand.form == "flow" or entry not in entries:
            raise BuildError(f"platoons.{entry}: allowed for {', '.join(entries)}, and if form is not flow")
    for bus in demand.buses:
        names = [section.name for section in _way(network, bus.junctions)]
        if not set(bus.stops) <= set(names):
            raise BuildError(f"stops = {bus.stops} of line {bus.line}; allowed: {', '.join(names)}")
    for incident in demand.incidents:
        sections = {section.name: section for section in _way(network, incident.junctions)}
        if incident.section not in sections or not 0 <= incident.lane < sections[incident.section].street.lanes:
            raise BuildError(f"an incident in lane {incident.lane} of {incident.section}; allowed: a lane of {', '.join(sections)}")
        _seconds(incident.at)


def _are_counts(values: object, length: int) -> bool:
    return isinstance(values, list) and len(values) == length and all(isinstance(value, int) and value >= 0 for value in values)
