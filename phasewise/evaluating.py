"""`phasewise evaluate`: one policy, some seeds."""

import json as json_
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from statistics import fmean

from envs.evaluation import Run
from envs.evaluation import evaluate as evaluate_run
from envs.results import EpisodeResult, SeedResult
from envs.scenario import check_routes, find
from envs.seeds import check_test_seed
from envs.sumo_network import PRESETS
from envs.traffic import network_of
from intersection.errors import ConfigError, UnknownNameError
from phasewise import parallel, policies
from phasewise.console import out
from phasewise.statistics import compare
from phasewise.table import terminal_table

PER_SEED = tuple(field.name for field in fields(SeedResult) if field.name != "wall_s")
"""The figures that `--json` gives of each seed: what the traffic says of the policy, and so nothing of the machine that it ran on."""


def evaluate_policy(
    scenario: str,
    policy: str,
    *,
    seeds: str,
    observation: str,
    preset: str,
    record: Path | None,
    json: bool,
    scale: float,
    workers: int,
) -> None:
    """Run one policy on some test seeds and print what it cost."""
    wanted = test_seeds(seeds)
    runs = runs_of(scenario, [policy], wanted, observation=observation, preset=preset, scale=scale, record=record)
    results = run_all(runs, title=f"{policy} on {scenario}", workers=workers, quiet=json)
    if json:
        print(json_.dumps(summary(results), allow_nan=False))  # noqa: T201  # a JSON line is for machines: no console may wrap or colour it
    else:
        out.print(terminal_table(compare(results), width=out.width))


def runs_of(
    scenario: str,
    names: Sequence[str],
    seeds: Sequence[int],
    *,
    observation: str,
    preset: str,
    scale: float = 1.0,
    record: Path | None = None,
    series: bool = False,
    emissions: bool = True,
) -> list[Run]:
    """Prepare one run for each policy and seed, seed by seed.

    Raises:
        UserError: the scenario, a policy, the preset or the observation does not exist or fit.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    if observation not in ("area", "loops", "lanes"):
        raise UnknownNameError("observation", observation, ("area", "loops", "lanes"))
    found = find(scenario)
    chosen = [policies.find(name.replace("+", ","), scenario=scenario, preset=preset, observation=observation) for name in names]
    check_routes(found)
    network = network_of(found, PRESETS[preset])
    return [
        Run(
            scenario=found,
            network=network,
            seed=seed,
            policy=choice.name,
            make=choice.make,
            program=choice.program,
            sensors=choice.sensors,
            preset=preset,
            observation=choice.observation,
            whole_lane=choice.whole_lane,
            scale=scale,
            emissions=emissions,
            series=series,
            record=record,
        )
        for seed in seeds
        for choice in chosen
    ]


def run_all(runs: Sequence[Run], *, title: str, workers: int = 0, quiet: bool = False) -> list[EpisodeResult]:
    """Evaluate runs side by side, each in a fresh process; results in the order of the runs."""
    results: list[EpisodeResult | None] = [None] * len(runs)
    for index, result in parallel.each(evaluate_run, runs, title=title, workers=workers or None, quiet=quiet):
        results[index] = result
    return [result for result in results if result is not None]


def summary(results: Sequence[EpisodeResult]) -> dict[str, object]:
    """Put the results of one policy into the object that `--json` prints; a figure that was not recorded is None."""
    first = results[0]
    return {
        "scenario": first.scenario,
        "policy": first.policy,
        "seeds": [result.figures.seed for result in results],
        "sumo_version": first.sumo_version,
        "scenario_sha256": first.scenario_sha256,
        "delay_s": _finite(fmean(result.figures.delay_s for result in results)),
        "per_seed": [{name: _finite(getattr(result.figures, name)) for name in PER_SEED} for result in results],
    }


def _finite(value: float) -> float | None:
    """Keep a number that JSON can bear: it knows neither NaN nor Infinity."""
    return value if math.isfinite(value) else None


def test_seeds(text: str) -> list[int]:
    """Read a list of seeds such as `101,102` or `101-110`.

    Raises:
        ConfigError: no number, an empty range, a seed twice, or one that is no test seed.
    """
    seeds: list[int] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ConfigError("seeds are numbers", key="seeds", value=part, allowed="for instance 101,102 or 101-110")
        seeds += range(int(first), int(last if dash else first) + 1)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError("each seed once, and at least one", key="seeds", value=text, allowed="for instance 101,102 or 101-110")
    return [check_test_seed(seed) for seed in seeds]
