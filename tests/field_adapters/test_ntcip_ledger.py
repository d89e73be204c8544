from field_adapters._base import Condition
from field_adapters.ntcip_ledger import COPIES, Ledger
from field_adapters.ntcip_requests import NOTHING, Requests

GO = Requests(omit=frozenset({2}), veh_call=frozenset({1}), pattern=254)
DWELL = Requests(omit=frozenset({2}), pattern=254)


def ledger() -> Ledger:
    """Give one that has asked for two things."""
    made = Ledger()
    made.judge(NOTHING, expired=False)
    made.wrote(GO)
    made.wrote(DWELL)
    return made


def test_a_copy_that_comes_late_is_nobody_else_s() -> None:
    """A datagram that was doubled on its way turns up when something else stands."""
    own = ledger()
    seen = own.judge(GO, expired=False)

    assert (None, None) == (seen, own.standing)


def test_a_message_that_comes_again_and_again_is_somebody_else_s() -> None:
    """It is sent once and may be doubled; who goes on to send the same is another writer."""
    own = ledger()
    seen = []
    for _ in range(COPIES + 1):
        seen.append(own.judge(GO, expired=False))
        own.wrote(DWELL)
    last = seen.pop()

    assert [None] * COPIES == seen
    assert last is not None
    assert Condition.ANOTHER_WRITER is last[0]
