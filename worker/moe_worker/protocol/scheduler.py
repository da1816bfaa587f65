"""Which tokens of which sequences go into a lane's next step, and which KV blocks they may use. Pure data, no
messages.

Running and waiting sequences together are always in order of arrival: everyone running came before everyone waiting.
Each step takes first one token of every sequence that has just one pending (decode), then chunks of longer ones
(prefill), oldest first, up to `max_step_tokens`. A sequence is admitted when blocks for all its known tokens are free;
while it grows and none is free, the youngest running one goes back to the front of the waiting ones and is computed
again later. The oldest is therefore never put back but by its own lack, which cannot be as long as one sequence fits
alone; so everything finishes.

Blocks may be given to another sequence at once when one ends: a lane's ranks execute steps in order, so whatever still
uses them in flight is over before the step that names them anew.
"""

from collections import OrderedDict
from dataclasses import dataclass

from moe_wire.messages import Segment
from moe_worker.protocol.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Micro:
    """What goes into one step: segments, the tokens of each, and the sequences whose blocks have returned."""

    segments: tuple[Segment, ...]
    tokens: list[list[int]]
    freed: tuple[int, ...]


class Scheduler:
    """One lane's sequences and blocks. Requests are named uniquely by the caller."""

    def __init__(self, *, block_size: int, num_blocks: int, max_step_tokens: int) -> None:
        self._block_size = block_size
        self._num_blocks = num_blocks
        self._max_step_tokens = max_step_tokens
        self._running: OrderedDict[int, Sequence] = OrderedDict()
        self._waiting: OrderedDict[bytes, Sequence] = OrderedDict()
        self._last_number = 0
        self._free_blocks = list(range(num_blocks))
        self._freed: list[int] = []

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def blocks_used(self) -> int:
        return self._num_blocks - len(self._free_blocks)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence that fits into an empty lane."""
        self._waiting[sequence.request] = sequence

    def remove(self, sequence: Sequence) -> None:
        """It has finished, or nobody wants it any more: its blocks are free at once."""
        if sequence.number:
            del self._running[sequence.number]
            self._release(sequence)
        else:
            del self._waiting[sequence.request]

    def accept(self, number: int, token: int) -> Sequence | None:
        """Append a sampled token; None where the number names no running sequence (any more)."""
        sequence = self._running.get(number)
        if sequence is not None:
            sequence.tokens.append(token)
        return sequence

    def restart(self) -> None:
        """The lane's caches are empty: everything waits again, in order, and every block is free."""
        while self._running:
            self._put_back()
        self._freed.clear()
        assert self.blocks_used == 0

    def form(self) -> Micro | None:
        """The next step, or None where nothing can be done before tokens or blocks come back."""
        draft = _Draft(self._max_step_tokens)
        for sequence in list(self._running.values()):
            if sequence.num_pending == 1 and draft.room and sequence.number and self._grow(sequence):
                draft.take(sequence)
        for sequence in self._running.values():
            if sequence.num_pending > 1 and draft.room:
                draft.take(sequence)
        while self._waiting and draft.room and self._admit():
            draft.take(next(reversed(self._running.values())))
        if not draft.segments:
            return None
        freed, self._freed = tuple(self._freed), []
        return Micro(tuple(draft.segments), draft.tokens, freed)

    def _num_missing_blocks(self, sequence: Sequence) -> int:
        return -(-len(sequence.tokens) // self._block_size) - len(sequence.blocks)

    def _grow(self, sequence: Sequence) -> bool:
        """Find blocks for its newest token; False if the sequence itself had to be put back for lack of them."""
        for _ in range(self._num_missing_blocks(sequence)):
            while not self._free_blocks:
                if self._put_back() is sequence:
                    return False
            sequence.blocks.append(self._free_blocks.pop())
        return True

    def _admit(self) -> bool:
        """Let the oldest waiting sequence run if all its tokens have room."""
        sequence = next(iter(self._waiting.values()))
        num_blocks = self._num_missing_blocks(sequence)
        if num_blocks > len(self._free_blocks):
            return False
        del self._waiting[sequence.request]
        self._last_number += 1
        sequence.number = self._last_number
        sequence.blocks = [self._free_blocks.pop() for _ in range(num_blocks)]
        self._running[sequence.number] = sequence
        return True

    def _put_back(self) -> Sequence:
        """Make the youngest running sequence the first of the waiting ones."""
        _, sequence = self._running.popitem()
        self._release(sequence)
        self._waiting[sequence.request] = sequence
        self._waiting.move_to_end(sequence.request, last=False)
        return sequence

    def _release(self, sequence: Sequence) -> None:
        self._free_blocks.extend(reversed(sequence.blocks))
        if sequence.num_announced:
            self._freed.append(sequence.number)
        sequence.forget_progress()


class _Draft:
    """A step being filled."""

    def __init__(self, max_tokens: int) -> None:
        self.room = max_tokens
        self.segments: list[Segment] = []
        self.tokens: list[list[int]] = []

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
        history = _untold(sequence) if sampling is not None and sampling.needs_history else ()
        self.segments.append(Segment(sequence.number, start, count, new_blocks, sampling, history))
        self.tokens.append(sequence.tokens[start:end])


def _untold(sequence: Sequence) -> tuple[int, ...]:
    """The tokens that the last stage does not know yet; it knows them all from now on."""
    start, sequence.num_told = sequence.num_told, len(sequence.tokens)
    return tuple(sequence.tokens[start:])
