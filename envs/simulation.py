"""All signals of a scenario in one simulation: proposals go through the gate, time passes from event to event, detectors are read.

This is the one loop that everything in `envs/` stands on: the Gymnasium, PettingZoo and vector environments and the evaluation.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from envs.detector_faults import DetectorFaults, Faulty
from envs.errors import SimulationError
from envs.results import StageTime
from envs.scenario import Scenario
from envs.sensing import Sensors, loops_xml
from envs.sumo_network import Network, Segment, SumoSignal
from envs.sumo_session import Backend, SumoSession
from intersection.detection import DetectorKind, Readings
from intersection.errors import ConfigError
from intersection.machine import Lamps, advance, lamps, next_change, place_calls, start
from intersection.phase import Tenths
from intersection.sensed import LOOPS
from intersection.shield import Amended, Granted, Proposal, Refused, Verdict, due, review, settled_until
from intersection.state import FOREVER, NO_STAGE, IntersectionState
from intersection.tables import Tables

TENTHS = 10
"""Tenths of a second in a second."""


@dataclass(slots=True)
class Signal:
    """One signal while it runs."""

    sumo: SumoSignal
    tables: Tables
    state: IntersectionState
    letters: dict[tuple[int, Lamps], str] = field(default_factory=dict)
    """The state strings that were shown before."""

    shown: str = ""
    event: Tenths = FOREVER


def with_detectors(network: Network, kinds: Sequence[DetectorKind]) -> tuple[SumoSignal, ...]:
    """Leave each signal only the detectors of some kinds, those of one kind together. Push buttons always stay."""
    wanted = (*kinds, *(kind for kind in (DetectorKind.PUSH_BUTTON,) if kind not in kinds))
    return tuple(
        replace(
            signal,
            config=replace(signal.config, detectors=tuple(d for kind in wanted for d in signal.config.detectors if d.kind is kind)),
        )
        for signal in network.signals
    )


def _on_whole_lanes(signal: SumoSignal, lengths: Mapping[str, float]) -> SumoSignal:
    """Let each area of a signal cover the lane that it begins on, and nothing else."""
    segments = dict(signal.segments)
    detectors = []
    for detector in signal.config.detectors:
        if detector.kind is DetectorKind.AREA:
            lane = segments[detector.id][0].lane
            segments[detector.id] = (Segment(lane, 0.0, lengths[lane]),)
            detectors.append(replace(detector, length=lengths[lane], capacity=0.0))
        else:
            detectors.append(detector)
    return replace(signal, config=replace(signal.config, detectors=tuple(detectors)), segments=segments)


class Simulation:
    """One episode after another of one scenario, in one SUMO session."""

    def __init__(
        self,
        scenario: Scenario,
        network: Network,
        *,
        sensors: Sequence[DetectorKind],
        whole_lane: bool = False,
        faults: DetectorFaults | None = None,
        backend: Backend = "libsumo",
        gui: bool = False,
    ) -> None:
        """Prepare a scenario; `reset` starts it.

        Args:
            scenario: what to simulate.
            network: its signals.
            sensors: the kinds of detectors that are read.
            whole_lane: let areas cover just their controlled lane, to its end.
            faults: how detectors fail; None: never.
            backend: "libsumo" or "traci".
            gui: show sumo-gui.

        Raises:
            ConfigError: a time of a signal is no multiple of SUMO's step.
        """
        self.scenario, self.network = scenario, network
        self.signals_of = with_detectors(network, sensors)
        if whole_lane:
            self.signals_of = tuple(_on_whole_lanes(signal, network.lane_lengths) for signal in self.signals_of)
        self.sensors = Sensors(self.signals_of, network.lane_lengths)
        self.faults = faults
        self.backend: Backend = backend
        self.gui = gui
        self.session: SumoSession | None = None
        self.signals: list[Signal] = []
        self.now: Tenths = 0
        self.begun: Tenths = 0
        self.recording: dict[str, list[StageTime]] | None = None
        self._step = round(scenario.step_length * TENTHS)
        self._discharging = self.sensors.has_discharging
        self._loops = any(kind in LOOPS for kind in sensors)
        self._folder: TemporaryDirectory[str] | None = None
        for signal in self.signals_of:
            check_steps(signal, self._step)

    @property
    def end(self) -> Tenths:
        """When the episode ends, in tenths of a second."""
        return round(self.scenario.end * TENTHS)

    def reset(
        self,
        seed: int,
        *,
        scale: float = 1.0,
        begin: float | None = None,
        extra_args: Sequence[str] = (),
        additional_files: Sequence[Path] = (),
        tripinfo: Path | None = None,
        statistics: Path | None = None,
    ) -> None:
        """Start an episode: SUMO from the scenario's begin, every signal in the stage that its program has then.

        Args:
            seed: SUMO's seed, and that of the detector faults.
            scale: factor on the demand.
            begin: simulated begin, in seconds; the scenario's by default.
            extra_args: further options of SUMO.
            additional_files: further additional files.
            tripinfo: where SUMO writes what happened to each trip.
            statistics: where SUMO writes its statistics.
        """
        own = [*additional_files]
        if self._loops:
            self._folder = self._folder or TemporaryDirectory(prefix="phasewise-")
            loops = Path(self._folder.name) / "loops.add.xml"
            loops.write_text(loops_xml(self.signals_of))
            own.append(loops)
        changes: dict[str, Any] = {
            "scale": scale,
            "begin": begin,
            "additional_files": tuple(own),
            "tripinfo": tripinfo,
            "statistics": statistics,
            "extra_args": tuple(extra_args),
        }
        if self.session is None:
            self.session = SumoSession.start(self.scenario, seed=seed, backend=self.backend, gui=self.gui, **changes)
        else:
            self.session.load(seed=seed, **changes)
        with self.session.translating():
            self._begin(self.session, seed)

    def _begin(self, session: SumoSession, seed: int) -> None:
        """Take hold of a simulation that has just started."""
        self._show_letters = session.api.trafficlight.setRedYellowGreenState
        self.sensors.bind(session)
        self.faulty = Faulty(self.faults, self.sensors, seed) if self.faults else None
        self.now = self.begun = round(session.now * TENTHS)
        self.signals = []
        for signal in self.signals_of:
            tables = signal.config.tables
            self.signals.append(Signal(signal, tables, start(tables, first_stage(signal, self.now), self.now)))
        if self.recording is not None:
            self.recording = {signal.id: [] for signal in self.signals_of}
        self._show_all()
        self.read(0)

    def translating(self) -> AbstractContextManager[None]:
        """Let whatever SUMO raises in the block be a SimulationError. Raises SimulationError where no episode has begun."""
        if self.session is None:
            raise SimulationError("no episode has begun, or the simulation was closed; reset it first")
        return self.session.translating()

    def advance(self, proposals: Sequence[Proposal | None], until: Tenths) -> list[Verdict | None]:
        """Put proposals to the gate and let time pass, then read the detectors.

        Args:
            proposals: one for each signal; None where nobody proposes.
            until: the instant to reach, in tenths of a second, a multiple of SUMO's step.

        Returns:
            The gate's verdict on each proposal.
        """
        now = self.now
        verdicts: list[Verdict | None] = []
        busy: list[Signal] = []
        for signal, proposal in zip(self.signals, proposals, strict=True):
            state, tables = signal.state, signal.tables
            verdict = None if proposal is None else review(proposal, state, tables)
            verdicts.append(verdict)
            if verdict is not None and not isinstance(verdict, Refused):
                command = verdict.command
                if command.stage != state.stage or command.pattern != state.pattern:
                    signal.state = state = advance(state, command, now, tables)
                    self._show(signal)
            if state.target == NO_STAGE and not tables.pedestrians and settled_until(state, tables) > until:
                continue
            event = self._next_event(signal, until)
            if event <= until:
                signal.event = event
                busy.append(signal)
        while busy:
            event = min([signal.event for signal in busy])
            self._step_to(event)
            waiting = []
            for signal in busy:
                if signal.event == event:
                    signal.state = advance(signal.state, None, event, signal.tables)
                    self._show(signal)
                    signal.event = self._next_event(signal, until)
                if signal.event <= until:
                    waiting.append(signal)
            busy = waiting
        self._step_to(until)
        for signal in self.signals:
            signal.state = IntersectionState(until, *signal.state[1:])
        self.read(until - now)
        return verdicts

    def read(self, elapsed: Tenths) -> None:
        """Read the detectors and place their calls."""
        sensors = self.sensors
        sensors.read(elapsed / TENTHS)
        if self.faulty is not None:
            self.faulty.apply(self.now)
        calls = sensors.calls(faulty=self.faulty is not None)
        pressed = sensors.pressed() if sensors.has_buttons else None
        self.vehicle_calls, self.ped_calls = calls, pressed
        for at, signal in enumerate(self.signals):
            discharged = sensors.discharged(at) if self._discharging[at] else 0
            signal.state = place_calls(signal.state, signal.tables, calls[at], pressed[at] if pressed else 0, discharged)
            if signal.tables.pedestrians:  # a walk that is called in a green begins now
                self._show(signal)

    def readings(self, signal: int) -> Readings:
        """Give what the detectors of a signal said last; a view that the next reading changes."""
        return self.sensors.readings(signal, self.vehicle_calls[signal], self.ped_calls[signal] if self.ped_calls else 0)

    def close(self) -> None:
        """End the simulation. Ending it again does nothing, and `reset` starts anew."""
        session, self.session = self.session, None
        folder, self._folder = self._folder, None
        try:
            if session is not None:
                session.close()
        finally:
            if folder is not None:
                folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _step_to(self, instant: Tenths) -> None:
        if instant > self.now:
            if self.session is None:
                raise SimulationError("the simulation has ended")
            self.session.step_to(instant / TENTHS)
            self.now = instant

    def _next_event(self, signal: Signal, until: Tenths) -> Tenths:
        """Find when a signal next changes by itself; what lies beyond `until` may be told as any later instant."""
        state, tables = signal.state, signal.tables
        if state.target != NO_STAGE:
            return next_change(state, tables)
        event = next_change(state, tables) if tables.pedestrians else FOREVER
        if settled_until(state, tables) <= until:
            event = min(event, max(due(state, tables), state.now))
        return event

    def _show(self, signal: Signal) -> None:
        key = signal.state.stage, lamps(signal.state, signal.tables)
        letters = signal.letters.get(key)
        if letters is None:
            letters = signal.letters[key] = spell(signal.sumo, signal.tables.protected[signal.state.stage], key[1])
        if letters != signal.shown:
            signal.shown = letters
            self._show_letters(signal.sumo.id, letters)
        if self.recording is not None:
            self._record(signal)

    def _show_all(self) -> None:
        for signal in self.signals:
            self._show(signal)

    def _record(self, signal: Signal) -> None:
        if self.recording is None:
            return
        begin = round(self.scenario.begin * TENTHS)
        now = (self.now - begin) / TENTHS
        stage = signal.state.stage if signal.state.target == NO_STAGE else -1
        past = self.recording[signal.sumo.id]
        if past and past[-1].stage == stage:
            return
        if past:
            past[-1] = replace(past[-1], end_s=now)
        past.append(StageTime(signal=signal.sumo.id, start_s=now, end_s=self.scenario.duration, stage=stage))


def first_stage(signal: SumoSignal, now: Tenths) -> int:
    """Find the stage that a signal's own program has at an instant; its first stage where it has none."""
    if not signal.config.patterns:
        return 0
    pattern = signal.config.patterns[0]
    name = pattern.sequence[pattern.stage_at(pattern.position(now))]
    return next(at for at, stage in enumerate(signal.config.stages) if stage.name == name)


def spell(signal: SumoSignal, protected: int, shown: Lamps) -> str:
    """Write what the lamps of a signal show in SUMO's letters, one a link.

    A pedestrian clearance is a `y` on its crossing: SUMO 1.28 lets nobody begin to cross on it (measured), and who crosses goes on.

    Args:
        signal: the signal.
        protected: the groups whose green yields to nobody, as a mask.
        shown: the groups that show each indication.
    """
    tables = signal.config.tables
    letters = ["s" if link in signal.stop_links else "r" for link in range(signal.link_count)]
    for link, letter in signal.fixed.items():
        letters[link] = letter
    for group, links in enumerate(signal.links):
        bit = 1 << group
        if not tables.groups[group].vehicle:
            letter = "G" if shown.walks & bit else "y" if shown.ped_clears & bit else ""
        elif shown.greens & bit:
            letter = "G" if protected & bit else "g"
        else:
            letter = "y" if shown.yellows & bit else ""
        if letter:
            for link in links:
                letters[link] = letter
    return "".join(letters)


def reason_of(verdict: Verdict) -> str:
    """Name a verdict for a count: "granted", or the kind and the reason."""
    match verdict:
        case Granted():
            return "granted"
        case Amended(reason=reason):
            return f"amended: {reason.value}"
        case Refused(reason=reason):
            return f"refused: {reason.value}"


def check_steps(signal: SumoSignal, step: Tenths) -> None:
    """Check that every time of a signal is a multiple of SUMO's step, in tenths of a second. Raises ConfigError."""
    for group in signal.config.tables.groups:
        times = (group.min_green, group.max_green, group.yellow, group.red, group.walk, group.pedestrian_time, group.max_wait)
        for time in times:
            if time % step:
                raise ConfigError(
                    f"signal {signal.id!r}, phase {group.number}: SUMO switches at whole steps",
                    key="time",
                    value=time,
                    allowed=f"multiples of {step} tenths of a second",
                )
