"""What a signal controls: its links, which of them cross or merge, and who gives way, all from the junctions' own tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any

from envs.approaches import Segment, inside
from envs.sumo_session import Net
from intersection.tables import bits


@dataclass(frozen=True, slots=True)
class Link:
    """One place in a signal's state string, and the connections that it moves; without any where nothing is connected to it."""

    index: int
    connections: tuple[Any, ...] = ()
    crossing: bool = False
    """Whether pedestrians walk on it."""

    @property
    def from_lanes(self) -> tuple[str, ...]:
        """The lanes that it controls, each once."""
        return tuple(dict.fromkeys(connection.getFromLane().getID() for connection in self.connections))

    @property
    def to_lanes(self) -> tuple[str, ...]:
        """The lanes that it leads to, each once."""
        return tuple(dict.fromkeys(connection.getToLane().getID() for connection in self.connections))

    @property
    def from_edges(self) -> frozenset[str]:
        """The edges that it comes from."""
        return frozenset(connection.getFrom().getID() for connection in self.connections)


@dataclass(frozen=True)
class Links:
    """The links of one signal, and who conflicts with whom. Sets of links are masks of their indices."""

    signal: str
    links: tuple[Link, ...]
    entries: Mapping[str, Sequence[Any]]
    """For each lane inside a junction the connections by which vehicles came onto it."""

    @cached_property
    def connected(self) -> int:
        """The links that something is connected to."""
        return sum(1 << link.index for link in self.links if link.connections)

    @cached_property
    def crossings(self) -> int:
        """The links on which pedestrians walk."""
        return sum(1 << link.index for link in self.links if link.crossing)

    @cached_property
    def _tables(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        # Foes cross or merge within one junction. Connections from one lane do not: vehicles on it follow each other.
        places: dict[Any, list[tuple[int, int, Any]]] = {}
        for link in self.links:
            for connection in link.connections:
                for entry in self.entries.get(connection.getFromLane().getID(), (connection,)):
                    node = entry.getJunction()
                    at = node.getLinkIndex(entry)
                    if at >= 0:
                        places.setdefault(node, []).append((link.index, at, entry.getFromLane()))
        foes = [0] * len(self.links)
        gives_way = [0] * len(self.links)
        for node, here in places.items():
            for (one, at, lane), (other, other_at, other_lane) in permutations(here, 2):
                if one != other and lane is not other_lane and node.areFoes(at, other_at):
                    foes[one] |= 1 << other
                    foes[other] |= 1 << one
                    if _responds(node, at, other_at):
                        gives_way[one] |= 1 << other
        return tuple(foes), tuple(gives_way)

    @property
    def foes(self) -> tuple[int, ...]:
        """For each link, those whose path crosses its own or merges with it."""
        return self._tables[0]

    @property
    def gives_way(self) -> tuple[int, ...]:
        """For each link, those of its foes that have the right of way over it at the junction."""
        return self._tables[1]

    def foes_of(self, links: Iterable[int]) -> int:
        """Give the foes of any of some links."""
        total = 0
        for link in links:
            total |= self.foes[link]
        return total

    def conflict(self, group: Iterable[int], other: int) -> bool:
        """Tell whether any of some links is a foe of any in a mask."""
        return bool(self.foes_of(group) & other)

    def yields(self, group: Iterable[int], other: int) -> bool:
        """Tell whether every one of some links gives way to all of its foes in a mask."""
        return all(not self.foes[link] & other & ~self.gives_way[link] for link in group)

    def crossing_length(self, link: int) -> float:
        """Give the length of the longest crossing of a link, in metres."""
        return max(float(connection.getToLane().getLength()) for connection in self.links[link].connections)

    def waiting_areas(self, lane: str) -> list[Segment]:
        """List a crossing, then the areas at both its ends where people wait for it."""
        found: dict[str, Any] = {}
        for link in self.links:
            for connection in link.connections if link.crossing else ():
                crossing = connection.getToLane()
                if crossing.getID() == lane:
                    beyond = [onward.getToLane() for onward in crossing.getOutgoing()]
                    for place in (crossing, connection.getFromLane(), *beyond):
                        found.setdefault(place.getID(), place)
        return [Segment(name, 0.0, float(place.getLength())) for name, place in found.items()]

    def lanes(self, mask: int) -> list[str]:
        """List the lanes that some links control, each once."""
        return list(dict.fromkeys(lane for link in bits(mask) for lane in self.links[link].from_lanes))


def _responds(node: Any, at: int, other: int) -> bool:  # noqa: ANN401  # sumolib's node
    """Tell whether one connection of a junction gives way to another; sumolib keeps the table, and no door by index."""
    row: str = node._prohibits[at]  # noqa: SLF001  # `Node.forbids` would search both indices anew for every pair
    return row[-1 - other] == "1"


def links_of(net: Net) -> dict[str, Links]:
    """Collect the links of every signal of a network, in the order in which the network names the signals."""
    found: dict[str, dict[int, list[Any]]] = {}
    entries: dict[str, list[Any]] = {}
    for connection in _connections(net):
        if not connection.getFrom().getFunction():
            for inner in inside(connection, net):
                entries.setdefault(inner, []).append(connection)
        if not connection.getTLSID():
            continue
        own = found.setdefault(connection.getTLSID(), {})
        for index in (connection.getTLLinkIndex(), connection.getTLLinkIndex2()):
            if index >= 0:
                own.setdefault(index, []).append(connection)
    return {
        signal: Links(
            signal,
            tuple(
                Link(
                    index,
                    tuple(own.get(index, ())),
                    any(connection.getTo().getFunction() == "crossing" for connection in own.get(index, ())),
                )
                for index in range(max(own, default=-1) + 1)
            ),
            entries,
        )
        for signal, own in found.items()
    }


def _connections(net: Net) -> Iterator[Any]:
    for edge in net.getEdges(withInternal=True):
        for lane in edge.getLanes():
            yield from lane.getOutgoing()
