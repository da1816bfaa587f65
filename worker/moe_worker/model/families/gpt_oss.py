"""gpt-oss: biases everywhere, attention sinks, windows in some layers, experts with a clamped gate.

Experts lie together in one tensor a layer, gate and up interleaved: transposed where they are plain numbers, as rows of
blocks where they are packed as mxfp4, as published. Those are unpacked when they are loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch

from moe_worker.model.attention import Reading
from moe_worker.model.checkpoint import Checkpoint
from moe_worker.model.config import read_sizes
from moe_worker.model.config_file import ConfigFile
from moe_worker.model.family import Family, Mixture, layer_name
from moe_worker.model.feed_forward import AnyFeedForward, Clamp, make_feed_forward
from moe_worker.model.head_attention import Attention, HeadAttention, read_projections
from moe_worker.model.mxfp4 import BLOCK, read_unpacked
from moe_worker.model.projection import make_projection, read_projection
from moe_worker.model.routing import Router

MXFP4 = "mxfp4"
FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class GptOss(Family):
    """The family with its sizes; `windows` by layer, 0 for none; `is_packed`: experts are stored as mxfp4."""

    packings: ClassVar[tuple[str, ...]] = (MXFP4,)

    clamp: Clamp
    windows: tuple[int, ...]
    is_packed: bool

    @classmethod
    def read(cls, file: ConfigFile) -> Self:
        file.require("hidden_act", "silu")
        file.require("attention_bias", True)
        config = read_sizes(
            file, experts="num_local_experts", expert_ffn="intermediate_size", norm_epsilon=1e-5, theta=150000.0
        )
        clamp = Clamp(limit=file.real("swiglu_limit", 7.0), alpha=file.real("swiglu_alpha", 1.702))
        windows = _read_windows(file, config.layers)
        return cls(config=config, clamp=clamp, windows=windows, is_packed=_read_packing(file))

    @property
    def traits(self) -> Mapping[str, object]:
        biases = dict.fromkeys(("attentionBias", "outputBias", "routerBias", "expertBias"), True)
        windowed = [layer for layer, window in enumerate(self.windows) if window]
        own = {"attentionSinks": True, "windowLayers": windowed, "attentionWindow": max(self.windows)}
        return {"headNorms": False} | biases | own

    def read_attention(self, source: Checkpoint, layer: int) -> Attention:
        c, at = self.config, f"{layer_name(layer)}self_attn."
        qkv, out = read_projections(source, at, c, has_bias=True, has_out_bias=True)
        sinks = source.tensor(f"{at}sinks", (c.heads,)).float()
        return HeadAttention(
            qkv=qkv,
            out=out,
            heads=c.heads,
            head_dim=c.head_dim,
            reading=Reading(kv_heads=c.kv_heads, window=self.windows[layer], sinks=sinks),
            scale=c.head_dim**-0.5,
        )

    def read_mixture(self, source: Checkpoint, layer: int) -> Mixture:
        c, at = self.config, f"{layer_name(layer)}mlp."
        gate = read_projection(source, at, [("router", c.experts)], c.hidden, has_bias=True)
        return Mixture(router=Router(projection=gate, choices=c.experts_per_token, is_normalised=True))

    def read_expert(self, source: Checkpoint, layer: int, expert: int) -> AnyFeedForward:
        c, at = self.config, f"{layer_name(layer)}mlp.experts."
        gate_up = self._read_matrix(source, f"{at}gate_up_proj", expert, 2 * c.expert_ffn, c.hidden)
        down = self._read_matrix(source, f"{at}down_proj", expert, c.hidden, c.expert_ffn)
        gate_up_bias = source.part(f"{at}gate_up_proj_bias", expert, (c.experts, 2 * c.expert_ffn))
        down_bias = source.part(f"{at}down_proj_bias", expert, (c.experts, c.hidden))
        native = source.is_native
        return make_feed_forward(
            make_projection(_apart(gate_up), _apart(gate_up_bias), is_native=native),
            make_projection(down.contiguous(), down_bias, is_native=native),
            self.clamp,
        )

    def _read_matrix(self, source: Checkpoint, name: str, expert: int, out: int, width: int) -> torch.Tensor:
        """[out, width], however it is stored."""
        if self.is_packed:
            return read_unpacked(source, name, expert, (self.config.experts, out, width))
        return source.part(name, expert, (self.config.experts, width, out)).t()


def _apart(interleaved: torch.Tensor) -> torch.Tensor:
    """Rows g u g u ... as g g ... u u ..."""
    return torch.cat((interleaved[::2], interleaved[1::2]))


def _read_windows(file: ConfigFile, layers: int) -> tuple[int, ...]:
    """Where nothing is said, every other layer has one, the first included."""
    window = file.number("sliding_window")
    kinds = file.value("layer_types") or [SLIDING, FULL] * layers
    file.refuse("layer_types", len(kinds) < layers or not {*kinds} <= {FULL, SLIDING})
    return tuple(window if kind == SLIDING else 0 for kind in kinds[:layers])


def _read_packing(file: ConfigFile) -> bool:
    """Whether experts are packed: those of all layers are, or none."""
    if file.packing != MXFP4:
        return False
    file.refuse(
        "quantization_config", "experts" in str(file.value("quantization_config").get("modules_to_not_convert"))
    )
    for key in ("hidden_size", "intermediate_size"):
        file.refuse(key, file.number(key) % BLOCK != 0)
    return True
