"""What one token costs in floating-point operations: two for each weight it meets, and its attention scores.

Knows no hardware and no layout. A token at position s attends to s tokens before it, in a window layer to no more than
the window.
"""

from moe_planner.model import ModelShape


def expert_flops(shape: ModelShape) -> int:
    """One token in one expert: 2 * matrices * hidden * width."""
    return 2 * (3 if shape.gated else 2) * shape.hidden * shape.expert_ffn


def lane_flops(shape: ModelShape, layer: int) -> int:
    """One token in one layer beside its chosen experts: attention, router, shared and dense networks."""
    if layer in shape.dense_layers:
        return 2 * (shape.attention_parameters + shape.dense_parameters)
    return 2 * (shape.attention_parameters + shape.hidden * shape.experts + shape.shared_parameters)


def score_flops(shape: ModelShape) -> int:
    """One token in one layer for each token it attends to: 2 * heads * size for q.k, as much for the weighted sum.

    With latent attention the values have a size of their own.
    """
    if shape.latent is None:
        return 4 * shape.heads * shape.head_dim
    return 2 * shape.heads * (shape.latent.nope_dim + shape.latent.rope_dim + shape.latent.value_dim)


def output_flops(shape: ModelShape) -> int:
    """The projection on the vocabulary, of the tokens that are sampled only."""
    return 2 * shape.vocab * shape.hidden


def mean_tokens_seen(length: int, last_seen: int) -> float:
    """Tokens that a token of a prompt attends to, as the mean over the prompt, when its last attends to `last_seen`.

    Half of the prompt, and less where a window cuts it.
    """
    return last_seen - last_seen * last_seen / (2 * length)


def decode_flops(shape: ModelShape, context: int) -> float:
    """A token that is generated after `context` others, without the projection on the vocabulary."""
    seen = sum(shape.tokens_seen(layer, context) for layer in range(shape.layers))
    return _matrix_flops(shape) + score_flops(shape) * seen


def prefill_flops(shape: ModelShape, length: int) -> float:
    """A token of a prompt, as the mean over the prompt's tokens."""
    seen = sum(mean_tokens_seen(length, shape.tokens_seen(layer, length)) for layer in range(shape.layers))
    return _matrix_flops(shape) + score_flops(shape) * seen


def _matrix_flops(shape: ModelShape) -> int:
    chosen = shape.num_expert_layers * shape.experts_per_token * expert_flops(shape)
    return chosen + sum(lane_flops(shape, layer) for layer in range(shape.layers))
