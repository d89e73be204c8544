"""What a simulated NTCIP controller tells of its detectors: whether they are occupied now, and a report of each whole period."""

from field_adapters.ntcip_program import NtcipProgram
from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind, Readings
from intersection.phase import Tenths

PERIOD: Tenths = 10
"""What a volume and occupancy report covers, in tenths of a second."""


class DetectorReports:
    """Adds up what the street's detectors say. Lists are in the order of the configuration's detectors."""

    def __init__(self, config: IntersectionConfig, program: NtcipProgram, now: Tenths) -> None:
        self._kinds = [detector.kind for detector in config.detectors]
        count = len(self._kinds)
        places = {detector.id: at for at, detector in enumerate(config.detectors)}
        self.loops = [(number, places[name]) for name, number in program.detectors.items()]
        """The loops: their number on the wire, and their place in the configuration."""

        self.buttons = [(number, places[name]) for name, number in program.buttons.items()]
        """The push buttons, likewise."""

        self.active = [False] * count
        """Whether a vehicle stands there, or a button is pressed."""

        self.valid = [True] * count
        self.sequence = 0
        """The number of the last report, modulo 256."""

        self.volumes = [0] * count
        self.shares = [0.0] * count
        """Occupied shares of the last period, 0 to 1."""

        self._counted = [0.0] * count
        self._stood: list[Tenths] = [0] * count
        self._told = now

    def take(self, readings: Readings, elapsed: Tenths, now: Tenths) -> None:
        """Add readings that cover the time just elapsed, and make a report where a period is full."""
        for at, kind in enumerate(self._kinds):
            count, share = float(readings.values[Channel.COUNT, at]), float(readings.values[Channel.OCCUPANCY, at])
            self.active[at] = count > 0 if kind is DetectorKind.PUSH_BUTTON else elapsed > 0 and share >= 1.0
            self.valid[at] = bool(readings.valid[at])
            self._counted[at] += count
            self._stood[at] += round(share * elapsed)
        if now - self._told >= PERIOD:
            self._publish(now)

    def _publish(self, now: Tenths) -> None:
        over = now - self._told
        self.sequence = (self.sequence + 1) % 256
        self.volumes = [min(254, round(count)) for count in self._counted]
        self.shares = [min(1.0, stood / over) for stood in self._stood]
        self._counted, self._stood, self._told = [0.0] * len(self._kinds), [0] * len(self._kinds), now
