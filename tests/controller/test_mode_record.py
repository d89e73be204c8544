import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.events import (
    Checked,
    Event,
    Fault,
    FaultBegan,
    FaultEnded,
    Flash,
    Free,
    LimitSet,
    LockOutCleared,
    Mode,
    Order,
    OrderGiven,
    Place,
    Plan,
    ReEnabled,
    Started,
    Stopped,
    Tick,
)
from controller.mode import LadderSettings, LadderState, initial, step
from controller.mode_record import from_dict, to_dict
from intersection.errors import ConfigError

SETTINGS = LadderSettings(flash_enabled=True)
EPOCH = 17_900_000_000
START: tuple[Event, ...] = (Started(), Checked(), Tick(), Tick())


def run(*events: Event, now: int = 1_000) -> LadderState:
    """Let events happen, ten seconds apart."""
    state = initial(now)
    for at, event in enumerate(events):
        state = step(state, event, now + 100 * at, SETTINGS)
    return state


def order(what: Plan | Free | Flash) -> OrderGiven:
    """Order something for ten minutes, or flash."""
    return OrderGiven(Order(what=what, operator="Kim", reason="works", expires=None if what == Flash() else 7_000))


FULL = run(
    *START,
    LimitSet(limit=Mode.ADAPTIVE, operator="Ida", reason="trial is over"),
    FaultBegan(Fault.DISOBEYED),
    FaultBegan(Fault.POLICY_LATE, "1.2 s"),
    order(Plan(3)),
)


def record() -> dict[str, Any]:
    """Write the fullest state."""
    return to_dict(FULL, epoch=EPOCH)


EVENTS = st.one_of(
    st.sampled_from([*START, Stopped(), ReEnabled(operator="Kim", reason="looked"), order(Plan(3)), order(Free()), order(Flash())]),
    st.builds(FaultBegan, st.sampled_from(Fault), st.text(max_size=5)),
    st.builds(FaultEnded, st.sampled_from([Fault.LINK_LOST, Fault.REBOOTED, Fault.CLOCK_OFF])),
    st.sampled_from([FaultBegan(Fault.LINK_LOST), FaultBegan(Fault.CLOCK_OFF, "3 s")]),
    st.builds(LimitSet, limit=st.sampled_from([Mode.OFF, Mode.SHADOW, Mode.ADAPTIVE]), operator=st.just("Ida"), reason=st.just("trial")),
    st.just(LockOutCleared(technician="Lee", place=Place.AT_CABINET)),
)


@given(events=st.lists(EVENTS, max_size=12), epoch=st.integers(-(10**12), 10**12))
def test_what_is_written_is_read_back_the_same(events: list[Event], epoch: int) -> None:
    """Every state that can be reached goes through JSON unharmed."""
    state = run(*START, *events)
    text = json.dumps(to_dict(state, epoch=epoch))

    assert state == from_dict(json.loads(text), epoch=epoch)


@pytest.mark.parametrize("what", [Plan(1), Plan(253), Free(), Flash()], ids=repr)
def test_every_kind_of_order_outlives_the_daemon(what: Plan | Free | Flash) -> None:
    """A plan with its number, free operation and flash are told apart."""
    state = run(*START, order(what))
    assert state.order == order(what).order

    assert state.order == from_dict(to_dict(state, epoch=EPOCH), epoch=EPOCH).order


def test_a_fault_that_is_over_stays_over() -> None:
    """What is no longer seen, but not yet recovered from, is written as such."""
    state = run(*START, FaultBegan(Fault.LINK_LOST, "10.0.0.7"), FaultEnded(Fault.LINK_LOST))

    assert [False] == [cause["present"] for cause in to_dict(state, epoch=EPOCH)["causes"]]
    assert state == from_dict(to_dict(state, epoch=EPOCH), epoch=EPOCH)


def test_instants_are_written_by_the_wall_clock() -> None:
    """After a reboot the daemon's clock begins anew: what happened a minute ago is still a minute ago, and an order ends at its hour."""
    later = from_dict(record(), epoch=EPOCH + 1_700)
    assert later.order is not None
    assert FULL.order is not None

    assert (FULL.at - 1_700, FULL.since - 1_700, FULL.clean_since - 1_700) == (later.at, later.since, later.clean_since)
    assert FULL.order.expires == later.order.expires + 1_700 if later.order.expires else False
    assert [FULL.causes[0].since - 1_700] == [cause.since for cause in later.causes]
    assert (1_500 - 1_700, FULL.spent) == (later.disobeyed, later.spent)


def test_a_return_is_remembered() -> None:
    """The hourly count outlives the daemon."""
    state = run(*START, FaultBegan(Fault.POLICY_LATE))
    state = step(state, Tick(), 9_000, SETTINGS)

    assert (9_000,) == state.returns == from_dict(to_dict(state, epoch=EPOCH), epoch=EPOCH).returns


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(version=2), r"state\.version = 2: another version wrote this; allowed: 1"),
        (lambda data: data.update(rungs=1), r"state\.rungs = 1: not known; did you mean 'rung'\?"),
        (lambda data: data.pop("rung"), r"state\.rung = None: missing"),
        (lambda data: data.update(rung="adaptve"), r"state\.rung = 'adaptve': not known; did you mean 'adaptive'\?"),
        (lambda data: data.update(readiness="?"), r"state\.readiness = '\?': not known; allowed: stopped, unchecked, checked$"),
        (lambda data: data.update(rung="forced"), r"state\.rung = 'forced': an order is no rung"),
        (lambda data: data.update(limit="released"), r"state\.limit = 'released': not a mode to cap at"),
        (lambda data: data.update(at=1.5), r"state\.at = 1\.5: not a whole number; allowed: a whole number$"),
        (lambda data: data.update(at=True), r"state\.at = True: not a whole number"),
        (lambda data: data.update(climbing=1), r"state\.climbing = 1: neither true nor false; allowed: true, false$"),
        (lambda data: data.update(limited_by=3), r"state\.limited_by = 3: not a text; allowed: a text$"),
        (lambda data: data.update(returns={}), r"state\.returns = \{\}: not a list; allowed: a list$"),
        (lambda data: data.update(returns=["x"]), r"state\.returns\[0\] = 'x': not a whole number"),
        (lambda data: data.update(spent=[]), r"state\.spent = \[\]: not an object"),
        (
            lambda data: data["spent"].update(off=-1),
            r"state\.spent\.off = -1: a time cannot be negative; allowed: 0 or more tenths of a second$",
        ),
        (lambda data: data["spent"].update(off="x"), r"state\.spent\.off = 'x': not a whole number"),
        (lambda data: data["spent"].update(flash=1), r"state\.spent\.flash = 1: not known"),
        (lambda data: data["causes"][0].update(fault="policy lat"), r"state\.causes\[0\]\.fault = .*did you mean 'policy late'"),
        (lambda data: data["causes"][0].update(fault=["policy late"]), r"state\.causes\[0\]\.fault = .*not known"),
        (
            lambda data: data["causes"][0].update(mild=True),
            r"state\.causes\[0\]\.mild = True: not known; allowed: fault, since, detail, present, latched$",
        ),
        (lambda data: data["causes"].append(data["causes"][0]), r"state\.causes = .*: a fault stands twice"),
        (lambda data: data["order"].update(forever=True), r"state\.order\.forever = True: not known"),
        (
            lambda data: data["order"].update(expires=None),
            r"state\.order\.expires = None: only flash has no expiry; allowed: an instant, or none for flash$",
        ),
        (
            lambda data: data["order"].update(what={"flash": True}),
            r"state\.order\.expires = 7000: only flash has no expiry; allowed: an instant, or none for flash$",
        ),
        (lambda data: data["order"].update(what={"plan": 255}), r"order\.pattern = 255"),
        (lambda data: data["order"].update(what={"plan": True}), r"state\.order\.what = .*: not an order"),
        (lambda data: data["order"].update(what={"plan": 3, "free": True}), r"state\.order\.what = .*: not an order"),
        (lambda data: data["order"].update(what={"free": True, "plan": 3}), r"state\.order\.what = .*: not an order"),
        (lambda data: data["order"].update(what={"free": False}), r"state\.order\.what = .*: not an order"),
        (
            lambda data: data["order"].update(what="free"),
            r"state\.order\.what = 'free': not an order; allowed: a plan's number, free, or flash$",
        ),
        (lambda data: data["order"].update(operator=""), r"order\.operator = ''"),
    ],
)
def test_what_is_not_known_is_refused(change: Callable[[dict[str, Any]], object], message: str) -> None:
    """The message names the file, the key, the value and what is allowed."""
    data = record()
    change(data)

    with pytest.raises(ConfigError, match=rf"^ladder\.json: {message}"):
        from_dict(data, epoch=EPOCH, source="ladder.json")


@pytest.mark.parametrize("data", [None, [], "text", 3, {1: 2}])
def test_what_is_no_record_is_refused(data: object) -> None:
    """Anything but an object with names is no record."""
    with pytest.raises(ConfigError, match=r"^state = .*: not an object"):
        from_dict(data, epoch=EPOCH)


@given(
    data=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=6)
)
def test_rubbish_is_refused_and_nothing_worse(data: object) -> None:
    """Whatever JSON holds, the answer is one error of ours."""
    with pytest.raises(ConfigError):
        from_dict(data, epoch=EPOCH)


@given(data=st.data())
def test_a_record_with_one_value_exchanged_is_refused_or_read(data: st.DataObject) -> None:
    """No single wrong value does worse than to be refused."""
    record_ = record()
    key = data.draw(st.sampled_from(sorted(record_)))
    record_[key] = data.draw(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()) | st.just({}))
    try:
        state = from_dict(record_, epoch=EPOCH)
    except ConfigError:
        return

    assert record_ == to_dict(state, epoch=EPOCH)
