"""Mixtral: plain grouped-query attention; the weights of the chosen experts add up to 1."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

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
class Mixtral(Family):
    """The family with its sizes."""

    @classmethod
    def read(cls, file: ConfigFile) -> Self:
        file.require("hidden_act", "silu")
        file.require("sliding_window", None)
        return cls(
            config=read_sizes(
                file, experts="num_local_experts", expert_ffn="intermediate_size", norm_epsilon=1e-5, theta=1e6
            )
        )

    @property
    def traits(self) -> Mapping[str, object]:
        return {"headNorms": False}

    def read_attention(self, source: Checkpoint, layer: int) -> Attention:
        c = self.config
        qkv, out = read_projections(source, f"{layer_name(layer)}self_attn.", c)
        return HeadAttention(
            qkv=qkv,
            out=out,
            heads=c.heads,
            head_dim=c.head_dim,
            reading=Reading(kv_heads=c.kv_heads),
            scale=c.head_dim**-0.5,
        )

    def read_mixture(self, source: Checkpoint, layer: int) -> Mixture:
        c, at = self.config, f"{layer_name(layer)}block_sparse_moe."
        gate = read_projection(source, at, [("gate", c.experts)], c.hidden)
        return Mixture(router=Router(projection=gate, choices=c.experts_per_token, is_normalised=True))

    def read_expert(self, source: Checkpoint, layer: int, expert: int) -> AnyFeedForward:
        at = f"{layer_name(layer)}block_sparse_moe.experts.{expert}."
        return read_feed_forward(source, at, self.config.hidden, self.config.expert_ffn, ("w1", "w3", "w2"))
