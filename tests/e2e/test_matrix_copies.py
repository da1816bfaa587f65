"""The failure matrix: experts with several live copies, declared while streams run."""

import pytest

from tests.e2e.bed import Bed

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.slow]


def test_copies_are_added_while_serving_take_over_at_once_and_are_made_again(bed: Bed) -> None:
    before, seat, mark = bed.deployed.snapshot(), bed.seat(6), bed.told.mark()
    with bed.streams() as crowd:
        try:
            bed.patch_experts(copies=2)
            bed.until("every expert has two live copies", lambda: coverage(bed) == [2, 2])
            held = [expert for expert, ranks in bed.deployed.snapshot().experts.items() if 6 in ranks]
            bed.deployed.fail(seat, "device")
            bed.until("the GPU is left", lambda: not bed.hosts(6))
            assert all(bed.deployed.snapshot().experts[expert] for expert in held)
            bed.until("the lost copies are made again", lambda: coverage(bed) == [2, 2])
            bed.see_a_round(crowd)
        finally:
            bed.deployed.heal(seat)
            bed.patch_experts(copies=1)
        bed.until("everything is at home again", bed.is_at_home)
    assert bed.deployed.snapshot().pods == before.pods
    bed.assert_told(mark, seat.stage, ("CopyAdded",), ("GPUFailed",), ("CopyRemoved",))
    bed.assert_said(mark, seat.stage, "Degraded", "True CoverageReduced", "True RankMasked", "False Healthy")


def coverage(bed: Bed) -> list[int]:
    """The least number of live copies of any expert, for each stage."""
    return [bed.deployed.stage(name).status.coverage for name in sorted(bed.home.epochs)]
