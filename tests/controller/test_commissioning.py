import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.commissioning import (
    Allowance,
    Check,
    Commissioning,
    Outcome,
    allowance,
    allowed,
    forgotten,
    from_json,
    local_time,
    mismatches,
    read,
    to_json,
    watched,
)
from controller.events import Mode
from controller.indiana import Code
from controller.journal import Decision, Event, ModeChange, Record
from intersection.config import load
from intersection.errors import ConfigError

CONFIG = load(Path(__file__).parents[2] / "deploy" / "main-and-first.toml")
FIRST, SECOND = CONFIG.stages[:2]
AT = "2026-11-24T12:00:00+00:00"


def having(*passed: Check) -> Commissioning:
    """Make a record in which some steps have been passed."""
    made = Commissioning(cabinet="main", digest="d" * 64, identity="it")
    for check in passed:
        made = made.having(check, Outcome(passed=True, at=AT, operator="ann", findings=("a",), values={"x": 1.5}))
    return made


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        ((), Mode.MONITOR),
        (tuple(Check)[:6], Mode.MONITOR),
        (tuple(Check)[:7], Mode.SHADOW),
        (tuple(Check), Mode.ADAPTIVE),
        (tuple(check for check in Check if check is not Check.BACKUP), Mode.MONITOR),
    ],
)
def test_a_record_allows_what_has_been_shown(passed: tuple[Check, ...], expected: Mode) -> None:
    """Only SHADOW may be missing for SHADOW, and nothing for ADAPTIVE."""
    assert expected is allowed(having(*passed))


def test_the_last_result_of_a_step_counts() -> None:
    """A step that fails later takes back what it had allowed."""
    failed = having(*Check).having(Check.CLOCK, Outcome(passed=False, at=AT, operator="bob"))

    assert (Check.CLOCK,) == failed.left()
    assert Mode.MONITOR is allowed(failed)


def test_a_record_is_read_as_it_was_written() -> None:
    """JSON keeps all of it."""
    record = having(Check.IDENTITY, Check.SHADOW)

    assert record == from_json(to_json(record), "x")


def test_a_later_release_may_know_more_steps_and_keys() -> None:
    """After a rollback they are passed over; what is known is kept."""
    data = json.loads(to_json(having(Check.IDENTITY)))
    data["steps"]["acoustics"] = {"passed": True}
    data["steps"]["identity"]["weather"] = "rain"
    data["place"] = "Cologne"

    assert having(Check.IDENTITY) == from_json(json.dumps(data), "x")


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"version": 2}', '{"version": 1}', to_json(having(Check.CLOCK)).replace("true", '"yes"'), "[" * 100_000],
    ids=["empty", "list", "version", "keys", "kind", "deep"],
)
def test_what_is_no_record_is_refused(text: str) -> None:
    """The message names the file."""
    with pytest.raises(ConfigError, match=r"x\.json"):
        from_json(text, "x.json")


def test_an_absent_record_caps_a_street_and_no_simulation(tmp_path: Path) -> None:
    """Without one a street goes to SHADOW; one that is named and missing, or cannot be read, leaves MONITOR and never stops a start."""
    path = tmp_path / "record.json"

    assert Allowance() == allowance(None, "main", "d" * 64, simulated=True)
    assert Mode.SHADOW is allowance(None, "main", "d" * 64, simulated=False).limit
    assert read(path) is None
    assert (Mode.MONITOR, path) == _of(path)
    path.write_text("{")
    assert (Mode.MONITOR, path) == _of(path)
    path.write_text(to_json(having(*Check)))
    assert (Mode.ADAPTIVE, path) == _of(path)
    assert Mode.MONITOR is allowance(path, "side", "d" * 64, simulated=True).limit
    assert Mode.MONITOR is allowance(path, "main", "e" * 64, simulated=True).limit


def _of(path: Path) -> tuple[Mode, Path | None]:
    found = allowance(path, "main", "d" * 64, simulated=True)
    return found.limit, found.record


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ({"a": ["a"], "b": ["b"]}, []),
        ({"a": [], "b": ["b"]}, ["a: a call there is not seen"]),
        ({"a": ["b"], "b": ["a"]}, ["a (phase 1) and b (phase 2) are swapped"]),
        (
            {"a": ["b"], "b": ["c"], "c": ["a"]},
            [f"{x} (phase {m}): a call there is seen at {y} (phase {n})" for x, m, y, n in ("a1b2", "b2c3", "c3a1")],
        ),
        ({"a": ["a", "c"]}, ["a: a call there cannot be told from one at c"]),
    ],
)
def test_mappings_that_are_swapped_are_named(heard: dict[str, list[str]], expected: list[str]) -> None:
    """A pair is told once, a ring of three one by one."""
    assert expected == list(mismatches(heard, {"a": "phase 1", "b": "phase 2", "c": "phase 3"}))


@pytest.mark.parametrize(
    ("instant", "now", "change"),
    [
        (datetime(2026, 10, 25, 0, 59, 59, tzinfo=UTC), "2026-10-25 02:59:59 CEST (UTC+0200), summer time", "2026-10-25 02:00 CET"),
        (datetime(2026, 10, 25, 1, 0, tzinfo=UTC), "2026-10-25 02:00:00 CET (UTC+0100), standard time", "2027-03-28 03:00 CEST"),
    ],
)
def test_a_zone_is_named_with_its_next_change_of_clocks(instant: datetime, now: str, change: str) -> None:
    """The hour that comes twice is told apart by its offset."""
    assert ("Europe/Berlin", now, change) == local_time(instant, "Europe/Berlin")
    assert not local_time(instant, "UTC").next_change


@pytest.mark.parametrize(
    ("stood", "said"), [(None, "still stands"), (69, "after 6.9 s"), (70, ""), (80, ""), (100, ""), (101, "only after 10.1 s")]
)
def test_a_request_is_forgotten_after_its_time_and_not_before(stood: int | None, said: str) -> None:
    """Whole seconds and the time between two looks are allowed for."""
    found = forgotten(80, stood)

    assert said in found
    assert bool(said) == bool(found)


def green(at: int, number: int, *, on: bool = True) -> Event:
    """Begin or end a green."""
    return Event(at, Code.BEGIN_GREEN if on else Code.GREEN_TERMINATION, number)


def decided(at: int, stage: str) -> Decision:
    """Write down what the policy would have done."""
    return Decision(at, "shadow", stage, f"granted {stage}", "")


def numbers(at: int) -> Sequence[int]:
    """List the phases and overlaps that are green in a stage."""
    green, groups = CONFIG.tables.green[at], CONFIG.tables.groups
    return [group.number for place, group in enumerate(groups) if green >> place & 1 and group.vehicle]


def test_a_journal_tells_how_long_and_how_far_it_agrees() -> None:
    """Decisions count while a stage is held; time without records, and what came before, does not."""
    begun = [green(1_100, number) for number in numbers(0)]
    records: list[Record] = [
        ModeChange(1_000, "off", "monitor", ""),
        *begun,
        ModeChange(1_300, "monitor", "shadow", ""),
        decided(1_310, FIRST.name),
        decided(1_320, SECOND.name),
        green(1_330, numbers(0)[0], on=False),
        decided(1_340, SECOND.name),
        ModeChange(9_000, "off", "shadow", ""),
        decided(9_100, FIRST.name),
    ]

    assert (300, 140, 2, 1, 0.5) == (*(seen := watched(records, CONFIG.tables)), seen.share)
    assert (0, 140, 2, 1) == watched(records, CONFIG.tables, 1_301)
    assert 0.0 == watched([], CONFIG.tables).share


def test_a_clock_that_steps_back_adds_no_time() -> None:
    """NTP may set the box's clock while the journal is written: no time is counted twice or below nothing."""
    records: list[Record] = [ModeChange(1_000, "off", "shadow", ""), green(1_100, 2), green(700, 2, on=False), green(750, 2)]

    assert 150 == watched(records, CONFIG.tables).shadow
