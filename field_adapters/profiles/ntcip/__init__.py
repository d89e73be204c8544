"""How vendors differ from NTCIP 1202, one TOML file each, and the reader of these files.

A new vendor is a new file. Keys:

    description             who it is for
    backup_time_instances   the instances at which unitBackupTime may stand, to be tried in this order; the standard has [0]
    objects_per_message     the most that a read may ask for in one message
    versions                of SNMP that the agent speaks, best first
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from field_adapters._errors import ProfileError
from field_adapters.ntcip_objects import UNIT_BACKUP_TIME, Instance
from intersection.errors import UnknownNameError, nearest

FOLDER = Path(__file__).parent

_KEYS = ("description", "backup_time_instances", "objects_per_message", "versions")
_VERSIONS = ("v3", "v2c", "v1")


@dataclass(frozen=True, kw_only=True, slots=True)
class NtcipProfile:
    """What is particular about a vendor's agent.

    Raises:
        ProfileError: a value that cannot be.
    """

    description: str
    """Who it is for."""

    backup_time_instances: tuple[int, ...] = (0,)
    """Where unitBackupTime may stand, in the order in which to try."""

    objects_per_message: int = 32
    """The most that a read may ask for in one message."""

    versions: tuple[str, ...] = _VERSIONS
    """The versions of SNMP that it speaks, best first."""

    def __post_init__(self) -> None:
        known = UNIT_BACKUP_TIME.instances
        instances = self.backup_time_instances
        if not instances or len(set(instances)) < len(instances) or not set(instances) <= set(known):
            raise ProfileError(
                "the backup time does not stand there",
                key="backup_time_instances",
                value=list(instances),
                allowed=f"of {list(known)}, once each",
            )
        if not 1 <= self.objects_per_message <= 255:
            raise ProfileError(
                "a message asks for some objects", key="objects_per_message", value=self.objects_per_message, allowed="1 to 255"
            )
        if not self.versions or len(set(self.versions)) < len(self.versions) or not set(self.versions) <= set(_VERSIONS):
            raise ProfileError("no such version", key="versions", value=list(self.versions), allowed=f"of {list(_VERSIONS)}, once each")

    @property
    def backup_time(self) -> tuple[Instance, ...]:
        """The instances of unitBackupTime to try, in this order."""
        return tuple(UNIT_BACKUP_TIME.at(instance) for instance in self.backup_time_instances)


def names() -> tuple[str, ...]:
    """List the vendors that there are files for."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name: str) -> NtcipProfile:
    """Load a vendor's profile by its name.

    Raises:
        UnknownNameError: there is no file of this name.
        ProfileError: the file cannot be used.
    """
    if name not in names():
        raise UnknownNameError("NTCIP profile", name, names())
    return read(FOLDER / f"{name}.toml")


def read(path: Path) -> NtcipProfile:
    """Read a profile from a file.

    Raises:
        ProfileError: the file cannot be read, or a key or a value of it cannot be used.
    """
    try:
        table: Mapping[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"cannot be read: {error}", source=str(path)) from error
    for key in table:
        if key not in _KEYS:
            raise ProfileError(f"no such key{nearest(key, _KEYS)}", source=str(path), key=key, value=table[key], allowed=", ".join(_KEYS))
    try:
        return NtcipProfile(
            description=_text(table, "description"),
            backup_time_instances=_numbers(table, "backup_time_instances"),
            objects_per_message=_number(table, "objects_per_message"),
            versions=_texts(table, "versions"),
        )
    except ProfileError as error:
        raise ProfileError(error.bare, source=str(path), key=error.key, value=error.value, allowed=error.allowed) from error


def _text(table: Mapping[str, object], key: str) -> str:
    value = table.get(key)
    if isinstance(value, str):
        return value
    raise ProfileError("a text is wanted", key=key, value=value)


def _number(table: Mapping[str, object], key: str) -> int:
    value = table.get(key)
    if type(value) is int:
        return value
    raise ProfileError("a whole number is wanted", key=key, value=value)


def _numbers(table: Mapping[str, object], key: str) -> tuple[int, ...]:
    value = table.get(key)
    if isinstance(value, list) and all(type(item) is int for item in value):
        return tuple(value)
    raise ProfileError("a list of whole numbers is wanted", key=key, value=value)


def _texts(table: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = table.get(key)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ProfileError("a list of texts is wanted", key=key, value=value)
