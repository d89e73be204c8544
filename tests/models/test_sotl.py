from intersection.detection import Channel, DetectorKind
from intersection.phase import Tenths
from intersection.policy import Policy
from models import sotl
from tests.models.crossing import AREA, SIDE, THROUGH, area, crossing, look, readings, running

KINDS = (*AREA, DetectorKind.ADVANCE)
CONFIG = crossing(*KINDS)
WAITING = {"area side": area(2)}


def after(policy: Policy, seconds: int, close: tuple[str, ...] = (), stage: int = THROUGH, start: Tenths = 1000) -> int | None:
    """Let two vehicles wait at the side road for some seconds, with vehicles close on some lanes; give the last proposal."""
    seen = readings(CONFIG, {**WAITING, **{f"advance {lane}": {Channel.SINCE: 1.0} for lane in close}})
    stage_now: int | None = None
    for now in range(start, start + 10 * seconds + 1, 10):
        stage_now = policy.propose(look(running(CONFIG, stage, 0, now), seen)).stage
    return stage_now


def test_a_red_approach_collects_until_it_has_enough() -> None:
    """Two vehicles have twenty vehicle-seconds after ten seconds, not after nine."""
    assert [THROUGH, SIDE] == [after(sotl.make(CONFIG, enough=20.0), seconds) for seconds in (9, 10)]


def test_a_small_platoon_is_not_cut() -> None:
    """While a vehicle is close on one lane, green is kept; where so few count as many, it is not."""
    assert [THROUGH, SIDE] == [after(sotl.make(CONFIG, enough=20.0, platoon=platoon), 30, ("main",)) for platoon in (2.0, 1.0)]


def test_vehicles_close_on_other_lanes_do_not_hold_the_green() -> None:
    """Only protected lanes of the running stage can keep it."""
    assert SIDE == after(sotl.make(CONFIG, enough=20.0, platoon=2.0), 30, ("side",))


def test_green_spends_what_was_collected() -> None:
    """A stage that ran begins to collect anew."""
    policy = sotl.make(CONFIG, enough=20.0)
    after(policy, 10)
    after(policy, 10, stage=SIDE, start=1100)

    assert THROUGH == after(policy, 9, start=1200)


def test_a_failed_detector_collects_as_one_vehicle() -> None:
    """A broken detector's stage has its turn."""
    policy = sotl.make(CONFIG, enough=20.0)
    seen = readings(CONFIG, failed=("area side",))
    stages = [policy.propose(look(running(CONFIG, THROUGH, 0, now), seen)).stage for now in (1000, 1190, 1200)]

    assert [THROUGH, THROUGH, SIDE] == stages


def test_the_minimum_green_is_kept() -> None:
    """Whatever has been collected, a stage is not left before its minimum green."""
    policy = sotl.make(CONFIG, enough=20.0, min_green_s=10.0)
    seen = readings(CONFIG, {"area side": area(50)})
    stages = [policy.propose(look(running(CONFIG, THROUGH, 0, now), seen)).stage for now in (80, 90, 99, 100)]

    assert [THROUGH, THROUGH, THROUGH, SIDE] == stages
