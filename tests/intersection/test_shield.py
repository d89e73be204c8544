import pytest

from intersection.config import parse
from intersection.machine import advance, place_calls, show, start
from intersection.phase import Overlap, Tenths
from intersection.plan import Pattern
from intersection.shield import Amended, Command, Granted, Proposal, Reason, Refused, Verdict, due, ready, review, settled_until, walk_fits
from intersection.state import FOREVER, NEVER, NO_STAGE, Display, IntersectionState
from intersection.tables import Tables, bits
from tests.intersection.documents import GOOD, NEAR_AND_FAR, signal, stage

CONFIG = parse(GOOD)
TABLES = CONFIG.tables
A, B, C = range(3)
KEEP_B = Command(B, 0, 0)


@pytest.mark.parametrize("now", [0, 1, 49, 59, 60, 61, 300])
def test_a_green_lasts_its_minimum_to_the_tenth(now: int) -> None:
    """Phase 2 has 6 s of minimum green: at 5.9 s a move is held back, at 6.0 s it is granted."""
    state = advance(start(TABLES, B, 0), None, now, TABLES)
    expected = Granted(Command(A, 0, 0)) if now >= 60 else Amended(KEEP_B, Reason.MIN_GREEN)

    assert expected == review(Proposal(stage=A), state, TABLES)


@pytest.mark.parametrize("now", [109, 110])
def test_walk_and_clearance_are_served_to_the_tenth(now: int) -> None:
    """A walk of 5 s and a clearance of 6 s that began with the green hold it for 11 s."""
    state = advance(place_calls(start(TABLES, A, 0), TABLES, 0, 0b001), None, now, TABLES)
    verdict = review(Proposal(stage=C), state, TABLES)

    assert (Reason.PEDESTRIANS if now < 110 else None) == getattr(verdict, "reason", None)


def test_a_prohibited_move_goes_by_way_of_another_stage() -> None:
    """From A, B is reached over C."""
    state = advance(start(TABLES, A, 0), None, 200, TABLES)

    assert Amended(Command(C, 0, 0), Reason.PROHIBITED_MOVE) == review(Proposal(stage=B), state, TABLES)


def test_a_transition_is_not_changed() -> None:
    """While B becomes A, a proposal for A is granted and any other amended to A."""
    state = advance(start(TABLES, B, 0), Command(A, 0, 0), 20, TABLES)

    assert A == state.target
    assert Granted(Command(A, 0, 0)) == review(Proposal(stage=A), state, TABLES)
    assert Amended(Command(A, 0, 0), Reason.CLEARANCE) == review(Proposal(stage=C), state, TABLES)
    assert due(state, TABLES) == FOREVER


@pytest.mark.parametrize(
    ("proposal", "reason"),
    [
        (Proposal(stage=3), Reason.UNKNOWN_STAGE),
        (Proposal(stage=-1), Reason.UNKNOWN_STAGE),
        (Proposal(phases=frozenset()), Reason.UNKNOWN_STAGE),
        (Proposal(phases=frozenset({8})), Reason.UNKNOWN_STAGE),
        (Proposal(phases=frozenset({1, 2})), Reason.CONFLICT),
        (Proposal(phases=frozenset({1})), Reason.UNKNOWN_STAGE),
        (Proposal(stage=B, pattern=7), Reason.UNKNOWN_PATTERN),
        (Proposal(stage=B, not_after=199), Reason.EXPIRED),
    ],
)
def test_what_cannot_be_is_refused(proposal: Proposal, reason: Reason) -> None:
    """A proposal that names nothing real, conflicts or is too old is refused with its reason."""
    state = advance(start(TABLES, B, 0), None, 200, TABLES)

    assert Refused(reason) == review(proposal, state, TABLES)


def test_phases_name_their_stage() -> None:
    """Phases that are just those of a stage are as good as its index; a pattern's stage is granted in it."""
    state = advance(start(TABLES, B, 0), None, 200, TABLES)

    assert Granted(Command(C, 0, 0)) == review(Proposal(phases=frozenset({3})), state, TABLES)
    assert Granted(Command(C, 0, 1)) == review(Proposal(stage=C, pattern=1), state, TABLES)


@pytest.mark.parametrize("display", [Display.FLASH, Display.DARK])
def test_a_signal_that_flashes_is_left_alone(display: Display) -> None:
    """In flash or dark nothing is granted, and nothing is due."""
    state = show(place_calls(start(TABLES, B, 0), TABLES, 0b001), display)

    assert Refused(Reason.FLASH) == review(Proposal(stage=A), state, TABLES)
    assert due(state, TABLES) == FOREVER


def test_maximum_green_counts_from_the_conflicting_call() -> None:
    """A call of phase 1 at 20 s ends phase 2 at 110 s and not before, whatever is proposed."""
    state = place_calls(advance(start(TABLES, B, 0), None, 200, TABLES), TABLES, 0b001)
    just_before, then = (advance(state, None, now, TABLES) for now in (1099, 1100))

    assert Granted(KEEP_B) == review(Proposal(stage=B), just_before, TABLES)
    assert (NO_STAGE, 1100) == (just_before.target, then.left)


def test_a_call_too_old_goes_first() -> None:
    """Where a proposal would let a call wait beyond its maximum, the stage that serves the call comes instead."""
    state = place_calls(advance(start(TABLES, B, 0), None, 200, TABLES), TABLES, 0b001)
    late = state._replace(now=1_690, called=(0, -1, -1), calls=0b001, oldest=0)

    assert Amended(Command(A, 0, 0), Reason.MAX_WAIT) == review(Proposal(stage=C), late, TABLES)


@pytest.mark.parametrize(("now", "expected"), [(1_758, Granted(Command(1, 0, 0))), (1_759, Amended(Command(0, 0, 0), Reason.MAX_WAIT))])
def test_a_stage_that_would_serve_a_call_too_late_gives_way_to_a_nearer_one(now: int, expected: Granted | Amended) -> None:
    """Phase 1 may wait for 180 s; `far` takes 4.2 s to reach, `near` 3 s, and both serve it."""
    tables = parse(NEAR_AND_FAR).tables
    state = advance(place_calls(start(tables, 2, 0), tables, 0b0001), None, now, tables)

    assert expected == review(Proposal(stage=1), state, tables)


def test_pedestrians_of_the_running_stage_are_not_left_behind() -> None:
    """A walk that is overdue in the stage that runs keeps it, when nothing else waits."""
    state = advance(start(TABLES, A, 0), None, 1_900, TABLES)
    late = state._replace(ped_called=(0, -1, -1), ped_calls=0b001, oldest=0)

    assert Amended(Command(A, 0, 0), Reason.MAX_WAIT) == review(Proposal(stage=C), late, TABLES)


def test_an_overdue_call_waits_for_the_minimum_green() -> None:
    """However late a call is, the running stage has its minimum green first."""
    state = advance(start(TABLES, B, 3_000), None, 3_005, TABLES)
    late = state._replace(called=(0, -1, -1), calls=0b001, oldest=0)

    assert 3_060 == due(late, TABLES)


# Phases 1 to 4 all conflict, each with a stage of its own; every move takes 3 s, every service 5 s but for phase 2, whose walk takes 30 s.
FOUR = signal(
    *(stage(name, [number]) for number, name in enumerate("abcd", 1)),
    timings={1: {}, 2: {"walk": 100, "ped_clearance": 200}, 3: {}, 4: {}},
    conflicts=[(a, b) for a in range(1, 5) for b in range(a + 1, 5)],
    patterns=(
        Pattern(number=1, name="short", cycle=1_600, sequence=("a", "b", "c", "d"), splits=(400, 400, 400, 400)),
        Pattern(number=2, name="two", cycle=1_000, sequence=("a", "d"), splits=(500, 500)),
    ),
).tables

# Phase 4 walks with 1 and with 2, phase 3 conflicts with all of them.
KEPT = signal(
    stage("one", [1, 4]),
    stage("two", [2, 4]),
    stage("three", [3]),
    timings={1: {}, 2: {}, 3: {}, 4: {"max_green": 1_000, "walk": 40, "ped_clearance": 60}},
    conflicts=[(1, 2), (1, 3), (2, 3), (3, 4)],
).tables

# The left turn 3 only ever gives way to 1; phase 2 is the side street.
LEFT = signal(
    stage("main", [1], [3]),
    stage("main alone", [1]),
    stage("side", [2]),
    timings={1: {"max_green": 1_000}, 2: {"max_green": 700}, 3: {"max_wait": 2_000}},
    conflicts=[(1, 2), (1, 3), (2, 3)],
    yields=[(3, 1)],
).tables


PATIENT = signal(
    *LEFT.stages,
    timings={1: {}, 2: {}, 3: {"max_wait": 2_000}},
    conflicts=[(1, 2), (1, 3), (2, 3)],
    yields=[(3, 1)],
).tables


def calling(
    state: IntersectionState, *, since: dict[int, Tenths] | None = None, peds: dict[int, Tenths] | None = None
) -> IntersectionState:
    """Let groups, by index, wait since given instants."""
    called = tuple((since or {}).get(group, NEVER) for group in range(len(state.called)))
    ped_called = tuple((peds or {}).get(group, NEVER) for group in range(len(state.called)))
    return state._replace(
        called=called,
        ped_called=ped_called,
        calls=sum(1 << group for group in since or {}),
        ped_calls=sum(1 << group for group in peds or {}),
        oldest=min([*(since or {}).values(), *(peds or {}).values()], default=FOREVER),
    )


def at(state: IntersectionState, now: Tenths) -> IntersectionState:
    """Look at the same signal at another instant."""
    return state._replace(now=now)


def _told(ending: int, state: IntersectionState, tables: Tables) -> Reason | None:
    if state.now < state.arrived + tables.min_dwell:
        return Reason.MIN_GREEN
    for group in bits(ending):
        times = tables.groups[group]
        if state.now < state.began[group] + times.min_green:
            return Reason.MIN_GREEN
        if state.walked[group] != NEVER and state.now < state.walked[group] + times.pedestrian_time:
            return Reason.PEDESTRIANS
    return None


@pytest.mark.parametrize("tables", [TABLES, FOUR, KEPT, LEFT], ids=["good", "four", "kept", "left"])
def test_all_pairs_of_stages_are_held_at_every_boundary(tables: Tables) -> None:
    """From each stage to each other, a tenth before and after every minimum green, walk and clearance, just what still runs holds."""
    everyone = (1 << len(tables.phases)) - 1
    for source in range(len(tables.stages)):
        begun = place_calls(start(tables, source, 1_000), tables, 0, everyone & tables.green[source])
        times = {0, tables.min_dwell}
        for group in bits(tables.green[source]):
            times |= {tables.groups[group].min_green, tables.groups[group].pedestrian_time}
        for target in range(len(tables.stages)):
            hop = tables.next_hop[source][target]
            ending = tables.move(source, hop).ending
            for offset in sorted({max(0, time + step) for time in times for step in (-1, 0, 1)}):
                verdict = review(Proposal(stage=target), at(begun, 1_000 + offset), tables)
                held = None if source == target else _told(ending, at(begun, 1_000 + offset), tables)

                assert (source if held else hop) == verdict.command.stage  # type: ignore[union-attr]  # a stage that exists is never refused
                if held:
                    assert Amended(Command(source, 0, 0), held) == verdict


def test_a_wish_is_good_until_its_last_instant() -> None:
    """At `not_after` itself a proposal still counts."""
    state = at(start(TABLES, B, 0), 200)

    assert Granted(KEEP_B) == review(Proposal(stage=B, not_after=200), state, TABLES)
    assert Refused(Reason.EXPIRED) == review(Proposal(stage=B, not_after=199), state, TABLES)


def test_no_wish_means_what_runs() -> None:
    """Without a stage and phases the running stage, or the one that is being reached, is granted."""
    state = at(start(TABLES, B, 0), 200)

    assert Granted(KEEP_B) == review(Proposal(), state, TABLES)
    assert Granted(Command(A, 0, 0)) == review(Proposal(), advance(state, Command(A, 0, 0), 210, TABLES), TABLES)


def test_a_stage_outweighs_phases() -> None:
    """Where a proposal names both, the stage counts."""
    state = at(start(TABLES, B, 0), 200)

    assert Granted(Command(C, 0, 0)) == review(Proposal(stage=C, phases=frozenset({2})), state, TABLES)


def test_phases_are_those_of_vehicles_not_of_overlaps() -> None:
    """A stage is named by its phases; an overlap among them names no stage."""
    turn = Overlap(number=9, name="right turn", parents=frozenset({1}), yellow_change=30)
    tables = signal(stage("one", [1]), stage("two", [2]), timings={1: {}, 2: {}}, conflicts=[(1, 2)], overlaps=(turn,)).tables
    state = at(start(tables, 1, 0), 200)

    assert Granted(Command(0, 0, 0)) == review(Proposal(phases=frozenset({1})), state, tables)
    assert Refused(Reason.UNKNOWN_STAGE) == review(Proposal(phases=frozenset({1, 9})), state, tables)
    assert Refused(Reason.CONFLICT) == review(Proposal(phases=frozenset({2, 9})), state, tables)


@pytest.mark.parametrize(
    ("proposal", "expected"),
    [
        (Proposal(stage=3, pattern=2), Granted(Command(3, 0, 2))),
        (Proposal(stage=1, pattern=1), Granted(Command(1, 0, 1))),
        (Proposal(stage=1, pattern=2), Refused(Reason.UNKNOWN_PATTERN)),
        (Proposal(stage=1, pattern=3), Refused(Reason.UNKNOWN_PATTERN)),
        (Proposal(pattern=2), Granted(Command(0, 0, 2))),
        (Proposal(pattern=3), Refused(Reason.UNKNOWN_PATTERN)),
        (Proposal(phases=frozenset({2}), pattern=2), Granted(Command(1, 0, 2))),
    ],
)
def test_a_stage_runs_by_a_pattern_that_has_it(proposal: Proposal, expected: Verdict) -> None:
    """A pattern is granted with a stage of its sequence; where no stage is named, it need only exist."""
    assert expected == review(proposal, at(start(FOUR, 0, 0), 100), FOUR)


def test_a_running_transition_keeps_its_pattern() -> None:
    """What is amended or granted while a transition runs goes by the pattern that runs."""
    state = advance(at(start(FOUR, 0, 0), 100), Command(1, 0, 1), 110, FOUR)

    assert Granted(Command(1, 0, 1)) == review(Proposal(stage=1, pattern=1), state, FOUR)
    assert Amended(Command(1, 0, 1), Reason.CLEARANCE) == review(Proposal(stage=0), state, FOUR)


def test_the_splits_of_a_pattern_bound_its_greens() -> None:
    """A green of 40 s by pattern 1 ends with its split, while in free operation it may stay."""
    state = calling(start(FOUR, 0, 0), since={1: 0})
    kept = Command(0, 0, 1)

    assert Granted(kept) == review(Proposal(pattern=1), at(state, 399), FOUR)
    assert Amended(Command(1, 0, 1), Reason.MAX_GREEN) == review(Proposal(pattern=1), at(state, 400), FOUR)
    assert Granted(Command(0, 0, 0)) == review(Proposal(), at(state, 400), FOUR)
    assert 400 == due(state._replace(pattern=1), FOUR)
    assert 400 == settled_until(state._replace(pattern=1), FOUR)


def test_calls_are_served_in_the_order_in_which_each_must_be_done() -> None:
    """Phase 1 first, then 3, then 2, which may arrive sooner but takes longer: left at the last instant for all, and not before."""
    state = calling(start(FOUR, 3, 0), since={0: 0, 1: 100, 2: 120})

    assert 8_910 == due(state, FOUR)
    assert Granted(Command(3, 0, 0)) == review(Proposal(), at(state, 8_909), FOUR)
    assert Amended(Command(0, 0, 0), Reason.MAX_WAIT) == review(Proposal(), at(state, 8_910), FOUR)


def test_a_long_service_comes_last_where_it_can_wait() -> None:
    """Pedestrians of phase 2 called first, but phase 1 is served before their 30 s of walk and clearance begin."""
    state = calling(start(FOUR, 3, 0), since={0: 200}, peds={1: 0})

    assert 9_000 - 30 - 50 - 30 == due(state, FOUR)
    assert Amended(Command(0, 0, 0), Reason.MAX_WAIT) == review(Proposal(), at(state, 8_890), FOUR)


def test_what_leaves_most_time_goes_first() -> None:
    """From b, c is near, but far from a, since c is reached from a by way of b alone: so c comes first although it could wait longer."""
    tables = signal(
        stage("a", [1]),
        stage("b", [2]),
        stage("c", [3]),
        timings={1: {}, 2: {}, 3: {}},
        conflicts=[(1, 2), (1, 3), (2, 3)],
        prohibited_moves=(("a", "c"),),
    ).tables
    state = calling(start(tables, 1, 0), since={0: 0, 2: 10})

    assert 8_890 == due(state, tables)
    assert Amended(Command(2, 0, 0), Reason.MAX_WAIT) == review(Proposal(), at(state, 8_890), tables)


def test_a_stage_may_be_visited_while_the_waiting_calls_allow_it() -> None:
    """From d to c and from there to a in time, and not a tenth later: then a comes at once."""
    state = calling(start(FOUR, 3, 0), since={0: 0})
    latest = 9_000 - 30 - 50 - 30

    assert Granted(Command(2, 0, 0)) == review(Proposal(stage=2), at(state, latest), FOUR)
    assert Amended(Command(0, 0, 0), Reason.MAX_WAIT) == review(Proposal(stage=2), at(state, latest + 1), FOUR)


def test_what_the_proposed_stage_serves_waits_no_longer() -> None:
    """A visit to c serves its call; only what a needs counts then."""
    state = calling(start(FOUR, 3, 0), since={0: 100, 2: 50})
    latest = 9_100 - 30 - 50 - 30

    assert Granted(Command(2, 0, 0)) == review(Proposal(stage=2), at(state, 8_950), FOUR)
    assert Granted(Command(2, 0, 0)) == review(Proposal(stage=2), at(calling(state, since={0: 100, 2: 90}), latest), FOUR)


def test_when_no_other_stage_is_called_the_running_one_may_last() -> None:
    """Without a call, and with calls that the running stage serves itself, nothing is due."""
    alone = start(FOUR, 1, 0)

    assert [FOREVER, FOREVER] == [due(alone, FOUR), due(calling(alone, peds={1: 0}), FOUR)]
    assert Granted(Command(1, 0, 0)) == review(Proposal(), at(calling(alone, peds={1: 0}), 10_000), FOUR)


def test_a_pedestrian_who_came_too_late_for_this_green_comes_after_what_ends_it() -> None:
    """A walk that waits in the running stage is due again behind the stage that is called: both must be in time."""
    state = calling(start(FOUR, 1, 0), since={0: 500}, peds={1: 0})

    assert 9_000 - 30 - 50 - 30 == due(state, FOUR)
    assert Amended(Command(0, 0, 0), Reason.MAX_WAIT) == review(Proposal(), at(state, 8_890), FOUR)


@pytest.mark.parametrize(("now", "fits"), [(8_719, True), (8_720, True), (8_721, False)])
def test_a_walk_begins_in_a_green_if_the_others_can_wait_for_it(now: Tenths, fits: bool) -> None:
    """30 s of walk and clearance must be over when phase 1 needs the stage left; the pedestrian's own deadline does not count."""
    state = calling(start(FOUR, 1, 0), since={0: 50}, peds={1: 0})

    assert fits == walk_fits(at(state, now), 1, FOUR)


def test_a_walk_begins_in_a_green_if_its_maximum_allows_it() -> None:
    """Phase 4 may be green for 100 s after the call: 10 s before that a walk of 10 s still begins."""
    state = calling(start(KEPT, 0, 0), since={2: 20}, peds={3: 900})

    assert [True, False] == [walk_fits(at(state, now), 3, KEPT) for now in (920, 921)]
    assert walk_fits(at(calling(state, peds={3: 900}), 5_000), 3, KEPT)


def test_a_pedestrian_who_waits_for_a_clearance_holds_the_stage_that_goes_on() -> None:
    """Phase 4 goes on from `one` to `two`; while it clears and is called again, the move waits, for the walk begins where it ends."""
    state = place_calls(start(KEPT, 0, 0), KEPT, 0, 0b1000)
    again = place_calls(advance(state, None, 50, KEPT), KEPT, 0, 0b1000)

    assert Granted(Command(1, 0, 0)) == review(Proposal(stage=1), at(state, 60), KEPT)
    assert Amended(Command(0, 0, 0), Reason.PEDESTRIANS) == review(Proposal(stage=1), at(again, 99), KEPT)
    assert Granted(Command(1, 0, 0)) == review(Proposal(stage=1), advance(again, None, 100, KEPT), KEPT)
    assert [100, 50] == [ready(at(again, 60), KEPT, 0b0001), ready(at(state, 60), KEPT, 0b0001)]


def test_everything_that_ends_is_ready_together() -> None:
    """The shortest stay, each minimum green and each walk with its clearance."""
    state = start(KEPT, 0, 0)._replace(arrived=10, began=(20, NEVER, NEVER, 30), walked=(NEVER, NEVER, NEVER, 45))

    assert [60, 70, 145, 145] == [ready(state, KEPT, ending) for ending in (0, 0b0001, 0b1000, 0b1001)]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (919, Granted(Command(1, 0, 0))),
        (920, Granted(Command(1, 0, 0))),
        (921, Amended(Command(1, 0b1000, 0), Reason.MAX_GREEN)),
        (1_000, Amended(Command(1, 0b1000, 0), Reason.MAX_GREEN)),
    ],
)
def test_a_green_that_cannot_last_through_the_next_stage_restarts(now: Tenths, expected: Verdict) -> None:
    """Phase 4 may be green for 100 s after the call of 3; `two` takes 3 s to reach and may hold it for 10 s."""
    tables = signal(
        *KEPT.stages,
        timings={1: {}, 2: {}, 3: {}, 4: {"max_green": 1_050, "walk": 40, "ped_clearance": 60}},
        conflicts=[(1, 2), (1, 3), (2, 3), (3, 4)],
    ).tables
    state = calling(start(tables, 0, 0), since={2: 0})

    assert expected == review(Proposal(stage=1), at(state, now), tables)


def test_the_first_bound_that_is_reached_gives_the_reason() -> None:
    """A maximum green that is reached together with a maximum wait is told as such; a wait that is reached first as that."""
    state = calling(start(KEPT, 0, 0), since={2: 0})
    waits = {3: {"max_wait": 1_030}, 4: {"max_green": 1_000, "walk": 40, "ped_clearance": 60}}
    both = signal(*KEPT.stages, timings={1: {}, 2: {}} | waits, conflicts=[(1, 2), (1, 3), (2, 3), (3, 4)]).tables
    sooner = signal(
        *KEPT.stages, timings={1: {}, 2: {}} | waits | {3: {"max_wait": 1_029}}, conflicts=[(1, 2), (1, 3), (2, 3), (3, 4)]
    ).tables

    assert Amended(Command(2, 0, 0), Reason.MAX_GREEN) == review(Proposal(), at(state, 1_000), both)
    assert Amended(Command(2, 0, 0), Reason.MAX_WAIT) == review(Proposal(), at(state, 999), sooner)
    assert Granted(Command(0, 0, 0)) == review(Proposal(), at(state, 999), both)


def test_maximum_green_counts_from_the_start_of_a_green_that_came_after_the_call() -> None:
    """A call from before the green is as good as one from its first instant; pedestrians call too."""
    begun = start(KEPT, 0, 500)

    assert [1_500, 1_500, 1_600] == [
        due(calling(begun, since={2: 100}), KEPT),
        due(calling(begun, since={2: 500}), KEPT),
        due(calling(begun, since={2: 600}), KEPT),
    ]


def test_pedestrians_who_conflict_bound_a_green() -> None:
    """The walk of phase 4 waits since 20 s: phase 3 ends 900 s after that or when the walk's wait is over."""
    short = signal(
        *KEPT.stages,
        timings={1: {}, 2: {}, 3: {"max_green": 600}, 4: {"walk": 40, "ped_clearance": 60}},
        conflicts=[(1, 2), (1, 3), (2, 3), (3, 4)],
    ).tables

    assert 800 == due(calling(start(short, 2, 0), peds={3: 200}), short)


def test_an_only_permissive_turn_waits_from_the_end_of_its_last_green() -> None:
    """While the left turn is green it waits for nobody; from the end of that green on its maximum wait runs, and so does what it bounds."""
    running = calling(start(LEFT, 0, 0), since={2: 100})
    after = calling(start(LEFT, 2, 3_000), since={2: 100})._replace(ended=(NEVER, NEVER, 2_900))

    assert FOREVER == due(running, LEFT)
    assert 3_600 + 100 == due(calling(after, since={2: 3_000}), LEFT)
    assert 3_000 + 700 == due(after, LEFT)
    assert 2_900 + 2_000 - 30 == due(after, PATIENT)


def test_a_yellow_trap_is_told_and_closed() -> None:
    """From main with left turns to main alone, main ends too and restarts."""
    state = at(start(LEFT, 0, 0), 200)

    assert Amended(Command(1, 0, 0), Reason.YELLOW_TRAP) == review(Proposal(stage=1), state, LEFT)
    assert Granted(Command(2, 0, 0)) == review(Proposal(stage=2), state, LEFT)


def test_what_is_overdue_leaves_as_soon_as_it_may() -> None:
    """A minimum green that ends after the bound is waited for, and so is that of a green that is worn out only then."""
    state = calling(start(FOUR, 3, 8_960), since={0: 0})

    assert 9_010 == due(state, FOUR)
    assert 9_020 == due(at(state, 9_020), FOUR)
    assert Amended(Command(3, 0, 0), Reason.MIN_GREEN) == review(Proposal(), at(state, 9_009), FOUR)
    assert Amended(Command(0, 0, 0), Reason.MAX_WAIT) == review(Proposal(), at(state, 9_010), FOUR)


def test_a_call_that_a_yielding_green_answers_for_now_asks_for_no_other_stage() -> None:
    """Phase 3 only ever gives way; its call in "b" waits for nobody, although "a" would be the stage to serve it."""
    tables = signal(
        stage("a", [1], [3]),
        stage("b", [2], [3]),
        timings={1: {}, 2: {}, 3: {}},
        conflicts=[(1, 2), (1, 3), (2, 3)],
        yields=[(3, 1), (3, 2)],
    ).tables

    assert 0 == tables.rescue[2]
    assert FOREVER == due(place_calls(start(tables, 1, 0), tables, 0b100), tables)


@pytest.mark.parametrize("pedestrians", [False, True])
def test_of_the_calls_that_one_stage_serves_the_oldest_rules(pedestrians: bool) -> None:
    """Phases 1 and 3 are served together: when phase 3 calls after phase 1, the stage is left no later than for phase 1 alone."""
    patient = {"max_green": 9_000, "max_wait": 900, "ped_max_wait": 900}
    walks = {"walk": 40, "ped_clearance": 60}
    tables = signal(
        stage("a", [1, 3]),
        stage("b", [2]),
        timings={1: patient | walks, 2: patient, 3: patient | walks},
        conflicts=[(1, 2), (2, 3)],
    ).tables

    def calling(state: IntersectionState, mask: int) -> IntersectionState:
        return place_calls(state, tables, 0 if pedestrians else mask, mask if pedestrians else 0)

    alone = calling(start(tables, 1, 0), 0b001)
    both = calling(advance(alone, None, 50, tables), 0b101)

    assert due(alone, tables) == due(both, tables) < FOREVER


def test_a_stage_of_all_phases_is_found_by_them() -> None:
    """A proposal that names every phase there is goes to the stage that holds them all."""
    tables = signal(stage("all", [1, 2]), timings={1: {}, 2: {}}, conflicts=[]).tables

    assert Granted(Command(0, 0, 0)) == review(Proposal(phases=frozenset({1, 2})), start(tables, 0, 0), tables)
