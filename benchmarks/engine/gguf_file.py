"""A Qwen3-MoE checkpoint as the GGUF file that llama.cpp reads: the same numbers under other names.

Knows both sides' names; there is no vocabulary, since the benchmark speaks in tokens. Needs the `gguf` package.
"""

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy
import torch
from safetensors.torch import load_file

from moe_worker.model.config import ModelConfig
from moe_worker.model.families.registry import read_family
from moe_worker.model.family import layer_name

ARCHITECTURE = "qwen3moe"
ENDS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate_inp": "mlp.gate",
}
OF_EXPERTS = {"ffn_gate_exps": "gate_proj", "ffn_up_exps": "up_proj", "ffn_down_exps": "down_proj"}
IN_FP32 = "ffn_gate_inp"
"""llama.cpp has no other kernels for it; what has one dim, norms, is not narrowed either."""


def write_gguf(folder: Path, dtype: torch.dtype, path: Path) -> None:
    """Writes the checkpoint in `folder` with weights of fp32 or bf16."""
    config = read_family(folder).config
    source = _stored(folder)
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    _add_sizes(writer, config)
    for name, tensor in _tensors(source, config):
        is_narrow = dtype is torch.bfloat16 and tensor.dim() > 1 and IN_FP32 not in name
        _add(writer, name, tensor, is_narrow=is_narrow)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _stored(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors by name, in fp32."""
    files = sorted(folder.glob("*.safetensors"))
    return {name: tensor.float() for file in files for name, tensor in load_file(file).items()}


def _add_sizes(writer: gguf.GGUFWriter, config: ModelConfig) -> None:
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.hidden)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.expert_ffn)
    writer.add_expert_feed_forward_length(config.expert_ffn)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_rope_freq_base(config.rotary.theta)
    writer.add_expert_count(config.experts)
    writer.add_expert_used_count(config.experts_per_token)
    writer.add_vocab_size(config.vocab)
    writer.add_tokenizer_model("no_vocab")


def _tensors(source: Mapping[str, torch.Tensor], config: ModelConfig) -> list[tuple[str, torch.Tensor]]:
    """(llama.cpp's name, tensor) of all of them."""
    found = [(ours, f"{theirs}.weight") for ours, theirs in ENDS.items()]
    if config.tied_embeddings:
        found = [(ours, theirs) for ours, theirs in found if ours != "output"]
    tensors = [(f"{ours}.weight", source[theirs]) for ours, theirs in found]
    for layer in range(config.layers):
        at, to = layer_name(layer), f"blk.{layer}."
        tensors += [(f"{to}{ours}.weight", source[f"{at}{theirs}.weight"]) for ours, theirs in IN_LAYER.items()]
        for ours, theirs in OF_EXPERTS.items():
            names = [f"{at}mlp.experts.{expert}.{theirs}.weight" for expert in range(config.experts)]
            tensors.append((f"{to}{ours}.weight", torch.stack([source[name] for name in names])))
    return tensors


def _add(writer: gguf.GGUFWriter, name: str, tensor: torch.Tensor, *, is_narrow: bool) -> None:
    if not is_narrow:
        writer.add_tensor(name, tensor.numpy())
        return
    bits = tensor.bfloat16().view(torch.int16).numpy().view(numpy.uint8)
    writer.add_tensor(name, bits, raw_dtype=gguf.GGMLQuantizationType.BF16)
