"""The bundle that a cabinet runs: one file with a network, what it was made for, what it saw, and who stands for it.

    manifest.json   `models.manifest.Manifest` as JSON, in one canonical form
    signature       Ed25519 over the manifest, 64 bytes
    policy.onnx     the weights, whose SHA-256 the manifest holds

What does not fit is refused with its reason, never with an exception. Nothing in the file is ever executed: weights are data. Loading needs
neither torch nor the package onnx.
"""

from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from intersection.config import IntersectionConfig
from intersection.detection import Channel, Readings
from intersection.errors import PhasewiseError
from intersection.layout import Layout
from intersection.machine import place_calls, start
from intersection.observation import ObservationSpec, encode, kind
from models._container import Parts, pack, unpack
from models._network import Network, UnusableWeightsError
from models.manifest import Manifest, Signal, WeightsForm, canonical
from models.manifest import decoded as decoded_manifest
from models.trust import Trust, key_id

LARGEST = 16 << 20
"""No bundle is larger, in bytes; a policy of two layers of 128 has a tenth of a megabyte."""

LARGEST_MANIFEST = 4 << 20
"""No manifest is larger, in bytes."""

STREETS = ("street", "cabinet")
"""The presets whose bundles may reach a cabinet."""

CLOCK_TOLERANCE = timedelta(days=1)
"""A bundle that is signed further than this in the future tells that the clock is wrong, and so no expiry can be judged."""

_DOMAIN = b"phasewise bundle\n"
"""Stands before what is signed, so that a signature for something else is none for a bundle."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that may run."""

    manifest: Manifest
    signal: Signal
    """Of the signals that it was made for, the one that it was loaded for."""

    network: Network
    id: str
    """The first 16 hexadecimal digits of the SHA-256 of its manifest, which fixes everything else."""


@dataclass(frozen=True, slots=True)
class NotABundle:
    """The file is missing, cut, changed outside its parts, of another form, or something else altogether."""

    why: str

    @property
    def reason(self) -> str:
        """Why it is refused."""
        return f"this is no bundle: {self.why}"


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The file is larger than any bundle. It was not read."""

    size: int

    @property
    def reason(self) -> str:
        """Why it is refused."""
        return f"{self.size} bytes are too many for a bundle (at most {LARGEST}, of which the manifest {LARGEST_MANIFEST})"


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Nobody stands for it."""

    @property
    def reason(self) -> str:
        """Why it is refused."""
        return "it is not signed"


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """Whoever signed it is not trusted here."""

    key: str

    @property
    def reason(self) -> str:
        """Why it is refused."""
        return f"it is signed by the key {self.key}, which is not trusted here"


@dataclass(frozen=True, slots=True)
class Revoked:
    """The key that signed it was revoked."""

    name: str
    since: datetime
    why: str

    @property
    def reason(self) -> str:
        """Why it is refused."""
        return f"the key {self.name!r} that signed it was revoked on {self.since:%Y-%m-%d}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True, slots=True)
class BadSignature:
    """It was changed after it was signed, or signed by somebody else."""

    name: str

    @property
    def reason(self) -> str:
        """Why it is refused."""
        return f"the signature is not that of the key {self.name!r}: it was changed after it was signed, or signed by somebody else"


@dataclass(frozen=True, slots=True)
class Expired:
    """Its time, or that of the key that signed it, is over."""

    what: str
    since: datetime

    @property
    def reason(self) -> str:
        """Why it is refused."""
        return f"{self.what} expired on {self.since:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class NotYetSigned:
    """It was signed in the future: the clock is wrong, and so no expiry can be judged."""

    signed: datetime

    @property
    def reason(self) -> str:
        """Why it is refused."""
        return f"it was signed on {self.signed:%Y-%m-%d %H:%M} UTC, which is still to come: is the clock right?"


@dataclass(frozen=True, slots=True)
class WrongWeights:
    """The weights are not those that were signed for, or cannot be run."""

    why: str

    @property
    def reason(self) -> str:
        """Why it is refused."""
        return f"its weights are unusable: {self.why}"


@dataclass(frozen=True, slots=True)
class WrongPreset:
    """It was trained with times that no street has."""

    preset: str

    @property
    def reason(self) -> str:
        """Why it is refused."""
        return f"it was made with the times of the preset {self.preset!r}; only {' and '.join(STREETS)} may reach a cabinet"


@dataclass(frozen=True, slots=True)
class WrongConfiguration:
    """It was made for another signal, or for another state of this one's `intersection.toml`."""

    name: str
    found: str
    made_for: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why it is refused."""
        known = ", ".join(self.made_for)
        return f"it was not made for this intersection.toml (signal {self.name!r}, digest {self.found[:12]}), but for: {known}"


@dataclass(frozen=True, slots=True)
class WrongShapes:
    """Observation or answers are not what the network takes and gives."""

    why: str

    @property
    def reason(self) -> str:
        """Why it is refused."""
        return f"its shapes do not fit: {self.why}"


Refusal = (
    NotABundle
    | TooLarge
    | Unsigned
    | UnknownKey
    | Revoked
    | BadSignature
    | Expired
    | NotYetSigned
    | WrongWeights
    | WrongPreset
    | WrongConfiguration
    | WrongShapes
)
"""Why a bundle does not run; `reason` says it in words."""


class _Read(NamedTuple):
    manifest: Manifest
    parts: Parts


def digest(config: IntersectionConfig) -> str:
    """Digest a whole configuration: equal ones have equal digests, however their files are written.

    What stands at its default, and the tables that belong to others, count for nothing: a field that a later version adds changes no
    digest as long as nobody uses it.
    """
    return sha256(canonical(_plain(config))).hexdigest()


def probe(config: IntersectionConfig, observation: str) -> str:
    """Digest one made-up observation of a signal: detectors that are not seen change nothing of it.

    Raises:
        UnknownNameError: there is no such observation kind.
    """
    tables, spec = config.tables, ObservationSpec(config, kind(observation))
    count = len(config.detectors)
    values, valid = np.zeros((len(Channel), count), np.float32), np.ones(count, bool)
    values[:, spec.columns] = np.linspace(0.0, 3.0, len(Channel) * len(spec.columns), dtype=np.float32).reshape(len(Channel), -1)
    valid[spec.columns[1::3]] = False
    state = place_calls(start(tables, 0, 0)._replace(now=40), tables, tables.vehicles, tables.pedestrians)._replace(now=137)
    told = np.rint(encode(spec, state, Readings(values, valid)).astype(np.float64) * 1e4).astype("<i4")
    return sha256(told.tobytes()).hexdigest()


def seal(manifest: Manifest, weights: bytes, key: Ed25519PrivateKey) -> bytes:
    """Sign a manifest and its weights, and put them into one file; the same arguments give the same bytes."""
    own = replace(manifest, key=key_id(key.public_key().public_bytes_raw()), weights=WeightsForm(sha256=_sha(weights), size=len(weights)))
    content = own.encoded()
    return pack(Parts(content, key.sign(_DOMAIN + content), weights))


def load(path: Path, *, trusted: Trust, config: IntersectionConfig, street: bool, now: datetime) -> Bundle | Refusal:
    """Read a bundle for one signal, check everything, and say why not if it may not run.

    Args:
        path: the file.
        trusted: whose bundles may run.
        config: of the signal.
        street: whether it shall run in a cabinet; a simulation also takes other presets, and reads only the detectors that are seen.
        now: an aware instant, by which expiry is judged.
    """
    found = _open(path)
    if not isinstance(found, _Read):
        return found
    return _distrust(found, trusted, now) or _fit(found, config, street=street)


def load_for_simulation(path: Path, config: IntersectionConfig) -> Bundle | Refusal:
    """Read a bundle for one signal of a simulation, where nobody is endangered: whoever signed it, and whenever. Never for a street."""
    found = _open(path)
    return _fit(found, config, street=False) if isinstance(found, _Read) else found


def describe(path: Path) -> Manifest | Refusal:
    """Read what a bundle says of itself; nothing of it is checked."""
    found = _open(path)
    return found.manifest if isinstance(found, _Read) else found


def _open(path: Path) -> _Read | Refusal:
    """Take a file apart, reading no more of it than a bundle can have."""
    try:
        if not path.is_file():
            return NotABundle(f"{path} is no file")
        size = path.stat().st_size
        if size > LARGEST:
            return TooLarge(size)
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as cause:
        return NotABundle(f"it cannot be read ({cause})")
    return _take_apart(content)


def _take_apart(content: bytes) -> _Read | Refusal:
    """Take a bundle's content apart."""
    if len(content) > LARGEST:
        return TooLarge(len(content))
    parts = unpack(content)
    if parts is None:
        return NotABundle("its parts are not where they belong")
    if len(parts.manifest) > LARGEST_MANIFEST:
        return TooLarge(len(parts.manifest))
    try:
        return _Read(decoded_manifest(parts.manifest), parts)
    except ValueError as cause:
        return NotABundle(f"its manifest cannot be read ({str(cause)[:200]})")


def _distrust(read: _Read, trusted: Trust, now: datetime) -> Refusal | None:
    """Find a reason not to believe a bundle."""
    manifest, parts = read
    if not parts.signature:
        return Unsigned()
    key = trusted.find(manifest.key)
    if key is None:
        return UnknownKey(manifest.key)
    if key.revoked is not None:
        return Revoked(key.name, key.revoked, key.reason)
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(parts.signature, _DOMAIN + parts.manifest)
    except (InvalidSignature, ValueError):
        return BadSignature(key.name)
    if manifest.signed > now + CLOCK_TOLERANCE:
        return NotYetSigned(manifest.signed)
    for what, expires in ((f"the key {key.name!r}", key.expires), ("it", manifest.expires)):
        if now >= expires:
            return Expired(what, expires.astimezone(UTC))
    return None


def _fit(read: _Read, config: IntersectionConfig, *, street: bool) -> Bundle | Refusal:
    """Find the signal that a bundle shall run, and check that everything fits it."""
    manifest, parts = read
    if len(parts.weights) != manifest.weights.size or _sha(parts.weights) != manifest.weights.sha256:
        return WrongWeights("they are not those that the manifest names")
    if street and manifest.preset not in STREETS:
        return WrongPreset(manifest.preset)
    own = digest(config)
    signal = next((each for each in manifest.signals if own == each.configuration or (not street and own == each.as_seen)), None)
    if signal is None:
        return WrongConfiguration(config.name, own, tuple(f"{each.name!r} ({each.configuration[:12]})" for each in manifest.signals))
    why = _misfit(manifest, signal, config)
    if why:
        return WrongShapes(why)
    try:
        network = Network(parts.weights)
    except UnusableWeightsError as cause:
        return WrongWeights(str(cause))
    if (network.inputs, network.outputs) != (manifest.observation.size, manifest.action.stages):
        return WrongShapes(
            f"the network takes {network.inputs} values and rates {network.outputs} stages,"
            f" the manifest says {manifest.observation.size} and {manifest.action.stages}"
        )
    return Bundle(manifest, signal, network, _sha(parts.manifest)[:16])


def _misfit(manifest: Manifest, signal: Signal, config: IntersectionConfig) -> str:
    """Say what does not fit between a signal and what a bundle says of it; nothing where all does."""
    observation = manifest.observation
    try:
        layout = Layout.of(ObservationSpec(config, kind(observation.kind)))
        observation.layout.places(layout)
    except PhasewiseError as cause:
        return str(cause)
    if layout != signal.layout:
        return f"an observation is laid out as {layout}, and was as {signal.layout}"
    if probe(config, observation.kind) != signal.probe:
        return "readings become another observation than they did when it was exported"
    if len(config.stages) > manifest.action.stages:
        return f"the signal has {len(config.stages)} stages, and {manifest.action.stages} are rated"
    return ""


def _sha(content: bytes) -> str:
    return sha256(content).hexdigest()


def _plain(value: Any) -> Any:  # noqa: ANN401  # whatever a configuration can hold
    """Turn a configuration into what JSON can hold, equal values into equal ones."""
    match value:
        case _ if is_dataclass(value):
            compared = ((entry, getattr(value, entry.name)) for entry in fields(value) if entry.compare)
            return {entry.name: _plain(own) for entry, own in compared if not _is_default(entry, own)}
        case Enum():
            return _plain(value.value)
        case frozenset():
            return sorted(_plain(item) for item in value)
        case tuple() | list():
            return [_plain(item) for item in value]
        case time():
            return value.isoformat()
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def _is_default(entry: Any, value: object) -> bool:  # noqa: ANN401  # a dataclass's field
    default = entry.default_factory() if entry.default_factory is not MISSING else entry.default
    return bool(default is not MISSING and value == default)
