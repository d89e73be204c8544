import gzip
from pathlib import Path

import numpy as np
import pytest

from envs.trips import EMISSION_OPTIONS, Statistics, Trips, TripSummary, is_gridlocked, read_statistics, read_trips, summarise
from intersection.errors import ConfigError
from tests.envs import sumo_tools

END_S = 100.0

DEMANDS = {
    "vehicle": "".join(f'<vehicle id="v.{i}" depart="{2 * i}"><route edges="AB BC"/></vehicle>' for i in range(100)),
    "trip": "".join(f'<trip id="v.{i}" depart="{2 * i}" from="AB" to="BC"/>' for i in range(100)),
    "flow": '<route id="r" edges="AB BC"/><flow id="v" begin="0" end="200" period="2" route="r"/>',
    "flow of trips": '<flow id="v" begin="0" end="200" number="100" from="AB" to="BC"/>',
}
"""A vehicle every 2 s for 200 s, more than the crossroads let in: the same in each way that SUMO knows."""

ALL_RED = '<tlLogic id="B" type="static" programID="1" offset="0"><phase duration="99" state="rrrr"/></tlLogic>'


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the crossroads' net."""
    return sumo_tools.crossroads(tmp_path_factory.mktemp("net"))


def simulate(
    net: Path, folder: Path, demand: str, *options: object, end_s: float = END_S, emissions: bool = False
) -> tuple[Trips, Statistics]:
    """Run SUMO and read what it recorded."""
    routes, tripinfo, statistics = folder / "demand.rou.xml", folder / "tripinfo.xml.gz", folder / "statistics.xml"
    routes.write_text(f"<routes>{demand}</routes>", encoding="utf-8")
    recording = ["--tripinfo-output", tripinfo, "--tripinfo-output.write-unfinished", "--tripinfo-output.write-undeparted"]
    recording += ["--statistic-output", statistics]
    sumo_tools.run("sumo", "-n", net, "-r", routes, "-e", end_s, "--time-to-teleport", -1, "--no-step-log", *recording, *options)
    return read_trips(tripinfo, end_s=end_s, route_files=[routes]), read_statistics(statistics)


def written(folder: Path, *lines: str, root: str = "tripinfos") -> Path:
    """Write a record by hand."""
    path = folder / "tripinfo.xml"
    path.write_text(f"<{root}>{''.join(lines)}</{root}>", encoding="utf-8")
    return path


def line(
    name: str,
    *,
    depart: float = -1.0,
    arrival: float = -1.0,
    delay: float = 0.0,
    loss: float = 0.0,
    wait: float = 0.0,
    stops: int = 0,
    vaporized: str = "",
    emissions: str = "",
) -> str:
    """Write one vehicle as SUMO does."""
    end = arrival if arrival >= 0 else END_S
    return (
        f'<tripinfo id="{name}" depart="{depart:.2f}" departLane="{"AB_0" if depart >= 0 else ""}" departDelay="{delay:.2f}" '
        f'arrival="{arrival:.2f}" arrivalLane="{"BC_0" if arrival >= 0 else ""}" duration="{end - depart if depart >= 0 else 0:.2f}" '
        f'waitingTime="{wait:.2f}" waitingCount="{stops}" timeLoss="{loss:.2f}" vaporized="{vaporized}">{emissions}</tripinfo>'
    )


HAND_WRITTEN = (
    line("arrived", depart=10, arrival=40, delay=5, loss=10, wait=4, stops=1),
    line("on its way", depart=30, loss=20, wait=15, stops=3, vaporized="end"),
    line("never in", delay=60, vaporized="end"),
    line("due at the end", vaporized="end"),
    line("crashed", depart=50, arrival=60, delay=1, loss=4, wait=2, stops=2, vaporized="collision"),
)


def summary_of(folder: Path, *lines: str) -> TripSummary:
    """Sum up a record written by hand."""
    return summarise(read_trips(written(folder, *lines), end_s=END_S))


def test_every_vehicle_due_before_the_end_counts_once(tmp_path: Path) -> None:
    """Arrived, on the way, removed and never let in add up to all that were due; one due only at the end is none of them."""
    summary = summary_of(tmp_path, *HAND_WRITTEN)

    assert (4, 3, 1, 1, 1, 1) == (
        summary.due,
        summary.inserted,
        summary.finished,
        summary.running,
        summary.waiting_to_enter,
        summary.removed,
    )


def test_delay_is_time_loss_and_depart_delay_of_all_due_vehicles(tmp_path: Path) -> None:
    """A vehicle that never got in counts its time from due to end; time loss, waits and stops are of those that got in."""
    summary = summary_of(tmp_path, *HAND_WRITTEN)

    assert {
        "delay_s": (15 + 20 + 60 + 5) / 4,
        "max_delay_s": 60.0,
        "depart_delay_s": (5 + 0 + 60 + 1) / 4,
        "time_loss_s": (10 + 20 + 4) / 3,
        "mean_wait_s": (4 + 15 + 2) / 3,
        "max_wait_s": 15.0,
        "stops": 2.0,
    } == pytest.approx(
        {
            "delay_s": summary.delay_s,
            "max_delay_s": summary.max_delay_s,
            "depart_delay_s": summary.depart_delay_s,
            "time_loss_s": summary.time_loss_s,
            "mean_wait_s": summary.mean_wait_s,
            "max_wait_s": summary.max_wait_s,
            "stops": summary.stops,
        }
    )


def test_a_percentile_is_what_95_of_100_did_not_exceed(tmp_path: Path) -> None:
    """Of waits of 0 to 100 s the 95th percentile is 95 s; vehicles that never got in show in the delay's alone."""
    inside = [line(f"v{i}", depart=0, arrival=90, wait=i, loss=i) for i in range(101)]

    summary = summary_of(tmp_path, *inside, *(line(f"out{i}", delay=1000) for i in range(100)))

    assert (95.0, 1000.0) == (summary.p95_wait_s, summary.p95_delay_s)


def test_each_trip_keeps_its_times(tmp_path: Path) -> None:
    """A trip's due time is its departure less its delay, or the end less its wait; times that never came are not a number."""
    trips = read_trips(written(tmp_path, *HAND_WRITTEN), end_s=END_S)

    assert {
        "ids": ("arrived", "on its way", "never in", "crashed"),
        "due": [5.0, 30.0, 40.0, 49.0],
        "depart": "[10. 30. nan 50.]",
        "arrival": "[40. nan nan 60.]",
        "loss": "[10. 20. nan  4.]",
        "duration": "[30. 70. nan 10.]",
        "finished": [True, False, False, False],
        "delay": [15.0, 20.0, 60.0, 5.0],
    } == {
        "ids": trips.ids,
        "due": trips.due_s.tolist(),
        "depart": str(trips.depart_s),
        "arrival": str(trips.arrival_s),
        "loss": str(trips.time_loss_s),
        "duration": str(trips.duration_s),
        "finished": trips.finished.tolist(),
        "delay": trips.delay_s.tolist(),
    }


@pytest.mark.parametrize("kind", DEMANDS)
def test_a_queue_outside_the_network_counts_for_every_kind_of_demand(net: Path, tmp_path: Path, kind: str) -> None:
    """Fifty vehicles are due before the end; those that never got in count their wait, whatever element ordered them."""
    trips, statistics = simulate(net, tmp_path, DEMANDS[kind])

    summary = summarise(trips, statistics)

    never = ~trips.inserted
    outside = range(100 - summary.waiting_to_enter * 2, 100, 2)
    assert (50, statistics.inserted, statistics.waiting, [float(100 - due) for due in outside], list(map(float, outside))) == (
        summary.due,
        summary.inserted,
        summary.waiting_to_enter,
        trips.depart_delay_s[never].tolist(),
        trips.due_s[never].tolist(),
    )
    assert summary.waiting_to_enter > 10


@pytest.mark.parametrize("kind", DEMANDS)
def test_every_trip_tells_where_it_wanted_to_go(net: Path, tmp_path: Path, kind: str) -> None:
    """Origin and destination come from the demand where the record leaves them open."""
    trips, _ = simulate(net, tmp_path, DEMANDS[kind])

    assert ({"AB"}, {"BC"}) == (set(trips.origins), set(trips.destinations))


def test_a_trip_of_unknown_demand_leaves_its_ends_open(tmp_path: Path) -> None:
    """Without the demand a vehicle that never got in has no origin, and one on its way no destination."""
    trips = read_trips(written(tmp_path, *HAND_WRITTEN), end_s=END_S)

    assert (("AB", "AB", "", "AB"), ("BC", "", "", "BC")) == (trips.origins, trips.destinations)


@pytest.mark.parametrize(
    ("kept", "words"), [(32, "32 vehicles that got in and 2 that waited"), (31, "31 vehicles that got in and 3 that waited")]
)
def test_a_record_that_lacks_vehicles_is_refused(tmp_path: Path, kept: int, words: str) -> None:
    """A record without some vehicles on their way or outside is refused, because it would make delay look better than it is."""
    inside = [line(f"in{i}", depart=0) for i in range(kept)]
    outside = [line(f"out{i}", delay=9) for i in range(34 - kept)]
    counts = Statistics(loaded=99, inserted=32, running=32, waiting=3, teleports=0, collisions=0, emergency_stops=0, emergency_brakings=0)
    trips = read_trips(written(tmp_path, *inside, *outside), end_s=END_S)

    with pytest.raises(ConfigError, match=f"{words}, SUMO counted 32 and 3; allowed: tripinfo output of every vehicle"):
        summarise(trips, counts)


def test_the_counts_of_sumo_come_with_the_summary(net: Path, tmp_path: Path) -> None:
    """Teleports, collisions and emergency brakings are SUMO's own counts, and nothing without them."""
    trips, _ = simulate(net, tmp_path, DEMANDS["trip"])
    counts = Statistics(
        loaded=100,
        inserted=int(trips.inserted.sum()),
        running=9,
        waiting=5,
        teleports=1,
        collisions=2,
        emergency_stops=3,
        emergency_brakings=4,
    )

    told = [summarise(trips, counts), summarise(trips)]

    assert [(1, 2, 3, 4), (None, None, None, None)] == [
        (summary.teleports, summary.collisions, summary.emergency_stops, summary.emergency_brakings) for summary in told
    ]


def test_statistics_are_read_as_sumo_writes_them(tmp_path: Path) -> None:
    """Each count is taken from its own element."""
    path = written(
        tmp_path,
        '<vehicles loaded="9" inserted="8" running="7" waiting="6"/><teleports total="5" jam="0" yield="0" wrongLane="5"/>',
        '<safety collisions="4" emergencyStops="3" emergencyBraking="2"/>',
        root="statistics",
    )

    assert Statistics(
        loaded=9, inserted=8, running=7, waiting=6, teleports=5, collisions=4, emergency_stops=3, emergency_brakings=2
    ) == read_statistics(path)


def test_emissions_are_summed_in_kilograms_and_litres(net: Path, tmp_path: Path) -> None:
    """A litre of petrol burns to about 2.3 kg of CO2, and some vehicles on 200 m burn some of it."""
    trips, _ = simulate(net, tmp_path, DEMANDS["trip"], *EMISSION_OPTIONS)

    summary = summarise(trips)

    assert summary.co2_kg is not None
    assert summary.fuel_l is not None
    assert pytest.approx(2.3, abs=0.1) == summary.co2_kg / summary.fuel_l
    assert 1.0 < summary.co2_kg < 10.0


def test_emissions_that_were_not_recorded_are_not_zero(tmp_path: Path) -> None:
    """A run without emissions has no CO2 and no fuel, which is not the same as none."""
    summary = summary_of(tmp_path, *HAND_WRITTEN)

    assert (None, None) == (summary.co2_kg, summary.fuel_l)


def test_fuel_in_milligrams_is_refused(tmp_path: Path) -> None:
    """SUMO gives fuel in milligrams unless told otherwise; taken for millilitres that would be wrong by a factor of 740."""
    milligrams = written(tmp_path, line("v", depart=0, arrival=9, emissions='<emissions CO2_abs="111017.93" fuel_abs="35990.80"/>'))

    with pytest.raises(ConfigError, match=r"tripinfo\.xml: gives fuel in milligrams.*--emissions\.volumetric-fuel"):
        read_trips(milligrams, end_s=END_S)


def test_an_electric_fleet_burns_no_fuel(tmp_path: Path) -> None:
    """Emissions that were recorded and are zero stay zero."""
    summary = summary_of(tmp_path, line("v", depart=0, arrival=9, emissions='<emissions CO2_abs="0.00" fuel_abs="0.00"/>'))

    assert (0.0, 0.0) == (summary.co2_kg, summary.fuel_l)


def test_people_are_counted_apart(tmp_path: Path) -> None:
    """Persons who wait at a red light show in the persons' figures, though they have not arrived, and not in the vehicles'."""
    net = sumo_tools.crossing(tmp_path)
    demand = '<vehicle id="v" depart="0"><route edges="NB BS"/></vehicle><person id="p" depart="0"><walk from="WB" to="BE"/></person>'
    demand += '<person id="late" depart="99"><walk from="WB" to="BE"/></person>'

    trips, _ = simulate(net, tmp_path, demand)
    summary = summarise(trips)

    assert (1, 2, True, True) == (
        summary.due,
        summary.persons,
        summary.max_person_wait_s > 10,
        summary.mean_person_wait_s * 2 == summary.max_person_wait_s,
    )


def test_a_street_that_stands_still_is_gridlocked(net: Path, tmp_path: Path) -> None:
    """A signal that shows red for good fills its street, and nobody leaves."""
    (tmp_path / "red.add.xml").write_text(f"<additional>{ALL_RED}</additional>", encoding="utf-8")

    trips, _ = simulate(net, tmp_path, DEMANDS["trip"], "-a", tmp_path / "red.add.xml", end_s=600.0)

    assert is_gridlocked(trips)


def test_a_saturated_street_is_not_gridlocked(net: Path, tmp_path: Path) -> None:
    """A queue that moves is not a gridlock, however long it is and however many stand outside."""
    demand = '<flow id="v" begin="0" end="900" period="2" from="AB" to="BC"/>'

    trips, _ = simulate(net, tmp_path, demand, end_s=900.0)

    assert (False, True) == (is_gridlocked(trips), summarise(trips).waiting_to_enter > 50)


def street(*, vehicles: int, arrivals: int, end_s: float = 1000.0, loss: float = 0.9, ago_s: float = 0.0) -> Trips:
    """Give a street with some vehicles since its begin and some that left some time ago, after 30 s of which they lost none."""
    count = vehicles + arrivals
    left = np.array([False] * vehicles + [True] * arrivals)
    duration = np.where(left, 30.0, end_s)
    depart = np.where(left, end_s - ago_s - 30.0, 0.0)
    zeros = np.zeros(count)
    return Trips(
        ids=("",) * count,
        origins=("",) * count,
        destinations=("",) * count,
        due_s=depart,
        depart_s=depart,
        arrival_s=np.where(left, end_s - ago_s, np.nan),
        time_loss_s=np.where(left, 0.0, duration * loss),
        depart_delay_s=zeros,
        waiting_s=zeros,
        duration_s=duration,
        stops=np.zeros(count, dtype=np.int64),
        removed=np.zeros(count, dtype=np.bool_),
        co2_mg=zeros,
        fuel_ml=zeros,
        person_waiting_s=np.zeros(0),
        end_s=end_s,
    )


@pytest.mark.parametrize(
    ("trips", "expected"),
    [
        pytest.param(street(vehicles=10, arrivals=0), True, id="ten vehicles stand for good"),
        pytest.param(street(vehicles=9, arrivals=0), False, id="too few to jam a street"),
        pytest.param(street(vehicles=20, arrivals=9), True, id="at this pace they need 23 times the free time"),
        pytest.param(street(vehicles=20, arrivals=11), False, id="at this pace they need 19 times the free time"),
        pytest.param(street(vehicles=20, arrivals=99, ago_s=301.0), True, id="nobody left for five minutes"),
        pytest.param(street(vehicles=20, arrivals=0, loss=0.4), False, id="a long way without hindrance"),
        pytest.param(street(vehicles=20, arrivals=0, end_s=299.0), False, id="too short to tell"),
    ],
)
def test_gridlock_is_told_by_pace(trips: Trips, expected: bool) -> None:
    """A street is gridlocked when its vehicles leave at less than a twentieth of the free pace."""
    assert expected == is_gridlocked(trips)


def test_a_network_that_nobody_enters_is_not_gridlocked(tmp_path: Path) -> None:
    """Without a vehicle in the street there is no pace to judge, and the figures of those inside are 0."""
    summary = summary_of(tmp_path, line("never in", delay=90))

    assert (False, 90.0, 0.0, 0.0, 0.0) == (
        summary.gridlocked,
        summary.delay_s,
        summary.time_loss_s,
        summary.p95_wait_s,
        summary.max_wait_s,
    )


def test_a_compressed_record_reads_the_same(tmp_path: Path) -> None:
    """A record that ends in .gz gives the same summary as the plain one."""
    plain = written(tmp_path, *HAND_WRITTEN)
    packed = tmp_path / "packed.xml.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    assert summarise(read_trips(plain, end_s=END_S)) == summarise(read_trips(packed, end_s=END_S))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('<tripinfos><tripinfo id="v"', "is not whole XML"),
        ("<tripinfos/>", "no vehicle was due before the end at 100 s"),
        ('<tripinfos><tripinfo id="v" depart="0.00"/></tripinfos>', "tripinfo cannot be understood"),
        ("<routes><vehicle/></routes>", "no vehicle was due before the end at 100 s"),
    ],
)
def test_a_broken_record_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    """A record that is cut short, empty or something else is refused with its path and the cause."""
    path = tmp_path / "tripinfo.xml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match=rf"tripinfo\.xml: {words}"):
        read_trips(path, end_s=END_S)


def test_a_broken_gzip_is_refused_by_name(tmp_path: Path) -> None:
    """A compressed record that is cut short is refused with its path and the likely cause."""
    path = tmp_path / "tripinfo.xml.gz"
    path.write_bytes(gzip.compress(b"<tripinfos></tripinfos>")[:-9])

    with pytest.raises(ConfigError, match=r"tripinfo\.xml\.gz: is not a whole gzip file .*did SUMO end"):
        read_trips(path, end_s=END_S)


def test_statistics_of_another_kind_are_refused_by_name(tmp_path: Path) -> None:
    """A file that is no statistic output is refused with its path and what it lacks."""
    with pytest.raises(ConfigError, match=r"tripinfo\.xml: lacks a count \(KeyError\('vehicles'\)\)"):
        read_statistics(written(tmp_path, *HAND_WRITTEN))
