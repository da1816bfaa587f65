"""Qwen3-MoE: queries and keys are normed head by head; the router's weights may add up to 1 or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch

from moe_worker.kernels.attention import HeadNorms
from moe_worker.model.attention import Reading
from moe_worker.model.checkpoint import Checkpoint
from moe_worker.model.config import read_sizes
from moe_worker.model.config_file import ConfigFile
from moe_worker.model.family import Family, Mixture, layer_name
from moe_worker.model.feed_forward import AnyFeedForward, read_feed_forward
from moe_worker.model.head_attention import Attention, HeadAttention, read_projections
from moe_worker.model.projection import read_projection
from moe_worker.model.routing import Router


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3Moe(Family):
    """The family with its sizes."""

    normalises: bool

    @classmethod
    def read(cls, file: ConfigFile) -> Self:
        file.require("hidden_act", "silu")
        file.require("attention_bias", False)
        file.require("use_sliding_window", False)
        experts = "num_experts" if file.value("num_experts") is not None else "num_local_experts"
        config = read_sizes(
            file,
            experts=experts,
            expert_ffn="moe_intermediate_size",
            norm_epsilon=1e-6,
            dense_layers=read_dense_layers(file),
        )
        return cls(config=config, normalises=file.flag("norm_topk_prob", False))

    @property
    def traits(self) -> Mapping[str, object]:
        return {"headNorms": True}

    def read_attention(self, source: Checkpoint, layer: int) -> Attention:
        c, at = self.config, f"{layer_name(layer)}self_attn."
        qkv, out = read_projections(source, at, c)
        return HeadAttention(
            qkv=qkv,
            out=out,
            heads=c.heads,
            head_dim=c.head_dim,
            reading=Reading(kv_heads=c.kv_heads),
            norms=self._head_norms(source, at),
        )

    def read_mixture(self, source: Checkpoint, layer: int) -> Mixture:
        c, at = self.config, f"{layer_name(layer)}mlp."
        gate = read_projection(source, at, [("gate", c.experts)], c.hidden)
        return Mixture(router=Router(projection=gate, choices=c.experts_per_token, is_normalised=self.normalises))

    def read_expert(self, source: Checkpoint, layer: int, expert: int) -> AnyFeedForward:
        at = f"{layer_name(layer)}mlp.experts.{expert}."
        return read_feed_forward(source, at, self.config.hidden, self.config.expert_ffn)

    def _head_norms(self, source: Checkpoint, at: str) -> HeadNorms:
        """The queries' weight includes 1/sqrt(head_dim), which takes back the norm's own factor."""
        c = self.config
        query, key = (source.tensor(f"{at}{name}_norm.weight", (c.head_dim,)).float() for name in "qk")
        weight = torch.cat((query.expand(c.heads, -1), (key * c.head_dim**0.5).expand(c.kv_heads, -1)))
        floor = c.norm_epsilon * c.head_dim
        return HeadNorms(
            weight=weight, query_floor=floor, key_floor=floor, query_width=c.heads * c.head_dim, is_whole=False
        )


def read_dense_layers(file: ConfigFile) -> tuple[int, ...]:
    """The layers without experts, as Qwen's families say it: some by name, and all but every n-th."""
    named = file.value("mlp_only_layers") or []
    step = file.number_or("decoder_sparse_step", 1)
    return tuple(layer for layer in range(file.number("num_hidden_layers")) if layer in named or (layer + 1) % step)
