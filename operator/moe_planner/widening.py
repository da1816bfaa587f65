"""The step of the reasoning on tensor and sequence parallelism: whether a seat needs more than one GPU."""

from dataclasses import replace

from moe_planner.amounts import count, gib, seconds
from moe_planner.candidates import Candidate
from moe_planner.memory import usable_bytes
from moe_planner.problem import Problem
from moe_planner.result import Step, Unsupported

_ONLY_ONE = "v1alpha1 workers run TP = SP = 1"


def gpus_of_a_seat(problem: Problem, best: Candidate) -> Step:
    """Why there is one GPU to a seat, or why there are more."""
    memory, degrees, workload = best.memory, best.degrees, problem.workload
    return Step(
        title="Tensor and sequence parallelism",
        facts=(
            f"the fullest GPU holds {gib(memory.total)} of {gib(problem.hardware.gpu_memory_bytes)}: experts "
            f"{gib(memory.experts)}, takeover {gib(memory.takeover)}, attention {gib(memory.attention)}, embeddings "
            f"{gib(memory.embeddings)}, KV cache {gib(memory.kv_cache)}, buffers {gib(memory.buffers)}",
            f"longest sequence {workload.max_sequence_length} of {workload.kv_tokens_per_lane} tokens in a lane",
            *_price(best),
        ),
        choice=f"TP = {degrees.tensor}, SP = {degrees.sequence}",
        why=_why(problem, best),
    )


def unsupported(best: Candidate) -> tuple[Unsupported, ...]:
    """What the workers of this version cannot run."""
    degrees = (("parallelism.tensor", best.degrees.tensor), ("parallelism.sequence", best.degrees.sequence))
    return tuple(
        Unsupported(field=field, value=degree, rule=_ONLY_ONE, remedy="use 1, with smaller experts or larger GPUs")
        for field, degree in degrees
        if degree > 1
    )


def _why(problem: Problem, best: Candidate) -> str:
    wide = best.degrees.gpus_per_seat
    if wide == 1:
        return (
            "an expert, a layer's attention and a sequence's KV cache each fit one GPU, so splitting them would only "
            f"add communication; {_ONLY_ONE}"
        )
    fixed = [name for name in ("tensor", "sequence") if getattr(problem.constraints, name)]
    if fixed:
        return f"{' and '.join(fixed)} fixed by the user; {_ONLY_ONE}, so this plan is explained and not run"
    usable, expert = usable_bytes(problem.hardware), problem.shape.expert_bytes
    what = f"one expert of {gib(expert)} exceeds" if expert > usable else "with one GPU a seat no layout fits"
    return (
        f"{what} the {gib(usable)} that are usable of a GPU, and {count(wide, 'GPU')} are the fewest with which one "
        f"does; {_ONLY_ONE}, so this plan is explained and not run"
    )


def _price(best: Candidate) -> tuple[str, ...]:
    """What two GPUs a seat would make of a decode step, with the same GPUs in a stage."""
    degrees = best.degrees
    times = best.times
    if times is None or degrees.gpus_per_seat > 1 or degrees.expert % 2 or best.problem.shape.heads % 2:
        return ()
    halved = replace(best, degrees=replace(degrees, expert=degrees.expert // 2, tensor=2))
    return (
        f"TP 2 on the same GPUs would sum twice in each layer and make a decode step {seconds(halved.decode_step)} "
        f"instead of {seconds(best.decode_step)}",
    )
