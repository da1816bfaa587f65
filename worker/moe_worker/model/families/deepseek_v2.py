"""DeepSeek-V2: latent attention, shared experts, the first layers without experts, routing within groups.

The cache holds a token's compressed row, kv_lora_rank + qk_rope_head_dim numbers, and never its keys and values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch

from moe_worker.model.attention import Reading
from moe_worker.model.blocks import AnyNorm, make_norm
from moe_worker.model.checkpoint import Checkpoint
from moe_worker.model.config import read_sizes
from moe_worker.model.config_file import ConfigFile
from moe_worker.model.family import Family, Mixture, Row, layer_name
from moe_worker.model.feed_forward import AnyFeedForward, read_feed_forward
from moe_worker.model.head_attention import Attention
from moe_worker.model.latent_attention import CompressedQuery, LatentAttention
from moe_worker.model.projection import AnyProjection, make_projection, read_projection
from moe_worker.model.rotary import halves
from moe_worker.model.routing import Groups, Router

LATENT_NORM_EPSILON = 1e-6
"""Of the norms inside attention, whatever rms_norm_eps is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepseekV2(Family):
    """The family with its sizes. `query_rank` 0: queries are projected directly."""

    kv_rank: int
    query_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    shared_ffn: int
    router_scale: float
    groups: Groups | None

    @classmethod
    def read(cls, file: ConfigFile) -> Self:
        for key, value in {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}.items():
            file.require(key, value)
        for key, value in {"norm_topk_prob": False, "scoring_func": "softmax", "moe_layer_freq": 1}.items():
            file.require(key, value)
        nope_dim, rope_dim = file.number("qk_nope_head_dim"), file.number("qk_rope_head_dim")
        config = read_sizes(
            file,
            experts="n_routed_experts",
            expert_ffn="moe_intermediate_size",
            norm_epsilon=1e-6,
            head_dim=nope_dim + rope_dim,
            rotary_dim=rope_dim,
            dense_layers=tuple(range(file.count("first_k_dense_replace"))),
        )
        return cls(
            config=replace(config, kv_heads=config.heads),
            kv_rank=file.number("kv_lora_rank"),
            query_rank=file.count("q_lora_rank"),
            nope_dim=nope_dim,
            rope_dim=rope_dim,
            value_dim=file.number("v_head_dim"),
            shared_ffn=config.expert_ffn * file.number("n_shared_experts"),
            router_scale=file.real("routed_scaling_factor", 1.0),
            groups=_read_groups(file),
        )

    @property
    def traits(self) -> Mapping[str, object]:
        latent = {
            "keyValueRank": self.kv_rank,
            "queryRank": self.query_rank,
            "ropeSize": self.rope_dim,
            "nopeSize": self.nope_dim,
            "valueSize": self.value_dim,
        }
        return {"headNorms": False, "latentAttention": latent, "sharedFfnSize": self.shared_ffn}

    @property
    def row(self) -> Row:
        """One key, whose first kv_rank numbers are the value too."""
        return Row(heads=1, width=self.kv_rank + self.rope_dim)

    def read_attention(self, source: Checkpoint, layer: int) -> Attention:
        c, at = self.config, f"{layer_name(layer)}self_attn."
        ups = source.tensor(f"{at}kv_b_proj.weight", (c.heads * (self.nope_dim + self.value_dim), self.kv_rank))
        by_head = ups.view(c.heads, -1, self.kv_rank)
        yarn = c.rotary.yarn
        return LatentAttention(
            query=self._read_query(source, at),
            compress=self._read_compress(source, at),
            latent_norm=_latent_norm(source, f"{at}kv_a_layernorm", self.kv_rank),
            key_up=by_head[:, : self.nope_dim].contiguous(),
            value_up=by_head[:, self.nope_dim :].transpose(1, 2).contiguous(),
            out=read_projection(source, at, [("o_proj", c.hidden)], c.heads * self.value_dim),
            scale=c.head_dim**-0.5 * (yarn.score_magnitude**2 if yarn else 1.0),
            reading=Reading(kv_heads=1, latent=self.kv_rank),
        )

    def read_mixture(self, source: Checkpoint, layer: int) -> Mixture:
        c, at = self.config, f"{layer_name(layer)}mlp."
        gate = source.tensor(f"{at}gate.weight", (c.experts, c.hidden))
        router = Router(
            projection=make_projection(gate.float(), is_native=source.is_native),
            choices=c.experts_per_token,
            is_normalised=False,
            scale=self.router_scale,
            groups=self.groups,
            is_wide=True,
        )
        return Mixture(
            router=router, shared=read_feed_forward(source, f"{at}shared_experts.", c.hidden, self.shared_ffn)
        )

    def read_expert(self, source: Checkpoint, layer: int, expert: int) -> AnyFeedForward:
        at = f"{layer_name(layer)}mlp.experts.{expert}."
        return read_feed_forward(source, at, self.config.hidden, self.config.expert_ffn)

    def _read_query(self, source: Checkpoint, at: str) -> AnyProjection | CompressedQuery:
        c, name = self.config, "q_b_proj" if self.query_rank else "q_proj"
        weight = source.tensor(f"{at}{name}.weight", (c.heads * c.head_dim, self.query_rank or c.hidden))
        turned = self._turned_by_halves(weight.view(c.heads, c.head_dim, -1)).flatten(0, 1)
        up = make_projection(turned, is_native=source.is_native)
        if not self.query_rank:
            return up
        return CompressedQuery(
            down=read_projection(source, at, [("q_a_proj", self.query_rank)], c.hidden),
            norm=_latent_norm(source, f"{at}q_a_layernorm", self.query_rank),
            up=up,
        )

    def _read_compress(self, source: Checkpoint, at: str) -> AnyProjection:
        shape = (self.kv_rank + self.rope_dim, self.config.hidden)
        weight = source.tensor(f"{at}kv_a_proj_with_mqa.weight", shape)
        return make_projection(self._turned_by_halves(weight.unsqueeze(0))[0], is_native=source.is_native)

    def _turned_by_halves(self, heads: torch.Tensor) -> torch.Tensor:
        """Rows of heads [heads, rows, width] whose last rope_dim turn by neighbours, so that they turn by halves."""
        plain = heads.shape[1] - self.rope_dim
        return torch.cat((heads[:, :plain], heads[:, plain:][:, halves(self.rope_dim)]), 1)


def _latent_norm(source: Checkpoint, name: str, width: int) -> AnyNorm:
    return make_norm(source.tensor(f"{name}.weight", (width,)), LATENT_NORM_EPSILON, is_native=source.is_native)


def _read_groups(file: ConfigFile) -> Groups | None:
    method = file.value("topk_method") or "greedy"
    file.refuse("topk_method", method not in ("greedy", "group_limited_greedy"))
    if method == "greedy":
        return None
    return Groups(count=file.number("n_group"), chosen=file.number("topk_group"))
