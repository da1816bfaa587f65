"""Why a plan looks as it does, in the mandatory order: structure, EP and PP, TP and SP, DP. Words only."""

from moe_planner.amounts import gib
from moe_planner.candidates import Candidate
from moe_planner.inputs import Constraints, Hardware, Workload
from moe_planner.memory import layers_of_stages
from moe_planner.model import ModelShape
from moe_planner.placement import gpus_per_pod
from moe_planner.result import Step


def reason(
    shape: ModelShape, hardware: Hardware, workload: Workload, constraints: Constraints, best: Candidate
) -> tuple[Step, ...]:
    """The four steps."""
    return (
        _structure(shape),
        _structural(shape, hardware, constraints, best),
        _operator_level(shape, hardware, workload, best),
        _data(constraints, best),
    )


def conclude(shape: ModelShape, hardware: Hardware, best: Candidate) -> str:
    """One line, fit for a condition: "16 stages x 16 experts = 256 ranks on 32 nodes, one expert per GPU, ..."."""
    degrees = best.degrees
    held = "one expert per GPU" if best.experts_per_gpu == 1 else f"at most {best.experts_per_gpu} experts per GPU"
    pods = degrees.expert // gpus_per_pod(degrees.expert, hardware.gpus_per_node)
    others = "TP=SP=DP=1" if degrees.data == 1 else f"TP=SP=1, DP={degrees.data}"
    return (
        f"{_product(shape, best)} on {_count(best.nodes, 'node')}, {held}, "
        f"{_layers_per_stage(shape, degrees.pipeline)}, {others}; {_count(pods, 'pod')} a stage, "
        f"{_count(degrees.expert, 'lane')}, {gib(best.memory.total)} of {gib(hardware.gpu_memory_bytes)} per GPU"
    )


def _structure(shape: ModelShape) -> Step:
    return Step(
        title="Structure of the model",
        facts=(
            f"{shape.layers} layers x {shape.experts} experts = {shape.total_experts} experts, "
            f"{shape.experts_per_token} chosen for a token",
            f"hidden {shape.hidden}, {shape.heads} heads x {shape.head_dim}, {shape.kv_heads} KV heads",
            f"{shape.parameters / 1e6:.4g} million parameters; an expert has {gib(shape.expert_bytes)}, a layer's "
            f"attention {gib(shape.attention_bytes)}",
        ),
        choice="Mixture of Experts: experts first, then layers",
        why=f"experts are {_expert_share(shape):.0%} of the weights, and a token needs "
        f"{shape.experts_per_token} of {shape.experts} in a layer",
    )


def _structural(shape: ModelShape, hardware: Hardware, constraints: Constraints, best: Candidate) -> Step:
    degrees = best.degrees
    size = gpus_per_pod(degrees.expert, hardware.gpus_per_node)
    fixed = [f"{n} fixed at {d}" for n, d in (("EP", constraints.expert), ("PP", constraints.pipeline)) if d]
    return Step(
        title="Expert and pipeline parallelism",
        facts=(
            f"{hardware.num_nodes} nodes x {hardware.gpus_per_node} GPUs = {hardware.num_gpus} GPUs for "
            f"{_count(constraints.replicas, 'replica')} of {shape.total_experts} experts x "
            f"{_count(constraints.copies, 'copy')}",
            *fixed,
        ),
        choice=f"EP {degrees.expert} per stage x PP {degrees.pipeline}: {_product(shape, best)}",
        why=f"fewest experts on one GPU ({best.experts_per_gpu}), a layer's experts over {degrees.expert} GPUs, then "
        f"as many stages as remain: {_layers_per_stage(shape, degrees.pipeline)}, "
        f"{_count(degrees.expert // size, 'pod')} of {size} GPUs a stage. Attention is sharded by sequence: "
        f"{degrees.expert} lanes",
    )


def _operator_level(shape: ModelShape, hardware: Hardware, workload: Workload, best: Candidate) -> Step:
    memory = best.memory
    return Step(
        title="Tensor and sequence parallelism",
        facts=(
            f"the fullest GPU holds {gib(memory.total)} of {gib(hardware.gpu_memory_bytes)}: experts "
            f"{gib(memory.experts)}, takeover {gib(memory.takeover)}, attention {gib(memory.attention)}, embeddings "
            f"{gib(memory.embeddings)}, KV cache {gib(memory.kv_cache)}, buffers {gib(memory.buffers)}",
            f"longest sequence {workload.max_sequence_length} of {workload.kv_tokens_per_lane} tokens in a lane",
        ),
        choice="TP = 1, SP = 1",
        why="an expert, a layer's attention and a sequence's KV cache each fit one GPU, so splitting them would only "
        "add communication; v1alpha1 workers run TP = SP = 1",
    )


def _data(constraints: Constraints, best: Candidate) -> Step:
    return Step(
        title="Data parallelism",
        facts=(f"replicas = {constraints.replicas}", f"{best.degrees.num_ranks} GPUs on {best.nodes} nodes in all"),
        choice=f"DP = {best.degrees.data}",
        why="a replica is a whole pipeline; more of them are the user's choice (replicas), throughput inside one comes "
        f"from its {best.degrees.expert} lanes",
    )


def _product(shape: ModelShape, best: Candidate) -> str:
    degrees = best.degrees
    ranks = degrees.expert * degrees.pipeline
    unit = "experts" if best.experts_per_gpu == 1 and ranks == shape.total_experts else "ranks"
    one = f"{_count(degrees.pipeline, 'stage')} x {degrees.expert} {unit} = {_count(ranks, 'rank')}"
    return one if degrees.data == 1 else f"{degrees.data} replicas x {one}"


def _layers_per_stage(shape: ModelShape, stages: int) -> str:
    spans = layers_of_stages(shape.layers, stages)
    if spans[0] == 1:
        return "one layer per stage"
    return f"{spans[0]} layers per stage" if spans[0] == spans[-1] else f"{spans[-1]} to {spans[0]} layers per stage"


def _expert_share(shape: ModelShape) -> float:
    experts = shape.total_experts * shape.expert_bytes
    return experts / (shape.parameters * shape.bytes_per_number)


def _count(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
