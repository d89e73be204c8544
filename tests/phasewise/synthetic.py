"""Makes results as an evaluation would leave them, by formula and seeded chance, so that a report can be seen without SUMO."""

import math
import random
from collections.abc import Sequence

from envs.results import EpisodeResult, Movement, SeedResult, Series, StageTime

END_S = 3600


def figures(seed: int = 101, delay_s: float = 20.0, **changes: object) -> SeedResult:
    """Make one seed's figures, all plausible for a delay."""
    values: dict[str, object] = {
        "seed": seed,
        "delay_s": delay_s,
        "time_loss_s": 0.95 * delay_s,
        "due": 2015,
        "inserted": 2015,
        "finished": 1990,
        "p95_wait_s": 2.1 * delay_s,
        "max_wait_s": 5.0 * delay_s,
        "max_red_s": 60.0 + delay_s,
        "stops": 0.4 + delay_s / 60,
        "co2_kg": 180.0 + 2.2 * delay_s,
        "fuel_l": 78.0 + 0.95 * delay_s,
        "teleports": 0,
        "collisions": 0,
        "emergency_brakings": 0,
        "gridlocked": False,
        "violations": 0,
        "wall_s": 4.2,
    }
    return SeedResult(**(values | changes))  # type: ignore[arg-type]  # the values are of the fields' types; a dict cannot say so


def episode(policy: str = "fixed_time", seed: int = 101, delay_s: float = 20.0, **changes: object) -> EpisodeResult:
    """Make one episode without series; `changes` go to the episode or, failing that, to its figures."""
    own = {name: value for name, value in changes.items() if name in EpisodeResult.__dataclass_fields__}
    rest = {name: value for name, value in changes.items() if name not in own}
    values: dict[str, object] = {
        "scenario": "resco:cologne1",
        "policy": policy,
        "sumo_version": "1.28.0",
        "scenario_sha256": "5f0c" * 16,
        "options": ("--time-to-teleport", "-1", "--seed", str(seed)),
        "figures": figures(seed, delay_s, **rest),
    }
    return EpisodeResult(**(values | own))  # type: ignore[arg-type]  # as above


def episodes(delays: dict[str, Sequence[float]], **changes: object) -> list[EpisodeResult]:
    """Make episodes without series: every policy's delays, with seeds 101, 102, ..."""
    return [
        episode(policy, seed, delay_s, **changes) for policy, values in delays.items() for seed, delay_s in enumerate(values, start=101)
    ]


def series(seed: int, delay_s: float, *, signals: int = 1, movements: int = 9, outside: bool = False, end_s: int = END_S) -> Series:
    """Make an episode's series: a peak in the middle, cycles of the signals, and what they cost."""
    chance = random.Random(f"{seed}-{delay_s}-{outside}")
    times = tuple(float(second) for second in range(0, end_s + 1, 10))
    flow = [0.35 + 0.45 * math.exp(-(((second - 0.5 * end_s) / (0.22 * end_s)) ** 2)) for second in times]
    due, arrived, co2, queue = [0.0], [0.0], [0.0], [0.0]
    for step, rate in enumerate(flow[1:], start=1):
        due.append(due[-1] + 10 * rate)
        travel_s = 45 + delay_s * rate / 0.6
        back = max(0, step - round(travel_s / 10))
        arrived.append(max(arrived[-1], due[back] - chance.random()))
        wave = 1 + 0.45 * math.sin(2 * math.pi * times[step] / 70 + seed)
        queue.append(max(0.0, rate * delay_s * wave + chance.gauss(0, 1.2)))
        co2.append(co2[-1] + 0.3 + 0.02 * queue[-1] + 0.5 * rate)
    edges = [("north", "south"), ("south", "north"), ("west", "east"), ("east", "west"), ("north", "east"), ("south", "west")]
    ways = [(f"{a}{n // 6 or ''}", f"{b}{n // 6 or ''}") for n in range(movements) for a, b in [edges[n % 6]]]
    reasons = {
        "granted": 640,
        "amended: minimum green still running": 48,
        "amended: maximum green reached": 12,
        "refused: phases conflict": 2,
    }
    return Series(
        time_s=times,
        queue=tuple(queue),
        running=tuple(round(a - b) for a, b in zip(due, arrived, strict=True)),
        waiting_to_enter=tuple(0 for _ in times),
        due_cumulative=tuple(map(round, due)),
        arrived_cumulative=tuple(map(round, arrived)),
        co2_kg_cumulative=tuple(co2),
        stages=tuple(_stages(chance, signals, delay_s, end_s)),
        movements=tuple(
            Movement(origin=a, destination=b, trips=400 // (n + 1) + 3, delay_s=delay_s * chance.uniform(0.5, 1.8))
            for n, (a, b) in enumerate(ways)
        ),
        verdicts={} if outside else {words: max(1, round(n * chance.uniform(0.7, 1.3))) for words, n in reasons.items()},
        violations=("t = 1260.0 s, signal GS_cluster_1: link 4 went from green to red without yellow",) if outside else (),
    )


def _stages(chance: random.Random, signals: int, delay_s: float, end_s: int) -> list[StageTime]:
    """Time the stages of some signals: greens by chance, 4 s transitions."""
    times = []
    for signal in range(signals):
        start, stage, count = 0.0, 0, 3 + signal % 3
        while start < end_s:
            green = chance.uniform(8, 12 + delay_s)
            times.append(StageTime(signal=f"GS_cluster_{signal + 1}", start_s=start, end_s=start + green, stage=stage))
            times.append(StageTime(signal=f"GS_cluster_{signal + 1}", start_s=start + green, end_s=start + green + 4, stage=-1))
            start, stage = start + green + 4, (stage + chance.choice([1, 1, 1, 2])) % count
    return times
