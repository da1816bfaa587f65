"""Why a plan looks as it does, in the mandatory order: structure, EP and PP, TP and SP, DP; then what its GPUs buy.

Each step states the facts it uses, the choice, and why the alternatives lost. Words only; all numbers are told.
"""

from moe_planner.amounts import count, decimal, gib, parameters, seconds
from moe_planner.bounds import Bound, bounds, fewest_gpus
from moe_planner.candidates import Candidate, gpus_per_pod
from moe_planner.inputs import Hardware
from moe_planner.model import ModelShape
from moe_planner.problem import Problem
from moe_planner.rejections import degrees_in_words
from moe_planner.result import Alternative, Step
from moe_planner.search import Choice
from moe_planner.sizes import layers_of_stages
from moe_planner.widening import gpus_of_a_seat
from moe_planner.worth import what_the_gpus_buy


def reason(
    problem: Problem, choice: Choice, losers: tuple[Alternative, ...], notes: tuple[str, ...]
) -> tuple[Step, ...]:
    """The steps. `notes` are what the placement could not do."""
    return (
        _structure(problem),
        _structural(problem, choice, losers, notes),
        gpus_of_a_seat(problem, choice.best),
        _data(problem, choice),
        what_the_gpus_buy(problem, choice),
    )


def conclude(shape: ModelShape, hardware: Hardware, best: Candidate) -> str:
    """One line, fit for a condition: "16 stages x 16 experts = 256 ranks on 32 nodes, one expert per GPU, ..."."""
    degrees = best.degrees
    held = "one expert per GPU" if best.experts_per_gpu == 1 else f"at most {best.experts_per_gpu} experts per GPU"
    pods = degrees.gpus_per_stage // gpus_per_pod(best)
    return (
        f"{_product(shape, best)} on {count(best.nodes or 0, 'node')}, {held}, "
        f"{_layers_per_stage(shape, degrees.pipeline)}, {_others(best)}; {count(pods, 'pod')} a stage, "
        f"{count(degrees.expert, 'lane')}, {gib(best.memory.total)} of {gib(hardware.gpu_memory_bytes)} per GPU"
    )


def _structure(problem: Problem) -> Step:
    shape = problem.shape
    length = problem.workload.max_sequence_length
    return Step(
        title="Structure of the model",
        facts=(
            f"{_expert_layers(shape)} x {shape.experts} experts = {shape.total_experts} experts, "
            f"{shape.experts_per_token} chosen for a token",
            f"hidden {shape.hidden}, {shape.heads} heads x {shape.head_dim}, {_cached(shape)}",
            f"{parameters(shape.parameters)} parameters, {parameters(shape.active_parameters)} of them for a token: "
            f"{decimal(problem.decode_flops, 'FLOP')} after {length} others",
            f"an expert has {gib(shape.expert_bytes)}, a layer's attention {gib(shape.attention_bytes)}",
            *_special_layers(shape),
            *(f"assumed {name}: {why}" for name, why in shape.assumed),
        ),
        choice="Mixture of Experts: experts first, then layers",
        why=f"experts are {_expert_share(shape)} of the weights, and a token needs "
        f"{shape.experts_per_token} of {shape.experts} in a layer: spreading experts spreads the memory, and a GPU "
        "reads and computes only what is chosen there",
    )


def _structural(problem: Problem, choice: Choice, losers: tuple[Alternative, ...], notes: tuple[str, ...]) -> Step:
    best, constraints = choice.best, problem.constraints
    degrees, size = best.degrees, gpus_per_pod(best)
    fixed = [f"{n} fixed at {d}" for n, d in (("EP", constraints.expert), ("PP", constraints.pipeline)) if d]
    found = bounds(problem, degrees.gpus_per_seat)
    return Step(
        title="Expert and pipeline parallelism",
        facts=(
            _supply(problem),
            f"memory alone needs {count(fewest_gpus(problem), 'GPU')}: the weights and the batch's KV cache once",
            *(_out_of_reach(bound, problem) for bound in found if _is_out_of_reach(bound, problem)),
            *fixed,
            f"{choice.num_legal} legal choices of EP and PP, of which {choice.num_fitting} fit nodes and memory",
            *notes,
        ),
        choice=f"EP {degrees.expert} per stage x PP {degrees.pipeline}: {_product(problem.shape, best)}",
        why=f"{_by_objective(best)}: {_layers_per_stage(problem.shape, degrees.pipeline)}, "
        f"{count(degrees.gpus_per_stage // size, 'pod')} of {size} GPUs a stage. Attention is sharded by sequence: "
        f"{count(degrees.expert, 'lane')}. {_lost(losers)}",
    )


def _data(problem: Problem, choice: Choice) -> Step:
    best, replicas = choice.best, problem.constraints.replicas
    return Step(
        title="Data parallelism",
        facts=(f"replicas = {replicas}", f"{best.degrees.num_ranks} GPUs on {best.nodes} nodes in all", *_room(best)),
        choice=f"DP = {best.degrees.data}",
        why="a replica is a whole pipeline with all weights once more; how many there are is the user's choice "
        f"(replicas), throughput inside one comes from its {count(best.degrees.expert, 'lane')}",
    )


def _room(best: Candidate) -> tuple[str, ...]:
    """What one replica more would take."""
    each = best.degrees.num_ranks // best.degrees.data
    free = best.problem.capacity.good_gpus - best.degrees.num_ranks
    return (f"one replica more takes {count(each, 'GPU')}; {free} are free",)


def _by_objective(best: Candidate) -> str:
    objective, held = best.problem.constraints.objective, count(best.experts_per_gpu, "expert")
    if objective == "cheapest":
        return f"fewest GPUs that meet the targets ({best.degrees.num_ranks}), then fewest experts on one ({held})"
    if objective == "fastest":
        return f"shortest decode step on these nodes ({seconds(best.decode_step)}), then fewest GPUs"
    return (
        f"fewest experts on one GPU ({best.experts_per_gpu}), a layer's experts over {best.degrees.expert} GPUs, then "
        "as many stages as remain"
    )


def _lost(losers: tuple[Alternative, ...]) -> str:
    """Why the best of the other pipeline sizes lost; those that lost for the same reason are named together."""
    by_reason: dict[str, list[str]] = {}
    for one in losers:
        if not one.role:
            comparison, _, reason = one.rejected_because.rpartition(": ")
            by_reason.setdefault(reason or comparison, []).append(degrees_in_words(one.degrees))
    others = [f"{', '.join(names)} ({reason})" for reason, names in by_reason.items()]
    return f"What lost: {'; '.join(others)}" if others else "Nothing else is legal and fits"


def _supply(problem: Problem) -> str:
    hardware, constraints = problem.hardware, problem.constraints
    bad = hardware.num_gpus - problem.capacity.good_gpus
    without = f" ({bad} of them bad, and left alone)" if bad else ""
    return (
        f"{hardware.num_nodes} nodes x {hardware.gpus_per_node} GPUs = {hardware.num_gpus} GPUs{without} for "
        f"{count(constraints.replicas, 'replica')} of {problem.shape.total_experts} experts x "
        f"{count(problem.copies, 'copy')}"
    )


def _is_out_of_reach(bound: Bound, problem: Problem) -> bool:
    wanted = getattr(problem.targets, bound.target)
    return wanted is not None and bound.rules_out(wanted)


def _out_of_reach(bound: Bound, problem: Problem) -> str:
    wanted = getattr(problem.targets, bound.target)
    return f"no layout meets {bound.target} {wanted:g}: {bound.name} {bound.formula} = {bound.value:.4g}"


def _product(shape: ModelShape, best: Candidate) -> str:
    degrees = best.degrees
    ranks = degrees.expert * degrees.pipeline
    unit = "experts" if best.experts_per_gpu == 1 and ranks == shape.total_experts else "ranks"
    one = f"{count(degrees.pipeline, 'stage')} x {degrees.expert} {unit} = {count(ranks, 'rank')}"
    wide = f" of {degrees.gpus_per_seat} GPUs" if degrees.gpus_per_seat > 1 else ""
    return f"{one}{wide}" if degrees.data == 1 else f"{degrees.data} replicas x {one}{wide}"


def _others(best: Candidate) -> str:
    degrees = best.degrees
    if degrees.gpus_per_seat > 1:
        return f"TP={degrees.tensor}, SP={degrees.sequence}, DP={degrees.data}"
    return "TP=SP=DP=1" if degrees.data == 1 else f"TP=SP=1, DP={degrees.data}"


def _layers_per_stage(shape: ModelShape, stages: int) -> str:
    spans = layers_of_stages(shape.layers, stages)
    if spans[0] == 1:
        return "one layer per stage"
    return f"{spans[0]} layers per stage" if spans[0] == spans[-1] else f"{spans[-1]} to {spans[0]} layers per stage"


def _expert_share(shape: ModelShape) -> str:
    share = shape.total_experts * shape.expert_parameters / shape.parameters
    return f"{share:.1%}"


def _expert_layers(shape: ModelShape) -> str:
    own = shape.num_expert_layers
    return count(own, "layer") if own == shape.layers else f"{own} of {count(shape.layers, 'layer')}"


def _cached(shape: ModelShape) -> str:
    each = f"{shape.kv_bytes_per_token_per_layer} bytes of cache a token and layer"
    return f"latent attention, {each}" if shape.latent else f"{shape.kv_heads} KV heads, {each}"


def _special_layers(shape: ModelShape) -> tuple[str, ...]:
    """What differs from layer to layer, or is shared by all tokens."""
    dense, windows = len(shape.dense_layers), len(shape.window_layers)
    return (
        *((f"{count(dense, 'layer')} without experts, with a network of {shape.dense_ffn}",) if dense else ()),
        *((f"{count(windows, 'layer')} look back no more than {shape.attention_window} tokens",) if windows else ()),
        *(
            (f"shared experts of width {shape.shared_ffn} in a layer, computed in each lane",)
            if shape.shared_ffn
            else ()
        ),
    )
