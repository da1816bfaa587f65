"""Placement that follows the load: on a real control plane, a spare copy is made where it relieves the busiest GPU."""

import pytest

from benchmarks.failover.crowd import Crowd, wrong_tokens
from demo.streams import Prompt
from moe_api.loads import CountedLoads
from moe_api.stage import MoEStage
from tests.e2e.bed import NUM_STREAMS, Bed

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.slow]
SAME = (Prompt(text="Once", max_tokens=48),)
"""Its tokens choose one expert of each stage 1.4 to 1.9 times as often as the mean."""


def test_a_spare_copy_is_made_of_the_expert_that_the_workers_count_most(bed: Bed) -> None:
    """All streams ask the same, which skews the load: on a nearly even one a copy would make some GPU busier."""
    before, mark = bed.deployed.snapshot(), bed.told.mark()
    calm = bed.deployed.stream(bed.url, SAME, show=lambda _: None)
    with Crowd(bed.url, bed.deployed.model, SAME, NUM_STREAMS, prefix="load") as crowd:
        try:
            bed.patch_experts(spareCopies=1, rebalance={"everySeconds": 6})
            bed.until("both stages have counted", lambda: all(CountedLoads.of(one).tokens for one in stages(bed)), 120)
            bed.until("each stage's hottest expert has the spare copy", lambda: all(map(is_followed, stages(bed))), 150)
            bed.see_a_round(crowd)
        finally:
            bed.patch_experts(spareCopies=0, rebalance=None)
        bed.until("everything is at home again", bed.is_at_home)
        bed.see_a_round(crowd)
    assert crowd.failed() == []
    assert wrong_tokens(crowd.asked, [one.tokens for one in calm]) == []
    assert bed.deployed.snapshot().pods == before.pods
    bed.assert_told(mark, bed.deployed.name, ("Rebalanced",), ("CopyAdded",), ("CopyRemoved",))


def stages(bed: Bed) -> list[MoEStage]:
    """Both, as they are now."""
    return [bed.deployed.stage(name) for name in sorted(bed.home.epochs)]


def is_followed(stage: MoEStage) -> bool:
    """Whether the spare copy is one of the expert that was counted most."""
    tokens = CountedLoads.of(stage).tokens
    return len(next(one.ranks for one in stage.spec.experts if one.expert == max(tokens, key=tokens.__getitem__))) == 2
