"""What a cabinet stands on: a street that is simulated, recorded, synthetic, or there."""

from collections.abc import Mapping
from typing import Protocol

from intersection.detection import Readings
from intersection.phase import Tenths
from intersection.state import Interval, PedInterval, PhaseState


class Street(Protocol):
    """One intersection's street: detectors to read, indications to show, and time that passes."""

    @property
    def now(self) -> Tenths:
        """The street's time, in tenths of a second."""

    def read(self) -> Readings:
        """Read all detectors as they are now."""

    def show(self, indications: Mapping[int, PhaseState]) -> None:
        """Show each group's indication, by its number, from now on."""

    def advance(self, until: Tenths) -> None:
        """Let time pass until an instant, in tenths of a second."""


class SyntheticStreet:
    """The in-memory twin of a street: readings by a script, indications kept for inspection.

    It does not imitate vehicles: what is shown has no effect on what is read.
    """

    def __init__(self, script: Mapping[Tenths, Readings], start: Tenths = 0) -> None:
        """Begin at an instant; `script` says from which instant on which readings hold, and has an entry at or before the start."""
        self._script = dict(sorted(script.items()))
        self._now = start
        self.shown: list[tuple[Tenths, dict[int, tuple[Interval, PedInterval]]]] = []

    @property
    def now(self) -> Tenths:
        """The street's time, in tenths of a second."""
        return self._now

    def read(self) -> Readings:
        """Read what the script says for now."""
        return [readings for since, readings in self._script.items() if since <= self._now][-1]

    def show(self, indications: Mapping[int, PhaseState]) -> None:
        """Keep what is shown."""
        self.shown.append((self._now, {number: (s.interval, s.pedestrian) for number, s in indications.items()}))

    def advance(self, until: Tenths) -> None:
        """Let time pass. Raises ValueError where it would run backwards."""
        if until < self._now:
            raise ValueError(f"time runs forward: from {self._now} to {until} tenths of a second")
        self._now = until
