"""One step being filled: how the step's room is shared among those that decode and those whose prompts are computed.

Who decodes goes first, one token each. Of the room that is left the first in order is sure of half, so that it goes on
whatever comes; the rest goes to the shortest first, so that a short prompt does not wait for the long ones before it.
Nothing here knows who may run or where blocks come from.
"""

from collections.abc import Sequence as Sequences
from dataclasses import dataclass

from moe_wire.messages import Segment
from moe_worker.protocol.pool import BlockPool
from moe_worker.protocol.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Micro:
    """What goes into one step: segments, the tokens of each, and the sequences whose blocks have returned."""

    segments: tuple[Segment, ...]
    tokens: list[list[int]]
    freed: tuple[int, ...]


class Draft:
    """A step of at most `max_tokens`. What its segments fill is known to `pool` from now on."""

    def __init__(self, max_tokens: int, block_size: int, pool: BlockPool) -> None:
        self.room = max_tokens
        self.segments: list[Segment] = []
        self.tokens: list[list[int]] = []
        self._block_size = block_size
        self._pool = pool

    def prefill(self, sequences: Sequences[Sequence]) -> None:
        """Fill the room with chunks of these, which are in order."""
        if not sequences or not self.room:
            return
        first, *others = sequences
        kept = min(first.num_pending, -(-self.room // 2))
        self.room -= kept
        for sequence in sorted(others, key=lambda one: one.num_pending):
            if self.room:
                self.take(sequence)
        self.room += kept
        self.take(first)

    def take(self, sequence: Sequence) -> None:
        """As much of the sequence as there is room for; at its end the last stage samples."""
        start = sequence.scheduled
        count = min(sequence.num_pending, self.room)
        end = start + count
        self.room -= count
        new_blocks = tuple(sequence.blocks[sequence.num_announced :])
        sequence.num_announced = len(sequence.blocks)
        sequence.scheduled = end
        sampling = sequence.sampling if end == len(sequence.tokens) else None
        history = sequence.tell() if sampling is not None and sampling.needs_history else ()
        scoring = sequence.scoring(start, end) if sequence.is_scored else None
        self.segments.append(Segment(sequence.number, start, count, new_blocks, sampling, history, scoring))
        self.tokens.append(sequence.tokens[start:end])
        self._keep(sequence, start // self._block_size, end // self._block_size)

    def _keep(self, sequence: Sequence, first: int, last: int) -> None:
        """The blocks from `first` up to `last` are full once the step has been executed."""
        if first == last:
            return
        names = sequence.block_names(self._block_size)
        for index in range(first, last):
            self._pool.keep(sequence.blocks[index], names[index])
