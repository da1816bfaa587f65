"""What a planning file says, and what is said of it line by line. Values only; who reads and judges is elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass

from moe_planner.inputs import Constraints, Hardware, Targets, Workload
from moe_planner.model import ModelShape
from moe_planner.result import Verdict

BLOCKS: Mapping[str, tuple[str, ...]] = {
    "parallel_strategy": ("ep", "pp", "tp", "sp", "dp"),
    "gpu_configuration": ("total_gpus", "gpus_per_node", "nodes_required"),
    "memory_allocation": ("expert_parameters", "kv_cache", "activation_buffer", "total_usage"),
    "performance_targets": (
        "ttft",
        "throughput",
        "prefill_throughput",
        "decode_throughput",
        "decode_latency",
        "memory_utilization",
        "mfu",
    ),
}
"""The configuration block's parts and their lines, in the reference document's order."""


@dataclass(frozen=True, kw_only=True)
class DocumentLine:
    """One line of the configuration block: its path, e.g. "performance_targets.ttft", and what stands there."""

    key: str
    written: object


@dataclass(frozen=True, kw_only=True)
class PlanFile:
    """The planner's arguments, the lines they were read from, and what the file left open: (what, what was taken)."""

    shape: ModelShape
    hardware: Hardware
    workload: Workload
    constraints: Constraints
    targets: Targets
    given: tuple[DocumentLine, ...]
    assumed: tuple[tuple[str, str], ...] = ()

    def written(self, key: str) -> object:
        """What stands on a line; None where there is no such line."""
        return next((line.written for line in self.given if line.key == key), None)


@dataclass(frozen=True, kw_only=True)
class LineVerdict:
    """One line judged: what it says, what the plan comes to, and why that is so."""

    key: str
    written: str
    computed: str
    verdict: Verdict
    why: str
