"""Measures the traffic for rewards, no more than they ask for."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from envs.rewards._base import Lanes, Measures, Need, PerSignal
from envs.simulation import Simulation
from envs.sumo_session import Api
from intersection.detection import Channel, DetectorKind, Values

Columns: TypeAlias = slice | NDArray[np.intp]


class Meter:
    """Takes the measures of one simulation after each decision."""

    def __init__(self, simulation: Simulation, needs: Need) -> None:
        """Find out where the areas stand in the sensors' arrays.

        Args:
            simulation: whose sensors hold AREA, and DEPARTURE where `needs` asks for downstream.
            needs: what is measured besides count, queue and speed.
        """
        sensors = simulation.sensors
        self.simulation, self.needs = simulation, needs
        self._areas = _of_kind(simulation, DetectorKind.AREA)
        self._departures = _of_kind(simulation, DetectorKind.DEPARTURE)
        owners = np.array([target.signal for target in sensors.targets], np.intp)
        self._signal_of = owners[self._areas]
        self._signal_of_departure = owners[self._departures]
        self._limits = sensors.limits[self._areas]
        self._lanes = [
            tuple(dict.fromkeys(segment.lane for segment in segments))
            for signal in simulation.signals_of
            for detector in signal.config.detectors
            if detector.kind is DetectorKind.AREA
            for segments in [signal.segments[detector.id]]
        ]
        self._controlled = [tuple(dict.fromkeys(lane for lane, _ in signal.lanes_of_link)) for signal in simulation.signals_of]
        self._calm = np.zeros(len(simulation.signals_of))
        self.reset()

    def reset(self) -> None:
        """Forget who was on the lanes: an episode begins."""
        self._present: list[set[str]] = [set() for _ in self._controlled]

    def measure(self) -> Measures:
        """Take the measures now, from what the sensors have just read, before any faults of detectors."""
        simulation, needs = self.simulation, self.needs
        values = simulation.sensors.values if simulation.faulty is None else simulation.faulty.truth
        areas = self._areas
        seen = values[: Channel.SPEED + 1, areas].copy()
        signals = simulation.signals
        waiting: PerSignal = self._calm
        if simulation.sensors.has_buttons:
            waiting = np.array([float(signal.state.ped_calls.bit_count()) for signal in signals])
        api = simulation.session.api if needs and simulation.session is not None else None
        return Measures(
            signals=len(signals),
            signal_of=self._signal_of,
            count=seen[Channel.COUNT],
            queue=seen[Channel.QUEUE],
            speed=seen[Channel.SPEED],
            limit=self._limits,
            ped_waiting=waiting,
            waiting=self._sum(api.lane.getWaitingTime) if Need.WAITING in needs and api else None,
            co2=self._sum(api.lane.getCO2Emission) if Need.CO2 in needs and api else None,
            discharged=self._discharge(api) if Need.DISCHARGED in needs and api else None,
            downstream=self._downstream(values[Channel.COUNT, self._departures]) if Need.DOWNSTREAM in needs else None,
        )

    def _downstream(self, count: Values) -> PerSignal:
        return np.asarray(np.bincount(self._signal_of_departure, count, len(self._controlled)), np.float64)

    def _sum(self, getter: Callable[[str], float]) -> Lanes:
        return np.array([sum(map(getter, lanes)) for lanes in self._lanes], np.float64)

    def _discharge(self, api: Api) -> PerSignal:
        """Count the vehicles that were on a signal's controlled lanes and are not any more."""
        here = [{vehicle for lane in lanes for vehicle in api.lane.getLastStepVehicleIDs(lane)} for lanes in self._controlled]
        gone = np.array([len(before - now) for before, now in zip(self._present, here, strict=True)], np.float64)
        self._present = here
        return gone


def _of_kind(simulation: Simulation, kind: DetectorKind) -> Columns:
    """Find the columns of one kind of detectors: a slice where they stand together, which reads faster."""
    at = [index for index, detector in enumerate(simulation.sensors.detectors) if detector.kind is kind]
    together = at == list(range(at[0], at[-1] + 1)) if at else False
    return slice(at[0], at[-1] + 1) if together else np.array(at, np.intp)


def sensors_for(kinds: Sequence[DetectorKind], needs: Need) -> tuple[DetectorKind, ...]:
    """List the kinds of detectors that an observation and a reward together need, in their own order."""
    wanted = {*kinds, DetectorKind.AREA} | ({DetectorKind.DEPARTURE} if Need.DOWNSTREAM in needs else set())
    return tuple(kind for kind in DetectorKind if kind in wanted)
