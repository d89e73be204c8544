import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller._errors import SettingsError
from controller.commissioning import Check, read, to_json
from controller.events import Mode
from controller.indiana import Code
from controller.journal import Decision, Event, Folder, Journal, ModeChange
from controller.service import locked
from controller.settings import load
from controller.ticker import TENTH
from field_adapters._base import Condition, Opened, Poll
from field_adapters.modbus_profile import Mode as Request
from field_adapters.simulated.host import Host, Stand
from field_adapters.simulated.orders import (
    DetectorFailure,
    FailDetector,
    Order,
    Police,
    RefuseRequests,
    SwapDetectors,
)
from field_adapters.virtual import VirtualAdapter, VirtualCabinet
from intersection.config import load as load_intersection
from intersection.detection import empty_readings
from intersection.errors import PhasewiseError, UserError
from intersection.phase import Tenths
from intersection.street import SyntheticStreet
from phasewise.__main__ import run
from phasewise.commissioning import Bench, ByOrders, Found, Walk, Wishes, compare_clocks, expire, hear, identify, see
from tests.phasewise.command_line import phasewise

DEPLOY = Path(__file__).parents[2] / "deploy"
CONFIG = load_intersection(DEPLOY / "main-and-first.toml")
LOOP_1, LOOP_2 = (detector.id for detector in CONFIG.detectors[:2])
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()

CABINET = """# the corner
version = 1
state_folder = "state"
[journal]
folder = "journal"

[[cabinet]]                 # the only one
name = "main"
intersection = "main-and-first.toml"   # from the sheet of 2026
approved = ""               # see the record
[cabinet.adapter]
kind = "virtual"
"""


class Time:
    """A clock by which no time passes but while somebody waits for it."""

    def __init__(self, passing: Callable[[Tenths], None] = lambda _: None) -> None:
        self.tenths, self._passing = 0, passing

    def now(self) -> int:
        """Read it."""
        return self.tenths * TENTH

    async def sleep_until(self, instant: int) -> None:
        """Let time pass."""
        self.tenths = max(self.tenths, instant // TENTH)
        self._passing(self.tenths)

    def wall(self) -> float:
        """Read the clock on the wall."""
        return NOON + self.tenths / 10


class Person:
    """A technician who answers by rote, and remembers what was asked."""

    name = "ann"

    def __init__(self, *, agrees: bool = True, sees: Callable[[str], str] = lambda _: "y") -> None:
        self.agrees, self.sees = agrees, sees
        self.asked: list[str] = []

    def confirm(self, question: str) -> bool:
        """Answer."""
        self.asked.append(question)
        return self.agrees

    def choose(self, question: str, among: Iterable[str]) -> str:
        """Answer."""
        self.asked.append(question)
        return self.sees(question)


class Corner:
    """A cabinet in memory on a street without traffic, at which orders make the calls."""

    def __init__(self) -> None:
        self.cabinet = VirtualCabinet(CONFIG, own_pattern=CONFIG.patterns[0].number)
        street = SyntheticStreet({0: empty_readings(CONFIG.detectors)})
        self.host = Host([Stand(name="main", config=CONFIG, street=street, cabinet=self.cabinet)])
        self.time = Time(self.host.advance)

    def order(self, order: Order) -> None:
        """Order something."""
        assert self.host.order("main", order) is None

    async def call(self, detector: str, words: str) -> None:
        """See `Caller`."""
        self.order(FailDetector(detector, DetectorFailure.STUCK))

    async def end(self, detector: str) -> None:
        """See `Caller`."""
        self.order(FailDetector(detector, DetectorFailure.DEAD))

    async def close(self) -> None:
        """See `Caller`."""

    def bench(self, folder: Path, adapter: VirtualAdapter | None = None) -> Bench:
        """Commission it."""
        [settings] = load(site(folder), approving=True).cabinets
        return Bench(settings, adapter or VirtualAdapter(self.cabinet, CONFIG), self.time, self.time.wall)


def site(folder: Path) -> Path:
    """Write a cabinet.toml whose timings nobody has approved, and give its path."""
    text = (DEPLOY / "main-and-first.toml").read_text().replace("approved = true", "approved = false  # draft")
    (folder / "main-and-first.toml").write_text(text)
    path = folder / "cabinet.toml"
    path.write_text(CABINET)
    path.chmod(0o640)
    return path


def walk(path: Path, person: Person | None = None, time: Time | None = None, *, yes: bool = False, only: Check | None = None) -> Walk:
    """Begin, or go on."""
    settings, clock = load(path, approving=True), time or Time()
    wishes = Wishes(operator="ann", yes=yes, only=only, monitor=100, shadow=100)
    return Walk(settings, settings.cabinets[0], wishes, technician=person, caller=None, clock=clock, wall=clock.wall)


# --- the steps -----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("swapped", "expected"),
    [(False, ()), (True, (f"{LOOP_2} (phase 4) and {LOOP_1} (phase 2) are swapped",))],
)
def test_swapped_detectors_are_named(swapped: bool, expected: tuple[str, ...], tmp_path: Path) -> None:
    """A call at each is made alone, and seen at the other."""
    corner = Corner()
    if swapped:
        corner.order(SwapDetectors(LOOP_1, LOOP_2))
    found = asyncio.run(hear(corner.bench(tmp_path), corner))

    assert (not swapped, expected) == (found.passed, found.findings)


def test_a_dead_detector_is_named(tmp_path: Path) -> None:
    """Nobody sees its call."""
    corner = Corner()

    async def nothing(detector: str, words: str) -> None:
        pass

    corner.call = nothing  # type: ignore[method-assign]  # a technician who stands at the wrong place
    found = asyncio.run(hear(corner.bench(tmp_path), corner))

    assert f"{LOOP_1}: a call there is not seen" in found.findings


def test_each_head_is_looked_at_while_it_is_green(tmp_path: Path) -> None:
    """Crossed heads are named as a pair; each is asked for once."""
    good, crossed = Person(), Person(sees=lambda question: "4" if "at 2 " in question else "2")
    fine, wrong = (asyncio.run(see(Corner().bench(tmp_path), person)) for person in (good, crossed))

    assert (True, ()) == fine[:2]
    assert 2 == len(good.asked)
    assert ("2 (Main Street) and 4 (First Avenue) are swapped",) == wrong.findings


async def expired(bench: Bench) -> Found:
    """Look at a cabinet, and let a request expire there."""
    return await expire(bench, (await bench.open()).backup)


def test_a_request_is_seen_to_expire(tmp_path: Path) -> None:
    """It is written once and forgotten after the watchdog's time; nothing is left at the cabinet."""
    corner = Corner()
    found = asyncio.run(expired(corner.bench(tmp_path)))

    assert (True, {"backup": 5.0, "stood": 5.0}) == (found.passed, found.values)


class Boasting(VirtualAdapter):
    """Tells of a longer or shorter time than the cabinet has, and of a clock."""

    left: Tenths = 50
    clock: float | None = None

    async def read(self, now: Tenths, deadline: float, *, detectors: bool) -> Poll:
        """See `FieldAdapter`."""
        poll = await super().read(now, deadline, detectors=detectors)
        assert isinstance(poll, Poll)
        return replace(poll, backup_left=self.left, clock=self.clock)


@pytest.mark.parametrize(("left", "said"), [(20, "still stands"), (90, "forgot a request after 5 s")])
def test_a_backup_time_that_is_not_kept_is_told(left: Tenths, said: str, tmp_path: Path) -> None:
    """Too late or too early; in the end all requests are zero."""
    corner = Corner()
    adapter = Boasting(corner.cabinet, CONFIG)
    adapter.left = left
    found = asyncio.run(expired(corner.bench(tmp_path, adapter)))

    assert not found.passed
    assert said in found.findings[0]
    assert corner.cabinet.look().mode is not Request.STAGE


@pytest.mark.parametrize(("order", "said"), [(RefuseRequests(True), "not taken"), (Police(True), "by hand")])
def test_nothing_is_written_where_something_stands_against_it(order: Order, said: str, tmp_path: Path) -> None:
    """What stands against it is told."""
    corner = Corner()
    corner.order(order)

    with pytest.raises(PhasewiseError, match=said):
        asyncio.run(expired(corner.bench(tmp_path)))


@pytest.mark.parametrize(("ahead", "passed"), [(0.0, True), (-2.0, True), (30.0, False), (-30.0, False)])
def test_a_clock_that_is_off_is_told(ahead: float, passed: bool, tmp_path: Path) -> None:
    """Above 2 s, beyond what whole seconds leave open; the zone and its next change are named."""
    corner = Corner()
    adapter = Boasting(corner.cabinet, CONFIG)
    adapter.clock = NOON + ahead
    found = asyncio.run(compare_clocks(corner.bench(tmp_path, adapter)))

    assert passed is found.passed
    assert {"zone", "local", "next_change", "offset", "uncertainty"} == found.values.keys()


def test_differences_are_listed_one_by_one() -> None:
    """What a survey strings together is told line by line."""
    opened = Opened(conditions={Condition.TIMINGS_DIFFER: "phaseMinimumGreen.1 is 5, here 7; phaseRing.2 is 2, here 1"}, identity="x")
    found = identify(opened, CONFIG)

    assert not found.passed
    assert ["phaseMinimumGreen.1 is 5, here 7", "phaseRing.2 is 2, here 1"] == [finding.partition(": ")[2] for finding in found.findings]


# --- the walk ------------------------------------------------------------------------------------------------------------------------
def test_without_a_technician_only_what_needs_nobody_is_done(tmp_path: Path) -> None:
    """The rest is left, and nothing is approved."""
    path = site(tmp_path)
    begun = walk(path)
    failed = asyncio.run(begun.run())
    record = read(begun.path)

    assert () == failed
    assert record is not None
    assert (Check.IDENTITY, Check.CLOCK) == tuple(check for check in Check if record.passed(check))
    assert CABINET == path.read_text()
    with pytest.raises(UserError, match="needs a technician"):
        asyncio.run(walk(path, only=Check.APPROVAL).run())


def test_an_approval_is_written_into_both_files_and_comments_are_kept(tmp_path: Path) -> None:
    """After it the daemon's own door opens, no further than MONITOR."""
    path = site(tmp_path)
    with pytest.raises(SettingsError, match="nobody has approved"):
        load(path)
    asyncio.run(walk(path, Person(sees=lambda _: "n")).run())
    [cabinet] = load(path).cabinets

    assert (
        re.sub(r'approved = "\w{64}"', 'approved = ""', path.read_text()).replace('commissioned = "main.commissioning.json"\n', "")
        == CABINET
    )
    assert "approved = true  # draft" in (tmp_path / "main-and-first.toml").read_text()
    assert 0o640 == path.stat().st_mode & 0o777
    assert Mode.MONITOR is cabinet.ladder.limit
    assert tmp_path / "main.commissioning.json" == cabinet.commissioned.record


def test_a_refused_approval_changes_nothing(tmp_path: Path) -> None:
    """Both files stay as they were."""
    path = site(tmp_path)
    before = {each: each.read_text() for each in tmp_path.iterdir()}
    failed = asyncio.run(walk(path, Person(agrees=False)).run())

    assert Check.APPROVAL in failed
    assert before == {each: each.read_text() for each in before}


def test_other_timings_begin_a_new_record(tmp_path: Path) -> None:
    """What was seen under others does not count."""
    path = site(tmp_path)
    asyncio.run(walk(path).run())
    timing = tmp_path / "main-and-first.toml"
    timing.write_text(timing.read_text().replace("min_green = 80", "min_green = 90"))

    assert tuple(Check) == walk(path).record.left()


def test_a_running_daemon_is_not_disturbed(tmp_path: Path) -> None:
    """What is done at the cabinet needs the daemon's lock."""
    path = site(tmp_path)
    with locked(tmp_path / "state", ["main"]):
        said = phasewise("commission", path, folder=tmp_path)

    assert 2 == said.code
    assert "another daemon controls main" in said.err


def test_all_steps_lead_to_adaptive(tmp_path: Path) -> None:
    """What the daemon wrote down in MONITOR and SHADOW is judged from its journal, and the record lifts the cap."""
    path = site(tmp_path)
    person = Person()
    begun = walk(path, person)
    asyncio.run(begun.run())
    for check in (Check.DETECTORS, Check.HEADS):  # a cabinet in memory alone stands on no street
        begun.record = begun.record.having(check, begun.record.outcomes[Check.IDENTITY])
    begun.path.write_text(to_json(begun.record))
    early = walk(path, person)
    assert () == asyncio.run(early.run())
    assert (Check.MONITOR, Check.SHADOW) == early.record.left()
    start = round(NOON * 10) + 600
    stage = CONFIG.stages[0].name
    with Journal(Folder(tmp_path / "journal" / "main")) as journal:
        journal.append(ModeChange(start, "off", "monitor", ""))
        journal.append(Event(start + 50, Code.BEGIN_GREEN, 2))
        journal.append(ModeChange(start + 150, "monitor", "shadow", ""))
        for at in range(10):
            journal.append(Decision(start + 160 + 10 * at, "shadow", stage, f"granted {stage}", ""))
    late = walk(path, person)
    failed = asyncio.run(late.run())
    [cabinet] = load(path).cabinets

    assert () == failed
    assert 1.0 == late.record.outcomes[Check.SHADOW].values["share"]
    assert "100% of 10 decisions" in person.asked[-1]
    assert (Mode.ADAPTIVE, "") == (cabinet.ladder.limit, cabinet.commissioned.why)


# --- the command ---------------------------------------------------------------------------------------------------------------------
def test_the_command_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, with the record and what it allows."""
    code = run(["commission", str(site(tmp_path)), "--json", "--step", "identity"])
    told = json.loads(capsys.readouterr().out)

    assert 0 == code
    assert ("monitor", "main", ["approval", "detectors", "heads", "clock", "backup", "monitor", "shadow"]) == (
        told["limit"],
        told["cabinet"],
        told["left"],
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--step", "clok"], "did you mean 'clock'"), (["--cabinet", "x"], "unknown cabinet"), (["--orders", "none.sock"], "no simulated")],
)
def test_what_cannot_be_is_told(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The user can mend it."""
    code = run(["commission", str(site(tmp_path)), *words])

    assert 2 == code
    assert said in capsys.readouterr().err


async def ordered(path: Path, answer: str, *calls: Callable[[ByOrders], Awaitable[None]]) -> list[str]:
    """Take orders at a socket while calls are made there, and give what was ordered."""
    taken: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append((await reader.readline()).decode().strip())
        writer.write(f"{answer}\n".encode())
        await writer.drain()
        writer.close()

    caller = ByOrders(path)
    async with await asyncio.start_unix_server(serve, path):
        for call in calls:
            await call(caller)
    return taken


def test_a_simulated_cabinet_makes_the_calls(tmp_path: Path) -> None:
    """All others are silent meanwhile, and in the end all work again."""
    calls = (lambda by: by.call("a", ""), lambda by: by.end("a"), lambda by: by.call("b", ""), lambda by: by.close())
    taken = asyncio.run(ordered(tmp_path / "s", "done", *calls))

    assert ["all dead", "a stuck", "a dead", "b stuck"] == [order.removeprefix("fail_detector ") for order in taken[:-1]]
    assert "mend_detector all" == taken[-1]


def test_an_order_that_is_not_done_is_told(tmp_path: Path) -> None:
    """In the cabinet's own words."""
    with pytest.raises(UserError, match="unknown detector"):
        asyncio.run(ordered(tmp_path / "s", "unknown detector", lambda by: by.call("a", "")))
