"""Writes files whole or not at all."""

import errno
import os
import tempfile
from pathlib import Path

from intersection.errors import RuntimeFault, UserError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""What a disk says when it is the disk's fault."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at any instant its old or its new content is there, never a part; its folder is made if need be.

    Raises:
        UserError: nothing can be written at this place.
        RuntimeFault: the disk is full or broken.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), 0o666 & ~_umask())
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        kind = RuntimeFault if error.errno in FULL else UserError
        raise kind(f"cannot write {path}: {error.strerror or error}") from error


def _umask() -> int:
    """Read the process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def writable_folder(folder: Path) -> Path:
    """Make a folder if need be, and check before hours of work that files can be written there.

    Raises:
        UserError: it cannot be made, or nothing can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UserError(f"cannot write into the folder {folder}: {error.strerror or error}") from error
