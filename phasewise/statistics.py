"""What may be concluded from the same seeds run under several policies. Pure functions; nothing is drawn by chance.

    results --check_comparable--> by policy --estimate, paired_difference--> Comparison

Policies are ranked by their median delay, then by the mean. Intervals are Student's t over seeds. A paired difference is taken seed by
seed, so that what a seed's demand does to every policy alike drops out.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev

from envs.results import EpisodeResult, SeedResult
from intersection.errors import UnknownNameError, UserError

LEVEL = 0.95
"""Confidence of every interval."""

ENOUGH_SEEDS = 5
"""With fewer, an interval says little: its half-width is at least 1.4 standard deviations."""

WILCOXON_SEEDS = 6
"""The fewest pairs whose signed ranks can reach p < 0.05: with five the least p is 2 / 2**5 = 0.0625."""

FIXED_TIME = "fixed_time"
"""The policy that others are measured against, where it was run."""

YARDSTICKS = (FIXED_TIME, "program")
"""What a street gets without any adaptive control: the network's program through the gate, and as its author wrote it."""

COLLAPSED = 3.0
"""From how many times the yardstick's mean delay on a policy counts as collapsed: no tuning makes up for that, and no noise explains it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean over seeds and its confidence interval, which one seed cannot give."""

    n: int
    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float | None:
        """Half the interval, the number after ±."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """A policy less the reference, seed by seed. Negative is better where less is better."""

    reference: str
    difference: Estimate
    test: str = ""
    """`Wilcoxon signed-rank` or `paired t`; empty for one seed."""

    p_value: float | None = None
    """Two-sided, of this pair alone: not corrected for how many policies are compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicySummary:
    """One policy over all its seeds."""

    policy: str
    outside: bool
    figures: tuple[SeedResult, ...]
    """One a seed, in the seeds' order."""

    delay: Estimate
    """Seconds a due vehicle."""

    co2_kg: Estimate
    median_delay_s: float
    worst_delay_s: float
    worst_seed: int
    p95_wait_s: float
    """Mean over seeds."""

    max_wait_s: float
    """Longest over all seeds."""

    max_red_s: float
    """Longest over all seeds."""

    stops: float
    """Mean over seeds."""

    never_inserted: int
    """Due vehicles that never got in, over all seeds together."""

    gridlocked: int
    """How many seeds ended in gridlock."""

    violations: int
    """Illegal displays, over all seeds together."""

    against: PairedDifference | None = None
    """Its delay against the reference's; the reference itself has none."""

    @property
    def n(self) -> int:
        """How many seeds."""
        return len(self.figures)

    @property
    def gridlocked_seeds(self) -> tuple[int, ...]:
        """Which seeds ended in gridlock."""
        return tuple(one.seed for one in self.figures if one.gridlocked)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Several policies on one scenario over the same seeds, the least median delay first."""

    scenario: str
    preset: str
    observation: str
    scale: float
    """Factor on the scenario's own demand, dimensionless."""

    sumo_version: str
    scenario_sha256: str
    seeds: tuple[int, ...]
    policies: tuple[PolicySummary, ...]
    best: str
    """The first in rank that goes through the gate; the first of all if none does."""

    reference: str

    yardstick: str | None = None
    """Of `YARDSTICKS` the one with the least mean delay; None where none was run."""

    def times(self, policy: str) -> float | None:
        """Divide a policy's mean delay by the yardstick's; None for the yardstick itself, and where it is not known."""
        if self.yardstick is None or policy == self.yardstick:
            return None
        base = self[self.yardstick].delay.mean
        return self[policy].delay.mean / base if base > 0 else None

    def has_collapsed(self, policy: str) -> bool:
        """Tell whether a policy costs several times what the street costs without it."""
        times = self.times(policy)
        return times is not None and times >= COLLAPSED

    def __getitem__(self, policy: str) -> PolicySummary:
        """Find a policy's summary by its name."""
        found = {summary.policy: summary for summary in self.policies}
        if policy not in found:
            raise UnknownNameError("policy", policy, found)
        return found[policy]


def estimate(values: Sequence[float]) -> Estimate:
    """Estimate a mean with its t-interval: mean ± t(0.975, n - 1) s / sqrt(n). Where a value is no number, neither is the mean.

    Raises:
        ValueError: there is no value.
    """
    n, mean = len(values), fmean(values)
    if n < 2 or not math.isfinite(mean):
        return Estimate(n=n, mean=mean)
    half = _t_quantile(n - 1) * stdev(values) / math.sqrt(n)
    return Estimate(n=n, mean=mean, low=mean - half, high=mean + half)


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float], *, name: str = "") -> PairedDifference:
    """Compare one figure of two policies, both by seed: mean difference, its t-interval and a two-sided paired test.

    The test is Wilcoxon's signed-rank from six seeds on (exact for these sample sizes; one gridlocked seed cannot decide it), and the
    paired t below, where signed ranks can never reach p < 0.05. The choice hangs on the number of seeds alone, never on the values.

    Args:
        values: the policy's figure by seed.
        reference: the reference's figure by the same seeds.
        name: the reference's name.

    Raises:
        UserError: the seeds are not the same.
    """
    if values.keys() != reference.keys():
        raise UserError(f"a paired difference needs the same seeds: {_listed(values)} and {_listed(reference)}")
    differences = [values[seed] - reference[seed] for seed in sorted(values)]
    difference = estimate(differences)
    if difference.n < 2:
        return PairedDifference(reference=name, difference=difference)
    if difference.n < WILCOXON_SEEDS:
        return PairedDifference(reference=name, difference=difference, test="paired t", p_value=_paired_t(differences))
    return PairedDifference(reference=name, difference=difference, test="Wilcoxon signed-rank", p_value=_wilcoxon(differences))


def check_comparable(results: Sequence[EpisodeResult]) -> None:
    """Refuse results that do not answer the same question. What outside references observe is SUMO's own affair.

    Raises:
        UserError: there is none; scenario, scale of the demand, SUMO version, preset or observation differ; a seed was run twice; the
            seeds differ. Where two results disagree both are named.
    """
    if not results:
        raise UserError("there is no result to compare")
    _check_same("scenarios", results, lambda one: one.scenario_sha256)
    _check_same("demand scales", results, lambda one: f"{one.scale:g}")
    _check_same("SUMO versions", results, lambda one: one.sumo_version)
    _check_same("presets", results, lambda one: one.preset)
    _check_same("observation ranges", [one for one in results if not one.outside], lambda one: one.observation)
    by_policy = {policy: [one.figures.seed for one in episodes] for policy, episodes in _by_policy(results).items()}
    first, wanted = next(iter(by_policy.items()))
    for policy, seeds in by_policy.items():
        if len(set(seeds)) < len(seeds):
            raise UserError(f"{policy} was run twice with the same seed: {_listed(seeds)}")
        if set(seeds) != set(wanted):
            raise UserError(f"policies must be run with the same seeds: {first} had {_listed(wanted)}, and {policy} had {_listed(seeds)}")


def compare(results: Sequence[EpisodeResult], *, reference: str | None = None) -> Comparison:
    """Compare policies over the same seeds.

    Args:
        results: one a policy and seed, in any order.
        reference: whom paired differences are taken against; else `fixed_time`, or the best where that was not run.

    Raises:
        UserError: the results cannot be compared (see `check_comparable`).
        UnknownNameError: no result is the reference's.
    """
    check_comparable(results)
    by_policy = _by_policy(results)
    summaries = (_summarise(episodes) for episodes in by_policy.values())
    ranked = sorted(summaries, key=lambda one: (one.median_delay_s, one.delay.mean, one.policy))
    best = next((one.policy for one in ranked if not one.outside), ranked[0].policy)
    if reference is None:
        reference = FIXED_TIME if FIXED_TIME in by_policy else best
    if reference not in by_policy:
        raise UnknownNameError("policy", reference, by_policy)
    first = results[0]
    yardsticks = [one for one in ranked if one.policy in YARDSTICKS]
    return Comparison(
        scenario=first.scenario,
        preset=first.preset,
        observation=first.observation,
        scale=first.scale,
        sumo_version=first.sumo_version,
        scenario_sha256=first.scenario_sha256,
        seeds=tuple(sorted(episode.figures.seed for episode in by_policy[first.policy])),
        policies=tuple(one if one.policy == reference else _against(one, by_policy, reference) for one in ranked),
        best=best,
        reference=reference,
        yardstick=min(yardsticks, key=lambda one: one.delay.mean).policy if yardsticks else None,
    )


def _check_same(what: str, results: Sequence[EpisodeResult], read: Callable[[EpisodeResult], str]) -> None:
    """Refuse results that differ in something, naming the first two that do."""
    for other in results[1:]:
        if read(other) != read(results[0]):
            ours, theirs = (f"{read(one)} ({one.scenario}, {one.policy}, seed {one.figures.seed})" for one in (results[0], other))
            raise UserError(f"results of different {what} cannot be compared: {ours} and {theirs}")


def _summarise(episodes: Sequence[EpisodeResult]) -> PolicySummary:
    """Sum up one policy's seeds, without the reference."""
    figures = tuple(sorted((episode.figures for episode in episodes), key=lambda one: one.seed))
    worst = max(figures, key=lambda one: one.delay_s)
    return PolicySummary(
        policy=episodes[0].policy,
        outside=episodes[0].outside,
        figures=figures,
        delay=estimate([one.delay_s for one in figures]),
        co2_kg=estimate([one.co2_kg for one in figures]),
        median_delay_s=median(one.delay_s for one in figures),
        worst_delay_s=worst.delay_s,
        worst_seed=worst.seed,
        p95_wait_s=fmean(one.p95_wait_s for one in figures),
        max_wait_s=max(one.max_wait_s for one in figures),
        max_red_s=max(one.max_red_s for one in figures),
        stops=fmean(one.stops for one in figures),
        never_inserted=sum(one.due - one.inserted for one in figures),
        gridlocked=sum(one.gridlocked for one in figures),
        violations=sum(one.violations for one in figures),
    )


def _against(summary: PolicySummary, by_policy: Mapping[str, Sequence[EpisodeResult]], reference: str) -> PolicySummary:
    """Add the paired difference of delay to a summary."""
    ours, theirs = ({one.figures.seed: one.figures.delay_s for one in by_policy[policy]} for policy in (summary.policy, reference))
    return replace(summary, against=paired_difference(ours, theirs, name=reference))


def _by_policy(results: Sequence[EpisodeResult]) -> dict[str, list[EpisodeResult]]:
    """Group results by policy, in the order in which the policies first appear."""
    groups: defaultdict[str, list[EpisodeResult]] = defaultdict(list)
    for result in results:
        groups[result.policy].append(result)
    return dict(groups)


def _t_quantile(degrees: int) -> float:
    """Find Student's t that a two-sided interval of `LEVEL` reaches to."""
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, degrees))


def _paired_t(differences: Sequence[float]) -> float:
    """Test by Student's t whether differences have mean zero; differences that are all the same leave no doubt."""
    from scipy.stats import t

    mean, error = fmean(differences), stdev(differences) / math.sqrt(len(differences))
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * t.sf(abs(mean) / error, len(differences) - 1))


def _wilcoxon(differences: Sequence[float]) -> float:
    """Test by signed ranks whether differences lie around zero; zeros are dropped, as Wilcoxon did."""
    from scipy.stats import wilcoxon

    moved = [difference for difference in differences if difference != 0]
    return float(wilcoxon(moved).pvalue) if moved else 1.0


def _listed(seeds: Iterable[int]) -> str:
    """List seeds for a message."""
    return ", ".join(map(str, sorted(seeds))) or "none"
