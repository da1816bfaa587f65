"""What a family of checkpoints tells the engine: its sizes, its tensors, and what a layer computes with them.

Which layers, experts and ends are present is decided outside; nothing here knows that there are others. A family's
file says what is its own; what all families share is here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch

from moe_worker.model.blocks import AnyNorm, make_norm
from moe_worker.model.checkpoint import Checkpoint
from moe_worker.model.config import ModelConfig
from moe_worker.model.config_file import ConfigFile
from moe_worker.model.feed_forward import AnyFeedForward, read_feed_forward
from moe_worker.model.head_attention import Attention
from moe_worker.model.projection import AnyProjection, make_projection
from moe_worker.model.routing import Router


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """What follows attention, but for the experts: their router, and what every token visits.

    A layer without experts has no router, and its one network is `shared`.
    """

    router: Router | None
    shared: Callable[[torch.Tensor], torch.Tensor] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """A layer but its experts."""

    attention_norm: AnyNorm
    attention: Attention
    mixture_norm: AnyNorm
    mixture: Mixture


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """The end of the model: final norm and output projection."""

    norm: AnyNorm
    projection: AnyProjection

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """x [rows, hidden] -> [rows, vocab]."""
        return self.projection(self.norm(x))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a token has in the cache of one layer: `heads` rows of `width` numbers."""

    heads: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(ABC):
    """One checkpoint's family with its sizes."""

    packings: ClassVar[tuple[str, ...]] = ()
    """Values of quantization_config.quant_method that `read_expert` unpacks."""

    config: ModelConfig

    @classmethod
    @abstractmethod
    def read(cls, file: ConfigFile) -> Self:
        """From config.json; raises CheckpointError for variants that would change the numbers."""

    @abstractmethod
    def read_attention(self, source: Checkpoint, layer: int) -> Attention:
        """The attention of a layer."""

    @abstractmethod
    def read_mixture(self, source: Checkpoint, layer: int) -> Mixture:
        """The router of a layer that has experts, and what it computes for every token."""

    @abstractmethod
    def read_expert(self, source: Checkpoint, layer: int, expert: int) -> AnyFeedForward:
        """One expert, numbered in its layer."""

    @property
    @abstractmethod
    def traits(self) -> Mapping[str, object]:
        """What there is beside the sizes, in the words of spec.model.shape."""

    @property
    def row(self) -> Row:
        """Keys' heads, then values' heads."""
        return Row(heads=2 * self.config.kv_heads, width=self.config.head_dim)

    def read_layer(self, source: Checkpoint, layer: int) -> Layer:
        """A layer but its experts."""
        at = layer_name(layer)
        if layer in self.config.dense_layers:
            ffn = self.config.dense_ffn
            mixture = Mixture(router=None, shared=read_feed_forward(source, f"{at}mlp.", self.config.hidden, ffn))
        else:
            mixture = self.read_mixture(source, layer)
        return Layer(
            attention_norm=self.read_norm(source, f"{at}input_layernorm"),
            attention=self.read_attention(source, layer),
            mixture_norm=self.read_norm(source, f"{at}post_attention_layernorm"),
            mixture=mixture,
        )

    def read_embedding(self, source: Checkpoint) -> torch.Tensor:
        """[vocab, hidden]."""
        return source.tensor("model.embed_tokens.weight", (self.config.vocab, self.config.hidden))

    def read_head(self, source: Checkpoint) -> Head:
        """What makes logits of hidden states."""
        tied, shape = self.config.tied_embeddings, (self.config.vocab, self.config.hidden)
        name = "model.embed_tokens.weight" if tied else "lm_head.weight"
        projection = make_projection(source.tensor(name, shape), is_native=source.is_native)
        return Head(norm=self.read_norm(source, "model.norm"), projection=projection)

    def read_norm(self, source: Checkpoint, name: str) -> AnyNorm:
        """An RMS norm over the hidden width."""
        weight = source.tensor(f"{name}.weight", (self.config.hidden,))
        return make_norm(weight, self.config.norm_epsilon, is_native=source.is_native)


def layer_name(layer: int) -> str:
    """How the names of a layer's tensors begin."""
    return f"model.layers.{layer}."
