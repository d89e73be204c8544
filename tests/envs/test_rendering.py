from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.intersection_env import IntersectionEnv
from envs.rendering import LAMPS, MOVING, STANDING, Colour, words

Picture = NDArray[np.uint8]


@pytest.fixture
def env() -> Iterator[IntersectionEnv]:
    """Yield a junction with some traffic, a minute after the first stage began and 2 s before the next decision."""
    made = IntersectionEnv(begin=25400.0, period=2.0, render_mode="rgb_array")
    made.reset(seed=1)
    for _ in range(30):
        made.step(0)
    yield made
    made.close()


def drawn(env: IntersectionEnv) -> Picture:
    """Draw, in a form that mypy believes in."""
    picture = env.render()
    assert picture is not None
    return picture


def coloured(picture: Picture, colour: Colour) -> int:
    """Count the pixels of a colour."""
    return int((np.abs(picture.astype(int) - colour).max(axis=2) < 12).sum())


def test_a_picture_is_rgb(env: IntersectionEnv) -> None:
    """It has 800 x 800 pixels of three bytes, and the same moment gives the same picture."""
    first, second = drawn(env), drawn(env)

    assert ((800, 800, 3), "uint8") == (first.shape, first.dtype.name)
    assert (first == second).all()


def test_lamps_change_with_the_signal(env: IntersectionEnv) -> None:
    """A green signal shows green and red and no yellow; when its stage is left, yellow appears."""
    before = drawn(env)
    env.step(2)
    changing = drawn(env)

    assert coloured(before, LAMPS["G"]) > 50
    assert coloured(before, LAMPS["r"]) > 50
    assert 0 == coloured(before, LAMPS["y"])
    assert coloured(changing, LAMPS["y"]) > 50


def test_vehicles_are_drawn(env: IntersectionEnv) -> None:
    """Vehicles that stand before the red and vehicles that drive are drawn, in colours of their own; an empty street has neither."""
    busy = drawn(env)
    driving = 0
    for _ in range(10):
        env.step(0)
        driving += coloured(drawn(env), MOVING)
    env.reset(seed=1)
    empty = drawn(env)

    assert coloured(busy, STANDING) > 500
    assert driving > 50
    assert (0, 0) == (coloured(empty, STANDING), coloured(empty, MOVING))


def test_pedestrians_and_crossings_are_drawn() -> None:
    """A junction with crossings has white stripes where one without has none."""
    env = IntersectionEnv(scenario="phasewise:eight_phase", render_mode="rgb_array")
    env.reset(seed=1)
    street = drawn(env)
    env.close()

    assert int((street == (226, 229, 232)).all(axis=2).sum()) > 2000


def test_a_transition_is_told_in_words(env: IntersectionEnv) -> None:
    """The caption tells stage and interval: the stage and how long it has been green, then where it goes and how long it is yellow."""
    signal = env.traffic.simulation.signals[0]
    name = signal.sumo.id

    assert (f"{name}: stage 1", "green for 60 s") == words(signal)
    env.step(2)
    assert (f"{name}: stage 1 to stage 3", "yellow change for 2 s") == words(signal)
    env.step(2)
    assert (f"{name}: stage 3", "green for 1 s") == words(signal)
