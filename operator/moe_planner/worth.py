"""What the chosen GPUs buy, beside the cheapest and the fastest choice on the same nodes. Words and ratios."""

from moe_planner.amounts import count, decimal, gib, seconds
from moe_planner.candidates import Candidate
from moe_planner.goals import Judge
from moe_planner.problem import Problem
from moe_planner.rejections import degrees_in_words
from moe_planner.result import Step
from moe_planner.search import Choice


def what_the_gpus_buy(problem: Problem, choice: Choice) -> Step:
    """The chosen layout against the fewest GPUs that meet the targets, and against the shortest decode step."""
    best = choice.best
    rivals = [("cheapest", choice.cheapest), ("fastest", choice.fastest)]
    return Step(
        title=f"What the {count(best.degrees.num_ranks, 'GPU')} buy",
        facts=(
            f"chosen: {_figures(best)}",
            *(f"{role}: {_figures(one)}{_caveat(problem, one)}" for role, one in rivals if one is not None),
            _basis_of_times(problem),
        ),
        choice=f"{degrees_in_words(best.degrees)}, by objective {problem.constraints.objective}",
        why="; ".join(_against(best, role, one) for role, one in rivals if one is not None),
    )


def _basis_of_times(problem: Problem) -> str:
    """What every predicted time rests on, or why there is none."""
    known, hardware = problem.speeds, problem.hardware
    if known is None:
        return "no times are predicted: the GPU's rates or its links are not known; name a hardware profile"
    measured = len(problem.calibration.corrections)
    return (
        f"times assume {hardware.flops_efficiency:.0%} of {decimal(known.peak_flops, 'FLOP')}/s and "
        f"{hardware.bandwidth_efficiency:.0%} of {decimal(known.peak_memory, 'B')}/s of a GPU, links of "
        f"{decimal(known.inside.bandwidth, 'B')}/s and {seconds(known.inside.latency)} inside a node, "
        f"{decimal(known.between.bandwidth, 'B')}/s and {seconds(known.between.latency)} between nodes; "
        f"{count(measured, 'line')} of them corrected by measurements"
    )


def _figures(candidate: Candidate) -> str:
    known = (
        f"{degrees_in_words(candidate.degrees)}, {count(candidate.degrees.num_ranks, 'GPU')}, at most "
        f"{count(candidate.experts_per_gpu, 'expert')} and {gib(candidate.memory.total)} on one"
    )
    times = candidate.times
    if times is None:
        return known
    return (
        f"{known}, first token {seconds(times.time_to_first_token)}, decode step {seconds(times.decode_step)}, "
        f"{times.decode_throughput:.4g} tokens/s per GPU in decode"
    )


def _caveat(problem: Problem, candidate: Candidate) -> str:
    """Targets within reach that it misses, and what has to be set to get it."""
    missed = Judge(problem, candidate.degrees.gpus_per_seat).missed(candidate)
    words = [f"misses {count(missed, 'target')} within reach"] if missed else []
    if candidate.degrees.data != problem.constraints.replicas:
        words.append(f"with replicas = {candidate.degrees.data}")
    return f" ({', '.join(words)})" if words else ""


def _against(best: Candidate, role: str, rival: Candidate) -> str:
    if rival.degrees == best.degrees:
        return f"it is the {role} too"
    words = [
        f"against the {role}, {_ratio(best.degrees.num_ranks, rival.degrees.num_ranks)} the GPUs",
        _lost(best, rival),
    ]
    if best.times is not None and rival.times is not None:
        words.append(
            f"{_ratio(best.times.time_to_first_token, rival.times.time_to_first_token)} the time to a first token"
        )
        words.append(f"{_ratio(best.times.decode_step, rival.times.decode_step)} the decode step")
        words.append(f"{_ratio(best.times.decode_throughput, rival.times.decode_throughput)} the decode rate of a GPU")
    return ", ".join(words)


def _lost(best: Candidate, rival: Candidate) -> str:
    """A GPU's failure moves what it holds."""
    return f"a lost GPU takes {best.experts_per_gpu} instead of {count(rival.experts_per_gpu, 'expert')} with it"


def _ratio(one: float, other: float) -> str:
    return f"{one / other:.3g} x" if other else "as much"
