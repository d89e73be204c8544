from dataclasses import replace
from functools import reduce
from typing import ClassVar

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.events import (
    FAULTS,
    Checked,
    Ending,
    Event,
    Fault,
    FaultBegan,
    FaultEnded,
    Flash,
    Free,
    LimitSet,
    LockOutCleared,
    Mode,
    Order,
    OrderGiven,
    OrderWithdrawn,
    Place,
    Plan,
    ReEnabled,
    Started,
    Stopped,
    Tick,
)
from controller.mode import (
    HOUR,
    Cause,
    LadderSettings,
    LadderState,
    Objection,
    Readiness,
    Rise,
    cap,
    initial,
    may_zero,
    next_rise,
    objection,
    step,
    time_in,
)
from intersection.errors import ConfigError
from intersection.state import FOREVER
from tests.controller.ladder_model import LadderModel

MINUTE = 600
SETTINGS = LadderSettings(flash_enabled=True)
LOWERING = [fault for fault, effect in FAULTS.items() if effect.drops_to is not None]
STRENGTH = [Mode.OFF, Mode.MONITOR, Mode.SHADOW, Mode.RELEASED, Mode.FIXED_TIME, Mode.ADAPTIVE]

TICK = Tick()
RE_ENABLED = ReEnabled(operator="Kim", reason="looked into it")
WITHDRAWN = OrderWithdrawn(operator="Kim", reason="works done")
PLAN = OrderGiven(Order(what=Plan(3), operator="Kim", reason="match day", expires=1_000 + 2 * HOUR))
FREE = OrderGiven(Order(what=Free(), operator="Kim", reason="works", expires=1_000 + 2 * HOUR))
FLASH = OrderGiven(Order(what=Flash(), operator="Kim", reason="broken pole"))


def limit(mode: Mode) -> LimitSet:
    """Cap the mode."""
    return LimitSet(limit=mode, operator="Ida", reason="trial")


def run(*events: Event, state: LadderState | None = None, now: int = 1_000, settings: LadderSettings = SETTINGS) -> LadderState:
    """Let events happen one after another at the same instant."""
    return reduce(lambda at, event: step(at, event, now, settings), events, initial(now) if state is None else state)


ADAPTIVE = run(Started(), Checked(), TICK, TICK)


def began(fault: Fault, detail: str = "") -> FaultBegan:
    """Shorten the commonest event."""
    return FaultBegan(fault, detail)


STATES = {
    "never started": initial(1_000),
    "off by a cap": run(limit(Mode.OFF), state=ADAPTIVE),
    "unchecked": run(Started()),
    "unchecked with an order": run(PLAN, Started(), state=ADAPTIVE),
    "monitor by a cap": run(limit(Mode.MONITOR), state=ADAPTIVE),
    "monitor on the way in": run(Started(), Checked()),
    "monitor after a fault": run(limit(Mode.SHADOW), began(Fault.POLICY_LATE), state=ADAPTIVE),
    "shadow by a cap": run(limit(Mode.SHADOW), state=ADAPTIVE),
    "shadow on the way in": run(Started(), Checked(), TICK),
    "adaptive": ADAPTIVE,
    "adaptive with a note": run(began(Fault.CLOCK_OFF), state=ADAPTIVE),
    "fixed time, passing": run(began(Fault.POLICY_RAISED), state=ADAPTIVE),
    "fixed time, lasting": run(began(Fault.DETECTORS_FAILED), state=ADAPTIVE),
    "released, passing": run(began(Fault.REQUEST_REFUSED), state=ADAPTIVE),
    "released, lasting": run(began(Fault.LINK_LOST), state=ADAPTIVE),
    "released, latched": run(began(Fault.REBOOTED), state=ADAPTIVE),
    "released, latched and seen": run(began(Fault.CONFLICT_FLASH), state=ADAPTIVE),
    "released by the police": run(began(Fault.POLICE), state=ADAPTIVE),
    "locked out": run(began(Fault.LOCAL_LOCK_OUT, "Lee"), state=ADAPTIVE),
    "monitor, a stranger": run(began(Fault.IDENTITY_CHANGED), state=ADAPTIVE),
    "forced to a plan": run(PLAN, state=ADAPTIVE),
    "forced to free": run(FREE, state=ADAPTIVE),
    "forced to flash": run(FLASH, began(Fault.FLASH), state=ADAPTIVE),
    "forced over fixed time": run(began(Fault.POLICY_HUNG), PLAN, state=ADAPTIVE),
    "forced over released": run(began(Fault.REQUEST_REFUSED), PLAN, state=ADAPTIVE),
    "several at once": run(began(Fault.POLICY_HUNG), began(Fault.LINK_LOST), began(Fault.REBOOTED), state=ADAPTIVE),
    "stopped": run(began(Fault.POLICY_HUNG), Stopped(), state=ADAPTIVE),
}

EVENTS: dict[str, Event] = {
    "tick": TICK,
    "started": Started(),
    "checked": Checked(),
    "stopped": Stopped(),
    "re-enabled": RE_ENABLED,
    **{f"limit {mode.name}": limit(mode) for mode in (Mode.OFF, Mode.MONITOR, Mode.SHADOW, Mode.ADAPTIVE)},
    "order plan": PLAN,
    "order free": FREE,
    "order flash": FLASH,
    "order expired": OrderGiven(Order(what=Free(), operator="Kim", reason="works", expires=1_001)),
    "order without expiry": OrderGiven(Order(what=Plan(1), operator="Kim", reason="works")),
    "withdrawn": WITHDRAWN,
    **{f"lock-out cleared {place.name}": LockOutCleared(technician="Lee", place=place) for place in Place},
    **{f"{fault.name} begins": began(fault) for fault in Fault},
    **{f"{fault.name} ends": FaultEnded(fault) for fault in Fault},
}

UP = {
    Mode.OFF: Mode.MONITOR,
    Mode.MONITOR: Mode.SHADOW,
    Mode.SHADOW: Mode.ADAPTIVE,
    Mode.RELEASED: Mode.FIXED_TIME,
    Mode.FIXED_TIME: Mode.ADAPTIVE,
}

ALL_STATES = pytest.mark.parametrize("state", STATES.values(), ids=STATES)


def hold(mode: Mode) -> int:
    """Say how much of the street is in our hands."""
    return STRENGTH.index(mode)


# -------------------------------------------------------------------------------------------------------------------- the way down
@ALL_STATES
def test_the_way_down_is_immediate_from_everywhere(state: LadderState) -> None:
    """From every state every fault drops at once to its mode or lower, never lifts, and makes nothing be sent that was not."""
    for fault in LOWERING:
        after = step(state, began(fault), 1_001, SETTINGS)
        allowed = FAULTS[fault].drops_to
        assert allowed is not None, fault

        assert hold(after.rung) <= min(hold(state.rung), hold(allowed)), fault
        assert after.rung is Mode.MONITOR or state.rung is not Mode.SHADOW, fault
        if after.mode is Mode.FORCED:
            assert state.mode is Mode.FORCED, fault
            assert allowed is Mode.FIXED_TIME or (fault is Fault.FLASH and state.order == FLASH.order), fault
        assert FAULTS[fault].momentary or fault in {cause.fault for cause in after.causes if cause.blocks}, fault


@ALL_STATES
def test_every_event_is_answered_in_every_state(state: LadderState) -> None:
    """Nothing raises but a tick, a check, a start and an order; a wish with an objection changes nothing; the rungs hold their cap."""
    for name, event in EVENTS.items():
        after = step(state, event, 1_001, SETTINGS)

        assert after.at == 1_001, name
        assert sum(after.spent) == sum(state.spent) + 1, name
        assert after.rung is not Mode.FORCED, name
        assert hold(after.rung) <= hold(cap(after, SETTINGS)), name
        assert {cause.present for cause in after.causes} <= {True, False}, name
        if isinstance(event, Tick):
            assert after.rung in {state.rung, UP.get(state.rung)}, name
        elif not isinstance(event, Checked | Started):
            assert hold(after.rung) <= hold(state.rung), name
        if after.mode is Mode.FORCED:
            assert state.mode is Mode.FORCED or isinstance(event, OrderGiven | Checked), name
        if objection(state, event, 1_001, SETTINGS) is not None:
            assert replace(state, at=1_001, spent=after.spent) == after, name
        assert after.since == (state.since if after.mode is state.mode and not isinstance(event, Started) else 1_001), name


@ALL_STATES
def test_the_lowest_of_several_faults_wins_in_any_order(state: LadderState) -> None:
    """Two faults leave the same mode whichever comes first."""
    for first in LOWERING:
        for second in (Fault.POLICY_HUNG, Fault.LINK_LOST, Fault.IDENTITY_CHANGED, Fault.FLASH, Fault.JOURNAL_FULL):
            one = run(began(first), began(second), state=state)
            other = run(began(second), began(first), state=state)

            assert one.mode is other.mode, (first, second)
            assert one.order == other.order, (first, second)


@pytest.mark.parametrize("fault", LOWERING, ids=lambda fault: fault.name)
def test_zeros_are_written_to_our_own_cabinet_only(fault: Fault) -> None:
    """A stranger at the address, and a cabinet that another daemon controls, get nothing until a person has re-enabled."""
    state = run(began(fault), FaultEnded(fault), state=ADAPTIVE)

    assert may_zero(state) is (fault not in {Fault.IDENTITY_CHANGED, Fault.ANOTHER_DAEMON})
    assert may_zero(run(RE_ENABLED, state=state))


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in LOWERING], ids=lambda fault: fault.name)
def test_a_note_lowers_nothing(fault: Fault) -> None:
    """What is only noted leaves the mode as it is, is kept while it is seen, and is then forgotten."""
    after = run(began(fault, "D3"), state=ADAPTIVE)

    assert after.mode is Mode.ADAPTIVE
    assert ([] if FAULTS[fault].momentary else [(fault, "D3")]) == [(cause.fault, cause.detail) for cause in after.causes]
    assert () == run(FaultEnded(fault), state=after).causes


def test_a_note_does_not_delay_the_way_up() -> None:
    """A full disk neither lowers the mode nor keeps it from rising, and it is still known afterwards."""
    state = run(began(Fault.JOURNAL_FULL), began(Fault.POLICY_LATE), state=ADAPTIVE)
    state = step(state, began(Fault.TICKER_LAG), 1_000 + SETTINGS.clean_time - 1, SETTINGS)
    state = step(state, TICK, 1_000 + SETTINGS.clean_time, SETTINGS)

    assert state.mode is Mode.ADAPTIVE
    assert [Fault.JOURNAL_FULL] == [cause.fault for cause in state.causes]


def test_a_fault_that_is_seen_again_keeps_its_beginning() -> None:
    """Since when it is seen does not change; the words for it do."""
    state = run(began(Fault.DETECTORS_FAILED, "D1, D2"), state=ADAPTIVE)
    state = step(state, began(Fault.DETECTORS_FAILED, "D1 to D3"), 1_500, SETTINGS)

    assert [(1_000, "D1 to D3")] == [(cause.since, cause.detail) for cause in state.causes]


def test_one_disobeyed_transition_is_noted_and_a_second_within_minutes_latches() -> None:
    """Exactly ten minutes later it still counts; later it is a first one again."""
    once = run(began(Fault.DISOBEYED), state=ADAPTIVE)
    window = SETTINGS.disobedience_window
    twice = step(once, began(Fault.DISOBEYED, "stage 2"), 1_000 + window, SETTINGS)
    late = step(once, began(Fault.DISOBEYED), 1_001 + window, SETTINGS)

    assert (Mode.ADAPTIVE, ()) == (once.mode, once.causes)
    assert (Mode.RELEASED, Fault.DISOBEYED_AGAIN, True) == (twice.mode, twice.causes[0].fault, twice.causes[0].latched)
    assert Mode.ADAPTIVE is late.mode
    assert Mode.RELEASED is step(late, began(Fault.DISOBEYED), 1_001 + 2 * window, SETTINGS).mode


def test_our_plan_is_bounded_in_time() -> None:
    """After fifteen minutes in FIXED_TIME the cabinet is released, and not a tenth earlier."""
    state = run(began(Fault.POLICY_HUNG), state=ADAPTIVE)
    bound = 1_000 + 15 * MINUTE
    before = step(state, TICK, bound - 1, SETTINGS)
    after = step(before, TICK, bound, SETTINGS)

    assert Mode.FIXED_TIME is before.mode
    assert Mode.RELEASED is after.mode
    assert [Cause(fault=Fault.POLICY_HUNG, since=1_000, present=True), Cause(fault=Fault.FIXED_TIME_OVER, since=bound)] == [*after.causes]


# ---------------------------------------------------------------------------------------------------------------------- the way up
def test_the_way_in_goes_up_one_mode_a_tick() -> None:
    """A daemon that finds nothing wrong monitors, shadows and then controls; before the check it only reads."""
    state = run(Started())
    modes = [state.mode, run(TICK, TICK, state=state).mode]
    for event in (Checked(), TICK, TICK, TICK):
        state = run(event, state=state)
        modes.append(state.mode)

    assert [Mode.MONITOR, Mode.MONITOR, Mode.MONITOR, Mode.SHADOW, Mode.ADAPTIVE, Mode.ADAPTIVE] == modes
    assert () == state.returns


@pytest.mark.parametrize(
    ("fault", "wait", "counted"),
    [(Fault.LINK_LOST, SETTINGS.clean_time, 1), (Fault.POLICE, SETTINGS.rejoin_time, 0)],
    ids=["clean minutes after a lost link", "soon after the police"],
)
def test_the_way_back_takes_its_wait_at_every_step(fault: Fault, wait: int, counted: int) -> None:
    """From RELEASED by way of FIXED_TIME to ADAPTIVE, each step exactly at the end of its wait; a way up counts once or not at all."""
    state = step(run(began(fault), state=ADAPTIVE), TICK, 50_000, SETTINGS)
    assert Mode.RELEASED is state.mode
    state = step(state, FaultEnded(fault), 60_000, SETTINGS)
    modes = []
    for now in (60_000 + wait - 1, 60_000 + wait, 60_000 + 2 * wait - 1, 60_000 + 2 * wait):
        state = step(state, TICK, now, SETTINGS)
        modes.append(state.mode)

    assert [Mode.RELEASED, Mode.FIXED_TIME, Mode.FIXED_TIME, Mode.ADAPTIVE] == modes
    assert () == state.causes
    assert counted == len(state.returns)


def test_a_fault_on_the_way_up_begins_another_way_up() -> None:
    """What fails again under our plan counts as a second return; one that goes through is counted once, and is then over."""
    wait = SETTINGS.clean_time
    state = run(began(Fault.REQUEST_REFUSED), state=ADAPTIVE)
    state = step(state, TICK, 1_000 + wait, SETTINGS)
    assert (Mode.FIXED_TIME, True, (1_000 + wait,)) == (state.mode, state.climbing, state.returns)
    state = step(state, began(Fault.POLICY_LATE), 1_100 + wait, SETTINGS)
    assert not state.climbing
    state = step(state, TICK, 1_100 + 2 * wait, SETTINGS)

    assert (Mode.ADAPTIVE, False, (1_000 + wait, 1_100 + 2 * wait)) == (state.mode, state.climbing, state.returns)


def test_the_longest_wait_of_several_faults_holds() -> None:
    """After the police and a late policy the clean minutes count."""
    state = run(began(Fault.POLICE), began(Fault.POLICY_LATE), FaultEnded(Fault.POLICE), state=ADAPTIVE)

    assert Mode.RELEASED is step(state, TICK, 1_000 + SETTINGS.rejoin_time, SETTINGS).mode
    assert Mode.FIXED_TIME is step(state, TICK, 1_000 + SETTINGS.clean_time, SETTINGS).mode


def test_a_new_fault_begins_the_clean_minutes_anew() -> None:
    """A fault in the last moment costs the whole wait once more."""
    state = run(began(Fault.POLICY_LATE), state=ADAPTIVE)
    again = 1_000 + SETTINGS.clean_time - 1
    state = step(state, began(Fault.POLICY_RAISED), again, SETTINGS)

    assert Mode.FIXED_TIME is step(state, TICK, again + SETTINGS.clean_time - 1, SETTINGS).mode
    assert Mode.ADAPTIVE is step(state, TICK, again + SETTINGS.clean_time, SETTINGS).mode


def flap(state: LadderState, now: int, settings: LadderSettings = SETTINGS) -> LadderState:
    """Let the policy fail once, and wait as long as is needed without."""
    return step(step(state, began(Fault.POLICY_LATE), now, settings), TICK, now + settings.clean_time, settings)


def test_the_mode_comes_back_three_times_an_hour_at_most() -> None:
    """The fourth way up waits until the first is an hour old; meanwhile our plan runs out and the cabinet is released."""
    wait = SETTINGS.clean_time
    state = ADAPTIVE
    for now in (10_000, 14_000, 18_000):
        state = flap(state, now)
        assert Mode.ADAPTIVE is state.mode
    state = flap(state, 22_000)
    assert Mode.FIXED_TIME is state.mode
    assert next_rise(state, 25_000, SETTINGS) == Rise(to=Mode.ADAPTIVE, at=10_000 + wait + HOUR, counts=True, exhausted=True)
    state = step(state, TICK, 22_000 + SETTINGS.fixed_time_bound, SETTINGS)
    assert Mode.RELEASED is state.mode
    state = step(state, TICK, 10_000 + wait + HOUR - 1, SETTINGS)
    assert Mode.RELEASED is state.mode
    state = step(state, TICK, 10_000 + wait + HOUR, SETTINGS)

    assert Mode.FIXED_TIME is state.mode
    assert (14_000 + wait, 18_000 + wait, 10_000 + wait + HOUR) == state.returns


def test_a_person_who_re_enables_begins_the_count_anew() -> None:
    """What has flapped too often rises at the next tick after a person has looked, since the clean minutes have passed already."""
    state = reduce(flap, (10_000, 14_000, 18_000, 22_000), ADAPTIVE)
    assert Mode.FIXED_TIME is state.mode
    state = step(state, RE_ENABLED, 26_000, SETTINGS)

    assert Mode.FIXED_TIME is state.mode
    assert Mode.ADAPTIVE is step(state, TICK, 26_000, SETTINGS).mode


def test_a_configuration_may_leave_every_return_to_a_person() -> None:
    """With no returns allowed the mode never rises by itself after a late policy."""
    never = replace(SETTINGS, returns_per_hour=0)
    state = flap(ADAPTIVE, 10_000, never)
    rise = next_rise(state, 13_000, never)

    assert Mode.FIXED_TIME is state.mode
    assert Rise(to=Mode.ADAPTIVE, at=FOREVER, counts=True, exhausted=True) == rise


# ----------------------------------------------------------------------------------------------------------------------- latches
LATCHING = [fault for fault, effect in FAULTS.items() if effect.ending is Ending.LATCHED]


@pytest.mark.parametrize("fault", LATCHING, ids=lambda fault: fault.name)
def test_what_is_latched_waits_for_a_person(fault: Fault) -> None:
    """Days pass, the daemon restarts, the cause goes: only a person raises the mode, and then it rises soon."""
    state = run(began(fault), FaultEnded(fault), state=ADAPTIVE)
    low = state.mode
    for now in range(10_000, 1_000_000, 90_000):
        state = step(state, TICK, now, SETTINGS)
    state = run(Stopped(), Started(), Checked(), TICK, state=state, now=1_000_000)
    assert low is state.mode
    assert next_rise(state, 2_000_000, SETTINGS) is None
    state = step(state, RE_ENABLED, 2_000_000, SETTINGS)
    assert low is state.mode
    rejoin = SETTINGS.rejoin_time
    waiting = step(state, TICK, 2_000_000 + rejoin - 1, SETTINGS)
    raised = step(waiting, TICK, 2_000_000 + rejoin, SETTINGS)

    assert low is waiting.mode
    assert hold(raised.mode) == hold(low) + 1
    assert Mode.ADAPTIVE is step(raised, TICK, 2_000_000 + 2 * rejoin, SETTINGS).mode


def test_a_person_cannot_re_enable_what_is_still_there() -> None:
    """As long as the monitor holds the flash, re-enabling is refused and changes nothing."""
    state = run(began(Fault.CONFLICT_FLASH), began(Fault.REBOOTED), state=ADAPTIVE)

    assert Objection.STILL_SEEN is objection(state, RE_ENABLED, 1_000, SETTINGS)
    assert state == run(RE_ENABLED, state=state)
    assert objection(run(FaultEnded(Fault.CONFLICT_FLASH), state=state), RE_ENABLED, 1_000, SETTINGS) is None


def test_a_fault_that_heals_does_not_keep_a_person_from_re_enabling() -> None:
    """The latch goes; the lost link still holds the mode down."""
    state = run(began(Fault.REBOOTED), began(Fault.LINK_LOST), RE_ENABLED, state=ADAPTIVE)

    assert [False, False] == [cause.latched for cause in state.causes]
    assert Mode.RELEASED is step(state, TICK, 100_000, SETTINGS).mode


def test_there_is_nothing_to_re_enable_where_nothing_waits() -> None:
    """Without a latch, and without a return within the hour, the operator is told so."""
    returned = flap(ADAPTIVE, 10_000)
    at = 10_000 + SETTINGS.clean_time

    assert Objection.NOTHING_LATCHED is objection(ADAPTIVE, RE_ENABLED, 1_000, SETTINGS)
    assert objection(returned, RE_ENABLED, at + HOUR - 1, SETTINGS) is None
    assert Objection.NOTHING_LATCHED is objection(returned, RE_ENABLED, at + HOUR, SETTINGS)


def test_a_lock_out_is_cleared_at_the_cabinet_only() -> None:
    """Neither a remote hand, nor the fault's end, nor a person who re-enables, nor a restart undoes what a technician has set."""
    state = STATES["locked out"]
    at_cabinet, remote = (LockOutCleared(technician="Lee", place=place) for place in Place)
    assert Objection.ONLY_AT_CABINET is objection(state, remote, 1_000, SETTINGS)
    held = run(remote, FaultEnded(Fault.LOCAL_LOCK_OUT), RE_ENABLED, Stopped(), Started(), Checked(), state=state)
    assert Mode.RELEASED is step(held, TICK, 1_000_000, SETTINGS).mode
    assert Objection.OUTRANKED is objection(held, PLAN, 1_000, SETTINGS)
    freed = run(at_cabinet, state=held)

    assert Mode.RELEASED is step(freed, TICK, 1_000 + SETTINGS.rejoin_time - 1, SETTINGS).mode
    assert Mode.FIXED_TIME is step(freed, TICK, 1_000 + SETTINGS.rejoin_time, SETTINGS).mode
    assert Objection.NOT_LOCKED_OUT is objection(freed, at_cabinet, 1_000, SETTINGS)


# ------------------------------------------------------------------------------------------------------------------------ orders
@pytest.mark.parametrize("order", [PLAN, FREE, FLASH], ids=["plan", "free", "flash"])
def test_an_order_outranks_the_policy_and_its_faults(order: OrderGiven) -> None:
    """It holds while the policy fails and the detectors do; when it is withdrawn, the mode is what these faults allow."""
    state = run(order, began(Fault.POLICY_DIED), began(Fault.DETECTORS_FAILED), state=ADAPTIVE)

    assert Mode.FORCED is state.mode
    assert Mode.FIXED_TIME is run(WITHDRAWN, state=state).mode
    assert Mode.ADAPTIVE is run(order, WITHDRAWN, state=ADAPTIVE).mode


def test_an_order_may_be_given_while_the_ladder_is_still_on_its_way_up() -> None:
    """A link that is back, but not yet for long enough, does not outrank a person."""
    assert Mode.FORCED is STATES["forced over released"].mode


def test_an_order_ends_by_its_expiry() -> None:
    """Not a tenth earlier, and our plan beneath it has its whole time from then on."""
    state = STATES["forced over fixed time"]
    expires = 1_000 + 2 * HOUR
    before = step(state, TICK, expires - 1, SETTINGS)
    after = step(before, TICK, expires, SETTINGS)
    bound = expires + SETTINGS.fixed_time_bound

    assert (Mode.FORCED, Mode.FIXED_TIME) == (before.mode, after.mode)
    assert after.order is None
    assert Mode.FIXED_TIME is step(after, TICK, bound - 1, SETTINGS).mode
    assert Mode.RELEASED is step(after, TICK, bound, SETTINGS).mode


def test_the_ladder_climbs_beneath_an_order() -> None:
    """A policy that has been clean for long enough under an order controls as soon as it ends."""
    state = run(began(Fault.POLICY_LATE), PLAN, state=ADAPTIVE)
    state = step(state, TICK, 1_000 + SETTINGS.clean_time, SETTINGS)

    assert Mode.FORCED is state.mode
    assert Mode.ADAPTIVE is step(state, WITHDRAWN, 10_000, SETTINGS).mode


def test_flash_does_not_end_by_itself() -> None:
    """It lasts for days, although the cabinet says that it flashes; it ends by withdrawal, and then the flash is a fault like any."""
    state = run(FLASH, began(Fault.FLASH), state=ADAPTIVE)
    state = step(state, TICK, 1_000_000, SETTINGS)

    assert Mode.FORCED is state.mode
    assert Mode.RELEASED is step(state, WITHDRAWN, 1_000_000, SETTINGS).mode
    assert Mode.RELEASED is step(state, began(Fault.CONFLICT_FLASH), 1_000_000, SETTINGS).mode


def test_a_plan_does_not_outrank_a_flash() -> None:
    """Only the flash that was ordered bears with the cabinet's flashing."""
    flashing = run(began(Fault.FLASH), state=ADAPTIVE)

    assert Mode.RELEASED is run(began(Fault.FLASH), state=STATES["forced to a plan"]).mode
    assert Objection.OUTRANKED is objection(flashing, PLAN, 1_000, SETTINGS)
    assert objection(flashing, FLASH, 1_000, SETTINGS) is None


def test_a_new_order_takes_the_place_of_the_old() -> None:
    """The last order holds."""
    state = run(FREE, state=STATES["forced to flash"])
    assert Mode.FORCED is STATES["forced to flash"].mode
    assert Objection.OUTRANKED is objection(STATES["forced to flash"], FREE, 1_000, SETTINGS)
    assert FLASH.order == state.order

    assert FREE.order == run(PLAN, FREE, state=ADAPTIVE).order


@pytest.mark.parametrize(
    ("what", "expires", "settings", "expected"),
    [
        (Plan(1), None, SETTINGS, Objection.NO_EXPIRY),
        (Free(), None, SETTINGS, Objection.NO_EXPIRY),
        (Plan(1), 1_000, SETTINGS, Objection.EXPIRED),
        (Plan(1), 1_001, SETTINGS, None),
        (Free(), 1_000 + SETTINGS.longest_order, SETTINGS, None),
        (Free(), 1_001 + SETTINGS.longest_order, SETTINGS, Objection.TOO_LONG),
        (Flash(), None, SETTINGS, None),
        (Flash(), 2_000, SETTINGS, Objection.FLASH_EXPIRES),
        (Flash(), None, LadderSettings(), Objection.FLASH_DISABLED),
        (Free(), 2_000, replace(SETTINGS, limit=Mode.SHADOW), Objection.LIMITED),
    ],
)
def test_an_order_that_may_not_be_is_refused(
    what: Plan | Free | Flash, expires: int | None, settings: LadderSettings, expected: Objection | None
) -> None:
    """Each objection has its bound, and an order to which there is one is not taken."""
    event = OrderGiven(Order(what=what, operator="Kim", reason="works", expires=expires))
    after = step(ADAPTIVE, event, 1_000, settings)

    assert expected is objection(ADAPTIVE, event, 1_000, settings)
    assert (after.order is None) is (expected is not None)


@pytest.mark.parametrize("name", ["never started", "unchecked", "stopped"])
def test_nothing_is_ordered_before_the_cabinet_is_known(name: str) -> None:
    """A daemon that does not know its cabinet refuses."""
    assert Objection.NOT_READY is objection(STATES[name], PLAN, 1_000, SETTINGS)


def test_withdrawing_nothing_is_told() -> None:
    """Without an order there is nothing to withdraw."""
    assert Objection.NO_ORDER is objection(ADAPTIVE, WITHDRAWN, 1_000, SETTINGS)
    assert objection(STATES["forced to free"], WITHDRAWN, 1_000, SETTINGS) is None


# -------------------------------------------------------------------------------------------------------------------------- caps
@pytest.mark.parametrize("mode", [Mode.OFF, Mode.MONITOR, Mode.SHADOW], ids=lambda mode: mode.name)
@ALL_STATES
def test_a_cap_holds_at_once_and_always(state: LadderState, mode: Mode) -> None:
    """Whoever sets it, person or configuration, nothing rises above it, and no order stands under it."""
    configured = replace(SETTINGS, limit=mode)
    by_person = run(limit(mode), state=state)
    by_file = run(TICK, state=state, settings=configured)
    later = step(step(by_file, Checked(), 500_000, configured), TICK, 600_000, configured)

    for after in (by_person, by_file, later):
        assert hold(after.rung) <= hold(mode)
        assert after.order is None
        assert after.mode is after.rung


def test_a_person_cannot_lift_the_cap_of_the_configuration() -> None:
    """Up to it, yes; above it, the operator is told."""
    configured = replace(SETTINGS, limit=Mode.SHADOW)
    state = run(limit(Mode.MONITOR), state=ADAPTIVE, settings=configured)

    assert Objection.ABOVE_CONFIGURATION is objection(state, limit(Mode.ADAPTIVE), 1_000, configured)
    assert objection(state, limit(Mode.SHADOW), 1_000, configured) is None
    assert (Mode.MONITOR, Mode.MONITOR) == (cap(state, configured), run(limit(Mode.ADAPTIVE), state=state, settings=configured).limit)
    assert Mode.SHADOW is run(limit(Mode.SHADOW), TICK, state=state, settings=configured).mode


def test_who_set_the_cap_and_why_is_kept() -> None:
    """The explanation needs it."""
    state = run(limit(Mode.SHADOW), state=ADAPTIVE)

    assert (Mode.SHADOW, "Ida", "trial") == (state.limit, state.limited_by, state.limit_reason)


def test_what_was_off_is_read_and_checked_anew() -> None:
    """A lifted OFF leads to MONITOR whatever is wrong, and no further before the cabinet has been checked."""
    state = run(began(Fault.REBOOTED), limit(Mode.OFF), state=ADAPTIVE)
    assert (Mode.OFF, Readiness.UNCHECKED) == (state.mode, state.readiness)
    assert Mode.OFF is run(Checked(), TICK, state=state).mode
    state = run(limit(Mode.ADAPTIVE), TICK, TICK, state=state)
    assert (Mode.MONITOR, Readiness.UNCHECKED) == (state.mode, state.readiness)

    assert Mode.RELEASED is run(Checked(), state=state).mode


def test_under_a_cap_a_fault_of_the_past_is_forgotten_too() -> None:
    """In SHADOW a late policy costs the clean minutes in MONITOR; in MONITOR, where there is no way up, it is forgotten after them."""
    shadow = step(STATES["monitor after a fault"], TICK, 1_000 + SETTINGS.clean_time, SETTINGS)
    monitor = run(limit(Mode.MONITOR), began(Fault.POLICY_LATE), state=ADAPTIVE)

    assert (Mode.SHADOW, ()) == (shadow.mode, shadow.causes)
    assert () != step(monitor, TICK, 1_000 + SETTINGS.clean_time - 1, SETTINGS).causes
    assert () == step(monitor, TICK, 1_000 + SETTINGS.clean_time, SETTINGS).causes


def test_a_cap_at_shadow_over_a_fault_leads_to_monitor() -> None:
    """What is wrong for ADAPTIVE is wrong for SHADOW: the policy does not decide; a mere note is nothing."""
    assert Mode.MONITOR is run(limit(Mode.SHADOW), state=STATES["released by the police"]).mode
    assert Mode.SHADOW is run(limit(Mode.SHADOW), state=STATES["adaptive with a note"]).mode


# ---------------------------------------------------------------------------------------------------------------------- restarts
def test_a_daemon_that_died_comes_back_released_and_waits() -> None:
    """It zeroes what it may have left, and controls again after the clean minutes, as one return."""
    state = run(Started(), state=ADAPTIVE, now=5_000)
    assert Mode.MONITOR is state.mode
    state = step(state, Checked(), 5_010, SETTINGS)
    assert (Mode.RELEASED, Fault.DAEMON_DIED) == (state.mode, state.causes[0].fault)
    state = step(state, TICK, 5_010 + SETTINGS.clean_time, SETTINGS)
    state = step(state, TICK, 5_010 + 2 * SETTINGS.clean_time, SETTINGS)

    assert (Mode.ADAPTIVE, 1) == (state.mode, len(state.returns))


def test_a_daemon_that_dies_again_and_again_is_told_once() -> None:
    """The last death counts, its way up is another one, and the clean minutes run from the check."""
    state = step(run(Started(), Checked(), state=ADAPTIVE, now=5_000), TICK, 5_000 + SETTINGS.clean_time, SETTINGS)
    assert (Mode.FIXED_TIME, True) == (state.mode, state.climbing)
    state = run(Started(), state=state, now=9_000)
    assert (False, [Cause(fault=Fault.DAEMON_DIED, since=9_000)]) == (state.climbing, [*state.causes])
    state = step(state, Checked(), 9_500, SETTINGS)
    assert 9_500 == state.clean_since

    assert Mode.RELEASED is step(state, TICK, 9_499 + SETTINGS.clean_time, SETTINGS).mode
    assert Mode.FIXED_TIME is step(state, TICK, 9_500 + SETTINGS.clean_time, SETTINGS).mode


def test_a_latch_keeps_its_age_over_a_restart() -> None:
    """The operator reads since when the street has been without us."""
    state = run(Stopped(), Started(), state=run(began(Fault.REBOOTED, "at 4:12"), state=ADAPTIVE), now=7_000)

    assert (Cause(fault=Fault.REBOOTED, since=1_000, detail="at 4:12", latched=True),) == state.causes


def test_a_new_daemon_permits_nothing() -> None:
    """It is off and stopped, without a past."""
    expected = LadderState(at=1_000, since=1_000, clean_since=1_000, rung=Mode.OFF, readiness=Readiness.STOPPED)

    assert expected == initial(1_000)


def test_a_daemon_that_was_stopped_goes_straight_in() -> None:
    """Who has let go in order need not wait; the time between is OFF."""
    state = run(Stopped(), state=ADAPTIVE, now=1_100)
    assert (Mode.OFF, Readiness.STOPPED) == (state.mode, state.readiness)
    assert Mode.OFF is step(state, TICK, 1_200, SETTINGS).mode
    state = run(Started(), Checked(), TICK, TICK, state=state, now=1_300)

    assert Mode.ADAPTIVE is state.mode
    assert {**dict.fromkeys(Mode, 0), Mode.ADAPTIVE: 100 + 5, Mode.OFF: 200} == time_in(state, 1_305)


def test_the_time_of_a_dead_daemon_is_off() -> None:
    """From the last step to the start nothing was in our hands."""
    state = run(Started(), state=ADAPTIVE, now=1_700)

    assert (700, 0) == (time_in(state, 1_700)[Mode.OFF], time_in(state, 1_700)[Mode.ADAPTIVE])


def test_what_was_merely_seen_is_looked_at_anew() -> None:
    """After a start no fault is taken for present that nobody has seen since; a note is forgotten, and what was recovered from is not."""
    state = run(began(Fault.CLOCK_OFF), began(Fault.LINK_LOST), Stopped(), Started(), state=ADAPTIVE, now=2_000)

    assert [(Fault.LINK_LOST, False)] == [(cause.fault, cause.present) for cause in state.causes]
    assert Mode.RELEASED is run(Checked(), state=state, now=2_000).mode


def test_what_is_found_before_the_check_decides_the_first_mode() -> None:
    """Without a policy the street gets our plan; with a stranger at the address it stays with reading."""
    for fault, mode in ((Fault.BUNDLE_MISSING, Mode.FIXED_TIME), (Fault.LINK_LOST, Mode.RELEASED), (Fault.IDENTITY_CHANGED, Mode.MONITOR)):
        assert mode is run(Started(), began(fault), Checked()).mode


def test_a_check_counts_once() -> None:
    """A second one neither moves the mode nor begins the wait anew."""
    state = run(began(Fault.POLICY_LATE), state=ADAPTIVE)

    assert state == run(Checked(), state=state)
    assert replace(state, at=2_000, spent=step(state, TICK, 2_000, SETTINGS).spent) == step(state, Checked(), 2_000, SETTINGS)
    assert initial(1_000) == run(Checked())


def test_an_order_survives_a_restart() -> None:
    """Killed or stopped, the daemon takes the order up again as soon as it knows its cabinet, and says so."""
    for events in ((Started(),), (Stopped(), Started())):
        state = run(*events, state=STATES["forced to a plan"], now=2_000)
        assert (Mode.MONITOR, PLAN.order, True) == (state.mode, state.order, state.resumed)
        state = run(Checked(), state=state, now=2_000)

        assert Mode.FORCED is state.mode
    assert not run(PLAN, state=state, now=2_000).resumed
    assert not run(Started(), state=ADAPTIVE).resumed


def test_flash_survives_a_restart_too() -> None:
    """It has no expiry to be checked."""
    assert Mode.FORCED is run(Started(), Checked(), state=STATES["forced to flash"], now=900_000).mode


def test_an_order_that_expired_meanwhile_is_over() -> None:
    """Exactly at its expiry as well."""
    expires = 1_000 + 2 * HOUR

    assert run(Started(), state=STATES["forced to a plan"], now=expires).order is None
    assert run(Started(), state=STATES["forced to a plan"], now=expires - 1).order is not None


def test_an_order_does_not_survive_what_is_found_before_the_check() -> None:
    """A conflict flash in the meantime ends it."""
    state = run(began(Fault.CONFLICT_FLASH), state=STATES["unchecked with an order"])

    assert state.order is None


def test_a_clock_that_was_set_back_lengthens_nothing() -> None:
    """At a start no instant of the past lies in the future, and no order lasts longer than any may."""
    state = flap(run(began(Fault.DISOBEYED), state=ADAPTIVE, now=100_000), 100_000)
    state = step(state, OrderGiven(Order(what=Plan(1), operator="Kim", reason="works", expires=200_000)), 110_000, SETTINGS)
    back = run(Started(), state=state, now=-900_000)
    assert back.order is not None

    assert (-900_000, -900_000, -900_000, -900_000) == (back.at, back.since, back.clean_since, back.disobeyed)
    assert (-900_000,) == back.returns
    assert -900_000 + SETTINGS.longest_order == back.order.expires
    assert all(cause.since == -900_000 for cause in back.causes)
    assert sum(state.spent) == sum(back.spent)


def test_time_that_runs_backwards_stands_still() -> None:
    """A late event counts as of now."""
    state = step(ADAPTIVE, began(Fault.POLICE), 500, SETTINGS)

    assert (1_000, 1_000, 1_000) == (state.at, state.since, state.causes[0].since)
    assert time_in(state, 900) == time_in(state, 1_000)


# ---------------------------------------------------------------------------------------------------------------------- settings
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("limit", Mode.FORCED, "ladder.limit = 'forced': not a mode to cap at; allowed: off, monitor, shadow, adaptive"),
        ("clean_time", 0, "ladder.clean_time = 0: a time must be above zero; allowed: 1 or more tenths of a second"),
        ("rejoin_time", 0, "ladder.rejoin_time = 0: a time must be above zero; allowed: 1 or more tenths of a second"),
        ("disobedience_window", -1, "ladder.disobedience_window = -1: a time must be above zero; allowed: 1 or more tenths of a second"),
        ("longest_order", 0, "ladder.longest_order = 0: a time must be above zero; allowed: 1 or more tenths of a second"),
        ("returns_per_hour", 4, "ladder.returns_per_hour = 4: too many returns; allowed: 0..3"),
        ("returns_per_hour", -1, "ladder.returns_per_hour = -1: too many returns; allowed: 0..3"),
        (
            "fixed_time_bound",
            3_000,
            (
                "ladder.fixed_time_bound = 3000: our plan would end before the policy could come back; "
                "allowed: above 3000 tenths of a second (clean_time)"
            ),
        ),
    ],
)
def test_settings_out_of_range_are_refused(key: str, value: object, message: str) -> None:
    """The message names the key, the value and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        LadderSettings(**{key: value})  # type: ignore[arg-type]  # this is what must be refused

    assert message == str(caught.value)


def test_settings_at_their_bounds_are_taken() -> None:
    """The bounds themselves are allowed."""
    settings = LadderSettings(clean_time=1, rejoin_time=1, disobedience_window=1, longest_order=1, fixed_time_bound=2, returns_per_hour=0)

    assert 2 == settings.fixed_time_bound


def test_the_defaults_are_those_of_the_documents() -> None:
    """Five clean minutes, three returns an hour, fifteen minutes of our plan, ten of disobedience; flash off; a day for an order."""
    expected = LadderSettings(
        limit=Mode.ADAPTIVE,
        clean_time=5 * MINUTE,
        rejoin_time=100,
        returns_per_hour=3,
        fixed_time_bound=15 * MINUTE,
        disobedience_window=10 * MINUTE,
        flash_enabled=False,
        longest_order=24 * HOUR,
    )

    assert expected == LadderSettings()


# --------------------------------------------------------------------------------------------------------- against the other ladder
SMALL = LadderSettings(
    clean_time=50, rejoin_time=10, fixed_time_bound=120, disobedience_window=60, longest_order=400, flash_enabled=True, limit=Mode.ADAPTIVE
)
TYPICAL = [
    Fault.POLICY_LATE,
    Fault.POLICY_HUNG,
    Fault.DETECTORS_FAILED,
    Fault.LINK_LOST,
    Fault.REQUEST_REFUSED,
    Fault.POLICE,
    Fault.FLASH,
    Fault.REBOOTED,
    Fault.CONFLICT_FLASH,
    Fault.IDENTITY_CHANGED,
    Fault.LOCAL_LOCK_OUT,
    Fault.DISOBEYED,
    Fault.CLOCK_OFF,
]
FAULT = st.sampled_from(TYPICAL) | st.sampled_from(list(Fault))
LAPSE = st.sampled_from([0, 1, 9, 10, 11, 49, 50, 51, 59, 60, 61, 119, 120, 121, 399, 400, 401, HOUR - 200, HOUR, -5])


class Ladders(RuleBasedStateMachine):
    """Both ladders live through the same events."""

    limits: ClassVar = st.sampled_from([Mode.OFF, Mode.MONITOR, Mode.SHADOW, Mode.ADAPTIVE])

    @initialize(
        ceiling=st.sampled_from([Mode.ADAPTIVE] * 4 + [Mode.SHADOW, Mode.MONITOR, Mode.OFF]), flash=st.booleans(), ready=st.booleans()
    )
    def begin(self, *, ceiling: Mode, flash: bool, ready: bool) -> None:
        """Begin with a daemon that has never run, or with one that controls."""
        self.now = 1_000
        self.settings = replace(SMALL, limit=ceiling, flash_enabled=flash)
        self.state = initial(self.now)
        self.model = LadderModel(self.now, clean=50, rejoin=10, bound=120, window=60, longest=400, flash=flash, ceiling=ceiling)
        for event in (Started(), Checked(), TICK, TICK) if ready else ():
            self.happen(event)

    def happen(self, event: Event, lapse: int = 0) -> None:
        """Let an event happen to both."""
        self.now += lapse
        self.state = step(self.state, event, self.now, self.settings)
        self.model.happens(event, self.now)
        if lapse < 0:
            self.now = self.state.at

    @rule(lapse=LAPSE)
    def time_passes(self, lapse: int) -> None:
        """Tick."""
        self.happen(TICK, lapse)

    @rule(fault=FAULT, lapse=LAPSE)
    def fault_begins(self, fault: Fault, lapse: int) -> None:
        """Let a fault be seen."""
        self.happen(FaultBegan(fault, "detail"), lapse)

    @rule(fault=FAULT)
    def fault_ends(self, fault: Fault) -> None:
        """Let a fault be seen no more, whether it was or not."""
        self.happen(FaultEnded(fault))

    @precondition(lambda self: self.state.causes)
    @rule(data=st.data())
    def known_fault_ends(self, data: st.DataObject) -> None:
        """Let one of the known faults be seen no more."""
        self.happen(FaultEnded(data.draw(st.sampled_from([cause.fault for cause in self.state.causes]))))

    @rule()
    def everything_is_mended(self) -> None:
        """Let all that is seen end, and a person give the street back."""
        for cause in self.state.causes:
            self.happen(FaultEnded(cause.fault))
        self.happen(LockOutCleared(technician="Lee", place=Place.AT_CABINET))
        self.happen(RE_ENABLED)

    @rule()
    def half_an_hour_of_ticks_passes(self) -> None:
        """Give the ladder the time to climb."""
        for _ in range(4):
            self.happen(TICK, 50)

    @rule()
    def a_person_re_enables(self) -> None:
        """Try to."""
        self.happen(RE_ENABLED)

    @rule(mode=limits)
    def a_person_sets_the_cap(self, mode: Mode) -> None:
        """Cap, or lift the cap."""
        self.happen(limit(mode))

    @rule(what=st.sampled_from([Plan(1), Free(), Flash()]), lasts=st.sampled_from([None, None, 0, 1, 100, 400, 401]))
    def a_person_orders(self, what: Plan | Free | Flash, lasts: int | None) -> None:
        """Give an order, possible or not."""
        expires = None if lasts is None else self.now + lasts
        self.happen(OrderGiven(Order(what=what, operator="Kim", reason="works", expires=expires)))

    @rule()
    def a_person_withdraws(self) -> None:
        """End an order, if there is one."""
        self.happen(WITHDRAWN)

    @rule(place=st.sampled_from(Place))
    def a_lock_out_is_cleared(self, place: Place) -> None:
        """Try to, from here or there."""
        self.happen(LockOutCleared(technician="Lee", place=place))

    @rule(lapse=st.sampled_from([0, 5, 100, 500, -300]), stopped=st.booleans(), checked=st.booleans())
    def the_daemon_restarts(self, *, lapse: int, stopped: bool, checked: bool) -> None:
        """Stop or die, and start again, perhaps by another clock."""
        if stopped:
            self.happen(Stopped())
        self.now += lapse
        self.state = step(self.state, Started(), self.now, self.settings)
        self.model.happens(Started(), self.now)
        if checked:
            self.happen(Checked())

    @rule()
    def the_cabinet_is_checked(self) -> None:
        """Check, again or at last."""
        self.happen(Checked())

    @invariant()
    def they_agree(self) -> None:
        """Mode, order, count, hours and debts are the same."""
        if not hasattr(self, "state"):
            return
        state, model = self.state, self.model
        causes = [cause for cause in state.causes if cause.lowers]
        assert model.shown is state.mode
        assert model.own is state.rung
        assert model.order == state.order
        assert model.shown_from == state.since
        assert model.hours == time_in(state, state.at)
        assert model.scars == {cause.fault for cause in causes}
        assert model.held == {cause.fault for cause in causes if cause.latched}
        assert model.seen == {cause.fault for cause in state.causes if cause.present}
        assert model.lately() == [at for at in state.returns if state.at - at < HOUR]
        assert len(model.lately()) <= 3


Ladders.TestCase.settings = hypothesis_settings(stateful_step_count=40)
TestLadders = Ladders.TestCase
