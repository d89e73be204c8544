"""A comparison in words and numbers: what the table, the report and the picture say alike."""

import math
import re
from collections.abc import Sequence
from pathlib import PurePath

from phasewise.statistics import COLLAPSED, ENOUGH_SEEDS, YARDSTICKS, Comparison, Estimate, PairedDifference, PolicySummary

NOTHING = "–"
"""What stands where there is no number."""

DELAY = (
    "Delay is the time that a trip lost against driving alone at the speed it would have chosen: SUMO's timeLoss, and before it "
    "departDelay, the wait outside a full network. It is the mean over all vehicles that were due, so none can be made to vanish: one that "
    "never got in counts the whole time from when it was due to the end. Nothing is teleported out of a jam."
)
"""How delay is counted."""

MEASURES = (
    "Wait is the time at a standstill of the trips that got in; its 95th percentile is the mean over seeds, its maximum the longest of "
    "all. Longest red is the longest that any signal group stood at red. Stops are a trip's. Vehicles that never got in, gridlocked seeds "
    "and illegal displays are counted over all seeds together."
)
"""What the other columns are."""

INTERVALS = (
    "Every policy met the same seeds, so differences are taken seed by seed. Intervals are Student's t at 95 %: over many such "
    "comparisons, nineteen of twenty hold the true mean. A difference whose interval holds zero is no clear difference. P-values are "
    "of one pair alone: among many policies, some small ones come by chance."
)
"""How differences are judged."""

COLLAPSE = (
    f"A policy is said to collapse where its mean delay is {COLLAPSED:g} times that of the network's own program, or more. A seed is "
    "gridlocked if the street stood still at its end: at the pace of its last five minutes, those in it would have needed over twenty "
    "times their free travel time to leave. Greedy rules do both where queues reach back to the signal upstream."
)
"""When a policy is said to collapse."""

OUTSIDE = "Outside references are SUMO's own programs. They bypass the gate, so they may show what no cabinet would."
"""Why some policies stand apart."""


def number(value: float, digits: int = 1) -> str:
    """Write a number with thousands apart and a real minus sign, or a dash if it is none."""
    if not math.isfinite(value):
        return NOTHING
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.,") else text.replace("-", "−")


def signed(value: float, digits: int = 1) -> str:
    """Write a difference with its sign."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.,") else text


def seconds(value: float) -> str:
    """Write a time: to a tenth of a second, or to a second from 1,000 s on."""
    return number(value, 1 if abs(value) < 1000 else 0)


def plus_minus(of: Estimate, digits: int = 1) -> str:
    """Write a mean with half its interval, or without where there is none."""
    return number(of.mean, digits) + width(of, digits)


def width(of: Estimate, digits: int = 1) -> str:
    """Write half an interval behind its ±, in whole numbers from 1,000 on; empty where there is none."""
    half = of.half_width
    return "" if half is None else f" ±{number(half, digits if half < 1000 else 0)}"


def probability(of: PairedDifference | None) -> str:
    """Write a p-value."""
    if of is None or of.p_value is None:
        return NOTHING
    return "<0.001" if of.p_value < 0.001 else f"{of.p_value:.3f}" if of.p_value < 0.1 else f"{of.p_value:.2f}"


def interval(of: Estimate, *, flipped: bool = False) -> str:
    """Write an interval's two ends, on request of the opposite of what was estimated."""
    if of.low is None or of.high is None:
        return ""
    low, high = (-of.high, -of.low) if flipped else (of.low, of.high)
    return f"{number(low)} to {number(high)}"


def labels(policies: Sequence[str]) -> dict[str, str]:
    """Shorten policies that are named by a path to the path's end, as far as they stay apart."""
    short = {policy: PurePath(policy).name or policy for policy in policies}
    names = list(short.values())
    return {policy: name if names.count(name) == 1 else policy for policy, name in short.items()}


def seeds(of: Comparison) -> str:
    """Say how many seeds."""
    return "one seed" if len(of.seeds) == 1 else f"{len(of.seeds)} seeds"


def scaled(of: Comparison) -> str:
    """Say by how much the demand was scaled; empty where it is the scenario's own."""
    return "" if of.scale == 1.0 else f" at {of.scale:g} times its demand"


def caution(of: Comparison) -> str:
    """Say if there are too few seeds to conclude from; empty if there are enough."""
    n = len(of.seeds)
    if n == 1:
        return "One seed gives no interval and no test: run at least five, better ten."
    if n < ENOUGH_SEEDS:
        return f"Only {n} seeds: the intervals are wide and the test is weak; run at least five, better ten."
    return ""


def collapses(of: Comparison) -> list[str]:
    """Name the policies that cost several times what the street costs without them, then the others that ended in gridlock."""
    worst_first = sorted(of.policies, key=lambda one: -one.delay.mean)
    return [
        *(_collapse(of, one) for one in worst_first if of.has_collapsed(one.policy)),
        *(_gridlock(of, one) for one in worst_first if one.gridlocked and not of.has_collapsed(one.policy)),
    ]


def unmeasured(of: Comparison) -> str:
    """Say if a collapse cannot be told because nothing was run to tell it by; empty if it can."""
    return "" if of.yardstick else f"Neither {' nor '.join(YARDSTICKS)} was run, so a collapse cannot be told: run one of them too."


def _collapse(of: Comparison, one: PolicySummary) -> str:
    """Say that a policy collapses: how far, how evenly over the seeds, and whether the street stood still."""
    name = labels([each.policy for each in of.policies])
    return f"{name[one.policy]} collapses here: {seconds(one.delay.mean)} s, {_times(of, one)}{_by_seed(one)}; {locked(one)}."


def _gridlock(of: Comparison, one: PolicySummary) -> str:
    """Say that a policy ended in gridlock with some seeds, though its mean did not collapse."""
    name = labels([each.policy for each in of.policies])
    beside = f", {_times(of, one)}" if of.times(one.policy) else ""
    return f"{name[one.policy]}: {locked(one)}; {seconds(one.delay.mean)} s{beside}{_by_seed(one)}."


def _times(of: Comparison, one: PolicySummary) -> str:
    """Say how many times the yardstick's delay a policy has."""
    name = labels([each.policy for each in of.policies])
    return f"{number(of.times(one.policy) or 0.0)} times {name[of.yardstick or '']}"


def _by_seed(one: PolicySummary) -> str:
    """Say how a policy's delay lies over its seeds, in brackets."""
    if one.n == 1:
        return ""
    return f" (median {seconds(one.median_delay_s)} s, worst {seconds(one.worst_delay_s)} s with seed {one.worst_seed})"


def locked(one: PolicySummary) -> str:
    """Say how many seeds ended in gridlock, and which, where they are few."""
    if one.n == 1:
        return "its only seed gridlocked" if one.gridlocked else "not gridlocked"
    which = f" ({', '.join(map(str, one.gridlocked_seeds))})" if 0 < one.gridlocked <= 3 and one.gridlocked < one.n else ""
    return f"{one.gridlocked or 'none'} of {one.n} seeds gridlocked{which}"


def tested(of: Comparison) -> str:
    """Say how the differences were tested; empty where nothing was."""
    tests = sorted({one.against.test for one in of.policies if one.against and one.against.test})
    if not tests:
        return ""
    return f"p: two-sided {' and '.join(tests)} test of this pair alone, over the same {seeds(of)}"


def headline(of: Comparison) -> str:
    """Say the result in one line."""
    name = labels([one.policy for one in of.policies])
    best, reference = of[of.best], of[of.reference]
    if len(of.policies) == 1:
        return f"{name[best.policy]}: {seconds(best.delay.mean)} s of delay per vehicle"
    if best.against is None:
        return f"{name[best.policy]} has the least delay: {seconds(best.delay.mean)} s per vehicle"
    difference = best.against.difference
    if reference.delay.mean <= 0 or difference.mean >= 0:
        return f"{name[best.policy]} has the least median delay, but not the least mean"
    if difference.high is not None and difference.high >= 0:
        return f"No clear difference in delay between {name[best.policy]} and {name[reference.policy]}"
    share = -difference.mean / reference.delay.mean
    return f"{name[best.policy]}: {100 * share:.0f} % less delay than {name[reference.policy]}"


def lede(of: Comparison) -> str:
    """Say the result in a few sentences: the figures, their interval, and whatever qualifies them."""
    best, reference = of[of.best], of[of.reference]
    sentences = [_against_reference(of, best, reference) if best.against else _against_next(of, best)]
    sentences += _reserves(of, best)
    return " ".join(sentence for sentence in sentences if sentence)


def _against_reference(of: Comparison, best: PolicySummary, reference: PolicySummary) -> str:
    """Set the best policy against the reference."""
    if best.against is None:
        return ""
    difference = best.against.difference
    way = "less" if difference.mean < 0 else "more"
    said = (
        f"{_vehicles(best)} lost {seconds(best.delay.mean)} s on average instead of {seconds(reference.delay.mean)} s: "
        f"{seconds(abs(difference.mean))} s {way}"
    )
    if difference.low is None:
        return f"{said}, with one seed."
    p = probability(best.against)
    p = f"p {p[0]} {p[1:]}" if p.startswith("<") else f"p = {p}"
    ends = interval(difference, flipped=difference.mean < 0)
    return f"{said} (95 % interval {ends} s; {best.against.test}, {p}), over the same {seeds(of)}."


def _against_next(of: Comparison, best: PolicySummary) -> str:
    """Set the best policy against the next in rank, where the best is itself the reference."""
    name = labels([one.policy for one in of.policies])
    said = f"{_vehicles(best)} lost {plus_minus(best.delay)} s on average over {seeds(of)}."
    others = [one for one in of.policies if one.policy != best.policy]
    if not others or others[0].against is None:
        return said
    other, difference = others[0], others[0].against.difference
    way = "more" if difference.mean >= 0 else "less"
    ends = f" (95 % interval {interval(difference, flipped=difference.mean < 0)} s)" if difference.low is not None else ""
    return f"{said} The next, {name[other.policy]}, has {seconds(abs(difference.mean))} s {way}{ends}."


def _reserves(of: Comparison, best: PolicySummary) -> list[str]:
    """Say what qualifies the result: gridlock, illegal displays, vehicles kept out, a better policy that bypasses the gate, few seeds."""
    name = labels([one.policy for one in of.policies])
    said = []
    if best.gridlocked:
        said.append(f"It ended in gridlock with {best.gridlocked} of {seeds(of)}.")
    if best.never_inserted:
        said.append(f"Over {seeds(of)}, {_counted(best.never_inserted, 'vehicle')} never got in.")
    if best.violations:
        said.append(f"Over {seeds(of)}, the audit found {_counted(best.violations, 'illegal display')}.")
    outside = next((one for one in of.policies if one.outside), None)
    if outside and not best.outside and outside.median_delay_s < best.median_delay_s:
        caught = f", and its displays were illegal {number(outside.violations, 0)} times" if outside.violations else ""
        said.append(f"{name[outside.policy]} has less ({seconds(outside.delay.mean)} s), but bypasses the gate{caught}.")
    return [*said, caution(of)]


def _counted(count: int, what: str) -> str:
    """Write a count with its noun."""
    return f"{number(count, 0)} {what}{'' if count == 1 else 's'}"


def _vehicles(of: PolicySummary) -> str:
    """Say how many vehicles were due with a seed."""
    due = [one.due for one in of.figures]
    about = "" if len(set(due)) == 1 else "about "
    return f"Each of the {about}{number(sum(due) / len(due), 0)} vehicles due"


def typeset(text: str) -> str:
    """Keep numbers and their units on one line, by narrow no-break spaces."""
    return re.sub(r"(?<=[\d–]) (?=(?:s|%|kg|g|m|h|min)\b|%)", "\u202f", re.sub(r"(?<=\d) ±(?=\d)", "\u202f±\u202f", text))
