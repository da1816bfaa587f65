"""What a plan is made for, beside the model: hardware, workload, targets, loads, constraints. Values, no rules."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """What one GPU can do, from its data sheet. `flops`: (dtype, dense FLOP/s); `memory_bandwidth` in bytes/s."""

    name: str
    flops: tuple[tuple[str, float], ...]
    memory_bandwidth: float


@dataclass(frozen=True, kw_only=True)
class Link:
    """One GPU's way to others: bytes/s in one direction, and seconds for the first byte."""

    bandwidth: float
    latency: float


@dataclass(frozen=True, kw_only=True)
class NodePlace:
    """Where a node stands; "" where nobody said."""

    rack: str = ""
    zone: str = ""

    @property
    def rack_in_zone(self) -> str:
        """Both in one word, since zones may call their racks alike; "" where nobody said."""
        return f"{self.zone}/{self.rack}" if self.rack or self.zone else ""


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Equal nodes. `nodes` is their names, in the order in which the plan fills them, or just how many there are.

    Without `gpu` and links no times can be predicted, and the plan says so. `places` is by node, in the order of
    `node_names`, or empty. `bad_gpus` are (node name, GPU index) that nothing may be placed on. `flops_efficiency` and
    `bandwidth_efficiency` are the shares of the peaks that kernels reach; assumed, until measured lines replace them.
    """

    nodes: tuple[str, ...] | int
    gpus_per_node: int
    gpu_memory_bytes: int
    gpu: Gpu | None = None
    inside: Link | None = None
    between: Link | None = None
    places: tuple[NodePlace, ...] = ()
    bad_gpus: frozenset[tuple[str, int]] = frozenset()
    flops_efficiency: float = 0.6
    bandwidth_efficiency: float = 0.8

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
    `requests_per_second` None: as many as `batch_size` sequences at a time make.
    """

    batch_size: int
    min_sequence_length: int
    max_sequence_length: int
    kv_tokens_per_lane: int
    lanes_per_rank: int
    step_tokens: int
    steps_in_flight: int
    requests_per_second: float | None = None


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What the deployment should reach; None: nobody asked. Seconds, tokens per second and GPU, shares of 1."""

    time_to_first_token: float | None = None
    time_per_output_token: float | None = None
    prefill_throughput_per_gpu: float | None = None
    decode_throughput_per_gpu: float | None = None
    memory_share: float | None = None
    flops_share: float | None = None

    @property
    def is_empty(self) -> bool:
        return all(getattr(self, name) is None for name in self.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class Loads:
    """How often each expert of a layer is chosen. `counts` (by layer, then expert) belongs to "measured"."""

    kind: Literal["uniform", "zipf", "measured"] = "uniform"
    zipf_exponent: float = 1.0
    counts: tuple[tuple[float, ...], ...] = ()
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """Degrees that the user fixed (None: the planner chooses), how many replicas, and how many copies of an expert.

    `copies_of`: (global expert id, copies) that differ from `copies`. `spare_copies`: how many more copies in a stage
    may go to its hottest experts. `survive`: the loss that must leave every expert hosted without a load.
    `objective`: "balance" gives every expert a GPU of its own where the GPUs suffice, "cheapest" takes the fewest GPUs
    that meet the targets, "fastest" the shortest decode step on the given GPUs.
    """

    expert: int | None = None
    pipeline: int | None = None
    tensor: int | None = None
    sequence: int | None = None
    data: int | None = None
    replicas: int = 1
    copies: int = 1
    copies_of: tuple[tuple[int, int], ...] = ()
    spare_copies: int = 0
    survive: Literal["nothing", "gpu", "node"] = "nothing"
    objective: Literal["balance", "cheapest", "fastest"] = "balance"
