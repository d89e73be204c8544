"""`phasewise ctl`: what an operator asks the daemon that controls a cabinet, and what it answers.

It speaks to the daemon's local socket (`controller.control_socket`), so it needs no right but that of the socket's group, and neither
SUMO nor a trainer is loaded.
"""

import getpass
import json as json_
import os
import re
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from controller._errors import NoDaemonError, RejectedError
from controller.control_socket import (
    VERSION,
    AskEvents,
    AskExplanation,
    AskReload,
    AskStatus,
    ClearLockOut,
    Force,
    Kind,
    Limit,
    ReEnable,
    Request,
    Withdraw,
    to_line,
)
from controller.events import LIMITS, Flash, Free, Ordered, Place, Plan
from controller.explanation import in_words
from controller.journal import KINDS, NAMES, Decision, Event, Folder, Gap, ModeChange, Order, Reader, Record
from intersection.errors import ConfigError, RuntimeFault, UnknownNameError, UserError
from phasewise.console import err

LONGEST_ANSWER = 4 << 20
"""No answer is longer, in bytes."""

PATIENCE = 15.0
"""How long an answer may take, in seconds; a reload reads several files."""

UNITS = {"s": 10, "min": 600, "h": 36_000}
"""Of a duration, in tenths of a second."""


# ----- commands ------------------------------------------------------------------------------------------------------------------
def show_status(path: Path, *, cabinet: str | None, json: bool) -> None:
    """Show how one cabinet stands, or all of a corridor."""
    told = ask(path, AskStatus(cabinet=cabinet))
    _tell(told, json=json, lines=(line for each in told for line in status_lines(each)))


def limit_mode(path: Path, mode: str, *, cabinet: str | None, operator: str | None, reason: str, json: bool) -> None:
    """Cap the mode, or lift the cap."""
    limits = {limit.value: limit for limit in LIMITS}
    if mode not in limits:
        raise UnknownNameError("mode to cap at", mode, limits)
    _wish(path, Limit(cabinet=cabinet, mode=limits[mode], operator=_operator(operator), reason=reason), json=json)


def force(
    path: Path, what: str, pattern: int | None, *, cabinet: str | None, operator: str | None, reason: str, lasts: str | None, json: bool
) -> None:
    """Order a plan, free operation or flash."""
    given = _ordered(what, pattern)
    if lasts is None and not isinstance(given, Flash):
        raise ConfigError("such an order ends by itself", key="--for", allowed="for instance 90s, 30min or 2h")
    if lasts is not None and isinstance(given, Flash):
        raise ConfigError("flash does not end by itself", key="--for", value=lasts, allowed="nothing")
    after = None if lasts is None else duration("--for", lasts)
    _wish(path, Force(cabinet=cabinet, what=given, operator=_operator(operator), reason=reason, lasts=after), json=json)


def withdraw(path: Path, *, cabinet: str | None, operator: str | None, reason: str, json: bool) -> None:
    """End the order that stands."""
    _wish(path, Withdraw(cabinet=cabinet, operator=_operator(operator), reason=reason), json=json)


def re_enable(path: Path, *, cabinet: str | None, operator: str | None, reason: str, json: bool) -> None:
    """Give the street back after what was latched."""
    _wish(path, ReEnable(cabinet=cabinet, operator=_operator(operator), reason=reason), json=json)


def unlock(path: Path, *, cabinet: str | None, operator: str | None, at_cabinet: bool, json: bool) -> None:
    """Clear a technician's lock-out. Who comes over the network is not at the cabinet, whatever they say."""
    remote = any(os.environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY"))
    place = Place.AT_CABINET if at_cabinet and not remote else Place.REMOTE
    _wish(path, ClearLockOut(cabinet=cabinet, operator=_operator(operator), place=place), json=json)


def explain(path: Path, *, cabinet: str | None, json: bool) -> None:
    """Show why a cabinet stands where it stands, and what would raise its mode."""
    told = ask(path, AskExplanation(cabinet=cabinet))
    _tell(told, json=json, lines=told["text"].splitlines())


def reload(path: Path, *, json: bool) -> None:
    """Let the daemon read cabinet.toml anew."""
    told = ask(path, AskReload())
    _tell(told, json=json, lines=[told["reloaded"]])


def show_events(path: Path, *, cabinet: str | None, last: str, journal: Path | None, json: bool) -> None:
    """Show what happened lately: what the daemon has in memory, or all that is in a journal's folder."""
    since = round(time.time() * 10) - duration("--last", last)
    for record in _from_journal(journal, since) if journal is not None else _from_daemon(path, cabinet, since):
        if json:
            _print(json_.dumps([NAMES[type(record)], *record]))
        else:
            _print(record_line(record))


# ----- asking --------------------------------------------------------------------------------------------------------------------
def ask(path: Path, request: Request) -> Any:  # noqa: ANN401  # what JSON can hold
    """Ask the daemon, and give its answer.

    Raises:
        RejectedError: what was asked cannot be done; it says why.
        UserError: this user may not ask.
        NoDaemonError: nobody answers there, or not in words that can be understood.
        RuntimeFault: the daemon failed at it.
    """
    with _calling(path) as caller:
        caller.sendall(to_line(request))
        said = _line(caller)
    try:
        told = json_.loads(said)
        version, error = told["version"], told.get("error")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
        raise NoDaemonError(f"what listens at {path} is no daemon of ours") from cause
    if error is not None:
        raise RejectedError(error) if told.get("kind") == Kind.REJECTED.value else RuntimeFault(f"the daemon failed: {error}")
    if version != VERSION or "answer" not in told:
        raise NoDaemonError(f"the daemon at {path} is of another release")
    return told["answer"]


@contextmanager
def _calling(path: Path) -> Iterator[socket.socket]:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(PATIENCE)
            caller.connect(os.fspath(path))
            yield caller
    except PermissionError as error:
        raise UserError(f"you may not ask the daemon at {path}: its file mode and group say who may") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoDaemonError(f"no daemon listens at {path}; is the service running, and is this its socket?") from error
    except TimeoutError as error:
        raise NoDaemonError(f"the daemon at {path} does not answer") from error
    except OSError as error:
        raise NoDaemonError(f"cannot ask at {path}: {error.strerror or error}") from error


def _line(caller: socket.socket) -> bytes:
    said = b""
    while not said.endswith(b"\n"):
        more = caller.recv(1 << 16)
        if not more or len(said) > LONGEST_ANSWER:
            raise ConnectionAbortedError("it hung up")
        said += more
    return said


def _wish(path: Path, request: Request, *, json: bool) -> None:
    told = ask(path, request)
    _tell(told, json=json, lines=status_lines(told))


def _from_daemon(path: Path, cabinet: str | None, since: int) -> Iterator[Record]:
    shown = 0  # of the records at `since`, which come again with each further answer
    while True:
        told = ask(path, AskEvents(cabinet=cabinet, since=since))
        records = _records(told["records"])
        yield from records[shown:]
        if not told["more"] or records[-1].at == since:
            return
        since = records[-1].at
        shown = sum(record.at == since for record in records)


def _records(told: list[list[Any]]) -> list[Record]:
    try:
        return [KINDS[kind](*values) for kind, *values in told]
    except (KeyError, TypeError) as error:
        raise NoDaemonError("the daemon is of another release: its records cannot be read") from error


def _from_journal(folder: Path, since: int) -> Iterator[Record]:
    if not folder.is_dir():
        raise ConfigError("no such folder", key="--journal", value=str(folder), allowed="a cabinet's folder of .journal files")
    reader = Reader(Folder(folder))
    yield from reader.records(since)
    bad = reader.corrupt + reader.unreadable
    if bad:
        err.print(f"{bad} stretches of this journal cannot be read", style="yellow")


# ----- words ---------------------------------------------------------------------------------------------------------------------
def duration(key: str, text: str) -> int:
    """Read a duration such as 90s, 30min or 2h, in tenths of a second. Raises ConfigError."""
    found = re.fullmatch(r"(\d{1,6})\s*(s|min|h)", text)
    if found is None or not int(found[1]):
        raise ConfigError("not a duration", key=key, value=text, allowed="for instance 90s, 30min or 2h")
    return int(found[1]) * UNITS[found[2]]


def status_lines(told: Mapping[str, Any]) -> list[str]:
    """Write how a cabinet stands, as lines.

    Args:
        told: a `controller.control_socket.Status` as it came in JSON.
    """
    lines = [f"{told['cabinet']}: {told['mode'].upper()} for {in_words(told['lasted'])}"]
    rows = {
        "stage": _stage(told),
        "plan": {None: "", 0: "free"}.get(told["plan"], str(told["plan"])),
        "order": _order(told["order"]) if told["order"] else "",
        "cap": told["limit"] if told["limit"] != "adaptive" else "",
        "gate": told["verdict"],
        "detectors": f"failed: {', '.join(told['detectors_failed'])}" if told["detectors_failed"] else "",
        "link": _link(told),
        "journal": f"{told['journal_waiting']} records wait for the disk" if told["journal_waiting"] > 100 else "",
    }
    lines += [f"  {name:<10} {words}" for name, words in rows.items() if words]
    lines += [f"  {'fault':<10} {_fault(fault)}" for fault in told["faults"]]
    return lines


def _stage(told: Mapping[str, Any]) -> str:
    if told["going_to"] and told["going_to"] != told["stage"]:
        return f"{told['stage'] or '(in transition)'}, going to {told['going_to']}"
    return str(told["stage"])


def _order(order: Mapping[str, Any]) -> str:
    step = order["step"]
    if order["cycles_left"]:
        step += f", {order['cycles_left']} {'cycle' if order['cycles_left'] == 1 else 'cycles'} left"
    ends = "until it is withdrawn" if order["left"] is None else f"for {in_words(max(0, order['left']))} more"
    resumed = "; taken up again after a restart, the cabinet had released itself meanwhile" if order["resumed"] else ""
    return f"{order['what']}{f' ({step})' if step else ''}, {ends}, by {order['operator']}: {order['reason']}{resumed}"


def _fault(fault: Mapping[str, Any]) -> str:
    detail = f" ({fault['detail']})" if fault["detail"] else ""
    state = "seen for" if fault["present"] else "seen"
    latched = "; waits for a person" if fault["latched"] else ""
    return f"{fault['what'][:-1]}{detail}, {state} {in_words(max(0, fault['ago']))}{'' if fault['present'] else ' ago'}{latched}"


def _link(told: Mapping[str, Any]) -> str:
    words = [] if told["round_trip"] is None else [f"{told['round_trip'] * 1000:.0f} ms"]
    if told["backup_left"] is not None:
        words.append(f"the cabinet takes back in {in_words(told['backup_left'])} if we fall silent")
    return ", ".join(words)


def record_line(record: Record) -> str:
    """Write a record of the journal as a line."""
    instant = datetime.fromtimestamp(record.at / 10).astimezone()
    return f"{instant:%Y-%m-%d %H:%M:%S}.{record.at % 10}  {_record(record)}"


def _record(record: Record) -> str:
    match record:
        case Event(code=code, parameter=parameter):
            return f"event {code} ({parameter})"
        case Decision(policy=policy, proposal=proposal, verdict=verdict, reason=reason):
            return f"{policy} proposed {proposal}: {verdict}{reason and f' ({reason})'}"
        case ModeChange(before=before, after=after, reason=reason):
            return f"{before} -> {after}: {reason}"
        case Order(operator=operator, order=order, reason=reason, answer=answer):
            return f"{operator} ordered {order}: {reason}; {answer}"
        case Gap(lost=lost, cause=cause):
            return f"{lost} records were lost: {cause}"


def _ordered(what: str, pattern: int | None) -> Ordered:
    known: dict[str, Ordered] = {"free": Free(), "flash": Flash()}
    if what == "plan":
        if pattern is None:
            raise ConfigError("which plan?", key="PATTERN", allowed="a pattern's number: phasewise ctl force plan 3")
        return Plan(pattern)
    if what not in known:
        raise UnknownNameError("order", what, ["plan", *known])
    if pattern is not None:
        raise ConfigError("only a plan has a number", key="PATTERN", value=pattern, allowed="nothing")
    return known[what]


def _operator(given: str | None) -> str:
    if given is not None:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise ConfigError("who asks?", key="--operator", allowed="a name") from error


def _tell(told: object, *, json: bool, lines: Iterable[str]) -> None:
    if json:
        _print(json_.dumps(told))
    else:
        for line in lines:
            _print(line)


def _print(line: str) -> None:
    """Print a line as it is: what operators wrote is neither wrapped nor taken for markup."""
    sys.stdout.write(f"{line}\n")
