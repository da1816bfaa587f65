"""The user's targets beside what a candidate is predicted to reach. Knows no table and no words for people."""

from collections.abc import Iterator
from dataclasses import dataclass

from moe_planner.bounds import Bound, bounds, strictest
from moe_planner.candidates import Candidate, most_replicas
from moe_planner.inputs import Targets
from moe_planner.problem import Problem

# What is computed in another order may differ in the last digits; a target met but for them is met.
_ROUNDING = 1e-9

_LEAST = frozenset({"prefill_throughput_per_gpu", "decode_throughput_per_gpu", "flops_share"})
_FIGURES = {
    "time_to_first_token": "time_to_first_token",
    "time_per_output_token": "decode_step",
    "prefill_throughput_per_gpu": "prefill_throughput",
    "decode_throughput_per_gpu": "decode_throughput",
    "flops_share": "prefill_flops_share",
}


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One target: `wanted` and `reached` in its own unit, and the strictest bound on it."""

    target: str
    wanted: float
    reached: float
    is_least: bool
    bound: Bound | None

    @property
    def is_met(self) -> bool:
        slack = _ROUNDING * abs(self.wanted)
        return self.reached >= self.wanted - slack if self.is_least else self.reached <= self.wanted + slack

    @property
    def is_unreachable(self) -> bool:
        """Whether no layout can meet it, at the data sheet's peaks."""
        return not self.is_met and self.bound is not None and self.bound.rules_out(self.wanted)


class Judge:
    """Holds candidates with seats of so many GPUs against a problem's targets; the bounds are told once."""

    def __init__(self, problem: Problem, gpus_per_seat: int) -> None:
        wanted = [(target, getattr(problem.targets, target)) for target in Targets.__dataclass_fields__]
        self._wanted = [(target, value) for target, value in wanted if value is not None]
        found = bounds(problem, gpus_per_seat)
        self._strictest = {target: strictest(found, target) for target, _ in self._wanted}
        self._by_all = () if problem.calibration.corrections else tuple(self._beyond_bounds())

    def goals(self, candidate: Candidate) -> tuple[Goal, ...]:
        """Every target that was given and that something is known of."""
        found = (self._goal(candidate, target, wanted) for target, wanted in self._wanted)
        return tuple(goal for goal in found if goal is not None)

    def missed(self, candidate: Candidate) -> int:
        """How many targets the candidate misses that some layout may meet; a batch that must wait is one more."""
        late = not candidate.holds_batch
        return late + sum(1 for target, wanted in self._wanted if self._misses(candidate, target, wanted))

    def surely_missed(self, candidate: Candidate) -> int:
        """How many of them it misses with however many replicas; never more than `missed` of any number of them.

        What is beyond a bound at the assumed efficiencies is missed by all. Memory does not depend on replicas. One
        makes the most of what a GPU reads, and as many as there can be make the shortest step.
        """
        alone, crowd = candidate.with_replicas(1), candidate.with_replicas(most_replicas(candidate))
        sure = {"memory_share": alone, "decode_throughput_per_gpu": alone, "time_per_output_token": crowd}
        others = [(target, value) for target, value in self._wanted if target in sure and target not in self._by_all]
        late = not crowd.holds_batch
        return (
            late + len(self._by_all) + sum(1 for target, value in others if self._misses(sure[target], target, value))
        )

    def _beyond_bounds(self) -> Iterator[str]:
        for target, wanted in self._wanted:
            bound = self._strictest[target]
            if bound is not None and bound.keeps_from(wanted, _ROUNDING) and not bound.rules_out(wanted):
                yield target

    def _misses(self, candidate: Candidate, target: str, wanted: float) -> bool:
        goal = self._goal(candidate, target, wanted)
        return goal is not None and not goal.is_met and not goal.is_unreachable

    def _goal(self, candidate: Candidate, target: str, wanted: float) -> Goal | None:
        reached = _reached(candidate, target)
        if reached is None:
            return None
        bound = self._strictest[target]
        return Goal(target=target, wanted=wanted, reached=reached, is_least=target in _LEAST, bound=bound)


def _reached(candidate: Candidate, target: str) -> float | None:
    """What the candidate reaches of a target; None where the hardware's figures are not known."""
    if target == "memory_share":
        return candidate.memory.total / candidate.problem.hardware.gpu_memory_bytes
    return None if candidate.times is None else getattr(candidate.times, _FIGURES[target])
