"""What an installation brings, and what it leaves out."""

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from setuptools import find_packages

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
BASE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {extra: [Requirement(line) for line in lines] for extra, lines in PROJECT["optional-dependencies"].items()}
EVERYTHING = BASE + [requirement for requirements in EXTRAS.values() for requirement in requirements]


def pins() -> dict[str, Version]:
    """Read the constraints file: a version for each distribution."""
    lines = [Requirement(line) for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line[:1].isalpha()]
    return {canonicalize_name(line.name): Version(str(line.specifier).removeprefix("==")) for line in lines}


def wants(requirement: Requirement) -> list[Requirement]:
    """List what an installed distribution requires on this machine, with the extras that are asked of it."""
    required = [Requirement(line) for line in metadata.requires(requirement.name) or []]
    asked = requirement.extras | {""}
    return [each for each in required if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in asked)]


def closure(requirements: list[Requirement]) -> set[str]:
    """Name all that requirements bring, but for what the distribution that asks for it pins itself."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            waiting += [each for each in wants(requirement) if not str(each.specifier).startswith("==")]
    return {name for name, _ in seen}


def test_a_cabinets_box_gets_no_simulator_and_no_trainer() -> None:
    """The base install brings, directly or by others, neither SUMO nor what trains a policy."""
    unwanted = {requirement.name for requirement in EXTRAS["train"]} | {"sumo-rl"}

    assert set() == closure(BASE) & unwanted


def test_the_constraints_pin_all_that_is_named() -> None:
    """Every dependency that pyproject.toml names has a version in constraints.txt, and one that it allows."""
    pinned = pins()

    loose = [
        str(requirement)
        for requirement in EVERYTHING
        if (version := pinned.get(canonicalize_name(requirement.name))) is None or version not in requirement.specifier
    ]

    assert [] == loose


def test_the_constraints_pin_all_that_comes_along() -> None:
    """Every distribution that a dependency brings is pinned, at the version that is installed here."""
    installed = {name: Version(Version(metadata.version(name)).public) for name in closure(EVERYTHING)}

    assert installed == {name: version for name, version in pins().items() if name in installed}


def test_the_parts_of_sumo_are_of_one_version() -> None:
    """SUMO's binaries, its two interfaces and its libraries are pinned to one release."""
    parts = {"eclipse-sumo", "libsumo", "sumo-data", "sumolib", "traci"}

    versions = {requirement.specifier for requirement in EXTRAS["train"] if requirement.name in parts}

    assert 1 == len(versions)


def test_the_wheel_holds_the_six_packages_and_nothing_else() -> None:
    """Tests and networks stay out of the wheel, whatever folders the packages gain."""
    rooms = PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]

    packed = {name.partition(".")[0] for name in find_packages(str(ROOT), include=rooms)}

    assert {"controller", "envs", "field_adapters", "intersection", "models", "phasewise"} == packed


def test_no_index_accepts_the_project() -> None:
    """Flat package names suit an application and not an index, so a classifier that every index refuses stands guard."""
    assert "Private :: Do Not Upload" in PROJECT["classifiers"]
