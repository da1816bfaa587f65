"""The table's lines on how evenly ranks are loaded. Knows what no placement of whole experts can beat."""

from collections.abc import Sequence

from moe_planner.activation import busiest_over_mean
from moe_planner.balance import Balance, activation
from moe_planner.candidates import Candidate
from moe_planner.layout import Layout, StageLayout
from moe_planner.problem import Problem
from moe_planner.result import Check

# A greedy placement comes this near to the best one, which nobody computes (Graham's bound).
_GREEDY = 4 / 3


def balance_lines(
    problem: Problem, chosen: Candidate, layout: Layout, loads: Sequence[Balance]
) -> tuple[Check, Check] | tuple[()]:
    """Prefill, by tokens, and decode, by the experts that are read; of the stage that is loaded most unevenly."""
    pairs = [(stage, one) for stage, one in zip(layout.stages, loads, strict=True) if stage.experts]
    if not pairs:
        return ()
    batch = chosen.sequences
    by_tokens, prefill = max(pairs, key=lambda pair: pair[1].prefill)
    by_reads, decode = max(pairs, key=lambda pair: pair[1].decode)
    chance = max(one.batch for _, one in pairs)
    return (
        _line(
            "Balance, prefill",
            prefill.prefill,
            _best(problem, by_tokens, [problem.rates[expert] for expert in by_tokens.experts]),
            f"tokens on the busiest rank of stage {by_tokens.stage} (rank {prefill.busiest}) over the mean",
            f"{_source(problem)}; in one step of {batch} tokens chance alone makes it {chance:.2f}",
            problem,
        ),
        _line(
            "Balance, decode",
            decode.decode,
            _best(problem, by_reads, [activation(problem.rates[expert], batch) for expert in by_reads.experts]),
            f"experts that {batch} tokens make the busiest rank of stage {by_reads.stage} read, over the mean",
            _source(problem),
            problem,
        ),
    )


def _line(name: str, value: float, best: float, words: str, note: str, problem: Problem) -> Check:
    limit = best * _GREEDY
    return Check(
        name=name,
        formula=f"{words} = {value:.3g} <= 4/3 x {best:.3g}",
        value=value,
        limit=limit,
        unit="",
        verdict="holds" if value <= limit else "fails",
        basis="measured" if problem.loads.kind == "measured" else "assumed",
        bound=f"no placement of whole experts is below {best:.3g}",
        margin=(limit - value) / limit,
        note=note,
    )


def _best(problem: Problem, stage: StageLayout, weights: Sequence[float]) -> float:
    """What whole experts allow at best: all that the hottest host of one must carry."""
    hottest = max(
        weight / max(1, len(stage.hosts(expert))) for expert, weight in zip(stage.experts, weights, strict=True)
    )
    experts = max(len(stage.copies), 1)
    return busiest_over_mean(experts, len(stage.ranks), hottest, sum(weights)) if sum(weights) else 1.0


def _source(problem: Problem) -> str:
    loads = problem.loads
    if loads.kind == "measured":
        return f"loads measured{f' ({loads.source})' if loads.source else ''}"
    return "loads assumed uniform" if loads.kind == "uniform" else f"loads assumed by Zipf {loads.zipf_exponent:g}"
