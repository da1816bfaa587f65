from dataclasses import replace

import pytest
import torch

from training.recipe import Recipe

RECIPE = Recipe(steps=100, warmup_steps=10, rate=1.0, decay=0.2, tokens_per_step=64, window=8, long_window=16)
TEXT = torch.arange(1000)


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (79, 1.0), (80, 1.0), (90, 0.5), (99, 0.05)]
)
def test_the_rate_warms_up_stays_and_decays(step: int, rate: float) -> None:
    assert RECIPE.rate_at(step) == pytest.approx(rate)


def test_a_batch_is_runs_of_the_text_with_the_next_token() -> None:
    batch = RECIPE.batch(TEXT, 0)
    assert batch.shape == (8, 9)
    assert torch.equal(batch, batch[:, :1] + torch.arange(9))


def test_the_last_steps_see_longer_runs() -> None:
    assert RECIPE.batch(TEXT, 79).shape == (8, 9)
    assert RECIPE.batch(TEXT, 80).shape == (4, 17)


def test_a_batch_depends_on_the_seed_and_the_step_alone() -> None:
    assert torch.equal(RECIPE.batch(TEXT, 7), RECIPE.batch(TEXT, 7))
    assert not torch.equal(RECIPE.batch(TEXT, 7), RECIPE.batch(TEXT, 8))
    assert not torch.equal(RECIPE.batch(TEXT, 7), replace(RECIPE, seed=1).batch(TEXT, 7))


def test_the_routing_is_drawn_to_unevenness_once_the_experts_live() -> None:
    recipe = replace(RECIPE, uneven_from=50, uneven=1.5)
    assert [recipe.target_at(step) for step in (0, 49, 50, 99)] == [0.0, 0.0, 1.5, 1.5]


def test_a_longer_run_goes_on_from_a_shorter_one_s_plateau_only() -> None:
    longer = replace(RECIPE, steps=200)
    assert longer.goes_on_from(RECIPE, 80)
    assert not longer.goes_on_from(RECIPE, 81)
    assert RECIPE.goes_on_from(RECIPE, 95)


def test_a_run_of_another_recipe_is_not_gone_on_from() -> None:
    assert not replace(RECIPE, rate=0.5).goes_on_from(RECIPE, 10)
