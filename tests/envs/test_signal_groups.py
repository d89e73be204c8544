from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from envs.signal_groups import cliques
from intersection.tables import bits


def _compatible(members: int, table: list[int]) -> bool:
    return all(table[a] >> b & 1 for a, b in combinations(bits(members), 2))


@given(st.integers(1, 8).flatmap(lambda count: st.tuples(st.just(count), st.lists(st.booleans(), min_size=28, max_size=28))))
def test_cliques_are_the_maximal_compatible_sets(drawn: tuple[int, list[bool]]) -> None:
    """Each set found is compatible, none can be added to, none is found twice, and none is missing: as trying all sets shows."""
    count, edges = drawn
    table = [0] * count
    for (a, b), joined in zip(combinations(range(count), 2), edges, strict=False):
        if joined:
            table[a] |= 1 << b
            table[b] |= 1 << a
    compatible = [members for members in range(1, 1 << count) if _compatible(members, table)]
    maximal = [members for members in compatible if not any(members != more and members & more == members for more in compatible)]

    assert maximal == sorted(cliques((1 << count) - 1, table))


def test_nothing_to_choose_from_has_no_clique() -> None:
    """No candidates, no sets."""
    assert not list(cliques(0, []))
