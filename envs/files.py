"""Writes files whole or not at all."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from intersection.errors import RuntimeFault, UserError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a disk says when it is the disk's fault."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at any instant its old or its new content is there, never a part; its folder is made if need be.

    Raises:
        UserError: nothing can be written at this place.
        RuntimeFault: the disk is full or broken.
    """
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of another once the block has written all of it; its folder is made if need be.

    Raises:
        UserError: nothing can be written at this place.
        RuntimeFault: the disk is full or broken.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fchmod(file.fileno(), 0o666 & ~_umask())
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Say in our own words what the system says while the block writes at a place.

    Raises:
        UserError: nothing can be written there.
        RuntimeFault: the disk is full or broken.
    """
    try:
        yield
    except OSError as error:
        kind = RuntimeFault if error.errno in FULL else UserError
        raise kind(f"cannot write {place}: {error.strerror or error}") from error


def writable_folder(folder: Path) -> Path:
    """Make a folder if need be, and check before hours of work that files can be written there.

    Raises:
        UserError: it cannot be made, or nothing can be written in it.
        RuntimeFault: the disk is full or broken.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    return folder


def _umask() -> int:
    """Read the process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
