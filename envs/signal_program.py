"""Reads a signal's program as SUMO has it, and finds the stages in it.

A program is a cycle of state strings, in which a green that goes on, a yellow, an all-red and a pedestrian clearance all look alike: each
is one more string. A stage is what is left when these are taken out:

    a state with a yellow (y) or a red-yellow (u) in it, or without any green, is part of a transition;
    so is a short state in which only such greens burn as burn before and after it: a clearance beside a green that goes on;
    a state that differs from the one before it only by crossings that have turned red is that stage's pedestrian clearance;
    a state in which every lamp is off (o, O) is a pause of the signal.

A stage's split is its own time and that of everything up to the next stage.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from envs._elements import elements
from envs.errors import NetworkError
from envs.signal_links import Links
from intersection.phase import Tenths
from intersection.tables import bits

LETTERS = "GgyYrRuUsoO"
"""What SUMO shows on a link."""

_SHORT: Tenths = 50
"""A state as long as this or shorter can be a clearance beside a green that goes on, in tenths of a second."""

_PLAIN = str.maketrans("YRUsOo", "yrurGg")
"""From SUMO's letters to G, g, y, u and r: a stop light is red, and a lamp that is off leaves the right of way to the signs."""


class ProgramState(NamedTuple):
    """One of the states that a program shows in turn."""

    state: str
    duration: Tenths
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A signal's program as SUMO has it."""

    name: str
    kind: str
    """static, actuated, delay_based, ..."""

    offset: Tenths
    """Instant, counted from simulated time 0, at which a cycle begins."""

    states: tuple[ProgramState, ...]
    anchored: bool = True
    """Whether the offset counts from simulated time 0, and not from the simulation's begin."""

    @property
    def cycle(self) -> Tenths:
        """Its length, in tenths of a second."""
        return sum(state.duration for state in self.states)


def read_programs(net_file: Path, additional_files: Sequence[Path]) -> dict[str, dict[str, Program]]:
    """Read the programs of all signals, first the network's, then those of the additional files.

    Returns:
        For each signal its programs by name, the one with which SUMO starts last.

    Raises:
        NetworkError: a program cannot be run.
    """
    found: dict[str, dict[str, Program]] = {}
    for path in (net_file, *additional_files):
        for element in _logics(path):
            if element.tag == "wautJunction":
                raise NetworkError(
                    "a WAUT switches its programs, and so would take it from whoever controls it",
                    source=str(path),
                    signal=element.get("junctionID", ""),
                    allowed="no WAUT; time of day is the schedule's in intersection.toml",
                )
            signal, name = element.get("id", ""), element.get("programID", "")
            own = found.setdefault(signal, {})
            known = own.pop(name, None)
            read = _program(element, path)
            # Without states it only shifts a program that is there already.
            own[name] = read if read.states or known is None else _shifted(known, read)
    return found


def _logics(path: Path) -> Iterator[ET.Element]:
    for element in elements(path):
        if element.tag in ("tlLogic", "wautJunction"):
            yield element
        elif element.tag == "include" and element.get("href"):
            yield from _logics(path.parent / element.get("href", ""))


def _shifted(known: Program, by: Program) -> Program:
    return Program(name=known.name, kind=known.kind, offset=by.offset, states=known.states, anchored=by.anchored)


def _program(element: ET.Element, path: Path) -> Program:
    signal = element.get("id", "")

    def tenths(text: str, key: str) -> Tenths:
        try:
            return round(float(text) * 10)
        except (ValueError, OverflowError) as cause:
            raise NetworkError(f"its program has no time in {key}={text!r}", source=str(path), signal=signal) from cause

    states = []
    for item in element.iter("phase"):
        duration = item.get("duration") or item.get("minDur") or "0"
        state, name = item.get("state", ""), item.get("name", "")
        states.append(ProgramState(state, tenths(duration, "duration"), name))
        if item.get("yellow"):  # SUMO's NEMA controller names the clearances instead of showing them
            states.append(ProgramState(re.sub("[Gg]", "y", state), tenths(item.get("yellow", ""), "yellow")))
            states.append(ProgramState(re.sub("[Gg]", "r", state), tenths(item.get("red", "0"), "red")))
    anchored = element.get("offset") != "begin"
    return Program(
        name=element.get("programID", ""),
        kind=element.get("type", "static"),
        offset=tenths(element.get("offset", "0"), "offset") if anchored else 0,
        states=tuple(state for state in states if state.duration > 0),
        anchored=anchored,
    )


def check_program(program: Program, links: Links, *, source: str) -> None:
    """Check that a program can be read for a signal.

    Raises:
        NetworkError: it has no states, a state of another length, or a letter that SUMO does not know.
    """
    if not program.states:
        raise NetworkError(f"program {program.name!r} has no states", source=source, signal=links.signal)
    for at, state in enumerate(program.states):
        if len(state.state) != len(program.states[0].state) or len(state.state) < len(links.links):
            raise NetworkError(
                f"state {at} of program {program.name!r} has {len(state.state)} letters",
                source=source,
                signal=links.signal,
                allowed=f"the same number in every state, {len(links.links)} or more",
            )
        for letter in state.state:
            if letter not in LETTERS:
                raise NetworkError(
                    f"state {at} of program {program.name!r} shows {letter!r}", source=source, signal=links.signal, allowed=LETTERS
                )


class Run(NamedTuple):
    """A stage in the program's cycle, and the time up to the next."""

    letters: str
    """For each link G, g or r."""

    split: Tenths
    name: str = ""
    """What the program calls it, if anything."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a program turns out to be."""

    runs: tuple[Run, ...]
    """The cycle; no two neighbours are alike, unless it is the only stage."""

    offset: Tenths
    """Instant, counted from simulated time 0, at which the first run begins; within the cycle."""

    yellow: tuple[Tenths, ...]
    """For each link its longest yellow after a green, 0 where it has none."""

    returning: int
    """Links that go from green by yellow back to green."""

    cut: int
    """Links whose green ends without a yellow."""

    pauses: Tenths
    """The time in which every lamp is off."""

    empty: Tenths
    """The time of greens that nothing is connected to."""

    plain: tuple[tuple[str, Tenths], ...]
    """All states of the cycle in plain letters, with their times."""

    @property
    def stages(self) -> tuple[str, ...]:
        """The different stages, in the order in which they first come."""
        return tuple(dict.fromkeys(run.letters for run in self.runs))


def read_stages(program: Program, links: Links) -> Reading:
    """Find the stages of a program. A program without any has no runs."""
    count = len(links.links)
    unconnected = [index for index in range(count) if not links.connected >> index & 1]
    plain, kinds = [], []
    for state in program.states:
        letters = list(state.state[:count].translate(_PLAIN))
        greens = any(letter in "Gg" for letter in state.state.translate(_PLAIN))
        for index in unconnected:
            letters[index] = "r"
        for index in bits(links.crossings):
            letters[index] = letters[index].replace("y", "r").replace("u", "r")
        plain.append("".join(letters))
        kinds.append(_kind(state.state[:count], plain[-1], empty=greens))
    if any(kind == "stage" for kind in kinds):
        _mark_clearances(plain, kinds, program.states)
        _mark_walks(plain, kinds, links.crossings)
    durations = [state.duration for state in program.states]
    runs, offset = _runs(plain, kinds, program)
    yellow, returning, cut = _yellows(plain, durations, count)
    return Reading(
        runs=runs,
        offset=offset,
        yellow=yellow,
        returning=returning,
        cut=cut & ~links.crossings,
        pauses=sum(duration for kind, duration in zip(kinds, durations, strict=True) if kind == "off"),
        empty=sum(duration for kind, duration in zip(kinds, durations, strict=True) if kind == "empty"),
        plain=tuple(zip(plain, durations, strict=True)),
    )


def _kind(state: str, plain: str, *, empty: bool) -> str:
    if all(letter in "oO" for letter in state):
        return "off"
    if any(letter in "yu" for letter in plain):
        return "transition"
    if any(letter in "Gg" for letter in plain):
        return "stage"
    return "empty" if empty else "transition"


def _mark_clearances(plain: list[str], kinds: list[str], states: Sequence[ProgramState]) -> None:
    """Find the short states beside a transition in which nothing burns but greens that go on."""
    count = len(plain)
    for at in range(count):
        if kinds[at] != "stage" or states[at].duration > _SHORT or kinds[at - 1] != "transition":
            continue
        before = next(plain[at - back] for back in range(1, count + 1) if kinds[at - back] == "stage")
        after = next(plain[(at + on) % count] for on in range(1, count + 1) if kinds[(at + on) % count] == "stage")
        if plain[at] != before and all(
            here == "r" or (earlier in "Gg" and later in "Gg") for here, earlier, later in zip(plain[at], before, after, strict=True)
        ):
            kinds[at] = "transition"


def _mark_walks(plain: list[str], kinds: list[str], crossings: int) -> None:
    """Find the states that only clear the crossings of the stage before them; each is made equal to that stage."""
    # Once around and as far again, since the first state may clear the last one's crossings.
    for at in [*range(len(plain)), *range(len(plain))]:
        if kinds[at] != "stage" or kinds[at - 1] != "stage" or plain[at] == plain[at - 1]:
            continue
        changed = [index for index, pair in enumerate(zip(plain[at - 1], plain[at], strict=True)) if pair[0] != pair[1]]
        if all(crossings >> index & 1 and plain[at][index] == "r" for index in changed):
            plain[at] = plain[at - 1]


def _runs(plain: list[str], kinds: list[str], program: Program) -> tuple[tuple[Run, ...], Tenths]:
    """Put the stages together with the time up to the next, and tell when the first begins."""
    runs: list[Run] = []
    lead = began = clock = 0
    for letters, kind, (_, duration, name) in zip(plain, kinds, program.states, strict=True):
        if kind == "stage" and (not runs or runs[-1].letters != letters):
            began = began if runs else clock
            runs.append(Run(letters, 0, name))
        if runs:
            runs[-1] = runs[-1]._replace(split=runs[-1].split + duration)
        else:
            lead += duration
        clock += duration
    if not runs:
        return (), 0
    runs[-1] = runs[-1]._replace(split=runs[-1].split + lead)
    if len(runs) > 1 and runs[0].letters == runs[-1].letters:
        began -= runs[-1].split
        runs[0] = runs[0]._replace(split=runs[0].split + runs.pop().split)
    return tuple(runs), (program.offset + began) % program.cycle


def _yellows(plain: list[str], durations: list[Tenths], count: int) -> tuple[tuple[Tenths, ...], int, int]:
    """Measure each link's yellows; find the links that return from yellow to green, and those that lose green without one."""
    longest = [0] * count
    returning = cut = 0
    states = len(plain)
    for index in range(count):
        column = [letters[index] for letters in plain]
        for at in range(states):
            if column[at - 1] not in "Gg" or column[at] in "Gg":
                continue
            if column[at] != "y":
                cut |= 1 << index
                continue
            length = next((on for on in range(1, states) if column[(at + on) % states] != "y"), states)
            if column[(at + length) % states] in "Gg":
                returning |= 1 << index
            longest[index] = max(longest[index], sum(durations[(at + on) % states] for on in range(length)))
    return tuple(longest), returning, cut


def red_after(reading: Reading, group: Sequence[int], foes: int) -> Tenths:
    """Find the shortest time that a program leaves between the end of a group's yellow and the next green of one of its foes.

    Only foes whose green begins with the next stage count. 0 where the group never ends that way.
    """
    states, found = reading.plain, []
    for link in group:
        for at, (letters, _) in enumerate(states):
            if letters[link] != "y" or states[(at + 1) % len(states)][0][link] == "y":
                continue
            gap = 0
            for on in range(1, len(states)):
                following, duration = states[(at + on) % len(states)]
                if any(following[foe] in "Gg" and letters[foe] not in "Gg" for foe in bits(foes)):
                    found.append(gap)
                    break
                if all(letter in ("r", before) for letter, before in zip(following, letters, strict=True)):
                    gap += duration
                    continue
                break
    return min(found, default=0)
