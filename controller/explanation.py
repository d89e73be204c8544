"""Says in plain words why the ladder stands where it stands, since when, and what would raise it."""

from dataclasses import dataclass
from typing import assert_never

from controller.events import FAULTS, STREET, Flash, Free, Kind, Mode, Order, Ordered, Plan
from controller.mode import Cause, LadderSettings, LadderState, Readiness, cap, next_rise
from intersection.phase import Tenths
from intersection.state import FOREVER


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """What an operator reads about one signal."""

    mode: Mode
    lasted: Tenths
    """How long the mode has been in force, in tenths of a second."""

    why: tuple[str, ...]
    """What put it there, what weighs most in front."""

    street: str
    """What the street does now."""

    raises: tuple[str, ...]
    """What would raise the mode, or end it; all of these must happen."""

    notes: tuple[str, ...] = ()
    """What an operator should know besides."""

    def __str__(self) -> str:
        """Write it all, a line each."""
        head = f"{self.mode.name} for {in_words(self.lasted)}"
        return "\n".join((head, *self.why, self.street, *self.raises, *(f"Note: {note}" for note in self.notes)))


def explain(state: LadderState, now: Tenths, settings: LadderSettings) -> Explanation:
    """Say why the ladder stands where it stands.

    Args:
        state: where it stands.
        now: the instant, in tenths of a second; not before the last step.
        settings: how far and how fast it is climbed.
    """
    lowering = sorted((cause for cause in state.causes if cause.lowers), key=_weight)
    return Explanation(
        mode=state.mode,
        lasted=now - state.since,
        why=_why(state, lowering, now, settings),
        street=_street(state, lowering),
        raises=_raises(state, lowering, now, settings),
        notes=tuple(_told(cause, now) for cause in state.causes if not cause.lowers),
    )


def in_words(duration: Tenths) -> str:
    """Write a duration in its two largest units; a started second counts as one."""
    seconds = -(-duration // 10)
    minutes, hours, days = seconds // 60, seconds // 3_600, seconds // 86_400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def ordered(what: Ordered) -> str:
    """Name what an order is for."""
    match what:
        case Plan(pattern=pattern):
            return f"plan {pattern}"
        case Free():
            return "free operation"
        case Flash():
            return "flash"
        case _:
            assert_never(what)


def _weight(cause: Cause) -> tuple[int, bool, Tenths]:
    """Rank a cause: what drops lowest first, then what is still there, then the oldest."""
    modes = (None, Mode.MONITOR, Mode.RELEASED, Mode.FIXED_TIME)
    return modes.index(FAULTS[cause.fault].drops_to), not cause.blocks, cause.since


def _told(cause: Cause, now: Tenths) -> str:
    """Tell one fault: what, which, how long ago, and whether it is still seen."""
    detail = f" ({cause.detail})" if cause.detail else ""
    seen = "seen for" if cause.present else "seen"
    ago = "" if cause.present else " ago"
    return f"{FAULTS[cause.fault].what[:-1]}{detail}, {seen} {in_words(now - cause.since)}{ago}."


def _why(state: LadderState, lowering: list[Cause], now: Tenths, settings: LadderSettings) -> tuple[str, ...]:
    why: list[str] = []
    if state.order is not None:
        why.append(_order(state.order, standing=state.mode is Mode.FORCED))
        if state.resumed:
            why.append("The order was taken up again after the daemon was started anew; the cabinet had released itself meanwhile.")
    if state.readiness is Readiness.STOPPED:
        why.append("The daemon is stopped.")
    if state.readiness is Readiness.UNCHECKED and state.rung is not Mode.OFF:
        why.append("The cabinet has not been checked yet.")
    limit = cap(state, settings)
    if limit is state.limit and limit is not Mode.ADAPTIVE:
        why.append(f"The mode is capped at {limit.name} by {state.limited_by}: {state.limit_reason}.")
    elif limit is not Mode.ADAPTIVE:
        why.append(f"The mode is capped at {limit.name} by the configuration.")
    why += (_told(cause, now) for cause in lowering)
    return tuple(why) or ("Nothing is wrong.",)


def _order(order: Order, *, standing: bool) -> str:
    waits = "" if standing else ", which waits until the cabinet has been checked"
    return f"{order.operator} has ordered {ordered(order.what)}{waits}: {order.reason}."


def _street(state: LadderState, lowering: list[Cause]) -> str:
    if state.mode is Mode.FORCED and state.order is not None:
        return f"The street runs {ordered(state.order.what)}, as a person has ordered."
    for cause in lowering:
        effect = FAULTS[cause.fault]
        # Whatever the mode, the cabinet and its other masters do what they do; our own doing follows from the mode.
        if cause.present and (effect.drops_to is state.mode or effect.kind in {Kind.CABINET, Kind.AUTHORITY}):
            return effect.street
    return STREET[state.mode]


def _raises(state: LadderState, lowering: list[Cause], now: Tenths, settings: LadderSettings) -> tuple[str, ...]:
    if state.mode is Mode.FORCED and state.order is not None:
        if state.order.expires is None:
            return ("It ends when the order is withdrawn, or by a fault that outranks it.",)
        return (f"It ends in {in_words(max(0, state.order.expires - now))}, when the order is withdrawn, or by a fault that outranks it.",)
    if state.readiness is Readiness.STOPPED:
        return ("The daemon is started.",)
    blocking = tuple(dict.fromkeys(FAULTS[cause.fault].ends for cause in lowering if cause.blocks))
    if blocking:
        return blocking
    rise = next_rise(state, now, settings)
    if rise is not None and rise.at == FOREVER:
        return ("A person re-enables: the mode does not go up by itself here after such a fault.",)
    if rise is not None:
        soon = f"The mode goes up to {rise.to.name} in {in_words(max(0, rise.at - now))} if nothing happens before"
        if rise.exhausted:
            return (f"{soon}, or sooner if a person re-enables: it has come back by itself too often within the hour.",)
        return (f"{soon}.",)
    if cap(state, settings) is state.rung:
        return ("Nothing stands above it.",) if state.rung is Mode.ADAPTIVE else ("The cap is lifted.",)
    return ("The cabinet is read once, and nothing is found wrong.",)
