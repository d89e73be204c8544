from dataclasses import replace
from random import Random

import numpy as np
import pytest

from intersection.config import IntersectionConfig, parse
from intersection.detection import Channel, Detector, DetectorKind, Readings, empty_readings
from intersection.errors import UnknownNameError
from intersection.machine import advance, place_calls, show, start
from intersection.observation import Encoder, ObservationSpec, encode, kind, stage_mask
from intersection.shield import Proposal, Refused, review
from intersection.state import Display
from tests.intersection.documents import GOOD, RINGS

AREAS = tuple(Detector(id=f"area {n}", kind=DetectorKind.AREA, phases=(n,), length=100.0) for n in (1, 2))


def _with_detectors(text: str) -> IntersectionConfig:
    config = parse(text)
    return replace(config, detectors=(AREAS[0], Detector(id="loop", kind=DetectorKind.STOP_BAR, phases=(2,)), AREAS[1]))


CROSSING, RING = _with_detectors(GOOD), _with_detectors(RINGS)


def test_an_observation_kind_is_found_by_name() -> None:
    """Kinds are plug-ins; an unknown one names those there are."""
    assert (DetectorKind.AREA,) == kind("area").detectors
    with pytest.raises(UnknownNameError, match="known: area, lanes, loops"):
        kind("radar")


def test_every_value_has_its_place() -> None:
    """The vector of a signal in A with a call of phase 2, and the recall of phase 3, for 18 s."""
    spec = ObservationSpec(CROSSING, kind("area"))
    state = advance(place_calls(start(CROSSING.tables, 0, 0), CROSSING.tables, 0b010), None, 180, CROSSING.tables)
    readings = empty_readings(CROSSING.detectors)
    readings.values[Channel.COUNT] = [4.0, 9.0, 100.0]
    readings.values[Channel.QUEUE] = [2.0, 9.0, 50.0]
    readings.valid[2] = False
    vector = encode(spec, state, readings)
    storage = 100.0 / 7.5

    expected: list[float] = [1, 0, 0, 0]  # stage A, no transition
    expected += [1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]  # green, protected, yellow change, walk
    expected += [180 / 1200, 1, 180 / 1200, 0, 1, 1, 0, 0.1, 0.1, 0, 0, 0]  # time, vehicle call, its wait, pedestrian call
    expected += [4 / storage, 1, 2 / storage, 1, 1, 1, 1, 0]  # count, queue, speed, works
    assert spec.size == len(vector)
    assert pytest.approx(expected) == vector.tolist()


@pytest.mark.parametrize("observed", ["area", "loops", "lanes"])
def test_an_encoder_kept_over_a_run_tells_the_same_as_a_new_one(observed: str) -> None:
    """Two signals, one with pedestrians, over a random run: at each instant the kept vectors are those of fresh encoders, in 0..1."""
    random, configs = Random(3), (CROSSING, RING)
    specs = [ObservationSpec(config, kind(observed)) for config in configs]
    kept = Encoder(specs)
    states = [start(config.tables, 0, 0) for config in configs]
    for now in range(10, 6000, 35):
        readings = [_random_readings(config, random) for config in configs]
        for at, config in enumerate(configs):
            verdict = review(Proposal(stage=random.randrange(len(config.stages))), states[at], config.tables)
            command = None if isinstance(verdict, Refused) else verdict.command
            states[at] = advance(states[at], command, now, config.tables)
            states[at] = place_calls(states[at], config.tables, random.randrange(16), random.randrange(2))
        values = np.concatenate([each.values for each in readings], axis=1)
        valid = np.concatenate([each.valid for each in readings])

        for vector, spec, state, each in zip(kept.encode(states, values, valid), specs, states, readings, strict=True):
            assert encode(spec, state, each).tolist() == vector.tolist()
            assert 0.0 <= vector.min() <= vector.max() <= 1.0


def _random_readings(config: IntersectionConfig, random: Random) -> Readings:
    readings = empty_readings(config.detectors)
    readings.values[:] = [[random.uniform(0, 30) for _ in config.detectors] for _ in Channel]
    readings.valid[:] = [random.random() < 0.8 for _ in config.detectors]
    return readings


@pytest.mark.parametrize(("now", "mask"), [(0, [1, 0, 0]), (49, [1, 0, 0]), (50, [1, 1, 1])])
def test_a_mask_opens_what_the_gate_would_carry_out(now: int, mask: list[int]) -> None:
    """Before minimum green only the running stage is open, then every other, over another stage if need be."""
    state = advance(start(CROSSING.tables, 0, 0), None, now, CROSSING.tables)

    assert mask == stage_mask(state, CROSSING.tables)


def test_a_mask_leaves_a_transition_its_target_and_a_flash_its_stage() -> None:
    """In a transition only the target is open; in flash only what runs."""
    tables = CROSSING.tables
    state = advance(start(tables, 1, 0), None, 100, tables)
    verdict = review(Proposal(stage=2), state, tables)
    assert not isinstance(verdict, Refused)
    moving = advance(state, verdict.command, 110, tables)

    assert [False, False, True] == stage_mask(moving, tables)
    assert [False, True, False] == stage_mask(show(state, Display.FLASH), tables)
