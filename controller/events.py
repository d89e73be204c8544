"""What can happen to a cabinet's control: the faults in one table, the orders of people, and the events of the ladder.

A fault is told to the ladder by `FaultBegan` when it is seen and by `FaultEnded` when it is seen no more. What it does, for how long, and
what the operator reads stands in `FAULTS` and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias

from intersection.errors import ConfigError
from intersection.phase import Tenths


class Mode(Enum):
    """How much of the street is in our hands, from nothing upwards; an operator's order stands apart.

    In every mode but ADAPTIVE, FIXED_TIME and FORCED no request of ours may stand at the cabinet: who leaves these three zeroes what it has
    written, unless the cabinet turns out not to be ours (`controller.mode.may_zero`).
    """

    OFF = "off"
    """Nothing is read and nothing is written."""

    MONITOR = "monitor"
    """The cabinet is read."""

    SHADOW = "shadow"
    """The policy decides, and nothing of it is sent."""

    RELEASED = "released"
    """Every request is zeroed and read back as zero; the cabinet runs its own schedule."""

    FIXED_TIME = "fixed time"
    """Our own plan runs, through the same gate as the policy."""

    ADAPTIVE = "adaptive"
    """The policy runs."""

    FORCED = "forced"
    """What a person has ordered runs."""


class Kind(Enum):
    """Where a fault lies."""

    POLICY = "in the daemon itself"
    LINK = "between the daemon and the cabinet"
    DETECTOR = "in the detectors"
    CABINET = "in the cabinet"
    AUTHORITY = "another hand on the cabinet"


class Ending(Enum):
    """What must happen, once a fault is seen no more, before the mode goes up again."""

    CLEAN = "by itself after the clean minutes, a few times an hour at most"
    REJOIN = "by itself soon after"
    LATCHED = "when a person re-enables"
    AT_CABINET = "when it is cleared at the cabinet"
    NOTED = "nothing: the mode was not lowered"


class Fault(Enum):
    """Everything that may lower the mode, or that an operator should know. The values are written to files: they never change."""

    POLICY_RAISED = "policy raised"
    POLICY_NOT_FINITE = "policy not finite"
    POLICY_GARBAGE = "policy garbage"
    POLICY_LATE = "policy late"
    POLICY_HUNG = "policy hung"
    POLICY_DIED = "policy died"
    POLICY_ILLEGAL_STAGE = "policy illegal stage"
    POLICY_OUT_OF_DISTRIBUTION = "policy out of distribution"
    BUNDLE_MISSING = "bundle missing"
    BUNDLE_REFUSED = "bundle refused"
    FIXED_TIME_FAILED = "fixed time failed"
    FIXED_TIME_OVER = "fixed time over"
    GATE_VIOLATED = "gate violated"
    DAEMON_DIED = "daemon died"
    DAEMON_STALLED = "daemon stalled"
    STATE_LOST = "state lost"
    TICKER_LAG = "ticker lag"
    CLOCK_OFF = "clock off"
    JOURNAL_FULL = "journal full"
    SETTINGS_REFUSED = "settings refused"

    LINK_LOST = "link lost"
    READINGS_STALE = "readings stale"
    READINGS_FROZEN = "readings frozen"
    REPLY_GARBLED = "reply garbled"
    REQUEST_REFUSED = "request refused"
    REQUEST_NOT_ECHOED = "request not echoed"
    REQUEST_WITHOUT_EFFECT = "request without effect"
    REQUEST_LEFT_BEHIND = "request left behind"
    BACKUP_EXPIRED = "backup expired"

    DETECTOR_FAILED = "detector failed"
    DETECTOR_MISPLACED = "detector misplaced"
    BUTTON_FAILED = "button failed"
    DETECTORS_FAILED = "detectors failed"

    CONFLICT_FLASH = "conflict flash"
    FLASH = "flash"
    STOP_TIME = "stop time"
    COORDINATED = "coordinated"
    SEQUENCE_CHANGED = "sequence changed"
    REBOOTED = "rebooted"
    DATABASE_CHANGED = "database changed"
    IDENTITY_CHANGED = "identity changed"
    TIMINGS_DIFFER = "timings differ"
    TIMINGS_UNAPPROVED = "timings unapproved"
    BACKUP_TIME_ZERO = "backup time zero"
    BACKUP_TIME_LONG = "backup time long"
    LAMP_POWER_LOST = "lamp power lost"
    DISOBEYED = "disobeyed"
    DISOBEYED_AGAIN = "disobeyed again"
    STREET_DISAGREES = "street disagrees"
    WALK_NOT_SERVED = "walk not served"

    PREEMPT = "preempt"
    POLICE = "police"
    LOCAL_MANUAL = "local manual"
    REMOTE_MANUAL = "remote manual"
    LOCAL_LOCK_OUT = "local lock-out"
    ANOTHER_WRITER = "another writer"
    ANOTHER_DAEMON = "another daemon"


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """One row of the table: what a fault does, and the words for it."""

    drops_to: Mode | None
    """The highest of RELEASED, FIXED_TIME and MONITOR that it leaves; None where it is only noted."""

    kind: Kind
    """Where it lies."""

    ending: Ending
    """What brings the mode up again after it."""

    momentary: bool = False
    """Whether it happens at an instant, so that nobody will see it end."""

    what: str
    """What happened."""

    street: str
    """What the street does now."""

    ends: str
    """What ends it."""


_OWN_PLAN = "The street runs our fixed-time plan."
_RELEASED = "The cabinet runs its own schedule; every request of ours is zero."
_HANDS_OFF = "The cabinet runs its own schedule; we only read, and our last requests lapse with its backup time."
_UNCHANGED = "Nothing changes in the street."

_BY_ITSELF = "It ends by itself: the mode goes up again after some clean minutes."
_PERSON = "It stays until a person has looked into it and re-enables."


def _policy(what: str, *, momentary: bool = False, ends: str = _BY_ITSELF) -> Effect:
    """Write the row of a fault of the policy: our plan takes over, and the policy comes back after some clean minutes."""
    drops_to, kind, ending = Mode.FIXED_TIME, Kind.POLICY, Ending.CLEAN
    return Effect(drops_to=drops_to, kind=kind, ending=ending, momentary=momentary, what=what, street=_OWN_PLAN, ends=ends)


def _link(what: str, *, momentary: bool = False, street: str = _RELEASED, ends: str = _BY_ITSELF) -> Effect:
    """Write the row of a fault of the link: the cabinet is released, and taken up again after some clean minutes."""
    drops_to, kind, ending = Mode.RELEASED, Kind.LINK, Ending.CLEAN
    return Effect(drops_to=drops_to, kind=kind, ending=ending, momentary=momentary, what=what, street=street, ends=ends)


def _latched(
    what: str, kind: Kind, *, drops_to: Mode = Mode.RELEASED, momentary: bool = False, street: str = _RELEASED, ends: str = _PERSON
) -> Effect:
    """Write the row of a fault after which only a person gives the street back to us."""
    return Effect(drops_to=drops_to, kind=kind, ending=Ending.LATCHED, momentary=momentary, what=what, street=street, ends=ends)


def _yields(what: str, kind: Kind, *, street: str, ends: str) -> Effect:
    """Write the row of something that goes before us by right: we let go at once, and come back soon after it ends."""
    return Effect(drops_to=Mode.RELEASED, kind=kind, ending=Ending.REJOIN, what=what, street=street, ends=ends)


def _noted(what: str, kind: Kind, *, momentary: bool = False, street: str = _UNCHANGED, ends: str) -> Effect:
    """Write the row of something that an operator should know and that lowers nothing."""
    return Effect(drops_to=None, kind=kind, ending=Ending.NOTED, momentary=momentary, what=what, street=street, ends=ends)


STREET: Mapping[Mode, str] = MappingProxyType(
    {
        Mode.OFF: "The cabinet runs its own schedule; nothing is read and nothing is asked of it.",
        Mode.MONITOR: "The cabinet runs its own schedule; it is only read.",
        Mode.SHADOW: "The cabinet runs its own schedule; the policy decides, and nothing of it is sent.",
        Mode.RELEASED: _RELEASED,
        Mode.FIXED_TIME: _OWN_PLAN,
        Mode.ADAPTIVE: "The policy chooses the stages.",
        Mode.FORCED: "The street runs what a person has ordered.",
    }
)
"""What the street does in each mode, where no fault says more."""


FAULTS: Mapping[Fault, Effect] = MappingProxyType(
    {
        # In the daemon itself.
        Fault.POLICY_RAISED: _policy("The policy failed with an error.", momentary=True),
        Fault.POLICY_NOT_FINITE: _policy("The policy answered with something that is not a number.", momentary=True),
        Fault.POLICY_GARBAGE: _policy("The policy's answer could not be read.", momentary=True),
        Fault.POLICY_LATE: _policy("The policy did not answer in time.", momentary=True),
        Fault.POLICY_HUNG: _policy("The policy has stopped answering.", ends="It ends some clean minutes after the policy answers again."),
        Fault.POLICY_DIED: _policy("The policy's process has ended.", ends="It ends some clean minutes after the policy runs again."),
        Fault.POLICY_ILLEGAL_STAGE: _policy("The policy asked for a stage that does not exist or is not allowed.", momentary=True),
        Fault.POLICY_OUT_OF_DISTRIBUTION: _policy(
            "The traffic is unlike anything the policy was trained on.", ends="It ends some clean minutes after traffic is usual again."
        ),
        Fault.BUNDLE_MISSING: _policy("No policy is loaded.", ends="It ends some clean minutes after a policy has been loaded."),
        Fault.BUNDLE_REFUSED: _policy(
            "The policy's bundle is damaged, unsigned or made for another intersection.",
            ends="It ends some clean minutes after a sound bundle has been loaded.",
        ),
        Fault.FIXED_TIME_FAILED: Effect(
            drops_to=Mode.RELEASED,
            kind=Kind.POLICY,
            ending=Ending.CLEAN,
            momentary=True,
            what="Our fixed-time plan failed with an error.",
            street=_RELEASED,
            ends=_BY_ITSELF,
        ),
        Fault.FIXED_TIME_OVER: Effect(
            drops_to=Mode.RELEASED,
            kind=Kind.POLICY,
            ending=Ending.CLEAN,
            momentary=True,
            what="Our fixed-time plan has stood in for as long as it may.",
            street=_RELEASED,
            ends=_BY_ITSELF,
        ),
        Fault.GATE_VIOLATED: _latched("Something passed the gate that it forbids, or passed it by.", Kind.POLICY, momentary=True),
        Fault.DAEMON_DIED: Effect(
            drops_to=Mode.RELEASED,
            kind=Kind.POLICY,
            ending=Ending.CLEAN,
            momentary=True,
            what="The daemon ended without letting go first, and was started again; the cabinet had released itself meanwhile.",
            street=_RELEASED,
            ends=_BY_ITSELF,
        ),
        Fault.DAEMON_STALLED: Effect(
            drops_to=Mode.RELEASED,
            kind=Kind.POLICY,
            ending=Ending.CLEAN,
            what="The daemon cannot keep its own time.",
            street=_RELEASED,
            ends=_BY_ITSELF,
        ),
        Fault.STATE_LOST: _latched(
            "The daemon's record of its mode could not be read: it does not know what was latched.", Kind.POLICY, momentary=True
        ),
        Fault.TICKER_LAG: _noted("A tick came late.", Kind.POLICY, momentary=True, ends="It is over already."),
        Fault.CLOCK_OFF: _noted(
            "The clocks of the daemon and the cabinet differ by more than is allowed.",
            Kind.POLICY,
            street="Nothing changes in the street, but plans would run with a wrong offset.",
            ends="It ends when the clocks agree.",
        ),
        Fault.JOURNAL_FULL: _noted("The journal cannot be written.", Kind.POLICY, ends="It ends when there is room on the disk."),
        Fault.SETTINGS_REFUSED: _noted(
            "New settings were refused; the old ones stay in force.", Kind.POLICY, ends="It ends when sound settings have been loaded."
        ),
        # Between the daemon and the cabinet.
        Fault.LINK_LOST: _link(
            "The cabinet does not answer.",
            street="The cabinet runs its own schedule as soon as its backup time has passed.",
            ends="It ends some clean minutes after the cabinet answers again.",
        ),
        Fault.READINGS_STALE: _link(
            "The cabinet's readings are too old.", ends="It ends some clean minutes after the readings are fresh again."
        ),
        Fault.READINGS_FROZEN: _link(
            "The cabinet answers, but its readings do not move.", ends="It ends some clean minutes after the readings move again."
        ),
        Fault.REPLY_GARBLED: _link("The cabinet's answer could not be read.", momentary=True),
        Fault.REQUEST_REFUSED: _link("The cabinet refused a request.", momentary=True),
        Fault.REQUEST_NOT_ECHOED: _link("The cabinet did not read back what was written.", momentary=True),
        Fault.REQUEST_WITHOUT_EFFECT: _link("The cabinet acknowledged a request, and nothing came of it.", momentary=True),
        Fault.REQUEST_LEFT_BEHIND: _link("A request of ours still stood at the cabinet after we had let go.", momentary=True),
        Fault.BACKUP_EXPIRED: _link(
            "The cabinet's backup time ran out between two of our requests.", ends="It ends some clean minutes after it hears us again."
        ),
        # In the detectors.
        Fault.DETECTOR_FAILED: _noted(
            "A detector has failed; the policy does without it, and its phase is recalled.",
            Kind.DETECTOR,
            street="The detector's phase is served whether or not anybody waits.",
            ends="It ends when the detector works again.",
        ),
        Fault.DETECTOR_MISPLACED: _noted(
            "A detector seems to call another phase than its own; the policy does without it.",
            Kind.DETECTOR,
            street="The detector's phase is served whether or not anybody waits.",
            ends="It ends when the detector agrees with its neighbours.",
        ),
        Fault.BUTTON_FAILED: _noted(
            "A push button is stuck or dead; its walk is recalled.",
            Kind.DETECTOR,
            street="The walk is served in every cycle.",
            ends="It ends when the button works again.",
        ),
        Fault.DETECTORS_FAILED: Effect(
            drops_to=Mode.FIXED_TIME,
            kind=Kind.DETECTOR,
            ending=Ending.CLEAN,
            what="Too many detectors have failed for the policy to see the street.",
            street=_OWN_PLAN,
            ends="It ends some clean minutes after enough detectors work again.",
        ),
        # In the cabinet.
        Fault.CONFLICT_FLASH: _latched(
            "The cabinet's monitor has put the signals into flash.",
            Kind.CABINET,
            street="The signals flash, held by the cabinet's monitor.",
            ends="A technician resets the monitor at the cabinet; then a person re-enables.",
        ),
        Fault.FLASH: _yields(
            "The cabinet flashes by its own schedule or by command.",
            Kind.CABINET,
            street="The signals flash.",
            ends="It ends by itself soon after the flash ends.",
        ),
        Fault.STOP_TIME: _yields(
            "Stop time is applied at the cabinet.",
            Kind.CABINET,
            street="The signals stand still.",
            ends="It ends by itself soon after stop time is lifted.",
        ),
        Fault.COORDINATED: _yields(
            "The cabinet is not in free operation under system control: its own coordinator would fight ours.",
            Kind.CABINET,
            street="The cabinet runs a plan of its own; every request of ours is zero.",
            ends="It ends by itself soon after the cabinet is free again.",
        ),
        Fault.SEQUENCE_CHANGED: _latched("The cabinet serves its phases in another sequence than the commissioned one.", Kind.CABINET),
        Fault.REBOOTED: _latched("The cabinet has restarted.", Kind.CABINET, momentary=True),
        Fault.DATABASE_CHANGED: _latched("The cabinet's database is not the commissioned one.", Kind.CABINET),
        Fault.IDENTITY_CHANGED: _latched(
            "Another cabinet answers at this cabinet's address.", Kind.CABINET, drops_to=Mode.MONITOR, street=_HANDS_OFF
        ),
        Fault.TIMINGS_DIFFER: _latched("The cabinet's timings are not those of the intersection's file.", Kind.CABINET),
        Fault.TIMINGS_UNAPPROVED: _latched(
            "Nobody has approved the timings that are in use.",
            Kind.CABINET,
            ends="The timing sheet is approved and its digest entered; then a person re-enables.",
        ),
        Fault.BACKUP_TIME_ZERO: _latched(
            "The cabinet's backup time is zero: it would keep our requests for ever if we died.",
            Kind.CABINET,
            ends="The agency sets a backup time at the cabinet; then a person re-enables.",
        ),
        Fault.BACKUP_TIME_LONG: _latched(
            "The cabinet's backup time is above the limit.",
            Kind.CABINET,
            ends="The agency shortens the backup time at the cabinet; then a person re-enables.",
        ),
        Fault.LAMP_POWER_LOST: _latched("The lamps have lost their power.", Kind.CABINET, street="The signals are dark or dim."),
        Fault.DISOBEYED: _noted(
            "The cabinet did not arrive where it was asked to go.",
            Kind.CABINET,
            momentary=True,
            street="Our requests were zeroed, and are planned anew.",
            ends="It is over unless it happens again soon.",
        ),
        Fault.DISOBEYED_AGAIN: _latched("The cabinet did not do what it was asked, twice within minutes.", Kind.CABINET, momentary=True),
        Fault.STREET_DISAGREES: _latched("The cabinet reads back what was asked, and the street shows something else.", Kind.CABINET),
        Fault.WALK_NOT_SERVED: _latched("A walk that was asked for has not been shown within its longest wait.", Kind.CABINET),
        # Another hand on the cabinet.
        Fault.PREEMPT: _yields(
            "A preemption runs: a train, an emergency vehicle or a bus goes first.",
            Kind.AUTHORITY,
            street="The cabinet serves the preemption.",
            ends="It ends by itself soon after the preemption.",
        ),
        Fault.POLICE: _yields(
            "The police control the signals by hand.",
            Kind.AUTHORITY,
            street="The street runs as the police direct.",
            ends="It ends by itself soon after the police hand back.",
        ),
        Fault.LOCAL_MANUAL: _yields(
            "Somebody controls the signals by hand at the cabinet.",
            Kind.AUTHORITY,
            street="The street runs as it is directed at the cabinet.",
            ends="It ends by itself soon after manual control ends.",
        ),
        Fault.REMOTE_MANUAL: _yields(
            "Somebody controls the signals by hand from a centre.",
            Kind.AUTHORITY,
            street="The street runs as the centre directs.",
            ends="It ends by itself soon after manual control ends.",
        ),
        Fault.LOCAL_LOCK_OUT: Effect(
            drops_to=Mode.RELEASED,
            kind=Kind.AUTHORITY,
            ending=Ending.AT_CABINET,
            what="A technician has locked us out at the cabinet.",
            street=_RELEASED,
            ends="The lock-out is cleared at the cabinet, and only there.",
        ),
        Fault.ANOTHER_WRITER: _latched("Somebody else writes to the cabinet.", Kind.AUTHORITY),
        Fault.ANOTHER_DAEMON: _latched(
            "Another daemon of ours controls this cabinet.",
            Kind.AUTHORITY,
            drops_to=Mode.MONITOR,
            street="The street runs as the other daemon asks; we only read.",
            ends="The other daemon is ended; then a person re-enables.",
        ),
    }
)


# ---------------------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Plan:
    """Run a pattern.

    Raises:
        ConfigError: there is no such pattern number; 254 and 255 mean free and flash to a cabinet and are not patterns.
    """

    pattern: int

    def __post_init__(self) -> None:
        if not 1 <= self.pattern <= 253:
            raise ConfigError("a pattern's number is out of range", key="order.pattern", value=self.pattern, allowed="1..253")


@dataclass(frozen=True, slots=True)
class Free:
    """Run free."""


@dataclass(frozen=True, slots=True)
class Flash:
    """Flash until a person ends it."""


Ordered: TypeAlias = Plan | Free | Flash


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a person orders for one signal. It outranks the policy, never the gate and never a higher fault.

    Raises:
        ConfigError: nobody gives it, or for no reason.
    """

    what: Ordered
    operator: str
    reason: str
    expires: Tenths | None = None
    """The instant at which it ends by itself, in tenths of a second; None for flash, and only for flash."""

    def __post_init__(self) -> None:
        _require_words("order", operator=self.operator, reason=self.reason)


class Place(Enum):
    """Where a person stands."""

    AT_CABINET = "at the cabinet"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing has happened but time. Only a tick raises the mode step by step."""


@dataclass(frozen=True, slots=True)
class Started:
    """The daemon has started, with a new state or a restored one."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Every precondition has been read once since the start, and what was found wrong has been told."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The daemon has let go of the cabinet and ends."""


@dataclass(frozen=True, slots=True)
class FaultBegan:
    """A fault has happened, or is seen."""

    fault: Fault
    detail: str = ""
    """Which detector, which value: a few words for the operator."""


@dataclass(frozen=True, slots=True)
class FaultEnded:
    """A fault is seen no more."""

    fault: Fault


@dataclass(frozen=True, kw_only=True, slots=True)
class ReEnabled:
    """A person has looked into what was latched, and gives the street back.

    Raises:
        ConfigError: nobody does it, or for no reason.
    """

    operator: str
    reason: str

    def __post_init__(self) -> None:
        _require_words("re-enable", operator=self.operator, reason=self.reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitSet:
    """A person caps the mode, or lifts the cap.

    Raises:
        ConfigError: nobody does it, or for no reason, or the mode is none that caps.
    """

    limit: Mode
    """OFF, MONITOR, SHADOW, or ADAPTIVE for no cap."""

    operator: str
    reason: str

    def __post_init__(self) -> None:
        require_limit("limit", self.limit)
        _require_words("limit", operator=self.operator, reason=self.reason)


@dataclass(frozen=True, slots=True)
class OrderGiven:
    """A person orders what the signal is to run."""

    order: Order


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderWithdrawn:
    """A person ends an order.

    Raises:
        ConfigError: nobody does it, or for no reason.
    """

    operator: str
    reason: str

    def __post_init__(self) -> None:
        _require_words("withdrawal", operator=self.operator, reason=self.reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class LockOutCleared:
    """A technician clears the lock-out.

    Raises:
        ConfigError: nobody does it.
    """

    technician: str
    place: Place

    def __post_init__(self) -> None:
        _require_words("lock-out", technician=self.technician)


Event: TypeAlias = (
    Tick | Started | Checked | Stopped | FaultBegan | FaultEnded | ReEnabled | LimitSet | OrderGiven | OrderWithdrawn | LockOutCleared
)


LIMITS = (Mode.OFF, Mode.MONITOR, Mode.SHADOW, Mode.ADAPTIVE)
"""The modes that a person or the configuration may cap at; ADAPTIVE is no cap."""


def require_limit(key: str, limit: Mode) -> None:
    """Refuse a mode that cannot cap.

    Raises:
        ConfigError: the mode is FIXED_TIME, RELEASED or FORCED.
    """
    if limit not in LIMITS:
        raise ConfigError("not a mode to cap at", key=key, value=limit.value, allowed=", ".join(mode.value for mode in LIMITS))


def _require_words(of: str, **words: str) -> None:
    for key, value in words.items():
        if not value.strip():
            raise ConfigError("this must be said", key=f"{of}.{key}", value=value, allowed="a few words")
