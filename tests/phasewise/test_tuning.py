"""Tuning: which parameter sets are tried, and which go on."""

from phasewise.tuning import Tried, best_quarter, sets

GRID = {"min_green_s": (5.0, 10.0), "permissive": (0.3, 0.5, 0.7)}


class TestSets:
    """The sets of a grid."""

    def test_a_grid_within_the_budget_is_tried_whole(self) -> None:
        """Every combination is there once."""
        found = sets(GRID, 6)

        assert len({tuple(each.items()) for each in found}) == 6

    def test_a_larger_grid_is_drawn_from_always_the_same(self) -> None:
        """As many different sets as the budget, the same each time."""
        found = sets(GRID, 4)

        assert len({tuple(each.items()) for each in found}) == 4
        assert found == sets(GRID, 4)

    def test_no_value_of_a_drawn_grid_is_left_out_by_its_place(self) -> None:
        """A draw of half of a grid holds every value of every parameter."""
        grid = {"a": (0.0, 1.0), "b": (0.0, 1.0), "c": (0.0, 1.0), "d": (0.0, 1.0)}

        for key in grid:
            assert {each[key] for each in sets(grid, 8)} == {0.0, 1.0}


class TestBestQuarter:
    """Who goes on to the other seeds."""

    def test_the_quickest_go_on(self) -> None:
        """Of eight the two with the least delay, the best first."""
        tried = [Tried({"at": float(at)}, [delay]) for at, delay in enumerate((9.0, 3.0, 7.0, 1.0, 8.0, 5.0, 6.0, 4.0))]

        assert [each.delays for each in best_quarter(tried)] == [[1.0], [3.0]]

    def test_somebody_always_goes_on(self) -> None:
        """Of one that one."""
        assert len(best_quarter([Tried({}, [500.0])])) == 1
