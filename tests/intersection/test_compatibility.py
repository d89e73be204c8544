import pytest

from intersection.compatibility import Barrier, Compatibility, Ring, Stage
from intersection.errors import ConfigError


def test_a_conflict_goes_both_ways() -> None:
    """A pair conflicts in whatever order it is asked."""
    matrix = Compatibility.of([(2, 1)])

    assert (True, True, False) == (matrix.conflict(1, 2), matrix.conflict(2, 1), matrix.conflict(1, 3))


def test_a_pair_is_two_phases_the_lower_first() -> None:
    """A phase does not conflict with itself, and nobody gives way without a conflict."""
    with pytest.raises(ConfigError, match="two different phases"):
        Compatibility(frozenset({(1, 1)}))
    with pytest.raises(ConfigError, match="gives way only"):
        Compatibility.of([(1, 2)], [(1, 3)])


def test_rings_and_barriers_must_fit() -> None:
    """A phase stands in one ring and on one side, and both name the same phases."""
    one, two = Ring(number=1, phases=(1,)), Ring(number=2, phases=(1,))
    side = Barrier(phases=frozenset({1}))

    with pytest.raises(ConfigError, match="one ring only"):
        Compatibility.from_rings([one, two], [side])
    with pytest.raises(ConfigError, match="one side of the barriers"):
        Compatibility.from_rings([one], [side, side])
    with pytest.raises(ConfigError, match="same phases"):
        Compatibility.from_rings([one], [Barrier(phases=frozenset({2}))])


def test_a_clash_is_two_conflicting_greens_of_which_none_gives_way() -> None:
    """A permissive phase may run beside one it gives way to, and beside no other."""
    matrix = Compatibility.of([(1, 2), (1, 3)], [(2, 1)])

    assert (1, 2) == matrix.clash(Stage(name="a", protected=frozenset({1, 2})))
    assert matrix.clash(Stage(name="b", protected=frozenset({1}), permissive=frozenset({2}))) is None
    assert (1, 3) == matrix.clash(Stage(name="c", protected=frozenset({1}), permissive=frozenset({3})))
    assert matrix.clash(Stage(name="d", protected=frozenset({2, 3}))) is None
