"""Routing of tokens, the way back of their experts' answers, and norms."""

import torch

from moe_worker.kernels.library import ADDRESS, FLOAT, NUMBER, kernels

CHOOSE = kernels("moe_choose", ADDRESS, *(NUMBER,) * 3, FLOAT, NUMBER, NUMBER, ADDRESS, ADDRESS, NUMBER)
COMBINE = kernels("moe_combine", *(ADDRESS,) * 4, *(NUMBER,) * 3)
NORM = kernels("moe_norm", ADDRESS, NUMBER, ADDRESS, FLOAT, ADDRESS, NUMBER, NUMBER)


def choose(
    logits: torch.Tensor, choices: int, *, is_normalised: bool, scale: float, groups: int, chosen_groups: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """logits [rows, experts] -> the experts and their weights, [rows, choices] each, the likeliest first; of equal ones
    the first. `groups` above 0: only experts of the likeliest `chosen_groups` of so many equal runs.
    """
    rows, experts = logits.shape
    chosen = torch.empty((rows, choices), dtype=torch.int64)
    weights = logits.new_empty((rows, choices))
    CHOOSE[logits.dtype](
        logits.data_ptr(),
        experts,
        choices,
        is_normalised,
        scale,
        groups,
        chosen_groups,
        chosen.data_ptr(),
        weights.data_ptr(),
        rows,
    )
    return chosen, weights


def combine(stream: torch.Tensor, answers: torch.Tensor, places: torch.Tensor | None, weights: torch.Tensor) -> None:
    """Adds to stream [rows, hidden] its weighted answers: of weights [rows, choices], that of pair row * choices +
    choice is answers[places[pair]] (places None: answers[pair]).
    """
    rows, choices = weights.shape
    at = 0 if places is None else places.data_ptr()
    COMBINE[stream.dtype](stream.data_ptr(), answers.data_ptr(), at, weights.data_ptr(), rows, choices, stream.shape[1])


def norm(x: torch.Tensor, weight: torch.Tensor, floor: float) -> torch.Tensor:
    """x [rows, width], whose rows may lie apart, times weight [width] / sqrt(sum of its squares + floor)."""
    rows, width = x.shape
    out = x.new_empty((rows, width))
    NORM[x.dtype](x.data_ptr(), x.stride(0), weight.data_ptr(), floor, out.data_ptr(), rows, width)
    return out
