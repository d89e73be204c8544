"""Runs independent jobs side by side, each in a process of its own, so that each repeats exactly."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from os import cpu_count
from tempfile import TemporaryDirectory
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from envs.workers import forking, interrupts_deferred
from intersection.errors import RuntimeFault
from phasewise.console import err

Job = TypeVar("Job")
Result = TypeVar("Result")

PRELOADED = ["envs.evaluation", "phasewise.policies"]
"""What every worker needs, imported once by the server that they are forked from."""


def each(
    function: Callable[[Job], Result], jobs: Sequence[Job], *, title: str, workers: int | None = None, quiet: bool = False
) -> Iterator[tuple[int, Result]]:
    """Run a function on each job and yield (index, result) as they finish, with a progress bar on standard error.

    Args:
        function: importable by name.
        jobs: picklable.
        title: what the progress bar says.
        workers: how many run at a time; one a core by default.
        quiet: leave the progress bar out.

    Raises:
        RuntimeFault: a worker died. Whatever a job raises is raised here.
    """
    count = max(1, min(workers or cpu_count() or 1, len(jobs)))
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=quiet or not err.is_terminal,
        transient=True,
    )
    folder = TemporaryDirectory(prefix="phasewise-")
    pool = ProcessPoolExecutor(
        count, mp_context=forking(PRELOADED), max_tasks_per_child=1, initializer=_put_temporary_files_into, initargs=(folder.name,)
    )
    try:
        with bar:
            task = bar.add_task(title, total=len(jobs))
            with interrupts_deferred():
                waiting = {pool.submit(function, job): index for index, job in enumerate(jobs)}
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    index = waiting.pop(future)
                    yield index, future.result()
                    bar.advance(task)
    except BrokenProcessPool as cause:
        raise RuntimeFault("a worker process died in the middle of a run (out of memory, or killed); nothing was written") from cause
    except BaseException:
        for process in list((pool._processes or {}).values()):  # noqa: SLF001  # the pool has no public way to end a job that runs
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        folder.cleanup()


def _put_temporary_files_into(folder: str) -> None:
    """Let a worker's temporary files lie where its parent clears them away, even if it is killed and cannot."""
    tempfile.tempdir = folder
