from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.fixed_time import IN_STEP, Follower, PlanPolicy, Plans
from field_adapters._base import PlanStep
from intersection.config import IntersectionConfig
from intersection.detection import empty_readings
from intersection.errors import ConfigError
from intersection.machine import advance, place_calls, start
from intersection.observation import Observation
from intersection.plan import Pattern, Schedule, ScheduleEntry
from intersection.policy import Policy
from intersection.shield import Amended, Proposal, Reason, Refused, review
from intersection.state import NO_STAGE, IntersectionState
from tests.models.crossing import crossing

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()
DAY = Pattern(number=1, name="day", cycle=900, offset=130, sequence=("through", "left", "side"), splits=(400, 200, 300))
NIGHT = Pattern(number=2, name="night", cycle=700, offset=0, sequence=("side", "through", "left"), splits=(250, 270, 180))
CONFIG = replace(crossing(), patterns=(DAY, NIGHT))


class Second(NamedTuple):
    """What was seen at one second."""

    state: IntersectionState
    off: int
    step: PlanStep
    reason: Reason | None


def follow(
    plans: Plans,
    state: IntersectionState,
    seconds: int,
    wall: Callable[[int], float],
    *,
    calls: Callable[[int], int] = lambda _: 0b111,
    walkers: Callable[[int], bool] = lambda _: False,
) -> list[Second]:
    """Let a plan run the machine through the gate, second by second; `wall`, `calls` and `walkers` are told the instant."""
    tables, follower, seen = plans.config.tables, Follower(plans), []
    for _ in range(seconds):
        state = place_calls(state, tables, calls(state.now), tables.pedestrians if walkers(state.now) else 0)
        verdict = review(follower.propose(state, wall(state.now)), state, tables)
        assert not isinstance(verdict, Refused)
        assert follower.standing is not None
        reason = verdict.reason if isinstance(verdict, Amended) else None
        seen.append(Second(state, follower.standing.off, plans.step(follower.standing), reason))
        state = advance(state, verdict.command, state.now + 10, tables)
    return seen


def by_noon(now: int) -> float:
    """A wall that agrees with the daemon's clock."""
    return NOON + now / 10


def arrivals(seen: list[Second]) -> list[int]:
    """The stages in the order in which they arrived."""
    found = [seen[0].state.stage]
    for second in seen:
        if second.state.target == NO_STAGE and second.state.stage != found[-1]:
            found.append(second.state.stage)
    return found


def always(number: int) -> Schedule:
    """One pattern, day and night."""
    return Schedule(entries=(ScheduleEntry(start=time(), pattern=number),))


@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize("began", range(0, 900, 70))
def test_a_plan_comes_into_step_from_any_stage_at_any_instant(stage: int, began: int) -> None:
    """Within the stated number of cycles, in its own order, and then for good."""
    plans = Plans(CONFIG, always(1))
    most = plans.most_cycles(1)

    seen = follow(plans, start(CONFIG.tables, stage, 0), (most + 4) * 90, lambda now: NOON + (began + now) / 10)
    order = arrivals(seen)

    assert {PlanStep.IN_STEP} == {second.step for second in seen[most * 90 :]}
    assert all((b - a) % 3 == 1 for a, b in pairwise(order))
    assert most <= 6


@pytest.mark.parametrize(
    ("sequence", "splits"),
    [
        (("through", "left", "side"), (397, 203, 283)),
        (("left", "through", "side"), (201, 399, 287)),
        (("side", "through", "left"), (131, 81, 83)),  # no split can be cut by a second
    ],
)
def test_a_plan_of_odd_tenths_stays_in_step(sequence: tuple[str, ...], splits: tuple[int, ...]) -> None:
    """What asking once a second makes early or late is made good before it adds up."""
    odd = Pattern(number=1, name="odd", cycle=sum(splits), sequence=sequence, splits=splits)
    plans = Plans(replace(CONFIG, patterns=(odd,)), always(1))

    seen = follow(plans, start(CONFIG.tables, 1, 0), 6_000, by_noon)

    assert {PlanStep.IN_STEP} == {second.step for second in seen[plans.most_cycles(1) * odd.cycle // 10 :]}


def test_a_split_whose_stage_the_gate_has_left_is_over() -> None:
    """A stage that ended early is not gone back to: the next one of the sequence is wanted, and its split counts from its arrival."""
    follower = Follower(Plans(CONFIG, always(1)))
    follower.propose(start(CONFIG.tables, 0, 0), by_noon(0))
    wanted = follower.propose(start(CONFIG.tables, 2, 10), by_noon(10)).stage
    follower.propose(start(CONFIG.tables, 1, 20), by_noon(20))

    assert 1 == wanted
    assert follower.standing is not None
    assert (1, True) == (follower.standing.entry, 20 < follower.standing.ends < 20 + DAY.cycle)


def test_a_stage_that_stands_twice_in_a_row_goes_on_without_a_break() -> None:
    """The last entry and the first of the next cycle may be the same stage: its second split begins where the first ends."""
    twice = Pattern(number=1, name="twice", cycle=900, sequence=("through", "left", "side", "through"), splits=(200, 200, 300, 200))
    plans = Plans(replace(CONFIG, patterns=(twice,)), always(1))

    seen = follow(plans, start(CONFIG.tables, 0, 0), 10 * 90, by_noon)

    assert {1} == {(b - a) % 3 for a, b in pairwise(arrivals(seen))}
    assert {PlanStep.IN_STEP} == {second.step for second in seen[plans.most_cycles(1) * 90 :]}


def test_in_step_a_green_ends_where_the_clock_has_it() -> None:
    """To the second: the end of a split by the wall's midnight and the offset is when the next stage arrives."""
    seen = follow(Plans(CONFIG, always(1)), start(CONFIG.tables, 2, 0), 900, by_noon)
    late = [second.state for second in seen[600:]]

    since_midnight = [(12 * 36_000 + state.arrived - DAY.offset) % 900 for state in late if state.stage == 1]

    assert since_midnight
    assert all(abs(position - 400) <= IN_STEP for position in since_midnight)


@given(seed=st.integers(0, 2**32 - 1), step=st.integers(-5_000, 5_000))
@settings(max_examples=40)
def test_a_change_of_pattern_or_a_step_of_the_clock_is_taken_in_without_a_jump(seed: int, step: int) -> None:
    """At whatever instant and whoever waits: in step again within the stated cycles, and no stage of the plan is left out."""
    random = Random(seed)
    change_at = random.randrange(1000, 3000)
    schedule = Schedule(entries=(ScheduleEntry(start=time(), pattern=1), ScheduleEntry(start=time(12), pattern=2)))
    plans = Plans(CONFIG, schedule)
    traffic = [random.getrandbits(3) for _ in range(2000)]

    def wall(now: int) -> float:
        return NOON + (now - change_at) / 10 + (step / 10 if now > change_at + 3000 and step > -3000 else 0)

    seen = follow(plans, start(CONFIG.tables, random.randrange(3), 0), 1200, wall, calls=lambda now: traffic[now // 200])
    order = arrivals(seen)

    assert all(order[at : at + 5].count(stage) >= 1 for at in range(len(order) - 5) for stage in range(3))
    assert {PlanStep.IN_STEP} == {second.step for second in seen[(change_at + 3000) // 10 + (plans.most_cycles(2) + 1) * 70 :]}


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
def test_a_change_of_clocks_disturbs_no_cycle(day: datetime) -> None:
    """In the night on which clocks change the cycles go on; only the entries of the schedule follow the clock."""
    plans = Plans(CONFIG, replace(always(1), time_zone="Europe/Berlin"))
    began = day.timestamp() + 1800

    seen = follow(plans, start(CONFIG.tables, 0, 0), 3600, lambda now: began + now / 10)

    assert {PlanStep.IN_STEP} == {second.step for second in seen[plans.most_cycles(1) * 90 :]}


def test_a_stage_that_is_held_up_makes_the_next_one_late_and_leaves_none_out() -> None:
    """Somebody walks again late in the green: the plan waits, serves all that follows, and comes back into step."""
    plans = Plans(CONFIG, always(1))

    seen = follow(plans, start(CONFIG.tables, 2, 0), 1500, by_noon, walkers=lambda now: now < 9_000)
    order = arrivals(seen)

    assert all((b - a) % 3 == 1 for a, b in pairwise(order))
    assert Reason.PEDESTRIANS in {second.reason for second in seen}
    assert {PlanStep.IN_STEP} == {second.step for second in seen[900 + plans.most_cycles(1) * 90 :]}


def test_no_split_is_corrected_by_more_than_a_fifth_or_below_what_its_stage_needs() -> None:
    """Nor stretched beyond what the pattern lets its green last: the gate has nothing to amend."""
    plans = Plans(CONFIG, always(1))
    tables = CONFIG.tables
    cuts, dwells = plans.rooms[1]

    assert all(0 <= cut <= split // 5 for cut, split in zip(cuts, DAY.splits, strict=True))
    assert all(split - cut - 30 >= tables.service[at] for at, (cut, split) in enumerate(zip(cuts, DAY.splits, strict=True)))
    assert all(0 <= dwell <= 20 for dwell in dwells)


def test_it_tells_how_many_cycles_are_left() -> None:
    """Fewer from cycle to cycle, and none once it is in step."""
    plans, follower = Plans(CONFIG, always(1)), Follower(Plans(CONFIG, always(1)))
    state, left = start(CONFIG.tables, 0, 0), []
    for _ in range(plans.most_cycles(1) * 90):
        verdict = review(follower.propose(state, NOON + 5 + state.now / 10), state, CONFIG.tables)
        assert not isinstance(verdict, Refused)
        assert follower.standing is not None
        left.append(plans.cycles_left(follower.standing))
        state = advance(state, verdict.command, state.now + 10, CONFIG.tables)

    assert left[0] <= plans.most_cycles(1)
    assert 0 == left[-1]


def test_a_change_that_runs_is_never_changed() -> None:
    """While a transition runs, nothing is asked for, whatever the plan has: also where the gate goes to a stage that is not in it."""
    state = start(CONFIG.tables, 0, 0)._replace(now=300, target=2, left=290, arrives=330)

    proposal, _ = Plans(CONFIG, always(1)).propose(None, state, NOON)

    assert Proposal(pattern=1) == proposal


def test_a_stage_that_the_plan_does_not_have_is_left_for_the_one_that_the_clock_has() -> None:
    """And by a legal move. Where somebody waits for it, the gate serves it all the same, and the plan goes on."""
    short = Pattern(number=1, name="short", cycle=700, sequence=("through", "side"), splits=(400, 300))
    config: IntersectionConfig = replace(CONFIG, patterns=(short,))

    seen = follow(Plans(config, always(1)), start(config.tables, 1, 0), 400, by_noon, calls=lambda _: 0b101)
    crowded = follow(Plans(config, always(1)), start(config.tables, 1, 0), 400, by_noon)

    assert {0, 2} == set(arrivals(seen)[1:])
    assert {0, 1, 2} == set(arrivals(crowded)[1:])


def test_without_a_pattern_there_is_no_plan() -> None:
    """And that is said at once."""
    with pytest.raises(ConfigError, match="no pattern"):
        Plans(crossing(patterns=False), Schedule()).propose(None, start(CONFIG.tables, 0, 0), NOON)


def test_a_simulation_can_run_it_as_a_policy() -> None:
    """Asked each second, with what a policy is given; to leave it and come back enters it anew."""
    policy = PlanPolicy(Plans(CONFIG, always(1)), NOON)
    asked: Policy = policy

    proposal = asked.propose(Observation(start(CONFIG.tables, 2, 0), empty_readings(CONFIG.detectors)))
    policy.follower.leave()

    assert (Proposal(stage=2, pattern=1), 10, None) == (proposal, asked.period, policy.follower.standing)
