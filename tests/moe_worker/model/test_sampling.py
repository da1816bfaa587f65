import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_wire.messages import NO_TOKEN, Sampling
from moe_worker.model import sampling
from moe_worker.model.sampling import uniform

LOGITS = torch.randn(8, 50, generator=torch.Generator().manual_seed(3)) * 2


def sample(logits: torch.Tensor, samplings: Sequence[Sampling], positions: Sequence[int]) -> list[int]:
    return sampling.sample(logits, samplings, positions, [()] * len(positions))[0]


def test_temperature_zero_takes_the_likeliest() -> None:
    assert sample(LOGITS, [Sampling(seed=row) for row in range(8)], list(range(8))) == LOGITS.argmax(-1).tolist()


@settings(max_examples=50, deadline=None)
@given(st.integers(-(2**63), 2**64 - 1), st.integers(0, 10_000), st.floats(0.1, 5), st.integers(0, 60), st.floats(0, 1))
def test_a_token_depends_on_its_own_row_seed_and_position_only(
    seed: int, position: int, temperature: float, top_k: int, top_p: float
) -> None:
    how = Sampling(temperature, top_k, top_p, seed)
    others = [Sampling(1.0, 0, 1.0, row) for row in range(7)]
    batched = sample(LOGITS, [*others, how], [*range(7), position])[-1]
    assert sample(LOGITS[7:], [how], [position]) == [batched]
    allowed = LOGITS[7].topk(top_k or 50 if top_k < 50 else 50).indices.tolist()
    assert batched in allowed


def test_top_k_one_and_top_p_zero_are_greedy() -> None:
    for how in (Sampling(2.0, 1, 1.0, 5), Sampling(2.0, 0, 0.0, 5)):
        assert sample(LOGITS, [how] * 8, list(range(8))) == LOGITS.argmax(-1).tolist()


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    drawn = {sample(logits, [Sampling(1.0, 0, 0.7, seed)], [0])[0] for seed in range(300)}
    assert drawn == {0, 1}


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    drawn = [sample(logits, [Sampling(1.0, 0, 1.0, 9)], [position])[0] for position in range(4000)]
    for token, probability in enumerate((0.5, 0.3, 0.15, 0.05)):
        assert abs(drawn.count(token) / 4000 - probability) < 0.03


def test_the_number_of_a_seed_and_position_never_changes() -> None:
    assert uniform(1, 2) == uniform(1, 2)
    assert 0 <= uniform(-1, 0) < 1
    assert uniform(1, 2) != uniform(2, 1)
    assert uniform(42, 7) == 0.8614033402518924


def adjusted(logits: list[float], history: Sequence[int] = (), **how: Any) -> int:
    """The token that these parameters choose from one row, after this history."""
    return sampling.sample(torch.tensor([logits]), [Sampling(**how)], [len(history)], [history])[0][0]


def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    drawn = {sample(logits, [Sampling(1.0, seed=seed, min_p=0.29)], [0])[0] for seed in range(300)}
    assert drawn == {0, 1, 2}
    assert sample(logits, [Sampling(1.0, seed=3, min_p=1.0)], [0]) == [0]


def test_the_repetition_penalty_divides_what_is_above_zero_and_multiplies_what_is_below() -> None:
    assert adjusted([2.0, 1.5, -1.0], [0], repetition_penalty=1.25, num_prompt=1) == 0
    assert adjusted([2.0, 1.5, -1.0], [0], repetition_penalty=1.5, num_prompt=1) == 1
    assert adjusted([-1.0, -1.4], [0], repetition_penalty=1.3, num_prompt=1) == 0
    assert adjusted([-1.0, -1.4], [0], repetition_penalty=1.5, num_prompt=1) == 1


def test_presence_and_frequency_count_generated_tokens_only() -> None:
    assert adjusted([2.0, 1.5], [0, 0], presence_penalty=1.0, num_prompt=2) == 0
    assert adjusted([2.0, 1.5], [0, 0], presence_penalty=1.0, num_prompt=1) == 1
    assert adjusted([2.0, 1.5], [1, 0], frequency_penalty=0.3, num_prompt=1) == 0
    assert adjusted([2.0, 1.5], [1, 0, 0], frequency_penalty=0.3, num_prompt=1) == 1
    assert adjusted([2.0, 1.5], [1, 0, 0], presence_penalty=0.3, num_prompt=1) == 0


def test_a_negative_penalty_favours_what_was_said() -> None:
    assert adjusted([2.0, 1.5], [1], presence_penalty=-1.0, num_prompt=0) == 1


def test_a_bias_decides_and_one_for_a_token_that_does_not_exist_is_nothing() -> None:
    assert adjusted([2.0, 1.5, 0.0], logit_bias=((2, 100.0), (7, 100.0))) == 2
    assert adjusted([2.0, 1.5, 0.0], logit_bias=((0, -100.0),)) == 1
    assert adjusted([2.0, 1.5], [0], logit_bias=((0, 2.0),), presence_penalty=2.0, num_prompt=0) == 0


def test_logprobs_are_the_model_s_own_whatever_was_asked_for() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    how = Sampling(0.0, logit_bias=((3, 100.0),), logprobs=2)
    [token], [told] = sampling.sample(logits, [how], [0], [()])
    assert token == 3
    assert told is not None
    assert told.chosen == pytest.approx(math.log(0.05), rel=1e-6)
    assert [one for one, _ in told.top] == [0, 1]
    assert [value for _, value in told.top] == pytest.approx([math.log(0.5), math.log(0.3)], rel=1e-6)


def test_logprobs_are_told_to_those_who_ask_and_no_more_than_there_are() -> None:
    _, told = sampling.sample(LOGITS[:3], [Sampling(), Sampling(logprobs=0), Sampling(logprobs=99)], [0] * 3, [()] * 3)
    assert told[0] is None
    assert told[1] is not None
    assert told[1].top == ()
    assert told[2] is not None
    assert len(told[2].top) == 50
    assert sum(math.exp(value) for _, value in told[2].top) == pytest.approx(1)


def test_every_row_of_a_batch_is_what_it_is_alone() -> None:
    hows = [
        Sampling(),
        Sampling(0.8, 5, 0.9, seed=4, min_p=0.01),
        Sampling(1.2, seed=1, repetition_penalty=1.3, num_prompt=2, logprobs=3),
        Sampling(0.0, presence_penalty=0.5, frequency_penalty=0.2, num_prompt=1, logprobs=0),
        Sampling(1.0, seed=9, logit_bias=((7, 3.0),), logprobs=20),
    ]
    history = [3, 9, 9, 4]
    whole = sampling.sample(LOGITS[:5], hows, [4] * 5, [history] * 5)
    alone = [sampling.sample(LOGITS[i : i + 1], [how], [4], [history]) for i, how in enumerate(hows)]
    assert whole == ([one[0][0] for one in alone], [one[1][0] for one in alone])


def test_a_history_that_lacks_a_token_is_noticed() -> None:
    with pytest.raises(AssertionError, match="1 tokens are known before position 2"):
        sampling.sample(LOGITS[:1], [Sampling(presence_penalty=1.0)], [2], [[5]])


def by_sorting_everything(row: torch.Tensor, how: Sampling, position: int) -> int:
    """The definition: sort all, cut by each filter, and look where the number falls."""
    weights, order = torch.softmax(row.double() / how.temperature, -1).sort(descending=True, stable=True)
    weights = weights[: how.top_k or None]
    weights = weights / weights.sum()
    before = weights.cumsum(-1) - weights
    kept = (before < how.top_p) & (weights >= how.min_p * weights[0])
    kept[0] = True
    sums = (weights * kept).cumsum(-1)
    return int(order[int((sums <= uniform(how.seed, position) * sums[-1]).sum())])


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0.05, 0.7, 1.0, 2.0]),
    st.sampled_from([0, 1, 40, 256, 300, 2999, 5000]),
    st.sampled_from([0.0, 0.3, 0.95, 0.9999, 1.0]),
    st.sampled_from([0.0, 1e-6, 0.02, 0.9]),
    st.booleans(),
)
def test_a_large_vocabulary_is_drawn_from_as_if_all_of_it_were_sorted(
    seed: int, temperature: float, top_k: int, top_p: float, min_p: float, has_ties: bool
) -> None:
    row = torch.randn(3000, generator=torch.Generator().manual_seed(seed)) * 2
    row = row.round() if has_ties else row
    how = Sampling(temperature, top_k, top_p, seed, min_p)
    assert sample(row[None], [how], [5]) == [by_sorting_everything(row, how, 5)]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "how", [Sampling(), Sampling(temperature=1.0, seed=3, logprobs=2), Sampling(temperature=1.0, top_k=4, seed=2)]
)
def test_a_row_that_is_not_finite_has_no_token_and_spoils_no_other(number: float, how: Sampling) -> None:
    logits = torch.arange(32.0).view(2, 16)
    alone = sampling.sample(logits[1:], [how], [3], [()])
    logits[0, 5] = number
    tokens, logprobs = sampling.sample(logits, [how] * 2, [3] * 2, [()] * 2)
    assert (tokens[0], logprobs[0]) == (NO_TOKEN, None)
    assert (tokens[1:], logprobs[1:]) == alone
