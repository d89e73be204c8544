"""Phase diagrams: which stage of a signal ran when, under every policy, in the same few minutes of the same seed."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from envs.results import Series, StageTime
from phasewise.report.geometry import SignalGeometry, StageMovement
from phasewise.report.markup import figure, name, percent, plain, table, tag, text
from phasewise.report.plots import GRAIN, Scale, legend, minutes, tick_row, with_unit
from phasewise.words import number

HUES = 8
"""How many stage colours the style sheet has; further stages begin again, told apart by their numbers."""

ROOM_S = 14
"""The shortest time, in seconds of a ten-minute window, that has room for its stage's number on a phone."""

ARM = 17.0
"""Length of an arm in a stage's pictogram, whose square is 48 wide."""


def busiest(series: Series, *, length_s: float) -> tuple[float, float]:
    """Choose the window around the longest queue, on whole minutes and within the episode."""
    end = series.time_s[-1]
    if end <= length_s or len(series.queue) != len(series.time_s):
        return 0.0, min(end, length_s)
    peak = series.time_s[series.queue.index(max(series.queue))]
    start = 60.0 * round((peak - length_s / 2) / 60)
    start = max(0.0, min(start, 60.0 * math.floor((end - length_s) / 60)))
    return start, start + length_s


def liveliest(series: Mapping[str, Series], limit: int) -> tuple[list[str], int]:
    """Choose the signals with the most stages, then the most changes, over all policies; and count all signals."""
    used: defaultdict[str, set[int]] = defaultdict(set)
    changes: Counter[str] = Counter()
    for one in series.values():
        for time in one.stages:
            changes[time.signal] += 1
            used[time.signal].add(time.stage)
    order = sorted(changes, key=lambda signal: (-len(used[signal]), -changes[signal], signal))
    return sorted(order[:limit]), len(order)


def phase_diagram(
    signal: str,
    runs: Sequence[tuple[str, str, Series]],
    *,
    window: tuple[float, float],
    geometry: SignalGeometry | None,
    caption: str,
) -> str:
    """Draw one signal's stages over time, a row a policy.

    Args:
        signal: the signal's identity in the series.
        runs: label, CSS class and series of each policy.
        window: start and end, in seconds.
        geometry: how the signal is named and its stages are pictured.
        caption: what is said under the signal's name.
    """
    axis = minutes(*window, ticks=5)
    rows, data, seen = [], [], set()
    for label, kind, one in runs:
        times = [time for time in one.stages if time.signal == signal]
        shown = [time for time in times if time.end_s > window[0] and time.start_s < window[1]]
        seen |= {time.stage for time in shown if time.stage >= 0}
        strip = tag("svg", *_strip(shown, axis), class_="strip stages", height=22, aria_hidden="true")
        rows.append(tag("div", tag("div", name(label), class_="name"), strip, tag("div", class_="value"), class_=f"row {kind}"))
        data += _lines(label, times)
    foot = tick_row(axis, with_unit([f"{tick / 60:.0f}" for tick in axis.ticks], "min"))
    keys = [*((f"s{stage % HUES}", f"stage {stage}") for stage in sorted(seen)), ("transition", "transition")]
    shapes = _pictograms(sorted(seen), geometry or {})
    return figure(
        title=(geometry or {}).get("name", "") or signal,
        caption=caption,
        body=(shapes or legend(keys)) + tag("div", *rows, foot, class_="rows wide"),
        data=table(
            caption=f"Greens of {signal} over the whole episode",
            heads=("policy", "stage", "greens", "mean, s", "shortest, s", "longest, s", "share of time"),
            rows=data,
        ),
    )


def _strip(times: Sequence[StageTime], axis: Scale) -> list[str]:
    """Draw one row: a stretched path a stage, and the numbers where there is room."""
    paths: defaultdict[str, list[str]] = defaultdict(list)
    numbers = []
    for time in times:
        left, right = axis.at(max(time.start_s, axis.low)), axis.at(min(time.end_s, axis.high))
        paths["transition" if time.stage < 0 else f"s{time.stage % HUES}"].append(
            f"M{plain(left * GRAIN)} 0H{plain(right * GRAIN)}V{GRAIN}H{plain(left * GRAIN)}z"
        )
        if time.stage >= 0 and (right - left) * (axis.high - axis.low) >= ROOM_S * (axis.high - axis.low) / 600:
            numbers.append(tag("text", str(time.stage), x=percent((left + right) / 2), y="15"))
    drawn = [tag("path", d="".join(d), class_=kind) for kind, d in sorted(paths.items())]
    return [tag("svg", *drawn, viewBox=f"0 0 {GRAIN} {GRAIN}", preserveAspectRatio="none", width="100%", height="100%"), *numbers]


def _lines(label: str, times: Sequence[StageTime]) -> list[list[str]]:
    """Count and measure a policy's greens by stage."""
    greens: defaultdict[int, list[float]] = defaultdict(list)
    for time in times:
        if time.stage >= 0:
            greens[time.stage].append(time.end_s - time.start_s)
    whole = sum(time.end_s - time.start_s for time in times) or 1.0
    return [
        [label, str(stage), str(len(g)), number(fmean(g)), number(min(g)), number(max(g)), f"{100 * sum(g) / whole:.0f} %"]
        for stage, g in sorted(greens.items())
    ]


def _pictograms(stages: Sequence[int], geometry: SignalGeometry) -> str:
    """Draw the stages seen in a window as arrows through a junction, north up, with words; none if their movements are not known."""
    movements, crossings, words = geometry.get("stages", ()), geometry.get("crossings", ()), geometry.get("words", ())
    if not movements or not stages or max(stages) >= len(movements):
        return ""
    arms = {bearing for stage in movements for movement in stage for bearing in (movement["approach"], movement["exit"])}
    drawn = []
    for stage in stages:
        roads = [_road(bearing) for bearing in sorted(arms)]
        walks = [_walk(bearing) for bearing in crossings[stage]] if stage < len(crossings) else []
        arrows = [_arrow(movement) for movement in movements[stage]]
        said = words[stage] if stage < len(words) else ""
        told = said or ", ".join(f"from {m['approach']:.0f}° to {m['exit']:.0f}°" for m in movements[stage])
        label = f"stage {stage}: {told}"
        image = tag("svg", *roads, *walks, *arrows, viewBox="-24 -24 48 48", width=72, height=72, role="img", aria_label=label)
        number_of = tag("span", tag("i", class_=f"s{stage % HUES}"), str(stage))
        drawn.append(tag("li", image, number_of, tag("small", text(said)) if said else "", class_=f"s{stage % HUES}"))
    return tag("ul", *drawn, class_="pictograms")


def _at(bearing: float, far: float, aside: float) -> tuple[float, float]:
    """Find a point: so far out along a bearing, and so far to the right of somebody who walks out there. North is up."""
    angle = math.radians(bearing)
    return far * math.sin(angle) + aside * math.cos(angle), -far * math.cos(angle) + aside * math.sin(angle)


def _road(bearing: float) -> str:
    """Draw an arm."""
    x, y = _at(bearing, 23, 0)
    return tag("line", x1="0", y1="0", x2=plain(x), y2=plain(y), class_="road")


def _walk(bearing: float) -> str:
    """Draw a crossing as stripes over an arm."""
    (x1, y1), (x2, y2) = _at(bearing, ARM - 4, -7), _at(bearing, ARM - 4, 7)
    return tag("line", x1=plain(x1), y1=plain(y1), x2=plain(x2), y2=plain(y2), class_="walk")


def _arrow(movement: StageMovement) -> str:
    """Draw a movement as a curved arrow that keeps to the right; a permissive one is dashed."""
    (x1, y1), (x2, y2) = _at(movement["approach"], ARM + 3, -3), _at(movement["exit"], ARM, 3)
    (c1, d1), (c2, d2) = _at(movement["approach"], 4, -3), _at(movement["exit"], 4, 3)
    curve = f"M{plain(x1)} {plain(y1)}C{plain(c1)} {plain(d1)} {plain(c2)} {plain(d2)} {plain(x2)} {plain(y2)}"
    tip, left, right = _at(movement["exit"], ARM + 5, 3), _at(movement["exit"], ARM - 0.5, 0), _at(movement["exit"], ARM - 0.5, 6)
    head = "M" + "L".join(f"{plain(x)} {plain(y)}" for x, y in (tip, left, right)) + "z"
    return tag("path", d=curve, class_="arrow" if movement["protected"] else "arrow permissive") + tag("path", d=head, class_="head")
