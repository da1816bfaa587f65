"""One history's shape, drawn from its seed: how big the world is, how tight its buffers are and how much goes wrong."""

from dataclasses import dataclass
from random import Random

from moe_worker.protocol.settings import Settings
from tests.moe_worker.protocol.simulation.arithmetic import Model

FOREVER = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Times are virtual seconds; every turn of the scheduler takes one millisecond.

    `has_lonely_zombies`: some processes that lost their seat are never told and never die; only then may heads lose
    patience. All prompts are the beginnings of `num_texts` texts.
    """

    stages: int
    ranks: int
    layers_per_stage: int
    experts_per_layer: int
    experts_per_token: int
    copies: int
    is_skewed: bool
    flaky_loads: bool
    block_size: int
    spare_blocks: int
    max_step_tokens: int
    max_steps_in_flight: int
    num_requests: int
    longest_prompt: int
    longest_answer: int
    num_texts: int
    max_waiting: int
    num_faults: int
    fault_seconds: float
    has_lonely_zombies: bool

    @property
    def model(self) -> Model:
        return Model(
            layers=self.stages * self.layers_per_stage,
            experts_per_layer=self.experts_per_layer,
            experts_per_token=self.experts_per_token,
            skewed=self.is_skewed,
        )

    def settings(self, stage: int) -> Settings:
        longest = self.longest_prompt + self.longest_answer
        return Settings(
            stage=stage,
            stages=self.stages,
            first_layer=stage * self.layers_per_stage,
            num_layers=self.layers_per_stage,
            block_size=self.block_size,
            blocks_per_lane=-(-longest // self.block_size) + self.spare_blocks,
            lanes_per_rank=self.ranks,
            max_step_tokens=self.max_step_tokens,
            max_steps_in_flight=self.max_steps_in_flight,
            max_sequence_length=longest,
            max_waiting=self.max_waiting,
            patience_seconds=5.0 if self.has_lonely_zombies else FOREVER,
        )


def draw(random: Random) -> Config:
    """Most worlds are tiny, so that many of their interleavings are seen."""
    experts = random.choice((1, 2, 2, 3, 4))
    ranks = random.choice((1, 2, 2, 2, 3, 4))
    return Config(
        stages=random.choice((1, 2, 2, 2, 3, 4)),
        ranks=ranks,
        layers_per_stage=random.choice((1, 1, 2)),
        experts_per_layer=experts,
        experts_per_token=random.randint(1, min(2, experts)),
        copies=random.randint(1, min(2, ranks)),
        is_skewed=random.random() < 0.15,
        flaky_loads=random.random() < 0.1,
        block_size=random.randint(1, 4),
        spare_blocks=random.choice((0, 0, 1, 4, 12)),
        max_step_tokens=random.choice((1, 2, 3, 6)),
        max_steps_in_flight=random.randint(1, 3),
        num_requests=random.choice((1, 2, 3, 4, 6)),
        longest_prompt=random.randint(1, 8),
        longest_answer=random.randint(1, 8),
        num_texts=random.choice((1, 2, 6)),
        max_waiting=random.choice((1, 2, 100)),
        num_faults=random.choice((0, 1, 2, 3, 4, 6)),
        fault_seconds=random.choice((0.1, 0.3, 0.8)),
        has_lonely_zombies=random.random() < 0.2,
    )
