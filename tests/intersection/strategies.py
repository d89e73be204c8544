"""Makes signals that nobody would build, but that anybody might configure; and what detectors and a hostile policy might say to them."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random

from hypothesis import strategies as st

from intersection.compatibility import Barrier, Compatibility, Intergreen, Ring, Stage
from intersection.config import IntersectionConfig
from intersection.detection import Detector, DetectorKind
from intersection.errors import ConfigError
from intersection.phase import Overlap, Phase, PhaseTiming, Tenths
from intersection.plan import Pattern
from intersection.shield import Proposal
from intersection.state import FOREVER, FREE

LONG: Tenths = 100_000
"""A bound that never binds, until the real ones are known."""


def configurations() -> st.SearchStrategy[IntersectionConfig]:
    """Draw a signal of 2 to 16 phases. Most have overlaps, pedestrians and unequal clearances."""
    return st.builds(
        make_config,
        st.builds(Random, st.integers(0, 2**32 - 1)),
        phases=st.integers(2, 16),
        rich=st.sampled_from([True, True, True, False]),
        tight=st.booleans(),
    )


def make_config(random: Random, *, phases: int, rich: bool = True, tight: bool = True) -> IntersectionConfig:
    """Make a signal by chance.

    Args:
        random: the source of chance.
        phases: how many phases it has.
        rich: whether it has overlaps, pedestrians, unequal clearances, permissive turns, prohibited moves and patterns.
        tight: whether its maximum greens and waits are the shortest that a configuration may have.
    """
    numbers = sorted(random.sample(range(1, 40), phases))
    made = [_phase(random, number, rich=rich) for number in numbers]
    if phases >= 4 and random.random() < 0.4:
        conflicts, sides = _rings(random, numbers)
        stages = _cliques(random, numbers, conflicts, sides)
    else:
        density = random.choice((0.2, 0.5, 0.8))
        conflicts = {pair for pair in combinations(numbers, 2) if random.random() < density} or {(numbers[0], numbers[1])}
        stages = _cliques(random, numbers, conflicts)
    yields: set[tuple[int, int]] = set()
    if rich:
        stages = _with_permissive(random, stages, conflicts, yields, numbers)
    config = IntersectionConfig(
        name="made by chance",
        phases=tuple(made),
        compatibility=Compatibility.of(conflicts, yields),
        stages=tuple(stages),
        detectors=tuple(
            Detector(id=f"loop {phase.number}", kind=DetectorKind.STOP_BAR, phases=(phase.number,), locking=random.random() < 0.5)
            for phase in made
        ),
    )
    if rich:
        for extend in (_with_overlaps, _with_intergreens, _with_prohibited_moves):
            config = extend(random, config)
    return _with_bounds(random, config, tight=tight, patterned=rich)


def _phase(random: Random, number: int, *, rich: bool) -> Phase:
    even = PhaseTiming(min_green=50, max_green=LONG, yellow_change=30, red_clearance=10, max_wait=LONG, ped_max_wait=LONG)
    if not rich:
        return Phase(number=number, name=f"phase {number}", timing=even)
    walk = random.choice((0, 0, 40, random.randint(1, 120)))
    vehicle = not walk or random.random() < 0.7
    timing = replace(
        even,
        min_green=random.choice((50, random.randint(20, 150))),
        yellow_change=random.randint(1, 60) if vehicle else 0,
        red_clearance=random.choice((0, random.randint(0, 20))),
        walk=walk,
        ped_clearance=random.randint(1, 200) if walk else 0,
    )
    return Phase(
        number=number,
        name=f"phase {number}",
        timing=timing,
        vehicle=vehicle,
        min_recall=vehicle and random.random() < 0.1,
        ped_recall=walk > 0 and random.random() < 0.1,
    )


def _rings(random: Random, numbers: list[int]) -> tuple[set[tuple[int, int]], list[frozenset[int]]]:
    count, sides = random.randint(2, 3), random.randint(1, 3)
    ring_of = {number: at % count for at, number in enumerate(numbers)}
    side_of = {number: at * sides // len(numbers) for at, number in enumerate(numbers)}
    rings = [Ring(number=ring + 1, phases=tuple(n for n in numbers if ring_of[n] == ring)) for ring in range(count)]
    barriers = [frozenset(n for n in numbers if side_of[n] == side) for side in range(sides)]
    matrix = Compatibility.from_rings(rings, [Barrier(phases=side) for side in barriers if side])
    return set(matrix.conflicts), barriers


def _cliques(random: Random, numbers: list[int], conflicts: set[tuple[int, int]], sides: list[frozenset[int]] | None = None) -> list[Stage]:
    """Cover all phases by sets without a conflict, some as large as can be, some not."""
    found: list[frozenset[int]] = []
    open_phases = list(numbers)
    random.shuffle(open_phases)
    while open_phases or random.random() < 0.5:
        seed = open_phases.pop() if open_phases else random.choice(numbers)
        clique = {seed}
        for other in random.sample(numbers, len(numbers)):
            fits = all((min(other, n), max(other, n)) not in conflicts for n in clique)
            if other not in clique and fits and random.random() < (0.9 if sides else 0.7):
                clique.add(other)
        open_phases = [n for n in open_phases if n not in clique]
        if frozenset(clique) not in found:
            found.append(frozenset(clique))
    return [Stage(name=f"stage {at}", protected=phases) for at, phases in enumerate(found)]


def _with_permissive(
    random: Random, stages: list[Stage], conflicts: set[tuple[int, int]], yields: set[tuple[int, int]], numbers: list[int]
) -> list[Stage]:
    """Let some phases run permissively where they conflict, and some nowhere else."""
    only = {n for n in numbers if random.random() < 0.12} if len(numbers) > 2 else set()
    made = []
    for stage in stages:
        protected = stage.protected - only or stage.protected
        permissive: set[int] = set()
        for phase in random.sample(numbers, len(numbers)):
            if phase in protected or not (phase in only or random.random() < 0.25):
                continue
            foes = {n for n in protected | permissive if (min(n, phase), max(n, phase)) in conflicts}
            if foes & permissive and random.random() < 0.5:
                continue
            permissive.add(phase)
            yields.update((phase, foe) for foe in foes)
            if random.random() < 0.3:
                yields.update((foe, phase) for foe in foes & permissive)
        made.append(Stage(name=stage.name, protected=frozenset(protected), permissive=frozenset(permissive)))
    lost = set(numbers).difference(*(stage.phases for stage in made))
    return made + [Stage(name=f"stage of {phase}", protected=frozenset({phase})) for phase in sorted(lost)]


def _with_overlaps(random: Random, config: IntersectionConfig) -> IntersectionConfig:
    numbers = [phase.number for phase in config.phases]
    for number in range(50, 50 + random.choice((0, 1, 1, 2, 3))):
        parents = frozenset(random.sample(numbers, random.randint(1, min(3, len(numbers)))))
        overlap = Overlap(
            number=number,
            name=f"overlap {number}",
            parents=parents,
            yellow_change=random.randint(1, 50),
            red_clearance=random.choice((0, random.randint(0, 20))),
        )
        matrix = config.compatibility
        conflicts = set(matrix.conflicts)
        yields = set(matrix.yields)
        for other in numbers:
            together = any(other in stage.phases and parents & stage.phases for stage in config.stages)
            if other in parents:
                continue
            given = all((parent, other) in matrix.yields for parent in parents)
            taken = all((other, parent) in matrix.yields for parent in parents)
            if given or taken or (not together and random.random() < 0.4):
                conflicts.add((other, number))
            if given:
                yields.add((number, other))
            if taken:
                yields.add((other, number))
        for candidate in (Compatibility.of(conflicts, yields), matrix):
            with suppress(ConfigError):
                config = replace(config, overlaps=(*config.overlaps, overlap), compatibility=candidate)
                break
    return config


def _with_intergreens(random: Random, config: IntersectionConfig) -> IntersectionConfig:
    tables = config.tables
    items = []
    for ending in range(tables.size):
        for starting in range(tables.size):
            if tables.conflicts[ending] >> starting & 1 and random.random() < 0.3:
                yellow = tables.groups[ending].yellow
                time = random.choice((yellow, yellow + tables.min_dwell, random.randint(yellow, yellow + tables.min_dwell)))
                items.append(Intergreen(ending=tables.groups[ending].number, starting=tables.groups[starting].number, time=time))
    return replace(config, intergreens=tuple(items))


def _with_prohibited_moves(random: Random, config: IntersectionConfig) -> IntersectionConfig:
    names = [stage.name for stage in config.stages]
    share = random.choice((0.0, 0.1, 0.5))
    for pair in [(a, b) for a in names for b in names if a != b and random.random() < share]:
        with suppress(ConfigError):
            config = replace(config, prohibited_moves=(*config.prohibited_moves, pair))
    return config


def _with_bounds(random: Random, config: IntersectionConfig, *, tight: bool, patterned: bool) -> IntersectionConfig:
    """Set maximum greens, waits and patterns: as short as a configuration may have them, or longer."""

    def longer(tight: bool = tight) -> Tenths:
        return random.choice((0, 0, 1, 30)) if tight else random.randint(0, 1200)

    patient = random.random() < 0.5
    """Whether greens may last so long that waits are what bounds them."""

    stages = range(len(config.stages))
    tables = config.tables
    entry = [max(tables.longest_move(source, at) for source in stages) for at in stages]
    least = [
        max((entry[at] + tables.service[at] for at in stages if tables.green[at] >> group & 1), default=1) for group in range(tables.size)
    ]
    for at, overlap in enumerate(config.overlaps, len(config.phases)):
        for parent in overlap.parents:
            index = tables.index[parent]
            least[index] = max(least[index], least[at])
    phases = tuple(
        replace(phase, timing=replace(phase.timing, max_green=max(phase.timing.min_green, least[at]) + (6_000 if patient else longer())))
        for at, phase in enumerate(config.phases)
    )
    config = replace(config, phases=phases)
    waits = _shortest_waits(config)
    phases = tuple(
        replace(
            phase,
            timing=replace(
                phase.timing,
                max_wait=(waits[at] or 1800) + longer(),
                ped_max_wait=(waits[at + config.tables.size] or 1800) + longer(),
            ),
        )
        for at, phase in enumerate(config.phases)
    )
    config = replace(config, phases=phases)
    if patterned and random.random() < 0.7:
        for number in range(1, random.randint(2, 4)):
            order = random.sample(stages, random.randint(1, len(stages)))
            splits = tuple(max(least) + longer(random.random() < 0.5) for _ in order)
            cycle = sum(splits)
            pattern = Pattern(
                number=number,
                name=f"pattern {number}",
                cycle=cycle,
                offset=random.randrange(cycle),
                sequence=tuple(config.stages[at].name for at in order),
                splits=splits,
            )
            config = replace(config, patterns=(*config.patterns, pattern))
    return config


def _shortest_waits(config: IntersectionConfig) -> list[Tenths]:
    tables = config.tables
    return [tables.longest_wait(call) if stage >= 0 else 0 for call, stage in enumerate(tables.rescue)]


@dataclass(frozen=True)
class Turn:
    """What happens at one instant, and how long until the next."""

    placed: tuple[int, int, int] | None
    """Vehicles, pedestrians and discharges as masks, or no word from the detectors."""

    proposal: Proposal | None
    """What the policy says, or nothing."""

    lasts: Tenths | None
    """None: until one tenth before the gate would act by itself, where a change of mind hurts most."""


class Traffic:
    """Vehicles and pedestrians that come and go, together more often than is likely."""

    def __init__(self, random: Random, phases: int) -> None:
        self.random, self.phases = random, phases
        self.vehicles = 0
        self.density = random.choice((0.02, 0.1, 0.5, 0.9))
        self.restless = random.choice((0.0, 0.05, 0.5))
        self.swapping = random.choice((0.0, 0.1, 0.5))

    def placed(self) -> tuple[int, int, int]:
        """Say what detectors say next."""
        random, everyone = self.random, (1 << self.phases) - 1
        if random.random() < 0.02:
            self.density = random.choice((0.0, 0.02, 0.1, 0.5, 0.9, 1.0))
        if random.random() < 0.02:
            self.vehicles = random.choice((0, everyone))
        if random.random() < self.swapping:
            self.vehicles ^= random.getrandbits(self.phases)
        for at in range(self.phases):
            if random.random() < (self.restless if self.vehicles >> at & 1 else self.density / 4):
                self.vehicles ^= 1 << at
        pedestrians = random.getrandbits(self.phases) if random.random() < max(0.1, self.density / 2) else 0
        discharged = random.getrandbits(self.phases) if random.random() < 0.05 else 0
        return self.vehicles, pedestrians, discharged


def turns(random: Random, config: IntersectionConfig) -> Iterator[Turn]:
    """Play a hostile policy and its traffic without an end; the manner changes every now and then."""
    traffic = Traffic(random, len(config.phases))
    while True:
        manner = random.choice((_stubborn, _flapping, _garbage, _mixed, _silent, _patterned))
        pace = random.choice(((1, 1), (1, 10), (10, 50), (1, 300)))
        sensed = random.choice((1.0, 1.0, 0.3))
        brinks = random.choice((0.0, 0.0, 0.3, 0.8))
        for _ in range(random.randint(1, 60 if pace[1] > 1 else 200)):
            placed = traffic.placed() if random.random() < sensed else None
            yield Turn(placed, manner(random, config), None if random.random() < brinks else random.randint(*pace))


def _stubborn(random: Random, config: IntersectionConfig) -> Proposal:
    return Proposal()


def _silent(random: Random, config: IntersectionConfig) -> Proposal | None:
    return None


def _flapping(random: Random, config: IntersectionConfig) -> Proposal:
    return Proposal(stage=random.randrange(len(config.stages)))


def _patterned(random: Random, config: IntersectionConfig) -> Proposal:
    pattern = random.choice([*(pattern.number for pattern in config.patterns), FREE])
    return Proposal(stage=random.choice([None, random.randrange(len(config.stages))]), pattern=pattern)


def _garbage(random: Random, config: IntersectionConfig) -> Proposal:
    numbers = [phase.number for phase in config.phases]
    return random.choice(
        (
            Proposal(stage=random.choice((-1, -(2**70), len(config.stages), 2**70))),
            Proposal(phases=frozenset()),
            Proposal(phases=frozenset({0})),
            Proposal(phases=frozenset({random.choice(numbers), 999})),
            Proposal(phases=frozenset(random.sample(numbers, random.randint(1, len(numbers))))),
            Proposal(phases=frozenset(overlap.number for overlap in config.overlaps)),
            Proposal(stage=0, pattern=random.choice((-1, 254, 77))),
            Proposal(pattern=random.choice((1, 2, 9))),
            Proposal(stage=random.randrange(len(config.stages)), not_after=random.choice((-1, 0, FOREVER))),
        )
    )


def _mixed(random: Random, config: IntersectionConfig) -> Proposal | None:
    kinds = (_stubborn, _silent, _flapping, _garbage, _patterned, _by_phases)
    return random.choice(kinds)(random, config)


def _by_phases(random: Random, config: IntersectionConfig) -> Proposal:
    return Proposal(phases=random.choice(config.stages).phases)
