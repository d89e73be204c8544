"""Writes an `intersection.toml`, the file that `intersection.config` reads, in a form that people can read too."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import time
from enum import Enum
from typing import Any

from intersection.config import VERSION, IntersectionConfig
from intersection.plan import ScheduleEntry

_HEADER = """\
# One signal: its phases, conflicts, stages, detectors and patterns. Durations are in tenths of a second, lengths in metres.
"""

_UNAPPROVED = """\
# Proposed by software and not approved: no cabinet runs by this file until it agrees with an approved timing sheet.
"""


def to_toml(config: IntersectionConfig) -> str:
    """Write a configuration as the text of an `intersection.toml`; reading it gives an equal one."""
    lines = [_HEADER + ("" if config.approved else _UNAPPROVED)]
    lines += _table({"version": VERSION, "name": config.name, "approved": config.approved})
    lines += _pairs("conflicts", sorted(config.compatibility.conflicts))
    lines += _pairs("yields", sorted(config.compatibility.yields))
    if config.prohibited_moves:
        lines += _pairs("prohibited_moves", list(config.prohibited_moves))
    for phase in config.phases:
        own = _fields(phase)
        times = own.pop("timing")
        lines += ["", "[[phase]]", *_table(own | _fields(times))]
    for key, items in (
        ("overlap", config.overlaps),
        ("intergreen", config.intergreens),
        ("stage", config.stages),
        ("detector", config.detectors),
        ("pattern", config.patterns),
    ):
        for item in items:
            lines += ["", f"[[{key}]]", *_table(_fields(item))]
    if config.schedule.entries or config.schedule.time_zone != "UTC":
        lines += ["", "[schedule]", *_table({"time_zone": config.schedule.time_zone})]
        for entry in config.schedule.entries:
            lines += ["", "[[schedule.entry]]", *_table(_fields(entry))]
    for name, table in config.extensions.items():
        lines += _extension(_key(name), table)
    return "\n".join(lines) + "\n"


def _fields(item: Any) -> dict[str, Any]:  # noqa: ANN401  # any dataclass of the core
    """List the fields that differ from their defaults; those without a default always."""
    return {
        entry.name: getattr(item, entry.name)
        for entry in fields(item)
        if getattr(item, entry.name) != entry.default or (entry.name == "days" and isinstance(item, ScheduleEntry))
    }


def _table(values: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in values.items()]


def _pairs(key: str, pairs: list[tuple[Any, Any]], width: int = 12) -> list[str]:
    rows = [", ".join(_value(pair) for pair in pairs[at : at + width]) for at in range(0, len(pairs), width)]
    return [f"{key} = [{rows[0] if rows else ''}]"] if len(rows) <= 1 else [f"{key} = [", *(f"    {row}," for row in rows), "]"]


def _extension(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Write a table that belongs to others, its subtables after its own values."""
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    yield from ("", f"[{name}]", *_table({key: value for key, value in table.items() if key not in inner}))
    for key, value in inner.items():
        yield from _extension(f"{name}.{_key(key)}", value)


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _value(name)


def _value(value: Any) -> str:  # noqa: ANN401  # whatever TOML can hold
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return _value(value.value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case frozenset():
            return _value(sorted(value))
        case tuple() | list():
            return f"[{', '.join(map(_value, value))}]"
        case time():
            return value.isoformat()
        case _:
            return repr(value)
