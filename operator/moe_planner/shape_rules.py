"""What must hold of a model's shape alone: every size sane, and none that contradicts another."""

from moe_planner.checks import check_flag, check_is, check_items, check_real, check_whole
from moe_planner.errors import PlanError
from moe_planner.limits import MOST_EXPERTS, MOST_EXPERTS_IN_ALL, MOST_LAYERS, shown
from moe_planner.model import LatentAttention, ModelShape

_MOST_BITS = 64
_FLAGS = {
    "gated": "gated",
    "tiedEmbeddings": "tied_embeddings",
    "headNorms": "has_head_norms",
    "projectionNorms": "has_projection_norms",
    "attentionBias": "has_attention_bias",
    "outputBias": "has_output_bias",
    "routerBias": "has_router_bias",
    "expertBias": "has_expert_bias",
    "sharedGate": "has_shared_gate",
    "attentionSinks": "has_sinks",
}


def check_shape(shape: ModelShape) -> None:
    """Raises PlanError for the first rule that is broken, by the field of spec.model.shape."""
    _check_sizes(shape)
    check_is("model.shape.family", shape.family, str)
    _check_assumed(shape.assumed)
    for word, name in _FLAGS.items():
        check_flag(f"model.shape.{word}", getattr(shape, name))
    if shape.latent is not None:
        _check_latent(shape.latent)
    _check_layer_list("model.shape.denseLayers", shape.dense_layers, shape.layers)
    _check_layer_list("model.shape.windowLayers", shape.window_layers, shape.layers)
    _check_feed_forward(shape)
    _check_chosen(shape)


def _check_sizes(shape: ModelShape) -> None:
    check_whole("model.shape.layers", shape.layers, most=MOST_LAYERS)
    check_whole("model.shape.experts", shape.experts, most=MOST_EXPERTS)
    check_whole("model.shape.expertsPerToken", shape.experts_per_token, most=MOST_EXPERTS)
    sizes = {
        "model.shape.hiddenSize": shape.hidden,
        "model.shape.heads": shape.heads,
        "model.shape.keyValueHeads": shape.kv_heads,
        "model.shape.headSize": shape.head_dim,
        "model.shape.expertFfnSize": shape.expert_ffn,
        "engine.maxSequenceLength": shape.max_positions,
    }
    for field, value in sizes.items():
        check_whole(field, value)
    or_none = {
        "model.shape.vocabularySize": shape.vocab,
        "model.shape.denseFfnSize": shape.dense_ffn,
        "model.shape.sharedFfnSize": shape.shared_ffn,
        "model.shape.attentionWindow": shape.attention_window,
    }
    for field, value in or_none.items():
        check_whole(field, value, least=0)
    check_whole("model.dtype", shape.bytes_per_number, most=_MOST_BITS // 8)
    bits = {"expertBits": shape.expert_bits, "projectionBits": shape.projection_bits, "keyValueBits": shape.kv_bits}
    for name, number in bits.items():
        check_real(f"model.shape.{name}", number, most=_MOST_BITS, can_be_least=True)


def _check_assumed(assumed: tuple[tuple[str, str], ...]) -> None:
    check_items("model.assumed", assumed)
    for pair in assumed:
        if not isinstance(pair, tuple) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise PlanError("model.assumed", shown(pair), "must be a size and where it is from", "write two texts")


def _check_latent(latent: LatentAttention) -> None:
    check_is("model.shape.latentAttention", latent, LatentAttention)
    sizes = {
        "keyValueRank": latent.kv_rank,
        "ropeSize": latent.rope_dim,
        "nopeSize": latent.nope_dim,
        "valueSize": latent.value_dim,
    }
    for name, value in sizes.items():
        check_whole(f"model.shape.latentAttention.{name}", value)
    check_whole("model.shape.latentAttention.queryRank", latent.query_rank, least=0)


def _check_layer_list(field: str, layers: tuple[int, ...], num_layers: int) -> None:
    check_items(field, layers)
    for layer in layers:
        check_whole(field, layer, least=0, most=num_layers - 1)
    if len(set(layers)) < len(layers):
        raise PlanError(field, shown(layers), "names a layer twice", "name each layer once")


def _check_feed_forward(shape: ModelShape) -> None:
    if len(shape.dense_layers) == shape.layers:
        raise PlanError(
            "model.shape.denseLayers",
            shown(shape.dense_layers),
            f"leaves none of the {shape.layers} layers with experts",
            "use a Mixture-of-Experts model, or name fewer layers",
        )
    needed = {
        "model.shape.denseFfnSize": (shape.dense_ffn, shape.dense_layers, "denseLayers"),
        "model.shape.attentionWindow": (shape.attention_window, shape.window_layers, "windowLayers"),
    }
    for field, (size, layers, name) in needed.items():
        if layers and not size:
            raise PlanError(field, size, f"must be given for model.shape.{name}", "write a positive number")
    if shape.total_experts > MOST_EXPERTS_IN_ALL:
        rule = f"{len(shape.expert_layers)} layers have {shape.total_experts} experts, more than {MOST_EXPERTS_IN_ALL}"
        raise PlanError("model.shape.experts", shape.experts, rule, "write the true number")


def _check_chosen(shape: ModelShape) -> None:
    if shape.experts_per_token > shape.experts:
        raise PlanError(
            "model.shape.expertsPerToken",
            shape.experts_per_token,
            f"a layer has only {shape.experts} experts to choose from",
            f"use 1 to {shape.experts}",
        )
    if shape.heads % shape.kv_heads:
        raise PlanError(
            "model.shape.keyValueHeads",
            shape.kv_heads,
            f"must divide the {shape.heads} query heads",
            f"use a divisor of {shape.heads}",
        )
