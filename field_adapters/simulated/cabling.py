"""What lies between the street's detectors and a cabinet: cables, whose faults can be ordered."""

from field_adapters.simulated.orders import ALL, DetectorFailure, DetectorOrder, FailDetector, MendDetector, SwapDetectors
from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind, Readings
from intersection.errors import UnknownNameError
from intersection.phase import Tenths
from intersection.sensed import sensed

CHATTER = 10
"""How many vehicles a second a chattering loop counts: one a scan, more than any lane carries."""


class Cabling:
    """The detectors of one cabinet, as they are wired now.

    While nothing is wrong, readings pass as they are. Otherwise they are made anew from what loops and push buttons say; of a detector of
    another kind nothing then arrives.
    """

    def __init__(self, config: IntersectionConfig) -> None:
        self._config = config
        self._places = {detector.id: at for at, detector in enumerate(config.detectors)}
        self._source = list(range(len(config.detectors)))
        self._failed: dict[int, DetectorFailure] = {}
        self._last: Readings | None = None
        self._readings = 0

    def order(self, order: DetectorOrder) -> None:
        """Let detectors fail, or work again. Raises UnknownNameError where there is no such detector."""
        match order:
            case FailDetector(detector, how):
                for at in self._named(detector):
                    self._failed[at] = how
            case SwapDetectors(one, other):
                (first,), (second,) = self._named(one), self._named(other)
                self._source[first], self._source[second] = self._source[second], self._source[first]
            case MendDetector(detector):
                for at in self._named(detector):
                    self._failed.pop(at, None)
                    self._unplug(at)

    def carry(self, readings: Readings, over: Tenths) -> Readings:
        """Carry readings to the cabinet.

        Args:
            readings: what the street's detectors say.
            over: the time that they cover, in tenths of a second.
        """
        self._readings += 1
        wired = self._source != sorted(self._source)
        self._last = self._spoilt(readings, over) if self._failed or wired else readings
        return self._last

    def _named(self, detector: str) -> list[int]:
        if detector == ALL:
            return list(self._places.values())
        if detector not in self._places:
            raise UnknownNameError("detector", detector, self._places)
        return [self._places[detector]]

    def _unplug(self, at: int) -> None:
        """Put a detector and the one that is wired in its place each at its own."""
        other = self._source.index(at)
        self._source[at], self._source[other] = at, self._source[at]

    def _spoilt(self, readings: Readings, over: Tenths) -> Readings:
        counts = [float(readings.values[Channel.COUNT, at]) for at in self._source]
        occupied = [round(float(readings.values[Channel.OCCUPANCY, at]) * over) for at in self._source]
        valid = [bool(readings.valid[at]) for at in self._source]
        for place, how in self._failed.items():
            at = self._source.index(place)  # it fails in the street, and its cable carries that to wherever it leads
            button = self._config.detectors[at].kind is DetectorKind.PUSH_BUTTON
            match how:
                case DetectorFailure.STUCK:
                    counts[at], occupied[at] = float(button), 0 if button else over
                case DetectorFailure.DEAD:
                    counts[at], occupied[at] = 0.0, 0
                case DetectorFailure.CHATTERING:
                    counts[at], occupied[at] = (self._readings % 2, 0) if button else (over * CHATTER // 10, over // 2)
                case DetectorFailure.REPORTED:
                    valid[at] = False
        return sensed(self._config, counts, occupied, valid, over=over, before=self._last)
