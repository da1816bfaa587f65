"""One step's tokens inside one stage: their activations, where they lie in the cache, and where the router sent them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own short name)

from moe_wire.messages import Segment
from moe_worker.model.attention import Group, plan_groups
from moe_worker.model.blocks import MIN_ROWS, Routing
from moe_worker.model.kv import LaneCache


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dispatched:
    """The (row, choice) pairs of a layer in the order in which they went to the experts, expert by expert."""

    weights: torch.Tensor
    """[rows, choices]"""
    experts: list[int]
    counts: list[int]
    order: torch.Tensor
    """[rows * choices]: row * choices + choice"""


@dataclass(slots=True, kw_only=True, eq=False)
class Batch:
    """`x` [max(num_rows, MIN_ROWS), hidden]: the residual stream. Rows from num_rows on are padding."""

    segments: Sequence[Segment]
    cache: LaneCache
    x: torch.Tensor
    num_rows: int
    rotation: torch.Tensor
    slots: torch.Tensor
    groups: list[Group]
    dispatched: Dispatched | None = None


def make_batch(cache: LaneCache, segments: Sequence[Segment], x: torch.Tensor, rotary: torch.Tensor) -> Batch:
    """The batch of segments that the cache already counts; `rotary` [positions, 2, head_dim] is the whole table."""
    positions = [p for segment in segments for p in range(segment.start, segment.start + segment.count)]
    slots = [slot for segment in segments for slot in cache.slots(segment)]
    padded = positions + [0] * (len(x) - len(positions))
    return Batch(
        segments=segments,
        cache=cache,
        x=x,
        num_rows=len(positions),
        rotation=rotary.index_select(0, torch.tensor(padded, device=x.device)),
        slots=torch.tensor(slots, device=x.device),
        groups=plan_groups(cache, segments),
    )


def dispatch(routing: Routing, device: torch.device) -> Dispatched:
    """Sorts the chosen (row, choice) pairs by expert; the rows of one expert stay in order."""
    flat = [expert for row in routing.experts for expert in row]
    order = sorted(range(len(flat)), key=flat.__getitem__)
    counts: dict[int, int] = {}
    for place in order:
        counts[flat[place]] = counts.get(flat[place], 0) + 1
    return Dispatched(
        weights=routing.weights,
        experts=list(counts),
        counts=list(counts.values()),
        order=torch.tensor(order, device=device),
    )


def combine(x: torch.Tensor, dispatched: Dispatched, answers: torch.Tensor) -> torch.Tensor:
    """x plus the weighted answers [rows * choices, hidden], which come in dispatched order, summed in the router's order."""
    rows, choices = dispatched.weights.shape
    routed = torch.empty_like(answers).index_copy_(0, dispatched.order, answers).view(rows, choices, -1)
    total = (routed * dispatched.weights[..., None]).sum(1)
    return x + pad_rows(total, len(x))


def pad_rows(x: torch.Tensor, rows: int) -> torch.Tensor:
    """x [n, width] with zero rows up to `rows`."""
    return x if len(x) == rows else F.pad(x, (0, 0, 0, rows - len(x)))


def sampled_rows(batch: Batch) -> torch.Tensor:
    """The last rows of the segments that want a token, with padding up to MIN_ROWS: [max(samples, MIN_ROWS), hidden]."""
    ends, row = [], 0
    for segment in batch.segments:
        row += segment.count
        if segment.sampling is not None:
            ends.append(row - 1)
    ends += [0] * (MIN_ROWS - len(ends))
    return batch.x.index_select(0, torch.tensor(ends, device=batch.x.device))
