"""The keys whose bundles a cabinet runs: public halves only, in a TOML file that says until when each is good and which is revoked."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from intersection.errors import ConfigError

VERSION = 1
"""The version of the file's form that this code reads."""

LARGEST = 1 << 20
"""No trust file is larger, in bytes."""

_STRINGS = {"name": True, "public": True, "reason": False}
_INSTANTS = {"expires": True, "revoked": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustedKey:
    """The public half of a key that signs bundles."""

    name: str
    """What people call it."""

    public: bytes
    """Ed25519, 32 bytes."""

    expires: datetime
    """From this instant on nothing that it signed is loaded."""

    revoked: datetime | None = None
    """Since when it is revoked; nothing that it signed is loaded then, whenever that was: a thief can write any date."""

    reason: str = ""
    """Why it was revoked."""

    def __post_init__(self) -> None:
        if len(self.public) != 32:
            raise ConfigError("a public key has 32 bytes", key="key.public", value=self.public.hex(), allowed="64 hexadecimal digits")
        for key in _INSTANTS:
            instant = getattr(self, key)
            if instant is not None and instant.tzinfo is None:
                raise ConfigError("an instant needs its time zone", key=f"key.{key}", value=str(instant), allowed="2027-01-31T00:00:00Z")

    @property
    def id(self) -> str:
        """What a bundle calls it."""
        return key_id(self.public)


def key_id(public: bytes) -> str:
    """Name a key by its public half: the first 16 hexadecimal digits of the half's SHA-256."""
    return sha256(public).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Trust:
    """Some keys, each once."""

    keys: tuple[TrustedKey, ...] = ()

    def __post_init__(self) -> None:
        for what, values in (("name", [key.name for key in self.keys]), ("public", [key.public.hex() for key in self.keys])):
            for value in values:
                if values.count(value) > 1:
                    raise ConfigError("stands more than once", key=f"key.{what}", value=value, allowed="each key once")

    def find(self, key_id: str) -> TrustedKey | None:
        """Find a key by what a bundle calls it, or None."""
        return next((key for key in self.keys if key.id == key_id), None)


def read(path: Path) -> Trust:
    """Read a trust file.

    Raises:
        ConfigError: it cannot be read, or holds no keys; the message names the file, the key, the value and what is allowed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ConfigError("too large for a trust file", source=str(path), allowed=f"up to {LARGEST} bytes")
        document = tomllib.loads(content.decode("utf-8"))
    except OSError as cause:
        raise ConfigError(f"cannot be read: {cause.strerror or cause}", source=str(path), allowed="a file of trusted keys") from cause
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as cause:
        raise ConfigError(f"not a TOML file: {cause}", source=str(path)) from cause
    try:
        return _trust(document)
    except ConfigError as cause:
        raise ConfigError(str(cause), source=str(path)) from cause


def to_toml(trust: Trust) -> str:
    """Write trusted keys as the text of a trust file; reading it gives equal ones."""
    lines = ["# The keys whose bundles may run here. Public halves only: nothing in this file is secret.", f"version = {VERSION}"]
    for key in trust.keys:
        lines += ["", "[[key]]", f"name = {_quoted(key.name)}", f'public = "{key.public.hex()}"', f"expires = {_instant(key.expires)}"]
        if key.revoked is not None:
            lines += [f"revoked = {_instant(key.revoked)}", f"reason = {_quoted(key.reason)}"]
    return "\n".join(lines) + "\n"


def _trust(document: dict[str, Any]) -> Trust:
    if document.get("version") != VERSION:
        raise ConfigError("unknown form", key="version", value=document.get("version"), allowed=str(VERSION))
    unknown = sorted(set(document) - {"version", "key"})
    if unknown:
        raise ConfigError("unknown key", key=unknown[0], value=document[unknown[0]], allowed="version, key")
    items = document.get("key", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ConfigError("must be a list of tables", key="key", value=items, allowed="[[key]]")
    return Trust(tuple(map(_key, items)))


def _key(item: dict[str, Any]) -> TrustedKey:
    for name, value in item.items():
        if name not in _STRINGS and name not in _INSTANTS:
            raise ConfigError("unknown key", key=f"key.{name}", value=value, allowed=", ".join((*_STRINGS, *_INSTANTS)))
    _check(item, _STRINGS, str, "a text")
    _check(item, _INSTANTS, datetime, "an instant such as 2027-01-31T00:00:00Z")
    try:
        public = bytes.fromhex(item["public"])
    except ValueError as cause:
        raise ConfigError("not a public key", key="key.public", value=item["public"], allowed="64 hexadecimal digits") from cause
    return TrustedKey(**{**item, "public": public})


def _check(item: dict[str, Any], names: dict[str, bool], kind: type, allowed: str) -> None:
    for name, needed in names.items():
        if (needed or name in item) and not isinstance(item.get(name), kind):
            raise ConfigError("wrong or missing value", key=f"key.{name}", value=item.get(name), allowed=allowed)


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _quoted(text: str) -> str:
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"


def with_key(trust: Trust, new: TrustedKey) -> Trust:
    """Add a key, or put a newer expiry in the place of the same key's.

    Raises:
        ConfigError: the key is revoked, or another key bears its name.
    """
    known = trust.find(new.id)
    if known is not None and known.revoked is not None:
        if new.revoked is not None:
            return trust
        raise ConfigError("this key was revoked, and stays so", key="key.name", value=known.name, allowed="a new key")
    return Trust((*_others(trust.keys, new.id), new))


def without_key(trust: Trust, name: str, *, now: datetime, reason: str) -> Trust:
    """Revoke a key; it stays in the list, so that nobody trusts it again by mistake.

    Raises:
        ConfigError: no key bears the name or id.
    """
    found = next((key for key in trust.keys if name in (key.name, key.id)), None)
    if found is None:
        raise ConfigError("no such key", key="key.name", value=name, allowed=", ".join(key.name for key in trust.keys) or "none is trusted")
    gone = replace(found, revoked=found.revoked or now, reason=found.reason or reason)
    return Trust(tuple(gone if key is found else key for key in trust.keys))


def _others(keys: Iterable[TrustedKey], key_id: str) -> tuple[TrustedKey, ...]:
    return tuple(key for key in keys if key.id != key_id)
