import pytest

from controller.events import Fault, FaultBegan, FaultEnded
from controller.watchdog import OF_CONDITION, OF_TROUBLE, Bounds, Link, heard, of_cabinet, of_link, of_walks, told
from field_adapters._base import Condition, Failed, Opened, Poll, Trouble
from intersection.config import parse
from intersection.detection import empty_readings
from intersection.errors import ConfigError
from intersection.machine import start, take_calls
from intersection.measured import Report
from tests.intersection.documents import GOOD

CONFIG = parse(GOOD)
BOUNDS = Bounds()


def _poll(*, readings: bool = True, clock: float | None = None) -> Poll:
    return Poll(
        report=Report(now=0, stage=0, greens=1), readings=empty_readings(CONFIG.detectors) if readings else None, over=10, clock=clock
    )


def test_whatever_an_adapter_tells_is_a_fault_of_the_table() -> None:
    """Each condition and each trouble has the fault of its name."""
    assert set(Condition) == set(OF_CONDITION)
    assert set(Trouble) == set(OF_TROUBLE)
    assert {Fault.PREEMPT: "track 1"} == of_cabinet(Opened(conditions={Condition.PREEMPT: "track 1"}))


def test_one_poll_without_an_answer_is_no_fault_and_a_second_of_silence_is() -> None:
    """The link counts as lost once nothing has come for the bound, and says why; an answer ends it."""
    link = heard(Link(answered=0, read=0), Failed(Trouble.LINK_LOST, "timed out"), 5)

    assert {} == of_link(link, 9, BOUNDS)
    assert {Fault.LINK_LOST: "timed out"} == of_link(link, 10, BOUNDS)
    assert {} == of_link(heard(link, _poll(), 11), 12, BOUNDS)


def test_a_cabinet_that_answers_without_new_readings_has_stale_ones() -> None:
    """Lamps that are read do not make detectors fresh."""
    link = Link(answered=0, read=0)
    for now in range(1, 31):
        link = heard(link, _poll(readings=False), now)

    assert {Fault.READINGS_STALE: "3.0 s old"} == of_link(link, 30, BOUNDS)


def test_a_cabinet_whose_clock_stands_still_is_frozen() -> None:
    """Ten seconds of the same time are too many; a clock that moves, or one that is not told, is no fault."""
    frozen = moving = silent = Link(answered=0, read=0)
    for now in range(0, 101, 5):
        frozen = heard(frozen, _poll(clock=1000.0), now)
        moving = heard(moving, _poll(clock=1000.0 + now // 10), now)
        silent = heard(silent, _poll(), now)

    assert [Fault.READINGS_FROZEN] == list(of_link(frozen, 100, BOUNDS))
    assert {} == of_link(moving, 100, BOUNDS) | of_link(silent, 100, BOUNDS)


def test_a_walk_is_late_beyond_its_longest_wait() -> None:
    """Up to the maximum wait and what messages cost it is not late; then it is named."""
    tables = CONFIG.tables
    state = take_calls(start(tables, 1, 0), tables, 0, 0b001)
    bound = tables.groups[0].ped_max_wait + BOUNDS.walk

    assert {} == of_walks(state._replace(now=bound), tables, BOUNDS)
    assert {Fault.WALK_NOT_SERVED: "north"} == of_walks(state._replace(now=bound + 1), tables, BOUNDS)


def test_the_ladder_is_told_once_when_a_fault_begins_and_once_when_it_ends() -> None:
    """What stands on is not told again; what is momentary is not told to end."""
    before = {Fault.LINK_LOST: "a", Fault.FLASH: "", Fault.REBOOTED: ""}
    now = {Fault.FLASH: "", Fault.PREEMPT: "b", Fault.DISOBEYED: ""}

    assert [FaultBegan(Fault.PREEMPT, "b"), FaultBegan(Fault.DISOBEYED), FaultEnded(Fault.LINK_LOST)] == told(before, now)


def test_a_bound_of_no_time_is_refused() -> None:
    """The message names the key."""
    with pytest.raises(ConfigError, match=r"bounds\.stale"):
        Bounds(stale=0)
