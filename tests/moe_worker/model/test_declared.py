from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_worker.model.declared import check_declared
from moe_worker.model.errors import CheckpointError
from moe_worker.model.families.registry import read_family

DECLARED: dict[str, Any] = {"layers": 3, "experts": 6, "expertsPerToken": 2, "hiddenSize": 64, "heads": 4}
DECLARED |= {"keyValueHeads": 4, "headSize": 24, "expertFfnSize": 32, "vocabularySize": 512, "family": "deepseek_v2"}
DECLARED |= {"denseLayers": [0], "denseFfnSize": 96, "sharedFfnSize": 64, "headNorms": False}
DECLARED |= {"latentAttention": {"keyValueRank": 32, "queryRank": 0, "ropeSize": 8, "nopeSize": 16, "valueSize": 16}}
MAKE = Callable[[str], Path]


def refusal(folder: Path, declared: dict[str, Any]) -> str:
    family = read_family(folder)
    with pytest.raises(CheckpointError) as caught:
        check_declared(family.config, family.traits, declared)
    return str(caught.value)


def test_every_field_is_compared(checkpoint: MAKE) -> None:
    family = read_family(checkpoint("deepseek_v2"))
    check_declared(family.config, family.traits, DECLARED)
    for field in DECLARED:
        assert f"spec.model.shape.{field} is wrong and" in refusal(
            checkpoint("deepseek_v2"), DECLARED | {field: "wrong"}
        )


def test_what_is_left_out_counts_as_what_the_operator_assumes(checkpoint: MAKE) -> None:
    for field in DECLARED:
        less = {name: value for name, value in DECLARED.items() if name != field}
        assert f"spec.model.shape.{field} is left out and" in refusal(checkpoint("deepseek_v2"), less)


def test_what_is_too_much_is_to_be_left_out(checkpoint: MAKE) -> None:
    assert refusal(checkpoint("deepseek_v2"), DECLARED | {"expertBits": 4.25}) == (
        "spec.model.shape.expertBits is 4.25 and the checkpoint's is left out: the declared shape must be the"
        " checkpoint's; leave spec.model.shape.expertBits out, or name another checkpoint"
    )


def test_order_repetition_and_emptiness_make_no_difference(checkpoint: MAKE) -> None:
    family = read_family(checkpoint("deepseek_v2"))
    same = {"denseLayers": [0, 0], "windowLayers": [], "attentionSinks": False, "gated": True}
    latent = {"valueSize": 16, "keyValueRank": 32, "ropeSize": 8, "nopeSize": 16}
    check_declared(family.config, family.traits, DECLARED | same | {"latentAttention": latent})
