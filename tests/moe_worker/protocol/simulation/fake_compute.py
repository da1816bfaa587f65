"""The simulation's Compute: one stage of the arithmetic model over a paged cache that punishes every misuse.

A cache slot that is written twice without having been given anew mixes both values, as a kernel that accumulates
would; a slot that was never written reads as what it is; a block that is given anew is emptied unless some sequence
still has it. Freeing what is not there, opening an open lane or serving an expert that is not loaded is an error.
"""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from moe_wire.messages import DType, Payload, Segment
from moe_worker.protocol.compute import Routed, Sampled
from moe_worker.protocol.settings import Settings
from tests.moe_worker.protocol.simulation.arithmetic import Model, logprobs_of


def payload(rows: Sequence[int]) -> Payload:
    """The protocol never looks inside, so a tuple of integers serves as data."""
    data: Any = tuple(rows)
    return Payload(DType.INT64, (len(data),), data)


class Cache:
    """One lane's KV blocks on one rank. `num_shared` counts the blocks that sequences found there."""

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self.tables: dict[int, list[int]] = {}
        self.histories: dict[int, list[int]] = {}
        self.num_shared = 0
        self._blocks: dict[int, dict[tuple[int, int], int]] = {}

    def extend(self, segment: Segment) -> None:
        num_shared = 0 if segment.sequence in self.tables else segment.start // self._block_size
        self.num_shared += num_shared
        for block in segment.new_blocks[num_shared:]:
            if not any(block in table for table in self.tables.values()):
                self._blocks[block] = {}
        self.tables.setdefault(segment.sequence, []).extend(segment.new_blocks)
        self.histories.setdefault(segment.sequence, []).extend(segment.history)

    def free(self, sequence: int) -> None:
        del self.tables[sequence], self.histories[sequence]

    def write(self, sequence: int, layer: int, position: int, value: int) -> None:
        block, key = self._place(sequence, layer, position)
        if key in block:
            value = hash((block[key], value))
        block[key] = value

    def read(self, sequence: int, layer: int, length: int) -> list[int]:
        places = (self._place(sequence, layer, position) for position in range(length))
        return [block.get(key, 0) for block, key in places]

    def _place(self, sequence: int, layer: int, position: int) -> tuple[dict[tuple[int, int], int], tuple[int, int]]:
        index, offset = divmod(position, self._block_size)
        return self._blocks.setdefault(self.tables[sequence][index], {}), (layer, offset)


class Batch:
    """A step inside the stage: (segment, position) and the hidden value of each row."""

    def __init__(self, lane: int, segments: Sequence[Segment], hidden: list[int]) -> None:
        self.lane = lane
        self.segments = segments
        self.places = [(segment.sequence, segment.start + i) for segment in segments for i in range(segment.count)]
        self.hidden = hidden
        self.chosen: list[tuple[int, ...]] = []


MOST_FAILURES = 5
"""Of loads at one rank: they are tried again ever more slowly, and a history has to end."""


class FakeCompute:
    """`load_delay` polls pass before a load has ended; `flaky` loads fail now and then, not for ever."""

    def __init__(self, model: Model, settings: Settings, random: Random, *, flaky: bool) -> None:
        self.caches: dict[int, Cache] = {}
        self._model = model
        self._settings = settings
        self._random = random
        self._flaky = flaky
        self._failures = 0
        self._held: set[int] = set()
        self._loads: dict[int, int] = {}

    def open_lane(self, lane: int) -> None:
        assert lane not in self.caches, f"lane {lane} opened twice"
        assert len(self.caches) < self._settings.lanes_per_rank, "more lanes than the rank has room for"
        self.caches[lane] = Cache(self._settings.block_size)

    def drop_lane(self, lane: int) -> None:
        del self.caches[lane]

    def free(self, lane: int, sequences: Sequence[int]) -> None:
        for sequence in sequences:
            self.caches[lane].free(sequence)

    def begin(
        self, lane: int, segments: Sequence[Segment], tokens: Sequence[Sequence[int]] | None, hidden: Payload | None
    ) -> Batch:
        cache = self.caches[lane]
        for segment in segments:
            cache.extend(segment)
        if tokens is None:
            assert hidden is not None
            return Batch(lane, segments, list(hidden.data))
        rows = [
            self._model.embed(token, segment.start + i)
            for segment, ids in zip(segments, tokens, strict=True)
            for i, token in enumerate(ids)
        ]
        return Batch(lane, segments, rows)

    def attend(self, batch: Batch, layer: int) -> Sequence[Routed]:
        model, cache = self._model, self.caches[batch.lane]
        rows: dict[int, list[int]] = {}
        batch.chosen = []
        for index, (sequence, position) in enumerate(batch.places):
            cache.write(sequence, layer, position, batch.hidden[index])
            attended = model.attend(cache.read(sequence, layer, position + 1), layer)
            batch.hidden[index] = attended
            chosen = model.route(attended, layer)
            batch.chosen.append(chosen)
            for expert in chosen:
                rows.setdefault(expert, []).append(attended)
        return [Routed(expert, payload(sent)) for expert, sent in rows.items()]

    def expert(self, expert: int, rows: Sequence[Payload]) -> Sequence[Payload]:
        assert expert in self._held, f"expert {expert} is not here"
        return [payload([self._model.expert(expert, row) for row in sent.data]) for sent in rows]

    def combine(self, batch: Batch, layer: int, answers: Mapping[int, Payload]) -> None:
        taken = {expert: iter(answer.data) for expert, answer in answers.items()}
        for index, chosen in enumerate(batch.chosen):
            given = [next(taken[expert], 0) if expert in taken else 0 for expert in chosen]
            batch.hidden[index] = self._model.combine(batch.hidden[index], given)

    def finish(self, batch: Batch) -> Payload | Sampled:
        if not self._settings.is_last:
            return payload(batch.hidden)
        tokens, logprobs, row = [], [], -1
        for segment in batch.segments:
            row += segment.count
            if segment.sampling is not None:
                history = self.caches[batch.lane].histories[segment.sequence]
                position = segment.start + segment.count
                token = self._model.sample(batch.hidden[row], segment.sampling, position, history)
                tokens.append((segment.sequence, token))
                logprobs.append(logprobs_of(token, segment.sampling, position))
        return Sampled(tuple(tokens), tuple(logprobs) if any(logprobs) else ())

    def load(self, expert: int) -> None:
        assert expert not in self._held
        self._loads[expert] = self._random.randrange(4)

    def loaded(self) -> Iterable[tuple[int, str | None]]:
        for expert, polls in list(self._loads.items()):
            if polls:
                self._loads[expert] = polls - 1
                continue
            del self._loads[expert]
            if self._flaky and self._failures < MOST_FAILURES and self._random.random() < 0.2:
                self._failures += 1
                yield expert, "read error"
            else:
                self._held.add(expert)
                yield expert, None

    def drop(self, expert: int) -> None:
        self._held.discard(expert)
        self._loads.pop(expert, None)
