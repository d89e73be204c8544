"""`phasewise tune`: the best parameters of each baseline on validation seeds, with the same budget for each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np

from envs.evaluation import Run
from envs.files import write_atomically
from envs.seeds import Split
from envs.sumo_session import sumo_version
from intersection import plugins
from intersection.errors import UnknownNameError
from models import tuned
from phasewise import policies
from phasewise.console import out
from phasewise.evaluating import run_all, runs_of


def tune_policies(scenario: str, names: Sequence[str], *, seeds: int, budget: int, observation: str, preset: str, workers: int) -> None:
    """Try up to `budget` parameter sets of each policy on validation seeds and keep the best with the scores of all.

    Every set runs on the first seed, and the best quarter of them on the others too (successive halving, Jamieson and Talwalkar 2016, in
    one step). A set's score is the mean over its seeds of the mean delay of all due vehicles, in seconds: a gridlock counts in full.
    """
    tunable = [name for name in policies.names() if name not in policies.OUTSIDE and _grid(name)]
    for name in names:
        if name not in tunable:
            raise UnknownNameError("policy with parameters", name, tunable)
    chosen = names or tunable
    first = Split.VALIDATION.value[0]
    wanted = list(range(first, first + seeds))
    tried = {name: [Tried(parameters) for parameters in sets(_grid(name), budget)] for name in chosen}
    for stage, on in enumerate((wanted[:1], wanted[1:])):
        runs: list[Run] = []
        asked: list[Tried] = []
        for name in chosen:
            base = runs_of(scenario, [name], on, observation=observation, preset=preset, emissions=False) if on else []
            module = plugins.load("models", name, "policy")
            for each in tried[name] if stage == 0 else best_quarter(tried[name]):
                runs += [replace(run, make=partial(module.make, **each.parameters)) for run in base]
                asked += [each] * len(base)
        results = run_all(runs, title=f"tuning {len(chosen)} policies on {scenario}, round {stage + 1}", workers=workers) if runs else []
        for each, result in zip(asked, results, strict=True):
            each.delays.append(round(result.figures.delay_s, 3))
    _keep(scenario, preset, tried, wanted)


@dataclass(slots=True)
class Tried:
    """One parameter set, and the delays that it had, in seconds."""

    parameters: dict[str, float]
    delays: list[float] = field(default_factory=list)


def best_quarter(tried: Sequence[Tried]) -> list[Tried]:
    """Choose the quarter with the least mean delay, rounded up."""
    return sorted(tried, key=lambda each: fmean(each.delays))[: -(-len(tried) // 4)]


def sets(grid: Mapping[str, tuple[float, ...]], budget: int) -> list[dict[str, float]]:
    """List the parameter sets of a grid; where it holds more than the budget, as many drawn at random, always the same."""
    every = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    if len(every) <= budget:
        return every
    return [every[at] for at in sorted(np.random.default_rng(0).permutation(len(every))[:budget].tolist())]


def _grid(name: str) -> Mapping[str, tuple[float, ...]]:
    grid: Mapping[str, tuple[float, ...]] = plugins.load("models", name, "policy").GRID
    return grid


def _keep(scenario: str, preset: str, tried: dict[str, list[Tried]], seeds: list[int]) -> None:
    path = tuned.FOLDER / f"{preset}.json"
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, sets_tried in tried.items():
        finalists = [each for each in sets_tried if len(each.delays) == len(seeds)]
        best = min(finalists, key=lambda each: fmean(each.delays))
        known.setdefault(scenario, {})[name] = {
            "best": best.parameters,
            "mean_delay_s": round(fmean(best.delays), 3),
            "validation_seeds": seeds,
            "sumo_version": sumo_version(),
            "tried": [{"parameters": each.parameters, "delay_s": each.delays} for each in sets_tried],
        }
        out.print(f"{name}: {fmean(best.delays):.1f} s with {best.parameters} ({len(sets_tried)} sets tried)")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
