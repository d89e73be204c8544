import tomllib

import pytest

from intersection.errors import ConfigError
from phasewise.editing import with_value

TEXT = """# head
version = 1   # one
approved = false  # not yet
list = [
    [1, 2],
    [3],
]

[[cabinet]]
name = "a"

[cabinet.adapter]
approved = "no"

[[ cabinet ]] # second
name = "b"
approved = 'x'  # old
"""


def test_one_value_changes_and_all_else_stays() -> None:
    """In the file's head, in a table that has the key, and in one that has not."""
    head = with_value(TEXT, "approved", value=True)
    first = with_value(head, "approved", 'q"\\', item=("cabinet", 0))
    both = with_value(first, "approved", "y", item=("cabinet", 1))

    assert TEXT.replace("approved = false", "approved = true") == head
    assert ['q"\\', "y"] == [each["approved"] for each in tomllib.loads(both)["cabinet"]]
    assert {*TEXT.splitlines()} - {*both.splitlines()} == {"approved = false  # not yet", "approved = 'x'  # old"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = [", "not a TOML file"),
        ("cabinet = [{ name = 'a' }]", "by hand"),
        ("x = 1", "by hand"),
        ("[[cabinet]]\nname = '''\napproved = true\n'''\n", "by hand"),
        ("[[cabinet]]\napproved.by = 'me'\n", "by hand"),
    ],
)
def test_a_file_that_is_written_otherwise_is_left_to_a_person(text: str, said: str) -> None:
    """Whatever would change more than the value is refused, with the line that is to be written."""
    with pytest.raises(ConfigError, match=said):
        with_value(text, "approved", "y", item=("cabinet", 0), source="x.toml")
