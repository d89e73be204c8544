"""`phasewise train`: wires an environment, a trainer and a judge together."""

from pathlib import Path
from statistics import fmean

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from envs.files import writable_folder, writing
from envs.scenario import find
from envs.seeds import Split
from envs.traffic import Demand, Options
from intersection.errors import ConfigError, UnknownNameError
from phasewise.console import err, out
from phasewise.evaluating import run_all, runs_of

VALIDATION_SEEDS = 2


def train_policy(
    scenario: str,
    *,
    algorithm: str,
    minutes: float,
    seed: int,
    out: Path | None,
    observation: str = "area",
    reward: str = "delay",
    preset: str = "resco",
    period: float = 5.0,
    workers: int = 0,
) -> Path:
    """Train a policy for all signals of a scenario and write its best checkpoint.

    Episodes are drawn from the training seeds, with demand scaled by 0.8 to 1.2 and every departure late by up to 10 s; checkpoints are
    judged on validation seeds. Neither ever sees a test seed.

    Returns:
        The file.

    Raises:
        UserError: something that was asked for does not exist or fit.
    """
    from envs.vector_env import make_vector_env
    from models.training.sb3 import ALGORITHMS, Progress, train
    from models.training.trained import Description

    if algorithm not in ALGORITHMS:
        raise UnknownNameError("algorithm", algorithm, ALGORITHMS)
    path = (out or Path(f"{find(scenario).name.rpartition(':')[2]}-{algorithm}.zip")).resolve()
    writable_folder(path.parent)
    options = Options(
        scenario=scenario,
        observation=observation,
        reward=_weights(reward),
        preset=preset,
        period=period,
        demand=Demand(scale=(0.8, 1.2), jitter=10.0),
    )
    first = Split.VALIDATION.value[0]
    seeds = range(first, first + VALIDATION_SEEDS)

    def validate(file: Path) -> float:
        runs = runs_of(scenario, [str(file)], seeds, observation=observation, preset=preset, emissions=False)
        return fmean(result.figures.delay_s for result in run_all(runs, title="", quiet=True))

    env = make_vector_env(options, workers or None, seed)
    bar = Bar(TextColumn("training"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}"), console=err, transient=True)
    described = Description(
        algorithm=algorithm,
        observation=observation,
        preset=preset,
        scenario=scenario,
        period=round(options.period * 10),
        layout=env.layout,
        seed=seed,
        steps=0,
        validation_delay_s=float("nan"),
    )
    try:
        with bar, writing(path):
            task = bar.add_task("", total=minutes * 60.0)

            def tell(progress: Progress) -> None:
                judged = f", validation {progress.delay_s:.1f} s, best {progress.best_delay_s:.1f} s" if progress.best_delay_s else ""
                bar.update(task, completed=min(progress.elapsed_s, minutes * 60.0), description=f"{progress.steps:,} decisions{judged}")

            best = train(env, algorithm=algorithm, minutes=minutes, described=described, out=path, validate=validate, tell=tell)
    finally:
        env.close()
    say(path, best.steps, best.validation_delay_s)
    return path


def say(path: Path, steps: int, delay_s: float) -> None:
    """Tell what was trained."""
    out.print(f"{path.name}: best after {steps:,} decisions, {delay_s:.1f} s of delay on validation seeds; {path}", soft_wrap=True)


def _weights(text: str) -> str | dict[str, float]:
    """Read `delay`, or `delay=1,stops=0.5`."""
    if "=" not in text:
        return text
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError as cause:
            raise ConfigError("a weight is a number", key="reward", value=part, allowed="reward=number, ...") from cause
    return weights
