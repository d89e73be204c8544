"""A cabinet by script: what it shows is what a test says, what it is asked is kept. And who ticks an adapter as the daemon does."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from field_adapters import ntcip_objects as mib
from field_adapters._base import Applied, Failed, GoTo, Opened, Poll, Wanted, Withheld
from field_adapters.ntcip import NtcipAdapter, NtcipOptions
from field_adapters.ntcip_objects import CONTROL_BYTES, FORCE_OFF, Instance, NtcipObject, Oid, masks_of, phases_of
from field_adapters.ntcip_program import Method, NtcipProgram, Unsuitable, program_of
from field_adapters.ntcip_requests import PATTERN
from field_adapters.profiles import ntcip as profiles
from field_adapters.snmp import Accepted, Counter, InMemorySnmp, Refusal, SnmpTransport, Status, Ticks, Timeout, WireValue, WriteResult
from intersection.config import IntersectionConfig
from intersection.detection import Detector, DetectorKind
from intersection.machine import take_calls
from intersection.measured import measure
from intersection.phase import Tenths
from intersection.plan import Pattern
from intersection.shield import Amended, Command, Granted, Proposal, review
from intersection.state import NO_STAGE, Display, IntersectionState
from tests.intersection.documents import signal, stage

T = TypeVar("T")


def run(story: Coroutine[Any, Any, T]) -> T:
    """Live through a story."""
    return asyncio.run(story)


def soon() -> float:
    """Return a deadline that nothing in memory misses."""
    return asyncio.get_running_loop().time() + 5.0


def loop_at(phase: int) -> Detector:
    """Make a loop at the stop line of a phase."""
    return Detector(id=f"loop {phase}", kind=DetectorKind.STOP_BAR, phases=(phase,))


def crossroads(**more: Any) -> IntersectionConfig:
    """Make a signal of three stages, of which the first two share a group."""
    times = {"max_green": 600, "red_clearance": 10}
    stages = (stage("A", [1, 2]), stage("B", [1, 3]), stage("C", [4]))
    conflicts = [(2, 3), (1, 4), (2, 4), (3, 4)]
    plans = (Pattern(number=1, name="day", cycle=900, offset=0, sequence=("A", "B", "C"), splits=(300, 300, 300)),)
    given = {"detectors": tuple(map(loop_at, (1, 2, 3, 4))), "patterns": plans} | more
    return signal(*stages, timings=dict.fromkeys((1, 2, 3, 4), times), conflicts=conflicts, **given)


def dual_ring(**more: Any) -> IntersectionConfig:
    """Make a dual ring of lefts 1, 5, 3, 7 and throughs 2, 6, 4, 8; pedestrians walk with the throughs."""
    left, through = {"max_green": 600}, {"max_green": 900, "walk": 50, "ped_clearance": 50}
    timings = {number: left if number % 2 else through for number in range(1, 9)}
    names = ((1, 5), (1, 6), (2, 5), (2, 6), (3, 7), (3, 8), (4, 7), (4, 8))
    sides = ({1, 2, 5, 6}, {3, 4, 7, 8})
    pairs = [(a, b) for a in range(1, 9) for b in range(a + 1, 9)]
    conflicts = [(a, b) for a, b in pairs if not any({a, b} <= side for side in sides) or (a < 5) == (b < 5)]
    button = Detector(id="button 2", kind=DetectorKind.PUSH_BUTTON, phases=(2,))
    given = {"detectors": (loop_at(1), loop_at(2), button)} | more
    return signal(*(stage(f"{a}+{b}", [a, b]) for a, b in names), timings=timings, conflicts=conflicts, **given)


def suitable(config: IntersectionConfig, method: Method) -> NtcipProgram:
    """Give the program of a configuration that has one."""
    program = program_of(config, method)
    if isinstance(program, Unsuitable):
        raise TypeError(program.cause)
    return program


class ScriptedCabinet:
    """A store of a cabinet's objects, as its database should be. See `ObjectStore`."""

    def __init__(self, config: IntersectionConfig, program: NtcipProgram, *, groups: int = 2) -> None:
        self.config, self.program, self.groups = config, program, groups
        self.messages: list[dict[Instance, int]] = []
        """What was written, message by message."""

        self.refuses: Callable[[dict[Instance, int]], bool] = lambda _: False
        self.ignores = False
        self.on_write: Callable[[], None] = lambda: None
        self.values: dict[Instance, WireValue] = {
            mib.SYSTEM_DESCRIPTION.at(): b"scripted 1",
            mib.SYSTEM_UP_TIME.at(): Ticks(1000),
            mib.GLOBAL_TIME.at(): Counter(1_800_000_000),
            mib.MAX_PHASES.at(): 8 * groups,
            mib.UNIT_BACKUP_TIME.at(): 30,
            mib.UNIT_CONTROL_STATUS.at(): 2,
            mib.UNIT_FLASH_STATUS.at(): 2,
            mib.UNIT_ALARM_STATUS_2.at(): 0,
            mib.SHORT_ALARM_STATUS.at(): 0,
            mib.COORD_PATTERN_STATUS.at(): 254,
            mib.LOCAL_FREE_STATUS.at(): 3,
            mib.COORD_OPERATIONAL_MODE.at(): 0,
            mib.VOLUME_OCCUPANCY_SEQUENCE.at(): 7,
            mib.VOLUME_OCCUPANCY_PERIOD.at(): 1,
            mib.PED_DETECTORS_ACTIVE.at(1): 0,
            PATTERN: 0,
        }
        for group in range(1, groups + 1):
            lamps = (mib.PHASE_GREENS, mib.PHASE_YELLOWS, mib.PHASE_ONS, mib.PHASE_NEXTS)
            walks = (mib.PHASE_WALKS, mib.PHASE_PED_CLEARS, mib.PHASE_PED_CALLS)
            overlaps = (mib.OVERLAP_GREENS, mib.OVERLAP_YELLOWS)
            self.values |= {entry.at(group): 0 for entry in (*lamps, *walks, *overlaps, *CONTROL_BYTES)}
        for phase, times in program.times.items():
            self.values |= {
                mib.PHASE_MINIMUM_GREEN.at(phase): times.min_green,
                mib.PHASE_MAXIMUM_1.at(phase): times.max_green,
                mib.PHASE_YELLOW_CHANGE.at(phase): times.yellow,
                mib.PHASE_RED_CLEAR.at(phase): times.red,
                mib.PHASE_WALK.at(phase): times.walk,
                mib.PHASE_PEDESTRIAN_CLEAR.at(phase): times.ped_clear,
                mib.PHASE_RING.at(phase): program.ring_of(phase),
                mib.PHASE_OPTIONS.at(phase): 1,
                mib.PHASE_CONCURRENCY.at(phase): bytes(sorted(program.concurrent(phase))),
            }
        self.values |= {mib.OVERLAP_PARENTS.at(n): bytes(sorted(parents)) for n, parents in enumerate(program.overlaps, start=1)}
        self.values |= {mib.SEQUENCE_DATA.at(1, ring + 1): bytes(program.sequence(ring)) for ring in range(len(program.rings))}
        for name, number in program.detectors.items():
            self.values |= {mib.DETECTOR_CALL_PHASE.at(number): program.calls[name]}
            self.values |= {mib.DETECTOR_VOLUME.at(number): 0, mib.DETECTOR_OCCUPANCY.at(number): 0}
        for name, number in program.buttons.items():
            self.values |= {mib.PED_DETECTOR_CALL_PHASE.at(number): program.calls[name], mib.PED_DETECTOR_ALARMS.at(number): 0}
        self.arrive(0)

    def put(self, entry: NtcipObject, numbers: Sequence[int] | frozenset[int]) -> None:
        """Set the bits of phases or overlaps."""
        for group, mask in enumerate(masks_of(numbers)[: self.groups], start=1):
            self.values[entry.at(group)] = mask

    def show(self, at: int, clearing: frozenset[int] = frozenset(), *, yellow: bool = False) -> None:
        """Show a stage, of which some groups, by their numbers, are being cleared."""
        tables, phases = self.config.tables, self.program.stages[at]
        ended = tables.mask(clearing)
        greens = tables.green[at] & ~ended
        by_phase = self.program.method is Method.RINGS
        for entry, mask in ((mib.PHASE_GREENS, greens), (mib.PHASE_YELLOWS, ended if yellow else 0)):
            driven = {o.number for group, o in enumerate(self.program.outputs) if mask >> group & 1}
            self.put(entry, frozenset(driven) if by_phase else phases if bool(ended) == (entry is mib.PHASE_YELLOWS) else frozenset())
            if not by_phase:
                self.put(mib.OVERLAP_GREENS if entry is mib.PHASE_GREENS else mib.OVERLAP_YELLOWS, frozenset(driven))
        self.put(mib.PHASE_ONS, phases)

    def arrive(self, at: int) -> None:
        """Show all greens of a stage."""
        self.show(at)

    @property
    def pattern(self) -> int:
        """The pattern that is asked for."""
        value = self.values[PATTERN]
        return value if isinstance(value, int) else -1

    def stands(self, control: NtcipObject) -> frozenset[int]:
        """Give the phases of a request that stands."""
        return phases_of(int(str(self.values[control.at(group)])) for group in range(1, self.groups + 1))

    # --- as a store
    def read(self, oid: Oid) -> WireValue | None:
        """See `ObjectStore`."""
        return next((value for at, value in self.values.items() if at.oid == oid), None)

    def next(self, oid: Oid) -> Oid | None:
        """See `ObjectStore`."""
        return min((at.oid for at in self.values if at.oid > oid), default=None)

    def write(self, writes: Sequence[tuple[Oid, WireValue]]) -> Refusal | None:
        """See `ObjectStore`."""
        by_oid = {at.oid: at for at in self.values}
        absent = next((place for place, (oid, _) in enumerate(writes, start=1) if oid not in by_oid), None)
        if absent is not None:
            return Refusal(absent, Status.NO_CREATION)
        message = {by_oid[oid]: int(str(value)) for oid, value in writes}
        if self.refuses(message):
            return Refusal(1, Status.GEN_ERR)
        self.messages.append(message)
        if not self.ignores:
            self.values |= message
        self.on_write()
        return None


class LossyLink(InMemorySnmp):
    """A link on which answers can be lost after the cabinet has done what was asked."""

    def __init__(self, store: ScriptedCabinet) -> None:
        super().__init__(store)
        self.lose: Callable[[Sequence[mib.Write]], bool] = lambda _: False

    async def set(self, writes: Sequence[mib.Write], deadline: float) -> WriteResult:
        """See `SnmpTransport`."""
        result = await super().set(writes, deadline)
        return Timeout(waited=0.1, sent=1) if isinstance(result, Accepted) and self.lose(writes) else result


class Driver:
    """Ticks an adapter: reads, measures, and asks for what it is told, freshly decided unless it is told otherwise."""

    def __init__(
        self,
        config: IntersectionConfig,
        method: Method = Method.STAGES,
        *,
        link: SnmpTransport | None = None,
        groups: int = 2,
        **options: Any,
    ) -> None:
        self.config, self.program = config, suitable(config, method)
        self.cabinet = ScriptedCabinet(config, self.program, groups=groups)
        self.link = LossyLink(self.cabinet)
        given: dict[str, Any] = {"settle": 0, "profile": profiles.load("standard")} | options
        self.adapter = NtcipAdapter(link or self.link, config, NtcipOptions(program=self.program, **given))
        self.now: Tenths = 1000
        self.state: IntersectionState | None = None
        self.asked = NO_STAGE
        self.poll: Poll | Failed | None = None

    async def open(self) -> Opened | Failed:
        """Look at the cabinet."""
        return await self.adapter.open(self.now, soon())

    async def read(self, *, by: Tenths = 1, detectors: bool = False, calls: int = 0) -> Poll:
        """Let time pass, read, and measure."""
        self.now += by
        self.cabinet.values[mib.SYSTEM_UP_TIME.at()] = Ticks(self.now * 10)
        poll = await self.adapter.read(self.now, soon(), detectors=detectors)
        self.poll = poll
        if isinstance(poll, Failed):
            raise TypeError(f"not read: {poll}")
        state = measure(self.state, poll.report, self.asked, self.config.tables)
        if not isinstance(state, IntersectionState):
            raise TypeError(f"strange: {state}")
        self.state = take_calls(state, self.config.tables, calls)
        return poll

    async def apply(self, wanted: Wanted) -> Applied | Withheld | Failed:
        """Ask for something."""
        if self.state is None:
            raise TypeError("nothing has been read")
        return await self.adapter.apply(wanted, self.state, self.now, soon())

    async def tick(self, target: int, *, by: Tenths = 1, age: Tenths = 0, clear: int = 0) -> Applied | Withheld | Failed:
        """Read, and ask for a stage."""
        await self.read(by=by)
        self.asked = target
        return await self.apply(GoTo(self.command(target), self.now - age))

    def command(self, target: int, pattern: int = 0) -> Command:
        """Get a command from the gate, at an instant at which it allows everything."""
        if self.state is None:
            raise TypeError("nothing has been read")
        later = self.state._replace(now=self.state.now + 100_000, calls=0, ped_calls=0, target=NO_STAGE, display=Display.NORMAL)
        verdict = review(Proposal(stage=target, pattern=pattern), later, self.config.tables)
        if not isinstance(verdict, Granted | Amended):
            raise TypeError(f"not granted: {verdict}")
        return verdict.command

    @property
    def forced(self) -> list[dict[Instance, int]]:
        """The messages that asked for a force-off."""
        return [message for message in self.cabinet.messages if any(at.object is FORCE_OFF and value for at, value in message.items())]
