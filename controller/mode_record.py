"""Writes the ladder's state down and reads it back, so that what is latched, ordered or counted outlives the daemon.

The daemon's steady clock begins anew with the machine; the record is written by the clock on the wall. What the reader does not know it
refuses: a daemon that has lost its state says so to the ladder (`Fault.STATE_LOST`) instead of forgetting what was latched.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeAlias, TypeVar, assert_never

from controller.events import Fault, Flash, Free, Mode, Order, Ordered, Plan, require_limit
from controller.mode import Cause, LadderState, Readiness
from intersection.errors import ConfigError, nearest
from intersection.phase import Tenths

VERSION = 1

Json: TypeAlias = dict[str, Any]

E = TypeVar("E", bound=Enum)
T = TypeVar("T")

Reader: TypeAlias = Callable[[str, object], T]
"""Makes something of a value, or raises a ConfigError that names the key."""


def to_dict(state: LadderState, *, epoch: Tenths) -> Json:
    """Write a state as plain values for JSON.

    Args:
        state: the state.
        epoch: what the wall clock shows when the daemon's clock is at 0, in tenths of a second since 1970 UTC.
    """
    order = state.order
    return {
        "version": VERSION,
        "at": state.at + epoch,
        "since": state.since + epoch,
        "clean_since": state.clean_since + epoch,
        "rung": state.rung.value,
        "readiness": state.readiness.value,
        "limit": state.limit.value,
        "limited_by": state.limited_by,
        "limit_reason": state.limit_reason,
        "causes": [
            {
                "fault": cause.fault.value,
                "since": cause.since + epoch,
                "detail": cause.detail,
                "present": cause.present,
                "latched": cause.latched,
            }
            for cause in state.causes
        ],
        "climbing": state.climbing,
        "returns": [at + epoch for at in state.returns],
        "disobeyed": None if state.disobeyed is None else state.disobeyed + epoch,
        "order": None
        if order is None
        else {
            "what": _write_ordered(order.what),
            "operator": order.operator,
            "reason": order.reason,
            "expires": None if order.expires is None else order.expires + epoch,
        },
        "resumed": state.resumed,
        "spent": {mode.value: spent for mode, spent in zip(Mode, state.spent, strict=True)},
    }


def from_dict(data: object, *, epoch: Tenths, source: str = "") -> LadderState:
    """Read a state that `to_dict` wrote.

    Args:
        data: what came out of JSON.
        epoch: what the wall clock shows when the daemon's clock is at 0, in tenths of a second since 1970 UTC.
        source: the file, for messages.

    Raises:
        ConfigError: a key is missing or not known, or a value is none that is ever written; the message names it.
    """
    try:
        return _read_state(data, epoch)
    except ConfigError as error:
        raise ConfigError(str(error), source=source) from error


def _read_state(data: object, epoch: Tenths) -> LadderState:
    fields = _Fields(data, "state")
    version = fields.take("version", _integer)
    if version != VERSION:
        raise ConfigError("another version wrote this", key="state.version", value=version, allowed=str(VERSION))

    def instant(key: str, value: object) -> Tenths:
        return _integer(key, value) - epoch

    spent = _Fields(fields.take("spent", _anything), "state.spent")
    state = LadderState(
        at=fields.take("at", instant),
        since=fields.take("since", instant),
        clean_since=fields.take("clean_since", instant),
        rung=fields.take("rung", _member(Mode)),
        readiness=fields.take("readiness", _member(Readiness)),
        limit=fields.take("limit", _member(Mode)),
        limited_by=fields.take("limited_by", _text),
        limit_reason=fields.take("limit_reason", _text),
        causes=fields.take("causes", _list(lambda key, value: _read_cause(key, value, instant))),
        climbing=fields.take("climbing", _truth),
        returns=fields.take("returns", _list(instant)),
        disobeyed=fields.take("disobeyed", _optional(instant)),
        order=fields.take("order", _optional(lambda key, value: _read_order(key, value, instant))),
        resumed=fields.take("resumed", _truth),
        spent=tuple(spent.take(mode.value, _duration) for mode in Mode),
    )
    spent.done()
    fields.done()
    require_limit("state.limit", state.limit)
    if state.rung is Mode.FORCED:
        raise ConfigError("an order is no rung", key="state.rung", value=state.rung.value, allowed="any other mode")
    seen = [cause.fault for cause in state.causes]
    if len(set(seen)) < len(seen):
        raise ConfigError("a fault stands twice", key="state.causes", value=[fault.value for fault in seen], allowed="each at most once")
    return state


def _read_cause(key: str, value: object, instant: Reader[Tenths]) -> Cause:
    fields = _Fields(value, key)
    cause = Cause(
        fault=fields.take("fault", _member(Fault)),
        since=fields.take("since", instant),
        detail=fields.take("detail", _text),
        present=fields.take("present", _truth),
        latched=fields.take("latched", _truth),
    )
    fields.done()
    return cause


def _read_order(key: str, value: object, instant: Reader[Tenths]) -> Order:
    fields = _Fields(value, key)
    order = Order(
        what=fields.take("what", _read_ordered),
        operator=fields.take("operator", _text),
        reason=fields.take("reason", _text),
        expires=fields.take("expires", _optional(instant)),
    )
    fields.done()
    if (order.expires is None) != isinstance(order.what, Flash):
        raise ConfigError("only flash has no expiry", key=f"{key}.expires", value=order.expires, allowed="an instant, or none for flash")
    return order


def _write_ordered(what: Ordered) -> Json:
    match what:
        case Plan(pattern=pattern):
            return {"plan": pattern}
        case Free():
            return {"free": True}
        case Flash():
            return {"flash": True}
        case _:
            assert_never(what)


def _read_ordered(key: str, value: object) -> Ordered:
    match value:
        case {"plan": int(pattern), **rest} if not rest and not isinstance(pattern, bool):
            return Plan(pattern)
        case {"free": True, **rest} if not rest:
            return Free()
        case {"flash": True, **rest} if not rest:
            return Flash()
        case _:
            raise ConfigError("not an order", key=key, value=value, allowed="a plan's number, free, or flash")


class _Fields:
    """The keys of one object: each is taken once, and in the end none may be left."""

    def __init__(self, data: object, path: str) -> None:
        if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
            raise ConfigError("not an object", key=path, value=data, allowed="keys and values")
        self._left: dict[str, object] = dict(data)
        self._path = path
        self._known: list[str] = []

    def take(self, key: str, read: Reader[T]) -> T:
        if key not in self._left:
            raise ConfigError(f"missing{nearest(key, self._left)}", key=f"{self._path}.{key}", allowed="as it was written")
        self._known.append(key)
        return read(f"{self._path}.{key}", self._left.pop(key))

    def done(self) -> None:
        for key, value in self._left.items():
            raise ConfigError(
                f"not known{nearest(key, self._known)}", key=f"{self._path}.{key}", value=value, allowed=", ".join(self._known)
            )


def _anything(_key: str, value: object) -> object:
    return value


def _integer(key: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError("not a whole number", key=key, value=value, allowed="a whole number")
    return value


def _duration(key: str, value: object) -> Tenths:
    if (duration := _integer(key, value)) < 0:
        raise ConfigError("a time cannot be negative", key=key, value=value, allowed="0 or more tenths of a second")
    return duration


def _truth(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError("neither true nor false", key=key, value=value, allowed="true, false")
    return value


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError("not a text", key=key, value=value, allowed="a text")
    return value


def _member(kind: type[E]) -> Reader[E]:
    def read(key: str, value: object) -> E:
        for member in kind:
            if member.value == value:
                return member
        known = [str(member.value) for member in kind]
        raise ConfigError(f"not known{nearest(str(value), known)}", key=key, value=value, allowed=", ".join(known))

    return read


def _list(read: Reader[T]) -> Reader[tuple[T, ...]]:
    def read_all(key: str, value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ConfigError("not a list", key=key, value=value, allowed="a list")
        return tuple(read(f"{key}[{at}]", each) for at, each in enumerate(value))

    return read_all


def _optional(read: Reader[T]) -> Callable[[str, object], T | None]:
    return lambda key, value: None if value is None else read(key, value)
