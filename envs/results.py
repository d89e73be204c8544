"""What one evaluated episode leaves behind: figures for the table, series for the pictures."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedResult:
    """One seed's figures; the names and units are those of `evaluate --json` and of the Parquet rows."""

    seed: int
    delay_s: float
    """Mean over all due vehicles of timeLoss + departDelay; one that never got in counts the end less its due time."""

    time_loss_s: float
    """Mean timeLoss of the vehicles that got in."""

    due: int
    inserted: int
    finished: int
    p95_wait_s: float
    max_wait_s: float
    max_red_s: float
    stops: float
    """Mean number of stops of the vehicles that got in."""

    co2_kg: float
    fuel_l: float
    teleports: int
    collisions: int
    emergency_brakings: int
    gridlocked: bool
    violations: int
    """Illegal displays that the audit found in SUMO's own record of the signals."""

    wall_s: float
    """How long the simulation took, in seconds of wall time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Movement:
    """What one way through the scenario cost: the trips of one pair of first and last edge."""

    origin: str
    destination: str
    trips: int
    delay_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTime:
    """A stage (or a transition, then stage is -1) of one signal, from one instant to the next."""

    signal: str
    start_s: float
    end_s: float
    stage: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """What a report draws of one episode. Times in seconds since the scenario's begin."""

    time_s: tuple[float, ...] = ()
    """Instants of the samples below."""

    queue: tuple[float, ...] = ()
    """Halting vehicles in the network."""

    running: tuple[int, ...] = ()
    waiting_to_enter: tuple[int, ...] = ()
    due_cumulative: tuple[int, ...] = ()
    arrived_cumulative: tuple[int, ...] = ()
    co2_kg_cumulative: tuple[float, ...] = ()
    """CO2 since the begin, in kilograms: each trip's, finished or not, spread evenly over its time in the street."""

    stages: tuple[StageTime, ...] = ()
    movements: tuple[Movement, ...] = ()
    verdicts: dict[str, int] = field(default_factory=dict)
    """How often the gate granted, and amended or refused for which reason."""

    violations: tuple[str, ...] = ()
    """The first illegal displays, one line each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeResult:
    """One policy on one scenario with one seed."""

    scenario: str
    policy: str
    """As the user named it."""

    outside: bool = False
    """Whether it bypasses the gate: SUMO's own programs, shown for reference."""

    preset: str = "resco"
    observation: str = "area"
    scale: float = 1.0
    """Factor on the scenario's own demand, dimensionless: `--scale`."""

    sumo_version: str = ""
    scenario_sha256: str = ""
    options: tuple[str, ...] = ()
    """SUMO's options, so that the run can be made again."""

    figures: SeedResult
    series: Series | None = None
