import pytest
import torch
from transformers import PreTrainedTokenizerFast

from training.model import make_model
from training.routing import RoutingWatch, skews


def test_the_skew_is_the_busiest_expert_over_the_mean() -> None:
    assert skews(torch.tensor([[1, 1, 1, 1], [8, 0, 0, 0], [4, 2, 1, 1]])) == [1.0, 4.0, 2.0]


def test_every_token_is_counted_once_for_each_choice_in_every_layer(tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_model(tokenizer, 0)
    watch = RoutingWatch(model)
    model(input_ids=torch.arange(12).view(2, 6))
    counts = watch.counts()
    assert counts.shape == (16, 16)
    assert counts.sum(-1).tolist() == [24] * 16


def test_a_layer_s_balance_loss_is_one_where_the_routers_prefer_nobody(tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_model(tokenizer, 0)
    watch = RoutingWatch(model)
    for layer in model.model.layers:
        torch.nn.init.zeros_(layer.mlp.gate.weight)
    model(input_ids=torch.arange(12).view(2, 6))
    assert watch.balance_losses().tolist() == pytest.approx([1.0] * 16)


def test_the_balance_loss_pulls_at_the_routers(tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_model(tokenizer, 0)
    watch = RoutingWatch(model)
    model(input_ids=torch.arange(12).view(2, 6))
    watch.balance_losses().mean().backward()
    assert all(layer.mlp.gate.weight.grad.abs().sum() > 0 for layer in model.model.layers)
