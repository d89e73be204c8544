"""The simulated NTCIP controller: what each request does, what it never shows, and what it says of itself."""

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from time import monotonic

import pytest

from field_adapters import ntcip_objects as asc
from field_adapters.ntcip_objects import CONTROL_BYTES, FORCE_OFF, HOLD, PED_CALL, PED_OMIT, PHASE_OMIT, VEH_CALL, Instance, NtcipObject
from field_adapters.ntcip_program import Method
from field_adapters.simulated import orders
from field_adapters.simulated.ntcip_controller import NOTHING, NtcipController
from field_adapters.simulated.ntcip_store import NtcipStore
from field_adapters.simulated.standing import ALL_RED
from field_adapters.snmp import Refusal, Status, Ticks, WireValue
from intersection.config import IntersectionConfig
from intersection.detection import Channel, empty_readings
from intersection.phase import Tenths
from intersection.state import FREE, NO_STAGE, Display, Interval, PhaseState
from tests.field_adapters.ntcip_script import crossroads, dual_ring, suitable
from tests.intersection.judge import Judge

A, B, C = 1, 2, 3
"""The phases of the stages of `crossroads`."""

CAR_AT_B, CAR_AT_C = 0b0100, 0b1000
"""A vehicle at a group that only stage B, or only stage C, serves."""


class Site:
    """A controller, what is written to it, and what it says."""

    def __init__(self, config: IntersectionConfig, method: Method, **more: int) -> None:
        self.controller = NtcipController(config, suitable(config, method), **more)
        self.store = NtcipStore(self.controller)

    def put(self, *writes: tuple[NtcipObject, Iterable[int]]) -> None:
        """Write requests for phases, in one message."""
        parts: list[tuple[Instance, int]] = []
        for entry, phases in writes:
            parts += zip(entry.groups(), asc.masks_of(phases), strict=True)
        assert self.write(*parts) is None

    def write(self, *parts: tuple[Instance, WireValue]) -> Refusal | None:
        """Write values, in one message."""
        return self.store.write([(instance.oid, value) for instance, value in parts])

    def get(self, entry: NtcipObject) -> set[int]:
        """Read which phases an object names."""
        return set(asc.phases_of(self.value(entry, group) for group in (1, 2)))

    def value(self, entry: NtcipObject, *rows: int) -> int:
        """Read a number."""
        value = self.store.read(entry.at(*rows).oid)
        assert isinstance(value, int)
        return int(value)

    def run(self, tenths: Tenths) -> None:
        """Let time pass."""
        self.controller.advance(self.controller.now + tenths)

    def sense(self, vehicles: int = 0, pedestrians: int = 0) -> None:
        """Let vehicles stand and buttons be pressed now, at groups given as masks."""
        self.controller.sense(replace(empty_readings(self.controller.config.detectors), vehicles=vehicles, pedestrians=pedestrians), 10)

    @property
    def greens(self) -> set[int]:
        """The phases that show green."""
        return self.get(asc.PHASE_GREENS)


@pytest.fixture
def site() -> Site:
    """Make one ring of three stages, free, in A."""
    return Site(crossroads(), Method.STAGES)


@pytest.fixture
def rings() -> Site:
    """Make a dual ring, free, in 1 and 5."""
    return Site(dual_ring(), Method.RINGS)


# --- calls ---------------------------------------------------------------------------------------------------------------------------
def test_it_dwells_without_a_call(site: Site) -> None:
    """A green that nobody conflicts with goes on past its maximum."""
    site.run(3000)

    assert {A} == site.greens


def test_a_call_is_served_after_the_gap(site: Site) -> None:
    """With no vehicle of its own, a green ends at its minimum; yellow and red clearance follow, then the called phase."""
    site.sense(CAR_AT_C)
    seen: list[tuple[set[int], set[int]]] = []
    for _ in range(100):
        site.run(1)
        seen.append((site.greens, site.get(asc.PHASE_YELLOWS)))

    assert [50, 30, 10] == [seen.count(({A}, set())) + 1, seen.count((set(), {A})), seen.count((set(), set()))]
    assert ({C}, set()) == seen[-1]


def test_vehicles_extend_a_green_to_its_maximum(site: Site) -> None:
    """While vehicles arrive, a green ends by its maximum, which counts from the conflicting call, not from the green."""
    site.run(300)
    for _ in range(59):
        site.sense(CAR_AT_C | 0b0010)
        site.run(10)
    site.sense(CAR_AT_C | 0b0010)
    site.run(9)
    before = site.greens
    site.run(1)

    assert ({A}, set()) == (before, site.greens)
    assert 16 == site.value(asc.RING_STATUS, 1) & 16


def test_an_omitted_phase_is_not_served_and_keeps_its_call(site: Site) -> None:
    """Its call is told all the time, ends no green, and is served once the omit is gone."""
    site.put((PHASE_OMIT, {C}))
    site.sense(CAR_AT_C)
    site.run(40)
    told = site.get(asc.PHASE_VEH_CALLS)
    site.put((PHASE_OMIT, set()))
    site.run(120)

    assert {C} == told
    assert {C} == site.greens


def test_a_called_phase_is_served_without_a_vehicle(site: Site) -> None:
    """VehCall is a call as by a vehicle."""
    site.put((VEH_CALL, {B}))
    site.run(100)

    assert {B} == site.greens


def test_recalls_are_calls_and_are_told_as_options() -> None:
    """A phase with minimum recall is served without any detector."""
    config = crossroads()
    site = Site(replace(config, phases=tuple(replace(p, min_recall=p.number == 4) for p in config.phases)), Method.STAGES)
    site.run(100)

    assert {C} == site.greens
    assert [1, 1, 65] == [site.value(asc.PHASE_OPTIONS, phase) for phase in (A, B, C)]


# --- hold and force-off --------------------------------------------------------------------------------------------------------------
def test_hold_outlasts_gap_and_maximum(site: Site) -> None:
    """A held green stays although somebody waits; released, it ends."""
    site.put((HOLD, {A}))
    site.sense(CAR_AT_C)
    for _ in range(30):
        site.run(49)
        site.put((HOLD, {A}))
    held = site.greens
    site.put((HOLD, set()))
    site.run(1)

    assert ({A}, set()) == (held, site.greens)


def test_force_off_acts_at_the_instant_at_which_it_comes_in(site: Site) -> None:
    """With everything else as it must be, time need not pass for the green to end; the bit goes with it."""
    site.run(60)
    site.put((VEH_CALL, {B}), (PHASE_OMIT, {A, C}), (HOLD, {A}))
    before = site.greens
    site.put((HOLD, set()), (FORCE_OFF, {A}))

    assert ({A}, set()) == (before, site.greens)
    assert (set(), {A}, {B}) == (site.get(FORCE_OFF), site.get(asc.PHASE_YELLOWS), site.get(asc.PHASE_NEXTS))


def test_force_off_waits_for_minimum_green(site: Site) -> None:
    """It stands until the green may end, to the tenth."""
    site.run(10)
    site.put((VEH_CALL, {B}), (FORCE_OFF, {A}))
    site.run(39)
    before = site.greens, site.get(FORCE_OFF)
    site.run(1)

    assert (({A}, {A}), set(), set()) == (before, site.greens, site.get(FORCE_OFF))


def test_force_off_needs_a_serviceable_call(site: Site) -> None:
    """Without a call, or with one that is omitted, it ends nothing."""
    site.run(60)
    site.put((FORCE_OFF, {A}), (VEH_CALL, {B}), (PHASE_OMIT, {B}))
    site.run(20)

    assert ({A}, {A}) == (site.greens, site.get(FORCE_OFF))


def test_a_late_force_off_cuts_the_next_green(site: Site) -> None:
    """A bit that comes when its green is over stays, and ends the next green of that phase at its minimum."""
    site.put((VEH_CALL, {B}), (FORCE_OFF, {A}))
    site.run(60)
    site.put((FORCE_OFF, {A}), (VEH_CALL, {A}))
    while site.greens != {A}:
        site.run(1)
        site.put((VEH_CALL, {A}))
    site.put((VEH_CALL, {C}))
    for _ in range(49):
        site.sense(0b0010)
        site.run(1)
    before = site.greens
    site.run(1)

    assert ({A}, set()) == (before, site.greens)


# --- dual ring -----------------------------------------------------------------------------------------------------------------------
def test_a_ring_goes_on_alone_within_its_side(rings: Site) -> None:
    """5 gives way to 6 while 1, which is held, stays."""
    rings.run(60)
    rings.put((VEH_CALL, {6}), (FORCE_OFF, {5}), (HOLD, {1}))
    left = rings.greens
    rings.run(30)

    assert ({1}, {1, 6}) == (left, rings.greens)


def test_both_rings_cross_the_barrier_together(rings: Site) -> None:
    """Forced off in one ring only, nobody crosses; in both, both do."""
    rings.run(60)
    rings.put((VEH_CALL, {3, 7}), (FORCE_OFF, {1}), (HOLD, {5}))
    rings.run(20)
    one = rings.greens
    rings.put((FORCE_OFF, {1, 5}), (HOLD, set()))
    both = rings.greens
    rings.run(30)

    assert ({1, 5}, set(), {3, 7}) == (one, both, rings.greens)


def test_pedestrians_walk_with_their_phase_and_are_never_cut(rings: Site) -> None:
    """A pressed button calls the phase, walk comes with its green, and neither walk nor its clearance is forced off."""
    rings.sense(0, 0b10)
    waiting = rings.get(asc.PHASE_PED_CALLS)
    while 2 not in rings.greens:
        rings.run(1)
    walks = rings.get(asc.PHASE_WALKS)
    rings.put((VEH_CALL, {3, 7}), (FORCE_OFF, {1, 2, 5, 6}))
    rings.run(50)
    clears = rings.get(asc.PHASE_PED_CLEARS)
    rings.put((VEH_CALL, {3, 7}))
    rings.run(49)
    green = 2 in rings.greens
    rings.run(1)

    assert ({2}, {2}, {2}, True) == (waiting, walks, clears, green)
    assert 2 not in rings.greens


def test_an_omitted_walk_is_not_served(rings: Site) -> None:
    """The phase runs without its walk, and the pedestrians go on waiting."""
    rings.put((PED_OMIT, {2}), (VEH_CALL, {2}))
    rings.sense(0, 0b10)
    for _ in range(4):
        rings.run(40)
        rings.put((PED_OMIT, {2}), (VEH_CALL, {2}))

    assert (True, set(), {2}) == (2 in rings.greens, rings.get(asc.PHASE_WALKS), rings.get(asc.PHASE_PED_CALLS))


def test_a_pedestrian_call_is_one_as_by_a_button(rings: Site) -> None:
    """PedCall brings the walk."""
    while not rings.get(asc.PHASE_WALKS) and rings.controller.now < 300:
        rings.put((PED_CALL, {2}))
        rings.run(1)

    assert {2} == rings.get(asc.PHASE_WALKS)


# --- who has the say -----------------------------------------------------------------------------------------------------------------
def test_backup_zeroes_every_request(site: Site) -> None:
    """After the backup time without a write all six, the pattern, the sync and the preemption are zero, and it is told."""
    site.put(*((control, {B}) for control in CONTROL_BYTES))
    site.write((asc.SYSTEM_PATTERN_CONTROL.at(), 254), (asc.SYSTEM_SYNC_CONTROL.at(), 9), (asc.PREEMPT_CONTROL_STATE.at(2), 1))
    site.run(49)
    before = site.get(PHASE_OMIT), site.value(asc.UNIT_CONTROL_STATUS)
    site.run(1)

    assert ({B}, asc.ControlStatus.SYSTEM_CONTROL) == before
    assert [set()] * 6 == [site.get(control) for control in CONTROL_BYTES]
    assert [0, 0, 0] == [
        site.value(asc.SYSTEM_PATTERN_CONTROL),
        site.value(asc.SYSTEM_SYNC_CONTROL),
        site.value(asc.PREEMPT_CONTROL_STATE, 2),
    ]
    assert asc.ControlStatus.BACKUP_MODE == site.value(asc.UNIT_CONTROL_STATUS)


def test_anybodys_write_winds_the_backup_timer_up(site: Site) -> None:
    """Another writer keeps our omit alive; a read does not."""
    site.put((PHASE_OMIT, {B}))
    site.controller.order(orders.AnotherWriter(on=True))
    site.run(200)
    kept = site.get(PHASE_OMIT)
    site.controller.order(orders.AnotherWriter(on=False))
    site.run(50)

    assert ({B}, set()) == (kept, site.get(PHASE_OMIT))


def test_a_backup_time_of_zero_never_ends(site: Site) -> None:
    """Requests then stand for ever."""
    site.controller.order(orders.SetBackupTime(0))
    site.put((HOLD, {A}))
    site.sense(CAR_AT_C)
    site.run(5000)

    assert ({A}, {A}, 0) == (site.get(HOLD), site.greens, site.value(asc.UNIT_BACKUP_TIME))


def test_a_pattern_gets_into_step_and_requests_do_not_disturb_it(site: Site) -> None:
    """It runs by its splits; it is told as in transition until its stage is the one at which it stands."""
    site.run(310)
    site.write((asc.SYSTEM_PATTERN_CONTROL.at(), 1))
    said = site.value(asc.COORD_PATTERN_STATUS), site.value(asc.LOCAL_FREE_STATUS), site.value(asc.UNIT_ALARM_STATUS_2) & 32
    shown = {}
    for _ in range(9):
        site.put((PHASE_OMIT, {B, C}), (HOLD, {A}))
        site.run(40)
        shown[site.controller.now] = site.greens

    assert (1, asc.FreeStatus.NOT_FREE, 32) == said
    assert 0 == site.value(asc.UNIT_ALARM_STATUS_2) & 32
    assert [{B}, {B}, {C}] == [shown[at] for at in (430, 550, 670)]


def test_its_own_plan_comes_back_after_backup() -> None:
    """Free by command, it returns to its time-of-day plan when nobody writes any more."""
    site = Site(crossroads(), Method.STAGES, own_pattern=1)
    own = site.value(asc.COORD_PATTERN_STATUS)
    site.write((asc.SYSTEM_PATTERN_CONTROL.at(), 254))
    free = site.value(asc.COORD_PATTERN_STATUS), site.value(asc.LOCAL_FREE_STATUS)
    site.run(50)

    assert (1, (254, asc.FreeStatus.COMMAND_FREE), 1) == (own, free, site.value(asc.COORD_PATTERN_STATUS))


def test_pattern_255_is_flash_until_it_is_taken_back(site: Site) -> None:
    """It flashes, forgets what was green, and comes back through its start."""
    site.write((asc.SYSTEM_PATTERN_CONTROL.at(), 255))
    said = site.value(asc.UNIT_FLASH_STATUS), site.value(asc.COORD_PATTERN_STATUS), site.greens
    site.write((asc.SYSTEM_PATTERN_CONTROL.at(), 0))
    starting = site.value(asc.UNIT_FLASH_STATUS), {shown.interval for shown in site.controller.indications().values()}
    site.run(ALL_RED)

    assert (asc.FlashStatus.AUTOMATIC, 255, set()) == said
    assert (asc.FlashStatus.AUTOMATIC, {Interval.RED}) == starting
    assert (asc.FlashStatus.NOT_FLASH, {A}) == (site.value(asc.UNIT_FLASH_STATUS), site.greens)


def test_a_preemption_is_asked_for_over_the_wire(site: Site) -> None:
    """It outranks requests, through legal clearances, and tells how far it has come."""
    site.run(60)
    site.put((HOLD, {A}), (PHASE_OMIT, {B, C}))
    site.write((asc.PREEMPT_CONTROL_STATE.at(3), 1))
    entering = site.value(asc.PREEMPT_STATE, 3), site.greens, site.value(asc.SHORT_ALARM_STATUS) & 1
    site.run(45)

    assert (asc.PreemptState.ENTRY_STARTED, set(), 1) == entering
    assert (asc.PreemptState.DWELL, {C}) == (site.value(asc.PREEMPT_STATE, 3), site.greens)


# --- faults --------------------------------------------------------------------------------------------------------------------------
def test_a_latched_monitor_outlives_everything_but_its_reset(site: Site) -> None:
    """Neither another pattern, nor the end of another flash, nor a new start ends it."""
    for order in (orders.Flash(on=True), orders.ConflictFlash(), orders.Flash(on=False), orders.Reboot()):
        site.controller.order(order)
    site.write((asc.SYSTEM_PATTERN_CONTROL.at(), 254))
    latched = site.value(asc.UNIT_FLASH_STATUS)
    dark = site.greens
    site.controller.order(orders.ResetMonitor())
    site.run(ALL_RED)

    assert (asc.FlashStatus.MMU, asc.FlashStatus.NOT_FLASH) == (latched, site.value(asc.UNIT_FLASH_STATUS))
    assert (set(), {A}) == (dark, site.greens)


def test_a_reboot_forgets_requests_and_its_age(site: Site) -> None:
    """Its age falls, and nothing that was written holds."""
    site.run(100)
    site.put((PHASE_OMIT, {B}))
    age = site.store.read(asc.SYSTEM_UP_TIME.at().oid)
    site.controller.order(orders.Reboot())

    assert (Ticks(1000), Ticks(0), NOTHING) == (age, site.store.read(asc.SYSTEM_UP_TIME.at().oid), site.controller.requests)


def test_stop_time_stops_everything_it_times(site: Site) -> None:
    """A yellow lasts as much longer as time was stopped, and no request begins anything meanwhile."""
    site.run(60)
    site.put((VEH_CALL, {B}), (FORCE_OFF, {A}))
    site.run(10)
    site.controller.order(orders.StopTime(on=True))
    site.run(500)
    site.sense(CAR_AT_C)
    stopped = site.get(asc.PHASE_YELLOWS), site.value(asc.UNIT_ALARM_STATUS_2) & 16
    site.controller.order(orders.StopTime(on=False))
    site.run(20)

    assert ({A}, 16) == stopped
    assert (set(), set()) == (site.get(asc.PHASE_YELLOWS), site.greens)


@pytest.mark.parametrize("order", [orders.Manual(on=True), orders.Police(on=True), orders.LockOut(on=True), orders.IgnoreRequests(on=True)])
def test_requests_without_effect_are_read_back_all_the_same(site: Site, order: orders.CabinetOrder) -> None:
    """Whoever reads back sees what was written, and the street does something else."""
    site.run(60)
    site.controller.order(order)
    site.put((VEH_CALL, {B}), (FORCE_OFF, {A}))
    site.run(30)

    assert ({B}, {A}, {A}) == (site.get(VEH_CALL), site.get(FORCE_OFF), site.greens)


def test_firmware_of_eight_phases_takes_and_ignores_the_others(site: Site) -> None:
    """A write to the second group is acknowledged and has no effect."""
    site.store = NtcipStore(site.controller, heeded=1)
    site.put((PHASE_OMIT, {2, 9}))

    assert {2} == site.get(PHASE_OMIT)


def test_a_frozen_status_answers_with_what_stood(site: Site) -> None:
    """Behind it, all goes on."""
    site.store.order(orders.FreezeStatus(on=True))
    site.sense(CAR_AT_C)
    site.run(70)
    frozen = site.greens
    site.store.order(orders.FreezeStatus(on=False))

    assert ({A}, set()) == (frozen, site.greens)


def test_identity_timing_clock_and_sequence_can_be_changed(site: Site) -> None:
    """The description, the minimum green, the time and the order of the phases tell it."""
    names = (asc.SYSTEM_DESCRIPTION.at(), asc.PHASE_MINIMUM_GREEN.at(B), asc.GLOBAL_TIME.at(), asc.SEQUENCE_DATA.at(1, 1))
    before = [site.store.read(instance.oid) for instance in names]
    for order in (orders.ChangeIdentity(7), orders.EditTiming(B, 80), orders.JumpClock(3600), orders.ChangeSequence(on=True)):
        site.controller.order(order)

    assert [b"Phasewise simulated ASC, cabinet 0", 5, 0, bytes((1, 2, 3))] == before
    assert [b"Phasewise simulated ASC, cabinet 7", 8, 3600, bytes((3, 2, 1))] == [site.store.read(instance.oid) for instance in names]


# --- what it says --------------------------------------------------------------------------------------------------------------------
def test_ring_status_names_the_interval(site: Site) -> None:
    """Minimum green, rest, extension, yellow and red clearance with how the green ended."""
    told = [site.value(asc.RING_STATUS, 1)]
    site.run(60)
    told.append(site.value(asc.RING_STATUS, 1))
    site.sense(CAR_AT_C | 0b0010)
    site.run(1)
    told.append(site.value(asc.RING_STATUS, 1))
    site.put((FORCE_OFF, {A}))
    told.append(site.value(asc.RING_STATUS, 1))
    site.run(30)

    assert [0, 3, 1, 4 + 32, 5 + 32] == [*told, site.value(asc.RING_STATUS, 1)]


def test_detectors_report_volume_occupancy_and_faults(site: Site) -> None:
    """A report covers a whole second, is numbered, and tells a failed loop by a code above 200 and an alarm."""
    readings = empty_readings(site.controller.config.detectors)
    readings.values[Channel.COUNT, 0], readings.values[Channel.OCCUPANCY, 0] = 1, 0.6
    readings.valid[1] = False
    site.run(5)
    site.controller.sense(readings, 5)
    early = site.value(asc.VOLUME_OCCUPANCY_SEQUENCE)
    site.run(5)
    readings.values[Channel.OCCUPANCY, 0] = 1.0
    site.controller.sense(readings, 5)

    assert (0, 1) == (early, site.value(asc.VOLUME_OCCUPANCY_SEQUENCE))
    assert [2, 160, 212] == [
        site.value(asc.DETECTOR_VOLUME, 1), site.value(asc.DETECTOR_OCCUPANCY, 1), site.value(asc.DETECTOR_OCCUPANCY, 2)
    ]  # fmt: skip
    assert [0b01, 0b10, 32] == [
        site.value(asc.DETECTORS_ACTIVE, 1), site.value(asc.DETECTORS_ALARMED, 1), site.value(asc.SHORT_ALARM_STATUS)
    ]  # fmt: skip


def test_the_database_is_told_in_the_objects_own_units(rings: Site) -> None:
    """Seconds for greens and walks, tenths for clearances, octets for phases."""
    whole = [
        rings.value(entry, 2) for entry in (asc.PHASE_MINIMUM_GREEN, asc.PHASE_WALK, asc.PHASE_PEDESTRIAN_CLEAR, asc.PHASE_YELLOW_CHANGE)
    ]

    assert [5, 5, 5, 30] == whole
    assert bytes((5, 6)) == rings.store.read(asc.PHASE_CONCURRENCY.at(2).oid)
    assert [1, 2] == [rings.value(asc.PHASE_RING, phase) for phase in (2, 6)]


def test_splits_fill_the_cycle(site: Site) -> None:
    """Each phase has the split of its stage; the first of the sequence is coordinated."""
    splits = [site.value(asc.SPLIT_TIME, 1, phase) for phase in (A, B, C)]

    assert ([30, 30, 30], 90) == (splits, site.value(asc.PATTERN_CYCLE_TIME, 1))
    assert [1, 0, 0] == [site.value(asc.SPLIT_COORD_PHASE, 1, phase) for phase in (A, B, C)]


@pytest.mark.parametrize("method", list(Method))
def test_every_value_is_one_that_its_object_may_have(method: Method) -> None:
    """Whoever walks through all objects finds them in order, and each within its range."""
    site = Site(crossroads() if method is Method.STAGES else dual_ring(), method)
    known = {entry.oid: entry for entry in asc.OBJECTS.values()}
    walked = []
    oid = site.store.next((1,))
    while oid is not None:
        entry = next(entry for start, entry in known.items() if oid[: len(start)] == start)
        value = site.store.read(oid)
        if isinstance(value, int):
            assert entry.lowest <= value <= entry.highest, entry
        walked.append(oid)
        oid = site.store.next(oid)

    assert sorted(set(walked)) == walked


@pytest.mark.parametrize(
    ("part", "status"),
    [
        ((asc.PHASE_OMIT.at(1), 256), Status.WRONG_VALUE),
        ((asc.PHASE_OMIT.at(1), b"\x01"), Status.WRONG_TYPE),
        ((asc.PHASE_MINIMUM_GREEN.at(1), 1), Status.NOT_WRITABLE),
        ((asc.PREEMPT_STATE.at(9), 1), Status.NO_CREATION),
        ((asc.PREEMPT_CONTROL_STATE.at(1), 2), Status.WRONG_VALUE),
        ((asc.SYSTEM_PATTERN_CONTROL.at(), 77), Status.BAD_VALUE),
    ],
)
def test_a_message_is_carried_out_whole_or_not_at_all(site: Site, part: tuple[Instance, WireValue], status: Status) -> None:
    """One part that cannot be leaves the others undone, and the refusal names it."""
    refusal = site.write((asc.HOLD.at(1), 1), part)

    assert Refusal(2, status) == refusal
    assert NOTHING == site.controller.requests


def test_writes_are_refused_on_order(site: Site) -> None:
    """Every write then comes to an error, and nothing changes."""
    site.controller.order(orders.RefuseRequests(on=True))

    assert Refusal(1, Status.GEN_ERR) == site.write((asc.HOLD.at(1), 1))
    assert NOTHING == site.controller.requests


def test_time_runs_forward(site: Site) -> None:
    """An instant before now is refused."""
    site.run(10)
    with pytest.raises(ValueError, match="time runs forward"):
        site.controller.advance(9)


# --- whatever is asked ---------------------------------------------------------------------------------------------------------------
class DisplayJudge(Judge):
    """Judges what is shown. How long somebody waits is the affair of whoever holds and omits."""

    def _check_continued(self, source: int, target: int) -> None:
        """Let the gate of the cabinet clear what it must: the calls behind it are not told here."""


def watched(site: Site, judge: Judge) -> None:
    """Let the judge see the lamps; after a flash it begins anew."""
    controller = site.controller
    state, shown = controller.state, list(controller.indications().values())
    if state.display is not Display.NORMAL:
        judge.lamps = ()
    elif judge.lamps == ():
        judge.begin(state.now, shown, state.stage)
    else:
        judge.see(state.now, shown, state.stage, moving=state.target != NO_STAGE, pattern=FREE)


def disturb(site: Site, chance: Random) -> None:
    """Do something at random that somebody might do at a cabinet."""
    phases = sorted(site.controller.program.phases)

    def some() -> list[int]:
        return chance.sample(phases, chance.randint(0, len(phases)))

    if chance.random() < 0.5:
        site.put(*((control, some()) for control in chance.sample(CONTROL_BYTES, chance.randint(1, 6))))
    elif chance.random() < 0.6:
        mask = (1 << site.controller.tables.size) - 1
        site.sense(chance.getrandbits(16) & mask, chance.getrandbits(16) & mask)
    elif chance.random() < 0.5:
        site.write(
            (asc.SYSTEM_PATTERN_CONTROL.at(), chance.choice((0, 0, 254, 255))), (asc.PREEMPT_CONTROL_STATE.at(1), chance.randint(0, 1))
        )
    else:
        on = chance.random() < 0.3
        kinds = (orders.Flash, orders.Preempt, orders.StopTime, orders.Manual, orders.LockOut, orders.IgnoreRequests, orders.AnotherWriter)
        site.controller.order(chance.choice(kinds)(on=on))


@pytest.mark.parametrize("method", list(Method))
def test_whatever_is_asked_nothing_illegal_is_shown(method: Method) -> None:
    """A judge that shares no code with the controller looks at every tenth of a second, for at most 1.5 s of real time."""
    config = crossroads() if method is Method.STAGES else dual_ring()
    until, seed, changes = monotonic() + 1.5, 0, 0
    while monotonic() < until:
        seed += 1
        chance, site, judge = Random(seed), Site(config, method), DisplayJudge(config)
        shown: tuple[PhaseState, ...] = tuple(site.controller.indications().values())
        judge.begin(0, shown, 0)
        for _ in range(400):
            if chance.random() < 0.15:
                disturb(site, chance)
                watched(site, judge)
            was = site.controller.state.stage
            if site.controller.trouble.stopped:
                site.controller.order(orders.StopTime(on=False))
            site.run(1)
            watched(site, judge)
            changes += site.controller.state.stage != was

    assert changes > 0
