"""A whole model in one engine of this process, driven step by step without protocol or transport."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moe_wire.messages import Sampling, Segment
from moe_worker.device.opening import open_device
from moe_worker.model.engine import open_engine
from moe_worker.model.families.registry import read_family
from moe_worker.protocol.compute import Sampled
from moe_worker.protocol.settings import Settings

LANE = 0
CHUNK = 256
GREEDY = Sampling()


@dataclass(slots=True, kw_only=True)
class Running:
    """A sequence: how many tokens the cache holds, the token that comes next, and its blocks."""

    number: int
    length: int
    token: int
    blocks: list[int]


class OneProcess:
    """Every layer and expert of a checkpoint."""

    def __init__(self, folder: Path, dtype: str) -> None:
        config = read_family(folder).config
        self._settings = Settings(stage=0, stages=1, first_layer=0, num_layers=config.layers)
        self._engine = open_engine(folder, device=open_device(0, {}), settings=self._settings, dtype=dtype)
        self._numbers = itertools.count(1)
        self._free = list(range(self._settings.blocks_per_lane))
        self._load(config.expert_ids(self._settings.layers))
        self._engine.open_lane(LANE)

    def begin(self, prompt: Sequence[int]) -> Running:
        """Prefill in chunks; the sequence with its first token."""
        running = Running(number=next(self._numbers), length=0, token=-1, blocks=[])
        for start in range(0, len(prompt), CHUNK):
            part = prompt[start : start + CHUNK]
            segment = self._segment(running, len(part), is_last=start + len(part) == len(prompt))
            self._keep([running], self._compute([segment], [part]))
        return running

    def step(self, running: Sequence[Running]) -> None:
        """One token more of each."""
        tokens = [[one.token] for one in running]
        self._keep(running, self._compute([self._segment(one, 1, is_last=True) for one in running], tokens))

    def end(self, running: Sequence[Running]) -> None:
        """Give the blocks back."""
        self._engine.free(LANE, [one.number for one in running])
        for one in running:
            self._free += one.blocks

    def _segment(self, running: Running, count: int, *, is_last: bool) -> Segment:
        start, running.length = running.length, running.length + count
        wanted = -(-running.length // self._settings.block_size) - len(running.blocks)
        fresh = tuple(self._free.pop() for _ in range(wanted))
        running.blocks += fresh
        return Segment(running.number, start, count, fresh, GREEDY if is_last else None)

    def _compute(self, segments: Sequence[Segment], tokens: Sequence[Sequence[int]]) -> Sampled:
        engine = self._engine
        batch = engine.begin(LANE, segments, tokens, None)
        for layer in self._settings.layers:
            routed = engine.attend(batch, layer)
            engine.combine(batch, layer, {one.expert: engine.expert(one.expert, [one.rows])[0] for one in routed})
        sampled = engine.finish(batch)
        assert isinstance(sampled, Sampled), "the only stage is the last"
        return sampled

    def _keep(self, running: Sequence[Running], sampled: Sampled) -> None:
        tokens = dict(sampled.tokens)
        for one in running:
            one.token = tokens.get(one.number, one.token)

    def _load(self, experts: Sequence[int]) -> None:
        for expert in experts:
            self._engine.load(expert)
        left = len(experts)
        while left:
            for expert, error in self._engine.loaded():
                if error is not None:
                    raise RuntimeError(f"expert {expert}: {error}")
                left -= 1
