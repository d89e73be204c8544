import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from envs.audit import Kind
from envs.errors import SimulationError
from envs.scenario import find
from envs.street import OFF, SumoStreets, account
from envs.sumo_network import RESCO, STREET
from envs.sumo_session import libsumo_is_free
from envs.traffic import network_of
from intersection import machine
from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind
from intersection.errors import UnknownNameError
from intersection.machine import phase_states
from intersection.phase import Tenths
from intersection.shield import Amended, Granted, Proposal, review
from intersection.state import NO_STAGE, Display, Interval, PedInterval
from intersection.street import Street
from intersection.tables import bits
from tests.intersection.street_contract import StreetContract, shown

COLOGNE = find("resco:cologne1")


def streets(name: str = "resco:cologne1", records: Path | None = None) -> SumoStreets:
    """Begin the streets of a scenario."""
    scenario = find(name)
    return SumoStreets(scenario, network_of(scenario, RESCO), seed=11, records=records)


class TestSumoStreet(StreetContract):
    """SUMO keeps every promise of a street."""

    @contextmanager
    def begin(self) -> Iterator[tuple[Street, IntersectionConfig]]:
        """Begin Cologne's intersection."""
        with streets() as begun:
            (street,) = begun
            yield street, street.config


def letters(begun: SumoStreets) -> list[str]:
    """Read from SUMO what its signals show."""
    return [begun.session.api.trafficlight.getRedYellowGreenState(street.signal.id) for street in begun]


def test_the_first_display_is_the_stage_of_the_signals_own_program() -> None:
    """Before anybody shows anything, each signal of a network shows its own first stage."""
    with streets("resco:cologne3") as begun:
        first = letters(begun)
        for street in begun:
            street.show(shown(street.config, street.first_stage))

        assert first == letters(begun)


def test_a_signal_that_flashes_or_is_dark_lets_everybody_yield() -> None:
    """All links are off; afterwards the stage is shown again."""
    with streets() as begun:
        (street,) = begun
        before = letters(begun)
        for display in (Display.FLASH, Display.DARK):
            street.show(shown(street.config, 0, display))

            assert [OFF * street.signal.link_count] == letters(begun)
        street.show(shown(street.config, street.first_stage))

        assert before == letters(begun)


def test_all_streets_of_a_network_share_their_time() -> None:
    """Whoever advances moves all; SUMO stands at the last whole step."""
    with streets("resco:cologne3") as begun:
        first, second, *_ = begun
        start = begun.now

        first.advance(start + 17)
        second.advance(start + 17)

        assert [start + 17] * len(begun) == [street.now for street in begun]
        assert (start + 10) / 10 == begun.session.now


def test_an_unknown_signal_is_answered_with_the_known_ones() -> None:
    """The message lists the signals."""
    with streets() as begun, pytest.raises(UnknownNameError, match="unknown signal 'nobody'"):
        begun["nobody"]


def test_an_area_is_read_where_it_is_asked_for() -> None:
    """The kinds of detectors are a choice; loops are not read with areas alone."""
    with SumoStreets(COLOGNE, network_of(COLOGNE, RESCO), seed=11, sensors=(DetectorKind.AREA,)) as begun:
        (street,) = begun
        street.advance(street.now + 600)

        assert {DetectorKind.AREA} == {detector.kind for detector in street.config.detectors}
        assert street.read().values[Channel.COUNT].sum() > 0


def test_a_walk_and_its_clearance_are_shown_on_the_crossings() -> None:
    """A crossing shows G in walk, y in pedestrian clearance and r otherwise; a group without an indication is red."""
    scenario = find("phasewise:eight_phase")
    with SumoStreets(scenario, network_of(scenario, STREET), seed=11) as begun:
        (street,) = begun
        tables = street.config.tables
        group = bits(tables.pedestrians)[0]
        link = street.signal.links[group][0]
        walking = shown(street.config, 0)[tables.groups[group].number]
        seen = []
        for pedestrian in (PedInterval.WALK, PedInterval.PED_CLEARANCE, PedInterval.DONT_WALK):
            street.show({tables.groups[group].number: walking._replace(interval=Interval.RED, protected=False, pedestrian=pedestrian)})
            seen.append(letters(begun)[0])

        assert ["G", "y", "r"] == [each[link] for each in seen]
        assert set("rs") >= set(seen[2])


def test_streets_that_cannot_begin_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SUMO refuses is told; neither a simulation nor a file is left."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SimulationError):
        SumoStreets(COLOGNE, network_of(COLOGNE, RESCO), seed=11, extra_args=("--no-such-option",))

    assert [] == list(tmp_path.iterdir())
    assert libsumo_is_free()


def run_by_gate(begun: SumoStreets, until: Tenths) -> int:
    """Let every signal change its stage every fifth second if the gate allows it, and count the changes."""
    states = {street.signal.id: machine.start(street.config.tables, street.first_stage, begun.now) for street in begun}
    changes = 0
    while begun.now < until:
        now = begun.now
        for street in begun:
            state, tables = states[street.signal.id], street.config.tables
            readings = street.read()
            state = machine.place_calls(state, tables, readings.vehicles, readings.pedestrians, readings.discharged)
            verdict = review(Proposal(stage=now // 50 % len(tables.stages)), state, tables)
            command = verdict.command if isinstance(verdict, Granted | Amended) else None
            moved = machine.advance(state, command, now, tables)
            changes += state.target == NO_STAGE != moved.target
            street.show({group.number: each for group, each in zip(tables.groups, phase_states(moved, tables), strict=True)})
            states[street.signal.id] = machine.advance(moved, None, now + 10, tables)
        begun.advance(now + 10)
    return changes


def test_what_was_shown_is_judged_by_sumos_own_records(tmp_path: Path) -> None:
    """Ten minutes through the gate are legal to the last display, and every vehicle that was due is accounted for."""
    with streets("resco:cologne3", tmp_path) as begun:
        changes = run_by_gate(begun, begun.now + 6000)
    found = account(begun, tmp_path)

    assert changes > 30
    assert {} == found.audit.counts()
    assert 3 == found.audit.signals
    assert found.trips.due == found.trips.finished + found.trips.running + found.trips.waiting_to_enter > 100


def test_an_illegal_display_is_found_in_the_records(tmp_path: Path) -> None:
    """A green that ends without a yellow change is seen by the audit."""
    with streets(records=tmp_path) as begun:
        (street,) = begun
        for stage in (0, 1, 0):
            street.show(shown(street.config, stage))
            street.advance(street.now + 200)

    assert Kind.YELLOW in account(begun, tmp_path).audit.counts()


PARITY = """
import json, sys
from envs.scenario import find
from intersection.sensed import LOOPS
from envs.simulation import Simulation
from envs.street import SumoStreets
from envs.sumo_network import RESCO
from envs.traffic import network_of
from intersection import machine
from intersection.shield import Amended, Granted, Proposal, review

scenario = find("resco:cologne1")
network = network_of(scenario, RESCO)
told = []
if sys.argv[1] == "simulation":
    with Simulation(scenario, network, sensors=LOOPS) as simulation:
        simulation.reset(11)
        signal = simulation.signals[0]
        for second in range(900):
            told.append([signal.shown, simulation.readings(0).values.tolist(), signal.state.calls])
            simulation.advance([Proposal(stage=second // 7 % 4)], simulation.now + 10)
else:
    with SumoStreets(scenario, network, seed=11) as streets:
        (street,) = streets
        tables = street.config.tables
        state = machine.start(tables, street.first_stage, street.now)
        show = lambda: street.show(dict(zip((g.number for g in tables.groups), machine.phase_states(state, tables))))
        for second in range(900):
            readings = street.read()
            state = machine.place_calls(state, tables, readings.vehicles, readings.pedestrians, readings.discharged)
            letters = streets.session.api.trafficlight.getRedYellowGreenState(street.signal.id)
            told.append([letters, readings.values.tolist(), state.calls])
            verdict = review(Proposal(stage=second // 7 % 4), state, tables)
            command = verdict.command if isinstance(verdict, (Granted, Amended)) else None
            state = machine.advance(state, command, state.now, tables)
            show()
            until = state.now + 10
            while (event := min(machine.next_change(state, tables), until)) < until:
                street.advance(event)
                state = machine.advance(state, None, event, tables)
                show()
            street.advance(until)
            state = machine.advance(state, None, until, tables)
            show()
print(json.dumps(told))
"""


def test_a_street_is_the_same_as_in_the_environments() -> None:
    """With the same seed and proposals, every display and every reading of 15 minutes is that of `Simulation`."""
    one, other = (
        json.loads(subprocess.run([sys.executable, "-c", PARITY, which], capture_output=True, text=True, check=True).stdout)
        for which in ("simulation", "street")
    )

    assert 900 == len(one) == len(other)
    assert [] == [second for second, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]]
    assert len({letters for letters, _, _ in one}) >= 8
