import errno
import os
import stat
from pathlib import Path

import pytest

from envs.files import writable_folder, write_atomically
from intersection.errors import RuntimeFault, UserError


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new content stands alone in its folder, which is made if need be, and others may read it."""
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, b"a longer first content")
    write_atomically(path, b"second")

    assert b"second" == path.read_bytes()
    assert [path] == list(path.parent.iterdir())
    assert path.stat().st_mode & stat.S_IRUSR


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half-way is our world's fault, and changes nothing."""
    path = tmp_path / "file.txt"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(RuntimeFault, match="No space left"):
        write_atomically(path, b"new")

    assert b"old" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_a_place_that_cannot_be_is_the_users_fault(tmp_path: Path) -> None:
    """A folder inside a file cannot be made; the message names what was asked for."""
    (tmp_path / "taken").write_bytes(b"")

    with pytest.raises(UserError, match="taken/inside"):
        write_atomically(tmp_path / "taken" / "inside", b"")
    with pytest.raises(UserError, match="taken/folder"):
        writable_folder(tmp_path / "taken" / "folder")


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    """The trial leaves no trace."""
    folder = writable_folder(tmp_path / "a" / "b")

    assert [] == list(folder.iterdir())
