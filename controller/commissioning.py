"""The record of a commissioning: what was looked at, with what result, by whom; and up to which mode a cabinet may go by it.

    identity, approval, detectors, heads, clock, backup   -> MONITOR until all have passed
    monitor                                               -> SHADOW
    shadow                                                -> ADAPTIVE

Pure, but for `read`. `phasewise commission` does the steps. A record counts for the configuration with its digest and for no other.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from controller.events import Mode
from controller.indiana import Code
from controller.journal import Decision, Event, ModeChange, Record, Stamp
from intersection.errors import ConfigError
from intersection.phase import Tenths
from intersection.tables import Tables, bits

T = TypeVar("T")

VERSION = 1

LARGEST = 1 << 22
"""No record is larger, in bytes."""

SILENCE: Tenths = 600
"""A longer time without a record in the journal was not watched by anybody, in tenths of a second."""

EARLY: Tenths = 10
LATE: Tenths = 20
"""How much before and after its time a cabinet may forget a request: it counts whole seconds, and is read now and then."""


class Check(Enum):
    """A step of a commissioning, in their order."""

    IDENTITY = "identity"
    """It is the cabinet that is meant, and its timings are those of the configuration."""

    APPROVAL = "approval"
    """A person has compared them with the timing sheet, and approved."""

    DETECTORS = "detectors"
    """A call at each detector is seen there and nowhere else."""

    HEADS = "heads"
    """What is said to be green is green at the head."""

    CLOCK = "clock"
    """Its clock is that of the box."""

    BACKUP = "backup"
    """It forgets a request after its backup time."""

    MONITOR = "monitor"
    """It was watched for a while."""

    SHADOW = "shadow"
    """What the policy would have done was written down for a while."""


AT_CABINET = tuple(Check)[:6]
"""What is done at the cabinet, while no daemon runs."""


# ----- the record ----------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a step."""

    passed: bool
    at: str
    """When, in UTC (ISO 8601)."""

    operator: str
    findings: tuple[str, ...] = ()
    """What speaks against it, or is worth knowing."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """What was measured, as plain values for JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Commissioning:
    """The record of one cabinet."""

    cabinet: str
    digest: str
    """Of the configuration, as it is once it is approved."""

    identity: str = ""
    """What the cabinet says that it is; empty where its protocol says nothing."""

    outcomes: Mapping[Check, Outcome] = field(default_factory=dict)

    def passed(self, check: Check) -> bool:
        """Tell whether a step has been passed."""
        return check in self.outcomes and self.outcomes[check].passed

    def left(self) -> tuple[Check, ...]:
        """List what has not been passed, in order."""
        return tuple(check for check in Check if not self.passed(check))

    def having(self, check: Check, outcome: Outcome) -> "Commissioning":
        """Give the record with one more outcome; the last of a step counts."""
        return replace(self, outcomes={**self.outcomes, check: outcome})


def allowed(record: Commissioning) -> Mode:
    """Say up to which mode a cabinet may go."""
    left = record.left()
    if not left:
        return Mode.ADAPTIVE
    return Mode.SHADOW if left == (Check.SHADOW,) else Mode.MONITOR


def to_json(record: Commissioning) -> str:
    """Write a record for people and machines."""
    data = {
        "version": VERSION,
        "cabinet": record.cabinet,
        "digest": record.digest,
        "identity": record.identity,
        "steps": {
            check.value: {
                "passed": outcome.passed,
                "at": outcome.at,
                "operator": outcome.operator,
                "findings": list(outcome.findings),
                "values": dict(outcome.values),
            }
            for check in Check
            if (outcome := record.outcomes.get(check)) is not None
        },
    }
    return json.dumps(data, indent=2) + "\n"


def from_json(text: str, source: str) -> Commissioning:
    """Read a record. Steps and keys that this release does not know are passed over: they can only be of a later one.

    Raises:
        ConfigError: it is no record, or of a form that is not known.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"no record of a commissioning: {error}", source=source) from error
    if not isinstance(data, dict) or data.get("version") != VERSION:
        version = data.get("version") if isinstance(data, dict) else None
        raise ConfigError("a record of another form", source=source, key="version", value=version, allowed=str(VERSION))
    try:
        known = {check.value: check for check in Check}
        return Commissioning(
            cabinet=_of(str, data["cabinet"]),
            digest=_of(str, data["digest"]),
            identity=_of(str, data["identity"]),
            outcomes={known[name]: _outcome(_of(dict, step)) for name, step in _of(dict, data["steps"]).items() if name in known},
        )
    except (KeyError, TypeError) as error:
        raise ConfigError(f"no whole record of a commissioning: {error}", source=source) from error


def _outcome(data: dict[str, Any]) -> Outcome:
    return Outcome(
        passed=_of(bool, data["passed"]),
        at=_of(str, data["at"]),
        operator=_of(str, data["operator"]),
        findings=tuple(_of(str, finding) for finding in _of(list, data["findings"])),
        values=_of(dict, data["values"]),
    )


def _of(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def read(path: Path) -> Commissioning | None:
    """Read a record; None where there is none. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return from_json(file.read(LARGEST).decode("utf-8"), str(path))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the record of the commissioning cannot be read: {error}", source=str(path)) from error


# ----- what the daemon makes of it -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """Up to which mode a cabinet may go."""

    limit: Mode = Mode.ADAPTIVE
    why: str = ""
    """Why not further; empty where it may."""

    identity: str = ""
    """What the cabinet must say that it is; empty: anything."""

    record: Path | None = None
    """Where the record is, or is to be."""


def allowance(path: Path | None, cabinet: str, digest: str, *, simulated: bool) -> Allowance:
    """Say what a record, or its absence, allows. It is never a reason not to start.

    Args:
        path: of the record; None where the cabinet.toml names none.
        cabinet: the cabinet's name.
        digest: of its approved configuration.
        simulated: whether nothing but this machine can be moved by it.
    """
    if path is None:
        why = "cabinet.toml names no record of a commissioning"
        return Allowance() if simulated else Allowance(limit=Mode.SHADOW, why=why)
    not_yet = Allowance(limit=Mode.MONITOR, record=path)
    try:
        record = read(path)
    except ConfigError as error:
        return replace(not_yet, why=str(error))
    if record is None:
        return replace(not_yet, why=f"{path}: it has not been commissioned")
    if (record.cabinet, record.digest) != (cabinet, digest):
        return replace(not_yet, why=f"{path}: it is the record of another cabinet, or of other timings")
    left = ", ".join(check.value for check in record.left())
    why = f"{path}: what is left is {left}" if left else ""
    return Allowance(limit=allowed(record), why=why, identity=record.identity, record=path)


# ----- who is heard where --------------------------------------------------------------------------------------------------------
def mismatches(heard: Mapping[str, Collection[str]], calls: Mapping[str, str]) -> tuple[str, ...]:
    """Compare where calls were made with where they were seen: of detectors, or of heads.

    Args:
        heard: by the name of the place, the places at which it was seen.
        calls: what a call at each place calls, in words.
    """
    found: list[str] = []
    for place, seen in heard.items():
        others = sorted(set(seen) - {place})
        if not seen:
            found.append(f"{place}: a call there is not seen")
        elif place in seen:
            found += [f"{place}: a call there cannot be told from one at {', '.join(others)}"] if others else []
        elif len(others) == 1 and set(heard.get(others[0], ())) == {place}:
            if place < others[0]:
                found.append(f"{place} ({calls[place]}) and {others[0]} ({calls[others[0]]}) are swapped")
        else:
            found.append(f"{place} ({calls[place]}): a call there is seen at {', '.join(f'{other} ({calls[other]})' for other in others)}")
    return tuple(found)


# ----- clocks --------------------------------------------------------------------------------------------------------------------
class Local(NamedTuple):
    """The local time of a schedule."""

    zone: str
    now: str
    """With its offset to UTC, and whether that is summer time."""

    next_change: str
    """When its offset to UTC changes next; empty where it does not within a year."""


def local_time(instant: datetime, zone: str) -> Local:
    """Say what a zone's clocks show, and when they are changed next.

    Args:
        instant: an aware instant.
        zone: an IANA name.
    """
    here = ZoneInfo(zone)
    local = instant.astimezone(here)
    summer = "summer time" if local.dst() else "standard time"
    hour = instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = (hour + timedelta(hours=count) for count in range(1, 366 * 24))
    change = next((there for each in hours if (there := each.astimezone(here)).utcoffset() != local.utcoffset()), None)
    now = f"{local:%Y-%m-%d %H:%M:%S} {local:%Z} (UTC{local:%z}), {summer}"
    return Local(zone, now, f"{change:%Y-%m-%d %H:%M %Z}" if change else "")


# ----- backup time ---------------------------------------------------------------------------------------------------------------
def forgotten(expected: Tenths, stood: Tenths | None) -> str:
    """Say what is wrong with how long a request stood that nobody renewed, or "".

    Args:
        expected: the backup or watchdog time, in tenths of a second.
        stood: how long it stood; None where it stands still.
    """
    if stood is None:
        return f"a request that nobody renews still stands {LATE / 10:g} s after the cabinet's time of {expected / 10:g} s"
    if stood < expected - EARLY:
        return f"the cabinet forgot a request after {stood / 10:g} s, and says that it keeps it for {expected / 10:g} s"
    if stood > expected + LATE:
        return f"the cabinet forgot a request only after {stood / 10:g} s, and says that it keeps it for {expected / 10:g} s"
    return ""


# ----- watching ------------------------------------------------------------------------------------------------------------------
class Watched(NamedTuple):
    """What a journal tells."""

    monitor: Tenths
    shadow: Tenths
    """For how long the cabinet was in each mode, in tenths of a second."""

    decisions: int
    """What the policy would have done while the cabinet held a stage."""

    agreed: int
    """How many of these were for the stage that it held."""

    @property
    def share(self) -> float:
        """The share of decisions that agree; 0 where there is none."""
        return self.agreed / self.decisions if self.decisions else 0.0


def watched(records: Iterable[Record], tables: Tables, since: Stamp = 0) -> Watched:
    """Add up what a journal tells since an instant. Which phases are green is known from their first events on.

    Args:
        records: in the order in which they were written.
        tables: the compiled configuration.
        since: tenths of a second since 1970 in UTC.
    """
    vehicles = {group.number for group in tables.groups if group.vehicle}
    greens = {
        stage.name: frozenset(tables.groups[at].number for at in bits(green) if tables.groups[at].vehicle)
        for stage, green in zip(tables.stages, tables.green, strict=True)
    }
    spent = {mode.value: 0 for mode in Mode}
    mode, last, lit = "", 0, set[int]()
    decisions = agreed = 0
    for record in records:
        passed = record.at - last
        last = record.at
        if passed > SILENCE:
            lit.clear()
        elif mode in spent and passed > 0 and record.at >= since:
            spent[mode] += passed
        match record:
            case ModeChange(after=after):
                mode = after
            case Event(code=Code.BEGIN_GREEN | Code.OVERLAP_BEGIN_GREEN, parameter=number) if number in vehicles:
                lit.add(number)
            case Event(code=Code.GREEN_TERMINATION | Code.OVERLAP_BEGIN_YELLOW, parameter=number):
                lit.discard(number)
            case Decision(policy="shadow", verdict=verdict) if record.at >= since:
                stage = verdict.partition(" ")[2]
                if stage in greens and lit in greens.values():
                    decisions, agreed = decisions + 1, agreed + (greens[stage] == lit)
            case _:
                pass
    return Watched(spent[Mode.MONITOR.value], spent[Mode.SHADOW.value], decisions, agreed)
