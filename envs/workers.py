"""Starts worker processes so that Ctrl-C, which reaches the whole process group, is heard by their parent alone."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.context import ForkServerContext
from types import FrameType


def forking(preload: Sequence[str]) -> ForkServerContext:
    """Start the server that workers are forked from, and give the context that asks it. Neither it nor a worker ever hears Ctrl-C.

    Args:
        preload: modules that the server imports once for all workers; without effect where it runs already.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    resource_tracker.ensure_running()  # first, since starting it would unblock what is blocked next
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Hear Ctrl-C only at the end of the block, in which workers start: one of which nobody knows yet could not be ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []

    def hear(number: int, _: FrameType | None) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heard:
        signal.raise_signal(signal.SIGINT)
