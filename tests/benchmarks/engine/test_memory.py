"""What a loaded rank takes is what the planner says, in two shapes and number types."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moe_worker.make_checkpoint import main as make_checkpoint

ALIKE = "--layers 2 --experts 4 --vocab 4096 --initializer-range 0.05"
SHAPES = {
    "float32": f"{ALIKE} --hidden 512 --heads 8 --kv-heads 8 --head-dim 64 --ffn 1024",
    "bfloat16": f"{ALIKE} --family olmoe --hidden 512 --heads 8 --kv-heads 4 --ffn 768",
}


@pytest.mark.parametrize("dtype", SHAPES)
def test_a_loaded_rank_takes_what_the_planner_says_within_a_tenth(dtype: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    assert make_checkpoint([str(folder), *SHAPES[dtype].split()]) == 0
    # In a process of its own: what others have freed would be taken again, and count as nothing.
    command = [sys.executable, "-m", "benchmarks.engine.memory", str(folder), "--dtype", dtype]
    measured = subprocess.run(
        [*command, "--stages", "2", "--ranks", "2"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found = json.loads(measured.stdout)
    assert found["weights and KV cache MiB"] > 10
    assert 0.9 < found["ratio"] < 1.1, measured.stdout
