import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.policy_process import Patience, PolicyProcess
from controller.policy_source import (
    Answer,
    BundleRefused,
    Died,
    Garbage,
    Hung,
    IllegalStage,
    InProcess,
    Late,
    Loading,
    NotFinite,
    PolicySource,
    Proposed,
    Raised,
    Unfamiliar,
    fault_of,
)
from controller.policy_wire import Kind, Told, Unreadable, answer, asked, heard, question
from intersection.config import parse
from intersection.detection import Detector, DetectorKind, empty_readings
from intersection.machine import place_calls, start
from intersection.observation import Observation
from intersection.policy import Hold
from models.manifest import Departure
from tests.intersection.documents import GOOD

CONFIG = parse(GOOD)
DETECTORS = (Detector(id="bar", kind=DetectorKind.STOP_BAR, phases=(2,)), Detector(id="far", kind=DetectorKind.ADVANCE, phases=(2,)))
SEEN = Observation(place_calls(start(CONFIG.tables, 1, 70), CONFIG.tables, 0b101, 0b001), empty_readings(DETECTORS))
PATIENCE = Patience(load=10.0, hang=0.3, restart=0.05)


@asynccontextmanager
async def _hostile(how: str, patience: Patience = PATIENCE) -> AsyncIterator[PolicyProcess]:
    source = PolicyProcess(Path("-"), Path(how), Path("-"), stages=3, patience=patience, worker="tests.controller.hostile_worker")
    try:
        yield source
    finally:
        source.close()


async def _until(source: PolicySource, found: Callable[[Answer], bool], within: float = 0.1) -> Answer:
    """Ask as a loop does, decision by decision, until an answer is found."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 20.0
    while loop.time() < end:
        told = await source.ask(SEEN, SEEN.state.now, loop.time() + within)
        if found(told):
            return told
        await asyncio.sleep(0.01)  # a loop has other things to do between two decisions
    pytest.fail("no such answer")


def _run(check: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(check())  # type: ignore[arg-type]  # an awaitable that is a coroutine


def test_a_question_comes_out_as_it_went_in() -> None:
    """State, readings and calls are those of the loop, to the last bit."""
    number, found = asked(question(7, SEEN))

    assert (7, SEEN.state) == (number, found.state)
    assert SEEN.readings.values.tolist() == found.readings.values.tolist()
    assert SEEN.readings.valid.tolist() == found.readings.valid.tolist()


@pytest.mark.parametrize("cut", [0, 5, 40, -1])
def test_a_question_that_is_cut_is_refused(cut: int) -> None:
    """Half a question is no question."""
    with pytest.raises(ValueError, match=r"cut|Expecting|Extra|buffer|Unterminated"):
        asked(question(7, SEEN)[:cut])


def test_an_answer_comes_out_as_it_went_in() -> None:
    """All its parts; words that cannot be printed are not."""
    told = Told(3, Kind.PROPOSED, 2, Departure(0.5, 3))

    assert told == heard(answer(told))
    assert Told(3, Kind.RAISED, words="a?b") == heard(answer(Told(3, Kind.RAISED, words="a\nb")))


@pytest.mark.parametrize("message", [b"", b"\0" * 4, b"\0" * 400, answer(Told(1, Kind.LOADED))[:4] + b"\xff" + bytes(8)])
def test_what_is_no_answer_cannot_be_read(message: bytes) -> None:
    """Another length, another kind."""
    assert isinstance(heard(message), Unreadable)


@given(message=st.binary(max_size=400) | st.binary(min_size=13, max_size=220))
def test_bytes_of_anything_are_an_answer_or_are_not(message: bytes) -> None:
    """Whatever a process that has gone wrong sends, it is read as one or the other, and no words in it can be more than words."""
    told = heard(message)

    assert isinstance(told, Unreadable) or told.words.isprintable()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("garbage", Garbage),
        ("half", Garbage),
        ("huge", Garbage),
        ("nan", NotFinite),
        ("raises", Raised),
        ("illegal", IllegalStage),
        ("far", Unfamiliar),
        ("dies", Died),
        ("stillborn", Died),
        ("refused", BundleRefused),
        ("late", Late),
        ("spins", Hung),
        ("stops", Hung),
    ],
)
def test_whatever_a_policy_does_is_told_by_its_name_and_in_time(how: str, expected: type[Answer]) -> None:
    """Each failure is an answer of its own kind, each answer is there within its deadline, and each of these has its fault."""

    async def check() -> None:
        async with _hostile(how) as source:
            loop = asyncio.get_running_loop()
            slowest = 0.0

            def is_it(told: Answer) -> bool:
                return isinstance(told, expected)

            while True:
                began = loop.time()
                told = await source.ask(SEEN, 70, began + 0.05)
                slowest = max(slowest, loop.time() - began)
                if is_it(told):
                    break
                await asyncio.sleep(0.01)
                assert isinstance(told, Loading | Late | Proposed), told
            found = fault_of(told)

            assert found is not None
            assert slowest < 1.0  # a bound for a machine that does other things; the benchmark measures it

    _run(check)


def test_a_policy_answers_and_a_late_answer_is_not_taken_for_a_new_one() -> None:
    """The late answer to the first question is dropped: what comes back is to the newest."""

    async def check() -> None:
        async with _hostile("late") as source:
            await _until(source, lambda told: isinstance(told, Late), within=0.05)
            told = await _until(source, lambda told: isinstance(told, Proposed), within=2.0)

            assert Proposed(SEEN_PROPOSAL) == told

    _run(check)


def test_a_policy_that_died_is_started_anew() -> None:
    """Each time after a longer wait; a process that dies again and again costs a start now and then, no more."""

    async def check() -> None:
        async with _hostile("dies") as source:
            await _until(source, lambda told: isinstance(told, Died))
            first = source.pid
            await _until(source, lambda told: source.pid not in (None, first))

            assert source.pid is not None

    _run(check)


def test_closing_leaves_no_process() -> None:
    """Also one that hangs."""

    async def check() -> None:
        async with _hostile("spins") as source:
            await _until(source, lambda told: isinstance(told, Late), within=0.02)
            pid = source.pid

        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    _run(check)


def test_a_new_bundle_takes_over_without_a_gap() -> None:
    """The old one answers until the new one is ready; one that is refused never takes over."""

    async def check() -> None:
        async with _hostile("good") as source:
            await _until(source, lambda told: isinstance(told, Proposed))
            before = source.pid
            refused = await source.replace(Path("refused"))

            assert (BundleRefused("nobody signed it"), before) == (refused, source.pid)
            assert await source.replace(Path("good")) is None
            assert before != source.pid
            assert isinstance(await _until(source, lambda told: not isinstance(told, Loading)), Proposed)

    _run(check)


def test_the_twin_answers_by_the_same_rules() -> None:
    """In the loop's own process: a stage that there is not, an error, a script; the process has the same names for them."""

    class Breaks(Hold):
        def propose(self, observation: Observation) -> None:  # type: ignore[override]  # it raises
            raise KeyError("gone")

    async def check() -> None:
        ask = [
            await InProcess(policy, 3, script).ask(SEEN, 70, 0.0)
            for policy, script in ((Hold(2), ()), (Hold(3), ()), (Breaks(), ()), (Hold(2), (Late(),)))
        ]

        assert [Proposed, IllegalStage, Raised, Late] == [type(told) for told in ask]

    _run(check)


def test_a_wide_signal_s_readings_come_out_as_they_went_in() -> None:
    """Also of more groups than a machine word has bits."""
    wide = SEEN._replace(readings=replace(SEEN.readings, vehicles=1 << 80, pedestrians=3, discharged=1 << 64))

    _, found = asked(question(1, wide))

    assert (1 << 80, 3, 1 << 64) == (found.readings.vehicles, found.readings.pedestrians, found.readings.discharged)


def test_a_process_that_cannot_be_read_is_ended() -> None:
    """What says nonsense once is not asked again: another process takes its place."""

    async def check() -> None:
        async with _hostile("garbage") as source:
            await _until(source, lambda told: isinstance(told, Garbage))
            gone = source.pid
            await _until(source, lambda told: source.pid is not None)

            assert gone is None

    _run(check)


def test_starts_that_come_to_nothing_grow_rarer() -> None:
    """A process that loads and then dies at each question waits twice as long each time, up to the longest, however often."""

    async def check() -> None:
        async with _hostile("dies") as source:
            waits = []
            for restarts in (0, 1, 2, 5_000):
                source._restarts = restarts
                source._wait(0.0)
                waits.append(source._start_at)
            source._restarts, source._start_at = 0, 0.0
            await _until(source, lambda told: isinstance(told, Died))
            began = source._start_at
            await _until(source, lambda told: isinstance(told, Died) and source._start_at > began)

            assert [0.05, 0.1, 0.2, 60.0] == pytest.approx(waits)
            assert 2 == source._restarts

    _run(check)


def test_a_process_that_cannot_be_started_is_told() -> None:
    """A box without room for one more process goes on with its plan, and tries again later."""

    async def check() -> None:
        async with _hostile("good") as source:
            source._starting = asyncio.get_running_loop().create_future()
            source._starting.set_exception(BlockingIOError(11, "no more processes"))

            assert Died("it cannot be started: no more processes") == await source.ask(SEEN, 70, 0.0)
            assert isinstance(await _until(source, lambda told: isinstance(told, Proposed)), Proposed)

    _run(check)


def test_an_answer_that_comes_just_after_the_deadline_is_not_lost() -> None:
    """Whatever the instant at which it comes: the next question is answered, and the process lives on."""

    async def check() -> None:
        async with _hostile("good", Patience(hang=10.0)) as source:
            loop = asyncio.get_running_loop()
            await _until(source, lambda told: isinstance(told, Proposed), within=2.0)
            before = source.pid
            for late in range(300):
                await source.ask(SEEN, 70, loop.time() + late * 2e-6)

            assert isinstance(await source.ask(SEEN, 70, loop.time() + 2.0), Proposed)
            assert before == source.pid

    _run(check)


def test_who_asks_while_a_new_bundle_takes_over_still_hears_the_old_one() -> None:
    """And the new one is neither lost nor left behind."""

    async def check() -> None:
        async with _hostile("late", Patience(hang=10.0)) as source:
            await _until(source, lambda told: isinstance(told, Proposed), within=5.0)
            loop, before = asyncio.get_running_loop(), source.pid
            swap = asyncio.create_task(source.replace(Path("good")))
            told = []
            while not swap.done():
                told.append(await source.ask(SEEN, 70, loop.time() + 5.0))

            assert {Proposed} == {type(each) for each in told}
            assert isinstance(await source.ask(SEEN, 70, loop.time() + 5.0), Proposed)
            assert before != source.pid

    _run(check)


def test_closing_ends_whoever_asks() -> None:
    """An answer is not waited for when the daemon goes."""

    async def check() -> None:
        async with _hostile("spins") as source:
            await _until(source, lambda told: isinstance(told, Late), within=0.02)
            asking = asyncio.create_task(source.ask(SEEN, 70, asyncio.get_running_loop().time() + 20.0))
            await asyncio.sleep(0)
            source.close()

            assert isinstance(await asking, Died | Late)

    _run(check)


SEEN_PROPOSAL = Hold(SEEN.state.now % 7 % 2).propose(SEEN)
