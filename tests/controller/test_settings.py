import datetime as dt
import os
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from controller._errors import SettingsError
from controller._toml import HIDDEN, Notes, build, number, plain, read_keys
from controller.events import Mode
from controller.mode import LadderSettings
from controller.settings import (
    LARGEST,
    CabinetSettings,
    Changes,
    Modbus,
    Network,
    Ntcip,
    Refused,
    SerialPort,
    Settings,
    Tls,
    Virtual,
    load,
    reload,
)
from field_adapters.modbus_link import Line
from field_adapters.ntcip_program import Method
from field_adapters.snmp import Community, UsmUser, Version
from intersection.config import load as load_intersection
from intersection.errors import ConfigError
from models.bundle import digest
from models.trust import Trust, to_toml

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "cabinet.toml"
SECRET = "correct horse battery"

USER = """
[cabinet.adapter.user]
name = "phasewise"
auth_passphrase_file = "auth"
priv_passphrase_file = "priv"
"""
NTCIP = f"""
[cabinet.adapter]
kind = "ntcip"
host = "192.0.2.17"
{USER}"""
VIRTUAL = """
[cabinet.adapter]
kind = "virtual"
"""
MODBUS = """
[cabinet.adapter]
kind = "modbus"
host = "192.0.2.18"
insecure = true
"""
SERIAL = """
[cabinet.adapter]
kind = "modbus"
device = "/dev/ttyS0"
baud = 9600
parity = "N"
stop_bits = 2
device_id = 7
identity = 4711
"""
TLS = """
[cabinet.adapter]
kind = "modbus"
host = "192.0.2.18"
[cabinet.adapter.tls]
authority = "ca.pem"
certificate = "box.pem"
key = "box.key"
"""
COMMUNITY = """
[cabinet.adapter]
kind = "ntcip"
host = "192.0.2.17"
[cabinet.adapter.community]
name_file = "auth"
version = "v2c"
insecure = true
"""
HEAD = """version = 1
"""
CABINET = """
[[cabinet]]
name = "main"
intersection = "main-and-first.toml"
approved = "{approved}"
"""

Load = Callable[..., Settings]
Wrong = Callable[..., list[str]]


def one(settings: Settings) -> CabinetSettings:
    """Give the only cabinet."""
    [cabinet] = settings.cabinets
    return cabinet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with all that a cabinet.toml names."""
    shutil.copy(EXAMPLE.with_name("main-and-first.toml"), tmp_path)
    (tmp_path / "trusted.toml").write_text(to_toml(Trust()))
    (tmp_path / "secrets").mkdir()
    for name in ("auth", "priv", "secrets/auth", "secrets/priv"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(f"{SECRET}\n")
    return tmp_path


@pytest.fixture
def approved(folder: Path) -> str:
    """Return the digest of the approved timings."""
    found = re.search(r'approved = "(\w{64})"', EXAMPLE.read_text())
    assert found
    return found[1]


@pytest.fixture
def text(approved: str) -> str:
    """Return the text of a cabinet, without its adapter."""
    return HEAD + CABINET.format(approved=approved)


@pytest.fixture
def loaded(folder: Path) -> Load:
    """Return a way to load a text as a cabinet.toml."""

    def load_text(content: str | bytes, mode: int = 0o644) -> Settings:
        path = folder / "cabinet.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return load(path)

    return load_text


@pytest.fixture
def wrong(folder: Path, loaded: Load) -> Wrong:
    """Return a way to load a text with something wrong, that gives what is said of it, without the file's name."""

    def load_wrong(content: str | bytes, mode: int = 0o644) -> list[str]:
        with pytest.raises(SettingsError) as raised:
            loaded(content, mode)
        said = str(raised.value)
        assert SECRET not in said
        assert all(line.startswith(f"{folder / 'cabinet.toml'}: ") for line in said.splitlines())
        return [str(error).removeprefix(f"{folder / 'cabinet.toml'}: ") for error in raised.value.errors]

    return load_wrong


# ----- what passes ---------------------------------------------------------------------------------------------------------------
def test_the_written_example_passes(folder: Path) -> None:
    """The example that is shipped loads with the timings that it names, once its secrets and its trusted keys are there."""
    settings = load(Path(shutil.copy(EXAMPLE, folder)))
    cabinet = one(settings)

    assert ("main-and-first", Mode.SHADOW, 9_464) == (cabinet.name, cabinet.ladder.limit, settings.health_port)
    assert isinstance(cabinet.adapter, Ntcip)
    assert isinstance(cabinet.adapter.credentials, UsmUser)
    assert SECRET == cabinet.adapter.credentials.auth_passphrase
    assert ("America/Chicago", {1, 2}) == (cabinet.fixed_time.time_zone, {entry.pattern for entry in cabinet.fixed_time.entries})
    assert folder / "main-and-first.bundle" == (cabinet.policy and cabinet.policy.bundle)


def test_every_key_of_the_example_is_in_the_manual() -> None:
    """The manual describes each key that the example shows, and each that can be read."""
    manual = (ROOT / "docs" / "cabinet.md").read_text()
    keys = set(re.findall(r"^(\w+) =", EXAMPLE.read_text(), re.MULTILINE))
    keys |= set(plain(LadderSettings)) | {
        "insecure",
        "device",
        "baud",
        "parity",
        "stop_bits",
        "device_id",
        "identity",
        "engine_id",
        "group",
    }

    assert set() == {key for key in keys if f"`{key}`" not in manual}


def test_what_is_left_out_has_a_default(loaded: Load, text: str, folder: Path) -> None:
    """A cabinet needs a name, timings and an adapter; the rest is as documented."""
    settings = loaded(text + VIRTUAL)
    cabinet = one(settings)

    assert (Virtual(), None, 1, 10, 15) == (
        cabinet.adapter,
        cabinet.policy,
        cabinet.poll_period,
        cabinet.decision_period,
        cabinet.freshness,
    )
    assert (LadderSettings(), cabinet.config.schedule, None) == (cabinet.ladder, cabinet.fixed_time, settings.health_port)
    assert folder / "main-and-first.toml" == cabinet.config_path


def test_a_corridor_is_several_cabinets(loaded: Load, text: str, approved: str) -> None:
    """Each [[cabinet]] takes the tables below it. One on a street that was not commissioned goes no further than SHADOW."""
    second = CABINET.format(approved=approved).replace('"main"', '"side"')

    settings = loaded(text + VIRTUAL + '[cabinet.ladder]\nlimit = "monitor"\n' + second + MODBUS)

    assert [("main", Mode.MONITOR, Virtual), ("side", Mode.SHADOW, Modbus)] == [
        (each.name, each.ladder.limit, type(each.adapter)) for each in settings.cabinets
    ]


@pytest.mark.parametrize(
    ("adapter", "expected"),
    [
        (MODBUS, Modbus(link=Network(host="192.0.2.18", port=502, tls=None))),
        (
            SERIAL,
            Modbus(link=SerialPort(device=Path("/dev/ttyS0"), line=Line(baud=9600, parity="N", stop_bits=2)), device_id=7, identity=4711),
        ),
        (
            MODBUS + 'port = 1502\nprofile = "coil_groups"',
            Modbus(link=Network(host="192.0.2.18", port=1502, tls=None), profile="coil_groups"),
        ),
        (COMMUNITY, Ntcip(host="192.0.2.17", credentials=Community(name=SECRET, version=Version.V2C, insecure=True))),
        (
            NTCIP.replace("kind", 'profile = "econolite"\nport = 1161\nsettle = 0\nbackup_limit = 300\nkind')
            + 'engine_id = "8000000001020304"',
            Ntcip(
                host="192.0.2.17",
                port=1161,
                profile="econolite",
                settle=0,
                backup_limit=300,
                credentials=UsmUser(
                    name="phasewise", auth_passphrase=SECRET, priv_passphrase=SECRET, engine_id=bytes.fromhex("8000000001020304")
                ),
            ),
        ),
    ],
)
def test_each_kind_of_adapter_is_read(loaded: Load, text: str, adapter: str, expected: object) -> None:
    """Whatever an adapter's keys say stands in its settings."""
    assert expected == one(loaded(text + adapter)).adapter


def test_the_rest_of_the_file_is_read(loaded: Load, text: str, folder: Path) -> None:
    """Socket, journal and folders are where the file says, relative ones beside it."""
    control = '[control]\nsocket = "c.sock"\nmode = 0o600\n'
    more = f'state_folder = "state"\n{control}[journal]\nfolder = "journal"\nfile = 100_000\ntotal = 400_000\n'

    settings = loaded(text.replace(HEAD, HEAD + more) + VIRTUAL)

    assert (folder / "state", folder / "c.sock", 0o600) == (settings.state_folder, settings.control.socket, settings.control.mode)
    assert (folder / "journal", 400_000) == (settings.journal.folder, settings.journal.limits.total)


def test_the_group_of_the_socket_exists(loaded: Load, wrong: Wrong, text: str) -> None:
    """A group of this machine is taken, another is refused."""
    good = text.replace(HEAD, HEAD + '\n[control]\ngroup = "daemon"\n') + VIRTUAL

    assert "daemon" == loaded(good).control.group
    assert ["control.group = 'daemonn': no such group; did you mean 'daemon'?; allowed: a group of this machine"] == wrong(
        good.replace("daemon", "daemonn")
    )


# ----- secrets -------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("adapter", [NTCIP, COMMUNITY])
def test_secrets_stand_in_no_repr(loaded: Load, text: str, adapter: str) -> None:
    """What is printed or logged of settings holds no pass phrase and no community."""
    assert SECRET not in repr(loaded(text + adapter))


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o620, 0o644, 0o666])
def test_a_secret_that_others_can_reach_is_refused(wrong: Wrong, text: str, folder: Path, mode: int) -> None:
    """A file of a pass phrase that the world can touch, or its group can write, is no secret."""
    (folder / "auth").chmod(mode)

    [said] = wrong(text + NTCIP)

    assert said.startswith("adapter.user.auth_passphrase_file = '")
    assert "others may read or write this secret; allowed: mode 600 or 640" in said


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440])
def test_a_secret_of_owner_and_group_is_taken(loaded: Load, text: str, folder: Path, mode: int) -> None:
    """The daemon's group may read a pass phrase."""
    (folder / "auth").chmod(mode)

    assert isinstance(one(loaded(text + NTCIP)).adapter, Ntcip)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "one line"), (b"two\nlines\n", "one line"), (b"\xff\xfe", "one line"), (b"x" * 5_000, "one line"), (b"short\n", "8 octets")],
)
def test_a_secret_is_one_line_of_text(wrong: Wrong, text: str, folder: Path, content: bytes, words: str) -> None:
    """An empty, binary, long or short pass phrase is refused, and not shown."""
    (folder / "auth").write_bytes(content)

    assert words in " ".join(wrong(text + NTCIP))


def test_a_secret_in_place_of_its_path_is_not_shown(wrong: Wrong, text: str, folder: Path) -> None:
    """Whoever writes the pass phrase itself, or under a key of another name, finds it in no message."""
    os.mkfifo(folder / "pipe", 0o600)
    (folder / "folder").mkdir()
    for value in (f'"{SECRET}"', f'["{SECRET}"]', '"pipe"', '"folder"', '"a\\u0000b"'):
        [said] = wrong(text + NTCIP.replace('"auth"', value))
        assert "adapter.user.auth_passphrase_file" in said
    for key in ("auth_passphrase", "password"):
        assert "(not shown)" in wrong(text + NTCIP + f'{key} = "{SECRET}"')[0]


# ----- what is refused -----------------------------------------------------------------------------------------------------------
def test_all_errors_are_told_at_once(wrong: Wrong, text: str) -> None:
    """Everything that is wrong with a file is told in one go: file, key, value, what is allowed, and the nearest name."""
    said = wrong(
        text.replace(HEAD, HEAD + "health_prt = 1\n[journal]\ntotal = 7\nfile = 3\n")
        + NTCIP.replace('"192.0.2.17"', '"192.0.2.17:161"\nport = 70_000\nprofile = "econolight"').replace('"auth"', '"none"')
        + '[cabinet.ladder]\nlimit = "forced"\nclean_time = 0\nreturns_per_hour = 9\nflash_enabled = 1\n'
        + '[cabinet.detectors]\nshare = 1.5\nratio = "x"\nwindw = 5\n'
        + '[cabinet.fixed_time]\ntime_zone = "Mars/Olympus"\n[[cabinet.fixed_time.entry]]\nstart = "6"\npattern = 9\n'
    )

    assert WANTED == [each[: len(wanted)] for each, wanted in zip(said, WANTED, strict=True)]


WANTED = [
    "health_prt = 1: unknown key; did you mean 'health_port'?",
    "adapter.host = '192.0.2.17:161'",
    "adapter.port = 70000: out of range; allowed: 1..65535",
    "adapter.profile = 'econolight': unknown NTCIP profile; did you mean 'econolite'?",
    "adapter.user.auth_passphrase_file = (not shown): no such file",
    "ladder.flash_enabled = 1: neither true nor false; allowed: true, false",
    "ladder.limit = 'forced': not a mode to cap at",
    "ladder.clean_time = 0: a time must be above zero",
    "ladder.returns_per_hour = 9: too many returns; allowed: 0..3",
    "detectors.ratio = 'x': not a number",
    "detectors.windw = 5: unknown key; did you mean 'window'?",
    "detectors.share = 1.5: a share lies between 0 and 1",
    "fixed_time.entry[0].start = '6': not a time of day",
    "schedule.time_zone = 'Mars/Olympus': no such time zone",
    "journal.file = 3: out of range",
    "journal.total = 7: out of range",
]


def test_an_error_of_a_corridor_names_its_cabinet(wrong: Wrong, text: str, approved: str) -> None:
    """With several cabinets each error says of which, counted from 0."""
    second = CABINET.format(approved=approved).replace('"main"', '"side"')

    assert ["cabinet[1]: adapter.kind = 'ntcp': no such kind; did you mean 'ntcip'?; allowed: ntcip, modbus, virtual"] == wrong(
        text + VIRTUAL + second + '[cabinet.adapter]\nkind = "ntcp"'
    )


def test_two_cabinets_share_neither_name_nor_address(wrong: Wrong, text: str, approved: str) -> None:
    """A name or an address that stands twice is one mistake each."""
    assert ["cabinet.name = 'main': two cabinets have this; allowed: each once"] == wrong(
        text + VIRTUAL + CABINET.format(approved=approved) + VIRTUAL
    )
    other = CABINET.format(approved=approved).replace('"main"', '"side"')
    for adapter, address in ((MODBUS, "192.0.2.18:502/1"), (NTCIP, "192.0.2.17:161"), (SERIAL, "/dev/ttyS0/7")):
        assert [f"cabinet.adapter = '{address}': two cabinets have this; allowed: each once"] == wrong(text + adapter + other + adapter)


def test_unapproved_timings_are_refused(wrong: Wrong, text: str, folder: Path) -> None:
    """Timings that are marked unapproved never reach a cabinet, nor do others than those of the digest."""
    path = folder / "main-and-first.toml"
    given = path.read_text()
    path.write_text(given.replace("approved = true", "approved = false"))
    [unapproved] = wrong(text + VIRTUAL)
    path.write_text(given.replace("min_green = 80", "min_green = 70"))
    [other] = wrong(text + VIRTUAL)

    assert unapproved.startswith("intersection = 'Main Street and First Avenue': nobody has approved these timings")
    assert "these are not the timings that were approved; allowed: that of the approved file; this one's is" in other


def test_what_is_wrong_with_the_intersection_is_told(wrong: Wrong, text: str, folder: Path) -> None:
    """An intersection.toml that cannot run is told with its own file and key."""
    (folder / "main-and-first.toml").write_text("version = 1\n")

    [said] = wrong(text + VIRTUAL)

    assert said.startswith(f"intersection: {folder / 'main-and-first.toml'}: name = None: wrong or missing value")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version = 1", "version = 2", "version = 2: a form that this release does not read"),
        ('name = "main"', 'name = "../main"', "name = '../main': no name"),
        ('name = "main"', "name = 7", "name = 7: not a line of text"),
        ('name = "main"', "", "name = None: missing"),
        ('intersection = "main-and-first.toml"', "", "intersection = None: missing"),
        ('approved = "', 'approved = "x', "approved = 'x"),
        ("approved =", "approvd =", "approvd = (not shown): unknown key; did you mean 'approved'?"),
        ('kind = "virtual"', 'kind = "virtual"\nhost = "x"', "adapter.host = (not shown): unknown key"),
        ('kind = "virtual"', "", "adapter.kind = None: no such kind"),
        ("[cabinet.adapter]", "[cabinet.adaptr]", "adaptr = (not shown): unknown key; did you mean 'adapter'?"),
        ("[[cabinet]]", "poll_period = true\n[[cabinet]]", "poll_period = True: unknown key"),
        ('name = "main"', 'name = "main"\npoll_period = 1.5', "poll_period = 1.5: not a whole number"),
        ('name = "main"', 'name = "main"\npoll_period = 3', "decision_period = 10: decisions are made at polls; allowed: a multiple of 3"),
        ('name = "main"', 'name = "main"\nfreshness = 9', "freshness = 9: each decision would be too old before the next"),
        ('name = "main"', 'name = "main"\nladder = "x"', "ladder = (not shown): not a table"),
        ('name = "main"', 'name = "main"\nladder = 5', "ladder = 5: not a table"),
        ("[cabinet.adapter]", "[cabinet.fixed_time]\nentry = 5\n[cabinet.adapter]", "fixed_time.entry = (not shown): not a list of tables"),
        (
            "[cabinet.adapter]",
            "[[cabinet.fixed_time.entry]]\nstart = 06:00:00\npattern = 9\n[cabinet.adapter]",
            "fixed_time.entry[0].pattern = 9: no such pattern; allowed: 0, 1, 2",
        ),
        (
            "[cabinet.adapter]",
            "[[cabinet.fixed_time.entry]]\nstart = 06:00:00\npattern = 1\ndays = [7]\n[cabinet.adapter]",
            "fixed_time.entry[0].days = [7]: not days of the week",
        ),
        ("[[cabinet]]", f'[control]\nsocket = "{"x" * 108}"\n[[cabinet]]', "control.socket = "),
        ("[[cabinet]]", "[control]\nmode = 0o666\n[[cabinet]]", "control.mode = '0o666': others than the owner and the group would ask"),
        ("[[cabinet]]", "[control]\nmode = 0o060\n[[cabinet]]", "control.mode = '0o60': others than the owner and the group would ask"),
        ("[[cabinet]]", "[journal]\ninterval = inf\n[[cabinet]]", "journal.interval = inf: not a number"),
    ],
)
def test_each_wrong_value_is_named(wrong: Wrong, text: str, old: str, new: str, said: str) -> None:
    """What is wrong is told with its key and value, and first."""
    assert (text + VIRTUAL).count(old) >= 1
    assert wrong((text + VIRTUAL).replace(old, new, 1))[0].startswith(said)


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (NTCIP.replace(USER, ""), "adapter = (not shown): one of the two"),
        (NTCIP + COMMUNITY.partition("[cabinet.adapter.community]")[1] + "\n", "adapter = (not shown): one of the two"),
        (NTCIP.replace('priv_passphrase_file = "priv"', ""), "adapter.user.priv_passphrase_file = None: missing"),
        (NTCIP.replace('name = "phasewise"', ""), "adapter.user.name = None: missing"),
        (NTCIP.replace('name = "phasewise"', f'name = "{"x" * 33}"'), "user = 'xxx"),
        (NTCIP + 'auth = "MD5"', "adapter.user.auth = 'MD5': not known"),
        (NTCIP + 'engine_id = "xyz"', "adapter.user.engine_id = 'xyz': not hexadecimal"),
        (NTCIP + 'engine_id = "01"', "engine_id = '01': an engine id cannot be this long"),
        (
            NTCIP.replace("kind", 'method = "ring"\nkind'),
            "adapter.method = 'ring': not known; did you mean 'rings'?; allowed: stages, rings",
        ),
        (NTCIP.replace("[cabinet.adapter.user]", "[cabinet.adapter.usr]"), "adapter.usr = (not shown): unknown key; did you mean 'user'?"),
        (NTCIP.partition("[cabinet.adapter.user]")[0] + "user = 5", "adapter.user = 5: not a table"),
        (NTCIP.replace('host = "192.0.2.17"', ""), "adapter.host = None: missing"),
        (NTCIP.replace('host = "192.0.2.17"', 'host = "a b"'), "adapter.host = 'a b': no host"),
        (COMMUNITY.replace("insecure = true", ""), "insecure = False: SNMP v2c has neither authentication nor privacy"),
        (COMMUNITY.replace("insecure = true", "insecure = false"), "insecure = False: SNMP v2c has neither authentication nor privacy"),
        (COMMUNITY.replace("v2c", "v3"), "adapter.community.version = 'v3': not known"),
        (MODBUS.replace("insecure = true", ""), "adapter.insecure = None: plain Modbus has neither authentication nor privacy"),
        (MODBUS.replace('host = "192.0.2.18"', ""), "adapter.host = None: missing"),
        (MODBUS + 'profile = "phasewise"', "adapter.profile = 'phasewise': unknown Modbus profile"),
        (MODBUS + "device_id = 0", "adapter.device_id = 0: out of range; allowed: 1..247"),
        (SERIAL + "port = 502", "adapter.port = 502: unknown key"),
        (SERIAL.replace("9600", "9601"), "adapter.baud = 9601: no such speed"),
        (SERIAL.replace('"N"', '"M"'), "adapter.parity = 'M': no such parity"),
        (SERIAL.replace("stop_bits = 2", "stop_bits = 3"), "adapter.stop_bits = 3: out of range"),
        (SERIAL.replace('"/dev/ttyS0"', "5"), "adapter.device = 5: not a line of text"),
    ],
)
def test_each_wrong_value_of_an_adapter_is_named(wrong: Wrong, text: str, adapter: str, said: str) -> None:
    """What is wrong with an adapter is told with its key, and first."""
    told, *_ = wrong(text + adapter)

    assert told.startswith(said)


def test_an_intersection_that_no_cabinet_can_hold_is_refused(wrong: Wrong, text: str, folder: Path, approved: str) -> None:
    """Where the method has no program for the intersection, the cause is told before anything runs."""
    path = folder / "main-and-first.toml"
    path.write_text(path.read_text().replace("red_clearance = 15", "red_clearance = 15\nwalk = 50\nped_clearance = 100"))

    [said] = wrong(text.replace(approved, digest(load_intersection(path))) + NTCIP)

    assert said.startswith("adapter.method = 'stages': no such program for this intersection: pedestrians walk with ")


def test_a_profile_speaks_the_version(wrong: Wrong, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that the vendor's agent cannot speak with are refused."""
    from field_adapters.profiles import ntcip

    v3_only = replace(ntcip.load("standard"), versions=("v3",))
    monkeypatch.setattr("controller.settings.ntcip_profiles.load", lambda _: v3_only)

    assert ["adapter.profile = 'standard': this vendor's agent does not speak it; allowed: v3"] == wrong(
        text + COMMUNITY.replace("kind", 'profile = "standard"\nkind')
    )


POLICY = """
[cabinet.policy]
bundle = "a.bundle"
trusted = "trusted.toml"
"""


def test_a_policy_has_time_within_its_period(loaded: Load, wrong: Wrong, text: str) -> None:
    """A policy may think until the next decision is due, and no longer; its bundle need not be there."""
    good = text + VIRTUAL + POLICY

    assert one(loaded(good + "deadline = 10")).policy is not None
    assert ["policy.deadline = 11: the next decision would be due; allowed: up to 10 (decision_period)"] == wrong(good + "deadline = 11")


def test_trusted_keys_are_read(wrong: Wrong, text: str, folder: Path) -> None:
    """A file of trusted keys that is none is told."""
    (folder / "trusted.toml").write_text("version = 7\n")

    [said] = wrong(text + VIRTUAL + POLICY)
    [missing] = wrong(text + VIRTUAL + POLICY.replace('trusted = "trusted.toml"', ""))

    assert said.startswith(f"policy.trusted: {folder / 'trusted.toml'}: version = 7: unknown form")
    assert missing.startswith("policy.trusted = None: missing")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version = ", "not a TOML file"),
        (b"\xff", "not a TOML file"),
        (b"#" * (LARGEST + 1), "too large"),
        (b"version = 1", "cabinet = (not shown): a daemon needs a cabinet"),
        (b"version = 1\ncabinet = []", "cabinet = (not shown): a daemon needs a cabinet"),
        (b"version = 1\ncabinet = [1]", "cabinet = (not shown): a daemon needs a cabinet"),
    ],
)
def test_what_is_no_cabinet_toml_is_told(wrong: Wrong, content: bytes, said: str) -> None:
    """Text that is none, too much of it, or without a cabinet is refused in one message."""
    [told] = wrong(content)

    assert told.startswith(said)


def test_a_file_that_anybody_may_write_is_refused(wrong: Wrong, text: str) -> None:
    """Who may write the file controls the street, so the world may not."""
    assert ["anybody may write this file; allowed: chmod o-w, after a look at what it says"] == wrong(text + VIRTUAL, 0o646)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A missing file is one message."""
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml")


def test_all_that_is_wrong_crosses_to_another_process() -> None:
    """The error and its parts survive the way between processes."""
    error = SettingsError([ConfigError("a", key="b"), ConfigError("c")])

    assert str(error) == str(pickle.loads(pickle.dumps(error)))  # noqa: S301  # made here


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda it: (
            st.lists(it, max_size=3)
            | st.dictionaries(st.sampled_from(("name", "adapter", "policy", "ladder", "fixed_time", "x")), it, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_no_document_makes_the_reader_fall(value: Any) -> None:  # noqa: ANN401  # whatever TOML can hold
    """Whatever stands in a file, it is refused in words."""
    from controller.settings import _Reader  # TOML cannot write every document that this makes

    notes = Notes("x", [])
    for document in (
        {"version": 1, "cabinet": value},
        {"version": 1, "cabinet": [value]},
        {"version": 1, "control": value, "journal": value},
    ):
        _Reader(Path("x"), notes).settings(document)

    assert len(notes.errors) >= 3


# ----- TLS -----------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def certificates(folder: Path) -> Path:
    """Return the folder with an authority that is also our own certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "box")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    for file in ("ca.pem", "box.pem"):
        (folder / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "box.key").touch(0o600)
    (folder / "box.key").write_bytes(secret)
    return folder


def test_tls_is_read(loaded: Load, text: str, certificates: Path) -> None:
    """With TLS the device is at port 802, and the files are those that were named."""
    tls = Tls(authority=certificates / "ca.pem", certificate=certificates / "box.pem", key=certificates / "box.key")

    assert Modbus(link=Network(host="192.0.2.18", port=802, tls=tls)) == one(loaded(text + TLS)).adapter


def test_files_of_tls_are_checked(wrong: Wrong, text: str, certificates: Path) -> None:
    """A key that others can read, a file that is missing or none, is told before anything runs."""
    (certificates / "box.key").chmod(0o644)
    [open_key] = wrong(text + TLS)
    (certificates / "box.key").chmod(0o600)
    (certificates / "ca.pem").write_text("none")
    [no_authority] = wrong(text + TLS)
    (certificates / "box.key").unlink()
    [no_key] = wrong(text + TLS)
    [no_path] = wrong(text + TLS.replace('key = "box.key"', ""))

    assert "others may read or write this key; allowed: mode 600 or 640" in open_key
    assert no_authority.startswith(f"adapter.tls: authority = '{certificates / 'ca.pem'}': not a certificate")
    assert "cannot be read: No such file" in no_key
    assert no_path.startswith("adapter.tls.key = None: missing")


# ----- reload --------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def old(loaded: Load, text: str) -> Settings:
    """Return settings that run."""
    return loaded(text + NTCIP + POLICY)


def changed(settings: Settings, **values: Any) -> Settings:
    """Change the only cabinet of some settings."""
    return replace(settings, cabinets=(replace(one(settings), **values),))


def test_a_reload_of_the_same_changes_nothing(loaded: Load, old: Settings, text: str) -> None:
    """The same file read again is taken over without a change."""
    assert Changes({}) == reload(old, loaded(text + NTCIP + POLICY))


def test_what_may_change_is_named_by_cabinet(loaded: Load, old: Settings, text: str) -> None:
    """Ladder, detectors, policy and plans are taken over while the daemon runs."""
    new = loaded(
        text
        + NTCIP
        + POLICY.replace("a.bundle", "b.bundle")
        + "[cabinet.ladder]\nclean_time = 100\n[cabinet.detectors]\nshare = 0.5\n"
        + "[[cabinet.fixed_time.entry]]\nstart = 06:00:00\npattern = 1\n"
    )

    assert Changes({"main": frozenset({"policy", "ladder", "detectors", "fixed_time"})}) == reload(old, new)


def test_who_and_where_a_cabinet_is_stays(old: Settings, loaded: Load, text: str, folder: Path) -> None:
    """Timings, adapter, credentials, periods, folders and the list of cabinets change only with a new start, and no secret is told."""
    cabinet = one(old)
    assert isinstance(cabinet.adapter, Ntcip)
    (folder / "auth").write_text("another pass phrase")
    credentials = loaded(text + NTCIP + POLICY)
    config = replace(cabinet.config, name="other")
    reasons = [
        reload(old, new)
        for new in (
            credentials,
            changed(old, adapter=replace(cabinet.adapter, method=Method.RINGS)),
            changed(old, config=config, approved=digest(config), ladder=LadderSettings(limit=Mode.SHADOW)),
            changed(old, poll_period=2, freshness=20),
            changed(old, name="other"),
            replace(old, state_folder=folder, health_port=9_464),
        )
    ]

    head = "this changes only with a new start: "
    assert [
        Refused(f"{head}main: adapter"),
        Refused(f"{head}main: adapter"),
        Refused(f"{head}main: approved, main: config"),
        Refused(f"{head}main: freshness, main: poll_period"),
        Refused(f"{head}the list of cabinets"),
        Refused(f"{head}state_folder, health_port"),
    ] == reasons


# ----- the parts -----------------------------------------------------------------------------------------------------------------
def test_a_value_that_may_be_a_secret_is_not_shown() -> None:
    """Texts under unknown keys are hidden, numbers are shown."""
    notes = Notes("x", [])

    read_keys({"a": "secret", "b": 1}, "", {"c": number}, notes)

    assert ("(not shown)", False) == (repr(HIDDEN), "secret" in " ".join(map(str, notes.errors)))
    assert "b = 1" in str(notes.errors[1])


def test_a_dataclass_that_refuses_itself_as_a_whole_is_noted_once() -> None:
    """An error that names no value that was given ends the attempt."""
    notes = Notes("x", [])

    made = build(LadderSettings, {"clean_time": 10_000}, {}, "ladder", notes)

    assert (None, 1) == (made, len(notes.errors))
