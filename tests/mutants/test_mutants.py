"""Each mutant still is one: its text is in the code exactly once, and its tests are there. See `make mutants`."""

import ast

import pytest

from tests.mutants.__main__ import ROOT, mutated
from tests.mutants.mutants import MUTANTS


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutation_can_be_made_and_is_code(name: str) -> None:
    mutant = MUTANTS[name]
    source = (ROOT / mutant.file).read_text()
    changed = mutated(source, mutant)
    ast.parse(changed)
    assert changed != source


@pytest.mark.parametrize("name", MUTANTS)
def test_its_tests_are_there(name: str) -> None:
    tests = [(ROOT / test.partition("::")[0]).exists() for test in MUTANTS[name].tests]
    assert tests
    assert all(tests)


def test_a_text_that_is_gone_is_told() -> None:
    mutant = next(iter(MUTANTS.values()))
    with pytest.raises(ValueError, match=r"0 times, not once"):
        mutated("other code", mutant)
