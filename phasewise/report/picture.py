"""The headline as a small picture, for a README or a slide."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from envs.files import write_atomically
from envs.results import EpisodeResult
from phasewise.report.geometry import Geography
from phasewise.report.material import Material, material
from phasewise.report.plots import reach
from phasewise.report.series import Array, binned
from phasewise.statistics import compare
from phasewise.words import collapses, headline, labels, number, plus_minus, scaled, seeds, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, DPI = 1200, 500, 100
"""Size in pixels, and how many of them an inch of type takes."""

COLOURS = {"best": "#0b6e69", "reference": "#b4560d", "other": "#5f6b7a", "outside": "#98a0a9"}
INK, SOFT, RULE, PAPER, FAULT = "#1d2125", "#5b6269", "#e2dfd8", "#ffffff", "#b3261e"
SANS = ("Inter", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans")
SERIF = ("Charter", "Cambria", "Caladea", "Georgia", "Liberation Serif", "DejaVu Serif")
"""Typefaces in order of taste; the last of each comes with matplotlib."""


def write_picture(results: Sequence[EpisodeResult], path: Path) -> None:
    """Write a PNG of 1200 by 500: delay by policy, and queues over time of the best policy and the reference, where they were kept.

    Raises:
        UserError: the results cannot be compared, or nothing can be written at this place.
        RuntimeFault: the disk is full or broken.
    """
    from matplotlib import rc_context

    of = material(compare(results), results, Geography())
    with rc_context({"font.family": [_typeface(SANS)], "text.parse_math": False, "axes.unicode_minus": True}):
        write_atomically(path, _png(_draw(of)))


def _typeface(wanted: Sequence[str]) -> str:
    """Choose the first typeface that this machine has."""
    from matplotlib.font_manager import fontManager

    known = set(fontManager.get_font_names())
    return next((name for name in wanted if name in known), wanted[-1])


def _png(figure: "Figure") -> bytes:
    """Turn a figure into a PNG of few colours, which flat pictures take well and which makes it small."""
    from PIL import Image

    drawn, sink = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", facecolor=PAPER)
    image = Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    image.save(sink, format="PNG", optimize=True)
    return sink.getvalue()


def _draw(of: Material) -> "Figure":
    """Lay out the picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=PAPER)
    halting = {policy: one.middle for policy, one in of.spreads(lambda run: run.queue, binned).items()}
    pair = [policy for policy in dict.fromkeys((of.comparison.reference, of.comparison.best)) if policy in halting]
    figure.text(0.028, 0.9, typeset(headline(of.comparison)), fontfamily=_typeface(SERIF), fontsize=23, fontweight="bold", color=INK)
    best = of.comparison[of.comparison.best]
    due = number(sum(one.due for one in best.figures) / best.n, 0)
    where = f"{of.comparison.scenario}{scaled(of.comparison)}"
    line = f"{where}: mean delay of all {due} vehicles due, {seeds(of.comparison)}, SUMO {of.comparison.sumo_version}"
    figure.text(0.028, 0.835, typeset(line), fontsize=11, color=SOFT)
    fallen = collapses(of.comparison)
    if fallen:
        more = f" And {len(fallen) - 1} more." if len(fallen) > 1 else ""
        figure.text(0.028, 0.79, typeset(fallen[0] + more), fontsize=10, color=FAULT)
    height = 0.57 if fallen else 0.6
    _delays(figure.add_axes((0.155, 0.13, 0.34 if pair else 0.73, height)), of)
    if pair:
        _queues(figure.add_axes((0.645, 0.13, 0.325, height)), of, halting, pair)
    return figure


def _delays(axes: "Axes", of: Material) -> None:
    """Draw delay by policy: dots, interval and mean, the figure beside them."""
    listed = of.comparison.policies
    values = [seed.delay_s for one in listed for seed in one.figures]
    high = 1.05 * reach(values, [one.median_delay_s for one in listed], seen=of.comparison[of.comparison.reference].delay.mean)
    names = labels([one.policy for one in listed])
    for row, one in enumerate(listed):
        colour = COLOURS["best" if one.policy == of.comparison.best else of.kind(one.policy)]
        kept = [seed.delay_s for seed in one.figures if seed.delay_s <= high]
        aside = [row + 0.16 * (place * 2 % 5 - 2) / 2 for place in range(len(kept))]
        face = "none" if one.outside else colour
        axes.scatter(kept, aside, s=16, facecolors=face, edgecolors=colour, linewidths=0.8 if one.outside else 0, alpha=0.6, zorder=3)
        if one.delay.low is not None and one.delay.high is not None:
            left, right = max(one.delay.low, 0.0), min(one.delay.high, high)
            axes.barh(row, right - left, left=left, height=0.42, color=colour, alpha=0.2, linewidth=0, zorder=2)
        if one.delay.mean <= high:
            axes.plot([one.delay.mean] * 2, [row - 0.33, row + 0.33], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=4)
        weight = "bold" if one.policy in (of.comparison.best, of.comparison.reference) else "normal"
        shown = names[one.policy] if len(names[one.policy]) <= 18 else f"{names[one.policy][:17]}…"
        axes.text(
            -0.03, row, shown, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=10, color=colour, weight=weight
        )
        figure_words = typeset(f"{plus_minus(one.delay)} s")
        axes.text(1.03, row, figure_words, transform=axes.get_yaxis_transform(), va="center", fontsize=10, color=colour, weight=weight)
        beyond = [seed.delay_s for seed in one.figures if seed.delay_s > high]
        if beyond:
            axes.text(
                0.995, row, f"{len(beyond)} beyond ▸", transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=8, color=SOFT
            )
    axes.axvline(
        of.comparison[of.comparison.reference].delay.mean, color=COLOURS["reference"], linewidth=1, linestyle=(0, (3, 3)), zorder=1
    )
    axes.set_xlim(0, high)
    axes.set_ylim(max(len(listed), 4) - 0.4, -0.6)
    axes.set_yticks([])
    axes.set_title("Delay per vehicle, s", loc="left", fontsize=10.5, color=INK, pad=8)
    _restrain(axes, "x")


def _queues(axes: "Axes", of: Material, halting: dict[str, Array], pair: Sequence[str]) -> None:
    """Draw the medians of halting vehicles over time."""
    minutes = (of.edges[1:] + of.edges[:-1]) / 120
    for policy in pair:
        colour = COLOURS["best" if policy == of.comparison.best else "reference"]
        axes.plot(minutes, halting[policy], color=colour, linewidth=1.7, label=of.names[policy])
        axes.fill_between(minutes, halting[policy], color=colour, alpha=0.1, linewidth=0)
    axes.set_xlim(0, of.horizon_s / 60)
    axes.set_ylim(0, 1.15 * max(float(halting[policy].max()) for policy in pair) or 1.0)
    axes.set_title("Halting vehicles, by minute", loc="left", fontsize=10.5, color=INK, pad=8)
    axes.legend(frameon=False, fontsize=9.5, loc="upper right", labelcolor="linecolor", handlelength=1.4)
    _restrain(axes, "y")


def _restrain(axes: "Axes", grid: str) -> None:
    """Leave of axes only a faint grid and the numbers."""
    from matplotlib.ticker import MaxNLocator

    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, labelsize=9, labelcolor=SOFT)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=True, axis="x" if grid == "x" else "y", color=RULE, linewidth=0.9)
    axes.set_axisbelow(True)
