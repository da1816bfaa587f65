"""Makes of a gpt-oss checkpoint one whose experts are packed as mxfp4, as gpt-oss is published, in one file."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

EXCLUDED = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
PACKED = {"quant_method": "mxfp4", "modules_to_not_convert": EXCLUDED}


def pack_randomly(source: Path, folder: Path) -> Path:
    """The checkpoint of `source` in a new `folder`, with random experts in place of its own."""
    folder.mkdir()
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": PACKED}))
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(source.glob("*.safetensors")):
        tensors |= load_file(file)
    numbers = torch.Generator().manual_seed(0)
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        experts, width, rows = tensors.pop(name).shape
        groups = (experts, rows, width // 32)
        tensors[f"{name}_blocks"] = torch.randint(256, (*groups, 16), generator=numbers, dtype=torch.uint8)
        tensors[f"{name}_scales"] = torch.randint(121, 126, groups, generator=numbers, dtype=torch.uint8)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def change_tensor(folder: Path, name: str, tensor: torch.Tensor | None) -> None:
    """Puts another tensor in that one's place, or none."""
    file = folder / "model.safetensors"
    tensors = {other: kept for other, kept in load_file(file).items() if other != name}
    save_file(tensors | ({} if tensor is None else {name: tensor}), file, metadata={"format": "pt"})
