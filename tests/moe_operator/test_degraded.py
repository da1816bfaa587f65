"""What Degraded says, and which reason comes first."""

from __future__ import annotations

from collections.abc import Iterable

from moe_api.names import Reason
from moe_api.report import FailedExpert
from moe_api.stage import GpuRecord, MaskedRank, MoEStage, PauseSpec
from moe_operator.decide.evidence import find_evidence
from moe_operator.snapshot import Node, Pod
from moe_operator.status.degraded import degraded
from moe_operator.status.facts import Facts
from tests.moe_operator.evidence import NOW, at, pod, seat, seats_of, stage_of, well


def told(stage: MoEStage, pods: Iterable[Pod], *, live: int = 1, node: Node | None = None) -> tuple[str, str, str]:
    """Status, reason and message, where every expert has so many live copies and one is planned."""
    seats = seats_of(stage, pods, nodes={node.name: node} if node else None)
    copies = {expert.expert: live for expert in stage.spec.experts}
    planned = {expert.expert: 1 for expert in stage.spec.experts}
    evidence = find_evidence(seats, NOW)
    found = degraded(Facts(seats=seats, evidence=evidence, copies=copies, planned_copies=planned, now=NOW))
    return found.status, found.reason, found.message


def mask(rank: int, reason: Reason = Reason.GPU_FAILED) -> MaskedRank:
    return MaskedRank(rank=rank, reason=reason, message="XID 79", node="node-0", gpu=rank)


def record(failures: int) -> GpuRecord:
    return GpuRecord(node="node-0", gpu=1, failures=failures, last=at(-60), until=at(30))


def test_a_stage_that_is_well_is_not_degraded() -> None:
    assert told(stage_of(2, 2), well(2, 2)) == ("False", "Healthy", "every rank and every expert is well")


def test_a_masked_rank_that_is_well_says_from_when_it_hosts_again() -> None:
    stage = stage_of(2, 2, masked=[mask(1)], history=[record(1)])

    assert told(stage, well(2, 2)) == (
        "True",
        "RankMasked",
        "rank 1 masked (node-0 gpu 1: XID 79), well now, hosts again from 2026-01-01T12:00:30Z, every expert covered",
    )


def test_a_gpu_that_fails_again_and_again_is_called_flapping() -> None:
    broken = [pod(0, [seat(0, 0), seat(1, 1, bad="XID 79")]), *well(2, 2)[1:]]

    assert told(stage_of(2, 2, masked=[mask(1)], history=[record(2)]), broken)[1] == "RankMasked"
    assert told(stage_of(2, 2, masked=[mask(1)], history=[record(3)]), broken) == (
        "True",
        "GPUFlapping",
        "rank 1 masked (node-0 gpu 1: XID 79), for the 3rd time within an hour, every expert covered",
    )


def test_each_cause_of_a_mask_has_its_reason_and_the_gravest_leads() -> None:
    for reason in (Reason.HOST_SILENT, Reason.NODE_LOST, Reason.POD_LOST):
        assert told(stage_of(2, 2, masked=[mask(0, reason)]), well(2, 2))[1] == reason
    both = stage_of(2, 2, masked=[mask(0, Reason.POD_LOST), mask(1)])
    assert told(both, well(2, 2))[1] == "RankMasked"


def test_an_open_breaker_says_why_nothing_moves() -> None:
    stage = stage_of(2, 2, paused=PauseSpec(since=at(-1), message="4 of 8 GPUs failed"))
    failing = [pod(n, [seat(2 * n + gpu, gpu, bad="XID 79", since=at(-2)) for gpu in (0, 1)]) for n in (0, 1)]

    assert told(stage, failing) == ("True", "BreakerOpen", "4 of 8 GPUs failed; here ranks 0, 1, 2, 3 failed")


def test_a_gpu_that_others_call_bad_is_told_until_it_is_well_and_a_persons_wish_is_not() -> None:
    bad = Node(name="node-0", taints={"nvidia.com/gpu-unhealthy": "1"})
    words = "rank 1 (node-0 gpu 1): taint nvidia.com/gpu-unhealthy=1 of node node-0; what it holds is moved as far as"
    status, reason, message = told(stage_of(2, 2), well(2, 2), node=bad)

    assert (status, reason, message) == ("True", "GPUReportedBad", f"{words} others have room")
    assert told(stage_of(2, 2, failover={"evacuate": [{"node": "node-0"}]}), well(2, 2))[0] == "False"


def test_an_expert_that_cannot_be_loaded_is_told_before_what_is_kept_away() -> None:
    failing = seat(0, 0).model_copy(update={"failed": [FailedExpert(expert=0, reason="the volume is gone")]})
    pods = [pod(0, [failing, seat(1, 1)]), *well(2, 2)[1:]]

    assert told(stage_of(2, 2, masked=[mask(1)]), pods) == (
        "True",
        "WorkerError",
        "expert 0 cannot be loaded on rank 0: the volume is gone",
    )


def test_fewer_live_copies_than_planned_are_told_last() -> None:
    stage = stage_of(2, 2)
    seats = seats_of(stage, well(2, 2))
    planned = {expert.expert: 2 for expert in stage.spec.experts}
    copies = dict.fromkeys(planned, 1)
    facts = Facts(seats=seats, evidence=find_evidence(seats, NOW), copies=copies, planned_copies=planned, now=NOW)

    assert degraded(facts).message == "expert 0 has 1 live copy, 2 are planned"
