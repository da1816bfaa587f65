from __future__ import annotations

from dataclasses import replace

from moe_planner.inputs import Constraints
from moe_planner.plan import plan
from moe_planner.result import Plan, Step
from tests.moe_planner.document import HARDWARE, TARGETS, WORKLOAD, model
from tests.moe_planner.inputs import make


def document_plan(constraints: Constraints | None = None) -> Plan:
    return plan(model(), HARDWARE, WORKLOAD, constraints or Constraints(), targets=TARGETS)


def step(planned: Plan, number: int) -> Step:
    return planned.reasoning[number - 1]


def test_every_step_has_facts_a_choice_and_why() -> None:
    for one in document_plan().reasoning:
        assert one.facts
        assert one.choice
        assert one.why


def test_the_structure_is_told_with_what_a_token_costs() -> None:
    facts = step(document_plan(), 1).facts
    assert "16 layers x 16 experts = 256 experts, 1 chosen for a token" in facts
    assert "10 billion parameters, 640.9 million of them for a token: 1.617 GFLOP after 10240 others" in facts


def test_what_differs_between_layers_and_what_was_assumed_is_told() -> None:
    shape = replace(
        model(),
        dense_layers=(0,),
        dense_ffn=2048,
        shared_ffn=512,
        window_layers=(1, 3),
        attention_window=128,
        assumed=(("experts_per_token", "not given, so 1"),),
    )
    facts = plan(shape, HARDWARE, WORKLOAD, Constraints()).reasoning[0].facts
    assert "15 of 16 layers x 16 experts = 240 experts, 1 chosen for a token" in facts
    assert "1 layer without experts, with a network of 2048" in facts
    assert "shared experts of width 512 in a layer, computed in each lane" in facts
    assert "2 layers look back no more than 128 tokens" in facts
    assert "assumed experts_per_token: not given, so 1" in facts


def test_targets_out_of_reach_are_said_before_anything_is_chosen() -> None:
    facts = step(document_plan(), 2).facts
    assert "memory alone needs 2 GPUs: the weights and the batch's KV cache once" in facts
    assert any("no layout meets decode_throughput_per_gpu 100000: KV-read cap" in fact for fact in facts)
    assert not any("prefill_throughput" in fact for fact in facts)


def test_the_choice_says_why_the_others_lost() -> None:
    why = step(document_plan(), 2).why
    assert "fewest experts on one GPU (1)" in why
    assert (
        "What lost: EP 32 x PP 8, EP 64 x PP 4, EP 128 x PP 2, EP 256 x PP 1 (more layers in one failure domain, and "
        "more attention weights on each GPU)"
    ) in why


def test_fixed_degrees_are_facts() -> None:
    facts = step(document_plan(Constraints(expert=16, pipeline=8)), 2).facts
    assert {"EP fixed at 16", "PP fixed at 8"} <= set(facts)


def test_tensor_parallelism_is_priced_before_it_is_refused() -> None:
    facts = step(document_plan(), 3).facts
    assert any("make a decode step 4.19 ms instead of 3.55 ms" in fact for fact in facts)
    assert step(document_plan(), 3).choice == "TP = 1, SP = 1"


def test_a_wider_seat_names_what_was_too_large() -> None:
    assert "one expert" not in step(make(memory=5 << 20), 3).why
    assert "with one GPU a seat no layout fits" in step(make(memory=5 << 20), 3).why
    assert "2 GPUs are the fewest with which one does" in step(make(memory=5 << 20), 3).why
    assert "tensor fixed by the user" in step(make(constraints=Constraints(tensor=2)), 3).why


def test_a_second_replica_is_counted() -> None:
    assert "one replica more takes 256 GPUs; 0 are free" in step(document_plan(), 4).facts


def test_what_the_256_gpus_buy() -> None:
    last = step(document_plan(), 5)
    assert last.title == "What the 256 GPUs buy"
    cheapest, fastest, basis = last.facts[1:]
    assert cheapest.startswith("cheapest: EP 16 x PP 4, 64 GPUs, at most 4 experts and 1.051 GiB on one")
    assert fastest.startswith("fastest: EP 1 x PP 1 x DP 128, 128 GPUs")
    assert fastest.endswith("(misses 3 targets within reach, with replicas = 128)")
    assert basis == (
        "times assume 60% of 400 TFLOP/s and 80% of 1.8 TB/s of a GPU, links of 50 GB/s and 10 us inside a node, 50 "
        "GB/s and 10 us between nodes; 0 lines of them corrected by measurements"
    )
    assert "against the cheapest, 4 x the GPUs, a lost GPU takes 1 instead of 4 experts with it" in last.why


def test_the_choice_may_be_the_cheapest_itself() -> None:
    last = step(document_plan(Constraints(objective="cheapest")), 5)
    assert last.title == "What the 64 GPUs buy"
    assert last.why.startswith("it is the cheapest too")


def test_the_conclusion_of_the_document() -> None:
    assert document_plan().conclusion == (
        "16 stages x 16 experts = 256 ranks on 32 nodes, one expert per GPU, one layer per stage, TP=SP=DP=1; 2 pods a "
        "stage, 16 lanes, 367 MiB of 59.6 GiB per GPU"
    )


def test_a_plan_without_times_says_why() -> None:
    assert step(make(), 5).facts[-1].startswith("no times are predicted: the GPU's rates or its links are not known")
