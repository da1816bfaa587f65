"""Placement that follows the load: on the real control plane, a spare copy goes where workers count the most tokens."""

import pytest

from moe_api.loads import CountedLoads
from moe_api.stage import MoEStage
from tests.e2e.bed import Bed

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.slow]


def test_a_spare_copy_goes_to_the_expert_that_the_workers_count_most(bed: Bed) -> None:
    before, mark = bed.deployed.snapshot(), bed.told.mark()
    with bed.streams() as crowd:
        try:
            bed.patch_experts(spareCopies=1, rebalance={"everySeconds": 3})
            bed.until("both stages have counted", lambda: all(CountedLoads.of(one).tokens for one in stages(bed)), 120)
            bed.until("each stage's hottest expert has the spare copy", lambda: all(map(is_followed, stages(bed))), 60)
            bed.see_a_round(crowd)
        finally:
            bed.patch_experts(spareCopies=0, rebalance=None)
        bed.until("everything is at home again", bed.is_at_home)
    assert bed.deployed.snapshot().pods == before.pods
    assert "Rebalanced" in mark.events(bed.deployed.name)


def stages(bed: Bed) -> list[MoEStage]:
    """Both, as they are now."""
    return [bed.deployed.stage(name) for name in sorted(bed.home.epochs)]


def is_followed(stage: MoEStage) -> bool:
    """Whether the spare copy is one of the expert that was counted most."""
    tokens = CountedLoads.of(stage).tokens
    return len(next(one.ranks for one in stage.spec.experts if one.expert == max(tokens, key=tokens.__getitem__))) == 2
