"""`phasewise bench faults`: runs the matrix of faults, cell by cell, and writes what came of it into docs/reliability.md.

A cell is a fault over one protocol, in a fresh process. Each that has run leaves one line of JSON in a file of the results' folder, so that
a run that was broken off goes on where it was.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from envs.files import writable_folder
from intersection.errors import ConfigError, UnknownNameError
from phasewise import parallel
from phasewise.console import err, out
from phasewise.faults.matrix import MATRIX, QUICK, Speaks
from phasewise.faults.trial import BACKUP, LADDER, Cell, run_cell, seed_of
from phasewise.reliability import circumstances, table, write_section

RESULTS = "cells.jsonl"

SEEDS = 1_000
"""Where the cells' seeds begin: test seeds, which nothing was tuned on."""

WORKERS = 2

_METHOD = f"""A cell begins sound, comes to the fault at a seeded instant or in a certain interval of the signal, and goes on until it is
back, or a person has re-enabled. So that this can be seen, {LADDER.clean_time / 10:g} s take the place of the field's five
clean minutes before each step up, and {LADDER.rejoin_time / 10:g} s of its ten after a preemption and the like. Backup and
watchdog time: {BACKUP / 10:g} s. In lockstep with SUMO; messages pass in memory, those of the link's faults over loopback
through the proxy. Loss over TCP is delay: each loss holds everything for 0.2 s. The policy's and the daemon's faults are
staged in the trial's own process. What a cabinet's protocol cannot tell or do has no cell."""

_COLUMNS = """Times are in seconds after the fault's begin: *down*, the mode left ADAPTIVE; *plan*, our fixed-time plan was in force (after
a fault of the policy at once, else on the way back up); *zero*, no request of ours stood; *service*, a conflicting movement
was green; *in step*, what took over was in step with the clock. *back* is after the fault's end. *cut* counts greens and
yellows that the cabinet itself cut by flash or darkness: these are no illegal displays. *wait* is the longest that a call
was not served."""

Outcomes = Mapping[str, Any]


def bench_faults(*, only: str, protocols: str, folder: Path, report: Path | None, quick: bool, again: bool, workers: int = WORKERS) -> None:
    """Run the cells that have no result yet, print what was missed, and write the section.

    Args:
        only: a pattern of names, for instance `policy:*`; all by default.
        protocols: names, separated by commas.
        folder: gets one line of JSON for each cell.
        report: the file whose section is written; None for none.
        quick: a dozen cells, in memory.
        again: forget the results of the cells that are asked for.
        workers: how many cells run at a time.

    Raises:
        UnknownNameError: there is no such protocol.
        ConfigError: no row of the matrix has such a name.
        typer.Exit: with 1, where a demand was missed.
    """
    cells = chosen(only=only, protocols=protocols, quick=quick)
    writable_folder(folder)
    path = folder / RESULTS
    known = read(path)
    waiting = [cell for cell in cells if again or key_of(cell) not in known]
    for _, found in parallel.each(run_cell, waiting, title="faults", workers=workers):
        known[f"{found['name']} {found['protocol']}"] = found
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        if found["missed"]:
            err.print(f"{found['name']}, {found['protocol']}: {'; '.join(found['missed'])}", soft_wrap=True)
    results = [known[key_of(cell)] for cell in cells]
    if report is not None:
        ran = [known[key_of(cell)] for cell in chosen(only="", protocols="", quick=False) if key_of(cell) in known]
        write_section(report, "faults", section(ran, len(chosen(only="", protocols="", quick=False))))
    _show(results)
    if any(result["missed"] for result in results):
        raise typer.Exit(1)


def chosen(*, only: str, protocols: str, quick: bool) -> list[Cell]:
    """List the cells that are asked for, in the order of the matrix. See `bench_faults`."""
    names = [name.strip() for name in protocols.split(",") if name.strip()]
    for name in names:
        if name not in (each.value for each in Speaks):
            raise UnknownNameError("protocol", name, [each.value for each in Speaks])
    rows = [row for row in MATRIX if (row.name in QUICK or not quick) and (not only or only == row.kind.value or fnmatch(row.name, only))]
    if not rows:
        raise ConfigError("no fault has such a name", key="--only", value=only, allowed=", ".join(row.name for row in MATRIX[:5]) + ", ...")
    return [
        Cell(row.name, speaks, seed_of(row.name, speaks, SEEDS), in_memory=quick)
        for row in rows
        for speaks in row.speaks
        if not names or speaks.value in names
    ]


def key_of(cell: Cell) -> str:
    """Name a cell in the results."""
    return f"{cell.name} {cell.speaks.value}"


def read(path: Path) -> dict[str, Outcomes]:
    """Read the results that there are; of several of one cell the last, and a torn last line is none."""
    found: dict[str, Outcomes] = {}
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            try:
                result = json.loads(line)
                found[f"{result['name']} {result['protocol']}"] = result
            except (ValueError, KeyError, TypeError):
                continue
    return found


def section(results: Sequence[Outcomes], cells: int) -> str:
    """Write the section: the demands, what was missed, and every cell."""
    missed = [result for result in results if result["missed"]]
    rows = len({result["name"] for result in results})
    kinds = Counter(result["kind"] for result in results)
    return "\n\n".join(
        [
            "## Faults",
            f"By `phasewise bench faults`. {circumstances()} {rows} faults in {len(results)} of {cells} cells ("
            + ", ".join(f"{kind} {count}" for kind, count in kinds.items())
            + f"); {len(results) - len(missed)} cells missed nothing, {len(missed)} missed a demand. Illegal displays: "
            f"{sum(result['illegal'] for result in results)}. Called movements never served: "
            f"{sum(result['never_served'] for result in results)}. Vehicles due: {sum(result['due'] for result in results)}, "
            f"finished, running and waiting: {sum(result[name] for result in results for name in ('finished', 'running', 'waiting'))}.",
            _METHOD,
            _COLUMNS,
            "### What was missed",
            "\n".join(f"- {each['name']}, {each['protocol']}: {'; '.join(each['missed'])}" for each in missed) or "Nothing.",
            "### Every cell",
            table(
                (
                    "fault",
                    "protocol",
                    "down",
                    "plan",
                    "zero",
                    "service",
                    "in step",
                    "back",
                    "afterwards",
                    "wait",
                    "cut",
                    "illegal",
                    "due",
                    "finished + running + waiting",
                ),
                [_row(result) for result in results],
            ),
        ]
    )


def _row(result: Outcomes) -> tuple[object, ...]:
    times = ("t_down", "t_plan", "t_zero", "t_service", "t_in_step", "t_back")
    return (
        result["name"],
        result["protocol"],
        *("" if result[name] is None else f"{result[name]:.1f}" for name in times),
        result["after"],
        f"{result['longest_wait']:.0f}",
        result["cut"],
        result["illegal"],
        result["due"],
        f"{result['finished']} + {result['running']} + {result['waiting']}",
    )


def _show(results: Sequence[Outcomes]) -> None:
    """Print a line for each kind of fault."""
    shown = Table(title="Faults")
    for column in ("kind", "cells", "missed nothing", "illegal displays", "never served", "longest until zero, s"):
        shown.add_column(column, justify="left" if column == "kind" else "right")
    for kind in dict.fromkeys(result["kind"] for result in results):
        own = [result for result in results if result["kind"] == kind]
        zeros = [result["t_zero"] for result in own if result["t_zero"] is not None]
        shown.add_row(
            kind,
            str(len(own)),
            str(sum(not result["missed"] for result in own)),
            str(sum(result["illegal"] for result in own)),
            str(sum(result["never_served"] for result in own)),
            f"{max(zeros):.1f}" if zeros else "",
        )
    out.print(shown)
