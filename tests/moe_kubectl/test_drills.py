from __future__ import annotations

from moe_api.deployment import DrillStatus
from moe_kubectl.drills import drills_view
from tests.moe_kubectl.stages import small_with_a_masked_gpu
from tests.moe_kubectl.test_map import lines

PASSED = DrillStatus(
    name="2026-01-31T08:00:00Z",
    verdict="passed",
    failure="exit",
    replica=0,
    stage=3,
    rank=13,
    stall_ms=320,
    failed_requests=0,
    wrong_answers=0,
    message="the process of rank 13 (node-1 gpu 5) is killed",
)


def test_a_drill_is_shown_with_its_figures() -> None:
    deployment, _ = small_with_a_masked_gpu()
    told = deployment.model_copy(update={"status": deployment.status.model_copy(update={"drills": [PASSED]})})
    title, head, row = lines(drills_view(told))
    assert title == "default/small"
    assert head.split() == ["DRILL", "VERDICT", "FAILURE", "STAGE", "RANK", "STALL", "MS", "FAILED", "WRONG", "MESSAGE"]
    assert row.split()[:8] == ["2026-01-31T08:00:00Z", "passed", "exit", "3", "13", "320", "0", "0"]
    assert row.endswith("the process of rank 13 (node-1 gpu 5) is killed")


def test_without_drills_it_says_how_to_declare_one() -> None:
    deployment, _ = small_with_a_masked_gpu()
    assert lines(drills_view(deployment))[1] == "no drill yet; declare one in spec.failover.drill"
