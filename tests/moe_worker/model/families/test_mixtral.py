from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_worker.model.errors import CheckpointError
from moe_worker.model.families.registry import read_family
from tests.moe_worker.model.families.conftest import assert_equal_to_transformers

SIZES: dict[str, Any] = {"num_local_experts": 4, "intermediate_size": 32}


@pytest.mark.parametrize("head_dim", [None, 24])
def test_a_head_is_as_wide_as_the_file_says_or_as_divides_the_hidden_width(
    saved: Callable[..., Path], head_dim: int | None
) -> None:
    driver = assert_equal_to_transformers(saved("mixtral", **SIZES | {"head_dim": head_dim}))
    assert driver.stages[0].config.head_dim == (head_dim or 16)


def test_sliding_windows_are_refused(saved: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match="sliding_window 128"):
        read_family(saved("mixtral", **SIZES | {"sliding_window": 128}))
