"""The seam to a cabinet: how one is read, asked for something, and let go.

    FieldAdapter.open()                 look at the cabinet before anything is asked of it
    FieldAdapter.read()    -> Poll      what it shows, what waits, what stands against us
    FieldAdapter.apply()   -> Applied   bring it towards what is wanted; called again at each tick while that stands
    FieldAdapter.release() -> Released  zero every request, and read back that it is zero
    FieldAdapter.close()

`now` is the caller's steady clock, in tenths of a second. `deadline` is an instant of the event loop's clock (`loop.time()`), in seconds;
whatever is asked, an answer is there when it passes. What a cabinet answers, or does not, is a value of a closed union; nothing here raises
for it. An adapter asks for nothing by itself: between two calls of `apply` it renews nothing, so a caller that dies is forgotten by the
cabinet within its backup or watchdog time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias

from intersection.detection import Readings
from intersection.measured import Report
from intersection.phase import Tenths
from intersection.shield import Command
from intersection.state import FREE, IntersectionState
from intersection.transition import Step


class Condition(Enum):
    """What stands at a cabinet, or is wrong with it, in a few words. `controller.watchdog` says what follows from each."""

    CONFLICT_FLASH = "its monitor has put it into flash"
    FLASH = "it flashes"
    STOP_TIME = "its timing is stopped"
    COORDINATED = "it runs a pattern that we did not ask for"
    SEQUENCE_CHANGED = "its order of phases has changed"
    REBOOTED = "it has started anew"
    DATABASE_CHANGED = "its database has changed"
    IDENTITY_CHANGED = "it is another cabinet"
    TIMINGS_DIFFER = "its timings are not those of the configuration"
    BACKUP_TIME_ZERO = "its backup time is 0"
    BACKUP_TIME_LONG = "its backup time is longer than allowed"
    BACKUP_EXPIRED = "its backup time has run out"
    LAMP_POWER_LOST = "its lamps are dark"
    PREEMPT = "a preemption runs"
    POLICE = "the police panel is in use"
    LOCAL_MANUAL = "it is moved by hand at the cabinet"
    REMOTE_MANUAL = "it is moved by hand from elsewhere"
    LOCAL_LOCK_OUT = "a technician has locked us out"
    ANOTHER_WRITER = "it holds requests that we did not write"
    REQUEST_LEFT_BEHIND = "it holds a request of ours after we let go"
    STREET_DISAGREES = "it shows what this configuration never shows"
    CLOCK_OFF = "its clock is off"


class DetectorTrouble(Enum):
    """What a cabinet says is wrong with a detector. The names are those of `controller.detectors.FieldFault`."""

    MAX_PRESENCE = "occupied longer than its limit"
    NO_ACTIVITY = "silent longer than its limit"
    OPEN_LOOP = "loop is open"
    SHORTED_LOOP = "loop is shorted"
    EXCESSIVE_CHANGE = "inductance changed too much"
    WATCHDOG = "its unit's watchdog failed"
    ERRATIC = "erratic counts"
    OTHER = "a fault without a name"


class Trouble(Enum):
    """Why nothing came of a message. The names are those of `controller.events.Fault`."""

    LINK_LOST = "no answer"
    REPLY_GARBLED = "an answer that cannot be read"
    REQUEST_REFUSED = "refused"
    REQUEST_NOT_ECHOED = "written, and read back as something else"
    REQUEST_LEFT_BEHIND = "still there after it was zeroed"
    IDENTITY_CHANGED = "another cabinet answers"


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing came of it, and there is nothing that could be taken for a value."""

    trouble: Trouble
    detail: str = ""


# --- what is read --------------------------------------------------------------------------------------------------------------------
class PlanStep(Enum):
    """How far a plan has come that was asked for."""

    ACCEPTED = "accepted"
    IN_TRANSITION = "in transition"
    IN_STEP = "in step"


@dataclass(frozen=True, kw_only=True, slots=True)
class Poll:
    """What a cabinet said at one poll."""

    report: Report
    """Lamps, stage, pedestrian calls, pattern and display. Its vehicle calls are left 0: who waits is found from the readings."""

    readings: Readings | None = None
    """All detectors since the readings before; None where they were not asked for, or no new report was there."""

    over: Tenths = 0
    """The time that the readings cover, in tenths of a second."""

    reported: Mapping[str, DetectorTrouble] = field(default_factory=dict)
    """The detectors that the cabinet itself says have failed, by id; kept from poll to poll until it says otherwise."""

    conditions: Mapping[Condition, str] = field(default_factory=dict)
    """What stands against us now, each with a detail for the operator."""

    requests: bool = False
    """Whether a request stands at the cabinet, ours or another's."""

    plan: int = FREE
    """The pattern that it runs, or FREE."""

    plan_step: PlanStep = PlanStep.IN_STEP
    cycles_left: int = 0
    """How many cycles a transition into step is expected still to take, at most."""

    backup_left: Tenths | None = None
    """What is left of its backup or watchdog time, where it says so, in tenths of a second."""

    clock: float | None = None
    """Its wall clock, in seconds since 1970 UTC, where it was asked."""


# --- what is asked for ---------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class GoTo:
    """Hold the command's stage, or go to it."""

    command: Command
    decided: Tenths
    """When the decision was made that stands behind it: the proof that somebody still decides."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Run the command's pattern by the cabinet's own coordinator."""

    command: Command
    decided: Tenths


@dataclass(frozen=True, slots=True)
class RunFree:
    """Run free, by the cabinet's own calls and times."""

    decided: Tenths


@dataclass(frozen=True, slots=True)
class RunFlash:
    """Flash. Only ever a person's order."""

    decided: Tenths


Wanted: TypeAlias = GoTo | RunPlan | RunFree | RunFlash


@dataclass(frozen=True, slots=True)
class Applied:
    """What is wanted stands at the cabinet, as far as it is time for it."""

    step: Step
    """How far the change of stage has come; ARRIVED where nothing is to change. MISSED is told once, after which all is zeroed."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """It was not sent, for a reason of ours: the decision is too old, or this cabinet cannot do it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """Every request is zero, and was read back as zero."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """The cabinet was looked at."""

    conditions: Mapping[Condition, str] = field(default_factory=dict)
    """What forbids to ask anything of it: another cabinet, other timings, no backup time."""

    notes: tuple[str, ...] = ()
    """What a technician should know: optional objects that are missing, what the profile works around."""

    backup: Tenths | None = None
    """After what time without a request it goes back to its own plan, in tenths of a second."""

    identity: str = ""
    """What it says that it is, where its protocol has words for it."""


class FieldAdapter(Protocol):
    """One cabinet, whatever it speaks. `tests/field_adapters/adapter_contract.py` holds what each implementation must keep."""

    async def open(self, now: Tenths, deadline: float) -> Opened | Failed:
        """Look at the cabinet before anything is asked of it, at the start and after each loss of the link. It writes nothing."""
        ...

    async def read(self, now: Tenths, deadline: float, *, detectors: bool) -> Poll | Failed:
        """Read the cabinet.

        Args:
            now: the instant that the poll stands for.
            deadline: when an answer must be there.
            detectors: whether the detectors are read too.
        """
        ...

    async def apply(self, wanted: Wanted, state: IntersectionState, now: Tenths, deadline: float) -> Applied | Withheld | Failed:
        """Bring the cabinet towards what is wanted. It is called at each tick while that stands, after `read`.

        Args:
            wanted: what the gate made of the last proposal, or what a person has ordered.
            state: the signal as measured at `now`.
            now: the instant.
            deadline: when an answer must be there.
        """
        ...

    async def release(self, now: Tenths, deadline: float) -> Released | Failed:
        """Zero every request and read back that it is zero. It is repeated until it succeeds; it needs no decision."""
        ...

    def close(self) -> None:
        """Let go of the link; twice is once. It writes nothing: `release` first."""
        ...
