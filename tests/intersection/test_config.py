from datetime import time
from pathlib import Path

import pytest

from intersection.compatibility import Stage
from intersection.config import load, parse
from intersection.detection import DetectorKind
from intersection.errors import ConfigError
from tests.intersection.documents import GOOD, RINGS

ENTRY = "[[schedule.entry]]\nstart = 06:00:00\npattern = 1\ndays = [0, 1, 2, 3, 4]"


def test_a_whole_file_is_read() -> None:
    """Every table of the file arrives in its dataclass."""
    config = parse(GOOD)

    assert ("crossing", 3, 3) == (config.name, len(config.phases), len(config.stages))
    assert Stage(name="A", protected=frozenset({1}), permissive=frozenset({3})) == config.stages[0]
    assert DetectorKind.STOP_BAR is config.detectors[0].kind
    assert time(6) == config.schedule.entries[0].start
    assert {"sumo": {"signal": "x"}} == dict(config.extensions)
    assert frozenset({1, 2, 3}) == config.numbers
    assert not config.approved


def test_rings_and_barriers_become_a_conflict_matrix() -> None:
    """Phases of one ring, and phases on two sides of a barrier, conflict; an overlap conflicts where all its parents do."""
    config = parse(RINGS)

    assert {(1, 2), (5, 6), (1, 6), (2, 5)} == set(config.compatibility.conflicts)
    assert frozenset({1, 2, 5, 6, 9}) == config.numbers


def test_a_file_is_read_from_disk(tmp_path: Path) -> None:
    """`load` gives what `parse` gives of the file's text."""
    path = tmp_path / "intersection.toml"
    path.write_text(GOOD)

    assert parse(GOOD) == load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is an error that names it."""
    path = tmp_path / "none.toml"

    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        load(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("version = 1", "version = 2", "version = 2: unknown form; allowed: 1"),
        ("version = 1", "version = 1\nspeed = 3", "speed = 3: unknown key"),
        ("version = 1", "version = [", "not a TOML file"),
        ('name = "crossing"', "name = 3", "name = 3: wrong or missing value"),
        ('name = "crossing"', "", "name = None: wrong or missing value"),
        ("min_green = 60", "min_green = 0", "min_green = 0: minimum green must be above zero"),
        ("min_green = 60", 'min_green = "6"', "phase.min_green = '6': wrong type"),
        ("min_green = 60", "min_green = 60\nsplit = 4", "phase.split = 4: unknown key; allowed: max_green"),
        ('name = "B"', 'name = "B"\nprotectd = [2]', "stage.protectd = [2]: unknown key; did you mean 'protected'?"),
        ("min_green = 60", "min_gren = 60", "phase.min_gren = 60: unknown key; did you mean 'min_green'?"),
        ('name = "east"\nmin_green = 60', 'name = "east"', "incomplete"),
        ("min_recall = true", "min_recall = 1", "phase.min_recall = 1: wrong type"),
        ("number = 2\nname", "number = 1\nname", "number = 1: stands more than once"),
        ('name = "B"', 'name = "A"', "stage.name = 'A': stands more than once"),
        ("protected = [2]", "protected = [7]", "stage.protected = 7: no such phase; allowed: 1, 2, 3"),
        ("protected = [2]", "protected = []", "stage = 'B': a stage needs a green phase"),
        ("protected = [2]", "protected = [2]\npermissive = [2]", "a phase is protected or permissive, not both"),
        ("protected = [2]", "protected = [1, 2]", "conflicting phases are green together"),
        ("permissive = [3]", "permissive = []\n[[stage]]\nname = 'D'\nprotected = [1, 3]", "conflicting phases are green together"),
        ("yields = [[3, 1]]", "yields = [[3]]", "yields = [3]: must be a list of pairs"),
        ('[["A", "B"]]', '[["A", "Z"]]', "prohibited_moves = 'Z': no such stage; allowed: A, B, C"),
        ('[["A", "B"]]', '[["A", "B"], ["C", "B"]]', "prohibited moves leave a stage out of reach"),
        ("ending = 1\nstarting = 2", "ending = 1\nstarting = 1", "an intergreen stands between conflicting phases"),
        ("time = 55", "time = 20", "intergreen.time = 20"),
        ("red_clearance = 10", "red_clearance = 60", "red clearance is longer than the shortest minimum green"),
        ('kind = "stop_bar"', 'kind = "radio"', "detector.kind = 'radio': no such kind"),
        ("[[detector]]", "[detector]", "detector = "),
        (ENTRY, "entry = [3]", "schedule.entry = [3]: must be a list"),
        ("detector]]\nid", "detector]]\nlength = -1\nid", "detector.length = -1"),
        ("phases = [2]", "phases = [8]", "detector.phases = 8: no such phase"),
        ("pattern = 1\ndays", "pattern = 4\ndays", "schedule.pattern = 4: no such pattern; allowed: 0, 1"),
        ("start = 06:00:00", "start = 6", "schedule.entry.start = 6: not a time of day"),
        ("days = [0, 1, 2, 3, 4]", "days = [9]", "schedule.days = [9]"),
        ("Europe/Berlin", "Europe/Atlantis", "schedule.time_zone = 'Europe/Atlantis': no such time zone"),
        ("splits = [300, 300, 300]", "splits = [760, 70, 70]", "pattern.splits"),
        ("splits = [300, 300, 300]", "splits = [300, 300]", "each stage of the sequence needs one split"),
        ("splits = [300, 300, 300]", "splits = [300, 300, 200]", "the splits must fill the cycle"),
        ("offset = 10", "offset = 900", "the offset lies outside the cycle"),
        ("[[pattern]]\nnumber = 1", "[[pattern]]\nnumber = 254", "pattern.number = 254"),
        ("walk = 50\n", "walk = 50\nmax_wait = 100\n", "take longer than this wait"),
        ("walk = 50\n", "walk = 50\nped_max_wait = 100\n", "ped_max_wait = 100"),
        ("max_green = 900\nyellow_change = 40", "max_green = 70\nyellow_change = 40", "max_green"),
        ('protected = [3]', 'protected = [1]', "phases that no stage makes green"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_with_the_reason(old: str, new: str, words: str) -> None:
    """A wrong line is an error that names the file, the key, the value and what is allowed."""
    text = GOOD.replace(old, new)
    if "no stage makes green" in words:
        text = text.replace("permissive = [3]", "")

    with pytest.raises(ConfigError) as caught:
        parse(text, source="signal.toml")

    assert "signal.toml: " in str(caught.value)
    assert words in str(caught.value)


def test_a_signal_needs_phases_and_stages() -> None:
    """An empty file names what is missing first: a phase, then a stage."""
    bare = 'version = 1\nname = "x"\n'
    phase = '[[phase]]\nnumber = 1\nname = "a"\nmin_green = 50\nmax_green = 300\nyellow_change = 30\n'

    with pytest.raises(ConfigError, match="a signal needs a phase"):
        parse(bare)
    with pytest.raises(ConfigError, match="a signal needs a stage"):
        parse(bare + phase)
