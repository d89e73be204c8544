"""The report: one HTML file that asks nothing of a network, with inline style and drawings and no script."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from envs.files import write_atomically
from envs.results import EpisodeResult
from phasewise.report import drawings, sections
from phasewise.report.geometry import Geography
from phasewise.report.markup import tag
from phasewise.report.material import material
from phasewise.report.style import CSS
from phasewise.statistics import compare
from phasewise.words import headline

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the browser is told to allow: nothing from outside."""


def write_report(results: Sequence[EpisodeResult], path: Path, *, title: str, geography: Geography | None = None) -> None:
    """Write the comparison of results as one self-contained HTML file, whole or not at all. The same results give the same bytes.

    Args:
        results: one a policy and seed; pictures over time are drawn of those with series.
        path: where to write.
        title: what stands over the report, in words.
        geography: how to name and picture signals and movements; by their identities in the series where it is not known.

    Raises:
        UserError: the results cannot be compared, or nothing can be written at this place.
        RuntimeFault: the disk is full or broken.
    """
    write_atomically(path, render(results, title=title, geography=geography or Geography()).encode())


def render(results: Sequence[EpisodeResult], *, title: str, geography: Geography) -> str:
    """Make the report's HTML."""
    comparison = compare(results)
    of = material(comparison, results, geography)
    body = {
        ("figures", "Figures"): sections.all_figures(of),
        ("collapse", "Collapse"): sections.collapse(of),
        ("delay", "Delay"): drawings.delay(of),
        ("movements", "Movements"): sections.movements(of),
        ("queues", "Queues"): drawings.queues(of),
        ("arrivals", "Arrivals"): drawings.arrivals(of),
        ("phases", "Phase diagram"): drawings.phases(of),
        ("emissions", "Emissions"): drawings.emissions(of),
        ("gate", "The gate"): sections.gate(of),
        ("violations", "Illegal displays"): sections.violations(of),
        ("reading", "How this is counted"): sections.reading(of),
        ("provenance", "Provenance"): sections.provenance(of),
    }
    page = tag(
        "div",
        sections.head(of, title),
        sections.contents(list(body)),
        tag("main", *body.values()),
        tag("footer", "Made by Phasewise from simulations in SUMO."),
        class_="page",
    )
    head = "".join(
        (
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            tag("title", escape(f"{title}: {headline(comparison)}")),
            tag("style", CSS),
        )
    )
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{page}\n</body>\n</html>\n'
