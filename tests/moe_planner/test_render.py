from __future__ import annotations

from moe_planner.render import as_text
from tests.moe_planner.inputs import make


def test_text_fits_a_terminal_and_shows_reasons_layout_and_checks() -> None:
    text = as_text(make(layers=2, experts=4, nodes=2, gpus=4))
    assert "2. Expert and pipeline parallelism" in text
    assert "0        1      1       4-7    4-7, 1 per GPU  node-1" in text
    assert "holds    GPU count" in text
    assert all(len(line) <= 120 for line in text.splitlines())
