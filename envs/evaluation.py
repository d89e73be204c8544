"""Runs one policy on one scenario with one seed, and says what it cost every traveller and whether every display was legal."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict

import numpy as np

from envs._elements import elements
from envs.audit import Audit, LinkRequirement, audit, signal_states_additional
from envs.detector_faults import DetectorFaults
from envs.files import replacing, writable_folder
from envs.outside import Program, programs_xml
from envs.results import EpisodeResult, Movement, SeedResult, Series, StageTime
from envs.scenario import Scenario
from envs.simulation import TENTHS, Simulation, reason_of
from envs.sumo_network import Network, SumoSignal
from envs.sumo_session import Backend, SumoSession, check_output, sumo_version
from envs.trips import EMISSION_OPTIONS, Seconds, Trips, TripSummary, read_statistics, read_trips, summarise
from intersection.config import IntersectionConfig
from intersection.detection import DetectorKind
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import Policy

SAMPLE_S = 20.0
"""How far apart the samples of a series lie, in seconds."""

MOVEMENTS = 24
"""How many movements a result keeps, those with the most trips."""

SHOWN_VIOLATIONS = 20


@dataclass(frozen=True, kw_only=True)
class Run:
    """One episode to be evaluated."""

    scenario: Scenario
    network: Network
    seed: int
    policy: str
    """What the result calls it."""

    make: Callable[[IntersectionConfig], Policy] | None = None
    """Makes the policy of one signal; None where SUMO's own program runs."""

    program: Program = Program.AS_GIVEN
    """Which of SUMO's own programs runs where nobody controls."""

    sensors: tuple[DetectorKind, ...] = (DetectorKind.AREA, DetectorKind.DEPARTURE)
    preset: str = "resco"
    observation: str = "area"
    whole_lane: bool = False
    faults: DetectorFaults | None = None
    scale: float = 1.0
    backend: Backend = "libsumo"
    emissions: bool = True
    series: bool = False
    record: Path | None = None
    """A folder in which SUMO's own records are kept: trips, statistics and signal states."""


class _Records(TypedDict):
    """Where SUMO writes what an evaluation reads."""

    tripinfo: Path
    statistics: Path


@dataclass(slots=True)
class _Seen:
    """What the loop itself notes."""

    verdicts: Counter[str] = field(default_factory=Counter)
    stages: tuple[StageTime, ...] = ()
    options: tuple[str, ...] = ()


def evaluate(run: Run) -> EpisodeResult:
    """Run an episode and judge it by SUMO's own records.

    Raises:
        ConfigError: something that was asked for cannot be.
        UserError: nothing can be written into the folder for records.
        RuntimeFault: SUMO refused or died, or the disk is full.
    """
    if run.record is not None:
        writable_folder(run.record)
    with TemporaryDirectory(prefix="phasewise-") as temporary:
        folder = Path(temporary)
        started = time.perf_counter()
        seen = _simulate(run, folder)
        wall = time.perf_counter() - started
        for name in ("tlsstates.xml", *(("summary.xml",) if run.series else ())):
            check_output(folder / name)
        trips = read_trips(folder / "tripinfo.xml", end_s=run.scenario.end, route_files=run.scenario.route_files if run.series else ())
        summary = summarise(trips, read_statistics(folder / "statistics.xml"))
        judged = audit(
            run.scenario.net_file,
            folder / "tlsstates.xml",
            yellow_s=0.0,
            red_s=0.0,
            min_green_s=0.0,
            step_s=run.scenario.step_length,
            requirements={signal.id: requirements(signal) for signal in run.network.signals},
        )
        result = EpisodeResult(
            scenario=run.scenario.name,
            policy=run.policy,
            outside=run.make is None,
            preset=run.preset,
            observation=run.observation,
            scale=run.scale,
            sumo_version=sumo_version(),
            scenario_sha256=run.scenario.sha256,
            options=seen.options,
            figures=_figures(run, summary, judged, wall),
            series=_series(run, folder, trips, judged, seen) if run.series else None,
        )
        if run.record is not None:
            for name in ("tripinfo.xml", "statistics.xml", "tlsstates.xml"):
                kept = run.record / f"{run.policy.replace('/', '_')}-{run.seed}-{name}"
                with replacing(kept) as copy, (folder / name).open("rb") as original:
                    shutil.copyfileobj(original, copy)
        return result


def requirements(signal: SumoSignal) -> list[LinkRequirement]:
    """Say what the audit asks of each link of a signal, by the times of its phase."""
    asked = [LinkRequirement(yellow_s=0.0, red_s=0.0, min_green_s=0.0)] * signal.link_count
    for group, links in zip(signal.config.tables.groups, signal.links, strict=True):
        asked_of_group = LinkRequirement(
            yellow_s=(group.yellow if group.vehicle else group.pedestrian_time - group.walk) / TENTHS,
            red_s=group.red / TENTHS,
            min_green_s=(group.min_green if group.vehicle else group.walk) / TENTHS,
        )
        for link in links:
            asked[link] = asked_of_group
    return asked


def _simulate(run: Run, folder: Path) -> _Seen:
    """Run SUMO over the whole scenario, leaving its records in a folder."""
    recorder = folder / "record.add.xml"
    recorder.write_text(signal_states_additional([s.id for s in run.network.signals] + list(run.network.skipped), folder / "tlsstates.xml"))
    extra = (*(EMISSION_OPTIONS if run.emissions else ()),)
    if run.series:
        extra += ("--summary-output", str(folder / "summary.xml"), "--summary-output.period", str(SAMPLE_S))
    records = _Records(tripinfo=folder / "tripinfo.xml", statistics=folder / "statistics.xml")
    if run.make is None:
        own = folder / "programs.add.xml"
        own.write_text(programs_xml(run.scenario.net_file, run.program))
        with SumoSession.start(
            run.scenario,
            seed=run.seed,
            scale=run.scale,
            backend=run.backend,
            extra_args=extra,
            additional_files=(own, recorder),
            **records,
        ) as session:
            while session.now < run.scenario.end:
                session.step_to(min(session.now + 60.0, run.scenario.end))
            return _Seen(options=_repeatable(session.options, folder))
    with Simulation(
        run.scenario,
        run.network,
        sensors=run.sensors,
        whole_lane=run.whole_lane,
        faults=run.faults,
        backend=run.backend,
    ) as simulation:
        simulation.recording = {} if run.series else None
        simulation.reset(run.seed, scale=run.scale, extra_args=extra, additional_files=(recorder,), **records)
        verdicts = control(simulation, [run.make(signal.config) for signal in simulation.signals_of])
        session_options = simulation.session.options if simulation.session else ()
        return _Seen(
            verdicts=verdicts,
            stages=tuple(item for items in (simulation.recording or {}).values() for item in items),
            options=_repeatable(session_options, folder),
        )


def control(simulation: Simulation, policies: Sequence[Policy], *, until: Tenths | None = None, tick: Tenths | None = None) -> Counter[str]:
    """Let one policy a signal control a simulation; count the gate's verdicts.

    Each policy is asked at multiples of its own period since the episode's begin.

    Args:
        simulation: an episode that has begun.
        policies: one a signal.
        until: where to stop, in tenths of a second; at the episode's end by default.
        tick: how far apart the detectors are read, in tenths of a second; by default as often as a policy is asked.
    """
    end = simulation.end if until is None else until
    periods = [policy.period for policy in policies]
    tick = tick or min(periods, default=end - simulation.now)
    counts: Counter[str] = Counter()
    with simulation.translating():
        while simulation.now < end:
            since = simulation.now - simulation.begun
            proposals = [
                policy.propose(Observation(simulation.signals[at].state, simulation.readings(at))) if since % period == 0 else None
                for at, (policy, period) in enumerate(zip(policies, periods, strict=True))
            ]
            verdicts = simulation.advance(proposals, min(simulation.now + tick, end))
            counts.update(reason_of(verdict) for verdict in verdicts if verdict is not None)
    return counts


def _repeatable(options: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Leave out of SUMO's options those that only say where records went."""
    kept: list[str] = []
    for option in options:
        if str(folder) in option:
            kept.pop()
        else:
            kept.append(option)
    return tuple(kept)


def _figures(run: Run, summary: TripSummary, judged: Audit, wall: float) -> SeedResult:
    return SeedResult(
        seed=run.seed,
        delay_s=summary.delay_s,
        time_loss_s=summary.time_loss_s,
        due=summary.due,
        inserted=summary.inserted,
        finished=summary.finished,
        p95_wait_s=summary.p95_wait_s,
        max_wait_s=summary.max_wait_s,
        max_red_s=judged.longest_red_s,
        stops=summary.stops,
        co2_kg=summary.co2_kg if summary.co2_kg is not None else float("nan"),
        fuel_l=summary.fuel_l if summary.fuel_l is not None else float("nan"),
        teleports=summary.teleports or 0,
        collisions=summary.collisions or 0,
        emergency_brakings=summary.emergency_brakings or 0,
        gridlocked=summary.gridlocked,
        violations=len(judged.violations),
        wall_s=wall,
    )


def _series(run: Run, folder: Path, trips: Trips, judged: Audit, seen: _Seen) -> Series:
    begin = run.scenario.begin
    steps = [dict(element.attrib) for element in elements(folder / "summary.xml") if element.tag == "step"]
    times = [float(step["time"]) for step in steps]
    due = np.searchsorted(np.sort(trips.due_s), times, side="right")
    arrived = np.searchsorted(np.sort(trips.arrival_s[trips.finished]), times, side="right")
    return Series(
        time_s=tuple(instant - begin for instant in times),
        queue=tuple(float(step["halting"]) for step in steps),
        running=tuple(int(step["running"]) for step in steps),
        waiting_to_enter=tuple(int(step["waiting"]) for step in steps),
        due_cumulative=tuple(due.tolist()),
        arrived_cumulative=tuple(arrived.tolist()),
        co2_kg_cumulative=tuple(emitted_kg(trips, times).tolist()),
        stages=seen.stages,
        movements=_movements(trips),
        verdicts=dict(seen.verdicts),
        violations=tuple(
            f"{v.signal} at {v.time - begin:.0f} s, link {', '.join(map(str, v.links))}: {v.kind.value} ({v.seconds:.1f} s)"
            for v in judged.violations[:SHOWN_VIOLATIONS]
        ),
    )


def emitted_kg(trips: Trips, times: Sequence[float]) -> Seconds:
    """Add up the CO2 emitted by some instants, of finished trips and others: each is spread evenly over its time in the street.

    SUMO's record does not tell when within a trip; over many trips that evens out. Against SUMO's emissions by edge and 20 s, brought to
    the same total, the sums never lie more than 1.2 of 295 kg (cologne1) and 1.4 of 463 kg (cologne8) apart, and cost nothing.

    Args:
        trips: all trips of a run.
        times: instants, in simulated seconds. Shape (times,).

    Returns:
        Kilograms. Shape (times,); empty where emissions were not recorded.
    """
    recorded = trips.inserted & np.isfinite(trips.co2_mg)
    if not recorded.any():
        return np.empty(0)
    rate = trips.co2_mg[recorded] * 1e-6 / np.maximum(trips.duration_s[recorded], 1e-9)
    depart = trips.depart_s[recorded]
    # A sum of ramps: each begins at its departure and ends, as steep the other way, where the trip does.
    bends = np.concatenate([depart, depart + trips.duration_s[recorded]])
    slopes = np.concatenate([rate, -rate])
    order = np.argsort(bends, kind="stable")
    bends, slopes = bends[order], slopes[order]
    return np.array(
        [float(slopes[:before] @ (instant - bends[:before])) for instant in times for before in [np.searchsorted(bends, instant)]]
    )


def _movements(trips: Trips) -> tuple[Movement, ...]:
    delays: dict[tuple[str, str], list[float]] = {}
    for origin, destination, delay in zip(trips.origins, trips.destinations, trips.delay_s.tolist(), strict=True):
        delays.setdefault((origin, destination), []).append(delay)
    most = sorted(delays.items(), key=lambda item: (-len(item[1]), item[0]))[:MOVEMENTS]
    return tuple(
        Movement(origin=origin, destination=destination, trips=len(each), delay_s=sum(each) / len(each))
        for (origin, destination), each in most
    )
