from __future__ import annotations

from moe_planner.inputs import Constraints
from moe_planner.rejections import alternatives, degrees_in_words, figures
from moe_planner.result import Degrees
from moe_planner.search import choose
from tests.moe_planner.document import problem


def test_the_cheapest_and_the_fastest_come_first_with_their_roles() -> None:
    found = alternatives(choose(problem()))
    assert [one.role for one in found] == ["cheapest", "fastest", "", "", "", ""]
    assert found[0].degrees == Degrees(expert=16, pipeline=4)
    assert found[0].rejected_because == "the cheapest of all; objective balance prefers 1 instead of 4 experts on a GPU"


def test_what_was_chosen_is_no_alternative() -> None:
    choice = choose(problem(constraints=Constraints(objective="cheapest")))
    assert all(one.degrees != choice.best.degrees for one in alternatives(choice))
    assert alternatives(choice)[0].role == "fastest"


def test_each_objective_gives_its_own_reason() -> None:
    cheapest = alternatives(choose(problem(constraints=Constraints(objective="cheapest"))))
    assert cheapest[1].rejected_because == "256 GPUs instead of 64"
    fastest = alternatives(choose(problem(constraints=Constraints(objective="fastest"))))
    assert fastest[0].rejected_because.startswith("the cheapest of all; objective fastest prefers a step of 1.")
    assert fastest[-1].rejected_because.startswith("a decode step of ")


def test_figures_are_the_same_for_the_chosen_and_the_losers() -> None:
    names = [name for name, _ in figures(choose(problem()).best)]
    assert names[:4] == ["gpus", "nodes", "expertsPerGPU", "memoryBytesPerGPU"]
    assert "decodeStepSeconds" in names
    assert all([name for name, _ in one.figures] == names for one in alternatives(choose(problem())))


def test_degrees_of_one_go_without_saying() -> None:
    assert degrees_in_words(Degrees(expert=16, pipeline=4)) == "EP 16 x PP 4"
    assert degrees_in_words(Degrees(expert=8, pipeline=1, tensor=2, data=3)) == "EP 8 x PP 1 x TP 2 x DP 3"
