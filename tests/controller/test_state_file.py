from pathlib import Path

import pytest

from controller.events import Fault, FaultBegan, Started
from controller.mode import LadderSettings, LadderState, initial, step
from controller.state_file import StateFile, read
from intersection.errors import ConfigError

EPOCH = 17_000_000_000


def _latched(now: int = 100) -> LadderState:
    settings = LadderSettings()
    return step(step(initial(0), Started(), 0, settings), FaultBegan(Fault.ANOTHER_WRITER, "who"), now, settings)


def test_what_was_saved_last_is_read_after_a_restart(tmp_path: Path) -> None:
    """Of many states the last one is there once the file is closed, and nothing else is left in the folder."""
    path = tmp_path / "states" / "main.json"
    with StateFile(path, epoch=EPOCH) as file:
        for now in range(50):
            file.save(_latched(now))

    assert _latched(49) == read(path, epoch=EPOCH)
    assert ["main.json"] == [entry.name for entry in path.parent.iterdir()]


def test_a_daemon_that_never_ran_has_no_state(tmp_path: Path) -> None:
    """No file is no fault."""
    assert read(tmp_path / "none.json", epoch=EPOCH) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', "\x00"])
def test_a_file_that_cannot_be_read_is_told(content: str, tmp_path: Path) -> None:
    """What is latched may stand in it: it is never taken for an empty one, and the message names the file."""
    path = tmp_path / "main.json"
    path.write_text(content)
    found = read(path, epoch=EPOCH)

    assert isinstance(found, ConfigError)
    assert str(path) in str(found)


def test_a_disk_that_refuses_is_told_and_stops_nothing(tmp_path: Path) -> None:
    """A place that cannot be written to is noted, and the file that was there stays."""
    path = tmp_path / "main.json"
    path.mkdir()
    with StateFile(path, epoch=EPOCH) as file:
        file.save(_latched())

    assert "directory" in file.failing.lower()
    assert ["main.json"] == [entry.name for entry in tmp_path.iterdir()]
