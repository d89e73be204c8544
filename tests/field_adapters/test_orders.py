from dataclasses import MISSING, fields

import pytest

from field_adapters.simulated.orders import (
    ORDERS,
    DetectorFailure,
    FailDetector,
    Flash,
    JumpClock,
    Order,
    Preempt,
    Reboot,
    SetBackupTime,
    SwapDetectors,
    parse,
    usage,
)
from intersection.errors import ConfigError, UnknownNameError


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("reboot", Reboot()),
        (" flash  on\n", Flash(True)),
        ("flash off", Flash(False)),
        ("jump_clock -30.5", JumpClock(-30.5)),
        ("set_backup_time 0", SetBackupTime(0)),
        ("preempt on", Preempt(True)),
        ("preempt off 2", Preempt(False, 2)),
        ("fail_detector d/3 dead", FailDetector("d/3", DetectorFailure.DEAD)),
        ("swap_detectors a b", SwapDetectors("a", "b")),
    ],
)
def test_an_order_is_read_from_words(line: str, order: Order) -> None:
    """The name comes first, then a word for each field; those with a default may be left out."""
    assert order == parse(line)


@pytest.mark.parametrize("line", ["flash", "flash maybe", "flash on now", "jump_clock soon", "preempt on 1.5", "fail_detector a tired"])
def test_words_that_cannot_be_understood_are_answered_with_those_that_can(line: str) -> None:
    """The message says how the order is given."""
    with pytest.raises(ConfigError) as told:
        parse(line)

    assert usage(ORDERS[line.split(maxsplit=1)[0]]) in str(told.value)


@pytest.mark.parametrize("line", ["", "rebot"])
def test_an_unknown_order_is_answered_with_the_known_ones(line: str) -> None:
    """The message lists every order."""
    with pytest.raises(UnknownNameError) as told:
        parse(line)

    assert tuple(sorted(ORDERS)) == told.value.known


def test_every_order_can_be_given_in_words() -> None:
    """No order has a field that words cannot fill."""
    samples: dict[object, str] = {bool: "on", int: "7", float: "1.5", str: "a", DetectorFailure: "stuck"}

    given = [parse(" ".join([name, *(samples[f.type] for f in fields(kind) if f.default is MISSING)])) for name, kind in ORDERS.items()]

    assert list(ORDERS.values()) == [type(order) for order in given]
