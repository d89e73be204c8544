"""What a bundle says of itself, and its one form in JSON.

Decoding takes every field of its declared type and no other, so that a manifest means the same to whoever reads it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from functools import cached_property
from math import isfinite
from types import GenericAlias
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

import numpy as np

from intersection.detection import Values
from intersection.layout import Layout
from intersection.phase import Tenths

VERSION = 1
"""The version of the manifest that this code reads."""

LARGEST_VECTOR = 1 << 16
"""No observation is longer."""

LARGEST_VALUE = 1e3
"""No bound of an observation's values is larger; the values themselves lie in 0..1."""

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
        if any(abs(value) > LARGEST_VALUE for value in (*self.low, *self.high, *self.mean, *self.scale, self.usual)):
            raise ValueError("a range that no observation has")

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
        return canonical(asdict(self))


def decoded(content: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        ValueError: it is none, is of another version, or stands in another than its canonical form.
    """
    try:
        document = json.loads(content, parse_constant=_no_number)
        version = document.get("version") if isinstance(document, dict) else None
        if version != VERSION:
            raise ValueError(f"its form is {version!r:.20}, and only {VERSION} is known")
        manifest = _built(Manifest, document)
        if manifest.encoded() != content:
            raise ValueError("it is not in canonical form")
    except (OverflowError, RecursionError) as cause:
        raise ValueError(f"it cannot be read: {cause}") from cause
    return manifest


def canonical(value: Any) -> bytes:  # noqa: ANN401  # whatever JSON can hold
    """Write JSON in its one form here: keys sorted, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_instant).encode()


def _instant(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} has no form in JSON")
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _built(cls: type[T], value: object) -> T:
    """Build a dataclass from what JSON held: every field, no other, each of its declared type.

    Raises:
        ValueError: it does not fit.
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
