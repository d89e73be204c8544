"""A film of a street under several policies."""

from pathlib import Path

import pytest
from PIL import Image, ImageSequence

from intersection.errors import ConfigError, UnknownNameError
from phasewise.watching import SIZE, TITLE, watch_policies

CHOICE = {"seed": "101", "start": 20.0, "seconds": 3.0, "observation": "area", "preset": "street"}


def test_a_film_shows_each_policy_for_each_second(tmp_path: Path) -> None:
    """Two policies side by side for three seconds are three pictures, in which something moves."""
    file = tmp_path / "watch.gif"
    watch_policies("phasewise:eight_phase", ["fixed_time", "max_wave"], signal="", out=file, **CHOICE)  # type: ignore[arg-type]  # a plain dict
    with Image.open(file) as film:
        size, frames = film.size, [frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(film)]

    assert (2 * SIZE, SIZE + TITLE) == size
    assert 3 == len(frames) == len(set(frames))


def test_what_cannot_be_filmed_is_refused(tmp_path: Path) -> None:
    """SUMO's own program is nobody's to film, and a signal that is not there is named; nothing is written."""
    file = tmp_path / "watch.gif"
    with pytest.raises(ConfigError, match="'program': SUMO's own programs cannot be filmed"):
        watch_policies("phasewise:eight_phase", ["program"], signal="", out=file, **CHOICE)  # type: ignore[arg-type]  # a plain dict
    with pytest.raises(UnknownNameError, match="unknown signal 'X'"):
        watch_policies("phasewise:eight_phase", ["max_wave"], signal="X", out=file, **CHOICE)  # type: ignore[arg-type]  # a plain dict

    assert not file.exists()
