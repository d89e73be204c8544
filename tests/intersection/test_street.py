from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from intersection.config import IntersectionConfig, parse
from intersection.detection import empty_readings
from intersection.machine import phase_states, start
from intersection.state import Interval, PedInterval
from intersection.street import Street, SyntheticStreet
from tests.intersection.documents import GOOD
from tests.intersection.street_contract import StreetContract

CONFIG = parse(GOOD)


class TestSyntheticStreet(StreetContract):
    """A synthetic street keeps every promise of a street."""

    @contextmanager
    def begin(self) -> Iterator[tuple[Street, IntersectionConfig]]:
        """Begin where nobody is."""
        yield SyntheticStreet({0: empty_readings(CONFIG.detectors)}), CONFIG


def test_a_synthetic_street_follows_its_script_and_keeps_what_it_shows() -> None:
    """Readings hold from their instant on; indications are kept with the time at which they were shown."""
    early, late = empty_readings(CONFIG.detectors), empty_readings(CONFIG.detectors)
    street = SyntheticStreet({0: early, 50: late})
    shown = dict(zip((1, 2, 3), phase_states(start(CONFIG.tables, 1, 0), CONFIG.tables), strict=True))

    street.advance(49)
    assert early is street.read()
    street.advance(50)
    street.show(shown)

    assert late is street.read()
    assert [
        (
            50,
            {
                1: (Interval.RED, PedInterval.DONT_WALK),
                2: (Interval.GREEN, PedInterval.DONT_WALK),
                3: (Interval.RED, PedInterval.DONT_WALK),
            },
        )
    ] == street.shown


def test_time_does_not_run_backwards() -> None:
    """An instant that has passed is refused."""
    street = SyntheticStreet({0: empty_readings(())}, start=10)

    with pytest.raises(ValueError, match="time runs forward"):
        street.advance(9)
    assert 10 == street.now
