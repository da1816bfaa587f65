"""The shape of a Mixture-of-Experts model and the sizes that follow from it. Knows no hardware and no layout."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2): what is cached is one compressed row a token, not keys and values.

    `query_rank` 0: queries are projected directly.
    """

    kv_rank: int
    query_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What the planner needs of a model. Sizes are numbers of elements.

    Every layer has the same `experts`, but for `dense_layers`, which have one feed-forward network of width
    `dense_ffn` and no experts. `shared_ffn` is the summed width of a layer's experts that every token visits; they are
    computed where attention is. `attention_window`: tokens that a sliding-window layer looks back on, in
    `window_layers`. `expert_bits` and `kv_bits` 0: as `bytes_per_number`. `assumed` names the sizes that nobody gave,
    with the reason, e.g. ("expert_ffn", "from 10B parameters in all").
    """

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
    family: str = "qwen3_moe"
    dense_layers: tuple[int, ...] = ()
    dense_ffn: int = 0
    shared_ffn: int = 0
    latent: LatentAttention | None = None
    has_head_norms: bool = True
    has_attention_bias: bool = False
    has_expert_bias: bool = False
    has_sinks: bool = False
    attention_window: int = 0
    window_layers: tuple[int, ...] = ()
    expert_bits: float = 0
    kv_bits: float = 0
    assumed: tuple[tuple[str, str], ...] = ()

    @property
    def expert_layers(self) -> tuple[int, ...]:
        """The layers that have experts."""
        return tuple(layer for layer in range(self.layers) if layer not in self.dense_layers)

    @property
    def total_experts(self) -> int:
        return len(self.expert_layers) * self.experts

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
