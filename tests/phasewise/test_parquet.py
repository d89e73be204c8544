import dataclasses
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from envs.results import SeedResult
from intersection.errors import UserError
from phasewise.parquet import columns, write_rows
from tests.phasewise.synthetic import episode, series


def test_rows_come_back_as_they_went(tmp_path: Path) -> None:
    """One row a scenario, policy and seed, in order, with every figure and how it came about."""
    results = [episode("a", 101, 20.0, gridlocked=True), episode("program", 102, 30.0, outside=True, scenario="resco:grid4x4", scale=1.25)]

    write_rows(results, tmp_path / "results.parquet")

    provenance = [
        {
            "scenario": one.scenario,
            "policy": one.policy,
            "outside": one.outside,
            "preset": one.preset,
            "observation": one.observation,
            "scale": one.scale,
            "sumo_version": one.sumo_version,
            "scenario_sha256": one.scenario_sha256,
            "options": list(one.options),
        }
        for one in results
    ]

    assert [p | dataclasses.asdict(r.figures) for p, r in zip(provenance, results, strict=True)] == pq.read_table(
        tmp_path / "results.parquet"
    ).to_pylist()


def test_columns_are_typed_without_being_looked_at(tmp_path: Path) -> None:
    """A file of no rows has the same columns and types as any other, so that files can be put together."""
    write_rows([], tmp_path / "none.parquet")
    write_rows([episode()], tmp_path / "one.parquet")

    schema = pq.read_schema(tmp_path / "none.parquet")

    assert list(columns()) == schema.names
    assert schema.equals(pq.read_schema(tmp_path / "one.parquet"))
    assert {field.name for field in dataclasses.fields(SeedResult)} <= set(schema.names)


def test_a_figure_that_was_not_recorded_stays_no_number(tmp_path: Path) -> None:
    """NaN is written as NaN, not as zero."""
    write_rows([episode(co2_kg=math.nan)], tmp_path / "r.parquet")

    assert math.isnan(pq.read_table(tmp_path / "r.parquet")["co2_kg"][0].as_py())


def test_series_stay_out(tmp_path: Path) -> None:
    """Rows hold figures; what is drawn does not swell them."""
    write_rows([episode(series=series(101, 20.0))], tmp_path / "r.parquet")

    assert "series" not in pq.read_schema(tmp_path / "r.parquet").names


def test_a_place_that_cannot_be_written_is_the_users_fault(tmp_path: Path) -> None:
    """The message names the file; nothing is left behind."""
    (tmp_path / "taken").write_text("a file, not a folder")

    with pytest.raises(UserError, match=r"cannot write .*taken/r\.parquet"):
        write_rows([episode()], tmp_path / "taken" / "r.parquet")

    assert ["taken"] == [path.name for path in tmp_path.iterdir()]
