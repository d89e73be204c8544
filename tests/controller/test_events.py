from collections.abc import Callable

import pytest

from controller.events import (
    FAULTS,
    STREET,
    Effect,
    Ending,
    Fault,
    Flash,
    Free,
    Kind,
    LimitSet,
    LockOutCleared,
    Mode,
    Order,
    OrderWithdrawn,
    Place,
    Plan,
    ReEnabled,
)
from intersection.errors import ConfigError
from tests.controller import ladder_model as model

ROWS = pytest.mark.parametrize(("fault", "effect"), FAULTS.items(), ids=[fault.name for fault in FAULTS])

LATCHES = {
    "monitor or conflict flash": Fault.CONFLICT_FLASH,
    "cabinet reboot": Fault.REBOOTED,
    "database change": Fault.DATABASE_CHANGED,
    "another writer": Fault.ANOTHER_WRITER,
    "a disobeyed transition, twice": Fault.DISOBEYED_AGAIN,
    "lost lamp power": Fault.LAMP_POWER_LOST,
    "a gate violation": Fault.GATE_VIOLATED,
}
YIELDS = (Fault.POLICE, Fault.LOCAL_MANUAL, Fault.REMOTE_MANUAL, Fault.PREEMPT, Fault.STOP_TIME, Fault.FLASH)


def test_every_fault_has_its_row() -> None:
    """The table lacks no fault, in the order in which they are declared."""
    assert list(Fault) == list(FAULTS)


def test_the_table_cannot_be_changed() -> None:
    """A fault's effect is what the file says, for as long as the daemon runs."""
    with pytest.raises(TypeError):
        FAULTS[Fault.POLICE] = FAULTS[Fault.TICKER_LAG]  # type: ignore[index]  # this is what must fail


@ROWS
def test_a_fault_does_what_the_rules_say(fault: Fault, effect: Effect) -> None:
    """Effect, ending and duration of each row are those of a table that was written separately."""
    endings = {
        Ending.NOTED: model.HARMLESS,
        Ending.LATCHED: model.NEEDS_A_PERSON,
        Ending.REJOIN: model.PASSES,
        Ending.CLEAN: model.HEALS,
        Ending.AT_CABINET: {Fault.LOCAL_LOCK_OUT},
    }

    assert [effect.ending] == [ending for ending, faults in endings.items() if fault in faults]
    assert model.leaves(fault) is (effect.drops_to or Mode.ADAPTIVE)
    assert (fault in model.LASTS_NO_TIME) is effect.momentary


@ROWS
def test_only_policy_link_and_detectors_heal_by_themselves(fault: Fault, effect: Effect) -> None:
    """The clean minutes are for faults of the policy, the link and the detectors; those of link and detectors all end so."""
    ours = {Kind.POLICY, Kind.LINK, Kind.DETECTOR}

    assert effect.ending is not Ending.CLEAN or effect.kind in ours, fault
    assert effect.kind not in {Kind.LINK, Kind.DETECTOR} or effect.ending in {Ending.CLEAN, Ending.NOTED}, fault


@ROWS
def test_a_fault_either_lowers_the_mode_or_is_noted(fault: Fault, effect: Effect) -> None:
    """A fault drops to MONITOR, RELEASED or FIXED_TIME; what only is noted drops to nothing."""
    lowest = {Mode.MONITOR, Mode.RELEASED, Mode.FIXED_TIME}

    assert (effect.ending is Ending.NOTED) is (effect.drops_to is None), fault
    assert effect.drops_to is None or effect.drops_to in lowest, fault


@ROWS
def test_the_operator_reads_whole_sentences(fault: Fault, effect: Effect) -> None:
    """What happened, what the street does and what ends it are sentences, and no two faults read alike."""
    for words in (effect.what, effect.street, effect.ends):
        assert words[0].isupper(), (fault, words)
        assert words.endswith("."), (fault, words)

    assert [fault] == [other for other, row in FAULTS.items() if row.what == effect.what]


@pytest.mark.parametrize("fault", LATCHES.values(), ids=LATCHES)
def test_what_an_agency_wants_latched_is_latched(fault: Fault) -> None:
    """The cabinet is released, and a person must re-enable."""
    assert (Mode.RELEASED, Ending.LATCHED) == (FAULTS[fault].drops_to, FAULTS[fault].ending)


@pytest.mark.parametrize("fault", YIELDS, ids=lambda fault: fault.name)
def test_who_goes_before_us_gets_the_street_at_once(fault: Fault) -> None:
    """Police, manual control and preemption release the cabinet; we rejoin after them without a person."""
    assert (Mode.RELEASED, Ending.REJOIN) == (FAULTS[fault].drops_to, FAULTS[fault].ending)


@pytest.mark.parametrize("fault", [Fault.IDENTITY_CHANGED, Fault.ANOTHER_DAEMON], ids=lambda fault: fault.name)
def test_a_cabinet_that_is_not_ours_is_not_written_to(fault: Fault) -> None:
    """Not even zeros are sent to a strange cabinet, or to one that another daemon of ours controls."""
    assert (Mode.MONITOR, Ending.LATCHED) == (FAULTS[fault].drops_to, FAULTS[fault].ending)


def test_a_full_disk_never_stops_control() -> None:
    """A journal that cannot be written is noted."""
    assert FAULTS[Fault.JOURNAL_FULL].drops_to is None


def test_names_in_files_are_told_apart() -> None:
    """The value of each fault and mode, which is what a record holds, is its own."""
    assert len(Fault) == len({fault.value for fault in Fault})
    assert len(Mode) == len({mode.value for mode in Mode})


def test_each_mode_has_its_words() -> None:
    """What the street does is told for every mode."""
    assert set(Mode) == set(STREET)


@pytest.mark.parametrize("number", [1, 253])
def test_a_plan_is_a_pattern(number: int) -> None:
    """Patterns run from 1 to 253."""
    assert number == Plan(number).pattern


@pytest.mark.parametrize("number", [-1, 0, 254, 255])
def test_free_and_flash_cannot_be_ordered_as_plans(number: int) -> None:
    """To a cabinet 254 is free and 255 is flash: neither passes for a plan."""
    with pytest.raises(ConfigError, match=rf"order\.pattern = {number}.*1\.\.253"):
        Plan(number)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda words: Order(what=Free(), operator=words, reason="works"), "order.operator"),
        (lambda words: Order(what=Flash(), operator="Kim", reason=words), "order.reason"),
        (lambda words: ReEnabled(operator=words, reason="looked"), "re-enable.operator"),
        (lambda words: ReEnabled(operator="Kim", reason=words), "re-enable.reason"),
        (lambda words: OrderWithdrawn(operator=words, reason="done"), "withdrawal.operator"),
        (lambda words: OrderWithdrawn(operator="Kim", reason=words), "withdrawal.reason"),
        (lambda words: LimitSet(limit=Mode.SHADOW, operator=words, reason="trial"), "limit.operator"),
        (lambda words: LimitSet(limit=Mode.SHADOW, operator="Kim", reason=words), "limit.reason"),
        (lambda words: LockOutCleared(technician=words, place=Place.AT_CABINET), "lock-out.technician"),
    ],
)
def test_a_person_who_orders_says_who_and_why(make: Callable[[str], object], key: str) -> None:
    """Nobody, or no reason, is refused, and blanks are no words."""
    for words in ("", "  "):
        with pytest.raises(ConfigError, match=f"{key} = '{words}': this must be said; allowed: a few words"):
            make(words)

    assert make("Kim")


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.name)
def test_only_the_way_in_can_be_capped(mode: Mode) -> None:
    """A cap is OFF, MONITOR, SHADOW or ADAPTIVE; a fallback or an order is none."""
    if mode in {Mode.OFF, Mode.MONITOR, Mode.SHADOW, Mode.ADAPTIVE}:
        assert mode is LimitSet(limit=mode, operator="Kim", reason="trial").limit
    else:
        with pytest.raises(ConfigError, match=f"limit = '{mode.value}': not a mode to cap at; allowed: off, monitor, shadow, adaptive"):
            LimitSet(limit=mode, operator="Kim", reason="trial")
