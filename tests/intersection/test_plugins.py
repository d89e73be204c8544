import pytest

from intersection import plugins
from intersection.errors import UnknownNameError


def test_a_plugin_is_a_public_module_of_its_package() -> None:
    """Names are those of the files; private ones are no plug-ins."""
    assert ("area", "lanes", "loops") == plugins.names("intersection.observations")


def test_a_plugin_is_found_by_name() -> None:
    """The module bears the name; an unknown name offers the nearest."""
    assert "area" == plugins.load("intersection.observations", "area", "observation").KIND.name
    with pytest.raises(UnknownNameError, match="did you mean 'loops'"):
        plugins.load("intersection.observations", "lops", "observation")
