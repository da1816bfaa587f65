"""Which sequences of a lane run, and which KV blocks they have. Pure data, no messages; draft.py fills the steps.

There is one order: higher priority first, then arrival. Waiting ones are admitted in this order, each when blocks for
all its known tokens are available; nobody passes who lacks blocks. Only who would compute a prefix that one before it
is about to compute is passed by, until it can share that. While a sequence grows and no block is available, the last
running one in order goes back to waiting and is computed again later; so does one of lower priority where a waiting
one lacks its blocks. The first in order is therefore never put back but by its own lack, which cannot be as long as
one sequence fits alone; so everything finishes, as long as higher priorities do not come for ever.

Why a block may be given to another sequence at once when one ends: every rank executes the steps of a life in order,
so whatever still uses it in flight is over before the step that names it anew.

Why a full block may be shared as soon as the step that fills it is formed: every rank executes that step before the
one that shares it, or neither; a K and V depends on nothing but the tokens before it, which the block's name says; and
nobody writes into a full block before it is named anew, which it cannot be while it has a reference. What the caches
hold ends with the life, and so does the memory of it (restart).
"""

from bisect import bisect_left, insort
from collections import Counter
from operator import attrgetter

from moe_worker.protocol.draft import Draft, Micro
from moe_worker.protocol.pool import BlockPool
from moe_worker.protocol.sequence import Sequence

ROWS_FOR_ONE = 4
"""So many rows cost a step little more than one row does: most of a small step is messages."""

_order = attrgetter("order")


class Scheduler:
    """One lane's sequences and blocks. Requests are named uniquely by the caller.

    `tokens_admitted` counts the tokens of all admissions, `tokens_found` those of them that the cache had already.
    """

    def __init__(self, *, block_size: int, num_blocks: int, max_step_tokens: int) -> None:
        self._block_size = block_size
        self._max_step_tokens = max_step_tokens
        self._running: dict[int, Sequence] = {}
        self._waiting: list[Sequence] = []
        self._last_arrival = 0
        self._last_number = 0
        self._freed: list[int] = []
        self.pool = BlockPool(num_blocks)
        self.tokens_admitted = 0
        self.tokens_found = 0

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence that fits into an empty lane."""
        self._last_arrival += 1
        sequence.order = (-sequence.priority, self._last_arrival)
        insort(self._waiting, sequence, key=_order)

    def remove(self, sequence: Sequence) -> None:
        """It has finished, or nobody wants it any more: its blocks are available at once."""
        if sequence.number:
            self._release(sequence)
        else:
            del self._waiting[bisect_left(self._waiting, sequence.order, key=_order)]

    def accept(self, number: int, token: int) -> Sequence | None:
        """Append a sampled token; None where the number names no running sequence (any more)."""
        sequence = self._running.get(number)
        if sequence is not None:
            sequence.tokens.append(token)
        return sequence

    def running(self, number: int) -> Sequence | None:
        """The running sequence of that number; None where it names none (any more)."""
        return self._running.get(number)

    def restart(self) -> None:
        """The lane's caches are empty: everything waits again, in order, and nothing is shared or kept."""
        for sequence in list(self._running.values()):
            self._put_back(sequence)
        self._freed.clear()
        assert not self.pool.num_used
        self.pool = BlockPool(self.pool.num_blocks)

    def form(self, *, more_to_come: bool = False) -> Micro | None:
        """The next step, or None where nothing can be done, or would be worth a step, before tokens or blocks come
        back. `more_to_come`: steps are under way.
        """
        grown = self._grow()
        is_anyone_new = self._admit()
        decoding = [sequence for sequence in grown if sequence.number]
        if more_to_come and not is_anyone_new and self._wants_company(decoding):
            return None
        draft = Draft(self._max_step_tokens, self._block_size, self.pool)
        for sequence in decoding:
            draft.take(sequence)
        rest = [one for one in self._running.values() if one.num_pending and not self._num_missing_blocks(one)]
        draft.prefill(sorted(rest, key=_order))
        if not draft.segments:
            return None
        freed, self._freed = tuple(self._freed), []
        return Micro(tuple(draft.segments), draft.tokens, freed)

    # Blocks for who runs.

    def _num_missing_blocks(self, sequence: Sequence) -> int:
        return -(-len(sequence.tokens) // self._block_size) - len(sequence.blocks)

    def _grow(self) -> list[Sequence]:
        """Those with one token to compute, as many as a step takes, each with a place for it."""
        decoding: list[Sequence] = []
        for sequence in sorted(self._running.values(), key=_order):
            if len(decoding) == self._max_step_tokens:
                break
            if sequence.number and sequence.num_pending == 1 and self._find_place(sequence):
                decoding.append(sequence)
        return decoding

    def _find_place(self, sequence: Sequence) -> bool:
        """Find blocks for its newest token; False if the sequence itself had to be put back for lack of them."""
        for _ in range(self._num_missing_blocks(sequence)):
            while not self.pool.num_available:
                last = max(self._running.values(), key=_order)
                self._put_back(last)
                if last is sequence:
                    return False
            sequence.blocks.append(self.pool.take())
        return True

    def _put_back(self, sequence: Sequence) -> None:
        self._release(sequence)
        insort(self._waiting, sequence, key=_order)

    def _release(self, sequence: Sequence) -> None:
        del self._running[sequence.number]
        self.pool.give_back(sequence.blocks)
        if sequence.num_announced:
            self._freed.append(sequence.number)
        sequence.forget_progress()

    def _wants_company(self, decoding: list[Sequence]) -> bool:
        """Whether a step would have so few rows that others, who decode too, are worth waiting for.

        It costs each of them one way round the ring at most, and only once: who decodes together stays together.
        """
        has_prompts = any(one.num_pending > 1 for one in self._running.values())
        return not has_prompts and len(decoding) < min(ROWS_FOR_ONE, self._max_step_tokens, len(self._running))

    # Who waits.

    def _admit(self) -> bool:
        """Let waiting ones run, in order, as far as the blocks reach; whether there were any."""
        last_number = self._last_number
        for sequence in self._waiting.copy():
            found = self.pool.find(self._sharable(sequence))
            if self._comes_soon(sequence, len(found)):
                continue
            if not self._make_room(sequence, found):
                break
            self._start(sequence, found)
        return self._last_number > last_number

    def _sharable(self, sequence: Sequence) -> list[bytes]:
        """Names of the blocks before the one with its last token, which must be computed: its logits are wanted. None
        where those of the whole prompt are.
        """
        if sequence.is_scored:
            return []
        return sequence.block_names(self._block_size)[: (len(sequence.tokens) - 1) // self._block_size]

    def _comes_soon(self, sequence: Sequence, num_found: int) -> bool:
        """Whether one before it has still to compute the very block that it would compute first."""
        names, end = self._sharable(sequence)[num_found : num_found + 1], (num_found + 1) * self._block_size
        return bool(names) and any(
            one.scheduled < end <= len(one.tokens)
            and one.order < sequence.order
            and one.block_names(self._block_size)[num_found] == names[0]
            for one in self._running.values()
        )

    def _make_room(self, sequence: Sequence, found: list[int]) -> bool:
        """See to it that it has room beside what it shares, by putting back who has a lower priority, if that helps."""
        num_missing = self._num_missing_blocks(sequence) - len(found)
        if num_missing <= self.pool.num_available_beside(found):
            return True
        lower = sorted((one for one in self._running.values() if one.priority < sequence.priority), key=_order)
        held = Counter(block for one in lower for block in one.blocks)
        num_theirs = sum(self.pool.references(block) == held[block] for block in held.keys() - found)
        if num_missing > self.pool.num_available_beside(found) + num_theirs:
            return False
        while num_missing > self.pool.num_available_beside(found):
            self._put_back(lower.pop())
        return True

    def _start(self, sequence: Sequence, found: list[int]) -> None:
        del self._waiting[bisect_left(self._waiting, sequence.order, key=_order)]
        self._last_number += 1
        sequence.number = self._last_number
        self.pool.share(found)
        sequence.blocks = found
        sequence.scheduled = len(found) * self._block_size
        sequence.blocks += [self.pool.take() for _ in range(self._num_missing_blocks(sequence))]
        self._running[sequence.number] = sequence
        self.tokens_admitted += len(sequence.tokens)
        self.tokens_found += sequence.scheduled
