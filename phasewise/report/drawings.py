"""The report's sections that draw: delay, queues, arrivals, stages, emissions. One without material says so in a sentence."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from envs.results import Series
from phasewise.report.markup import figure, paragraph, section, table, tag
from phasewise.report.material import Material
from phasewise.report.plots import Band, DotRow, Line, Panel, dot_rows, legend, minutes, panels, reach, scale
from phasewise.report.series import Array, Spread, binned, sampled
from phasewise.report.stages import busiest, liveliest, phase_diagram
from phasewise.statistics import Estimate, PolicySummary
from phasewise.words import number, plus_minus

SIGNALS = 4
"""How many signals have their phase diagram drawn."""

WINDOW_S = 600.0
"""Length of the phase diagrams, in seconds."""

LINES = 12
"""About how many lines a table over time has."""


def delay(of: Material) -> str:
    """Draw the delay of every policy and seed."""
    body, data = _dots(of, lambda one: [seed.delay_s for seed in one.figures], lambda one: one.delay, digits=1, unit="s")
    drawn = figure(
        caption="Seconds per vehicle, over every vehicle that was due. Each dot is a seed, the upright stroke their mean, the shaded bar "
        f"the mean's 95 % interval. The dashed line is the mean of {of.reference}. Hollow dots are outside references. "
        "The axis need not begin at zero.",
        body=body,
        data=data,
    )
    return section(drawn, anchor="delay", title="Delay by policy")


def queues(of: Material) -> str:
    """Draw halting vehicles over time."""
    title, halting = "Queues over time", of.spreads(lambda run: run.queue, binned)
    if not halting:
        return section(paragraph("No queues were recorded for these runs."), anchor="queues", title=title)
    middle = (of.edges[1:] + of.edges[:-1]) / 2
    notes = {}
    for policy, one in halting.items():
        notes[policy] = f"mean {number(float(one.middle.mean()))}, peak {number(float(one.middle.max()), 0)}"
    drawn = figure(
        caption=f"Halting vehicles in the network, averaged over {of.edges[1] - of.edges[0]:.0f} s; all on the same scale.",
        body=_small_plots(of, halting, middle, notes),
        data=_over_time(of, halting, middle, "Halting vehicles, median over seeds", digits=1),
    )
    return section(drawn, anchor="queues", title=title)


def arrivals(of: Material) -> str:
    """Draw the arrival curves of the best policy and the reference, and of every policy how many vehicles are under way."""
    title = "Due and arrived"
    due, arrived = of.spreads(lambda run: run.due_cumulative, sampled), of.spreads(lambda run: run.arrived_cumulative, sampled)
    both = {policy: (due[policy].middle, arrived[policy].middle) for policy in due if policy in arrived}
    if not both:
        return section(paragraph("No arrivals were recorded for these runs."), anchor="arrivals", title=title)
    pair = [policy for policy in dict.fromkeys((of.comparison.best, of.comparison.reference)) if policy in both] or [next(iter(both))]
    kind = of.kind(pair[0])
    keys = (("line due", "vehicles due"), (f"{kind} line", "vehicles arrived"), (f"{kind} area", "under way or waiting to get in"))
    drawn = panels(
        [_curve(of, policy, *both[policy]) for policy in pair],
        times=of.edges.tolist(),
        x=minutes(0, of.horizon_s, ticks=4),
        y=scale(max(float(both[policy][0].max()) for policy in pair), ticks=4),
        height=220,
    )
    curves = figure(
        title="Arrival curves",
        caption="Vehicles since the start, medians over seeds. The gap's height is how many are under way or still outside, its width how "
        "long one of them takes, its area the time that all of them spend.",
        body=legend(keys) + tag("div", drawn, class_="pair"),
        data=_over_time(of, {policy: arrived[policy] for policy in both}, of.edges, "Vehicles arrived, median over seeds"),
    )
    under_way = of.spreads(_under_way, sampled)
    notes = {}
    for policy, one in under_way.items():
        notes[policy] = f"at most {number(float(one.middle.max()), 0)}, {number(float(one.middle[-1]), 0)} at the end"
    gaps = figure(
        title="Vehicles under way or waiting to get in",
        caption="Due less arrived. What is left at the end is what a count of arrived trips alone would hide.",
        body=_small_plots(of, under_way, of.edges, notes),
        data=_over_time(of, under_way, of.edges, "Vehicles due and not arrived, median over seeds"),
    )
    return section(curves, gaps, anchor="arrivals", title=title)


def phases(of: Material) -> str:
    """Draw the phase diagrams of the liveliest signals, with one seed for all policies."""
    title = "Phase diagram"
    staged = {one.policy: {seed: run for seed, run in of.runs[one.policy] if run.stages} for one in of.shown}
    staged = {policy: kept for policy, kept in staged.items() if kept}
    if not staged:
        return section(paragraph("No stages were recorded for these runs."), anchor="phases", title=title)
    chosen = of.comparison.reference if of.comparison.reference in staged else next(iter(staged))
    seed = _median_seed(of.comparison[chosen], set(staged[chosen]))
    runs = {policy: kept[seed] for policy, kept in staged.items() if seed in kept}
    window = busiest(runs[chosen], length_s=WINDOW_S)
    signals, count = liveliest(runs, SIGNALS)
    rows = [(of.names[policy], of.kind(policy), run) for policy, run in runs.items()]
    caption = (
        f"Stages over time, {window[0] / 60:.0f} to {window[1] / 60:.0f} min after the start, seed {seed}. "
        "Grey is the transition: yellow change and red clearance."
    )
    drawn = [
        phase_diagram(signal, rows, window=window, geometry=of.geography.signals.get(signal), caption="" if place else caption)
        for place, signal in enumerate(signals)
    ]
    words = [f"The minutes around the longest queue under {of.names[chosen]}, with its median seed; all policies met the same vehicles."]
    if count > len(signals):
        words.append(f"Drawn are {len(signals)} of {count} signals: those with the most stages and changes.")
    absent = [of.names[one.policy] for one in of.comparison.policies if one.policy not in runs]
    if absent:
        words.append(f"The stages of {', '.join(absent)} were not recorded.")
    return section(paragraph(" ".join(words)), *drawn, anchor="phases", title=title)


def emissions(of: Material) -> str:
    """Draw the CO2 of every policy: of whole runs, and over time."""
    title = "Emissions"
    if not any(math.isfinite(seed.co2_kg) for one in of.comparison.policies for seed in one.figures):
        return section(paragraph("Emissions were not recorded for these runs."), anchor="emissions", title=title)
    body, data = _dots(of, lambda one: [seed.co2_kg for seed in one.figures], lambda one: one.co2_kg, digits=0, unit="kg")
    totals = figure(title="CO2 of a run", caption="Kilograms by SUMO's emission model; drawn as the delay above.", body=body, data=data)
    grown = of.spreads(lambda run: run.co2_kg_cumulative, sampled)
    if not grown:
        return section(totals, anchor="emissions", title=title)
    order = sorted(grown, key=lambda policy: (of.kind(policy) not in ("other", "outside"), policy == of.comparison.best))
    named = [(f"{of.kind(policy)} line", of.names[policy]) for policy in reversed(order) if of.kind(policy) not in ("other", "outside")]
    rest = (("other", "other policies"), ("outside", "outside references"))
    named += [(f"{kind} line", words) for kind, words in rest if any(of.kind(policy) == kind for policy in order)]
    lines = tuple(Line(kind=f"own {of.kind(policy)}", values=grown[policy].middle.tolist()) for policy in order)
    tops = [float(one.middle.max()) for one in grown.values()]
    drawn = panels(
        [Panel(label="", kind="", note="", bands=(), lines=lines)],
        times=of.edges.tolist(),
        x=minutes(0, of.horizon_s, ticks=6),
        y=scale(reach(tops, tops), ticks=4),
        height=260,
    )
    over_time = figure(
        title="CO2 since the start",
        caption="Kilograms, medians over seeds, of all trips, those still under way too. Each trip's CO2 is spread evenly over its time in "
        "the street.",
        body=legend(named) + tag("div", drawn, class_="single"),
        data=_over_time(of, grown, of.edges, "CO2 since the start, in kg, median over seeds"),
    )
    return section(totals, over_time, anchor="emissions", title=title)


def _dots(
    of: Material,
    read: Callable[[PolicySummary], Sequence[float]],
    summary: Callable[[PolicySummary], Estimate],
    *,
    digits: int,
    unit: str,
) -> tuple[str, str]:
    """Draw a figure by policy and seed, and set it as a table."""
    known = {one.policy: [value for value in read(one) if math.isfinite(value)] for one in of.comparison.policies}
    rows = []
    for one in of.comparison.policies:
        estimated = summary(one)
        rows.append(
            DotRow(
                label=of.names[one.policy],
                kind=of.kind(one.policy),
                value=f"{plus_minus(estimated, digits)} {unit}" if known[one.policy] else "not recorded",
                dots=tuple(known[one.policy]),
                mean=estimated.mean,
                low=estimated.low,
                high=estimated.high,
                remark=f"gridlock with {one.gridlocked} of {one.n}" if one.gridlocked else "",
            )
        )
    values = [value for own in known.values() for value in own]
    mark = summary(of.comparison[of.comparison.reference]).mean
    high = reach(values, [float(np.median(own)) for own in known.values() if own], seen=mark if math.isfinite(mark) else 0.0)
    near = min(values) > high / 2 and high - min(values) > high / 50
    drawn = dot_rows(rows, axis=scale(high, low=min(values) if near else 0.0), unit=unit, mark=mark)
    heads = ["policy", *(f"seed {seed}" for seed in of.comparison.seeds)]
    listed = [[of.names[one.policy], *(number(value, digits) for value in read(one))] for one in of.comparison.policies]
    return drawn, table(caption=f"By seed, in {unit}", heads=heads, rows=listed)


def _small_plots(of: Material, spreads: Mapping[str, Spread], times: Array, notes: Mapping[str, str]) -> str:
    """Draw one small plot a policy on one scale, each with the reference's median behind it."""
    base = spreads.get(of.comparison.reference)
    peaks = {policy: float(one.middle.max()) for policy, one in spreads.items()}
    tops = [float(one.high.max()) for one in spreads.values()]
    y = scale(reach(tops, peaks.values(), seen=peaks.get(of.comparison.reference, 0.0)), ticks=3)
    drawn = []
    for policy, one in spreads.items():
        behind = (Line(kind="compared", values=base.middle.tolist()),) if base is not None and policy != of.comparison.reference else ()
        note = notes[policy] + (" (off the scale)" if peaks[policy] > y.high else "")
        band = Band(kind="own", low=one.low.tolist(), high=one.high.tolist())
        lines = (*behind, Line(kind="own", values=one.middle.tolist()))
        drawn.append(Panel(label=of.names[policy], kind=of.kind(policy), note=note, bands=(band,), lines=lines))
    kind = of.kind(next(iter(spreads)))
    keys = [(f"{kind} line", "median over seeds")]
    keys += [(f"{kind} area", "least to greatest seed")] if len(of.comparison.seeds) > 1 else []
    keys += [("line dashed", f"{of.reference}, median")] if base is not None and len(spreads) > 1 else []
    return legend(keys) + panels(drawn, times=times.tolist(), x=minutes(0, of.horizon_s, ticks=4), y=y)


def _over_time(of: Material, spreads: Mapping[str, Spread], times: Array, caption: str, digits: int = 0) -> str:
    """Set medians over time as a table of about a dozen lines."""
    rows = [
        [f"{times[at] / 60:.1f} min", *(number(float(one.middle[at]), digits) for one in spreads.values())]
        for at in range(0, len(times), max(1, len(times) // LINES))
    ]
    return table(caption=caption, heads=["time", *(of.names[policy] for policy in spreads)], rows=rows)


def _under_way(run: Series) -> Sequence[float]:
    """Count the vehicles that are due and have not arrived."""
    if len(run.due_cumulative) != len(run.arrived_cumulative):
        return ()
    return [due - arrived for due, arrived in zip(run.due_cumulative, run.arrived_cumulative, strict=True)]


def _curve(of: Material, policy: str, due: Array, arrived: Array) -> Panel:
    """Draw one policy's arrival curves."""
    lines = (Line(kind="due", values=due.tolist()), Line(kind="own", values=arrived.tolist()))
    band = Band(kind="between", low=arrived.tolist(), high=due.tolist())
    note = f"{number(float(arrived[-1]), 0)} of {number(float(due[-1]), 0)} arrived"
    return Panel(label=of.names[policy], kind=of.kind(policy), note=note, bands=(band,), lines=lines)


def _median_seed(of: PolicySummary, kept: set[int]) -> int:
    """Find the seed, among some, whose delay is in the middle."""
    order = sorted((one for one in of.figures if one.seed in kept), key=lambda one: (one.delay_s, one.seed))
    return order[(len(order) - 1) // 2].seed
