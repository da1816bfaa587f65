"""What must hold of the inputs alone, before any layout is tried. Every broken rule is a PlanError."""

from moe_planner.errors import PlanError
from moe_planner.inputs import Constraints, Hardware, Workload
from moe_planner.model import ModelShape

_ONLY_ONE = "v1alpha1 workers run TP = SP = 1"


def check_inputs(shape: ModelShape, hardware: Hardware, workload: Workload, constraints: Constraints) -> None:
    """Raises PlanError for the first rule that is broken."""
    _check_positive(shape, hardware, workload, constraints)
    _check_shape(shape)
    _check_lengths(shape, workload)
    _check_degrees(shape, hardware, constraints)


def _check_positive(shape: ModelShape, hardware: Hardware, workload: Workload, constraints: Constraints) -> None:
    values = {
        "model.shape.layers": shape.layers,
        "model.shape.experts": shape.experts,
        "model.shape.expertsPerToken": shape.experts_per_token,
        "model.shape.hiddenSize": shape.hidden,
        "model.shape.heads": shape.heads,
        "model.shape.keyValueHeads": shape.kv_heads,
        "model.shape.headSize": shape.head_dim,
        "model.shape.expertFfnSize": shape.expert_ffn,
        "model.shape.vocabularySize": shape.vocab,
        "hardware.nodes": hardware.num_nodes,
        "hardware.gpusPerNode": hardware.gpus_per_node,
        "hardware.gpuMemory": hardware.gpu_memory_bytes,
        "workload.batchSize": workload.batch_size,
        "workload.minSequenceLength": workload.min_sequence_length,
        "workload.maxSequenceLength": workload.max_sequence_length,
        "engine.lanesPerRank": workload.lanes_per_rank,
        "experts.copies": constraints.copies,
        "replicas": constraints.replicas,
    }
    fixed = {f"parallelism.{name}": degree for name, degree in _degrees(constraints).items() if degree is not None}
    for field, value in {**values, **fixed}.items():
        if value < 1:
            raise PlanError(field, value, "must be at least 1", "write a positive number")


def _degrees(constraints: Constraints) -> dict[str, int | None]:
    names = ("expert", "pipeline", "tensor", "sequence", "data")
    return {name: getattr(constraints, name) for name in names}


def _check_shape(shape: ModelShape) -> None:
    if shape.experts_per_token > shape.experts:
        raise PlanError(
            "model.shape.expertsPerToken",
            shape.experts_per_token,
            f"a layer has only {shape.experts} experts to choose from",
            f"use 1 to {shape.experts}",
        )
    if shape.heads % shape.kv_heads:
        raise PlanError(
            "model.shape.keyValueHeads",
            shape.kv_heads,
            f"must divide the {shape.heads} query heads",
            f"use a divisor of {shape.heads}",
        )


def _check_lengths(shape: ModelShape, workload: Workload) -> None:
    shortest, longest = workload.min_sequence_length, workload.max_sequence_length
    if shortest > longest:
        raise PlanError(
            "workload.minSequenceLength",
            shortest,
            f"is longer than workload.maxSequenceLength = {longest}",
            f"use at most {longest}",
        )
    if longest > shape.max_positions:
        raise PlanError(
            "workload.maxSequenceLength",
            longest,
            f"is longer than engine.maxSequenceLength = {shape.max_positions}",
            f"use at most {shape.max_positions}, or raise engine.maxSequenceLength",
        )
    if shape.max_positions > workload.kv_tokens_per_lane:
        raise PlanError(
            "engine.maxSequenceLength",
            shape.max_positions,
            f"does not fit the KV cache of one lane, blocksPerLane x blockSize = {workload.kv_tokens_per_lane} tokens",
            "raise engine.blocksPerLane or lower engine.maxSequenceLength",
        )


def _check_degrees(shape: ModelShape, hardware: Hardware, constraints: Constraints) -> None:
    for name, degree in (("tensor", constraints.tensor), ("sequence", constraints.sequence)):
        if degree not in (None, 1):
            raise PlanError(f"parallelism.{name}", degree, _ONLY_ONE, "use 1 or auto")
    if constraints.data not in (None, constraints.replicas):
        raise PlanError(
            "parallelism.data",
            constraints.data,
            f"data parallelism is whole pipelines, and replicas = {constraints.replicas}",
            f"use auto, or set replicas to {constraints.data}",
        )
    if constraints.pipeline is not None and constraints.pipeline > shape.layers:
        raise PlanError(
            "parallelism.pipeline",
            constraints.pipeline,
            f"a stage needs at least one of the {shape.layers} layers",
            f"use 1 to {shape.layers}, or auto",
        )
    if constraints.expert is not None:
        _check_expert(constraints.expert, shape, hardware, constraints)


def _check_expert(expert: int, shape: ModelShape, hardware: Hardware, constraints: Constraints) -> None:
    pipeline = constraints.pipeline or 1
    most = shape.experts * (shape.layers // pipeline)
    if expert > most:
        raise PlanError(
            "parallelism.expert",
            expert,
            f"is the expert ranks of one stage, and with {pipeline} stages a stage has {most} experts",
            f"use at most {most} ({_split(expert, pipeline)}), or auto",
        )
    if expert > hardware.gpus_per_node and expert % hardware.gpus_per_node:
        raise PlanError(
            "parallelism.expert",
            expert,
            f"a stage spans whole pods of {hardware.gpus_per_node} GPUs",
            f"use a multiple of {hardware.gpus_per_node}, at most {hardware.gpus_per_node}, or auto",
        )
    if constraints.copies > expert:
        raise PlanError(
            "experts.copies",
            constraints.copies,
            f"copies of an expert need different GPUs, and parallelism.expert gives a stage {expert}",
            f"use at most {expert}",
        )


def _split(expert: int, pipeline: int) -> str:
    if expert % pipeline:
        return "per stage, not over all stages"
    return f"{expert} expert ranks over {pipeline} stages are {expert // pipeline} per stage"
