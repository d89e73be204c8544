"""Small configurations: as text, for tests that change one line of them, and made by hand where the times are the point."""

from collections.abc import Iterable
from typing import Any

from intersection.compatibility import Compatibility, Stage
from intersection.config import IntersectionConfig
from intersection.phase import Phase, PhaseTiming

GOOD = """
version = 1
name = "crossing"
conflicts = [[1, 2], [1, 3], [2, 3]]
yields = [[3, 1]]
prohibited_moves = [["A", "B"]]

[[phase]]
number = 1
name = "north"
min_green = 50
max_green = 900
yellow_change = 30
red_clearance = 10
walk = 50
ped_clearance = 60

[[phase]]
number = 2
name = "east"
min_green = 60
max_green = 900
yellow_change = 40

[[phase]]
number = 3
name = "north left"
min_green = 50
max_green = 900
yellow_change = 30
min_recall = true

[[intergreen]]
ending = 1
starting = 2
time = 55

[[stage]]
name = "A"
protected = [1]
permissive = [3]

[[stage]]
name = "B"
protected = [2]

[[stage]]
name = "C"
protected = [3]

[[detector]]
id = "loop 2"
kind = "stop_bar"
phases = [2]
locking = true

[[pattern]]
number = 1
name = "day"
cycle = 900
offset = 10
sequence = ["A", "C", "B"]
splits = [300, 300, 300]

[schedule]
time_zone = "Europe/Berlin"

[[schedule.entry]]
start = 06:00:00
pattern = 1
days = [0, 1, 2, 3, 4]

[sumo]
signal = "x"
"""


RINGS = (
    """
version = 1
name = "rings"

[[ring]]
number = 1
phases = [1, 2]

[[ring]]
number = 2
phases = [5, 6]

[[barrier]]
phases = [1, 5]

[[barrier]]
phases = [2, 6]
"""
    + "".join(
        f"""
[[phase]]
number = {number}
name = "phase {number}"
min_green = 50
max_green = 900
yellow_change = 30
"""
        for number in (1, 2, 5, 6)
    )
    + """
[[overlap]]
number = 9
name = "right turn"
parents = [1, 2]
yellow_change = 30

[[stage]]
name = "first"
protected = [1, 5]

[[stage]]
name = "second"
protected = [2, 6]
"""
)

NEAR_AND_FAR = """
version = 1
name = "near and far"
conflicts = [[1, 2], [2, 3], [2, 4], [3, 4]]

[[phase]]
number = 1
name = "north"
min_green = 50
max_green = 9000
yellow_change = 30
max_wait = 1800

[[phase]]
number = 2
name = "east"
min_green = 50
max_green = 9000
yellow_change = 30

[[phase]]
number = 3
name = "crossing"
vehicle = false
min_green = 50
max_green = 9000
yellow_change = 0
walk = 40
ped_clearance = 40

[[phase]]
number = 4
name = "north left"
min_green = 50
max_green = 9000
yellow_change = 30

[[intergreen]]
ending = 2
starting = 3
time = 42

[[stage]]
name = "near"
protected = [1, 4]

[[stage]]
name = "far"
protected = [1, 3]

[[stage]]
name = "east"
protected = [2]
"""


def signal(
    *stages: Stage,
    timings: dict[int, dict[str, int]],
    conflicts: Iterable[tuple[int, int]],
    yields: Iterable[tuple[int, int]] = (),
    flags: dict[int, dict[str, bool]] | None = None,
    **more: Any,
) -> IntersectionConfig:
    """Make a signal of phases that are alike but for the given times: minimum green 5 s, yellow 3 s, bounds of 900 s."""
    alike = {"min_green": 50, "max_green": 9_000, "yellow_change": 30, "max_wait": 9_000, "ped_max_wait": 9_000}
    phases = tuple(
        Phase(number=number, name=f"phase {number}", timing=PhaseTiming(**alike | times), **(flags or {}).get(number, {}))
        for number, times in timings.items()
    )
    return IntersectionConfig(name="signal", phases=phases, compatibility=Compatibility.of(conflicts, yields), stages=stages, **more)


def stage(name: str, protected: Iterable[int], permissive: Iterable[int] = ()) -> Stage:
    """Name a stage's phases."""
    return Stage(name=name, protected=frozenset(protected), permissive=frozenset(permissive))
