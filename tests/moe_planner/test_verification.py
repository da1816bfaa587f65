from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from moe_planner.errors import PlanError
from moe_planner.inputs import Constraints, Loads, Targets
from moe_planner.memory import usable_bytes
from moe_planner.plan import plan
from moe_planner.result import Check, Plan
from tests.moe_planner.document import HARDWARE, TARGETS, WORKLOAD, model
from tests.moe_planner.inputs import SHAPE, Inputs, any_inputs, make, planned_or_none
from tests.moe_planner.inputs import WORKLOAD as DEMO_WORKLOAD
from tests.moe_planner.inputs import hardware as demo_hardware


def document_plan(chosen: int = 1, loads: Loads = Loads()) -> Plan:
    return plan(model(chosen), HARDWARE, WORKLOAD, Constraints(), targets=TARGETS, loads=loads)


def line(planned: Plan, name: str) -> Check:
    return next(check for check in planned.verification if check.name == name)


def test_the_documents_own_lines_come_first_in_its_order() -> None:
    assert [check.name for check in document_plan().verification] == [
        "GPU count",
        "Balance, prefill",
        "Balance, decode",
        "Time to first token",
        "Prefill throughput per GPU",
        "Decode throughput per GPU",
        "Decode step",
        "Memory share",
        "MFU, prefill",
        "Coverage",
        "Experts per GPU",
        "Memory per GPU",
        "KV cache of a lane",
        "GPUs that may die",
        "Nodes that may die",
        "Experts after one lost GPU",
        "Lanes after one lost GPU",
        "Experts after one lost node",
        "Lanes after one lost node",
    ]


@pytest.mark.parametrize(("chosen", "prefill"), [(1, "holds"), (2, "fails")])
def test_the_documents_targets_are_judged(chosen: int, prefill: str) -> None:
    planned = document_plan(chosen)
    verdicts = {check.name: check.verdict for check in planned.verification}
    assert verdicts["GPU count"] == "holds"
    assert verdicts["Time to first token"] == "holds"
    assert verdicts["Prefill throughput per GPU"] == prefill
    assert verdicts["Decode throughput per GPU"] == "unreachable"
    assert verdicts["Decode step"] == "holds"
    assert verdicts["Memory share"] == "holds"
    assert verdicts["MFU, prefill"] == "holds"


def test_what_cannot_hold_names_its_bound_and_by_how_much() -> None:
    check = line(document_plan(), "Decode throughput per GPU")
    assert check.bound == "KV-read cap"
    assert "1.44 TB/s / 335.5 MB of a sequence's KV cache = 4.292 ktokens/s" in check.note
    assert check.value == pytest.approx(140.9, abs=0.1)
    assert check.margin == pytest.approx(140.9 / 100_000 - 1, abs=1e-5)
    assert check.formula == "128 tokens / 3.55 ms / 256 GPUs"


def test_predicted_lines_rest_on_assumptions_and_say_how_wrong_they_may_be() -> None:
    for name in ("Time to first token", "Prefill throughput per GPU", "Decode step", "MFU, prefill"):
        check = line(document_plan(), name)
        assert check.basis == "assumed"
        assert check.error is not None
        assert 0.1 < check.error <= 0.5
    assert line(document_plan(), "GPU count").error is None


def test_each_formula_has_its_numbers_put_in() -> None:
    planned = document_plan()
    assert line(planned, "GPU count").formula == "EP 16 x PP 16 x DP 1 = 256 <= 256"
    assert line(planned, "GPU count").note == "EP 16 is per stage: 256 expert ranks in all 16 stages"
    assert line(planned, "Time to first token").formula == (
        "7.421 TFLOP / 240 TFLOP/s = 30.9 ms, x (160 + 16 - 1)/160 + 790 us of waiting = 34.6 ms"
    )
    assert "without chunks, it would be 495 ms" in line(planned, "Time to first token").note
    assert line(planned, "Decode step").formula == (
        "1.248 GB / 1.44 TB/s + 33.85 MB / 1.44 TB/s + 2.684 GB / 1.44 TB/s + 32 x 20.1 us + 15 x 10.2 us = 3.55 ms"
    )


@pytest.mark.parametrize(("chosen", "uniform", "zipf"), [(1, 1.68, 4.75), (2, 1.45, 4.15)])
def test_the_documents_experts_are_overloaded_by_chance_and_by_popularity(
    chosen: int, uniform: float, zipf: float
) -> None:
    """Chance makes the busiest of a step of 128 tokens; under Zipf 1 one expert a layer gets it all the time."""
    note = line(document_plan(chosen), "Balance, prefill").note
    assert float(note.rsplit(" ", 1)[1]) == pytest.approx(uniform, abs=0.02)
    skewed = line(document_plan(chosen, Loads(kind="zipf")), "Balance, prefill")
    assert skewed.value == pytest.approx(zipf, abs=0.03)
    assert skewed.verdict == "holds"


def test_without_targets_only_what_the_layout_keeps_is_judged() -> None:
    planned = plan(model(), HARDWARE, WORKLOAD, Constraints())
    assert not {"Time to first token", "Memory share"} & {check.name for check in planned.verification}
    assert dict(planned.figures)["decodeStepSeconds"] == pytest.approx(3.55e-3, abs=1e-5)


def test_without_a_gpu_only_memory_is_judged_of_the_targets() -> None:
    planned = plan(SHAPE, demo_hardware(), DEMO_WORKLOAD, Constraints(), targets=TARGETS)
    assert [c.name for c in planned.verification if c.unit in ("s", "share", "tokens/s")] == ["Memory share"]
    assert "decodeStepSeconds" not in dict(planned.figures)


def test_memory_is_counted_from_the_layout_and_adds_up() -> None:
    check = line(make(), "Memory per GPU")
    takeover = experts = 3 * 64 * 32 * 4
    attention = (2 * 64 * 16 * (4 + 2) + 64 * 16 + 2 * 64 + 2 * 16) * 4
    embedding, cache = 512 * 64 * 4, 3 * 4096 * 2 * 2 * 16 * 4
    rows = 3 * 4 * 256 + 2 * 3 * 256 * 2 + 2 * 16 * 256 * 1
    buffers = (rows * 64 + 256 * 2 * 32 * 2) * 4
    assert check.value == experts + takeover + attention + embedding + cache + buffers


@settings(max_examples=100, deadline=None)
@given(any_inputs())
def test_the_layout_never_holds_more_than_the_search_reckoned_with(inputs: Inputs) -> None:
    planned = planned_or_none(inputs)
    if planned is None:
        return
    check = line(planned, "Memory per GPU")
    assert check.value <= dict(planned.figures)["memoryBytesPerGPU"]
    assert check.value <= usable_bytes(inputs.hardware)
    assert line(planned, "Coverage").verdict == "holds"
    assert line(planned, "Experts per GPU").verdict == "holds"


@settings(max_examples=25, deadline=None)
@given(any_inputs())
def test_the_same_question_has_the_same_answer_to_the_last_byte(inputs: Inputs) -> None:
    timed = replace(HARDWARE, nodes=inputs.hardware.nodes, gpus_per_node=inputs.hardware.gpus_per_node)
    targets = Targets(time_to_first_token=0.01, decode_throughput_per_gpu=10.0, memory_share=0.01)
    answers = []
    for _ in range(2):
        try:
            answers.append(repr(plan(inputs.shape, timed, DEMO_WORKLOAD, inputs.constraints, targets=targets)))
        except PlanError as error:
            answers.append(repr(error))
    assert answers[0] == answers[1]
