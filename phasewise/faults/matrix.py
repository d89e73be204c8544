"""Every fault that is tried, as data: how it is begun and ended, over which protocols, and what must follow.

    Case                 one row
    Act                  what is done at an instant; a case is a sequence of these with their seconds after its begin
    After, Zero          what must follow

`phasewise.faults.trial` runs a row; nothing here imports SUMO.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from controller.events import Flash as OrderFlash
from controller.events import Free, Mode, Ordered, Plan
from controller.policy_source import (
    Answer,
    BundleMissing,
    BundleRefused,
    Died,
    Garbage,
    Hung,
    IllegalStage,
    Late,
    NotFinite,
    Raised,
    Unfamiliar,
)
from field_adapters.simulated import orders
from field_adapters.simulated.orders import ALL, DetectorFailure, FailDetector, MendDetector
from field_adapters.simulated.proxy import Way, Weather
from intersection.phase import Tenths
from models.manifest import Departure


class Speaks(Enum):
    """The protocol of a cell."""

    NTCIP = "ntcip"
    MODBUS = "modbus"


class Kind(Enum):
    """Where a fault lies."""

    POLICY = "policy"
    PROCESS = "process"
    LINK = "link"
    CABINET = "cabinet"
    DETECTOR = "detectors"
    OPERATOR = "operator"
    HAND_OVER = "hand-over"


class After(Enum):
    """Where the mode must stand in the end."""

    KEPT = "adaptive throughout"
    BACK = "back by itself"
    EITHER = "adaptive throughout or back by itself"
    LATCHED = "latched until a person re-enables"
    LIMITED = "waits: no more than three returns an hour"
    AT_CABINET = "locked out until it is cleared at the cabinet"


class Zero(Enum):
    """By when every request of ours must be gone from the cabinet."""

    NONE = "not asked for"
    AT_ONCE = "within a second"
    BY_BACKUP = "within the cabinet's backup time and a second"


class Moment(Enum):
    """The interval of the signal in which a case begins; elsewhere it begins at a seeded instant."""

    MIN_GREEN = "minimum green"
    WALK = "walk"
    PED_CLEARANCE = "pedestrian clearance"
    REST = "rest in green after the pedestrians"
    YELLOW = "yellow"
    ALL_RED = "all-red"
    BARRIER = "both rings clearing for the barrier"


# --- acts ------------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Say:
    """Let the policy give this answer from now on, or its own again."""

    answer: Answer | None


@dataclass(frozen=True, slots=True)
class AtCabinet:
    """Order something at the cabinet, or between the street and the cabinet."""

    order: orders.Order


@dataclass(frozen=True, slots=True)
class Impostor:
    """Let another cabinet answer at the address, or the right one again."""

    on: bool


@dataclass(frozen=True, slots=True)
class FirstDetector:
    """Let the first detector fail, the first push button instead, or the first two be swapped; or mend them all."""

    how: DetectorFailure | None
    button: bool = False
    swap: bool = False


@dataclass(frozen=True, slots=True)
class Wire:
    """Change the weather on the wire."""

    weather: Weather
    ways: tuple[Way, ...] = (Way.THERE, Way.BACK)


@dataclass(frozen=True, slots=True)
class Tamper:
    """Spoil what is written at the cabinet's door: repeat each message late, or carry out one half of each."""

    again_after: Tenths | None = None
    half: bool = False


@dataclass(frozen=True, slots=True)
class Kill:
    """End the daemon at once, as `kill -9` or the kernel does that is out of memory."""


@dataclass(frozen=True, slots=True)
class Revive:
    """Start the daemon anew from what it had written down."""


@dataclass(frozen=True, slots=True)
class Halt:
    """Let the daemon stand still, as SIGSTOP does, or go on."""

    on: bool


@dataclass(frozen=True, slots=True)
class Twin:
    """Start a second daemon at the same cabinet, or end it."""

    on: bool


@dataclass(frozen=True, slots=True)
class WallJump:
    """Move the daemon's clock on the wall."""

    seconds: float


@dataclass(frozen=True, slots=True)
class DiskFull:
    """Leave no room for the journal, or give it back."""

    on: bool


@dataclass(frozen=True, slots=True)
class Force:
    """Order a plan, free operation or flash for some seconds."""

    what: Ordered
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Withdraw:
    """End the order."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Cap the mode, or lift the cap by ADAPTIVE."""

    mode: Mode


Act: TypeAlias = (
    Say
    | AtCabinet
    | Impostor
    | FirstDetector
    | Wire
    | Tamper
    | Kill
    | Revive
    | Halt
    | Twin
    | WallJump
    | DiskFull
    | Force
    | Withdraw
    | Limit
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One fault."""

    name: str
    kind: Kind
    acts: tuple[tuple[float, Act], ...]
    """What is done, and how many seconds after the begin; in order."""

    after: After
    zero: Zero = Zero.NONE
    plan: bool = False
    """Whether our fixed-time plan must be in force within a decision step."""

    moment: Moment | None = None
    speaks: tuple[Speaks, ...] = (Speaks.NTCIP, Speaks.MODBUS)
    scenario: str = "resco:cologne1"
    loopback: bool = False
    """Whether messages go over the loopback wire and through a proxy; else the cabinet is asked in memory."""

    patience: float = 150.0
    """How long it may take to come back after the last act, in seconds."""

    @property
    def ends(self) -> float:
        """When the last act is done, in seconds after the begin."""
        return self.acts[-1][0]


EIGHT = "phasewise:eight_phase"
_NTCIP = (Speaks.NTCIP,)
_CUT = Weather(cut=True)
_FAIR = Weather()


def _policy(name: str, answer: Answer, seconds: float = 12) -> Case:
    return Case(name=f"policy: {name}", kind=Kind.POLICY, acts=((0, Say(answer)), (seconds, Say(None))), after=After.BACK, plan=True)


def _policies() -> Iterator[Case]:
    yield _policy("raises an exception", Raised("ValueError: no"))
    yield _policy("NaN", NotFinite("its answer is no number"))
    yield _policy("late", Late())
    yield Case(
        name="policy: late once",
        kind=Kind.POLICY,
        acts=((0, Say(Late())), (1, Say(None))),
        after=After.BACK,
        plan=True,
    )
    yield _policy("hangs", Hung())
    yield Case(
        name="policy: late, then hung, then dead",
        kind=Kind.POLICY,
        acts=((0, Say(Late())), (2, Say(Hung())), (6, Say(Died("signal SIGKILL"))), (15, Say(None))),
        after=After.BACK,
        plan=True,
    )
    yield _policy("spins for a minute", Hung(), 60)
    yield _policy("out of memory", Died("exit code 1"))
    yield _policy("process killed", Died("signal SIGKILL"))
    yield _policy("impossible stage", IllegalStage(99))
    yield _policy("garbage", Garbage("not a message of this version"))
    yield _policy("away for four minutes", Died("signal SIGKILL"), 240)
    yield _policy("bundle gone", BundleMissing("c1.bundle is not there"))
    yield _policy("bundle corrupt", BundleRefused("a part of the bundle is not what was signed"))
    yield _policy("bundle unsigned", BundleRefused("nobody signed it"))
    yield _policy("bundle expired", BundleRefused("it was good until 2026-01-01"))
    yield _policy("bundle of another intersection", BundleRefused("it was made for another intersection"))
    yield _policy("out of distribution", Unfamiliar(Departure(9.0, 4)))
    yield Case(
        name="policy: four faults in a row",
        kind=Kind.POLICY,
        acts=tuple((60.0 * at + wait, act) for at in range(4) for wait, act in ((0.0, Say(Raised("no"))), (2.0, Say(None)))),
        after=After.LIMITED,
        plan=True,
    )


def _processes() -> Iterator[Case]:
    zero = Zero.BY_BACKUP
    for name in ("killed (kill -9)", "killed by the kernel, out of memory"):
        yield Case(name=f"daemon: {name}", kind=Kind.PROCESS, acts=((0, Kill()), (20, Revive())), after=After.BACK, zero=zero)
    yield Case(name="daemon: stopped (SIGSTOP) for 3 s", kind=Kind.PROCESS, acts=((0, Halt(True)), (3, Halt(False))), after=After.BACK)
    yield Case(
        name="daemon: stopped (SIGSTOP) for 30 s", kind=Kind.PROCESS, acts=((0, Halt(True)), (30, Halt(False))), after=After.BACK, zero=zero
    )
    storm = tuple((10.0 * at + wait, act) for at in range(6) for wait, act in ((0.0, Kill()), (3.0, Revive())))
    yield Case(name="daemon: restart storm", kind=Kind.PROCESS, acts=storm, after=After.BACK, zero=zero)
    yield Case(
        name="daemon: killed each time that it is back",
        kind=Kind.PROCESS,
        acts=tuple((80.0 * at + wait, act) for at in range(4) for wait, act in ((0.0, Kill()), (8.0, Revive()))),
        after=After.LIMITED,
        zero=zero,
    )
    yield Case(name="daemon: journal's disk full", kind=Kind.PROCESS, acts=((0, DiskFull(True)), (60, DiskFull(False))), after=After.KEPT)
    for seconds in (3600.0, -3600.0, 2.5, -40.0):
        acts = ((0.0, WallJump(seconds)), (60.0, WallJump(-seconds)))
        yield Case(name=f"daemon: clock jumps by {seconds:+g} s", kind=Kind.PROCESS, acts=acts, after=After.KEPT)
    yield Case(name="daemon: two on one cabinet", kind=Kind.PROCESS, acts=((0, Twin(True)), (30, Twin(False))), after=After.LATCHED)
    dead = ((0.0, Kill()), (0.0, AtCabinet(orders.AnotherWriter(True))), (40.0, AtCabinet(orders.AnotherWriter(False))), (60.0, Revive()))
    yield Case(name="daemon: killed while another writer goes on", kind=Kind.PROCESS, acts=dead, after=After.BACK)


def _link(name: str, weather: Weather, seconds: float, after: After, **more: object) -> Case:
    acts = ((0.0, Wire(weather)), (seconds, Wire(_FAIR)))
    return Case(name=f"link: {name}", kind=Kind.LINK, acts=acts, after=after, loopback=True, **more)  # type: ignore[arg-type]  # fields of Case


def _links() -> Iterator[Case]:
    yield _link("1 % lost", Weather(lost=0.01), 60, After.KEPT)
    yield _link("5 % lost", Weather(lost=0.05), 60, After.KEPT)
    yield _link("20 % lost", Weather(lost=0.2), 40, After.EITHER)
    yield _link("50 % lost", Weather(lost=0.5), 30, After.EITHER)
    yield _link("50 ms late", Weather(delay=0.025), 15, After.EITHER)
    yield _link("300 ms late", Weather(delay=0.15), 15, After.EITHER)
    yield _link("jitter of 80 ms", Weather(jitter=0.08), 15, After.EITHER)
    yield _link("20 % doubled", Weather(doubled=0.2), 40, After.KEPT, speaks=_NTCIP)
    yield _link("20 % reordered", Weather(reordered=0.2, held=0.03), 15, After.KEPT, speaks=_NTCIP)
    yield _link("10 % corrupted", Weather(corrupted=0.1), 30, After.EITHER)
    zero = Zero.BY_BACKUP
    yield _link("cut for 1 s", _CUT, 1, After.BACK)
    yield _link("cut for 10 s", _CUT, 10, After.BACK, zero=zero)
    yield _link("cut for 10 min", _CUT, 600, After.BACK, zero=zero)
    for way in Way:
        acts = ((0.0, Wire(_CUT, (way,))), (15.0, Wire(_FAIR)))
        yield Case(
            name=f"link: only the way {way.value} cut for 15 s", kind=Kind.LINK, acts=acts, after=After.BACK, zero=zero, loopback=True
        )
    comes = tuple((12.0 * at + wait, Wire(weather)) for at in range(5) for wait, weather in ((0.0, _CUT), (3.0, _FAIR)))
    yield Case(name="link: comes and goes", kind=Kind.LINK, acts=comes, after=After.BACK, loopback=True)
    yield Case(
        name="link: each message again 0.3 s later",
        kind=Kind.LINK,
        acts=((0, Tamper(again_after=3)), (40, Tamper())),
        after=After.EITHER,
    )
    yield Case(
        name="link: each message again 4 s later, a late force-off among them",
        kind=Kind.LINK,
        acts=((0, Tamper(again_after=40)), (40, Tamper())),
        after=After.EITHER,
    )
    yield Case(
        name="link: half of each message carried out",
        kind=Kind.LINK,
        acts=((0, Tamper(half=True)), (20, Tamper())),
        after=After.EITHER,
        speaks=_NTCIP,
    )


def _switched(name: str, on: orders.Order, off: orders.Order, after: After, **more: object) -> Case:
    acts = ((0.0, AtCabinet(on)), (30.0, AtCabinet(off)))
    return Case(name=f"cabinet: {name}", kind=Kind.CABINET, acts=acts, after=after, **{"zero": Zero.AT_ONCE, **more})  # type: ignore[arg-type]


def _cabinets() -> Iterator[Case]:
    back, latched = After.BACK, After.LATCHED
    yield Case(name="cabinet: reboot", kind=Kind.CABINET, acts=((0, AtCabinet(orders.Reboot())),), after=latched, zero=Zero.AT_ONCE)
    yield _switched("flash", orders.Flash(True), orders.Flash(False), back)
    yield _switched("conflict flash", orders.ConflictFlash(), orders.ResetMonitor(), latched)
    yield _switched("lamps dark", orders.LampsDark(True), orders.LampsDark(False), latched)
    yield _switched("preemption", orders.Preempt(True), orders.Preempt(False), back)
    yield Case(
        name="cabinet: preemption during a transition",
        kind=Kind.CABINET,
        acts=((0, AtCabinet(orders.Preempt(True, 2))), (30, AtCabinet(orders.Preempt(False, 2)))),
        after=back,
        zero=Zero.AT_ONCE,
        moment=Moment.YELLOW,
    )
    yield Case(
        name="cabinet: preemption twice in a row",
        kind=Kind.CABINET,
        acts=tuple(
            (at, AtCabinet(orders.Preempt(on, number)))
            for at, on, number in ((0.0, True, 1), (15.0, False, 1), (18.0, True, 3), (40.0, False, 3))
        ),
        after=back,
        zero=Zero.AT_ONCE,
    )
    yield _switched("police panel", orders.Police(True), orders.Police(False), back)
    yield _switched("manual control", orders.Manual(True), orders.Manual(False), back)
    yield _switched("locked out by a technician", orders.LockOut(True), orders.LockOut(False), After.AT_CABINET)
    yield _switched("stop time", orders.StopTime(True), orders.StopTime(False), back)
    refused = Zero.BY_BACKUP
    yield _switched("refuses every request", orders.RefuseRequests(True), orders.RefuseRequests(False), back, zero=refused)
    ignored = ((0.0, AtCabinet(orders.IgnoreRequests(True))), (240.0, AtCabinet(orders.IgnoreRequests(False))))
    yield Case(name="cabinet: acknowledges and does nothing", kind=Kind.CABINET, acts=ignored, after=latched)
    yield _switched("another writer", orders.AnotherWriter(True), orders.AnotherWriter(False), latched, zero=Zero.NONE)
    yield _switched("frozen status", orders.FreezeStatus(True), orders.FreezeStatus(False), back, zero=refused)
    yield _switched("backup time set to 0", orders.SetBackupTime(0), orders.SetBackupTime(50), latched, speaks=_NTCIP)
    for name, on, off in (
        ("timing edited", orders.EditTiming(1, 110), orders.EditTiming(1, 70)),
        ("sequence changed", orders.ChangeSequence(True), orders.ChangeSequence(False)),
    ):
        edited: tuple[tuple[float, Act], ...] = ((0, AtCabinet(on)), (120, AtCabinet(off)))
        yield Case(name=f"cabinet: {name}", kind=Kind.CABINET, acts=edited, after=latched, speaks=_NTCIP)
        edited = ((0, Wire(_CUT)), (2, AtCabinet(on)), (6, Wire(_FAIR)), (40, AtCabinet(off)))
        yield Case(
            name=f"cabinet: {name} while the link is cut", kind=Kind.CABINET, acts=edited, after=latched, speaks=_NTCIP, loopback=True
        )
    dark: tuple[tuple[float, Act], ...] = ((0, Wire(_CUT)), (4, AtCabinet(orders.Reboot())), (8, Wire(_FAIR)))
    yield Case(
        name="cabinet: without power for 8 s", kind=Kind.CABINET, acts=dark, after=latched, zero=Zero.BY_BACKUP, loopback=True, patience=60
    )
    acts = ((0.0, Impostor(True)), (30.0, Impostor(False)))
    yield Case(name="cabinet: another cabinet answers", kind=Kind.CABINET, acts=acts, after=latched, zero=refused)
    for seconds in (30.0, -30.0):
        jumps = ((0.0, AtCabinet(orders.JumpClock(seconds))), (40.0, AtCabinet(orders.JumpClock(-seconds))))
        yield Case(name=f"cabinet: its clock {seconds:+g} s", kind=Kind.CABINET, acts=jumps, after=After.KEPT, speaks=_NTCIP)


def _detectors() -> Iterator[Case]:
    for how in DetectorFailure:
        acts = ((0.0, FirstDetector(how)), (120.0, FirstDetector(None)))
        yield Case(name=f"detector: {how.value}", kind=Kind.DETECTOR, acts=acts, after=After.KEPT)
        everywhere = ((0.0, AtCabinet(FailDetector(ALL, how))), (100.0, AtCabinet(MendDetector(ALL))))
        yield Case(name=f"detectors: all {how.value}", kind=Kind.DETECTOR, acts=everywhere, after=After.BACK, patience=240)
    acts = ((0.0, FirstDetector(None, swap=True)), (120.0, FirstDetector(None)))
    yield Case(name="detectors: two swapped", kind=Kind.DETECTOR, acts=acts, after=After.KEPT)
    for how in (DetectorFailure.STUCK, DetectorFailure.DEAD):
        acts = ((0.0, FirstDetector(how, button=True)), (120.0, FirstDetector(None)))
        yield Case(name=f"push button: {how.value}", kind=Kind.DETECTOR, acts=acts, after=After.KEPT, scenario=EIGHT)


def _operators() -> Iterator[Case]:
    kind, back = Kind.OPERATOR, After.BACK
    yield Case(name="operator: plan, withdrawn", kind=kind, acts=((0, Force(Plan(1), 300)), (60, Withdraw())), after=back)
    yield Case(name="operator: plan, until it expires", kind=kind, acts=((0, Force(Plan(1), 60)), (60, Withdraw())), after=back)
    yield Case(name="operator: free, until it expires", kind=kind, acts=((0, Force(Free(), 40)), (40, Withdraw())), after=back)
    yield Case(name="operator: flash, which is not enabled", kind=kind, acts=((0, Force(OrderFlash())), (20, Withdraw())), after=After.KEPT)
    yield Case(
        name="operator: daemon killed while a plan is forced",
        kind=kind,
        acts=((0, Force(Plan(1), 300)), (20, Kill()), (35, Revive()), (80, Withdraw())),
        after=back,
    )
    yield Case(
        name="operator: conflict flash while a plan is forced",
        kind=kind,
        acts=(
            (0, Force(Plan(1), 300)),
            (20, AtCabinet(orders.ConflictFlash())),
            (40, AtCabinet(orders.ResetMonitor())),
            (55, Withdraw()),
        ),
        after=After.LATCHED,
    )
    for mode in (Mode.OFF, Mode.MONITOR, Mode.SHADOW):
        acts = ((0.0, Limit(mode)), (30.0, Limit(Mode.ADAPTIVE)))
        yield Case(name=f"operator: limited to {mode.value}", kind=kind, acts=acts, after=back, zero=Zero.AT_ONCE)


def _hand_overs() -> Iterator[Case]:
    """Let go in each interval, towards each of four."""
    targets: dict[str, tuple[Act, Act]] = {
        "its own plan": (Limit(Mode.MONITOR), Limit(Mode.ADAPTIVE)),
        "free": (Force(Free(), 60), Withdraw()),
        "flash": (AtCabinet(orders.Flash(True)), AtCabinet(orders.Flash(False))),
        "a preemption": (AtCabinet(orders.Preempt(True, 3)), AtCabinet(orders.Preempt(False, 3))),
    }
    for moment in Moment:
        for target, (on, off) in targets.items():
            yield Case(
                name=f"from {moment.value} to {target}",
                kind=Kind.HAND_OVER,
                acts=((0.0, on), (40.0, off)),
                after=After.BACK,
                zero=Zero.NONE if target == "free" else Zero.AT_ONCE,
                moment=moment,
                scenario=EIGHT,
            )


MATRIX: tuple[Case, ...] = (
    *_policies(),
    *_processes(),
    *_links(),
    *_cabinets(),
    *_detectors(),
    *_operators(),
    *_hand_overs(),
)
"""All rows, with names that differ."""

QUICK = (
    "policy: raises an exception",
    "policy: NaN",
    "daemon: killed (kill -9)",
    "cabinet: preemption",
    "cabinet: reboot",
    "cabinet: conflict flash",
)
"""The rows of the quick form: in memory, and over both protocols."""
