from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.detectors import (
    Blind,
    Cause,
    Comparison,
    Failed,
    FieldFault,
    Limits,
    Recall,
    Recalls,
    State,
    Watch,
    occupancy_of,
)
from intersection.detection import Channel, Detector, DetectorKind, Fault, Readings
from intersection.errors import ConfigError
from intersection.machine import advance, place_calls, start
from intersection.phase import Tenths
from intersection.shield import Proposal, Refused, review
from intersection.state import NEVER
from tests.intersection.documents import signal, stage


class Says(NamedTuple):
    """What one detector says."""

    counted: float = 0.0
    occupancy: float = 0.0
    since: float = 3600.0
    queue: float = 0.0
    valid: bool = True


NOBODY = Says()
STANDS = Says(0.0, 1.0, 0.0)
PASSES = Says(1.0, 0.4, 0.3)


def detector(id: str, kind: DetectorKind = DetectorKind.STOP_BAR, *phases: int) -> Detector:  # noqa: A002  # as the field is called
    """Make a detector that calls these phases, phase 1 by default."""
    return Detector(id=id, kind=kind, phases=phases or (1,))


LOOP = detector("loop")
ADVANCE = detector("advance", DetectorKind.ADVANCE)
AREA = detector("area", DetectorKind.AREA)
BUTTON = detector("button", DetectorKind.PUSH_BUTTON)
AWAY = detector("away", DetectorKind.DEPARTURE)


def watch(
    *detectors: Detector, left_turns: Iterable[int] = (), comparisons: tuple[Comparison, ...] | None = None, limits: Limits | None = None
) -> Watch:
    """Watch detectors of phases 1 to 4."""
    return Watch(
        detectors=detectors,
        groups={number: number - 1 for number in range(1, 5)},
        left_turns=frozenset(left_turns),
        limits=limits or Limits(),
        comparisons=comparisons,
    )


def reading(said: Sequence[Says], vehicles: int = 0, pedestrians: int = 0, discharged: int = 0) -> Readings:
    """Put together what all detectors say."""
    values = np.zeros((len(Channel), len(said)), np.float32)
    for at, says in enumerate(said):
        values[[Channel.COUNT, Channel.QUEUE, Channel.OCCUPANCY, Channel.SINCE], at] = says.counted, says.queue, says.occupancy, says.since
    return Readings(values, np.array([says.valid for says in said], bool), vehicles, pedestrians, discharged)


class Play:
    """Detectors that say one thing after another."""

    def __init__(self, watching: Watch, now: Tenths = 0) -> None:
        self.watch, self.now = watching, now
        self.state: State = watching.start(now)
        self.heard = reading([NOBODY] * len(watching.detectors))

    def hear(self, *said: Says, lasts: Tenths = 10, reported: Mapping[str, FieldFault] | None = None) -> "Play":
        """Let all say the same for some time, first after a second at most and then every five seconds."""
        self.heard = reading(said)
        end = self.now + lasts
        while self.now < end:
            self.now += min(10 if lasts == end - self.now else 50, end - self.now)
            self.state = self.watch.follow(self.state, self.heard, self.now, reported)
        return self

    @property
    def causes(self) -> list[Cause | None]:
        """Why each has failed."""
        return [health.cause for health in self.state.healths]

    @property
    def blind(self) -> Blind | None:
        """Whether too little is seen."""
        return self.watch.judge(self.state, self.heard).blind


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (0, 0.0),
        (1, 0.005),
        (200, 1.0),
        (201, FieldFault.OTHER),
        (210, FieldFault.MAX_PRESENCE),
        (211, FieldFault.NO_ACTIVITY),
        (212, FieldFault.OPEN_LOOP),
        (213, FieldFault.SHORTED_LOOP),
        (214, FieldFault.EXCESSIVE_CHANGE),
        (215, FieldFault.OTHER),
        (216, FieldFault.WATCHDOG),
        (217, FieldFault.ERRATIC),
        (255, FieldFault.OTHER),
        (-1, FieldFault.OTHER),
    ],
)
def test_an_occupancy_above_200_is_a_code(reported: int, expected: float | FieldFault) -> None:
    """A fault's code never reads as a share of time."""
    assert expected == occupancy_of(reported)


@pytest.mark.parametrize("kind", [LOOP, ADVANCE])
def test_a_loop_is_stuck_on_after_ten_minutes_without_a_break(kind: Detector) -> None:
    """Exactly then, and not before."""
    play = Play(watch(kind)).hear(STANDS, lasts=6000)

    assert [None] == play.causes
    assert [Fault.STUCK_ON] == play.hear(STANDS).causes


def test_a_short_break_shows_that_a_loop_works() -> None:
    """One vehicle drives off and the next comes within a second: the loop was free for some of it."""
    play = Play(watch(LOOP)).hear(STANDS, lasts=5000).hear(Says(1.0, 0.8, 0.0)).hear(STANDS, lasts=5990)

    assert [None] == play.causes
    assert [Fault.STUCK_ON] == play.hear(STANDS).causes


def test_a_button_is_stuck_when_it_stays_pressed() -> None:
    """Nobody leans on a push button for ten minutes; one that nobody presses for hours works."""
    pressed = Says(1.0)

    assert [None] == Play(watch(BUTTON)).hear(NOBODY, lasts=50_000).causes
    assert [Fault.STUCK_ON] == Play(watch(BUTTON)).hear(pressed, lasts=6010).causes
    assert [None] == Play(watch(BUTTON)).hear(pressed, lasts=5000).hear(NOBODY).hear(pressed, lasts=5000).causes


@pytest.mark.parametrize("kind", [AREA, AWAY])
def test_an_area_is_stuck_when_its_vehicles_never_move(kind: Detector) -> None:
    """An area over a busy approach need never be empty; one in which nothing changes for ten minutes is frozen."""
    moving = Play(watch(kind))
    for at in range(7000 // 20):
        moving.hear(Says(4.0, queue=at % 2), lasts=20)

    assert [None] == moving.causes
    assert [Fault.STUCK_ON] == Play(watch(kind)).hear(Says(4.0, queue=1.0), lasts=6020).causes


@pytest.mark.parametrize("kind", [LOOP, ADVANCE, AREA])
def test_an_hour_of_silence_is_a_fault(kind: Detector) -> None:
    """Exactly after an hour; a passage that no reading sees as presence is a sign of life."""
    play = Play(watch(kind)).hear(NOBODY, lasts=20_000).hear(PASSES).hear(NOBODY, lasts=35_990)

    assert [None] == play.causes
    assert [Fault.STUCK_OFF] == play.hear(NOBODY).causes


def test_chatter_is_told_by_its_changes() -> None:
    """Twice a second is more than any flow; a vehicle every two seconds is not."""
    chatter, dense = Play(watch(LOOP)), Play(watch(LOOP))
    for _ in range(30):
        chatter.hear(Says(0.0, 0.5, 0.0), lasts=2).hear(Says(0.0, 0.5, 0.2), lasts=2)

    assert [None] == chatter.causes
    for _ in range(25):
        chatter.hear(Says(0.0, 0.5, 0.0), lasts=2).hear(Says(0.0, 0.5, 0.2), lasts=2)
    for _ in range(600):
        dense.hear(Says(1.0, 0.5, 0.0)).hear(Says(0.0, 0.5, 0.2))

    assert [FieldFault.CHATTERING] == chatter.causes
    assert [None] == dense.causes


def test_counts_are_judged_over_a_minute() -> None:
    """A lane carries 43 vehicles in a minute and no more, told one by one or by a cabinet's report; then a minute begins anew."""
    play = Play(watch(LOOP)).hear(Says(43.0, 0.5, 0.2))

    assert [None] == play.causes
    assert [Fault.IMPOSSIBLE_COUNT] == play.hear(Says(1.0, 0.5, 0.2)).causes

    report = Play(watch(LOOP))
    for _ in range(20):
        report.hear(Says(43.0, 0.5, 0.2)).hear(NOBODY, lasts=590)

    assert [None] == report.causes


@pytest.mark.parametrize(
    "says",
    [
        Says(occupancy=1.01),
        Says(occupancy=-0.1),
        Says(occupancy=float("nan")),
        Says(-1.0),
        Says(float("nan")),
        Says(float("inf")),
        Says(since=-1.0),
        Says(queue=float("nan")),
    ],
)
@pytest.mark.parametrize("kind", [LOOP, AREA])
def test_a_value_that_does_not_exist_is_a_fault(kind: Detector, says: Says) -> None:
    """Negative, infinite or no numbers; and none of them stays in the sums."""
    play = Play(watch(kind)).hear(says)

    assert [Fault.OUT_OF_RANGE] == play.causes
    assert [None] == play.hear(PASSES).hear(NOBODY, lasts=3000).causes


def test_what_the_cabinet_reports_counts_at_once() -> None:
    """A code from the cabinet is believed whatever the values say, for the detector that it belongs to."""
    play = Play(watch(LOOP, AREA)).hear(PASSES, Says(2.0), reported={"loop": FieldFault.OPEN_LOOP})

    assert [FieldFault.OPEN_LOOP, None] == play.causes


def test_a_failed_detector_is_believed_again_after_a_clean_time() -> None:
    """Five minutes without a fault, exactly; a relapse begins them anew."""
    broken = {"loop": FieldFault.ERRATIC}
    play = Play(watch(LOOP)).hear(PASSES, reported=broken).hear(NOBODY, lasts=2990)

    assert [FieldFault.ERRATIC] == play.causes

    play.hear(NOBODY, reported={"loop": FieldFault.WATCHDOG}).hear(NOBODY, lasts=2990)

    assert [FieldFault.WATCHDOG] == play.causes
    assert [None] == play.hear(NOBODY).causes


def test_a_silent_detector_recovers_by_its_first_vehicle() -> None:
    """Its clean time begins with it."""
    play = Play(watch(LOOP)).hear(NOBODY, lasts=36_000).hear(PASSES)

    assert [Fault.STUCK_OFF] == play.causes
    assert [None] == play.hear(NOBODY, lasts=3000).causes


def test_a_detector_without_readings_is_masked_at_once_and_fails_later() -> None:
    """A single reading that is missing leaves no fault behind; half a minute of them does."""
    gone = Says(valid=False)
    play = Play(watch(LOOP, LOOP, LOOP, LOOP)).hear(PASSES, PASSES, PASSES, PASSES).hear(gone, NOBODY, NOBODY, NOBODY)
    judged = play.watch.judge(play.state, play.heard)

    assert [None] * 4 == play.causes
    assert (Failed("loop", FieldFault.NO_READING),) == judged.failed
    assert {1: Recall.MAXIMUM} == judged.recalls.vehicles

    play.hear(gone, NOBODY, NOBODY, NOBODY, lasts=280)

    assert [None] * 4 == play.causes
    assert FieldFault.NO_READING == play.hear(gone, NOBODY, NOBODY, NOBODY).causes[0]


def test_readings_that_are_missing_now_and_then_do_not_hide_a_fault() -> None:
    """On a wire that loses every second reading a loop is found stuck on and stuck off as ever."""
    on, off = Play(watch(LOOP)), Play(watch(LOOP))
    for _ in range(301):
        on.hear(Says(valid=False)).hear(STANDS)
    for _ in range(1800):
        off.hear(Says(valid=False)).hear(NOBODY)

    assert ([Fault.STUCK_ON], [Fault.STUCK_OFF]) == (on.causes, off.causes)


def test_nothing_is_concluded_from_a_time_without_readings() -> None:
    """A wire that was cut for an hour does not make a loop stuck that was occupied before and is after, nor a silent one dead."""
    play = Play(watch(LOOP, AREA)).hear(STANDS, NOBODY, lasts=100)
    play.now += 40_000

    assert [None, None] == play.hear(STANDS, NOBODY).causes


PAIR = (detector("up", DetectorKind.ADVANCE), detector("left"), detector("right"))


def compared(play: Play, *counts: int) -> list[str]:
    """Let detectors count so many vehicles, evenly over the 15 min of a comparison, and name those that have failed after it."""
    for second in range(900):
        play.hear(*(PASSES if (second + 1) * n // 900 > second * n // 900 else NOBODY for n in counts))
    play.hear(*[NOBODY] * len(counts))
    return [entry.detector for entry in play.watch.judge(play.state, play.heard).failed]


@pytest.mark.parametrize(
    ("counts", "suspects"),
    [
        ((400, 200, 200), []),
        ((80, 200, 200), ["up"]),
        ((100, 200, 200), []),
        ((400, 60, 30), ["right"]),
        ((400, 20, 70), ["left"]),
        ((400, 50, 50), []),
        ((29, 0, 0), []),
        ((30, 0, 0), ["left"]),
        ((0, 0, 0), []),
    ],
)
def test_neighbours_that_disagree_are_told(counts: tuple[int, int, int], suspects: list[str]) -> None:
    """Of a side that counts less than a quarter of the other's, the detector that counts least is suspect, if there was enough traffic."""
    play = Play(watch(*PAIR))

    assert suspects == compared(play, *counts)
    assert set(play.causes) <= {None, FieldFault.DISAGREES}


def test_a_suspect_is_cleared_by_the_next_comparison() -> None:
    """It stays suspect until then, and is believed after the clean time; one that cannot be compared stays what it was."""
    play = Play(watch(*PAIR))

    assert ["right"] == compared(play, 400, 60, 30)
    assert ["right"] == compared(play, 20, 14, 14)
    assert ["right"] == compared(play, 400, 200, 200)

    play.hear(NOBODY, NOBODY, NOBODY, lasts=3000)

    assert [None] * 3 == play.causes


def test_a_known_fault_is_not_held_against_the_neighbours() -> None:
    """A period in which one of them had a fault of its own compares nothing; the next one does."""
    play = Play(watch(*PAIR)).hear(NOBODY, NOBODY, NOBODY, reported={"up": FieldFault.WATCHDOG})

    assert [] == compared(play, 0, 200, 200)
    assert ["up"] == compared(play, 0, 200, 200)


def test_neighbours_can_be_named() -> None:
    """A comparison of one's own replaces the phase's; one detector may stand in several."""
    named = watch(*PAIR, comparisons=(Comparison((0,), (1,)), Comparison((1,), (2,))))

    assert ["right"] == compared(Play(named), 200, 200, 10)
    assert [] == compared(Play(watch(*PAIR, comparisons=())), 400, 0, 0)


def test_only_loops_of_the_same_phases_are_neighbours() -> None:
    """An advance loop of another phase, an area or a button is compared with nobody."""
    others = (detector("up", DetectorKind.ADVANCE, 2), detector("down"), AREA, BUTTON, Detector(id="spare", kind=DetectorKind.STOP_BAR))

    assert [] == compared(Play(watch(*others)), 400, 0, 0, 0, 0)


LEFT = {4}


@pytest.mark.parametrize(
    ("detectors", "failed", "vehicles", "pedestrians"),
    [
        ([detector("a")], "a", {1: Recall.MAXIMUM}, set()),
        ([detector("a", DetectorKind.AREA, 1, 2)], "a", {1: Recall.MAXIMUM, 2: Recall.MAXIMUM}, set()),
        ([detector("a", DetectorKind.STOP_BAR, 4)], "a", {4: Recall.MINIMUM}, set()),
        ([detector("a", DetectorKind.STOP_BAR, 1, 4)], "a", {1: Recall.MAXIMUM, 4: Recall.MINIMUM}, set()),
        ([detector("a", DetectorKind.PUSH_BUTTON, 2, 3)], "a", {}, {2, 3}),
        ([detector("a", DetectorKind.DEPARTURE)], "a", {}, set()),
        ([detector("a", DetectorKind.ADVANCE)], "a", {1: Recall.MINIMUM}, set()),
        ([detector("a", DetectorKind.ADVANCE), detector("b")], "a", {}, set()),
        ([detector("a", DetectorKind.ADVANCE), detector("b", DetectorKind.AREA)], "a", {}, set()),
        ([detector("a", DetectorKind.ADVANCE), detector("b", DetectorKind.STOP_BAR, 2)], "a", {1: Recall.MINIMUM}, set()),
        ([detector("a", DetectorKind.ADVANCE), detector("b", DetectorKind.PUSH_BUTTON)], "a", {1: Recall.MINIMUM}, set()),
        ([detector("a", DetectorKind.ADVANCE), detector("b")], "ab", {1: Recall.MAXIMUM}, set()),
        ([detector("b"), detector("a", DetectorKind.ADVANCE)], "ab", {1: Recall.MAXIMUM}, set()),
        ([detector("a"), detector("b")], "a", {1: Recall.MAXIMUM}, set()),
    ],
)
def test_a_phase_is_recalled_by_the_kind_of_its_failed_detector(
    detectors: list[Detector], failed: str, vehicles: dict[int, Recall], pedestrians: set[int]
) -> None:
    """Stop bar: maximum; left turn: minimum; button: pedestrians; an advance loop only where nobody sees the stop line."""
    play = Play(watch(*detectors, left_turns=LEFT, limits=Limits(fail_time=70)))
    play.hear(*[PASSES] * len(detectors), reported=dict.fromkeys(failed, FieldFault.OTHER))
    recalls = play.watch.judge(play.state, play.heard).recalls

    assert Recalls(vehicles, frozenset(pedestrians), 70) == recalls


def judged(said: Sequence[Says], failed: Iterable[str], *, vehicles: int = 0, pedestrians: int = 0, discharged: int = 0) -> Readings:
    """Mask what some detectors say."""
    seen = watch(
        detector("one"),
        detector("one too"),
        detector("two", DetectorKind.STOP_BAR, 2),
        detector("left", DetectorKind.ADVANCE, 3),
        detector("stop", DetectorKind.STOP_BAR, 3),
        detector("button", DetectorKind.PUSH_BUTTON, 1),
        detector("other button", DetectorKind.PUSH_BUTTON, 2),
    )
    heard = reading(said, vehicles, pedestrians, discharged)
    state = seen.follow(seen.start(0), heard, 10, dict.fromkeys(failed, FieldFault.OTHER))
    return seen.judge(state, heard).readings


def test_a_failed_detector_is_masked() -> None:
    """It is invalid and all its values are 0; the readings that came stay as they were, and the others' values too."""
    said = [STANDS, PASSES, PASSES, PASSES, PASSES, NOBODY, NOBODY]
    masked = judged(said, ["one", "left"])

    assert [False, True, True, False, True, True, True] == masked.valid.tolist()
    assert not masked.values[:, [0, 3]].any()
    assert np.array_equal(reading(said).values[:, [1, 2, 4, 5, 6]], masked.values[:, [1, 2, 4, 5, 6]])


def test_nothing_failed_nothing_changed() -> None:
    """Readings that can be believed are handed on as they are."""
    heard = reading([STANDS] * 7, 0b1111, 0b11, 0b1)

    assert reading([STANDS] * 7, 0b1111, 0b11, 0b1).vehicles == judged([STANDS] * 7, [], vehicles=0b1111).vehicles
    assert watch(LOOP).judge(watch(LOOP).start(0), heard).readings is heard


@pytest.mark.parametrize(
    ("failed", "others", "calls", "expected"),
    [
        (["one"], NOBODY, 0b0011, 0b0011),
        (["one"], NOBODY, 0b0010, 0b0011),
        (["left"], NOBODY, 0b0111, 0b0011),
        (["left"], STANDS, 0b0000, 0b0100),
        (["left"], PASSES, 0b0100, 0b0100),
        (["two"], NOBODY, 0b0001, 0b0011),
    ],
)
def test_a_failed_detector_is_disconnected_before_its_phase_is_called(failed: list[str], others: Says, calls: int, expected: int) -> None:
    """A call of a failed loop is taken out unless a working one says the same; then recalls are called. Other calls are left alone."""
    said = [NOBODY, NOBODY, NOBODY, STANDS, others, NOBODY, NOBODY]

    assert expected == judged(said, failed, vehicles=calls).vehicles


def test_a_failed_button_calls_its_pedestrians() -> None:
    """The pedestrians of a dead button are served; those of a button that works only when they press."""
    assert 0b01 == judged([NOBODY] * 7, ["button"]).pedestrians
    assert 0b11 == judged([NOBODY] * 7, ["button"], pedestrians=0b10).pedestrians
    assert 0b10 == judged([NOBODY] * 7, ["two"], pedestrians=0b10).pedestrians


def test_a_failed_loop_lets_nobody_leave() -> None:
    """A discharge that it reports is not believed: it would drop a call that still waits."""
    assert 0b1110 == judged([NOBODY] * 7, ["one"], discharged=0b1111).discharged
    assert 0b1111 == judged([NOBODY] * 7, ["button"], discharged=0b1111).discharged


def test_with_too_many_failed_a_policy_is_blind() -> None:
    """Three of ten may fail, four may not; those without a reading count as well."""
    ten = [detector(str(n)) for n in range(10)]
    play = Play(watch(*ten)).hear(*[PASSES] * 10, reported=dict.fromkeys("012", FieldFault.OTHER))

    assert play.blind is None
    assert Blind(4, 10, silent=False) == play.hear(*[PASSES] * 9, Says(valid=False), reported=dict.fromkeys("012", FieldFault.OTHER)).blind


def test_when_nobody_sees_anything_a_policy_is_blind() -> None:
    """A rack without power looks like a night without traffic: after 20 min a plan serves whoever is there. One vehicle ends it."""
    play = Play(watch(LOOP, ADVANCE, AREA, BUTTON)).hear(NOBODY, NOBODY, NOBODY, NOBODY, lasts=11_980)

    assert play.hear(NOBODY, NOBODY, NOBODY, Says(1.0)).blind is None
    assert Blind(0, 4, silent=True) == play.hear(NOBODY, NOBODY, NOBODY, Says(1.0)).blind
    assert play.hear(NOBODY, PASSES, NOBODY, NOBODY).blind is None


@pytest.mark.parametrize("detectors", [[], [BUTTON], [AWAY]])
def test_who_never_senses_vehicles_is_not_silent(detectors: list[Detector]) -> None:
    """An intersection without vehicle detectors is not blind for want of vehicles."""
    assert Play(watch(*detectors)).hear(*[NOBODY] * len(detectors), lasts=20_000).blind is None


numbers = st.floats(width=32, allow_subnormal=False) | st.sampled_from([0.0, 1.0, 0.5])
says = st.builds(Says, numbers, numbers, numbers, numbers, st.booleans())
masks = st.integers(0, 15)


@given(st.lists(st.tuples(st.lists(says, min_size=6, max_size=6), masks, masks, masks, st.integers(1, 4000)), max_size=30))
def test_whatever_detectors_say_is_judged(steps: list[tuple[list[Says], int, int, int, int]]) -> None:
    """Nothing raises; whoever failed is masked, called for and named once; what is believed is as it came, and holds only real numbers."""
    detectors = (LOOP, ADVANCE, AREA, BUTTON, AWAY, detector("left", DetectorKind.STOP_BAR, 4))
    watching = watch(*detectors, left_turns=[4], limits=Limits(period=5000))
    state, now = watching.start(0), 0
    for said, vehicles, pedestrians, discharged, lasts in steps:
        now += lasts
        heard = reading(said, vehicles, pedestrians, discharged)
        state = watching.follow(state, heard, now)
        judgement = watching.judge(state, heard)
        masked = judgement.readings
        failed = {entry.detector for entry in judgement.failed}

        assert failed == {d.id for d, valid in zip(detectors, masked.valid, strict=True) if not valid}
        assert len(failed) == len(judgement.failed)
        assert not masked.values[:, ~masked.valid].any()
        assert np.array_equal(heard.values[:, masked.valid], masked.values[:, masked.valid])
        assert np.isfinite(masked.values).all()
        assert masked.vehicles & sum(1 << phase - 1 for phase in judgement.recalls.vehicles) == sum(
            1 << phase - 1 for phase in judgement.recalls.vehicles
        )
        assert ("loop" in failed) <= (judgement.recalls.vehicles.get(1) is Recall.MAXIMUM)
        assert ("button" in failed) == (judgement.recalls.pedestrians == {1})


CROSSING = signal(stage("one", [1]), stage("two", [2]), timings={1: {"max_green": 400}, 2: {"max_green": 400}}, conflicts=[(1, 2)]).tables


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), min_size=1, max_size=60), st.booleans())
def test_no_detector_holds_a_phase_beyond_its_maximum_green(steps: list[tuple[bool, int]], believed: bool) -> None:
    """Whatever the loop of phase 1 says, and though a policy always wants to stay: a call of phase 2 ends the green in time."""
    watching = Watch(detectors=(LOOP, detector("two", DetectorKind.STOP_BAR, 2)), groups=CROSSING.index)
    reported = {} if believed else {"loop": FieldFault.MAX_PRESENCE}
    health = watching.start(0)
    state = place_calls(start(CROSSING, 0, 0), CROSSING, 0b10)
    for stuck, lasts in steps:
        heard = reading([STANDS if stuck else NOBODY, STANDS], vehicles=0b10 | stuck)
        health = watching.follow(health, heard, state.now, reported)
        masked = watching.judge(health, heard).readings
        state = place_calls(state, CROSSING, masked.vehicles)
        verdict = review(Proposal(stage=0), state, CROSSING)
        command = None if isinstance(verdict, Refused) else verdict.command
        then = state.now + lasts
        state = advance(state, command, then, CROSSING)

        assert state.began[0] == NEVER or state.began[1] == NEVER
        assert state.began[0] == NEVER or then - state.began[0] <= 400


@pytest.mark.parametrize(
    ("key", "value"), [("window", 0), ("clean", 0), ("fail_time", -1), ("ratio", 1.1), ("share", -0.1), ("share", float("nan"))]
)
def test_a_limit_out_of_range_is_refused(key: str, value: float) -> None:
    """The message names the key, the value and what is allowed."""
    with pytest.raises(ConfigError, match=rf"detectors\.{key} = .*allowed"):
        Limits(**{key: value})  # type: ignore[arg-type]  # the keys differ in their types


def test_limits_may_lie_at_their_bounds() -> None:
    """What is allowed is allowed with its ends."""
    assert (1, 0.0, 1.0) == (Limits(clean=1).clean, Limits(share=0.0).share, Limits(ratio=1.0).ratio)
