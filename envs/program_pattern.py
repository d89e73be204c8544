"""Makes pattern 1 of a signal: the cycle, splits and offset of its own program, as far as they can be run."""

from dataclasses import dataclass, replace
from math import ceil

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


@dataclass
class _Fit:
    """Changes splits until a configuration with them is accepted, and until each can be kept."""

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
        """Lengthen splits until each holds its minimum green and the way out, and every group's last through all of its stages."""
        for entry in range(len(self.stages)):
            self.splits[entry] = max(self.splits[entry], self._shortest(entry))
        for group in bits(self._covered()):
            holding = [entry for entry, at in enumerate(self.stages) if self.tables.green[at] >> group & 1]
            while (lacking := required_green(self.tables, group) - self._bounds()[group]) > 0:
                self.splits[max(holding, key=self.splits.__getitem__)] += self._up(lacking)

    def shorten(self, excess: Tenths) -> None:
        """Take an excess from the splits that can spare it, most from those that can spare most."""
        while excess > 0:
            bounds = self._bounds()
            spares = [self._spare(entry, bounds) for entry in range(len(self.stages))]
            entry = spares.index(max(spares))
            taken = min(spares[entry], self._up(excess / len(self.stages)), excess)
            if taken <= 0:
                return
            self.splits[entry] -= taken
            excess -= taken

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

    def _shortest(self, entry: int) -> Tenths:
        # A walk can last through several stages; its room is a matter of the group's bound.
        at, following = self.stages[entry], self.stages[(entry + 1) % len(self.stages)]
        green = max(self.tables.groups[group].min_green for group in bits(self.tables.green[at]))
        return self._up(green + self.tables.move(at, following).duration)

    def _bounds(self) -> tuple[Tenths, ...]:
        """Give the longest green of each group in the pattern, as the core counts it."""
        return replace(self.tables, patterns=(self.pattern(0),)).max_green[1]

    def _spare(self, entry: int, bounds: tuple[Tenths, ...]) -> Tenths:
        held = bits(self.tables.green[self.stages[entry]])
        spare = min(self.splits[entry] - self._shortest(entry), *(bounds[group] - required_green(self.tables, group) for group in held))
        return spare // self.step * self.step

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
