"""Qwen2-MoE: biased queries, keys and values; beside the routed experts a shared one, weighed by a gate of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from moe_worker.model.attention import Reading
from moe_worker.model.checkpoint import Checkpoint
from moe_worker.model.config import read_sizes
from moe_worker.model.config_file import ConfigFile
from moe_worker.model.families.qwen3_moe import read_dense_layers
from moe_worker.model.family import Family, Mixture, layer_name
from moe_worker.model.feed_forward import AnyFeedForward, read_feed_forward, read_shared
from moe_worker.model.head_attention import Attention, HeadAttention, read_projections
from moe_worker.model.projection import read_projection
from moe_worker.model.routing import Router


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen2Moe(Family):
    """The family with its sizes."""

    normalises: bool
    has_bias: bool
    shared_ffn: int

    @classmethod
    def read(cls, file: ConfigFile) -> Self:
        file.require("hidden_act", "silu")
        file.require("use_sliding_window", False)
        config = read_sizes(
            file,
            experts="num_experts",
            expert_ffn="moe_intermediate_size",
            norm_epsilon=1e-6,
            dense_layers=read_dense_layers(file),
        )
        return cls(
            config=config,
            normalises=file.flag("norm_topk_prob", False),
            has_bias=file.flag("qkv_bias", True),
            shared_ffn=file.number("shared_expert_intermediate_size"),
        )

    @property
    def traits(self) -> Mapping[str, object]:
        return {
            "headNorms": False,
            "attentionBias": self.has_bias,
            "sharedFfnSize": self.shared_ffn,
            "sharedGate": True,
        }

    def read_attention(self, source: Checkpoint, layer: int) -> Attention:
        c = self.config
        qkv, out = read_projections(source, f"{layer_name(layer)}self_attn.", c, has_bias=self.has_bias)
        return HeadAttention(
            qkv=qkv,
            out=out,
            heads=c.heads,
            head_dim=c.head_dim,
            reading=Reading(kv_heads=c.kv_heads),
            scale=c.head_dim**-0.5,
        )

    def read_mixture(self, source: Checkpoint, layer: int) -> Mixture:
        c, at = self.config, f"{layer_name(layer)}mlp."
        gate = read_projection(source, at, [("gate", c.experts)], c.hidden)
        return Mixture(
            router=Router(projection=gate, choices=c.experts_per_token, is_normalised=self.normalises),
            shared=read_shared(source, at, c.hidden, self.shared_ffn),
        )

    def read_expert(self, source: Checkpoint, layer: int, expert: int) -> AnyFeedForward:
        at = f"{layer_name(layer)}mlp.experts.{expert}."
        return read_feed_forward(source, at, self.config.hidden, self.config.expert_ffn)
