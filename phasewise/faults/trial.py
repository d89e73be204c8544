"""One cell of the matrix: a fault at a cabinet of one protocol, from a sound beginning to its end, and what was measured."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from zlib import crc32

from controller import journal
from controller.detectors import Limits
from controller.events import Fault, Mode
from controller.mode import LadderSettings
from intersection import machine
from intersection.errors import RuntimeFault
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import FixedTime
from intersection.state import NEVER, NO_STAGE, Display, IntersectionState, Interval
from intersection.tables import Tables, bits
from phasewise.faults.matrix import MATRIX, After, Case, Moment, Speaks, Zero
from phasewise.faults.rig import Rig
from phasewise.lockstep import Protocol, Setup

LADDER = LadderSettings(clean_time=200, rejoin_time=50, fixed_time_bound=3_000)
"""As in the field, but that 20 s take the place of the five clean minutes, 5 s of ten, and 5 min of fifteen."""

LIMITS = Limits(clean=200, window=300)
"""As in the field, but that a detector is believed again after 20 s, and chatter is counted over 30 s."""

BACKUP: Tenths = 50
"""The cabinets' backup and watchdog time, in tenths of a second."""

STEP: Tenths = 10
"""Between decisions, in tenths of a second."""

PRESET = "cabinet"
SOON: Tenths = 600
"""Within what time a sound daemon is ADAPTIVE, and one that a person has re-enabled, in tenths of a second."""

SETTLED: Tenths = 600
"""How long the signal is watched when all is well again, in tenths of a second."""

SOUGHT: Tenths = 6_000
"""How long an interval of the signal is waited for in which a case is to begin, in tenths of a second."""


class Cell(NamedTuple):
    """What is run."""

    name: str
    """Of the case."""

    speaks: Speaks
    seed: int
    in_memory: bool = False
    """Whether to leave out the wire where the case has one."""


@dataclass(kw_only=True)
class Outcome:
    """What was measured in one cell. Times in seconds after the fault's begin; None where it did not come, or was not to come."""

    name: str
    kind: str
    protocol: str
    seed: int
    scenario: str
    wire: str
    begun: float = 0.0
    """When the fault began, in seconds after the scenario's begin."""

    t_down: float | None = None
    """The mode left ADAPTIVE."""

    t_plan: float | None = None
    """Our fixed-time plan was in force."""

    t_zero: float | None = None
    """No request of ours stood at the cabinet."""

    t_service: float | None = None
    """A movement was green that conflicts with one that was green, or was being gone to, at the begin."""

    t_in_step: float | None = None
    """What took over, our plan or the cabinet's, was in step with the clock."""

    t_back: float | None = None
    """The mode was ADAPTIVE again, after the last act."""

    modes: list[str] = field(default_factory=list)
    """Every mode from the begin on, in order."""

    causes: list[str] = field(default_factory=list)
    """The faults that lowered the mode."""

    after: str = ""
    """Where the mode stood in the end: a value of `After`, or what else."""

    re_enabled: bool | None = None
    """Whether it came back once a person had re-enabled; None where none had to."""

    longest_wait: float = 0.0
    """The longest that a movement with a call was not served, flash, preemption, hand and stop time not counted, in seconds."""

    never_served: int = 0
    """Movements that waited longer than a round of maximum greens."""

    illegal: int = 0
    """Illegal displays in SUMO's record."""

    illegal_what: str = ""
    cut: int = 0
    """Greens and yellows that the cabinet itself cut for flash or want of power; they are legal."""

    due: int = 0
    finished: int = 0
    running: int = 0
    waiting: int = 0
    missed: list[str] = field(default_factory=list)
    """The demands that were missed, in words."""

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return asdict(self)


def case_of(name: str) -> Case:
    """Find a row by its name. Raises RuntimeFault."""
    found = next((case for case in MATRIX if case.name == name), None)
    if found is None:
        raise RuntimeFault(f"the matrix has no row {name!r}")
    return found


def run_cell(cell: Cell) -> dict[str, Any]:
    """Run one cell in this process, which must be a fresh one. Whatever goes wrong with the trial itself is a missed demand."""
    case = case_of(cell.name)
    outcome = Outcome(
        name=case.name,
        kind=case.kind.value,
        protocol=cell.speaks.value,
        seed=cell.seed,
        scenario=case.scenario,
        wire="loopback" if case.loopback and not cell.in_memory else "memory",
    )
    with TemporaryDirectory() as folder:
        try:
            asyncio.run(_Trial(case, cell, outcome, Path(folder)).run())
        except Exception as error:  # noqa: BLE001  # one cell that breaks must not end the others
            outcome.missed.append(f"the trial broke: {type(error).__name__}: {error}")
    return outcome.as_dict()


class _Trial:
    """A cell while it runs."""

    def __init__(self, case: Case, cell: Cell, outcome: Outcome, folder: Path) -> None:
        self.case, self.outcome = case, outcome
        on_wire = case.loopback and not cell.in_memory
        self.setup = Setup(
            scenario=case.scenario,
            protocol=Protocol(cell.speaks.value),
            in_memory=not on_wire,
            proxied=on_wire,
            seed=cell.seed,
            preset=PRESET,
            backup=BACKUP,
            answer_within=5.0,
            think_within=5.0,
            ladder=LADDER,
            limits=LIMITS,
            records=folder,
        )
        self.lots = Random(f"{cell.seed} {case.name} {cell.speaks.value}")
        self.begin: Tenths | None = None
        self.last_act: Tenths | None = None

    async def run(self) -> None:
        """Run it, and judge it."""
        out = self.outcome
        async with Rig(self.setup) as rig:
            self.rig = rig
            self.waits = _Waits(rig.config.tables)
            self.seen = len(rig.notes)
            start = rig.now
            if not await self._until(lambda: self._mode is Mode.ADAPTIVE, SOON):
                out.missed.append("it never became adaptive")
            await self._until(lambda: False, 300 + self.lots.randrange(600))
            if self.case.moment is not None and not await self._until(self._is_moment, SOUGHT):
                out.missed.append(f"the signal never showed {self.case.moment.value}")
            out.begun = (rig.now - start) / 10
            await self._fault()
            await self._recovery()
        self._account()
        out.missed += _missed(self.case, out)

    # --- its parts -----------------------------------------------------------------------------------------------------------------
    async def _fault(self) -> None:
        rig = self.rig
        self.begin = begin = rig.now
        state, tables = rig.state, rig.config.tables
        self.greens = tables.green[state.stage] | (tables.green[state.target] if state.target != NO_STAGE else 0)
        self.green_before = tables.green[state.stage] & ~state.clearing
        self.outcome.modes.append(self._mode_word)
        for seconds, act in self.case.acts:
            await self._until(lambda: False, begin + round(seconds * 10) - rig.now)
            await rig.do(act)
            self._look()
        self.last_act = rig.now

    async def _recovery(self) -> None:
        """Wait until it is back, or long enough to see that it is not; then let a person re-enable where one must."""
        rig, out, case = self.rig, self.outcome, self.case
        patience = 200 if case.after in (After.LATCHED, After.AT_CABINET) else round(case.patience * 10)
        await self._until(lambda: False, 50)
        last, back = self.last_act or rig.now, False
        if case.after is After.LIMITED:
            await self._until(lambda: False, 600)
            back = self._mode is Mode.ADAPTIVE
        else:
            back = await self._until(lambda: self._mode is Mode.ADAPTIVE, patience)
        latched = self._latched
        if back:
            out.t_back = (rig.now - last) / 10
        lowered = len(set(out.modes)) > 1
        locked = rig.loop is not None and any(cause.fault is Fault.LOCAL_LOCK_OUT for cause in rig.loop.ladder.causes)
        out.after = (
            (After.BACK.value if lowered else After.KEPT.value)
            if back
            else After.LATCHED.value
            if latched
            else After.AT_CABINET.value
            if locked
            else After.LIMITED.value
            if rig.loop is not None and len(rig.loop.ladder.returns) >= LADDER.returns_per_hour
            else f"{self._mode_word}, neither back nor latched"
        )
        if latched:
            await self._until(lambda: rig.re_enable() is None, SOON)
            out.re_enabled = await self._until(lambda: self._mode is Mode.ADAPTIVE, SOON)
        elif locked and not back:
            out.re_enabled = rig.unlock() is None and await self._until(lambda: self._mode is Mode.ADAPTIVE, SOON)
        await self._until(lambda: False, SETTLED)

    async def _until(self, there: Any, most: Tenths) -> bool:  # noqa: ANN401  # a question without arguments
        """Let time pass until something is so; tell whether it was, within so many tenths of a second."""
        end = self.rig.now + most
        while self.rig.now < end:
            if there():
                return True
            await self.rig.pass_tenth()
            self._look()
        return bool(there())

    def _look(self) -> None:
        """Look at the street, the cabinet and the daemon, every tenth of a second."""
        rig, out = self.rig, self.outcome
        if rig.now % 10 == 0:
            self.waits.look(rig)
        if self.begin is None:
            self.seen = len(rig.notes)
            return
        since = (rig.now - self.begin) / 10
        word = self._mode_word
        if word != out.modes[-1]:
            out.modes.append(word)
        if out.t_down is None and word != Mode.ADAPTIVE.value:
            out.t_down = since
        for note in rig.notes[self.seen :]:
            if isinstance(note, journal.Decision) and note.policy == "plan" and out.t_plan is None:
                out.t_plan = since
        self.seen = len(rig.notes)
        if rig.loop is not None:
            out.causes += [cause.fault.value for cause in rig.loop.ladder.causes if cause.fault.value not in out.causes]
        if out.t_zero is None and not rig.requested:
            out.t_zero = since
        state, tables = rig.state, rig.config.tables
        if state.display is Display.NORMAL:
            now_green = tables.green[state.stage] & ~state.clearing
            fresh = now_green & ~self.green_before
            if out.t_service is None and any(tables.conflicts[group] & self.greens for group in bits(fresh)):
                out.t_service = since
            self.green_before = now_green
        if out.t_in_step is None and out.t_down is not None and self._in_step(state):
            out.t_in_step = since

    def _in_step(self, state: IntersectionState) -> bool:
        rig = self.rig
        if rig.loop is not None and self._mode is Mode.FIXED_TIME:
            plan = rig.loop.parts.plan
            at = None if plan is None else plan.standing
            return at is not None and plan is not None and abs(at.off) <= 10 and at.seen >= rig.now - STEP and at.ends < 1 << 60
        patterns = rig.config.patterns
        if rig.requested or not patterns or state.target != NO_STAGE or state.display is not Display.NORMAL:
            return False
        own = FixedTime(rig.config, patterns[0].number)
        return own.propose(Observation(state, rig.street.read())).stage in (None, state.stage)

    @property
    def _mode(self) -> Mode | None:
        return None if self.rig.loop is None else self.rig.loop.ladder.mode

    @property
    def _mode_word(self) -> str:
        return "dead" if self._mode is None else self._mode.value

    @property
    def _latched(self) -> bool:
        return self.rig.loop is not None and any(cause.latched for cause in self.rig.loop.ladder.causes)

    def _is_moment(self) -> bool:
        if self._mode is not Mode.ADAPTIVE or self.case.moment is None:
            return False
        return is_moment(self.case.moment, self.rig.state, self.rig.config.tables)

    def _account(self) -> None:
        out = self.outcome
        found = self.rig.account()
        trips, judged = found.trips, found.audit
        out.due, out.finished, out.running, out.waiting = trips.due, trips.finished, trips.running, trips.waiting_to_enter
        out.illegal, out.cut = len(judged.violations), judged.cut_by_off
        out.illegal_what = "; ".join(f"{each.kind.value} at {each.time:g}" for each in judged.violations[:3])
        out.longest_wait, out.never_served = self.waits.longest / 10, len(self.waits.starved)


class _Waits:
    """Who waits at a signal, by what the street's own detectors say, whatever reaches the cabinet of it."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._waited = [0] * tables.size
        self._walkers = 0
        self.longest: Tenths = 0
        self.starved: set[int] = set()
        self.bound: Tenths = 2 * sum(
            max((tables.groups[group].max_green for group in bits(mask)), default=0) // 2
            + max((tables.groups[group].yellow + tables.groups[group].red for group in bits(mask)), default=0)
            for mask in tables.green
        )

    def look(self, rig: Rig) -> None:
        """Look at who waits, once a second."""
        tables, state, readings = self._tables, rig.state, rig.street.read()
        shown = machine.lamps(state, tables)
        if _is_excused(rig):
            self._waited = [0] * tables.size
            return
        self._walkers = (self._walkers | readings.pedestrians) & ~shown.walks
        calls = readings.vehicles & tables.vehicles | self._walkers & tables.pedestrians
        served = shown.greens & tables.vehicles | shown.walks
        for group in range(tables.size):
            self._waited[group] = self._waited[group] + 10 if calls >> group & 1 and not served >> group & 1 else 0
            self.longest = max(self.longest, self._waited[group])
            if self._waited[group] > self.bound:
                self.starved.add(group)


def _is_excused(rig: Rig) -> bool:
    """Tell whether nobody can be asked to serve a call: flash, preemption, hand, stop time."""
    cabinet = rig.cabinet
    if rig.state.display is not Display.NORMAL:
        return True
    trouble = getattr(cabinet, "trouble", None)
    if trouble is not None:
        return bool(trouble.police or trouble.manual or trouble.stopped or trouble.preempt is not None)
    hindered = {"PREEMPT", "MANUAL", "STOP_TIME"}
    return any(fault.name in hindered for fault in getattr(cabinet, "faults", ()))


def is_moment(moment: Moment, state: IntersectionState, tables: Tables) -> bool:
    """Tell whether a signal is in an interval."""
    if state.display is not Display.NORMAL:
        return False
    shown = machine.lamps(state, tables)
    moving = state.target != NO_STAGE
    intervals = {machine.interval_of(state, group, tables)[0] for group in bits(state.clearing & tables.vehicles)}
    match moment:
        case Moment.MIN_GREEN:
            young = (state.now - state.began[group] < tables.groups[group].min_green for group in bits(shown.greens & tables.vehicles))
            return not moving and state.now - state.arrived == 20 and any(young)
        case Moment.WALK:
            return not moving and bool(shown.walks)
        case Moment.PED_CLEARANCE:
            return not moving and bool(shown.ped_clears)
        case Moment.REST:
            walked = (state.walked[group] for group in bits(tables.green[state.stage] & tables.pedestrians))
            is_over = any(each != NEVER and each >= state.arrived for each in walked)
            return not moving and is_over and not shown.walks and not shown.ped_clears
        case Moment.YELLOW:
            return moving and Interval.YELLOW_CHANGE in intervals
        case Moment.ALL_RED:
            return moving and not shown.yellows and not shown.greens & tables.vehicles
        case Moment.BARRIER:
            return moving and len(list(bits(state.clearing & tables.vehicles))) > 1 and not shown.greens & tables.vehicles


# --- demands -------------------------------------------------------------------------------------------------------------------------
def _missed(case: Case, out: Outcome) -> list[str]:
    """Say which demands were missed."""
    found: list[str] = []
    if out.illegal:
        found.append(f"{out.illegal} illegal displays ({out.illegal_what})")
    if out.never_served:
        found.append(f"{out.never_served} movements never served (longest wait {out.longest_wait:.0f} s)")
    if out.due != out.finished + out.running + out.waiting or not out.due:
        found.append(f"{out.due} vehicles due, {out.finished} + {out.running} + {out.waiting} accounted for")
    if case.plan and (out.t_plan is None or out.t_plan > (STEP + 1) / 10):
        found.append(f"our plan in force after {_seconds(out.t_plan)}, not within a decision step")
    most = {Zero.NONE: None, Zero.AT_ONCE: 1.0, Zero.BY_BACKUP: BACKUP / 10 + 1.0}[case.zero]
    if most is not None and (out.t_zero is None or out.t_zero > most):
        found.append(f"requests zero after {_seconds(out.t_zero)}, not within {most:g} s")
    allowed = {After.KEPT.value, After.BACK.value} if case.after is After.EITHER else {case.after.value}
    if out.after not in allowed:
        found.append(f"afterwards {out.after}, not {case.after.value}")
    if out.re_enabled is False:
        found.append("it did not come back when a person had re-enabled it")
    return found


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def seed_of(name: str, speaks: Speaks, base: int) -> int:
    """Give a cell's seed: its own, and always the same."""
    return base + crc32(f"{name} {speaks.value}".encode()) % 1_000


def told(outcomes: Mapping[str, Any]) -> bool:
    """Tell whether a cell missed nothing."""
    return not outcomes["missed"]
