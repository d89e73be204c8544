"""What follows requests: the same as our own machine where it is asked at the same instants, and its own master where a hand is on it."""

from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from field_adapters.modbus_map import Refusal
from field_adapters.modbus_profile import Mode
from field_adapters.simulated import orders
from field_adapters.simulated.standing import ALL_RED
from field_adapters.virtual import VirtualCabinet
from intersection import machine
from intersection.config import IntersectionConfig
from intersection.phase import Tenths
from intersection.shield import Refused, review
from intersection.state import FOREVER, FREE, NO_STAGE, Display, Interval
from tests.field_adapters.adapter_contract import CONFIG, LEFT, MAIN, SIDE
from tests.intersection.strategies import configurations, turns


def ask(cabinet: VirtualCabinet, stage: int) -> str | None:
    """Ask for a stage, as decided now."""
    return cabinet.ask(Mode.STAGE, stage, decided=cabinet.now, writer="test")


def greens(cabinet: VirtualCabinet) -> set[int]:
    """Give the numbers of the groups that show green."""
    return {number for number, shown in cabinet.indications().items() if shown.interval is Interval.GREEN}


@settings(max_examples=min(20, settings().max_examples), deadline=None)
@given(config=configurations(), seed=st.integers(0, 2**32 - 1))
def test_commands_at_the_same_instants_give_the_same_signal_as_our_own_machine(config: IntersectionConfig, seed: int) -> None:
    """Whatever the gate made of a proposal, the cabinet's own gate makes the same of its stage: not a tenth of a second differs."""
    random, tables = Random(seed), config.tables
    stage = random.randrange(len(config.stages))
    cabinet = VirtualCabinet(config, watchdog=FOREVER, stage=stage)
    state = machine.start(tables, stage, 0)
    for turn in islice(turns(random, config), 40):
        if turn.placed is not None:
            state = machine.place_calls(state, tables, *turn.placed)
            cabinet.place_calls(*turn.placed)
        verdict = None if turn.proposal is None else review(turn.proposal._replace(pattern=FREE), state, tables)
        command = None if verdict is None or isinstance(verdict, Refused) else verdict.command
        if command is not None:
            assert ask(cabinet, command.stage) is None
            state = machine.advance(state, command, state.now, tables)
        for now in range(state.now + 1, state.now + min(turn.lasts or 30, 60) + 1):
            state = machine.advance(state, None, now, tables)
            cabinet.advance(now)
            assert state == cabinet.state


def test_a_latched_monitor_outlives_switches_and_new_starts() -> None:
    """Only its reset ends a conflict flash; then the signal starts up anew."""
    cabinet = VirtualCabinet(CONFIG)
    cabinet.advance(30)
    displays = []
    for order in (orders.ConflictFlash(), orders.Flash(on=False), orders.Reboot(), orders.ResetMonitor()):
        cabinet.order(order)
        cabinet.advance(cabinet.now + ALL_RED)
        displays.append(cabinet.state.display)

    assert [Display.FLASH] * 3 + [Display.NORMAL] == displays


def test_lamps_without_power_stay_dark_over_a_new_start() -> None:
    """And show colours when the power is back."""
    cabinet = VirtualCabinet(CONFIG)
    displays = []
    for order in (orders.LampsDark(on=True), orders.Reboot(), orders.LampsDark(on=False)):
        cabinet.order(order)
        cabinet.advance(cabinet.now + ALL_RED)
        displays.append(cabinet.state.display)

    assert [Display.DARK, Display.DARK, Display.NORMAL] == displays


def test_what_it_begins_by_itself_is_shown_at_that_instant() -> None:
    """A yellow that its own plan begins when it is let go of lasts as long in the street as in its timing."""
    cabinet = VirtualCabinet(CONFIG, own_pattern=CONFIG.patterns[0].number)
    shown: dict[Interval, int] = {}
    for now in range(1, 1200):
        if now % 97 == 0:
            ask(cabinet, cabinet.state.stage)
            cabinet.ask(Mode.RELEASED, 0, decided=now, writer="test")
        was = cabinet.state.target
        cabinet.advance(now)
        if was == NO_STAGE != cabinet.state.target:
            shown[Interval.YELLOW_CHANGE] = cabinet.state.now - cabinet.state.left

    assert {Interval.YELLOW_CHANGE: 0} == shown


def test_stopped_time_moves_nothing() -> None:
    """A yellow that runs when time is stopped goes on for all that was left when it runs again."""
    cabinet = VirtualCabinet(CONFIG)
    cabinet.advance(60)
    ask(cabinet, SIDE)
    cabinet.advance(70)
    cabinet.order(orders.StopTime(on=True))
    stopped = cabinet.next_change()
    cabinet.advance(500)
    yellow = {shown.interval for number, shown in cabinet.indications().items() if number in (1, 2)}
    cabinet.order(orders.StopTime(on=False))
    arrives = cabinet.state.arrives
    cabinet.advance(530)

    assert (FOREVER, {Interval.YELLOW_CHANGE}, 530) == (stopped, yellow, arrives)
    assert {4} == greens(cabinet)


def test_a_preemption_takes_its_stage_and_lets_it_go() -> None:
    """While it runs, nothing else is followed."""
    cabinet = VirtualCabinet(CONFIG)
    cabinet.advance(60)
    cabinet.order(orders.Preempt(on=True, number=3))
    refused = ask(cabinet, LEFT)
    cabinet.advance(300)
    during = greens(cabinet)
    cabinet.order(orders.Preempt(on=False))
    taken = ask(cabinet, MAIN)

    assert (Refusal.LOCAL.words, {4}, None) == (refused, during, taken)


@pytest.mark.parametrize("hand", [orders.Police, orders.Manual])
def test_a_hand_at_the_cabinet_ends_requests(hand: type[orders.Police | orders.Manual]) -> None:
    """The signal stays where the hand leaves it, until it is taken away."""
    cabinet = VirtualCabinet(CONFIG, own_pattern=7)
    cabinet.order(hand(on=True))
    refused = ask(cabinet, SIDE)
    cabinet.advance(1000)
    stayed = greens(cabinet)
    cabinet.order(hand(on=False))
    cabinet.advance(2000)

    assert (Refusal.LOCAL.words, {1, 2}, Mode.RELEASED) == (refused, stayed, cabinet.following)
    assert NO_STAGE == cabinet.state.target or cabinet.state.stage != MAIN or cabinet.state.arrived > 1000


def test_another_writer_is_seen_in_the_street() -> None:
    """It asks for other stages, each second, until it goes away; what it wrote last stays until its time is over."""
    cabinet = VirtualCabinet(CONFIG)
    cabinet.order(orders.AnotherWriter(on=True))
    cabinet.advance(150)
    seen = cabinet.following, cabinet.state.stage
    cabinet.order(orders.AnotherWriter(on=False))
    after: dict[Tenths, Mode] = {}
    for now in (155, 195, 205):
        cabinet.advance(now)
        after[now] = cabinet.following

    assert Mode.STAGE is seen[0]
    assert seen[1] != MAIN
    assert {155: Mode.STAGE, 195: Mode.STAGE, 205: Mode.EXPIRED} == after


@pytest.mark.parametrize(
    "order", [orders.JumpClock(1.0), orders.SetBackupTime(0), orders.EditTiming(1, 10), orders.ChangeSequence(on=True)]
)
def test_what_it_cannot_do_is_said(order: orders.CabinetOrder) -> None:
    """An order that means nothing to it is answered in words."""
    unsupported = VirtualCabinet(CONFIG).order(order)

    assert isinstance(unsupported, orders.UnsupportedOrder)
    assert unsupported.reason


@pytest.mark.parametrize(("mode", "number", "refusal"), [(Mode.PLAN, 8, Refusal.UNKNOWN_PLAN), (Mode.STAGE, 3, Refusal.CONFLICT)])
def test_what_does_not_exist_is_refused(mode: Mode, number: int, refusal: Refusal) -> None:
    """A plan or a stage that the cabinet does not have."""
    assert refusal.words == VirtualCabinet(CONFIG).ask(mode, number, decided=0, writer="test")


def test_time_does_not_run_backwards() -> None:
    """A clock that is set back is a fault of whoever owns it."""
    cabinet = VirtualCabinet(CONFIG)
    cabinet.advance(10)

    with pytest.raises(ValueError, match="runs forward"):
        cabinet.advance(9)


def test_an_old_decision_that_is_asked_again_is_not_followed_after_its_time() -> None:
    """What the watchdog has ended does not begin again without a newer decision."""
    cabinet = VirtualCabinet(CONFIG, watchdog=20)
    asked = [cabinet.ask(Mode.STAGE, MAIN, decided=0, writer="test")]
    cabinet.advance(30)
    asked.append(cabinet.ask(Mode.STAGE, MAIN, decided=0, writer="test"))

    assert ([None, None], Mode.EXPIRED) == (asked, cabinet.following)
