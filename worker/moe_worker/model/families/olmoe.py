"""OLMoE: queries and keys are normed over all heads at once; the chosen experts keep the weights they had among all."""

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
class Olmoe(Family):
    """The family with its sizes."""

    normalises: bool

    @classmethod
    def read(cls, file: ConfigFile) -> Self:
        file.require("hidden_act", "silu")
        file.require("attention_bias", False)
        file.require("clip_qkv", None)
        config = read_sizes(file, experts="num_experts", expert_ffn="intermediate_size", norm_epsilon=1e-5)
        return cls(config=config, normalises=file.flag("norm_topk_prob", False))

    @property
    def traits(self) -> Mapping[str, object]:
        return {"headNorms": False, "projectionNorms": True}

    def read_attention(self, source: Checkpoint, layer: int) -> Attention:
        c, at = self.config, f"{layer_name(layer)}self_attn."
        qkv, out = read_projections(source, at, c)
        return HeadAttention(
            qkv=qkv,
            out=out,
            heads=c.heads,
            head_dim=c.head_dim,
            reading=Reading(kv_heads=c.kv_heads),
            norms=self._whole_norms(source, at),
        )

    def read_mixture(self, source: Checkpoint, layer: int) -> Mixture:
        c, at = self.config, f"{layer_name(layer)}mlp."
        gate = read_projection(source, at, [("gate", c.experts)], c.hidden)
        return Mixture(router=Router(projection=gate, choices=c.experts_per_token, is_normalised=self.normalises))

    def read_expert(self, source: Checkpoint, layer: int, expert: int) -> AnyFeedForward:
        at = f"{layer_name(layer)}mlp.experts.{expert}."
        return read_feed_forward(source, at, self.config.hidden, self.config.expert_ffn)

    def _whole_norms(self, source: Checkpoint, at: str) -> HeadNorms:
        """The queries' weight includes 1/sqrt(head_dim)."""
        c = self.config
        query_width, key_width = c.heads * c.head_dim, c.kv_heads * c.head_dim
        query = source.tensor(f"{at}q_norm.weight", (query_width,)).float() * c.heads**0.5
        key = source.tensor(f"{at}k_norm.weight", (key_width,)).float() * key_width**0.5
        return HeadNorms(
            weight=torch.cat((query, key)).view(-1, c.head_dim),
            query_floor=c.norm_epsilon * query_width,
            key_floor=c.norm_epsilon * key_width,
            query_width=query_width,
            is_whole=True,
        )
