"""The errors of Phasewise, one tree for every package.

    PhasewiseError
     +-- UserError              the user's fault: the command line exits with 2
     |    +-- ConfigError           a file or a value that cannot be used (also a ValueError)
     |    +-- UnknownNameError      a name that nothing bears (also a LookupError)
     +-- RuntimeFault           the world's or our fault: the command line exits with 1

Packages add their own leaves under these (`envs.errors`, ...), never beside them.
"""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """Write "; did you mean ...?" after the known name that is most like a misspelt one; empty where none is."""
    near = get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


class PhasewiseError(Exception):
    """Anything that Phasewise raises on purpose."""


class UserError(PhasewiseError):
    """Something that the user can mend: a file, a name, an option.

    Example scenarios: a route file that is missing, a policy that does not exist, a minimum green above the maximum.
    """


class ConfigError(UserError, ValueError):
    """A configuration that no signal may run.

    The message names the source (a file), the key, the value and what is allowed.
    """

    def __init__(self, message: str, *, source: str = "", key: str = "", value: object = None, allowed: str = "") -> None:
        self.source, self.key, self.value, self.allowed = source, key, value, allowed
        where = ": ".join(part for part in (source, f"{key} = {value!r}" if key else "") if part)
        parts = [f"{where}: {message}" if where else message]
        if allowed:
            parts.append(f"allowed: {allowed}")
        super().__init__("; ".join(parts))


class UnknownNameError(UserError, LookupError):
    """A name that nothing bears. The message offers the nearest known name and lists them all."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        super().__init__(f"unknown {kind} {name!r}{nearest(name, self.known)} (known: {', '.join(self.known) or 'none'})")

    def __reduce__(self) -> tuple[object, ...]:
        """Cross a process boundary whole: worker processes hand their errors back."""
        return type(self), (self.kind, self.name, self.known)


class RuntimeFault(PhasewiseError):
    """Something that went wrong although the input was right.

    Example scenarios: SUMO ends in the middle of an episode, the disk is full.
    """
