"""The register map: what a cabinet on Modbus may be asked, and what it says, as values that cannot be wrong.

Where each value lies is data (`modbus_profile`, docs/modbus-map.md); this module writes requests and reads statuses by it. It is pure: no
wire, no clock.

- A request is made only by `compose`, from a `Heartbeat`, and a heartbeat only from a command that the gate has reviewed and the instant
  of that decision. Where anything does not fit, the answer is `Withheld`. There is no other way to a `RequestBlock`, and a link writes
  nothing else, so that a write outside the allow-list, values included, cannot be expressed.
- A read that failed, that is torn, of another cabinet or contradictory, is a `Failure`, never a `Status`.

Times on the wire are tenths of a second, stages are numbered from 1 in the order of the configuration, groups are bits from bit 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, assert_never

from field_adapters._modbus_errors import UnreviewedError
from field_adapters.modbus_profile import LARGEST_WORD, Block, Mode, Profile, Table, crc16, value_of
from intersection.errors import ConfigError
from intersection.phase import Tenths
from intersection.shield import Command
from intersection.state import FREE, Display, Interval, PedInterval
from intersection.tables import Tables


# --- the cabinet at hand -----------------------------------------------------------------------------------------------------------
class Refusal(Enum):
    """Why a device carries a request out not at all: its code on the wire, and the operator's words."""

    CHECKSUM = 1, "the block's CRC is wrong"
    WRONG_MAP = 2, "another map or version"
    WRONG_BOOT = 3, "it was made for the time before the cabinet started anew"
    STALE_SEQUENCE = 4, "a sequence that is not newer than the last"
    EXPIRED = 5, "its not-after has passed"
    TOO_FAR = 6, "its not-after lies further ahead than any request may"
    UNKNOWN_MODE = 7, "no such mode"
    UNKNOWN_STAGE = 8, "no such stage"
    UNKNOWN_PLAN = 9, "no such plan"
    HOLD = 10, "its hold time is none or too long"
    CLEAR = 11, "it clears groups that the stage does not have"
    LOCAL = 12, "the cabinet is under local control"
    FLASH = 13, "the signal is flashing or dark"
    CONFLICT = 14, "the cabinet's own gate does not allow it"
    HEARTBEAT = 15, "it has no heartbeat"

    def __init__(self, code: int, words: str) -> None:
        self.code, self.words = code, words


class DetectorFault(Enum):
    """Why a detector has no value. Those above 1 are codes on the wire; 0 and 1 there mean a working detector, free or occupied."""

    MAX_PRESENCE = 2
    NO_ACTIVITY = 3
    OPEN_LOOP = 4
    SHORTED_LOOP = 5
    EXCESSIVE_CHANGE = 6
    WATCHDOG = 7
    ERRATIC = 8
    UNKNOWN = -1
    """A code that the map does not know."""

    CONTRADICTION = -2
    """It says that a vehicle stands on it and when the last one left, or that it is free and has been for no time."""


class CabinetFault(Enum):
    """What is wrong in the cabinet; its value is its bit on the wire."""

    CONFLICT_MONITOR = 0
    LAMP = 1
    POWER_RESTARTED = 2
    CLOCK = 3
    PREEMPT = 4
    STOP_TIME = 5
    MANUAL = 6
    DETECTOR = 7
    OTHER = 15


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """What the cabinet at hand has: the values that a profile's fields may take there."""

    stages: tuple[int, ...]
    """The green groups of each stage, as masks."""

    groups: int
    pedestrians: int = 0
    """The groups with a pedestrian indication, as a mask."""

    plans: frozenset[int] = frozenset()
    detectors: int = 0
    identity: int = 0
    """A number of 32 bits that only this cabinet's database has."""

    @classmethod
    def of(cls, tables: Tables, *, detectors: int, identity: int = 0) -> "Program":
        """Take a configuration's stages, groups and plans."""
        return cls(
            stages=tables.green,
            groups=tables.size,
            pedestrians=tables.pedestrians,
            plans=frozenset(pattern.number for pattern in tables.patterns),
            detectors=detectors,
            identity=identity,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisterMap:
    """A profile for the cabinet at hand.

    Raises:
        ConfigError: the profile has no room for what the cabinet has.
    """

    profile: Profile
    program: Program

    def __post_init__(self) -> None:
        limits, program = self.profile.limits, self.program
        for key, value, highest in (
            ("groups", program.groups, limits.groups),
            ("stages", len(program.stages), limits.stages),
            ("plans", max(program.plans, default=0) if limits.plans else 0, limits.plans),
            ("detectors", program.detectors, limits.detectors),
        ):
            if value > highest:
                raise ConfigError("the map has no room", source=self.profile.name, key=key, value=value, allowed=f"0..{highest}")
        if "target" not in self.profile.request.fields and len(set(program.stages)) < len(program.stages):
            raise ConfigError(
                "this map tells stages by their greens",
                source=self.profile.name,
                key="stages",
                value=program.stages,
                allowed="no two alike",
            )

    @property
    def all_groups(self) -> int:
        """Every group's bit."""
        return (1 << self.program.groups) - 1

    @property
    def pages(self) -> tuple[Block, ...]:
        """The blocks to read for all detectors."""
        layout = self.profile.detectors
        count = -(-self.program.detectors // layout.per_page)
        page = layout.page
        return tuple(
            Block(table=page.table, address=page.address + at * page.size, size=page.size, fields=page.fields) for at in range(count)
        )


# --- requests ----------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The proof that a decision was made, reviewed, and when. Nothing else makes a cabinet's watchdog start anew.

    Raises:
        UnreviewedError: what stands behind it is not a command of the gate.
    """

    command: Command
    """What the gate granted, or made of the proposal."""

    decided: Tenths
    """The instant of the decision, by the clock that `compose` is given."""

    count: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.command, Command):
            raise UnreviewedError(f"a heart beats for a command of the gate, not for {self.command!r}")

    def then(self, command: Command, decided: Tenths) -> "Heartbeat":
        """Beat for the next decision.

        Raises:
            UnreviewedError: it is not later than the last one.
        """
        if decided <= self.decided:
            raise UnreviewedError(f"a decision at {decided} does not follow one at {self.decided} tenths of a second")
        return Heartbeat(command, decided, self.count + 1)


@dataclass(frozen=True, slots=True)
class GoTo:
    """Go to the command's stage, or stay in it."""

    beat: Heartbeat
    hold: Tenths
    """How long the stage may be held without another request."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Run the command's plan, by the cabinet's own coordinator."""

    beat: Heartbeat
    hold: Tenths


@dataclass(frozen=True, slots=True)
class Release:
    """Ask for nothing: the cabinet runs its own plan. It needs no decision, so it is possible at any time."""


Request: TypeAlias = GoTo | RunPlan | Release


class Withheld(Enum):
    """Why a request is not sent, in the operator's words."""

    SEQUENCE = "its sequence does not exist"
    NOTHING_SEEN = "the cabinet has not been read"
    STALE = "its decision is too old"
    FROM_AHEAD = "its decision lies ahead of the clock"
    NO_SUCH_MODE = "the map has no such mode"
    UNKNOWN_STAGE = "the cabinet has no such stage"
    UNKNOWN_PLAN = "the cabinet has no such plan"
    HOLD = "its hold time is none or too long"
    CLEAR = "the map cannot clear a group that the stage holds, or the stage does not have it"


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestBlock:
    """One whole request, ready to be written at once. Made by `compose`; made otherwise it is held to the same law.

    Raises:
        UnreviewedError: `compose` would have withheld it.
    """

    map: RegisterMap
    request: Request
    seen: "Status | None"
    sequence: int
    now: Tenths

    def __post_init__(self) -> None:
        reason = _why_withheld(self.map, self.request, self.seen, self.sequence, self.now)
        if reason is not None:
            raise UnreviewedError(reason.value)

    @property
    def table(self) -> Table:
        """The table that it is written to."""
        return self.map.profile.request.table

    @property
    def address(self) -> int:
        """The first cell that it is written to."""
        return self.map.profile.request.address

    @property
    def mode(self) -> Mode:
        """What is asked for."""
        return _mode(self.request)

    @property
    def groups(self) -> int:
        """The groups that shall be green, as a mask; 0 where no stage is asked for."""
        match self.request:
            case GoTo(beat):
                return self.map.program.stages[beat.command.stage]
            case RunPlan() | Release():
                return 0
            case _:
                assert_never(self.request)

    @property
    def cells(self) -> tuple[int, ...]:
        """What is written, cell by cell."""
        profile = self.map.profile
        values = {"sequence": self.sequence, "mode": profile.request_modes[self.mode], "groups": self.groups}
        match self.request:
            case Release():
                return profile.request.put(values)
            case GoTo(beat, hold):
                values |= {"target": beat.command.stage + 1, "clear": beat.command.clear}
            case RunPlan(beat, hold):
                values |= {"target": beat.command.pattern}
            case _:
                assert_never(self.request)
        seen = self.seen
        if seen is not None and seen.clock is not None and seen.boot is not None:
            values |= {"boot": seen.boot, "not_after": seen.clock + profile.limits.validity & 0xFFFFFFFF}
        values |= {"hold": hold, "heartbeat": beat.count & 1 if self.table.is_bits else 1 + (beat.count - 1) % LARGEST_WORD}
        return profile.request.put(values)


def compose(request: Request, *, to: RegisterMap, seen: "Status | None", sequence: int, now: Tenths) -> RequestBlock | Withheld:
    """Make the block that asks for something, or say why it must not be asked for.

    Args:
        request: what is asked for.
        to: the map of the cabinet.
        seen: the status that the request answers; None is enough for a release.
        sequence: 1 to 65535, newer than the last one written (see `next_sequence`).
        now: the instant, by the clock of `Heartbeat.decided`.
    """
    reason = _why_withheld(to, request, seen, sequence, now)
    return RequestBlock(map=to, request=request, seen=seen, sequence=sequence, now=now) if reason is None else reason


def next_sequence(sequence: int) -> int:
    """Count on: 1 to 65535 and again; 0 means none."""
    return sequence % LARGEST_WORD + 1


def is_newer(sequence: int, than: int) -> bool:
    """Tell whether a sequence comes after another, by the shorter way round; any comes after none, and none after any."""
    if sequence == 0 or than == 0:
        return sequence != 0
    return 0 < (sequence - than) % LARGEST_WORD <= LARGEST_WORD // 2


def _mode(request: Request) -> Mode:
    match request:
        case GoTo():
            return Mode.STAGE
        case RunPlan():
            return Mode.PLAN
        case Release():
            return Mode.RELEASED
        case _:
            assert_never(request)


def _why_withheld(to: RegisterMap, request: Request, seen: "Status | None", sequence: int, now: Tenths) -> Withheld | None:
    """Judge a request. This is the allow-list."""
    limits, program, fields = to.profile.limits, to.program, to.profile.request.fields
    if not 1 <= sequence <= LARGEST_WORD:
        return Withheld.SEQUENCE
    if isinstance(request, Release):
        return None
    command, age = request.beat.command, now - request.beat.decided
    if _mode(request) not in to.profile.request_modes:
        return Withheld.NO_SUCH_MODE
    if seen is None:
        return Withheld.NOTHING_SEEN
    if age < 0:
        return Withheld.FROM_AHEAD
    if age > limits.freshness:
        return Withheld.STALE
    if not 1 <= request.hold <= limits.max_hold:
        return Withheld.HOLD
    if isinstance(request, RunPlan):
        return None if command.pattern != FREE and command.pattern in program.plans else Withheld.UNKNOWN_PLAN
    if not 0 <= command.stage < len(program.stages):
        return Withheld.UNKNOWN_STAGE
    if command.clear & ~(program.stages[command.stage] if "clear" in fields else 0):
        return Withheld.CLEAR
    return None


# --- answers -----------------------------------------------------------------------------------------------------------------------
class Cause(Enum):
    """Why there is no reading, in the operator's words."""

    TIMED_OUT = "no answer in time"
    DISCONNECTED = "no connection"
    EXCEPTION = "the device refuses to be read or written there"
    GARBAGE = "the answer is none of Modbus, or to another question"
    SHORT = "the answer has another length"
    CHECKSUM = "the block's CRC is wrong: torn or damaged"
    WRONG_MAP = "another map or version, or other values than the map has"
    WRONG_CABINET = "another cabinet"
    CONTRADICTION = "the values contradict each other"


@dataclass(frozen=True, slots=True)
class Failure:
    """There is no reading, and nothing that could be taken for one."""

    cause: Cause
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Cells:
    """What a device answered to a read, cell by cell, as yet unjudged."""

    values: tuple[int, ...]


Answer: TypeAlias = Cells | Failure


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """What a cabinet says of itself. An attribute is None where its map has no such field; nothing stands for a failed read."""

    mode: Mode
    display: Display
    vehicles: tuple[Interval, ...]
    """What each group shows to vehicles."""

    pedestrians: tuple[PedInterval | None, ...] | None
    """What each group shows to pedestrians; None for a group without them."""

    stage: int | None
    """The index of the stage that runs, or that is being left; None too where the lamps show none of them."""

    target: int | None
    """The index of the stage of the running transition; None too where none runs."""

    plan: int | None
    elapsed: Tenths | None
    """Since the stage was reached; stays at 6553.5 s."""

    watchdog: Tenths | None
    """What is left before the cabinet returns to its own plan; 0 where it follows that already."""

    boot: int | None
    """A number that changes with each start of the device."""

    clock: Tenths | None
    """The device's own time since its start."""

    acknowledged: int | None
    """The last sequence that it accepted; 0 for none."""

    refused: int | None
    """The last sequence that it refused."""

    refusal: Refusal | None
    """Why; None too where the last block was accepted."""

    heartbeat: int | None
    """The last heartbeat that started its watchdog anew."""

    faults: frozenset[CabinetFault]
    calls: int | None
    ped_calls: int | None
    protected: int | None
    """The green groups that yield to nobody."""

    echo: tuple[int, int] | None
    """What is asked for, read back: mode and groups."""


Reading: TypeAlias = Status | Failure


@dataclass(frozen=True, slots=True)
class DetectorValue:
    """What a working detector says. Totals run on and over, so that a lost poll loses no vehicle."""

    occupied_now: bool
    count: int | None
    """Vehicles since the device started, modulo 65536."""

    occupied: Tenths | None
    """Time in which it was occupied since the device started, modulo 65536."""

    since: Tenths | None
    """Since the last vehicle left; 0 while one stands on it; stays at 6553.5 s."""


@dataclass(frozen=True, slots=True)
class Detectors:
    """All detectors at one poll, in the order of the configuration; a failed one has its fault and no value."""

    values: tuple[DetectorValue | DetectorFault, ...]


def decode_status(answers: Sequence[Answer], to: RegisterMap) -> Reading:
    """Judge the answers to a read of each of `Profile.status`.

    Args:
        answers: one for each block, in order.
        to: the map of the cabinet.
    """
    values: dict[str, int] = {}
    for block, answer in zip(to.profile.status, answers, strict=True):
        taken = _take(block, answer)
        if isinstance(taken, Failure):
            return taken
        values |= taken
    return _judge(values, to)


def decode_detectors(answers: Sequence[Answer], to: RegisterMap) -> Detectors | Failure:
    """Judge the answers to a read of each of `RegisterMap.pages`."""
    layout = to.profile.detectors
    found: list[DetectorValue | DetectorFault] = []
    for block, answer in zip(to.pages, answers, strict=True):
        taken = _take(block, answer)
        if isinstance(taken, Failure):
            return taken
        cells = answer.values if isinstance(answer, Cells) else ()
        for at in range(min(layout.per_page, to.program.detectors - len(found))):
            start = layout.first + at * layout.stride
            own = cells[start : start + layout.stride]
            found.append(_detector({name: value_of(own, field, bits=block.table.is_bits) for name, field in layout.fields.items()}))
    return Detectors(tuple(found))


def _take(block: Block, answer: Answer) -> dict[str, int] | Failure:
    """Read a block's fields out of an answer, if it is one whole block of this map."""
    match answer:
        case Failure():
            return answer
        case Cells(values):
            highest = 1 if block.table.is_bits else LARGEST_WORD
            if len(values) != block.size:
                return Failure(Cause.SHORT, f"{len(values)} cells, not {block.size}")
            if not all(0 <= value <= highest for value in values):
                return Failure(Cause.GARBAGE, "a cell holds more than its bits")
        case _:
            assert_never(answer)
    taken = block.take(values)
    if "crc" in taken and taken["crc"] != crc16(values[: block.fields["crc"].at]):
        return Failure(Cause.CHECKSUM)
    for name, field in block.fields.items():
        if field.value is not None and taken[name] != field.value:
            return Failure(Cause.WRONG_MAP, f"{name} = {taken[name]}, not {field.value}")
    return taken


DISPLAYS = (Display.NORMAL, Display.FLASH, Display.DARK)
"""By their codes on the wire."""

_REFUSALS = {refusal.code: refusal for refusal in Refusal}
_FAULT_BITS = {fault.value: fault for fault in CabinetFault}
_DETECTOR_FAULTS = {fault.value: fault for fault in DetectorFault if fault.value > 0}


def _judge(values: Mapping[str, int], to: RegisterMap) -> Reading:
    """Make a status of values that contradict neither the map, nor the cabinet, nor each other."""
    program = to.program
    if values.get("identity", program.identity) != program.identity:
        return Failure(Cause.WRONG_CABINET, f"identity {values['identity']}, not {program.identity}")
    if values.get("detectors", program.detectors) != program.detectors:
        return Failure(Cause.WRONG_CABINET, f"{values['detectors']} detectors, not {program.detectors}")
    mode = to.profile.status_modes.get(values["mode"])
    code = values.get("refusal", 0)
    if mode is None or values["display"] >= len(DISPLAYS) or (code and code not in _REFUSALS):
        return Failure(Cause.WRONG_MAP, f"mode {values['mode']}, display {values['display']}, refusal {code}")
    display = DISPLAYS[values["display"]]
    wrong = _contradiction(values, mode, display, to)
    if wrong is not None:
        return Failure(Cause.CONTRADICTION, wrong)
    vehicles = _vehicles(values, display, program.groups)
    stage, target = values.get("stage", 0), values.get("target", 0)
    if "stage" not in values and values["greens"] in program.stages:
        stage = program.stages.index(values["greens"]) + 1
    return Status(
        mode=mode,
        display=display,
        vehicles=vehicles,
        pedestrians=_pedestrians(values, display, program.groups),
        stage=stage - 1 if stage else None,
        target=target - 1 if target else None,
        plan=values.get("plan"),
        elapsed=values.get("elapsed"),
        watchdog=values.get("watchdog"),
        boot=values.get("boot"),
        clock=values.get("clock"),
        acknowledged=values.get("acknowledged"),
        refused=values.get("refused"),
        refusal=_REFUSALS.get(code),
        heartbeat=values.get("heartbeat"),
        faults=frozenset(_FAULT_BITS.get(bit, CabinetFault.OTHER) for bit in range(16) if values.get("faults", 0) >> bit & 1),
        calls=values.get("calls"),
        ped_calls=values.get("ped_calls"),
        protected=values.get("protected"),
        echo=(values["echo_mode"], values["echo_groups"]) if "echo_groups" in values else None,
    )


def _contradiction(values: Mapping[str, int], mode: Mode, display: Display, to: RegisterMap) -> str | None:
    """Say what cannot be true together, or None."""
    program, every = to.program, to.all_groups
    lit = display is Display.NORMAL
    greens, yellows, reds = values["greens"], values["yellows"], values["reds"]
    if not _parts(every if lit else 0, greens, yellows, reds):
        return "not each group shows one of green, yellow and red"
    if values.get("red_clears", 0) & ~reds or values.get("protected", 0) & ~greens:
        return "a red clearance that is not red, or a protected green that is not green"
    if "walks" in values and not _parts(program.pedestrians if lit else 0, values["walks"], values["ped_clears"], values["dont_walks"]):
        return "not each pedestrian indication shows one of walk, clearance and don't walk"
    if (values.get("calls", 0) | values.get("ped_calls", 0)) & ~every:
        return "a call of a group that does not exist"
    count, stage, target = len(program.stages), values.get("stage"), values.get("target", 0)
    if stage is not None and not (1 <= stage <= count or (stage == 0 and not lit)):
        return f"stage {stage} of {count}"
    if target > count or (target and target == stage):
        return f"from stage {stage} to stage {target} of {count}"
    if mode in (Mode.STAGE, Mode.PLAN) and values.get("watchdog") == 0:
        return "it follows a request although its watchdog has run out"
    return None


def _parts(whole: int, *masks: int) -> bool:
    """Tell whether masks share no bit and together are the whole."""
    union = 0
    for mask in masks:
        if union & mask:
            return False
        union |= mask
    return union == whole


def _vehicles(values: Mapping[str, int], display: Display, groups: int) -> tuple[Interval, ...]:
    match display:
        case Display.FLASH:
            return (Interval.FLASH,) * groups
        case Display.DARK:
            return (Interval.DARK,) * groups
        case Display.NORMAL:
            shown = (
                ("greens", Interval.GREEN),
                ("yellows", Interval.YELLOW_CHANGE),
                ("red_clears", Interval.RED_CLEARANCE),
            )
            return tuple(
                next((interval for name, interval in shown if values.get(name, 0) >> group & 1), Interval.RED) for group in range(groups)
            )
        case _:
            assert_never(display)


def _pedestrians(values: Mapping[str, int], display: Display, groups: int) -> tuple[PedInterval | None, ...] | None:
    if "walks" not in values or display is not Display.NORMAL:
        return None
    shown = (("walks", PedInterval.WALK), ("ped_clears", PedInterval.PED_CLEARANCE), ("dont_walks", PedInterval.DONT_WALK))
    return tuple(next((interval for name, interval in shown if values[name] >> group & 1), None) for group in range(groups))


def _detector(values: Mapping[str, int]) -> DetectorValue | DetectorFault:
    state, since = values["state"], values.get("since")
    if state > 1:
        return _DETECTOR_FAULTS.get(state, DetectorFault.UNKNOWN)
    if since is not None and (since == 0) != (state == 1):
        return DetectorFault.CONTRADICTION
    return DetectorValue(state == 1, values.get("count"), values.get("occupied"), since)


# --- acknowledgements --------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Accepted:
    """The cabinet carries the request out."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The cabinet carries the request out not at all, and says why."""

    reason: Refusal


@dataclass(frozen=True, slots=True)
class Pending:
    """The cabinet has not said anything about the request yet."""


@dataclass(frozen=True, slots=True)
class Overtaken:
    """The cabinet has accepted a sequence that is newer than ours: there is another writer."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Rebooted:
    """The cabinet has started anew since the status that the request answered."""


Acknowledgement: TypeAlias = Accepted | Refused | Pending | Overtaken | Rebooted


def acknowledgement(block: RequestBlock, status: Status) -> Acknowledgement:
    """Say what a cabinet made of a request, from a status read after it was written.

    Args:
        block: the newest block that was written.
        status: what the cabinet says now.
    """
    if status.acknowledged is None:
        asked = (block.map.profile.request_modes[block.mode], block.groups)
        return Accepted() if status.echo == asked else Pending()
    if block.seen is not None and block.seen.boot != status.boot:
        return Rebooted()
    if status.acknowledged == block.sequence:
        return Accepted()
    if status.refused == block.sequence and status.refusal is not None:
        return Refused(status.refusal)
    return Overtaken(status.acknowledged) if is_newer(status.acknowledged, block.sequence) else Pending()
