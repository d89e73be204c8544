import numpy as np
import pytest
from numpy.typing import NDArray

from envs.rewards._base import Measures, RewardSpec
from intersection import plugins
from intersection.errors import ConfigError, UnknownNameError


def _measures(count: list[float], queue: list[float], speed: list[float], **more: NDArray[np.float64]) -> Measures:
    return Measures(
        signals=2,
        signal_of=np.array([0, 0, 1]),
        count=np.array(count),
        queue=np.array(queue),
        speed=np.array(speed),
        limit=np.array([10.0, 10.0, 20.0]),
        ped_waiting=np.array([1.0, 0.0]),
        **more,
    )


BEFORE = _measures([1, 2, 3], [0, 2, 1], [5, 0, 20], waiting=np.array([4.0, 6.0, 8.0]))
AFTER = _measures(
    [2, 4, 1],
    [1, 1, 0],
    [5, 10, 30],
    waiting=np.array([1.0, 6.0, 9.0]),
    co2=np.array([100.0, 200.0, 300.0]),
    discharged=np.array([3.0, 1.0]),
    downstream=np.array([8.0, 0.0]),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("delay", [-5 * 2 * 0.5, 0.0]),
        ("waiting", [3.0, -1.0]),
        ("queue", [-2.0, 0.0]),
        ("pressure", [-2.0, -1.0]),
        ("throughput", [3.0, 1.0]),
        ("stops", [-1.0, 0.0]),
        ("co2", [-1.5, -1.5]),
        ("ped_wait", [-5.0, 0.0]),
    ],
)
def test_a_reward_is_the_formula_of_its_file(name: str, expected: list[float]) -> None:
    """Each reward, over five seconds, for two signals, by hand; computed twice it is the same."""
    spec = RewardSpec.of(name)

    assert pytest.approx(expected) == spec.total(BEFORE, AFTER, 5.0).tolist()
    assert spec.total(BEFORE, AFTER, 5.0).tolist() == spec.total(BEFORE, AFTER, 5.0).tolist()


def test_every_reward_is_tested_here() -> None:
    """A reward that is added stands in the table above."""
    tested = {"delay", "waiting", "queue", "pressure", "throughput", "stops", "co2", "ped_wait"}

    assert tested == set(plugins.names("envs.rewards"))


def test_rewards_are_weighed_and_summed() -> None:
    """A weighted sum keeps its parts by name."""
    spec = RewardSpec.of({"queue": 2.0, "throughput": 1.0})

    assert [-1.0, 1.0] == spec.total(BEFORE, AFTER, 5.0).tolist()
    assert {"queue", "throughput"} == spec.terms(BEFORE, AFTER, 5.0).keys()


def test_a_reward_must_exist_and_weigh_something() -> None:
    """Unknown names and weights that are no numbers are refused."""
    with pytest.raises(UnknownNameError, match="did you mean 'delay'"):
        RewardSpec.of("dealy")
    with pytest.raises(ConfigError, match="finite weights"):
        RewardSpec.of({"delay": float("nan")})
    with pytest.raises(ConfigError, match="finite weights"):
        RewardSpec.of({})
