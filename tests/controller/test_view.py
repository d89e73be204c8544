from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from controller.detectors import FieldFault, Watch
from controller.view import GAP, Observer, View, known
from field_adapters._base import DetectorTrouble, Poll
from intersection.compatibility import Stage
from intersection.config import IntersectionConfig
from intersection.detection import Detector, DetectorKind, Readings
from intersection.measured import Report
from intersection.phase import Tenths
from intersection.sensed import sensed
from intersection.state import NEVER, NO_STAGE, Display, IntersectionState
from tests.intersection.documents import signal

MAIN, SIDE = range(2)
LOOP_MAIN, LOOP_SIDE, BUTTON = range(3)


def _config(**flags: bool) -> IntersectionConfig:
    return signal(
        Stage(name="main", protected=frozenset({1})),
        Stage(name="side", protected=frozenset({2})),
        timings={1: {}, 2: {"walk": 50, "ped_clearance": 60}},
        conflicts=[(1, 2)],
        detectors=(
            Detector(id="loop 1", kind=DetectorKind.STOP_BAR, phases=(1,)),
            Detector(id="loop 2", kind=DetectorKind.STOP_BAR, phases=(2,)),
            Detector(id="button", kind=DetectorKind.PUSH_BUTTON, phases=(2,)),
        ),
        flags={2: flags},
    )


CONFIG = _config()
GROUP_1, GROUP_2 = 1, 2


def _observer(config: IntersectionConfig = CONFIG) -> Observer:
    return Observer(config, Watch(detectors=config.detectors, groups=config.tables.index))


def _readings(there: Collection[int] = (), broken: Collection[int] = ()) -> Readings:
    counts = [float(at in there) for at in range(3)]
    valid = [at not in broken for at in range(3)]
    return sensed(CONFIG, counts, [10 * (at in there and at != BUTTON) for at in range(3)], valid, over=10, before=None)


def _poll(
    now: Tenths,
    *,
    stage: int = MAIN,
    greens: int = GROUP_1,
    readings: Readings | None = None,
    reported: Mapping[str, DetectorTrouble] | None = None,
    **report: Any,
) -> Poll:
    said = Report(now=now, stage=stage, greens=greens, **report)
    return Poll(report=said, readings=readings, over=10 if readings else 0, reported=reported or {})


def _seen(observer: Observer, view: View, poll: Poll, asked: int = NO_STAGE) -> View:
    return observer.sense(observer.look(view, poll, asked), poll)


def _state(view: View) -> IntersectionState:
    assert view.state is not None
    return view.state


def test_a_first_poll_shows_a_signal_that_begins_now_and_at_which_nobody_is_known_to_wait() -> None:
    """What began before anybody looked is taken to begin now, and readings that have not come are not made up."""
    view = _seen(_observer(), View(), _poll(100))

    assert (100, MAIN, 0, None) == (_state(view).arrived, _state(view).stage, _state(view).calls, view.readings)
    assert known(view) is None


def test_who_waits_is_told_by_the_loops_and_stays_until_served() -> None:
    """A vehicle seen at a red light still waits at the polls in between, and its wait counts from when it was seen."""
    observer = _observer()
    seen = _seen(observer, View(), _poll(100, readings=_readings({LOOP_SIDE})))
    later = _seen(observer, seen, _poll(101))

    assert (GROUP_2, 100) == (_state(later).calls, _state(later).called[1])
    assert known(later) is not None


def test_a_vehicle_call_of_the_cabinets_own_counts_for_nothing() -> None:
    """Vehicle calls are found from the readings; a cabinet's own bits would hold what its recalls placed."""
    view = _seen(_observer(), View(), _poll(100, calls=GROUP_2))

    assert 0 == _state(view).calls


def test_a_pedestrian_call_is_the_cabinets_to_tell() -> None:
    """It stands as long as the cabinet says so, and not longer."""
    observer = _observer()
    called = _seen(observer, View(), _poll(100, readings=_readings(), ped_calls=GROUP_2))
    served = _seen(observer, called, _poll(101))

    assert (GROUP_2, 0) == (_state(called).ped_calls, _state(served).ped_calls)


def test_after_a_gap_in_which_it_could_have_changed_unseen_a_signal_is_seen_anew() -> None:
    """A green may have ended and begun meanwhile, so it counts from now; up to the gap it goes on."""
    observer = _observer()
    first = _seen(observer, View(), _poll(100, readings=_readings({LOOP_SIDE})))
    soon, late = (_seen(observer, first, _poll(100 + after)) for after in (GAP, GAP + 1))

    assert (100, GROUP_2) == (_state(soon).began[0], _state(soon).calls)
    assert (100 + GAP + 1, 0) == (_state(late).began[0], _state(late).calls)


def test_lamps_that_the_configuration_never_shows_leave_nothing_known_but_what_they_were() -> None:
    """Nobody decides by a state that was before them; the next poll that can be understood is a first one."""
    observer = _observer()
    before = _seen(observer, View(), _poll(100, readings=_readings()))
    strange = _seen(observer, before, _poll(101, greens=GROUP_1 | GROUP_2, readings=_readings()))
    after = _seen(observer, strange, _poll(102))

    assert (None, None) == (strange.state, known(strange))
    assert strange.strange is not None
    assert GROUP_1 | GROUP_2 == strange.strange.greens
    assert (None, 102) == (after.strange, _state(after).arrived)


def test_a_change_of_stage_leads_to_what_was_asked_for() -> None:
    """A cabinet that does not tell where it goes goes where it was asked to go."""
    observer = _observer()
    before = _seen(observer, View(), _poll(100))
    moving = _seen(observer, before, _poll(101, greens=0, yellows=GROUP_1), asked=SIDE)

    assert (SIDE, 101) == (_state(moving).target, _state(moving).left)


def test_a_detector_that_failed_is_masked_and_its_phase_is_called() -> None:
    """Whoever waits there is served without being seen; the raw readings are kept for the journal."""
    view = _seen(_observer(), View(), _poll(100, readings=_readings(broken={LOOP_SIDE})))

    assert view.readings is not None
    assert view.judgement is not None
    assert [True, False, True] == view.readings.valid.tolist()
    assert (GROUP_2, ("loop 2",)) == (_state(view).calls, tuple(failed.detector for failed in view.judgement.failed))


def test_what_a_cabinet_says_of_a_detector_is_believed() -> None:
    """Its own fault, under our name for it."""
    reported = {"loop 2": DetectorTrouble.SHORTED_LOOP}
    view = _seen(_observer(), View(), _poll(100, readings=_readings(), reported=reported))

    assert view.judgement is not None
    assert [("loop 2", FieldFault.SHORTED_LOOP)] == [tuple(failed) for failed in view.judgement.failed]
    assert GROUP_2 == _state(view).calls


def test_a_walk_is_recalled_for_a_button_that_failed_until_it_is_shown_and_again() -> None:
    """The cabinet knows of no call there, so ours stands from poll to poll."""
    observer = _observer()
    failed = _seen(observer, View(), _poll(100, readings=_readings(broken={BUTTON})))
    waiting = _seen(observer, failed, _poll(101))
    walking = _seen(observer, waiting, _poll(102, stage=SIDE, greens=GROUP_2, walks=GROUP_2))

    assert (GROUP_2, GROUP_2, 100) == (_state(failed).ped_calls, _state(waiting).ped_calls, _state(waiting).ped_called[1])
    assert 0 == _state(walking).ped_calls


def test_a_walk_that_is_always_recalled_stands_without_any_button() -> None:
    """Nobody has to press anything where the configuration says so."""
    config = _config(ped_recall=True)
    observer = _observer(config)
    first = _seen(observer, View(), _poll(100, readings=_readings()))
    later = _seen(observer, first, _poll(101))

    assert (GROUP_2, 100) == (_state(later).ped_calls, _state(later).ped_called[1])


def test_a_signal_that_flashes_takes_no_calls_and_begins_without_any() -> None:
    """Who waited before the flash has long gone, or is seen again."""
    observer = _observer()
    before = _seen(observer, View(), _poll(100, readings=_readings({LOOP_SIDE})))
    flash = _poll(101, greens=0, readings=_readings({LOOP_MAIN, LOOP_SIDE}))
    flashing = _seen(observer, before, replace(flash, report=flash.report._replace(display=Display.FLASH)))
    after = _seen(observer, flashing, _poll(102))

    assert (Display.FLASH, NEVER) == (_state(flashing).display, _state(flashing).called[0])
    assert 0 == _state(after).calls


def test_the_last_two_readings_are_kept() -> None:
    """From two that follow each other it is seen what went on and off; the first is its own forerunner."""
    observer = _observer()
    one, two = _readings({LOOP_SIDE}), _readings()
    first = _seen(observer, View(), _poll(100, readings=one))
    second = _seen(observer, first, _poll(110, readings=two))

    assert (one, one) == first.detectors
    assert (one, two) == second.detectors
    assert (two, one) == _seen(observer, second, _poll(115, readings=one)).detectors
