"""What no layout can beat, known before any is tried: from the model, the workload and the GPUs' rates alone.

A bound is told twice: at the efficiencies that are assumed, and at the data sheet's peaks. Only what is beyond the
latter is out of reach whatever the kernels do. The best layout has every GPU busy and reads nothing twice.
"""

from dataclasses import dataclass
from math import ceil

from moe_planner.amounts import decimal, gib
from moe_planner.memory import usable_bytes
from moe_planner.problem import Problem
from moe_planner.sizes import whole_model
from moe_planner.speeds import Speeds


@dataclass(frozen=True, kw_only=True)
class Bound:
    """`target` is the field of Targets that it bounds: from above where `is_cap`, else from below."""

    name: str
    target: str
    formula: str
    value: float
    at_peak: float
    is_cap: bool

    def rules_out(self, wanted: float) -> bool:
        """Whether the target is beyond what the data sheet's peaks allow."""
        return wanted > self.at_peak if self.is_cap else wanted < self.at_peak

    def keeps_from(self, wanted: float, slack: float) -> bool:
        """Whether the target is beyond what the assumed efficiencies allow, by more than a share of `slack`."""
        return wanted * (1 - slack) > self.value if self.is_cap else wanted * (1 + slack) < self.value

    @property
    def strictness(self) -> float:
        """Larger is stricter, among bounds of the same target."""
        return -self.value if self.is_cap else self.value


def bounds(problem: Problem, gpus_per_seat: int = 1) -> tuple[Bound, ...]:
    """Every bound that the known figures give, whether or not there is a target for it."""
    memory = (_memory_floor(problem),)
    known = problem.speeds
    if known is None:
        return memory
    return (
        *memory,
        _first_token_floor(problem, known),
        _step_floor(problem, known, gpus_per_seat),
        _compute_cap(problem, known),
        _weight_read_cap(problem, known),
        _cache_read_cap(problem, known),
        _flops_share_cap(problem),
    )


def strictest(found: tuple[Bound, ...], target: str) -> Bound | None:
    """The bound that comes first on the way to a target."""
    own = [bound for bound in found if bound.target == target]
    return max(own, key=lambda bound: bound.strictness, default=None)


def fewest_gpus(problem: Problem) -> int:
    """GPUs whose usable memory holds the weights and the whole batch's KV cache once."""
    return max(1, ceil((_weights(problem) + _cache(problem)) / max(1, usable_bytes(problem.hardware))))


def _weights(problem: Problem) -> int:
    shape, model = problem.shape, whole_model(problem.shape)
    return shape.total_experts * shape.expert_bytes + model.lane_bytes + model.embeddings * shape.embedding_bytes


def _cache(problem: Problem) -> int:
    """Of the whole batch at full length."""
    workload = problem.workload
    return workload.batch_size * workload.max_sequence_length * whole_model(problem.shape).kv_bytes_per_token


def _memory_floor(problem: Problem) -> Bound:
    hardware, weights = problem.hardware, _weights(problem)
    share = weights / max(1, problem.capacity.good_gpus) / hardware.gpu_memory_bytes
    return Bound(
        name="memory floor",
        target="memory_share",
        formula=f"weights {gib(weights)} / {problem.capacity.good_gpus} GPUs / {gib(hardware.gpu_memory_bytes)}",
        value=share,
        at_peak=share,
        is_cap=False,
    )


def _first_token_floor(problem: Problem, known: Speeds) -> Bound:
    workload, gpus = problem.workload, max(1, problem.capacity.good_gpus)
    flop = problem.prefill_flops * workload.batch_size * workload.max_sequence_length
    return Bound(
        name="compute floor",
        target="time_to_first_token",
        formula=f"{decimal(flop, 'FLOP')} / ({gpus} GPUs x {decimal(known.flops, 'FLOP')}/s)",
        value=flop / (gpus * known.flops),
        at_peak=flop / (gpus * known.peak_flops),
        is_cap=False,
    )


def _step_floor(problem: Problem, known: Speeds, gpus_per_seat: int) -> Bound:
    """A token meets the layers one after the other, and in each attention, its own cache, then one expert at least."""
    model = whole_model(problem.shape)
    num_bytes = model.lane_bytes + model.expert_layers * problem.shape.expert_bytes + _cached_by_one(problem)
    num_bytes = num_bytes // gpus_per_seat
    return Bound(
        name="step floor",
        target="time_per_output_token",
        formula=f"{model.layers} layers' attention, one expert and one sequence's KV cache each: "
        f"{decimal(num_bytes, 'B')} / {decimal(known.memory, 'B')}/s",
        value=num_bytes / known.memory,
        at_peak=num_bytes / known.peak_memory,
        is_cap=False,
    )


def _compute_cap(problem: Problem, known: Speeds) -> Bound:
    flop = problem.prefill_flops
    return Bound(
        name="compute cap",
        target="prefill_throughput_per_gpu",
        formula=f"{decimal(known.flops, 'FLOP')}/s / {decimal(flop, 'FLOP')} a token",
        value=known.flops / flop,
        at_peak=known.peak_flops / flop,
        is_cap=True,
    )


def _weight_read_cap(problem: Problem, known: Speeds) -> Bound:
    """A step reads every weight that it uses once, for all of its tokens; chosen experts by their chances."""
    shape, batch, model = problem.shape, problem.workload.batch_size, whole_model(problem.shape)
    experts = model.expert_layers * shape.experts * problem.activated_share(batch) * shape.expert_bytes
    num_bytes = model.lane_bytes + experts
    return Bound(
        name="weight-read cap",
        target="decode_throughput_per_gpu",
        formula=f"{batch} tokens x {decimal(known.memory, 'B')}/s / {decimal(num_bytes, 'B')} of weights",
        value=batch * known.memory / num_bytes,
        at_peak=batch * known.peak_memory / num_bytes,
        is_cap=True,
    )


def _cache_read_cap(problem: Problem, known: Speeds) -> Bound:
    num_bytes = _cached_by_one(problem)
    return Bound(
        name="KV-read cap",
        target="decode_throughput_per_gpu",
        formula=f"{decimal(known.memory, 'B')}/s / {decimal(num_bytes, 'B')} of a sequence's KV cache",
        value=known.memory / num_bytes,
        at_peak=known.peak_memory / num_bytes,
        is_cap=True,
    )


def _flops_share_cap(problem: Problem) -> Bound:
    efficiency = problem.hardware.flops_efficiency
    return Bound(
        name="kernel efficiency",
        target="flops_share",
        formula=f"{efficiency:.0%} of the peak is what kernels are assumed to reach",
        value=efficiency,
        at_peak=1.0,
        is_cap=True,
    )


def _cached_by_one(problem: Problem) -> int:
    """Bytes that a token of a sequence of full length reads of its own cache."""
    shape, length = problem.shape, problem.workload.max_sequence_length
    return sum(shape.kv_bytes(layer, length) for layer in range(shape.layers))
