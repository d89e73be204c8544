"""A signal's state as measured: what a cabinet reports, poll by poll, becomes the state that the gate judges by.

A cabinet times its own intervals and tells lamps and calls, seldom since when. What it leaves out follows from the poll before: a green
that was not there then has begun now. So what is told to have begun began up to one poll earlier, and the gate waits that much longer
than it must; nothing is ever taken to have been served that was not.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from intersection.machine import lamps, start
from intersection.phase import Tenths
from intersection.state import FOREVER, FREE, NEVER, NO_STAGE, Display, IntersectionState
from intersection.tables import Tables


class Report(NamedTuple):
    """What a cabinet shows and what waits there at one instant. Masks are of groups, in the order of `Tables.groups`."""

    now: Tenths
    stage: int
    """The index of the stage that is on: green, or being left until its last clearance is over."""

    greens: int
    yellows: int = 0
    walks: int = 0
    ped_clears: int = 0
    calls: int = 0
    """The groups at which vehicles wait."""

    ped_calls: int = 0
    """The groups at which pedestrians wait."""

    pattern: int = FREE
    display: Display = Display.NORMAL
    target: int = NO_STAGE
    """The index of the stage of the running transition, where the cabinet says so; NO_STAGE where it does not, or none runs."""


@dataclass(frozen=True, slots=True)
class Strange:
    """Lamps that this configuration never shows: the cabinet or its mapping is not the one that was commissioned."""

    stage: int
    greens: int
    yellows: int


Measured: TypeAlias = IntersectionState | Strange


def measure(before: IntersectionState | None, report: Report, asked: int, tables: Tables) -> Measured:
    """Find the state of a signal from what it reports.

    Args:
        before: the state at the poll before; None at the first, and after a gap in which it could have changed unseen: then whatever
            runs is taken to begin now.
        report: what is reported now.
        asked: the index of the stage that the cabinet was last asked to go to, or NO_STAGE.
        tables: the compiled configuration.
    """
    stage = report.stage
    if report.display is not Display.NORMAL:
        base = before if before is not None else _unknown(report, tables)
        return base._replace(now=report.now, display=report.display)
    if not 0 <= stage < len(tables.stages) or (report.greens | report.yellows) & ~tables.green[stage] or report.greens & report.yellows:
        return Strange(stage, report.greens, report.yellows)
    was = before if before is not None and before.display is Display.NORMAL else _unknown(report, tables)
    ended = tables.green[stage] & ~report.greens
    moving = bool(ended)
    same = was.stage == stage
    stays = same and (moving or was.target == NO_STAGE)
    target, left = NO_STAGE, NEVER
    if moving:
        target = next((told for told in (report.target, asked) if told != NO_STAGE), stage)
        left = was.left if same and was.target != NO_STAGE else report.now
    called = _since(was.called, report.calls & tables.vehicles & ~(tables.protected[stage] & report.greens), report.now)
    ped_called = _since(was.ped_called, report.ped_calls & tables.pedestrians & ~report.walks, report.now)
    waiting = [since for since in (*called, *ped_called) if since != NEVER]
    return IntersectionState(
        now=report.now,
        stage=stage,
        arrived=was.arrived if stays else report.now,
        target=target,
        left=left,
        arrives=left + tables.move(stage, target, ended).duration if moving else FOREVER,
        clearing=ended,
        began=_since(was.began, report.greens, report.now),
        ended=tuple(
            report.now if began != NEVER and not report.greens >> group & 1 else since
            for group, (since, began) in enumerate(zip(was.ended, was.began, strict=True))
        ),
        called=called,
        ped_called=ped_called,
        walked=tuple(_walked(was, report, group, tables) for group in range(tables.size)),
        calls=_mask(called),
        ped_calls=_mask(ped_called),
        oldest=min(waiting, default=FOREVER),
        pattern=report.pattern,
        display=Display.NORMAL,
    )


def _walked(was: IntersectionState, report: Report, group: int, tables: Tables) -> Tenths:
    """Find when a group's walk began, never so early that what still runs would seem over."""
    if not report.greens >> group & 1:
        return NEVER
    timing, now, since = tables.groups[group], report.now, was.walked[group]
    if report.walks >> group & 1:
        if since == NEVER or was.now >= since + timing.walk:
            return now
        return max(since, now - timing.walk + 1)  # at rest in walk: all of the clearance is still to come
    if report.ped_clears >> group & 1:
        return max(since, now - timing.pedestrian_time + 1) if since != NEVER else now - timing.walk
    return since


def _since(instants: tuple[Tenths, ...], mask: int, now: Tenths) -> tuple[Tenths, ...]:
    """Keep since when each bit has been set, begin now where it is new, and forget where it is gone."""
    return tuple((since if since != NEVER else now) if mask >> group & 1 else NEVER for group, since in enumerate(instants))


def _mask(instants: tuple[Tenths, ...]) -> int:
    return sum(1 << group for group, since in enumerate(instants) if since != NEVER)


def _unknown(report: Report, tables: Tables) -> IntersectionState:
    """Make the state before the first poll: nothing has begun, nothing waits."""
    return start(tables, 0, report.now)._replace(stage=NO_STAGE, began=(NEVER,) * tables.size)


def reported(state: IntersectionState, tables: Tables) -> Report:
    """Say what the machine shows, as a cabinet would report it."""
    greens, yellows, walks, ped_clears = lamps(state, tables)
    return Report(
        now=state.now,
        stage=state.stage,
        greens=greens,
        yellows=yellows,
        walks=walks,
        ped_clears=ped_clears,
        calls=state.calls,
        ped_calls=state.ped_calls,
        pattern=state.pattern,
        display=state.display,
        target=state.target,
    )
