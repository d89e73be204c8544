"""How an actuated controller chooses what comes next: rings, barriers, calls, omits, holds and force-offs, as pure functions.

A phase that no call conflicts with rests in green. One that a call conflicts with is left when it is forced off, has gapped out or has
maxed out, unless it is held. Within a side of the barriers a ring goes on to the next called phase of its sequence; over the barrier
both rings go together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from field_adapters.ntcip_program import NtcipProgram


@dataclass(frozen=True, kw_only=True, slots=True)
class Requests:
    """The six control objects: each names phases."""

    omit: frozenset[int] = frozenset()
    ped_omit: frozenset[int] = frozenset()
    hold: frozenset[int] = frozenset()
    force_off: frozenset[int] = frozenset()
    veh_call: frozenset[int] = frozenset()
    ped_call: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What a controller knows when it chooses."""

    on: frozenset[int]
    """The phases that run."""

    called: frozenset[int]
    """The phases that a vehicle or a pedestrian calls; those omitted are not among them."""

    over: frozenset[int]
    """Of those that run, the ones that have gapped out or maxed out."""

    requests: Requests = field(default_factory=Requests)


def following(demand: Demand, program: NtcipProgram) -> int | None:
    """Choose the stage to go to, by its index, or None where what runs goes on."""
    target = _within_side(demand, program) or _over_barrier(demand, program)
    if target is None or target == demand.on:
        return None
    return _stages(program).get(target)


def _stages(program: NtcipProgram) -> Mapping[frozenset[int], int]:
    return {phases: at for at, phases in enumerate(program.stages)}


def _side(demand: Demand, program: NtcipProgram) -> int:
    """Find the side of the barriers on which the controller is."""
    return next(at for at in range(len(program.rings[0])) if any(set(ring[at]) & demand.on for ring in program.rings))


def _may_leave(phase: int, demand: Demand) -> bool:
    return phase not in demand.requests.hold and (phase in demand.requests.force_off or phase in demand.over)


def _within_side(demand: Demand, program: NtcipProgram) -> frozenset[int] | None:
    """Let each ring that may, and has somebody to serve on this side, go on; None where none does."""
    side = _side(demand, program)
    elsewhere = any(set(ring[at]) & demand.called for ring in program.rings for at in range(len(ring)) if at != side)
    target = set(demand.on)
    for ring in program.rings:
        running = set(ring[side]) & demand.on
        for phase in running:
            after = _after(ring[side], phase, wraps=not elsewhere)
            called = next((other for other in after if other in demand.called and other not in demand.requests.omit), None)
            if called is not None and _may_leave(phase, demand):
                target = target - {phase} | {called}
    return frozenset(target) if target != demand.on else None


def _after(sequence: tuple[int, ...], phase: int, *, wraps: bool) -> tuple[int, ...]:
    """List the phases that come after one; those before it too where the ring may come round without crossing the barrier."""
    at = sequence.index(phase)
    return sequence[at + 1 :] + (sequence[:at] if wraps else ())


def _over_barrier(demand: Demand, program: NtcipProgram) -> frozenset[int] | None:
    """Cross to the next side on which somebody calls, once every phase that runs may be left; None where not."""
    if not all(_may_leave(phase, demand) for phase in demand.on):
        return None
    count, side = len(program.rings[0]), _side(demand, program)
    for at in [(side + step) % count for step in range(1, count)]:
        if any(set(ring[at]) & demand.called for ring in program.rings):
            return frozenset(filter(None, (_first(ring[at], demand) for ring in program.rings)))
    return None


def _first(sequence: tuple[int, ...], demand: Demand) -> int | None:
    """Choose what a ring begins with: the first that is called, else, by dual entry, the first that is not omitted."""
    served = [phase for phase in sequence if phase not in demand.requests.omit]
    return next((phase for phase in served if phase in demand.called), next(iter(served), None))
