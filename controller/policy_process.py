"""A policy in a process of its own: whatever it does, the loop goes on.

A child that does not answer within its deadline is late; one that goes on not answering is killed and started anew, each time after a
longer wait. An answer to an older question is never taken for one to the newest. Nothing here blocks the event loop: the child is started
by a thread, and what it says is read when it is there.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from controller.policy_source import (
    Answer,
    BundleMissing,
    BundleRefused,
    Died,
    Garbage,
    Hung,
    Late,
    Loading,
    NotFinite,
    Raised,
    judged,
)
from controller.policy_wire import LARGEST, Kind, Told, Unreadable, heard, question
from intersection.errors import ConfigError
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.shield import Proposal


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a policy is waited for, in seconds.

    Raises:
        ConfigError: a time is not above zero.
    """

    load: float = 20.0
    """For a bundle to be loaded."""

    hang: float = 2.0
    """For an answer, before the process is killed."""

    restart: float = 1.0
    """Before the first new start; doubled with each that follows, up to `longest`."""

    longest: float = 60.0

    def __post_init__(self) -> None:
        for key in ("load", "hang", "restart", "longest"):
            if getattr(self, key) <= 0:
                raise ConfigError("time passes forward", key=f"policy.{key}", value=getattr(self, key), allowed="above 0 s")


class _Child:
    """One process, from its start to its end."""

    def __init__(self, worker: str, arguments: Sequence[str]) -> None:
        """Start it; this takes milliseconds, and is done by a thread."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.link = ours
        with theirs:
            self.process = subprocess.Popen(  # the command is ours, and no shell reads it
                [sys.executable, "-c", _START.format(fd=theirs.fileno(), worker=worker), *arguments],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self.loaded = False
        self.number = 0
        self.pending_since: float | None = None
        """Since when the last question has no answer."""

        self.began = 0.0
        self._hearing: asyncio.Task[bytes] | None = None

    def end(self) -> None:
        """End it at once."""
        self.link.close()
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)

    async def receive(self, deadline: float) -> Told | Unreadable | None:
        """Wait for what it says next; None where it says nothing in time, an OSError where it has ended.

        What is listened for goes on beyond the deadline: a message that comes just then is heard next time, and not lost.
        """
        loop = asyncio.get_running_loop()
        if self._hearing is None:
            self._hearing = loop.create_task(loop.sock_recv(self.link, LARGEST))
        done, _ = await asyncio.wait({self._hearing}, timeout=max(0.0, deadline - loop.time()))
        if not done:
            return None
        if self._hearing is None:
            raise ConnectionAbortedError("it was ended meanwhile")
        heard_of, self._hearing = self._hearing, None
        message = heard_of.result()
        if not message:
            raise ConnectionResetError("it has ended")
        return heard(message)

    def hush(self) -> None:
        """Listen no more; before the end, and by the loop itself."""
        if self._hearing is not None:
            self._hearing.cancel()
            self._hearing = None

    def cause(self) -> str:
        """Say how it ended."""
        code = self.process.poll()
        if code is None:
            return "it has closed its end"
        named = {each.value: each.name for each in signal.Signals}
        return f"signal {named.get(-code, -code)}" if code < 0 else f"exit code {code}"


_START = "import os, sys; os.dup2({fd}, 3); import {worker} as worker; worker.main(*sys.argv[1:])"
"""The child's program: its end of the socket becomes descriptor 3."""


class PolicyProcess:
    """See `controller.policy_source.PolicySource`."""

    def __init__(
        self,
        config: Path,
        bundle: Path,
        trusted: Path,
        *,
        stages: int,
        period: Tenths = 10,
        patience: Patience | None = None,
        worker: str = "controller.policy_worker",
    ) -> None:
        """Prepare; the process is started when it is first asked, or by `start`.

        Args:
            config: the file of the intersection.
            bundle: the file of the policy.
            trusted: the file of the keys whose bundles may run.
            stages: how many there are.
            period: between decisions, in tenths of a second; a bundle that was trained for another is refused.
            patience: how long it is waited for.
            worker: the module that the process runs.
        """
        self._worker = worker
        self._arguments = (str(config), str(bundle), str(trusted), str(period))
        self._stages = stages
        self._patience = patience or Patience()
        self._child: _Child | None = None
        self._starting: asyncio.Future[_Child] | None = None
        self._restarts = 0
        self._start_at = 0.0
        self._closed = False
        self._last: Answer = Loading()
        self._asking = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._child is None else self._child.process.pid

    def start(self) -> None:
        """Begin to start the process; returns at once."""
        if self._starting is None and self._child is None and not self._closed:
            self._starting = asyncio.get_running_loop().run_in_executor(None, _Child, self._worker, self._arguments)

    async def ask(self, observation: Observation, now: Tenths, deadline: float) -> Answer:
        """See `PolicySource`."""
        async with self._asking:
            return await self._ask(observation, deadline)

    async def _ask(self, observation: Observation, deadline: float) -> Answer:
        clock = asyncio.get_running_loop().time
        child = await self._ready(clock(), deadline)
        if not isinstance(child, _Child):
            return child
        try:
            if child.pending_since is not None and not await self._drained(child, deadline):
                return self._overdue(child, clock())
            child.number = child.number % 0xFFFFFFFF + 1
            child.pending_since = clock()
            child.link.send(question(child.number, observation))
            while (told := await child.receive(deadline)) is not None:
                if isinstance(told, Unreadable):
                    return self._ended(child, Garbage(told.why), clock())
                if told.number == child.number:
                    child.pending_since = None
                    return self._judged(told)
        except (OSError, ValueError):
            return self._died(child, clock())
        return Late()

    async def replace(self, bundle: Path) -> Answer | None:
        """Load another bundle while the present one goes on; it takes over once it is loaded. Tell what speaks against it, or None."""
        loop = asyncio.get_running_loop()
        arguments = (self._arguments[0], str(bundle), *self._arguments[2:])
        child = await loop.run_in_executor(None, _Child, self._worker, arguments)
        against = await self._greeting(child, loop.time() + self._patience.load)
        if against is not None or self._closed:
            child.hush()
            await loop.run_in_executor(None, child.end)
            return against
        async with self._asking:  # whoever has asked the old one still hears it
            old, self._child, self._arguments = self._child, child, arguments
            self._last, self._restarts, self._start_at = Loading(), 0, 0.0
        if old is not None:
            old.hush()
            await loop.run_in_executor(None, old.end)
        return None

    def close(self) -> None:
        """See `PolicySource`."""
        self._closed = True
        if self._starting is not None:
            self._starting.add_done_callback(_end_what_started)
            self._starting = None
        if self._child is not None:
            self._child.hush()
            self._child.end()
            self._child = None

    # ---------------------------------------------------------------------------------------------------------------------------
    async def _ready(self, now: float, deadline: float) -> _Child | Answer:
        """Give the child once it has loaded its bundle, or say how it stands."""
        if self._child is None:
            if now < self._start_at:
                return self._last
            self.start()
            if self._starting is None or not self._starting.done():
                return Loading() if isinstance(self._last, Loading) else self._last
            started, self._starting = self._starting, None
            try:
                self._child = started.result()
            except OSError as error:
                return self._unstarted(error, now)
            self._child.began = now
        child = self._child
        if child.loaded:
            return child
        if isinstance(self._last, BundleMissing | BundleRefused):
            return self._last
        found = await self._greeting(child, deadline)
        if found is None:
            return child
        if isinstance(found, Died):
            return self._died(child, now)
        if isinstance(found, Loading) and now - child.began > self._patience.load:
            return self._hung(child, now)
        if isinstance(found, Garbage):
            return self._ended(child, found, now)
        if isinstance(found, Loading):
            return self._last
        self._last = found
        return found

    async def _greeting(self, child: _Child, deadline: float) -> Answer | None:
        """Hear whether a child has loaded its bundle, and tell what speaks against it, or nothing."""
        try:
            told = await child.receive(deadline)
        except OSError:
            return Died(child.cause())
        match told:
            case None:
                return Loading()
            case Unreadable(why):
                return Garbage(why)
            case Told(kind=Kind.LOADED):
                child.loaded = True
                return None
            case Told(kind=Kind.MISSING, words=words):
                return BundleMissing(words)
            case Told(words=words):
                return BundleRefused(words)

    async def _drained(self, child: _Child, deadline: float) -> bool:
        """Wait for the answer to an older question, and forget it; tell whether it came."""
        while (told := await child.receive(deadline)) is not None:
            if isinstance(told, Unreadable):
                raise ConnectionAbortedError(told.why)
            if told.number == child.number:
                child.pending_since = None
                return True
        return False

    def _overdue(self, child: _Child, now: float) -> Answer:
        waited = now - (child.pending_since or now)
        return Late() if waited < self._patience.hang else self._hung(child, now)

    def _hung(self, child: _Child, now: float) -> Answer:
        return self._ended(child, Hung(), now)

    def _died(self, child: _Child, now: float) -> Answer:
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(0.02)  # the socket closes a moment before the process can be asked how it ended
        return self._ended(child, Died(child.cause()), now)

    def _unstarted(self, error: OSError, now: float) -> Answer:
        self._wait(now)
        self._last = Died(f"it cannot be started: {error.strerror or error}")
        return self._last

    def _ended(self, child: _Child, why: Answer, now: float) -> Answer:
        """End a child, and wait before the next; until that one answers, this is how it stands."""
        self._child = None
        self._last = why
        self._wait(now)
        child.hush()
        asyncio.get_running_loop().run_in_executor(None, child.end)
        return why

    def _wait(self, now: float) -> None:
        """Let some time pass before the next start: the longer, the more often it has come to nothing since the last answer."""
        self._start_at = now + min(self._patience.longest, self._patience.restart * 2 ** min(self._restarts, 30))
        self._restarts += 1

    def _judged(self, told: Told) -> Answer:
        match told.kind:
            case Kind.PROPOSED:
                self._last = Loading()
                self._restarts = 0
                return judged(Proposal(stage=told.stage), told.departure, self._stages)
            case Kind.RAISED:
                return Raised(told.words)
            case Kind.NOT_FINITE:
                return NotFinite(told.words)
            case Kind.LOADED | Kind.MISSING | Kind.REFUSED:
                return Garbage(told.kind.name.lower())
            case _:
                assert_never(told.kind)


def _end_what_started(started: asyncio.Future[_Child]) -> None:
    if not started.cancelled() and started.exception() is None:
        started.result().end()
