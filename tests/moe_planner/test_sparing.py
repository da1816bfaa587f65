"""Which of a stage's copies are needless, on stages small enough to add up by hand."""

from dataclasses import replace

from moe_planner.balance import worst_of_both
from moe_planner.inputs import Constraints
from moe_planner.layout import Copy, StageLayout
from moe_planner.sparing import numbers_to_try, worthwhile
from tests.moe_planner.stages import on_nodes, placed, shaped

HOT = {0: 1.0, 1: 0.5, 2: 0.3, 3: 0.2}
EVEN = dict.fromkeys(range(4), 0.5)
ONE = dict.fromkeys(range(4), 1)


def with_copy(expert: int, rank: int) -> StageLayout:
    """Four experts on four ranks of two nodes, and one more copy."""
    stage = placed(shaped(experts=4), on_nodes(2, 2), ranks=4).stages[0]
    return replace(stage, copies=(*stage.copies, Copy(expert=expert, rank=rank)))


def test_half_of_a_hot_expert_beside_a_cold_one_relieves_its_rank() -> None:
    stage = with_copy(0, 3)
    assert worst_of_both(stage, HOT, batch=1) == (1.0 / 2 + 0.2) / 0.5, "the mean rank has 0.5 tokens a token"
    assert worthwhile(stage, ONE, HOT, batch=1) == stage


def test_a_copy_that_makes_another_rank_the_busiest_is_given_up() -> None:
    assert worst_of_both(with_copy(0, 1), EVEN, batch=1) == (0.5 / 2 + 0.5) / 0.5
    for stage, rates in ((with_copy(0, 1), EVEN), (with_copy(2, 1), HOT)):
        assert len(worthwhile(stage, ONE, rates, batch=1).copies) == 4


def test_a_large_batch_reads_every_copy_for_each_step() -> None:
    """Expert 0 is read in both of its copies, and its rank's 2 tokens' worth is 2 reads at the other."""
    assert len(worthwhile(with_copy(0, 3), ONE, HOT, batch=1000).copies) == 4


def test_what_must_be_there_stays_and_stays_apart() -> None:
    two = ONE | {0: 2}
    assert worthwhile(with_copy(0, 1), two, EVEN, batch=1) == with_copy(0, 1)

    apart = placed(shaped(experts=4), on_nodes(2, 2), ranks=4, constraints=Constraints(copies=2)).stages[0]
    [near] = [rank for rank in (0, 1) if rank not in apart.hosts(0)]
    more = replace(apart, copies=(*apart.copies, Copy(expert=0, rank=near)))
    kept = worthwhile(more, dict.fromkeys(range(4), 2), EVEN, batch=1)
    assert len(kept.hosts(0)) == 2
    assert len({kept.seat(rank).node for rank in kept.hosts(0)}) == 2


def test_few_spare_copies_are_tried_before_many() -> None:
    assert [numbers_to_try(most) for most in (0, 1, 4, 6)] == [[], [1], [1, 2, 4], [1, 2, 4, 6]]
