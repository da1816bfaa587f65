"""One step's tokens inside one stage: activations, places in the cache, and where the router sent them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from moe_wire.messages import Segment
from moe_worker.kernels.routing import combine
from moe_worker.model.indices import index_tensor
from moe_worker.model.kv import LaneCache
from moe_worker.model.reads import Reads
from moe_worker.model.routing import Routing


@dataclass(slots=True, kw_only=True, eq=False)  # not frozen: made for every layer
class Dispatched:
    """The (row, choice) pairs of a layer in the order in which they went to the experts, expert by expert."""

    weights: torch.Tensor
    """[rows, 1, choices]"""
    experts: list[int]
    counts: list[int]
    rows: torch.Tensor | None
    """[rows * choices]: row; None where one row went to each of the experts."""
    places: torch.Tensor | None
    """[rows * choices]: where in that order the pair row * choices + choice is; None where it is in that place."""


@dataclass(slots=True, kw_only=True, eq=False)
class Batch:
    """`x` [max(num_rows, min_rows), hidden]: the residual stream. Rows from num_rows on are padding."""

    segments: Sequence[Segment]
    cache: LaneCache
    x: torch.Tensor
    num_rows: int
    min_rows: int
    reads: Reads
    dispatched: Dispatched | None = None


def dispatch(routing: Routing, device: torch.device) -> Dispatched:
    """Sorts the chosen (row, choice) pairs by expert; the rows of one expert stay in order."""
    weights = routing.weights.unsqueeze(1)
    if len(routing.experts) == 1:
        [chosen] = routing.experts
        return Dispatched(weights=weights, experts=chosen, counts=[1] * len(chosen), rows=None, places=None)
    flat = [expert for row in routing.experts for expert in row]
    order = sorted(range(len(flat)), key=flat.__getitem__)
    choices, places = len(routing.experts[0]), sorted(order, key=order.__getitem__)
    counts = Counter(map(flat.__getitem__, order))
    rows, inverse = index_tensor([*(pair // choices for pair in order), *places], device).view(2, -1).unbind()
    return Dispatched(weights=weights, experts=list(counts), counts=list(counts.values()), rows=rows, places=inverse)


def add_answers(batch: Batch, answers: torch.Tensor, *, is_native: bool) -> None:
    """Adds the weighted answers [rows * choices, hidden], in dispatched order, to the residual in router order."""
    sent, batch.dispatched = batch.dispatched, None
    assert sent is not None, "the layer has not been attended to, or has no experts"
    if is_native:
        combine(batch.x, answers, sent.places, sent.weights.squeeze(1))
        return
    routed = answers if sent.places is None else answers.index_select(0, sent.places)
    rows, _, choices = sent.weights.shape
    # In place, and past the padding: this stream is the batch's own since attention added to it. Number by number, as a
    # product of one row alone may round otherwise than one of many.
    stream, routed = batch.x[:rows], routed.view(rows, choices, -1)
    total = stream.float()
    for choice in range(choices):
        total += routed[:, choice].float() * sent.weights[:, :, choice]
    if total is not stream:
        stream.copy_(total)


def sampled_rows(batch: Batch) -> torch.Tensor:
    """The last rows of the segments that want a token, padded: [max(samples, min_rows), hidden]."""
    ends, row = [], 0
    for segment in batch.segments:
        row += segment.count
        if segment.sampling is not None:
            ends.append(row - 1)
    return padded_rows(batch, ends)


def padded_rows(batch: Batch, rows: Sequence[int]) -> torch.Tensor:
    """These rows of the residual stream, padded: [max(rows, min_rows), hidden]."""
    filled = [*rows, *[0] * (batch.min_rows - len(rows))]
    return batch.x.index_select(0, index_tensor(filled, batch.x.device))
