import numpy as np
import pytest

from envs.results import Movement, Series
from phasewise.report.plots import minutes, reach, scale
from phasewise.report.series import binned, sampled, spread, ways


@pytest.mark.parametrize(
    ("low", "high", "end", "ticks"),
    [
        (0.0, 41.8, 41.8, (0, 10, 20, 30, 40)),
        (0.0, 44.0, 50.0, (0, 10, 20, 30, 40, 50)),
        (0.0, 1.0, 1.0, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (225.0, 380.0, 400.0, (200, 250, 300, 350, 400)),
    ],
)
def test_an_axis_has_round_numbers(low: float, high: float, end: float, ticks: tuple[float, ...]) -> None:
    """All values lie on it; it begins at a tick, and ends at one unless the last value is little beyond."""
    axis = scale(high, low=low)

    assert pytest.approx(ticks) == axis.ticks
    assert (axis.ticks[0], end) == (axis.low, axis.high)


def test_an_axis_of_time_ends_with_the_episode() -> None:
    """Ticks are whole minutes, but the end is the end."""
    axis = minutes(0.0, 3540.0, ticks=4)

    assert (0.0, 900.0, 1800.0, 2700.0) == axis.ticks
    assert 1.0 == axis.at(3540.0)


def test_a_value_far_out_does_not_press_the_others_together() -> None:
    """One gridlocked seed is let go; rows a few times apart are kept; what must be seen is seen."""
    assert 27.0 == reach([18.0, 20.0, 900.0], [18.0, 20.0])
    assert 60.0 == reach([20.0, 60.0], [20.0, 60.0])
    assert 115.0 == pytest.approx(reach([20.0, 100.0, 5000.0], [20.0, 100.0], seen=100.0))


def test_a_bin_holds_the_mean_of_its_time() -> None:
    """Samples closer than a bin are averaged, and after the episode's end there is nothing."""
    found = binned([0.0, 10.0, 20.0, 30.0, 40.0], [0.0, 10.0, 20.0, 20.0, 20.0], np.array([0.0, 20.0, 40.0, 60.0]))

    assert [10.0, 20.0, 0.0] == found.tolist()


def test_a_count_is_read_at_the_edges() -> None:
    """Between samples it grows evenly, and after the last it stays."""
    assert [0.0, 5.0, 10.0, 10.0] == sampled([0.0, 10.0], [0.0, 10.0], np.array([0.0, 5.0, 10.0, 20.0])).tolist()


def test_a_spread_is_median_least_and_greatest() -> None:
    """Instant by instant, over the seeds."""
    found = spread([np.array([1.0, 9.0]), np.array([2.0, 7.0]), np.array([6.0, 8.0])])

    assert ([2.0, 8.0], [1.0, 7.0], [6.0, 9.0]) == (found.middle.tolist(), found.low.tolist(), found.high.tolist())


def test_movements_are_weighed_by_their_trips_and_sorted_by_their_cost() -> None:
    """Seeds are pooled by trips; what costs the reference most stands first; the rest is one row."""

    def run(*movements: tuple[str, int, float]) -> Series:
        return Series(movements=tuple(Movement(origin=way, destination="z", trips=n, delay_s=d) for way, n, d in movements))

    fixed = [(1, run(("a", 10, 10.0), ("b", 10, 30.0), ("c", 2, 1.0))), (2, run(("a", 30, 20.0), ("d", 2, 3.0)))]
    other = [(1, run(("a", 10, 5.0), ("e", 4, 100.0)))]

    found = ways({"fixed_time": fixed, "other": other}, "fixed_time", limit=3)

    assert ["a → z", "b → z", "the other 3"] == [way.name for way in found]
    assert {"fixed_time": 17.5, "other": 5.0} == found[0].delay_s
    assert {"fixed_time": 30.0} == found[1].delay_s
    assert {"fixed_time": 2.0, "other": 100.0} == found[2].delay_s
    assert [20.0, 5.0, 2.0] == [way.trips for way in found]
