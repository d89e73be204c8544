"""The one gate. Nothing changes an indication except by a `Command`, and only `review` makes one.

Whatever is proposed, and at whatever instant, the gate keeps these promises (`tests/intersection` judges them separately):
no conflicting greens or yellows; minimum green, walk and pedestrian clearance served; yellow change and red clearance at every end of
green; no green beyond its maximum after a conflicting call; no call unserved beyond its maximum wait; no yellow trap.

How the maximum wait is kept: each unserved call has one stage that must serve it, and these stages are laid end to end, each with its
longest clearance and service, the one that must be done first in front. That order is the best there is for jobs whose lengths do not
depend on it (Jackson 1955), so a call that is dropped never makes a chain late that was in time. The latest instant at which the chain
can begin is the latest at which the running stage may be left. A configuration is refused where a whole round of all these stages,
and before it one commitment to any stage, does not fit into each maximum wait; so a call that comes in is in time wherever it falls
into the chain, and so is every call that it pushes back, since that one may wait longer still.
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
    latest, bound, urgent = _limits(state, state.pattern, tables)
    if urgent == NO_STAGE:
        return FOREVER
    leaving = max(min(latest, bound), state.now)
    hop = tables.next_hop[state.stage][urgent]
    while True:  # the later it leaves, the more greens are worn out, and these may have to be waited for
        clear = _worn_out(state, hop, leaving, state.pattern, tables)
        first = ready(state, tables, tables.move(state.stage, hop, clear).ending)
        if first <= leaving:
            return leaving
        leaving = first


def settled_until(state: IntersectionState, tables: Tables) -> Tenths:
    """Give an instant before which the gate surely does not act by itself, cheaper than `due` and never later."""
    return state.oldest + tables.patience[state.pattern]


def ready(state: IntersectionState, tables: Tables, ending: int) -> Tenths:
    """Find the first instant at which the given groups have served their minimum green, walk and pedestrian clearance.

    So must a green group have that a pedestrian waits for: the next stage counts on it to walk at once.
    """
    first = state.arrived + tables.min_dwell
    for group in bits(ending | state.ped_calls & tables.green[state.stage]):
        timing = tables.groups[group]
        first = max(first, state.began[group] + timing.min_green)
        if state.walked[group] != NEVER:
            first = max(first, state.walked[group] + timing.pedestrian_time)
    return first


def walk_fits(state: IntersectionState, group: int, tables: Tables) -> bool:
    """Tell whether a green group can begin a walk now and finish its clearance before the other calls need the stage left."""
    others = state._replace(ped_calls=state.ped_calls & ~(1 << group))
    latest, bound, urgent = _limits(others, state.pattern, tables)
    return urgent == NO_STAGE or state.now + tables.groups[group].pedestrian_time <= min(latest, bound)


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
    if state.now < state.oldest + tables.patience[pattern]:
        return _granted(state.stage, 0, pattern)
    latest, bound, urgent = _limits(state, pattern, tables)
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
    if arrives + tables.service[goal] > state.oldest + tables.patience[pattern]:
        latest, _ = _chain(goal, _waiting(state, tables, without=tables.serves[goal]), tables)
        soonest = min(_waiting(state, tables, without=~tables.serves[goal]).values(), default=FOREVER)
        clear = _worn_out(state, goal, state.now, pattern, tables)
        arrives = state.now + tables.move(state.stage, goal, clear).duration
        if arrives > soonest or arrives + tables.service[goal] > latest:
            _, urgent = _chain(state.stage, _waiting(state, tables), tables)
            if urgent == NO_STAGE:
                return _amended(state.stage, 0, pattern, Reason.MAX_WAIT)
            return _leave(urgent, pattern, Reason.MAX_WAIT, state, tables)
        if clear:
            return _leave(goal, pattern, reason or Reason.MAX_GREEN, state, tables)
    held = _held_back(move.ending, state, tables)
    if held is not None:
        return _amended(state.stage, 0, pattern, held)
    if reason is None and tables.trapped[state.stage][goal]:
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
    for group in bits(ending | state.ped_calls & tables.green[state.stage]):
        timing = tables.groups[group]
        if state.now < state.began[group] + timing.min_green:
            return Reason.MIN_GREEN
        if state.walked[group] != NEVER and state.now < state.walked[group] + timing.pedestrian_time:
            return Reason.PEDESTRIANS
    return None


def _limits(state: IntersectionState, pattern: int, tables: Tables) -> tuple[Tenths, Tenths, int]:
    """Find the latest instant to leave the running stage for the waiting calls, the one for its greens, and the stage to go to."""
    latest, urgent = _chain(state.stage, _waiting(state, tables), tables)
    return latest, _green_bound(state, tables, tables.green[state.stage], pattern), urgent


def _since(state: IntersectionState, group: int, tables: Tables) -> Tenths:
    """Say from when on a vehicle call counts.

    A permissive green that never is protected answers its call for now; the call's clock starts anew at the end of that green, and the
    call itself stays until a vehicle has discharged.
    """
    return max(state.called[group], state.ended[group]) if tables.only_permissive >> group & 1 else state.called[group]


def _waiting(state: IntersectionState, tables: Tables, without: int = 0) -> dict[int, Tenths]:
    """For each stage that must serve an unserved call, give the latest instant to arrive; calls in the mask `without` are left out."""
    deadlines: dict[int, Tenths] = {}
    green = tables.green[state.stage] & ~state.clearing
    for group in bits(state.calls & ~without & ~(green & tables.only_permissive)):
        goal, deadline = tables.rescue[group], _since(state, group, tables) + tables.groups[group].max_wait
        deadlines[goal] = min(deadline, deadlines.get(goal, FOREVER))
    for group in bits(state.ped_calls & ~(without >> tables.size)):
        goal, deadline = tables.rescue[tables.size + group], state.ped_called[group] + tables.groups[group].ped_max_wait
        deadlines[goal] = min(deadline, deadlines.get(goal, FOREVER))
    return deadlines


def _chain(stage: int, deadlines: dict[int, Tenths], tables: Tables) -> tuple[Tenths, int]:
    """Lay the stages that must serve end to end, in the order in which each must be done.

    The first is the one that leaves most time: over a prohibited move the way to it may be half gone already.

    Returns:
        The latest instant at which `stage` may be left for all to be served in time, and the first stage of the chain; (FOREVER,
        NO_STAGE) where nothing waits for another stage.
    """
    order = sorted(deadlines, key=lambda goal: (deadlines[goal] + tables.service[goal], goal))
    best, urgent = FOREVER, NO_STAGE
    for first in order:
        if first == stage:  # a walk that this green has no time for: it comes after whatever ends this stage
            continue
        spent = tables.travel[stage][first]
        latest = deadlines[first] - spent
        spent += tables.service[first]
        for goal in order:
            if goal != first:
                spent += tables.arrive[goal]
                latest = min(latest, deadlines[goal] - spent)
                spent += tables.service[goal]
        if urgent == NO_STAGE or latest > best:
            best, urgent = latest, first
    return best, urgent


def _green_bound(state: IntersectionState, tables: Tables, groups: int, pattern: int) -> Tenths:
    """Find the first instant at which one of the given green groups has used up its maximum green, or FOREVER."""
    bound = FOREVER
    green = tables.green[state.stage] & ~state.clearing
    calls = state.calls & ~(green & tables.only_permissive)
    for group in bits(groups & green):
        conflicts = tables.conflicts[group]
        since = min(
            min((_since(state, other, tables) for other in bits(conflicts & calls)), default=FOREVER),
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
