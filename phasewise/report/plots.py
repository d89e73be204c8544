"""Plots that stretch with the page: positions are per cent or stretched paths, while strokes and letters keep their size.

They know numbers, words and CSS classes, and nothing about signals. Colours are the style sheet's.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from phasewise.report.markup import name, percent, plain, tag, text

ROW = 34
"""Height of a row, in CSS pixels."""

GRAIN = 1000
"""Resolution of stretched paths: whole numbers keep the file small."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """An axis from its least to its greatest value, with ticks at round numbers."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Place a value: 0 at the low end, 1 at the high end."""
        return (value - self.low) / (self.high - self.low)


def scale(high: float, *, low: float = 0.0, ticks: int = 5) -> Scale:
    """Make an axis with about so many ticks at round numbers. It begins with one, and ends with one or a little beyond."""
    high = max(high, low + 1e-9)
    raw = (high - low) / ticks
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * 0.9)
    first, last = math.floor(low / step + 1e-9), math.floor(high / step + 1e-9)
    if high > (last + 0.2) * step:
        last += 1
    return Scale(low=first * step, high=max(high, last * step), ticks=tuple(n * step for n in range(first, last + 1)))


def minutes(low_s: float, high_s: float, *, ticks: int = 6) -> Scale:
    """Make a tight axis of time in seconds, with ticks at whole minutes."""
    wanted = (high_s - low_s) / ticks
    step = next((60 * m for m in (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 360) if 60 * m >= wanted * 0.999), 720 * 60)
    return Scale(low=low_s, high=high_s, ticks=tuple(float(n * step) for n in range(math.ceil(low_s / step), int(high_s // step) + 1)))


def reach(values: Iterable[float], middles: Iterable[float], *, seen: float = 0.0) -> float:
    """Choose how far an axis goes: to the greatest value, unless values far out would press all others together.

    Args:
        values: all that is drawn.
        middles: the middle of each row. Rows beyond four times the least are let go, so that the others can be told apart.
        seen: a value that must be seen whatever becomes of the others.
    """
    top, rows = max(values, default=1.0), sorted(middles)
    if not rows:
        return top
    kept = max(1.35 * max(middle for middle in rows if middle <= 4 * max(rows[0], 1e-9)), 1.15 * seen)
    return top if top <= 1.4 * kept else kept


@dataclass(frozen=True, kw_only=True, slots=True)
class DotRow:
    """One row of a dot plot: a value a seed, their mean and its interval."""

    label: str
    kind: str
    """CSS class: its colour."""

    value: str
    """The figure in words, at the end of the row."""

    dots: tuple[float, ...]
    mean: float
    low: float | None
    high: float | None
    remark: str = ""


def dot_rows(rows: Sequence[DotRow], *, axis: Scale, unit: str, mark: float | None = None) -> str:
    """Draw rows of dots over one axis; a vertical line marks the reference."""
    drawn = [
        tag(
            "div",
            tag("div", name(row.label), tag("small", text(row.remark)) if row.remark else "", class_="name"),
            tag("svg", *_dot_row(row, axis, mark), class_="strip", height=ROW, aria_hidden="true"),
            tag("div", text(row.value), class_="value"),
            class_=f"row {row.kind}",
        )
        for row in rows
    ]
    foot = tick_row(axis, with_unit([tick_words(tick) for tick in axis.ticks], unit))
    return tag("div", *drawn, foot, class_="rows")


def _dot_row(row: DotRow, axis: Scale, mark: float | None) -> list[str]:
    """Draw one row's grid, interval, dots and mean."""
    parts = [tag("line", x1=percent(axis.at(tick)), x2=percent(axis.at(tick)), y1="0", y2=str(ROW), class_="grid") for tick in axis.ticks]
    if mark is not None and mark <= axis.high:
        parts.append(tag("line", x1=percent(axis.at(mark)), x2=percent(axis.at(mark)), y1="0", y2=str(ROW), class_="mark"))
    if row.low is not None and row.high is not None:
        left, right = max(row.low, axis.low), min(row.high, axis.high)
        if left < right:
            bar = {"x": percent(axis.at(left)), "width": percent(axis.at(right) - axis.at(left))}
            parts.append(tag("rect", **bar, y="11", height="12", rx="2", class_="interval"))
    for place, dot in enumerate(row.dots):
        if dot <= axis.high:
            aside = 4.5 * (place * 2 % 5 - 2) / 2  # dots of like value lie beside each other
            parts.append(tag("circle", cx=percent(axis.at(dot)), cy=plain(ROW / 2 + aside), r="2.6", class_="dot"))
    if row.mean <= axis.high:
        at = percent(axis.at(row.mean))
        parts.append(tag("line", x1=at, x2=at, y1="7", y2="27", class_="mean"))
    beyond = sorted(dot for dot in row.dots if dot > axis.high)
    if beyond:
        words = ", ".join(tick_words(round(dot)) for dot in beyond) if len(beyond) <= 3 else f"{len(beyond)} of {len(row.dots)} beyond"
        parts.append(tag("text", text(f"{words} ▸"), x="100%", y="21", class_="beyond"))
    return parts


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line over time, in a CSS class; drawn dashed or filled as the class says."""

    kind: str
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """An area between two lines."""

    kind: str
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One of several small plots with the same axes."""

    label: str
    kind: str
    note: str
    bands: tuple[Band, ...]
    lines: tuple[Line, ...]


def panels(drawn: Sequence[Panel], *, times: Sequence[float], x: Scale, y: Scale, height: int = 120) -> str:
    """Draw small plots side by side, as many a line as the page is wide; `x` is an axis of minutes."""
    return tag("div", *(_panel(panel, times, x, y, height) for panel in drawn), class_="panels")


def _panel(panel: Panel, times: Sequence[float], x: Scale, y: Scale, height: int) -> str:
    """Draw one small plot."""
    across = [f"{x.at(time) * GRAIN:.0f}" for time in times]
    paths = []
    for band in panel.bands:
        points = _points(across, band.high, y) + _points(across, band.low, y)[::-1]
        paths.append(tag("polygon", points=" ".join(points), class_=band.kind))
    paths += [tag("polyline", points=" ".join(_points(across, line.values, y)), class_=line.kind) for line in panel.lines]
    grid = []
    for tick in y.ticks:
        at = percent(1 - y.at(tick))
        grid.append(tag("line", x1="0", x2="100%", y1=at, y2=at, class_="axis" if tick == y.low else "grid"))
        grid.append(tag("text", text(tick_words(tick)), x="0", y=at, dx="-6", dy="3.5", class_="tick end"))
    for tick, words in zip(x.ticks, with_unit([f"{tick / 60:.0f}" for tick in x.ticks], "min"), strict=True):
        grid.append(_tick(x.at(tick), words, y=str(height), dy="14"))
    stretched = tag("svg", *paths, viewBox=f"0 0 {GRAIN} {GRAIN}", preserveAspectRatio="none", width="100%", height="100%")
    drawing = tag("svg", *grid, stretched, class_="plot", height=height, aria_hidden="true")
    head = tag("div", tag("b", name(panel.label)), tag("span", text(panel.note)), class_="head") if panel.label else ""
    return tag("div", head, drawing, class_=f"panel {panel.kind}")


def _points(across: Sequence[str], values: Sequence[float], y: Scale) -> list[str]:
    """Write a line's points in the stretched square."""
    return [f"{left},{(1 - y.at(value)) * GRAIN:.0f}" for left, value in zip(across, values, strict=True)]


def tick_words(value: float) -> str:
    """Write a tick's number with no more digits than it needs."""
    return f"{value:,.0f}" if abs(value - round(value)) < 1e-9 else plain(float(value))


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of a stacked bar."""

    kind: str
    share: float


def stacked(rows: Sequence[tuple[str, str, Sequence[Part], str]]) -> str:
    """Draw bars of parts that make up a whole: for each its label, CSS class, parts and value in words."""
    drawn = []
    for label, kind, parts, value in rows:
        left, rects = 0.0, []
        for part in parts:
            rects.append(tag("rect", x=percent(left), width=percent(part.share), y="9", height="16", class_=part.kind))
            left += part.share
        bar = tag("svg", *rects, class_="strip", height=ROW, aria_hidden="true")
        cells = (tag("div", name(label), class_="name"), bar, tag("div", text(value), class_="value"))
        drawn.append(tag("div", *cells, class_=f"row {kind}"))
    return tag("div", *drawn, class_="rows")


def tick_row(axis: Scale, words: Sequence[str]) -> str:
    """Write an axis's numbers under rows."""
    ticks = [_tick(axis.at(tick), word, y="12") for tick, word in zip(axis.ticks, words, strict=True)]
    cells = (tag("div", class_="name"), tag("svg", *ticks, class_="strip", height=18), tag("div", class_="value"))
    return tag("div", *cells, class_="row foot", aria_hidden="true")


def _tick(share: float, words: str, *, y: str, dy: str | None = None) -> str:
    """Write a number of a level axis; the last one, with its unit, ends where the axis does."""
    return tag("text", text(words), x=percent(share), y=y, dy=dy, class_="tick end" if share > 0.97 and not words.isdigit() else "tick")


def with_unit(words: Sequence[str], unit: str) -> list[str]:
    """Add a unit to the last of some numbers."""
    return [*words[:-1], f"{words[-1]} {unit}"]


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """List what CSS classes stand for."""
    return tag("ul", *(tag("li", tag("i", class_=kind), text(words)) for kind, words in entries), class_="legend")
