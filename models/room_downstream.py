"""Runs the stage with the most vehicles before it that find room on the lanes they go to.

A green before a full lane lets nobody go, and blocks the junction for the others. So each lane's vehicles count by the room that the
queues on its phases' departures leave: all of it up to a share of their storage, none where a queue fills them.
"""

from collections.abc import Mapping

import numpy as np

from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind, Readings, Values
from intersection.observation import Observation
from intersection.policy import Policy
from models._parameters import settle, tenths
from models._scores import Greedy, stage_weights, vehicles

SENSORS: tuple[DetectorKind, ...] = (DetectorKind.AREA, DetectorKind.DEPARTURE)

GRID: Mapping[str, tuple[float, ...]] = {
    "max_wait_s": (90.0, 150.0),
    "min_green_s": (5.0, 10.0, 20.0),
    "open_share": (0.0, 0.5),
    "permissive": (0.3, 0.7),
}

DEFAULTS: Mapping[str, float] = {"halting": 1.0, "max_wait_s": 120.0, "min_green_s": 5.0, "open_share": 0.5, "permissive": 0.5, "stay": 0.0}


class Room:
    """How much room the departures of each approach have."""

    def __init__(self, config: IntersectionConfig, open_share: float) -> None:
        """Compile a configuration.

        Args:
            config: the signal's configuration.
            open_share: the share of its storage up to which a departure takes everybody, 0 to 1.
        """
        detectors = config.detectors
        leads = np.array(
            [
                [other.kind is DetectorKind.DEPARTURE and bool(set(other.phases) & set(one.phases)) for other in detectors]
                for one in detectors
            ],
            np.float32,
        ).reshape(len(detectors), len(detectors))
        # What leads nowhere that is seen is taken to lead to itself, where there always is room.
        leads += np.diag((leads.sum(axis=1) == 0).astype(np.float32))
        self.leads: Values = leads / leads.sum(axis=1, keepdims=True)
        departs = np.array([detector.kind is DetectorKind.DEPARTURE for detector in detectors], bool)
        closing = max(1.0 - open_share, 0.01)
        self.start = np.float32(1.0 / closing)
        self.fall: Values = np.array([1.0 / (closing * detector.storage) for detector in detectors], np.float32) * departs

    def shares(self, readings: Readings) -> Values:
        """Give for each approach the mean room of its departures, 0 to 1; all of it where no departure is seen or one has failed."""
        room = self.start - self.fall * readings.values[Channel.QUEUE]
        np.minimum(room, 1.0, out=room)
        np.maximum(room, 0.0, out=room)
        if np.count_nonzero(readings.valid) < readings.valid.size:
            room[~readings.valid] = 1.0
        shares: Values = self.leads @ room
        return shares


def make(config: IntersectionConfig, **parameters: float) -> Policy:
    """Make the policy.

    Args:
        config: the signal's configuration.
        parameters: `halting`, the weight that a standing vehicle has besides that of every vehicle; `max_wait_s`, the wait after
            which a call comes first, in seconds; `min_green_s`, how long a stage is kept, in seconds; `open_share`, the share of its
            storage up to which a departure takes everybody; `permissive`, the weight of lanes whose green gives way; `stay`, by what
            share of its score the running stage must be outdone.

    Raises:
        UnknownNameError: there is no such parameter.
        ConfigError: a value is out of range.
    """
    given = settle("room_downstream", DEFAULTS, parameters)
    weights = stage_weights(config, DetectorKind.AREA, given["permissive"])
    halting, room = given["halting"], Room(config, given["open_share"])

    def score(observation: Observation) -> Values:
        readings = observation.readings
        scores: Values = weights @ (vehicles(readings, 1.0, halting) * room.shares(readings))
        return scores

    return Greedy(config, score, min_green=tenths(given["min_green_s"]), max_wait=tenths(given["max_wait_s"]), stay=given["stay"])
