"""Choosing the degrees: every legal choice, judged by the objective's key. Knows what fits, not where things stand.

Nothing is computed that cannot change the result: candidates come in the order of their keys, so the first that fits
is the best, and what a candidate cannot beat with its best number of replicas it is not tried with. Ties fall to the
fewest GPUs, then to the order of the degrees.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from moe_planner.candidates import Candidate, legal, most_replicas, widths
from moe_planner.goals import Judge
from moe_planner.problem import Problem
from moe_planner.refusals import nothing_fits, nothing_is_legal, too_few_nodes

Key = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The chosen candidate, the best by the other objectives on the same nodes, and the best of other pipelines."""

    best: Candidate
    cheapest: Candidate | None
    fastest: Candidate | None
    others: tuple[Candidate, ...]
    num_legal: int
    num_fitting: int


def choose(problem: Problem) -> Choice:
    """The best by the objective. Raises PlanError when nothing fits the nodes, or nothing that does fits the memory.

    The cheapest and the fastest are told as if EP and PP were free: above all fixed ones ask what else would do.
    """
    num_legal, fitting = _fitting(problem)
    best = _best(problem, fitting)
    free = problem.constraints.data is None and problem.constraints.replicas == 1
    unfixed = _unfixed(problem)
    rivals = fitting if unfixed == problem else _fitting(unfixed)[1]
    return Choice(
        best=best,
        cheapest=cheapest(problem, rivals, replicas_are_free=free),
        fastest=fastest(problem, rivals, replicas_are_free=free),
        others=_others(best, fitting),
        num_legal=num_legal,
        num_fitting=len(fitting),
    )


def _unfixed(problem: Problem) -> Problem:
    """The same without fixed EP and PP."""
    return replace(problem, constraints=replace(problem.constraints, expert=None, pipeline=None))


def balance_key(candidate: Candidate) -> Key:
    """Fewest experts on a GPU, then EP as near to the experts of a layer as it gets, most stages, fewest GPUs."""
    degrees = candidate.degrees
    seats = min(degrees.expert, candidate.problem.shape.experts)
    return (candidate.experts_per_gpu, -seats, -degrees.pipeline, degrees.num_ranks, degrees.data)


def fastest_key(candidate: Candidate) -> Key:
    """Shortest decode step of the whole batch, then fewest GPUs."""
    return (*_speed(candidate), candidate.degrees.num_ranks, *balance_key(candidate))


def _speed(candidate: Candidate) -> tuple[float, float]:
    return (not candidate.holds_batch, candidate.decode_step)


def cheapest(problem: Problem, fitting: list[Candidate], *, replicas_are_free: bool) -> Candidate | None:
    """Fewest targets missed that some layout may meet, then fewest GPUs, then the best by balance."""
    judge = Judge(problem, fitting[0].degrees.gpus_per_seat)
    best: tuple[Key, Candidate] | None = None
    for candidate in sorted(fitting, key=lambda c: (c.degrees.num_ranks, balance_key(c))):
        least = judge.surely_missed(candidate)
        for one in _replicas(candidate) if replicas_are_free else (candidate,):
            if best is not None and (least, one.degrees.num_ranks) > best[0][:2]:
                break
            key = (judge.missed(one), one.degrees.num_ranks, *balance_key(one))
            if best is None or key < best[0]:
                best = (key, one)
    return None if best is None else best[1]


def fastest(problem: Problem, fitting: list[Candidate], *, replicas_are_free: bool) -> Candidate | None:
    """The best by `fastest_key`; None where times are unknown. A replica more never makes a step longer."""
    if problem.speeds is None:
        return None
    best: Candidate | None = None
    for candidate in fitting:
        quickest = candidate.with_replicas(most_replicas(candidate)) if replicas_are_free else candidate
        if best is None or _speed(quickest) <= _speed(best):
            as_quick = _fewest_replicas(candidate, quickest)
            best = as_quick if best is None else min(best, as_quick, key=fastest_key)
    return best


def _fitting(problem: Problem) -> tuple[int, list[Candidate]]:
    """How many are legal, and those that fit, with the narrowest seats with which anything does."""
    replicas = problem.constraints.replicas
    found: list[Candidate] = []
    placed: list[Candidate] = []
    for tensor, sequence in widths(problem):
        candidates = list(legal(problem, tensor=tensor, sequence=sequence, data=replicas))
        found += candidates
        here = [candidate for candidate in candidates if candidate.nodes is not None]
        placed += here
        fitting = [candidate for candidate in here if candidate.fits]
        if fitting:
            return len(candidates), fitting
    if not found:
        raise nothing_is_legal(problem)
    raise nothing_fits(problem, placed) if placed else too_few_nodes(problem, found)


def _best(problem: Problem, fitting: list[Candidate]) -> Candidate:
    objective = problem.constraints.objective
    if objective == "cheapest":
        found = cheapest(problem, fitting, replicas_are_free=False)
    elif objective == "fastest":
        found = fastest(problem, fitting, replicas_are_free=False)
    else:
        found = min(fitting, key=balance_key)
    return min(fitting, key=balance_key) if found is None else found


def _others(best: Candidate, fitting: list[Candidate]) -> tuple[Candidate, ...]:
    """The best by balance of each other pipeline size, best first."""
    leaders: dict[int, Candidate] = {}
    for candidate in sorted(fitting, key=balance_key):
        leaders.setdefault(candidate.degrees.pipeline, candidate)
    return tuple(one for one in leaders.values() if one.degrees.pipeline != best.degrees.pipeline)


def _replicas(candidate: Candidate) -> Iterator[Candidate]:
    """The fewest replicas for each number of sequences that one may get: more of them reach nothing more."""
    batch = candidate.problem.workload.batch_size
    replicas = 1
    while replicas <= most_replicas(candidate):
        yield candidate.with_replicas(replicas)
        sequences = ceil(batch / replicas)
        replicas = ceil(batch / (sequences - 1)) if sequences > 1 else batch + 1


def _fewest_replicas(candidate: Candidate, quickest: Candidate) -> Candidate:
    """The fewest replicas with which a step is as short as with the most."""
    low, high = candidate.degrees.data, quickest.degrees.data
    while low < high:
        middle = (low + high) // 2
        if _speed(candidate.with_replicas(middle)) <= _speed(quickest):
            high = middle
        else:
            low = middle + 1
    return candidate.with_replicas(low)
