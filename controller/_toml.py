"""Takes tables of TOML apart, key by key, and goes on where something is wrong, so that all of it is told at once.

A text under a key that nobody knows is never shown: it may be a secret in the wrong place.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, get_type_hints

from intersection.errors import ConfigError, UnknownNameError, nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
D = TypeVar("D", bound="DataclassInstance")

Reader: TypeAlias = Callable[[str, object], T]
"""Makes something of a value, or raises a ConfigError that names the key."""

Readers: TypeAlias = Mapping[str, Reader[object]]


class Hidden:
    """Stands in a message for a value that may be a secret."""

    def __repr__(self) -> str:
        return "(not shown)"


HIDDEN = Hidden()


@dataclass(frozen=True, slots=True)
class Notes:
    """All that is wrong with one file."""

    where: str
    """The file, and the part of it that is being read."""

    errors: list[ConfigError]

    def within(self, part: str) -> "Notes":
        """Note about a part."""
        return Notes(f"{self.where}: {part}", self.errors)

    def add(self, error: ConfigError) -> None:
        """Note an error that names its key."""
        self.errors.append(ConfigError(str(error), source=self.where))

    def say(self, message: str, key: str, value: object, allowed: str) -> None:
        """Note what is wrong with a value."""
        self.add(ConfigError(message, key=key, value=value, allowed=allowed))


def read_keys(table: object, path: str, readers: Readers, notes: Notes) -> dict[str, Any]:
    """Read the keys of a table that are there and right, and note those that are not.

    Args:
        table: what stands in the file.
        path: what the table is called there; empty for the whole.
        readers: all keys that it may have.
        notes: gets what is wrong.
    """
    if not isinstance(table, dict):
        notes.say("not a table", path, table if not isinstance(table, str) else HIDDEN, f"[{path}]")
        return {}
    values: dict[str, Any] = {}
    for name, value in table.items():
        key = f"{path}.{name}" if path else name
        if name not in readers:
            shown = value if isinstance(value, bool | int | float) else HIDDEN
            notes.say(f"unknown key{nearest(name, readers)}", key, shown, ", ".join(sorted(readers)))
            continue
        try:
            values[name] = readers[name](key, value)
        except ConfigError as error:
            notes.add(error)
    return values


def build(cls: type[D], values: Mapping[str, Any], given: object, path: str, notes: Notes) -> D | None:
    """Make a dataclass of values that were read, or note why it cannot be made: all values that it refuses, and those that are missing.

    Args:
        cls: the dataclass; its errors name a key by the name of the field.
        values: what was read.
        given: the table that it was read from: what stands there and was not read has been noted already.
        path: what the table is called in the file.
        notes: gets what is wrong.
    """
    needed = [entry.name for entry in fields(cls) if entry.default is MISSING and entry.default_factory is MISSING]
    there = given if isinstance(given, dict) else needed
    for name in needed:
        if name not in values and name not in there:
            notes.say("missing", f"{path}.{name}" if path else name, None, "it must be given")
    if any(name not in values for name in needed):
        return None
    left = dict(values)
    refused: str | None = None
    while True:
        try:
            return cls(**left)
        except ConfigError as error:
            name = error.key.rpartition(".")[2]
            if name != refused:
                notes.add(error)
            if name not in left or name in needed:
                return None
            refused = name
            del left[name]


def plain(cls: type["DataclassInstance"]) -> dict[str, Reader[object]]:
    """Make a reader for each field of a dataclass of numbers, truths and members."""
    readers: dict[str, Reader[object]] = {}
    for name, kind in get_type_hints(cls).items():
        if kind is bool:
            readers[name] = truth
        elif kind is int:
            readers[name] = integer
        elif kind is float:
            readers[name] = number
        else:
            readers[name] = member(kind)
    return readers


def integer(key: str, value: object) -> int:
    """Read a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError("not a whole number", key=key, value=_shown(value), allowed="a whole number")
    return value


def within(least: int, most: int, what: str = "") -> Reader[int]:
    """Read a whole number between two others."""

    def read(key: str, value: object) -> int:
        whole = integer(key, value)
        if not least <= whole <= most:
            raise ConfigError("out of range", key=key, value=whole, allowed=f"{least}..{most}{what and f' {what}'}")
        return whole

    return read


def number(key: str, value: object) -> float:
    """Read a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError("not a number", key=key, value=_shown(value), allowed="a number")
    return float(value)


def truth(key: str, value: object) -> bool:
    """Read a truth."""
    if not isinstance(value, bool):
        raise ConfigError("neither true nor false", key=key, value=_shown(value), allowed="true, false")
    return value


def text(key: str, value: object) -> str:
    """Read a line of text that is not empty."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ConfigError("not a line of text", key=key, value=_shown(value), allowed="a line of text")
    return value


def member(kind: type[E]) -> Reader[E]:
    """Read a member of an enumeration by its value."""

    def read(key: str, value: object) -> E:
        for each in kind:
            if each.value == value:
                return each
        known = [str(each.value) for each in kind]
        raise ConfigError(f"not known{nearest(str(value), known)}", key=key, value=value, allowed=", ".join(known))

    return read


def named(find: Callable[[str], T]) -> Reader[T]:
    """Read the name of something that is found by it, or is unknown."""

    def read(at: str, value: object) -> T:
        try:
            return find(text(at, value))
        except UnknownNameError as error:
            said = f"unknown {error.kind}{nearest(error.name, error.known)}"
            raise ConfigError(said, key=at, value=error.name, allowed=", ".join(error.known)) from error

    return read


def _shown(value: object) -> object:
    return HIDDEN if isinstance(value, dict | list) else value
