"""What a rank process is told once, at birth: who it is and the sizes that bound its work."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which process this is. `incarnation` grows with every fork into the seat (at most 2**24 - 1)."""

    rank: int
    pod_uid: str
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The stage's place in the model and the engine's limits.

    Blocks hold `block_size` tokens each, and a lane has `blocks_per_lane`. A head takes no new request while
    `max_waiting` wait for blocks. A head to which nothing has come round the ring for `patience_seconds` gives its
    requests back: another lane may fare better. `log_requests`: their begins and ends are noted too.
    """

    stage: int
    stages: int
    first_layer: int
    num_layers: int
    block_size: int = 16
    blocks_per_lane: int = 256
    lanes_per_rank: int = 3
    max_step_tokens: int = 256
    max_steps_in_flight: int = 4
    max_sequence_length: int = 2048
    max_waiting: int = 256
    patience_seconds: float = 10.0
    log_requests: bool = False

    @property
    def is_first(self) -> bool:
        return self.stage == 0

    @property
    def is_last(self) -> bool:
        return self.stage == self.stages - 1

    @property
    def layers(self) -> range:
        """The stage's layers, numbered as in the model."""
        return range(self.first_layer, self.first_layer + self.num_layers)
