"""`phasewise tune`: the best parameters of each baseline on validation seeds, with the same budget for each."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from statistics import median
from typing import Any

import numpy as np

from envs.evaluation import Run
from envs.seeds import Split
from intersection import plugins
from models import tuned
from phasewise import policies
from phasewise.console import out
from phasewise.evaluating import run_all, runs_of
from phasewise.files import write_atomically


def tune_policies(scenario: str, names: Sequence[str], *, seeds: int, budget: int, observation: str, preset: str, workers: int) -> None:
    """Try up to `budget` parameter sets of each policy on validation seeds and keep the best with the scores of all.

    A set's score is the median over the seeds of the mean delay of all due vehicles, in seconds. Where a grid holds more sets than the
    budget, the sets are drawn evenly from it, the same for every scenario.
    """
    chosen = names or [name for name in policies.names() if name not in policies.OUTSIDE and _grid(name)]
    first = Split.VALIDATION.value[0]
    wanted = list(range(first, first + seeds))
    runs: list[Run] = []
    labels: list[tuple[str, dict[str, float]]] = []
    for name in chosen:
        base = runs_of(scenario, [name], wanted, observation=observation, preset=preset, emissions=False)
        module = plugins.load("models", name, "policy")
        for parameters in sets(_grid(name), budget):
            runs += [replace(run, make=partial(module.make, **parameters)) for run in base]
            labels += [(name, parameters)] * len(base)
    results = run_all(runs, title=f"tuning {len(chosen)} policies on {scenario}", workers=workers)
    scores: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for at in range(0, len(results), seeds):
        name, parameters = labels[at]
        delays = [result.figures.delay_s for result in results[at : at + seeds]]
        scores[name].append({"parameters": parameters, "delay_s": [round(delay, 3) for delay in delays]})
    _keep(scenario, preset, scores, wanted, results[0].sumo_version)


def sets(grid: dict[str, tuple[float, ...]], budget: int) -> list[dict[str, float]]:
    """List the parameter sets of a grid, evenly thinned to a budget."""
    every = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    if len(every) <= budget:
        return every
    return [every[at] for at in np.linspace(0, len(every) - 1, budget).round().astype(int).tolist()]


def _grid(name: str) -> dict[str, tuple[float, ...]]:
    return dict(plugins.load("models", name, "policy").GRID)


def _keep(scenario: str, preset: str, scores: dict[str, list[dict[str, Any]]], seeds: list[int], version: str) -> None:
    path = tuned.FOLDER / f"{preset}.json"
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, tried in scores.items():
        best = min(tried, key=lambda entry: median(entry["delay_s"]))
        known.setdefault(scenario, {})[name] = {
            "best": best["parameters"],
            "median_delay_s": median(best["delay_s"]),
            "validation_seeds": seeds,
            "sumo_version": version,
            "tried": tried,
        }
        out.print(f"{name}: {median(best['delay_s']):.1f} s with {best['parameters']} ({len(tried)} sets tried)")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
