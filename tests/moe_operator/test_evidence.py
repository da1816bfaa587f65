"""What the single judgements give together."""

from __future__ import annotations

from datetime import timedelta

from moe_api.names import Reason
from moe_api.stage import GpuRecord, MaskedRank, MoEStage, PauseSpec
from moe_operator.decide.evidence import find_evidence
from moe_operator.decide.stage import decide_stage
from moe_operator.snapshot import Pod
from tests.moe_operator.evidence import NOW, at, pod, seat, seats_of, stage_of, well


def cut_off() -> list[Pod]:
    """Three pods of two ranks; the last hears nobody and is not heard, for 5 s."""
    others = dict.fromkeys(range(4), 5.0)
    return [
        pod(0, [seat(0, 0), seat(1, 1)], unheard={4: 5, 5: 5}),
        pod(1, [seat(2, 0), seat(3, 1)], unheard={4: 5, 5: 5}),
        pod(2, [seat(4, 0), seat(5, 1)], unheard=others),
    ]


def masked_silent(since: float) -> MoEStage:
    masks = [
        MaskedRank(rank=rank, reason=Reason.HOST_SILENT, since=at(since), node="node-2", gpu=rank - 4)
        for rank in (4, 5)
    ]
    return stage_of(3, 2, masked=masks)


def test_the_ranks_of_a_silent_pod_are_lost_and_the_pod_stays() -> None:
    seats = seats_of(stage_of(3, 2), cut_off())

    decision = decide_stage(seats.snapshot, NOW)

    assert {rank: loss.reason for rank, loss in find_evidence(seats, NOW).losses.items()} == {
        4: Reason.HOST_SILENT,
        5: Reason.HOST_SILENT,
    }
    assert decision.commit is not None
    assert all(set(expert.ranks) <= {0, 1, 2, 3} for expert in decision.commit.experts)
    assert [(record.node, record.gpu) for record in decision.commit.history] == [("node-2", None)]
    assert (decision.creates, decision.deletes) == ((), ())


def test_a_pod_that_is_silent_for_a_minute_is_replaced() -> None:
    soon, late = (seats_of(masked_silent(since), cut_off()).snapshot for since in (-59, -60))

    assert decide_stage(soon, NOW).deletes == ()
    assert [delete.uid for delete in decide_stage(late, NOW).deletes] == ["p2"]


def test_a_pod_that_was_never_ready_is_not_silent() -> None:
    stage = stage_of(3, 2)
    fresh = stage.model_copy(update={"status": stage.status.model_copy(update={"conditions": []})})

    assert find_evidence(seats_of(fresh, cut_off()), NOW).losses == {}


def test_in_a_storm_new_failures_are_doubted_and_a_lost_pod_is_not() -> None:
    stage = stage_of(2, 2, paused=PauseSpec(since=at(-1), message=""))
    pods = [pod(0, [seat(rank, rank, bad="XID 79", since=at(-2)) for rank in (0, 1)])]
    others = [pod(9, [seat(8, 0, bad="XID 79", since=at(-3))])]

    evidence = find_evidence(seats_of(stage, pods, others=others), NOW)

    assert evidence.paused == stage.spec.paused
    assert evidence.doubted == {0, 1}
    assert {rank: loss.reason for rank, loss in evidence.losses.items()} == {2: Reason.POD_LOST, 3: Reason.POD_LOST}


def quarantined(*ranks: int) -> MoEStage:
    masks = [MaskedRank(rank=r, reason=Reason.GPU_FAILED, message="XID 79", node="node-0", gpu=r) for r in ranks]
    records = [GpuRecord(node="node-0", gpu=r, failures=1, last=at(-4), until=at(6)) for r in ranks]
    return stage_of(1, 2, masked=masks, history=records)


def test_a_gpu_in_quarantine_hosts_nothing_while_others_can_and_is_looked_at_when_it_ends() -> None:
    decision = decide_stage(seats_of(quarantined(1), well(1, 2)).snapshot, NOW)

    assert decision.commit is not None
    assert [mask.rank for mask in decision.commit.masked] == [1]
    assert decision.look_again == NOW + timedelta(seconds=6)


def test_a_gpu_in_quarantine_hosts_what_would_be_lost_without_it() -> None:
    decision = decide_stage(seats_of(quarantined(0, 1), well(1, 2)).snapshot, NOW)

    assert decision.commit is not None
    assert decision.commit.masked == []
    assert [expert.ranks for expert in decision.commit.experts[:2]] == [[0], [1]]


def test_while_the_breaker_is_open_nothing_is_emptied_either() -> None:
    stage = stage_of(2, 2, failover={"evacuate": [{"node": "node-1"}]}, paused=PauseSpec(since=at(-1), message=""))
    storm = [pod(9, [seat(rank, rank - 8, bad="XID 79", since=at(-3)) for rank in (8, 9, 10)])]

    assert decide_stage(seats_of(stage, well(2, 2), others=storm).snapshot, NOW).commit is None
    calm = decide_stage(seats_of(stage, well(2, 2)).snapshot, NOW).commit
    assert calm is not None
    assert any(expert.loading for expert in calm.experts)
