"""The one gate. Nothing changes an indication except by a `Command`, and only `review` makes one.

Whatever is proposed, and at whatever instant, the gate keeps these promises (`tests/intersection` judges them separately):
no conflicting greens or yellows; minimum green, walk and pedestrian clearance served; yellow change and red clearance at every end of
green; no green beyond its maximum after a conflicting call; no call unserved beyond its maximum wait; no yellow trap.

How the maximum wait is kept: the unserved calls are put in the order of their deadlines and the stages that would serve them are
laid end to end, each at its longest. The latest instant at which that chain can begin is the latest instant at which the running
stage may be left. A configuration is refused where a whole round of all stages does not fit into each maximum wait; so a call that
comes in always finds its place at the end of the chain, or pushes back none that could not wait (earliest deadline first).
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from intersection.phase import Tenths
from intersection.state import FOREVER, FREE, NEVER, NO_STAGE, Display, IntersectionState
from intersection.tables import Tables, bits


class Reason(Enum):
    """Why the gate changed or refused a proposal, in the operator's words."""

    MIN_GREEN = "minimum green still running"
    PEDESTRIANS = "walk or pedestrian clearance still running"
    CLEARANCE = "a change of stage is running"
    MAX_GREEN = "maximum green reached"
    MAX_WAIT = "a call would wait beyond its maximum"
    YELLOW_TRAP = "opposing traffic is stopped first: yellow trap"
    PROHIBITED_MOVE = "by way of another stage: prohibited move"
    CONFLICT = "phases conflict"
    UNKNOWN_STAGE = "no such stage"
    UNKNOWN_PATTERN = "no such pattern, or the stage is not in it"
    EXPIRED = "proposal is too old"
    FLASH = "signal is flashing or dark"


class Proposal(NamedTuple):
    """What a policy would like. Without a stage and without phases: nothing, the gate alone decides."""

    stage: int | None = None
    """The index of the stage to run next."""

    phases: frozenset[int] | None = None
    """Instead of a stage: the numbers of the phases to be green."""

    pattern: int = FREE
    """The number of the pattern by whose splits the stage runs, or FREE."""

    not_after: Tenths = FOREVER
    """The instant after which the proposal is worth nothing."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a signal is to do. Only `review` makes one."""

    stage: int
    """The stage to hold, or to go to."""

    clear: int
    """Groups that end before the stage is reached although it holds them, as a mask."""

    pattern: int
    """The pattern whose splits bound the greens, or FREE."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The proposal is carried out as it is."""

    command: Command


@dataclass(frozen=True, slots=True)
class Amended:
    """Something legal is carried out in the proposal's place."""

    command: Command
    reason: Reason


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is carried out; what runs goes on, within its bounds."""

    reason: Reason


Verdict: TypeAlias = Granted | Amended | Refused


@lru_cache(maxsize=4096)
def _granted(stage: int, clear: int, pattern: int) -> Granted:
    return Granted(Command(stage, clear, pattern))


@lru_cache(maxsize=4096)
def _amended(stage: int, clear: int, pattern: int, reason: Reason) -> Amended:
    return Amended(Command(stage, clear, pattern), reason)


def review(proposal: Proposal, state: IntersectionState, tables: Tables) -> Verdict:
    """Answer a proposal with what may be done now.

    Args:
        proposal: what a policy would like; the empty proposal asks what the gate does by itself.
        state: the signal as measured, not as last commanded.
        tables: the compiled configuration of this signal.

    Returns:
        Granted, Amended or Refused; the last two with the first reason that applies.
    """
    if state.display is not Display.NORMAL:
        return Refused(Reason.FLASH)
    if proposal.not_after < state.now:
        return Refused(Reason.EXPIRED)
    wanted = proposal.stage
    if wanted is None:
        if proposal.phases is None:
            wanted = state.stage if state.target == NO_STAGE else state.target
        else:
            found = _stage_of(proposal.phases, tables)
            if isinstance(found, Reason):
                return Refused(found)
            wanted = found
    elif not 0 <= wanted < len(tables.stages):
        return Refused(Reason.UNKNOWN_STAGE)
    pattern = proposal.pattern
    if pattern != FREE and not _in_pattern(pattern, wanted if proposal.stage is not None else None, tables):
        return Refused(Reason.UNKNOWN_PATTERN)
    if state.target != NO_STAGE:
        if wanted == state.target:
            return _granted(wanted, 0, state.pattern)
        return _amended(state.target, 0, state.pattern, Reason.CLEARANCE)
    if wanted == state.stage:
        return _review_stay(pattern, state, tables)
    return _review_move(wanted, pattern, state, tables)


def due(state: IntersectionState, tables: Tables) -> Tenths:
    """Find the instant at which the gate leaves the running stage by itself if the calls stay as they are, or FOREVER.

    While a transition runs, that is FOREVER: a transition is never changed.
    """
    if state.target != NO_STAGE or state.oldest == FOREVER or state.display is not Display.NORMAL:
        return FOREVER
    waiting = _waiting(state, tables)
    latest, urgent = _chain(state.stage, waiting, tables)
    if urgent == NO_STAGE:
        return FOREVER
    latest = min(latest, _green_bound(state, tables, tables.green[state.stage], state.pattern))
    hop = tables.next_hop[state.stage][urgent]
    clear = _worn_out(state, hop, latest, state.pattern, tables)
    return max(latest, ready(state, tables, tables.move(state.stage, hop, clear).ending))


def settled_until(state: IntersectionState, tables: Tables) -> Tenths:
    """Give an instant before which the gate surely does not act by itself, cheaper than `due` and never later."""
    return state.oldest + tables.patience


def ready(state: IntersectionState, tables: Tables, ending: int) -> Tenths:
    """Find the first instant at which the given groups have served their minimum green, walk and pedestrian clearance."""
    first = state.arrived + tables.min_dwell
    for group in bits(ending):
        timing = tables.groups[group]
        first = max(first, state.began[group] + timing.min_green)
        if state.walked[group] != NEVER:
            first = max(first, state.walked[group] + timing.pedestrian_time)
    return first


def walk_fits(state: IntersectionState, group: int, tables: Tables) -> bool:
    """Tell whether a green group can begin a walk now and finish its clearance before the gate must leave the stage."""
    return state.now + tables.groups[group].pedestrian_time <= due(state, tables)


def _stage_of(phases: frozenset[int], tables: Tables) -> int | Reason:
    """Find the stage whose phases are exactly these, or say why there is none."""
    if not phases or not phases <= tables.index.keys():
        return Reason.UNKNOWN_STAGE
    wanted = tables.mask(phases)
    vehicles = (1 << len(tables.phases)) - 1
    for at, green in enumerate(tables.green):
        if green & vehicles == wanted:
            return at
    if any(tables.conflicts[group] & wanted for group in bits(wanted)):
        return Reason.CONFLICT
    return Reason.UNKNOWN_STAGE


def _in_pattern(number: int, stage: int | None, tables: Tables) -> bool:
    """Tell whether there is such a pattern and, where a stage is named, whether it is part of it."""
    return any(pattern.number == number and (stage is None or tables.stages[stage].name in pattern.sequence) for pattern in tables.patterns)


def _review_stay(pattern: int, state: IntersectionState, tables: Tables) -> Verdict:
    """Review a proposal to stay in the running stage."""
    if state.now < settled_until(state, tables):
        return _granted(state.stage, 0, pattern)
    waiting = _waiting(state, tables)
    latest, urgent = _chain(state.stage, waiting, tables)
    bound = _green_bound(state, tables, tables.green[state.stage], pattern)
    if urgent == NO_STAGE or state.now < min(latest, bound):
        return _granted(state.stage, 0, pattern)
    reason = Reason.MAX_GREEN if bound <= latest else Reason.MAX_WAIT
    return _leave(urgent, pattern, reason, state, tables)


def _review_move(wanted: int, pattern: int, state: IntersectionState, tables: Tables) -> Verdict:
    """Review a proposal to go from the running stage to another."""
    reason: Reason | None = None
    goal = tables.next_hop[state.stage][wanted]
    if goal != wanted:
        reason = Reason.PROHIBITED_MOVE
    move = tables.move(state.stage, goal)
    arrives = state.now + move.duration
    if arrives + tables.service[goal] > settled_until(state, tables):
        rest = _waiting(state, tables, served=tables.serves[goal])
        latest, _ = _chain(goal, rest, tables)
        clear = _worn_out(state, goal, state.now, pattern, tables)
        if state.now + tables.move(state.stage, goal, clear).duration + tables.service[goal] > latest:
            _, urgent = _chain(state.stage, _waiting(state, tables), tables)
            if urgent == NO_STAGE:
                return _amended(state.stage, 0, pattern, Reason.MAX_WAIT)
            return _leave(urgent, pattern, Reason.MAX_WAIT, state, tables)
        if clear:
            return _leave(goal, pattern, reason or Reason.MAX_GREEN, state, tables)
    held = _held_back(move.ending, state, tables)
    if held is not None:
        return _amended(state.stage, 0, pattern, held)
    if reason is None and tables.trapped(state.stage, goal):
        reason = Reason.YELLOW_TRAP
    return _granted(goal, 0, pattern) if reason is None else _amended(goal, 0, pattern, reason)


def _leave(goal: int, pattern: int, reason: Reason, state: IntersectionState, tables: Tables) -> Verdict:
    """Go to a stage with every green cleared that could not last through it, as soon as what must end may end."""
    hop = tables.next_hop[state.stage][goal]
    clear = _worn_out(state, hop, state.now, pattern, tables)
    held = _held_back(tables.move(state.stage, hop, clear).ending, state, tables)
    if held is not None:
        return _amended(state.stage, 0, pattern, held)
    return _amended(hop, clear, pattern, reason)


def _held_back(ending: int, state: IntersectionState, tables: Tables) -> Reason | None:
    """Say what still keeps the given groups green, if anything does."""
    if state.now < state.arrived + tables.min_dwell:
        return Reason.MIN_GREEN
    for group in bits(ending):
        timing = tables.groups[group]
        if state.now < state.began[group] + timing.min_green:
            return Reason.MIN_GREEN
        if state.walked[group] != NEVER and state.now < state.walked[group] + timing.pedestrian_time:
            return Reason.PEDESTRIANS
    return None


def _waiting(state: IntersectionState, tables: Tables, served: int = 0) -> list[tuple[Tenths, int]]:
    """List the unserved calls as (deadline, call) in the order of their deadlines, leaving out those that a stage serves.

    A permissive green that never is protected answers its call for now; the call's clock starts anew at the end of that green, and the
    call itself stays until a vehicle has discharged.
    """
    only = tables.only_permissive
    calls = []
    green = tables.green[state.stage] & ~state.clearing
    for group in bits(state.calls & ~served & ~(green & only)):
        since = max(state.called[group], state.ended[group]) if only >> group & 1 else state.called[group]
        calls.append((since + tables.groups[group].max_wait, group))
    calls.extend(
        (state.ped_called[group] + tables.groups[group].ped_max_wait, tables.size + group)
        for group in bits(state.ped_calls & ~(served >> tables.size))
    )
    calls.sort()
    return calls


def _chain(stage: int, waiting: list[tuple[Tenths, int]], tables: Tables) -> tuple[Tenths, int]:
    """Lay the stages that serve the waiting calls end to end.

    Returns:
        The latest instant at which `stage` may be left for all to be served in time, and the first stage of the chain; (FOREVER,
        NO_STAGE) where nothing waits for another stage.
    """
    here = tables.serves[stage]
    first = next((call for _, call in waiting if not here >> call & 1), None)
    if first is None:
        return FOREVER, NO_STAGE
    latest, spent, at, covered = FOREVER, 0, stage, 0
    # A walk that the running stage can no longer fit in comes after whatever ends that stage.
    ordered = sorted(waiting, key=lambda item: item[1] != first) if here >> waiting[0][1] & 1 else waiting
    for deadline, call in ordered:
        if covered >> call & 1:
            continue
        goal = tables.rescue[call]
        spent += tables.travel[at][goal]
        latest = min(latest, deadline - spent)
        spent += tables.service[goal]
        covered |= tables.serves[goal]
        at = goal
    return latest, tables.rescue[first]


def _green_bound(state: IntersectionState, tables: Tables, groups: int, pattern: int) -> Tenths:
    """Find the first instant at which one of the given green groups has used up its maximum green, or FOREVER."""
    bound = FOREVER
    green = tables.green[state.stage] & ~state.clearing
    calls = state.calls & ~(green & tables.only_permissive)
    for group in bits(groups & green):
        conflicts = tables.conflicts[group]
        since = min(
            min((state.called[other] for other in bits(conflicts & calls)), default=FOREVER),
            min((state.ped_called[other] for other in bits(conflicts & state.ped_calls)), default=FOREVER),
        )
        if since != FOREVER:
            bound = min(bound, max(since, state.began[group]) + tables.max_green[pattern][group])
    return bound


def _worn_out(state: IntersectionState, goal: int, leaving: Tenths, pattern: int, tables: Tables) -> int:
    """Find the green groups that the goal would carry beyond their maximum green before it can be left again."""
    kept = tables.green[state.stage] & tables.green[goal]
    last = leaving + tables.longest_move(state.stage, goal) + tables.service[goal]
    return sum(1 << group for group in bits(kept) if _green_bound(state, tables, 1 << group, pattern) < last)
