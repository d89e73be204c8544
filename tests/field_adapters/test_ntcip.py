"""How a cabinet of NTCIP 1202 is moved, message by message, and what of it is told."""

from collections.abc import Callable
from typing import Any

import pytest

from field_adapters import ntcip_objects as mib
from field_adapters._base import (
    Applied,
    Condition,
    DetectorTrouble,
    Failed,
    GoTo,
    Opened,
    PlanStep,
    Released,
    RunFlash,
    RunFree,
    RunPlan,
    Trouble,
    Withheld,
)
from field_adapters.ntcip import NtcipAdapter
from field_adapters.ntcip_objects import FORCE_OFF, HOLD, PED_CALL, PED_OMIT, PHASE_OMIT, VEH_CALL, Instance
from field_adapters.ntcip_program import Method
from field_adapters.ntcip_requests import PATTERN
from field_adapters.profiles import ntcip as profiles
from field_adapters.snmp import AuthFailure, BadAnswer, Counter, ErrorStatus, Failure, Status, Ticks, Timeout
from intersection.detection import Channel, Detector, DetectorKind
from intersection.state import Display
from intersection.transition import Step
from tests.field_adapters.ntcip_script import Driver, crossroads, dual_ring, loop_at, run, soon

A, B, C = range(3)


async def standing(config_driver: Driver, at: int = A) -> Driver:
    """Take a cabinet over and dwell in a stage."""
    opened = await config_driver.open()
    assert isinstance(opened, Opened)
    assert {} == opened.conditions
    await config_driver.tick(at)
    return config_driver


# --- dwelling ------------------------------------------------------------------------------------------------------------------------
def test_a_stage_is_held_by_omitting_all_others() -> None:
    """In free operation, with no hold, no call and no force-off."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        cabinet = driver.cabinet

        assert (254, frozenset({2, 3})) == (cabinet.pattern, cabinet.stands(PHASE_OMIT))
        assert [frozenset()] * 5 == [cabinet.stands(control) for control in (PED_OMIT, HOLD, FORCE_OFF, VEH_CALL, PED_CALL)]

    run(story())


def test_nothing_is_written_while_nothing_changes() -> None:
    """What stands is left alone until a third of the backup time has passed, then only the omissions are written again."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        count = len(driver.cabinet.messages)
        for _ in range(99):
            await driver.tick(A)
        quiet = len(driver.cabinet.messages) - count
        await driver.tick(A)

        assert 0 == quiet
        assert {PHASE_OMIT.at(1): 6, PHASE_OMIT.at(2): 0} == driver.cabinet.messages[-1]
        assert count + 1 == len(driver.cabinet.messages)

    run(story())


def test_only_a_newer_decision_renews() -> None:
    """The same decision never winds up the backup time twice, and one that is too old does nothing at all."""

    async def story() -> None:
        driver = await standing(Driver(crossroads(), freshness=500))
        count = len(driver.cabinet.messages)
        same = await driver.tick(A, by=200, age=200)
        old = await driver.tick(A, by=400, age=501)

        assert Applied(Step.ARRIVED) == same
        assert Withheld("the decision is too old") == old
        assert count == len(driver.cabinet.messages)

    run(story())


def test_a_walk_is_let_begin_where_it_fits() -> None:
    """Pedestrians are omitted everywhere but where the running green has time for their walk and its clearance."""

    async def story() -> None:
        driver = await standing(Driver(dual_ring(), Method.RINGS), at=3)
        driver.cabinet.arrive(3)
        await driver.tick(3)
        fits = driver.cabinet.stands(PED_OMIT)

        assert frozenset({4, 8}) == fits

    run(story())


def test_a_walk_that_no_button_can_call_is_called() -> None:
    """A pedestrian call that the cabinet does not know of is placed there, and stays until the walk begins."""

    async def story() -> None:
        driver = Driver(dual_ring(), Method.RINGS)
        driver.cabinet.arrive(3)
        await driver.open()
        await driver.read()
        assert driver.state is not None
        waiting = driver.state._replace(ped_calls=0b10, ped_called=(-1, driver.now, *[-1] * 6), oldest=driver.now)
        driver.state = waiting
        await driver.apply(GoTo(driver.command(3), driver.now))
        placed = driver.cabinet.stands(PED_CALL)
        driver.cabinet.put(mib.PHASE_PED_CALLS, [2])
        await driver.read()
        await driver.apply(GoTo(driver.command(3), driver.now))
        kept = driver.cabinet.stands(PED_CALL)
        driver.cabinet.put(mib.PHASE_PED_CALLS, [])
        driver.cabinet.put(mib.PHASE_WALKS, [2])
        await driver.tick(3)

        assert (frozenset({2}), frozenset({2}), frozenset()) == (placed, kept, driver.cabinet.stands(PED_CALL))

    run(story())


# --- a change of stage ---------------------------------------------------------------------------------------------------------------
def test_a_change_is_prepared_settled_forced_once_followed_and_cleared_up() -> None:
    """Call and un-omit the target; after the settling force off what is green and must end; zero both when it has arrived."""

    async def story() -> None:
        driver = await standing(Driver(crossroads(), settle=2))
        cabinet = driver.cabinet
        steps = [await driver.tick(B)]
        prepared = (cabinet.stands(PHASE_OMIT), cabinet.stands(VEH_CALL), cabinet.stands(FORCE_OFF), len(driver.forced))
        steps += [await driver.tick(B), await driver.tick(B)]
        forced = [{at: value for at, value in message.items() if value} for message in driver.forced]
        steps.append(await driver.tick(B))
        cabinet.show(A, frozenset({2}), yellow=True)
        cabinet.put(FORCE_OFF, [])
        steps.append(await driver.tick(B))
        cabinet.show(A, frozenset({2}))
        steps.append(await driver.tick(B))
        cabinet.arrive(B)
        steps.append(await driver.tick(B))

        assert (frozenset({1, 3}), frozenset({2}), frozenset(), 0) == prepared
        assert [{FORCE_OFF.at(1): 1}] == forced
        assert [Step.ACCEPTED] * 4 + [Step.COMMITTED, Step.CLEARED, Step.ARRIVED] == [s.step for s in steps if isinstance(s, Applied)]
        assert (frozenset({1, 3}), frozenset(), frozenset()) == tuple(map(cabinet.stands, (PHASE_OMIT, VEH_CALL, FORCE_OFF)))
        assert 1 == len(driver.forced)

    run(story())


def test_only_what_must_end_and_is_green_is_forced_off() -> None:
    """In two rings the ring that stays is left alone, and no bit is ever set for a phase of the target."""

    async def story() -> None:
        driver = await standing(Driver(dual_ring(), Method.RINGS))
        await driver.tick(1)

        assert frozenset({5}) == driver.cabinet.stands(FORCE_OFF)

    run(story())


def test_a_green_that_ends_by_itself_is_not_forced_off() -> None:
    """Where the cabinet gaps out on the call alone, no force-off follows that would cut the next green; the change is followed."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))

        def gaps_out() -> None:
            driver.cabinet.show(A, frozenset({2}), yellow=True)

        driver.cabinet.on_write = gaps_out
        first = await driver.tick(B)
        second = await driver.tick(B)

        assert [] == driver.forced
        assert [Applied(Step.ACCEPTED), Applied(Step.COMMITTED)] == [first, second]

    run(story())


def test_a_green_that_ends_while_the_change_settles_is_followed() -> None:
    """The cabinet may leave before our force-off: then none is sent."""

    async def story() -> None:
        driver = await standing(Driver(crossroads(), settle=5))
        await driver.tick(B)
        driver.cabinet.show(A, frozenset({2}), yellow=True)
        step = await driver.tick(B)

        assert ([], Applied(Step.COMMITTED)) == (driver.forced, step)

    run(story())


def test_a_change_that_is_decided_otherwise_while_it_settles_is_prepared_anew() -> None:
    """Before its force-off a change can be taken back; the settling begins again."""

    async def story() -> None:
        driver = await standing(Driver(crossroads(), settle=2))
        await driver.tick(B)
        await driver.tick(C)
        other = driver.cabinet.stands(VEH_CALL)
        await driver.tick(C)
        early = len(driver.forced)
        back = await driver.tick(A)

        assert (frozenset({3}), 0) == (other, early)
        assert (Applied(Step.ARRIVED), frozenset()) == (back, driver.cabinet.stands(VEH_CALL))

    run(story())


def test_a_change_under_way_is_never_corrected() -> None:
    """Whatever is decided meanwhile waits until it has arrived."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        await driver.tick(B)
        count = len(driver.cabinet.messages)
        driver.cabinet.show(A, frozenset({2}), yellow=True)
        await driver.tick(C)

        assert count == len(driver.cabinet.messages)

    run(story())


def test_a_change_that_is_not_ours_is_left_alone() -> None:
    """A cabinet that is between two stages when it is taken over arrives first."""

    async def story() -> None:
        driver = Driver(crossroads())
        driver.cabinet.show(A, frozenset({2}), yellow=True)
        await driver.open()
        steps = [await driver.tick(C), await driver.tick(C)]

        assert [Applied(Step.TERMINATING)] * 2 == steps
        assert frozenset() == driver.cabinet.stands(PHASE_OMIT)

    run(story())


def test_a_change_that_does_not_come_about_is_told_once_and_all_is_zeroed() -> None:
    """After its deadline everything is let go of; the next decision begins anew."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        await driver.tick(B)
        late = await driver.tick(B, by=200)
        zeroed = (driver.cabinet.pattern, driver.cabinet.stands(PHASE_OMIT))
        again = await driver.tick(B)

        assert Applied(Step.MISSED) == late
        assert (0, frozenset()) == zeroed
        assert Applied(Step.ACCEPTED) == again

    run(story())


def test_lamps_of_the_target_in_another_stage_are_no_arrival() -> None:
    """Until the phase of the target is on, it has not arrived, and at the deadline it is missed."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        await driver.tick(B)
        assert driver.state is not None
        driver.cabinet.arrive(B)
        await driver.read()
        elsewhere = driver.state._replace(stage=A)
        early = await driver.adapter.apply(GoTo(driver.command(B), driver.now), elsewhere, driver.now, soon())
        late = await driver.adapter.apply(GoTo(driver.command(B), driver.now + 200), elsewhere, driver.now + 200, soon())

        assert [Applied(Step.CLEARED), Applied(Step.MISSED)] == [early, late]

    run(story())


def test_a_missed_change_that_cannot_be_let_go_of_says_so() -> None:
    """The failure of the release is what is told."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        await driver.tick(B)
        await driver.read(by=200)
        driver.cabinet.refuses = lambda _: True
        failed = await driver.apply(GoTo(driver.command(B), driver.now))

        assert isinstance(failed, Failed)
        assert Trouble.REQUEST_REFUSED is failed.trouble

    run(story())


def test_a_long_change_is_renewed_without_a_force_off() -> None:
    """A pedestrian clearance may outlast a third of the backup time; the omissions are written again, nothing else."""

    async def story() -> None:
        driver = Driver(crossroads())
        driver.cabinet.values[mib.UNIT_BACKUP_TIME.at()] = 3
        await standing(driver)
        await driver.tick(B)
        driver.cabinet.show(A, frozenset({2}), yellow=True)
        driver.cabinet.put(FORCE_OFF, [])
        await driver.tick(B, by=10)

        assert {PHASE_OMIT.at(1): 5, PHASE_OMIT.at(2): 0} == driver.cabinet.messages[-1]

    run(story())


# --- messages that come to nothing ---------------------------------------------------------------------------------------------------
def test_a_force_off_without_an_answer_is_not_sent_again() -> None:
    """Whether it was carried out the street tells; a late or doubled one would cut the next green."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.link.lose = lambda writes: any(write.instance.object is FORCE_OFF and write.value for write in writes)
        lost = await driver.tick(B)
        after = [await driver.tick(B) for _ in range(3)]
        driver.cabinet.show(A, frozenset({2}), yellow=True)
        driver.cabinet.put(FORCE_OFF, [])
        after.append(await driver.tick(B))

        assert isinstance(lost, Failed)
        assert Trouble.LINK_LOST is lost.trouble
        assert 1 == len(driver.forced)
        assert [Applied(Step.ACCEPTED)] * 3 + [Applied(Step.COMMITTED)] == after

    run(story())


def test_a_refused_force_off_is_told_and_changes_nothing() -> None:
    """What was refused has no effect, so that it may be asked for again."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.cabinet.refuses = lambda message: any(at.object is FORCE_OFF and value for at, value in message.items())
        refused = await driver.tick(B)
        driver.cabinet.refuses = lambda _: False
        again = await driver.tick(B)

        assert isinstance(refused, Failed)
        assert Trouble.REQUEST_REFUSED is refused.trouble
        assert (Applied(Step.ACCEPTED), 1) == (again, len(driver.forced))

    run(story())


def test_what_is_acknowledged_without_effect_is_told() -> None:
    """The read-back says what stands, not the acknowledgement."""

    async def story() -> None:
        driver = Driver(crossroads())
        driver.cabinet.ignores = True
        await driver.open()
        failed = await driver.tick(A)

        assert isinstance(failed, Failed)
        assert Trouble.REQUEST_NOT_ECHOED is failed.trouble

    run(story())


def test_a_preparation_without_an_answer_is_written_again() -> None:
    """Nothing in it can do harm twice."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.link.lose = lambda _: True
        lost = await driver.tick(B)
        driver.link.lose = lambda _: False
        again = await driver.tick(B)

        assert isinstance(lost, Failed)
        assert (Applied(Step.ACCEPTED), frozenset({2})) == (again, driver.cabinet.stands(VEH_CALL))

    run(story())


@pytest.mark.parametrize(
    ("failure", "read", "written"),
    [
        (Timeout(waited=0.1, sent=2), Trouble.LINK_LOST, Trouble.LINK_LOST),
        (AuthFailure("no"), Trouble.LINK_LOST, Trouble.LINK_LOST),
        (BadAnswer("nonsense"), Trouble.REPLY_GARBLED, Trouble.REPLY_GARBLED),
        (ErrorStatus(Status.GEN_ERR, 0, None), Trouble.REPLY_GARBLED, Trouble.REQUEST_REFUSED),
    ],
)
def test_each_failure_has_its_name(failure: Failure, read: Trouble, written: Trouble) -> None:
    """Of reads and of writes."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.link.broken = failure
        assert driver.state is not None
        found = [
            await driver.adapter.read(driver.now, soon(), detectors=True),
            await driver.open(),
            await driver.apply(GoTo(driver.command(B), driver.now)),
            await driver.adapter.release(driver.now, soon()),
        ]

        assert [read, read, written, written] == [each.trouble for each in found if isinstance(each, Failed)]

    run(story())


def test_a_read_back_that_fails_is_no_success() -> None:
    """Neither without an answer, nor with one from which something is missing."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))

        def breaks() -> None:
            driver.link.broken = Timeout(waited=0.1, sent=2)

        driver.cabinet.on_write = breaks
        silent = await driver.tick(B)
        driver.link.broken = None
        await driver.read()

        def loses() -> None:
            driver.cabinet.values[mib.PHASE_GREENS.at(2)] = 700

        driver.cabinet.on_write = loses
        gap = await driver.apply(GoTo(driver.command(B), driver.now))

        assert isinstance(silent, Failed)
        assert isinstance(gap, Failed)
        assert [Trouble.LINK_LOST, Trouble.REPLY_GARBLED] == [silent.trouble, gap.trouble]

    run(story())


def test_a_renewal_that_fails_is_told() -> None:
    """The next tick tries again."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.link.lose = lambda _: True
        failed = await driver.tick(A, by=100)

        assert isinstance(failed, Failed)

    run(story())


# --- patterns ------------------------------------------------------------------------------------------------------------------------
def test_a_plan_takes_the_place_of_every_request_by_phase() -> None:
    """In one message: never a pattern and a request by phase at once."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        await driver.read()
        done = await driver.apply(RunPlan(driver.command(A, pattern=1), driver.now))

        assert (Applied(Step.ARRIVED), 1, frozenset()) == (done, driver.cabinet.pattern, driver.cabinet.stands(PHASE_OMIT))
        assert 13 == len(driver.cabinet.messages[-1])

    run(story())


def test_a_plan_is_told_as_accepted_in_transition_and_in_step() -> None:
    """By the pattern that runs and the alarm that its offset is being corrected."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        await driver.read()
        await driver.apply(RunPlan(driver.command(A, pattern=1), driver.now))
        told = [await driver.read()]
        driver.cabinet.values |= {mib.COORD_PATTERN_STATUS.at(): 1, mib.UNIT_ALARM_STATUS_2.at(): 32}
        told.append(await driver.read())
        driver.cabinet.values[mib.UNIT_ALARM_STATUS_2.at()] = 0
        told.append(await driver.read())

        assert [PlanStep.ACCEPTED, PlanStep.IN_TRANSITION, PlanStep.IN_STEP] == [poll.plan_step for poll in told]
        assert [(0, 5), (1, 5), (1, 0)] == [(poll.plan, poll.cycles_left) for poll in told]

    run(story())


def test_a_plan_is_renewed_by_its_number() -> None:
    """No request by phase is needed to keep it."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        await driver.read()
        await driver.apply(RunPlan(driver.command(A, pattern=1), driver.now))
        await driver.read(by=100)
        await driver.apply(RunPlan(driver.command(A, pattern=1), driver.now))

        assert {PATTERN: 1} == driver.cabinet.messages[-1]

    run(story())


def test_phases_are_asked_for_only_when_the_pattern_has_ended() -> None:
    """Within a pattern the cabinet's own coordinator would fight us: it is told to run free first, and waited for."""

    async def story() -> None:
        driver = Driver(crossroads())
        driver.cabinet.values |= {mib.COORD_PATTERN_STATUS.at(): 3, mib.LOCAL_FREE_STATUS.at(): 2}
        await driver.open()
        waiting = [await driver.tick(A), await driver.tick(A)]
        first = driver.cabinet.stands(PHASE_OMIT)
        driver.cabinet.values |= {mib.COORD_PATTERN_STATUS.at(): 254, mib.LOCAL_FREE_STATUS.at(): 3}
        then = await driver.tick(A)

        assert [Applied(Step.ACCEPTED)] * 2 == waiting
        assert frozenset() == first
        assert (Applied(Step.ARRIVED), frozenset({2, 3})) == (then, driver.cabinet.stands(PHASE_OMIT))

    run(story())


def test_a_pattern_that_does_not_end_is_told() -> None:
    """After a minute it is one that we did not ask for."""

    async def story() -> None:
        driver = Driver(crossroads(), freshness=10_000)
        driver.cabinet.values |= {mib.COORD_PATTERN_STATUS.at(): 3, mib.LOCAL_FREE_STATUS.at(): 2}
        await driver.open()
        await driver.tick(A)
        early = await driver.read(by=600)
        late = await driver.read(by=10)

        assert ({}, {Condition.COORDINATED: "pattern 3"}) == (early.conditions, late.conditions)

    run(story())


def test_free_operation_is_asked_for_alone() -> None:
    """Also by a plan of number 0."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        await driver.read()
        for wanted in (RunFree(driver.now), RunPlan(driver.command(A), driver.now)):
            done = await driver.apply(wanted)

            assert (Applied(Step.ARRIVED), 254, frozenset()) == (done, driver.cabinet.pattern, driver.cabinet.stands(PHASE_OMIT))

    run(story())


def test_flash_needs_its_own_word() -> None:
    """It is asked for where the settings allow it, and nowhere else."""

    async def story() -> None:
        found = []
        for allowed in (False, True):
            driver = await standing(Driver(crossroads(), flash=allowed))
            await driver.read()
            done = await driver.apply(RunFlash(driver.now))
            found.append((type(done), driver.cabinet.pattern))

        assert [(Withheld, 254), (Applied, 255)] == found

    run(story())


# --- letting go ----------------------------------------------------------------------------------------------------------------------
def test_letting_go_zeroes_everything_and_reads_it_back() -> None:
    """All six requests of both groups, and the pattern."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        released = await driver.adapter.release(driver.now, soon())

        assert Released() == released
        assert [0] * 13 == list(driver.cabinet.messages[-1].values())

    run(story())


def test_what_is_left_after_letting_go_is_told() -> None:
    """The release failed, whatever was acknowledged."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.cabinet.ignores = True
        left = await driver.adapter.release(driver.now, soon())

        assert Failed(Trouble.REQUEST_LEFT_BEHIND, "omit 2, 3; pattern 254") == left

    run(story())


def test_a_cabinet_that_was_not_looked_at_can_be_let_go_of() -> None:
    """And nothing else."""

    async def story() -> None:
        driver = Driver(crossroads())
        unread = await driver.adapter.read(0, soon(), detectors=False)
        released = await driver.adapter.release(0, soon())
        await driver.open()
        await driver.read()
        other = NtcipAdapter(driver.link, driver.config, driver.adapter.options)
        assert driver.state is not None
        withheld = await other.apply(RunFree(driver.now), driver.state, driver.now, soon())

        assert isinstance(unread, Failed)
        assert (Released(), Withheld("the cabinet has not been read")) == (released, withheld)

    run(story())


def test_a_cabinet_of_eight_phases_is_sent_one_group() -> None:
    """A message to a row that is not there would be refused as a whole."""

    async def story() -> None:
        driver = await standing(Driver(crossroads(), groups=1))
        released = await driver.adapter.release(driver.now, soon())

        assert (Released(), 7) == (released, len(driver.cabinet.messages[-1]))

    run(story())


def test_phases_above_eight_are_moved_too() -> None:
    """All sixteen are spoken of, in two groups."""

    async def story() -> None:
        from tests.field_adapters.test_ntcip_program import many

        driver = await standing(Driver(many(16)), at=A)
        await driver.tick(15)

        assert (frozenset({16}), frozenset({1})) == (driver.cabinet.stands(VEH_CALL), driver.cabinet.stands(FORCE_OFF))
        assert frozenset(range(1, 16)) == driver.cabinet.stands(PHASE_OMIT)

    run(story())


# --- what is told --------------------------------------------------------------------------------------------------------------------
def test_a_flashing_signal_is_asked_for_no_stage() -> None:
    """It shows no stage that could be held."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.cabinet.values[mib.UNIT_FLASH_STATUS.at()] = 3
        done = await driver.tick(A)
        poll = await driver.read()

        assert isinstance(done, Withheld)
        assert (Display.FLASH, {Condition.FLASH: "automatic"}) == (poll.report.display, poll.conditions)

    run(story())


STANDS: dict[str, tuple[dict[Instance, int], Condition]] = {
    "conflict monitor": ({mib.UNIT_FLASH_STATUS.at(): 6}, Condition.CONFLICT_FLASH),
    "fault monitor": ({mib.UNIT_FLASH_STATUS.at(): 5}, Condition.CONFLICT_FLASH),
    "flash by preemption": ({mib.UNIT_FLASH_STATUS.at(): 8}, Condition.PREEMPT),
    "preemption": ({mib.SHORT_ALARM_STATUS.at(): 1}, Condition.PREEMPT),
    "stop time": ({mib.UNIT_ALARM_STATUS_2.at(): 16}, Condition.STOP_TIME),
    "police": ({mib.UNIT_CONTROL_STATUS.at(): 5}, Condition.POLICE),
    "remote": ({mib.UNIT_CONTROL_STATUS.at(): 9}, Condition.REMOTE_MANUAL),
    "local": ({mib.UNIT_CONTROL_STATUS.at(): 10}, Condition.LOCAL_MANUAL),
    "another": ({mib.UNIT_CONTROL_STATUS.at(): 1}, Condition.LOCAL_LOCK_OUT),
    "a pattern by hand": ({mib.COORD_OPERATIONAL_MODE.at(): 4}, Condition.COORDINATED),
    "no backup time any more": ({mib.UNIT_BACKUP_TIME.at(): 0}, Condition.BACKUP_TIME_ZERO),
    "a longer backup time": ({mib.UNIT_BACKUP_TIME.at(): 61}, Condition.BACKUP_TIME_LONG),
}


@pytest.mark.parametrize("name", STANDS)
def test_what_stands_against_us_is_told(name: str) -> None:
    """With the poll in which it is seen."""
    values, condition = STANDS[name]

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        before = (await driver.read(detectors=True)).conditions
        driver.cabinet.values |= values
        poll = await driver.adapter.read(driver.now, soon(), detectors=True)
        assert not isinstance(poll, Failed)

        assert ([], [condition]) == (list(before), list(poll.conditions))

    run(story())


def test_a_signal_without_any_phase_on_is_dark() -> None:
    """After ten seconds, since a start may last as long."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        for entry in (mib.PHASE_GREENS, mib.PHASE_ONS, mib.OVERLAP_GREENS):
            driver.cabinet.put(entry, [])
        soon_after = await driver.read(by=90)
        later = await driver.read(by=20)

        assert (Display.DARK, {}) == (soon_after.report.display, soon_after.conditions)
        assert [Condition.LAMP_POWER_LOST] == list(later.conditions)

    run(story())


def test_requests_that_we_did_not_write_are_anothers() -> None:
    """One bit is enough, also of a phase that we do not use."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.cabinet.put(HOLD, [16])
        fast = await driver.read()
        full = await driver.read(detectors=True)

        assert {} == fast.conditions
        assert {Condition.ANOTHER_WRITER: "omit 2, 3; hold 16; pattern 254"} == full.conditions

    run(story())


def test_what_a_former_life_has_left_is_nobody_elses() -> None:
    """Requests that stood there before we wrote anything are told as requests, and not as another writer's."""

    async def story() -> None:
        driver = Driver(crossroads())
        driver.cabinet.put(PHASE_OMIT, [3])
        await driver.open()
        poll = await driver.read()

        assert (True, {}) == (poll.requests, poll.conditions)

    run(story())


def test_a_late_copy_of_our_own_message_is_written_over() -> None:
    """It is not another's; after we have let go it is one of ours that was left behind."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        first = dict(driver.cabinet.messages[-1])
        await driver.tick(B)
        driver.cabinet.values |= first
        await driver.tick(B)
        led = await driver.read()
        await driver.adapter.release(driver.now, soon())
        driver.cabinet.values |= first
        left = await driver.read()

        assert {} == led.conditions
        assert [Condition.REQUEST_LEFT_BEHIND] == list(left.conditions)

    run(story())


def test_a_backup_time_that_has_run_out_is_told() -> None:
    """The cabinet has zeroed what we asked for; whatever was under way is forgotten."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        await driver.tick(B)
        driver.cabinet.values |= dict.fromkeys(driver.cabinet.messages[-2], 0)
        driver.cabinet.put(FORCE_OFF, [])
        driver.cabinet.values |= {PATTERN: 0, mib.UNIT_CONTROL_STATUS.at(): 4}
        for control in (PHASE_OMIT, VEH_CALL):
            driver.cabinet.put(control, [])
        poll = await driver.read()

        assert ([Condition.BACKUP_EXPIRED], False) == (list(poll.conditions), poll.requests)

    run(story())


def test_zeros_that_are_not_the_backup_times_are_anothers() -> None:
    """A cabinet that says that we still control it has been written to by somebody."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.cabinet.put(PHASE_OMIT, [])
        driver.cabinet.values[PATTERN] = 0
        poll = await driver.read()

        assert [Condition.ANOTHER_WRITER] == list(poll.conditions)

    run(story())


def test_a_new_start_is_told_for_a_while() -> None:
    """Its time since the start has fallen; one that runs out of numbers has not started anew."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.cabinet.values[PATTERN] = 0
        driver.cabinet.put(PHASE_OMIT, [])
        told = []
        for later in (1, 99, 101):
            driver.cabinet.values[mib.SYSTEM_UP_TIME.at()] = Ticks(5 + later)
            poll = await driver.adapter.read(driver.now + later, soon(), detectors=False)
            assert not isinstance(poll, Failed)
            told.append(list(poll.conditions))
        for up_time in (2**32 - 10, 3):
            driver.cabinet.values[mib.SYSTEM_UP_TIME.at()] = Ticks(up_time)
            poll = await driver.adapter.read(driver.now + 300, soon(), detectors=False)
            assert not isinstance(poll, Failed)
            told.append(list(poll.conditions))

        assert [[Condition.REBOOTED], [Condition.REBOOTED], [], [], []] == told

    run(story())


def test_a_cabinet_whose_time_stands_still_is_not_believed() -> None:
    """For a second it may be; afterwards what it says is no reading."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        polls = [await driver.adapter.read(driver.now + later, soon(), detectors=False) for later in (9, 10)]

        assert [False, True] == [isinstance(poll, Failed) for poll in polls]

    run(story())


def test_another_cabinet_is_told_by_what_it_says_it_is() -> None:
    """By the settings at the first look, by the first look afterwards."""

    async def story() -> None:
        driver = Driver(crossroads(), identity="maker x")
        first = await driver.open()
        other = await standing(Driver(crossroads()))
        other.cabinet.values[mib.SYSTEM_DESCRIPTION.at()] = b"scripted 2"
        poll = await other.read()
        again = await other.open()

        assert isinstance(first, Opened)
        assert isinstance(again, Opened)
        assert [[Condition.IDENTITY_CHANGED]] * 3 == [list(each.conditions) for each in (first, poll, again)]

    run(story())


def test_a_poll_with_a_gap_is_no_poll() -> None:
    """An object without a value makes all of it fail, and its name is told."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.cabinet.values[mib.OVERLAP_GREENS.at(1)] = 700
        failed = await driver.adapter.read(driver.now, soon(), detectors=False)

        assert isinstance(failed, Failed)
        assert Trouble.REPLY_GARBLED is failed.trouble
        assert failed.detail.startswith("overlapStatusGroupGreens.1")

    run(story())


# --- the first look ------------------------------------------------------------------------------------------------------------------
def found(config: Callable[[], object], change: Callable[[Driver], None], **options: Any) -> Opened:
    """Look at a cabinet in which something is otherwise."""

    async def story() -> Opened:
        driver = Driver(
            crossroads() if config is crossroads else dual_ring(), Method.STAGES if config is crossroads else Method.RINGS, **options
        )
        change(driver)
        opened = await driver.open()
        assert isinstance(opened, Opened)
        if opened.conditions:
            await driver.read()
            assert isinstance(await driver.apply(RunFree(driver.now)), Withheld)
        assert [] == driver.cabinet.messages
        return opened

    return run(story())


def test_a_cabinet_as_it_should_be_has_nothing_against_us() -> None:
    """By either method."""
    for config in (crossroads, dual_ring):
        assert Opened(backup=300, identity="scripted 1") == found(config, lambda _: None)


DIFFERENCES: dict[str, tuple[Callable[[], object], dict[Instance, int | bytes | None], str]] = {
    "minimum green": (crossroads, {mib.PHASE_MINIMUM_GREEN.at(2): 6}, "phaseMinimumGreen.2 is 6, here 5"),
    "yellow": (crossroads, {mib.PHASE_YELLOW_CHANGE.at(1): 40}, "phaseYellowChange.1 is 40, here 30"),
    "red": (crossroads, {mib.PHASE_RED_CLEAR.at(3): 0}, "phaseRedClear.3 is 0, here 10"),
    "unread": (crossroads, {mib.PHASE_RED_CLEAR.at(3): None}, "phaseRedClear.3 cannot be read"),
    "maximum": (crossroads, {mib.PHASE_MAXIMUM_1.at(3): 59}, "phaseMaximum1.3 is 59, here at least 60"),
    "off": (crossroads, {mib.PHASE_OPTIONS.at(1): 2}, "phase 1 is not enabled"),
    "parents": (crossroads, {mib.OVERLAP_PARENTS.at(1): b"\x01\x03"}, "overlapIncludedPhases.1 is 1, 3, here 1, 2"),
    "no parents": (crossroads, {mib.OVERLAP_PARENTS.at(1): None}, "overlapIncludedPhases.1 cannot be read"),
    "few phases": (crossroads, {mib.MAX_PHASES.at(): 2}, "it has 2 phases, and 3 is needed"),
    "sequence": (dual_ring, {mib.SEQUENCE_DATA.at(1, 1): b"\x02\x01\x03\x04"}, "sequenceData.1.1 is 2, 1, 3, 4, here 1, 2, 3, 4"),
    "ring": (dual_ring, {mib.PHASE_RING.at(5): 1}, "phaseRing.5 is 1, here 2"),
    "walk": (dual_ring, {mib.PHASE_WALK.at(2): 7}, "phaseWalk.2 is 7, here 5"),
    "concurrency": (dual_ring, {mib.PHASE_CONCURRENCY.at(1): b""}, "phaseConcurrency.1 is none, here 5, 6"),
    "detector": (dual_ring, {mib.DETECTOR_CALL_PHASE.at(1): 3}, "vehicleDetectorCallPhase.1 is 3, here 1"),
    "button": (dual_ring, {mib.PED_DETECTOR_CALL_PHASE.at(1): 4}, "pedestrianDetectorCallPhase.1 is 4, here 2"),
    "flash unseen": (crossroads, {mib.UNIT_FLASH_STATUS.at(): None}, "unitFlashStatus is not there"),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_every_difference_from_the_configuration_is_listed(name: str) -> None:
    """And nothing is asked of such a cabinet."""
    config, values, words = DIFFERENCES[name]

    def change(driver: Driver) -> None:
        for at, value in values.items():
            if value is None:
                del driver.cabinet.values[at]
            else:
                driver.cabinet.values[at] = value

    assert {Condition.TIMINGS_DIFFER: words} == dict(found(config, change).conditions)


@pytest.mark.parametrize(
    ("seconds", "condition"), [(0, Condition.BACKUP_TIME_ZERO), (61, Condition.BACKUP_TIME_LONG), (None, Condition.BACKUP_TIME_ZERO)]
)
def test_a_backup_time_that_is_none_or_too_long_is_told(seconds: int | None, condition: Condition) -> None:
    """One that is nowhere is none."""

    def change(driver: Driver) -> None:
        del driver.cabinet.values[mib.UNIT_BACKUP_TIME.at()]
        if seconds is not None:
            driver.cabinet.values[mib.UNIT_BACKUP_TIME.at()] = seconds

    async def story() -> Opened | Failed:
        driver = Driver(crossroads())
        change(driver)
        return await driver.open()

    opened = run(story())

    assert isinstance(opened, Opened)
    assert [condition] == list(opened.conditions)


def test_a_backup_time_elsewhere_is_found_by_the_profile() -> None:
    """Some firmware has it at instance 1."""

    def change(driver: Driver) -> None:
        driver.cabinet.values[mib.UNIT_BACKUP_TIME.at(1)] = driver.cabinet.values.pop(mib.UNIT_BACKUP_TIME.at())

    opened = found(crossroads, change, profile=profiles.load("unknown"))

    assert Opened(backup=300, notes=("its backup time stands at unitBackupTime.1",), identity="scripted 1") == opened


def test_what_is_missing_and_can_be_done_without_is_noted() -> None:
    """Each optional object by its name, with what it costs."""

    def change(driver: Driver) -> None:
        for entry in (mib.LOCAL_FREE_STATUS, mib.SHORT_ALARM_STATUS, mib.UNIT_CONTROL_STATUS, mib.UNIT_ALARM_STATUS_2):
            del driver.cabinet.values[entry.at()]
        del driver.cabinet.values[mib.PHASE_CONCURRENCY.at(1)]
        del driver.cabinet.values[mib.SEQUENCE_DATA.at(1, 1)]
        driver.cabinet.values[mib.VOLUME_OCCUPANCY_PERIOD.at()] = 0

    opened = found(dual_ring, change)

    assert {} == opened.conditions
    assert [
        "unitControlStatus is not there: manual control and the end of its backup time cannot be seen",
        "unitAlarmStatus2 is not there: stop time cannot be seen",
        "shortAlarmStatus is not there: preemption cannot be seen",
        "localFreeStatus is not there: free operation cannot be seen",
        "it makes no reports of volume and occupancy",
    ] == list(opened.notes)


def test_a_cabinet_without_the_optional_objects_is_led_all_the_same() -> None:
    """What it runs is told by its pattern alone."""

    async def story() -> None:
        driver = Driver(crossroads())
        for entry in (mib.LOCAL_FREE_STATUS, mib.SHORT_ALARM_STATUS, mib.UNIT_CONTROL_STATUS, mib.GLOBAL_TIME):
            del driver.cabinet.values[entry.at()]
        driver.cabinet.values[mib.VOLUME_OCCUPANCY_PERIOD.at()] = 0
        await driver.open()
        done = await driver.tick(A)
        poll = await driver.read(detectors=True)

        assert (Applied(Step.ARRIVED), None, None) == (done, poll.readings, poll.clock)

    run(story())


@pytest.mark.parametrize(
    ("at", "value", "condition"),
    [
        (mib.DETECTOR_CALL_PHASE.at(1), 0, Condition.DATABASE_CHANGED),
        (mib.SEQUENCE_DATA.at(1, 1), b"\x03\x02\x01", Condition.SEQUENCE_CHANGED),
    ],
)
def test_a_database_that_has_changed_since_the_last_look_is_told(at: Instance, value: int | bytes, condition: Condition) -> None:
    """Also where it now differs from the configuration."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.cabinet.values[at] = value
        opened = await driver.open()

        assert isinstance(opened, Opened)
        assert {condition, Condition.TIMINGS_DIFFER} == opened.conditions.keys()

    run(story())


# --- detectors -----------------------------------------------------------------------------------------------------------------------
def report(driver: Driver, *, sequence: int, volume: int = 0, occupancy: int = 0) -> None:
    """Let the cabinet report of its first loop."""
    driver.cabinet.values |= {
        mib.VOLUME_OCCUPANCY_SEQUENCE.at(): sequence,
        mib.DETECTOR_VOLUME.at(1): volume,
        mib.DETECTOR_OCCUPANCY.at(1): occupancy,
    }


def test_a_report_is_read_once() -> None:
    """One that is not new is none; several that were not asked for add up. A radar is none of the cabinet's detectors."""

    async def story() -> None:
        radar = Detector(id="radar", kind=DetectorKind.AREA, phases=(1,))
        driver = await standing(Driver(crossroads(detectors=(loop_at(1), radar))))
        report(driver, sequence=255, volume=2, occupancy=100)
        await driver.read()
        report(driver, sequence=0, volume=1, occupancy=20)
        first = await driver.read(detectors=True)
        second = await driver.read(detectors=True)
        assert first.readings is not None

        assert (30, 3.0) == (first.over, float(first.readings.values[Channel.COUNT, 0]))
        assert 6 == round(float(first.readings.values[Channel.OCCUPANCY, 0]) * 30)
        assert (None, 0, [True, False]) == (second.readings, second.over, first.readings.valid.tolist())

    run(story())


def test_a_missed_report_is_told_by_the_time_that_is_covered() -> None:
    """Nothing is put in its place."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        await driver.read(detectors=True)
        report(driver, sequence=12, volume=4)
        poll = await driver.read(by=50, detectors=True)
        assert poll.readings is not None

        assert (10, 4.0) == (poll.over, float(poll.readings.values[Channel.COUNT, 0]))

    run(story())


@pytest.mark.parametrize(
    ("volume", "occupancy", "trouble"),
    [
        (1, 210, DetectorTrouble.MAX_PRESENCE),
        (1, 211, DetectorTrouble.NO_ACTIVITY),
        (1, 212, DetectorTrouble.OPEN_LOOP),
        (1, 213, DetectorTrouble.SHORTED_LOOP),
        (1, 214, DetectorTrouble.EXCESSIVE_CHANGE),
        (1, 216, DetectorTrouble.WATCHDOG),
        (1, 217, DetectorTrouble.ERRATIC),
        (1, 255, DetectorTrouble.OTHER),
        (1, 700, DetectorTrouble.OTHER),
        (255, 10, None),
    ],
)
def test_a_code_is_never_a_number(volume: int, occupancy: int, trouble: DetectorTrouble | None) -> None:
    """A fault has its name and no reading; a count that ran over has no reading either."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        await driver.read(detectors=True)
        report(driver, sequence=9, volume=volume, occupancy=occupancy)
        poll = await driver.read(detectors=True)
        assert poll.readings is not None

        assert ({"loop 1": trouble} if trouble else {}) == dict(poll.reported)
        assert ([False, True, True, True], 0.0) == (poll.readings.valid.tolist(), float(poll.readings.values[Channel.COUNT, 0]))

    run(story())


def test_a_report_that_changes_while_it_is_read_is_left_to_the_next_poll() -> None:
    """Volumes of two reports are never mixed; so is one that is not answered."""

    async def story() -> None:
        driver = await standing(Driver(crossroads(), profile=profiles.NtcipProfile(description="small", objects_per_message=3)))
        await driver.read(detectors=True)
        report(driver, sequence=9, volume=4)
        read, told = driver.cabinet.read, []

        def changing(oid: tuple[int, ...]) -> object:
            value = read(oid)
            if oid == mib.DETECTOR_VOLUME.at(1).oid:
                report(driver, sequence=10, volume=5)
            return value

        driver.cabinet.read = changing  # type: ignore[method-assign,assignment]  # the store of one test
        torn = await driver.read(detectors=True)
        driver.cabinet.read = read  # type: ignore[method-assign]  # as it was
        whole = await driver.read(detectors=True)
        told = [poll.readings is None for poll in (torn, whole)]

        assert ([True, False], 10) == (told, whole.over)

    run(story())


@pytest.mark.parametrize("tells", [True, False])
def test_a_button_is_pressed_or_its_call_waits(tells: bool) -> None:
    """A cabinet of v03 says which are pressed; of another, the call that waits is taken for it. A failed one has its name."""

    async def story() -> None:
        driver = Driver(dual_ring(), Method.RINGS)
        if not tells:
            del driver.cabinet.values[mib.PED_DETECTORS_ACTIVE.at(1)]
        await standing(driver)
        pressed = []
        for number, active in enumerate((1, 0), start=20):
            report(driver, sequence=number)
            driver.cabinet.put(mib.PHASE_PED_CALLS, [2] if active else [])
            if tells:
                driver.cabinet.values[mib.PED_DETECTORS_ACTIVE.at(1)] = active
            poll = await driver.read(detectors=True)
            assert poll.readings is not None
            pressed.append(float(poll.readings.values[Channel.COUNT, 2]))
        report(driver, sequence=30)
        driver.cabinet.values[mib.PED_DETECTOR_ALARMS.at(1)] = 0b100
        failed = await driver.read(detectors=True)

        assert [1.0, 0.0] == pressed
        assert {"button 2": DetectorTrouble.ERRATIC} == dict(failed.reported)

    run(story())


def test_the_clock_is_read_with_the_detectors() -> None:
    """In seconds since 1970."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.cabinet.values[mib.GLOBAL_TIME.at()] = Counter(1_800_000_007)

        assert [None, 1_800_000_007.0] == [(await driver.read(detectors=detectors)).clock for detectors in (False, True)]

    run(story())


# --- what is shown -------------------------------------------------------------------------------------------------------------------
def test_a_ring_that_has_cleared_first_leaves_the_stage_as_it_was() -> None:
    """At a barrier one ring may rest in red while the other clears: the stage that is left stays the one that was seen."""

    async def story() -> None:
        driver = await standing(Driver(dual_ring(), Method.RINGS))
        driver.cabinet.show(0, frozenset({1, 5}), yellow=True)
        driver.cabinet.put(mib.PHASE_NEXTS, [4, 8])
        moving = (await driver.read()).report
        driver.cabinet.put(mib.PHASE_ONS, [5])
        driver.cabinet.put(mib.PHASE_YELLOWS, [5])
        report_ = (await driver.read()).report

        assert (0, 7) == (moving.stage, moving.target)
        assert (0, 0b10000) == (report_.stage, report_.yellows)

    run(story())


def test_a_change_that_is_seen_first_belongs_to_a_stage_that_it_can_belong_to() -> None:
    """Where nothing was seen before, the first stage that explains what is shown; where none does, none is told."""

    async def story() -> None:
        driver = Driver(dual_ring(), Method.RINGS)
        driver.cabinet.put(mib.PHASE_ONS, [6])
        driver.cabinet.put(mib.PHASE_GREENS, [6])
        await driver.open()
        first = (await driver.read()).report
        driver.cabinet.put(mib.PHASE_GREENS, [4, 6])
        poll = await driver.adapter.read(driver.now, soon(), detectors=False)
        assert not isinstance(poll, Failed)

        assert (1, -1) == (first.stage, poll.report.stage)

    run(story())


def test_closing_lets_go_of_the_link() -> None:
    """What is asked afterwards has no answer."""

    async def story() -> None:
        driver = await standing(Driver(crossroads()))
        driver.adapter.close()
        poll = await driver.adapter.read(driver.now, soon(), detectors=False)

        assert isinstance(poll, Failed)

    run(story())
