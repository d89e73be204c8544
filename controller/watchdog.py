"""What was seen at a tick becomes the faults that the ladder is told of: as they begin, and as they end.

    poll, answers, clocks --> the faults that stand now --told--> FaultBegan, FaultEnded

Pure: what is remembered between ticks is handed in and out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from controller.events import FAULTS, Fault, FaultBegan, FaultEnded
from field_adapters._base import Condition, Failed, Opened, Poll, Trouble
from intersection.errors import ConfigError
from intersection.phase import Tenths
from intersection.state import NEVER, IntersectionState
from intersection.tables import Tables, bits

OF_CONDITION: Mapping[Condition, Fault] = MappingProxyType({condition: Fault[condition.name] for condition in Condition})
OF_TROUBLE: Mapping[Trouble, Fault] = MappingProxyType({trouble: Fault[trouble.name] for trouble in Trouble})

Standing: TypeAlias = Mapping[Fault, str]
"""The faults that stand, each with a few words of detail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How long something may be missing before it is a fault, in tenths of a second.

    Raises:
        ConfigError: a time is out of its range.
    """

    silence: Tenths = 10
    """A cabinet that has not answered for this long is lost."""

    stale: Tenths = 30
    """Readings of detectors that are older are worth nothing."""

    frozen: Tenths = 100
    """A cabinet whose clock has not moved for this long does not live."""

    walk: Tenths = 50
    """By how much a walk may come later than its maximum wait: what messages and clearances cost."""

    stall: Tenths = 10
    """A daemon that missed its ticks for this long cannot keep time."""

    def __post_init__(self) -> None:
        for key in ("silence", "stale", "frozen", "walk", "stall"):
            if getattr(self, key) < 1:
                raise ConfigError("a bound must be above zero", key=f"bounds.{key}", value=getattr(self, key), allowed="1 or more")


class Link(NamedTuple):
    """What is remembered of the link to a cabinet. Instants in tenths of a second."""

    answered: Tenths
    """When it last answered."""

    read: Tenths
    """When its detectors last reported."""

    clock: float | None = None
    """What its wall clock said last."""

    moved: Tenths = NEVER
    """When that was last another value."""

    why: str = ""
    """What the last message came to that had no answer."""


def heard(link: Link, poll: Poll | Failed, now: Tenths) -> Link:
    """Take in what came of a poll."""
    if isinstance(poll, Failed):
        return link._replace(why=poll.detail or poll.trouble.value)
    read = now if poll.readings is not None else link.read
    if poll.clock is None or poll.clock == link.clock:
        return link._replace(answered=now, read=read, why="")
    return Link(answered=now, read=read, clock=poll.clock, moved=now)


def of_link(link: Link, now: Tenths, bounds: Bounds) -> dict[Fault, str]:
    """Say what is wrong with a link."""
    found: dict[Fault, str] = {}
    if now - link.answered >= bounds.silence:
        found[Fault.LINK_LOST] = link.why
    elif now - link.read >= bounds.stale:
        found[Fault.READINGS_STALE] = f"{(now - link.read) / 10:.1f} s old"
    elif link.clock is not None and now - link.moved >= bounds.frozen:
        found[Fault.READINGS_FROZEN] = f"its clock has stood still for {(now - link.moved) / 10:.1f} s"
    return found


def of_cabinet(poll: Poll | Opened) -> dict[Fault, str]:
    """Say what stands at a cabinet."""
    return {OF_CONDITION[condition]: detail for condition, detail in poll.conditions.items()}


def of_walks(state: IntersectionState, tables: Tables, bounds: Bounds) -> dict[Fault, str]:
    """Say which walk has been asked for and not shown within its longest wait."""
    late = [
        tables.groups[group].name or str(tables.groups[group].number)
        for group in bits(state.ped_calls)
        if state.ped_called[group] != NEVER and state.now > state.ped_called[group] + tables.groups[group].ped_max_wait + bounds.walk
    ]
    return {Fault.WALK_NOT_SERVED: ", ".join(late)} if late else {}


def told(before: Standing, now: Standing) -> list[FaultBegan | FaultEnded]:
    """List what the ladder must be told. What is momentary is told when it is first seen, and never to end."""
    began = [FaultBegan(fault, detail) for fault, detail in now.items() if fault not in before]
    return [*began, *(FaultEnded(fault) for fault in before if fault not in now and not FAULTS[fault].momentary)]
