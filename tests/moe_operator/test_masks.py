"""When a masked rank's cause is another one than before."""

from __future__ import annotations

from moe_api.names import Reason
from moe_api.stage import MaskedRank
from moe_operator.decide.masks import new_masks
from moe_operator.decide.seats import Loss
from tests.moe_operator.evidence import NOW, at, stage_of

KNOWN = MaskedRank(rank=1, reason=Reason.GPU_FAILED, message="XID 79", since=at(-60), node="node-0", gpu=1)


def loss(reason: Reason = Reason.GPU_FAILED, node: str = "node-0", *, is_rehearsed: bool = False) -> Loss:
    return Loss(rank=1, reason=reason, message="XID 48", node=node, gpu=1, is_rehearsed=is_rehearsed)


def is_new(known: MaskedRank, lost: Loss) -> bool:
    return bool(new_masks(stage_of(2, 2, masked=[known]).spec, {1: lost}, NOW))


def test_other_words_for_the_same_gpu_are_no_new_cause() -> None:
    assert not is_new(KNOWN, loss())
    assert is_new(KNOWN, loss(node="node-7"))


def test_a_bad_gpu_stays_the_cause_when_its_pod_goes_too() -> None:
    assert not is_new(KNOWN, loss(Reason.POD_LOST))
    assert is_new(KNOWN.model_copy(update={"reason": Reason.POD_LOST}), loss())


def test_a_gpu_that_is_really_bad_after_its_drill_is_a_new_cause() -> None:
    rehearsed = KNOWN.model_copy(update={"is_rehearsed": True})
    assert not is_new(rehearsed, loss(is_rehearsed=True))
    assert is_new(rehearsed, loss())
    made = new_masks(stage_of(2, 2).spec, {1: loss(is_rehearsed=True)}, NOW)
    assert made[1].is_rehearsed
