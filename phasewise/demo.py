"""`phasewise demo`: the whole way on a real intersection, within ten minutes."""

import sys
from pathlib import Path

from envs.files import writable_folder
from phasewise.comparing import show
from phasewise.console import out
from phasewise.evaluating import run_all, runs_of, test_seeds
from phasewise.training import train_policy
from phasewise.watching import film_runs

SCENARIO = "resco:cologne1"
POLICIES = ("fixed_time", "actuated", "max_pressure")
BRIEF_MINUTES = 0.5
BRIEF_SEEDS = "101-102"
FILMED_S = 120.0


def run_demo(*, minutes: float, seeds: str, out: Path) -> None:
    """Train a policy on Cologne's morning peak, then run it, fixed time, actuated and max-pressure on the same test seeds.

    Without a terminal it takes a short, bounded form: half a minute of training and two seeds.
    """
    if not sys.stdout.isatty():
        minutes, seeds = min(minutes, BRIEF_MINUTES), BRIEF_SEEDS
    writable_folder(out)
    tell(f"1. A real intersection: {SCENARIO}, Cologne, 7 to 8 h. Training a policy for {minutes:g} minutes.")
    trained = train_policy(SCENARIO, algorithm="ppo", minutes=minutes, seed=1, out=out / "fresh.zip")
    names = (*POLICIES, str(trained), "program")
    wanted = test_seeds(seeds)
    tell(f"2. {', '.join(POLICIES)}, the fresh policy and SUMO's own program on {len(wanted)} test seeds that training never saw.")
    runs = runs_of(SCENARIO, names, wanted, observation="area", preset="resco", series=True)
    results = run_all(runs, title="evaluating")
    tell("3. What it cost all 2,015 vehicles, those that never got in included.")
    show(results, out, title="Cologne, one intersection, 7 to 8 h")
    tell(f"4. Half past seven, two minutes, eight times as fast: open {out / 'watch.gif'}.")
    film_runs([run for run in runs if run.seed == wanted[0] and run.make is not None], out / "watch.gif", start=1800.0, seconds=FILMED_S)


def tell(text: str) -> None:
    """Say what comes next."""
    out.print(text, style="bold")
