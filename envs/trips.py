"""Tells what happened to every trip, from the records that SUMO itself writes.

Conventions:
    - Every vehicle whose departure was due before the end counts, whether it arrived, is still on its way, or never got in. SUMO
      writes them all, from `<vehicle>`, `<trip>` and `<flow>` alike, when its tripinfo output is started with write-unfinished and
      write-undeparted, as `SumoSession` does.
    - A trip's delay is timeLoss + departDelay. For a vehicle that never got in SUMO writes as departDelay the time from its due
      departure to the end, so it counts as if it would get in at the end: a lower bound.
    - A wait is SUMO's waitingTime: time below 0.1 m/s in the street, over the whole trip, scheduled stops left out. A queue that
      stands outside the network is not in it; that shows in the delay, of which the summary therefore gives the same percentiles.
    - Options that discard vehicles (`--max-depart-delay`), or a tripinfo device for only some, make delay look better than it is:
      `summarise` compares with SUMO's own counts and refuses such records where it can see it.
    - A vehicle that waits for a trigger (`depart="triggered"`) that never comes counts as due from time 0, as SUMO writes it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from envs._elements import elements
from intersection.errors import ConfigError

EMISSION_OPTIONS = ("--device.emissions.probability", "1", "--emissions.volumetric-fuel", "true")
"""SUMO's options that record CO2 and fuel; they slow the simulation by about a fifth. SUMO then gives fuel in millilitres with densities of
its own, 836 g/l for emission classes named diesel and 742 g/l for all others, its default buses and trucks among them: their fuel reads
an eighth too high."""

Seconds: TypeAlias = npt.NDArray[np.float64]
"""One time for each trip, in seconds; NaN where it never came."""

_GRIDLOCK_WINDOW_S = 300.0
_GRIDLOCK_PACE = 20.0
_GRIDLOCK_VEHICLES = 10.0
_GRIDLOCK_LOST = 0.5

_LEAST_CO2_PER_ML = 100.0
"""Between the CO2 of a milligram of fuel (about 3 mg) and of a millilitre (about 2,300 mg)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trips:
    """All vehicles that were due, as columns of equal length, in the order in which SUMO wrote them."""

    ids: tuple[str, ...]

    origins: tuple[str, ...]
    """The first edge of each route; empty where neither the record nor the demand tells it."""

    destinations: tuple[str, ...]
    """The last edge of each route; empty where neither the record nor the demand tells it."""

    due_s: Seconds
    """When the vehicle wanted to depart, in simulated seconds."""

    depart_s: Seconds
    """When it got in, in simulated seconds; NaN where it never did."""

    arrival_s: Seconds
    """When it arrived, in simulated seconds; NaN where it did not."""

    time_loss_s: Seconds
    """Time lost against driving at the speed it wished, in seconds; NaN where it never got in."""

    depart_delay_s: Seconds
    """Time from due to depart, or to the end where it never got in, in seconds."""

    waiting_s: Seconds
    """Time standing in the street, in seconds; NaN where it never got in."""

    duration_s: Seconds
    """Time in the street, in seconds, until the end where it did not arrive; NaN where it never got in."""

    stops: npt.NDArray[np.int64]
    """How often it came to stand; 0 where it never got in."""

    removed: npt.NDArray[np.bool_]
    """Whether SUMO took it off the street before its destination: after a collision, or by order."""

    co2_mg: npt.NDArray[np.float64]
    """CO2 emitted, in milligrams; NaN where emissions were not recorded."""

    fuel_ml: npt.NDArray[np.float64]
    """Fuel burnt, in millilitres; NaN where emissions were not recorded."""

    person_waiting_s: Seconds
    """Time each person stood or waited for a ride, in seconds; of another length than the columns of vehicles. SUMO writes it for those
    on their way too, but their timeLoss as 0, which is why that is not read."""

    end_s: float
    """The end of the record, in simulated seconds."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def inserted(self) -> npt.NDArray[np.bool_]:
        """Whether each vehicle got in."""
        return np.isfinite(self.depart_s)

    @property
    def finished(self) -> npt.NDArray[np.bool_]:
        """Whether each vehicle reached its destination."""
        return np.isfinite(self.arrival_s) & ~self.removed

    @property
    def delay_s(self) -> Seconds:
        """The delay of each vehicle, in seconds: timeLoss + departDelay."""
        return np.where(self.inserted, self.time_loss_s, 0.0) + self.depart_delay_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """SUMO's own counts of a run, from its statistic output."""

    loaded: int
    inserted: int
    running: int
    waiting: int
    """Vehicles due that had not got in by the end."""

    teleports: int
    collisions: int
    emergency_stops: int
    emergency_brakings: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TripSummary:
    """What a run cost its travellers."""

    due: int
    """Vehicles whose departure was due before the end: finished + running + waiting_to_enter + removed."""

    inserted: int
    finished: int
    running: int
    """Vehicles in the street at the end."""

    waiting_to_enter: int
    """Vehicles that never got in."""

    removed: int
    """Vehicles that SUMO took off the street before their destination."""

    delay_s: float
    """Mean of timeLoss + departDelay over all due vehicles, in seconds."""

    p95_delay_s: float
    """The delay that 95 % of all due vehicles did not exceed, in seconds (linear between ranks)."""

    max_delay_s: float
    """The longest delay of any due vehicle, in seconds."""

    depart_delay_s: float
    """Mean departDelay over all due vehicles, in seconds."""

    time_loss_s: float
    """Mean timeLoss over the vehicles that got in, in seconds."""

    mean_wait_s: float
    """Mean waitingTime over the vehicles that got in, in seconds."""

    p95_wait_s: float
    """The waitingTime that 95 % of the vehicles that got in did not exceed, in seconds (linear between ranks)."""

    max_wait_s: float
    """The longest waitingTime of any vehicle that got in, in seconds."""

    stops: float
    """Mean number of times that a vehicle that got in came to stand (waitingCount)."""

    co2_kg: float | None
    """CO2 of all vehicles together, in kilograms; None where emissions were not recorded."""

    fuel_l: float | None
    """Fuel of all vehicles together, in litres; None where emissions were not recorded."""

    persons: int
    """People on foot or in vehicles who set out."""

    mean_person_wait_s: float
    """Mean time that a person stood, in seconds; 0 without persons."""

    max_person_wait_s: float
    """The longest time that a person stood, in seconds; 0 without persons."""

    gridlocked: bool
    """Whether the street stood still at the end: see `is_gridlocked`."""

    teleports: int | None
    """Vehicles that SUMO lifted over a jam; None without SUMO's statistics, as the next three."""

    collisions: int | None
    emergency_stops: int | None
    """Vehicles that passed a red light or a priority because they could not stop."""

    emergency_brakings: int | None
    """Vehicles that braked harder than their normal deceleration."""


def read_trips(tripinfo: Path, *, end_s: float, route_files: Iterable[Path] = ()) -> Trips:
    """Read every trip that was due from SUMO's tripinfo output.

    Args:
        tripinfo: the record of a run, unfinished and undeparted trips written too, plain or `.gz`.
        end_s: when the run ended, in simulated seconds.
        route_files: the demand, from which come the origin and destination of trips that the record leaves open.

    Raises:
        ConfigError: a file cannot be read or is no tripinfo output, fuel is in milligrams, or no vehicle was due.
    """
    rows: list[_Row] = []
    persons: list[float] = []
    for element in elements(tripinfo):
        try:
            if element.tag == "tripinfo":
                row = _row(element)
                if row.depart >= 0 or row.depart_delay > 0:
                    rows.append(row)
            elif element.tag == "personinfo":
                persons.append(float(element.attrib["waitingTime"]))
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"{element.tag} cannot be understood ({error!r}); is this SUMO's tripinfo output?", source=str(tripinfo)
            ) from error
    if not rows:
        raise ConfigError(f"no vehicle was due before the end at {end_s:g} s", source=str(tripinfo), allowed="demand within these hours")
    return _columns(tripinfo, rows, persons, end_s, _ends(route_files))


def read_statistics(path: Path) -> Statistics:
    """Read SUMO's own counts from its statistic output.

    Raises:
        ConfigError: the file cannot be read or is no statistic output.
    """
    found = {element.tag: dict(element.attrib) for element in elements(path)}
    try:
        vehicles, safety = found["vehicles"], found["safety"]
        return Statistics(
            loaded=int(vehicles["loaded"]),
            inserted=int(vehicles["inserted"]),
            running=int(vehicles["running"]),
            waiting=int(vehicles["waiting"]),
            teleports=int(found["teleports"]["total"]),
            collisions=int(safety["collisions"]),
            emergency_stops=int(safety["emergencyStops"]),
            emergency_brakings=int(safety["emergencyBraking"]),
        )
    except (KeyError, ValueError) as error:
        raise ConfigError(f"lacks a count ({error!r}); is this SUMO's statistic output?", source=str(path)) from error


def summarise(trips: Trips, statistics: Statistics | None = None) -> TripSummary:
    """Sum up what a run cost its travellers.

    Args:
        trips: all trips of the run.
        statistics: SUMO's counts of the same run, for teleports, collisions and emergency brakings.

    Raises:
        ConfigError: the record of trips lacks vehicles that SUMO counted.
    """
    inserted, finished = trips.inserted, trips.finished
    count = int(inserted.sum())
    if statistics is not None and (count != statistics.inserted or len(trips) - count < statistics.waiting):
        raise ConfigError(
            f"the record of trips has {count} vehicles that got in and {len(trips) - count} that waited, "
            f"SUMO counted {statistics.inserted} and {statistics.waiting}",
            allowed="tripinfo output of every vehicle, with write-unfinished and write-undeparted, and no vehicle discarded",
        )
    delay = trips.delay_s
    waiting = trips.waiting_s[inserted]
    recorded = bool(np.isfinite(trips.co2_mg).any())
    return TripSummary(
        due=len(trips),
        inserted=count,
        finished=int(finished.sum()),
        running=int((inserted & np.isnan(trips.arrival_s)).sum()),
        waiting_to_enter=len(trips) - count,
        removed=int(trips.removed.sum()),
        delay_s=float(delay.mean()),
        p95_delay_s=float(np.percentile(delay, 95)),
        max_delay_s=float(delay.max()),
        depart_delay_s=float(trips.depart_delay_s.mean()),
        time_loss_s=_mean(trips.time_loss_s[inserted]),
        mean_wait_s=_mean(waiting),
        p95_wait_s=float(np.percentile(waiting, 95)) if count else 0.0,
        max_wait_s=float(waiting.max(initial=0.0)),
        stops=_mean(trips.stops[inserted]),
        co2_kg=float(np.nansum(trips.co2_mg)) * 1e-6 if recorded else None,
        fuel_l=float(np.nansum(trips.fuel_ml)) * 1e-3 if recorded else None,
        persons=len(trips.person_waiting_s),
        mean_person_wait_s=_mean(trips.person_waiting_s),
        max_person_wait_s=float(trips.person_waiting_s.max(initial=0.0)),
        gridlocked=is_gridlocked(trips),
        teleports=statistics.teleports if statistics else None,
        collisions=statistics.collisions if statistics else None,
        emergency_stops=statistics.emergency_stops if statistics else None,
        emergency_brakings=statistics.emergency_brakings if statistics else None,
    )


def is_gridlocked(trips: Trips) -> bool:
    """Tell whether the street as a whole stood still at the end of a run.

    It did if, at the pace of arrivals in the last 300 s, the vehicles then in the street (ten or more on average) would have needed more
    than 20 times their unhindered travel time to leave it, and those left at the end had lost more than half of their time. By Little's
    law the first is vehicles x 300 s / arrivals, against the mean of duration - timeLoss of the finished trips.

    Measured on RESCO's networks under greedy and fixed control at 1 to 3 times their demand: 1 to 3 in free and busy traffic, 4 to 15
    where the network is saturated and most vehicles stand, 100 and more where it locked. A jam that began in the last minutes, or that
    holds one junction while the others flow, is not told by this flag; see `waiting_to_enter` and `p95_delay_s`. Runs shorter than 300 s
    are never flagged.
    """
    inserted = trips.inserted
    if not inserted.any() or trips.end_s - trips.due_s.min() < _GRIDLOCK_WINDOW_S:
        return False
    begin = trips.end_s - _GRIDLOCK_WINDOW_S
    left = np.where(np.isnan(trips.arrival_s), trips.end_s, trips.arrival_s)[inserted]
    present = float(np.clip(left - np.maximum(trips.depart_s[inserted], begin), 0.0, None).sum())
    arrivals = int((trips.arrival_s >= begin).sum())
    free = _mean((trips.duration_s - trips.time_loss_s)[trips.finished])
    running = inserted & np.isnan(trips.arrival_s)
    lost = float(trips.time_loss_s[running].sum()) > _GRIDLOCK_LOST * float(trips.duration_s[running].sum())
    crowded = present >= _GRIDLOCK_VEHICLES * _GRIDLOCK_WINDOW_S
    return crowded and lost and present > _GRIDLOCK_PACE * arrivals * free


@dataclass(frozen=True, slots=True)
class _Row:
    """One vehicle as SUMO wrote it; -1 where a time never came."""

    id: str
    origin: str
    destination: str
    depart: float
    arrival: float
    time_loss: float
    depart_delay: float
    waiting: float
    duration: float
    stops: int
    removed: bool
    co2: float
    fuel: float


def _row(element: ET.Element) -> _Row:
    given = element.attrib
    arrival = float(given["arrival"])
    emissions: Mapping[str, str] = next((child.attrib for child in element if child.tag == "emissions"), {})
    return _Row(
        id=given["id"],
        origin=_edge(given["departLane"]),
        destination=_edge(given["arrivalLane"]),
        depart=float(given["depart"]),
        arrival=arrival,
        time_loss=max(float(given["timeLoss"]), 0.0),
        depart_delay=max(float(given["departDelay"]), 0.0),
        waiting=float(given["waitingTime"]),
        duration=float(given["duration"]),
        stops=int(given["waitingCount"]),
        removed=arrival >= 0 and given.get("vaporized", "") not in ("", "end"),
        co2=float(emissions.get("CO2_abs", "nan")),
        fuel=float(emissions.get("fuel_abs", "nan")),
    )


def _columns(source: Path, rows: list[_Row], persons: list[float], end_s: float, ends: Mapping[str, tuple[str, str]]) -> Trips:
    depart = np.array([row.depart for row in rows])
    inserted = depart >= 0
    delay = np.array([row.depart_delay for row in rows])
    arrival = np.array([row.arrival for row in rows])
    co2, fuel = np.array([row.co2 for row in rows]), np.array([row.fuel for row in rows])
    if np.nansum(fuel) > 0 and np.nansum(co2) < _LEAST_CO2_PER_ML * np.nansum(fuel):
        raise ConfigError(
            "gives fuel in milligrams", source=str(source), allowed="millilitres: start SUMO with --emissions.volumetric-fuel"
        )

    def if_inserted(values: list[float]) -> Seconds:
        return np.where(inserted, np.array(values), np.nan)

    demanded = [ends.get(row.id) or ends.get(row.id.rpartition(".")[0], ("", "")) for row in rows]
    return Trips(
        ids=tuple(row.id for row in rows),
        origins=tuple(row.origin or origin for row, (origin, _) in zip(rows, demanded, strict=True)),
        destinations=tuple(row.destination or destination for row, (_, destination) in zip(rows, demanded, strict=True)),
        due_s=np.where(inserted, depart, end_s) - delay,
        depart_s=np.where(inserted, depart, np.nan),
        arrival_s=np.where(arrival >= 0, arrival, np.nan),
        time_loss_s=if_inserted([row.time_loss for row in rows]),
        depart_delay_s=delay,
        waiting_s=if_inserted([row.waiting for row in rows]),
        duration_s=if_inserted([row.duration for row in rows]),
        stops=np.array([row.stops for row in rows], dtype=np.int64),
        removed=np.array([row.removed for row in rows], dtype=np.bool_),
        co2_mg=co2,
        fuel_ml=fuel,
        person_waiting_s=np.array(persons, dtype=np.float64),
        end_s=end_s,
    )


def _ends(route_files: Iterable[Path]) -> dict[str, tuple[str, str]]:
    """Find the first and last edge of every vehicle, trip and flow; those between zones or junctions, or of a distribution, stay out."""
    routes: dict[str, tuple[str, str]] = {}
    ends: dict[str, tuple[str, str]] = {}
    for path in route_files:
        for element in elements(path):
            given = element.attrib
            if element.tag == "route":
                routes[given.get("id", "")] = _ends_of(given.get("edges", ""))
            elif element.tag in ("vehicle", "trip", "flow"):
                own = element.find("route")
                if own is not None:
                    ends[given.get("id", "")] = _ends_of(own.get("edges", ""))
                elif "from" in given and "to" in given:
                    ends[given.get("id", "")] = (given["from"], given["to"])
                elif given.get("route") in routes:
                    ends[given.get("id", "")] = routes[given["route"]]
    return ends


def _ends_of(edges: str) -> tuple[str, str]:
    first, *_, last = edges.split() * 2 or ("", "")
    return first, last


def _edge(lane: str) -> str:
    return lane.rpartition("_")[0]


def _mean(values: npt.NDArray[np.float64] | npt.NDArray[np.int64]) -> float:
    return float(values.mean()) if len(values) else 0.0
