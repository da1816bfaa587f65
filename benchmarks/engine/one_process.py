"""A whole model in one engine of this process, driven by the lane's own scheduler, without protocol or transport."""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from moe_wire.messages import Sampling, Submit
from moe_worker.device.opening import open_device
from moe_worker.model.engine import open_engine
from moe_worker.model.families.registry import read_family
from moe_worker.protocol import sequence
from moe_worker.protocol.compute import Sampled
from moe_worker.protocol.scheduler import Scheduler
from moe_worker.protocol.settings import Settings

LANE = 0
CONNECTION = 0
STEP_TOKENS = 2048
GREEDY = Sampling()


class OneProcess:
    """Every layer and expert of a checkpoint. `expert_seconds` is the CPU time that went into experts so far."""

    def __init__(self, folder: Path, dtype: str, *, blocks: int = 1024) -> None:
        config = read_family(folder).config
        self._settings = Settings(
            stage=0,
            stages=1,
            first_layer=0,
            num_layers=config.layers,
            blocks_per_lane=blocks,
            max_step_tokens=STEP_TOKENS,
        )
        self._engine = open_engine(folder, device=open_device(0, {}), settings=self._settings, dtype=dtype)
        self._requests = itertools.count(1)
        self.expert_seconds = 0.0
        self._load(config.expert_ids(self._settings.layers))
        self.forget()

    def forget(self) -> None:
        """An empty lane: nothing runs and no prefix is known."""
        settings = self._settings
        self._engine.open_lane(LANE)
        self._scheduler = Scheduler(
            block_size=settings.block_size,
            num_blocks=settings.blocks_per_lane,
            max_step_tokens=settings.max_step_tokens,
        )

    def add(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> None:
        """Queue greedy requests that end with their last token."""
        for prompt in prompts:
            request = str(next(self._requests)).encode()
            submit = Submit(request, tuple(prompt), (), GREEDY, max_tokens, ())
            self._scheduler.add(sequence.Sequence(submit, CONNECTION))

    @property
    def is_busy(self) -> bool:
        """Whether anyone runs or waits."""
        return bool(self._scheduler.num_running or self._scheduler.num_waiting)

    @torch.inference_mode()
    def step(self) -> int:
        """One step; how many tokens came of it."""
        micro = self._scheduler.form()
        assert micro is not None, "nobody runs"
        engine = self._engine
        engine.free(LANE, micro.freed)
        batch = engine.begin(LANE, micro.segments, micro.tokens, None)
        for layer in self._settings.layers:
            routed = engine.attend(batch, layer)
            began = time.thread_time()
            engine.combine(batch, layer, {one.expert: engine.expert(one.expert, [one.rows])[0] for one in routed})
            self.expert_seconds += time.thread_time() - began
        sampled = engine.finish(batch)
        assert isinstance(sampled, Sampled), "the only stage is the last"
        self._accept(sampled)
        return len(sampled.tokens)

    def run(self) -> int:
        """All steps until everyone has finished; how many tokens came of them."""
        total = 0
        while self.is_busy:
            total += self.step()
        return total

    def _accept(self, sampled: Sampled) -> None:
        for number, token in sampled.tokens:
            one = self._scheduler.accept(number, token)
            if one is not None and one.finish:
                self._scheduler.remove(one)

    def _load(self, experts: Sequence[int]) -> None:
        for expert in experts:
            self._engine.load(expert)
        left = len(experts)
        while left:
            for expert, error in self._engine.loaded():
                if error is not None:
                    raise RuntimeError(f"expert {expert}: {error}")
                left -= 1
