"""The ladder of modes of one cabinet: a pure function of state, event and time.

    OFF < MONITOR < SHADOW < ADAPTIVE        the way in: up step by step at the ticks, while nothing is wrong
    RELEASED < FIXED_TIME < ADAPTIVE         the way back after a fault, each step after its wait
    FORCED                                   a person's order, while no fault stands that outranks it

The way down is immediate, from every mode and by every fault, to the lowest mode that any of them asks for. Where nothing of ours is sent
(OFF, MONITOR, SHADOW) no fault makes us send: there the way down leads to MONITOR. Under an order the ladder goes on beneath it, so when
the order ends the mode is the one that the faults of the meantime allow.

Instants are on the daemon's own steady clock, in tenths of a second; `controller.mode_record` writes them to a file by the clock on the
wall.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from controller.events import (
    FAULTS,
    Checked,
    Ending,
    Event,
    Fault,
    FaultBegan,
    FaultEnded,
    Flash,
    LimitSet,
    LockOutCleared,
    Mode,
    Order,
    Ordered,
    OrderGiven,
    OrderWithdrawn,
    Place,
    ReEnabled,
    Started,
    Stopped,
    Tick,
    require_limit,
)
from intersection.errors import ConfigError
from intersection.phase import Tenths
from intersection.state import FOREVER

HOUR: Tenths = 36_000

_RANK = {mode: rank for rank, mode in enumerate(Mode)}

_NEXT = {
    Mode.OFF: Mode.MONITOR,
    Mode.MONITOR: Mode.SHADOW,
    Mode.SHADOW: Mode.ADAPTIVE,
    Mode.RELEASED: Mode.FIXED_TIME,
    Mode.FIXED_TIME: Mode.ADAPTIVE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LadderSettings:
    """How far and how fast the ladder is climbed.

    Raises:
        ConfigError: a value is out of its range; the message names it.
    """

    limit: Mode = Mode.ADAPTIVE
    """The highest mode that is allowed here: OFF, MONITOR, SHADOW, or ADAPTIVE for no cap."""

    clean_time: Tenths = 3_000
    """How long nothing may be wrong before each step up after a fault of policy, link or detectors, in tenths of a second."""

    rejoin_time: Tenths = 100
    """The same after preemption, police, manual control and the like, and after a person has re-enabled, in tenths of a second."""

    returns_per_hour: int = 3
    """How many times an hour the way up may begin by itself after faults of policy, link or detectors; 3 at most."""

    fixed_time_bound: Tenths = 9_000
    """How long our plan may stand in before the cabinet is released, in tenths of a second; above `clean_time`."""

    disobedience_window: Tenths = 6_000
    """Within what time a second disobeyed transition latches, in tenths of a second."""

    flash_enabled: bool = False
    """Whether a person may order flash."""

    longest_order: Tenths = 24 * HOUR
    """How far ahead an order may expire, in tenths of a second."""

    def __post_init__(self) -> None:
        require_limit("ladder.limit", self.limit)
        for key in ("clean_time", "rejoin_time", "disobedience_window", "longest_order"):
            value = getattr(self, key)
            if value <= 0:
                raise ConfigError("a time must be above zero", key=f"ladder.{key}", value=value, allowed="1 or more tenths of a second")
        if not 0 <= self.returns_per_hour <= 3:
            raise ConfigError("too many returns", key="ladder.returns_per_hour", value=self.returns_per_hour, allowed="0..3")
        if self.fixed_time_bound <= self.clean_time:
            raise ConfigError(
                "our plan would end before the policy could come back",
                key="ladder.fixed_time_bound",
                value=self.fixed_time_bound,
                allowed=f"above {self.clean_time} tenths of a second (clean_time)",
            )


class Readiness(Enum):
    """Whether the daemon knows its cabinet."""

    STOPPED = "stopped"
    UNCHECKED = "unchecked"
    CHECKED = "checked"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """A fault that the ladder still reckons with."""

    fault: Fault
    since: Tenths
    """When it was first seen, in tenths of a second."""

    detail: str = ""
    present: bool = False
    """Whether it is seen now."""

    latched: bool = False
    """Whether it waits for a person."""

    @property
    def lowers(self) -> bool:
        """Tell whether it is more than a note."""
        return FAULTS[self.fault].drops_to is not None

    @property
    def blocks(self) -> bool:
        """Tell whether it keeps the mode from going up."""
        return self.lowers and (self.present or self.latched)


@dataclass(frozen=True, kw_only=True, slots=True)
class LadderState:
    """Where the ladder stands and all that decides where it goes. Instants in tenths of a second."""

    at: Tenths
    """The instant of the last step."""

    since: Tenths
    """When the present mode began."""

    clean_since: Tenths
    """Since when nothing has changed for the worse, and no step up was made."""

    rung: Mode = Mode.OFF
    """The mode but for an order: never FORCED."""

    readiness: Readiness = Readiness.STOPPED
    limit: Mode = Mode.ADAPTIVE
    """The cap that a person has set; ADAPTIVE for none."""

    limited_by: str = ""
    limit_reason: str = ""
    causes: tuple[Cause, ...] = ()
    """One for each fault that is seen, or latched, or not yet recovered from; the oldest in front."""

    climbing: bool = False
    """Whether the present way up has been counted."""

    returns: tuple[Tenths, ...] = ()
    """When the last counted ways up began, within the hour."""

    disobeyed: Tenths | None = None
    """When a transition was last disobeyed."""

    order: Order | None = None
    resumed: bool = False
    """Whether the order was taken up again after a restart."""

    spent: tuple[Tenths, ...] = (0,) * len(Mode)
    """How long each mode has lasted up to `at`, in the order of `Mode`."""

    @property
    def mode(self) -> Mode:
        """The mode that is in force."""
        return Mode.FORCED if self.order is not None and self.readiness is Readiness.CHECKED else self.rung


@dataclass(frozen=True, kw_only=True, slots=True)
class Rise:
    """The next step up, if nothing happens before."""

    to: Mode
    at: Tenths
    """The instant from which a tick makes it, in tenths of a second; FOREVER where only a person makes it possible."""

    counts: bool = False
    """Whether it begins a way up that is one of the few that an hour allows."""

    exhausted: bool = False
    """Whether it must wait because the hour has seen too many."""


class Objection(Enum):
    """Why what a person asks for is not done, in the operator's words."""

    FLASH_DISABLED = "remote flash is not enabled for this signal"
    FLASH_EXPIRES = "flash does not end by itself: it takes no expiry"
    NO_EXPIRY = "an order needs an expiry"
    EXPIRED = "the order's expiry has passed"
    TOO_LONG = "the order would last longer than is allowed"
    NOT_READY = "the daemon has not yet checked the cabinet"
    LIMITED = "the mode is limited: nothing may be sent to this signal"
    OUTRANKED = "a fault stands that outranks every order"
    NO_ORDER = "no order stands"
    STILL_SEEN = "what was latched is still seen"
    NOTHING_LATCHED = "nothing waits for a person"
    ABOVE_CONFIGURATION = "the configuration caps the mode lower"
    NOT_LOCKED_OUT = "there is no lock-out"
    ONLY_AT_CABINET = "a lock-out is cleared at the cabinet, and only there"


def initial(now: Tenths) -> LadderState:
    """Make the state of a daemon that has never run: it is off, and permits nothing."""
    return LadderState(at=now, since=now, clean_since=now)


def step(state: LadderState, event: Event, now: Tenths, settings: LadderSettings) -> LadderState:
    """Say where the ladder stands after an event.

    A person's wish to which there is an `objection` changes nothing. Time that runs backwards stands still, except at a start: there the
    clock may be another one.

    Args:
        state: where it stood.
        event: what has happened.
        now: the instant, in tenths of a second.
        settings: how far and how fast it is climbed.
    """
    if not isinstance(event, Started):
        now = max(now, state.at)
    before = _counted(state, Mode.OFF if isinstance(event, Started) else state.mode, now)
    after = before if objection(before, event, now, settings) is not None else _after(before, event, now, settings)
    after = _capped(after, settings)
    return after if after.mode is state.mode else replace(after, since=now)


def objection(state: LadderState, event: Event, now: Tenths, settings: LadderSettings) -> Objection | None:
    """Say why a person's wish would not be done, or None where nothing speaks against it. Nothing speaks against what merely happens."""
    match event:
        case OrderGiven(order=order):
            return _against_order(state, order, now, settings)
        case OrderWithdrawn():
            return None if state.order else Objection.NO_ORDER
        case ReEnabled():
            latched = [cause for cause in state.causes if cause.latched]
            if any(cause.present for cause in latched):
                return Objection.STILL_SEEN
            return None if latched or _recent(state.returns, now) else Objection.NOTHING_LATCHED
        case LimitSet(limit=limit):
            return Objection.ABOVE_CONFIGURATION if _RANK[limit] > _RANK[settings.limit] else None
        case LockOutCleared(place=place):
            if _find(state, Fault.LOCAL_LOCK_OUT, present=True) is None:
                return Objection.NOT_LOCKED_OUT
            return None if place is Place.AT_CABINET else Objection.ONLY_AT_CABINET
        case Tick() | Started() | Checked() | Stopped() | FaultBegan() | FaultEnded():
            return None
        case _:
            assert_never(event)


def next_rise(state: LadderState, now: Tenths, settings: LadderSettings) -> Rise | None:
    """Say what the next step up is and when a tick will make it, or None where a cap, a fault or an unread cabinet stands before it."""
    goal = _goal(state, settings)
    if goal is None:
        return None
    if goal is Mode.MONITOR:  # To read is never wrong, whatever else is.
        return Rise(to=goal, at=now)
    if any(cause.blocks for cause in state.causes):
        return None
    at = state.clean_since + _wait(state.causes, settings)
    counts = _counts(state.causes) and not state.climbing
    recent = _recent(state.returns, now)
    exhausted = counts and len(recent) >= settings.returns_per_hour
    if exhausted:
        at = max(at, recent[-settings.returns_per_hour] + HOUR) if settings.returns_per_hour else FOREVER
    return Rise(to=goal, at=at, counts=counts, exhausted=exhausted)


def cap(state: LadderState, settings: LadderSettings) -> Mode:
    """Find the cap that holds: a person's or the configuration's, whichever is lower."""
    return min(state.limit, settings.limit, key=_RANK.__getitem__)


def may_zero(state: LadderState) -> bool:
    """Tell whether zeros may be written on the way out of a mode that sent something; to a cabinet that is not ours, not even these."""
    return not any(cause.blocks and FAULTS[cause.fault].drops_to is Mode.MONITOR for cause in state.causes)


def time_in(state: LadderState, now: Tenths) -> dict[Mode, Tenths]:
    """Tell how long each mode has lasted in all, in tenths of a second, restarts and the time between them (as OFF) included."""
    return dict(zip(Mode, _counted(state, state.mode, max(now, state.at)).spent, strict=True))


# ---------------------------------------------------------------------------------------------------------------------------------
def _after(state: LadderState, event: Event, now: Tenths, settings: LadderSettings) -> LadderState:
    """Apply an event to which there is no objection."""
    match event:
        case FaultBegan(fault=fault, detail=detail):
            return _fault_began(state, fault, detail, now, settings)
        case FaultEnded(fault=fault):
            return state if FAULTS[fault].ending is Ending.AT_CABINET else _fault_ended(state, fault, now)
        case LockOutCleared():
            return _fault_ended(state, Fault.LOCAL_LOCK_OUT, now)
        case OrderGiven(order=order):
            return replace(state, order=order, resumed=False)
        case OrderWithdrawn():
            return replace(state, order=None)
        case ReEnabled():
            causes = tuple(replace(cause, latched=False) for cause in state.causes)
            return replace(state, causes=causes, returns=(), clean_since=state.clean_since if causes == state.causes else now)
        case LimitSet(limit=limit, operator=operator, reason=reason):
            return replace(state, limit=limit, limited_by=operator, limit_reason=reason)
        case Started():
            return _started(state, now, settings)
        case Checked():
            return _checked(state, now)
        case Stopped():
            return replace(state, rung=Mode.OFF, readiness=Readiness.STOPPED)
        case Tick():
            return _ticked(state, now, settings)
        case _:
            assert_never(event)


def _fault_began(state: LadderState, fault: Fault, detail: str, now: Tenths, settings: LadderSettings) -> LadderState:
    """Go down as far as the fault asks, and remember it."""
    if fault is Fault.DISOBEYED:
        if state.disobeyed is not None and now - state.disobeyed <= settings.disobedience_window:
            fault = Fault.DISOBEYED_AGAIN
        state = replace(state, disobeyed=now)
    effect = FAULTS[fault]
    if effect.momentary and effect.drops_to is None:
        return state
    seen = _find(state, fault, present=True)
    cause = Cause(
        fault=fault,
        since=seen.since if seen else now,
        detail=detail,
        present=not effect.momentary,
        latched=effect.ending is Ending.LATCHED,
    )
    state = replace(state, causes=(*_without(state.causes, fault), cause))
    if effect.drops_to is None:
        return state
    ended = state.order is not None and _outranks(fault, state.order.what)
    return replace(
        state,
        rung=_fallen(state.rung, effect.drops_to),
        clean_since=now,
        climbing=False,
        order=None if ended else state.order,
    )


def _fault_ended(state: LadderState, fault: Fault, now: Tenths) -> LadderState:
    """Remember that a fault is seen no more; a mere note is forgotten."""
    cause = _find(state, fault, present=True)
    if cause is None:
        return state
    others = _without(state.causes, fault)
    if not cause.lowers:
        return replace(state, causes=others)
    return replace(state, causes=(*others, replace(cause, present=False)), clean_since=now)


def _started(state: LadderState, now: Tenths, settings: LadderSettings) -> LadderState:
    """Begin to read the cabinet anew: what is latched stays, and so does an order; what was merely seen is not known any more."""
    causes = tuple(
        replace(cause, since=min(cause.since, now), present=cause.present and FAULTS[cause.fault].ending is Ending.AT_CABINET)
        for cause in state.causes
        if cause.lowers
    )
    if state.readiness is not Readiness.STOPPED:
        causes = (*_without(causes, Fault.DAEMON_DIED), Cause(fault=Fault.DAEMON_DIED, since=now))
    order = state.order
    if order is not None and order.expires is not None:
        # A clock that was set back must not make an order last longer than any may.
        order = replace(order, expires=min(order.expires, now + settings.longest_order)) if now < order.expires else None
    return replace(
        state,
        since=now,
        rung=Mode.MONITOR,
        readiness=Readiness.UNCHECKED,
        causes=causes,
        clean_since=now,
        climbing=False,
        returns=tuple(min(at, now) for at in state.returns),
        disobeyed=None if state.disobeyed is None else min(state.disobeyed, now),
        order=order,
        resumed=order is not None,
    )


def _checked(state: LadderState, now: Tenths) -> LadderState:
    """Take the place that the known faults allow; without any, the way in begins."""
    if state.readiness is not Readiness.UNCHECKED or state.rung is Mode.OFF:
        return state
    lowest = min(_effects(state.causes), key=_RANK.__getitem__, default=Mode.MONITOR)
    return replace(state, readiness=Readiness.CHECKED, rung=lowest, clean_since=now)


def _ticked(state: LadderState, now: Tenths, settings: LadderSettings) -> LadderState:
    """Let time do its work: an order expires, our plan has stood in for too long, or the mode goes up by one step."""
    if state.order is not None and state.order.expires is not None and state.order.expires <= now:
        return replace(state, order=None)
    if state.mode is Mode.FIXED_TIME and now - state.since >= settings.fixed_time_bound:
        return _fault_began(state, Fault.FIXED_TIME_OVER, "", now, settings)
    rise = next_rise(state, now, settings)
    if rise is not None:
        if now < rise.at:
            return state
        returns = (*_recent(state.returns, now), now) if rise.counts else state.returns
        state = replace(state, rung=rise.to, clean_since=now, climbing=state.climbing or rise.counts, returns=returns)
    elif any(cause.blocks for cause in state.causes) or now < state.clean_since + _wait(state.causes, settings):
        return state
    if state.readiness is Readiness.CHECKED and _goal(state, settings) is None:
        state = replace(state, causes=tuple(cause for cause in state.causes if not cause.lowers), climbing=False)
    return state


def _goal(state: LadderState, settings: LadderSettings) -> Mode | None:
    """Find the next mode up, or None at the top: what is above is capped, or the daemon is stopped or does not yet know its cabinet."""
    goal = _NEXT.get(state.rung)
    if goal is None or _RANK[goal] > _RANK[cap(state, settings)] or state.readiness is Readiness.STOPPED:
        return None
    return goal if state.readiness is Readiness.CHECKED or goal is Mode.MONITOR else None


def _capped(state: LadderState, settings: LadderSettings) -> LadderState:
    """Hold the state below the cap; an order that sends something ends there."""
    limit = cap(state, settings)
    if limit is Mode.ADAPTIVE:
        return state
    rung = state.rung
    if _RANK[rung] > _RANK[limit]:
        rung = Mode.MONITOR if limit is Mode.SHADOW and _effects(state.causes) else limit
    # What was off for a while is read anew before anything else.
    readiness = Readiness.UNCHECKED if rung is Mode.OFF and state.readiness is Readiness.CHECKED else state.readiness
    return replace(state, rung=rung, readiness=readiness, order=None)


def _against_order(state: LadderState, order: Order, now: Tenths, settings: LadderSettings) -> Objection | None:
    """Say what speaks against an order, if anything does."""
    if isinstance(order.what, Flash):
        if not settings.flash_enabled:
            return Objection.FLASH_DISABLED
        if order.expires is not None:
            return Objection.FLASH_EXPIRES
    elif order.expires is None:
        return Objection.NO_EXPIRY
    elif order.expires <= now:
        return Objection.EXPIRED
    elif order.expires - now > settings.longest_order:
        return Objection.TOO_LONG
    if cap(state, settings) is not Mode.ADAPTIVE:
        return Objection.LIMITED
    if state.readiness is not Readiness.CHECKED:
        return Objection.NOT_READY
    if any(cause.blocks and _outranks(cause.fault, order.what) for cause in state.causes):
        return Objection.OUTRANKED
    return None


def _outranks(fault: Fault, ordered: Ordered) -> bool:
    """Tell whether a fault ends an order: what leaves no more than RELEASED does, but the flash that was ordered does not end itself."""
    if fault is Fault.FLASH and isinstance(ordered, Flash):
        return False
    return FAULTS[fault].drops_to in {Mode.RELEASED, Mode.MONITOR}


def _fallen(rung: Mode, to: Mode) -> Mode:
    """Go down from a rung to a mode; SHADOW sends nothing, and no fault makes it send."""
    return Mode.MONITOR if rung is Mode.SHADOW else min(rung, to, key=_RANK.__getitem__)


def _effects(causes: Iterable[Cause]) -> list[Mode]:
    """List the modes to which the causes drop."""
    return [mode for cause in causes if (mode := FAULTS[cause.fault].drops_to) is not None]


def _counts(causes: Iterable[Cause]) -> bool:
    """Tell whether a way up after these causes is one of the few that an hour allows."""
    return any(FAULTS[cause.fault].ending is Ending.CLEAN for cause in causes)


def _wait(causes: tuple[Cause, ...], settings: LadderSettings) -> Tenths:
    """Say how long nothing may be wrong before the next step up; no time at all on a way in that nothing has disturbed."""
    if _counts(causes):
        return settings.clean_time
    return settings.rejoin_time if _effects(causes) else 0


def _recent(returns: Iterable[Tenths], now: Tenths) -> tuple[Tenths, ...]:
    return tuple(at for at in returns if now - at < HOUR)


def _find(state: LadderState, fault: Fault, *, present: bool) -> Cause | None:
    return next((cause for cause in state.causes if cause.fault is fault and cause.present is present), None)


def _without(causes: Iterable[Cause], fault: Fault) -> tuple[Cause, ...]:
    return tuple(cause for cause in causes if cause.fault is not fault)


def _counted(state: LadderState, mode: Mode, now: Tenths) -> LadderState:
    """Add the time since the last step to a mode; a clock that was set back adds none."""
    passed = max(0, now - state.at)
    return replace(state, at=now, spent=tuple(spent + passed * (other is mode) for other, spent in zip(Mode, state.spent, strict=True)))
