"""The shape of a Mixture-of-Experts model and the sizes that follow from it. Knows no hardware and no layout."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What the planner needs of a model. Sizes are numbers of elements; every layer has the same `experts`."""

    layers: int
    experts: int
    experts_per_token: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    expert_ffn: int
    vocab: int
    gated: bool = True
    tied_embeddings: bool = False
    bytes_per_number: int = 2
    max_positions: int = 2048

    @property
    def total_experts(self) -> int:
        return self.layers * self.experts

    @property
    def expert_bytes(self) -> int:
        """Weights of one expert: three matrices of hidden x expert_ffn when gated, else two."""
        matrices = 3 if self.gated else 2
        return matrices * self.hidden * self.expert_ffn * self.bytes_per_number

    @property
    def attention_bytes(self) -> int:
        """Weights of one layer beside its experts: q, k, v, o, router and norms."""
        query = self.heads * self.head_dim
        key_value = self.kv_heads * self.head_dim
        projections = self.hidden * (2 * query + 2 * key_value)
        norms = 2 * self.hidden + 2 * self.head_dim
        router = self.hidden * self.experts
        return (projections + norms + router) * self.bytes_per_number

    @property
    def embedding_bytes(self) -> int:
        """One vocabulary x hidden matrix: the first stage embeds with one, the last projects with one."""
        return self.vocab * self.hidden * self.bytes_per_number

    @property
    def kv_bytes_per_token_per_layer(self) -> int:
        """2 (K and V) * kv_heads * head_dim * bytes per number."""
        return 2 * self.kv_heads * self.head_dim * self.bytes_per_number

    @property
    def parameters(self) -> int:
        """Numbers in the whole model; tied embeddings are counted once."""
        layer = self.attention_bytes + self.experts * self.expert_bytes
        embeddings = self.embedding_bytes * (1 if self.tied_embeddings else 2)
        return (self.layers * layer + embeddings) // self.bytes_per_number + self.hidden
