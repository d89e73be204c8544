import pytest

from controller.events import (
    Checked,
    Fault,
    FaultBegan,
    FaultEnded,
    Flash,
    Free,
    LimitSet,
    Mode,
    Order,
    OrderGiven,
    Plan,
    Started,
    Stopped,
    Tick,
)
from controller.explanation import Explanation, explain, in_words, ordered
from controller.mode import HOUR, LadderSettings, LadderState, initial, step

SETTINGS = LadderSettings(flash_enabled=True)


def run(*events: tuple[int, object], state: LadderState | None = None, settings: LadderSettings = SETTINGS) -> LadderState:
    """Let events happen, each at its instant."""
    now = initial(1_000) if state is None else state
    for at, event in events:
        now = step(now, event, at, settings)  # type: ignore[arg-type]  # every event of these tests is one
    return now


ADAPTIVE = run((1_000, Started()), (1_000, Checked()), (1_000, Tick()), (1_000, Tick()))
SHADOW = LimitSet(limit=Mode.SHADOW, operator="Ida", reason="two weeks of trial")
PLAN = OrderGiven(Order(what=Plan(3), operator="Kim", reason="match day", expires=1_000 + 2 * HOUR))


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (0, "0 s"),
        (1, "1 s"),
        (10, "1 s"),
        (11, "2 s"),
        (590, "59 s"),
        (600, "1 min 0 s"),
        (35_990, "59 min 59 s"),
        (36_000, "1 h 0 min"),
        (36_000 * 24 - 600, "23 h 59 min"),
        (36_000 * 24, "1 d 0 h"),
        (36_000 * 25, "1 d 1 h"),
    ],
)
def test_durations_are_written_for_people(duration: int, words: str) -> None:
    """Two units, the largest ones."""
    assert words == in_words(duration)


def test_what_is_ordered_has_a_name() -> None:
    """A plan by its number, free operation and flash by their words."""
    assert ["plan 3", "free operation", "flash"] == [ordered(Plan(3)), ordered(Free()), ordered(Flash())]


def test_a_policy_in_control_needs_no_reason() -> None:
    """Nothing is wrong, and nothing stands above."""
    expected = Explanation(
        mode=Mode.ADAPTIVE,
        lasted=300,
        why=("Nothing is wrong.",),
        street="The policy chooses the stages.",
        raises=("Nothing stands above it.",),
    )

    assert expected == explain(ADAPTIVE, 1_300, SETTINGS)


def test_the_weightiest_fault_comes_first_and_each_says_what_ends_it() -> None:
    """A lost link weighs more than a policy that hangs; a lapse of the past comes after what is still seen; notes stand apart."""
    state = run(
        (2_000, FaultBegan(Fault.REQUEST_REFUSED)),
        (2_000, FaultBegan(Fault.POLICY_HUNG)),
        (2_600, FaultBegan(Fault.LINK_LOST, "10.0.0.7")),
        (2_600, FaultBegan(Fault.DETECTOR_FAILED, "D3")),
        state=ADAPTIVE,
    )
    expected = Explanation(
        mode=Mode.RELEASED,
        lasted=1_200,
        why=(
            "The cabinet does not answer (10.0.0.7), seen for 1 min 0 s.",
            "The cabinet refused a request, seen 2 min 0 s ago.",
            "The policy has stopped answering, seen for 2 min 0 s.",
        ),
        street="The cabinet runs its own schedule as soon as its backup time has passed.",
        raises=(
            "It ends some clean minutes after the cabinet answers again.",
            "It ends some clean minutes after the policy answers again.",
        ),
        notes=("A detector has failed; the policy does without it, and its phase is recalled (D3), seen for 1 min 0 s.",),
    )

    assert expected == explain(state, 3_200, SETTINGS)


def test_the_wait_is_told_in_minutes_and_seconds() -> None:
    """What would raise the mode next, and when."""
    state = run((2_000, FaultBegan(Fault.POLICY_LATE)), state=ADAPTIVE)
    explanation = explain(state, 2_590, SETTINGS)

    assert ("The policy did not answer in time, seen 59 s ago.",) == explanation.why
    assert "The street runs our fixed-time plan." == explanation.street
    assert ("The mode goes up to ADAPTIVE in 4 min 1 s if nothing happens before.",) == explanation.raises
    assert ("The mode goes up to ADAPTIVE in 0 s if nothing happens before.",) == explain(state, 9_000, SETTINGS).raises


def test_flapping_is_told() -> None:
    """What has come back too often waits for the hour to pass, or for a person."""
    state = ADAPTIVE
    for now in (10_000, 14_000, 18_000, 22_000):
        state = run((now, FaultBegan(Fault.POLICY_LATE)), (now + SETTINGS.clean_time, Tick()), state=state)
    words = "The mode goes up to ADAPTIVE in 40 min 0 s if nothing happens before, or sooner if a person re-enables: "

    assert (f"{words}it has come back by itself too often within the hour.",) == explain(state, 25_000, SETTINGS).raises


def test_where_nothing_returns_by_itself_a_person_is_asked_for() -> None:
    """With no returns allowed there is no instant to name."""
    never = LadderSettings(returns_per_hour=0)
    state = run((2_000, FaultBegan(Fault.POLICY_LATE)), state=ADAPTIVE, settings=never)

    assert ("A person re-enables: the mode does not go up by itself here after such a fault.",) == explain(state, 9_000, never).raises


def test_a_latch_says_that_a_person_must_look() -> None:
    """Also when the cause has gone; then the street is what the mode says."""
    state = run((2_000, FaultBegan(Fault.CONFLICT_FLASH)), state=ADAPTIVE)
    gone = run((3_000, FaultEnded(Fault.CONFLICT_FLASH)), state=state)
    ends = ("A technician resets the monitor at the cabinet; then a person re-enables.",)

    assert (ends, ends) == (explain(state, 3_000, SETTINGS).raises, explain(gone, 3_000, SETTINGS).raises)
    assert "The signals flash, held by the cabinet's monitor." == explain(state, 3_000, SETTINGS).street
    assert "The cabinet runs its own schedule; every request of ours is zero." == explain(gone, 3_000, SETTINGS).street


def test_two_faults_with_one_remedy_name_it_once() -> None:
    """The operator reads a list of what to do, not of what happened."""
    state = run((2_000, FaultBegan(Fault.REBOOTED)), (2_000, FaultBegan(Fault.ANOTHER_WRITER)), state=ADAPTIVE)

    assert ("It stays until a person has looked into it and re-enables.",) == explain(state, 3_000, SETTINGS).raises


def test_a_cap_names_who_set_it() -> None:
    """A person with the reason, or the configuration; the cabinet's doings are told under a cap too, our own plan is not."""
    by_person = run((2_000, SHADOW), state=ADAPTIVE)
    configured = LadderSettings(limit=Mode.MONITOR)
    by_file = run((2_000, FaultBegan(Fault.POLICE)), (2_000, FaultBegan(Fault.POLICY_HUNG)), state=ADAPTIVE, settings=configured)
    hung = run((2_000, FaultBegan(Fault.POLICY_HUNG)), state=by_person)

    assert ("The mode is capped at SHADOW by Ida: two weeks of trial.",) == explain(by_person, 2_000, SETTINGS).why
    assert ("The cap is lifted.",) == explain(by_person, 2_000, SETTINGS).raises
    assert "The mode is capped at MONITOR by the configuration." == explain(by_file, 2_000, configured).why[0]
    assert "The street runs as the police direct." == explain(by_file, 2_000, configured).street
    assert "The cabinet runs its own schedule; it is only read." == explain(hung, 2_000, SETTINGS).street


def test_an_order_says_whose_it_is_and_when_it_ends() -> None:
    """A plan has its time, flash has none; the faults of the policy are told all the same."""
    state = run((1_000, FaultBegan(Fault.POLICY_HUNG)), (1_000, PLAN), state=ADAPTIVE)
    flash = run((1_000, OrderGiven(Order(what=Flash(), operator="Kim", reason="broken pole"))), state=ADAPTIVE)
    plan = explain(state, 1_000 + HOUR, SETTINGS)

    assert ("Kim has ordered plan 3: match day.", "The policy has stopped answering, seen for 1 h 0 min.") == plan.why
    assert "The street runs plan 3, as a person has ordered." == plan.street
    assert ("It ends in 1 h 0 min, when the order is withdrawn, or by a fault that outranks it.",) == plan.raises
    assert "It ends in 0 s, " == explain(state, 1_000 + 3 * HOUR, SETTINGS).raises[0][:16]
    assert ("It ends when the order is withdrawn, or by a fault that outranks it.",) == explain(flash, 9_000, SETTINGS).raises


def test_an_order_that_was_taken_up_again_says_that_the_cabinet_had_let_go() -> None:
    """Between the start and the check it waits, and nothing of it is sent."""
    waiting = run((1_000, PLAN), (2_000, Started()), state=ADAPTIVE)
    again = "The order was taken up again after the daemon was started anew; the cabinet had released itself meanwhile."
    before, after = explain(waiting, 2_000, SETTINGS), explain(run((2_000, Checked()), state=waiting), 2_000, SETTINGS)

    assert "The cabinet runs its own schedule; it is only read." == before.street
    assert "Kim has ordered plan 3, which waits until the cabinet has been checked: match day." == before.why[0]
    assert "The cabinet has not been checked yet." in before.why
    assert ("The cabinet is read once, and nothing is found wrong.",) == before.raises
    assert ("Kim has ordered plan 3: match day.", again) == after.why[:2]


def test_off_says_why() -> None:
    """Stopped, never started, or capped."""
    stopped = explain(run((2_000, Stopped()), state=ADAPTIVE), 2_000, SETTINGS)
    off = explain(run((2_000, LimitSet(limit=Mode.OFF, operator="Ida", reason="works")), state=ADAPTIVE), 2_000, SETTINGS)

    assert (("The daemon is stopped.",), ("The daemon is started.",)) == (stopped.why, stopped.raises)
    assert (("The mode is capped at OFF by Ida: works.",), ("The cap is lifted.",)) == (off.why, off.raises)


def test_it_is_written_a_line_each() -> None:
    """The mode and its age, the reasons, the street, the remedies, the notes."""
    state = run((2_000, FaultBegan(Fault.POLICY_LATE)), (2_000, FaultBegan(Fault.CLOCK_OFF, "2.4 s")), state=ADAPTIVE)
    lines = str(explain(state, 2_600, SETTINGS)).splitlines()

    assert [
        "FIXED_TIME for 1 min 0 s",
        "The policy did not answer in time, seen 1 min 0 s ago.",
        "The street runs our fixed-time plan.",
        "The mode goes up to ADAPTIVE in 4 min 0 s if nothing happens before.",
        "Note: The clocks of the daemon and the cabinet differ by more than is allowed (2.4 s), seen for 1 min 0 s.",
    ] == lines
