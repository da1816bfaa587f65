"""The shape of a Mixture-of-Experts model and the sizes that follow from it. Knows no hardware and no layout."""

from dataclasses import dataclass
from math import ceil


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
    `window_layers`. `vocab` 0: not known, no embeddings are counted. `has_attention_bias` is that of queries, keys and
    values, `has_projection_norms` normalises all heads of the queries and of the keys at once (OLMoE). `expert_bits`,
    `projection_bits` (the matrices of attention, shared experts and dense layers) and `kv_bits` 0: as
    `bytes_per_number`; scales of a block are part of its numbers' bits. `assumed` names the sizes that nobody gave,
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
    has_projection_norms: bool = False
    has_attention_bias: bool = False
    has_output_bias: bool = False
    has_router_bias: bool = False
    has_expert_bias: bool = False
    has_shared_gate: bool = False
    has_sinks: bool = False
    attention_window: int = 0
    window_layers: tuple[int, ...] = ()
    expert_bits: float = 0
    projection_bits: float = 0
    kv_bits: float = 0
    assumed: tuple[tuple[str, str], ...] = ()

    @property
    def expert_layers(self) -> tuple[int, ...]:
        """The layers that have experts."""
        dense = frozenset(self.dense_layers)
        return tuple(layer for layer in range(self.layers) if layer not in dense)

    @property
    def num_expert_layers(self) -> int:
        return self.layers - len(self.dense_layers)

    @property
    def total_experts(self) -> int:
        return self.num_expert_layers * self.experts

    @property
    def attention_parameters(self) -> int:
        """The matrices of one layer's attention: q, k, v, o, or those of latent attention."""
        if self.latent is None:
            return 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        latent = self.latent
        key = latent.nope_dim + latent.rope_dim
        rows = (self.hidden + self.heads * key) * latent.query_rank or self.hidden * self.heads * key
        down = self.hidden * (latent.kv_rank + latent.rope_dim)
        up = latent.kv_rank * self.heads * (latent.nope_dim + latent.value_dim)
        return rows + down + up + self.heads * latent.value_dim * self.hidden

    @property
    def vector_parameters(self) -> int:
        """One layer's norms, attention biases and sinks."""
        sinks = self.heads * self.has_sinks
        output = self.hidden * self.has_output_bias
        return 2 * self.hidden + self._attention_norms + self._attention_biases + output + sinks

    @property
    def router_parameters(self) -> int:
        return (self.hidden + self.has_router_bias) * self.experts

    @property
    def expert_parameters(self) -> int:
        """One expert: its matrices and, where it has them, their biases."""
        return self._matrices * self.hidden * self.expert_ffn + self._expert_biases

    @property
    def shared_parameters(self) -> int:
        """One layer's experts that every token visits, and the gate before them."""
        return self._matrices * self.hidden * self.shared_ffn + self.hidden * self.has_shared_gate

    @property
    def dense_parameters(self) -> int:
        """The feed-forward network of a layer without experts."""
        return self._matrices * self.hidden * self.dense_ffn

    @property
    def embedding_parameters(self) -> int:
        """Both vocabulary x hidden matrices; tied ones are counted once."""
        return self.vocab * self.hidden * (1 if self.tied_embeddings else 2)

    @property
    def parameters(self) -> int:
        """Numbers in the whole model, the last norm included."""
        layer = self.attention_parameters + self.vector_parameters
        expert_layer = self.router_parameters + self.shared_parameters + self.experts * self.expert_parameters
        dense = len(self.dense_layers) * self.dense_parameters
        others = self.embedding_parameters + self.hidden
        return self.layers * layer + self.num_expert_layers * expert_layer + dense + others

    @property
    def active_parameters(self) -> int:
        """Numbers that one token meets: all of them but the experts it was not sent to."""
        idle = self.num_expert_layers * (self.experts - self.experts_per_token)
        return self.parameters - idle * self.expert_parameters

    @property
    def expert_bytes(self) -> int:
        """Weights of one expert: three matrices of hidden x expert_ffn when gated, else two; biases are not packed."""
        matrices = self._matrices * self.hidden * self.expert_ffn
        return self._bytes(matrices, self.expert_bits) + self._bytes(self._expert_biases)

    @property
    def router_bytes(self) -> int:
        return self._bytes(self.router_parameters)

    @property
    def shared_bytes(self) -> int:
        """Weights of one layer's experts that every token visits."""
        return self._bytes(self.shared_parameters, self.projection_bits)

    @property
    def dense_bytes(self) -> int:
        """Weights of the feed-forward network of a layer without experts."""
        return self._bytes(self.dense_parameters, self.projection_bits)

    @property
    def embedding_bytes(self) -> int:
        """One vocabulary x hidden matrix: the first stage embeds with one, the last projects with one."""
        return self._bytes(self.vocab * self.hidden)

    def attention_bytes_of(self, layer: int) -> int:
        """Weights of a layer that every rank of its stage holds, all but its routed experts.

        Attention with its norms, and the router and the shared experts, or the dense feed-forward network.
        """
        return self._replicated_bytes(is_dense=layer in self.dense_layers)

    @property
    def attention_bytes(self) -> int:
        """`attention_bytes_of` the largest layer."""
        expert_layer = self._replicated_bytes(is_dense=False)
        return max(expert_layer, self._replicated_bytes(is_dense=True)) if self.dense_layers else expert_layer

    @property
    def kv_bytes_per_token_per_layer(self) -> int:
        """What one layer caches of one token, the same in all: K and V of each KV head, or the one compressed row."""
        if self.latent is None:
            return self._bytes(2 * self.kv_heads * self.head_dim, self.kv_bits)
        return self._bytes(self.latent.kv_rank + self.latent.rope_dim, self.kv_bits)

    def tokens_seen(self, layer: int, length: int) -> int:
        """How many tokens of a sequence of `length` a layer's attention can look at."""
        return min(length, self.attention_window) if layer in self.window_layers else length

    def kv_bytes(self, layer: int, length: int) -> int:
        """What a layer has to keep of one sequence: all of its tokens, or those in the window."""
        return self.tokens_seen(layer, length) * self.kv_bytes_per_token_per_layer

    @property
    def _matrices(self) -> int:
        return 3 if self.gated else 2

    @property
    def _expert_biases(self) -> int:
        return ((self._matrices - 1) * self.expert_ffn + self.hidden) * self.has_expert_bias

    @property
    def _attention_norms(self) -> int:
        if self.latent is not None:
            return self.latent.query_rank + self.latent.kv_rank
        heads = (self.heads + self.kv_heads) * self.head_dim * self.has_projection_norms
        return heads + 2 * self.head_dim * self.has_head_norms

    @property
    def _attention_biases(self) -> int:
        if not self.has_attention_bias:
            return 0
        if self.latent is not None:
            return self.latent.query_rank + self.latent.kv_rank + self.latent.rope_dim
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    def _replicated_bytes(self, *, is_dense: bool) -> int:
        attention = self._bytes(self.attention_parameters, self.projection_bits) + self._bytes(self.vector_parameters)
        return attention + (self.dense_bytes if is_dense else self.router_bytes + self.shared_bytes)

    def _bytes(self, numbers: int, bits: float = 0) -> int:
        return ceil(numbers * bits / 8) if bits else numbers * self.bytes_per_number
