from dataclasses import replace

import numpy as np
import pytest

from envs.rewards._base import Measures, Need, RewardSpec
from intersection import plugins
from intersection.errors import ConfigError, UnknownNameError

SECONDS = 5.0


def measures(**changed: object) -> Measures:
    """Make the traffic at two signals: lanes 0 and 1 lead to the first, lane 2 to the second."""
    calm = Measures(
        signals=2,
        signal_of=np.array([0, 0, 1]),
        count=np.array([4.0, 2.0, 1.0]),
        queue=np.array([3.0, 0.0, 1.0]),
        speed=np.array([5.0, 20.0, 0.0]),
        limit=np.array([10.0, 10.0, 10.0]),
        ped_waiting=np.array([2.0, 0.0]),
        waiting=np.array([30.0, 5.0, 7.0]),
        co2=np.array([1000.0, 500.0, 200.0]),
        discharged=np.array([3.0, 0.0]),
        downstream=np.array([2.0, 4.0]),
    )
    return replace(calm, **changed)  # type: ignore[arg-type]  # the tests name real fields


BEFORE = measures(queue=np.array([1.0, 2.0, 1.0]), waiting=np.array([20.0, 25.0, 7.0]))

EXPECTED = {
    # 4 x (1 - 5/10) + 2 x 0, since nobody gains by speeding; 1 x (1 - 0/10); each for 5 s
    "delay": [-10.0, -5.0],
    # 45 - 35; 7 - 7
    "waiting": [10.0, 0.0],
    "queue": [-3.0, -1.0],
    # |6 - 2|; |1 - 4|
    "pressure": [-4.0, -3.0],
    "throughput": [3.0, 0.0],
    # lane 0 grew by 2, lane 1 shrank
    "stops": [-2.0, 0.0],
    # 1500 mg/s for 5 s; 200 mg/s for 5 s; in grams
    "co2": [-7.5, -1.0],
    "ped_wait": [-10.0, 0.0],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_reward_is_what_its_definition_says(name: str) -> None:
    """Each reward has one term of its own name, worked out by hand for a small case, one value a signal."""
    terms = RewardSpec.of(name).terms(BEFORE, measures(), SECONDS)

    assert {name: EXPECTED[name]} == {term: values.tolist() for term, values in terms.items()}


def test_every_reward_is_tried() -> None:
    """No plug-in is without a case here."""
    assert tuple(sorted(EXPECTED)) == plugins.names("envs.rewards")


@pytest.mark.parametrize("name", EXPECTED)
def test_a_reward_is_pure(name: str) -> None:
    """Asking twice gives the same, and leaves what it was given as it was."""
    spec, before, after = RewardSpec.of(name), measures(), measures()
    first = spec.total(before, after, SECONDS).tolist()
    second = spec.total(before, after, SECONDS).tolist()

    assert first == second
    for one in (before, after):
        for field in ("count", "queue", "speed", "waiting", "co2", "discharged", "downstream", "ped_waiting"):
            assert getattr(measures(), field).tolist() == getattr(one, field).tolist()


def test_rewards_are_weighed_and_summed() -> None:
    """The total is the sum of the weighted terms, and measuring is asked for what any of them needs."""
    spec = RewardSpec.of({"queue": 2.0, "throughput": 0.5})

    assert {"queue": [-6.0, -2.0], "throughput": [1.5, 0.0]} == {k: v.tolist() for k, v in spec.terms(BEFORE, measures(), 5.0).items()}
    assert [-4.5, -2.0] == spec.total(BEFORE, measures(), 5.0).tolist()
    assert Need.DISCHARGED == spec.needs


@pytest.mark.parametrize(
    ("name", "field"), [("pressure", "downstream"), ("throughput", "discharged"), ("waiting", "waiting"), ("co2", "co2")]
)
def test_a_reward_asks_for_what_it_needs(name: str, field: str) -> None:
    """A reward whose measure was not taken says so instead of giving nought."""
    lacking = measures(**{field: None})

    with pytest.raises(ValueError, match="not measured"):
        RewardSpec.of(name).total(lacking, lacking, SECONDS)


def test_an_unknown_reward_names_the_nearest() -> None:
    """A slip of the pen is met by the name that was meant and the list of all."""
    with pytest.raises(UnknownNameError, match=r"unknown reward 'presure'; did you mean 'pressure'\? \(known: co2, delay, "):
        RewardSpec.of("presure")


@pytest.mark.parametrize("weights", [{}, {"delay": float("nan")}, {"delay": float("inf")}])
def test_weights_are_finite(weights: dict[str, float]) -> None:
    """No weights at all, or one that is no number, are refused."""
    with pytest.raises(ConfigError, match="a reward needs finite weights"):
        RewardSpec.of(weights)
