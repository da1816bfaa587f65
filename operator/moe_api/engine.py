"""Settings of the running engine and of failover, shared by MoEDeployment and MoEStage."""

from pydantic import ConfigDict, Field

from moe_api import rules
from moe_api.base import SpecModel


class EngineSpec(SpecModel):
    """How a rank batches and caches. A lane is the ranks, one in each stage, that hold a sequence's KV cache."""

    model_config = ConfigDict(json_schema_extra=rules.ENGINE)

    block_size: int = Field(default=16, ge=1, le=1024)
    """Tokens in one block of KV cache."""
    blocks_per_lane: int = Field(default=256, ge=1, le=1048576)
    """Blocks of KV cache of one lane."""
    lanes_per_rank: int = Field(default=3, ge=1, le=64)
    """Lanes for which each rank reserves KV cache: its own and those it takes over when others fail."""
    max_step_tokens: int = Field(default=256, ge=1, le=65536)
    """Tokens in one step of a lane at most; longer prompts are cut into chunks."""
    max_steps_in_flight: int = Field(default=4, ge=1, le=64)
    """Steps of one lane that are under way at the same time at most."""
    max_sequence_length: int = Field(default=2048, ge=2, le=16777216)
    """Tokens of prompt and completion together at most; must fit into one lane's blocks."""


class FailoverSpec(SpecModel):
    """When something counts as failed, and how long requests wait."""

    hold_seconds: float = Field(default=30, ge=0, le=3600)
    """How long a request that no capacity can serve waits before it gets an error."""
    heartbeat_seconds: float = Field(default=2, ge=0.5, le=300)
    """A rank that is silent for this long is killed and started again."""
    restart_budget: int = Field(default=3, ge=0, le=100)
    """Restarts of one rank within 60 seconds before its GPU counts as failed."""
