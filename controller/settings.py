"""`cabinet.toml`: how the daemon controls one cabinet, or all of a corridor; checked whole before anything runs by it.

    load(path) -> Settings                      or a SettingsError that lists all that is wrong
    reload(old, new) -> Changes | Refused       what a running daemon may take over

Times are whole tenths of a second, as in `intersection.toml`. Secrets stand in files of their own, which nobody but their owner and its
group may read, and never in a message, a `repr` or a log. `docs/cabinet.md` describes every key; `deploy/cabinet.toml` is an example.
"""

import grp
import ipaddress
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import time
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, assert_never

from controller._errors import SettingsError
from controller._toml import HIDDEN, Notes, Reader, Readers, build, integer, member, named, plain, read_keys, text, truth, within
from controller.commissioning import Allowance, allowance
from controller.detectors import Limits as DetectorLimits
from controller.events import LIMITS
from controller.journal import Limits as JournalLimits
from controller.mode import LadderSettings
from field_adapters.modbus_link import BAUD_RATES, Line, client_context
from field_adapters.modbus_profile import load_profile
from field_adapters.ntcip_program import Method, Unsuitable, program_of
from field_adapters.profiles import ntcip as ntcip_profiles
from field_adapters.snmp import AuthProtocol, Community, Credentials, PrivProtocol, UsmUser, Version
from intersection.config import IntersectionConfig
from intersection.config import load as load_intersection
from intersection.errors import ConfigError, nearest
from intersection.phase import Tenths
from intersection.plan import Schedule, ScheduleEntry
from models.bundle import digest
from models.trust import read as read_trust

VERSION = 1
"""The version of the file's form that this code reads."""

LARGEST = 1 << 20
"""No cabinet.toml is larger, in bytes."""

LARGEST_SECRET = 1 << 12
"""No file with a pass phrase is larger, in bytes."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A cabinet's name is also that of its folders."""

LONGEST_SOCKET = 107
"""A Unix socket's path is no longer, in bytes (unix(7))."""

T = TypeVar("T")


# ----- what stands in the file ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True, slots=True)
class Ntcip:
    """A cabinet that speaks NTCIP 1202 over SNMP."""

    host: str
    credentials: Credentials
    port: int = 161
    profile: str = "standard"
    """A vendor's, of `field_adapters.profiles.ntcip`."""

    method: Method = Method.STAGES
    """How the cabinet's program is made of the configuration."""

    settle: Tenths = 2
    """How long a prepared change of stage waits before its force-off, in tenths of a second; at least a scan and a poll in the field."""

    backup_limit: Tenths = 600
    """The longest backup time of the cabinet with which we take control, in tenths of a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """The files by which we and the device prove to each other who we are."""

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A Modbus device on a network: with TLS, or without where that was decided."""

    host: str
    port: int
    tls: Tls | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SerialPort:
    """A Modbus device on a serial line."""

    device: Path
    line: Line


@dataclass(frozen=True, kw_only=True, slots=True)
class Modbus:
    """A cabinet that speaks Modbus."""

    link: Network | SerialPort
    profile: str = "phasewise_v1"
    """A register map, of `field_adapters.profiles`."""

    device_id: int = 1
    identity: int = 0
    """The number of the database that was commissioned, where the map has one; a device with another is another cabinet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Virtual:
    """A cabinet in memory, for trials."""


Adapter: TypeAlias = Ntcip | Modbus | Virtual


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicySettings:
    """The policy, and how long it may think."""

    bundle: Path
    """Read when the policy is started; one that is missing or refused is a fault of the ladder, not of this file."""

    trusted: Path
    """The file of the keys whose bundles may run."""

    deadline: Tenths = 5
    """After this time without an answer a decision is over, in tenths of a second; within the decision period."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CabinetSettings:
    """One cabinet."""

    name: str
    config_path: Path
    config: IntersectionConfig = field(repr=False)
    """The intersection, with the timings that were approved."""

    approved: str
    """The digest of the approved configuration (`models.bundle.digest`)."""

    adapter: Adapter
    policy: PolicySettings | None = None
    """None where nothing but plans is to run."""

    poll_period: Tenths = 1
    """From one reading of the cabinet to the next, in tenths of a second."""

    decision_period: Tenths = 10
    """From one decision to the next, in tenths of a second; a multiple of the poll period."""

    freshness: Tenths = 15
    """How old a decision may be that is still sent, in tenths of a second; from the decision period on."""

    ladder: LadderSettings = field(default_factory=LadderSettings)
    detectors: DetectorLimits = field(default_factory=DetectorLimits)
    fixed_time: Schedule = field(default_factory=Schedule)
    """The schedule of our own plans; that of the intersection where the file gives none."""

    commissioned: Allowance = field(default_factory=Allowance)
    """What the record of its commissioning allows; `ladder.limit` is not above it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlSettings:
    """The socket at which operators ask."""

    socket: Path = Path("/run/phasewise/control.sock")
    mode: int = 0o660
    """Who may ask, as the socket's file mode; nobody but its owner and its group ever."""

    group: str | None = None
    """Whose members may ask; None: the daemon's own group."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalSettings:
    """Where the journals are, a folder each, and how much they keep."""

    folder: Path = Path("/var/lib/phasewise/journal")
    limits: JournalLimits = field(default_factory=JournalLimits)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """A whole cabinet.toml."""

    source: Path
    cabinets: tuple[CabinetSettings, ...]
    state_folder: Path = Path("/var/lib/phasewise/state")
    """Where each cabinet's lock and the record of its mode are."""

    health_port: int | None = None
    """The port of /healthz and /metrics, on loopback; None: nowhere."""

    control: ControlSettings = field(default_factory=ControlSettings)
    journal: JournalSettings = field(default_factory=JournalSettings)


# ----- a reload ------------------------------------------------------------------------------------------------------------------
RELOADABLE = ("policy", "ladder", "detectors", "fixed_time", "commissioned")
"""What of a cabinet may change while the daemon runs."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a running daemon takes over."""

    cabinets: Mapping[str, frozenset[str]]
    """For each cabinet that changes, which of `RELOADABLE` do."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is taken over."""

    reason: str


def reload(old: Settings, new: Settings) -> Changes | Refused:
    """Say what a running daemon may take over, or why nothing of it.

    Who a cabinet is, how it is spoken to, its timings, and where things are kept cannot change under a daemon that runs.
    """
    fixed = [entry.name for entry in fields(Settings) if entry.name not in {"cabinets", "source"}]
    changed = [name for name in fixed if getattr(old, name) != getattr(new, name)]
    before, after = ({each.name: each for each in settings.cabinets} for settings in (old, new))
    if before.keys() != after.keys():
        changed.append("the list of cabinets")
    changes: dict[str, frozenset[str]] = {}
    for name in before.keys() & after.keys():
        differing = {
            entry.name for entry in fields(CabinetSettings) if getattr(before[name], entry.name) != getattr(after[name], entry.name)
        }
        changed += (f"{name}: {key}" for key in sorted(differing - set(RELOADABLE)))
        if differing:
            changes[name] = frozenset(differing)
    if changed:
        return Refused(f"this changes only with a new start: {', '.join(changed)}")
    return Changes(changes)


# ----- reading -------------------------------------------------------------------------------------------------------------------
def load(path: Path, *, approving: bool = False) -> Settings:
    """Read and check a cabinet.toml, and every file that it names but the bundle.

    Args:
        path: the file.
        approving: whether a person is about to approve the timings: then they need not be approved yet. Nothing may run by such settings.

    Raises:
        SettingsError: it lists all that is wrong; each entry names the file, the key, the value and what is allowed.
    """
    notes = Notes(str(path), [])
    document = _document(path, notes)
    settings = None if document is None else _Reader(path, notes, approving=approving).settings(document)
    if settings is None or notes.errors:
        raise SettingsError(notes.errors)
    return settings


def _document(path: Path, notes: Notes) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IWOTH:
                notes.add(ConfigError("anybody may write this file", allowed="chmod o-w, after a look at what it says"))
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            notes.add(ConfigError("too large", allowed=f"up to {LARGEST} bytes"))
            return None
        return tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        notes.add(ConfigError(f"cannot be read: {error.strerror or error}"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        notes.add(ConfigError(f"not a TOML file: {error}"))
    return None


def _secret(key: str, path: Path) -> str:
    """Read a file that holds one line of text and that the world can neither read nor write."""
    allowed = "the path of a file of one line, mode 600 or 640"
    try:
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115  # a pipe must not hold us up
    except (OSError, ValueError) as error:
        # What stands here in place of a path may be the secret itself.
        raise ConfigError("no such file, or it cannot be read", key=key, value=HIDDEN, allowed=allowed) from error
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError("no file", key=key, value=str(path), allowed=allowed)
        if status.st_mode & 0o027:
            raise ConfigError(
                "others may read or write this secret", key=key, value=str(path), allowed="mode 600 or 640: chmod, and a new secret"
            )
        content = file.read(LARGEST_SECRET + 1)
    try:
        said = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        said = ""
    if not said or not said.isprintable() or len(content) > LARGEST_SECRET:
        raise ConfigError("it does not hold one line of text", key=key, value=str(path), allowed=allowed)
    return said


def _time(key: str, value: object) -> time:
    if not isinstance(value, time):
        raise ConfigError("not a time of day", key=key, value=value, allowed="for instance 06:30:00")
    return value


def _days(key: str, value: object) -> frozenset[int]:
    if not isinstance(value, list) or not value or not all(type(day) is int and 0 <= day <= 6 for day in value):
        raise ConfigError("not days of the week", key=key, value=value, allowed="[0, 1, 2, 3, 4, 5, 6], Monday is 0")
    return frozenset(value)


def _name(key: str, value: object) -> str:
    name = text(key, value)
    if not NAME.fullmatch(name):
        raise ConfigError("no name", key=key, value=name, allowed="up to 64 letters, digits and ._- after a letter or digit")
    return name


def _host(key: str, value: object) -> str:
    host = text(key, value)
    if host.count(":") == 1 or any(letter.isspace() or letter in "/@" for letter in host):
        raise ConfigError("no host", key=key, value=host, allowed="a name or an address, without a port")
    return host


def _engine_id(key: str, value: object) -> bytes:
    try:
        return bytes.fromhex(text(key, value))
    except ValueError as error:
        raise ConfigError("not hexadecimal", key=key, value=value, allowed="10 to 64 hexadecimal digits") from error


def _sha256(key: str, value: object) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text(key, value)):
        raise ConfigError("not a digest", key=key, value=value, allowed="64 hexadecimal digits, as `phasewise commission` tells them")
    return str(value)


def _socket_mode(key: str, value: object) -> int:
    mode = integer(key, value)
    if mode & ~0o660 or mode & 0o600 != 0o600:
        raise ConfigError("others than the owner and the group would ask", key=key, value=oct(mode), allowed="0o600, 0o660")
    return mode


def _group(key: str, value: object) -> str:
    name = text(key, value)
    try:
        grp.getgrnam(name)
    except KeyError as error:
        known = [each.gr_name for each in grp.getgrall()]
        raise ConfigError(f"no such group{nearest(name, known)}", key=key, value=name, allowed="a group of this machine") from error
    return name


def _parity(key: str, value: object) -> str:
    if value not in {"N", "E", "O"}:
        raise ConfigError("no such parity", key=key, value=value, allowed="N, E, O")
    return str(value)


def _baud(key: str, value: object) -> int:
    if (baud := integer(key, value)) not in BAUD_RATES:
        raise ConfigError("no such speed", key=key, value=baud, allowed=", ".join(map(str, BAUD_RATES)))
    return baud


def _as_is(_key: str, value: object) -> object:
    return value


_PORT = within(1, 65_535)


class _Reader:
    """Reads one document; knows its folder, by which paths in it count, and notes what is wrong."""

    def __init__(self, source: Path, notes: Notes, *, approving: bool = False) -> None:
        self.source, self.notes, self.approving = source, notes, approving

    def settings(self, document: dict[str, Any]) -> Settings | None:
        """Read the whole file; what is None or missing in it has been noted."""
        if document.get("version") != VERSION:
            said = "a form that this release does not read (docs/cabinet.md: upgrade and rollback)"
            self.notes.say(said, "version", document.get("version"), str(VERSION))
            return None
        readers: dict[str, Reader[object]] = {
            "version": _as_is,
            "state_folder": self._path,
            "health_port": within(1_024, 65_535),
            "control": _as_is,
            "journal": _as_is,
            "cabinet": _as_is,
        }
        values = read_keys(document, "", readers, self.notes)
        del values["version"]
        values |= {
            "source": self.source,
            "cabinets": self._cabinets(values.pop("cabinet", [])),
            "control": self._control(values.pop("control", {})),
            "journal": self._journal(values.pop("journal", {})),
        }
        return build(Settings, values, values, "", self.notes)

    def _path(self, key: str, value: object) -> Path:
        return self.source.parent / text(key, value)

    def _table(self, cls: type[T], given: object, path: str, readers: Readers, notes: Notes) -> T | None:
        return build(cls, read_keys(given, path, readers, notes), given, path, notes)  # type: ignore[type-var]  # every class passed is a dataclass

    def _control(self, given: object) -> ControlSettings | None:
        readers: Readers = {"socket": self._socket, "mode": _socket_mode, "group": _group}
        return self._table(ControlSettings, given, "control", readers, self.notes)

    def _socket(self, key: str, value: object) -> Path:
        path = self._path(key, value)
        if len(os.fsencode(path)) > LONGEST_SOCKET:
            raise ConfigError("too long for a socket", key=key, value=str(path), allowed=f"up to {LONGEST_SOCKET} bytes")
        return path

    def _journal(self, given: object) -> JournalSettings | None:
        values = read_keys(given, "journal", {"folder": self._path, **plain(JournalLimits)}, self.notes)
        folder = {"folder": values.pop("folder")} if "folder" in values else {}
        limits = build(JournalLimits, values, given, "journal", self.notes)
        return None if limits is None else JournalSettings(limits=limits, **folder)

    def _cabinets(self, given: object) -> tuple[CabinetSettings, ...]:
        if not isinstance(given, list) or not given or not all(isinstance(item, dict) for item in given):
            self.notes.say("a daemon needs a cabinet", "cabinet", HIDDEN, "one or more tables [[cabinet]]")
            return ()
        read = [
            self._cabinet(item, self.notes if len(given) == 1 else self.notes.within(f"cabinet[{at}]")) for at, item in enumerate(given)
        ]
        made = tuple(cabinet for cabinet in read if cabinet is not None)
        self._once("name", [cabinet.name for cabinet in made])
        self._once("adapter", [address for cabinet in made if (address := _address(cabinet.adapter))])
        return made

    def _once(self, key: str, values: list[str]) -> None:
        for value in sorted({value for value in values if values.count(value) > 1}):
            self.notes.say("two cabinets have this", f"cabinet.{key}", value, "each once")

    def _cabinet(self, given: dict[str, Any], notes: Notes) -> CabinetSettings | None:
        readers: Readers = {
            "name": _name,
            "intersection": self._path,
            "approved": _as_is if self.approving else _sha256,
            "commissioned": self._path,
            "adapter": _as_is,
            "policy": _as_is,
            "poll_period": within(1, 10, "tenths of a second"),
            "decision_period": within(1, 100, "tenths of a second"),
            "freshness": within(1, 150, "tenths of a second"),
            "ladder": _as_is,
            "detectors": _as_is,
            "fixed_time": _as_is,
        }
        values = read_keys(given, "", readers, notes)
        path = values.pop("intersection", None)
        config = self._intersection(path, notes) if path is not None else None
        for key, read in (("adapter", self._adapter), ("policy", self._policy)):
            if key in values and (made := read(values.pop(key), notes)) is not None:
                values[key] = made
        values["ladder"] = self._table(LadderSettings, values.get("ladder", {}), "ladder", plain(LadderSettings), notes)
        values["detectors"] = self._table(DetectorLimits, values.get("detectors", {}), "detectors", plain(DetectorLimits), notes)
        fixed_time = values.pop("fixed_time", None)
        if fixed_time is not None:
            values["fixed_time"] = self._fixed_time(fixed_time, config, notes)
        elif config is not None:
            values["fixed_time"] = config.schedule
        there = given | ({"config_path": path, "config": path} if "intersection" in given else {})
        if "intersection" not in given:
            notes.say("missing", "intersection", None, "the path of an intersection.toml")
            there |= {"config_path": None, "config": None}
        elif config is not None:
            values |= {"config_path": path, "config": config}
            if self.approving:
                values["approved"] = ""
            else:
                self._check_approval(config, values.get("approved"), notes)
        self._check_together(values, notes)
        record = values.pop("commissioned", None)
        cabinet = build(CabinetSettings, values, there, "", notes)
        return None if cabinet is None or notes.errors else _commissioned(cabinet, record)

    def _intersection(self, path: Path, notes: Notes) -> IntersectionConfig | None:
        try:
            return load_intersection(path)
        except ConfigError as error:
            notes.within("intersection").add(error)
        return None

    def _check_approval(self, config: IntersectionConfig, approved: str | None, notes: Notes) -> None:
        """Refuse timings that nobody has approved, or others than were approved."""
        if not config.approved:
            notes.say("nobody has approved these timings", "intersection", config.name, "a file with approved = true, from a timing sheet")
        elif approved is not None and approved != (found := digest(config)):
            allowed = f"that of the approved file; this one's is {found}"
            notes.say("these are not the timings that were approved", "approved", approved, allowed)

    def _check_together(self, values: dict[str, Any], notes: Notes) -> None:
        """Check what only two values together can tell."""
        given: dict[str, Any] = {entry.name: entry.default for entry in fields(CabinetSettings)} | values
        poll, decision, freshness = (given[key] for key in ("poll_period", "decision_period", "freshness"))
        if decision % poll:
            notes.say("decisions are made at polls", "decision_period", decision, f"a multiple of {poll} (poll_period)")
        if freshness < decision:
            allowed = f"{decision} (decision_period) or more tenths of a second"
            notes.say("each decision would be too old before the next", "freshness", freshness, allowed)
        policy, adapter, config = given["policy"], given["adapter"], given["config"]
        if isinstance(policy, PolicySettings) and policy.deadline > decision:
            notes.say("the next decision would be due", "policy.deadline", policy.deadline, f"up to {decision} (decision_period)")
        if isinstance(adapter, Ntcip) and isinstance(config, IntersectionConfig):
            program = program_of(config, adapter.method)
            if isinstance(program, Unsuitable):
                said = f"no such program for this intersection: {program.cause}"
                notes.say(said, "adapter.method", adapter.method.value, "another method, where there is one")

    # ----- the tables of a cabinet
    def _policy(self, given: object, notes: Notes) -> PolicySettings | None:
        readers: Readers = {"bundle": self._path, "trusted": self._path, "deadline": within(1, 100, "tenths of a second")}
        made = self._table(PolicySettings, given, "policy", readers, notes)
        if made is not None:
            try:
                read_trust(made.trusted)
            except ConfigError as error:
                notes.within("policy.trusted").add(error)
        return made

    def _fixed_time(self, given: object, config: IntersectionConfig | None, notes: Notes) -> Schedule | None:
        values = read_keys(given, "fixed_time", {"time_zone": text, "entry": _as_is}, notes)
        known = {pattern.number for pattern in config.patterns} | {0} if config is not None else None
        items = values.pop("entry", [])
        if not isinstance(items, list):
            notes.say("not a list of tables", "fixed_time.entry", HIDDEN, "[[cabinet.fixed_time.entry]]")
            items = []
        entries = []
        for at, item in enumerate(items):
            path = f"fixed_time.entry[{at}]"
            entry = self._table(ScheduleEntry, item, path, {"start": _time, "pattern": integer, "days": _days}, notes)
            if entry is not None and known is not None and entry.pattern not in known:
                notes.say("no such pattern", f"{path}.pattern", entry.pattern, ", ".join(map(str, sorted(known))))
            if entry is not None:
                entries.append(entry)
        return build(Schedule, values | {"entries": tuple(entries)}, given, "fixed_time", notes)

    def _adapter(self, given: object, notes: Notes) -> Adapter | None:
        kinds: dict[str, Callable[[dict[str, Any], Notes], Adapter | None]] = {
            "ntcip": self._ntcip,
            "modbus": self._modbus,
            "virtual": self._virtual,
        }
        kind = given.get("kind") if isinstance(given, dict) else None
        if not isinstance(given, dict) or not isinstance(kind, str) or kind not in kinds:
            notes.say(f"no such kind{nearest(str(kind), kinds)}", "adapter.kind", kind, ", ".join(kinds))
            return None
        return kinds[kind]({key: value for key, value in given.items() if key != "kind"}, notes)

    def _virtual(self, given: dict[str, Any], notes: Notes) -> Virtual | None:
        return self._table(Virtual, given, "adapter", {}, notes)

    def _ntcip(self, given: dict[str, Any], notes: Notes) -> Ntcip | None:
        profiles = named(ntcip_profiles.load)
        readers: Readers = {
            "host": _host,
            "port": _PORT,
            "profile": profiles,
            "method": member(Method),
            "settle": within(0, 50, "tenths of a second"),
            "backup_limit": within(10, 655_350, "tenths of a second"),
            "user": _as_is,
            "community": _as_is,
        }
        values = read_keys(given, "adapter", readers, notes)
        user, community = values.pop("user", None), values.pop("community", None)
        if (user is None) == (community is None):
            notes.say("one of the two", "adapter", HIDDEN, "[cabinet.adapter.user] for v3, or [cabinet.adapter.community] for v1 and v2c")
            return None
        credentials = self._user(user, notes) if user is not None else self._community(community, notes)
        if credentials is None:
            return None
        if (profile := values.get("profile")) is not None:
            spoken = "v3" if isinstance(credentials, UsmUser) else credentials.version.value
            if spoken not in profile.versions:
                notes.say("this vendor's agent does not speak it", "adapter.profile", given["profile"], ", ".join(profile.versions))
            values["profile"] = given["profile"]
        return build(Ntcip, values | {"credentials": credentials}, given, "adapter", notes)

    def _user(self, given: object, notes: Notes) -> UsmUser | None:
        readers: Readers = {
            "name": text,
            "auth_passphrase_file": self._secret,
            "priv_passphrase_file": self._secret,
            "auth": member(AuthProtocol),
            "priv": member(PrivProtocol),
            "engine_id": _engine_id,
        }
        return self._credentials(UsmUser, given, "adapter.user", readers, notes)

    def _community(self, given: object, notes: Notes) -> Community | None:
        readers: Readers = {"name_file": self._secret, "version": member(Version), "insecure": truth}
        return self._credentials(Community, given, "adapter.community", readers, notes)

    def _credentials(self, cls: type[T], given: object, path: str, readers: Readers, notes: Notes) -> T | None:
        """Read credentials: a key that ends in _file names the file of a secret, and gives the field without this ending."""
        values = {key.removesuffix("_file"): value for key, value in read_keys(given, path, readers, notes).items()}
        if not isinstance(given, dict):
            return None
        secrets = [key for key in readers if key.endswith("_file")]
        for key in secrets:
            if key not in given:
                notes.say("missing", f"{path}.{key}", None, "the path of a file of one line, mode 600 or 640")
        there = given | {key.removesuffix("_file"): HIDDEN for key in secrets}
        return build(cls, values, there, path, notes)  # type: ignore[type-var]  # both classes passed are dataclasses

    def _secret(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            raise ConfigError("not a path", key=key, value=HIDDEN, allowed="the path of a file of one line, mode 600 or 640")
        return _secret(key, self.source.parent / value)

    def _modbus(self, given: dict[str, Any], notes: Notes) -> Modbus | None:
        common: dict[str, Reader[object]] = {
            "profile": named(load_profile),
            "device_id": within(1, 247),
            "identity": within(0, 0xFFFF_FFFF),
        }
        serial: dict[str, Reader[object]] = {"device": self._path, "baud": _baud, "parity": _parity, "stop_bits": within(1, 2)}
        network: dict[str, Reader[object]] = {"host": _host, "port": _PORT, "tls": _as_is, "insecure": truth}
        values = read_keys(given, "adapter", common | (serial if "device" in given else network), notes)
        link = self._serial(values, given, notes) if "device" in given else self._network(values, given, notes)
        if link is None:
            return None
        own = {key: values[key] for key in common if key in values}
        return build(Modbus, own | {"link": link} | ({"profile": given["profile"]} if "profile" in own else {}), given, "adapter", notes)

    def _serial(self, values: dict[str, Any], given: dict[str, Any], notes: Notes) -> SerialPort | None:
        line = Line(**{key: values[key] for key in ("baud", "parity", "stop_bits") if key in values})
        return build(SerialPort, {key: values[key] for key in ("device",) if key in values} | {"line": line}, given, "adapter", notes)

    def _network(self, values: dict[str, Any], given: dict[str, Any], notes: Notes) -> Network | None:
        tls = self._tls(values["tls"], notes) if "tls" in values else None
        if "tls" not in values and not values.get("insecure"):
            allowed = "[cabinet.adapter.tls], or insecure = true on a network that is closed by other means"
            notes.say("plain Modbus has neither authentication nor privacy", "adapter.insecure", values.get("insecure"), allowed)
        port = values.get("port", 502 if "tls" not in values else 802)
        return build(
            Network, {key: values[key] for key in ("host",) if key in values} | {"port": port, "tls": tls}, given, "adapter", notes
        )

    def _tls(self, given: object, notes: Notes) -> Tls | None:
        made = self._table(Tls, given, "adapter.tls", dict.fromkeys(("authority", "certificate", "key"), self._path), notes)
        if made is not None:
            try:
                if made.key.stat().st_mode & 0o027:
                    notes.say("others may read or write this key", "adapter.tls.key", str(made.key), "mode 600 or 640")
                client_context(authority=made.authority, certificate=made.certificate, key=made.key)
            except OSError as error:
                notes.say(f"cannot be read: {error.strerror}", "adapter.tls.key", str(made.key), "the file of our key")
            except ConfigError as error:
                notes.within("adapter.tls").add(error)
        return made


def _commissioned(cabinet: CabinetSettings, record: Path | None) -> CabinetSettings:
    """Let a cabinet go no further than the record of its commissioning allows."""
    found = allowance(record, cabinet.name, cabinet.approved, simulated=_is_simulated(cabinet.adapter))
    limit = min(cabinet.ladder.limit, found.limit, key=LIMITS.index)
    return replace(cabinet, commissioned=found, ladder=replace(cabinet.ladder, limit=limit))


def _is_simulated(adapter: Adapter) -> bool:
    """Tell whether a cabinet is in memory or on this machine's loopback, where no street is moved by it."""
    match adapter:
        case Ntcip(host=host) | Modbus(link=Network(host=host)):
            return is_loopback(host)
        case Modbus():
            return False
        case Virtual():
            return True
        case _:
            assert_never(adapter)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine by its name or address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(adapter: Adapter) -> str:
    """Say where a cabinet is spoken to; nothing for one in memory."""
    match adapter:
        case Ntcip(host=host, port=port):
            return f"{host}:{port}"
        case Modbus(link=link, device_id=unit):
            return f"{link.host}:{link.port}/{unit}" if isinstance(link, Network) else f"{link.device}/{unit}"
        case Virtual():
            return ""
        case _:
            assert_never(adapter)
