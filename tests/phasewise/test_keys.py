import errno
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intersection.errors import ConfigError, RuntimeFault, UserError
from models.trust import LARGEST, Trust, TrustedKey, key_id, read, to_toml, without_key
from phasewise.__main__ import run
from phasewise.keys import list_keys, new_key, revoke_key, secret_key, state_of, trust_keys

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)

LISTED = """
version = 1
[[key]]
name = "city"
public = "{public}"
expires = 2027-06-01T12:00:00Z
""".format(public="0f" * 32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(name: str = "city", *, days: int = 100, passphrase_file: Path | None = None) -> Path:
    """Make a key here."""
    return new_key(name, folder=Path(), days=days, passphrase_file=passphrase_file)


def public_half(secret: Ed25519PrivateKey) -> bytes:
    """Give the public half of a secret one."""
    return secret.public_key().public_bytes_raw()


def test_a_new_key_has_two_halves_and_only_one_may_be_seen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The secret half is its owner's alone and is never printed; the public one fits it and ends when it was told to."""
    old = os.umask(0)
    try:
        path = made(days=10)
    finally:
        os.umask(old)
    secret = secret_key(path)
    [public] = read(Path("city.pub")).keys
    said = "".join(capsys.readouterr())

    assert ["city.key", "city.pub"] == sorted(each.name for each in folder.iterdir())
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert public_half(secret) == public.public
    assert timedelta(days=9) < public.expires - datetime.now(UTC) <= timedelta(days=10)
    assert public.id in said
    assert not any(line in said for line in path.read_text().splitlines())
    assert secret.private_bytes_raw().hex() not in Path("city.pub").read_text()


def test_two_keys_differ() -> None:
    """Each key is made by chance."""
    assert public_half(secret_key(made("a"))) != public_half(secret_key(made("b")))


@pytest.mark.parametrize("there", ["city.key", "city.pub"])
def test_a_key_is_never_replaced(there: str, folder: Path) -> None:
    """Where one of the two files is, nothing is written."""
    Path(there).write_text("mine")

    with pytest.raises(ConfigError, match="never replaced"):
        made()

    assert [(there, "mine")] == [(path.name, path.read_text()) for path in folder.iterdir()]


def test_a_key_that_appears_meanwhile_is_not_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two who make the same key at once do not overwrite each other's."""
    monkeypatch.setattr(Path, "exists", lambda _: False)
    Path("city.key").write_text("mine")

    with pytest.raises(UserError, match=r"cannot write city\.key"):
        made()

    assert [("city.key", "mine")] == [(path.name, path.read_text()) for path in folder.iterdir()]


@pytest.mark.parametrize("name", ["", ".", "..", "../city", "a/b", ".hidden", "-x", "a b", "ä", "x" * 65])
def test_a_name_that_no_file_should_bear_is_refused(name: str, folder: Path) -> None:
    """A name leads to no other folder and hides nothing."""
    with pytest.raises(ConfigError, match="no name for a key"):
        made(name)

    assert [] == list(folder.iterdir())


def test_a_passphrase_locks_a_key() -> None:
    """Without it, or with another, the key is of no use; its file ends where its line does."""
    Path("phrase").write_text("open sesame\n")
    Path("other").write_text("open barley\n")
    Path("same").write_text("open sesame\r\n")
    path = made(passphrase_file=Path("phrase"))

    assert isinstance(secret_key(path, Path("same")), Ed25519PrivateKey)
    assert b"ENCRYPTED" in path.read_bytes()
    for phrase, words in ((None, "a passphrase is needed"), (Path("other"), "the passphrase is wrong")):
        with pytest.raises(ConfigError, match=words):
            secret_key(path, phrase)


def test_a_passphrase_for_a_key_without_one_is_told() -> None:
    """What is not needed is said, rather than passed over."""
    Path("phrase").write_text("open sesame\n")

    with pytest.raises(ConfigError, match="no passphrase is needed"):
        secret_key(made(), Path("phrase"))


@pytest.mark.parametrize(("content", "words"), [("\n", "no passphrase in it"), (None, "cannot be read"), ("x" * 100_000, "too large")])
def test_a_passphrase_that_is_none_is_refused(content: str | None, words: str, folder: Path) -> None:
    """An empty, missing or huge file makes no key that looks locked."""
    if content is not None:
        Path("phrase").write_text(content)

    with pytest.raises(ConfigError, match=words):
        made(passphrase_file=Path("phrase"))

    assert not (folder / "city.key").exists()


def test_a_secret_that_others_can_read_is_not_used() -> None:
    """As ssh has it: who could copy it may have."""
    path = made()
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="others can read this secret"):
            secret_key(path)


def test_what_is_no_key_is_refused() -> None:
    """Noise, a key of another kind, or nothing at all."""
    other = generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for name, content, words in (("noise", b"noise", "this is no key"), ("rsa", other, "another kind")):
        Path(name).write_bytes(content)
        Path(name).chmod(0o600)
        with pytest.raises(ConfigError, match=words):
            secret_key(Path(name))
    made()
    with pytest.raises(ConfigError, match=r"did you mean 'city\.key'"):
        secret_key(Path("citi.key"))


def test_keys_rotate() -> None:
    """A new key comes beside the old one, which is then revoked and stays in the list with its reason."""
    made("old")
    made("new")
    for name in ("old", "new"):
        trust_keys(Path(f"{name}.pub"), trusted=Path("trusted.toml"))
    revoke_key("old", trusted=Path("trusted.toml"), reason="rotated")

    old, new = read(Path("trusted.toml")).keys

    assert ("old", True, "rotated") == (old.name, old.revoked is not None, old.reason)
    assert ("new", None, "") == (new.name, new.revoked, new.reason)


def test_a_revoked_key_stays_revoked() -> None:
    """It is trusted again by no mistake, and revoking it again changes neither its date nor its reason."""
    made()
    trust_keys(Path("city.pub"), trusted=Path("trusted.toml"))
    once = revoke_key("city", trusted=Path("trusted.toml"), reason="lost")

    with pytest.raises(ConfigError, match="was revoked, and stays so"):
        trust_keys(Path("city.pub"), trusted=Path("trusted.toml"))

    assert once == revoke_key("city", trusted=Path("trusted.toml"), reason="again") == read(Path("trusted.toml"))


def test_a_revocation_keeps_its_date() -> None:
    """Whoever revokes a key again changes nothing."""
    trust = Trust((TrustedKey(name="city", public=bytes(32), expires=NOW),))

    once = without_key(trust, "city", now=NOW, reason="lost")

    assert NOW == once.keys[0].revoked
    assert once == without_key(once, "city", now=NOW + timedelta(days=1), reason="again")


def test_a_list_hands_its_revocations_on() -> None:
    """Another place's list can be taken over whole, what is revoked there included, and again without harm."""
    for name in ("one", "two"):
        trust_keys(made(name).with_suffix(".pub"), trusted=Path("there.toml"))
    trust_keys(Path("one.pub"), trusted=Path("here.toml"))
    revoke_key(read(Path("one.pub")).keys[0].id, trusted=Path("there.toml"), reason="lost")

    for _ in range(2):
        trust_keys(Path("there.toml"), trusted=Path("here.toml"))

    assert [("one", "lost"), ("two", "")] == sorted((key.name, key.reason) for key in read(Path("here.toml")).keys)


def test_two_keys_of_one_name_cannot_both_be_trusted(folder: Path) -> None:
    """Whoever reads a name must know which key it is; the list stays as it was."""
    trust_keys(made().with_suffix(".pub"), trusted=Path("trusted.toml"))
    before = Path("trusted.toml").read_bytes()
    (folder / "elsewhere").mkdir()
    new_key("city", folder=folder / "elsewhere", days=1, passphrase_file=None)

    with pytest.raises(ConfigError, match="more than once"):
        trust_keys(Path("elsewhere/city.pub"), trusted=Path("trusted.toml"))

    assert before == Path("trusted.toml").read_bytes()


def test_what_cannot_be_revoked_is_told() -> None:
    """A name that no key bears, a list that is not there, a reason of two lines."""
    trust_keys(made().with_suffix(".pub"), trusted=Path("trusted.toml"))

    for name, path, reason, words in (
        ("cty", "trusted.toml", "", "no such key"),
        ("city", "none.toml", "", "cannot be read"),
        ("city", "trusted.toml", "a\nb", "one line of text"),
        ("city", "trusted.toml", "\udcff", "one line of text"),
    ):
        with pytest.raises(ConfigError, match=words):
            revoke_key(name, trusted=Path(path), reason=reason)
    assert read(Path("trusted.toml")).keys[0].revoked is None


def test_the_list_shows_how_each_key_stands(capsys: pytest.CaptureFixture[str]) -> None:
    """Trusted, about to expire, expired, revoked and why."""
    half = TrustedKey(name="good", public=bytes(32), expires=datetime.now(UTC) + timedelta(days=400))
    every = (
        half,
        TrustedKey(name="soon", public=bytes(31) + b"a", expires=datetime.now(UTC) + timedelta(days=10)),
        TrustedKey(name="over", public=bytes(31) + b"b", expires=NOW - timedelta(days=400)),
        TrustedKey(name="gone", public=bytes(31) + b"c", expires=half.expires, revoked=NOW, reason="laptop lost"),
    )
    Path("trusted.toml").write_text(to_toml(Trust(every)))

    list_keys(Path("trusted.toml"))
    said = capsys.readouterr()

    assert all(key.id in said.out for key in every)
    assert all(words in said.out for words in ("trusted until", "expired on 2025-04-27", "revoked on 2026-06-01", "laptop lost"))
    assert "soon expires soon" in said.err
    assert "good" not in said.err


def test_a_key_expires_at_its_instant() -> None:
    """A moment before it is trusted, and then no longer."""
    key = TrustedKey(name="city", public=bytes(32), expires=NOW)

    assert ["trusted until 2026-06-01", "expired on 2026-06-01"] == [state_of(key, NOW - timedelta(seconds=1)), state_of(key, NOW)]


def test_a_key_is_called_by_its_public_half() -> None:
    """Its id is the first 16 digits of SHA-256, so that anybody can work it out."""
    assert "66687aadf862bd77" == key_id(bytes(32))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("version = 1", "version = 2"), "version = 2"),
        (("version = 1", "version = 1\nkeys = 1"), "unknown key"),
        (("[[key]]", "[key]"), "a list of tables"),
        (('name = "city"', ""), r"key\.name = None"),
        (('name = "city"', "name = 1"), r"key\.name = 1"),
        (('name = "city"', 'name = "city"\nnam = "x"'), r"key\.nam"),
        (("0f0f", "0g0f"), "not a public key"),
        (("0f0f", "0f"), "32 bytes"),
        (("12:00:00Z", "12:00:00"), "time zone"),
        (("2027-06-01T12:00:00Z", "2027-06-01"), r"key\.expires"),
        (("version = 1", "version = "), "not a TOML file"),
        (("[[key]]", "[[key]]\nrevoked = 3"), r"key\.revoked"),
    ],
)
def test_a_trust_file_that_cannot_be_used_says_where(change: tuple[str, str], words: str) -> None:
    """It names the file, the key, the value and what is allowed."""
    Path("trusted.toml").write_text(LISTED.replace(change[0], change[1], 1))

    with pytest.raises(ConfigError, match=rf"trusted\.toml: .*{words}"):
        read(Path("trusted.toml"))


def test_a_trust_file_without_end_is_not_read() -> None:
    """What is larger than any list is refused, as is what is no text."""
    Path("large.toml").write_bytes(b"#" * (LARGEST + 1))
    Path("binary.toml").write_bytes(b"\xff\xfe")

    for name, words in (("large.toml", "too large"), ("binary.toml", "not a TOML file")):
        with pytest.raises(ConfigError, match=words):
            read(Path(name))


printable = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
instants = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0))  # noqa: DTZ001  # the zone comes with `timezones`


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_written_is_read_again(folder: Path, data: st.DataObject) -> None:
    """Whatever names and reasons hold, a list survives its file."""
    publics = data.draw(st.lists(st.binary(min_size=32, max_size=32), max_size=4, unique=True))
    names = data.draw(st.lists(printable, min_size=len(publics), max_size=len(publics), unique=True))
    every = Trust(
        tuple(
            TrustedKey(
                name=name, public=public, expires=data.draw(instants), revoked=revoked, reason=data.draw(printable) if revoked else ""
            )
            for name, public in zip(names, publics, strict=True)
            for revoked in [data.draw(st.none() | instants)]
        )
    )
    path = folder / "trusted.toml"
    path.write_text(to_toml(every), encoding="utf-8", newline="")

    assert every == read(path)


def test_the_commands_do_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    """New, trust, list and revoke, as a user types them; a mistake is one line and exit code 2."""
    codes = [
        run(["keys", "new", "city", "--days", "30"]),
        run(["keys", "trust", "city.pub"]),
        run(["keys", "list"]),
        run(["keys", "revoke", "city", "--reason", "laptop lost"]),
        run(["keys", "revoke", "cty"]),
        run(["keys", "list", "--trusted", "none.toml"]),
    ]
    said = capsys.readouterr()

    assert [0, 0, 0, 0, 2, 2] == codes
    assert "trusted until" in said.out
    assert "laptop lost" == read(Path("trusted.toml")).keys[0].reason
    assert "no such key" in said.err


@pytest.mark.parametrize("written", [0, 1])
def test_a_full_disk_leaves_no_half_of_a_key(written: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one of the halves cannot be written whole, nothing of either stays."""
    left = iter(range(written))

    def full(_: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(RuntimeFault, match="cannot write city"):
        made()

    assert [] == list(folder.iterdir())
