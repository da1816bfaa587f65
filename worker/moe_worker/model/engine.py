"""One stage's layers on one device: the `Compute` that the protocol drives, in torch.

Knows its layers, the experts it was told to load and the lanes it was told to open; not who asks or who else computes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from moe_wire.messages import Logprobs, Payload, Segment
from moe_worker.device.base import Device
from moe_worker.device.row_order import keep_row_order
from moe_worker.kernels.library import has_kernels
from moe_worker.model.batch import Batch, add_answers, dispatch, padded_rows, sampled_rows
from moe_worker.model.blocks import MIN_ROWS
from moe_worker.model.checkpoint import Checkpoint
from moe_worker.model.declared import check_declared
from moe_worker.model.errors import CheckpointError
from moe_worker.model.families.registry import read_family
from moe_worker.model.family import Family
from moe_worker.model.feed_forward import AnyFeedForward
from moe_worker.model.indices import index_tensor
from moe_worker.model.kv import LaneCache
from moe_worker.model.loader import ExpertLoader
from moe_worker.model.reads import Reads, native_reads, torch_reads
from moe_worker.model.rotary import make_rotation
from moe_worker.model.sampling import sample, score
from moe_worker.protocol.compute import Routed, Sampled
from moe_worker.protocol.settings import Settings

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SCORED_AT_ONCE = 64
"""Rows of a prompt: of 150,000 logits each they are 38 MB, and twice that in double precision."""


class Engine:
    """The stage that `settings` names of a checkpoint. Experts come with `load`, one by one, all else with `open`.

    Whoever drives it does so in torch's inference mode: to enter it at every call costs as much as a product.
    """

    def __init__(self, *, family: Family, checkpoint: Checkpoint, device: Device, settings: Settings) -> None:
        self.config = family.config
        self.settings = settings
        self._device = device
        self._checkpoint = checkpoint
        self._family = family
        self.is_native = checkpoint.is_native
        """Whether our kernels compute, not torch's operations."""
        self._min_rows = 1 if checkpoint.is_native else MIN_ROWS
        self._lanes: dict[int, LaneCache] = {}
        self._spare: list[LaneCache] = []
        self._loader = ExpertLoader(self._read_expert)
        self.wakeup_fd = self._loader.wakeup_fd
        """Readable when `loaded` has something to tell."""

    def open(self) -> None:
        """Reads what every rank of the stage has: attention, norms, routers; raises CheckpointError."""
        family, source, settings = self._family, self._checkpoint, self.settings
        source.open()
        self._layers = {layer: family.read_layer(source, layer) for layer in settings.layers}
        self._windows = {layer.attention.reading.window for layer in self._layers.values()}
        self._embedding = family.read_embedding(source) if settings.is_first else None
        self._head = family.read_head(source) if settings.is_last else None
        self._like = torch.empty(0, dtype=source.dtype, device=self._device.torch_device)
        self._rotation = make_rotation(settings.max_sequence_length, self.config.rotary, self._like)

    def close(self) -> None:
        """Ends the loading thread."""
        self._loader.close()

    def open_lane(self, lane: int) -> None:
        self.drop_lane(lane)
        most = self.settings.lanes_per_rank
        assert len(self._lanes) < most, f"lane {lane} is more than {most}"
        self._lanes[lane] = self._spare.pop() if self._spare else self._new_cache()

    def drop_lane(self, lane: int) -> None:
        cache = self._lanes.pop(lane, None)
        if cache is not None:
            cache.clear()
            self._spare.append(cache)

    def free(self, lane: int, sequences: Sequence[int]) -> None:
        self._lanes[lane].free(sequences)

    @property
    def bytes_read(self) -> int:
        """How much of the checkpoint was read so far."""
        return self._checkpoint.bytes_read

    def blocks_in_use(self, lane: int) -> int:
        """For accounting: how many of the lane's blocks its sequences have."""
        return self._lanes[lane].blocks_in_use

    def begin(
        self, lane: int, segments: Sequence[Segment], tokens: Sequence[Sequence[int]] | None, hidden: Payload | None
    ) -> Batch:
        self._device.check()
        cache = self._lanes[lane]
        cache.extend(segments)
        x = self._embed(tokens) if hidden is None else self._device.rows_in([hidden], self._min_rows)
        if self.is_native:
            reads: Reads = native_reads(cache, segments, self._rotation)
        else:
            reads = torch_reads(cache, segments, self._rotation, self._windows, x.shape[0])
        num_rows = sum(segment.count for segment in segments)
        return Batch(segments=segments, cache=cache, x=x, num_rows=num_rows, min_rows=self._min_rows, reads=reads)

    def attend(self, batch: Batch, layer: int) -> list[Routed]:
        weights = self._layers[layer]
        attention = weights.attention
        attended = batch.reads.attend(attention, weights.attention_norm(batch.x), layer - self.settings.first_layer)
        batch.x = attention.added(batch.x, attended)
        normed, mixture = weights.mixture_norm(batch.x), weights.mixture
        if mixture.shared is not None:
            batch.x.add_(mixture.shared(normed))
        if mixture.router is None:
            return []
        sent = batch.dispatched = dispatch(mixture.router(normed, batch.num_rows), normed.device)
        if sent.rows is None:
            payloads = self._device.rows_out(normed, [1]) * len(sent.experts)
        else:
            payloads = self._device.rows_out(normed.index_select(0, sent.rows), sent.counts)
        base = layer * self.config.experts
        return [Routed(base + expert, payload) for expert, payload in zip(sent.experts, payloads, strict=True)]

    def expert(self, expert: int, rows: Sequence[Payload]) -> list[Payload]:
        self._device.check()
        network = self._loader.held(expert)
        answers = network(self._device.rows_in(rows, network.min_rows))
        return self._device.rows_out(answers, [payload.num_rows for payload in rows])

    def combine(self, batch: Batch, layer: int, answers: Mapping[int, Payload]) -> None:
        sent, base = batch.dispatched, layer * self.config.experts
        if sent is None:
            assert layer in self.config.dense_layers, f"layer {layer} has not been attended to"
            return
        rows = self._device.rows_in([answers[base + expert] for expert in sent.experts], 1)
        add_answers(batch, rows, is_native=self.is_native)

    def finish(self, batch: Batch) -> Payload | Sampled:
        if not self.settings.is_last:
            return self._device.rows_out(batch.x, [batch.num_rows])[0]
        scored = self._score(batch)
        wanted = [(segment, segment.sampling) for segment in batch.segments if segment.sampling is not None]
        if not wanted:
            return Sampled((), scored=scored)
        positions = [segment.start + segment.count for segment, _ in wanted]
        histories = [batch.cache.history(segment.sequence) for segment, _ in wanted]
        tokens, logprobs = sample(self.logits(batch), [sampling for _, sampling in wanted], positions, histories)
        named = tuple((segment.sequence, token) for (segment, _), token in zip(wanted, tokens, strict=True))
        return Sampled(named, tuple(logprobs) if any(logprobs) else (), scored)

    def logits(self, batch: Batch) -> torch.Tensor:
        """[samples, vocab] of the segments that want a token; only in the last stage."""
        assert self._head is not None, f"stage {self.settings.stage} is not the last"
        wanted = sum(segment.sampling is not None for segment in batch.segments)
        return self._head.logits(sampled_rows(batch))[:wanted]

    def _score(self, batch: Batch) -> tuple[tuple[int, tuple[Logprobs, ...]], ...]:
        """Of the prompts' own tokens, a few rows of the vocabulary's width at a time."""
        assert self._head is not None, f"stage {self.settings.stage} is not the last"
        scored, row = [], 0
        for segment in batch.segments:
            scoring = segment.scoring
            if scoring is not None:
                told: list[Logprobs] = []
                for first in range(0, len(scoring.targets), SCORED_AT_ONCE):
                    part = replace(scoring, targets=scoring.targets[first : first + SCORED_AT_ONCE])
                    rows = padded_rows(batch, range(row + first, row + first + len(part.targets)))
                    told += score(self._head.logits(rows)[: len(part.targets)], part)
                scored.append((segment.sequence, tuple(told)))
            row += segment.count
        return tuple(scored)

    def load(self, expert: int) -> None:
        self._loader.load(expert)

    def loaded(self) -> list[tuple[int, str | None]]:
        return self._loader.loaded()

    def drop(self, expert: int) -> None:
        self._loader.drop(expert)

    def _embed(self, tokens: Sequence[Sequence[int]] | None) -> torch.Tensor:
        assert self._embedding is not None, f"stage {self.settings.stage} is not the first"
        assert tokens is not None, "a step begins with tokens or hidden states"
        ids = [token for segment in tokens for token in segment]
        ids += [0] * (self._min_rows - len(ids))
        return self._embedding.index_select(0, index_tensor(ids, self._embedding.device))

    def _new_cache(self) -> LaneCache:
        row, settings = self._family.row, self.settings
        return LaneCache(
            layers=settings.num_layers,
            heads=row.heads,
            width=row.width,
            blocks=settings.blocks_per_lane,
            block_size=settings.block_size,
            like=self._like,
        )

    @torch.inference_mode()
    def _read_expert(self, expert: int) -> AnyFeedForward:
        return self._family.read_expert(self._checkpoint, *divmod(expert, self.config.experts))


def open_engine(
    folder: Path, *, device: Device, settings: Settings, dtype: str, declared: Mapping[str, object] | None = None
) -> Engine:
    """The engine of one stage of the checkpoint in `folder`, its own weights read; experts come with `load`.

    `declared` is `spec.model.shape` as the resource has it. Raises CheckpointError.
    """
    family = read_family(folder)
    if declared:
        check_declared(family.config, family.traits, declared)
    if settings.max_sequence_length > family.config.max_positions:
        raise CheckpointError(
            f"spec.engine.maxSequenceLength is {settings.max_sequence_length}",
            f"{folder} was made for at most {family.config.max_positions} positions",
            f"set it to {family.config.max_positions} or less",
        )
    is_native = device.has_kernels and has_kernels(DTYPES[dtype])
    if not is_native:
        keep_row_order()
    checkpoint = Checkpoint(folder, DTYPES[dtype], device.torch_device, is_native=is_native)
    engine = Engine(family=family, checkpoint=checkpoint, device=device, settings=settings)
    engine.open()
    return engine
