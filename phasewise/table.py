"""The comparison as a table: for the terminal, and as Markdown."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from phasewise.statistics import Comparison, PolicySummary
from phasewise.words import (
    NOTHING,
    caution,
    collapses,
    labels,
    number,
    plus_minus,
    probability,
    scaled,
    seconds,
    seeds,
    signed,
    tested,
    width,
)

Cell = Callable[[PolicySummary], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One figure of every policy."""

    group: str
    """What stands over columns of one kind, with their unit."""

    title: str
    cell: Cell
    wanted: bool = True
    """False for a count whose every occurrence is a fault."""


def columns(of: Comparison) -> tuple[Column, ...]:
    """List the table's columns, without the policy's name."""
    reference = labels([one.policy for one in of.policies])[of.reference]
    against = (
        Column(group="delay, s", title=f"vs {reference}", cell=_difference),
        Column(group="delay, s", title="p", cell=lambda one: probability(one.against)),
    )
    return (
        Column(group="delay, s", title="mean", cell=lambda one: plus_minus(one.delay)),
        Column(group="delay, s", title="median", cell=lambda one: seconds(one.median_delay_s)),
        Column(group="delay, s", title="worst (seed)", cell=_worst),
        *(against if len(of.policies) > 1 else ()),
        Column(group="wait, s", title="95th pct", cell=lambda one: seconds(one.p95_wait_s)),
        Column(group="wait, s", title="max", cell=lambda one: number(one.max_wait_s, 0)),
        Column(group="red, s", title="max", cell=lambda one: number(one.max_red_s, 0)),
        Column(group="stops", title="a trip", cell=lambda one: number(one.stops, 2)),
        Column(group="CO2", title="kg", cell=lambda one: number(one.co2_kg.mean, 0)),
        Column(group="never", title="got in", cell=lambda one: number(one.never_inserted, 0), wanted=False),
        Column(group="grid-", title="locked", cell=lambda one: f"{one.gridlocked} of {one.n}" if one.gridlocked else "0", wanted=False),
        Column(group="viola-", title="tions", cell=lambda one: number(one.violations, 0), wanted=False),
    )


def terminal_table(of: Comparison, *, width: int = 140) -> RenderableType:
    """Lay the comparison out for a terminal of this many columns: one table, or two where one is too wide.

    Green is the best policy, dim with a dagger an outside reference, red a fault.
    """
    listed = columns(of)
    title = Text(f"{of.scenario}{scaled(of)}: {seeds(of)}, preset {of.preset}, observation {of.observation}, SUMO {of.sumo_version}\n")
    title.stylize("bold")
    remarks = Text("\n").append("".join(f"{said}\n" for said in collapses(of)), style="bold red")
    remarks.append("\n".join(notes(of)), style="dim")
    whole = _rich(of, listed)
    if _width(whole) <= width:
        return Group(title, whole, remarks)
    cut = sum(column.group == listed[0].group for column in listed)
    return Group(title, _rich(of, listed[:cut]), Text(), _rich(of, listed[cut:]), remarks)


def markdown(of: Comparison) -> str:
    """Write the comparison as a Markdown table with its notes."""
    listed = columns(of)
    names = labels([one.policy for one in of.policies])
    heads = [f"{column.group} {column.title}".replace("- ", "") for column in listed]
    lines = [f"| policy | {' | '.join(heads)} |", f"|:--|{'--:|' * len(listed)}"]
    for one in of.policies:
        name = names[one.policy].replace("|", "\\|")
        name = f"**{name}**" if one.policy == of.best else f"{name} †" if one.outside else name
        lines.append(f"| {name} | {' | '.join(column.cell(one) for column in listed)} |")
    return "\n".join([*lines, "", *(f"{note}  " for note in [*collapses(of), *notes(of)])]).rstrip() + "\n"


def notes(of: Comparison) -> list[str]:
    """Say what the table's signs mean, each in a line of its own."""
    said = [f"± half the 95 % t-interval over {seeds(of)}"] if len(of.seeds) > 1 else []
    if tested(of):
        said.append(tested(of))
    if any(one.outside for one in of.policies):
        said.append("† outside reference: SUMO's own program, which bypasses the gate")
    if caution(of):
        said.append(caution(of))
    return said


def _worst(one: PolicySummary) -> str:
    """Write the delay of the worst seed, and which it is where there are several."""
    return seconds(one.worst_delay_s) + (f" ({one.worst_seed})" if one.n > 1 else "")


def _difference(one: PolicySummary) -> str:
    """Write the paired difference with its sign and half its interval."""
    if one.against is None:
        return NOTHING
    return signed(one.against.difference.mean) + width(one.against.difference)


def _rich(of: Comparison, listed: tuple[Column, ...]) -> Table:
    """Make a table of some of the columns."""
    names = labels([one.policy for one in of.policies])
    table = Table(header_style="dim", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("\npolicy", no_wrap=True)
    above = ""
    for column in listed:
        table.add_column(f"{column.group if column.group != above else ''}\n{column.title}", justify="right", no_wrap=True)
        above = column.group
    for one in of.policies:
        style = "bold green" if one.policy == of.best else "dim" if one.outside else ""
        cells = [Text(names[one.policy] + (" †" if one.outside else ""), style=style)]
        for column in listed:
            value = column.cell(one)
            cells.append(Text(value, style="bold red" if not column.wanted and value != "0" else style))
        table.add_row(*cells)
    return table


def _width(table: Table) -> int:
    """Measure how wide a table would like to be."""
    from rich.console import Console

    return Console(width=10_000).measure(table).maximum
