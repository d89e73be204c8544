"""A group is a phase or an overlap by its index; masks are written as binary numbers, the first group on the right."""

from typing import Any

import pytest

from intersection.compatibility import Intergreen, Stage
from intersection.errors import ConfigError
from intersection.phase import Overlap, Tenths
from intersection.plan import Pattern
from intersection.tables import Move, Tables, _longest_run, bits
from tests.intersection.documents import signal, stage

THREE = {1: {"red_clearance": 10}, 2: {"yellow_change": 40}, 3: {}}
ALL = [(1, 2), (1, 3), (2, 3)]
FOUR: dict[int, dict[str, int]] = {1: {}, 2: {}, 3: {}, 4: {}}
EACH = [(a, b) for a in FOUR for b in FOUR if a < b]
ROUND = [("a", "c"), ("a", "d"), ("b", "a"), ("b", "d"), ("c", "a"), ("c", "b"), ("d", "b"), ("d", "c")]


def tables(*stages: Stage, **given: Any) -> Tables:
    """Compile a signal of three phases that all conflict, unless other ones are given."""
    return signal(*stages, **{"timings": THREE, "conflicts": ALL} | given).tables


def four(**given: Any) -> Tables:
    """Compile a signal of four phases that all conflict, each with a stage of its own."""
    stages = (stage(name, [number]) for number, name in enumerate("abcd", 1))
    return signal(*stages, **{"timings": FOUR, "conflicts": EACH} | given).tables


@pytest.mark.parametrize(("mask", "indices"), [(0, []), (1, [0]), (0b1010_0001, [0, 5, 7])])
def test_bits_are_told_lowest_first(mask: int, indices: list[int]) -> None:
    """The indices of the set bits, in order."""
    assert tuple(indices) == bits(mask)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (0, 1, Move(0b001, 40, (30, 40))),
        (1, 2, Move(0b010, 40, (40,))),
        (2, 0, Move(0b100, 30, (30,))),
        (0, 0, Move(0, 0, ())),
    ],
)
def test_a_move_takes_the_yellow_and_red_clearance_of_what_ends(source: int, target: int, expected: Move) -> None:
    """Without declared intergreens a move lasts as long as the longest clearance, and is marked where a lamp changes."""
    made = tables(stage("one", [1]), stage("two", [2]), stage("three", [3]))

    assert expected == made.move(source, target)


def test_an_intergreen_of_a_pair_holds_back_its_start_alone() -> None:
    """7 s from phase 1 to phase 2; phase 3 starts after the 4 s of yellow change and red clearance."""
    between = (Intergreen(ending=1, starting=2, time=70),)
    made = tables(stage("one", [1]), stage("two", [2]), stage("three", [3]), intergreens=between)

    assert Move(0b001, 70, (30, 40, 70)) == made.move(0, 1)
    assert Move(0b001, 40, (30, 40)) == made.move(0, 2)


def test_a_green_of_both_stages_goes_on() -> None:
    """Phase 3 is in both stages and does not end, unless it is told to: then it restarts at the arrival."""
    made = tables(stage("one", [1, 3]), stage("two", [2, 3]), conflicts=[(1, 2)])

    assert Move(0b001, 40, (30, 40)) == made.move(0, 1)
    assert Move(0b101, 40, (30, 40)) == made.move(0, 1, clear=0b100)
    assert Move(0b001, 40, (30, 40)) == made.move(0, 1, clear=0b010)


def test_a_restart_is_seen_even_where_nothing_clears() -> None:
    """A crossing without yellow change and red clearance that restarts shows a tenth of a second without a walk."""
    crossing = {"yellow_change": 0, "walk": 40, "ped_clearance": 60}
    made = signal(
        stage("one", [1]),
        stage("both", [1, 2]),
        timings={1: crossing, 2: crossing},
        conflicts=[],
        flags={1: {"vehicle": False}, 2: {"vehicle": False}},
    ).tables

    assert Move(0b01, 1, (1,)) == made.move(0, 1, clear=0b01)
    assert Move(0b10, 0, ()) == made.move(1, 0)


def test_the_yellow_trap_is_closed() -> None:
    """A permissive phase that ends takes along the opposing one that it gives way to, which restarts; and this is told."""
    made = tables(stage("with left", [1], [3]), stage("through", [1]), stage("two", [2]), stage("three", [3]), yields=[(3, 1)])

    assert Move(0b101, 40, (30, 40)) == made.move(0, 1)
    assert [True, False] == [made.trapped[0][1], made.trapped[0][2]]


def test_a_trap_behind_a_trap_is_closed_too() -> None:
    """Phase 3 gives way to phase 2, which gives way to phase 1: with 3 all end."""
    made = tables(
        stage("all", [1], [2, 3]), stage("two of them", [1], [2]), stage("two", [2]), stage("three", [3]), yields=[(3, 2), (2, 1), (3, 1)]
    )

    assert 0b111 == made.move(0, 1).ending


def test_a_green_becomes_protected_when_its_foes_are_clear() -> None:
    """From permissive to protected phase 3 stays green, and the stage arrives when the intergreen from phase 1 is over."""
    between = (Intergreen(ending=1, starting=3, time=65),)
    made = tables(stage("with left", [1], [3]), stage("left", [3]), stage("two", [2]), yields=[(3, 1)], intergreens=between)

    assert Move(0b001, 65, (30, 40, 65)) == made.move(0, 1)


def test_a_green_that_loses_its_protection_to_a_foe_ends() -> None:
    """From protected to permissive beside phase 1 phase 3 ends first; where no foe comes it stays green."""
    made = tables(stage("with left", [1], [3]), stage("left", [3]), stage("nobody", [], [3]), stage("two", [2]), yields=[(3, 1)])

    assert Move(0b100, 30, (30,)) == made.move(1, 0)
    assert Move(0, 0, ()) == made.move(1, 2)


def test_an_overlap_is_green_with_any_parent_and_from_one_to_the_next() -> None:
    """A right turn is green with phases 1 and 2, stays so between them, and ends before phase 3."""
    turn = Overlap(number=9, name="right turn", parents=frozenset({1, 2}), yellow_change=35, red_clearance=15)
    made = tables(stage("one", [1]), stage("two", [2]), stage("three", [3]), overlaps=(turn,))

    assert (0b1001, 0b1010, 0b0100) == made.green
    assert (0b1001, 0b1010, 0b0100) == made.protected
    assert (0b0110, 0b0101, 0b1011, 0b0100) == made.conflicts
    assert Move(0b0001, 40, (30, 40)) == made.move(0, 1)
    assert Move(0b1001, 50, (30, 35, 40, 50)) == made.move(0, 2)
    assert (50, 18_000, 35, 15) == made.groups[3][2:6]


def test_an_overlap_that_ends_takes_its_parents_along() -> None:
    """An overlap that must restart is not red beside a green parent."""
    turn = Overlap(number=9, name="right turn", parents=frozenset({1}), yellow_change=35)
    made = tables(stage("one", [1]), stage("both", [1, 3]), stage("two", [2]), conflicts=[(1, 2), (2, 3)], overlaps=(turn,))

    assert 0b1001 == made.move(0, 1, clear=0b1000).ending
    assert 0b0001 == made.move(0, 1, clear=0b0001).ending


def test_an_overlap_gives_way_when_all_its_green_parents_do() -> None:
    """Beside phase 1 the left turn and its overlap are permissive; with the protected parent 2 the overlap is protected."""
    turn = Overlap(number=9, name="left overlap", parents=frozenset({2, 3}), yellow_change=30)
    made = tables(
        stage("with left", [1], [3]),
        stage("protected parent", [2], [3]),
        stage("three", [3]),
        conflicts=[(1, 2), (1, 3), (1, 9)],
        yields=[(3, 1), (9, 1)],
        overlaps=(turn,),
    )

    assert (0b1100, 0b0100, 0) == made.permissive
    assert (0b0001, 0b1010, 0b1100) == made.protected
    assert (0, 0, 0b0001, 0b0001) == made.yields


def test_what_never_is_protected_is_known() -> None:
    """Phase 3 only ever is permissive: its green serves it in the tables, since nothing better will come."""
    made = tables(stage("with left", [1], [3]), stage("two", [2]), yields=[(3, 1)])

    assert 0b100 == made.only_permissive
    assert (0b101, 0b010) == made.serves
    assert (0, 1, 0, -1, -1, -1) == made.rescue


def test_pedestrians_are_served_by_any_green() -> None:
    """Walks stand above the vehicle calls in the masks; a crossing has no vehicle call."""
    walks = {"walk": 40, "ped_clearance": 60}
    made = signal(
        stage("one", [1]),
        stage("two", [2], [1]),
        timings={1: walks, 2: {"yellow_change": 0} | walks},
        conflicts=[(1, 2)],
        yields=[(1, 2)],
        flags={2: {"vehicle": False, "ped_recall": True}, 1: {"min_recall": True}},
    ).tables

    assert (0b0101, 0b1100) == made.serves
    assert (0b11, 0b01) == (made.pedestrians, made.vehicles)
    assert (0b01, 0b10) == (made.vehicle_recall, made.ped_recall)
    assert (100, 100) == made.service


def test_each_call_has_the_stage_that_serves_most() -> None:
    """The stages that must serve are chosen greedily: `both` comes before `one`, which only serves what is served already."""
    made = tables(stage("one", [1]), stage("both", [1, 3]), stage("two", [2]), conflicts=[(1, 2), (2, 3)])

    assert (1, 2, 1, -1, -1, -1) == made.rescue


def test_the_shortest_minimum_green_is_the_shortest_stay() -> None:
    """No stage is left before the shortest minimum green of all phases; a stage is held for its longest at most."""
    made = tables(stage("one", [1, 3]), stage("two", [2]), timings={1: {"min_green": 40}, 2: {"min_green": 60}, 3: {}}, conflicts=[(1, 2)])

    assert (40, (50, 60)) == (made.min_dwell, made.service)


def test_the_way_round_prohibited_moves_is_known() -> None:
    """Where only a, b, c, d, a is permitted, d is reached from a over b and c, each held for its minimum green."""
    made = four(prohibited_moves=tuple(ROUND))

    assert ((0, 30, 110, 190), (190, 0, 30, 110), (110, 190, 0, 30), (30, 110, 190, 0)) == made.travel
    assert ((0, 1, 1, 1), (2, 1, 2, 2), (3, 3, 2, 3), (0, 0, 0, 3)) == made.next_hop
    assert (190, 190, 190, 190) == made.arrive
    assert 5 * (190 + 50) == made.round_trip


def test_of_two_ways_round_the_shorter_is_taken() -> None:
    """From a to d over c with 5 s of green rather than over b with 20 s; a permitted move is taken straight."""
    made = four(timings=FOUR | {2: {"min_green": 200}}, prohibited_moves=(("a", "d"),))

    assert (2, 110) == (made.next_hop[0][3], made.travel[0][3])
    assert (1, 30) == (made.next_hop[0][1], made.travel[0][1])


def test_a_wait_holds_one_commitment_and_a_whole_round() -> None:
    """Each of four stages takes 3 s to reach and 5 s to serve: a call is served within five of them, less its own service."""
    made = four()

    assert (400, 350) == (made.round_trip, made.longest_wait(0))
    assert {0: 8_600} == made.patience


def test_a_configuration_may_promise_just_the_wait_that_it_can_keep() -> None:
    """35 s are the shortest maximum wait that can be kept; a tenth less is refused."""
    assert {0: -50} == four(timings=FOUR | {3: {"max_wait": 350}}).patience
    with pytest.raises(ConfigError, match="allowed: 350 or more"):
        four(timings=FOUR | {3: {"max_wait": 349}})


@pytest.mark.parametrize(
    ("splits", "longest"),
    [([10, 0, 20, 30, 0], 50), ([10, 0, 20], 30), ([10, 20], 30), ([0, 0], 0), ([0, 7], 7), ([5, 0, 3, 0], 5), ([5, 6, 0, 3], 14)],
)
def test_neighbouring_splits_last_together(splits: list[Tenths], longest: Tenths) -> None:
    """The last split and the first are neighbours too, and no time counts twice."""
    assert longest == _longest_run(splits)


def test_a_pattern_bounds_greens_by_its_splits() -> None:
    """Phase 3 is green in two neighbouring stages, phase 1 and 2 in one each; without a stage of it, free operation's maximum holds."""
    day = Pattern(number=4, name="day", cycle=900, sequence=("one", "two"), splits=(500, 400))
    half = Pattern(number=5, name="half", cycle=400, sequence=("one",), splits=(400,))
    made = tables(stage("one", [1, 3]), stage("two", [2, 3]), conflicts=[(1, 2)], patterns=(day, half))

    assert {0: (9_000,) * 3, 4: (500, 400, 900), 5: (400, 9_000, 400)} == made.max_green
    assert {0: 9_000 - made.round_trip, 4: 400, 5: 400} == made.patience


def test_a_pattern_answers_only_for_the_stages_that_it_can_come_to() -> None:
    """The split of "two" is too short for "extra", which no pattern holds and no call needs; in free operation every stage counts."""
    day = Pattern(number=4, name="day", cycle=500, sequence=("one", "two"), splits=(360, 140))
    stages = (stage("one", [1, 4]), stage("two", [2, 3]), stage("extra", [2, 4]))
    long_fourth: dict[int, dict[str, int]] = {1: {}, 2: {}, 3: {}, 4: {"min_green": 300}}
    made = tables(*stages, timings=long_fourth, conflicts=[(1, 2), (1, 3), (3, 4)], patterns=(day,))

    assert {0: (0, 1, 2), 4: (0, 1)} == made.reachable


def test_a_group_is_found_by_its_number() -> None:
    """Numbers of phases and overlaps become masks of indices."""
    turn = Overlap(number=9, name="right turn", parents=frozenset({1, 2}), yellow_change=35)
    made = tables(stage("one", [1]), stage("two", [2]), stage("three", [3]), overlaps=(turn,))

    assert ({1: 0, 2: 1, 3: 2, 9: 3}, 0b1010, 4) == (made.index, made.mask(frozenset({2, 9})), made.size)
