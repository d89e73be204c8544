"""The report's sections that say: the result, the tables, the gate, the audit, how all is counted and how it can be made again."""

from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from itertools import groupby
from statistics import fmean

from phasewise.report.markup import figure, name, paragraph, plain, scrolled, section, table, tag, text
from phasewise.report.material import Material
from phasewise.report.plots import Part, legend, reach, stacked
from phasewise.report.series import Way, ways
from phasewise.statistics import PolicySummary
from phasewise.table import Column, columns, notes
from phasewise.words import (
    COLLAPSE,
    DELAY,
    INTERVALS,
    MEASURES,
    NOTHING,
    OUTSIDE,
    collapses,
    headline,
    lede,
    number,
    scaled,
    seconds,
    seeds,
    unmeasured,
)

MOVEMENTS = 16
"""How many movements are listed before the rest is pooled."""

VIOLATIONS = 10
"""How many illegal displays of a policy are quoted."""

GRANTED = "granted"
"""How a verdict's name begins if the gate changed nothing."""

HUES = 8
"""How many colours the style sheet has for verdicts; the least frequent share the last."""


def head(of: Material, title: str) -> str:
    """Say the result: title, headline, a few sentences, four figures."""
    facts = (
        _fact(of, "Delay per due vehicle", lambda one: one.delay.mean, seconds, "s"),
        _fact(of, "Delay with its worst seed", lambda one: one.worst_delay_s, seconds, "s"),
        _fact(of, "Longest red", lambda one: one.max_red_s, _whole, "s"),
        _fact(of, "CO2 of a run", lambda one: one.co2_kg.mean, _whole, "kg"),
    )
    return tag(
        "header",
        paragraph(title, "kicker"),
        tag("h1", text(headline(of.comparison))),
        paragraph(lede(of.comparison), "lede"),
        _list(collapses(of.comparison), "collapses"),
        tag("dl", *facts, class_="facts", aria_label=f"Key figures of {of.names[of.comparison.best]}"),
    )


def collapse(of: Material) -> str:
    """Say where policies collapse, and count the gridlocked seeds of each."""
    one, said = of.comparison, collapses(of.comparison)
    clean = f", and no policy collapsed against {of.names[one.yardstick]}" if one.yardstick else ""
    heads = ["policy", "mean, s", "median, s", "worst, s", "worst seed", "times the yardstick", "seeds gridlocked", "which"]
    rows = []
    for each in one.policies:
        times = one.times(each.policy)
        against = "the yardstick" if each.policy == one.yardstick else NOTHING if times is None else number(times)
        delays = (seconds(value) for value in (each.delay.mean, each.median_delay_s, each.worst_delay_s))
        which = ", ".join(map(str, each.gridlocked_seeds)) or NOTHING
        rows.append([of.names[each.policy], *delays, str(each.worst_seed), against, f"{each.gridlocked} of {each.n}", which])
    yardstick = f" The yardstick is {of.names[one.yardstick]}." if one.yardstick else ""
    counted = table(caption=f"Delay over all due vehicles and gridlock, over {seeds(one)}.{yardstick}", heads=heads, rows=rows)
    told = _list(said, "collapses") or paragraph(f"No seed ended in gridlock{clean}.")
    explained = paragraph(f"{COLLAPSE} {unmeasured(one)}".strip())
    return section(told, counted, explained, anchor="collapse", title="Where policies collapse")


def contents(shown: Sequence[tuple[str, str]]) -> str:
    """Link to the sections, each an anchor and a title."""
    return tag("nav", tag("ul", *(tag("li", tag("a", text(title), href=f"#{anchor}")) for anchor, title in shown)), aria_label="Contents")


def all_figures(of: Material) -> str:
    """Set the whole table."""
    groups = [(group, list(members)) for group, members in groupby(columns(of.comparison), key=lambda column: column.group)]
    above, below = [tag("th")], [tag("th", "policy", scope="col")]
    for group, members in groups:
        kind = "first over" if len(members) > 1 else "first"
        above.append(tag("th", text(_joined(group)), colspan=len(members), scope="colgroup", class_=kind))
        for place, column in enumerate(members):
            below.append(tag("th", text(_joined(column.title)), scope="col", class_=None if place else "first"))
    rows = []
    for one in of.comparison.policies:
        tags = ["reference"] * (one.policy == of.comparison.reference != of.comparison.best) + ["outside †"] * one.outside
        row = tag("th", name(of.names[one.policy]), *(" " + tag("span", text(word), class_="tagged") for word in tags), scope="row")
        cells = [_cell(column, one, first=place == 0) for _, members in groups for place, column in enumerate(members)]
        rows.append(tag("tr", row, *cells, class_=of.kind(one.policy)))
    said = [f"{of.comparison.scenario}{scaled(of.comparison)}, {seeds(of.comparison)}, least median delay first", *notes(of.comparison)]
    whole = tag(
        "table",
        tag("caption", tag("span", text(" ".join(f"{note.rstrip('.')}." for note in said)))),
        tag("thead", tag("tr", *above), tag("tr", *below)),
        tag("tbody", *rows),
        class_="figures",
    )
    return section(scrolled(whole, "All figures by policy"), anchor="figures", title="All figures")


def movements(of: Material) -> str:
    """Set delay by movement and policy, as a table in colour."""
    title, listed = (
        "Delay by movement",
        ways(
            {one.policy: of.runs[one.policy] for one in of.shown},
            of.comparison.reference,
            limit=MOVEMENTS,
            names=of.geography.movements,
        ),
    )
    if not listed:
        return section(paragraph("No movements were recorded for these runs."), anchor="movements", title=title)
    top = reach([value for way in listed for value in way.delay_s.values()], [fmean(way.delay_s.values()) for way in listed])
    heads = [tag("th", "movement", scope="col"), tag("th", "trips", scope="col")]
    heads += [tag("th", name(of.names[one.policy]), scope="col", class_=of.kind(one.policy)) for one in of.shown]
    caption = (
        f"Seconds of delay of a trip, mean over {seeds(of.comparison)}; a stronger tint is more. The movements that cost {of.reference} "
        "the most vehicle hours come first."
    )
    whole = tag(
        "table",
        tag("caption", tag("span", text(caption))),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *(_way(of, way, top) for way in listed)),
        class_="heat",
    )
    words = "A movement is the trips from one first edge to one last edge. A mean over all can hide one that starves: here it shows."
    return section(paragraph(words), tag("figure", scrolled(whole, title), aria_label=title), anchor="movements", title=title)


def gate(of: Material) -> str:
    """Draw what the gate made of the proposals."""
    counts: dict[str, Counter[str]] = {}
    for one in of.shown:
        counts[one.policy] = sum((Counter(run.verdicts) for _, run in of.runs[one.policy]), Counter())
    title, total = "What the gate did", sum(counts.values(), Counter())
    if not total:
        return section(paragraph("No verdicts were recorded for these runs."), anchor="gate", title=title)
    granted = sorted(words for words in total if words.startswith(GRANTED))
    verdicts = granted + [words for words, _ in total.most_common() if words not in granted]
    colours = {words: f"v{min(place + (not granted), HUES - 1)}" for place, words in enumerate(verdicts)}
    bars = []
    for policy, own in counts.items():
        asked = sum(own.values())
        parts = [Part(kind=colours[words], share=own[words] / asked) for words in verdicts if own[words]]
        share = f"{100 * sum(own[words] for words in granted) / asked:.1f} % granted" if asked else ""
        bars.append((of.names[policy], of.kind(policy), parts, share or ("bypasses it" if of.comparison[policy].outside else NOTHING)))
    drawn = figure(
        caption=f"Verdicts, as a share of all proposals of {seeds(of.comparison)}.",
        body=legend((colours[words], words) for words in verdicts) + stacked(bars),
        data=table(
            caption=f"Verdicts of {seeds(of.comparison)} together",
            heads=["policy", *verdicts],
            rows=[[of.names[policy], *(number(own[words], 0) for words in verdicts)] for policy, own in counts.items()],
        ),
    )
    words = (
        "A policy only proposes. One gate grants, amends or refuses: minimum greens, clearances and conflicts are never a policy's choice."
    )
    return section(paragraph(words), drawn, anchor="gate", title=title)


def violations(of: Material) -> str:
    """List the illegal displays that the audit found."""
    title, guilty = "Illegal displays", [one for one in of.comparison.policies if one.violations]
    words = (
        "An audit that shares no code with the gate reads SUMO's own record of the signals: conflicting greens, greens cut short, missing "
        "yellow change or red clearance."
    )
    if not guilty:
        return section(paragraph(f"{words} It found none, under any policy."), anchor="violations", title=title)
    clean = len(of.comparison.policies) - len(guilty)
    blocks = [paragraph(f"{words} {clean} of {len(of.comparison.policies)} policies are clean.")]
    for one in guilty:
        quoted = list(dict.fromkeys(line for _, run in of.runs.get(one.policy, ()) for line in run.violations))
        lines = [tag("li", tag("code", text(line))) for line in quoted[:VIOLATIONS]]
        if len(quoted) > VIOLATIONS:
            lines.append(tag("li", text(f"and {len(quoted) - VIOLATIONS} more that were kept")))
        found = f"{of.names[one.policy]}: {number(one.violations, 0)} over {seeds(of.comparison)}"
        blocks.append(tag("h3", text(found + (", an outside reference" if one.outside else ""))))
        blocks.append(tag("ul", *lines, class_="plainlist") if lines else "")
    return section(*blocks, anchor="violations", title=title)


def reading(of: Material) -> str:
    """Explain how figures are counted, in plain words."""
    told = [DELAY, MEASURES, INTERVALS, *[OUTSIDE] * any(one.outside for one in of.comparison.policies)]
    return section(*(paragraph(words) for words in told), anchor="reading", title="How this is counted")


def provenance(of: Material) -> str:
    """Tell what is needed to make the comparison again."""
    one, first = of.comparison, of.results[0]
    entries = (
        ("Scenario", text(one.scenario)),
        ("Its SHA-256", tag("code", text(one.scenario_sha256))),
        ("Demand", text(f"{one.scale:g} times the scenario's own")),
        ("SUMO", text(one.sumo_version)),
        ("Preset", text(one.preset)),
        ("Observation", text(one.observation)),
        ("Seeds", text(", ".join(map(str, one.seeds)))),
        (f"SUMO's options ({of.names[first.policy]}, seed {first.figures.seed})", tag("code", _options(first.options))),
    )
    rows = []
    for policy in one.policies:
        counts = [sum(getattr(seed, key) for seed in policy.figures) for key in ("teleports", "collisions", "emergency_brakings")]
        wall = f"{number(fmean(seed.wall_s for seed in policy.figures))} s"
        rows.append([policy.policy, "bypasses it" if policy.outside else "through it", wall, *(number(count, 0) for count in counts)])
    heads = ("policy, in full", "the gate", "wall time a run", "teleports", "collisions", "emergency brakings")
    return section(
        tag("dl", *(tag("dt", text(key)) + tag("dd", value) for key, value in entries), class_="provenance"),
        tag("details", tag("summary", "The runs"), table(caption=f"Counts over {seeds(one)} together", heads=heads, rows=rows)),
        anchor="provenance",
        title="Provenance",
    )


def _list(lines: Sequence[str], class_: str) -> str:
    """Set sentences one below the other; nothing for none."""
    return tag("ul", *(tag("li", text(line)) for line in lines), class_=class_) if lines else ""


def _options(options: Sequence[str]) -> str:
    """Write SUMO's options so that a line ends between two of them."""
    starts = [place for place, word in enumerate(options) if word.startswith("--")]
    ends = [*starts[1:], len(options)]
    told = [tag("span", escape(" ".join(options[start:end]))) for start, end in zip(starts, ends, strict=True)]
    return " ".join(told) or NOTHING


def _fact(of: Material, title: str, read: Callable[[PolicySummary], float], words: Callable[[float], str], unit: str) -> str:
    """Set one figure of the best policy large, and the reference's below."""
    best, reference = of.comparison[of.comparison.best], of.comparison[of.comparison.reference]
    beside = f"{of.reference}: {words(read(reference))} {unit}" if reference.policy != best.policy else ""
    value = tag("b", text(words(read(best))), tag("small", f"\u202f{unit}"))
    return tag("div", tag("dt", text(title)), tag("dd", value, tag("span", text(beside))))


def _whole(value: float) -> str:
    """Write a number without decimals."""
    return number(value, 0)


def _joined(words: str) -> str:
    """Undo the terminal's hyphens: here is room for whole words."""
    return {"grid-": "ended in", "locked": "gridlock", "viola-": "illegal", "tions": "displays"}.get(words, words)


def _cell(column: Column, one: PolicySummary, *, first: bool) -> str:
    """Write one figure."""
    value = column.cell(one)
    kinds = ["first"] * first + ["fault"] * (not column.wanted and value != "0")
    return tag("td", text(value), class_=" ".join(kinds) or None)


def _way(of: Material, way: Way, top: float) -> str:
    """Set one movement's line, tinted by its delay."""
    cells = [tag("td", number(way.trips, 0), class_="count")]
    for one in of.shown:
        value = way.delay_s.get(one.policy)
        tint = None if value is None else f"--h:{plain(0.62 * min(1.0, max(0.0, value / top)))}"
        cells.append(tag("td", NOTHING if value is None else number(value), style=tint))
    return tag("tr", tag("th", text(way.name), scope="row", title=way.edges), *cells)
