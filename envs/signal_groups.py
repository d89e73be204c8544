"""Turns the stages of a program, link by link, into groups of links and stages of groups that can be run as they stand.

A group is what becomes a phase: links that show the same in every stage. Groups conflict where their links are foes at a junction. In a
stage that makes two conflicting groups green, one of them must be permissive and give way at the junction to every foe in the other. Where
a group is of two minds about that, it is split. Where a stage still has none that gives way, the one that the junction makes give way is
demoted to a permissive green; if there is none, the one that is green elsewhere is left out of the stage.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from envs.signal_links import Links
from intersection.tables import bits

MOST_STAGES = 64
"""The most stages of a signal; the enumeration of maximal stages ends there."""

Report = Callable[[str, str], None]
"""Takes the cause and the effect of something unusual."""


class StageOf(NamedTuple):
    """A stage by its groups, as masks of their positions."""

    protected: int
    permissive: int = 0

    @property
    def green(self) -> int:
        """All groups that are green in it."""
        return self.protected | self.permissive


@dataclass(frozen=True)
class Groups:
    """Groups of links with their conflicts, and the stages made of them."""

    links: tuple[tuple[int, ...], ...]
    """For each group its links, ascending."""

    fixed: dict[int, str]
    """Links that stand in no group, with the letter that they always show."""

    stages: tuple[StageOf, ...]
    """Each once."""

    at: tuple[int, ...]
    """For each stage of the program the one that it became, or -1 where nothing is left of it."""

    conflicts: tuple[int, ...]
    """For each group those that it is never protected with, as a mask."""

    yields: tuple[int, ...]
    """For each group those to all of whose links all of its own give way, as a mask."""

    @property
    def ever_permissive(self) -> int:
        """The groups that some stage makes permissive."""
        return _union(stage.permissive for stage in self.stages)


def _union(masks: Iterable[int]) -> int:
    total = 0
    for mask in masks:
        total |= mask
    return total


def constant_links(stages: Sequence[str], states: Sequence[str], links: Links) -> dict[int, str]:
    """Find the links whose letter never changes, and that nothing must be kept from.

    Args:
        stages: for each link G, g or r.
        states: the program's own states, in SUMO's letters.
        links: of the signal.

    Returns:
        The letter by link. Those that are green throughout are left to a phase where they have a foe that neither gives way to them nor
        they to it, and where the program has one stage only.
    """
    fixed = {}
    # A link without any green will get one.
    dead = {index for index in bits(links.connected) if all(stage[index] == "r" for stage in stages)}
    stages = ["".join("G" if index in dead else letter for index, letter in enumerate(stage)) for stage in stages]
    for index in bits(links.connected):
        shown = {state[index] for state in states}
        letters = {stage[index] for stage in stages} if index not in dead else set()
        if shown <= {"s", "r", "R"} and "s" in shown:
            fixed[index] = "s"
        elif len(shown) == 1 and shown <= set("oO"):
            fixed[index] = shown.pop()
        elif len(letters) == 1 and len(stages) > 1 and letters <= set("Gg") and not links.crossings >> index & 1:
            letter = letters.pop()
            if all(_at_peace(index, foe, stage, links) for stage in stages for foe in bits(links.foes[index])):
                fixed[index] = letter
    return fixed


def _at_peace(link: int, foe: int, stage: str, links: Links) -> bool:
    return (
        stage[foe] == "r"
        or (stage[link] == "g" and bool(links.gives_way[link] >> foe & 1))
        or (stage[foe] == "g" and bool(links.gives_way[foe] >> link & 1))
    )


@dataclass
class Grouping:
    """Works out the groups of one signal."""

    links: Links
    stages: Sequence[str]
    """The program's, for each link G, g or r."""

    report: Report
    by_edge: bool = False
    """Whether links that come from different edges stand in different groups."""

    fixed: dict[int, str] = field(default_factory=dict)

    def work_out(self, *, maximal: bool = False) -> Groups:
        """Group the links, mend the stages, and add what is missing or asked for.

        Args:
            maximal: add every maximal compatible stage to those of the program, as far as `MOST_STAGES`.
        """
        groups = self._refined(self._same_signature())
        masks = [_mask(group) for group in groups]
        conflicts = tuple(_mask(at for at, mask in enumerate(masks) if self.links.conflict(own, mask)) for own in groups)
        yields = tuple(
            meets & _mask(at for at, mask in enumerate(masks) if self.links.yields(own, mask))
            for own, meets in zip(groups, conflicts, strict=True)
        )
        drafts = [self._mended(at, groups, conflicts, yields) for at in range(len(self.stages))]
        stages = list(dict.fromkeys(stage for stage in drafts if stage.green))
        at = tuple(stages.index(stage) if stage.green else -1 for stage in drafts)
        stages += self._missing(groups, stages, conflicts)
        if maximal:
            stages = self._with_maximal(stages, len(groups), conflicts, yields)
        return Groups(tuple(groups), self.fixed, tuple(stages), at, conflicts, yields)

    def _same_signature(self) -> list[tuple[int, ...]]:
        by_signature: dict[Hashable, list[int]] = {}
        for index in bits(self.links.connected):
            if index in self.fixed:
                continue
            link = self.links.links[index]
            shown = tuple(stage[index] for stage in self.stages)
            split = self.by_edge or not set(shown) & set("Gg")
            by_signature.setdefault((shown, link.crossing, link.from_edges if split else None), []).append(index)
        return sorted(map(tuple, by_signature.values()))

    def _refined(self, groups: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Split groups until none has foes inside, and none is of two minds about who gives way to whom."""
        at = 0
        while at < len(groups):
            parts = self._parted_inside(groups[at]) or next(
                (parts for other in groups if other is not groups[at] and (parts := self._parted_by(groups[at], other))), None
            )
            if parts is None:
                at += 1
            else:
                groups = sorted([*groups[:at], *groups[at + 1 :], *parts])
                at = 0
        return groups

    def _parted_inside(self, group: tuple[int, ...]) -> list[tuple[int, ...]] | None:
        own = _mask(group)
        if not self.links.conflict(group, own):
            return None
        gives, foes = self.links.gives_way, self.links.foes
        roles = _parts(group, lambda link: (bool(gives[link] & own), bool(foes[link] & ~gives[link] & own)))
        return roles or _parts(group, lambda link: self.links.links[link].from_edges) or [(link,) for link in group]

    def _parted_by(self, group: tuple[int, ...], other: tuple[int, ...]) -> list[tuple[int, ...]] | None:
        """Part a group by how its links stand to another's, where the two are green together and none gives way as a whole."""
        theirs, links = _mask(other), self.links
        if len(group) == 1 or not links.conflict(group, theirs):
            return None
        for stage in self.stages:
            here, there = stage[group[0]], stage[other[0]]
            if here == "r" or there == "r":
                continue
            if (here == "g" and links.yields(group, theirs)) or (there == "g" and links.yields(other, _mask(group))):
                continue
            return _parts(
                group,
                lambda link: (
                    bool(links.foes[link] & theirs),
                    links.yields((link,), theirs),
                    links.yields(other, 1 << link),
                ),
            )
        return None

    def _mended(self, at: int, groups: Sequence[tuple[int, ...]], conflicts: Sequence[int], yields: Sequence[int]) -> StageOf:
        """Make a stage of the program out of groups, with every two that are green together at peace."""
        shown = [self.stages[at][group[0]] for group in groups]
        protected = sum(1 << g for g, letter in enumerate(shown) if letter == "G")
        permissive = sum(1 << g for g, letter in enumerate(shown) if letter == "g")
        for first, second in self._pairs(protected | permissive, conflicts):
            a, b = 1 << first, 1 << second
            if not (protected | permissive) & a or not (protected | permissive) & b:
                continue
            if (permissive & a and yields[first] & b) or (permissive & b and yields[second] & a):
                continue
            both = "both protected" if protected & a and protected & b else "green together, and neither gives way by its light"
            cause = f"stage {at + 1} of the program has foes, links {_list(groups[first])} and {_list(groups[second])}, {both}"
            if yields[first] & b or yields[second] & a:
                lower = first if yields[first] & b else second
                protected, permissive = protected & ~(1 << lower), permissive | 1 << lower
                self.report(cause, f"links {_list(groups[lower])}, which give way at the junction, are permissive in it")
            else:
                lower = max((first, second), key=lambda g: (self._greens(groups[g]), -len(groups[g])))
                protected, permissive = protected & ~(1 << lower), permissive & ~(1 << lower)
                self.report(cause, f"links {_list(groups[lower])} are red in it")
        return StageOf(protected, permissive)

    @staticmethod
    def _pairs(mask: int, conflicts: Sequence[int]) -> Iterator[tuple[int, int]]:
        for first in bits(mask):
            for second in bits(conflicts[first] & mask):
                if first < second:
                    yield first, second

    def _greens(self, group: tuple[int, ...]) -> int:
        return sum(stage[group[0]] != "r" for stage in self.stages)

    def _missing(self, groups: Sequence[tuple[int, ...]], stages: Sequence[StageOf], conflicts: Sequence[int]) -> list[StageOf]:
        """Make stages for the groups that none serves, each with all such groups that fit together."""
        unserved = ((1 << len(groups)) - 1) & ~_union(stage.green for stage in stages)
        added = []
        while unserved:
            together = 0
            for group in bits(unserved):
                if not conflicts[group] & together:
                    together |= 1 << group
            served = _list([link for group in bits(together) for link in groups[group]])
            self.report(f"no green stage serves links {served}", "a stage of their own is added")
            added.append(StageOf(together))
            unserved &= ~together
        return added

    def _with_maximal(self, stages: Sequence[StageOf], count: int, conflicts: Sequence[int], yields: Sequence[int]) -> list[StageOf]:
        """Add every maximal set of groups that can be protected together, and what can give way beside it.

        A group may be permissive only if the program makes it so somewhere; one that the program never protects always is.
        """
        permissive = _union(stage.permissive for stage in stages)
        protected = _union(stage.protected for stage in stages)
        found = dict.fromkeys(stages)
        for clique in cliques(protected, tuple(~mask for mask in conflicts)):
            beside = 0
            for group in bits(permissive & ~clique & ((1 << count) - 1)):
                meets = conflicts[group] & (clique | beside)
                if all(yields[group] >> other & 1 or (beside >> other & 1 and yields[other] >> group & 1) for other in bits(meets)):
                    beside |= 1 << group
            found.setdefault(StageOf(clique, beside))
            if len(found) >= MOST_STAGES:
                self.report(f"there are more than {MOST_STAGES} maximal stages", f"the first {MOST_STAGES} are kept")
                break
        return list(found)


def cliques(candidates: int, compatible: Sequence[int]) -> Iterator[int]:
    """Enumerate the maximal sets of groups that are compatible pair by pair (Bron and Kerbosch, with pivots), as masks.

    Args:
        candidates: the groups to choose from.
        compatible: for each group those that it is compatible with; its own bit is ignored.
    """

    def grow(chosen: int, open_: int, closed: int) -> Iterator[int]:
        if not open_ | closed:
            yield chosen
            return
        pivot = max(bits(open_ | closed), key=lambda group: (compatible[group] & open_).bit_count())
        for group in bits(open_ & ~(compatible[pivot] & ~(1 << pivot))):
            own = compatible[group] & ~(1 << group)
            yield from grow(chosen | 1 << group, open_ & own, closed & own)
            open_ &= ~(1 << group)
            closed |= 1 << group

    if candidates:
        yield from grow(0, candidates, 0)


def _parts(group: Sequence[int], key: Callable[[int], Hashable]) -> list[tuple[int, ...]] | None:
    """Part a group by a key; None where that parts nothing."""
    parts: dict[Hashable, list[int]] = {}
    for link in group:
        parts.setdefault(key(link), []).append(link)
    return [tuple(part) for part in parts.values()] if len(parts) > 1 else None


def _mask(indices: Iterable[int]) -> int:
    return sum(1 << index for index in indices)


def _list(links: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(links)))
