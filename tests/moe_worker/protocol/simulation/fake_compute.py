"""The simulation's Compute: one stage of the arithmetic model over a paged cache that punishes every misuse.

A cache slot that is written twice without having been freed mixes both values, as a kernel that accumulates would; a
slot that was never written reads as what it is. Freeing what is not there, opening an open lane or serving an expert
that is not loaded is an error.
"""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from moe_wire.messages import DType, Payload, Segment
from moe_worker.protocol.compute import Routed, Sampled
from moe_worker.protocol.settings import Settings
from tests.moe_worker.protocol.simulation.arithmetic import Model


def payload(rows: Sequence[int]) -> Payload:
    """The protocol never looks inside, so a tuple of integers serves as data."""
    data: Any = tuple(rows)
    return Payload(DType.INT64, (len(data),), data)


class Cache:
    """One lane's KV blocks on one rank."""

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self.tables: dict[int, list[int]] = {}
        self._slots: dict[tuple[int, int], int] = {}

    def extend(self, sequence: int, new_blocks: Sequence[int]) -> None:
        self.tables.setdefault(sequence, []).extend(new_blocks)

    def free(self, sequence: int) -> None:
        size = self._block_size
        freed = {block * size + i for block in self.tables.pop(sequence) for i in range(size)}
        for key in [key for key in self._slots if key[1] in freed]:
            del self._slots[key]

    def write(self, sequence: int, layer: int, position: int, value: int) -> None:
        key = (layer, self._slot(sequence, position))
        if key in self._slots:
            value = hash((self._slots[key], value))
        self._slots[key] = value

    def read(self, sequence: int, layer: int, length: int) -> list[int]:
        slots = self._slots
        return [slots.get((layer, self._slot(sequence, position)), 0) for position in range(length)]

    def _slot(self, sequence: int, position: int) -> int:
        size = self._block_size
        return self.tables[sequence][position // size] * size + position % size


class Batch:
    """A step inside the stage: (segment, position) and the hidden value of each row."""

    def __init__(self, lane: int, segments: Sequence[Segment], hidden: list[int]) -> None:
        self.lane = lane
        self.segments = segments
        self.places = [(segment.sequence, segment.start + i) for segment in segments for i in range(segment.count)]
        self.hidden = hidden
        self.chosen: list[tuple[int, ...]] = []


class FakeCompute:
    """`load_delay` polls pass before a load has ended; `flaky` loads fail now and then."""

    def __init__(self, model: Model, settings: Settings, random: Random, *, flaky: bool) -> None:
        self.caches: dict[int, Cache] = {}
        self._model = model
        self._settings = settings
        self._random = random
        self._flaky = flaky
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
            cache.extend(segment.sequence, segment.new_blocks)
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
        sampled, row = [], -1
        for segment in batch.segments:
            row += segment.count
            if segment.sampling is not None:
                position = segment.start + segment.count
                token = self._model.sample(batch.hidden[row], segment.sampling.seed, position)
                sampled.append((segment.sequence, token))
        return Sampled(tuple(sampled))

    def load(self, expert: int) -> None:
        assert expert not in self._held
        self._loads[expert] = self._random.randrange(4)

    def loaded(self) -> Iterable[tuple[int, str | None]]:
        for expert, polls in list(self._loads.items()):
            if polls:
                self._loads[expert] = polls - 1
                continue
            del self._loads[expert]
            if self._flaky and self._random.random() < 0.2:
                yield expert, "read error"
            else:
                self._held.add(expert)
                yield expert, None

    def drop(self, expert: int) -> None:
        self._held.discard(expert)
        self._loads.pop(expert, None)
