import json
from dataclasses import fields
from pathlib import Path

import pytest

from envs.results import SeedResult
from phasewise.__main__ import run
from tests.phasewise.command_line import phasewise, street

OBJECT = {"scenario", "policy", "seeds", "sumo_version", "scenario_sha256", "delay_s", "per_seed"}

FIGURES = {
    *("seed", "delay_s", "time_loss_s", "due", "inserted", "finished", "p95_wait_s", "max_wait_s", "max_red_s", "stops", "co2_kg"),
    *("fuel_l", "teleports", "collisions", "emergency_brakings", "gridlocked", "violations"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small scenario."""
    return street(tmp_path_factory.mktemp("street"))


def no_constant(name: str) -> None:
    """Refuse what Python writes and JSON does not know."""
    raise ValueError(f"{name} is no JSON")


@pytest.mark.parametrize("policy", ["actuated", "program"])
def test_evaluate_prints_one_strict_object(folder: Path, policy: str) -> None:
    """With --json standard output is one line, one object with just the promised keys and no NaN, and nothing else is said."""
    said = phasewise("evaluate", "good.sumocfg", "--policy", policy, "--seeds", "101,102", "--json", folder=folder)
    [line] = said.out.splitlines()
    told = json.loads(line, parse_constant=no_constant)

    assert (0, "") == (said.code, said.err)
    assert OBJECT == set(told)
    assert [FIGURES, FIGURES] == [set(figures) for figures in told["per_seed"]]
    assert [101, 102] == told["seeds"] == [figures["seed"] for figures in told["per_seed"]]
    assert sum(figures["delay_s"] for figures in told["per_seed"]) / 2 == pytest.approx(told["delay_s"])
    assert ("good.sumocfg", policy, 22) == (told["scenario"], told["policy"], told["per_seed"][0]["due"])


def test_a_run_in_which_nobody_gets_in_is_json_too(folder: Path) -> None:
    """Figures that are means over nobody are numbers all the same."""
    (folder / "last.rou.xml").write_text('<routes><trip id="last" depart="119.5" from="AB" to="BC"/></routes>')
    (folder / "last.sumocfg").write_text((folder / "good.sumocfg").read_text().replace("good.rou", "last.rou"))
    said = phasewise("evaluate", "last.sumocfg", "--policy", "actuated", "--seeds", "101", "--json", folder=folder)
    [figures] = json.loads(said.out, parse_constant=no_constant)["per_seed"]

    assert (1, 0, 0.5) == (figures["due"], figures["inserted"], figures["delay_s"])


def test_every_figure_is_a_column_or_a_key() -> None:
    """The object's figures are those of a result, so that neither goes its own way."""
    assert FIGURES <= {field.name for field in fields(SeedResult)}


def test_records_are_kept_whole(folder: Path) -> None:
    """With --record SUMO's own records of each run lie in the folder, and nothing else does."""
    said = phasewise("evaluate", "good.sumocfg", "--policy", "sotl", "--seeds", "101", "--record", "kept", folder=folder)

    assert (0, "") == (said.code, said.err)
    names = ("statistics", "tlsstates", "tripinfo")
    assert [f"sotl-101-{name}.xml" for name in names] == sorted(path.name for path in (folder / "kept").iterdir())
    assert all(path.read_text().rstrip().endswith(">") for path in (folder / "kept").iterdir())


def test_compare_writes_its_files(folder: Path) -> None:
    """A comparison prints a table and leaves rows, report and picture."""
    said = phasewise("compare", "good.sumocfg", "--policies", "actuated,sotl", "--seeds", "101", "--out", "compared", folder=folder)

    assert (0, "") == (said.code, said.err)
    assert "actuated" in said.out
    assert ["picture.png", "report.html", "results.parquet"] == sorted(path.name for path in (folder / "compared").iterdir())


def test_what_train_makes_evaluate_runs(folder: Path) -> None:
    """A trained policy's file is a policy, whatever its folder."""
    trained = phasewise("train", "good.sumocfg", "--minutes", "0.02", "--workers", "1", "--out", "made/fresh.zip", folder=folder)
    said = phasewise("evaluate", "good.sumocfg", "--policy", "made/fresh.zip", "--seeds", "101", "--json", folder=folder)

    assert (0, "", ["fresh.zip"]) == (trained.code, trained.err.strip(), [path.name for path in (folder / "made").iterdir()])
    assert ("fresh", 0) == (json.loads(said.out)["policy"], json.loads(said.out)["per_seed"][0]["violations"])


def test_import_writes_a_file_a_signal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import leaves an intersection.toml for each signal."""
    monkeypatch.chdir(folder)

    assert run(["import", "crossroads.net.xml", "--out", "signals"]) == 0
    assert [folder / "signals" / "B" / "intersection.toml"] == [path for path in (folder / "signals").rglob("*") if path.is_file()]


def test_without_arguments_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The bare command tells how it is used, and says nothing of an error."""
    code = run([])
    said = capsys.readouterr()

    assert code == 2
    assert "evaluate" in said.out
    assert "error" not in said.err
