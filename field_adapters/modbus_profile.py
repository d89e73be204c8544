"""Reads a register map: data in `profiles/*.toml`, described in docs/modbus-map.md, where each value lies, and what it may be."""

import struct
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from typing import Any, NoReturn, assert_never

from intersection.errors import ConfigError, UnknownNameError, nearest
from intersection.phase import Tenths

LARGEST_WORD = 0xFFFF
"""A register holds 16 bits."""


class Table(Enum):
    """The four tables of a Modbus device."""

    COIL = "coil"
    DISCRETE = "discrete"
    INPUT = "input"
    HOLDING = "holding"

    @property
    def is_bits(self) -> bool:
        """Whether its cells are single bits."""
        return self in (Table.COIL, Table.DISCRETE)

    @property
    def largest(self) -> int:
        """How many cells one request may move, whether it reads or writes (Modbus Application Protocol 1.1b3, section 6)."""
        match self:
            case Table.COIL:
                return 1968
            case Table.DISCRETE:
                return 2000
            case Table.INPUT:
                return 125
            case Table.HOLDING:
                return 123
            case _:
                assert_never(self)


class Mode(Enum):
    """What a device is asked to follow, or follows."""

    RELEASED = "released"
    """Its own plan, since nobody asks for anything."""

    STAGE = "stage"
    """The stage that is requested."""

    PLAN = "plan"
    """The plan that is requested."""

    EXPIRED = "expired"
    """Its own plan, since its watchdog ran out; only shown, never asked for."""

    LOCAL = "local"
    """A technician, the police or a key at the cabinet; only shown, never asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """Where one value lies in a block."""

    at: int
    """The first cell, counted from the block's address."""

    size: int = 1
    """Cells: registers, the high one first; or bits, the low one first."""

    value: int | None = None
    """The only value that it may have, or None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Cells of one table that are read or written together."""

    table: Table
    address: int
    size: int
    fields: Mapping[str, Field]

    def width(self, name: str) -> int:
        """Count the bits that a field has."""
        return self.fields[name].size * (1 if self.table.is_bits else 16)

    def take(self, cells: Sequence[int]) -> dict[str, int]:
        """Read each field's value out of the block's cells."""
        return {name: value_of(cells, field, bits=self.table.is_bits) for name, field in self.fields.items()}

    def put(self, values: Mapping[str, int]) -> tuple[int, ...]:
        """Write each field's value into the block's cells; those without a value are zero, the CRC comes last."""
        cells = [0] * self.size
        width = 1 if self.table.is_bits else 16
        for name, field in self.fields.items():
            value = values.get(name, 0) if field.value is None else field.value
            parts = [value >> width * shift & (1 << width) - 1 for shift in range(field.size)]
            cells[field.at : field.at + field.size] = parts if self.table.is_bits else parts[::-1]
        crc = self.fields.get("crc")
        if crc is not None:
            cells[crc.at] = crc16(cells[: crc.at])
        return tuple(cells)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a profile has room for, and how long its requests last."""

    groups: int
    stages: int
    plans: int
    """The highest number of a plan; 0 where plans cannot be asked for."""

    detectors: int
    max_hold: Tenths
    validity: Tenths
    """How long after the status that it answers a request may still be carried out."""

    freshness: Tenths
    """How old a decision may be when it is sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorPages:
    """Where the detectors lie: pages of one table, each read at once, each with a header of its own."""

    page: Block
    """The first page, with the header's fields; the next ones follow without a gap."""

    per_page: int
    first: int
    """The cell at which a page's first detector begins."""

    stride: int
    """Cells a detector."""

    fields: Mapping[str, Field]
    """Counted from the detector's first cell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A vendor's map, or ours: data alone."""

    name: str
    version: int
    device_id: int
    limits: Limits
    request: Block
    request_modes: Mapping[Mode, int]
    status: tuple[Block, ...]
    status_modes: Mapping[int, Mode]
    detectors: DetectorPages


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ 0xA001 if byte & 1 else byte >> 1
    return byte


_REMAINDERS = tuple(_remainder(byte) for byte in range(256))


def crc16_of_bytes(data: bytes) -> int:
    """Compute the CRC-16 of Modbus (Serial Line 1.02, appendix B)."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _REMAINDERS[crc & 0xFF ^ byte]
    return crc


def crc16(cells: Sequence[int]) -> int:
    """Compute the CRC-16 of Modbus over registers, the high byte of each first."""
    return crc16_of_bytes(struct.pack(f">{len(cells)}H", *cells))


def value_of(cells: Sequence[int], field: Field, *, bits: bool) -> int:
    """Read a field's value out of cells."""
    parts = cells[field.at : field.at + field.size]
    width = 1 if bits else 16
    value = 0
    for part in reversed(parts) if bits else parts:
        value = value << width | part
    return value


REQUEST_FIELDS = frozenset(
    {"magic", "version", "boot", "sequence", "mode", "target", "groups", "clear", "hold", "not_after", "heartbeat", "crc"}
)
STATUS_FIELDS = frozenset(
    {"magic", "version", "boot", "clock", "acknowledged", "refused", "refusal", "mode", "watchdog", "heartbeat", "stage", "target"}
    | {"plan", "elapsed", "display", "faults", "detectors", "greens", "yellows", "reds", "red_clears", "walks", "ped_clears"}
    | {"dont_walks", "calls", "ped_calls", "protected", "identity", "crc", "echo_mode", "echo_heartbeat", "echo_groups"}
)
DETECTOR_FIELDS = frozenset({"state", "count", "occupied", "since"})
HEADER_FIELDS = frozenset({"clock", "crc"})

_MASKS = frozenset(
    {"greens", "yellows", "reds", "red_clears", "walks", "ped_clears", "dont_walks", "calls", "ped_calls", "protected"}
    | {"groups", "clear", "echo_groups"}
)
"""Fields with a bit for each group."""

_TOGETHER = (
    frozenset({"boot", "clock", "acknowledged", "refused", "refusal", "watchdog"}),
    frozenset({"walks", "ped_clears", "dont_walks"}),
    frozenset({"echo_mode", "echo_groups"}),
)
"""Fields of a status that mean something only together."""


def load_profile(name: str) -> Profile:
    """Read a profile that is shipped, by its name.

    Raises:
        UnknownNameError: there is none of that name.
    """
    folder = resources.files("field_adapters") / "profiles"
    known = [entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")]
    if name not in known:
        raise UnknownNameError("Modbus profile", name, known)
    return parse_profile((folder / f"{name}.toml").read_text(encoding="utf-8"), source=f"{name}.toml")


def parse_profile(text: str, *, source: str = "profile") -> Profile:
    """Read a profile.

    Raises:
        ConfigError: it is no TOML, or it lacks a key, has one too many, or a value that a map cannot have.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as cause:
        raise ConfigError(f"not TOML: {cause}", source=source) from cause
    return _Reader(source).profile(document)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one document; knows the file for its messages."""

    source: str

    def profile(self, document: Mapping[str, Any]) -> Profile:
        self._only(document, "", {"name", "version", "device_id", "limits", "request", "status", "detectors"})
        request, status = self._table(document, "", "request"), self._table(document, "", "status")
        self._only(request, "request.", {"table", "address", "size", "modes", "fields"})
        self._only(status, "status.", {"modes", "blocks"})
        limits = self._limits(self._table(document, "", "limits"))
        asked = self._block(request, "request.", REQUEST_FIELDS, {Table.COIL, Table.HOLDING})
        blocks = status.get("blocks")
        if not isinstance(blocks, list) or not blocks or not all(isinstance(block, dict) for block in blocks):
            self._wrong("status.blocks", blocks, "at least one block")
        shown = tuple(self._block(block, f"status.blocks[{at}].", STATUS_FIELDS, set(Table)) for at, block in enumerate(blocks))
        profile = Profile(
            name=self._text(document, "name"),
            version=self._number(document, "", "version", 1, LARGEST_WORD),
            device_id=self._number(document, "", "device_id", 0, 247),
            limits=limits,
            request=asked,
            request_modes=self._modes(request, "request.", [asked], {Mode.RELEASED, Mode.STAGE, Mode.PLAN}),
            status=shown,
            status_modes={number: mode for mode, number in self._modes(status, "status.", shown, set(Mode)).items()},
            detectors=self._detectors(self._table(document, "", "detectors")),
        )
        self._check(profile)
        return profile

    def _limits(self, limits: Mapping[str, Any]) -> Limits:
        bounds = {
            "groups": (1, 32),
            "stages": (1, LARGEST_WORD),
            "plans": (0, 253),
            "detectors": (0, 1000),
            "max_hold": (1, LARGEST_WORD),
            "validity": (1, 600),
            "freshness": (1, 600),
        }
        self._only(limits, "limits.", set(bounds))
        return Limits(**{key: self._number(limits, "limits.", key, low, high) for key, (low, high) in bounds.items()})

    def _detectors(self, layout: Mapping[str, Any]) -> DetectorPages:
        self._only(layout, "detectors.", {"table", "address", "per_page", "page_size", "first", "stride", "header", "fields"})
        head = {"table": layout.get("table"), "address": layout.get("address"), "size": layout.get("page_size")}
        page = self._block(head | {"fields": layout.get("header")}, "detectors.", HEADER_FIELDS, set(Table))
        per_page = self._number(layout, "detectors.", "per_page", 1, page.size)
        stride = self._number(layout, "detectors.", "stride", 1, page.size)
        first = self._number(layout, "detectors.", "first", 0, page.size - 1)
        if first + per_page * stride > page.size:
            self._wrong("detectors.per_page", per_page, f"detectors that fit into a page of {page.size} cells")
        if any(first < field.at + field.size and field.at < first + per_page * stride for field in page.fields.values()):
            self._wrong("detectors.header", sorted(page.fields), "fields beside the detectors")
        fields = self._fields(self._table(layout, "detectors.", "fields"), "detectors.fields.", DETECTOR_FIELDS, page.table, stride)
        if "state" not in fields:
            self._wrong("detectors.fields", sorted(fields), "state among them")
        return DetectorPages(page=page, per_page=per_page, first=first, stride=stride, fields=fields)

    def _block(self, block: Mapping[str, Any], where: str, known: frozenset[str], tables: set[Table]) -> Block:
        self._only(block, where, {"table", "address", "size", "modes", "fields"})
        allowed = {table.value: table for table in tables}
        named = block.get("table")
        table = allowed.get(named) if isinstance(named, str) else None
        if table is None:
            self._wrong(f"{where}table", named, ", ".join(sorted(allowed)))
        size = self._number(block, where, "size", 1, table.largest)
        return Block(
            table=table,
            address=self._number(block, where, "address", 0, LARGEST_WORD - size + 1),
            size=size,
            fields=self._fields(self._table(block, where, "fields"), f"{where}fields.", known, table, size),
        )

    def _fields(self, fields: Mapping[str, Any], where: str, known: frozenset[str], table: Table, size: int) -> dict[str, Field]:
        self._only(fields, where, set(known))
        found: dict[str, Field] = {}
        taken: set[int] = set()
        for name in fields:
            key = f"{where}{name}."
            raw = self._table(fields, where, name)
            self._only(raw, key, {"at", "size", "value"})
            length = self._number(raw, key, "size", 1, 32 if table.is_bits else 2) if "size" in raw else 1
            at = self._number(raw, key, "at", 0, size - length)
            width = length * (1 if table.is_bits else 16)
            value = self._number(raw, key, "value", 0, (1 << width) - 1) if "value" in raw else None
            cells = set(range(at, at + length))
            if cells & taken:
                self._wrong(f"{key}at", at, "cells that no other field has")
            taken |= cells
            found[name] = Field(at=at, size=length, value=value)
        crc = found.get("crc")
        if crc is not None and (table.is_bits or crc.size != 1 or crc.at != size - 1):
            self._wrong(f"{where}crc.at", crc.at, "the last register of its block")
        return found

    def _modes(self, block: Mapping[str, Any], where: str, blocks: Sequence[Block], known: set[Mode]) -> dict[Mode, int]:
        modes = self._table(block, where, "modes")
        self._only(modes, f"{where}modes.", {mode.value for mode in known})
        holders = [held for held in blocks if "mode" in held.fields]
        if not holders:
            self._wrong(f"{where}modes", dict(modes), "a field mode that holds them")
        largest = (1 << holders[0].width("mode")) - 1
        found = {Mode(key): self._number(modes, f"{where}modes.", key, 0, largest) for key in modes}
        if not {Mode.RELEASED, Mode.STAGE} <= found.keys() or len(set(found.values())) < len(found):
            self._wrong(f"{where}modes", dict(modes), "released, stage and others, each with a number of its own")
        return found

    def _check(self, profile: Profile) -> None:
        """Hold the parts of a profile against each other."""
        asked = profile.request.fields
        for needed in ({"heartbeat"}, {"target", "groups"}):
            if not needed & asked.keys():
                self._wrong("request.fields", sorted(asked), " or ".join(sorted(needed)) + " among them")
        names = [name for block in profile.status for name in block.fields if name not in {"magic", "version", "crc"}]
        shown = set(names)
        if len(shown) < len(names):
            self._wrong("status.blocks", sorted(names), "each field in one block")
        if not {"display", "greens", "yellows", "reds"} <= shown:
            self._wrong("status.blocks", sorted(shown), "display, greens, yellows and reds among them")
        for group in _TOGETHER:
            if group & shown and not group <= shown:
                self._wrong("status.blocks", sorted(group & shown), "all of " + ", ".join(sorted(group)))
        self._check_fit(profile, asked, shown)

    def _check_fit(self, profile: Profile, asked: Mapping[str, Field], shown: set[str]) -> None:
        """Hold what is asked against what is answered."""
        if "acknowledged" in shown and not {"boot", "not_after", "sequence"} <= asked.keys():
            self._wrong("request.fields", sorted(asked), "boot, not_after and sequence, since the status answers to them")
        if "acknowledged" not in shown and "echo_groups" not in shown:
            self._wrong("status.blocks", sorted(shown), "acknowledged, or echo_mode and echo_groups: an acknowledgement")
        for block in (profile.request, *profile.status):
            for name in _MASKS & block.fields.keys():
                if block.width(name) < profile.limits.groups:
                    self._wrong(f"fields.{name}.size", block.fields[name].size, f"a bit for each of {profile.limits.groups} groups")
        if profile.limits.plans and (Mode.PLAN not in profile.request_modes or "target" not in asked):
            self._wrong("limits.plans", profile.limits.plans, "0 where the request has no mode plan and no target")

    def _table(self, document: Mapping[str, Any], where: str, key: str) -> Mapping[str, Any]:
        value = document.get(key)
        if not isinstance(value, dict):
            self._wrong(f"{where}{key}", value, "a table")
        return value

    def _text(self, document: Mapping[str, Any], key: str) -> str:
        value = document.get(key)
        if not isinstance(value, str) or not value:
            self._wrong(key, value, "a name")
        return value

    def _number(self, document: Mapping[str, Any], where: str, key: str, low: int, high: int) -> int:
        value = document.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self._wrong(f"{where}{key}", value, f"{low}..{high}")
        return value

    def _only(self, document: Mapping[str, Any], where: str, known: set[str]) -> None:
        for key in document:
            if key not in known:
                raise ConfigError(f"unknown key{nearest(key, known)}", source=self.source, key=f"{where}{key}", value=document[key])

    def _wrong(self, key: str, value: object, allowed: str) -> NoReturn:
        raise ConfigError("not a value of a register map", source=self.source, key=key, value=value, allowed=allowed)
