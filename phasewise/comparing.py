"""`phasewise compare`: several policies on the same seeds, a table, Parquet rows and a report."""

from collections.abc import Sequence
from pathlib import Path

from envs.files import writable_folder
from envs.results import EpisodeResult
from intersection.errors import ConfigError
from phasewise.console import out
from phasewise.evaluating import run_all, runs_of, test_seeds
from phasewise.parquet import write_rows
from phasewise.report import geography_of, write_picture, write_report
from phasewise.statistics import compare
from phasewise.table import terminal_table


def compare_policies(
    scenario: str,
    names: Sequence[str],
    *,
    seeds: str,
    observation: str,
    preset: str,
    out: Path,
    scale: float = 1.0,
    workers: int = 0,
) -> list[EpisodeResult]:
    """Run each policy on each seed, print the table, and write `results.parquet` and `report.html` into a folder.

    Raises:
        UserError: something that was asked for does not exist or fit.
    """
    wanted = [name.strip() for name in names if name.strip()]
    if not wanted or len(set(wanted)) != len(wanted):
        raise ConfigError("each policy once, and at least one", key="policies", value=",".join(names), allowed="names, comma-separated")
    runs = runs_of(scenario, wanted, test_seeds(seeds), observation=observation, preset=preset, scale=scale, series=True)
    writable_folder(out)
    results = run_all(runs, title=f"{len(wanted)} policies on {scenario}", workers=workers)
    show(results, out, title=f"Signal control compared: {scenario}")
    return results


def show(results: Sequence[EpisodeResult], folder: Path, *, title: str) -> None:
    """Print the comparison and write its files."""
    out.print(terminal_table(compare(results), width=out.width))
    write_rows(results, folder / "results.parquet")
    write_report(results, folder / "report.html", title=title, geography=geography_of(results))
    write_picture(results, folder / "picture.png")
    out.print(f"report: {folder / 'report.html'}   rows: {folder / 'results.parquet'}", soft_wrap=True)
