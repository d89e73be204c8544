"""`phasewise demo`: the whole way on a real intersection, within ten minutes."""

import sys
from pathlib import Path

from envs.files import writable_folder
from phasewise.comparing import show
from phasewise.console import out
from phasewise.evaluating import run_all, runs_of, test_seeds
from phasewise.live import run_live
from phasewise.live import tell as tell_live
from phasewise.training import train_policy
from phasewise.watching import film_runs

SCENARIO = "resco:cologne1"
POLICIES = ("fixed_time", "actuated", "max_pressure")
BRIEF_MINUTES = 0.5
BRIEF_SEEDS = "101-102"
LIVE_S, BREAK_S = 240.0, 120.0
BRIEF_LIVE_S, BRIEF_BREAK_S = 60.0, 15.0
FILMED_S = 120.0


def run_demo(*, minutes: float, seeds: str, out: Path, protocol: str = "ntcip", breaks: bool = True) -> None:
    """Train a policy on Cologne's morning peak, run it beside three rivals, and then control a cabinet over a wire.

    Without a terminal it takes a short, bounded form: half a minute of training, two seeds, and a minute at the cabinet.
    """
    live_s, break_s = LIVE_S, BREAK_S
    if not sys.stdout.isatty():
        minutes, seeds = min(minutes, BRIEF_MINUTES), BRIEF_SEEDS
        live_s, break_s = BRIEF_LIVE_S, BRIEF_BREAK_S
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
    tell(f"5. The same street with a cabinet that speaks {protocol}, in real time: the shipped policy controls it over the wire.")
    if breaks:
        tell(f"   After {break_s:.0f} s the policy is made to hang: watch the plan take over, and the policy come back.")
    summary = run_live(seconds=live_s, break_after=break_s if breaks else 0.0, folder=out / "cabinet", protocol=protocol)
    tell_live(summary)


def tell(text: str) -> None:
    """Say what comes next."""
    out.print(text, style="bold")
