"""Finds a plug-in by its module's name: adding one means adding one file."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from intersection.errors import UnknownNameError


def names(package: str) -> tuple[str, ...]:
    """List the plug-ins of a package: its public modules, sorted."""
    path = import_module(package).__path__
    return tuple(sorted(module.name for module in iter_modules(path) if not module.name.startswith("_")))


def load(package: str, name: str, kind: str) -> ModuleType:
    """Import the plug-in `name` of `package`, only now that it is asked for.

    Args:
        package: the package whose modules are the plug-ins, for instance "envs.rewards".
        name: the plug-in's name, as the user wrote it.
        kind: what a plug-in of this package is called in an error message, for instance "reward".

    Raises:
        UnknownNameError: no module of the package bears the name.
    """
    known = names(package)
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return import_module(f"{package}.{name}")
