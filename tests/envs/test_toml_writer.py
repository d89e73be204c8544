from datetime import time

import pytest

from envs.toml_writer import to_toml
from intersection.compatibility import Compatibility, Intergreen, Stage
from intersection.config import IntersectionConfig, parse
from intersection.detection import Detector, DetectorKind
from intersection.phase import Overlap, Phase, PhaseTiming
from intersection.plan import Pattern, Schedule, ScheduleEntry

TIMES = PhaseTiming(min_green=50, max_green=600, yellow_change=30, red_clearance=10)


def config(name: str = "B", **others: object) -> IntersectionConfig:
    """Make a configuration that has something of everything."""
    return IntersectionConfig(
        name=name,
        phases=(
            Phase(number=1, name='main "street"', timing=TIMES, min_recall=True),
            Phase(number=2, name="side\\street", timing=TIMES),
            Phase(
                number=4,
                name="crossing",
                vehicle=False,
                timing=PhaseTiming(min_green=50, max_green=600, yellow_change=0, walk=70, ped_clearance=60),
            ),
        ),
        overlaps=(Overlap(number=3, name="A", parents=frozenset({1}), yellow_change=30),),
        compatibility=Compatibility.of([(1, 2), (2, 3), (2, 4)], yields=[(2, 4)]),
        intergreens=(Intergreen(ending=1, starting=2, time=45),),
        stages=(
            Stage(name="one", protected=frozenset({1, 4})),
            Stage(name="two", protected=frozenset({2})),
            Stage(name="three", protected=frozenset({4}), permissive=frozenset({2})),
        ),
        prohibited_moves=(("one", "three"),),
        detectors=(
            Detector(id="area:x#1_0", kind=DetectorKind.AREA, phases=(1,), length=123.45, capacity=16.5),
            Detector(id="button", kind=DetectorKind.PUSH_BUTTON, phases=(4,), locking=True),
        ),
        patterns=(Pattern(number=1, name="program", cycle=1200, offset=30, sequence=("one", "two"), splits=(700, 500)),),
        schedule=Schedule(time_zone="Europe/Berlin", entries=(ScheduleEntry(start=time(6, 30), pattern=1, days=frozenset({0, 4})),)),
        **others,  # type: ignore[arg-type]  # whatever a test adds
    )


def test_a_configuration_reads_back_as_it_was_written() -> None:
    """Phases, overlaps, intergreens, stages, detectors, patterns and schedule come back equal, and so do foreign tables."""
    foreign = {
        "sumo": {"id": "a/b", "links": ((0, 1), ()), "fixed": {"3": "o"}, "on": True, "segments": {"area:x#1_0": (("x#1_0", 0.0, 5.5),)}}
    }

    written = config(extensions=foreign)
    read = parse(to_toml(written))

    assert written == read
    assert {
        "id": "a/b",
        "links": [[0, 1], []],
        "fixed": {"3": "o"},
        "on": True,
        "segments": {"area:x#1_0": [["x#1_0", 0.0, 5.5]]},
    } == read.extensions["sumo"]


def test_a_schedule_for_all_days_reads_back() -> None:
    """What has its default is not written, and comes back all the same."""
    written = config()
    daily = IntersectionConfig(
        **{
            **{key: getattr(written, key) for key in written.__dataclass_fields__},
            "schedule": Schedule(entries=(ScheduleEntry(start=time(0, 0), pattern=1),)),
        }
    )

    assert daily == parse(to_toml(daily))


@pytest.mark.parametrize("name", ['"', "\\", "#;=[]{}", "tab\tnew\nline", "\x7f\x00", "Straße 😀", "'''", '"""'])
def test_any_name_survives(name: str) -> None:
    """Quotes, control characters and other alphabets are written so that they come back."""
    assert name == parse(to_toml(config(name))).name


def test_an_unapproved_file_says_so() -> None:
    """A person who opens a proposal reads that it is one."""
    assert "not approved" in to_toml(config())
    assert "not approved" not in to_toml(config(approved=True))
