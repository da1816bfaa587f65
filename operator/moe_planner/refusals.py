"""Why there is no layout: which size or number is in the way, and what to write instead. Makes PlanErrors only."""

from collections.abc import Iterable

from moe_planner.amounts import count, gib
from moe_planner.candidates import Candidate, gpus_per_pod, num_pods
from moe_planner.errors import PlanError
from moe_planner.memory import USABLE_SHARE, expert_slice, usable_bytes
from moe_planner.problem import Problem


def nothing_is_legal(problem: Problem) -> PlanError:
    """No degrees at all: the copies, what is to be survived, or the width of a seat asks for too much."""
    constraints, hardware = problem.constraints, problem.hardware
    nodes = f"{hardware.num_nodes} nodes x {hardware.gpus_per_node} GPUs"
    for field, degree in (("parallelism.tensor", constraints.tensor), ("parallelism.sequence", constraints.sequence)):
        if degree not in (None, 1):
            return PlanError(
                field,
                degree,
                f"the GPUs of a seat share one node of {hardware.gpus_per_node} and fill it in whole seats; tensor "
                f"ranks divide {problem.shape.heads} heads and {problem.shape.expert_ffn} FFN rows",
                "use 1, auto, or a divisor of all of them",
            )
    if constraints.survive == "node":
        return PlanError(
            "experts.survive",
            "node",
            f"copies on another node need a stage of several nodes, and {nodes} hold none with so many experts",
            "use smaller nodes, more experts in a stage (fewer stages), or survive a gpu",
        )
    return PlanError(
        "experts.copies",
        problem.copies,
        f"no stage of {nodes} has as many GPUs of its own",
        "use fewer copies or replicas, or more nodes",
    )


def too_few_nodes(problem: Problem, candidates: Iterable[Candidate]) -> PlanError:
    """Even the smallest of the legal candidates is too large."""
    hardware, capacity = problem.hardware, problem.capacity
    least = min(
        candidates, key=lambda c: (-(-num_pods(c) * gpus_per_pod(c) // hardware.gpus_per_node), c.degrees.num_ranks)
    )
    degrees, size = least.degrees, gpus_per_pod(least)
    needed = -(-num_pods(least) // (hardware.gpus_per_node // size))
    bad = hardware.num_gpus - capacity.good_gpus
    without = f", {bad} of them bad, which leaves room for {count(capacity.most_pods(size), 'pod')}" if bad else ""
    good = " without bad GPUs" if bad else ""
    return PlanError(
        "hardware.nodes",
        hardware.num_nodes,
        f"{degrees.data} x {degrees.pipeline} stages x {degrees.gpus_per_stage} ranks need {degrees.num_ranks} GPUs in "
        f"pods of {size}, {needed} nodes of {hardware.gpus_per_node} GPUs; there are {hardware.num_gpus} GPUs{without}",
        f"use at least {needed} nodes{good}, fewer replicas, or leave parallelism to auto",
    )


def nothing_fits(problem: Problem, candidates: Iterable[Candidate]) -> PlanError:
    """Even the leanest of those that the nodes take needs more memory than a GPU has."""
    candidates = list(candidates)
    widest = max(candidates, key=lambda c: c.degrees.gpus_per_seat)
    if expert_slice(problem.shape, widest.degrees) > usable_bytes(problem.hardware):
        return _expert_too_large(problem, widest)
    narrowest = min(c.degrees.gpus_per_seat for c in candidates)
    as_narrow = [c for c in candidates if c.degrees.gpus_per_seat == narrowest]
    least = min(as_narrow, key=lambda c: (c.memory.total, c.experts_per_gpu, c.degrees.num_ranks))
    memory, degrees = least.memory, least.degrees
    needed = -(-memory.total * 10 // int(USABLE_SHARE * 10))
    return PlanError(
        "hardware.gpuMemory",
        gib(problem.hardware.gpu_memory_bytes),
        f"even {degrees.pipeline} stages x {degrees.gpus_per_stage} ranks need {gib(memory.total)} on a GPU "
        f"({least.experts_per_gpu} experts {gib(memory.experts)}, takeover {gib(memory.takeover)}, attention "
        f"{gib(memory.attention)}, embeddings {gib(memory.embeddings)}, KV cache {gib(memory.kv_cache)}, buffers "
        f"{gib(memory.buffers)}), and {USABLE_SHARE:.0%} of its memory is usable",
        f"use GPUs of at least {gib(needed)}, more nodes, or a smaller engine.blocksPerLane",
    )


def _expert_too_large(problem: Problem, widest: Candidate) -> PlanError:
    shape, hardware, degrees = problem.shape, problem.hardware, widest.degrees
    split = degrees.gpus_per_seat
    return PlanError(
        "hardware.gpuMemory",
        gib(hardware.gpu_memory_bytes),
        f"one expert has {gib(shape.expert_bytes)}, and {gib(expert_slice(shape, degrees))} even split over the "
        f"{count(split, 'GPU')} of a seat; {gib(usable_bytes(hardware))} of a GPU are usable",
        "use GPUs with more memory, more GPUs per node, or narrower numbers",
    )


def _whole_nodes(candidate: Candidate) -> int:
    """Nodes that it takes when no GPU is bad."""
    size = gpus_per_pod(candidate)
    return -(-num_pods(candidate) // (candidate.problem.hardware.gpus_per_node // size))
