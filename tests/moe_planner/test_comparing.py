from __future__ import annotations

from dataclasses import replace

from moe_planner.comparing import compared, compared_text, compared_values
from tests.moe_planner.inputs import make


def test_equal_plans_differ_nowhere() -> None:
    assert not [line for line in compared(make(), make()) if line.differs]


def test_what_differs_is_marked_and_what_one_lacks_is_empty() -> None:
    one = replace(make(), verification=make().verification[:1])
    other = make(layers=8)
    lines = {line.name: line for line in compared(one, other)}
    assert (lines["Degrees"].one, lines["Degrees"].other, lines["Degrees"].differs) == (
        "EP16 x PP16",
        "EP16 x PP8",
        True,
    )
    second = other.verification[1].name
    assert lines[second].one == ""
    assert lines[second].differs


def test_text_has_both_names_and_fits() -> None:
    text = compared_text(make(), make(layers=8), ("a.yaml", "b.yaml"))
    assert text.splitlines()[0].split() == ["LINE", "a.yaml", "b.yaml"]
    assert "≠  Degrees" in text
    assert max(map(len, text.splitlines())) <= 120


def test_values_are_plain() -> None:
    assert compared_values(make(), make())[0] == {
        "name": "Degrees",
        "one": "EP16 x PP16",
        "other": "EP16 x PP16",
        "differs": False,
    }
