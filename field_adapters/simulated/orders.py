"""Faults that can be ordered at a simulated cabinet while it runs.

    CabinetOrder     what happens inside the cabinet: it takes the order by `order`, or says that it cannot
    DetectorOrder    what happens between the street and the cabinet: the host does it, for every kind of cabinet alike

What happens on the wire is not ordered here: see `field_adapters.simulated.proxy`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, get_args

from intersection.errors import ConfigError, UnknownNameError
from intersection.phase import Tenths


# --- inside the cabinet --------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class FreezeStatus:
    """Answer reads with what stood at the moment of the order, while all goes on behind it; or thaw."""

    on: bool


@dataclass(frozen=True, slots=True)
class Reboot:
    """Lose power and start anew; nothing that was requested before holds."""


@dataclass(frozen=True, slots=True)
class JumpClock:
    """Move the cabinet's clock, by which it tells the time and chooses its plan, never its timing of intervals."""

    seconds: float
    """Forward; backward where negative."""


@dataclass(frozen=True, slots=True)
class RefuseRequests:
    """Refuse every write."""

    on: bool


@dataclass(frozen=True, slots=True)
class IgnoreRequests:
    """Acknowledge every write, read it back as written, and do nothing of it."""

    on: bool


@dataclass(frozen=True, slots=True)
class Flash:
    """Flash by schedule or by a technician's switch, or go back through a start-up."""

    on: bool


@dataclass(frozen=True, slots=True)
class ConflictFlash:
    """Let the conflict monitor trip: flash, latched until `ResetMonitor`."""


@dataclass(frozen=True, slots=True)
class ResetMonitor:
    """Reset the latched monitor, as a technician does; the cabinet starts up anew."""


@dataclass(frozen=True, slots=True)
class LampsDark:
    """Lose the lamps' power while the controller goes on, or get it back."""

    on: bool


@dataclass(frozen=True, slots=True)
class Preempt:
    """Begin a preemption, for instance for a train, or end it."""

    on: bool
    number: int = 1
    """Of the preemption, counted from 1; it serves the stage (number - 1) modulo the number of stages."""


@dataclass(frozen=True, slots=True)
class Police:
    """Open the police panel, or close it."""

    on: bool


@dataclass(frozen=True, slots=True)
class Manual:
    """Move the signal by hand at the cabinet, or let go."""

    on: bool


@dataclass(frozen=True, slots=True)
class LockOut:
    """Turn the technician's key that locks remote requests out, or turn it back."""

    on: bool


@dataclass(frozen=True, slots=True)
class StopTime:
    """Stop the cabinet's timing, or let it go on."""

    on: bool


@dataclass(frozen=True, slots=True)
class AnotherWriter:
    """Let somebody else write requests of their own again and again, or let them go away; what they wrote last stays."""

    on: bool


@dataclass(frozen=True, slots=True)
class SetBackupTime:
    """Change the time after which the cabinet forgets requests; 0: never."""

    tenths: Tenths


@dataclass(frozen=True, slots=True)
class ChangeIdentity:
    """Answer as another cabinet would that stands at this address."""

    number: int


@dataclass(frozen=True, slots=True)
class EditTiming:
    """Edit a minimum green at the cabinet's keyboard, live."""

    phase: int
    min_green: Tenths


@dataclass(frozen=True, slots=True)
class ChangeSequence:
    """Let the order of phases change by time of day, or go back to the first."""

    on: bool


CabinetOrder: TypeAlias = (
    FreezeStatus
    | Reboot
    | JumpClock
    | RefuseRequests
    | IgnoreRequests
    | Flash
    | ConflictFlash
    | ResetMonitor
    | LampsDark
    | Preempt
    | Police
    | Manual
    | LockOut
    | StopTime
    | AnotherWriter
    | SetBackupTime
    | ChangeIdentity
    | EditTiming
    | ChangeSequence
)


# --- between the street and the cabinet ----------------------------------------------------------------------------------------------
class DetectorFailure(Enum):
    """How a detector fails."""

    STUCK = "stuck"
    """It always reports a vehicle, or a pressed button."""

    DEAD = "dead"
    """It never reports anything."""

    CHATTERING = "chattering"
    """It counts ten vehicles a second; a button is pressed in every second reading."""

    REPORTED = "reported"
    """It has failed, and its unit knows: the cabinet reports a fault code."""


@dataclass(frozen=True, slots=True)
class FailDetector:
    """Let a detector fail."""

    detector: str
    """Its id, or "all"."""

    how: DetectorFailure


@dataclass(frozen=True, slots=True)
class MendDetector:
    """Let a detector work again, at its own place."""

    detector: str
    """Its id, or "all"."""


@dataclass(frozen=True, slots=True)
class SwapDetectors:
    """Let two detectors call each other's phases, as after a mistake with the cables; `MendDetector` of either ends it."""

    one: str
    other: str


DetectorOrder: TypeAlias = FailDetector | MendDetector | SwapDetectors

ALL = "all"
"""In place of a detector's id: every detector."""


# --- how an order is given -----------------------------------------------------------------------------------------------------------
Order: TypeAlias = CabinetOrder | DetectorOrder


@dataclass(frozen=True, slots=True)
class UnsupportedOrder:
    """The cabinet cannot do this."""

    reason: str


class TakesOrders(Protocol):
    """A cabinet at which faults can be ordered."""

    def order(self, order: CabinetOrder) -> UnsupportedOrder | None:
        """Carry an order out at once, or say why not."""
        ...


def name_of(order: type[Order]) -> str:
    """Give the name by which an order is given in words: `JumpClock` is jump_clock."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", order.__name__).lower()


ORDERS: Mapping[str, type[Order]] = MappingProxyType({name_of(kind): kind for kind in (*get_args(CabinetOrder), *get_args(DetectorOrder))})
"""All orders by name."""


def parse(line: str) -> Order:
    """Read an order in words: its name, then a word for each of its fields, for instance `jump_clock -30` or `preempt on 2`.

    Raises:
        UnknownNameError: there is no such order.
        ConfigError: a word is missing, too many, or cannot be understood.
    """
    name, *words = line.split() or [""]
    if name not in ORDERS:
        raise UnknownNameError("order", name, ORDERS)
    kind = ORDERS[name]
    asked = fields(kind)
    needed = sum(field.default is MISSING for field in asked)
    try:
        if needed <= len(words) <= len(asked):
            return kind(*(_READERS[field.type](word) for field, word in zip(asked, words, strict=False)))
    except (KeyError, ValueError):
        pass
    raise ConfigError("cannot be understood", key="order", value=line.strip(), allowed=usage(kind))


def usage(kind: type[Order]) -> str:
    """Say in words how an order is given."""
    words = [_WORDS.get(field.type, field.name.upper()) for field in fields(kind)]
    return " ".join((name_of(kind), *words))


_SWITCH: Mapping[str, bool] = MappingProxyType({"on": True, "off": False})

_READERS: Mapping[object, Callable[[str], Any]] = MappingProxyType(
    {bool: _SWITCH.__getitem__, int: int, float: float, str: str, DetectorFailure: DetectorFailure}
)

_WORDS: Mapping[object, str] = MappingProxyType({bool: "|".join(_SWITCH), DetectorFailure: "|".join(how.value for how in DetectorFailure)})
