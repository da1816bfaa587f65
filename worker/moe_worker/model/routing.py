"""Routers: which experts a token goes to, and with what weights."""

from dataclasses import dataclass

import torch

from moe_worker.kernels.routing import choose as choose_natively
from moe_worker.model.blocks import to_dtype
from moe_worker.model.projection import AnyProjection, NativeProjection


@dataclass(slots=True, kw_only=True, eq=False)  # not frozen: made for every layer
class Routing:
    """`experts` [row][choice], the likeliest first, numbered in the layer; `weights` [rows, choices]."""

    experts: list[list[int]]
    weights: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Experts in `count` equal runs, of which a token sees the `chosen` with the likeliest experts."""

    count: int
    chosen: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Router:
    """Softmax over a layer's experts, and the likeliest `choices` of them.

    `is_normalised`: the weights of the chosen add up to 1, which equals the softmax over their logits alone. `scale`
    multiplies them. `is_wide`: logits are computed in fp32, with a weight that is.
    """

    projection: AnyProjection
    choices: int
    is_normalised: bool
    scale: float = 1.0
    groups: Groups | None = None
    is_wide: bool = False

    def __call__(self, normed: torch.Tensor, num_rows: int) -> Routing:
        """The experts of the first `num_rows` of normed [rows, hidden]."""
        logits = self.projection(to_dtype(normed, torch.float32) if self.is_wide else normed)[:num_rows]
        if isinstance(self.projection, NativeProjection):
            return _choose_natively(self, logits, normed.dtype)
        return choose(self, logits, normed.dtype)


def choose(router: Router, logits: torch.Tensor, dtype: torch.dtype) -> Routing:
    """The routing of logits [rows, experts], with weights of `dtype`."""
    if router.is_normalised:
        values, chosen = torch.topk(logits, router.choices, dim=-1)
        weights = torch.softmax(to_dtype(values, torch.float32), dim=-1)
    else:
        probabilities = torch.softmax(logits, dim=-1, dtype=torch.float32)
        if router.groups:
            probabilities = _within(router.groups, probabilities)
        weights, chosen = torch.topk(probabilities, router.choices, dim=-1)
    if router.scale != 1.0:
        weights = weights * router.scale
    return Routing(experts=chosen.tolist(), weights=to_dtype(weights, dtype))


def _choose_natively(router: Router, logits: torch.Tensor, dtype: torch.dtype) -> Routing:
    count, most = (router.groups.count, router.groups.chosen) if router.groups else (0, 0)
    chosen, weights = choose_natively(
        logits,
        router.choices,
        is_normalised=router.is_normalised,
        scale=router.scale,
        groups=count,
        chosen_groups=most,
    )
    return Routing(experts=chosen.tolist(), weights=to_dtype(weights, dtype))


def _within(groups: Groups, probabilities: torch.Tensor) -> torch.Tensor:
    """The probabilities [rows, experts] without those of the groups that are not chosen."""
    grouped = probabilities.view(len(probabilities), groups.count, -1)
    best = torch.topk(grouped.amax(-1), groups.chosen, dim=-1).indices
    kept = torch.zeros_like(grouped[..., 0]).scatter_(1, best, 1.0)
    return (grouped * kept.unsqueeze(-1)).flatten(1)
