import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from controller.policy_process import PolicyProcess
from controller.policy_source import (
    Answer,
    BundleMissing,
    BundleRefused,
    InProcess,
    Loading,
    NotFinite,
    PolicySource,
    Proposed,
    Raised,
    Unfamiliar,
)
from controller.policy_worker import MEMORY
from envs.toml_writer import to_toml
from intersection.observation import Observation
from intersection.shield import Proposal
from models.bundle import Bundle, load_for_simulation, seal
from models.manifest import Manifest
from models.onnx_policy import OnnxPolicy
from models.trust import Trust
from models.trust import to_toml as trust_to_toml
from tests.models.crossing import look, readings, running
from tests.models.test_bundle import KEY, MANIFEST, WEIGHTS, WHOLE, network, trusted

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
FRESH = replace(MANIFEST, signed=NOW - DAY, expires=NOW + DAY)
Make = Callable[[tuple[Path, Path, Path]], PolicySource]

SEEN = look(running(WHOLE, 0), readings(WHOLE))


def files(folder: Path, manifest: Manifest = FRESH, weights: bytes = WEIGHTS) -> tuple[Path, Path, Path]:
    """Write an intersection, a bundle for it, and the key that signed it."""
    paths = folder / "intersection.toml", folder / "a.bundle", folder / "trusted.toml"
    paths[0].write_text(to_toml(WHOLE))
    paths[1].write_bytes(seal(manifest, weights, KEY))
    paths[2].write_text(trust_to_toml(Trust((trusted(expires=NOW + DAY),))))
    return paths


async def first(source: PolicySource) -> Answer:
    """Ask as a loop does until there is something to say."""
    loop = asyncio.get_running_loop()
    while True:
        told = await source.ask(SEEN, SEEN.state.now, loop.time() + 0.2)
        if not isinstance(told, Loading):
            return told
        await asyncio.sleep(0.01)


def answered(paths: tuple[Path, Path, Path], also: Callable[[PolicyProcess], None] = lambda _: None) -> Answer:
    """Say what a bundle's process first answers, and look at it while it lives."""

    async def run() -> Answer:
        source = PolicyProcess(*paths, stages=3, period=MANIFEST.action.period)
        try:
            told = await first(source)
            also(source)
            return told
        finally:
            source.close()

    return asyncio.run(run())


def test_a_process_takes_little(tmp_path: Path) -> None:
    """One thread, less of the processor than the loop, and an address space with an end."""
    found: list[tuple[int, int, tuple[int, int]]] = []

    def look_at(source: PolicyProcess) -> None:
        assert source.pid is not None
        process = psutil.Process(source.pid)
        found.append((process.num_threads(), process.nice() - psutil.Process().nice(), process.rlimit(resource.RLIMIT_AS)))

    answered(files(tmp_path), look_at)

    assert [(1, 5, (MEMORY, MEMORY))] == found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p[1].write_bytes(seal(replace(FRESH, expires=NOW - DAY / 2), WEIGHTS, KEY)), "expired on"),
        (lambda p: p[1].write_bytes(seal(replace(FRESH, preset="resco"), WEIGHTS, KEY)), "only street and cabinet may reach a cabinet"),
        (lambda p: p[1].write_bytes(b"\0" * 100), "no bundle"),
        (lambda p: p[2].write_text(trust_to_toml(Trust(()))), "not trusted here"),
        (lambda p: p[2].unlink(), "cannot be read"),
    ],
)
def test_a_bundle_that_may_not_run_is_told_with_its_reason(
    change: Callable[[tuple[Path, Path, Path]], object], words: str, tmp_path: Path
) -> None:
    """Found out in the process, told by the loop."""
    paths = files(tmp_path)
    change(paths)

    told = answered(paths)

    assert isinstance(told, BundleRefused)
    assert words in told.words


def test_a_bundle_that_is_not_there_is_missing(tmp_path: Path) -> None:
    """That is another fault than one that is refused."""
    paths = files(tmp_path)
    paths[1].unlink()

    assert BundleMissing("a.bundle is not there") == answered(paths)


def twin(paths: tuple[Path, Path, Path]) -> PolicySource:
    """The same bundle in this process."""
    bundle = load_for_simulation(paths[1], WHOLE)
    assert isinstance(bundle, Bundle)
    return InProcess(OnnxPolicy(WHOLE, bundle), 3)


def process(paths: tuple[Path, Path, Path]) -> PolicySource:
    """The bundle in a process of its own."""
    return PolicyProcess(*paths, stages=3, period=MANIFEST.action.period)


@pytest.mark.parametrize("make", [twin, process])
class TestPolicySource:
    """What whoever is asked promises."""

    def answers(self, make: Make, paths: tuple[Path, Path, Path], *questions: Observation) -> list[Answer]:
        """Wait until it is ready, ask, and close it twice."""

        async def run() -> list[Answer]:
            source, loop = make(paths), asyncio.get_running_loop()
            try:
                return [await first(source), *[await source.ask(each, 600, loop.time() + 5.0) for each in questions]]
            finally:
                source.close()
                source.close()

        return asyncio.run(run())

    def test_it_proposes_the_best_stage_that_is_open(self, make: Make, tmp_path: Path) -> None:
        """Each time the same for the same question."""
        assert [Proposed(Proposal(stage=2))] * 3 == self.answers(make, files(tmp_path), SEEN, SEEN)

    def test_what_is_no_number_is_told_as_such(self, make: Make, tmp_path: Path) -> None:
        """A network's own NaN comes out by its name."""
        told = self.answers(make, files(tmp_path, weights=network(nan=True)), SEEN)

        assert [NotFinite, NotFinite] == [type(each) for each in told]

    def test_an_error_is_told_and_the_next_question_answered(self, make: Make, tmp_path: Path) -> None:
        """A question of another signal fails, and costs no more than itself."""
        foreign = SEEN._replace(state=SEEN.state._replace(stage=77))

        told = self.answers(make, files(tmp_path), foreign, SEEN)

        assert [Raised("PolicyFault: the state is that of another signal"), Proposed(Proposal(stage=2))] == told[1:]

    def test_traffic_that_nobody_saw_in_training_is_told(self, make: Make, tmp_path: Path) -> None:
        """Instead of a proposal, however good it looks."""
        [made_for] = FRESH.signals
        narrow = replace(made_for, seen=replace(made_for.seen, usual=1e-3))

        [told] = self.answers(make, files(tmp_path, replace(FRESH, signals=(narrow,))))

        assert isinstance(told, Unfamiliar)


PARENT = """
import asyncio, os, signal, sys
from pathlib import Path
from controller.policy_process import PolicyProcess
from controller.policy_source import Loading
from tests.controller.test_policy_worker import MANIFEST, SEEN, first

async def run():
    source = PolicyProcess(*map(Path, sys.argv[1:]), stages=3, period=MANIFEST.action.period)
    await first(source)
    os.kill(source.pid, signal.SIGSTOP)
    print(source.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(run())
"""


def test_a_policy_ends_with_its_daemon(tmp_path: Path) -> None:
    """Also one that stands still, when the daemon is killed without a word."""
    command = [sys.executable, "-c", PARENT, *map(str, files(tmp_path))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as parent:
        assert parent.stdout is not None
        policy = psutil.Process(int(parent.stdout.readline()))
        os.kill(parent.pid, signal.SIGKILL)

    gone, alive = psutil.wait_procs([policy], timeout=5.0)

    assert ([policy], []) == (gone, alive)
