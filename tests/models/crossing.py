"""A small crossing for the policies' tests: a main road whose left turn may also give way, and a side road."""

from collections.abc import Mapping

from intersection.compatibility import Compatibility, Stage
from intersection.config import IntersectionConfig
from intersection.detection import Channel, Detector, DetectorKind, Readings, empty_readings
from intersection.machine import place_calls, start
from intersection.observation import Observation
from intersection.phase import Phase, PhaseTiming, Tenths
from intersection.plan import Pattern
from intersection.state import IntersectionState

THROUGH, LEFT, SIDE = 0, 1, 2
"""The stages: main road with a left turn that gives way, protected left turn, side road."""

AREA, DEPARTURE, LOOPS = (DetectorKind.AREA,), (DetectorKind.DEPARTURE,), (DetectorKind.STOP_BAR, DetectorKind.ADVANCE)
BUTTON = (DetectorKind.PUSH_BUTTON,)
EVERYTHING = AREA + DEPARTURE + LOOPS + BUTTON


def crossing(*kinds: DetectorKind, patterns: bool = True, protected_left: bool = True) -> IntersectionConfig:
    """Make the configuration with the detectors of some kinds: `main`, `left` and `side` of each, `out` of departures.

    Pedestrians cross with the side road. Without a protected left turn it has no pattern and two stages.
    """
    vehicle = PhaseTiming(min_green=50, max_green=600, yellow_change=30)
    walking = PhaseTiming(min_green=50, max_green=600, yellow_change=30, walk=40, ped_clearance=60)
    named = {"main": (1,), "left": (2,), "side": (3,)}
    detectors = [
        Detector(id=f"{kind.value} {name}", kind=kind, phases=phases, length=200.0 if kind is DetectorKind.AREA else 2.0, distance=at)
        for kind, at in ((DetectorKind.AREA, 0.0), (DetectorKind.STOP_BAR, 1.0), (DetectorKind.ADVANCE, 40.0))
        for name, phases in named.items()
    ]
    detectors += [
        Detector(id="departure out", kind=DetectorKind.DEPARTURE, phases=(1,), length=75.0),
        Detector(id="departure away", kind=DetectorKind.DEPARTURE, phases=(2, 3), length=75.0),
        Detector(id="push_button side", kind=DetectorKind.PUSH_BUTTON, phases=(3,)),
    ]
    return IntersectionConfig(
        name="crossing",
        phases=(
            Phase(number=1, name="main", timing=vehicle),
            Phase(number=2, name="left", timing=vehicle),
            Phase(number=3, name="side", timing=walking),
        ),
        compatibility=Compatibility.of([(1, 2), (1, 3), (2, 3)], yields=[(2, 1)]),
        stages=(
            Stage(name="through", protected=frozenset({1}), permissive=frozenset({2})),
            *((Stage(name="left", protected=frozenset({2})),) if protected_left else ()),
            Stage(name="side", protected=frozenset({3})),
        ),
        detectors=tuple(detector for detector in detectors if detector.kind in kinds),
        patterns=(Pattern(number=1, name="plan", cycle=900, sequence=("through", "left", "side"), splits=(400, 200, 300)),)
        if patterns and protected_left
        else (),
    )


def readings(
    config: IntersectionConfig, seen: Mapping[str, Mapping[Channel, float]] | None = None, *, failed: tuple[str, ...] = ()
) -> Readings:
    """Make readings by the detectors' ids; those that are not named see nobody, those that failed say nothing."""
    made = empty_readings(config.detectors)
    values, valid = made.values, made.valid
    at = {detector.id: index for index, detector in enumerate(config.detectors)}
    for name, channels in (seen or {}).items():
        for channel, value in channels.items():
            values[channel, at[name]] = value
    for name in failed:
        values[:, at[name]] = 0.0
        valid[at[name]] = False
    return made


def area(count: float, queue: float = 0.0, speed: float = 13.89) -> dict[Channel, float]:
    """Say what an area detector sees: vehicles, standing ones among them, and their mean speed in m/s."""
    return {Channel.COUNT: count, Channel.QUEUE: queue, Channel.SPEED: speed}


def running(config: IntersectionConfig, stage: int, since: Tenths = 0, now: Tenths = 600) -> IntersectionState:
    """Make the state of a signal that has run a stage since an instant, without a call."""
    return start(config.tables, stage, since)._replace(now=now)


def called(state: IntersectionState, config: IntersectionConfig, since: Tenths, *phases: int, walkers: bool = False) -> IntersectionState:
    """Place calls of phases, or of their pedestrians, at an instant, and come back to the state's own."""
    mask = config.tables.mask(frozenset(phases))
    placed = place_calls(state._replace(now=since), config.tables, 0 if walkers else mask, mask if walkers else 0)
    return placed._replace(now=state.now)


def look(state: IntersectionState, seen: Readings) -> Observation:
    """Make what a policy is given."""
    return Observation(state, seen)
