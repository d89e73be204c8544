"""Changes one value of a TOML file that people write, and leaves their comments and their order as they are."""

import re
import tomllib
from copy import deepcopy
from typing import Any

from intersection.errors import ConfigError

_HEADER = re.compile(r"\s*\[{1,2}[^\[\],=]+\]{1,2}\s*(#.*)?$")


def with_value(text: str, key: str, value: str | bool, *, item: tuple[str, int] | None = None, source: str = "") -> str:
    """Give a file's text with another value, in the place of the old one or, where there is none, before the table's other keys.

    Args:
        text: the file as it is.
        key: a bare key.
        value: what is to stand there.
        item: the name of a list of tables and the place in it, from 0; None: the key stands before all tables.
        source: the file, for messages.

    Raises:
        ConfigError: it is no TOML, or it is written in a way in which this change would change more.
    """
    try:
        wanted = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not a TOML file: {error}", source=source) from error
    literal = ("true" if value else "false") if isinstance(value, bool) else _quoted(value)
    by_hand = ConfigError("this file must be edited by hand", source=source, key=key, allowed=f"{key} = {literal}")
    try:
        table: dict[str, Any] = wanted if item is None else wanted[item[0]][item[1]]
        table[key] = deepcopy(value)
    except (KeyError, IndexError, TypeError) as error:
        raise by_hand from error
    lines = text.splitlines(keepends=True)
    begin, end = _range(lines, item)
    old = re.compile(rf"(\s*{re.escape(key)}\s*=\s*)(\"[^\"]*\"|'[^']*'|true|false)")
    found = next((at for at in range(begin, end) if old.match(lines[at])), None)
    if found is not None:
        lines[found] = old.sub(lambda match: match[1] + literal, lines[found], count=1)
    else:
        lines.insert(begin, f"{key} = {literal}\n")
    changed = "".join(lines)
    try:
        same = tomllib.loads(changed) == wanted
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise by_hand
    return changed


def _range(lines: list[str], item: tuple[str, int] | None) -> tuple[int, int]:
    """Find the lines in which the keys of a table stand."""
    headers = [at for at, line in enumerate(lines) if _HEADER.match(line)]
    begin = 0
    if item is not None:
        own = re.compile(rf"\s*\[\[\s*{re.escape(item[0])}\s*\]\]")
        begin = [*(at + 1 for at in headers if own.match(lines[at])), *[len(lines)] * (item[1] + 1)][item[1]]
    return begin, next((at for at in headers if at >= begin), len(lines))


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
