import pytest
import torch
from transformers import PreTrainedTokenizerFast

from training.held_out import measure
from training.model import make_model
from training.routing import RoutingWatch


def test_the_held_out_loss_of_a_model_that_knows_nothing_is_that_of_guessing(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    model = make_model(tokenizer, 0)
    watch = RoutingWatch(model)
    torch.nn.init.zeros_(model.lm_head.weight)
    measured = measure(model, watch, torch.arange(600) % 50)
    assert measured.tokens == 512
    assert measured.loss == pytest.approx(torch.log(torch.tensor(len(tokenizer))).item(), rel=1e-4)
    assert [sum(row) for row in measured.counts] == [1024] * 16
