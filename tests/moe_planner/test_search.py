from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_planner.bounds import bounds
from moe_planner.candidates import Candidate, legal, most_replicas
from moe_planner.errors import PlanError
from moe_planner.goals import Judge
from moe_planner.inputs import Constraints, Targets
from moe_planner.problem import Problem
from moe_planner.result import Degrees
from moe_planner.search import Key, balance_key, choose, fastest_key
from tests.moe_planner.document import problem


def test_the_reference_and_what_else_would_do() -> None:
    choice = choose(problem())
    assert choice.best.degrees == Degrees(expert=16, pipeline=16)
    assert choice.cheapest is not None
    assert choice.cheapest.degrees == Degrees(expert=16, pipeline=4)
    assert choice.fastest is not None
    assert choice.fastest.degrees == Degrees(expert=1, pipeline=1, data=128)
    assert choice.fastest.decode_step == pytest.approx(1.123e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("objective", "degrees"),
    [
        ("cheapest", Degrees(expert=16, pipeline=4)),
        ("fastest", Degrees(expert=128, pipeline=1)),
    ],
)
def test_the_objective_decides_and_replicas_stay_as_they_were_asked_for(objective: str, degrees: Degrees) -> None:
    chosen = choose(problem(constraints=Constraints(objective=objective)))  # type: ignore[arg-type]
    assert chosen.best.degrees == degrees


def test_without_targets_the_cheapest_is_what_holds_the_batch() -> None:
    """A lane holds 8 sequences, and a GPU has one lane: 16 for the batch of 128; with room for 64 sequences, 2."""
    cheapest = choose(problem(targets=Targets())).cheapest
    assert cheapest is not None
    assert cheapest.degrees == Degrees(expert=16, pipeline=1)
    roomy = problem(targets=Targets())
    roomy = replace(roomy, workload=replace(roomy.workload, kv_tokens_per_lane=64 * 10240))
    cheapest = choose(roomy).cheapest
    assert cheapest is not None
    assert cheapest.degrees == Degrees(expert=2, pipeline=1)


def test_bad_gpus_leave_fewer_stages() -> None:
    given_problem = problem()
    bad = frozenset({("node-0", 0)})
    chosen = choose(replace(given_problem, hardware=replace(given_problem.hardware, bad_gpus=bad))).best
    assert chosen.degrees.num_ranks <= 31 * 8
    assert chosen.nodes is not None


def test_two_copies_are_asked_for_where_a_loss_is_to_be_survived() -> None:
    assert choose(problem(constraints=Constraints(survive="gpu"))).best.copies == 2
    node = choose(problem(constraints=Constraints(survive="node"))).best
    assert node.degrees.gpus_per_stage > 8


def test_a_node_cannot_be_survived_on_one() -> None:
    alone = problem(constraints=Constraints(survive="node"))
    with pytest.raises(PlanError) as caught:
        choose(replace(alone, hardware=replace(alone.hardware, nodes=1)))
    assert caught.value.field == "experts.survive"


@st.composite
def small_problems(draw: st.DrawFn) -> Problem:
    base = problem(chosen=draw(st.integers(1, 3)))
    layers, experts = draw(st.integers(1, 6)), draw(st.integers(3, 12))
    dense = tuple(range(draw(st.integers(0, layers - 1))))
    nodes, gpus = draw(st.integers(1, 6)), draw(st.sampled_from((1, 2, 3, 4)))
    numbers = st.one_of(st.none(), st.floats(1e-4, 1e6))
    return replace(
        base,
        shape=replace(base.shape, layers=layers, experts=experts, dense_layers=dense, dense_ffn=512, vocab=1000),
        hardware=replace(
            base.hardware,
            nodes=nodes,
            gpus_per_node=gpus,
            gpu_memory_bytes=draw(st.sampled_from((10**9, 5 * 10**9, 64 * 10**9))),
            bad_gpus=draw(st.frozensets(st.tuples(st.just("node-0"), st.integers(0, gpus - 1)), max_size=1)),
        ),
        workload=replace(
            base.workload,
            batch_size=draw(st.integers(1, 40)),
            max_sequence_length=draw(st.integers(1, 10_240)),
            kv_tokens_per_lane=10_240,
            steps_in_flight=draw(st.integers(1, 4)),
        ),
        constraints=Constraints(
            objective=draw(st.sampled_from(("balance", "cheapest", "fastest"))), tensor=1, sequence=1
        ),
        targets=Targets(
            time_to_first_token=draw(numbers),
            time_per_output_token=draw(numbers),
            prefill_throughput_per_gpu=draw(numbers),
            decode_throughput_per_gpu=draw(numbers),
            memory_share=draw(st.one_of(st.none(), st.floats(0.01, 1))),
        ),
    )


def every_candidate(given_problem: Problem, replicas: bool) -> list[Candidate]:
    """All that fits, tried one by one."""
    found = []
    for candidate in legal(given_problem):
        numbers = range(1, most_replicas(candidate) + 1) if replicas else (1,)
        found += [one for n in numbers if (one := candidate.with_replicas(n)).nodes is not None and one.fits]
    return found


@settings(max_examples=150, deadline=None)
@given(small_problems())
def test_what_is_chosen_is_the_best_of_all_by_its_own_key(given_problem: Problem) -> None:
    singles, all_of_them = every_candidate(given_problem, False), every_candidate(given_problem, True)
    try:
        choice = choose(given_problem)
    except PlanError:
        assert not singles
        return
    judge = Judge(given_problem, 1)

    def cheapest_key(candidate: Candidate) -> Key:
        return (judge.missed(candidate), candidate.degrees.num_ranks, *balance_key(candidate))

    keys = {"balance": balance_key, "cheapest": cheapest_key, "fastest": fastest_key}
    key = keys[given_problem.constraints.objective]
    assert key(choice.best) == min(map(key, singles))
    assert choice.cheapest is not None
    assert choice.fastest is not None
    assert cheapest_key(choice.cheapest) == min(map(cheapest_key, all_of_them))
    assert fastest_key(choice.fastest) == min(map(fastest_key, all_of_them))


@settings(max_examples=150, deadline=None)
@given(small_problems())
def test_no_candidate_beats_a_bound(given_problem: Problem) -> None:
    found = bounds(given_problem)
    wanted = Targets(
        time_to_first_token=1.0,
        time_per_output_token=1.0,
        prefill_throughput_per_gpu=1.0,
        decode_throughput_per_gpu=1.0,
        memory_share=1.0,
        flops_share=1.0,
    )
    judge = Judge(replace(given_problem, targets=wanted), 1)
    for candidate in every_candidate(given_problem, True):
        for goal in judge.goals(candidate):
            for bound in (one for one in found if one.target == goal.target):
                slack = 1e-9 * bound.value
                if bound.is_cap:
                    assert goal.reached <= bound.value + slack, (bound, candidate.degrees)
                else:
                    assert goal.reached >= bound.value - slack, (bound, candidate.degrees)


@settings(max_examples=150, deadline=None)
@given(small_problems())
def test_what_is_surely_missed_is_missed_by_every_number_of_replicas(given_problem: Problem) -> None:
    judge = Judge(given_problem, 1)
    for candidate in every_candidate(given_problem, True):
        assert judge.surely_missed(candidate) <= judge.missed(candidate)
