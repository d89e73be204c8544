"""SUMO as a `Street`: what a cabinet stands on, one for each signal of a scenario, all over one simulation.

    with SumoStreets(scenario, network, seed=101) as streets:
        street = streets["GS_cluster_357187_359543"]
        street.show(...)
        street.advance(street.now + 10)
        street.read()

Whoever lets time pass on one street lets it pass on all of them, and a street that is there already stays: so several cabinets show first,
and then advance each their street to the same instant.

SUMO stands at whole steps only. In between, time is kept here: a step is simulated once its end is reached, under what is shown then, so an
indication counts from the begin of the step in which it was first shown. A step's multiples keep their length by that, and the order of
indications is kept; one that lasts less than a step may not be seen.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from envs.audit import Audit, audit, signal_states_additional
from envs.evaluation import requirements
from envs.scenario import Scenario
from envs.sensing import Sensors, loops_xml
from envs.simulation import TENTHS, check_steps, first_stage, spell, with_detectors
from envs.sumo_network import Network, SumoSignal
from envs.sumo_session import Backend, SumoSession, check_output
from envs.trips import TripSummary, read_statistics, read_trips, summarise
from intersection.detection import DetectorKind, Readings
from intersection.errors import UnknownNameError
from intersection.machine import Lamps, phase_states, start
from intersection.phase import Tenths
from intersection.sensed import LOOPS
from intersection.state import Interval, PedInterval, PhaseState

OFF = "o"
"""SUMO's letter of a link at a signal that flashes or is dark: everybody yields (SUMO's `O` would let everybody go)."""


class SumoStreets:
    """The streets of all signals of a scenario, over one simulation that begins with it.

    It is a context manager; leaving it ends the simulation.
    """

    def __init__(
        self,
        scenario: Scenario,
        network: Network,
        *,
        seed: int,
        sensors: Sequence[DetectorKind] | None = LOOPS,
        scale: float = 1.0,
        backend: Backend = "libsumo",
        gui: bool = False,
        records: Path | None = None,
        extra_args: Sequence[str] = (),
    ) -> None:
        """Start SUMO at the scenario's begin, every signal showing the stage that its program has then.

        Args:
            scenario: what to simulate.
            network: its signals.
            seed: SUMO's seed.
            sensors: the kinds of detectors that there are, push buttons besides; None: all that are configured, in their order.
            scale: factor on the demand.
            backend: "libsumo" or "traci".
            gui: show sumo-gui.
            records: a folder that gets SUMO's records: trips, statistics and signal states; see `account`.
            extra_args: further options of SUMO.

        Raises:
            ConfigError: a time of a signal is no multiple of SUMO's step.
            SimulationError: SUMO refused.
        """
        self.scenario, self.network, self.records = scenario, network, records
        self.signals = network.signals if sensors is None else with_detectors(network, sensors)
        self.step: Tenths = round(scenario.step_length * TENTHS)
        for signal in self.signals:
            check_steps(signal, self.step)
        self.sensors = Sensors(self.signals, network.lane_lengths)
        self._folder = TemporaryDirectory(prefix="phasewise-")
        try:
            self.session = SumoSession.start(
                scenario,
                seed=seed,
                scale=scale,
                backend=backend,
                gui=gui,
                additional_files=self._additional_files(Path(self._folder.name)),
                tripinfo=records / "tripinfo.xml" if records else None,
                statistics=records / "statistics.xml" if records else None,
                extra_args=extra_args,
            )
        except BaseException:
            self._folder.cleanup()
            raise
        try:
            with self.session.translating():
                self._begin()
        except BaseException:
            self.close()
            raise

    def _additional_files(self, folder: Path) -> list[Path]:
        loops = folder / "loops.add.xml"
        loops.write_text(loops_xml(self.signals))
        if self.records is None:
            return [loops]
        recorder = folder / "record.add.xml"
        names = [signal.id for signal in self.signals] + list(self.network.skipped)
        recorder.write_text(signal_states_additional(names, self.records.resolve() / "tlsstates.xml"))
        return [loops, recorder]

    def _begin(self) -> None:
        self.sensors.bind(self.session)
        self._now = self._stepped = self._sensed = round(self.session.now * TENTHS)
        self._streets = {signal.id: SumoStreet(self, at, signal) for at, signal in enumerate(self.signals)}
        self._sense(0)

    @property
    def now(self) -> Tenths:
        """The time of all streets, in tenths of a second after midnight."""
        return self._now

    @property
    def end(self) -> Tenths:
        """When the scenario ends, in tenths of a second."""
        return round(self.scenario.end * TENTHS)

    def __getitem__(self, signal: str) -> "SumoStreet":
        """Give the street of a signal. Raises UnknownNameError."""
        if signal not in self._streets:
            raise UnknownNameError("signal", signal, self._streets)
        return self._streets[signal]

    def __iter__(self) -> Iterator["SumoStreet"]:
        return iter(self._streets.values())

    def __len__(self) -> int:
        return len(self._streets)

    def advance(self, until: Tenths) -> None:
        """Let time pass on all streets until an instant, in tenths of a second.

        Raises:
            ValueError: the instant has passed.
            SimulationError: SUMO failed.
        """
        if until < self._now:
            raise ValueError(f"time runs forward: from {self._now} to {until} tenths of a second")
        self._now = until
        reached = until - until % self.step
        if reached > self._stepped:
            self.session.step_to(reached / TENTHS)
            self._stepped = reached

    def readings(self, signal: int) -> Readings:
        """Give what the detectors of a signal say, by its place in `signals`. They are read once an instant, for all streets together."""
        if self._sensed < self._stepped:
            with self.session.translating():
                self._sense(self._stepped - self._sensed)
        return self._readings[signal]

    def _sense(self, elapsed: Tenths) -> None:
        """Read all detectors, which now say what was in the tenths of a second that have elapsed."""
        sensors = self.sensors
        sensors.read(elapsed / TENTHS)
        self._sensed = self._stepped
        calls = sensors.calls()
        pressed = sensors.pressed() if sensors.has_buttons else [0] * len(calls)
        discharged = [sensors.discharged(at) if waits else 0 for at, waits in enumerate(sensors.has_discharging)]
        views = [sensors.readings(at, *masks) for at, masks in enumerate(zip(calls, pressed, discharged, strict=True))]
        self._readings = [
            Readings(view.values.copy(), view.valid.copy(), view.vehicles, view.pedestrians, view.discharged) for view in views
        ]

    def close(self) -> None:
        """End the simulation. Ending it again does nothing.

        Raises:
            SimulationError: SUMO could not finish its records.
        """
        try:
            self.session.close()
        finally:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SumoStreet:
    """The street of one signal; `SumoStreets` makes it."""

    def __init__(self, streets: SumoStreets, at: int, signal: SumoSignal) -> None:
        self.signal, self.config = signal, signal.config
        self._streets, self._at = streets, at
        self._spell = Speller(signal)
        self._shown = ""
        self.first_stage = first_stage(signal, streets.now)
        """The stage that it shows at first: the one that the signal's own program has then."""

        tables = signal.config.tables
        states = phase_states(start(tables, self.first_stage, streets.now), tables)
        self.show({group.number: state for group, state in zip(tables.groups, states, strict=True)})

    @property
    def now(self) -> Tenths:
        """The street's time, in tenths of a second after midnight."""
        return self._streets.now

    def read(self) -> Readings:
        """Read all detectors as they are now; loops say what was since the step before in which any street was read."""
        return self._streets.readings(self._at)

    def show(self, indications: Mapping[int, PhaseState]) -> None:
        """Show each group's indication, by its number, from now on. Raises SimulationError where SUMO has ended."""
        letters = self._spell(indications)
        if letters != self._shown:
            session = self._streets.session
            with session.translating():
                session.api.trafficlight.setRedYellowGreenState(self.signal.id, letters)
            self._shown = letters

    def advance(self, until: Tenths) -> None:
        """Let time pass until an instant, on this street and all others of the network."""
        self._streets.advance(until)


class Speller:
    """Writes the indications of a signal's groups in SUMO's letters, as `envs.simulation.spell` does for the state of a machine."""

    def __init__(self, signal: SumoSignal) -> None:
        self._signal = signal
        self._numbers = tuple(group.number for group in signal.config.tables.groups)
        self._written: dict[tuple[int, Lamps], str] = {}

    def __call__(self, indications: Mapping[int, PhaseState]) -> str:
        """Write a letter for each link. A group without an indication is red."""
        greens = yellows = walks = ped_clears = protected = 0
        for at, number in enumerate(self._numbers):
            state = indications.get(number)
            if state is None:
                continue
            bit = 1 << at
            match state.interval:
                case Interval.FLASH | Interval.DARK:
                    return OFF * self._signal.link_count
                case Interval.GREEN:
                    greens |= bit
                    protected |= bit if state.protected else 0
                case Interval.YELLOW_CHANGE:
                    yellows |= bit
                case Interval.RED_CLEARANCE | Interval.RED:
                    pass
            if state.pedestrian is PedInterval.WALK:
                walks |= bit
            elif state.pedestrian is PedInterval.PED_CLEARANCE:
                ped_clears |= bit
        key = protected, Lamps(greens, yellows, walks, ped_clears)
        if key not in self._written:
            self._written[key] = spell(self._signal, *key)
        return self._written[key]


@dataclass(frozen=True, slots=True)
class Account:
    """What became of everybody on the streets of a network, and whether every display was legal, by SUMO's own records."""

    trips: TripSummary
    audit: Audit


def account(streets: SumoStreets, records: Path) -> Account:
    """Read the records of streets that have been closed.

    Raises:
        ConfigError: no vehicle was due, or a record is none of these streets'.
        SimulationError: SUMO did not finish a record.
    """
    states = records / "tlsstates.xml"
    check_output(states)
    trips = read_trips(records / "tripinfo.xml", end_s=streets.now / TENTHS)
    return Account(
        summarise(trips, read_statistics(records / "statistics.xml")),
        audit(
            streets.scenario.net_file,
            states,
            yellow_s=0.0,
            red_s=0.0,
            min_green_s=0.0,
            step_s=streets.scenario.step_length,
            requirements={signal.id: requirements(signal) for signal in streets.signals},
        ),
    )
