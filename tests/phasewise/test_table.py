import io

from rich.console import Console, RenderableType

from phasewise.statistics import Comparison, compare
from phasewise.table import columns, markdown, terminal_table
from tests.phasewise.synthetic import episodes


def compared() -> Comparison:
    """Compare four policies, one of them outside, one gridlocked."""
    return compare(
        [
            *episodes({"fixed_time": [30.0, 32.0, 31.0], "max_pressure": [20.0, 21.0, 19.0]}),
            *episodes({"sotl": [25.0, 26.0, 24.0]}, gridlocked=True, inserted=2000),
            *episodes({"program": [29.0, 33.0, 32.0]}, outside=True, violations=5),
        ]
    )


def shown(drawn: RenderableType, *, width: int) -> list[str]:
    """Print to a terminal of this width, and read its lines."""
    screen = io.StringIO()
    Console(file=screen, width=width, color_system=None).print(drawn)
    return screen.getvalue().splitlines()


def test_policies_stand_in_rank() -> None:
    """The least median delay first."""
    lines = shown(terminal_table(compared(), width=200), width=200)

    names = [line.split()[0] for line in lines if line and line.split()[0] in {"fixed_time", "max_pressure", "sotl", "program"}]

    assert ["max_pressure", "sotl", "fixed_time", "program"] == names


def test_a_row_holds_every_figure() -> None:
    """Mean and interval, median, worst, paired difference, p, waits, red, stops, CO2, and the counts of what went wrong."""
    lines = shown(terminal_table(compared(), width=200), width=200)

    row = next(line for line in lines if line.startswith("sotl"))

    assert [
        "sotl",
        "25.0",
        "±2.5",
        "25.0",
        "26.0",
        "(102)",
        "−6.0",
        "±2.5",
        "0.009",
        "52.5",
        "130",
        "86",
        "0.82",
        "235",
        "45",
    ] == row.split()[:15]
    assert ["3", "of", "3", "0"] == row.split()[15:]


def test_outside_references_are_marked_and_explained() -> None:
    """A dagger, and what it means."""
    lines = shown(terminal_table(compared(), width=200), width=200)

    assert any(line.startswith("program †") for line in lines)
    assert any(line.startswith("† outside reference") and "bypasses the gate" in line for line in lines)


def test_the_test_is_named() -> None:
    """Who reads a p-value is told of which test, and that it is of one pair alone."""
    lines = shown(terminal_table(compared(), width=200), width=200)

    assert "p: two-sided paired t test of this pair alone, over the same 3 seeds" in lines
    assert any("Only 3 seeds" in line for line in lines)


def test_a_narrow_terminal_gets_two_tables() -> None:
    """Nothing is cut off at 80 columns: the delays come first, the rest below."""
    lines = shown(terminal_table(compared(), width=80), width=80)

    assert 2 == sum(line.startswith("max_pressure") for line in lines)
    assert not [line for line in lines if "…" in line]


def test_one_policy_has_no_difference() -> None:
    """A table of one policy leaves out what compares."""
    alone = compare(episodes({"a": [20.0, 21.0]}))

    assert not [column for column in columns(alone) if column.title in {"p", "vs a"}]


def test_markdown_is_a_table_with_its_notes() -> None:
    """Every line has as many cells as the head; the best is bold, an outside reference marked."""
    lines = markdown(compared()).splitlines()
    rows = [line for line in lines if line.startswith("|")]

    assert {15} == {row.count("|") for row in rows}
    assert rows[2].startswith("| **max_pressure** | 20.0 ±2.5 | 20.0 | 21.0 (102) | −11.0 ±2.5 | 0.003 |")
    assert rows[-1].startswith("| program † |")
    assert any("bypasses the gate" in line for line in lines)


def test_markdown_survives_any_name() -> None:
    """A bar in a name does not make a cell."""
    assert "| **a\\|b** |" in markdown(compare(episodes({"a|b": [20.0]})))


def test_a_collapse_is_said_under_the_table() -> None:
    """In words, above the signs' meaning; on the terminal and in Markdown."""
    of = compare(episodes({"fixed_time": [30.0, 32.0, 31.0], "sotl": [120.0, 160.0, 140.0]}))
    words = "sotl collapses here: 140.0 s, 4.5 times fixed_time (median 140.0 s, worst 160.0 s with seed 102); none of 3 seeds gridlocked."

    lines = shown(terminal_table(of, width=200), width=200)

    assert words in lines
    assert lines.index(words) < lines.index("± half the 95 % t-interval over 3 seeds")
    assert f"{words}  " in markdown(of).splitlines()


def test_gridlocked_seeds_are_said_under_the_table() -> None:
    """Though the mean is still below fixed time's."""
    lines = shown(terminal_table(compared(), width=200), width=200)

    assert "sotl: 3 of 3 seeds gridlocked; 25.0 s, 0.8 times fixed_time (median 25.0 s, worst 26.0 s with seed 102)." in lines


def test_another_scale_of_the_demand_stands_over_the_table() -> None:
    """So that nobody takes it for the scenario's own; which goes without saying."""
    own, more = (shown(terminal_table(compare(episodes({"a": [20.0]}, scale=scale)), width=200), width=200)[0] for scale in (1.0, 1.5))

    assert "resco:cologne1: one seed" in own
    assert "resco:cologne1 at 1.5 times its demand: one seed" in more
