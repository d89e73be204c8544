"""`phasewise commission`: walks a technician through what must be seen at a cabinet before a policy may move its street.

Each step's result stands in the record at once, so that it can be gone on with another day. Without a terminal it does what needs nobody,
and says what is left. `controller.commissioning` says what a record allows; docs/cabinet.md is the manual.
"""

import asyncio
import getpass
import json as json_
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rich.table import Table

from controller.adapters import adapter_of
from controller.commissioning import (
    AT_CABINET,
    LATE,
    Check,
    Commissioning,
    Outcome,
    allowed,
    forgotten,
    local_time,
    mismatches,
    read,
    to_json,
    watched,
)
from controller.detectors import Watch
from controller.journal import Folder, Reader
from controller.service import locked
from controller.settings import CabinetSettings, Ntcip, Settings, load
from controller.ticker import TENTH, Clock, SystemClock, clock_offset
from controller.view import Observer, View
from envs.files import replacing, write_atomically
from field_adapters._base import Applied, Failed, FieldAdapter, GoTo, Opened, Poll, Released, RunFree, Wanted
from field_adapters.snmp_manager import SnmpManager
from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind
from intersection.errors import ConfigError, RuntimeFault, UnknownNameError, UserError
from intersection.phase import Tenths
from intersection.sensed import LOOPS
from intersection.shield import Granted, Proposal, review
from intersection.state import NO_STAGE, Display, IntersectionState
from intersection.tables import bits
from models.bundle import digest
from phasewise.console import err, out
from phasewise.editing import with_value

PACE: Tenths = 2
"""From one look at the cabinet to the next, in tenths of a second."""

SENSING: Tenths = 10
"""From one look at the detectors to the next, in tenths of a second; no cabinet's unit needs longer to tell of them."""

ANSWER = 2.0
"""How long an answer may take, in seconds; nothing is moved meanwhile."""

TRIES = 3
"""How often a look, or a call that cannot be told from another, is tried."""

GREEN_WITHIN: Tenths = 3_000
"""Within what time each head is green once, by the cabinet's own plan, in tenths of a second."""

STEADY_WITHIN: Tenths = 1_200
"""Within what time the cabinet holds a stage that may be held on, in tenths of a second."""


# ----- who helps -----------------------------------------------------------------------------------------------------------------
class Technician(Protocol):
    """Who stands at the cabinet."""

    name: str

    def confirm(self, question: str) -> bool:
        """Answer yes or no."""
        ...

    def choose(self, question: str, among: Iterable[str]) -> str:
        """Answer with one of several words."""
        ...


class Caller(Protocol):
    """Who makes calls at detectors, one at a time."""

    async def call(self, detector: str, words: str) -> None:
        """Make a call that lasts, or say to whom it falls that it is made."""
        ...

    async def end(self, detector: str) -> None:
        """End it."""
        ...

    async def close(self) -> None:
        """Leave all as it was."""
        ...


@dataclass
class AtTerminal:
    """A technician at the terminal, who also makes the calls."""

    name: str

    def confirm(self, question: str) -> bool:
        """Ask until it is answered."""
        return self.choose(question, ("y", "n")) == "y"

    def choose(self, question: str, among: Iterable[str]) -> str:
        """Ask until it is answered."""
        words = tuple(among)
        while True:
            err.print(f"{question} [{'/'.join(words)}] ", end="", markup=False, soft_wrap=True)
            answer = sys.stdin.readline()
            if not answer:
                raise UserError("nobody answers; what was done stands in the record")
            if answer.strip() in words:
                return answer.strip()

    async def call(self, detector: str, words: str) -> None:
        """Ask for it."""
        while not self.confirm(f"Make a call at {detector} ({words}) and at no other, and hold it. Is it made?"):
            pass

    async def end(self, detector: str) -> None:
        """Say so."""
        err.print(f"{detector}: end the call", markup=False, soft_wrap=True)

    async def close(self) -> None:
        """Do nothing: what a person has plugged in, a person takes out."""


class ByOrders:
    """A simulated cabinet's detectors, which fail as they are told (`phasewise cabinet --orders SOCKET`). In the end all work again."""

    def __init__(self, path: Path) -> None:
        self._path, self._quiet = path, False

    async def call(self, detector: str, words: str) -> None:
        """Let it stick, and all others be silent."""
        if not self._quiet:
            await self._order("fail_detector all dead")
            self._quiet = True
        await self._order(f"fail_detector {detector} stuck")

    async def end(self, detector: str) -> None:
        """Let it be silent."""
        await self._order(f"fail_detector {detector} dead")

    async def close(self) -> None:
        """Let all work again."""
        if self._quiet:
            await self._order("mend_detector all")

    async def _order(self, order: str) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise UserError(f"no simulated cabinet takes orders at {self._path} ({error.strerror})") from error
        try:
            writer.write(f"{order}\n".encode())
            await writer.drain()
            answer = (await reader.readline()).decode(errors="replace").strip()
        finally:
            writer.close()
            await writer.wait_closed()
        if answer != "done":
            raise UserError(f"the simulated cabinet does not do it: {answer}")


# ----- the cabinet ---------------------------------------------------------------------------------------------------------------
class Bench:
    """One cabinet while it is commissioned. It is only looked at, but for the one request of the backup time."""

    def __init__(self, cabinet: CabinetSettings, adapter: FieldAdapter, clock: Clock, wall: Callable[[], float]) -> None:
        self.cabinet, self.config, self.adapter = cabinet, cabinet.config, adapter
        self.wall = wall
        self._clock = clock
        self._observer = Observer(
            cabinet.config, Watch(detectors=cabinet.config.detectors, groups=cabinet.config.tables.index, limits=cabinet.detectors)
        )
        self._view = View()
        self._why = ""

    @property
    def now(self) -> Tenths:
        """The steady clock, in tenths of a second."""
        return self._clock.now() // TENTH

    @property
    def state(self) -> IntersectionState | None:
        """The signal at the last look."""
        return self._view.state

    async def pause(self, tenths: Tenths = PACE) -> None:
        """Let time pass."""
        await self._clock.sleep_until((self.now + tenths) * TENTH)

    async def open(self) -> Opened:
        """Look at it for the first time. Raises RuntimeFault where it says nothing."""
        for _ in range(TRIES):
            opened = await self.adapter.open(self.now, _deadline())
            if isinstance(opened, Opened):
                return opened
            self._why = opened.detail or opened.trouble.value
            await self.pause()
        raise RuntimeFault(f"{self.cabinet.name} cannot be looked at: {self._why}")

    async def look(self, *, detectors: bool = False) -> Poll:
        """Read it. Raises RuntimeFault where it says nothing."""
        for _ in range(TRIES):
            poll = await self.adapter.read(self.now, _deadline(), detectors=detectors)
            if isinstance(poll, Poll):
                self._view = self._observer.look(self._view, poll, NO_STAGE)
                return poll
            self._why = poll.detail or poll.trouble.value
            await self.pause()
        raise RuntimeFault(f"{self.cabinet.name} cannot be read: {self._why}")

    async def heard(self) -> frozenset[str]:
        """Wait for the next readings, and name the detectors that see something."""
        await self.pause(SENSING)
        until = self.now + 100
        while self.now < until:
            poll = await self.look(detectors=True)
            if poll.readings is not None:
                seen = (poll.readings.values[Channel.COUNT] > 0) | (poll.readings.values[Channel.OCCUPANCY] > 0)
                return frozenset(detector.id for detector, one in zip(self.config.detectors, seen, strict=True) if one)
            await self.pause()
        raise RuntimeFault(f"{self.cabinet.name} says nothing of its detectors")

    async def ask(self, wanted: Wanted, state: IntersectionState) -> None:
        """Ask for something once. Raises RuntimeFault where nothing came of it."""
        applied = await self.adapter.apply(wanted, state, self.now, _deadline())
        if not isinstance(applied, Applied):
            why = f"{applied.trouble.value} {applied.detail}" if isinstance(applied, Failed) else applied.reason
            raise RuntimeFault(f"the request was not taken: {why}")

    async def let_go(self) -> bool:
        """Zero every request, and tell whether that was read back."""
        for _ in range(TRIES):
            if isinstance(await self.adapter.release(self.now, _deadline()), Released):
                return True
            await self.pause()
        return False


def _deadline() -> float:
    return asyncio.get_running_loop().time() + ANSWER


class Found(NamedTuple):
    """What came of a step."""

    passed: bool
    findings: tuple[str, ...] = ()
    values: Mapping[str, Any] = {}
    waits: bool = False
    """Whether nothing is wrong, and only time has to pass."""


def identify(opened: Opened, config: IntersectionConfig) -> Found:
    """Compare the cabinet with the configuration: what its database says, value by value, as far as its protocol tells."""
    found = tuple(
        f"{condition.value}: {detail}" if detail else condition.value
        for condition, details in opened.conditions.items()
        for detail in details.split("; ")
    )
    return Found(not found, found, {"identity": opened.identity, "notes": list(opened.notes), "timings": timings(config)})


def timings(config: IntersectionConfig) -> list[dict[str, Any]]:
    """List the times of each phase and overlap, in seconds."""
    return [
        {
            "number": group.number,
            "name": group.name,
            "min_green": group.min_green / 10,
            "max_green": group.max_green / 10,
            "yellow_change": group.yellow / 10,
            "red_clearance": group.red / 10,
            "walk": group.walk / 10,
            "ped_clearance": (group.pedestrian_time - group.walk) / 10,
        }
        for group in config.tables.groups
    ]


async def hear(bench: Bench, caller: Caller) -> Found:
    """Make a call at each loop and button, one at a time, and compare where it was seen.

    Traffic calls too. What saw something before the call is not meant; what sees something by chance does not do so each time.
    """
    calls = {
        detector.id: "phase " + ", ".join(map(str, detector.phases))
        for detector in bench.config.detectors
        if detector.kind in LOOPS or detector.kind is DetectorKind.PUSH_BUTTON
    }
    heard: dict[str, list[str]] = {}
    try:
        for detector, words in calls.items():
            among: frozenset[str] | None = None
            for _ in range(TRIES):
                before = await bench.heard()
                await caller.call(detector, words)
                seen: frozenset[str] = frozenset()
                for _ in range(TRIES):
                    seen |= await bench.heard() - before
                await caller.end(detector)
                await bench.heard()  # what is only partly covered by the next readings is over
                among = seen if not among else among & seen or among
                if len(among) == 1:
                    break
            heard[detector] = sorted(among or ())
    finally:
        await caller.close()
    against = mismatches(heard, calls)
    return Found(not against, against, {"heard": heard})


async def see(bench: Bench, technician: Technician) -> Found:
    """Have each head looked at while it is said to be green, or to show WALK."""
    groups = bench.config.tables.groups
    names = {at: str(group.number) for at, group in enumerate(groups) if group.vehicle} | {
        at: f"{groups[at].number} WALK" for at in bits(bench.config.tables.pedestrians)
    }
    calls = {names[at]: groups[at].name for at in names}
    heard: dict[str, list[str]] = {}
    until = bench.now + GREEN_WITHIN
    while len(heard) < len(names) and bench.now < until:
        report = (await bench.look()).report
        for at, name in names.items():
            is_shown = (report.greens if groups[at].vehicle else report.walks) >> at & 1
            if name in heard or not is_shown:
                continue
            answer = technician.choose(
                f"The cabinet says green at {name} ({groups[at].name}). Which head is green: this one (y), none (n), or number",
                ("y", "n", *calls),
            )
            report = (await bench.look()).report
            if (report.greens if groups[at].vehicle else report.walks) >> at & 1:  # else it has changed under the technician's eyes
                heard[name] = [name] if answer == "y" else [] if answer == "n" else [answer]
        await bench.pause()
    missing = tuple(
        f"{name} ({calls[name]}) was not green within {GREEN_WITHIN / 600:g} min" for name in names.values() if name not in heard
    )
    against = mismatches(heard, calls) + missing
    return Found(not against, against, {"heads": heard})


async def compare_clocks(bench: Bench) -> Found:
    """Compare the cabinet's clock with the box's, and name zone and summer time."""
    local = local_time(datetime.fromtimestamp(bench.wall(), UTC), bench.cabinet.fixed_time.time_zone)
    values: dict[str, Any] = {"zone": local.zone, "local": local.now, "next_change": local.next_change}
    best = None
    for _ in range(TRIES):
        asked = bench.wall()
        poll = await bench.look(detectors=True)
        if poll.clock is None:
            return Found(True, ("the cabinet does not tell its clock: compare it by eye",), values)
        offset = clock_offset(cabinet=poll.clock, asked=asked, answered=bench.wall())
        best = offset if best is None or offset.uncertainty < best.uncertainty else best
        await bench.pause()
    if best is None:
        raise RuntimeFault("the clock was not read")
    values |= {"offset": round(best.seconds, 2), "uncertainty": round(best.uncertainty, 2)}
    found = (f"the cabinet's clock is {best.seconds:+.1f} s ahead of the box's; allowed are 2 s",) if best.alarm else ()
    return Found(not best.alarm, found, values)


async def expire(bench: Bench, backup: Tenths | None) -> Found:
    """Write a harmless request once, renew it never, and see how long it stands: free operation, or to hold the stage that is on."""
    await _settle(bench)
    try:
        wanted, state = await _harmless(bench)
        before = bench.now
        await bench.ask(wanted, state)
        poll = await bench.look()
        expected = poll.backup_left if poll.backup_left is not None else backup
        if not poll.requests or not expected:
            return Found(False, ("the cabinet does not say that the request stands, or for how long",))
        stood: Tenths | None = None
        while bench.now - before <= expected + LATE + PACE:
            await bench.pause()
            poll = await bench.look()
            if not poll.requests:
                stood = bench.now - before
                break
    finally:
        zeroed = await bench.let_go()
    against = forgotten(expected, stood)
    findings = (*((against,) if against else ()), *(() if zeroed else ("what was written could not be zeroed: look at the cabinet",)))
    return Found(not findings, findings, {"backup": expected / 10, "stood": None if stood is None else stood / 10})


async def _settle(bench: Bench) -> None:
    """Wait until nothing stands against a request, and nothing is asked by another. Raises UserError."""
    poll = await bench.look()
    if poll.conditions or poll.requests or poll.report.display is not Display.NORMAL:
        why = ", ".join(condition.value for condition in poll.conditions) or "it holds a request, or shows no normal display"
        raise UserError(f"nothing is asked of {bench.cabinet.name} now: {why}")


async def _harmless(bench: Bench) -> tuple[Wanted, IntersectionState]:
    """Find a request by which no lamp changes before it would have changed by itself, bounded by the cabinet's own times."""
    until = bench.now + STEADY_WITHIN
    while bench.now < until:
        await bench.look()
        state = bench.state
        if state is not None and state.target == NO_STAGE and state.stage != NO_STAGE:
            if isinstance(bench.cabinet.adapter, Ntcip):
                return RunFree(bench.now), state
            verdict = review(Proposal(stage=state.stage), state, bench.config.tables)
            if isinstance(verdict, Granted):
                return GoTo(verdict.command, bench.now), state
        await bench.pause()
    raise UserError(f"{bench.cabinet.name} held no stage within {STEADY_WITHIN / 10:g} s")


# ----- the walk ------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How to go about it."""

    operator: str
    only: Check | None = None
    yes: bool = False
    monitor: Tenths = 6_000
    shadow: Tenths = 36_000
    """For how long it is watched in each mode, in tenths of a second."""


class Walk:
    """The commissioning of one cabinet."""

    def __init__(
        self,
        settings: Settings,
        cabinet: CabinetSettings,
        wishes: Wishes,
        *,
        technician: Technician | None,
        caller: Caller | None,
        clock: Clock | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Read the record, or begin one.

        Args:
            settings: a whole cabinet.toml.
            cabinet: one of its cabinets.
            wishes: how to go about it.
            technician: who answers; None where nobody is there.
            caller: who makes calls; None where nobody does.
            clock: the clock that never steps; the computer's by default.
            wall: the clock on the wall, in seconds since 1970 UTC.

        Raises:
            ConfigError: the record cannot be read.
        """
        self.settings, self.wishes = settings, wishes
        self.cabinet = replace(cabinet, commissioned=replace(cabinet.commissioned, identity=""))
        self.technician, self.caller = technician, caller
        self.digest = digest(replace(cabinet.config, approved=True))
        self.path = cabinet.commissioned.record or settings.source.parent / f"{cabinet.name}.commissioning.json"
        self._clock, self._wall = clock or SystemClock(), wall
        fresh = Commissioning(cabinet=cabinet.name, digest=self.digest)
        known = read(self.path)
        if known is not None and known.cabinet != cabinet.name:
            raise ConfigError("this is the record of another cabinet", source=str(self.path), key="cabinet", value=known.cabinet)
        self.record = fresh if known is None or known.digest != self.digest else known
        if known is not None and known.digest != self.digest:
            _say("these are other timings than the record's: everything is done anew")

    def due(self) -> tuple[Check, ...]:
        """List what is to be done: what was asked for, or all that is left and can be done by whoever is there."""
        if self.wishes.only is not None:
            return (self.wishes.only,)
        return tuple(check for check in self.record.left() if self._can_now(check))

    def can(self, check: Check) -> bool:
        """Tell whether those are there whom a step needs."""
        match check:
            case Check.APPROVAL | Check.HEADS:
                return self.technician is not None
            case Check.DETECTORS:
                return self.caller is not None
            case Check.BACKUP | Check.SHADOW:
                return self.technician is not None or self.wishes.yes
            case _:
                return True

    def _can_now(self, check: Check) -> bool:
        return self.can(check) and (check in AT_CABINET or self.record.passed(Check.APPROVAL))

    async def run(self) -> tuple[Check, ...]:
        """Do what is due; give the steps that failed.

        Raises:
            AlreadyRunningError: a daemon runs; what is done at the cabinet needs it to be stopped.
            UserError: a step needs somebody who is not there, or another step before it.
            RuntimeFault: the cabinet says nothing.
        """
        due = self.due()
        for check in due:
            if not self.can(check):
                raise UserError(f"{check.value} needs a technician: run it at a terminal")
        failed = []
        if any(check in AT_CABINET for check in due):
            with locked(self.settings.state_folder, [self.cabinet.name]):
                failed += await self._at_cabinet([check for check in due if check in AT_CABINET])
        failed += [check for check in due if check not in AT_CABINET and not self._note(check, self._by_journal(check))]
        return tuple(failed)

    async def _at_cabinet(self, due: list[Check]) -> list[Check]:
        async with SnmpManager() as snmp:
            adapter = await adapter_of(self.cabinet, snmp, self._clock.now() // TENTH)
            try:
                bench = Bench(self.cabinet, adapter, self._clock, self._wall)
                opened = await bench.open()
                if self.record.identity != opened.identity and self.record.outcomes:
                    _say(f"this is {opened.identity!r}, and the record is of {self.record.identity!r}: everything is done anew")
                    self.record = Commissioning(cabinet=self.cabinet.name, digest=self.digest)
                    due = [check for check in AT_CABINET if self.can(check)]
                self.record = replace(self.record, identity=opened.identity)
                return [check for check in due if not self._note(check, await self._do(check, bench, opened))]
            finally:
                adapter.close()

    async def _do(self, check: Check, bench: Bench, opened: Opened) -> Found:
        if check is Check.IDENTITY:
            return identify(opened, bench.config)
        if not self.record.passed(Check.IDENTITY):
            return Found(False, ("the cabinet is not known to be the one that is meant: identity comes first",))
        match check:
            case Check.APPROVAL if self.technician is not None:
                return self._approve(self.technician)
            case Check.DETECTORS if self.caller is not None:
                return await hear(bench, self.caller)
            case Check.HEADS if self.technician is not None:
                return await see(bench, self.technician)
            case Check.BACKUP:
                question = "A harmless request is written once and left to expire. May it be?"
                if not self.wishes.yes and self.technician is not None and not self.technician.confirm(question):
                    return Found(False, ("it was not wanted",))
                return await expire(bench, opened.backup)
            case _:
                return await compare_clocks(bench)

    def _approve(self, technician: Technician) -> Found:
        """Show the times, and where a person approves them, write that into both files."""
        listed = timings(self.cabinet.config)
        table = Table(*(key.replace("_", " ") for key in listed[0]), title=f"{self.cabinet.config.name}: times in seconds")
        for row in listed:
            table.add_row(*map(str, row.values()))
        err.print(table)
        question = (
            f"Are these, and the conflicts in {self.cabinet.config_path}, those of the approved timing sheet, and do you approve them?"
        )
        if not technician.confirm(question):
            return Found(False, ("the timings were not approved",))
        approve(self.settings.source, self.cabinet, self.digest, self.path)
        return Found(True, (), {"digest": self.digest, "timings": listed})

    def _by_journal(self, check: Check) -> Found:
        """Judge what a daemon has written down since the timings were approved."""
        approval = self.record.outcomes.get(Check.APPROVAL)
        if approval is None or not approval.passed:
            return Found(False, ("the timings are not approved",))
        since = round(datetime.fromisoformat(approval.at).timestamp() * 10)
        reader = Reader(Folder(self.settings.journal.folder / self.cabinet.name))
        seen = watched(reader.records(since=since), self.cabinet.config.tables, since)
        values = {
            "monitor": seen.monitor / 10,
            "shadow": seen.shadow / 10,
            "decisions": seen.decisions,
            "agreed": seen.agreed,
            "share": round(seen.share, 3),
            "unknown": reader.unknown,
        }
        spent, wanted = (seen.monitor, self.wishes.monitor) if check is Check.MONITOR else (seen.shadow, self.wishes.shadow)
        if spent < wanted:
            told = f"{spent / 600:.1f} of {wanted / 600:g} min in {check.value.upper()}; run the daemon, and come back"
            return Found(False, (told,), values, waits=True)
        if check is Check.SHADOW:
            if not seen.decisions:
                return Found(False, ("no policy has decided: it has no bundle, or sees nothing",), values)
            told = f"The policy would have held what the cabinet held in {seen.share:.0%} of {seen.decisions} decisions"
            if not self.wishes.yes and self.technician is not None and not self.technician.confirm(f"{told}. May it go on to ADAPTIVE?"):
                return Found(False, ("it was not wanted",), values)
        return Found(True, (), values)

    def _note(self, check: Check, found: Found) -> bool:
        """Write a result down at once, and tell it; give False where something is wrong."""
        outcome = Outcome(
            passed=found.passed,
            at=datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="seconds"),
            operator=self.wishes.operator,
            findings=found.findings,
            values=found.values,
        )
        self.record = self.record.having(check, outcome)
        write_atomically(self.path, to_json(self.record).encode())
        _say(f"{check.value}: {'passed' if found.passed else 'not yet' if found.waits else 'NOT PASSED'}", *found.findings)
        return found.passed or found.waits


def approve(source: Path, cabinet: CabinetSettings, approved: str, record: Path) -> None:
    """Write an approval: the intersection.toml first, so that whatever breaks off in between leaves what no daemon runs by.

    Raises:
        ConfigError: one of the files is written in a way in which it must be edited by hand; then neither has changed.
        UserError: one of them cannot be written.
    """
    timing = cabinet.config_path
    with_timing = with_value(_text(timing), "approved", value=True, source=str(timing))
    text = _text(source)
    at = [each.name for each in load(source, approving=True).cabinets].index(cabinet.name)
    with_digest = with_value(text, "approved", approved, item=("cabinet", at), source=str(source))
    if cabinet.commissioned.record is None:
        place = os.path.relpath(record, source.parent)
        with_digest = with_value(with_digest, "commissioned", place, item=("cabinet", at), source=str(source))
    _replace(timing, with_timing)
    _replace(source, with_digest)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", source=str(path)) from error


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, and leave its mode and its group as they were."""
    status = path.stat()
    with replacing(path) as file:
        file.write(text.encode())
    path.chmod(status.st_mode & 0o7777)
    with suppress(PermissionError):
        os.chown(path, status.st_uid, status.st_gid)


def _say(*lines: str) -> None:
    for at, line in enumerate(lines):
        err.print(("  " if at else "") + line, markup=False, soft_wrap=True)


# ----- the command ---------------------------------------------------------------------------------------------------------------
def commission(
    path: Path,
    *,
    cabinet: str | None,
    step: str,
    yes: bool,
    orders: Path | None,
    operator: str | None,
    monitor: float,
    shadow: float,
    json: bool,
) -> int:
    """Commission a cabinet, as far as those who are there can.

    Returns:
        The exit code: 0 where nothing that was done has failed, else 2.

    Raises:
        UserError: a file is wrong, a daemon runs, or somebody is needed who is not there.
        RuntimeFault: the cabinet says nothing.
    """
    known = {check.value: check for check in Check}
    if step and step not in known:
        raise UnknownNameError("step", step, known)
    settings = load(path, approving=True)
    names = [each.name for each in settings.cabinets]
    if cabinet is None and len(names) > 1:
        raise ConfigError("which one", key="--cabinet", allowed=", ".join(names))
    if cabinet is not None and cabinet not in names:
        raise UnknownNameError("cabinet", cabinet, names)
    one = settings.cabinets[0 if cabinet is None else names.index(cabinet)]
    name = operator or getpass.getuser()
    wishes = Wishes(operator=name, only=known[step] if step else None, yes=yes, monitor=round(monitor * 600), shadow=round(shadow * 600))
    terminal = AtTerminal(name) if sys.stdin.isatty() else None
    walk = Walk(settings, one, wishes, technician=terminal, caller=ByOrders(orders) if orders is not None else terminal)
    failed = asyncio.run(walk.run())
    _tell(walk, json=json)
    return 2 if failed else 0


def _tell(walk: Walk, *, json: bool) -> None:
    left, limit = [check.value for check in walk.record.left()], allowed(walk.record)
    if json:
        told = {"record": str(walk.path), "limit": limit.value, "left": left, **json_.loads(to_json(walk.record))}
        sys.stdout.write(json_.dumps(told) + "\n")
        return
    out.print(
        f"{walk.path}: {limit.value.upper()} is allowed" + (f"; left: {', '.join(left)}" if left else ""), markup=False, soft_wrap=True
    )
