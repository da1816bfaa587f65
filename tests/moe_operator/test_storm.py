"""When the breaker opens, and when it closes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from moe_api.stage import MoEStageSpec, PauseSpec
from moe_operator.decide.storm import next_pause, num_failures
from moe_operator.snapshot import Pod
from tests.moe_operator.evidence import NOW, at, pod, seat, stage_of


def spec_of(**failover: Any) -> MoEStageSpec:
    """Of a replica of 2 stages with 4 GPUs each."""
    return stage_of(1, 4, failover=failover).spec


def failing(ages: Mapping[int, float]) -> list[Pod]:
    """The replica's 8 ranks in two pods; `ages` are the ranks that fail, and since how many seconds."""
    seats = [seat(r, r % 4, bad="XID 79" if r in ages else "", since=at(-ages.get(r, 3600))) for r in range(8)]
    return [pod(0, seats[:4]), pod(1, seats[4:])]


def test_it_opens_when_the_share_of_the_replicas_gpus_fails_at_once() -> None:
    pause = next_pause(spec_of(), failing({0: 1, 1: 2, 4: 3, 5: 4}), True, NOW)

    assert pause is not None
    assert pause.since == "2026-01-01T12:00:00Z"
    assert pause.message.startswith("4 of 8 GPUs failed within 30 s (failover.breakerShare = 0.5): nothing is moved")
    assert pause.message.endswith("failover.breakerReleased: 2026-01-01T12:00:01Z")


def test_fewer_than_the_share_or_older_failures_are_no_storm() -> None:
    assert next_pause(spec_of(), failing({0: 1, 1: 2, 4: 3}), True, NOW) is None
    assert next_pause(spec_of(), failing({0: 1, 1: 2, 4: 3, 5: 31}), True, NOW) is None


def test_two_gpus_are_never_a_storm() -> None:
    assert next_pause(spec_of(breakerShare=0.1), failing({0: 1, 1: 1}), True, NOW) is None
    assert next_pause(spec_of(breakerShare=0.1), failing({0: 1, 1: 1, 2: 1}), True, NOW) is not None


def test_it_does_not_open_without_a_failure_of_the_stages_own() -> None:
    assert next_pause(spec_of(), failing({0: 1, 1: 2, 4: 3, 5: 4}), False, NOW) is None


def test_it_stays_open_however_old_the_failures_grow_until_no_more_than_two_are_left() -> None:
    spec = spec_of().model_copy(update={"paused": PauseSpec(since=at(-3600), message="as it was")})

    assert next_pause(spec, failing({0: 3601, 1: 3602, 4: 3603}), False, NOW) == spec.paused
    assert next_pause(spec, failing({0: 3601, 1: 3602}), False, NOW) is None
    assert next_pause(spec, failing({0: 3601, 1: 3602, 4: 7200}), False, NOW) is None, "one failed long before"


def test_a_persons_word_closes_it_and_keeps_it_closed_for_those_failures() -> None:
    spec = spec_of(breakerReleased=at(-10))
    storm = failing({0: 20, 1: 20, 4: 20, 5: 20})

    assert next_pause(spec, storm, True, NOW) is None
    assert (
        next_pause(spec.model_copy(update={"paused": PauseSpec(since=at(-19), message="")}), storm, True, NOW) is None
    )
    assert next_pause(spec, failing({0: 5, 1: 5, 4: 5, 5: 5}), True, NOW) is not None, "another storm"


def test_a_pod_that_cannot_work_at_all_is_no_failed_gpu() -> None:
    (broken, _) = failing({0: 1, 1: 1})
    assert broken.report is not None
    pods = [replace(broken, report=broken.report.model_copy(update={"error": "no checkpoint"}))]

    assert num_failures(pods, after=NOW - timedelta(seconds=30)) == 0
