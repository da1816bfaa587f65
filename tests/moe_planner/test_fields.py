from __future__ import annotations

import pytest

from moe_planner.errors import PlanError
from moe_planner.fields import Fields

VALUES = {"size": 8, "none": None, "name": "x", "flag": True, "list": [2, 0, 2, 9], "part": {"inner": "y"}}


def fields() -> Fields:
    return Fields(VALUES, "file", "correct it")


def test_what_is_null_counts_as_missing() -> None:
    assert [fields().has(key) for key in ("size", "none", "other")] == [True, False, False]
    assert fields().number("none", "size") == 8
    assert fields().number("none", default=3) == 3
    assert fields().flag("none", default=True)
    assert fields().part("none").is_empty


def test_a_number_that_must_be_there_may_be_null_where_that_has_a_meaning() -> None:
    assert fields().number_or_null("none") == 0
    with pytest.raises(PlanError):
        fields().number_or_null("other")


def test_layers_are_ascending_each_once_and_of_the_model() -> None:
    assert fields().layers("list", 5) == (0, 2)


def test_a_part_names_its_own_path() -> None:
    with pytest.raises(PlanError) as caught:
        fields().part("part").number("inner")
    assert str(caught.value) == "file.part.inner = y: must be a whole number of 1 to 1000000000; correct it"


def test_a_key_that_nobody_reads_is_refused_with_those_that_are_read() -> None:
    fields().refuse_others(*VALUES)
    with pytest.raises(PlanError) as caught:
        fields().refuse_others("size", "name")
    assert (caught.value.field, caught.value.value) == ("file.none", "None")
    assert caught.value.rule == "is no key that is known; those here are size, name"
    with pytest.raises(PlanError) as caught:
        fields().refuse_others(*(f"key-{index}" for index in range(99)))
    assert caught.value.rule.endswith("key-19 and more")


@pytest.mark.parametrize("key", ["size", "name", "list", "part"])
def test_a_value_of_another_type_is_refused(key: str) -> None:
    readers = {"size": fields().text, "name": fields().number, "list": fields().flag, "part": fields().items}
    with pytest.raises(PlanError) as caught:
        readers[key](key)
    assert caught.value.field == f"file.{key}"
