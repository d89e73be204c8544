"""What every section of a report draws from."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from envs.results import EpisodeResult, Series
from phasewise.report.geometry import Geography
from phasewise.report.series import Array, Spread, recorded, spread, time_axis
from phasewise.statistics import Comparison, PolicySummary
from phasewise.words import labels

Read = Callable[[Series], Sequence[float]]
"""Takes one figure over time from a series."""

Bring = Callable[[Sequence[float], Sequence[float], Array], Array]
"""Brings a figure from its own instants to common bins: `binned` or `sampled`."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """A comparison, and the series of its runs."""

    comparison: Comparison
    results: Sequence[EpisodeResult]
    runs: Mapping[str, list[tuple[int, Series]]]
    """Kept series by policy, each with its seed."""

    names: Mapping[str, str]
    """Short labels by policy."""

    edges: Array
    """Edges of the time bins, in seconds."""

    geography: Geography

    @property
    def horizon_s(self) -> float:
        """Where axes of time end: the last whole minute begun, in seconds."""
        return 60.0 * math.ceil(float(self.edges[-1]) / 60)

    @property
    def shown(self) -> list[PolicySummary]:
        """The policies whose series were kept, in rank."""
        return [one for one in self.comparison.policies if one.policy in self.runs]

    @property
    def reference(self) -> str:
        """The reference's label."""
        return self.names[self.comparison.reference]

    def kind(self, policy: str) -> str:
        """Name a policy's colour, as CSS classes."""
        if policy in (self.comparison.best, self.comparison.reference):
            return " ".join(word for word in ("best", "reference") if getattr(self.comparison, word) == policy)
        return "outside" if self.comparison[policy].outside else "other"

    def spreads(self, read: Read, bring: Bring) -> dict[str, Spread]:
        """Bring one figure of all seeds to the common time axis, by policy in rank; without those that did not keep it."""
        kept = {one.policy: [run for _, run in self.runs[one.policy] if len(read(run)) == len(run.time_s)] for one in self.shown}
        return {policy: spread([bring(run.time_s, read(run), self.edges) for run in runs]) for policy, runs in kept.items() if runs}


def material(comparison: Comparison, results: Sequence[EpisodeResult], geography: Geography) -> Material:
    """Gather what the sections draw from."""
    runs = recorded(results)
    edges = time_axis(run for kept in runs.values() for _, run in kept)
    names = labels([one.policy for one in comparison.policies])
    return Material(comparison=comparison, results=results, runs=runs, names=names, edges=edges, geography=geography)
