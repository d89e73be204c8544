"""The daemon among the services of its box: what it tells systemd, the lock on its cabinets, and the signals that it heeds.

The service's watchdog is fed by ticks and by nothing else: a daemon whose loop stands still is killed and started anew by systemd, and the
cabinet runs its own schedule meanwhile. A watchdog that beats by a timer of its own would defeat that.
"""

import asyncio
import fcntl
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path

from controller._errors import AlreadyRunningError
from controller.health import Freshness
from controller.ticker import Nanoseconds
from intersection.errors import UserError

_LOG = logging.getLogger(__name__)


# ----- systemd -------------------------------------------------------------------------------------------------------------------
class Notifier:
    """Tells systemd how the service stands (sd_notify(3)); where no systemd listens it tells nobody."""

    def __init__(self, address: str = "") -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) if address else None

    def ready(self, status: str = "") -> None:
        """Say that the start, or a reload, is over."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self, now: Nanoseconds) -> None:
        """Say that the configuration is read anew; `now` is CLOCK_MONOTONIC, and `ready` must follow."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now // 1_000}")

    def stopping(self) -> None:
        """Say that the daemon lets go of its cabinets and ends."""
        self._tell("STOPPING=1")

    def status(self, status: str) -> None:
        """Say in a line how it stands."""
        self._tell(f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._tell("WATCHDOG=1")

    def close(self) -> None:
        """Tell nothing any more; twice is once."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, *lines: str) -> None:
        if self._socket is None:
            return
        said = "\n".join(line.replace("\n", " ") for line in lines).encode("utf-8", "replace")
        try:
            self._socket.sendto(said, self._address)
        except OSError as error:  # the service goes on without: if it matters, the watchdog will say so
            _LOG.warning("systemd does not listen: %s", error.strerror or error)


def watchdog_interval(environment: Mapping[str, str], pid: int) -> Nanoseconds | None:
    """Read how often systemd wants to be fed at least, in nanoseconds; None where it does not, or means another process."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", str(pid))
    if not microseconds.isascii() or not microseconds.isdigit() or meant != str(pid):
        return None
    return int(microseconds) * 1_000 or None


class Heartbeat:
    """Feeds the service's watchdog, only ever from a tick, and only while every cabinet's ticks are fresh."""

    def __init__(self, notifier: Notifier, freshness: Freshness, interval: Nanoseconds | None) -> None:
        """Begin unfed; `interval` is systemd's, in nanoseconds, of which a third is waited between two feeds."""
        self._notifier, self._freshness, self._interval = notifier, freshness, interval
        self._fed: Nanoseconds | None = None

    def ticked(self, cabinet: str, now: Nanoseconds) -> None:
        """Note that a cabinet's tick is done; called at the end of its work."""
        self._freshness.ticked(cabinet, now)
        if self._interval is None or (self._fed is not None and now - self._fed < self._interval // 3):
            return
        if not self._freshness.stale(now):
            self._notifier.alive()
            self._fed = now


# ----- one daemon a cabinet ------------------------------------------------------------------------------------------------------
@contextmanager
def locked(folder: Path, cabinets: Iterable[str]) -> Iterator[None]:
    """Hold the locks of some cabinets while the block runs, all or none.

    The lock is the kernel's, on the file NAME.lock: it goes with the process, however that ends, and a policy's process does not inherit
    it. The file stays, and says whose the lock was.

    Raises:
        AlreadyRunningError: another daemon holds one; the message has its process id.
        UserError: the folder or a file in it cannot be made.
    """
    with ExitStack() as held:
        for name in sorted(cabinets):
            held.enter_context(_locked(folder / f"{name}.lock", name))
        yield


@contextmanager
def _locked(path: Path, cabinet: str) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise UserError(f"cannot lock {path}: {error.strerror or error}") from error
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise AlreadyRunningError(f"another daemon controls {cabinet}: process {owner} holds {path}") from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


# ----- signals -------------------------------------------------------------------------------------------------------------------
class Wish(Enum):
    """What a signal asks of the daemon."""

    STOP = "let go of every cabinet, and end"
    RELOAD = "read cabinet.toml anew"


SIGNALS = {signal.SIGTERM: Wish.STOP, signal.SIGINT: Wish.STOP, signal.SIGHUP: Wish.RELOAD}


@contextmanager
def heeding(tell: Callable[[Wish], None]) -> Iterator[None]:
    """Tell of each signal between two turns of the running event loop, while the block runs."""
    loop = asyncio.get_running_loop()
    for number, wish in SIGNALS.items():
        loop.add_signal_handler(number, tell, wish)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
