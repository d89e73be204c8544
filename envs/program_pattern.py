"""Makes pattern 1 of a signal: the cycle, splits and offset of its own program, as far as they can be run."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from math import ceil
from typing import NamedTuple

from envs.signal_groups import Groups, Report
from envs.signal_program import Reading
from intersection.phase import Tenths
from intersection.plan import Pattern
from intersection.tables import Tables, bits


def pattern_of(reading: Reading, groups: Groups, tables: Tables, step: Tenths, report: Report) -> Pattern:
    """Make the pattern of a program.

    A split that its stage's minimum green, walks and clearances do not fit into is lengthened, at the cost of those that can spare it;
    where none can, the cycle is longer than the program's. Stages that serve what the program does not come at the end, as short as can be.

    Args:
        reading: the program.
        groups: what its stages became.
        tables: of the signal, without patterns.
        step: to whole numbers of which splits are changed, in tenths of a second.
        report: takes what was changed.
    """
    cycle, offset = sum(run.split for run in reading.runs), reading.offset
    became = dict(zip(reading.stages, groups.at, strict=True))
    entries: list[tuple[int, Tenths]] = []
    lead = 0
    for run in reading.runs:
        at = became[run.letters]
        if entries and at in (-1, entries[-1][0]):
            entries[-1] = (entries[-1][0], entries[-1][1] + run.split)
        elif at < 0:
            lead += run.split
        else:
            entries.append((at, run.split))
    if entries:
        entries[-1] = (entries[-1][0], entries[-1][1] + lead)
        offset += lead
    left_out = sum(run.split for run in reading.runs if became[run.letters] < 0)
    if left_out:
        report("stages that make only links green that belong to no phase", f"their {left_out / 10:g} s go to the stage before them")
    if len(entries) > 1 and entries[0][0] == entries[-1][0]:
        offset -= entries[-1][1]
        entries[0] = (entries[0][0], entries[0][1] + entries.pop()[1])
    given = [split for _, split in entries]
    fit = _Fit(tables, [at for at, _ in entries], list(given), step)
    fit.append_missing()
    fit.lengthen()
    fit.shorten(sum(fit.splits) - cycle)
    pattern = fit.pattern(offset)
    if fit.splits != given:
        changed = [
            f"{name} {before / 10:g} -> {after / 10:g} s" if before else f"{name} added with {after / 10:g} s"
            for name, before, after in zip(pattern.sequence, [*given, *[0] * (len(fit.splits) - len(given))], fit.splits, strict=True)
            if before != after
        ]
        longer = "" if pattern.cycle == cycle else f"; the cycle is {pattern.cycle / 10:g} s instead of {cycle / 10:g} s"
        report(
            "minimum greens, walks and clearances do not fit into the program's splits",
            f"splits of stages in pattern 1: {', '.join(changed)}{longer}",
        )
    return pattern


class _Lack(NamedTuple):
    """A split that is too short, and by how much."""

    entry: int
    time: Tenths


@dataclass
class _Fit:
    """Changes splits until a configuration with them is accepted, and until the gate can let each be kept.

    Each split needs its minimum green and the way out; each group a bound that lasts through any stage that holds it; and a group that
    goes on into a stage needs time for the longest service there.
    """

    tables: Tables
    stages: list[int]
    splits: list[Tenths]
    step: Tenths

    def append_missing(self) -> None:
        """Add the stages of groups that no stage in the sequence makes green."""
        for at, green in enumerate(self.tables.green):
            if green & ~self._covered():
                self.stages.append(at)
                self.splits.append(0)

    def lengthen(self) -> None:
        """Lengthen splits until nothing lacks time."""
        while (lack := next(self._lacks(), None)) is not None:
            self.splits[lack.entry] += self._up(lack.time)

    def shorten(self, excess: Tenths) -> None:
        """Take an excess from the splits that can spare it, the longest first."""
        able = set(range(len(self.stages)))
        while excess > 0 and able:
            entry = max(sorted(able), key=self.splits.__getitem__)
            taken = min(excess, self._up(excess / len(self.stages)))
            while taken > 0:
                self.splits[entry] -= taken
                if self.splits[entry] > 0 and next(self._lacks(), None) is None:
                    break
                self.splits[entry] += taken
                taken = taken // 2 // self.step * self.step
            excess -= taken
            if taken == 0:
                able.remove(entry)

    def pattern(self, offset: Tenths) -> Pattern:
        """Make the pattern as it stands."""
        return Pattern(
            number=1,
            name="program",
            cycle=sum(self.splits),
            offset=offset % sum(self.splits),
            sequence=tuple(self.tables.stages[at].name for at in self.stages),
            splits=tuple(self.splits),
        )

    def _covered(self) -> int:
        total = 0
        for at in self.stages:
            total |= self.tables.green[at]
        return total

    def _lacks(self) -> Iterator[_Lack]:
        """Find what the splits are too short for, and which of them to lengthen."""
        tables, count = self.tables, len(self.stages)
        moves = [tables.move(at, self.stages[(entry + 1) % count]).duration for entry, at in enumerate(self.stages)]
        for entry, at in enumerate(self.stages):
            # A walk can last through several stages; its room is a matter of the group's bound.
            green = max(tables.groups[group].min_green for group in bits(tables.green[at]))
            if self.splits[entry] < green + moves[entry]:
                yield _Lack(entry, green + moves[entry] - self.splits[entry])
        bounds = replace(tables, patterns=(self.pattern(0),)).max_green[1]
        for group in bits(self._covered()):
            holding = [entry for entry, at in enumerate(self.stages) if tables.green[at] >> group & 1]
            lacking = required_green(tables, group) - bounds[group]
            if lacking > 0:
                yield _Lack(max(holding, key=self.splits.__getitem__), lacking)
        # The gate lets no green go on into a stage through which it may not last.
        for entry, at in enumerate(self.stages):
            before = self.stages[entry - 1]
            service = tables.service[at] + tables.longest_move(before, at) - moves[entry - 1]
            for group in bits(tables.green[before] & tables.green[at]) if at != before else ():
                lacking = service - self._lasts(group, entry)
                if lacking > 0:
                    yield _Lack(entry, lacking)

    def _lasts(self, group: int, entry: int) -> Tenths:
        """Tell how long a group stays green from the beginning of an entry on, at most a cycle."""
        ahead = [(entry + on) % len(self.stages) for on in range(len(self.stages))]
        return sum(self.splits[at] for at in takewhile(lambda at: self.tables.green[self.stages[at]] >> group & 1, ahead))

    def _up(self, time: float) -> Tenths:
        return ceil(time / self.step - 1e-9) * self.step


def required_green(tables: Tables, group: int) -> Tenths:
    """Tell how long a group must be able to stay green, for every stage that holds it to be entered and served."""
    count = range(len(tables.stages))
    return max(
        max(tables.longest_move(source, at) for source in count) + tables.service[at] for at in count if tables.green[at] >> group & 1
    )


def longest_red(pattern: Pattern, tables: Tables) -> Tenths:
    """Tell the longest time in a pattern's cycle in which some call is not served, in tenths of a second."""
    by_name = {stage.name: at for at, stage in enumerate(tables.stages)}
    served = [tables.serves[by_name[name]] for name in pattern.sequence]
    calls = tables.vehicles | tables.pedestrians << tables.size
    longest = 0
    for call in bits(calls):
        waiting = 0
        # Twice around, so that a red over the cycle's end counts as one.
        for mask, split in zip(served * 2, pattern.splits * 2, strict=True):
            waiting = 0 if mask >> call & 1 else waiting + split
            longest = max(longest, min(waiting, pattern.cycle))
    return longest
