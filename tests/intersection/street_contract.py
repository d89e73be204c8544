"""What every `Street` promises. An implementation's test class says how to begin one, and inherits the rest."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np
import pytest

from intersection.config import IntersectionConfig
from intersection.detection import Channel
from intersection.machine import phase_states, show, start
from intersection.state import Display, PhaseState
from intersection.street import Street


def shown(config: IntersectionConfig, stage: int, display: Display = Display.NORMAL) -> dict[int, PhaseState]:
    """Give what a signal shows in a stage, by the group's number."""
    tables = config.tables
    states = phase_states(show(start(tables, stage, 0), display), tables)
    return {group.number: state for group, state in zip(tables.groups, states, strict=True)}


class StreetContract(ABC):
    """The promises."""

    @abstractmethod
    def begin(self) -> AbstractContextManager[tuple[Street, IntersectionConfig]]:
        """Begin a street, and give it with the configuration of its signal."""

    @pytest.fixture
    def stood_on(self) -> Iterator[tuple[Street, IntersectionConfig]]:
        """Stand on a street, and leave it in the end."""
        with self.begin() as begun:
            yield begun

    def test_time_passes_only_where_it_is_let(self, stood_on: tuple[Street, IntersectionConfig]) -> None:
        """Reading and showing take no time; advancing takes just what it says, and none where it is there already."""
        street, config = stood_on
        begun = street.now

        street.read()
        street.show(shown(config, 0))
        assert begun == street.now
        street.advance(begun + 3)
        street.advance(begun + 3)

        assert begun + 3 == street.now

    def test_time_does_not_run_backwards(self, stood_on: tuple[Street, IntersectionConfig]) -> None:
        """An instant that has passed is refused, and changes nothing."""
        street, _ = stood_on
        street.advance(street.now + 25)
        now = street.now

        with pytest.raises(ValueError, match="time runs forward"):
            street.advance(now - 1)

        assert now == street.now

    def test_every_detector_is_read(self, stood_on: tuple[Street, IntersectionConfig]) -> None:
        """Readings have a column for each detector of the configuration, and are the same when they are read again at once."""
        street, config = stood_on
        for until in range(street.now, street.now + 50, 10):
            street.advance(until)
            first = street.read()
            again = street.read()

            assert (len(Channel), len(config.detectors)) == first.values.shape == again.values.shape
            assert np.array_equal(first.values, again.values)
            assert first.valid.tolist() == again.valid.tolist()
            assert first.vehicles == again.vehicles

    def test_readings_stay_as_they_were(self, stood_on: tuple[Street, IntersectionConfig]) -> None:
        """What has been read may be kept: later readings do not change it."""
        street, _ = stood_on
        street.advance(street.now + 10)
        kept = street.read()
        before = kept.values.copy()

        for _ in range(30):
            street.advance(street.now + 10)
            street.read()

        assert np.array_equal(before, kept.values)

    @pytest.mark.parametrize("display", list(Display))
    def test_everything_that_a_cabinet_can_show_is_taken(self, stood_on: tuple[Street, IntersectionConfig], display: Display) -> None:
        """Each stage, flash and dark can be shown, and time passes under them."""
        street, config = stood_on
        begun = street.now

        for stage in range(len(config.stages)):
            street.show(shown(config, stage, display))
            street.advance(street.now + 10)

        assert begun + 10 * len(config.stages) == street.now
