"""What is remembered of failures, for how long a GPU is kept away, and how a person clears it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from moe_api.names import Reason
from moe_api.stage import GpuRecord, MaskedRank, MoEStage
from moe_operator.decide.history import failures_of, kept_away, next_history, quarantined, quarantined_nodes
from moe_operator.decide.leaving import Leaving
from tests.moe_operator.evidence import NOW, at, pod, seat, seats_of, stage_of, well

UUID = "GPU-5b2e0f6c-0000-4000-8000-000000000001"


def mask(rank: int, reason: Reason = Reason.GPU_FAILED) -> MaskedRank:
    return MaskedRank(rank=rank, reason=reason, message="XID 79", node="node-0", gpu=rank)


def record(failures: int, last: float, until: float = 0, gpu: int | None = 1) -> GpuRecord:
    return GpuRecord(node="node-0", gpu=gpu, failures=failures, last=at(last), until=at(until))


def slow(rank: int) -> Leaving:
    return Leaving(rank=rank, reason=Reason.GPU_SLOW, message="slow", node="node-0", gpu=rank)


def remembering(*records: GpuRecord, **failover: Any) -> MoEStage:
    return stage_of(2, 2, failover=failover, history=list(records), masked=[mask(1)])


def test_a_first_failure_keeps_a_gpu_away_for_the_quarantine() -> None:
    (made,) = next_history(remembering().spec, [mask(1)], [], {}, NOW)

    assert made == GpuRecord(
        node="node-0", gpu=1, failures=1, last="2026-01-01T12:00:00Z", until="2026-01-01T12:00:10Z"
    )


def test_each_failure_within_an_hour_of_the_last_doubles_it_up_to_an_hour() -> None:
    (third,) = next_history(remembering(record(2, -3599)).spec, [mask(1)], [], {}, NOW)
    (tenth,) = next_history(remembering(record(9, -60)).spec, [mask(1)], [], {}, NOW)

    assert (third.failures, third.until) == (3, "2026-01-01T12:00:40Z")
    assert (tenth.failures, tenth.until) == (10, "2026-01-01T13:00:00Z")


def test_a_failure_is_forgotten_after_an_hour_but_not_for_its_own_sake() -> None:
    old = record(4, -3600)

    assert next_history(remembering(old).spec, [], [], {}, NOW) == [old], "no commit for forgetting alone"
    (made,) = next_history(remembering(old).spec, [mask(1)], [], {}, NOW)
    assert made.failures == 1
    assert failures_of(remembering(old).spec, "node-0", 1, NOW) == 0


def test_a_lost_or_silent_node_is_one_failure_of_the_node() -> None:
    for reason in (Reason.NODE_LOST, Reason.HOST_SILENT):
        (made,) = next_history(remembering().spec, [mask(0, reason), mask(1, reason)], [], {}, NOW)
        assert (made.node, made.gpu, made.failures) == ("node-0", None, 1)


def test_a_deleted_pod_and_a_rehearsal_are_no_failures() -> None:
    rehearsed = mask(1).model_copy(update={"is_rehearsed": True})
    assert next_history(remembering().spec, [mask(1, Reason.POD_LOST)], [], {}, NOW) == []
    assert next_history(remembering().spec, [rehearsed], [], {}, NOW) == []


def test_a_persons_word_forgets_the_failures_before_it_and_no_others() -> None:
    word = [{"node": "node-0", "gpu": 1, "at": at(-5)}]

    assert next_history(remembering(record(3, -6), cleared=word).spec, [], [], {}, NOW) == []
    assert next_history(remembering(record(3, -4), cleared=word).spec, [], [], {}, NOW) == [record(3, -4)]
    assert next_history(remembering(record(3, -6, gpu=0), cleared=word).spec, [], [], {}, NOW) == [record(3, -6, gpu=0)]
    whole = [{"node": "node-0", "at": at(-5)}]
    assert next_history(remembering(record(3, -6), record(1, -6, gpu=None), cleared=whole).spec, [], [], {}, NOW) == []


def test_a_persons_word_may_name_the_gpu_as_its_driver_does() -> None:
    named = record(3, -6).model_copy(update={"uuid": UUID})
    nameless, node = record(3, -6), record(1, -6, gpu=None)
    records = (named, nameless.model_copy(update={"gpu": 0}), node)

    def kept(**word: Any) -> list[GpuRecord]:
        cleared = [{"node": "node-0", "at": at(-5), **word}]
        return next_history(remembering(*records, cleared=cleared).spec, [], [], {}, NOW)

    assert kept(uuid=UUID) == list(records[1:])
    assert kept(uuid=UUID, gpu=1) == list(records[1:])
    assert kept(uuid=UUID, gpu=0) == list(records)
    assert kept(uuid=f"{UUID}1") == list(records)
    assert kept() == []


def test_the_name_of_a_gpu_is_remembered_with_its_failure_and_none_with_its_nodes() -> None:
    uuids = {0: f"{UUID}0", 1: UUID}
    (failed,) = next_history(remembering().spec, [mask(1)], [], uuids, NOW)
    (slowed,) = next_history(remembering().spec, [], [slow(1)], uuids, NOW)
    (silent,) = next_history(remembering().spec, [mask(1, Reason.HOST_SILENT)], [], uuids, NOW)

    assert [failed.uuid, slowed.uuid, silent.uuid] == [UUID, UUID, None]


def held(stage: MoEStage, well_for: float) -> dict[int, timedelta]:
    pods = [pod(0, [seat(0, 0), seat(1, 1, since=at(-well_for))]), pod(1, [seat(2, 0), seat(3, 1)])]
    return {rank: end - NOW for rank, end in quarantined(seats_of(stage, pods), NOW).items()}


def test_a_gpu_hosts_again_once_it_has_been_well_for_its_quarantine() -> None:
    assert held(remembering(record(1, -300, until=-290)), 3) == {1: timedelta(seconds=7)}
    assert held(remembering(record(3, -300, until=-260)), 3) == {1: timedelta(seconds=37)}
    assert held(remembering(record(1, -300, until=-290)), 10) == {}


def test_a_node_that_failed_keeps_all_its_gpus_away() -> None:
    assert held(remembering(record(1, -4, until=6, gpu=None)), 100) == {1: timedelta(seconds=6)}


def test_a_cleared_gpu_hosts_at_once() -> None:
    assert held(remembering(record(5, -4, until=156), cleared=[{"node": "node-0", "at": at(-1)}]), 1) == {}


def test_new_pods_avoid_nodes_in_quarantine() -> None:
    stage = remembering(record(1, -4, until=6), GpuRecord(node="node-9", failures=1, last=at(-50), until=at(-40)))
    assert quarantined_nodes(stage.spec, NOW) == {"node-0"}


def test_a_slow_gpu_is_kept_away_six_times_as_long_and_counted_once_in_that_time() -> None:
    (made,) = next_history(remembering().spec, [], [slow(1)], {}, NOW)
    assert (made.failures, made.until) == (1, "2026-01-01T12:01:00Z")

    held = record(1, -50, until=10)
    assert next_history(remembering(held).spec, [], [slow(1)], {}, NOW) == [held]
    (again,) = next_history(remembering(record(1, -70, until=-10)).spec, [], [slow(1)], {}, NOW)
    assert (again.failures, again.until) == (2, "2026-01-01T12:02:00Z")


def test_what_is_in_quarantine_and_not_masked_is_kept_away_until_it_ends() -> None:
    stage = stage_of(2, 2, history=[record(1, -50, until=10), record(1, -90, until=-30, gpu=0)])

    assert kept_away(seats_of(stage, well(2, 2)), NOW) == {1: NOW + timedelta(seconds=10)}
    assert kept_away(seats_of(remembering(record(1, -50, until=10)), well(2, 2)), NOW) == {}, "it is masked"
