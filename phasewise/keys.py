"""`phasewise keys`: the keys that sign bundles, and the list of those that are trusted.

A key has two halves in two files: NAME.key is secret, of its owner alone (mode 0600), and signs; NAME.pub may be seen by all, and is what
a cabinet comes to trust.
"""

import os
import re
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.table import Table

from envs.files import write_atomically, writing
from envs.scenario import nearest
from intersection.errors import ConfigError, PhasewiseError
from models.trust import Trust, TrustedKey, read, to_toml, with_key, without_key
from phasewise.console import err, out

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_LARGEST = 1 << 16
"""No file with a key or a passphrase is larger, in bytes."""

SOON = timedelta(days=30)
"""A key with less time left is worth a word."""


def new_key(name: str, *, folder: Path, days: int, passphrase_file: Path | None, now: datetime | None = None) -> Path:
    """Make a key, and write its two halves; neither replaces an older one.

    Returns:
        The file of its secret half.

    Raises:
        ConfigError: the name cannot be a file's, a file is there already, or the passphrase's file is empty.
        UserError: nothing can be written there.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError("no name for a key", key="name", value=name, allowed="up to 64 letters, digits and ._- after a letter or digit")
    secret, public = folder / f"{name}.key", folder / f"{name}.pub"
    for path in (secret, public):
        if path.exists() or path.is_symlink():
            raise ConfigError("this file is there already, and a key is never replaced", source=str(path), allowed="another name")
    key = Ed25519PrivateKey.generate()
    phrase = _passphrase(passphrase_file)
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(phrase) if phrase else serialization.NoEncryption(),
    )
    expires = (now or datetime.now(UTC)).replace(microsecond=0) + timedelta(days=days)
    half = TrustedKey(name=name, public=key.public_key().public_bytes_raw(), expires=expires)
    _write_secret(secret, content)
    try:
        write_atomically(public, to_toml(Trust((half,))).encode())
    except PhasewiseError:
        secret.unlink()
        raise
    out.print(f"{secret}: the secret half; keep it off the cabinets", soft_wrap=True)
    out.print(f"{public}: the public half, key {half.id}, good until {expires:%Y-%m-%d}; `phasewise keys trust` takes it", soft_wrap=True)
    return secret


def trust_keys(public: Path, *, trusted: Path) -> Trust:
    """Add the keys of one file to those that are trusted; what is revoked there is revoked here.

    Raises:
        ConfigError: a file cannot be read, or a key was revoked before.
        UserError: nothing can be written there.
    """
    known, given = read(trusted) if trusted.exists() else Trust(), read(public)
    if not given.keys:
        raise ConfigError("there is no key in it", source=str(public), allowed="a .pub file that `phasewise keys new` wrote")
    for key in given.keys:
        known = with_key(known, key)
    write_atomically(trusted, to_toml(known).encode())
    for key in given.keys:
        out.print(f"{trusted}: {key.name} ({key.id}) is {state_of(key, datetime.now(UTC))}", soft_wrap=True)
    return known


def revoke_key(name: str, *, trusted: Path, reason: str) -> Trust:
    """Let nothing that a key signed be loaded any more, whenever it was signed.

    Raises:
        ConfigError: the file cannot be read, no key bears the name or id, or the reason is no line of text.
        UserError: nothing can be written there.
    """
    if not reason.isprintable():
        raise ConfigError("a reason is one line of text", key="reason", value=reason, allowed="printable letters")
    known = without_key(read(trusted), name, now=datetime.now(UTC).replace(microsecond=0), reason=reason)
    write_atomically(trusted, to_toml(known).encode())
    out.print(f"{trusted}: {name} is revoked; give this file to every cabinet", soft_wrap=True)
    return known


def list_keys(trusted: Path) -> None:
    """Show the keys of a trust file, and how each stands. Raises ConfigError where it cannot be read."""
    now = datetime.now(UTC)
    table = Table("name", "id", "state", "reason", title=f"Keys trusted by {trusted.name}")
    for key in read(trusted).keys:
        table.add_row(key.name, key.id, state_of(key, now), key.reason)
        if key.revoked is None and now < key.expires <= now + SOON:
            err.print(
                f"{key.name} expires soon: make a new key, trust it beside this one, and export again", style="yellow", soft_wrap=True
            )
    out.print(table)


def state_of(key: TrustedKey, now: datetime) -> str:
    """Say how a key stands."""
    if key.revoked is not None:
        return f"revoked on {key.revoked:%Y-%m-%d}"
    if now >= key.expires:
        return f"expired on {key.expires:%Y-%m-%d}"
    return f"trusted until {key.expires:%Y-%m-%d}"


def secret_key(path: Path, passphrase_file: Path | None = None) -> Ed25519PrivateKey:
    """Read the secret half of a key.

    Raises:
        ConfigError: it is missing, readable by others, no Ed25519 key, or the passphrase is wrong or missing.
    """
    if not path.is_file():
        raise ConfigError("there is no such key" + nearest(path), source=str(path), allowed="a .key file that `phasewise keys new` wrote")
    if path.stat().st_mode & 0o077:
        raise ConfigError("others can read this secret", source=str(path), allowed="mode 600: chmod 600, or a new key if somebody has")
    phrase = _passphrase(passphrase_file)
    try:
        key = serialization.load_pem_private_key(_content(path), phrase)
    except TypeError as cause:
        said = "no passphrase is needed" if phrase else "a passphrase is needed"
        raise ConfigError(said, source=str(path), allowed="--passphrase-file for a key that was made with one") from cause
    except (ValueError, UnsupportedAlgorithm) as cause:
        said = "the passphrase is wrong, or this is no key" if phrase else "this is no key"
        raise ConfigError(said, source=str(path), allowed="a .key file that `phasewise keys new` wrote") from cause
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("a key of another kind", source=str(path), allowed="Ed25519")
    return key


def _passphrase(path: Path | None) -> bytes | None:
    if path is None:
        return None
    phrase = _content(path).rstrip(b"\r\n")
    if not phrase:
        raise ConfigError("there is no passphrase in it", source=str(path), allowed="one line of text")
    return phrase


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as cause:
        raise ConfigError(f"cannot be read: {cause.strerror or cause}", source=str(path)) from cause
    if len(content) > _LARGEST:
        raise ConfigError("too large for a key or a passphrase", source=str(path), allowed=f"up to {_LARGEST} bytes")
    return content


def _write_secret(path: Path, content: bytes) -> None:
    """Write a file that its owner alone may read, whole or not at all, and never in the place of another."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # which gives mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(name, path)  # unlike a rename it fails where a file is
        finally:
            Path(name).unlink(missing_ok=True)
