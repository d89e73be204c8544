import pytest

from intersection.config import parse
from intersection.detection import Detector, DetectorKind
from intersection.machine import advance, interval_of, next_change, ped_interval_of, phase_states, place_calls, show, start
from intersection.phase import Tenths
from intersection.plan import Pattern
from intersection.shield import Command, due
from intersection.state import FOREVER, FREE, NEVER, NO_STAGE, Display, IntersectionState, Interval, PedInterval, PhaseState
from tests.intersection.documents import GOOD, signal, stage

TABLES = parse(GOOD).tables
A, B, C = range(3)


def test_time_runs_forward() -> None:
    """An instant before the state is refused."""
    with pytest.raises(ValueError, match="time runs forward"):
        advance(start(TABLES, A, 10), None, 9, TABLES)


@pytest.mark.parametrize(
    ("now", "interval"),
    [(0, Interval.YELLOW_CHANGE), (39, Interval.YELLOW_CHANGE), (40, Interval.RED), (99, Interval.RED)],
)
def test_a_green_ends_by_yellow_to_the_tenth(now: int, interval: Interval) -> None:
    """Phase 2 has 4 s of yellow and no red clearance."""
    state = advance(start(TABLES, B, 0), Command(A, 0, 0), now, TABLES)

    assert interval is interval_of(state, 1, TABLES)[0]


def test_red_clearance_follows_the_yellow() -> None:
    """Phase 1 shows 3 s of yellow and 1 s of red clearance; an intergreen of 5.5 s holds back phase 2 until then."""
    state = advance(start(TABLES, A, 0), Command(B, 0, 0), 35, TABLES)

    assert (Interval.RED_CLEARANCE, 30) == interval_of(state, 0, TABLES)
    assert Interval.RED is interval_of(advance(state, None, 54, TABLES), 1, TABLES)[0]
    assert (Interval.GREEN, 55) == interval_of(advance(state, None, 55, TABLES), 1, TABLES)


def test_changes_are_foretold() -> None:
    """The next change is the end of a yellow or a red clearance, the arrival, or the end of a walk or its clearance."""
    moving = advance(start(TABLES, A, 0), Command(B, 0, 0), 0, TABLES)
    walking = place_calls(start(TABLES, A, 0), TABLES, 0, 0b001)

    assert 30 == next_change(moving, TABLES)
    assert [40, 55] == [next_change(advance(moving, None, now, TABLES), TABLES) for now in (30, 40)]
    assert [50, 110, FOREVER] == [next_change(advance(walking, None, now, TABLES), TABLES) for now in (0, 50, 110)]


@pytest.mark.parametrize(
    ("now", "shown"), [(0, PedInterval.WALK), (49, PedInterval.WALK), (50, PedInterval.PED_CLEARANCE), (110, PedInterval.DONT_WALK)]
)
def test_pedestrians_walk_and_clear_to_the_tenth(now: int, shown: PedInterval) -> None:
    """A walk of 5 s is followed by a clearance of 6 s."""
    state = advance(place_calls(start(TABLES, A, 0), TABLES, 0, 0b001), None, now, TABLES)

    assert shown is ped_interval_of(state, 0, TABLES)


@pytest.mark.parametrize(
    ("display", "interval", "ped"),
    [(Display.FLASH, Interval.FLASH, PedInterval.FLASH), (Display.DARK, Interval.DARK, PedInterval.DARK)],
)
def test_flash_and_dark_cover_all_lamps(display: Display, interval: Interval, ped: PedInterval) -> None:
    """In flash and dark every phase shows just that."""
    states = phase_states(show(start(TABLES, A, 0), display), TABLES)

    assert [(interval, ped, False)] * 3 == [(state.interval, state.pedestrian, state.protected) for state in states]


def test_a_permissive_green_is_told_from_a_protected_one() -> None:
    """In A phase 1 is protected and phase 3 gives way."""
    states = phase_states(start(TABLES, A, 0), TABLES)

    assert [(Interval.GREEN, True), (Interval.RED, False), (Interval.GREEN, False)] == [(s.interval, s.protected) for s in states]
    assert NEVER == states[1].since


# Phases 1 and 2 conflict and walk; 3 is a left turn that only gives way to 1 and whose calls are kept, 4 goes with both.
MAIN, SIDE = range(2)
WALKS = {"walk": 40, "ped_clearance": 60}
STREET = signal(
    stage("main", [1, 4], [3]),
    stage("side", [2, 4]),
    timings={1: WALKS, 2: WALKS, 3: {}, 4: WALKS},
    conflicts=[(1, 2), (1, 3), (2, 3)],
    yields=[(3, 1)],
    flags={4: {"ped_recall": True}},
    patterns=(Pattern(number=7, name="day", cycle=1_000, sequence=("main", "side"), splits=(500, 500)),),
    detectors=(
        Detector(id="loop 2", kind=DetectorKind.STOP_BAR, phases=(2,)),
        Detector(id="loop 1 and 3", kind=DetectorKind.STOP_BAR, phases=(1, 3), locking=True),
    ),
).tables
BARE = signal(
    stage("main", [1]),
    stage("side", [2]),
    timings={1: WALKS, 2: {"max_green": 800} | WALKS},
    conflicts=[(1, 2)],
    flags={2: {"min_recall": True}},
).tables

ALONE = signal(stage("all", [1]), timings={1: {}}, conflicts=[]).tables


def calls(state: IntersectionState) -> tuple[tuple[Tenths, ...], tuple[Tenths, ...], int, int, Tenths]:
    """Tell everything that a state knows of its calls."""
    return state.called, state.ped_called, state.calls, state.ped_calls, state.oldest


def test_a_signal_starts_in_a_stage_that_has_just_begun() -> None:
    """All greens of the stage begin now, nothing ended, nobody waits, nothing moves."""
    none = (NEVER,) * 4

    assert IntersectionState(
        now=70,
        stage=SIDE,
        arrived=70,
        target=NO_STAGE,
        left=NEVER,
        arrives=FOREVER,
        clearing=0,
        began=(NEVER, 70, NEVER, 70),
        ended=none,
        called=none,
        ped_called=none,
        walked=none,
        calls=0,
        ped_calls=0,
        oldest=FOREVER,
        pattern=FREE,
        display=Display.NORMAL,
    ) == start(STREET, SIDE, 70)


def test_a_move_ends_greens_now_and_begins_others_on_arrival() -> None:
    """From main to side 1 and 3 end at once, 2 begins after 3 s, and 4 goes on."""
    leaving = advance(advance(start(STREET, MAIN, 0), None, 80, STREET), Command(SIDE, 0, 0), 80, STREET)
    arrived = advance(leaving, None, 110, STREET)

    assert (MAIN, SIDE, 80, 110, 0b0101) == (leaving.stage, leaving.target, leaving.left, leaving.arrives, leaving.clearing)
    assert ((NEVER, NEVER, NEVER, 0), (80, NEVER, 80, NEVER)) == (leaving.began, leaving.ended)
    assert (SIDE, 110, NO_STAGE, NEVER, FOREVER, 0) == (*arrived[1:4], *arrived[4:7])
    assert ((NEVER, 110, NEVER, 0), (80, NEVER, 80, NEVER)) == (arrived.began, arrived.ended)
    assert leaving._replace(now=109) == advance(leaving, None, 109, STREET)


def test_a_command_for_what_runs_changes_the_pattern_alone() -> None:
    """Neither the running stage nor a running transition begins anew."""
    here = start(STREET, MAIN, 0)
    moving = advance(here, Command(SIDE, 0, 0), 10, STREET)

    assert here._replace(pattern=7) == advance(here, Command(MAIN, 0, 7), 0, STREET)
    assert moving._replace(pattern=7) == advance(moving, Command(MAIN, 0, 7), 10, STREET)


def test_a_cleared_green_restarts() -> None:
    """A green that the command clears ends although the next stage holds it, and begins with that stage; its walk is over."""
    state = place_calls(start(STREET, MAIN, 0), STREET, 0, 0b1000)
    leaving = advance(advance(state, None, 200, STREET), Command(SIDE, 0b1000, 0), 200, STREET)
    arrived = advance(leaving, None, 230, STREET)

    assert (NEVER, 200, NEVER) == (leaving.began[3], leaving.ended[3], leaving.walked[3])
    assert (230, 200, 230) == (arrived.began[3], arrived.ended[3], arrived.walked[3])


def test_a_detected_vehicle_calls_where_it_has_no_protected_green() -> None:
    """In main, 1 and 4 are protected and do not call; 2 and the permissive 3 do, from the first instant on."""
    first = place_calls(advance(start(STREET, MAIN, 0), None, 20, STREET), STREET, 0b1111)
    later = place_calls(advance(first, None, 30, STREET), STREET, 0b1111)

    assert ((NEVER, 20, 20, NEVER), (NEVER,) * 4, 0b0110, 0, 20) == calls(first)
    assert calls(first) == calls(later)


def test_a_call_that_is_not_kept_is_dropped_with_its_vehicle() -> None:
    """Phase 2 calls only while it is detected; phase 3 keeps its call, and calls anew only when it was dropped."""
    both = place_calls(advance(start(STREET, MAIN, 0), None, 20, STREET), STREET, 0b0110)
    gone = place_calls(advance(both, None, 30, STREET), STREET, 0)
    back = place_calls(advance(gone, None, 40, STREET), STREET, 0b0010)

    assert ((NEVER, NEVER, 20, NEVER), (NEVER,) * 4, 0b0100, 0, 20) == calls(gone)
    assert ((NEVER, 40, 20, NEVER), (NEVER,) * 4, 0b0110, 0, 20) == calls(back)


def test_a_vehicle_that_left_answers_the_call_of_a_turn_that_only_gives_way() -> None:
    """A discharge of 3 ends its call, or begins it anew for the next vehicle; a discharge of 2 means nothing."""
    waiting = place_calls(advance(start(STREET, MAIN, 0), None, 20, STREET), STREET, 0b0110)
    later = advance(waiting, None, 30, STREET)

    assert ((NEVER, 20, NEVER, NEVER), (NEVER,) * 4, 0b0010, 0, 20) == calls(place_calls(later, STREET, 0b0010, 0, 0b0110))
    assert ((NEVER, 20, 30, NEVER), (NEVER,) * 4, 0b0110, 0, 20) == calls(place_calls(later, STREET, 0b0110, 0, 0b0110))
    assert ((NEVER, NEVER, NEVER, NEVER), (NEVER,) * 4, 0, 0, FOREVER) == calls(place_calls(later, STREET, 0, 0, 0b0100))


def test_a_phase_whose_green_has_ended_may_call_again_at_once() -> None:
    """During the move out of main 1 is in clearance and calls; 4 goes on and does not."""
    leaving = advance(start(STREET, MAIN, 0), Command(SIDE, 0, 0), 10, STREET)

    assert ((10, 10, 10, NEVER), (NEVER,) * 4, 0b0111, 0, 10) == calls(place_calls(leaving, STREET, 0b1111))


def test_a_protected_green_answers_its_call_and_a_permissive_one_does_not() -> None:
    """In main 1 and 4 are served; the call of 3 stays until a vehicle has left."""
    waiting = place_calls(start(STREET, SIDE, 0), STREET, 0b0101)
    arrived = advance(waiting, Command(MAIN, 0, 0), 30, STREET)

    assert ((NEVER, NEVER, 0, NEVER), (NEVER,) * 4, 0b0100, 0, 0) == calls(arrived)


def test_a_standing_call_is_placed_with_every_reading() -> None:
    """Phase 2 calls without a vehicle; it is no call of phase 1, and none while phase 2 is green."""
    assert ((NEVER, 0), (NEVER, NEVER), 0b10, 0, 0) == calls(place_calls(start(BARE, 0, 0), BARE, 0))
    assert ((NEVER, NEVER), (NEVER, NEVER), 0, 0, FOREVER) == calls(place_calls(start(BARE, 1, 0), BARE, 0))


def test_what_changes_nothing_gives_the_very_same_state() -> None:
    """The same vehicles as before, or none at all, cost nothing."""
    quiet = start(BARE, 1, 0)
    waiting = place_calls(quiet, BARE, 0b01)

    assert quiet is place_calls(quiet, BARE, 0b10)
    assert waiting is place_calls(waiting, BARE, 0b01)
    assert waiting is place_calls(waiting, BARE, 0b11)


def test_who_presses_the_button_before_the_green_walks_with_it() -> None:
    """The walk begins on arrival, and the call is answered; a call of the other phase stays."""
    pressed = place_calls(start(BARE, 1, 0), BARE, 0, 0b01)
    leaving = advance(pressed, Command(0, 0, 0), 10, BARE)
    arrived = advance(place_calls(leaving, BARE, 0, 0b10), None, 30, BARE)

    assert ((NEVER, NEVER), (0, NEVER), 0, 0b01, 0) == calls(pressed)
    assert ((30, NEVER), (NEVER, 10), 0b10) == (arrived.walked, arrived.ped_called, arrived.ped_calls)
    assert 10 == arrived.oldest


def test_who_presses_the_button_in_the_green_walks_at_once() -> None:
    """With nothing else waiting the walk begins now; who presses during the walk is served by it."""
    walking = place_calls(advance(start(BARE, 1, 0), None, 60, BARE), BARE, 0, 0b10)
    again = place_calls(advance(walking, None, 99, BARE), BARE, 0, 0b10)

    assert ((NEVER, 60), 0, FOREVER) == (walking.walked, walking.ped_calls, walking.oldest)
    assert ((NEVER, 60), 0) == (again.walked, again.ped_calls)


def test_who_presses_during_the_clearance_walks_when_it_is_over() -> None:
    """The clearance is not cut: the next walk begins at its end, without any further reading, also when time is taken in one step."""
    walking = place_calls(start(BARE, 1, 0), BARE, 0, 0b10)
    waiting = place_calls(advance(walking, None, 40, BARE), BARE, 0, 0b10)

    assert ((NEVER, NEVER), (NEVER, 40), 0, 0b10, 40) == calls(waiting)
    assert (0, 0b10) == (advance(waiting, None, 99, BARE).walked[1], advance(waiting, None, 99, BARE).ped_calls)
    assert (100, 0) == (advance(waiting, None, 100, BARE).walked[1], advance(waiting, None, 100, BARE).ped_calls)
    assert (100, 500) == (advance(waiting, None, 500, BARE).walked[1], advance(waiting, None, 500, BARE).now)


def test_a_walk_for_which_the_green_is_too_short_waits_for_the_next_green() -> None:
    """Phase 2 ends at 80 s; a button pressed at 70.1 s waits, one at 70 s walks."""
    waiting = place_calls(start(BARE, 1, 0), BARE, 0b01)

    assert [700, NEVER] == [place_calls(advance(waiting, None, now, BARE), BARE, 0b01, 0b10).walked[1] for now in (700, 701)]


def test_a_walk_that_had_no_room_begins_when_what_waited_is_gone() -> None:
    """With the vehicle of phase 1 driven off there is time again."""
    waiting = place_calls(start(BARE, 1, 0), BARE, 0b01)
    pressed = place_calls(advance(waiting, None, 701, BARE), BARE, 0b01, 0b10)

    assert 750 == place_calls(advance(pressed, None, 750, BARE), BARE, 0).walked[1]


def test_a_clearance_that_runs_into_the_next_stage_is_not_cut() -> None:
    """Phase 4 goes on from main to side while it clears; called again on the way, it walks when the clearance is over."""
    walking = place_calls(start(STREET, MAIN, 0), STREET, 0, 0b1000)
    leaving = advance(advance(walking, None, 60, STREET), Command(SIDE, 0, 0), 80, STREET)
    arrived = advance(place_calls(leaving, STREET, 0, 0b1000), None, 90, STREET)

    assert (0, 0b1000) == (arrived.walked[3], arrived.ped_calls)
    assert (100, 0) == (advance(arrived, None, 100, STREET).walked[3], advance(arrived, None, 100, STREET).ped_calls)


def test_a_standing_pedestrian_call_walks_with_every_green_that_begins() -> None:
    """Phase 4 is on recall: it calls while it is not green, and walks when it begins, but not again when it goes on."""
    tables = signal(
        stage("main", [1]),
        stage("walk", [4]),
        stage("on", [4, 5]),
        timings={1: {}, 4: WALKS, 5: {}},
        conflicts=[(1, 4), (1, 5)],
        flags={4: {"ped_recall": True}},
    ).tables
    called = place_calls(start(tables, 0, 0), tables, 0)
    unread = advance(start(tables, 0, 0), Command(1, 0, 0), 30, tables)
    leaving = advance(unread, Command(2, 0, 0), 30, tables)

    assert ((NEVER,) * 3, (NEVER, 0, NEVER), 0, 0b010, 0) == calls(called)
    assert (30, 30) == (unread.walked[1], place_calls(unread, tables, 0).walked[1])
    assert 0 == place_calls(unread, tables, 0).ped_calls
    assert (2, 30) == (leaving.stage, leaving.walked[1])
    assert 0b010 == place_calls(advance(leaving, Command(0, 0, 0), 40, tables), tables, 0).ped_calls


def test_what_the_gate_does_by_itself_happens_at_its_own_instant() -> None:
    """Phase 2 ends at 80 s after the call of 1, whether time is taken in one step or in tenths."""
    waiting = place_calls(start(BARE, 1, 0), BARE, 0b01)
    in_one = advance(waiting, None, 1_000, BARE)
    sliced = waiting
    for now in range(1_001):
        sliced = advance(sliced, None, now, BARE)

    assert 800 == due(waiting, BARE)
    assert (0, 830, (830, NEVER), (NEVER, 800)) == (in_one.stage, in_one.arrived, in_one.began, in_one.ended)
    assert in_one == sliced


def test_a_clearance_and_a_bound_that_end_together_let_pedestrians_walk_first() -> None:
    """Where the walk still fits it begins at the very instant at which the stage would be left for the pedestrian's own sake."""
    waiting = place_calls(start(BARE, 1, 0), BARE, 0b01, 0b10)
    again = place_calls(advance(waiting, None, 600, BARE), BARE, 0b01, 0b10)
    last = place_calls(advance(again, None, 650, BARE), BARE, 0b01, 0b10)

    assert 600 == again.walked[1]
    assert (700, 0) == (advance(last, None, 700, BARE).walked[1], advance(last, None, 700, BARE).ped_calls)
    assert (NEVER, 800) == (advance(last, None, 800, BARE).walked[1], advance(last, None, 800, BARE).ended[1])


def test_every_lamp_is_told() -> None:
    """Interval and its start, protection, pedestrians and calls of each phase, while a move runs."""
    called = place_calls(advance(start(STREET, MAIN, 0), None, 5, STREET), STREET, 0b0010, 0b1010)
    leaving = advance(called, Command(SIDE, 0, 0), 20, STREET)

    assert (
        PhaseState(Interval.YELLOW_CHANGE, False, 5, PedInterval.DONT_WALK, NEVER, NEVER),
        PhaseState(Interval.RED, False, NEVER, PedInterval.DONT_WALK, 5, 5),
        PhaseState(Interval.YELLOW_CHANGE, False, 5, PedInterval.DONT_WALK, NEVER, NEVER),
        PhaseState(Interval.GREEN, True, 0, PedInterval.WALK, NEVER, NEVER),
    ) == phase_states(leaving, STREET)


def test_changes_that_lie_behind_are_not_foretold() -> None:
    """Of several walks the nearest end counts, and none that is over."""
    first = place_calls(start(STREET, MAIN, 0), STREET, 0, 0b0001)
    both = place_calls(advance(first, None, 25, STREET), STREET, 0, 0b1000)

    assert [40, 65, 100, 125, FOREVER] == [next_change(advance(both, None, now, STREET), STREET) for now in (25, 40, 65, 100, 125)]
    assert FOREVER == next_change(start(ALONE, 0, 0), ALONE)


def test_a_flashing_signal_keeps_its_time_and_nothing_else() -> None:
    """Flash and dark last until the signal starts anew, whatever is due."""
    waiting = place_calls(start(BARE, 1, 0), BARE, 0b01)
    flashing = advance(show(waiting, Display.FLASH), None, 5_000, BARE)

    assert show(waiting, Display.FLASH)._replace(now=5_000) == flashing


def test_a_transition_remembers_when_the_stage_that_it_leaves_was_reached() -> None:
    """While B becomes A, the state still tells since when B ran."""
    moving = advance(advance(start(TABLES, B, 70), None, 200, TABLES), Command(A, 0, 0), 210, TABLES)

    assert (70, 210, A) == (moving.arrived, moving.now, moving.target)


def test_nobody_walks_who_did_not_call() -> None:
    """A green that begins without a pedestrian call or recall shows no walk; nor does a signal that has no pedestrians."""
    plain = signal(stage("one", [1]), stage("two", [2]), timings={1: {}, 2: {}}, conflicts=[(1, 2)]).tables
    walked = advance(start(STREET, MAIN, 0), Command(SIDE, 0, 0), 300, STREET).walked

    assert NEVER == walked[1]
    assert (NEVER, NEVER) == advance(start(plain, 0, 0), Command(1, 0, 0), 300, plain).walked


def test_a_call_is_answered_by_a_discharge_only_if_one_is_reported() -> None:
    """The call of a phase that only ever gives way counts from when it was placed, reading after reading."""
    yielding = signal(stage("all", [2], [1]), timings={1: {}, 2: {}}, conflicts=[(1, 2)], yields=[(1, 2)]).tables
    called = place_calls(start(yielding, 0, 0), yielding, 0b01)
    later = place_calls(advance(called, None, 100, yielding), yielding, 0b01)

    assert 0 == later.called[0]
    assert 100 == place_calls(later, yielding, 0b01, discharged=0b01).called[0]


def test_what_the_gate_does_after_an_arrival_is_done_however_far_time_goes_at_once() -> None:
    """A call and a recall send the signal to and fro; an hour at once ends in the same state as an hour in pieces."""
    first = place_calls(start(BARE, SIDE, 0), BARE, 0b01)
    pieces = first
    for now in range(70, 36_001, 70):
        pieces = advance(pieces, None, now, BARE)
    pieces = advance(pieces, None, 36_000, BARE)

    assert pieces == advance(first, None, 36_000, BARE)
    assert pieces.arrived > 0
