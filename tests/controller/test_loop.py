import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import wraps
from itertools import pairwise
from typing import Any

import pytest

from controller import journal
from controller.detectors import Limits, Watch
from controller.events import (
    Checked,
    Event,
    Fault,
    FaultBegan,
    Flash,
    Free,
    LimitSet,
    LockOutCleared,
    Mode,
    Ordered,
    OrderWithdrawn,
    Place,
    Plan,
    ReEnabled,
)
from controller.fixed_time import Follower, Plans
from controller.loop import LOADING, REOPENING, no_save
from controller.mode import Objection, Readiness
from controller.policy_source import (
    Answer,
    BundleMissing,
    BundleRefused,
    Died,
    Garbage,
    Hung,
    IllegalStage,
    Late,
    Loading,
    NotFinite,
    Proposed,
    Raised,
    Unfamiliar,
)
from controller.ticker import TENTH
from controller.watchdog import Bounds
from field_adapters._base import Condition, Failed, Opened, Trouble, Withheld
from field_adapters.modbus_profile import Mode as Following
from field_adapters.simulated import orders
from field_adapters.virtual import VirtualCabinet
from intersection.config import IntersectionConfig
from intersection.plan import Schedule
from intersection.shield import Proposal
from intersection.state import Display, IntersectionState
from models.manifest import Departure
from tests.controller.trial import BUTTON, CONFIG, ERA, LADDER, MAIN, SIDE, Trial, wall_of

MONITORING, SHADOWING = (replace(LADDER, limit=limit) for limit in (Mode.MONITOR, Mode.SHADOW))
PERIOD = 10
FAR_OFF = 1 << 40


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @wraps(test)
    def whole(*args: object, **kwargs: object) -> None:
        asyncio.run(test(*args, **kwargs))

    return whole


async def _adaptive(**made: Any) -> Trial:
    """Give a cabinet whose policy has just decided."""
    trial = Trial(**made)
    await trial.until("adaptive")
    await _decision(trial)
    assert trial.followed
    return trial


async def _decision(trial: Trial) -> None:
    """Go on until a decision has just been due."""
    before = len(_decisions(trial))
    while len(_decisions(trial)) == before:
        await trial.tick()


def _decisions(trial: Trial, *who: str) -> list[tuple[str, str]]:
    """Say what was proposed and what the gate made of it, by anybody or by some."""
    told = trial.told(journal.Decision)
    return [(each.proposal, each.verdict) for each in told if each.policy in (who or ("policy", "plan", "shadow", "operator"))]


def _ended(trial: Trial) -> list[tuple[str, str]]:
    return [(each.order, each.answer) for each in trial.told(journal.Order)]


def _limit(mode: Mode) -> LimitSet:
    return LimitSet(limit=mode, operator="Ada", reason="works")


# --- the way in ------------------------------------------------------------------------------------------------------------------
@awaited
async def test_the_way_in_leads_through_watching_and_shadowing() -> None:
    """A cabinet with nothing against it goes up at the first ticks, and something stands there only when the policy has decided."""
    trial, met = Trial(), [("", False)]
    for _ in range(30):
        await trial.tick()
        if met[-1] != (trial.mode, trial.followed):
            met.append((trial.mode, trial.followed))

    assert [("monitor", False), ("shadow", False), ("adaptive", False), ("adaptive", True)] == met[1:]


@awaited
async def test_a_cabinet_that_was_looked_at_before_the_first_tick_is_read_by_it() -> None:
    """To wait for the first look saves a tick, and to wait twice looks once."""
    trial = Trial()
    await trial.loop.prepare(trial.now)
    await trial.loop.prepare(trial.now)
    await trial.tick()

    assert ("main", 1) == (trial.loop.status().stage, trial.adapter.opens)


@awaited
async def test_monitoring_asks_the_policy_nothing_and_the_cabinet_for_nothing() -> None:
    """The street is read, and what happens there is written down."""
    trial = Trial(settings=MONITORING)
    trial.waiting = {SIDE}
    await trial.tick(40)

    assert ("monitor", "main", False) == (trial.mode, trial.loop.status().stage, trial.followed)
    assert ([], True) == (_decisions(trial), bool(trial.told(journal.Event)))


@awaited
async def test_a_shadow_tells_what_it_would_do_and_writes_nothing() -> None:
    """Its proposals go to the gate and into the journal; the cabinet has never heard of us."""
    trial = Trial(settings=SHADOWING)
    trial.wish.stage = SIDE
    await trial.tick(100)

    assert ("shadow", None, MAIN) == (trial.mode, trial.cabinet.look().writer, trial.cabinet.state.stage)
    assert {("side", "amended main"), ("side", "granted side")} == set(_decisions(trial, "shadow"))


@awaited
async def test_a_shadow_whose_policy_fails_only_watches() -> None:
    """No fault makes a mode send that sends nothing, not even our plan."""
    trial = Trial(settings=SHADOWING)
    await trial.until("shadow")
    trial.policy.script = [Late()]
    await trial.tick(PERIOD + 1)

    assert ("monitor", None) == (trial.mode, trial.cabinet.look().writer)


@awaited
async def test_off_reads_nothing_and_misses_nothing() -> None:
    """Who caps a cabinet at OFF gets it zeroed and left alone; what is not read is not lost, and is looked at anew afterwards."""
    trial = await _adaptive()
    trial.submit(_limit(Mode.OFF))
    await trial.tick()
    followed, reads, opens = trial.followed, trial.adapter.reads, trial.adapter.opens
    await trial.tick(60)

    assert ("off", False, reads, {}) == (trial.mode, followed, trial.adapter.reads, trial.causes)
    trial.submit(_limit(Mode.ADAPTIVE))
    assert 4 == await trial.until("adaptive")
    assert opens + 1 == trial.adapter.opens


@awaited
async def test_a_start_waits_for_its_policy_and_not_for_ever() -> None:
    """While it is loaded nothing is sent; then our plan stands in, and the policy comes when it is there."""
    trial = Trial(script=[Loading()] * 12)
    await trial.tick(LOADING)
    waiting = trial.mode
    await trial.tick()

    assert ("monitor", "fixed time", {Fault.BUNDLE_MISSING: False}) == (waiting, trial.mode, trial.causes)
    await trial.until("adaptive")
    assert {} == trial.causes


@awaited
async def test_a_cabinet_without_a_policy_runs_our_plan_only_where_it_is_ordered_or_nothing() -> None:
    """It climbs like any other; where nobody decides, nothing of ours stands."""
    trial = Trial(policy=None)
    await trial.tick(40)

    assert ("adaptive", False) == (trial.mode, trial.followed)


@awaited
async def test_a_cabinet_that_never_answers_is_released_and_asked_on() -> None:
    """The way in begins without it after some seconds, and ends when it answers."""
    trial = Trial()
    trial.adapter.silent = True
    await trial.until("released", LOADING + 2)
    trial.adapter.silent = False
    await trial.until("adaptive", REOPENING + 3 * LADDER.clean_time)

    assert [("off", "monitor"), ("monitor", "released"), ("released", "fixed time"), ("fixed time", "adaptive")] == trial.modes


@awaited
async def test_what_a_dead_daemon_left_at_the_cabinet_is_zeroed_before_anything_else() -> None:
    """A start after a death goes up only from a cabinet that holds nothing of ours."""
    before = await _adaptive()
    trial = Trial(ladder=before.saved[-1], now=before.now + 5, cabinet=before.cabinet)
    followed = trial.followed
    await trial.tick(2)

    assert ((True, "monitor"), False) == ((followed, trial.mode), trial.followed)
    await trial.until("released", 2)
    assert {Fault.DAEMON_DIED: False} == trial.causes


@awaited
async def test_ticks_go_on_while_the_cabinet_is_first_looked_at() -> None:
    """A look may take seconds: nothing waits for it, and a daemon that ends meanwhile ends it."""
    trial = Trial()
    trial.adapter.opening = asyncio.Event()
    await trial.tick(5)

    assert (5, 1, 0) == (trial.loop.meters.ticks, trial.adapter.opens, trial.adapter.reads)
    assert await trial.loop.stop()


# --- decisions -------------------------------------------------------------------------------------------------------------------
@awaited
async def test_a_decision_is_made_each_period_and_carried_out_at_once() -> None:
    """What the gate grants begins at the cabinet within the same tick, and is seen by it."""
    trial = await _adaptive()
    await trial.tick(50)
    trial.wish.stage = SIDE
    await _decision(trial)

    assert SIDE == trial.cabinet.state.target
    assert ("side", "granted side") == (trial.loop.status().going_to, trial.loop.status().verdict)
    stamps = [each.at for each in trial.told(journal.Decision)]
    assert {PERIOD} == {later - earlier for earlier, later in pairwise(stamps)}


@awaited
async def test_decisions_fall_where_the_epoch_has_them() -> None:
    """With an epoch of three tenths, each second's decision falls three tenths after it."""
    trial = await _adaptive(epoch=3)

    assert 3 == trial.now % PERIOD


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Late(), Fault.POLICY_LATE),
        (Hung(), Fault.POLICY_HUNG),
        (Died("killed"), Fault.POLICY_DIED),
        (Raised("ValueError: a bug"), Fault.POLICY_RAISED),
        (NotFinite("the logits"), Fault.POLICY_NOT_FINITE),
        (Garbage("no frame"), Fault.POLICY_GARBAGE),
        (IllegalStage(9), Fault.POLICY_ILLEGAL_STAGE),
        (Proposed(Proposal(stage=9)), Fault.POLICY_ILLEGAL_STAGE),
        (Unfamiliar(Departure(9.0, 0)), Fault.POLICY_OUT_OF_DISTRIBUTION),
        (BundleMissing("no file"), Fault.BUNDLE_MISSING),
        (BundleRefused("its signature"), Fault.BUNDLE_REFUSED),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else type(value).__name__,
)
@awaited
async def test_a_policy_that_fails_costs_one_decision_and_our_plan_makes_it(answer: Answer, fault: Fault) -> None:
    """The plan decides in the very tick of the failure, and the policy is back after the clean time."""
    trial = await _adaptive()
    trial.policy.script = [answer]
    trial.records.clear()
    await trial.tick(PERIOD)

    assert ("fixed time", True, {fault: False}) == (trial.mode, trial.followed, trial.causes)
    assert [("main", "granted main")] == _decisions(trial, "plan")
    assert wall_of(trial.now) == trial.told(journal.Decision)[-1].at
    assert LADDER.clean_time + PERIOD >= await trial.until("adaptive")
    assert {} == trial.causes


@awaited
async def test_a_policy_that_goes_on_failing_is_told_once_and_keeps_our_plan() -> None:
    """What stands begins once, however often it is seen; another failure takes its place, and what is momentary leaves it."""
    trial = await _adaptive()
    trial.policy.script = [Died("killed"), Died("killed"), Late(), Died("killed"), BundleMissing("no file")]
    await trial.tick(4 * PERIOD)
    died, counted = set(trial.causes), trial.loop.meters.faults[Fault.POLICY_DIED]
    await trial.tick(PERIOD)

    assert ({Fault.POLICY_DIED, Fault.POLICY_LATE}, 1) == (died, counted)
    assert frozenset({Fault.BUNDLE_MISSING}) == trial.loop.meters.standing


@awaited
async def test_a_proposal_that_came_too_late_lets_what_runs_go_on() -> None:
    """The gate blames nobody for it, and does what it does when nothing is proposed."""
    trial = await _adaptive()
    trial.policy.script = [Proposed(Proposal(stage=SIDE, not_after=0))]
    await trial.tick(PERIOD)

    assert ("adaptive", True, MAIN) == (trial.mode, trial.followed, trial.cabinet.state.stage)
    assert ("side", "refused") == _decisions(trial, "policy")[-1]


@awaited
async def test_a_signal_that_only_flashes_is_held_to_nothing() -> None:
    """Where the gate lets nobody do anything, nothing is asked of the cabinet."""
    trial = await _adaptive()
    trial.adapter.lamps = {"display": Display.FLASH}
    await trial.tick(PERIOD)

    assert ("main", "refused") == _decisions(trial, "policy")[-1]
    assert not trial.followed


@awaited
async def test_where_no_plan_can_stand_in_the_cabinet_is_released() -> None:
    """A configuration without patterns gives the street back to the cabinet, in the same tick."""
    trial = await _adaptive(plan=None)
    trial.policy.script = [Late()]
    await trial.tick(PERIOD)

    assert ("released", False, {Fault.POLICY_LATE, Fault.FIXED_TIME_FAILED}) == (trial.mode, trial.followed, set(trial.causes))


class _BrokenPlan(Follower):
    """A plan of ours that fails, or wants what there is not."""

    stage: int | None = None

    def propose(self, state: IntersectionState, wall: float) -> Proposal:
        """Fail."""
        if self.stage is None:
            raise ZeroDivisionError("a bug")
        return Proposal(stage=self.stage)


@pytest.mark.parametrize("stage", [None, 9])
@awaited
async def test_a_plan_of_ours_that_fails_releases_the_cabinet(stage: int | None) -> None:
    """Whatever is wrong with it, the street gets the cabinet's own."""
    plan = _BrokenPlan(Plans(CONFIG, Schedule()))
    plan.stage = stage
    trial = await _adaptive(plan=plan)
    trial.policy.script = [Late()]
    await trial.tick(PERIOD)

    assert ("released", False) == (trial.mode, trial.followed)
    assert Fault.FIXED_TIME_FAILED in trial.causes


@awaited
async def test_our_plan_stands_in_for_a_bounded_time() -> None:
    """A policy that stays away leaves the street to our plan, and then to the cabinet."""
    trial = await _adaptive()
    trial.policy.script = [Died("killed")] * 100
    await trial.until("fixed time")
    took = await trial.until("released", LADDER.fixed_time_bound + 1)
    await trial.tick()

    assert (LADDER.fixed_time_bound, False) == (took, trial.followed)


@awaited
async def test_our_plan_moves_the_street_by_its_splits() -> None:
    """While it stands in, both stages of the pattern are served."""
    trial = await _adaptive(settings=replace(LADDER, fixed_time_bound=FAR_OFF))
    trial.policy.script = [Died("killed")] * 200
    await trial.until("fixed time")

    for stage in (SIDE, MAIN, SIDE):
        await trial.stands(stage, 400)
    assert "fixed time" == trial.mode


# --- the gate by itself ----------------------------------------------------------------------------------------------------------
def _bounded(max_green: int) -> IntersectionConfig:
    phases = tuple(replace(phase, timing=replace(phase.timing, max_green=max_green)) for phase in CONFIG.phases)
    return replace(CONFIG, phases=phases)


async def _in_a_patient_cabinet(max_green: int) -> Trial:
    """Give a cabinet whose own bounds are wider than ours, so that only our gate leaves a green in time."""
    return await _adaptive(config=_bounded(max_green), cabinet=VirtualCabinet(_bounded(9_000), now=1_000))


@awaited
async def test_the_gate_acts_by_itself_between_two_decisions() -> None:
    """A maximum green that ends within a second ends at its tenth, whatever the policy wants."""
    trial = await _in_a_patient_cabinet(403)
    trial.waiting = {3}
    await _decision(trial)
    called = trial.now
    took = 0
    while SIDE != trial.cabinet.state.target:
        await trial.tick()
        took += 1

    assert 403 == trial.now - called == took
    assert ("nothing", "amended side", "maximum green reached") == trial.told(journal.Decision)[-1][2:]
    assert wall_of(trial.now) == trial.told(journal.Decision)[-1].at


@awaited
async def test_the_gate_acts_before_the_policy_is_asked() -> None:
    """Where both fall into one tick, the policy is asked about a street that is already changing."""
    trial = await _in_a_patient_cabinet(400)
    trial.waiting = {3}
    while SIDE != trial.cabinet.state.target:
        await trial.tick()

    assert [("gate", "amended side"), ("policy", "amended side")] == [(d.policy, d.verdict) for d in trial.told(journal.Decision)[-2:]]


@awaited
async def test_nobody_is_asked_about_a_street_that_has_just_become_strange() -> None:
    """What the gate asked for is looked at within the tick; lamps that then make no sense end it there."""
    trial = await _in_a_patient_cabinet(400)
    trial.waiting = {3}
    await _decision(trial)
    await trial.tick(399)
    trial.adapter.lamps_when_asked = {"greens": 0b1001}
    before = len(_decisions(trial))
    await trial.tick()
    strange = trial.loop.view.strange
    await trial.tick()

    assert strange is not None
    assert ("gate", "released", before) == (trial.told(journal.Decision)[-1].policy, trial.mode, len(_decisions(trial)))


@awaited
async def test_a_change_that_has_not_begun_is_taken_back_where_the_gate_would_no_longer_begin_it() -> None:
    """What was granted at one tick may not be legal at the next: a walk has begun that has to end first."""
    trial = await _adaptive(cabinet=VirtualCabinet(CONFIG, stage=SIDE, now=1_000))
    trial.wish.stage = SIDE
    await trial.tick(60)
    trial.order(orders.IgnoreRequests(on=True))
    trial.wish.stage = MAIN
    await _decision(trial)
    granted = trial.loop.last_verdict
    await trial.tick(2)
    trial.adapter.lamps = {"walks": 1 << 3}
    await trial.tick()

    assert ("main", "granted main") == _decisions(trial, "policy")[-1]
    assert granted != trial.loop.last_verdict
    assert [("main", "amended side")] == _decisions(trial, "gate")


# --- requests --------------------------------------------------------------------------------------------------------------------
@awaited
async def test_a_cabinet_that_does_not_follow_is_told_once_and_asked_anew_and_then_latched() -> None:
    """One missed change is a note; a second soon after waits for a person."""
    trial = await _adaptive()
    await trial.tick(60)
    trial.order(orders.IgnoreRequests(on=True))
    trial.wish.stage = SIDE
    while not trial.loop.meters.faults[Fault.DISOBEYED]:
        await trial.tick()
    once = trial.mode
    await trial.until("released")

    assert ("adaptive", {Fault.DISOBEYED_AGAIN: True}, False) == (once, trial.causes, trial.followed)
    trial.order(orders.IgnoreRequests(on=False))
    await trial.tick(2 * LADDER.clean_time)
    assert "released" == trial.mode
    assert None is trial.submit(ReEnabled(operator="Ada", reason="the relay was replaced"))
    await trial.until("adaptive")


@awaited
async def test_a_refused_request_releases_and_the_zeros_are_repeated_until_they_are_read_back() -> None:
    """A cabinet that refuses even these is asked at each tick, and believed when it says so."""
    trial = await _adaptive()
    trial.order(orders.RefuseRequests(on=True))
    await trial.until("released", PERIOD + 1)
    await trial.tick(3)
    refused = trial.followed
    trial.order(orders.RefuseRequests(on=False))
    await trial.tick()

    assert (True, False) == (refused, trial.followed)
    assert 4 == trial.loop.meters.faults[Fault.REQUEST_REFUSED]


@awaited
async def test_a_request_that_is_left_behind_is_told_and_zeroed_again() -> None:
    """Leaving a commanding mode is over only when every zero was read back."""
    trial = await _adaptive()
    trial.adapter.released = [Failed(Trouble.REQUEST_LEFT_BEHIND, "stage"), Failed(Trouble.LINK_LOST)]
    trial.submit(_limit(Mode.MONITOR))
    followed = []
    for _ in range(3):
        await trial.tick()
        followed.append(trial.followed)

    assert ([True, True, False], 1) == (followed, trial.loop.meters.faults[Fault.REQUEST_LEFT_BEHIND])


@awaited
async def test_one_request_that_had_no_answer_is_no_lost_link() -> None:
    """The next tick asks again; only silence of a second counts."""
    trial = await _adaptive()
    trial.adapter.applied = [Failed(Trouble.LINK_LOST, "timed out")]
    await trial.tick(PERIOD)

    assert ("adaptive", {}, True) == (trial.mode, trial.causes, trial.followed)


@awaited
async def test_a_dead_decider_lets_the_cabinets_watchdog_run_out() -> None:
    """Ticks renew no decision: it grows old, is withheld and told once, and the cabinet goes its own way and is believed."""
    trial = await _adaptive(period=FAR_OFF // 2, epoch=1_005 - FAR_OFF, bounds=Bounds(stale=FAR_OFF))
    await trial.until("released", 120)

    assert (Following.RELEASED, {Fault.BACKUP_EXPIRED}) == (trial.cabinet.following, set(trial.causes))
    withheld = [each for each in trial.told(journal.Decision) if each.policy == "adapter"]
    assert [("main", "withheld")] == [(each.proposal, each.verdict) for each in withheld]


@awaited
async def test_a_daemon_that_has_died_lets_the_cabinets_watchdog_run_out() -> None:
    """Without a tick nothing is renewed."""
    trial = await _adaptive()
    trial.cabinet.advance(trial.now + 50)

    assert Following.EXPIRED is trial.cabinet.following


@awaited
async def test_a_daemon_that_stalls_releases_and_comes_back() -> None:
    """Who missed a second of ticks cannot keep time; the ticks after it are clean."""
    trial = await _adaptive()
    trial.clock.pass_by(12 * TENTH)
    await trial.tick()

    assert ("released", False) == (trial.mode, trial.followed)
    assert 11 <= trial.loop.meters.skipped
    assert 1 == trial.loop.meters.faults[Fault.TICKER_LAG]
    await trial.until("adaptive")


@awaited
async def test_a_tick_that_is_late_is_only_told() -> None:
    """A lag of two ticks changes nothing in the street."""
    trial = await _adaptive()
    trial.clock.pass_by(2 * TENTH + TENTH // 2)
    await trial.tick()

    assert ("adaptive", {}) == (trial.mode, trial.causes)
    assert "A tick came late. 0.050 s" == trial.told(journal.ModeChange)[-1].reason


# --- the link --------------------------------------------------------------------------------------------------------------------
@awaited
async def test_a_link_that_is_silent_for_a_second_releases_and_is_looked_at_anew() -> None:
    """Nine silent tenths change nothing; after the tenth nothing is known any more, and what comes back is a new cabinet."""
    trial = await _adaptive()
    trial.adapter.silent = True
    await trial.tick(9)
    before = trial.mode
    await trial.tick()

    assert ("adaptive", "released", {Fault.LINK_LOST: False}) == (before, trial.mode, trial.causes)
    assert ("", None) == (trial.loop.status().stage, trial.loop.status().backup_left)
    trial.adapter.silent = False
    await trial.until("adaptive", 2 * REOPENING + 3 * LADDER.clean_time)
    assert trial.adapter.opens > 1


@awaited
async def test_old_readings_release() -> None:
    """A cabinet that shows its lamps and not its detectors leaves a policy blind."""
    trial = await _adaptive()
    trial.adapter.mute = True
    await trial.until("released", 31)

    assert {Fault.READINGS_STALE: False} == trial.causes


@awaited
async def test_clocks_that_differ_are_told_and_lower_nothing() -> None:
    """The alarm stands while the cabinet's clock is off, and ends with it."""
    trial = await _adaptive()
    trial.adapter.clock = ERA + trial.now / 10 + 7
    await trial.tick()
    told = dict(trial.causes)
    trial.adapter.clock = ERA + trial.now / 10
    await trial.tick()

    assert ({Fault.CLOCK_OFF: False}, {}, "adaptive") == (told, trial.causes, trial.mode)


# --- conditions ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("begin", "end", "fault", "latched"),
    [
        (orders.Flash(on=True), orders.Flash(on=False), Fault.FLASH, False),
        (orders.Preempt(on=True), orders.Preempt(on=False), Fault.PREEMPT, False),
        (orders.Police(on=True), orders.Police(on=False), Fault.LOCAL_MANUAL, False),
        (orders.StopTime(on=True), orders.StopTime(on=False), Fault.STOP_TIME, False),
        (orders.ConflictFlash(), orders.ResetMonitor(), Fault.CONFLICT_FLASH, True),
        (orders.LampsDark(on=True), orders.LampsDark(on=False), Fault.LAMP_POWER_LOST, True),
        (orders.AnotherWriter(on=True), orders.AnotherWriter(on=False), Fault.ANOTHER_WRITER, True),
        (orders.Reboot(), None, Fault.REBOOTED, True),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
@awaited
async def test_what_goes_before_us_gets_the_street_and_gives_it_back_as_the_table_says(
    begin: orders.CabinetOrder, end: orders.CabinetOrder | None, fault: Fault, latched: bool
) -> None:
    """We let go within a second; by itself comes back what yields, and a person gives back what is latched."""
    trial = await _adaptive()
    trial.order(begin)
    await trial.until("released", PERIOD + 2)
    causes = dict(trial.causes)
    if end is not None:
        trial.order(end)
    await trial.tick(2 * REOPENING)

    assert latched is causes[fault]
    assert ("released" if latched else "adaptive") == trial.mode
    if latched:
        assert None is trial.submit(ReEnabled(operator="Ada", reason="looked into"))
        await trial.until("adaptive")


@awaited
async def test_a_lock_out_is_cleared_at_the_cabinet_and_only_there() -> None:
    """The key turned back is not enough, and who is elsewhere is told so."""
    trial = await _adaptive()
    trial.order(orders.LockOut(on=True))
    await trial.until("released", PERIOD)
    trial.order(orders.LockOut(on=False))
    await trial.tick(LADDER.clean_time)
    remote = trial.submit(LockOutCleared(technician="Bo", place=Place.REMOTE))
    there = trial.submit(LockOutCleared(technician="Bo", place=Place.AT_CABINET))

    assert (Objection.ONLY_AT_CABINET, None) == (remote, there)
    await trial.until("adaptive")


@awaited
async def test_another_cabinet_at_the_address_gets_nothing_from_us_not_even_zeros() -> None:
    """What we last asked for lapses by itself; a person has to say that it is ours."""
    trial = await _adaptive()
    trial.order(orders.ChangeIdentity(4_711))
    await trial.until("monitor", 12)
    asked = trial.cabinet.look().decided
    await trial.tick(REOPENING)

    assert ("monitor", {Fault.IDENTITY_CHANGED: True}) == (trial.mode, {f: late for f, late in trial.causes.items() if late})
    assert (Following.EXPIRED, asked) == (trial.cabinet.following, trial.cabinet.look().decided)
    assert await trial.loop.stop()


@awaited
async def test_what_a_first_look_finds_against_us_keeps_us_out_until_it_is_mended_and_a_person_says_so() -> None:
    """The cabinet is looked at again and again, since a technician works there."""
    wrong = Opened(conditions={Condition.BACKUP_TIME_ZERO: "it is 0"})
    trial = Trial()
    trial.adapter.opened = [wrong, wrong]
    await trial.until("released")
    await trial.tick(REOPENING + 10)
    early = trial.submit(ReEnabled(operator="Ada", reason="set to 5 s"))
    await trial.tick(REOPENING + 10)
    late = trial.submit(ReEnabled(operator="Ada", reason="set to 5 s"))

    assert (Objection.STILL_SEEN, None, 3) == (early, late, trial.adapter.opens)
    await trial.until("adaptive")


@awaited
async def test_a_street_that_shows_what_the_configuration_never_shows_is_latched() -> None:
    """Such lamps are another signal's: we let go, and decide nothing by them."""
    trial = await _adaptive()
    trial.adapter.lamps = {"greens": 0b1001}
    await trial.tick()

    assert ("released", False, {Fault.STREET_DISAGREES: True}) == (trial.mode, trial.followed, trial.causes)
    assert "greens 0x9" in trial.told(journal.ModeChange)[-1].reason


@awaited
async def test_what_a_cabinet_shows_by_itself_is_its_own_affair() -> None:
    """Where we command nothing it may run phases together that we never do."""
    trial = Trial(settings=MONITORING)
    trial.adapter.lamps = {"greens": 0b1001}
    await trial.tick(20)

    assert ("monitor", {}) == (trial.mode, trial.causes)


@awaited
async def test_a_walk_that_is_not_shown_in_its_longest_wait_is_latched() -> None:
    """Whoever presses a button is served, or somebody looks into it."""
    trial = await _adaptive(bounds=Bounds(walk=1))
    trial.adapter.lamps = {"ped_calls": 1 << 3}
    await trial.until("released", 1_000)

    assert {Fault.WALK_NOT_SERVED: True} == trial.causes


# --- detectors -------------------------------------------------------------------------------------------------------------------
SOON = Limits(clean=50)


@awaited
async def test_a_detector_that_fails_is_masked_and_recalled_and_the_policy_goes_on() -> None:
    """Its phase is served though nobody is seen there, and the operator reads which one it is."""
    trial = await _adaptive()
    trial.broken = {3}
    await trial.tick(2 * PERIOD)

    assert ("adaptive", {Fault.DETECTOR_FAILED: False}) == (trial.mode, trial.causes)
    assert ("loop 4",) == trial.loop.status().detectors_failed
    await trial.stands(SIDE, 900)


@awaited
async def test_a_button_that_fails_is_told_as_one() -> None:
    """Its walk is recalled; who reads it knows what to mend."""
    trial = await _adaptive()
    trial.broken = {BUTTON}
    await trial.tick(2 * PERIOD)

    assert {Fault.BUTTON_FAILED: False} == trial.causes


@awaited
async def test_a_policy_that_cannot_see_gives_way_to_our_plan() -> None:
    """Too many failed detectors are one fault, in which each is named; enough that work again bring the policy back."""
    trial = await _adaptive(limits=SOON)
    trial.broken = {0, 1, 2}
    await trial.tick(2 * PERIOD)

    assert ("fixed time", True) == (trial.mode, trial.followed)
    details = {cause.fault: cause.detail for cause in trial.loop.ladder.causes}
    assert "3 of 5" == details[Fault.DETECTORS_FAILED]
    assert ["loop 1", "loop 2", "loop 3"] == [words[:6] for words in details[Fault.DETECTOR_FAILED].split("; ")]
    trial.broken = set()
    await trial.until("adaptive")


@awaited
async def test_detectors_that_all_are_silent_see_nothing() -> None:
    """Either nobody is there, and a plan harms nobody, or all are dead."""
    trial = Trial(limits=Limits(all_silent=100))
    await trial.until("fixed time")

    assert "all are silent" == trial.loop.ladder.causes[0].detail


# --- orders ----------------------------------------------------------------------------------------------------------------------
@awaited
async def test_an_ordered_plan_is_run_by_the_cabinet_and_ends_by_itself() -> None:
    """It is accepted, shown, and over at its expiry; then the policy goes on."""
    trial = await _adaptive()
    assert None is trial.force(Plan(7), 100)
    at_once = trial.loop.status().order
    await trial.tick(2)
    order = trial.loop.status().order

    assert at_once is not None
    assert order is not None
    assert ("accepted", "in step", "plan 7") == (at_once.step, order.step, order.what)
    assert ("forced", Following.PLAN) == (trial.mode, trial.cabinet.following)
    assert 99 >= await trial.until("adaptive", 100)
    await trial.tick(PERIOD)
    assert ([("plan 7", "done"), ("plan 7", "ended")], Following.STAGE) == (_ended(trial), trial.cabinet.following)


@awaited
async def test_an_order_to_run_free_zeroes_everything() -> None:
    """Free is the cabinet by its own calls: nothing of ours stands."""
    trial = await _adaptive()
    assert None is trial.force(Free())
    await trial.tick(3)

    assert ("forced", False) == (trial.mode, trial.followed)


@awaited
async def test_what_a_cabinet_cannot_do_is_withheld_and_told_once() -> None:
    """This one has no request for flash; the order stands until it is withdrawn."""
    trial = await _adaptive()
    assert None is trial.force(Flash(), None)
    await trial.tick(20)
    withheld = [each for each in trial.told(journal.Decision) if each.policy == "adapter"]

    assert [("flash", "withheld")] * len({each.at for each in withheld}) == [(each.proposal, each.verdict) for each in withheld]
    assert "forced" == trial.mode
    assert None is trial.submit(OrderWithdrawn(operator="Ada", reason="over"))
    await trial.until("adaptive")
    assert [("flash", "done"), ("withdraw", "done")] == _ended(trial)


@pytest.mark.parametrize(("what", "words"), [(Plan(7), "pattern 7"), (Free(), "free")])
@awaited
async def test_what_is_withheld_is_told_by_its_name(what: Ordered, words: str) -> None:
    """A technician reads what was not sent, and why."""
    trial = await _adaptive()
    trial.force(what)
    trial.adapter.applied = [Withheld("the profile has no word for it")]
    await trial.tick()

    assert ("adapter", words, "withheld", "the profile has no word for it") == trial.told(journal.Decision)[-1][1:]


@awaited
async def test_a_plan_that_there_is_not_ends_its_order() -> None:
    """The gate refuses it; the cabinet is released, and the order is over."""
    trial = await _adaptive()
    assert None is trial.force(Plan(9))
    await trial.tick(PERIOD)

    assert ("released", None) == (trial.mode, trial.loop.status().order)
    assert ("plan 9", "ended") in _ended(trial)


@awaited
async def test_the_policy_is_asked_under_an_order_so_that_it_is_known_when_it_fails() -> None:
    """A policy that dies meanwhile is not waited for when the order ends."""
    trial = await _adaptive()
    trial.force(Plan(7), 100)
    trial.policy.script = [Died("killed")] * 50
    await trial.tick(2 * PERIOD)

    assert ("forced", {Fault.POLICY_DIED: False}) == (trial.mode, trial.causes)
    await trial.until("fixed time")


@awaited
async def test_an_order_is_taken_up_again_after_a_restart() -> None:
    """The cabinet had let go meanwhile, and it is said so."""
    before = await _adaptive()
    before.force(Plan(7), 600)
    await before.tick(3)
    assert await before.loop.stop()
    trial = Trial(ladder=before.saved[-1], now=before.now + 100)
    await trial.until("forced")
    order = trial.loop.status().order
    await trial.tick(PERIOD)

    assert order is not None
    assert (True, Following.PLAN) == (order.resumed, trial.cabinet.following)


@awaited
async def test_a_higher_fault_ends_an_order() -> None:
    """The police go before whoever ordered."""
    trial = await _adaptive()
    trial.force(Plan(7))
    trial.order(orders.Police(on=True))
    await trial.tick(2)

    assert ("released", None) == (trial.mode, trial.loop.status().order)


@pytest.mark.parametrize(
    ("event", "objection", "words"),
    [
        (OrderWithdrawn(operator="Ada", reason="over"), Objection.NO_ORDER, "withdraw"),
        (ReEnabled(operator="Ada", reason="looked"), Objection.NOTHING_LATCHED, "re-enable"),
        (LockOutCleared(technician="Ada", place=Place.AT_CABINET), Objection.NOT_LOCKED_OUT, "clear the lock-out"),
    ],
    ids=["withdrawal", "re-enabling", "lock-out"],
)
@awaited
async def test_a_wish_that_cannot_be_done_is_journalled_and_changes_nothing(event: Event, objection: Objection, words: str) -> None:
    """Who asked, for what, and why not."""
    trial = await _adaptive()
    before = trial.loop.ladder
    against = trial.submit(event)

    assert (objection, before) == (against, trial.loop.ladder)
    written = trial.told(journal.Order)[-1]
    assert ("Ada", words, objection.value) == (written.operator, written.order, written.answer)


@pytest.mark.parametrize(
    ("what", "lasts", "objection"),
    [
        (Plan(7), None, Objection.NO_EXPIRY),
        (Plan(7), 0, Objection.EXPIRED),
        (Free(), LADDER.longest_order + 1, Objection.TOO_LONG),
        (Flash(), 100, Objection.FLASH_EXPIRES),
    ],
)
@awaited
async def test_an_order_against_the_rules_is_not_given(what: Ordered, lasts: int | None, objection: Objection) -> None:
    """The mode stays, and the journal has the objection."""
    trial = await _adaptive()

    assert objection is trial.force(what, lasts)
    assert ("adaptive", objection.value) == (trial.mode, trial.told(journal.Order)[-1].answer)


@awaited
async def test_an_order_where_nothing_may_be_sent_or_nothing_is_known_is_not_given() -> None:
    """A cap outranks it, a cabinet that was not read yet is not commanded, and so is one that a fault has."""
    capped, unread, preempted = Trial(settings=MONITORING), Trial(), await _adaptive()
    await capped.tick(5)
    preempted.order(orders.Preempt(on=True))
    await preempted.tick()

    assert (Objection.LIMITED, Objection.NOT_READY) == (capped.force(Plan(7)), unread.force(Plan(7)))
    assert Objection.OUTRANKED is preempted.force(Plan(7))


@awaited
async def test_what_merely_happens_may_be_told_by_the_same_door() -> None:
    """It is nobody's wish, and is written down like one."""
    trial = Trial()

    assert None is trial.submit(Checked())
    assert ("", "Checked", "", "done") == trial.told(journal.Order)[-1][1:]


# --- the end ---------------------------------------------------------------------------------------------------------------------
@awaited
async def test_a_daemon_that_ends_zeroes_what_stands_and_reads_it_back() -> None:
    """Only then has it stopped, and the next start does not take it for dead."""
    trial = await _adaptive()
    trial.adapter.released = [Failed(Trouble.LINK_LOST)]

    assert await trial.loop.stop()
    assert (False, Readiness.STOPPED, "off") == (trial.followed, trial.saved[-1].readiness, trial.mode)
    assert isinstance(await trial.adapter.read(trial.now, FAR_OFF, detectors=False), Failed)


@awaited
async def test_a_daemon_that_cannot_reach_its_cabinet_says_that_its_zeros_were_not_read_back() -> None:
    """Patience has an end; the cabinet's watchdog does the rest, and the next start knows."""
    trial = await _adaptive()
    trial.adapter.silent = True

    assert not await trial.loop.stop(patience=0.01)
    assert (True, Readiness.CHECKED) == (trial.followed, trial.saved[-1].readiness)


# --- what is told ----------------------------------------------------------------------------------------------------------------
@awaited
async def test_the_journal_has_the_street_by_the_clock_on_the_wall() -> None:
    """A green that ends and the yellow that follows, with their phases, at their tenth."""
    trial = await _adaptive()
    await trial.tick(50)
    trial.wish.stage = SIDE
    await _decision(trial)
    left = trial.now
    await trial.tick(45)
    events = {(each.code, each.parameter): each.at for each in trial.told(journal.Event)}

    assert wall_of(left) == events[8, 1]
    assert wall_of(left + 40) == events[1, 4]


@awaited
async def test_the_journal_has_the_detectors_of_each_reading_once() -> None:
    """On and off, as the readings came."""
    trial = await _adaptive()
    trial.waiting = {3}
    await trial.tick(3 * PERIOD)
    trial.waiting = set()
    await trial.tick(2 * PERIOD)
    codes = [(each.code, each.parameter) for each in trial.told(journal.Event) if each.code in (81, 82)]

    assert [(82, 4), (81, 4)] == codes


@awaited
async def test_every_step_of_the_mode_and_every_fault_is_written_down() -> None:
    """From where to where, and why in the operator's words."""
    trial = await _adaptive()
    trial.policy.script = [Raised("ValueError: a bug")]
    await trial.tick(PERIOD)
    written = trial.told(journal.ModeChange)[-1]

    assert (wall_of(trial.now), "adaptive", "fixed time", "The policy failed with an error. ValueError: a bug") == tuple(written)


@awaited
async def test_the_ladder_is_saved_when_it_has_changed_and_only_then() -> None:
    """Ticks that change nothing write nothing."""
    trial = await _adaptive()
    before = len(trial.saved)
    await trial.tick(30)
    quiet = len(trial.saved)
    trial.elsewhere = {Fault.JOURNAL_FULL: "no space left"}
    await trial.tick()

    assert (before, before + 1) == (quiet, len(trial.saved))
    assert Fault.JOURNAL_FULL is trial.saved[-1].causes[0].fault
    no_save(trial.saved[-1])


@awaited
async def test_what_is_found_elsewhere_in_the_daemon_stands_while_it_is_told() -> None:
    """A full disk is a note, and ends with it."""
    trial = await _adaptive()
    trial.elsewhere = {Fault.JOURNAL_FULL: "no space left"}
    await trial.tick()
    full = trial.loop.meters.standing
    trial.elsewhere = {}
    await trial.tick()

    assert (frozenset({Fault.JOURNAL_FULL}), frozenset(), "adaptive") == (full, trial.loop.meters.standing, trial.mode)


@awaited
async def test_status_explanation_and_events_tell_how_it_stands() -> None:
    """What operators read is what the loop knows."""
    trial = await _adaptive()
    trial.order(orders.Preempt(on=True))
    await trial.tick()
    status = trial.loop.status()

    assert ("trial", "released", "main", 0) == (status.cabinet, status.mode, status.stage, status.backup_left)
    assert "preemption" in str(trial.loop.explain())
    assert trial.records[-1] in trial.loop.events(wall_of(trial.now))
    assert trial.now == trial.loop.now()


@awaited
async def test_a_fault_that_was_found_before_the_first_tick_holds_from_the_start() -> None:
    """A daemon that does not know what was latched waits for a person."""
    trial = Trial()
    trial.loop.tell(FaultBegan(Fault.STATE_LOST, "not JSON"))
    await trial.tick(50)

    assert ("released", {Fault.STATE_LOST: True}) == (trial.mode, trial.causes)


@awaited
async def test_new_settings_are_taken_over_between_two_ticks() -> None:
    """A lower cap zeroes and lowers at the next tick, and what was remembered of detectors stays."""
    trial = await _adaptive()
    trial.broken = {3}
    await trial.tick(2 * PERIOD)
    watch = Watch(detectors=CONFIG.detectors, groups=CONFIG.tables.index)
    trial.loop.take_over(ladder=SHADOWING, watch=watch, plan=None)
    await trial.tick(2)

    assert (False, "shadow", ("loop 4",)) == (trial.followed, trial.mode, trial.loop.status().detectors_failed)
