"""Packed experts become the numbers that `transformers` makes of them, and a rank reads the bytes of its own only."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, Mxfp4Config
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from moe_planner.families import read_shape
from moe_worker.device.cpu import CpuDevice
from moe_worker.model.checkpoint import Checkpoint
from moe_worker.model.engine import Engine, open_engine
from moe_worker.model.errors import CheckpointError
from moe_worker.model.families.registry import read_family
from moe_worker.model.mxfp4 import read_unpacked, unpack
from moe_worker.protocol.settings import Settings
from tests.moe_worker.model.driver import Driver, load_all, whole_engine
from tests.moe_worker.model.packed import change_tensor, pack_randomly

EXPERTS, HIDDEN, FFN = 6, 64, 32
DOWN = "model.layers.1.mlp.experts.down_proj"
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@pytest.fixture
def folder(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    return pack_randomly(checkpoint("gpt_oss"), tmp_path / "packed")


def opened(folder: Path, dtype: torch.dtype = torch.float32) -> Checkpoint:
    source = Checkpoint(folder, dtype, torch.device("cpu"))
    source.open()
    return source


def middle_layer(folder: Path, dtype: str = "float32") -> Engine:
    place = Settings(stage=1, stages=3, first_layer=1, num_layers=1)
    return open_engine(folder, device=CpuDevice(None), settings=place, dtype=dtype)


def test_the_sixteen_numbers_low_half_of_a_byte_first() -> None:
    blocks = torch.tensor([0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE] * 2, dtype=torch.uint8).view(1, 1, 16)
    whole = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    numbers = whole + [-number for number in whole]
    for scale, power in ((127, 1.0), (128, 2.0), (124, 0.125)):
        unpacked = unpack(blocks, torch.tensor([[scale]], dtype=torch.uint8), torch.float32)
        assert unpacked.tolist() == [[number * power for number in numbers * 2]]


def test_each_block_has_its_own_scale() -> None:
    blocks, scales = torch.full((1, 2, 16), 0x22, dtype=torch.uint8), torch.tensor([[127, 130]], dtype=torch.uint8)
    assert unpack(blocks, scales, torch.bfloat16).tolist() == [[1.0] * 32 + [8.0] * 32]


@pytest.mark.parametrize("dtype", DTYPES)
def test_experts_have_the_bits_that_transformers_gives_them(folder: Path, dtype: torch.dtype) -> None:
    tensors, source = load_file(folder / "model.safetensors"), opened(folder, dtype)
    for name, rows, width in (("gate_up_proj", 2 * FFN, HIDDEN), ("down_proj", HIDDEN, FFN)):
        at = f"model.layers.2.mlp.experts.{name}"
        theirs = convert_moe_packed_tensors(tensors[f"{at}_blocks"], tensors[f"{at}_scales"], dtype=dtype)
        for expert in range(EXPERTS):
            ours = read_unpacked(source, at, expert, (EXPERTS, rows, width))
            assert ours.dtype is dtype
            # As bytes, for which 0.0 and -0.0 differ.
            assert ours.view(torch.uint8).equal(theirs[expert].t().contiguous().view(torch.uint8))


@pytest.mark.parametrize("scale", [0, 1, 20, 250])
def test_very_small_and_very_large_scales_too(scale: int) -> None:
    blocks, scales = torch.arange(64, 128).view(1, 2, 2, 16).byte(), torch.full((1, 2, 2), scale).byte()
    for dtype in DTYPES[:2]:
        theirs = convert_moe_packed_tensors(blocks, scales, dtype=dtype)[0].t()
        assert unpack(blocks[0], scales[0], dtype).equal(theirs)


def test_greedy_tokens_are_those_of_transformers(folder: Path) -> None:
    unpacked = Mxfp4Config(dequantize=True)
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, quantization_config=unpacked)
    driver = Driver.whole(whole_engine(folder))
    for length in (3, 50, 120):
        prompt = [(7 * length + 31 * position) % 297 + 3 for position in range(length)]
        ids = torch.tensor([prompt])
        expected = reference.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False)
        assert driver.generate(prompt, 24, chunk=16) == expected[0, length:].tolist()
        assert driver.logits is not None
        with torch.inference_mode():
            logits = reference(expected[:, :-1]).logits[0, -1]
        torch.testing.assert_close(driver.logits[0], logits, rtol=1e-4, atol=1e-4)


def test_the_bytes_read_of_experts_are_their_blocks_scales_and_biases(folder: Path) -> None:
    engine = middle_layer(folder)
    before = engine.bytes_read
    load_all(engine, [EXPERTS + 4, EXPERTS + 1])
    numbers, biases = 3 * FFN * HIDDEN, 2 * FFN + HIDDEN
    assert engine.bytes_read - before == 2 * (numbers // 2 + numbers // 32 + 4 * biases)
    engine.close()


def test_the_planner_counts_the_file_s_bytes_of_an_expert_and_with_a_dtype_those_held(folder: Path) -> None:
    raw, engine = json.loads((folder / "config.json").read_text()), middle_layer(folder)
    before = engine.bytes_read
    load_all(engine, [EXPERTS])
    assert read_shape(raw).expert_bytes == engine.bytes_read - before == 3 * FFN * HIDDEN * 17 // 32 + 4 * 128
    engine.close()
    expert = read_family(folder).read_expert(opened(folder, torch.bfloat16), 1, 0)
    held = [part for one in (expert.gate_up, expert.down) for part in (one.weight, one.bias) if part is not None]
    assert read_shape(raw, dtype="bfloat16").expert_bytes == sum(part.nbytes for part in held) == 2 * (6144 + 128)


def test_a_whole_model_reads_the_whole_checkpoint(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors").values()
    assert whole_engine(folder).bytes_read == sum(tensor.nbytes for tensor in tensors)


def load_error(folder: Path, expert: int, dtype: str = "float32") -> str:
    """What a load of this expert of the middle layer ends with."""
    engine = middle_layer(folder, dtype)
    engine.load(EXPERTS + expert)
    ended: list[tuple[int, str | None]] = []
    while not ended:
        ended += engine.loaded()
    engine.close()
    return str(ended[0][1])


@pytest.mark.parametrize(
    ("part", "tensor", "words"),
    [
        ("scales", None, f"no tensor {DOWN}_scales in "),
        ("blocks", None, f"no tensor {DOWN}_blocks in "),
        ("scales", torch.zeros(6, 64, 2).byte(), "is [6, 64, 2]: config.json asks for [6, 64, 1]; use the config"),
        ("blocks", torch.zeros(6, 64, 16).byte(), "is [6, 64, 16]: config.json asks for [6, 64, 1, 16]; use the"),
        ("scales", torch.zeros(6, 64, 1), "is stored as float32: packed numbers are stored as uint8; use"),
    ],
)
def test_packed_tensors_that_do_not_fit_are_named(
    folder: Path, part: str, tensor: torch.Tensor | None, words: str
) -> None:
    change_tensor(folder, f"{DOWN}_{part}", tensor)
    error = load_error(folder, 3)
    assert f"{DOWN}_{part}" in error
    assert words in error


@pytest.mark.parametrize(("scale", "dtype"), [(255, "float32"), (255, "bfloat16"), (145, "float16")])
def test_scales_that_make_no_numbers_are_refused_for_their_expert_only(folder: Path, scale: int, dtype: str) -> None:
    scales = torch.full((6, 64, 1), 123, dtype=torch.uint8)
    scales[3, 7] = scale
    change_tensor(folder, f"{DOWN}_scales", scales)
    assert load_error(folder, 2, dtype) == "None"
    error = load_error(folder, 3, dtype)
    assert f"{DOWN}_scales in " in error
    assert f"of expert 3 infinite or NaN in {dtype}: weights are finite numbers; " in error


def test_a_folder_whose_experts_are_plain_is_not_read_as_packed(folder: Path) -> None:
    for part in ("blocks", "scales"):
        change_tensor(folder, f"{DOWN}_{part}", None)
    change_tensor(folder, DOWN, torch.zeros(6, 32, 64))
    with pytest.raises(CheckpointError, match=f"no tensor {DOWN}_blocks"):
        read_unpacked(opened(folder), DOWN, 0, (EXPERTS, HIDDEN, FFN))
