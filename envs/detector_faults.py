"""How detectors fail and lie in a simulation: noise, dropout, stuck on, stuck off and latency, drawn from a seed."""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from intersection.detection import Channel, DetectorKind, Values
from intersection.errors import ConfigError
from intersection.phase import Tenths

if TYPE_CHECKING:
    from envs.sensing import Sensors


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorFaults:
    """What goes wrong with detectors. All shares are of the detectors, drawn anew each episode.

    Raises:
        ConfigError: a share or a time is out of its range.
    """

    dropout: float = 0.0
    """Share that reports nothing and is known to have failed: masked."""

    stuck_on: float = 0.0
    """Share that always reports a vehicle, unknown to anybody."""

    stuck_off: float = 0.0
    """Share that never reports a vehicle, unknown to anybody."""

    miss: float = 0.0
    """Probability that a vehicle in an area, or a passage over a loop, is not seen at a reading."""

    false_call: float = 0.0
    """Probability that a reading sees one vehicle too many."""

    speed_noise: float = 0.0
    """Standard deviation of the relative error of a mean speed."""

    latency: float = 0.0
    """How old readings are when they arrive, in seconds."""

    def __post_init__(self) -> None:
        for key in ("dropout", "stuck_on", "stuck_off", "miss", "false_call"):
            value = getattr(self, key)
            if not 0.0 <= value <= 1.0:
                raise ConfigError("a share lies between 0 and 1", key=f"faults.{key}", value=value, allowed="0..1")
        if self.dropout + self.stuck_on + self.stuck_off > 1.0:
            raise ConfigError(
                "a detector fails in one way at a time",
                key="faults",
                value=self.dropout + self.stuck_on + self.stuck_off,
                allowed="dropout + stuck_on + stuck_off up to 1",
            )
        for key in ("speed_noise", "latency"):
            value = getattr(self, key)
            if value < 0.0:
                raise ConfigError("cannot be negative", key=f"faults.{key}", value=value, allowed="0 or more")


class Faulty:
    """Spoils the readings of one episode, in place and in the same way for the same seed."""

    def __init__(self, faults: DetectorFaults, sensors: "Sensors", seed: int) -> None:
        """Draw which detectors fail in this episode."""
        self.faults, self.sensors = faults, sensors
        self._rng = np.random.default_rng((seed, 0xFA17))
        fate = self._rng.random(len(sensors.detectors))
        self.failed = fate < faults.dropout
        self.stuck_on = ~self.failed & (fate < faults.dropout + faults.stuck_on)
        self.stuck_off = ~self.failed & ~self.stuck_on & (fate < faults.dropout + faults.stuck_on + faults.stuck_off)
        kinds = [detector.kind for detector in sensors.detectors]
        self._areas = np.array([kind in (DetectorKind.AREA, DetectorKind.DEPARTURE) for kind in kinds], bool)
        self._loops = np.array([kind in (DetectorKind.STOP_BAR, DetectorKind.ADVANCE) for kind in kinds], bool)
        self._buttons = ~self._areas & ~self._loops
        self.truth: Values = sensors.values.copy()
        """What the detectors would have said the last time, in the form of `Sensors.values`."""
        self._past: deque[tuple[Tenths, Values]] = deque()

    def apply(self, now: Tenths) -> None:
        """Spoil what the sensors have just read."""
        faults, values = self.faults, self.sensors.values
        self.truth[:] = values
        if faults.latency:
            self._delay(now)
        if faults.miss:
            seen = self._rng.binomial(values[Channel.COUNT].astype(int), 1.0 - faults.miss)
            share = np.divide(seen, values[Channel.COUNT], out=np.ones(len(seen), np.float64), where=values[Channel.COUNT] > 0)
            values[Channel.COUNT] = seen
            values[Channel.QUEUE] = np.floor(values[Channel.QUEUE] * share)
        if faults.false_call:
            values[Channel.COUNT] += self._rng.random(values.shape[1]) < faults.false_call
        if faults.speed_noise:
            factor = 1.0 + faults.speed_noise * self._rng.standard_normal(values.shape[1])
            values[Channel.SPEED] = np.clip(values[Channel.SPEED] * factor, 0.0, None)
        self._stick()
        values[:, self.failed] = 0.0
        self.sensors.valid[:] = ~self.failed

    def _delay(self, now: Tenths) -> None:
        """Put the newest readings that have arrived by now in place of those that were just taken."""
        values = self.sensors.values
        self._past.append((now, values.copy()))
        late = now - round(self.faults.latency * 10)
        while len(self._past) > 1 and self._past[1][0] <= late:
            self._past.popleft()
        values[:] = self._past[0][1]

    def _stick(self) -> None:
        values, limits = self.sensors.values, self.sensors.limits
        on, off = self.stuck_on, self.stuck_off
        seen, pressed, held = on & self._areas, on & self._buttons, on & self._loops
        values[Channel.COUNT, seen | pressed] = np.maximum(1.0, values[Channel.COUNT, seen | pressed])
        values[Channel.QUEUE, seen] = np.maximum(1.0, values[Channel.QUEUE, seen])
        values[Channel.OCCUPANCY, held] = 1.0
        values[Channel.SINCE, held] = 0.0
        values[Channel.COUNT, off] = 0.0
        values[Channel.QUEUE, off] = 0.0
        values[Channel.OCCUPANCY, off] = 0.0
        values[Channel.SINCE, off] = 3600.0
        values[Channel.SPEED, off] = limits[off]
