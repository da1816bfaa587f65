from __future__ import annotations

from moe_planner.tables import annotated, table, wrapped


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("A", "NAME"), [("long", "x"), ("b", "y")]) == "A     NAME\nlong  x\nb     y"


def test_the_last_column_is_wrapped_where_the_terminal_ends() -> None:
    lines = table(("A", "WHY"), [("b", "word " * 60)]).splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= 120
    assert lines[2].startswith("   word")


def test_words_stand_below_their_row_and_empty_ones_not_at_all() -> None:
    text = annotated(("AB", "C"), [("x", "1"), ("y", "2")], [("why", ""), ("",)])
    assert text == "AB  C\nx   1\n    why\ny   2"


def test_a_lead_is_hung_out() -> None:
    assert wrapped("a b", "- ") == ["- a b"]
    assert wrapped("", "- ") == ["-"]
    assert all(line.startswith("  ") for line in wrapped("word " * 60, "- ")[1:])
