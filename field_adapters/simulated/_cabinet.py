"""The seam to a simulated cabinet: what it senses, how its time passes, and what it shows.

    SimulatedCabinet.sense()          what the street's detectors say
    SimulatedCabinet.advance()        its own time passes: scans, calls, requests, watchdog
    SimulatedCabinet.next_change()    until when it may be left alone
    SimulatedCabinet.indications()    what it shows, for `Street.show`

At equal instants the street's time passes first, then the cabinet's, then it senses, then it shows. A request over the wire acts at
the instant at which it arrives, between two calls of these.
"""

from typing import Protocol

from intersection.detection import Readings
from intersection.phase import Tenths
from intersection.state import PhaseState


class SimulatedCabinet(Protocol):
    """One cabinet on a street, whatever it speaks. It reads no clock: its time is what it is told."""

    @property
    def now(self) -> Tenths:
        """The cabinet's time, in tenths of a second."""
        ...

    def sense(self, readings: Readings, elapsed: Tenths) -> None:
        """Take in what the street's detectors say at `now`, and place the calls that follow.

        Args:
            readings: of all detectors, in the order of the configuration.
            elapsed: the time that they cover, in tenths of a second; 0 at the first.
        """
        ...

    def advance(self, until: Tenths) -> None:
        """Let its time pass until an instant. Raises ValueError where it would run backwards."""
        ...

    def next_change(self) -> Tenths:
        """Find the next instant after `now` at which an indication may change by itself, or FOREVER."""
        ...

    def indications(self) -> dict[int, PhaseState]:
        """Say what it shows at `now`, by the group's number."""
        ...
