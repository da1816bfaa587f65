"""The user's targets beside what a candidate is predicted to reach. Knows no table and no words for people."""

from dataclasses import dataclass

from moe_planner.bounds import Bound, bounds, strictest
from moe_planner.candidates import Candidate
from moe_planner.inputs import Targets
from moe_planner.problem import Problem

# What is computed in another order may differ in the last digits; a target met but for them is met.
_ROUNDING = 1e-9


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
        self._bounds = bounds(problem, gpus_per_seat)

    def goals(self, candidate: Candidate) -> tuple[Goal, ...]:
        """Every target that was given and that something is known of."""
        reached = _reached(candidate)
        return tuple(
            Goal(
                target=target,
                wanted=wanted,
                reached=reached[target],
                is_least=target in _LEAST,
                bound=strictest(self._bounds, target),
            )
            for target, wanted in self._wanted
            if target in reached
        )

    def missed(self, candidate: Candidate) -> int:
        """How many targets the candidate misses that some layout may meet."""
        if not self._wanted:
            return 0
        return sum(1 for goal in self.goals(candidate) if not goal.is_met and not goal.is_unreachable)


_LEAST = frozenset({"prefill_throughput_per_gpu", "decode_throughput_per_gpu", "flops_share"})


def _reached(candidate: Candidate) -> dict[str, float]:
    memory = candidate.memory.total / candidate.problem.hardware.gpu_memory_bytes
    times = candidate.times
    if times is None:
        return {"memory_share": memory}
    return {
        "time_to_first_token": times.time_to_first_token,
        "prefill_throughput_per_gpu": times.prefill_throughput,
        "decode_throughput_per_gpu": times.decode_throughput,
        "time_per_output_token": times.decode_step,
        "memory_share": memory,
        "flops_share": times.prefill_flops_share,
    }
