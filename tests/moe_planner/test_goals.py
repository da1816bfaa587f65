from __future__ import annotations

from dataclasses import replace

from moe_planner.candidates import Candidate
from moe_planner.goals import Goal, Judge
from moe_planner.inputs import Targets
from tests.moe_planner.document import DEGREES, problem


def goals(targets: Targets) -> dict[str, Goal]:
    given = problem(targets=targets)
    candidate = Candidate(problem=given, degrees=DEGREES, copies=1)
    return {goal.target: goal for goal in Judge(given, 1).goals(candidate)}


def test_only_what_was_asked_for_is_a_goal() -> None:
    assert goals(Targets()) == {}
    assert set(goals(Targets(memory_share=0.5))) == {"memory_share"}


def test_a_target_that_is_met_but_for_rounding_is_met() -> None:
    assert goals(Targets(flops_share=0.6))["flops_share"].is_met
    assert not goals(Targets(flops_share=0.601))["flops_share"].is_met


def test_beyond_the_assumed_efficiency_is_missed_and_beyond_the_peak_out_of_reach() -> None:
    """The compute cap is 165.6 tokens/ms at 60 % of the peak, and 276 at all of it."""
    possible = goals(Targets(prefill_throughput_per_gpu=200_000.0))["prefill_throughput_per_gpu"]
    assert (possible.is_met, possible.is_unreachable) == (False, False)
    absurd = goals(Targets(prefill_throughput_per_gpu=300_000.0))["prefill_throughput_per_gpu"]
    assert (absurd.is_met, absurd.is_unreachable) == (False, True)


def test_what_is_out_of_reach_is_not_held_against_a_candidate() -> None:
    given = problem(targets=Targets(decode_throughput_per_gpu=100_000.0, memory_share=0.001))
    candidate = Candidate(problem=given, degrees=DEGREES, copies=1)
    assert Judge(given, 1).missed(candidate) == 0
    within = replace(given, targets=Targets(memory_share=0.005))
    assert Judge(within, 1).missed(replace(candidate, problem=within)) == 1


def test_a_batch_that_must_wait_is_held_against_it() -> None:
    given = problem(targets=Targets())
    given = replace(given, workload=replace(given.workload, batch_size=129))
    assert Judge(given, 1).missed(Candidate(problem=given, degrees=DEGREES, copies=1)) == 1
