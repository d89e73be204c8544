"""Audits the signal states that SUMO recorded: was every display legal?

The judge of a run stands apart from whatever made it: it reads SUMO's record, takes conflicts from the junctions' own foes, and shares no
code with the gate or the cabinet. So it also audits SUMO's own programs, whose violations are shown, never raised.

Conventions:
    - The record is SUMO's `SaveTLSStates`: one state per signal and step, valid until the next one.
    - `G` and `g` are green, `y` yellow, `r` red, `s` (turn on red after a stop) red, `u` red-yellow, `o`, `O` off.
    - Two links conflict where their paths cross or merge by the junction's foes and they come from different lanes. Pedestrian
      crossings are links like any other.
    - Greens and yellows cut by the begin or the end of the record are not judged for their length; reds count as long as they are seen.
    - A yellow that returns to green is no violation (it is counted apart: real programs do it on links whose green should continue).
    - Nor is a green or a yellow that ends when the whole signal turns off: so a monitor puts it into flash, or lamps lose their power. It
      is counted apart.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt

from envs._elements import elements
from envs.sumo_session import read_net
from intersection.errors import ConfigError

_EPSILON = 1e-6
"""Seconds by which a measured time may fall short: SUMO writes times with two decimals."""

_OFF, _RED, _RED_YELLOW, _YELLOW, _GREEN = range(5)


def _colour_table() -> npt.NDArray[np.uint8]:
    table = np.full(256, _OFF, dtype=np.uint8)
    for letters, colour in (("Gg", _GREEN), ("yY", _YELLOW), ("uU", _RED_YELLOW), ("rRsS", _RED)):
        table[[ord(letter) for letter in letters]] = colour
    return table


_COLOUR = _colour_table()


class Kind(Enum):
    """What was wrong with a display, or with the record, in the reader's words."""

    YELLOW = "green ended with its yellow change missing or short"
    RED_CLEARANCE = "green began before the red clearance after a conflicting movement"
    MIN_GREEN = "green was cut before its minimum"
    CONFLICT = "conflicting links were both in protected green"
    GREEN_IN_YELLOW = "green began while a conflicting link was yellow"
    MAX_RED = "red was longer than its maximum"
    NOT_RECORDED = "signal of the net is not in the record"
    NOT_IN_NET = "signal of the record is not in the net"
    TOO_FEW_LINKS = "recorded state is shorter than the signal's links"
    GAP = "record of the signal has a gap"


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkRequirement:
    """What one link of a signal must be given. Scenario-timed runs have their own for each link."""

    yellow_s: float
    """Shortest yellow after green, in seconds; 0 where none is due (a crossing whose clearance is shown otherwise)."""

    red_s: float
    """Shortest time from the end of this link's yellow to a conflicting green, in seconds."""

    min_green_s: float
    """Shortest green, in seconds."""

    max_red_s: float | None = None
    """Longest red, in seconds; None where it is not bounded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One display that should not have been."""

    kind: Kind

    signal: str

    time: float
    """When it began, in simulated seconds: the start of the short green, yellow or red, or of the green that came too soon."""

    links: tuple[int, ...]
    """The link concerned, or first the link that went green and then the one it met; empty where the record itself is at fault."""

    seconds: float
    """What was measured, in seconds: the yellow, clearance, green, red or overlap there was, or the length of the gap; for
    TOO_FEW_LINKS the number of links recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """The result of one record: what was illegal, and what is worth knowing besides."""

    violations: tuple[Violation, ...]
    """By signal, then by time."""

    longest_red_s: float
    """The longest red of any link, in seconds, those cut by the begin or the end of the record included."""

    yellow_back_to_green: int
    """How often a yellow returned to green without a red."""

    cut_by_off: int
    """How often a green or a yellow of a link ended as the whole signal turned off, to flash or for want of power."""

    signals: int
    """How many signals the record holds."""

    begin_s: float
    """The first recorded time, in simulated seconds."""

    end_s: float
    """The last recorded time and its step, in simulated seconds."""

    @property
    def clean(self) -> bool:
        """Whether every display was legal and the record whole."""
        return not self.violations

    def counts(self) -> dict[Kind, int]:
        """Count the violations by kind; kinds that did not occur are left out."""
        found = Counter(violation.kind for violation in self.violations)
        return {kind: found[kind] for kind in Kind if found[kind]}


def signal_states_additional(signals: Collection[str], dest: Path) -> str:
    """Write the text of an additional file that makes SUMO record the state of every signal in every step.

    Args:
        signals: the signals' names in the net.
        dest: where SUMO puts the record, `.gz` to compress; SUMO takes a relative path from the additional file's folder.
    """
    events = (f'    <timedEvent type="SaveTLSStates" source={quoteattr(name)} dest={quoteattr(str(dest))}/>\n' for name in signals)
    return f"<additional>\n{''.join(events)}</additional>\n"


def audit(
    net_file: Path,
    states_file: Path,
    *,
    yellow_s: float,
    red_s: float,
    min_green_s: float,
    max_red_s: float | None = None,
    step_s: float,
    requirements: Mapping[str, Sequence[LinkRequirement]] | None = None,
) -> Audit:
    """Judge every display of a record against the net's own conflicts.

    Args:
        net_file: the network that ran, `.net.xml` or `.net.xml.gz`.
        states_file: the record of `signal_states_additional`, compressed or not.
        yellow_s: shortest yellow change, in seconds; 0 asks for none.
        red_s: shortest red clearance, in seconds.
        min_green_s: shortest green, in seconds.
        max_red_s: longest red, in seconds, or None.
        step_s: SUMO's step length, in seconds; a signal that misses a step has a gap.
        requirements: for each signal named, a requirement for each of its links, which replace the four above.

    Raises:
        ConfigError: a file cannot be read, or the requirements do not fit the signal's links.
    """
    common = LinkRequirement(yellow_s=yellow_s, red_s=red_s, min_green_s=min_green_s, max_red_s=max_red_s)
    signals = _read_signals(net_file)
    tracks = _read_states(states_file, step_s)
    times = [time for track in tracks.values() for time in (track.times[0], track.last)]
    begin, end = (min(times), max(times) + step_s) if times else (0.0, 0.0)

    violations: list[Violation] = []
    longest_red, returned, cut = 0.0, 0, 0
    for name in sorted(signals.keys() | tracks.keys()):
        signal, track = signals.get(name), tracks.get(name)
        if track is None:
            violations.append(Violation(kind=Kind.NOT_RECORDED, signal=name, time=begin, links=(), seconds=0.0))
        elif signal is None:
            violations.append(Violation(kind=Kind.NOT_IN_NET, signal=name, time=track.times[0], links=(), seconds=0.0))
        else:
            asked = _requirements_of(name, signal, track, common, requirements or {})
            found, red, back, off = _judge(name, signal, track, asked, end)
            violations.extend(sorted(found, key=lambda violation: violation.time))
            longest_red, returned, cut = max(longest_red, red), returned + back, cut + off
    return Audit(
        violations=tuple(violations),
        longest_red_s=longest_red,
        yellow_back_to_green=returned,
        cut_by_off=cut,
        signals=len(tracks),
        begin_s=begin,
        end_s=end,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Signal:
    """A signal as the net has it."""

    links: int
    conflicts: tuple[tuple[int, int], ...]


@dataclass(kw_only=True, slots=True)
class _Track:
    """A signal as the record has it: the times at which its state changed, and the states from then on."""

    times: list[float]
    states: list[str]
    last: float
    gap: tuple[float, float] | None = None

    def displays(self, end: float) -> "_Displays":
        """Lay the states out as letters; cut to the shortest where programs differ in length."""
        width = min(map(len, self.states))
        text = "".join(state[:width] for state in self.states).encode("latin-1", "replace")
        letters = np.frombuffer(text, dtype=np.uint8).reshape(len(self.states), width)
        times = np.array(self.times)
        return _Displays(times=times, seconds=np.diff(times, append=end), letters=letters, colours=_COLOUR[letters], end=end)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Displays:
    """What a signal showed, one row per change of any link."""

    times: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    letters: npt.NDArray[np.uint8]
    colours: npt.NDArray[np.uint8]
    end: float


def _requirements_of(
    name: str, signal: _Signal, track: _Track, common: LinkRequirement, requirements: Mapping[str, Sequence[LinkRequirement]]
) -> Sequence[LinkRequirement]:
    width = max(map(len, track.states))
    if name not in requirements:
        return [common] * max(width, signal.links)
    own = requirements[name]
    if len(own) < width:
        raise ConfigError("too few requirements for the signal's links", key=name, value=len(own), allowed=f"one for each of {width} links")
    return own


def _judge(
    name: str, signal: _Signal, track: _Track, asked: Sequence[LinkRequirement], end: float
) -> tuple[list[Violation], float, int, int]:
    """Judge one signal: its violations, its longest red in seconds, and how often a yellow returned to green or anything was cut by off."""
    shown = track.displays(end)
    width = shown.letters.shape[1]
    found: list[Violation] = []
    longest_red, returned, cut = 0.0, 0, 0
    if width < signal.links:
        found.append(Violation(kind=Kind.TOO_FEW_LINKS, signal=name, time=track.times[0], links=(), seconds=float(width)))
    if track.gap is not None:
        time, seconds = track.gap
        found.append(Violation(kind=Kind.GAP, signal=name, time=time, links=(), seconds=seconds))
    for link in range(width):
        runs = _runs(shown, link)
        found.extend(_judge_link(name, link, runs, asked[link]))
        longest_red = max([longest_red, *(run.seconds for run in runs if run.colour == _RED)])
        returned += sum(run.colour == _YELLOW and run.before == run.after == _GREEN for run in runs)
        cut += sum(run.cut for run in runs)
    for one, other in signal.conflicts:
        if max(one, other) < width:
            found.extend(_judge_protected(name, (one, other), shown))
            found.extend(_judge_entry(name, (one, other), shown, asked[other].red_s))
            found.extend(_judge_entry(name, (other, one), shown, asked[one].red_s))
    return found, longest_red, returned, cut


@dataclass(frozen=True, slots=True)
class _Run:
    """A stretch of one colour on one link, and the colours before and after it (None at the ends of the record)."""

    colour: int
    time: float
    seconds: float
    before: int | None
    after: int | None
    cut: bool
    """Whether a green or a yellow ended as the whole signal turned off."""


def _runs(shown: _Displays, link: int) -> list[_Run]:
    column = shown.colours[:, link]
    first = np.flatnonzero(np.concatenate(([True], column[1:] != column[:-1])))
    starts = shown.times[first]
    colours: list[int] = column[first].tolist()
    seconds = np.diff(starts, append=shown.end).tolist()
    dark = (shown.colours == _OFF).all(axis=1)[first].tolist()
    cut = [colour >= _YELLOW and off for colour, off in zip(colours, [*dark[1:], False], strict=True)]
    return list(map(_Run, colours, starts.tolist(), seconds, [None, *colours[:-1]], [*colours[1:], None], cut))


def _judge_link(name: str, link: int, runs: Sequence[_Run], asked: LinkRequirement) -> Iterator[Violation]:
    for run in runs:
        if run.cut:
            continue
        whole = run.before is not None and run.after is not None
        if run.colour == _GREEN and whole and run.seconds < asked.min_green_s - _EPSILON:
            yield Violation(kind=Kind.MIN_GREEN, signal=name, time=run.time, links=(link,), seconds=run.seconds)
        if run.colour == _GREEN and run.after not in (None, _YELLOW) and asked.yellow_s > 0:
            yield Violation(kind=Kind.YELLOW, signal=name, time=run.time + run.seconds, links=(link,), seconds=0.0)
        if run.colour == _YELLOW and run.before == _GREEN and run.after not in (None, _GREEN) and run.seconds < asked.yellow_s - _EPSILON:
            yield Violation(kind=Kind.YELLOW, signal=name, time=run.time, links=(link,), seconds=run.seconds)
        if run.colour == _RED and asked.max_red_s is not None and run.seconds > asked.max_red_s + _EPSILON:
            yield Violation(kind=Kind.MAX_RED, signal=name, time=run.time, links=(link,), seconds=run.seconds)


def _judge_protected(name: str, pair: tuple[int, int], shown: _Displays) -> Iterator[Violation]:
    """Find each display with both links of a conflicting pair in protected green."""
    both = (shown.letters[:, pair] == ord("G")).all(axis=1)
    for row in np.flatnonzero(both).tolist():
        yield Violation(kind=Kind.CONFLICT, signal=name, time=float(shown.times[row]), links=pair, seconds=float(shown.seconds[row]))


def _judge_entry(name: str, pair: tuple[int, int], shown: _Displays, red_s: float) -> Iterator[Violation]:
    """Find each green of the first link that begins too soon after the green and yellow of the second."""
    entering, clearing = shown.colours[:, pair[0]], shown.colours[:, pair[1]]
    begins = np.zeros(len(entering), dtype=np.bool_)
    begins[1:] = (entering[1:] == _GREEN) & (entering[:-1] != _GREEN)
    for row in np.flatnonzero(begins & (clearing == _YELLOW)).tolist():
        yield Violation(kind=Kind.GREEN_IN_YELLOW, signal=name, time=float(shown.times[row]), links=pair, seconds=float(shown.seconds[row]))
    moving = clearing >= _YELLOW
    ends = np.zeros(len(moving), dtype=np.bool_)
    ends[1:] = moving[:-1] & ~moving[1:]
    since = shown.times - np.maximum.accumulate(np.where(ends, shown.times, -np.inf))
    for row in np.flatnonzero(begins & ~moving & (since < red_s - _EPSILON)).tolist():
        yield Violation(kind=Kind.RED_CLEARANCE, signal=name, time=float(shown.times[row]), links=pair, seconds=float(since[row]))


def _read_states(path: Path, step_s: float) -> dict[str, _Track]:
    tracks: dict[str, _Track] = {}
    for element in elements(path):
        if element.tag != "tlsState":
            continue
        name, time, state = _attribute(path, element.attrib, "id"), _time(path, element.attrib), _attribute(path, element.attrib, "state")
        track = tracks.get(name)
        if track is None:
            tracks[name] = _Track(times=[time], states=[state], last=time)
            continue
        if track.gap is None and time - track.last > step_s + _EPSILON:
            track.gap = (track.last, time - track.last)
        track.last = time
        if state != track.states[-1]:
            track.times.append(time)
            track.states.append(state)
    return tracks


def _attribute(path: Path, attributes: Mapping[str, str], key: str) -> str:
    try:
        return attributes[key]
    except KeyError:
        raise ConfigError(f"an element lacks its attribute {key!r}; is this the right kind of file?", source=str(path)) from None


def _time(path: Path, attributes: Mapping[str, str]) -> float:
    text = _attribute(path, attributes, "time")
    try:
        return float(text)
    except ValueError:
        raise ConfigError("not a time", source=str(path), key="time", value=text, allowed="seconds (no --human-readable-time)") from None


@dataclass(frozen=True, slots=True)
class _Path:
    """One way over a junction that a link of a signal controls, with its number among the junction's foes."""

    link: int
    lane: str
    junction: Any
    number: int

    def conflicts(self, other: "_Path") -> bool:
        """Tell whether two ways cross or merge, from different lanes of one junction."""
        if self.junction is not other.junction or self.lane == other.lane or min(self.number, other.number) < 0:
            return False
        return bool(self.junction.areFoes(self.number, other.number) or self.junction.areFoes(other.number, self.number))


def _read_signals(net_file: Path) -> dict[str, _Signal]:
    signals = {}
    for light in read_net(net_file, withPrograms=False).getTrafficLights():
        paths = []
        for lane, onto, link in light.getConnections():
            for connection in lane.getOutgoing():
                if connection.getToLane() is onto and connection.getTLLinkIndex() == link:
                    junction = connection.getFrom().getToNode()
                    paths.append(_Path(link, lane.getID(), junction, junction.getLinkIndex(connection)))
        pairs = {(min(a.link, b.link), max(a.link, b.link)) for a, b in combinations(paths, 2) if a.link != b.link and a.conflicts(b)}
        links = max((path.link + 1 for path in paths), default=0)
        signals[light.getID()] = _Signal(links=links, conflicts=tuple(sorted(pairs)))
    return signals
