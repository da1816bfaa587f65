"""A model of which only the totals are known -> ModelShape: what nobody gave is derived or assumed, and says so."""

from dataclasses import replace

from moe_planner.checks import check_whole
from moe_planner.errors import PlanError
from moe_planner.limits import shown
from moe_planner.model import ModelShape
from moe_planner.shape_rules import check_shape

_MOST_PARAMETERS = 10**18


def shape_from_totals(
    *,
    parameters: int,
    layers: int,
    experts: int,
    hidden: int,
    heads: int,
    head_dim: int,
    kv_heads: int | None = None,
    vocab: int = 0,
    experts_per_token: int | None = None,
    gated: bool = False,
    bytes_per_number: int = 2,
    max_positions: int = 2048,
) -> ModelShape:
    """The shape whose experts take what attention, router, norms and embeddings leave of the parameters.

    The experts' width is p / (matrices * hidden) for p = (parameters - the rest) / (layers * experts) numbers in an
    expert. Raises PlanError when nothing is left, and for sizes that cannot be.
    """
    check_whole("model.parameters", parameters, most=_MOST_PARAMETERS)
    rest = ModelShape(
        layers=layers,
        experts=experts,
        experts_per_token=1 if experts_per_token is None else experts_per_token,
        hidden=hidden,
        heads=heads,
        kv_heads=heads if kv_heads is None else kv_heads,
        head_dim=head_dim,
        expert_ffn=0,
        vocab=vocab,
        gated=gated,
        bytes_per_number=bytes_per_number,
        max_positions=max_positions,
        family="declared",
        has_head_norms=False,
    )
    check_shape(replace(rest, expert_ffn=1))
    matrices = 3 if gated else 2
    width = (parameters - rest.parameters) // (layers * experts * matrices * hidden)
    if width < 1:
        raise PlanError(
            "model.parameters",
            shown(parameters),
            f"attention, routers and embeddings alone have {shown(rest.parameters)}, so nothing is left for experts",
            "write the parameters of the whole model, or fewer layers or a smaller hidden size",
        )
    assumed = [("expert_ffn", f"{width} from {parameters:.4g} parameters in all, {matrices} matrices an expert")]
    if experts_per_token is None:
        assumed.append(("experts_per_token", "not given, so 1; each more adds as much expert work and traffic again"))
    if not vocab:
        assumed.append(("vocab", "not given, so embeddings are not counted"))
    return replace(rest, expert_ffn=width, assumed=tuple(assumed))
