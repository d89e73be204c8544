"""The matrix of faults is whole, and its quick form misses nothing."""

import json
from pathlib import Path
from typing import get_args

import pytest
import typer

from controller.events import Mode
from field_adapters.simulated import orders
from intersection.errors import ConfigError, UnknownNameError
from phasewise.faulting import RESULTS, bench_faults, chosen, key_of, read, section
from phasewise.faults.matrix import EIGHT, MATRIX, QUICK, After, AtCabinet, Force, Kind, Limit, Moment, Speaks, Zero
from phasewise.faults.trial import Outcome


def outcome(name: str, protocol: str, **changes: object) -> dict[str, object]:
    """Give the result of a cell."""
    made = Outcome(name=name, kind="policy", protocol=protocol, seed=1, scenario="resco:cologne1", wire="memory").as_dict()
    return made | {"due": 3, "finished": 1, "running": 1, "waiting": 1} | changes


def test_the_matrix_has_sixty_faults_of_every_kind_with_names_that_differ() -> None:
    """Both protocols are tried, and rows are told apart by their names."""
    names = [row.name for row in MATRIX]

    assert len(names) >= 60
    assert len(set(names)) == len(names)
    assert set(Kind) == {row.kind for row in MATRIX}
    assert all(row.speaks for row in MATRIX)
    assert set(QUICK) <= set(names)


def test_every_order_that_a_cabinet_takes_is_in_the_matrix() -> None:
    """An order that is added to the cabinets needs a row; identity and detectors have words of their own here."""
    used = {type(act.order) for row in MATRIX for _, act in row.acts if isinstance(act, AtCabinet)}

    assert set(get_args(orders.CabinetOrder)) - {orders.ChangeIdentity} <= used


def test_acts_follow_each_other_and_what_must_follow_is_possible() -> None:
    """Times run forward; policy faults ask for our plan; a hand-over is tried from each interval towards four targets."""
    for row in MATRIX:
        instants = [at for at, _ in row.acts]
        assert sorted(instants) == instants
        assert row.plan == (row.kind is Kind.POLICY)
        assert row.zero is not Zero.AT_ONCE or row.after is not After.KEPT
    overs = [row for row in MATRIX if row.kind is Kind.HAND_OVER]

    assert 4 * len(Moment) == len(overs)
    assert {EIGHT} == {row.scenario for row in overs}
    assert {Mode.OFF, Mode.MONITOR, Mode.SHADOW} <= {act.mode for row in MATRIX for _, act in row.acts if isinstance(act, Limit)}
    assert any(isinstance(act, Force) for row in MATRIX for _, act in row.acts)


def test_cells_are_chosen_by_kind_by_name_and_by_protocol() -> None:
    """The quick form has a dozen, all in memory."""
    assert {Speaks.MODBUS} == {cell.speaks for cell in chosen(only="link", protocols="modbus", quick=False)}
    assert ["policy: NaN ntcip", "policy: NaN modbus"] == [key_of(cell) for cell in chosen(only="policy: NaN", protocols="", quick=False)]
    assert [True] * 12 == [cell.in_memory for cell in chosen(only="", protocols="", quick=True)]
    with pytest.raises(UnknownNameError, match="modbus"):
        chosen(only="", protocols="modbuss", quick=False)
    with pytest.raises(ConfigError, match="no fault"):
        chosen(only="tea", protocols="", quick=False)


def test_a_run_that_was_broken_off_goes_on_where_it_was(tmp_path: Path) -> None:
    """A torn line is no result, the last of several counts, and a cell that missed a demand ends with 1."""
    good, bad = outcome("policy: NaN", "ntcip"), outcome("policy: NaN", "modbus", missed=["2 illegal displays"])
    (tmp_path / RESULTS).write_text("\n".join((json.dumps(bad | {"protocol": "ntcip"}), json.dumps(good), json.dumps(bad), '{"name')))
    known = read(tmp_path / RESULTS)
    with pytest.raises(typer.Exit) as ended:
        bench_faults(only="policy: NaN", protocols="", folder=tmp_path, report=None, quick=False, again=False)
    report = tmp_path / "reliability.md"
    bench_faults(only="policy: NaN", protocols="ntcip", folder=tmp_path, report=report, quick=False, again=False)

    assert ({"policy: NaN ntcip": good, "policy: NaN modbus": bad}, 1) == (known, ended.value.exit_code)
    assert "- policy: NaN, modbus: 2 illegal displays" in report.read_text()


def test_the_section_tells_every_cell_and_hides_nothing() -> None:
    """What was missed stands before the table, and sums are of what ran."""
    text = section([outcome("a", "ntcip"), outcome("b", "modbus", missed=["no"], illegal=4, never_served=1)], 230)

    assert "2 faults in 2 of 230 cells" in text
    assert "1 cells missed nothing, 1 missed a demand. Illegal displays: 4. Called movements never served: 1. Vehicles due: 6" in text
    assert "- b, modbus: no" in text
    assert text.count("| ntcip |") == text.count("| modbus |") == 1


def test_a_policy_fault_ends_in_our_plan_within_a_decision_step(tmp_path: Path) -> None:
    """The quick form's cells run in fresh processes and miss nothing; here two of them, CI runs them all."""
    bench_faults(only="policy: NaN", protocols="", folder=tmp_path, report=None, quick=True, again=False)
    found = read(tmp_path / RESULTS)

    assert {"policy: NaN ntcip": [], "policy: NaN modbus": []} == {name: each["missed"] for name, each in found.items()}
    assert all(each["illegal"] == 0 and each["t_plan"] <= 1.1 and each["after"] == After.BACK.value for each in found.values())
