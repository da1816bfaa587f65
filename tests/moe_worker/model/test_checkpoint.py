"""Wrong checkpoints are refused with the value, the rule and the remedy."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from moe_worker.device.cpu import CpuDevice
from moe_worker.model.engine import Engine, open_engine
from moe_worker.model.errors import CheckpointError
from moe_worker.model.families.registry import read_family
from moe_worker.protocol.settings import Settings

DECLARED = {"layers": 4, "experts": 8, "expertsPerToken": 2, "hiddenSize": 64, "heads": 4, "keyValueHeads": 2}
DECLARED |= {"headSize": 16, "expertFfnSize": 32, "vocabularySize": 512}


@pytest.fixture
def folder(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint("demo"), tmp_path / "copy"))


def opened(folder: Path, declared: dict[str, int] | None = None, **settings: int) -> Engine:
    place = Settings(**({"stage": 0, "stages": 1, "first_layer": 0, "num_layers": 4} | settings))
    return open_engine(folder, device=CpuDevice(None), settings=place, dtype="float32", declared=declared)


def change_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def refusal(folder: Path, declared: dict[str, int] | None = None, **settings: int) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        opened(folder, declared, **settings)
    assert str(caught.value) == f"{caught.value.value}: {caught.value.rule}; {caught.value.remedy}"
    return caught.value


def test_the_declared_shape_is_compared_field_by_field(folder: Path) -> None:
    opened(folder, DECLARED).close()
    for field, value in DECLARED.items():
        error = refusal(folder, DECLARED | {field: value + 1})
        assert error.value == f"spec.model.shape.{field} is {value + 1} and the checkpoint's is {value}"


def test_a_missing_folder_or_config_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere").value == f"no folder {tmp_path / 'nowhere'}"
    assert refusal(tmp_path).value == f"no file {tmp_path}/config.json"
    (tmp_path / "config.json").write_text("{")
    assert "is no JSON" in refusal(tmp_path).value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "llama"}, "model_type 'llama': this worker runs qwen3_moe, "),
        ({"hidden_size": "64"}, "hidden_size '64'"),
        ({"attention_bias": True}, "attention_bias"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        (
            {"quantization_config": {"quant_method": "fp8"}},
            "quant_method 'fp8': this worker reads weights of qwen3_moe",
        ),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "quant_method 'mxfp4': this worker reads"),
        ({"quantization_config": {"load_in_4bit": True}}, "quant_method 'None'"),
        ({"quantization_config": "int4"}, "that are plain numbers; use a checkpoint without quantization_config"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "rope type 'longrope'"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "yarn needs factor and original_max_position_embeddings"),
    ],
)
def test_a_config_that_is_not_served_is_refused(folder: Path, change: dict[str, Any], words: str) -> None:
    change_config(folder, **change)
    assert words in str(refusal(folder))


def test_both_spellings_of_the_rotary_base_are_read(folder: Path) -> None:
    change_config(folder, rope_parameters={"rope_type": "default", "rope_theta": 5e5})
    assert read_family(folder).config.rotary.theta == 5e5
    change_config(folder, rope_parameters=None, rope_theta=1e6, rope_scaling=None)
    assert read_family(folder).config.rotary.theta == 1e6


def test_a_context_longer_than_the_models_is_refused(folder: Path) -> None:
    assert refusal(folder, max_sequence_length=5000).value == "spec.engine.maxSequenceLength is 5000"


def test_missing_files_are_named(folder: Path) -> None:
    shard = sorted(folder.glob("*.safetensors"))[1]
    shard.unlink()
    assert refusal(folder).value == f"no file {shard}"
    (folder / "model.safetensors.index.json").unlink()
    assert "has neither" in refusal(folder).value


def test_a_truncated_file_is_named_with_its_size(folder: Path) -> None:
    shard = sorted(folder.glob("*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:5000])
    assert refusal(folder).value.startswith(f"{shard} (5000 bytes) cannot be read")


def load(engine: Engine, expert: int) -> str | None:
    """Loads it; what went wrong."""
    engine.load(expert)
    while True:
        for _, error in engine.loaded():
            return error


def test_a_file_that_shrinks_under_a_running_engine_is_named_and_read_again_when_it_is_whole(folder: Path) -> None:
    engine = opened(folder)
    assert load(engine, 0) is None
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    file = folder / index["model.layers.0.mlp.experts.1.up_proj.weight"]
    whole = file.read_bytes()
    with file.open("r+b") as shrinking:
        shrinking.truncate(1000)
    error = str(load(engine, 1))
    assert error.startswith(f"{file} (1000 bytes) cannot be read (it had {len(whole)} bytes before)")
    file.write_bytes(whole)
    assert load(engine, 1) is None
    engine.close()


def test_a_folder_that_is_removed_takes_nothing_from_who_has_its_files_mapped(folder: Path) -> None:
    engine = opened(folder)
    assert load(engine, 0) is None
    folder.rename(folder.with_name("elsewhere"))
    assert load(engine, 1) is None
    engine.close()


def test_a_tensor_that_is_missing_or_of_another_shape_is_named(folder: Path) -> None:
    change_config(folder, moe_intermediate_size=16)
    error = load_error(folder, 3)
    assert "experts.3.gate_proj.weight" in error
    assert "is [32, 64]: config.json asks for [16, 64]" in error
    change_config(folder, num_hidden_layers=5)
    assert "no tensor model.layers.4." in refusal(folder, num_layers=5).value


def change_tensor(folder: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shard = folder / index["weight_map"][name]
    tensors = load_file(shard)
    save_file(tensors | {name: change(tensors[name])}, shard)


def broken(number: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """A tensor whose last number is this one."""

    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor.view(-1)[-1] = number
        return tensor

    return change


def load_error(folder: Path, expert: int) -> str:
    """What a load of this expert ends with."""
    engine = opened(folder)
    engine.load(expert)
    ended: list[tuple[int, str | None]] = []
    while not ended:
        ended += engine.loaded()
    engine.close()
    assert ended[0][0] == expert
    return str(ended[0][1])


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_refused_where_they_are_read(folder: Path, number: float) -> None:
    change_tensor(folder, "model.layers.2.mlp.experts.5.up_proj.weight", broken(number))
    opened(folder).close()
    assert load_error(folder, 4) == "None"
    error = load_error(folder, 2 * 8 + 5)
    assert "layers.2.mlp.experts.5.up_proj.weight in" in error
    assert "has numbers that are infinite or NaN in float32: weights are finite numbers; copy" in error
    change_tensor(folder, "model.layers.1.self_attn.q_norm.weight", broken(number))
    assert "model.layers.1.self_attn.q_norm.weight" in refusal(folder).value


def test_a_broken_expert_in_a_tensor_of_all_experts_breaks_no_other(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint("gpt_oss"), tmp_path / "copy"))
    change_tensor(folder, "model.layers.0.mlp.experts.down_proj", broken(float("nan")))
    place = Settings(stage=0, stages=3, first_layer=0, num_layers=1)
    engine = open_engine(folder, device=CpuDevice(None), settings=place, dtype="float32")
    for expert in (4, 5):
        engine.load(expert)
    ended: list[tuple[int, str | None]] = []
    while len(ended) < 2:
        ended += engine.loaded()
    assert ended[0] == (4, None)
    assert "model.layers.0.mlp.experts.down_proj" in str(ended[1][1])
    engine.close()


def test_a_number_too_large_for_the_number_type_is_refused_with_the_type_that_holds_it(folder: Path) -> None:
    change_tensor(folder, "model.norm.weight", broken(1e6))
    place = Settings(stage=0, stages=1, first_layer=0, num_layers=4)
    with pytest.raises(CheckpointError, match=r"NaN in float16.*or set spec\.model\.dtype to float32"):
        open_engine(folder, device=CpuDevice(None), settings=place, dtype="float16")


def test_whole_numbers_are_no_weights(folder: Path) -> None:
    change_tensor(folder, "model.layers.0.mlp.gate.weight", lambda tensor: tensor.to(torch.int8))
    assert refusal(folder).value.endswith("is stored as int8")


def test_narrow_numbers_whose_scales_nobody_names_are_no_weights(folder: Path) -> None:
    change_tensor(folder, "model.layers.0.mlp.gate.weight", lambda tensor: tensor.to(torch.float8_e4m3fn))
    assert refusal(folder).value.endswith("is stored as float8_e4m3fn")


def test_one_file_without_an_index_is_a_checkpoint_too(folder: Path) -> None:
    tensors: dict[str, torch.Tensor] = {}
    for shard in folder.glob("*.safetensors"):
        tensors |= load_file(shard)
        shard.unlink()
    (folder / "model.safetensors.index.json").unlink()
    save_file(tensors, folder / "model.safetensors")
    assert opened(folder).bytes_read > 0
