"""The bundle that a cabinet runs: one file with a network, what it was made for, what it saw, and who stands for it.

    manifest.json   what is below as `Manifest`, as JSON in one canonical form
    signature       Ed25519 over the manifest, 64 bytes
    policy.onnx     the weights, whose SHA-256 the manifest holds

What does not fit is refused with its reason, never with an exception, and nothing in the file is ever executed: weights are data.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from functools import cached_property
from hashlib import sha256
from math import isfinite
from pathlib import Path
from types import GenericAlias
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from intersection.config import IntersectionConfig
from intersection.detection import Channel, Readings, Values
from intersection.errors import PhasewiseError
from intersection.layout import Layout
from intersection.machine import place_calls, start
from intersection.observation import ObservationSpec, encode, kind
from intersection.phase import Tenths
from models._container import Parts, pack, unpack
from models._network import Network, UnusableWeightsError
from models.trust import Trust

VERSION = 1
"""The version of the manifest that this code reads."""

LARGEST = 16 << 20
"""No bundle is larger, in bytes; a policy of two layers of 128 has a tenth of a megabyte."""

LARGEST_MANIFEST = 4 << 20
"""No manifest is larger, in bytes."""

LARGEST_VECTOR = 1 << 16
"""No observation is longer."""

STREET = "street"
"""The preset whose bundles may reach a cabinet."""

CLOCK_TOLERANCE = timedelta(days=1)
"""A bundle that is signed further than this in the future tells that the clock is wrong, and so no expiry can be judged."""

_DOMAIN = b"phasewise bundle\n"
"""Stands before what is signed, so that a signature for something else is none for a bundle."""

T = TypeVar("T")


class Departure(NamedTuple):
    """How far an observation lies from what was seen in training."""

    distance: float
    """In units of what one in a thousand observations in training reached; dimensionless."""

    outside: int
    """How many of its values lie outside what training saw, by more than `Seen.MARGIN`."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a policy saw of a signal in training: for each value of its observation, in the order of `ObservationSpec`.

    Attributes:
        MARGIN: how far beyond its range a value still counts as inside; values lie in 0..1.
    """

    MARGIN = 0.05

    count: int
    """How many observations."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    """The standard deviation, and not less than 0.05."""

    usual: float
    """The distance from the mean (root mean square over the values, each by its scale) that one in a thousand exceeded."""

    def __post_init__(self) -> None:
        if len({len(self.low), len(self.high), len(self.mean), len(self.scale)}) != 1:
            raise ValueError("ranges of different lengths")
        if self.usual <= 0 or any(scale <= 0 for scale in self.scale):
            raise ValueError("a scale that is not positive")

    def departure(self, vector: Values) -> Departure:
        """Tell how far an observation lies from these.

        Args:
            vector: float32, shape (values,).
        """
        low, high, mean, scale = self._arrays
        distance = float(np.sqrt(np.mean(((vector - mean) / scale) ** 2))) / self.usual
        return Departure(distance, int(np.count_nonzero((vector < low - self.MARGIN) | (vector > high + self.MARGIN))))

    @cached_property
    def _arrays(self) -> tuple[Values, Values, Values, Values]:
        low, high, mean, scale = (np.array(each, np.float32) for each in (self.low, self.high, self.mean, self.scale))
        return low, high, mean, scale


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """One signal that a bundle was made for."""

    name: str
    configuration: str
    """The digest of its whole `intersection.toml`."""

    as_seen: str
    """The digest of what a simulation gives the policy: the same signal with the detectors of the observation's kind alone."""

    layout: Layout
    """The blocks of its own observation."""

    probe: str
    """The digest of one observation that was made up: it tells when readings are encoded otherwise than at the export."""

    seen: Seen


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservationForm:
    """What the network takes."""

    kind: str
    """A module of `intersection.observations`."""

    layout: Layout
    """The blocks of the vector that all signals share."""

    size: int

    def __post_init__(self) -> None:
        if self.layout.size != self.size or self.size > LARGEST_VECTOR:
            raise ValueError("a size that does not fit the layout")


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionForm:
    """What the network gives: a rating of each stage, of which the best open one is proposed."""

    kind: str
    """"stage"."""

    stages: int
    period: Tenths
    """Between decisions, in tenths of a second."""

    epoch: Tenths
    """Decisions fall on instants whose distance from midnight, less this, is a multiple of the period; in tenths of a second."""

    def __post_init__(self) -> None:
        if self.kind != "stage" or self.stages < 1 or self.period < 1 or not 0 <= self.epoch < self.period:
            raise ValueError("an action that nobody can take")


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsForm:
    """Which weights belong to a manifest."""

    sha256: str
    size: int
    """In bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where a policy comes from."""

    algorithm: str
    scenario: str
    scenario_sha256: str
    training_seed: int
    steps: int
    """Decisions that it was trained for."""

    validation_delay_s: float
    """The mean delay of all due vehicles on the validation seeds, in seconds; below 0 where it was not judged."""

    trained: str
    """When, as the trainer's clock said; local time."""

    policy_sha256: str
    """Of the file that was exported."""

    recorded: int
    """How many observations the ranges, and the comparison of the two networks, rest on."""

    recorded_seeds: tuple[int, ...]
    agreement: float
    """The largest difference between what the trained network and this one say of them."""

    versions: Mapping[str, str]
    """Of Phasewise and of what made the bundle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a bundle says of itself."""

    version: int
    preset: str
    """Where the times come from that it was trained with; only "street" may reach a cabinet."""

    weights: WeightsForm
    observation: ObservationForm
    action: ActionForm
    signals: tuple[Signal, ...]
    provenance: Provenance
    key: str
    """Who signed it, see `TrustedKey.id`."""

    signed: datetime
    expires: datetime

    def __post_init__(self) -> None:
        if not self.signals:
            raise ValueError("made for no signal")
        for signal in self.signals:
            if len(signal.seen.low) != signal.layout.size:
                raise ValueError("ranges that do not fit the layout")

    def encoded(self) -> bytes:
        """Write it in its one canonical form."""
        return _canonical(asdict(self))


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
        return f"it was made with the times of the preset {self.preset!r}; only {STREET!r} may reach a cabinet"


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
    return sha256(_canonical(_plain(config))).hexdigest()


def probe(config: IntersectionConfig, observation: str) -> str:
    """Digest one made-up observation of a signal.

    Raises:
        UnknownNameError: there is no such observation kind.
    """
    tables, spec = config.tables, ObservationSpec(config, kind(observation))
    count = len(config.detectors)
    values = np.linspace(0.0, 3.0, len(Channel) * count, dtype=np.float32).reshape(len(Channel), count)
    readings = Readings(values, np.arange(count) % 3 != 1)
    state = place_calls(start(tables, 0, 0)._replace(now=40), tables, tables.vehicles, tables.pedestrians)._replace(now=137)
    told = np.rint(encode(spec, state, readings).astype(np.float64) * 1e4).astype("<i4")
    return sha256(told.tobytes()).hexdigest()


def seal(manifest: Manifest, weights: bytes, key: Ed25519PrivateKey) -> bytes:
    """Sign a manifest and its weights, and put them into one file; the same arguments give the same bytes."""
    own = replace(manifest, key=key_id(key.public_key().public_bytes_raw()), weights=WeightsForm(sha256=_sha(weights), size=len(weights)))
    content = own.encoded()
    return pack(Parts(content, key.sign(_DOMAIN + content), weights))


def key_id(public: bytes) -> str:
    """Give the name by which a bundle calls the key that signed it, from its public half."""
    return _sha(public)[:16]


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
        document = json.loads(parts.manifest, parse_constant=_no_number)
        version = document.get("version") if isinstance(document, dict) else None
        if version != VERSION:
            return NotABundle(f"its form is {version!r:.20}, and only {VERSION} is known")
        manifest = _built(Manifest, document)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as cause:
        return NotABundle(f"its manifest cannot be read ({str(cause)[:200]})")
    if manifest.encoded() != parts.manifest:
        return NotABundle("its manifest is not in canonical form")
    return _Read(manifest, parts)


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
    if street and manifest.preset != STREET:
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


def _canonical(value: Any) -> bytes:  # noqa: ANN401  # whatever JSON can hold
    """Write JSON in its one form here: keys sorted, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_instant).encode()


def _instant(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} has no form in JSON")
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


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


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _built(cls: type[T], value: object) -> T:
    """Build a dataclass from what JSON held: every field, no other, each of its declared type.

    Raises:
        ValueError, TypeError: it does not fit.
    """
    hints = get_type_hints(cls)
    names = [entry.name for entry in fields(cls)]  # type: ignore[arg-type]  # every class passed is a dataclass
    if not isinstance(value, dict) or sorted(value) != sorted(names):
        raise ValueError(f"{cls.__name__} has other fields")
    return cls(**{name: _typed(hints[name], value[name], name) for name in names})


def _typed(declared: Any, value: object, name: str) -> Any:  # noqa: ANN401  # a type, and a value of it
    """Turn what JSON held into a value of a declared type."""
    if is_dataclass(declared) and isinstance(declared, type):
        return _built(declared, value)
    if declared is datetime and isinstance(value, str):
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            raise ValueError(f"{name} has no time zone")
        return instant
    if declared is float and type(value) in (int, float) and isfinite(value):  # type: ignore[arg-type]  # which the types have just shown
        return value
    if isinstance(declared, GenericAlias) and declared.__origin__ is tuple and isinstance(value, list):
        return tuple(_typed(get_args(declared)[0], item, name) for item in value)
    if declared == Mapping[str, str] and isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return value
    if declared in (int, str) and type(value) is declared:
        return value
    raise ValueError(f"{name} is of another type")
