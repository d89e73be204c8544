"""Follows lanes from a stop line: upstream to where detectors see, downstream to where vehicles leave for.

A path goes on through short edges, across the inside of junctions and through junctions without a signal. It ends at the declared range,
at the edge of the network, and at the next signal.
"""

import heapq
from collections.abc import Mapping, Sequence
from math import atan2, degrees
from typing import Any, NamedTuple

from envs.sumo_session import Net

_ON_FOOT = frozenset({"crossing", "walkingarea"})


class Segment(NamedTuple):
    """A stretch of a lane, or a point of it."""

    lane: str
    start: float
    """Position on the lane, in metres from its beginning."""

    end: float
    """Position on the lane, in metres from its beginning; not below `start`."""


class Streets:
    """The lanes of a network, and how those on wheels join. Lanes are named by their ids; lengths and positions in metres."""

    def __init__(self, net: Net) -> None:
        """Draw the graph of lanes, those inside junctions with it where the network has them."""
        self._net = net
        self.length: dict[str, float] = {}
        self.speed: dict[str, float] = {}
        self._lanes: dict[str, Any] = {}
        self._into: dict[str, list[str]] = {}
        self._out_of: dict[str, list[str]] = {}
        signalled: list[Any] = []
        for edge in net.getEdges(withInternal=True):
            on_foot = edge.getFunction() in _ON_FOOT
            for lane in edge.getLanes():
                own = lane.getID()
                self._lanes[own], self.length[own], self.speed[own] = lane, lane.getLength(), lane.getSpeed()
                for connection in lane.getOutgoing():
                    if on_foot or connection.getTo().getFunction() in _ON_FOOT:
                        continue
                    if connection.getTLSID():
                        signalled.append(connection)
                    else:
                        self._join(own, connection.getViaLaneID() or connection.getToLane().getID())
        # A lane inside a signal's junction belongs to that signal; nobody else looks into it.
        for inner in {lane for connection in signalled for lane in inside(connection, net)}:
            for before in self._into.pop(inner, ()):
                self._out_of[before].remove(inner)
            for after in self._out_of.pop(inner, ()):
                self._into[after].remove(inner)

    def _join(self, before: str, after: str) -> None:
        self._out_of.setdefault(before, []).append(after)
        self._into.setdefault(after, []).append(before)

    def crossing_path(self, connection: Any) -> tuple[float, float]:  # noqa: ANN401  # sumolib's connection
        """Measure the path of a connection through its junction.

        Returns:
            Its length in metres and the lowest speed limit on it in m/s, the approach's included.
        """
        approach = connection.getFromLane()
        inner = inside(connection, self._net)
        speed = min([approach.getSpeed(), *(self.speed[lane] for lane in inner)])
        if inner:
            return sum(self.length[lane] for lane in inner), speed
        (x1, y1), (x2, y2) = approach.getShape()[-1], connection.getToLane().getShape()[0]
        return float(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5), speed

    def grade(self, lane: str) -> float:
        """Give the grade of a lane, uphill positive; 0 in a flat network."""
        shape = self._lanes[lane].getShape3D()
        return float((shape[-1][2] - shape[0][2]) / max(self.length[lane], 1.0))

    def heading(self, lane: str) -> float:
        """Give the direction in which a lane reaches its end, in degrees clockwise from north."""
        (x1, y1), (x2, y2) = self._lanes[lane].getShape()[-2:]
        return degrees(atan2(x2 - x1, y2 - y1)) % 360

    def upstream(self, lane: str, reach: float) -> tuple[list[Segment], float]:
        """List what lies within a reach upstream of a lane's end, nearest first, and tell how far that is in metres."""
        reached = self._walk(lane, reach, self._into)
        segments = [Segment(here, max(0.0, self.length[here] - (reach - near)), self.length[here]) for here, near in reached.items()]
        return segments, self._span(reached, reach)

    def downstream(self, lane: str, reach: float) -> tuple[list[Segment], float]:
        """List what lies within a reach downstream of a lane's beginning, nearest first, and tell how far that is in metres."""
        reached = self._walk(lane, reach, self._out_of)
        return [Segment(here, 0.0, min(self.length[here], reach - near)) for here, near in reached.items()], self._span(reached, reach)

    def _span(self, reached: Mapping[str, float], reach: float) -> float:
        return min(reach, max(near + self.length[here] for here, near in reached.items()))

    def points_upstream(self, lane: str, distance: float) -> list[Segment]:
        """List the points at a distance upstream of a lane's end, one a path that leads there; a shorter path's where it begins."""
        reached = self._walk(lane, distance, self._into)
        points = []
        for here, near in reached.items():
            position = self.length[here] - (distance - near)
            if position >= 0 or not reached.keys() & set(self._into.get(here, ())):
                points.append(Segment(here, max(0.0, position), max(0.0, position)))
        return points

    def _walk(self, lane: str, reach: float, onward: Mapping[str, Sequence[str]]) -> dict[str, float]:
        """Visit lanes by their distance from a point (Dijkstra), as far as a reach.

        Returns:
            For each lane the distance of its nearer end, in metres, nearest first.
        """
        found: dict[str, float] = {}
        queue = [(0.0, lane)]
        while queue:
            distance, here = heapq.heappop(queue)
            if here in found or distance >= reach:
                continue
            found[here] = distance
            for following in onward.get(here, ()):
                heapq.heappush(queue, (distance + self.length[here], following))
        return found


def inside(connection: Any, net: Net) -> list[str]:  # noqa: ANN401  # sumolib's connection
    """List the lanes inside the junction that a connection leads over, in order."""
    inner: list[str] = []
    via = connection.getViaLaneID()
    while via and via not in inner:
        inner.append(via)
        via = next((onward.getViaLaneID() for onward in net.getLane(via).getOutgoing()), "")
    return inner
