from __future__ import annotations

from dataclasses import replace

from moe_api import worker_features
from moe_api.support import beyond_the_workers
from tests.moe_api.test_shape import PLAIN


def test_every_family_that_the_workers_declare_is_run() -> None:
    for family in worker_features.FAMILIES:
        assert beyond_the_workers(replace(PLAIN, family=family)) == ()
    assert beyond_the_workers(replace(PLAIN, family="declared")) == ()


def test_other_families_and_packed_numbers_are_named_with_a_remedy() -> None:
    found = beyond_the_workers(replace(PLAIN, family="bert_moe", expert_bits=4.25, kv_bits=8))
    assert [(one.field, one.value) for one in found] == [
        ("model.shape.family", "bert_moe"),
        ("model.shape.expertBits", 4.25),
        ("model.shape.keyValueBits", 8),
    ]
    assert all(one.rule and one.remedy for one in found)
