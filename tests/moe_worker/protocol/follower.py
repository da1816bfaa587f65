"""A rank that believes a lane's scheduler and checks every word of it, and a loop that lets its steps come round."""

from collections.abc import Callable, Iterator

from moe_wire.messages import Segment
from moe_worker.protocol.draft import Micro
from moe_worker.protocol.scheduler import Scheduler
from moe_worker.protocol.sequence import Sequence

SAMPLED = 7


class Follower:
    """What the steps make of the blocks: each place of a block holds all the tokens up to its own."""

    def __init__(self, block_size: int, num_blocks: int) -> None:
        self.block_size = block_size
        self.num_blocks = num_blocks
        self.tables: dict[int, list[int]] = {}
        self.tokens: dict[int, list[int]] = {}
        self.places: dict[int, list[list[int]]] = {}

    def follow(self, micro: Micro, max_step_tokens: int) -> None:
        for number in micro.freed:
            del self.tables[number]
        shared = {block for segment in micro.segments for block in self._share(segment)}
        for segment, tokens in zip(micro.segments, micro.tokens, strict=True):
            self._claim(segment)
            assert len(tokens) == segment.count > 0
            assert segment.start == len(self.tokens[segment.sequence]), "every position once, in order"
            self._write(segment.sequence, tokens, shared)
        assert sum(segment.count for segment in micro.segments) <= max_step_tokens
        numbers = [segment.sequence for segment in micro.segments]
        assert len(numbers) == len(set(numbers)), "no sequence twice in a step"

    def restart(self) -> None:
        self.tables.clear()
        self.places.clear()

    @property
    def num_used(self) -> int:
        return len({block for table in self.tables.values() for block in table})

    def _share(self, segment: Segment) -> list[int]:
        """A sequence's first segment may begin above 0, in blocks that earlier steps have filled with its tokens."""
        if segment.sequence in self.tables:
            return []
        shared = list(segment.new_blocks[: segment.start // self.block_size])
        assert len(shared) * self.block_size == segment.start, "whole blocks are shared"
        held = [tokens for block in shared for tokens in self.places[block]]
        self.tokens[segment.sequence] = held[-1].copy() if held else []
        assert held == [self.tokens[segment.sequence][: length + 1] for length in range(len(held))]
        self.tables[segment.sequence] = shared
        return shared

    def _claim(self, segment: Segment) -> None:
        table = self.tables[segment.sequence]
        is_first = segment.start == len(table) * self.block_size and table == list(segment.new_blocks[: len(table)])
        fresh = segment.new_blocks[len(table) if is_first else 0 :]
        used = {block for table in self.tables.values() for block in table}
        assert used.isdisjoint(fresh), "nobody else has a new block"
        assert all(0 <= block < self.num_blocks for block in fresh)
        table.extend(fresh)
        self.places.update({block: [] for block in fresh})

    def _write(self, sequence: int, tokens: list[int], shared: set[int]) -> None:
        known, table = self.tokens[sequence], self.tables[sequence]
        for token in tokens:
            block, place = table[len(known) // self.block_size], len(known) % self.block_size
            assert block not in shared, "nobody writes into what another shares"
            assert len(self.places[block]) == place, "no place twice"
            known.append(token)
            self.places[block].append(known.copy())


class Drive:
    """A scheduler whose steps come round, `in_flight` of them at once. `alive` are the sequences that go on."""

    def __init__(self, plan: Scheduler, follower: Follower, max_step_tokens: int, in_flight: int) -> None:
        self.plan = plan
        self.follower = follower
        self.alive: list[Sequence] = []
        self._max_step_tokens = max_step_tokens
        self._in_flight = in_flight
        self._steps: list[Micro] = []

    def add(self, sequence: Sequence) -> None:
        self.plan.add(sequence)
        self.alive.append(sequence)

    def disturb(self, what: str) -> None:
        if what == "cancel":
            self.plan.remove(self.alive.pop())
        elif what == "restart":
            self.plan.restart()
            self.follower.restart()
            self._steps.clear()

    def turn(self) -> Micro | None:
        """Form a step where one may start, else let the oldest come round."""
        micro = self.plan.form(more_to_come=bool(self._steps)) if len(self._steps) < self._in_flight else None
        if micro is not None:
            self.follower.follow(micro, self._max_step_tokens)
            self._steps.append(micro)
        elif self._steps:
            self._come_round(self._steps.pop(0))
        return micro

    def turns(self, disturbances: Iterator[str], check: Callable[[], None]) -> None:
        """Until every sequence has ended."""
        for _ in range(10_000):
            if not self.alive:
                return
            self.disturb(next(disturbances, ""))
            self.turn()
            check()
        raise AssertionError("a sequence starved")

    def _come_round(self, micro: Micro) -> None:
        for segment in micro.segments:
            if segment.sampling is None:
                continue
            one = self.plan.accept(segment.sequence, SAMPLED)
            if one is not None:
                assert one.tokens[:-1] == self.follower.tokens[segment.sequence], "what was computed is what it says"
                if one.finish:
                    self.plan.remove(one)
                    self.alive.remove(one)
