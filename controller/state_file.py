"""Keeps the ladder's state of a cabinet on disk, so that what is latched or ordered outlives the daemon.

A file is whole or not there: it is written beside its place, synced, and moved. Writing is done by a thread, since a disk may take its time
and a tick has none; of states that follow each other faster than it writes, only the last is written.
"""

import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from threading import Condition as Bell
from threading import Thread
from typing import TypeAlias

from controller.mode import LadderState
from controller.mode_record import from_dict, to_dict
from intersection.errors import ConfigError
from intersection.phase import Tenths

_LOG = logging.getLogger(__name__)

Found: TypeAlias = LadderState | ConfigError | None
"""A state, or why what is there cannot be read; None where the daemon has never run."""


def read(path: Path, *, epoch: Tenths) -> Found:
    """Read what the last daemon left.

    Args:
        path: the file.
        epoch: what the wall clock shows when the daemon's clock is at 0, in tenths of a second since 1970 UTC.
    """
    try:
        return from_dict(json.loads(path.read_text("utf-8")), epoch=epoch, source=str(path))
    except FileNotFoundError:
        return None
    except ConfigError as error:
        return error
    except (OSError, ValueError) as error:
        return ConfigError(f"the record of the mode cannot be read: {error}", source=str(path))


class StateFile:
    """Writes states of one cabinet down, from a thread of its own. Used as a context manager."""

    def __init__(self, path: Path, *, epoch: Tenths) -> None:
        """Prepare the file's folder; see `read`. Raises OSError where it cannot be made."""
        self.path, self.epoch = path, epoch
        self.failing = ""
        """Why the last state is not written, or nothing."""

        path.parent.mkdir(parents=True, exist_ok=True)
        self._next: LadderState | None = None
        self._ends = False
        self._bell = Bell()
        self._thread = Thread(target=self._run, name=f"state of {path.stem}", daemon=True)

    def __enter__(self) -> "StateFile":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._bell:
            self._ends = True
            self._bell.notify()
        self._thread.join(2.0)  # a disk that hangs does not keep the daemon alive

    def save(self, state: LadderState) -> None:
        """Take a state to be written soon; returns at once."""
        with self._bell:
            self._next = state
            self._bell.notify()

    def _run(self) -> None:
        while True:
            with self._bell:
                while self._next is None and not self._ends:
                    self._bell.wait()
                state, self._next = self._next, None
            if state is None:
                return
            self._write(state)

    def _write(self, state: LadderState) -> None:
        fresh = self.path.with_suffix(".new")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                json.dump(to_dict(state, epoch=self.epoch), file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
            self.failing = ""
        except OSError as error:  # control goes on; what is lost is told, and asked of a person after the next start
            if not self.failing:
                _LOG.error("the record of the mode cannot be written: %s", error)
            self.failing = error.strerror or str(error)
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
