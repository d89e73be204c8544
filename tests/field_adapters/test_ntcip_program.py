"""A configuration stands in a cabinet of NTCIP 1202, or is refused with its cause."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from field_adapters.ntcip_program import Method, NtcipProgram, Output, OutputKind, PhaseTimes, Unsuitable, program_of
from intersection.compatibility import Intergreen
from intersection.config import IntersectionConfig
from intersection.detection import Detector, DetectorKind
from intersection.phase import Overlap
from tests.field_adapters.ntcip_script import crossroads, dual_ring, loop_at, suitable
from tests.intersection.documents import signal, stage

SHORT = {"max_green": 600}


def cause(config: IntersectionConfig, method: Method) -> str:
    """Give the cause for which a configuration is refused."""
    found = program_of(config, method)
    return found.cause if isinstance(found, Unsuitable) else ""


def test_a_stage_is_a_phase_and_a_group_an_overlap() -> None:
    """By STAGES there is one ring, phase n is stage n, and each group is an overlap of the stages that hold it."""
    program = suitable(crossroads(), Method.STAGES)

    assert (
        NtcipProgram(
            method=Method.STAGES,
            rings=(((1, 2, 3),),),
            stages=(frozenset({1}), frozenset({2}), frozenset({3})),
            outputs=tuple(Output(kind=OutputKind.OVERLAP, number=number) for number in (1, 2, 3, 4)),
            overlaps=(frozenset({1, 2}), frozenset({1}), frozenset({2}), frozenset({3})),
            times=dict.fromkeys((1, 2, 3), PhaseTimes(min_green=5, max_green=60, walk=0, ped_clear=0, yellow=30, red=10)),
            detectors={"loop 1": 1, "loop 2": 2, "loop 3": 3, "loop 4": 4},
            buttons={},
            calls={"loop 1": 1, "loop 2": 1, "loop 3": 2, "loop 4": 3},
        )
        == program
    )


def test_a_dual_ring_is_found_again() -> None:
    """By RINGS the phases keep their numbers, and rings and barriers follow from what runs together."""
    program = suitable(dual_ring(), Method.RINGS)

    assert (((1, 2), (3, 4)), ((5, 6), (7, 8))) == program.rings
    assert (frozenset({1, 5}), frozenset({1, 6})) == program.stages[:2]
    assert (2, frozenset({5, 6}), (5, 6, 7, 8)) == (program.ring_of(6), program.concurrent(1), program.sequence(1))
    assert frozenset({2, 4, 6, 8}) == program.walking
    assert ({"button 2": 1}, 2, 1) == (program.buttons, program.calls["button 2"], program.phase_of(0))


def test_groups_of_one_phase_share_it() -> None:
    """Groups that are green in the same stages are one phase, its pedestrians those of a crossing of its own."""
    walk = {"walk": 50, "ped_clearance": 50, "yellow_change": 0, "red_clearance": 30, "max_green": 600}
    config = signal(
        stage("A", [1, 2, 9]),
        stage("B", [4]),
        timings={1: SHORT, 2: SHORT, 4: SHORT, 9: walk},
        conflicts=[(1, 4), (2, 4), (4, 9)],
        flags={9: {"vehicle": False}},
    )
    program = suitable(config, Method.RINGS)

    assert (((1,), (2,)),) == program.rings
    assert [1, 1, 2, 1] == [output.number for output in program.outputs]
    assert PhaseTimes(min_green=5, max_green=60, walk=5, ped_clear=5, yellow=30, red=0) == program.times[1]


def test_overlaps_keep_their_parents() -> None:
    """By RINGS an overlap of the configuration is one of the cabinet."""
    overlap = Overlap(number=20, name="right turn", parents=frozenset({2, 3}), yellow_change=30)
    program = suitable(dual_ring(overlaps=(overlap,)), Method.RINGS)

    assert (frozenset({2, 3}),) == program.overlaps
    assert Output(kind=OutputKind.OVERLAP, number=1) == program.outputs[-1]


def test_a_green_that_must_end_between_two_of_its_stages_is_noted() -> None:
    """An overlap does not end between two of its parents by itself: the cabinet's engineer is told."""
    config = signal(
        stage("left", [2]),
        stage("both", [1], [2]),
        stage("cross", [3]),
        timings=dict.fromkeys((1, 2, 3), SHORT),
        conflicts=[(1, 2), (1, 3), (2, 3)],
        yields=[(2, 1)],
    )
    program = suitable(config, Method.STAGES)

    assert ["overlap 2 (phase 2) must end before it goes on as permissive: its heads need an interlock"] == list(program.notes)


def two(first: dict[str, int], second: dict[str, int] | None = None, **more: Any) -> IntersectionConfig:
    """Make a signal of two phases in two stages."""
    return signal(stage("A", [1]), stage("B", [2]), timings={1: SHORT | first, 2: SHORT | (second or {})}, conflicts=[(1, 2)], **more)


def many(count: int) -> IntersectionConfig:
    """Make a signal of so many phases, each its own stage."""
    numbers = range(1, count + 1)
    pairs = [(a, b) for a in numbers for b in numbers if a < b]
    return signal(*(stage(str(n), [n]) for n in numbers), timings=dict.fromkeys(numbers, SHORT), conflicts=pairs)


def together(count: int) -> IntersectionConfig:
    """Make a signal of so many groups in one stage, and one in another."""
    numbers = range(1, count + 1)
    cross = count + 1
    conflicts = [(n, cross) for n in numbers]
    return signal(stage("A", numbers), stage("B", [cross]), timings=dict.fromkeys((*numbers, cross), SHORT), conflicts=conflicts)


WALK = {"walk": 50, "ped_clearance": 50}

EITHER: dict[str, tuple[Callable[[], IntersectionConfig], str]] = {
    "prohibited move": (lambda: crossroads(prohibited_moves=(("A", "C"),)), "move from 'A' to 'C' is prohibited"),
    "half seconds of green": (lambda: two({"min_green": 55}), "minimum green of group 1 .* 5.5 s; .* whole seconds"),
    "half seconds of walk": (lambda: two({"walk": 55, "ped_clearance": 50}), "walk of group 1 .* whole seconds"),
    "half seconds of clearance": (lambda: two({"walk": 50, "ped_clearance": 55}), "pedestrian clearance of group 1 .* whole seconds"),
    "long minimum": (lambda: two({"min_green": 2600, "max_green": 8000}, {"max_green": 8000}), "counts to 255 s"),
    "long maximum": (lambda: two({"max_green": 2600}), "maximum green of group 1 .* 260.0 s; .* counts to 255 s"),
    "long yellow": (lambda: two({"yellow_change": 300}, {"max_green": 800}), "clearance of group 1 .* above 25.5 s"),
    "times by pair": (
        lambda: two({}, intergreens=(Intergreen(ending=1, starting=2, time=45),)),
        "intergreen from 1 to 2 is 4.5 s, .* together 3.0 s; a cabinet has no times by pair",
    ),
    "loops": (
        lambda: crossroads(detectors=tuple(replace(loop_at(1), id=str(number)) for number in range(256))),
        "256 loops; a cabinet numbers 255",
    ),
}


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("name", EITHER)
def test_what_no_cabinet_holds_is_refused_with_its_cause(name: str, method: Method) -> None:
    """Whatever a cabinet's tables cannot say is refused by both methods."""
    make, words = EITHER[name]

    found = cause(make(), method)

    assert re.search(words, found), found


STAGES: dict[str, tuple[Callable[[], IntersectionConfig], str]] = {
    "stages": (lambda: many(17), "17 stages; a cabinet has 16 phases"),
    "groups": (lambda: together(16), "17 signal groups; a cabinet has 16 overlaps"),
    "pedestrians": (lambda: two(WALK), "pedestrians walk with group 1"),
    "minimum greens": (lambda: two({"min_green": 60}), "minimum green differs: group 1 .* 6.0 s, group 2 .* 5.0 s"),
    "yellows": (
        lambda: signal(
            stage("A", [1, 2]), stage("B", [3]), timings={1: SHORT, 2: SHORT | {"yellow_change": 40}, 3: SHORT}, conflicts=[(1, 3), (2, 3)]
        ),
        "yellow change differs within stage 'A'",
    ),
    "reds": (
        lambda: signal(
            stage("A", [1, 2]), stage("B", [3]), timings={1: SHORT, 2: SHORT | {"red_clearance": 10}, 3: SHORT}, conflicts=[(1, 3), (2, 3)]
        ),
        "red clearance differs within stage 'A'",
    ),
    "a stage within another": (
        lambda: signal(
            stage("A", [1]), stage("B", [1, 2]), stage("C", [3]), timings=dict.fromkeys((1, 2, 3), SHORT), conflicts=[(1, 3), (2, 3)]
        ),
        "no green ends from stage 'A' to 'B'",
    ),
}


@pytest.mark.parametrize("name", STAGES)
def test_what_one_ring_of_stages_cannot_is_refused_with_its_cause(name: str) -> None:
    """Whatever one ring would time otherwise than the gate expects is refused."""
    make, words = STAGES[name]

    found = cause(make(), Method.STAGES)

    assert re.search(words, found), found


def rings_of(yellow: int, **more: Any) -> IntersectionConfig:
    """Make one side of a dual ring, in which phase 6 has a yellow of its own."""
    names = ((1, 5), (1, 6), (2, 5), (2, 6))
    timings = {1: SHORT, 2: SHORT, 5: SHORT, 6: SHORT | {"yellow_change": yellow}}
    return signal(*(stage(f"{a}+{b}", [a, b]) for a, b in names), timings=timings, conflicts=[(1, 2), (5, 6)], **more)


RINGS: dict[str, tuple[Callable[[], IntersectionConfig], str]] = {
    "numbers": (lambda: many(17), "phase 17; a cabinet numbers them 1 to 16"),
    "three rings": (
        lambda: signal(
            stage("A", [1, 2]),
            stage("B", [2, 3]),
            stage("C", [1, 3]),
            stage("D", [4]),
            timings=dict.fromkeys((1, 2, 3, 4), SHORT),
            conflicts=[(1, 4), (2, 4), (3, 4)],
        ),
        "phases . and . run together, and two rings have no room for both",
    ),
    "conflict across rings": (
        lambda: signal(
            stage("A", [1, 5]),
            stage("B", [1, 6]),
            stage("C", [2, 6]),
            timings=dict.fromkeys((1, 2, 5, 6), SHORT),
            conflicts=[(1, 2), (5, 6), (2, 5)],
        ),
        "groups 2 and 5 conflict, and a cabinet may run phases 2 and 5 together",
    ),
    "crossing alone": (
        lambda: two(WALK | {"yellow_change": 0}, flags={1: {"vehicle": False}}),
        "phase 1 has no vehicle indication",
    ),
    "clearance of a crossing": (
        lambda: signal(
            stage("A", [1, 9]),
            stage("B", [2]),
            timings={1: SHORT, 2: SHORT, 9: SHORT | WALK | {"yellow_change": 0, "red_clearance": 40}},
            conflicts=[(1, 2), (2, 9)],
            flags={9: {"vehicle": False}},
        ),
        "group 9 .* is cleared for longer than the vehicles within phase 1",
    ),
    "overlaps": (
        lambda: dual_ring(overlaps=tuple(Overlap(number=20 + n, name="x", parents=frozenset({2}), yellow_change=30) for n in range(17))),
        "17 overlaps; a cabinet has 16",
    ),
    "overlap's yellow": (
        lambda: dual_ring(overlaps=(Overlap(number=20, name="x", parents=frozenset({2}), yellow_change=40),)),
        "overlap 20 is cleared otherwise than its parent 2",
    ),
    "rings that begin apart": (lambda: rings_of(40), "the rings would not begin together from stage '1\\+6' to '2\\+5'"),
    "a green that ends between two stages": (
        lambda: signal(
            stage("A", [2]),
            stage("B", [1], [2]),
            stage("C", [3]),
            timings=dict.fromkeys((1, 2, 3), SHORT),
            conflicts=[(1, 2), (1, 3), (2, 3)],
            yields=[(2, 1)],
        ),
        "group 2 .* would have to end and begin again from stage 'A' to 'B'",
    ),
}


@pytest.mark.parametrize("name", RINGS)
def test_what_a_dual_ring_cannot_is_refused_with_its_cause(name: str) -> None:
    """Whatever a dual ring would show otherwise than the gate expects is refused."""
    make, words = RINGS[name]

    found = cause(make(), Method.RINGS)

    assert re.search(words, found), found


def test_rings_that_cross_a_barrier_may_clear_apart() -> None:
    """Across a barrier both rings begin together, so their clearances may differ there."""
    timings = {1: SHORT, 5: SHORT | {"yellow_change": 40}, 2: SHORT, 6: SHORT}
    config = signal(stage("A", [1, 5]), stage("B", [2, 6]), timings=timings, conflicts=[(1, 2), (1, 6), (2, 5), (5, 6)])

    assert (((1,), (2,)), ((5,), (6,))) == suitable(config, Method.RINGS).rings


def test_a_detector_that_calls_nobody_is_numbered_all_the_same() -> None:
    """A loop without a phase counts; radar and cameras have no number on this wire."""
    silent = Detector(id="count", kind=DetectorKind.ADVANCE)
    radar = Detector(id="radar", kind=DetectorKind.AREA, phases=(1,))
    program = suitable(crossroads(detectors=(radar, silent)), Method.STAGES)

    assert ({"count": 1}, {}) == (program.detectors, program.calls)


def test_an_intergreen_that_is_the_cabinets_own_is_no_obstacle() -> None:
    """A time by pair that equals yellow change and red clearance says nothing new."""
    config = two({}, intergreens=(Intergreen(ending=1, starting=2, time=30),))

    assert "" == cause(config, Method.STAGES)
