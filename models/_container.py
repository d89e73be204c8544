"""Puts a bundle's parts into one file and takes them out again: a zip archive without compression, of which every byte is determined.

Reading follows no pointer that the file holds: the parts are cut out by their lengths, packed anew, and must give the same bytes. So
whatever is not exactly what `pack` writes is refused, and no archive library meets a stranger's file.
"""

import zlib
from struct import pack as struct_pack
from typing import NamedTuple

_LOCAL = "<4s5H3L2H"
_CENTRAL = "<4s6H3L5H2L"
_END = "<4s4H2LH"
_HEADER = 30
"""The length of a local header before the name, in bytes."""

_SIZE_AT = 22
"""Where in a local header the length of a part stands, four bytes, little-endian."""

_VERSION = 20
_NEW_YEAR_1980 = 0x21
"""The earliest date that an archive knows: a file's content alone decides its bytes."""

_REGULAR = 0o100644 << 16
"""A file that its owner may write and all may read."""


class Parts(NamedTuple):
    """What a bundle's file holds."""

    manifest: bytes
    signature: bytes
    weights: bytes


NAMES = Parts(b"manifest.json", b"signature", b"policy.onnx")


def pack(parts: Parts) -> bytes:
    """Write the parts as one archive."""
    content, directory = bytearray(), bytearray()
    for name, part in zip(NAMES, parts, strict=True):
        known = (_VERSION, 0, 0, 0, _NEW_YEAR_1980, zlib.crc32(part), len(part), len(part), len(name), 0)
        directory += struct_pack(_CENTRAL, b"PK\1\2", 3 << 8 | _VERSION, *known, 0, 0, 0, _REGULAR, len(content)) + name
        content += struct_pack(_LOCAL, b"PK\3\4", *known) + name + part
    end = struct_pack(_END, b"PK\5\6", 0, 0, len(NAMES), len(NAMES), len(directory), len(content), 0)
    return bytes(content + directory) + end


def unpack(content: bytes) -> Parts | None:
    """Take the parts out of an archive; None where it is not exactly what `pack` writes."""
    found, at = [], 0
    for name in NAMES:
        size = int.from_bytes(content[at + _SIZE_AT : at + _SIZE_AT + 4], "little")
        begin = at + _HEADER + len(name)
        found.append(content[begin : begin + size])
        at = begin + size
    parts = Parts(*found)
    return parts if pack(parts) == content else None
