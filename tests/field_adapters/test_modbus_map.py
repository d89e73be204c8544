import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import field_adapters
from field_adapters._modbus_errors import UnreviewedError
from field_adapters.modbus_map import (
    DISPLAYS,
    Accepted,
    Acknowledgement,
    CabinetFault,
    Cause,
    Cells,
    DetectorFault,
    Detectors,
    DetectorValue,
    Failure,
    GoTo,
    Heartbeat,
    Overtaken,
    Pending,
    Program,
    Rebooted,
    Refusal,
    Refused,
    RegisterMap,
    Release,
    Request,
    RequestBlock,
    RunPlan,
    Status,
    Withheld,
    acknowledgement,
    compose,
    decode_detectors,
    decode_status,
    is_newer,
    next_sequence,
)
from field_adapters.modbus_profile import Field, Mode, Table, crc16, crc16_of_bytes, load_profile, parse_profile
from intersection.config import parse
from intersection.errors import ConfigError, UnknownNameError
from intersection.shield import Command
from intersection.state import Display, Interval, PedInterval
from tests.field_adapters.modbus_samples import COILS, OURS, PROGRAM, WELL, read, status
from tests.intersection.documents import GOOD

BEAT = Heartbeat(Command(1, 0, 0), 1000, 6)
PLAN = Heartbeat(Command(0, 0, 7), 1000, 6)


def block(request: Request = GoTo(BEAT, 300), *, to: RegisterMap = OURS, sequence: int = 9) -> RequestBlock:  # noqa: B008 -- frozen
    """Compose what must not be withheld."""
    made = compose(request, to=to, seen=status(to), sequence=sequence, now=1005)
    assert isinstance(made, RequestBlock), made
    return made


# --- requests ----------------------------------------------------------------------------------------------------------------------
def test_a_request_for_a_stage_has_its_published_form() -> None:
    """The registers are those of docs/modbus-map.md, worked out here by hand."""
    head = (0x5057, 1, 4, 9, 2, 2, 0, 0b0100, 300, 70_020 >> 16, 70_020 & 0xFFFF, 6)
    asked = block(GoTo(Heartbeat(Command(1, 0b0100, 0), 1000, 6), 300))

    assert (Table.HOLDING, 0, (*head, crc16(head))) == (asked.table, asked.address, asked.cells)


def test_a_request_for_a_plan_names_the_plan_of_the_command() -> None:
    """The plan that is asked for is the one that was reviewed."""
    asked = block(RunPlan(PLAN, 900))

    assert (3, 7, 900, 0) == (*asked.cells[4:6], asked.cells[8], asked.groups)


def test_a_release_asks_for_nothing_and_beats_for_nothing() -> None:
    """A release carries its sequence alone."""
    asked = compose(Release(), to=OURS, seen=None, sequence=65_535, now=0)

    assert isinstance(asked, RequestBlock)
    assert (0x5057, 1, 0, 65_535, 0, 0, 0, 0, 0, 0, 0, 0) == asked.cells[:-1]


def test_a_vendor_with_a_coil_a_group_is_asked_by_its_greens() -> None:
    """Its map has no sequence, no hold and no CRC: the stage's groups, a coil that toggles, and the coil that asks at all."""
    beats = [block(GoTo(Heartbeat(Command(2, 0, 0), 1000, count), 300), to=COILS).cells for count in (6, 7)]

    assert [(1, 0, *[0] * 6, 1, 0, 0, 1, *[0] * 12), (1, 1, *[0] * 6, 1, 0, 0, 1, *[0] * 12)] == beats
    assert (0,) * 24 == block(Release(), to=COILS).cells


@pytest.mark.parametrize("count", [1, 65_535, 65_536, 131_071])
def test_a_heartbeat_is_never_zero_and_always_another(count: int) -> None:
    """Counting over, a beat is still told from the one before, and from none."""
    now, following = (block(GoTo(Heartbeat(Command(1, 0, 0), 1000, at), 1)).cells[11] for at in (count, count + 1))

    assert now not in (0, following)


def test_the_not_after_counts_over_with_the_clock_of_the_device() -> None:
    """The device's clock has 32 bits."""
    seen = replace(status(), clock=0xFFFF_FFFE)
    asked = RequestBlock(map=OURS, request=GoTo(BEAT, 1), seen=seen, sequence=1, now=1000)

    assert (0, 18) == asked.cells[9:11]


WITHHELD: list[tuple[Request, int, RegisterMap, Withheld]] = [
    (Release(), 0, OURS, Withheld.SEQUENCE),
    (Release(), 65_536, OURS, Withheld.SEQUENCE),
    (GoTo(Heartbeat(Command(1, 0, 0), 989), 300), 9, OURS, Withheld.STALE),
    (GoTo(Heartbeat(Command(1, 0, 0), 1006), 300), 9, OURS, Withheld.FROM_AHEAD),
    (GoTo(BEAT, 0), 9, OURS, Withheld.HOLD),
    (GoTo(BEAT, 3001), 9, OURS, Withheld.HOLD),
    (RunPlan(PLAN, 3001), 9, OURS, Withheld.HOLD),
    (GoTo(Heartbeat(Command(3, 0, 0), 1000), 300), 9, OURS, Withheld.UNKNOWN_STAGE),
    (GoTo(Heartbeat(Command(-1, 0, 0), 1000), 300), 9, OURS, Withheld.UNKNOWN_STAGE),
    (GoTo(Heartbeat(Command(1, 0b1000, 0), 1000), 300), 9, OURS, Withheld.CLEAR),
    (GoTo(Heartbeat(Command(1, 0b0100, 0), 1000), 300), 9, COILS, Withheld.CLEAR),
    (RunPlan(BEAT, 300), 9, OURS, Withheld.UNKNOWN_PLAN),
    (RunPlan(Heartbeat(Command(0, 0, 2), 1000), 300), 9, OURS, Withheld.UNKNOWN_PLAN),
    (RunPlan(PLAN, 300), 9, COILS, Withheld.NO_SUCH_MODE),
]


@pytest.mark.parametrize(("request_", "sequence", "to", "reason"), WITHHELD)
def test_what_is_not_on_the_allow_list_cannot_be_made(request_: Request, sequence: int, to: RegisterMap, reason: Withheld) -> None:
    """Neither by `compose`, which says why, nor by hand, which fails."""
    answer = compose(request_, to=to, seen=status(to), sequence=sequence, now=1005)

    assert reason is answer
    with pytest.raises(UnreviewedError, match=reason.value):
        RequestBlock(map=to, request=request_, seen=status(to), sequence=sequence, now=1005)


def test_nothing_but_a_release_is_asked_of_a_cabinet_that_has_not_been_read() -> None:
    """A request answers a status; a release needs none."""
    answers = [compose(request, to=OURS, seen=None, sequence=1, now=1000) for request in (GoTo(BEAT, 1), RunPlan(PLAN, 1), Release())]

    assert [Withheld.NOTHING_SEEN, Withheld.NOTHING_SEEN] == answers[:2]
    assert isinstance(answers[2], RequestBlock)


def test_each_reason_to_withhold_is_tested() -> None:
    """A reason that no test reaches would be a rule that nobody has seen work."""
    assert set(Withheld) - {Withheld.NOTHING_SEEN} == {reason for *_, reason in WITHHELD}


@pytest.mark.parametrize("age", [0, 15])
def test_a_decision_is_fresh_up_to_its_limit(age: int) -> None:
    """The limit itself is still fresh; one tenth of a second more is stale (see above)."""
    answer = compose(GoTo(Heartbeat(Command(1, 0, 0), 1005 - age), 3000), to=OURS, seen=status(), sequence=9, now=1005)

    assert isinstance(answer, RequestBlock)


@pytest.mark.parametrize("forged", [None, 1, "stage", (1, 0, 0)])
def test_a_heart_beats_only_for_a_reviewed_command(forged: object) -> None:
    """Whatever is not a command of the gate has no heartbeat."""
    with pytest.raises(UnreviewedError, match="command of the gate"):
        Heartbeat(forged, 0)  # type: ignore[arg-type]  # that is the point


def test_a_heart_beats_once_for_a_decision() -> None:
    """The same instant, or an earlier one, is not a new decision."""
    following = BEAT.then(Command(2, 0, 0), 1001)

    assert Heartbeat(Command(2, 0, 0), 1001, 7) == following
    for decided in (1000, 999):
        with pytest.raises(UnreviewedError, match="does not follow"):
            BEAT.then(Command(2, 0, 0), decided)


def test_a_block_holds_nothing_that_its_request_does_not_say() -> None:
    """There is no door for raw registers: a block's cells are worked out, not given."""
    assert {"map", "request", "seen", "sequence", "now"} == {field.name for field in dataclasses.fields(RequestBlock)}


@given(
    stage=st.integers(-5, 70_000),
    clear=st.integers(0, 1 << 34),
    pattern=st.integers(-2, 70_000),
    hold=st.integers(-1, 70_000),
    age=st.integers(-3, 30),
    sequence=st.integers(-1, 70_000),
    plan=st.booleans(),
    vendor=st.booleans(),
)
def test_whatever_is_composed_lies_on_the_allow_list(
    *, stage: int, clear: int, pattern: int, hold: int, age: int, sequence: int, plan: bool, vendor: bool
) -> None:
    """Over all values that anybody could put together, what is written names a stage or plan of this cabinet and bounded times."""
    to = COILS if vendor else OURS
    beat = Heartbeat(Command(stage, clear, pattern), 1000 - age, 3)
    made = compose(RunPlan(beat, hold) if plan else GoTo(beat, hold), to=to, seen=status(to), sequence=sequence, now=1000)

    if isinstance(made, RequestBlock):
        values = to.profile.request.take(made.cells)
        assert len(made.cells) == to.profile.request.size
        assert values["mode"] in to.profile.request_modes.values()
        if vendor:
            assert values["groups"] in PROGRAM.stages
        else:
            assert values["target"] in (PROGRAM.plans if plan else range(1, 4))
            assert 1 <= values["hold"] <= 3000
            assert values["not_after"] == WELL["clock"] + 20
            assert plan or values["clear"] & ~PROGRAM.stages[stage] == 0
            assert made.cells[-1] == crc16(made.cells[:-1])


@pytest.mark.parametrize(("sequence", "following"), [(0, 1), (1, 2), (65_534, 65_535), (65_535, 1)])
def test_sequences_count_over_without_zero(sequence: int, following: int) -> None:
    """Zero means none."""
    assert following == next_sequence(sequence)


@pytest.mark.parametrize(
    ("sequence", "than", "newer"),
    [(1, 0, True), (0, 1, False), (0, 0, False), (5, 5, False), (6, 5, True), (5, 6, False), (1, 65_535, True), (65_535, 1, False)]
    + [(32_768, 1, True), (32_769, 1, False), (40_000, 0, True), (0, 40_000, False)],
)
def test_a_sequence_is_newer_by_the_shorter_way_round(sequence: int, than: int, newer: bool) -> None:
    """Half of the circle lies ahead."""
    assert newer is is_newer(sequence, than)


def test_the_crc_is_the_one_of_modbus() -> None:
    """The request of every handbook, 11 03 00 6B 00 03, is followed by 76 87, the low byte first; nine digits give its check value."""
    assert 0x8776 == crc16([0x1103, 0x006B, 0x0003])
    assert 0x4B37 == crc16_of_bytes(b"123456789")


# --- statuses ----------------------------------------------------------------------------------------------------------------------
def test_a_status_is_read_whole() -> None:
    """Every field arrives, stages as indexes, lamps as intervals."""
    expected = Status(
        mode=Mode.STAGE,
        display=Display.NORMAL,
        vehicles=(Interval.GREEN, Interval.GREEN, Interval.RED, Interval.RED_CLEARANCE),
        pedestrians=(None, PedInterval.WALK, None, None),
        stage=0,
        target=None,
        plan=0,
        elapsed=120,
        watchdog=40,
        boot=4,
        clock=70_000,
        acknowledged=8,
        refused=0,
        refusal=None,
        heartbeat=5,
        faults=frozenset(),
        calls=0b0100,
        ped_calls=0,
        protected=0b0001,
        echo=None,
    )

    assert expected == read()


def test_a_vendor_says_less_and_what_it_does_not_say_is_none() -> None:
    """Nothing stands for a field that a map does not have."""
    found = status(COILS)

    assert (Interval.YELLOW_CHANGE, Interval.RED, Interval.GREEN, Interval.RED) == found.vehicles
    silent = (found.target, found.plan, found.watchdog, found.acknowledged, found.refusal, found.clock, found.pedestrians, found.calls)

    assert (1, (1, 0b0100), frozenset()) == (found.stage, found.echo, found.faults)
    assert (None,) * 8 == silent
    assert status(COILS, greens=0, reds=0b1110).stage is None


def test_a_running_transition_and_its_lamps_are_told() -> None:
    """From stage 1 to stage 3, in yellow and pedestrian clearance."""
    found = status(target=3, greens=1, yellows=0b0010, walks=0, ped_clears=0b0010)

    assert (0, 2, Interval.YELLOW_CHANGE, PedInterval.PED_CLEARANCE) == (
        found.stage,
        found.target,
        found.vehicles[1],
        found.pedestrians and found.pedestrians[1],
    )


@pytest.mark.parametrize(("code", "display", "interval"), [(1, Display.FLASH, Interval.FLASH), (2, Display.DARK, Interval.DARK)])
def test_a_signal_that_flashes_or_is_dark_shows_no_colours(code: int, display: Display, interval: Interval) -> None:
    """Then no lamp bit is set, and no stage runs."""
    dark = dict.fromkeys(("greens", "reds", "red_clears", "walks", "protected", "stage"), 0)
    found = status(display=code, mode=0, **dark)

    assert (display, (interval,) * 4, None, None) == (found.display, found.vehicles, found.pedestrians, found.stage)


def test_faults_and_refusals_have_names() -> None:
    """A bit that the map does not know is a fault all the same."""
    found = status(faults=0b1000_0100_0001_0001, refusal=4, refused=7)

    assert frozenset({CabinetFault.CONFLICT_MONITOR, CabinetFault.PREEMPT, CabinetFault.OTHER}) == found.faults
    assert (Refusal.STALE_SEQUENCE, 7) == (found.refusal, found.refused)


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"identity": 1}, Cause.WRONG_CABINET),
        ({"detectors": 3}, Cause.WRONG_CABINET),
        ({"mode": 1}, Cause.WRONG_MAP),
        ({"mode": 6}, Cause.WRONG_MAP),
        ({"display": 3}, Cause.WRONG_MAP),
        ({"refusal": 16}, Cause.WRONG_MAP),
        ({"greens": 0b0111}, Cause.CONTRADICTION),
        ({"greens": 0b0001}, Cause.CONTRADICTION),
        ({"yellows": 0b1_0000}, Cause.CONTRADICTION),
        ({"display": 1}, Cause.CONTRADICTION),
        ({"red_clears": 0b0001}, Cause.CONTRADICTION),
        ({"protected": 0b0100}, Cause.CONTRADICTION),
        ({"walks": 0}, Cause.CONTRADICTION),
        ({"dont_walks": 0b0010}, Cause.CONTRADICTION),
        ({"ped_clears": 0b0001}, Cause.CONTRADICTION),
        ({"calls": 0b1_0000}, Cause.CONTRADICTION),
        ({"ped_calls": 1 << 31}, Cause.CONTRADICTION),
        ({"stage": 0}, Cause.CONTRADICTION),
        ({"stage": 4}, Cause.CONTRADICTION),
        ({"target": 4}, Cause.CONTRADICTION),
        ({"target": 1}, Cause.CONTRADICTION),
        ({"watchdog": 0}, Cause.CONTRADICTION),
        ({"watchdog": 0, "mode": 3}, Cause.CONTRADICTION),
    ],
)
def test_what_cannot_be_true_is_no_reading(changed: dict[str, int], cause: Cause) -> None:
    """A value that the map, the cabinet or another value contradicts spoils the whole status."""
    found = read(**changed)

    assert isinstance(found, Failure)
    assert cause is found.cause


@pytest.mark.parametrize("mode", [0, 4, 5])
def test_a_cabinet_on_its_own_needs_no_watchdog(mode: int) -> None:
    """Released, expired or under local control, nothing is left to count down."""
    assert 0 == status(mode=mode, watchdog=0).watchdog


@pytest.mark.parametrize(("field", "value"), [("magic", 1), ("version", 2)])
def test_another_map_is_no_reading(field: str, value: int) -> None:
    """A device that speaks another map or version is told so, its CRC being right."""
    [at] = OURS.profile.status
    cells = list(at.put(WELL))
    cells[at.fields[field].at] = value
    cells[-1] = crc16(cells[:-1])

    found = decode_status([Cells(tuple(cells))], OURS)

    assert isinstance(found, Failure)
    assert Cause.WRONG_MAP is found.cause


def test_a_torn_block_is_no_reading() -> None:
    """Any single register that changes between two halves of a read is noticed by the CRC."""
    [at] = OURS.profile.status
    cells = at.put(WELL)
    torn = [decode_status([Cells((*cells[:i], cells[i] ^ 1, *cells[i + 1 :]))], OURS) for i in range(at.size)]

    assert [Failure(Cause.CHECKSUM)] * at.size == torn


@pytest.mark.parametrize("cells", [(), (0,) * 40, (0,) * 42])
def test_a_block_of_another_length_is_no_reading(cells: tuple[int, ...]) -> None:
    """Short or long, it is not the block that was asked for."""
    found = decode_status([Cells(cells)], OURS)

    assert isinstance(found, Failure)
    assert Cause.SHORT is found.cause


@pytest.mark.parametrize("cell", [-1, 65_536])
def test_a_cell_that_holds_more_than_its_bits_is_no_reading(cell: int) -> None:
    """A library that gives such a value is not believed."""
    found = decode_status([Cells((cell,) * 41)], OURS)

    assert isinstance(found, Failure)
    assert Cause.GARBAGE is found.cause


def test_a_failed_read_stays_a_failure() -> None:
    """One failed block of two leaves nothing that could be taken for a value."""
    failed = Failure(Cause.TIMED_OUT)
    shown = COILS.profile.status[0].put({"reds": 15})

    assert failed == decode_status([Cells(shown), failed], COILS) == decode_detectors([failed], COILS)


@given(st.lists(st.integers(-2, 70_000), max_size=45), st.booleans())
def test_any_cells_give_a_status_or_a_failure(cells: list[int], mended: bool) -> None:
    """Fuzz: no answer raises; one with a right CRC and head is judged by its values."""
    if mended and len(cells) == 41 and all(0 <= cell <= 65_535 for cell in cells):
        cells[:2] = [0x5057, 1]
        cells[-1] = crc16(cells[:-1])

    assert isinstance(decode_status([Cells(tuple(cells))], OURS), Status | Failure)


@given(st.fixed_dictionaries({}, optional={name: st.integers(0, 70_000) for name in WELL}))
def test_any_values_give_a_status_that_contradicts_nothing_or_a_failure(changed: dict[str, int]) -> None:
    """Fuzz: what is accepted has one colour a group, and a stage of this cabinet."""
    found = read(**changed)

    if isinstance(found, Status):
        assert len(found.vehicles) == PROGRAM.groups
        assert found.stage in (None, 0, 1, 2)
        assert found.display is not Display.NORMAL or found.stage is not None


@given(st.lists(st.integers(0, 1), min_size=64, max_size=64), st.lists(st.integers(0, 1), min_size=24, max_size=24))
def test_any_bits_of_a_vendor_give_a_status_or_a_failure(shown: list[int], asked: list[int]) -> None:
    """Fuzz: the same for a map of bits."""
    assert isinstance(decode_status([Cells(tuple(shown)), Cells(tuple(asked))], COILS), Status | Failure)


# --- detectors ---------------------------------------------------------------------------------------------------------------------
def _page(*detectors: tuple[int, int, int, int]) -> Cells:
    cells = [0, 99] + [cell for detector in detectors for cell in detector]
    cells += [0] * (122 - len(cells))
    return Cells((*cells, crc16(cells)))


def test_detectors_have_values_or_faults() -> None:
    """A fault is never a number, and one detector's fault is no other's."""
    found = decode_detectors([_page((1, 7, 65_000, 0), (5, 1, 2, 3))], OURS)

    assert Detectors((DetectorValue(True, 7, 65_000, 0), DetectorFault.SHORTED_LOOP)) == found


@pytest.mark.parametrize(
    ("detector", "fault"),
    [((fault.value, 0, 0, 0), fault) for fault in DetectorFault if fault.value > 1]
    + [
        ((9, 0, 0, 1), DetectorFault.UNKNOWN),
        ((65_535, 0, 0, 0), DetectorFault.UNKNOWN),
        ((1, 0, 0, 5), DetectorFault.CONTRADICTION),
        ((0, 0, 0, 0), DetectorFault.CONTRADICTION),
    ],
)
def test_a_detector_that_cannot_be_believed_has_a_fault(detector: tuple[int, int, int, int], fault: DetectorFault) -> None:
    """A code that nobody knows, and one that contradicts itself."""
    found = decode_detectors([_page((0, 1, 1, 1), detector)], OURS)

    assert Detectors((DetectorValue(False, 1, 1, 1), fault)) == found


def test_a_vendor_detector_is_occupied_or_not() -> None:
    """A map of bits has no counts."""
    found = decode_detectors([Cells((1, 0, *[1] * 30))], COILS)

    assert Detectors((DetectorValue(True, None, None, None), DetectorValue(False, None, None, None))) == found


def test_many_detectors_come_in_pages() -> None:
    """Each page is one read; the last is read whole and used in part."""
    to = RegisterMap(profile=OURS.profile, program=replace(PROGRAM, detectors=31))
    found = decode_detectors([_page(*[(0, at, 0, 1) for at in range(30)]), _page((1, 30, 0, 0), (7, 0, 0, 0))], to)

    assert [(100, 123), (223, 123)] == [(page.address, page.size) for page in to.pages]
    assert isinstance(found, Detectors)
    assert list(range(31)) == [value.count for value in found.values if isinstance(value, DetectorValue)]


def test_a_torn_page_is_no_reading() -> None:
    """No detector of a torn page has a value."""
    page = _page((0, 1, 1, 1), (0, 1, 1, 1))

    assert Failure(Cause.CHECKSUM) == decode_detectors([Cells((*page.values[:5], 7, *page.values[6:]))], OURS)


@given(st.lists(st.integers(0, 65_535), max_size=125))
def test_any_page_gives_detectors_or_a_failure(cells: list[int]) -> None:
    """Fuzz: with a right CRC where it has the length of a page."""
    if len(cells) == 123:
        cells[-1] = crc16(cells[:-1])

    assert isinstance(decode_detectors([Cells(tuple(cells))], OURS), Detectors | Failure)


# --- acknowledgements --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"acknowledged": 9}, Accepted()),
        ({"acknowledged": 9, "refused": 9, "refusal": 4}, Accepted()),
        ({"refused": 9, "refusal": 14}, Refused(Refusal.CONFLICT)),
        ({"refused": 7, "refusal": 14}, Pending()),
        ({"refused": 9}, Pending()),
        ({}, Pending()),
        ({"acknowledged": 11}, Overtaken(11)),
        ({"acknowledged": 9, "boot": 5}, Rebooted()),
    ],
)
def test_a_cabinet_tells_what_it_made_of_a_request(changed: dict[str, int], expected: Acknowledgement) -> None:
    """Accepted, refused with a reason, not yet, overtaken by another writer, or forgotten by a new start."""
    assert expected == acknowledgement(block(), status(**changed))


def test_a_release_without_a_status_is_acknowledged_too() -> None:
    """There is no start to compare with."""
    asked = compose(Release(), to=OURS, seen=None, sequence=9, now=0)

    assert isinstance(asked, RequestBlock)
    assert Accepted() == acknowledgement(asked, status(acknowledged=9))


@pytest.mark.parametrize(("changed", "expected"), [({}, Accepted()), ({"echo_groups": 3}, Pending()), ({"echo_mode": 0}, Pending())])
def test_a_vendor_without_sequences_acknowledges_by_its_coils(changed: dict[str, int], expected: Acknowledgement) -> None:
    """What is read back equals what was asked."""
    assert expected == acknowledgement(block(to=COILS), status(COILS, **changed))


def test_every_acknowledgement_is_reached() -> None:
    """The union is closed: these five and no other."""
    assert {Accepted, Refused, Pending, Overtaken, Rebooted} == set(get_args(Acknowledgement))


# --- the cabinet at hand -----------------------------------------------------------------------------------------------------------
def test_a_configuration_gives_its_stages_groups_and_plans() -> None:
    """The values that may be asked for are those of the configuration, and no other."""
    program = Program.of(parse(GOOD).tables, detectors=1, identity=3)

    assert Program(stages=(0b101, 0b010, 0b100), groups=3, pedestrians=1, plans=frozenset({1}), detectors=1, identity=3) == program


@pytest.mark.parametrize(
    ("vendor", "changed", "key"),
    [
        ("phasewise_v1", {"groups": 33}, "groups"),
        ("phasewise_v1", {"stages": (1,) * 65}, "stages"),
        ("phasewise_v1", {"plans": frozenset({254})}, "plans"),
        ("phasewise_v1", {"detectors": 121}, "detectors"),
        ("coil_groups", {"stages": (1, 2, 1)}, "stages"),
    ],
)
def test_a_cabinet_that_a_map_has_no_room_for_is_refused(vendor: str, changed: dict[str, object], key: str) -> None:
    """The message says what there is room for; a map that tells stages by their greens needs them to differ."""
    program: Program = replace(PROGRAM, **changed)  # type: ignore[arg-type]  # each key has a value of its own type
    with pytest.raises(ConfigError) as raised:
        RegisterMap(profile=load_profile(vendor), program=program)

    assert key == raised.value.key


def test_plans_are_no_hindrance_where_they_cannot_be_asked_for() -> None:
    """A cabinet with plans of its own speaks a map without them."""
    assert 0 == RegisterMap(profile=load_profile("coil_groups"), program=PROGRAM).profile.limits.plans


# --- profiles ----------------------------------------------------------------------------------------------------------------------
def _text(name: str) -> str:
    return (Path(field_adapters.__path__[0]) / "profiles" / f"{name}.toml").read_text(encoding="utf-8")


def test_a_profile_that_does_not_exist_is_answered_with_the_nearest() -> None:
    """And with all that there are."""
    with pytest.raises(UnknownNameError, match=r"did you mean 'phasewise_v1'.*coil_groups"):
        load_profile("phasewise_v2")


@pytest.mark.parametrize(
    ("vendor", "old", "new", "key"),
    [
        ("phasewise_v1", 'name = "phasewise"', 'name = ""', "name"),
        ("phasewise_v1", "version = 1\n", "version = 0\n", "version"),
        ("phasewise_v1", "device_id = 1", "device_id = true", "device_id"),
        ("phasewise_v1", "[limits]", "[limit]", "limit"),
        ("phasewise_v1", "groups = 32", "groups = 33", "limits.groups"),
        ("phasewise_v1", "groups = 32", "", "limits.groups"),
        ("phasewise_v1", 'table = "holding"', 'table = "input"', "request.table"),
        ("phasewise_v1", 'table = "holding"', "table = 4", "request.table"),
        ("phasewise_v1", "size = 13", "size = 124", "request.size"),
        ("phasewise_v1", "stage = 2\nplan = 3", "stages = 2\nplan = 3", "request.modes.stages"),
        ("phasewise_v1", "stage = 2\nplan = 3", "plan = 3", "request.modes"),
        ("phasewise_v1", "stage = 2\nplan = 3", "stage = 3\nplan = 3", "request.modes"),
        ("phasewise_v1", "stage = 2\nplan = 3", "stage = 2\nplan = 65536", "request.modes.plan"),
        ("phasewise_v1", "mode = { at = 4 }", "", "request.modes"),
        ("phasewise_v1", "hold = { at = 8 }", "hold = 8", "request.fields.hold"),
        ("phasewise_v1", "hold = { at = 8 }", "hold = { at = 7 }", "request.fields.hold.at"),
        ("phasewise_v1", "hold = { at = 8 }", "hold = { at = 13 }", "request.fields.hold.at"),
        ("phasewise_v1", "hold = { at = 8 }", "hold = { at = 8, size = 3 }", "request.fields.hold.size"),
        ("phasewise_v1", "hold = { at = 8 }", "hold = { at = 8, value = 65536 }", "request.fields.hold.value"),
        ("phasewise_v1", "hold = { at = 8 }", "holt = { at = 8 }", "request.fields.holt"),
        ("phasewise_v1", "crc = { at = 12 }", "", ""),
        ("phasewise_v1", "size = 13", "size = 14", "request.fields.crc.at"),
        ("phasewise_v1", "heartbeat = { at = 11 }", "", "request.fields"),
        ("phasewise_v1", "target = { at = 5 }", "", "request.fields"),
        ("phasewise_v1", "boot = { at = 2 }\nsequence", "sequence", "request.fields"),
        ("phasewise_v1", "clear = { at = 6, size = 2 }", "clear = { at = 6 }", "fields.clear.size"),
        ("phasewise_v1", "[[status.blocks]]", "[status.blocks]", "status.blocks"),
        ("phasewise_v1", "display = { at = 15 }", "", "status.blocks"),
        ("phasewise_v1", "mode = { at = 8 }", "", "status.modes"),
        ("phasewise_v1", "watchdog = { at = 9 }", "", "status.blocks"),
        ("phasewise_v1", "walks = { at = 26, size = 2 }", "", "status.blocks"),
        ("phasewise_v1", "per_page = 30", "per_page = 31", "detectors.per_page"),
        ("phasewise_v1", "first = 2", "first = 1", "detectors.header"),
        ("phasewise_v1", "state = { at = 0 }", "", "detectors.fields"),
        ("phasewise_v1", "[detectors.header]", "[detectors.heads]", "detectors.heads"),
        ("coil_groups", "address = 100", "address = 65535", "detectors.address"),
        ("coil_groups", "plans = 0", "plans = 4", "limits.plans"),
        ("coil_groups", "echo_mode = { at = 0 }", "", "status.blocks"),
        ("coil_groups", "echo_heartbeat = { at = 1 }", "greens = { at = 1 }", "status.blocks"),
        ("coil_groups", "echo_heartbeat = { at = 1 }", "crc = { at = 1 }", "status.blocks[1].fields.crc.at"),
        ("coil_groups", "groups = { at = 8, size = 16 }\n\n[status]", "groups = { at = 8, size = 15 }\n\n[status]", "fields.groups.size"),
        ("coil_groups", "released = 0\nstage = 1\n", "released = 0\nstage = 2\n", "request.modes.stage"),
        ("coil_groups", "echo_mode = { at = 0 }\necho_heartbeat = { at = 1 }\necho_groups = { at = 8, size = 16 }", "", "status.blocks"),
    ],
)
def test_a_map_that_cannot_be_is_refused_with_its_key(vendor: str, old: str, new: str, key: str) -> None:
    """One line of a good profile is spoilt; the message names the file and the key."""
    text = _text(vendor)
    assert old in text
    if key == "":
        assert "crc" not in parse_profile(text.replace(old, new, 1)).request.fields
        return

    with pytest.raises(ConfigError, match=r"x\.toml") as raised:
        parse_profile(text.replace(old, new, 1), source="x.toml")

    assert key == raised.value.key


@pytest.mark.parametrize("text", ["=", "status = 3", "a = " + "[" * 5000])
def test_a_text_that_is_no_profile_is_refused(text: str) -> None:
    """No TOML at all, or one of something else."""
    with pytest.raises(ConfigError):
        parse_profile(text)


@given(st.data(), st.sampled_from(["phasewise_v1", "coil_groups"]))
def test_any_spoilt_profile_is_read_or_refused(data: st.DataObject, vendor: str) -> None:
    """Fuzz: cut, doubled and changed texts give a profile or a ConfigError."""
    text = _text(vendor)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    spoilt = text[:start] + data.draw(st.one_of(st.text(max_size=8), st.sampled_from(["-1", "65536", "{}", "[]", '""', "1"]))) + text[end:]

    with suppress(ConfigError):
        parse_profile(spoilt)


def _published() -> dict[str, list[tuple[str, str]]]:
    """Read the tables of docs/modbus-map.md: for each section, the first two cells of each row."""
    text = (Path(field_adapters.__path__[0]).parent / "docs" / "modbus-map.md").read_text(encoding="utf-8")
    sections: dict[str, list[tuple[str, str]]] = {}
    for part in text.split("\n## ")[1:]:
        rows = [line.split("|")[1:3] for line in part.splitlines() if line.startswith("| ")]
        sections[part.split(":", maxsplit=1)[0]] = [(left.strip(), right.strip()) for left, right in rows[1:]]
    return sections


def _places(rows: list[tuple[str, str]]) -> dict[str, Field]:
    """Read rows such as `26-27, 28-29 | walks, ped_clears` as fields."""
    found: dict[str, Field] = {}
    for places, names in rows:
        for place, name in zip(places.split(", "), names.split(", "), strict=True):
            first, _, last = place.removeprefix("+").partition("-")
            found[name] = Field(at=int(first), size=int(last or first) - int(first) + 1)
    return found


def test_the_published_map_is_the_one_that_is_spoken() -> None:
    """docs/modbus-map.md and the profile name the same registers, and the same reasons to refuse."""
    profile, published = OURS.profile, _published()

    def bare(fields: Mapping[str, Field]) -> dict[str, Field]:
        return {name: replace(field, value=None) for name, field in fields.items()}

    assert bare(profile.request.fields) == _places(published["The request"])
    assert bare(profile.status[0].fields) == _places(published["The status"])
    assert bare(profile.detectors.fields) == _places(published["Detectors"])
    assert {str(refusal.code): refusal.words for refusal in Refusal} == dict(published["Refusals"])


def test_published_codes_do_not_change() -> None:
    """A device that was built by the map stays right."""
    bits = {"CONFLICT_MONITOR": 0, "LAMP": 1, "POWER_RESTARTED": 2, "CLOCK": 3, "PREEMPT": 4, "STOP_TIME": 5, "MANUAL": 6, "DETECTOR": 7}
    codes = {"MAX_PRESENCE": 2, "NO_ACTIVITY": 3, "OPEN_LOOP": 4, "SHORTED_LOOP": 5, "EXCESSIVE_CHANGE": 6, "WATCHDOG": 7, "ERRATIC": 8}

    assert bits | {"OTHER": 15} == {fault.name: fault.value for fault in CabinetFault}
    assert codes == {fault.name: fault.value for fault in DetectorFault if fault.value > 1}
    assert (Display.NORMAL, Display.FLASH, Display.DARK) == DISPLAYS
