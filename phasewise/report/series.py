"""Series of several seeds brought to one time axis and summed up; movements pooled. Arrays in, arrays out."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from envs.results import EpisodeResult, Movement, Series

Array: TypeAlias = NDArray[np.float64]

POINTS = 180
"""How many instants a drawn series has at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """A figure over time and several seeds: the median and the span from the least to the greatest seed."""

    middle: Array
    low: Array
    high: Array


def recorded(results: Iterable[EpisodeResult]) -> dict[str, list[tuple[int, Series]]]:
    """Gather the series that were kept, by policy, each with its seed, in the seeds' order."""
    kept: defaultdict[str, list[tuple[int, Series]]] = defaultdict(list)
    for result in sorted(results, key=lambda one: one.figures.seed):
        if result.series is not None and len(result.series.time_s) > 1:
            kept[result.policy].append((result.figures.seed, result.series))
    return dict(kept)


def time_axis(series: Iterable[Series]) -> Array:
    """Choose bins, in seconds, that hold every series: a round width, at most `POINTS` bins. Returns their n + 1 edges."""
    ends = [one.time_s[-1] for one in series]
    end = max(ends, default=0.0)
    width = next((w for w in (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0) if end / w <= POINTS), max(end / POINTS, 1.0))
    return np.arange(0, end + width / 2, width)


def binned(time_s: Sequence[float], values: Sequence[float], edges: Array) -> Array:
    """Average a level over each bin, taking it to change linearly between samples. Shape (bins,)."""
    times, levels = np.asarray(time_s, float), np.asarray(values, float)
    area = np.concatenate(([0.0], np.cumsum(np.diff(times) * (levels[1:] + levels[:-1]) / 2)))
    # The integral of a linear piece is quadratic; the samples lie closer than the bins, so linear between them is near enough.
    return np.asarray(np.diff(np.interp(edges, times, area)) / np.diff(edges), float)


def sampled(time_s: Sequence[float], values: Sequence[float], edges: Array) -> Array:
    """Read a cumulative count at each edge. Shape (bins + 1,)."""
    return np.asarray(np.interp(edges, np.asarray(time_s, float), np.asarray(values, float)), float)


def spread(rows: Sequence[Array]) -> Spread:
    """Sum up the seeds of one policy, each a row."""
    stack = np.vstack(rows)
    return Spread(middle=np.median(stack, axis=0), low=stack.min(axis=0), high=stack.max(axis=0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """A movement over all seeds: its delay by policy."""

    name: str
    edges: str
    """Its first and last edge, which its name may not tell."""

    trips: float
    """A seed's mean under the reference."""

    delay_s: dict[str, float]


def ways(
    by_policy: Mapping[str, list[tuple[int, Series]]],
    reference: str,
    *,
    limit: int,
    names: Mapping[tuple[str, str], str] | None = None,
) -> list[Way]:
    """Pool movements over seeds, weighted by trips: those first that cost the reference most in all, the rest pooled as one row.

    Args:
        by_policy: each policy's series with their seeds.
        reference: the policy by whose cost they are ordered.
        limit: how many rows, the rest's among them.
        names: what to call a movement by its first and last edge; their own names by default.
    """
    pooled = {policy: _pool(movement for _, one in runs for movement in one.movements) for policy, runs in by_policy.items()}
    base = pooled.get(reference) or next(iter(pooled.values()), {})
    cost = {pair: trips * delay for pair, (trips, delay) in base.items()}
    order = sorted({pair for way in pooled.values() for pair in way}, key=lambda pair: (-cost.get(pair, 0.0), pair))
    runs = max(len(by_policy.get(reference, ())), 1)
    groups = [((names or {}).get(pair, " → ".join(pair)), " → ".join(pair), [pair]) for pair in order]
    if len(order) > limit:
        rest = f"the other {len(order) - limit + 1}"
        groups = [*groups[: limit - 1], (rest, rest, order[limit - 1 :])]
    listed = []
    for name, edges, pairs in groups:
        delays = {}
        for policy, way in pooled.items():
            parts = [way[pair] for pair in pairs if pair in way]
            trips = sum(trips for trips, _ in parts)
            if trips:
                delays[policy] = sum(trips * delay for trips, delay in parts) / trips
        listed.append(Way(name=name, edges=edges, trips=sum(base[pair][0] for pair in pairs if pair in base) / runs, delay_s=delays))
    return listed


def _pool(movements: Iterable[Movement]) -> dict[tuple[str, str], tuple[float, float]]:
    """Add up trips, and average delay over them, by first and last edge."""
    trips: defaultdict[tuple[str, str], float] = defaultdict(float)
    cost: defaultdict[tuple[str, str], float] = defaultdict(float)
    for one in movements:
        trips[one.origin, one.destination] += one.trips
        cost[one.origin, one.destination] += one.trips * one.delay_s
    return {pair: (n, cost[pair] / n) for pair, n in trips.items() if n}
