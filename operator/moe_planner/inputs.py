"""What a plan is made for, beside the model: hardware, workload and the user's constraints. Plain values, no rules."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Equal nodes. `nodes` is their names, in the order in which the plan fills them, or just how many there are."""

    nodes: tuple[str, ...] | int
    gpus_per_node: int
    gpu_memory_bytes: int

    @property
    def num_nodes(self) -> int:
        return self.nodes if isinstance(self.nodes, int) else len(self.nodes)

    @property
    def node_names(self) -> tuple[str, ...]:
        """Real names, or node-0, node-1, ... where only a number is known."""
        return tuple(f"node-{i}" for i in range(self.nodes)) if isinstance(self.nodes, int) else self.nodes

    @property
    def num_gpus(self) -> int:
        return self.num_nodes * self.gpus_per_node


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is served, and the buffers that the engine's admission bounds.

    Lengths are in tokens. `kv_tokens_per_lane` is the KV cache of one lane; a rank reserves it for `lanes_per_rank`
    lanes, its own and those it may take over. A lane has at most `steps_in_flight` steps of `step_tokens` tokens.
    """

    batch_size: int
    min_sequence_length: int
    max_sequence_length: int
    kv_tokens_per_lane: int
    lanes_per_rank: int
    step_tokens: int
    steps_in_flight: int


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """Degrees that the user fixed (None: the planner chooses), how many replicas and how many copies of an expert."""

    expert: int | None = None
    pipeline: int | None = None
    tensor: int | None = None
    sequence: int | None = None
    data: int | None = None
    replicas: int = 1
    copies: int = 1
