"""Times the intervals of a signal, from event to event, never tick by tick.

`advance` gives the same state however time is sliced: between its events (arrivals, and the instants at which the gate acts by itself)
nothing happens but the passing of time.
"""

from typing import NamedTuple

from intersection.phase import Tenths
from intersection.shield import Amended, Command, Proposal, due, review, settled_until, walk_fits
from intersection.state import (
    FOREVER,
    FREE,
    NEVER,
    NO_STAGE,
    Display,
    IntersectionState,
    Interval,
    PedInterval,
    PhaseState,
)
from intersection.tables import Tables, bits


def start(tables: Tables, stage: int, now: Tenths) -> IntersectionState:
    """Begin in a stage, as after a start-up that ended in all red."""
    never = (NEVER,) * tables.size
    green = tables.green[stage]
    return IntersectionState(
        now=now,
        stage=stage,
        arrived=now,
        target=NO_STAGE,
        left=NEVER,
        arrives=FOREVER,
        clearing=0,
        began=tuple(now if green >> group & 1 else NEVER for group in range(tables.size)),
        ended=never,
        called=never,
        ped_called=never,
        walked=never,
        calls=0,
        ped_calls=0,
        oldest=FOREVER,
        pattern=FREE,
        display=Display.NORMAL,
    )


def show(state: IntersectionState, display: Display) -> IntersectionState:
    """Turn to flash or dark, or record that the street shows it. Normal operation begins again with `start`."""
    return state._replace(display=display)


def place_calls(state: IntersectionState, tables: Tables, vehicles: int, pedestrians: int = 0, discharged: int = 0) -> IntersectionState:
    """Take in what the detectors say at `state.now`, and begin the walks for which the running green has time.

    The arguments are those of `take_calls`.
    """
    placed = take_calls(state, tables, vehicles, pedestrians, discharged)
    return _walk_in_green(placed, tables) if placed.ped_calls else placed


def take_calls(state: IntersectionState, tables: Tables, vehicles: int, pedestrians: int = 0, discharged: int = 0) -> IntersectionState:
    """Note who waits at `state.now`, and since when; nothing begins.

    Args:
        state: the signal at the instant of the readings.
        tables: the compiled configuration.
        vehicles: the groups at which vehicles are detected, as a mask.
        pedestrians: the groups whose push button was pressed, as a mask.
        discharged: the groups from which a vehicle has left since the last readings, as a mask; it answers the call of a group that
            never is protected.
    """
    served = tables.protected[state.stage] & ~state.clearing
    vehicles = (vehicles | tables.vehicle_recall) & tables.vehicles & ~served
    answered = discharged & tables.only_permissive & state.calls
    vehicles |= state.calls & tables.locked & ~answered
    wanted = 0
    if pedestrians or tables.ped_recall:
        recalled = tables.ped_recall & ~(tables.green[state.stage] & ~state.clearing)
        wanted = (pedestrians | recalled) & tables.pedestrians & ~_in_walk(state, tables) & ~state.ped_calls
    if vehicles == state.calls and not answered and not wanted:
        return state
    gone = state.calls & ~vehicles
    called = _marked(state.called, gone, NEVER) if gone else state.called
    return _with_calls(
        state,
        _marked(called, vehicles & (answered | ~state.calls), state.now),
        _marked(state.ped_called, wanted, state.now),
        vehicles,
        state.ped_calls | wanted,
    )


def advance(state: IntersectionState, command: Command | None, now: Tenths, tables: Tables) -> IntersectionState:
    """Let time pass until `now`.

    Args:
        state: the signal before; its `now` is not after `now`.
        command: what the gate made of the last proposal, carried out at `state.now`; None goes on with what runs.
        now: the instant to reach, in tenths of a second.
        tables: the compiled configuration.

    Raises:
        ValueError: `now` lies before the state.
    """
    if now < state.now:
        raise ValueError(f"time runs forward: from {state.now} to {now} tenths of a second")
    if command is not None:
        state = _carry_out(state, command, tables)
    while True:
        if state.target != NO_STAGE:
            if state.arrives > now:
                break
            state = _arrive(state, tables)
            continue
        walk_at = _cleared_at(state, tables) if state.ped_calls else FOREVER
        act_at = due(state, tables) if settled_until(state, tables) <= now else FOREVER
        if min(walk_at, act_at) > now:
            break
        state = _at(state, min(walk_at, act_at))
        if walk_at <= act_at:
            state = _walk_in_green(state, tables)
        else:
            own = review(Proposal(pattern=state.pattern), state, tables)
            if isinstance(own, Amended):  # pragma: no branch  # what is due the gate never leaves undone
                state = _carry_out(state, own.command, tables)
    return state if state.now == now else _at(state, now)


def next_change(state: IntersectionState, tables: Tables) -> Tenths:
    """Find the next instant after `state.now` at which an indication changes without a command, or FOREVER.

    Walks that end are among them; what the gate does by itself is not (see `shield.due`).
    """
    change = FOREVER
    if state.target != NO_STAGE:
        move = tables.move(state.stage, state.target, state.clearing)
        change = next((state.left + mark for mark in move.marks if state.left + mark > state.now), FOREVER)
    if tables.pedestrians:
        for group in bits(tables.pedestrians):
            walked = state.walked[group]
            if walked != NEVER:
                timing = tables.groups[group]
                for end in (walked + timing.walk, walked + timing.pedestrian_time):
                    if state.now < end < change:
                        change = end
    return change


class Lamps(NamedTuple):
    """The groups that show each indication, as masks; the others show red and don't walk."""

    greens: int
    yellows: int
    walks: int
    ped_clears: int


def lamps(state: IntersectionState, tables: Tables) -> Lamps:
    """Say which groups show what, in normal operation."""
    yellows = walks = ped_clears = 0
    for group in bits(state.clearing):
        if state.now < state.left + tables.groups[group].yellow:
            yellows |= 1 << group
    if tables.pedestrians:
        for group in bits(tables.pedestrians):
            walked, timing = state.walked[group], tables.groups[group]
            if walked != NEVER and state.now < walked + timing.walk:
                walks |= 1 << group
            elif walked != NEVER and state.now < walked + timing.pedestrian_time:
                ped_clears |= 1 << group
    return Lamps(tables.green[state.stage] & ~state.clearing, yellows, walks, ped_clears)


def phase_states(state: IntersectionState, tables: Tables) -> tuple[PhaseState, ...]:
    """Say for each group what its lamps show."""
    return tuple(_phase_state(state, group, tables) for group in range(tables.size))


def _phase_state(state: IntersectionState, group: int, tables: Tables) -> PhaseState:
    interval, since = interval_of(state, group, tables)
    shown = state.stage
    return PhaseState(
        interval=interval,
        protected=interval is Interval.GREEN and bool(tables.protected[shown] >> group & 1),
        since=since,
        pedestrian=ped_interval_of(state, group, tables),
        call_since=state.called[group],
        ped_call_since=state.ped_called[group],
    )


def interval_of(state: IntersectionState, group: int, tables: Tables) -> tuple[Interval, Tenths]:
    """Say what the vehicle indication of a group shows, and since when."""
    if state.display is Display.FLASH:
        return Interval.FLASH, NEVER
    if state.display is Display.DARK:
        return Interval.DARK, NEVER
    if state.began[group] != NEVER:
        return Interval.GREEN, state.began[group]
    ended, timing = state.ended[group], tables.groups[group]
    if ended != NEVER:
        if state.now < ended + timing.yellow:
            return Interval.YELLOW_CHANGE, ended
        cleared = ended + timing.yellow + timing.red
        if state.now < cleared:
            return Interval.RED_CLEARANCE, ended + timing.yellow
        return Interval.RED, cleared
    return Interval.RED, NEVER


def ped_interval_of(state: IntersectionState, group: int, tables: Tables) -> PedInterval:
    """Say what the pedestrian indication of a group shows."""
    if state.display is Display.FLASH:
        return PedInterval.FLASH
    if state.display is Display.DARK:
        return PedInterval.DARK
    walked, timing = state.walked[group], tables.groups[group]
    if walked == NEVER or state.now >= walked + timing.pedestrian_time:
        return PedInterval.DONT_WALK
    return PedInterval.WALK if state.now < walked + timing.walk else PedInterval.PED_CLEARANCE


def _at(state: IntersectionState, now: Tenths) -> IntersectionState:
    return IntersectionState(now, *state[1:])


def _carry_out(state: IntersectionState, command: Command, tables: Tables) -> IntersectionState:
    """Begin the move to the command's stage; a command for what runs already changes nothing but the pattern."""
    if state.target != NO_STAGE or command.stage == state.stage:
        return state if command.pattern == state.pattern else state._replace(pattern=command.pattern)
    move = tables.move(state.stage, command.stage, command.clear)
    now, ending = state.now, move.ending
    return IntersectionState(
        now=now,
        stage=state.stage,
        arrived=state.arrived,
        target=command.stage,
        left=now,
        arrives=now + move.duration,
        clearing=ending,
        began=_marked(state.began, ending, NEVER),
        ended=_marked(state.ended, ending, now),
        called=state.called,
        ped_called=state.ped_called,
        walked=_marked(state.walked, ending & tables.pedestrians, NEVER),
        calls=state.calls,
        ped_calls=state.ped_calls,
        oldest=state.oldest,
        pattern=command.pattern,
        display=state.display,
    )


def _arrive(state: IntersectionState, tables: Tables) -> IntersectionState:
    """Reach the target: its greens begin, the calls it serves are answered, and who waits to walk walks."""
    now, stage = state.arrives, state.target
    starting = tables.green[stage] & ~(tables.green[state.stage] & ~state.clearing)
    answered = state.calls & tables.protected[stage]
    walks = 0
    if tables.pedestrians:
        walks = (state.ped_calls | tables.ped_recall & starting) & tables.green[stage] & ~_walking(state, now, tables)
    arrived = IntersectionState(
        now=now,
        stage=stage,
        arrived=now,
        target=NO_STAGE,
        left=NEVER,
        arrives=FOREVER,
        clearing=0,
        began=_marked(state.began, starting, now),
        ended=state.ended,
        called=state.called,
        ped_called=state.ped_called,
        walked=_marked(state.walked, walks, now),
        calls=state.calls,
        ped_calls=state.ped_calls,
        oldest=state.oldest,
        pattern=state.pattern,
        display=state.display,
    )
    if not answered and not walks:
        return arrived
    return _with_calls(
        arrived,
        _marked(state.called, answered, NEVER),
        _marked(state.ped_called, walks, NEVER),
        state.calls & ~answered,
        state.ped_calls & ~walks,
    )


def _walk_in_green(state: IntersectionState, tables: Tables) -> IntersectionState:
    """Begin the walks that are called during a green, where nothing that waits is delayed beyond its bound."""
    if state.target != NO_STAGE:
        return state
    for group in bits(state.ped_calls & tables.green[state.stage] & ~_walking(state, state.now, tables)):
        if walk_fits(state, group, tables):
            state = _with_calls(
                state._replace(walked=_marked(state.walked, 1 << group, state.now)),
                state.called,
                _marked(state.ped_called, 1 << group, NEVER),
                state.calls,
                state.ped_calls & ~(1 << group),
            )
    return state


def _with_calls(
    state: IntersectionState, called: tuple[Tenths, ...], ped_called: tuple[Tenths, ...], calls: int, ped_calls: int
) -> IntersectionState:
    waiting = [called[group] for group in bits(calls)] + [ped_called[group] for group in bits(ped_calls)]
    return IntersectionState(
        now=state.now,
        stage=state.stage,
        arrived=state.arrived,
        target=state.target,
        left=state.left,
        arrives=state.arrives,
        clearing=state.clearing,
        began=state.began,
        ended=state.ended,
        called=called,
        ped_called=ped_called,
        walked=state.walked,
        calls=calls,
        ped_calls=ped_calls,
        oldest=min(waiting, default=FOREVER),
        pattern=state.pattern,
        display=state.display,
    )


def _cleared_at(state: IntersectionState, tables: Tables) -> Tenths:
    """Find the next end of a pedestrian clearance in a green group that pedestrians wait for again, or FOREVER."""
    waiting = state.ped_calls & tables.green[state.stage] & _walking(state, state.now, tables)
    return min((state.walked[group] + tables.groups[group].pedestrian_time for group in bits(waiting)), default=FOREVER)


def _walking(state: IntersectionState, now: Tenths, tables: Tables) -> int:
    """The groups that show walk or pedestrian clearance at an instant, as a mask."""
    return sum(
        1 << group
        for group in bits(tables.pedestrians)
        if state.walked[group] != NEVER and now < state.walked[group] + tables.groups[group].pedestrian_time
    )


def _in_walk(state: IntersectionState, tables: Tables) -> int:
    """The groups that show walk, as a mask."""
    return sum(
        1 << group
        for group in bits(tables.pedestrians)
        if state.walked[group] != NEVER and state.now < state.walked[group] + tables.groups[group].walk
    )


def _marked(instants: tuple[Tenths, ...], mask: int, value: Tenths) -> tuple[Tenths, ...]:
    if not mask:
        return instants
    marked = list(instants)
    for group in bits(mask):
        marked[group] = value
    return tuple(marked)
