from __future__ import annotations

import pytest

from moe_planner.errors import PlanError
from moe_planner.model import ModelShape
from moe_planner.totals import shape_from_totals


def document(**changes: object) -> ModelShape:
    """The document's model: 16 layers x 16 experts, 10B parameters, 16 heads x 32."""
    totals = {"parameters": 10**10, "layers": 16, "experts": 16, "hidden": 512, "heads": 16, "head_dim": 32}
    return shape_from_totals(**{**totals, **changes})


def test_ten_billion_parameters_at_hidden_512_make_very_wide_experts() -> None:
    assert document().expert_ffn == 38_082
    assert document(gated=True).expert_ffn == 25_388


def test_one_expert_is_78_megabytes_and_a_layer_beside_them_2() -> None:
    shape = document()
    assert round(shape.expert_bytes / 1e6, 1) == 78.0
    assert round((shape.expert_bytes + shape.attention_bytes) / 1e6, 1) == 80.1


def test_all_the_parameters_are_used_up_to_one_column_of_every_expert() -> None:
    shape = document(vocab=32_000)
    assert 0 <= 10**10 - shape.parameters < 16 * 16 * 2 * 512


def test_what_nobody_gave_is_told() -> None:
    assert [name for name, _ in document().assumed] == ["expert_ffn", "experts_per_token", "vocab"]
    assert [name for name, _ in document(experts_per_token=2, vocab=100).assumed] == ["expert_ffn"]


def test_parameters_that_leave_nothing_for_experts_are_refused() -> None:
    with pytest.raises(PlanError) as caught:
        document(parameters=10**7)
    assert str(caught.value) == (
        "model.parameters = 10000000: attention, routers and embeddings alone have 16925184, so nothing is left for "
        "experts; write the parameters of the whole model, or fewer layers or a smaller hidden size"
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"parameters": 1e10}, "model.parameters"),
        ({"layers": 0}, "model.shape.layers"),
        ({"hidden": -1}, "model.shape.hiddenSize"),
        ({"experts_per_token": 17}, "model.shape.expertsPerToken"),
        ({"experts_per_token": 0}, "model.shape.expertsPerToken"),
        ({"kv_heads": 5}, "model.shape.keyValueHeads"),
    ],
)
def test_sizes_that_cannot_be_are_refused_by_their_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(PlanError) as caught:
        document(**changes)
    assert caught.value.field == field
