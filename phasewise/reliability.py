"""Writes docs/reliability.md: one section for each command that measures, which replaces its own and leaves the others as they are."""

import fcntl
import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from envs.files import write_atomically, writing
from intersection.errors import UnknownNameError

REPORT = Path("docs/reliability.md")

SECTIONS = ("parity", "faults", "loop", "soak")
"""In the order in which they stand; each is written by `phasewise bench NAME`."""

_HEAD = """# Reliability

Every section is written by the command that it names; nothing is entered by hand. Each can be run by anyone, on loopback alone.
"""


def write_section(report: Path, name: str, body: str) -> None:
    """Write one section, so that at any instant the file is whole, whoever else writes another.

    Args:
        report: the file; made if it is not there.
        name: one of `SECTIONS`.
        body: its text in Markdown, beginning with its heading of the second level.

    Raises:
        UnknownNameError: there is no such section.
        UserError: nothing can be written there.
        RuntimeFault: the disk is full or broken.
    """
    if name not in SECTIONS:
        raise UnknownNameError("section", name, SECTIONS)
    with writing(report):
        report.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(report.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # two that finish at once do not undo each other
            text = report.read_text("utf-8") if report.exists() else ""
            write_atomically(report, merged(text, name, body).encode())
        finally:
            os.close(folder)


def merged(text: str, name: str, body: str) -> str:
    """Put a section in its place in a report's text, in the order of `SECTIONS`."""
    found = {each: match[1].strip() for each in SECTIONS if (match := re.search(_begin(each) + r"\n(.*?)" + _end(each), text, re.DOTALL))}
    found[name] = body.strip()
    parts = [f"{_begin(each)}\n{found[each]}\n{_end(each)}\n" for each in SECTIONS if each in found]
    return "\n".join((_HEAD, *parts))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a table in Markdown: its first column to the left, the others to the right."""
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def circumstances() -> str:
    """Say when, and on what machine."""
    today = datetime.now(UTC).date().isoformat()
    return f"Measured on {today}: {platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}."


def _begin(name: str) -> str:
    return f"<!-- begin {name} -->"


def _end(name: str) -> str:
    return f"<!-- end {name} -->"
