import pytest

from intersection.errors import ConfigError
from models import fixed_time
from tests.models.crossing import LEFT, SIDE, THROUGH, crossing, look, readings, running


def test_the_plan_is_followed_by_the_clock() -> None:
    """Each stage is left in time for its split to end with the change to the next."""
    config = crossing()
    policy = fixed_time.make(config)

    stages = [policy.propose(look(running(config, stage, 0, now), readings(config))).stage for stage, now in
              ((THROUGH, 369), (THROUGH, 370), (LEFT, 570), (SIDE, 870))]  # fmt: skip

    assert [THROUGH, LEFT, SIDE, THROUGH] == stages


def test_without_a_plan_there_is_no_fixed_time() -> None:
    """A configuration without a pattern is refused in words."""
    with pytest.raises(ConfigError, match="pattern"):
        fixed_time.make(crossing(patterns=False))
