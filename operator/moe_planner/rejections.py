"""Why a choice lost: its figures beside the chosen one's, and the one difference that decided. Words and numbers."""

from moe_planner.amounts import count, seconds
from moe_planner.candidates import Candidate
from moe_planner.result import Alternative, Degrees
from moe_planner.search import Choice

_MOST_OTHERS = 4


def alternatives(choice: Choice) -> tuple[Alternative, ...]:
    """The cheapest, the fastest and the best of a few other pipeline sizes, unless they were chosen."""
    best = choice.best
    named = (("cheapest", choice.cheapest), ("fastest", choice.fastest))
    special = tuple((role, one) for role, one in named if one is not None and one.degrees != best.degrees)
    others = [one for one in choice.others if all(one.degrees != other.degrees for _, other in special)]
    return (
        *(_alternative(one, _against_role(best, one, role), role) for role, one in special),
        *(_alternative(one, _against(best, one), "") for one in others[:_MOST_OTHERS]),
    )


def figures(candidate: Candidate) -> tuple[tuple[str, float], ...]:
    """What is known of a candidate, by the names that programs read."""
    known = (
        ("gpus", float(candidate.degrees.num_ranks)),
        ("nodes", float(candidate.nodes or 0)),
        ("expertsPerGPU", float(candidate.experts_per_gpu)),
        ("memoryBytesPerGPU", float(candidate.memory.total)),
    )
    times = candidate.times
    if times is None:
        return known
    return (
        *known,
        ("timeToFirstTokenSeconds", times.time_to_first_token),
        ("decodeStepSeconds", times.decode_step),
        ("prefillTokensPerSecondPerGPU", times.prefill_throughput),
        ("decodeTokensPerSecondPerGPU", times.decode_throughput),
        ("prefillFlopsShare", times.prefill_flops_share),
        ("decodeFlopsShare", times.decode_flops_share),
    )


def degrees_in_words(degrees: Degrees) -> str:
    """The degrees that are not 1, EP and PP always."""
    others = (("TP", degrees.tensor), ("SP", degrees.sequence), ("DP", degrees.data))
    return " x ".join([f"EP {degrees.expert}", f"PP {degrees.pipeline}", *(f"{n} {d}" for n, d in others if d > 1)])


def _alternative(loser: Candidate, reason: str, role: str) -> Alternative:
    return Alternative(
        degrees=loser.degrees, figures=figures(loser), rejected_because=reason, copies=loser.copies, role=role
    )


def _against_role(best: Candidate, loser: Candidate, role: str) -> str:
    """What is given up for the fewest GPUs, or for the shortest step."""
    objective = best.problem.constraints.objective
    lead = f"the {role} of all; objective {objective} prefers "
    if objective == "balance":
        return lead + f"{best.experts_per_gpu} instead of {count(loser.experts_per_gpu, 'expert')} on a GPU"
    if objective == "cheapest":
        return lead + f"{best.degrees.num_ranks} instead of {count(loser.degrees.num_ranks, 'GPU')}"
    return lead + f"a step of {seconds(best.decode_step)} instead of {seconds(loser.decode_step)}"


def _against(best: Candidate, loser: Candidate) -> str:
    """The first line of the objective's key in which it is worse."""
    objective = best.problem.constraints.objective
    if objective == "cheapest" and loser.degrees.num_ranks > best.degrees.num_ranks:
        return f"{loser.degrees.num_ranks} GPUs instead of {best.degrees.num_ranks}"
    if objective == "cheapest" and loser.degrees.num_ranks < best.degrees.num_ranks:
        return f"misses a target that {degrees_in_words(best.degrees)} meets"
    if objective == "fastest" and loser.decode_step > best.decode_step:
        return f"a decode step of {seconds(loser.decode_step)} instead of {seconds(best.decode_step)}"
    return _against_balance(best, loser)


def _against_balance(best: Candidate, loser: Candidate) -> str:
    experts = best.problem.shape.experts
    if loser.experts_per_gpu > best.experts_per_gpu:
        return f"{loser.experts_per_gpu} experts on a GPU instead of {best.experts_per_gpu}"
    if min(loser.degrees.expert, experts) < min(best.degrees.expert, experts):
        return f"a layer's experts share {loser.degrees.expert} GPUs instead of {best.degrees.expert}"
    if loser.degrees.pipeline < best.degrees.pipeline:
        return (
            f"PP {loser.degrees.pipeline} instead of {best.degrees.pipeline}: more layers in one failure domain, and "
            "more attention weights on each GPU"
        )
    return f"{loser.degrees.num_ranks} GPUs instead of {best.degrees.num_ranks} for the same"
