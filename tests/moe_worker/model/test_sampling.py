from collections.abc import Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_wire.messages import Sampling
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
