"""The law of the house, as far as import-linter cannot state it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
PACKAGES: list[str] = CONTRACTS["root_packages"]

SUMO = {"libsumo", "sumolib", "traci"}
TRAINER = {"gymnasium", "pettingzoo", "sb3_contrib", "stable_baselines3", "tensorboard", "torch"}
CLOCKS = {"now", "today", "utcnow"}
CHANCE = {"asyncio", "random", "secrets", "threading", "time", "uuid"}

Finder = Callable[[ast.AST], Iterator[ast.AST]]


def dotted(node: ast.AST) -> str:
    """Write a chain of names and attributes as it stands in the source, or nothing if it is more than that."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
        case _:
            return ""


def imports(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Name every module that is imported, wherever in the file and by whichever statement or call."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from ((node, f"{module}.{alias.name}") for alias in names)
            case ast.Call(func=func, args=[ast.Constant(value=str(module)), *_]) if dotted(func).endswith(("import_module", "__import__")):
                yield node, module


def importing(roots: set[str]) -> Finder:
    """Make a finder of the imports of these distributions' modules."""
    return lambda tree: (node for node, module in imports(tree) if module.split(".")[0] in roots)


def foreign(tree: ast.AST) -> Iterator[ast.AST]:
    """Find imports of anything but the standard library, numpy and the intersection itself."""
    allowed = sys.stdlib_module_names | {"intersection", "numpy"}
    return (node for node, module in imports(tree) if module.split(".")[0] not in allowed)


def commands(tree: ast.AST) -> Iterator[ast.AST]:
    """Find where a `Command` is made: by its own name, by another name given to it, or as a changed copy."""
    names = {"Command"} | {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == "Command" and alias.asname
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = dotted(node.func).rpartition(".")[2]
            copied = dotted(node.args[0]).rpartition(".")[2] if node.args else ""
            if called in names or (called == "replace" and copied.endswith("command")):
                yield node


def clocks(tree: ast.AST) -> Iterator[ast.AST]:
    """Find what makes one run differ from the next: clocks, chance, other threads."""
    yield from importing(CHANCE)(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and dotted(node) in {"np.random", "numpy.random", "os.urandom"}:
            yield node
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            yield node


def sources(*packages: str) -> list[Path]:
    """List the modules of packages, or of all of them."""
    return sorted(path for package in packages or PACKAGES for path in (ROOT / package).rglob("*.py"))


def breaches(files: list[Path], find: Finder) -> list[str]:
    """Say where files break a rule, as file:line."""
    return [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        for path in files
        for node in find(ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))
    ]


def test_only_the_shield_makes_a_command() -> None:
    """There is one door between proposals and lights: no module but the shield constructs a `Command`."""
    others = [path for path in sources() if path != ROOT / "intersection" / "shield.py"]

    assert [] == breaches(others, commands)


def test_only_the_sumo_session_meets_sumo() -> None:
    """The simulator's interface stays behind one file, so that the rest can be tested without it."""
    others = [path for path in sources() if path != ROOT / "envs" / "sumo_session.py"]

    assert [] == breaches(others, importing(SUMO))


def test_the_intersection_reads_no_clock_and_draws_no_lots() -> None:
    """The core is a function of its arguments: time is a parameter, and nothing happens by chance."""
    assert [] == breaches(sources("intersection"), clocks)


def test_the_intersection_needs_only_numpy() -> None:
    """The core imports the standard library, numpy and itself."""
    assert [] == breaches(sources("intersection"), foreign)


def test_only_the_trainer_meets_its_libraries_among_the_models() -> None:
    """A policy that runs in a cabinet imports neither the trainer nor what the trainer is made of."""
    fielded = [path for path in sources("models") if "training" not in path.relative_to(ROOT).parts]

    found = breaches(fielded, importing(TRAINER)) + breaches(
        fielded, lambda tree: (node for node, module in imports(tree) if module.startswith("models.training"))
    )

    assert [] == found


@pytest.mark.parametrize(
    ("find", "source"),
    [
        (commands, "Command(hold=phases)"),
        (commands, "shield.Command()"),
        (commands, "from intersection.shield import Command as Order\nOrder()"),
        (commands, "dataclasses.replace(verdict.command, hold=phases)"),
        (importing(SUMO), "import libsumo"),
        (importing(SUMO), "def start():\n    from traci import connect"),
        (importing(SUMO), "importlib.import_module('sumolib.net')"),
        (importing(TRAINER), "import torch.nn as nn"),
        (clocks, "import time"),
        (clocks, "from random import choice"),
        (clocks, "datetime.now(tz)"),
        (clocks, "datetime.date.today()"),
        (clocks, "np.random.default_rng()"),
        (foreign, "from scipy import stats"),
    ],
)
def test_a_breach_is_seen(find: Finder, source: str) -> None:
    """The rules above find what they forbid, also where it hides."""
    assert 1 == len(list(find(ast.parse(source))))


@pytest.mark.parametrize(
    ("find", "source"),
    [
        (commands, "isinstance(verdict.command, Command)"),
        (commands, "dataclasses.replace(state, now=now)"),
        (importing(SUMO), "from envs.sumo_session import libsumo_or_traci"),
        (clocks, "advance(state, command, state.now)"),
        (clocks, "from datetime import datetime"),
        (foreign, "import numpy as np\nfrom intersection.phase import Phase"),
    ],
)
def test_what_is_lawful_passes(find: Finder, source: str) -> None:
    """The rules above leave alone what only looks alike."""
    assert [] == list(find(ast.parse(source)))


def test_every_folder_of_modules_is_a_package() -> None:
    """A folder with modules has an `__init__.py`; without one it would silently stay out of the wheel."""
    bare = sorted({str(path.parent.relative_to(ROOT)) for path in sources() if not (path.parent / "__init__.py").is_file()})

    assert [] == bare


def test_the_packages_come_from_this_checkout(tmp_path: Path) -> None:
    """The environment's Python, started anywhere, imports these very folders and not a namesake from an index."""
    program = f"for name in {PACKAGES}: print(__import__(name).__file__)"

    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert [str(ROOT / package / "__init__.py") for package in PACKAGES] == done.stdout.split(), done.stderr


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    """A path into a home, a temporary folder or this checkout means nothing to whoever clones the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    place = re.compile(rb"(?<![\w.*~-])/(?:home|root|tmp|Users)/\w|\b[A-Z]:\\Users|" + re.escape(bytes(ROOT)) + rb"\b")

    found = [
        f"{name}: {match.group().decode(errors='replace')}"
        for name in map(bytes.decode, listed.split(b"\0"))
        if (ROOT / name).is_file()
        for match in place.finditer((ROOT / name).read_bytes())
    ]

    assert [] == found
