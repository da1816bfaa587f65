"""Choosing EP and PP: every legal pair, judged by the same key. Knows what fits, not where things are placed."""

from collections.abc import Iterator
from dataclasses import dataclass

from moe_planner.amounts import gib as gib
from moe_planner.errors import PlanError
from moe_planner.inputs import Constraints, Hardware, Workload
from moe_planner.memory import USABLE_SHARE, Memory, experts_per_rank, memory_per_gpu, usable_bytes
from moe_planner.model import ModelShape
from moe_planner.placement import gpus_per_pod, nodes_needed
from moe_planner.result import Alternative, Degrees

_MAX_ALTERNATIVES = 4


@dataclass(frozen=True, kw_only=True)
class Candidate:
    degrees: Degrees
    experts_per_gpu: int
    nodes: int
    memory: Memory


@dataclass(frozen=True, kw_only=True)
class Choice:
    best: Candidate
    alternatives: tuple[Alternative, ...]


def choose(shape: ModelShape, hardware: Hardware, workload: Workload, constraints: Constraints) -> Choice:
    """Fewest experts on a GPU, then EP as near to the experts of a layer as it gets, then most stages, fewest GPUs.

    Raises PlanError when nothing fits the nodes, or nothing that does fits the memory.
    """
    legal = list(_legal(shape, hardware, constraints))
    placed = [d for d in legal if nodes_needed(d, hardware.gpus_per_node) <= hardware.num_nodes]
    if not placed:
        raise _too_few_nodes(legal, shape, hardware, constraints)
    candidates = [_candidate(d, shape, hardware, workload, constraints.copies) for d in placed]
    fitting = [c for c in candidates if c.memory.total <= usable_bytes(hardware)]
    if not fitting:
        raise _too_little_memory(candidates, shape, hardware)
    best, *others = sorted(fitting, key=lambda c: _key(c, shape))
    return Choice(best=best, alternatives=_alternatives(best, others, shape))


def _legal(shape: ModelShape, hardware: Hardware, constraints: Constraints) -> Iterator[Degrees]:
    """Every pair that splits whole layers and whole pods, whether or not the nodes suffice when both are fixed."""
    pipelines = range(1, shape.layers + 1) if constraints.pipeline is None else (constraints.pipeline,)
    for pipeline in pipelines:
        most = shape.experts * (shape.layers // pipeline)
        affordable = max(1, hardware.num_gpus // (pipeline * constraints.replicas))
        fixed = () if constraints.expert is None else (constraints.expert,)
        for expert in fixed or _whole_pods(min(most, affordable), hardware.gpus_per_node):
            if constraints.copies <= expert <= most:
                yield Degrees(expert=expert, pipeline=pipeline, data=constraints.replicas)


def _whole_pods(most: int, gpus_per_node: int) -> Iterator[int]:
    """Stage sizes up to `most`: a part of a node, or whole nodes."""
    yield from range(1, min(most, gpus_per_node) + 1)
    yield from range(2 * gpus_per_node, most + 1, gpus_per_node)


def _candidate(degrees: Degrees, shape: ModelShape, hardware: Hardware, workload: Workload, copies: int) -> Candidate:
    return Candidate(
        degrees=degrees,
        experts_per_gpu=experts_per_rank(shape, degrees, copies),
        nodes=nodes_needed(degrees, hardware.gpus_per_node),
        memory=memory_per_gpu(shape, degrees, workload, copies),
    )


def _key(candidate: Candidate, shape: ModelShape) -> tuple[int, int, int, int]:
    degrees = candidate.degrees
    return (
        candidate.experts_per_gpu,
        -min(degrees.expert, shape.experts),
        -degrees.pipeline,
        degrees.num_ranks,
    )


def _alternatives(best: Candidate, others: list[Candidate], shape: ModelShape) -> tuple[Alternative, ...]:
    """The best loser of each other pipeline size, and why it lost."""
    seen: set[int] = {best.degrees.pipeline}
    losers = []
    for other in others:
        if other.degrees.pipeline not in seen:
            seen.add(other.degrees.pipeline)
            losers.append(other)
    return tuple(_alternative(best, loser, shape) for loser in losers[:_MAX_ALTERNATIVES])


def _alternative(best: Candidate, loser: Candidate, shape: ModelShape) -> Alternative:
    if loser.experts_per_gpu > best.experts_per_gpu:
        reason = f"{loser.experts_per_gpu} experts on a GPU instead of {best.experts_per_gpu}"
    elif min(loser.degrees.expert, shape.experts) < min(best.degrees.expert, shape.experts):
        reason = f"a layer's experts share {loser.degrees.expert} GPUs instead of {best.degrees.expert}"
    elif loser.degrees.pipeline < best.degrees.pipeline:
        reason = (
            f"PP {loser.degrees.pipeline} instead of {best.degrees.pipeline}: more layers in one failure domain, and "
            "more attention weights on each GPU"
        )
    else:
        reason = f"{loser.degrees.num_ranks} GPUs instead of {best.degrees.num_ranks} for the same"
    figures = (
        ("gpus", float(loser.degrees.num_ranks)),
        ("nodes", float(loser.nodes)),
        ("expertsPerGPU", float(loser.experts_per_gpu)),
        ("memoryBytesPerGPU", float(loser.memory.total)),
    )
    return Alternative(degrees=loser.degrees, figures=figures, rejected_because=reason)


def _too_few_nodes(legal: list[Degrees], shape: ModelShape, hardware: Hardware, constraints: Constraints) -> PlanError:
    if not legal:
        return PlanError(
            "experts.copies",
            constraints.copies,
            f"no stage of {hardware.num_nodes} nodes x {hardware.gpus_per_node} GPUs has as many GPUs of its own",
            "use fewer copies or replicas, or more nodes",
        )
    least = min(legal, key=lambda d: (nodes_needed(d, hardware.gpus_per_node), d.num_ranks))
    needed = nodes_needed(least, hardware.gpus_per_node)
    return PlanError(
        "hardware.nodes",
        hardware.num_nodes,
        f"{least.data} x {least.pipeline} stages x {least.expert} ranks need {least.num_ranks} GPUs in pods of "
        f"{gpus_per_pod(least.expert, hardware.gpus_per_node)}, {needed} nodes of {hardware.gpus_per_node} GPUs; "
        f"there are {hardware.num_gpus} GPUs",
        f"use at least {needed} nodes, fewer replicas, or leave parallelism to auto",
    )


def _too_little_memory(candidates: list[Candidate], shape: ModelShape, hardware: Hardware) -> PlanError:
    least = min(candidates, key=lambda c: (c.memory.total, _key(c, shape)))
    memory, degrees = least.memory, least.degrees
    needed = -(-memory.total * 10 // int(USABLE_SHARE * 10))
    return PlanError(
        "hardware.gpuMemory",
        gib(hardware.gpu_memory_bytes),
        f"even {degrees.pipeline} stages x {degrees.expert} ranks need {gib(memory.total)} on a GPU "
        f"({least.experts_per_gpu} experts {gib(memory.experts)}, takeover {gib(memory.takeover)}, attention "
        f"{gib(memory.attention)}, embeddings {gib(memory.embeddings)}, KV cache {gib(memory.kv_cache)}, buffers "
        f"{gib(memory.buffers)}), and {USABLE_SHARE:.0%} of its memory is usable",
        f"use GPUs of at least {gib(needed)}, more nodes, or a smaller engine.blocksPerLane",
    )
