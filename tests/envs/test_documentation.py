import re
from dataclasses import fields
from pathlib import Path

import pytest

from envs.detector_faults import DetectorFaults
from envs.traffic import Demand, Options
from intersection import plugins
from tests.envs.session_contract import fresh_process

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def rows() -> dict[str, str]:
    """Give the second cell of each table row that begins with a name."""
    return {name: cell.strip() for name, cell in re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.MULTILINE)}


def test_every_option_is_explained_with_its_default() -> None:
    """Each field of the options has a row with the default that it has in the code."""
    made = Options()
    told = {field.name: rows()[field.name] for field in fields(Options)}
    defaults = {field.name: repr(getattr(made, field.name)) for field in fields(Options)}
    defaults |= {"split": "Split.TRAIN", "demand": "Demand()"}

    assert Demand() == made.demand
    assert {name: f"`{default}`" for name, default in defaults.items()} == told


@pytest.mark.parametrize("package", ["intersection.observations", "envs.actions", "envs.rewards"])
def test_every_plug_in_is_explained(package: str) -> None:
    """Each observation, action and reward has a row."""
    assert set(plugins.names(package)) <= rows().keys()


def test_every_fault_is_explained() -> None:
    """Each way in which detectors fail is named."""
    assert all(f"`{field.name}`" in PAGE for field in fields(DetectorFaults))


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(example: str) -> None:
    """Each example runs to its end as it stands, without a warning."""
    fresh_process(f"import io, sys\nkept, sys.stdout = sys.stdout, io.StringIO()\n{example}\nsys.stdout = kept")
