import numpy as np
import pytest

from intersection.detection import DetectorKind, empty_readings
from intersection.errors import ConfigError
from intersection.layout import Layout
from intersection.machine import start
from intersection.observation import ObservationSpec, encode, kind
from tests.models.crossing import AREA, EVERYTHING, crossing


def spec_of(observation: str, *detectors: DetectorKind) -> ObservationSpec:
    """Give the crossing's layout: 3 stages, 3 groups, and 3 detectors a kind."""
    return ObservationSpec(crossing(*detectors), kind(observation))


def numbered(spec: ObservationSpec) -> np.ndarray:
    """Make a vector that holds its own indices, from 1 on."""
    return np.arange(1, spec.size + 1, dtype=np.float32)


def test_a_layout_just_fits_its_signal() -> None:
    """The layout of one signal is as long as its vector, and padding to it changes nothing."""
    spec = spec_of("area", *AREA)
    layout = Layout.of(spec)

    assert Layout(stages=3, groups=3, channels=3, detectors=3) == layout
    assert spec.size == layout.size
    assert numbered(spec).tolist() == layout.pad(numbered(spec), spec).tolist()


@pytest.mark.parametrize("observation", ["area", "loops", "lanes"])
def test_pads_block_by_block(observation: str) -> None:
    """Each block begins at the index that the layout gives it, its values in their order, zeros after them."""
    spec = spec_of(observation, *EVERYTHING)
    own = Layout.of(spec)
    layout = Layout(stages=5, groups=4, channels=own.channels, detectors=9)

    padded = layout.pad(numbered(spec), spec)

    expected: list[float] = []
    vector = numbered(spec).tolist()
    for length, room in zip(own.blocks, layout.blocks, strict=True):
        expected += vector[:length] + [0.0] * (room - length)
        vector = vector[length:]
    assert expected == padded.tolist()
    assert (layout.size, "float32") == (len(padded), padded.dtype.name)


def test_the_same_index_means_the_same() -> None:
    """Signals of different sizes tell the running stage, the transition and the first detector's state at the same indices."""
    small, large = spec_of("area", *AREA), spec_of("area", *AREA, DetectorKind.PUSH_BUTTON)
    layout = Layout(stages=4, groups=5, channels=3, detectors=6)
    states = [start(spec.config.tables, 2, 0) for spec in (small, large)]

    padded = [
        layout.pad(encode(spec, state, empty_readings(spec.config.detectors)), spec)
        for spec, state in zip((small, large), states, strict=True)
    ]

    assert [0.0, 0.0, 1.0, 0.0, 0.0] == padded[0][:5].tolist()
    assert padded[0].tolist() == padded[1].tolist()


def test_pads_in_place() -> None:
    """A vector is spread over the room that is given, and nothing else of it is touched."""
    spec = spec_of("area", *AREA)
    layout = Layout(stages=4, groups=3, channels=3, detectors=3)
    out = np.zeros(layout.size, np.float32)

    assert layout.pad(numbered(spec), spec, out) is out
    assert [1.0, 2.0, 3.0, 0.0, 4.0] == out[:5].tolist()


def test_covers_several_layouts() -> None:
    """The layout that covers others has the largest of each of their sizes."""
    layouts = [Layout(stages=2, groups=8, channels=3, detectors=4), Layout(stages=5, groups=6, channels=3, detectors=1)]

    assert Layout(stages=5, groups=8, channels=3, detectors=4) == Layout.covering(layouts)


@pytest.mark.parametrize(
    ("layouts", "value"),
    [
        ([], "[]"),
        ([Layout(stages=2, groups=2, channels=3, detectors=1), Layout(stages=2, groups=2, channels=2, detectors=1)], "[2, 3]"),
    ],
)
def test_covers_only_one_kind_of_observation(layouts: list[Layout], value: str) -> None:
    """Layouts of different numbers of channels, or none at all, have no layout in common; the message names what was given."""
    with pytest.raises(ConfigError) as error:
        Layout.covering(layouts)

    assert f"layout.channels = {value}: one layout holds one kind of observation; allowed: one number" == str(error.value)


@pytest.mark.parametrize("key", ["stages", "groups", "detectors"])
def test_refuses_a_signal_that_is_too_large(key: str) -> None:
    """A signal with more stages, groups or detectors than the layout has is refused; the message says which and how many fit."""
    spec = spec_of("area", *AREA)
    sizes = {"stages": 3, "groups": 3, "channels": 3, "detectors": 3, key: 2}

    with pytest.raises(ConfigError) as error:
        Layout(**sizes).pad(numbered(spec), spec)

    assert f"layout.{key} = 3: a signal does not fit into the layout; allowed: 0..2" == str(error.value)


@pytest.mark.parametrize("channels", [2, 4])
def test_refuses_another_kind_of_observation(channels: int) -> None:
    """A vector with more or fewer channels than the layout's is refused."""
    spec = spec_of("area", *AREA)

    with pytest.raises(ConfigError) as error:
        Layout(stages=3, groups=3, channels=channels, detectors=3).pad(numbered(spec), spec)

    assert f"layout.channels = 3: a signal does not fit into the layout; allowed: just {channels}" == str(error.value)


@pytest.mark.parametrize(("key", "least"), [("stages", 1), ("groups", 1), ("channels", 0), ("detectors", 0)])
def test_sizes_have_bounds(key: str, least: int) -> None:
    """A layout may have no detectors, but a stage and a group; what is below is refused."""
    sizes = {"stages": 1, "groups": 1, "channels": 0, "detectors": 0}
    Layout(**sizes)

    with pytest.raises(ConfigError) as error:
        Layout(**{**sizes, key: least - 1})

    assert f"layout.{key} = {least - 1}: a size is out of its range; allowed: {least} or more" == str(error.value)
