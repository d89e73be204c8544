"""`phasewise bench parity`: does a cabinet show, second by second, what the environment of training shows?

The same policy, seed and scenario run twice, each in a fresh process: in the simulation that policies are trained in, and through the
daemon's loop, a wire and a simulated cabinet in lockstep. SUMO's own record of the signal states is compared, and what the policy was
shown, the stages and the gate's verdicts at each decision.
"""

import asyncio
import json as json_
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from xml.etree import ElementTree as ET
from zlib import crc32

from rich.table import Table
from typer import Exit

from controller.journal import Decision
from controller.policy_source import InProcess
from envs.audit import signal_states_additional
from envs.scenario import find
from envs.simulation import Simulation
from envs.sumo_network import PRESETS
from envs.traffic import network_of
from intersection.config import IntersectionConfig
from intersection.errors import ConfigError, UserError
from intersection.observation import Observation, ObservationSpec, encode, kind
from intersection.phase import Tenths
from intersection.policy import Policy
from intersection.sensed import LOOPS
from intersection.shield import Proposal, Refused, Verdict
from intersection.state import NO_STAGE
from models.bundle import Bundle, load_for_simulation
from models.onnx_policy import OnnxPolicy
from phasewise import parallel, reliability
from phasewise.console import out
from phasewise.lockstep import MIDNIGHT, Lockstep, Protocol, Setup

SCENARIOS = ("resco:cologne1", "resco:ingolstadt1", "phasewise:eight_phase")
WIRES = (Protocol.NTCIP, Protocol.MODBUS)

SECONDS, QUICK = 3600, 300
"""How long a run lasts, and a quick one."""

CHANGES = 50
"""Fewer changes of stage in an hour prove nothing."""

PERIOD: Tenths = 10


class Restless:
    """A policy without sense, that repeats: what it sees decides by its checksum what it proposes.

    Three times in four it proposes nothing; else any stage, at whatever time, so that the gate has to amend; one time in sixteen of those a
    proposal that is out of date, so that the gate has to refuse.
    """

    period = PERIOD

    def __init__(self, config: IntersectionConfig) -> None:
        self._spec, self._stages = ObservationSpec(config, kind("loops")), len(config.stages)

    def propose(self, observation: Observation) -> Proposal:
        """See `Policy`."""
        lot = crc32(encode(self._spec, observation.state, observation.readings).tobytes())
        if lot % 4:
            return Proposal()
        if (lot >> 16) % 16 == 0:
            return Proposal(stage=lot % self._stages, not_after=observation.state.now - 1)
        return Proposal(stage=(lot >> 8) % self._stages)


class Seen(NamedTuple):
    """What stood at a decision."""

    observation: int
    """Checksum of what a policy over loops is shown."""

    stage: int
    target: int


class Watched:
    """A policy that is watched: notes what it was shown, by the instant."""

    def __init__(self, policy: Policy, config: IntersectionConfig) -> None:
        self.seen: dict[Tenths, Seen] = {}
        self._policy, self._spec = policy, ObservationSpec(config, kind("loops"))

    @property
    def period(self) -> Tenths:
        """See `Policy`."""
        return self._policy.period

    def propose(self, observation: Observation) -> Proposal:
        """See `Policy`."""
        state = observation.state
        shown = crc32(encode(self._spec, state, observation.readings).tobytes())
        self.seen[state.now] = Seen(shown, state.stage, state.target)
        return self._policy.propose(observation)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One run."""

    scenario: str
    side: Protocol | None
    """What the cabinet speaks; None: the environment."""

    seconds: int
    in_memory: bool
    preset: str
    seed: int
    bundle: Path | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """What came of a run."""

    shown: Mapping[float, str]
    """SUMO's record of the signal: its state in each second."""

    seen: Mapping[Tenths, Seen]
    verdicts: Mapping[Tenths, str]
    """What the gate said to the policy, and of which stage."""

    took: float
    """By the machine's clock, in seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A cabinet beside the environment."""

    scenario: str
    wire: str
    seconds: int
    stage_changes: int
    verdicts: Mapping[str, int]
    """By kind, of the environment's gate."""

    decisions: int
    differing_seconds: int
    """In which the signal showed something else, or only one of the two was recorded."""

    differing_stages: int
    """Decisions at which another stage ran."""

    differing_observations: int
    differing_verdicts: int
    first_difference: float | None
    """When the signal first showed something else, in seconds after midnight."""

    took: float

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.differing_seconds or self.differing_stages or self.differing_observations or self.differing_verdicts)

    @property
    def proves(self) -> bool:
        """Whether enough has happened: stage changes, and every kind of verdict."""
        return self.stage_changes >= CHANGES * self.seconds // SECONDS and {"granted", "amended", "refused"} <= self.verdicts.keys()


def bench_parity(
    scenarios: tuple[str, ...],
    *,
    seconds: int,
    quick: bool,
    policy: Path | None,
    preset: str,
    seed: int,
    report: Path,
    json: bool,
    workers: int,
) -> None:
    """Compare, print a table, and write the report's section.

    Raises:
        Exit: with 1 where anything differs, or too little happened to prove anything.
        ConfigError: a bundle does not fit, or a scenario is too short.
    """
    jobs = [
        Job(scenario=name, side=side, seconds=QUICK if quick else seconds, in_memory=quick, preset=preset, seed=seed, bundle=policy)
        for name in scenarios
        for side in (*WIRES, None)
    ]
    traces = dict(parallel.each(run, jobs, title="parity", workers=workers or None, quiet=json))
    found = []
    for at, job in enumerate(jobs):
        if job.side is not None:
            beside = next(index for index, other in enumerate(jobs) if other.side is None and other.scenario == job.scenario)
            found.append(compared(job, traces[at], traces[beside]))
    demanded = [each.same and (each.proves or quick or policy is not None) for each in found]
    if json:
        sys.stdout.write(json_.dumps({"parity": [_plain(each) for each in found], "holds": all(demanded)}) + "\n")
    else:
        _tell(found)
    if not quick:
        reliability.write_section(report, "parity", _section(found, policy, preset))
    if not all(demanded):
        raise Exit(1)


def run(job: Job) -> Trace:
    """Run one side; in a process that has run nothing else."""
    with TemporaryDirectory(prefix="phasewise-") as folder:
        records = Path(folder)
        return in_environment(job, records) if job.side is None else asyncio.run(at_cabinet(job, job.side, records))


def in_environment(job: Job, records: Path) -> Trace:
    """Run the simulation of training."""
    began = time.perf_counter()
    scenario = find(job.scenario)
    simulation = Simulation(scenario, network_of(scenario, PRESETS[job.preset]), sensors=LOOPS)
    signal = simulation.signals_of[0]
    policy = Watched(_policy(job, signal.config), signal.config)
    verdicts: dict[Tenths, str] = {}
    recorder = records / "record.add.xml"
    recorder.write_text(signal_states_additional([signal.id], records / "tlsstates.xml"))
    idle: list[Proposal | None] = [None] * len(simulation.signals_of)
    with simulation:
        simulation.reset(job.seed, additional_files=[recorder])
        end = _end(job, simulation.begun, simulation.end)
        simulation.advance(idle, simulation.now + PERIOD)  # a daemon looks at a cabinet before it decides
        while simulation.now < end:
            now = simulation.now
            proposal = policy.propose(Observation(simulation.signals[0].state, simulation.readings(0)))
            verdict = simulation.advance([proposal, *idle[1:]], now + PERIOD)[0]
            if verdict is not None:
                verdicts[now] = _words(verdict, signal.config)
    return Trace(
        shown=recorded(records / "tlsstates.xml", signal.id), seen=policy.seen, verdicts=verdicts, took=time.perf_counter() - began
    )


async def at_cabinet(job: Job, wire: Protocol, records: Path) -> Trace:
    """Run the daemon's loop against a cabinet."""
    began = time.perf_counter()
    watched: list[Watched] = []

    def policies(config: IntersectionConfig) -> InProcess:
        watched.append(Watched(_policy(job, config), config))
        return InProcess(watched[-1], len(config.stages))

    setup = Setup(
        scenario=job.scenario,
        protocol=wire,
        in_memory=job.in_memory,
        preset=job.preset,
        seed=job.seed,
        own_plan=False,
        backup=100,
        records=records,
    )
    stand = Lockstep(setup, policies)
    async with stand:
        first = stand.now
        await stand.run(_end(job, first, stand.streets.end))
    decided = [note for note in stand.notes if isinstance(note, Decision) and note.policy == "policy"]
    return Trace(
        shown=recorded(records / "tlsstates.xml", stand.street.signal.id),
        seen={at: seen for at, seen in watched[0].seen.items() if at > first},
        verdicts={note.at - round(MIDNIGHT * 10): f"{note.verdict} {note.reason}".strip() for note in decided},
        took=time.perf_counter() - began,
    )


def recorded(states: Path, signal: str) -> dict[float, str]:
    """Read SUMO's record of a signal: what it showed in each second."""
    return {
        float(element.attrib["time"]): element.attrib["state"]
        for _, element in ET.iterparse(states)
        if element.tag == "tlsState" and element.attrib["id"] == signal
    }


def compared(job: Job, ours: Trace, environment: Trace) -> Comparison:
    """Compare a cabinet's run with the environment's."""
    differing = sorted(at for at in ours.shown.keys() | environment.shown.keys() if ours.shown.get(at) != environment.shown.get(at))
    instants = ours.seen.keys() | environment.seen.keys()
    pairs = [(ours.seen.get(at), environment.seen.get(at)) for at in instants]
    reached = [seen.stage for _, seen in sorted(environment.seen.items()) if seen.target == NO_STAGE]
    judged = ours.verdicts.keys() | environment.verdicts.keys()
    return Comparison(
        scenario=job.scenario,
        wire="" if job.side is None else job.side.value,
        seconds=len(ours.shown.keys() | environment.shown.keys()),
        stage_changes=sum(one != other for one, other in pairwise(reached)),
        verdicts=Counter(words.split()[0] for words in environment.verdicts.values()),
        decisions=len(instants),
        differing_seconds=len(differing),
        differing_stages=sum(one is None or other is None or one[1:] != other[1:] for one, other in pairs),
        differing_observations=sum(one is None or other is None or one.observation != other.observation for one, other in pairs),
        differing_verdicts=sum(ours.verdicts.get(at) != environment.verdicts.get(at) for at in judged),
        first_difference=differing[0] if differing else None,
        took=ours.took,
    )


def _policy(job: Job, config: IntersectionConfig) -> Policy:
    if job.bundle is None:
        return Restless(config)
    found = load_for_simulation(job.bundle, config)
    if not isinstance(found, Bundle):
        raise UserError(f"{job.bundle}: {found.reason}")
    if found.manifest.action.period != PERIOD:
        raise ConfigError(
            "a cabinet decides every second", source=str(job.bundle), key="action.period", value=found.manifest.action.period, allowed="10"
        )
    return OnnxPolicy(config, found)


def _end(job: Job, first: Tenths, last: Tenths) -> Tenths:
    end = first + job.seconds * 10
    if end > last:
        raise ConfigError(f"{job.scenario} does not last as long", key="seconds", value=job.seconds, allowed=f"1..{(last - first) // 10}")
    return end


def _words(verdict: Verdict, config: IntersectionConfig) -> str:
    """Say what the gate said, as the loop's journal does."""
    kind_ = type(verdict).__name__.lower()
    stage = "" if isinstance(verdict, Refused) else config.stages[verdict.command.stage].name
    reason = getattr(verdict, "reason", None)
    return " ".join(word for word in (kind_, stage, "" if reason is None else reason.value) if word)


def _row(each: Comparison) -> list[str]:
    return [
        each.scenario,
        each.wire,
        f"{each.seconds:,}",
        str(each.stage_changes),
        *(str(each.verdicts.get(kind_, 0)) for kind_ in ("granted", "amended", "refused")),
        str(each.differing_seconds),
        str(each.differing_stages),
        str(each.differing_observations),
        str(each.differing_verdicts),
    ]


COLUMNS = (
    "scenario",
    "wire",
    "seconds",
    "stage changes",
    "granted",
    "amended",
    "refused",
    "differing seconds",
    "stages",
    "observations",
    "verdicts",
)


def _tell(found: list[Comparison]) -> None:
    table = Table(title="Cabinet against environment, in lockstep")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in COLUMNS[:2] else "right")
    for each in found:
        table.add_row(*_row(each))
    out.print(table)
    for each in found:
        if each.first_difference is not None:
            out.print(f"{each.scenario} over {each.wire}: the signal first showed something else at {each.first_difference:g} s")


def _section(found: list[Comparison], policy: Path | None, preset: str) -> str:
    whose = "a policy without sense that repeats" if policy is None else f"the bundle {policy.name}"
    return "\n".join(
        (
            "## Parity",
            "",
            f"`phasewise bench parity`: {whose}, once a second, over loops, with the times of preset `{preset}`; once in the",
            "environment of training, and once through the daemon's loop, the wire on loopback (SNMP v3 with authentication and privacy;",
            "Modbus TCP) and a simulated cabinet, each in a fresh process. Compared are SUMO's recorded signal states in each second, and",
            "at each decision the stage, the checksum of the observation, and the gate's verdict. Demanded: nothing differs, over at least",
            f"{CHANGES} changes of stage an hour.",
            "",
            reliability.circumstances(),
            "",
            reliability.table(COLUMNS, [_row(each) for each in found]),
        )
    )


def _plain(each: Comparison) -> dict[str, object]:
    names = Comparison.__dataclass_fields__
    return {name: dict(each.verdicts) if name == "verdicts" else getattr(each, name) for name in names} | {"same": each.same}
