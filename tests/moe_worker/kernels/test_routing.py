import pytest
import torch

from moe_worker.kernels.routing import choose, combine, norm

TYPES = [torch.float32, torch.bfloat16]


def plain(logits: torch.Tensor, choices: int, *, is_normalised: bool = True) -> tuple[list[list[int]], torch.Tensor]:
    chosen, weights = choose(logits, choices, is_normalised=is_normalised, scale=1.0, groups=0, chosen_groups=0)
    return chosen.tolist(), weights


@pytest.mark.parametrize("dtype", TYPES)
def test_the_weights_of_the_chosen_add_up_to_one(dtype: torch.dtype) -> None:
    logits = torch.randn(50, 61).to(dtype)
    chosen, weights = plain(logits, 4)
    values, expected = torch.topk(logits.float(), 4)
    assert [sorted(row) for row in chosen] == [sorted(row) for row in expected.tolist()] or dtype is torch.bfloat16
    torch.testing.assert_close(
        weights.float(), torch.softmax(values, -1), rtol=0.01 if dtype is not TYPES[0] else 1e-6, atol=0
    )


def test_the_chosen_keep_the_weights_they_had_among_all() -> None:
    logits = 3 * torch.randn(50, 61)
    chosen, weights = plain(logits, 8, is_normalised=False)
    expected, places = torch.topk(torch.softmax(logits.double(), -1), 8)
    assert chosen == places.tolist()
    torch.testing.assert_close(weights.double(), expected, rtol=1e-5, atol=0)


def test_of_equal_experts_the_first_is_chosen() -> None:
    assert plain(torch.tensor([[1.0, 2.0, 2.0, 1.0, 2.0]]), 4)[0] == [[1, 2, 4, 0]]


def test_only_experts_of_the_likeliest_groups_are_chosen_and_weights_are_scaled() -> None:
    logits = torch.tensor([[5.0, 0.0, 4.0, 3.9, 1.0, 4.5]])
    chosen, weights = choose(logits, 2, is_normalised=False, scale=2.0, groups=3, chosen_groups=1)
    assert chosen.tolist() == [[0, 1]]
    torch.testing.assert_close(weights, 2 * torch.softmax(logits, -1)[:, :2])


@pytest.mark.parametrize("dtype", TYPES)
def test_answers_are_added_in_the_routers_order(dtype: torch.dtype) -> None:
    stream, answers = torch.randn(7, 37).to(dtype), torch.randn(21, 37).to(dtype)
    weights, places = torch.rand(7, 3).to(dtype), torch.randperm(21)
    expected = stream.double() + (weights.double().unsqueeze(2) * answers.double()[places].view(7, 3, 37)).sum(1)
    alone = stream.clone()
    combine(stream, answers, places, weights)
    torch.testing.assert_close(stream.double(), expected, rtol=0.01 if dtype is not TYPES[0] else 1e-5, atol=1e-5)
    for row in range(7):
        combine(alone[row : row + 1], answers, places[3 * row : 3 * row + 3], weights[row : row + 1])
    assert torch.equal(alone, stream)
    # 1e8 + 1 - 1e8 is 0 in this order and 1 in another.
    ordered = torch.zeros(1, 1)
    combine(ordered, torch.tensor([[1e8], [1.0], [-1e8]]), None, torch.ones(1, 3))
    assert ordered.item() == 0.0


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("width", [1, 7, 16, 64, 100, 512])
def test_a_norm_is_its_formula_row_by_row(width: int, dtype: torch.dtype) -> None:
    x, weight = torch.randn(40, width + 3).to(dtype), torch.randn(width)
    part, floor = x[:, 2 : 2 + width], 1e-5 * width
    whole = norm(part, weight, floor)
    wide = part.double()
    expected = wide * weight.double() / (wide.square().sum(-1, keepdim=True) + floor).sqrt()
    torch.testing.assert_close(whole.double(), expected, rtol=0.01 if dtype is not TYPES[0] else 1e-5, atol=1e-6)
    for row in range(40):
        assert torch.equal(norm(part[row : row + 1].clone(), weight, floor), whole[row : row + 1])


def test_a_norm_of_what_is_not_a_number_is_none() -> None:
    assert norm(torch.tensor([[1.0, float("nan")]]), torch.ones(2), 1e-6).isnan().all()
