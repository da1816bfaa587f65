"""A planning file's lines beside the plan that was made from it: what each comes to, whether it holds, and why.

Times and shares are the plan's own verification lines; sizes and counts are computed as the plan computes them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from moe_planner.amounts import count, decimal, seconds
from moe_planner.limits import shown
from moe_planner.memory import Memory, memory_per_gpu
from moe_planner.planning_file import LineVerdict, PlanFile
from moe_planner.result import Check, Plan, Verdict, verdict_of
from moe_planner.timing import DECODE_STEP, DECODE_THROUGHPUT, FIRST_TOKEN, PREFILL_THROUGHPUT
from moe_planner.units import BYTES, read

CHECKS: Mapping[str, tuple[str, ...]] = {
    "ttft": (FIRST_TOKEN,),
    "throughput": (PREFILL_THROUGHPUT, DECODE_THROUGHPUT),
    "prefill_throughput": (PREFILL_THROUGHPUT,),
    "decode_throughput": (DECODE_THROUGHPUT,),
    "decode_latency": (DECODE_STEP,),
    "memory_utilization": ("Memory share",),
    "mfu": ("MFU, prefill",),
}
"""The lines of `performance_targets`, and those of the plan's verification that judge them."""


def judge(file: PlanFile, plan: Plan) -> tuple[LineVerdict, ...]:
    """Every line of the file's block, in its order; a target that is asked of prefill and decode is told twice."""
    found = Found(file=file, plan=plan)
    return tuple(verdict for line in file.given for verdict in _judge_line(found, line.key, line.written))


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file and its plan, with what the file's lines are about."""

    file: PlanFile
    plan: Plan

    @cached_property
    def memory(self) -> Memory:
        """Of the fullest GPU."""
        file = self.file
        return memory_per_gpu(file.shape, self.plan.degrees, file.workload, file.constraints.copies)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """What the block's whole numbers ought to be."""
        degrees, hardware = self.plan.degrees, self.file.hardware
        seats = [seat for layout in self.plan.layouts for stage in layout.stages for seat in stage.seats]
        return {
            "parallel_strategy.ep": degrees.expert,
            "parallel_strategy.pp": degrees.pipeline,
            "parallel_strategy.tp": degrees.tensor,
            "parallel_strategy.sp": degrees.sequence,
            "parallel_strategy.dp": degrees.data,
            "gpu_configuration.total_gpus": degrees.num_ranks,
            "gpu_configuration.gpus_per_node": hardware.gpus_per_node,
            "gpu_configuration.nodes_required": len({seat.node for seat in seats}),
        }

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """What the block's sizes ought to be, in bytes."""
        return {
            "memory_allocation.expert_parameters": self.memory.experts,
            "memory_allocation.kv_cache": self.memory.kv_cache,
            "memory_allocation.activation_buffer": self.memory.buffers,
            "memory_allocation.total_usage": self.memory.total,
        }

    def checks(self, key: str) -> tuple[Check, ...]:
        """The plan's verification of a line of `performance_targets`; none where no times can be told."""
        names = CHECKS[key.rpartition(".")[2]]
        return tuple(check for check in self.plan.verification if check.name in names)


def _judge_line(found: Found, key: str, written: object) -> tuple[LineVerdict, ...]:
    if key in found.counts:
        return (_count_line(found, key, written),)
    if key in found.sizes:
        size = found.sizes[key]
        holds = read(key, written, BYTES).holds(size)
        return (_line(key, written, f"{decimal(size, 'B')} per GPU", verdict_of(holds), _SIZE_REASONS[key](found)),)
    checks = found.checks(key)
    if not checks:
        return (_line(key, written, "not known", "fails", "without the GPU's and its links' figures no time is told"),)
    return tuple(_target_line(key, written, check, len(checks) > 1) for check in checks)


def _count_line(found: Found, key: str, written: object) -> LineVerdict:
    number, degrees = found.counts[key], found.plan.degrees
    reason = _COUNT_REASONS[key](found)
    if key == "parallel_strategy.ep" and written == number * degrees.pipeline and degrees.pipeline > 1:
        all_stages = f"{shown(written)} counts the expert ranks of all {degrees.pipeline} stages, which is EP {number} "
        per_stage = f"in each; EP {shown(written)} in each would be {number * degrees.pipeline**2} GPUs"
        return _line(key, written, f"{number} per stage", "holds", f"{all_stages}{per_stage}")
    return _line(key, written, str(number), verdict_of(written in (number, "auto")), reason)


def _target_line(key: str, written: object, check: Check, is_one_of_two: bool) -> LineVerdict:
    about = f" ({check.name.split()[0].lower()})" if is_one_of_two else ""
    error = "" if check.error is None else f", give or take {check.error:.0%}"
    why = f"{check.formula}; {check.note}" if check.note else check.formula
    return _line(f"{key}{about}", written, f"{_amount(check)}{error}", check.verdict, why)


def _amount(check: Check) -> str:
    if check.unit == "s":
        return seconds(check.value)
    return f"{check.value:.2%}" if check.unit == "share" else f"{decimal(check.value, check.unit)} per GPU"


def _line(key: str, written: object, computed: str, verdict: Verdict, why: str) -> LineVerdict:
    return LineVerdict(key=key, written=shown(written), computed=computed, verdict=verdict, why=why)


def _ep(found: Found) -> str:
    held = found.memory.experts // max(1, found.file.shape.expert_bytes)
    return f"a stage's experts over {count(found.plan.degrees.expert, 'rank')}, {count(held, 'expert')} on the fullest"


def _pp(found: Found) -> str:
    return f"{count(found.file.shape.layers, 'layer')} over {count(found.plan.degrees.pipeline, 'stage')}"


def _tp(found: Found) -> str:
    memory, hardware = found.memory.total, found.file.hardware.gpu_memory_bytes
    return f"an expert, a layer's attention and a lane's KV cache take {memory / hardware:.2%} of a GPU"


def _sp(found: Found) -> str:
    lanes = found.plan.degrees.expert
    return f"each sequence is whole in one lane; {count(lanes, 'lane')} a stage share attention by sequences"


def _dp(found: Found) -> str:
    return f"{count(found.plan.degrees.data, 'whole pipeline')}; inside one its lanes make the throughput"


def _total_gpus(found: Found) -> str:
    degrees = found.plan.degrees
    product = f"EP {degrees.expert} x PP {degrees.pipeline} x TP {degrees.tensor} x SP {degrees.sequence}"
    cheapest = next((one for one in found.plan.alternatives if one.role == "cheapest"), None)
    told = f"; the cheapest layout takes {cheapest.degrees.num_ranks}" if cheapest else ""
    return f"{product} x DP {degrees.data} = {degrees.num_ranks}{told}"


def _gpus_per_node(found: Found) -> str:
    return f"pods of {count(found.plan.gpus_per_pod, 'GPU')}"


def _nodes(found: Found) -> str:
    return f"{found.plan.degrees.num_ranks} GPUs, {found.file.hardware.gpus_per_node} on a node; stages share no pod"


def _expert_parameters(found: Found) -> str:
    memory = found.memory
    held = memory.experts // max(1, found.file.shape.expert_bytes)
    each = decimal(found.file.shape.expert_bytes, "B")
    return f"{count(held, 'expert')} of {each}; with attention and routers {decimal(memory.weights, 'B')}"


def _kv_cache(found: Found) -> str:
    shape, workload = found.file.shape, found.file.workload
    one = decimal(shape.kv_bytes(0, workload.max_sequence_length), "B")
    tokens = f"{workload.lanes_per_rank} x {workload.kv_tokens_per_lane} tokens"
    return f"{one} is one sequence in one layer; a GPU keeps {tokens} in the layers of its stage"


def _activation_buffer(found: Found) -> str:
    shape, workload, degrees = found.file.shape, found.file.workload, found.plan.degrees
    tokens = workload.batch_size * workload.max_sequence_length / degrees.data
    rows = tokens * shape.experts_per_token / degrees.expert * shape.expert_ffn * (2 if shape.gated else 1)
    whole = decimal(rows * shape.bytes_per_number, "B")
    return f"steps of {workload.step_tokens} tokens a lane; a prefill of the whole batch at once would take {whole}"


def _total_usage(found: Found) -> str:
    memory = found.memory
    weights, takeover = decimal(memory.weights, "B"), decimal(memory.takeover, "B")
    others = f"KV cache {decimal(memory.kv_cache, 'B')}, buffers {decimal(memory.buffers, 'B')}"
    return f"weights {weights}, room for a failed neighbour's experts {takeover}, {others}"


_COUNT_REASONS: Mapping[str, Callable[[Found], str]] = {
    "parallel_strategy.ep": _ep,
    "parallel_strategy.pp": _pp,
    "parallel_strategy.tp": _tp,
    "parallel_strategy.sp": _sp,
    "parallel_strategy.dp": _dp,
    "gpu_configuration.total_gpus": _total_gpus,
    "gpu_configuration.gpus_per_node": _gpus_per_node,
    "gpu_configuration.nodes_required": _nodes,
}
_SIZE_REASONS: Mapping[str, Callable[[Found], str]] = {
    "memory_allocation.expert_parameters": _expert_parameters,
    "memory_allocation.kv_cache": _kv_cache,
    "memory_allocation.activation_buffer": _activation_buffer,
    "memory_allocation.total_usage": _total_usage,
}
