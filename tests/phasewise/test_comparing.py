from pathlib import Path

import pyarrow.parquet as pq
import pytest

from intersection.errors import ConfigError
from phasewise.comparing import compare_policies
from tests.envs import sumo_tools


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build two minutes of traffic at the crossroads."""
    folder = tmp_path_factory.mktemp("scenario")
    net = sumo_tools.crossroads(folder)
    flow = '<flow id="a" begin="0" end="120" period="4" from="AB" to="BC"/><flow id="e" begin="0" end="120" period="6" from="EB" to="BC"/>'
    (folder / "demand.rou.xml").write_text(f"<routes>{flow}</routes>", encoding="utf-8")
    config = folder / "crossroads.sumocfg"
    config.write_text(
        f'<configuration><net-file value="{net.name}"/><route-files value="demand.rou.xml"/><end value="120"/></configuration>',
        encoding="utf-8",
    )
    return str(config)


def test_a_comparison_leaves_rows_a_picture_and_a_report_that_knows_the_streets(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stages are pictured, movements are named by heading and turn, and the scale of the demand stands in rows, report and table."""
    results = compare_policies(
        scenario, ["fixed_time", "program"], seeds="101", observation="area", preset="resco", out=tmp_path, scale=0.5, workers=2
    )

    rows = pq.read_table(tmp_path / "results.parquet").to_pylist()
    html = (tmp_path / "report.html").read_text(encoding="utf-8")

    assert ["fixed_time", "program"] == [one.policy for one in results]
    assert [("fixed_time", 0.5), ("program", 0.5)] == [(row["policy"], row["scale"]) for row in rows]
    assert 'class="pictograms"' in html
    assert ">eastbound through</th>" in html
    assert ">northbound right</th>" in html
    assert "0.5 times the scenario's own" in html
    assert "at 0.5 times its demand" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "picture.png").stat().st_size > 1000


@pytest.mark.parametrize("names", [[], [" "], ["fixed_time", "fixed_time"]])
def test_each_policy_is_named_once(scenario: str, tmp_path: Path, names: list[str]) -> None:
    """None, or one twice, is refused before anything runs or is written."""
    with pytest.raises(ConfigError, match="each policy once, and at least one"):
        compare_policies(scenario, names, seeds="101", observation="area", preset="resco", out=tmp_path / "out")

    assert not (tmp_path / "out").exists()
