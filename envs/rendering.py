"""Draws a signalised junction from above as a picture, without a display: lanes, lamps, vehicles, queues, and what the signal does."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from math import cos, hypot, radians, sin
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from envs.simulation import TENTHS, Signal, Simulation
from envs.sumo_network import SumoSignal
from envs.sumo_session import Api, Net, check_display, has_display, read_net
from intersection.detection import Channel, DetectorKind
from intersection.errors import UnknownNameError
from intersection.state import NO_STAGE
from intersection.tables import bits

Point: TypeAlias = tuple[float, float]
Colour: TypeAlias = tuple[int, int, int]

SIZE = 800
"""Width and height of a picture, in pixels."""

FINE = 2
"""Everything is drawn this many times larger and scaled down, which smooths its edges."""

MODES = ("human", "rgb_array")

HALTING = 0.1
"""A vehicle below this speed stands, in m/s."""

SPACE = 7.5
"""Of a lane, that a standing vehicle takes with its gap, in metres."""

GROUND: Colour = (233, 236, 228)
ASPHALT: Colour = (86, 92, 100)
SIDEWALK: Colour = (199, 202, 194)
MARKING: Colour = (226, 229, 232)
HOUSING: Colour = (24, 26, 30)
QUEUE: Colour = (214, 96, 77)
STANDING: Colour = (236, 138, 88)
MOVING: Colour = (112, 184, 255)
WALKER: Colour = (250, 214, 120)
INK: Colour = (244, 246, 248)
FAINT: Colour = (172, 180, 190)

LAMPS: dict[str, Colour] = {
    "G": (46, 204, 113),
    "g": (150, 214, 84),
    "y": (250, 200, 40),
    "u": (245, 140, 40),
    "r": (226, 62, 68),
    "s": (190, 70, 150),
}
"""By SUMO's letters; a lamp that is off is grey."""

OFF: Colour = (140, 146, 152)


class _Stripe(NamedTuple):
    """A lamp: a line across the end of a lane, coloured by what its links show."""

    start: Point
    end: Point
    link: int
    width: float
    """In metres."""


class _Approach(NamedTuple):
    """What an area detector covers, from the stop line upstream, as far as the first lane goes."""

    column: int
    path: Sequence[Point]


def check_mode(mode: str | None) -> None:
    """Check that a render mode exists and can be shown here.

    Raises:
        UnknownNameError: there is no such mode.
        UserError: "human" is asked for and there is no display.
    """
    if mode is not None and mode not in MODES:
        raise UnknownNameError("render mode", mode, MODES)
    if mode == "human":
        check_display()


def shown_modes() -> list[str]:
    """List the render modes that this machine can show."""
    return [mode for mode in MODES if mode != "human" or has_display()]


class Renderer:
    """Draws one signal's junction; what does not move is drawn once."""

    def __init__(self, net_file: Path, signal: SumoSignal) -> None:
        """Read the shapes of a network.

        Args:
            net_file: the network.
            signal: whose junction is drawn, with the detectors that the simulation reads.

        Raises:
            ScenarioError: the network cannot be read.
        """
        net = _net(net_file)
        self.signal = signal
        controlled = tuple(dict.fromkeys(lane for lane, _ in signal.lanes_of_link if lane))
        ends = np.array([net.getLane(lane).getShape()[-1] for lane in controlled])
        centre = (ends.min(axis=0) + ends.max(axis=0)) / 2
        reach = min(max(float(np.abs(ends - centre).max()) + 55.0, 70.0), 400.0)
        self._scale = SIZE * FINE / (2 * reach)
        self._left, self._top = float(centre[0]) - reach, float(centre[1]) + reach
        self._fonts = {size: ImageFont.load_default(size * FINE) for size in (13, 16, 30)}
        self._sizes: dict[str, tuple[float, float]] = {}
        self._lanes, self._walks = self._in_view(net)
        self._stripes = self._place_lamps(net)
        self._approaches = self._place_queues(net)
        self._sees_areas = any(detector.kind is DetectorKind.AREA for detector in signal.config.detectors)
        self._street = self._draw_street(net)

    def draw(self, simulation: Simulation) -> NDArray[np.uint8]:
        """Draw the junction as it is now: uint8, shape (800, 800, 3).

        Raises:
            SimulationError: SUMO failed or ended.
        """
        picture = self._street.copy()
        draw = ImageDraw.Draw(picture, "RGBA")
        at = next(at for at, signal in enumerate(simulation.signals) if signal.sumo.id == self.signal.id)
        signal = simulation.signals[at]
        columns = simulation.sensors.columns[at]
        queues = simulation.sensors.values[Channel.QUEUE, columns]
        self._draw_queues(draw, queues)
        self._draw_lamps(draw, signal.shown)
        if simulation.session is not None:
            with simulation.session.translating():
                self._draw_vehicles(draw, simulation.session.api)
                self._draw_walkers(draw, simulation.session.api)
        self._label_queues(draw, queues)
        counts = simulation.sensors.values[Channel.COUNT, columns]
        areas = [approach.column for approach in self._approaches]
        self._draw_caption(draw, signal, int(counts[areas].sum()), int(queues[areas].sum()))
        return np.asarray(picture.reduce(FINE), np.uint8)

    def _pixel(self, point: Sequence[float]) -> Point:
        return (point[0] - self._left) * self._scale, (self._top - point[1]) * self._scale

    def _pixels(self, points: Iterable[Sequence[float]]) -> list[Point]:
        return [self._pixel(point) for point in points]

    def _visible(self, points: Iterable[Sequence[float]]) -> bool:
        """Tell whether the box around some points meets the picture."""
        box = np.array(self._pixels(points))
        return bool((box.max(axis=0) >= 0).all() and (box.min(axis=0) <= SIZE * FINE).all())

    def _in_view(self, net: Net) -> tuple[list[str], list[str]]:
        """List the lanes for vehicles and the edges for pedestrians that can be seen."""
        lanes, walks = [], []
        for edge in net.getEdges(withInternal=True):
            for lane in edge.getLanes():
                if not self._visible(lane.getShape()):
                    continue
                if _on_foot(lane):
                    walks.append(edge.getID())
                else:
                    lanes.append(lane.getID())
        return lanes, list(dict.fromkeys(walks))

    def _place_lamps(self, net: Net) -> list[_Stripe]:
        """Share the end of each controlled lane, or both ends of a crossing, among the links that it leads to."""
        links: dict[tuple[Point, Point, float], list[int]] = {}
        for link, (before, after) in enumerate(self.signal.lanes_of_link):
            if not before:
                continue
            crossing = net.getLane(after) if net.getLane(after).getEdge().getFunction() == "crossing" else None
            lane = crossing or net.getLane(before)
            shape, half = lane.getShape(), lane.getWidth() / 2
            for near, end in [(shape[-2], shape[-1])] + ([(shape[1], shape[0])] if crossing else []):
                across = _normal(near, end)
                line = _along(end, across, half * 0.94), _along(end, across, -half * 0.94)
                links.setdefault((*line, 1.0 if crossing else 2.0), []).append(link)
        return [
            _Stripe(_between(start, end, at / len(own)), _between(start, end, (at + 1) / len(own)), link, width)
            for (start, end, width), own in links.items()
            for at, link in enumerate(own)
        ]

    def _place_queues(self, net: Net) -> list[_Approach]:
        detectors = self.signal.config.detectors
        return [
            _Approach(at, net.getLane(self.signal.segments[detector.id][0].lane).getShape()[::-1])
            for at, detector in enumerate(detectors)
            if detector.kind is DetectorKind.AREA
        ]

    def _draw_street(self, net: Net) -> Image.Image:
        picture = Image.new("RGB", (SIZE * FINE, SIZE * FINE), GROUND)
        draw = ImageDraw.Draw(picture)
        edges = [edge for edge in net.getEdges(withInternal=False) if any(self._visible(lane.getShape()) for lane in edge.getLanes())]
        for edge in edges:
            for lane in edge.getLanes():
                self._line(draw, lane.getShape(), lane.getWidth() + 0.3, SIDEWALK if _on_foot(lane) else ASPHALT)
        for node in net.getNodes():
            shape = node.getShape()
            if len(shape) > 2 and self._visible(shape):
                draw.polygon(self._pixels(shape), ASPHALT)
        for edge in net.getEdges(withInternal=True):
            if edge.getFunction() == "crossing" and self._visible(edge.getLanes()[0].getShape()):
                self._zebra(draw, edge.getLanes()[0].getShape(), edge.getLanes()[0].getWidth())
        for edge in edges:
            lanes = [lane for lane in edge.getLanes() if not _on_foot(lane)]
            for right in lanes[:-1]:
                self._dashes(draw, _aside(right.getShape(), right.getWidth() / 2))
            if lanes:
                self._line(draw, _aside(lanes[-1].getShape(), lanes[-1].getWidth() / 2), 0.15, MARKING)
        self._draw_scale(draw)
        return picture

    def _line(self, draw: ImageDraw.ImageDraw, points: Sequence[Point], width: float, colour: Colour) -> None:
        draw.line(self._pixels(points), colour, max(1, round(width * self._scale)), joint="curve")

    def _dashes(self, draw: ImageDraw.ImageDraw, path: Sequence[Point], dash: float = 3.0, gap: float = 4.5) -> None:
        total = _length(path)
        at = 0.0
        while at < total:
            self._line(draw, [_point_at(path, at), _point_at(path, min(at + dash, total))], 0.15, MARKING)
            at += dash + gap

    def _zebra(self, draw: ImageDraw.ImageDraw, path: Sequence[Point], width: float) -> None:
        for start, end in pairwise(path):
            across, length = _normal(start, end), hypot(end[0] - start[0], end[1] - start[1])
            for step in range(int(length)):
                middle = _between(start, end, (step + 0.5) / length)
                self._line(draw, [_along(middle, across, width / 2 - 0.3), _along(middle, across, 0.3 - width / 2)], 0.5, MARKING)

    def _draw_scale(self, draw: ImageDraw.ImageDraw) -> None:
        metres = 20 if self._scale * 50 > SIZE * FINE / 3 else 50
        right, bottom = (SIZE - 24) * FINE, (SIZE - 24) * FINE
        left = right - metres * self._scale
        tick = 5 * FINE
        draw.line([(left, bottom - tick), (left, bottom), (right, bottom), (right, bottom - tick)], HOUSING, 2 * FINE)
        draw.text(((left + right) / 2, bottom - 4 * FINE), f"{metres} m", HOUSING, self._fonts[13], anchor="mb")

    def _draw_queues(self, draw: ImageDraw.ImageDraw, queues: NDArray[np.float32]) -> None:
        for column, path in self._approaches:
            if queues[column] > 0:
                length = min(float(queues[column]) * SPACE, _length(path))
                points = [_point_at(path, length * step / 8) for step in range(9)]
                draw.line(self._pixels(points), (*QUEUE, 110), round(2.8 * self._scale), joint="curve")

    def _label_queues(self, draw: ImageDraw.ImageDraw, queues: NDArray[np.float32]) -> None:
        """Write each queue's length at its end, or at the picture's edge where it goes on beyond."""
        room = SIZE * FINE
        for column, path in self._approaches:
            number = int(queues[column])
            if not number:
                continue
            x, y = self._pixel(_point_at(path, min(number * SPACE, _length(path))))
            x, y = min(max(x, 16.0 * FINE), room - 16.0 * FINE), min(max(y, 16.0 * FINE), room - 16.0 * FINE)
            radius = 9.5 * FINE
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), (*HOUSING, 215), (*QUEUE, 255), 2 * FINE)
            draw.text((x, y), str(number), INK, self._fonts[13], anchor="mm")

    def _draw_lamps(self, draw: ImageDraw.ImageDraw, shown: str) -> None:
        for stripe in self._stripes:
            self._line(draw, [stripe.start, stripe.end], stripe.width, HOUSING)
        for stripe in self._stripes:
            start, end = _between(stripe.start, stripe.end, 0.08), _between(stripe.start, stripe.end, 0.92)
            self._line(draw, [start, end], stripe.width * 0.65, LAMPS.get(shown[stripe.link], OFF))

    def _draw_vehicles(self, draw: ImageDraw.ImageDraw, api: Api) -> None:
        vehicle = api.vehicle
        seen: dict[str, tuple[float, float]] = {}
        for lane in self._lanes:
            for name in api.lane.getLastStepVehicleIDs(lane):
                size = self._sizes.get(name) or (vehicle.getLength(name), vehicle.getWidth(name))
                seen[name] = size
                share = min(vehicle.getSpeed(name) / 10.0, 1.0)
                colour = _mixed(STANDING, MOVING, share)
                self._draw_vehicle(draw, vehicle.getPosition(name), vehicle.getAngle(name), size, colour)
        self._sizes = seen

    def _draw_vehicle(self, draw: ImageDraw.ImageDraw, front: Point, angle: float, size: tuple[float, float], colour: Colour) -> None:
        """Draw a vehicle by the middle of its front bumper; the angle is SUMO's, clockwise from north."""
        heading = radians(angle)
        ahead, aside = (sin(heading), cos(heading)), (cos(heading), -sin(heading))
        half = size[1] / 2

        def corners(near: float, far: float, wide: float) -> list[Point]:
            return [
                self._pixel((front[0] - back * ahead[0] + side * aside[0], front[1] - back * ahead[1] + side * aside[1]))
                for back, side in ((near, -wide), (near, wide), (far, wide), (far, -wide))
            ]

        draw.polygon(corners(0.0, size[0], half), colour, HOUSING)
        draw.polygon(corners(size[0] * 0.22, size[0] * 0.38, half * 0.8), HOUSING)

    def _draw_walkers(self, draw: ImageDraw.ImageDraw, api: Api) -> None:
        radius = max(2.0 * FINE, 0.45 * self._scale)
        for edge in self._walks:
            for name in api.edge.getLastStepPersonIDs(edge):
                x, y = self._pixel(api.person.getPosition(name))
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), WALKER, HOUSING)

    def _draw_caption(self, draw: ImageDraw.ImageDraw, signal: Signal, vehicles: int, queue: int) -> None:
        state = signal.state
        seconds = state.now // TENTHS
        clock = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        first, second = words(signal)
        third = f"vehicles in range: {vehicles}, standing: {queue}" if self._sees_areas else "no radar or camera is read"
        left, top = 16 * FINE, (SIZE - 100) * FINE
        inner = left + 16 * FINE
        after = inner + round(draw.textlength(clock, self._fonts[30])) + 20 * FINE
        lines = ((first, 20, INK, 16), (second, 43, INK, 13), (third, 64, FAINT, 13))
        widest = max(draw.textlength(line, self._fonts[size]) for line, _, _, size in lines)
        draw.rounded_rectangle((left, top, after + round(widest) + 16 * FINE, top + 84 * FINE), 10 * FINE, (*HOUSING, 225))
        draw.text((inner, top + 42 * FINE), clock, INK, self._fonts[30], anchor="lm")
        for line, y, colour, size in lines:
            draw.text((after, top + y * FINE), line, colour, self._fonts[size], anchor="lm")


def words(signal: Signal) -> tuple[str, str]:
    """Say what a signal does: its stage, and for how long already."""
    state, stages = signal.state, signal.tables.stages
    name = f"{signal.sumo.id}: {stages[state.stage].name}"
    if state.target == NO_STAGE:
        return name, f"green for {(state.now - state.arrived) / TENTHS:.0f} s"
    yellow = max((signal.tables.groups[group].yellow for group in bits(state.clearing)), default=0)
    since = state.now - state.left
    interval = f"yellow change for {since / TENTHS:.0f} s" if since < yellow else f"red clearance for {(since - yellow) / TENTHS:.0f} s"
    return f"{name} to {stages[state.target].name}", interval


@lru_cache(maxsize=4)
def _net(path: Path) -> Net:
    return read_net(path)


def _on_foot(lane: Net) -> bool:
    return not lane.allows("passenger") and lane.allows("pedestrian")


def _normal(start: Point, end: Point) -> Point:
    """Give the unit vector to the left of the direction from one point to another."""
    x, y = end[0] - start[0], end[1] - start[1]
    length = hypot(x, y) or 1.0
    return -y / length, x / length


def _along(point: Point, direction: Point, distance: float) -> Point:
    return point[0] + direction[0] * distance, point[1] + direction[1] * distance


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _length(path: Sequence[Point]) -> float:
    return sum(hypot(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(path))


def _point_at(path: Sequence[Point], distance: float) -> Point:
    """Find the point at a distance along a path, or its end."""
    for start, end in pairwise(path):
        length = hypot(end[0] - start[0], end[1] - start[1])
        if distance <= length and length:
            return _between(start, end, distance / length)
        distance -= length
    return path[-1]


def _aside(path: Sequence[Point], distance: float) -> list[Point]:
    """Shift a path to its left."""
    shifted = [_along(start, _normal(start, end), distance) for start, end in pairwise(path)]
    return [*shifted, _along(path[-1], _normal(*path[-2:]), distance)]


def _mixed(first: Colour, second: Colour, share: float) -> Colour:
    r, g, b = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return r, g, b
