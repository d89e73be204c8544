"""Finds what a user calls a policy: a baseline, one of SUMO's own programs, a trained policy's file, or a bundle."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from envs.outside import Program
from envs.scenario import nearest
from intersection import plugins
from intersection.config import IntersectionConfig
from intersection.detection import DetectorKind
from intersection.errors import ConfigError, UnknownNameError
from intersection.observation import kind
from intersection.policy import Policy
from models import onnx_policy, tuned
from models.bundle import describe
from models.manifest import Manifest
from models.training import trained

BUNDLE = ".bundle"
"""How the name of a bundle's file ends."""

OUTSIDE: Mapping[str, Program] = {
    "program": Program.AS_GIVEN,
    "sumo_actuated": Program.ACTUATED,
    "sumo_delay_based": Program.DELAY_BASED,
}
"""SUMO's own programs. They bypass the gate, and results mark them so."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A policy that was found."""

    name: str
    """What results call it."""

    make: Callable[[IntersectionConfig], Policy] | None
    """Makes the policy of one signal; None for SUMO's own programs."""

    sensors: tuple[DetectorKind, ...] = (DetectorKind.AREA,)
    program: Program = Program.AS_GIVEN
    observation: str = "area"
    whole_lane: bool = False


def names() -> tuple[str, ...]:
    """List the baselines and SUMO's own programs."""
    return (*(name for name in plugins.names("models") if name not in _NOT_POLICIES), *OUTSIDE)


_NOT_POLICIES = frozenset({"bundle", "errors", "manifest", "onnx_policy", "pretrained", "training", "trust", "tuned"})


def find(text: str, *, scenario: str, preset: str, observation: str) -> Choice:
    """Find a policy.

    Args:
        text: a name, a name with parameters (`max_pressure:min_green=10,permissive=0.5`), or the path of a trained policy or
            of a bundle.
        scenario: for which a baseline's tuned parameters are looked up.
        preset: likewise.
        observation: what a baseline may see: "area" or "loops".

    Raises:
        UnknownNameError: nothing bears that name.
        ConfigError: a parameter is no number, or unknown, or a file is no trained policy and no bundle.
    """
    if text.endswith(BUNDLE):
        return _bundled(Path(text))
    if text.endswith(".zip") or Path(text).is_file():
        return _trained(Path(text))
    name, _, given = text.partition(":")
    if name in OUTSIDE:
        if given:
            raise ConfigError("SUMO's own programs take no parameters", key="policy", value=text, allowed=name)
        return Choice(name=text, make=None, program=OUTSIDE[name])
    if name not in names():
        raise UnknownNameError("policy", name, names())
    module = plugins.load("models", name, "policy")
    parameters = {**tuned.parameters(name, scenario=scenario, preset=preset), **_parse(given)}
    sensors: tuple[DetectorKind, ...] = module.SENSORS
    if observation == "loops":
        loops = kind("loops").detectors
        sensors = (*loops, *(each for each in sensors if each is DetectorKind.DEPARTURE))
    return Choice(name=text, make=partial(module.make, **parameters), sensors=sensors, observation=observation)


def _parse(given: str) -> dict[str, float]:
    parameters: dict[str, float] = {}
    for part in filter(None, given.split(",")):
        key, equals, value = part.partition("=")
        try:
            parameters[key.strip()] = float(value)
        except ValueError as cause:
            raise ConfigError("a parameter is a number", key=key, value=value, allowed="name=number, ...") from cause
        if not equals:
            raise ConfigError("a parameter has a value", key=key, value="", allowed="name=number, ...")
    return parameters


def _trained(path: Path) -> Choice:
    if not path.is_file():
        raise ConfigError("there is no such file" + nearest(path), source=str(path), allowed="a file that `phasewise train` wrote")
    described = trained.describe(path)
    seen = kind(described.observation)
    return Choice(
        name=path.stem,
        make=partial(trained.make, path=path.resolve()),
        sensors=seen.detectors,
        observation=described.observation,
        whole_lane=seen.whole_lane,
    )


def _bundled(path: Path) -> Choice:
    """Take a bundle as a policy, whoever signed it: a simulation endangers nobody. That it is whole and made for its signals is checked."""
    if not path.is_file():
        raise ConfigError("there is no such file" + nearest(path), source=str(path), allowed="a file that `phasewise export` wrote")
    described = describe(path)
    if not isinstance(described, Manifest):
        raise ConfigError(described.reason, source=str(path), allowed="a file that `phasewise export` wrote")
    seen = kind(described.observation.kind)
    return Choice(
        name=path.stem,
        make=partial(onnx_policy.make, path=path.resolve()),
        sensors=seen.detectors,
        observation=described.observation.kind,
        whole_lane=seen.whole_lane,
    )
