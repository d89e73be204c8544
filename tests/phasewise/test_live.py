from pathlib import Path

import pytest

from intersection.errors import UnknownNameError
from phasewise.live import run_live


def test_a_policy_that_hangs_is_replaced_by_the_plan_without_an_illegal_display(tmp_path: Path) -> None:
    """A daemon of its own controls Cologne's cabinet over Modbus; its policy is stopped, our plan takes over, and at last all is zero."""
    summary = run_live(seconds=14.0, break_after=7.0, folder=tmp_path, protocol="modbus")
    changes = " ".join(str(summary["changes"]).split())

    assert "-> adaptive" in changes  # of the steps before, a look every half second may miss one
    assert "adaptive -> fixed time" in changes
    assert 0 == summary["illegal_displays"]
    assert True is summary["let_go"]
    assert summary["due"] == sum(int(str(summary[key])) for key in ("finished", "running", "waiting_to_enter"))
    assert "illegal displays: 0" in (tmp_path / "summary.md").read_text()


def test_a_protocol_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """The message names those that there are."""
    with pytest.raises(UnknownNameError, match="modbus"):
        run_live(seconds=1.0, break_after=0.0, folder=tmp_path, protocol="modbos")
