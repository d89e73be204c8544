"""Every policy module keeps the contract."""

import pytest

from intersection import plugins
from tests.models.contract import PolicyContract


class TestActuated(PolicyContract):
    """Actuated control keeps the contract."""

    name = "actuated"


class TestDelayBased(PolicyContract):
    """The delay-based rule keeps the contract."""

    name = "delay_based"


class TestFixedTime(PolicyContract):
    """The plan keeps the contract."""

    name = "fixed_time"


class TestMaxPressure(PolicyContract):
    """Max-pressure keeps the contract."""

    name = "max_pressure"


class TestMaxWave(PolicyContract):
    """The greedy rule keeps the contract."""

    name = "max_wave"


class TestRoomDownstream(PolicyContract):
    """The rule that looks at room downstream keeps the contract."""

    name = "room_downstream"


class TestSotl(PolicyContract):
    """Self-organizing lights keep the contract."""

    name = "sotl"


class TestWebster(PolicyContract):
    """Webster's plan keeps the contract."""

    name = "webster"


BASELINES = sorted(contract.name for contract in PolicyContract.__subclasses__())


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_found_by_its_name(name: str) -> None:
    """Each baseline is a plug-in: its module's name is its own."""
    assert name in plugins.names("models")
