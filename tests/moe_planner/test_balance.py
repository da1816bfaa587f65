from __future__ import annotations

import random
from dataclasses import replace

import pytest

from moe_planner.balance import activation, balance, balances, busiest_of_batch, worst_of_both
from moe_planner.inputs import Constraints, Loads
from moe_planner.loads import expert_rates
from tests.moe_planner.stages import ZIPF, on_nodes, placed, shaped


def test_one_expert_a_gpu_is_as_uneven_as_the_experts() -> None:
    shape = shaped(experts=16)
    stage = placed(shape, on_nodes(2, 8), ranks=16).stages[0]
    found = balance(stage, expert_rates(shape, ZIPF), batch=128)
    assert found.prefill == pytest.approx(4.168, abs=1e-3)
    assert found.busiest == 0
    assert worst_of_both(stage, expert_rates(shape, ZIPF), batch=128) == found.prefill


def test_uniform_loads_are_balanced_but_for_chance() -> None:
    shape = shaped(experts=16)
    found = balance(placed(shape, on_nodes(2, 8), ranks=16).stages[0], expert_rates(shape, Loads()), batch=128)
    assert (found.prefill, found.decode) == (1.0, 1.0)
    assert found.batch == pytest.approx(1.45, abs=0.03)


def test_decode_counts_the_different_experts_of_a_batch() -> None:
    shape = shaped(experts=4)
    stage = placed(shape, on_nodes(1, 2), ranks=2).stages[0]
    rates = {0: 1.0, 1: 0.5, 2: 0.5, 3: 0.0}
    found = balance(stage, rates, batch=2)
    # Rank 0 holds experts 0 and 1, rank 1 holds 2 and 3; two tokens miss an expert of rate 1/2 with 1/4.
    assert found.prefill == pytest.approx(1.5 / 1.0)
    assert found.decode == pytest.approx(1.75 / 1.25)


def test_copies_share_their_experts_tokens() -> None:
    shape = shaped(experts=2)
    stage = placed(shape, on_nodes(1, 2), ranks=2, constraints=Constraints(copies=2)).stages[0]
    assert balance(stage, {0: 1.0, 1: 0.0}, batch=1).prefill == 1.0


def test_masked_ranks_are_no_ranks() -> None:
    shape = shaped(experts=4)
    stage = placed(shape, on_nodes(1, 4), ranks=4).stages[0]
    masked = replace(stage, masked=(0,), copies=stage.copies[1:])
    assert balance(masked, expert_rates(shape, Loads()), batch=8).prefill == 1.0


def test_every_stage_is_judged() -> None:
    shape = shaped(layers=4, experts=4)
    layout = placed(shape, on_nodes(2, 4), ranks=4, stages=2)
    assert [one.stage for one in balances(layout, expert_rates(shape, Loads()), batch=8)] == [0, 1]


def test_activation_is_one_minus_nobody_chose_it() -> None:
    assert activation(0.25, 2) == 1 - 0.75**2
    assert activation(1.0, 1) == 1.0
    assert activation(0.0, 10) == 0.0


@pytest.mark.parametrize(("tokens", "expected"), [(8.0, 1.68), (16.0, 1.45), (250.0, 1.114)])
def test_chance_alone_makes_one_of_sixteen_busier(tokens: float, expected: float) -> None:
    assert busiest_of_batch([tokens] * 16) == pytest.approx(expected, rel=0.02)


def test_chance_agrees_with_sampled_batches() -> None:
    generator = random.Random(1)
    samples = 300
    busiest = 0
    for _ in range(samples):
        counts = [0] * 16
        for _ in range(128):
            counts[generator.randrange(16)] += 1
        busiest += max(counts)
    assert busiest_of_batch([8.0] * 16) == pytest.approx(busiest / samples / 8, rel=0.03)


def test_nothing_to_do_is_balanced() -> None:
    assert busiest_of_batch([]) == busiest_of_batch([0.0, 0.0]) == 1.0
