"""What the protocol asks of the model: the only door between them.

The protocol never looks into a Batch or a Payload, and the model never learns of ranks, terms or messages. Every
method is deterministic in its arguments and the lane's cache, whatever was batched with what: that is why work may be
done again elsewhere. An exception from any method means that the device can no longer be trusted; the process is
expected to die of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from moe_wire.messages import Logprobs, Payload, Segment

Batch = Any
"""A step's activations in one stage. Opaque: made by begin(), changed by attend() and combine(), ended by finish()."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """(sequence, token) for each segment that asked for a sample, in the order of the segments.

    `logprobs` is empty, or has one for each of the tokens (None where nobody asked). `scored`: the sequence of each
    segment with targets, and theirs.
    """

    tokens: tuple[tuple[int, int], ...]
    logprobs: tuple[Logprobs | None, ...] = ()
    scored: tuple[tuple[int, tuple[Logprobs, ...]], ...] = ()


@dataclass(slots=True)  # not frozen: made for every sub-batch
class Routed:
    """The rows, in the batch's order, that the router sends to one expert (global id)."""

    expert: int
    rows: Payload


class Compute(Protocol):
    """One stage's layers on one device. Layers and experts carry the model's global numbers."""

    def open_lane(self, lane: int) -> None:
        """Start with an empty KV cache and no block tables for the lane."""

    def drop_lane(self, lane: int) -> None:
        """Forget the lane's KV cache and block tables. Its unfinished batches are never touched again."""

    def free(self, lane: int, sequences: Sequence[int]) -> None:
        """Forget the block tables of these sequences; their blocks may be shared still, or named anew for others."""

    def begin(
        self, lane: int, segments: Sequence[Segment], tokens: Sequence[Sequence[int]] | None, hidden: Payload | None
    ) -> Batch:
        """Append each segment's new blocks to its sequence's table and make the batch: rows follow the segments in
        order. Blocks before a sequence's first segment are full and stay as they are; all others begin empty.

        The first stage gets `tokens` (one list per segment) and embeds them; others get `hidden` [rows, hidden size].
        """

    def attend(self, batch: Batch, layer: int) -> Sequence[Routed]:
        """Norm, attention over the lane's paged cache (writing K and V), residual, norm, router.

        One Routed per distinct chosen expert; none for a layer without experts.
        """

    def expert(self, expert: int, rows: Sequence[Payload]) -> Sequence[Payload]:
        """Run one held expert over all the sub-batches in one pass over its weights; answers in the same order."""

    def combine(self, batch: Batch, layer: int, answers: Mapping[int, Payload]) -> None:
        """Add the weighted answers (one for each Routed) to the residual, in router order, never in the mapping's."""

    def finish(self, batch: Batch) -> Payload | Sampled:
        """The hidden states for the next stage; in the last stage the sampled tokens.

        A token is a pure function of its segment's logits, sampling parameters, position (start + count) and, where
        they need it, the sequence's history: all that its segments have told since it was last freed.
        """

    def load(self, expert: int) -> None:
        """Start loading an expert's weights and return at once."""

    def loaded(self) -> Iterable[tuple[int, str | None]]:
        """Loads that have ended since the last call: (expert, None) or (expert, what went wrong)."""

    def drop(self, expert: int) -> None:
        """Forget an expert's weights, or a load of it under way."""
