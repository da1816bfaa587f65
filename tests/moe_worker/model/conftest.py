from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from moe_worker.make_checkpoint import main as make_checkpoint

# Sizes of the models under test, by name: options of make_checkpoint.
SHAPES = {
    "demo": "--layers 4 --experts 8",
    "narrow": "--layers 2 --experts 5 --hidden 72 --heads 6 --kv-heads 2 --head-dim 24 --ffn 40 --vocab 300",
    "wide": "--layers 2 --experts 4 --hidden 128 --heads 8 --kv-heads 2 --head-dim 32 --ffn 64",
    "mid": "--layers 2 --experts 4 --hidden 512 --heads 8 --kv-heads 8 --head-dim 64 --ffn 1024"
    " --initializer-range 0.05",
    "mixtral": "--family mixtral --layers 2 --experts 6",
    "olmoe": "--family olmoe --layers 2 --experts 6 --kv-heads 4",
    "qwen2_moe": "--family qwen2_moe --layers 3 --experts 6",
    "gpt_oss": "--family gpt_oss --layers 3 --experts 6",
    "deepseek_v2": "--family deepseek_v2 --layers 3 --experts 6",
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a checkpoint of one of SHAPES, made once."""
    base = tmp_path_factory.mktemp("checkpoints")

    def folder(name: str) -> Path:
        assert make_checkpoint([str(base / name), *SHAPES[name].split()]) == 0
        return base / name

    return folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
