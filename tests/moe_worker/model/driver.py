"""Drives Compute objects by hand, as the protocol would: whole models in one object, or stages and experts apart."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch

from moe_wire.messages import Payload, Sampling, Segment
from moe_worker.device.cpu import CpuDevice
from moe_worker.model.engine import Engine, open_engine
from moe_worker.model.families.registry import read_family
from moe_worker.protocol.settings import Settings

GREEDY = Sampling()


def load_all(engine: Engine, experts: Sequence[int]) -> None:
    for expert in experts:
        engine.load(expert)
    ended: list[tuple[int, str | None]] = []
    while len(ended) < len(experts):
        ended += engine.loaded()
    assert ended == [(expert, None) for expert in experts]


def make_engine(
    folder: Path, experts: Sequence[int], dtype: str = "float32", *, has_kernels: bool = True, **settings: int
) -> Engine:
    device = CpuDevice(None, has_kernels=has_kernels)
    engine = open_engine(folder, device=device, settings=Settings(**settings), dtype=dtype)
    load_all(engine, experts)
    return engine


def whole_engine(folder: Path, dtype: str = "float32", *, has_kernels: bool = True, **settings: int) -> Engine:
    """All layers and experts in one engine; without kernels as a device computes that has none."""
    config = read_family(folder).config
    experts = config.expert_ids(range(config.layers))
    settings = {"stage": 0, "stages": 1, "first_layer": 0, "num_layers": config.layers} | settings
    return make_engine(folder, experts, dtype, has_kernels=has_kernels, **settings)


class Driver:
    """Sequences of one lane over `stages`; `hosts` has each expert by its global id."""

    def __init__(self, stages: Sequence[Engine], hosts: dict[int, Engine], blocks: int = 256, lane: int = 0) -> None:
        self.stages, self.hosts, self.lane = stages, hosts, lane
        self.numbers = itertools.count(1)
        self.blocks = list(range(blocks))
        self.tables: dict[int, list[int]] = {}
        self.logits: torch.Tensor | None = None
        for stage in stages:
            stage.open_lane(lane)

    @classmethod
    def whole(cls, engine: Engine, **options: int) -> "Driver":
        """A driver of one engine that has everything."""
        config = engine.config
        return cls([engine], dict.fromkeys(config.expert_ids(range(config.layers)), engine), **options)

    def segment(self, sequence: int, start: int, count: int, sampling: Sampling | None) -> Segment:
        table = self.tables.setdefault(sequence, [])
        size = self.stages[0].settings.block_size
        new = tuple(self.blocks.pop() for _ in range(-(-(start + count) // size) - len(table)))
        table.extend(new)
        return Segment(sequence, start, count, new, sampling)

    def free(self, sequence: int) -> None:
        self.blocks += self.tables.pop(sequence)
        for stage in self.stages:
            stage.free(self.lane, [sequence])

    def step(self, work: Sequence[tuple[int, int, Sequence[int], Sampling | None]]) -> dict[int, int]:
        """One micro-batch of (sequence, start, tokens, sampling) -> token by sequence; `logits` of those."""
        segments = [self.segment(sequence, start, len(tokens), how) for sequence, start, tokens, how in work]
        tokens = [tokens for _, _, tokens, _ in work]
        hidden: Payload | None = None
        for stage in self.stages:
            batch = stage.begin(self.lane, segments, tokens if hidden is None else None, hidden)
            for layer in stage.settings.layers:
                routed = stage.attend(batch, layer)
                answers = {r.expert: self.hosts[r.expert].expert(r.expert, [r.rows])[0] for r in reversed(routed)}
                stage.combine(batch, layer, answers)
            if stage.settings.is_last and any(segment.sampling for segment in segments):
                self.logits = stage.logits(batch).clone()
            result = stage.finish(batch)
            if isinstance(result, Payload):
                hidden = result
            else:
                return dict(result.tokens)
        raise AssertionError("the last stage gave no tokens")

    def generate(self, prompt: Sequence[int], count: int, how: Sampling = GREEDY, chunk: int = 1000) -> list[int]:
        """Prefill in chunks, then one token at a time."""
        sequence, out = next(self.numbers), []
        for start in range(0, len(prompt), chunk):
            part = prompt[start : start + chunk]
            got = self.step([(sequence, start, part, how if start + len(part) == len(prompt) else None)])
        out.append(got[sequence])
        while len(out) < count:
            out.append(self.step([(sequence, len(prompt) + len(out) - 1, out[-1:], how)])[sequence])
        self.free(sequence)
        return out
