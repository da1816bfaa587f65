"""Qwen3-MoE: which tensors a checkpoint holds, and what a layer computes with them. Rows are tokens of any origin.

Which layers, experts and ends are present is decided outside; nothing here knows that there are others.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own short name)

from moe_worker.model.blocks import Expert, Norm, Rotation, Routing, make_norm, rotate, route
from moe_worker.model.checkpoint import Checkpoint
from moe_worker.model.config import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """A layer but its experts. `qkv` [(heads + 2 * kv_heads) * head_dim, hidden], `out` [heads * head_dim, hidden]."""

    attention_norm: Norm
    qkv: torch.Tensor
    head_norm: Norm
    out: torch.Tensor
    expert_norm: Norm
    router: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """The end of the model: final norm and output projection [vocab, hidden]."""

    norm: Norm
    projection: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projected:
    """query [rows, heads, head_dim], scaled; keys_values [rows, 2 * kv_heads, head_dim], as the cache holds them."""

    query: torch.Tensor
    keys_values: torch.Tensor

    def head(self, num_rows: int) -> "Projected":
        """The first rows only."""
        return Projected(query=self.query[:num_rows], keys_values=self.keys_values[:num_rows])


class Qwen3Moe:
    """The family's mathematics for one set of sizes."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    def read_layer(self, source: Checkpoint, layer: int) -> Layer:
        """Attention, norms and router of a layer."""
        c, at = self.config, f"model.layers.{layer}."
        query, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
        shapes = {"q": (query, c.hidden), "k": (kv, c.hidden), "v": (kv, c.hidden)}
        out = source.tensor(f"{at}self_attn.o_proj.weight", (c.hidden, query))
        return Layer(
            attention_norm=self._norm(source, f"{at}input_layernorm.weight"),
            qkv=torch.cat([source.tensor(f"{at}self_attn.{n}_proj.weight", s) for n, s in shapes.items()]),
            head_norm=self._head_norm(source, at),
            out=out.t(),
            expert_norm=self._norm(source, f"{at}post_attention_layernorm.weight"),
            router=source.tensor(f"{at}mlp.gate.weight", (c.experts, c.hidden)),
        )

    def read_expert(self, source: Checkpoint, layer: int, expert: int) -> Expert:
        """One expert, numbered in its layer."""
        c, at = self.config, f"model.layers.{layer}.mlp.experts.{expert}."
        gate, up = (source.tensor(f"{at}{name}_proj.weight", (c.expert_ffn, c.hidden)) for name in ("gate", "up"))
        return Expert(
            gate_up=torch.cat((gate, up)), down=source.tensor(f"{at}down_proj.weight", (c.hidden, c.expert_ffn))
        )

    def read_embedding(self, source: Checkpoint) -> torch.Tensor:
        """[vocab, hidden]."""
        return source.tensor("model.embed_tokens.weight", (self.config.vocab, self.config.hidden))

    def read_head(self, source: Checkpoint) -> Head:
        """What makes logits of hidden states."""
        tied, shape = self.config.tied_embeddings, (self.config.vocab, self.config.hidden)
        name = "model.embed_tokens.weight" if tied else "lm_head.weight"
        return Head(norm=self._norm(source, "model.norm.weight"), projection=source.tensor(name, shape))

    def project(self, layer: Layer, x: torch.Tensor, rotation: Rotation) -> Projected:
        """x [rows, hidden] -> what attention needs; `rotation` of the rows' positions."""
        c = self.config
        qkv = F.linear(layer.attention_norm(x), layer.qkv).view(-1, c.heads + 2 * c.kv_heads, c.head_dim)
        query_key = qkv[:, : c.heads + c.kv_heads]
        rotate(layer.head_norm(query_key), rotation, out=query_key)
        return Projected(query=qkv[:, : c.heads], keys_values=qkv[:, c.heads :])

    def add_attention(self, layer: Layer, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """The residual x [rows, hidden] plus the projection of attended [rows, heads * head_dim]."""
        return torch.addmm(x, attended, layer.out)

    def normed_for_experts(self, layer: Layer, x: torch.Tensor) -> torch.Tensor:
        """What router and experts see of x [rows, hidden]."""
        return layer.expert_norm(x)

    def route(self, layer: Layer, normed: torch.Tensor, num_rows: int) -> Routing:
        """The experts of the first `num_rows` of normed [rows, hidden]."""
        c = self.config
        logits = F.linear(normed, layer.router)[:num_rows]
        return route(logits, c.experts_per_token, normalise=c.normalise_router)

    def logits(self, head: Head, x: torch.Tensor) -> torch.Tensor:
        """x [rows, hidden] -> [rows, vocab]."""
        return F.linear(head.norm(x), head.projection)

    def _norm(self, source: Checkpoint, name: str) -> Norm:
        return make_norm(source.tensor(name, (self.config.hidden,)), self.config.norm_epsilon)

    def _head_norm(self, source: Checkpoint, at: str) -> Norm:
        """Queries' and keys' norms, [heads + kv_heads, head_dim]; the queries' includes 1/sqrt(head_dim)."""
        c = self.config
        query, key = (source.tensor(f"{at}self_attn.{name}_norm.weight", (c.head_dim,)).float() for name in "qk")
        scaled = torch.cat(((query * c.head_dim**-0.5).expand(c.heads, -1), key.expand(c.kv_heads, -1)))
        return make_norm(scaled, c.norm_epsilon)
