from __future__ import annotations

from dataclasses import replace

import pytest

from moe_planner.inputs import Constraints, Loads
from tests.moe_planner.document import problem


def test_a_loss_to_survive_asks_for_two_copies() -> None:
    assert problem().copies == 1
    assert problem(constraints=Constraints(survive="gpu")).copies == 2
    assert problem(constraints=Constraints(survive="node", copies=3)).copies == 3


def test_extra_copies_are_the_spare_ones_and_those_of_single_experts() -> None:
    extra = Constraints(copies=2, copies_of=((0, 4), (1, 1)), spare_copies=3)
    assert problem(constraints=extra).extra_copies == 2 + 3


def test_a_step_wakes_experts_by_their_chances() -> None:
    assert problem().activated_share(1) == pytest.approx(1 / 16)
    assert problem(2).activated_share(8) == pytest.approx(1 - (14 / 16) ** 8)
    skewed = replace(problem(), loads=Loads(kind="zipf"))
    assert skewed.hottest == pytest.approx(1 / sum(1 / rank for rank in range(1, 17)))
    assert skewed.activated_share(1) == pytest.approx(1 / 16)
    assert skewed.activated_share(8) < problem().activated_share(8)
