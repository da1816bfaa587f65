"""Sizes and constants of a checkpoint, whatever its family's words for them."""

from dataclasses import dataclass

from moe_worker.model.config_file import ConfigFile
from moe_worker.model.rotary import Rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """What all families have. `head_dim` is a query's and a key's; layers in `dense_layers` have no experts."""

    family: str
    layers: int
    experts: int
    experts_per_token: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    expert_ffn: int
    vocab: int
    max_positions: int
    norm_epsilon: float
    rotary: Rotary
    tied_embeddings: bool
    dense_layers: tuple[int, ...] = ()
    dense_ffn: int = 0

    def expert_ids(self, layers: range) -> list[int]:
        """The global ids, layer * experts + expert, of the experts that these layers have."""
        return [
            layer * self.experts + expert
            for layer in layers
            if layer not in self.dense_layers
            for expert in range(self.experts)
        ]


def read_sizes(
    file: ConfigFile,
    *,
    experts: str,
    expert_ffn: str,
    norm_epsilon: float,
    theta: float = 1e4,
    head_dim: int | None = None,
    rotary_dim: int | None = None,
    dense_layers: tuple[int, ...] = (),
) -> ModelConfig:
    """What families name alike, and two keys that they do not; `norm_epsilon` and `theta` are the family's defaults."""
    heads, hidden = file.number("num_attention_heads"), file.number("hidden_size")
    head_dim = head_dim or file.number_or("head_dim", hidden // heads)
    return ModelConfig(
        family=str(file.family),
        layers=file.number("num_hidden_layers"),
        experts=file.number(experts),
        experts_per_token=file.number("num_experts_per_tok"),
        hidden=hidden,
        heads=heads,
        kv_heads=file.number_or("num_key_value_heads", heads),
        head_dim=head_dim,
        expert_ffn=file.number(expert_ffn),
        vocab=file.number("vocab_size"),
        max_positions=file.number("max_position_embeddings"),
        norm_epsilon=file.real("rms_norm_eps", norm_epsilon),
        rotary=file.rotary(rotary_dim or head_dim, theta),
        tied_embeddings=file.flag("tie_word_embeddings", False),
        dense_layers=dense_layers,
        dense_ffn=file.number("intermediate_size") if dense_layers else 0,
    )
