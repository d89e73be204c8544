"""The table of NTCIP objects, what their values mean, and which writes exist."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from field_adapters import ntcip_objects
from field_adapters._errors import ForbiddenWriteError, ProfileError
from field_adapters.ntcip_objects import (
    ASC,
    CONTROL_BYTES,
    COORD_OPERATIONAL_MODE,
    DETECTOR_OCCUPANCY,
    FLASH,
    FORCE_OFF,
    FREE,
    GLOBAL_TIME,
    HOLD,
    OBJECTS,
    PED_CALL,
    PED_OMIT,
    PHASE_GREENS,
    PHASE_MINIMUM_GREEN,
    PHASE_OMIT,
    PREEMPT_CONTROL_STATE,
    RING_OMIT_RED_CLEAR,
    RING_STOP_TIME,
    SEQUENCE_DATA,
    SPECIAL_FUNCTION_CONTROL,
    SPECIAL_FUNCTION_STATE,
    SPLIT_TIME,
    SYSTEM_PATTERN_CONTROL,
    SYSTEM_SYNC_CONTROL,
    UNIT_BACKUP_TIME,
    UNIT_CONTROL_STATUS,
    VEH_CALL,
    Access,
    DetectorFault,
    IndexKind,
    Instance,
    NtcipObject,
    Syntax,
    Write,
    masks_of,
    occupancy,
    phases_in,
    phases_of,
    released,
    requests,
    volume,
)
from field_adapters.profiles import ntcip as profiles
from intersection.errors import UnknownNameError


def dotted(instance: Instance) -> str:
    """Write an OID as the standard does."""
    return ".".join(map(str, instance.oid))


def any_instance(entry: NtcipObject) -> Instance:
    """Name the first instance of an object."""
    double = entry.index in (IndexKind.SPLIT_AND_PHASE, IndexKind.SEQUENCE_AND_RING)
    return entry.at(*(() if entry.index is IndexKind.SCALAR else (1, 1) if double else (1,)))


# ---------------------------------------------------------------------------------------------------------------------------------
# The table


@pytest.mark.parametrize(
    ("instance", "oid"),
    [
        (PHASE_GREENS.at(1), "1.3.6.1.4.1.1206.4.2.1.1.4.1.4.1"),
        (FORCE_OFF.at(1), "1.3.6.1.4.1.1206.4.2.1.1.5.1.5.1"),
        (HOLD.at(2), "1.3.6.1.4.1.1206.4.2.1.1.5.1.4.2"),
        (DETECTOR_OCCUPANCY.at(17), "1.3.6.1.4.1.1206.4.2.1.2.5.4.1.2.17"),
        (UNIT_BACKUP_TIME.at(), "1.3.6.1.4.1.1206.4.2.1.3.3.0"),
        (UNIT_BACKUP_TIME.at(1), "1.3.6.1.4.1.1206.4.2.1.3.3.1"),
        (SYSTEM_PATTERN_CONTROL.at(), "1.3.6.1.4.1.1206.4.2.1.4.14.0"),
        (SPLIT_TIME.at(3, 12), "1.3.6.1.4.1.1206.4.2.1.4.9.1.3.3.12"),
        (SEQUENCE_DATA.at(1, 2), "1.3.6.1.4.1.1206.4.2.1.7.3.1.3.1.2"),
        (GLOBAL_TIME.at(), "1.3.6.1.4.1.1206.4.2.6.3.1.0"),
    ],
)
def test_an_instance_has_the_oid_of_the_standard(instance: Instance, oid: str) -> None:
    """Scalars end in 0, columns in their row, tables of two indices in both."""
    assert oid == dotted(instance)


def test_no_two_objects_share_a_place() -> None:
    """Each object has an OID of its own, none lies below another's, and the name in the table is its own."""
    oids = sorted(entry.oid for entry in OBJECTS.values())

    assert not any(later[: len(earlier)] == earlier for earlier, later in pairwise(oids))
    assert all(name == entry.name for name, entry in OBJECTS.items())


def test_every_object_of_the_module_is_in_the_table() -> None:
    """A constant that stands for an object is found by the standard's name."""
    constants = [value for value in vars(ntcip_objects).values() if isinstance(value, NtcipObject)]

    assert set(OBJECTS.values()) == set(constants)


def test_every_object_has_a_sensible_range() -> None:
    """Ranges are not empty, codes lie within them, octets are read-only or unwritable, and only 1202 objects lie below asc."""
    for entry in OBJECTS.values():
        assert 0 <= entry.lowest < entry.highest, entry
        assert entry.codes is None or (entry.lowest, entry.highest) == (min(entry.codes), max(entry.codes)), entry
        assert entry.meaning, entry
        assert (entry.oid[: len(ASC)] == ASC) != (entry.name in ("sysDescr", "sysUpTime", "globalTime")), entry


def test_objects_are_shown_by_their_names() -> None:
    """What is logged of an object and of an instance is what the standard calls it."""
    assert ("phaseControlGroupHold", "phaseControlGroupHold.2", "splitTime.3.12") == (
        repr(HOLD),
        repr(HOLD.at(2)),
        str(SPLIT_TIME.at(3, 12)),
    )


@pytest.mark.parametrize(
    ("entry", "rows"),
    [
        (PHASE_MINIMUM_GREEN, ()),
        (PHASE_MINIMUM_GREEN, (0,)),
        (PHASE_MINIMUM_GREEN, (17,)),
        (PHASE_MINIMUM_GREEN, (1, 1)),
        (PHASE_GREENS, (0,)),
        (PHASE_GREENS, (3,)),
        (SPLIT_TIME, (1,)),
        (SPLIT_TIME, (1, 17)),
        (SYSTEM_PATTERN_CONTROL, (1,)),
        (SYSTEM_PATTERN_CONTROL, (0, 0)),
        (UNIT_BACKUP_TIME, (2,)),
    ],
)
def test_a_row_that_does_not_exist_has_no_instance(entry: NtcipObject, rows: tuple[int, ...]) -> None:
    """There is no phase 0, no phase 17, no third group, and no row of a scalar."""
    with pytest.raises(ValueError, match="has no row"):
        entry.at(*rows)


def test_the_citation_stands_where_the_table_stands() -> None:
    """What the standard's owners ask for is said at the head of the table."""
    words = " ".join(Path(str(ntcip_objects.__file__)).read_text(encoding="utf-8").split())

    assert "Derived from NTCIP 1202 v02 and v03. Copyright by AASHTO / ITE / NEMA. Used by permission." in words


# ---------------------------------------------------------------------------------------------------------------------------------
# What values mean


def test_masks_are_read_from_the_lowest_bit() -> None:
    """34 in the first group is phases 2 and 6; the same in the second is 10 and 14."""
    assert (frozenset({2, 6}), frozenset({10, 14})) == (phases_in(34, 1), phases_in(34, 2))


@given(st.sets(st.integers(1, 16)))
def test_phases_survive_the_way_through_masks(phases: set[int]) -> None:
    """All sixteen phases fit, none is lost and none is added."""
    masks = masks_of(phases)

    assert (2, frozenset(phases)) == (len(masks), phases_of(masks))


@pytest.mark.parametrize("phase", [-1, 0, 17])
def test_a_phase_that_does_not_exist_has_no_mask(phase: int) -> None:
    """A phase beyond the bytes is an error, never a bit that falls off."""
    with pytest.raises(ValueError, match=f"phase {phase}: phases are numbered 1 to 16"):
        masks_of({2, phase})


@pytest.mark.parametrize(("mask", "group"), [(-1, 1), (256, 1), (0, 0), (0, 3)])
def test_a_mask_that_is_no_byte_of_a_group_is_an_error(mask: int, group: int) -> None:
    """A group is one byte, and there are two."""
    with pytest.raises(ValueError, match=r"mask|group"):
        phases_in(mask, group)


@given(st.integers(0, 255))
def test_an_occupancy_is_a_share_or_a_fault(raw: int) -> None:
    """Up to 200 it is a share of half percents, at most all of the time; above, it is never a number."""
    reading = occupancy(raw)

    assert (raw / 200 if raw <= 200 else True) == (reading if isinstance(reading, float) else isinstance(reading, DetectorFault))
    assert isinstance(reading, DetectorFault) or 0.0 <= reading <= 1.0


@pytest.mark.parametrize(
    ("raw", "reading"),
    [
        (0, 0.0),
        (200, 1.0),
        (201, DetectorFault.OTHER),
        (210, DetectorFault.MAX_PRESENCE),
        (211, DetectorFault.NO_ACTIVITY),
        (212, DetectorFault.OPEN_LOOP),
        (213, DetectorFault.SHORTED_LOOP),
        (214, DetectorFault.EXCESSIVE_CHANGE),
        (215, DetectorFault.OTHER),
        (216, DetectorFault.WATCHDOG),
        (217, DetectorFault.ERRATIC),
        (255, DetectorFault.OTHER),
    ],
)
def test_an_occupancy_code_says_what_is_wrong(raw: int, reading: float | DetectorFault) -> None:
    """The codes of the standard have their names; one that it does not give is a fault all the same."""
    assert reading == occupancy(raw)


def test_a_volume_that_overflowed_is_no_count() -> None:
    """254 vehicles are counted; 255 says that there were more."""
    assert (0, 254, DetectorFault.OVERFLOW) == (volume(0), volume(254), volume(255))


@pytest.mark.parametrize(("read", "raw"), list(product((occupancy, volume), (-1, 256))))
def test_a_report_beyond_a_byte_is_an_error(read: Callable[[int], object], raw: int) -> None:
    """What is no byte is not read."""
    with pytest.raises(ValueError, match="one byte"):
        read(raw)


# ---------------------------------------------------------------------------------------------------------------------------------
# Writes

ALLOWED = (PHASE_OMIT, PED_OMIT, HOLD, FORCE_OFF, VEH_CALL, PED_CALL, SYSTEM_PATTERN_CONTROL, SYSTEM_SYNC_CONTROL)


def test_only_requests_can_be_written() -> None:
    """Of all objects, eight can be written; every other write is refused with the object and a reason."""
    writable = set(ALLOWED)

    assert set(OBJECTS.values()) > writable
    for entry in OBJECTS.values():
        instance = any_instance(entry)
        if entry in writable:
            assert 1 == Write(instance, 1).value
        else:
            with pytest.raises(ForbiddenWriteError, match=f"^{instance} = 1 is never written: .+"):
                Write(instance, 1)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (RING_STOP_TIME, "it stops the timing that keeps the street safe"),
        (RING_OMIT_RED_CLEAR, "it takes away red clearance"),
        (UNIT_BACKUP_TIME, "how long the cabinet waits for us is the agency's decision"),
        (PREEMPT_CONTROL_STATE, "preemption belongs to railways and emergency vehicles"),
        (SPECIAL_FUNCTION_STATE, "special functions drive what we do not know"),
        (SPECIAL_FUNCTION_CONTROL, "special functions drive what we do not know"),
        (COORD_OPERATIONAL_MODE, "it belongs to the technician at the cabinet"),
        (GLOBAL_TIME, "the cabinet's clock is the agency's"),
        (PHASE_MINIMUM_GREEN, "the cabinet's database is the agency's"),
        (UNIT_CONTROL_STATUS, "it is read-only"),
    ],
)
@pytest.mark.parametrize("value", [0, 1, 255])
def test_what_is_forbidden_has_its_reason(entry: NtcipObject, reason: str, value: int) -> None:
    """No value of a forbidden object can be written, not even zero, and the reason is its own."""
    with pytest.raises(ForbiddenWriteError) as raised:
        Write(any_instance(entry), value)

    assert reason == raised.value.reason


@pytest.mark.parametrize("entry", CONTROL_BYTES)
@pytest.mark.parametrize("group", [1, 2])
def test_a_request_takes_every_byte_and_nothing_else(entry: NtcipObject, group: int) -> None:
    """Each of the 256 bytes can be written to each group, and no value beside them, nor one of another type."""
    for value in range(256):
        assert value == Write(entry.at(group), value).value
    wrong: tuple[Any, ...] = (-1, 256, 2**32, True, 1.0, "1", None)
    for value in wrong:
        with pytest.raises(ForbiddenWriteError, match="whole numbers from 0 to 255"):
            Write(entry.at(group), value)


def test_patterns_stand_by_free_and_flash_by_its_word_only() -> None:
    """0 to 254 can be written as they are; 255 needs `flash`, and `flash` goes with nothing else."""
    pattern, sync = SYSTEM_PATTERN_CONTROL.at(), SYSTEM_SYNC_CONTROL.at()

    plain = [Write(pattern, value).value for value in range(FREE + 1)]

    assert list(range(255)) == plain
    assert FLASH == Write(pattern, FLASH, flash=True).value
    assert 255 == Write(sync, 255).value
    with pytest.raises(ForbiddenWriteError, match="flash, which is asked for by its own word only"):
        Write(pattern, FLASH)
    for instance, value in ((pattern, 0), (pattern, FREE), (sync, 255), (HOLD.at(1), 255)):
        with pytest.raises(ForbiddenWriteError, match="this is not flash"):
            Write(instance, value, flash=True)


def test_a_write_cannot_be_turned_into_another() -> None:
    """A write is frozen, has no heirs, and a changed copy is checked like a new one."""
    write = Write(HOLD.at(1), 2)

    with pytest.raises(dataclasses.FrozenInstanceError):
        write.value = 3  # type: ignore[misc]  # that it cannot be is what is tested
    with pytest.raises(ForbiddenWriteError):
        dataclasses.replace(write, instance=RING_STOP_TIME.at(1))
    with pytest.raises(TypeError, match="no subclasses"):
        type("Heir", (Write,), {})


def test_a_lookalike_of_an_allowed_object_is_refused() -> None:
    """An object made or copied elsewhere is not on the list, whatever it calls itself."""
    double = copy.deepcopy(HOLD)
    forged = NtcipObject(name=HOLD.name, oid=RING_STOP_TIME.oid, meaning="", index=HOLD.index, access=Access.READ_WRITE)

    for entry in (double, forged):
        with pytest.raises(ForbiddenWriteError):
            Write(entry.at(1), 1)


def test_a_request_by_phases_clears_those_not_named() -> None:
    """A request is always both bytes, so that what was asked for before and is not named ends."""
    written = requests(HOLD, frozenset({2, 10}))

    assert (Write(HOLD.at(1), 2), Write(HOLD.at(2), 2)) == written


def test_a_request_is_one_of_the_six() -> None:
    """Nothing but the six can be asked for by phase."""
    for entry in (SYSTEM_PATTERN_CONTROL, PHASE_GREENS, RING_STOP_TIME):
        with pytest.raises(ForbiddenWriteError, match="it is no request by phase"):
            requests(entry, frozenset({2}))


def test_release_is_every_request_at_zero() -> None:
    """What lets go writes zero to all six requests of both groups and to the pattern."""
    written = released()

    expected = {instance for control in CONTROL_BYTES for instance in control.groups()} | {SYSTEM_PATTERN_CONTROL.at()}
    assert (expected, {0}, 13) == ({write.instance for write in written}, {write.value for write in written}, len(written))


def test_a_refusal_crosses_processes() -> None:
    """The error keeps its reason on the way between processes."""
    error = pickle.loads(pickle.dumps(ForbiddenWriteError("x", "y")))  # noqa: S301  our own

    assert ("x", "y", "x is never written: y") == (error.what, error.reason, str(error))


def test_nothing_writable_is_text_or_read_only() -> None:
    """What can be written is a number that the standard lets a manager write."""
    assert all(entry.access is Access.READ_WRITE and entry.syntax is Syntax.INTEGER for entry in ALLOWED)


# ---------------------------------------------------------------------------------------------------------------------------------
# Profiles


def test_every_profile_that_is_shipped_loads() -> None:
    """Each file is a profile, and the standard's is the standard."""
    loaded = {name: profiles.load(name) for name in profiles.names()}

    assert {"standard", "unknown", "econolite", "maxtime"} <= set(loaded)
    assert (UNIT_BACKUP_TIME.at(),) == loaded["standard"].backup_time
    assert (UNIT_BACKUP_TIME.at(0), UNIT_BACKUP_TIME.at(1)) == loaded["unknown"].backup_time


def test_a_vendor_that_nobody_wrote_down_is_named_with_the_nearest() -> None:
    """A misspelt profile is told with the nearest that exists."""
    with pytest.raises(UnknownNameError, match="did you mean 'econolite'"):
        profiles.load("econolight")


GOOD = {"description": '"x"', "backup_time_instances": "[0]", "objects_per_message": "8", "versions": '["v1"]'}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("backup_time_instances", "[2]", "the backup time does not stand there"),
        ("backup_time_instances", "[]", "the backup time does not stand there"),
        ("backup_time_instances", "[0, 0]", "the backup time does not stand there"),
        ("backup_time_instances", "0", "a list of whole numbers is wanted"),
        ("backup_time_instances", "[true]", "a list of whole numbers is wanted"),
        ("objects_per_message", "0", "a message asks for some objects"),
        ("objects_per_message", "256", "a message asks for some objects"),
        ("objects_per_message", "true", "a whole number is wanted"),
        ("versions", '["v4"]', "no such version"),
        ("versions", "[]", "no such version"),
        ("versions", '["v1", "v1"]', "no such version"),
        ("versions", "[1]", "a list of texts is wanted"),
        ("description", "1", "a text is wanted"),
        ("descriptoin", '"x"', "did you mean 'description'"),
        ("description", "", "cannot be read"),
    ],
)
def test_a_profile_that_cannot_be_is_refused_by_its_key(tmp_path: Path, key: str, value: str, words: str) -> None:
    """A wrong value or key of a profile is told with the file and what was wrong."""
    path = tmp_path / "vendor.toml"
    path.write_text("\n".join(f"{name} = {text}" for name, text in (GOOD | {key: value}).items()), encoding="utf-8")

    with pytest.raises(ProfileError) as raised:
        profiles.read(path)

    assert words in str(raised.value)
    assert str(path) in str(raised.value)


@given(text=st.text(max_size=200))
def test_any_text_is_a_profile_or_an_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever stands in a file, reading it gives a profile or says what is wrong with it."""
    path = tmp_path_factory.mktemp("profile") / "any.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ProfileError):
        profiles.read(path)
