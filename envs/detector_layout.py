"""Lays detectors out at a signal: for each controlled lane, for each lane that leads away, and for each crossing.

    stop:LANE       a loop whose middle lies 2 m before the stop line, where SUMO's first vehicle stands on it
    advance:LANE    a loop 3 s of travel upstream at the speed limit, one on each lane that leads there
    area:LANE       a radar or camera from the stop line upstream to the declared range
    departure:LANE  a radar or camera from the junction downstream, to the declared range or the next stop line
    button:EDGE     a push button of a crossing

Each calls every phase of its lane. A lane of links without a phase has no detector.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from envs.approaches import Segment, Streets
from envs.signal_links import Links
from intersection.detection import Detector, DetectorKind

STOP_BAR = 2.0
"""Where the middle of a stop-bar loop lies, in metres before the stop line."""

LOOP_LENGTH = 2.0
"""Of a loop along the lane, in metres."""

ADVANCE_TIME = 3.0
"""How long a vehicle at the speed limit travels from an advance loop to the stop line, in seconds."""

VEHICLE_SPACE = 7.5
"""Of a lane, that a standing vehicle takes with its gap, in metres."""


class Layout(NamedTuple):
    """Detectors, and what each covers in SUMO."""

    detectors: tuple[Detector, ...]
    segments: dict[str, tuple[Segment, ...]]


def lay_out(links: Links, phases: Sequence[Sequence[int]], streets: Streets, sensing_range: float) -> Layout:
    """Lay out the detectors of a signal.

    Args:
        links: of the signal.
        phases: the links of each phase, in the order of their numbers, from 1 on.
        streets: the lanes of the network.
        sensing_range: of areas and departures, in metres.
    """
    approaches: dict[str, list[int]] = {}
    departures: dict[str, list[int]] = {}
    buttons: dict[str, list[int]] = {}
    for number, own in enumerate(phases, 1):
        for link in own:
            if links.links[link].crossing:
                _call(buttons, links.links[link].to_lanes, number)
            else:
                _call(approaches, links.links[link].from_lanes, number)
                _call(departures, links.links[link].to_lanes, number)
    layout = Layout((), {})
    for lane, calls in approaches.items():
        layout = _with(layout, _area(lane, calls, streets, sensing_range))
    for lane, calls in approaches.items():
        layout = _with(layout, _loop(DetectorKind.STOP_BAR, lane, calls, streets, STOP_BAR))
    for lane, calls in approaches.items():
        _, span = streets.upstream(lane, ADVANCE_TIME * streets.speed[lane])
        if span > STOP_BAR + LOOP_LENGTH:
            layout = _with(layout, _loop(DetectorKind.ADVANCE, lane, calls, streets, span))
    for lane, calls in departures.items():
        layout = _with(layout, _departure(lane, calls, streets, sensing_range))
    for lane, calls in buttons.items():
        edge = lane.rpartition("_")[0]
        detector = Detector(id=f"button:{edge}", kind=DetectorKind.PUSH_BUTTON, phases=tuple(calls))
        layout = _with(layout, (detector, links.waiting_areas(lane)))
    return layout


def _call(lanes: dict[str, list[int]], own: Iterable[str], number: int) -> None:
    for lane in own:
        calls = lanes.setdefault(lane, [])
        if number not in calls:
            calls.append(number)


def _with(layout: Layout, made: tuple[Detector, Sequence[Segment]]) -> Layout:
    detector, segments = made
    return Layout((*layout.detectors, detector), {**layout.segments, detector.id: tuple(segments)})


def _area(lane: str, calls: Sequence[int], streets: Streets, reach: float) -> tuple[Detector, Sequence[Segment]]:
    segments, span = streets.upstream(lane, reach)
    detector = Detector(
        id=f"area:{lane}",
        kind=DetectorKind.AREA,
        phases=tuple(calls),
        length=span,
        speed_limit=streets.speed[lane],
        capacity=_capacity(segments),
    )
    return detector, segments


def _departure(lane: str, calls: Sequence[int], streets: Streets, reach: float) -> tuple[Detector, Sequence[Segment]]:
    segments, span = streets.downstream(lane, reach)
    detector = Detector(
        id=f"departure:{lane}",
        kind=DetectorKind.DEPARTURE,
        phases=tuple(calls),
        length=span,
        speed_limit=streets.speed[lane],
        capacity=_capacity(segments),
    )
    return detector, segments


def _loop(kind: DetectorKind, lane: str, calls: Sequence[int], streets: Streets, middle: float) -> tuple[Detector, Sequence[Segment]]:
    detector = Detector(
        id=f"{'stop' if kind is DetectorKind.STOP_BAR else 'advance'}:{lane}",
        kind=kind,
        phases=tuple(calls),
        distance=round(middle - LOOP_LENGTH / 2, 2),
        length=LOOP_LENGTH,
        speed_limit=streets.speed[lane],
    )
    return detector, streets.points_upstream(lane, middle)


def _capacity(segments: Sequence[Segment]) -> float:
    return round(sum(segment.end - segment.start for segment in segments) / VEHICLE_SPACE, 1)
