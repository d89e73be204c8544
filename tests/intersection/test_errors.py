import pickle

from intersection.errors import ConfigError, UnknownNameError


def test_a_config_error_names_source_key_value_and_what_is_allowed() -> None:
    """The message has all four parts."""
    error = ConfigError("too long", source="a.toml", key="walk", value=3, allowed="1..2")

    assert "a.toml: walk = 3: too long; allowed: 1..2" == str(error)


def test_an_unknown_name_offers_the_nearest() -> None:
    """The nearest known name is offered where there is one, and all are listed."""
    assert "unknown reward 'dely'; did you mean 'delay'? (known: delay, queue)" == str(
        UnknownNameError("reward", "dely", ["queue", "delay"])
    )
    assert "unknown reward 'x' (known: none)" == str(UnknownNameError("reward", "x", []))


def test_errors_cross_a_process_boundary_whole() -> None:
    """Workers hand their errors back: nothing of the message is lost."""
    for error in (UnknownNameError("reward", "dely", ["delay"]), ConfigError("too long", source="a.toml", key="walk", value=3)):
        back = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes, as multiprocessing moves them

        assert (type(error), str(error)) == (type(back), str(back))
