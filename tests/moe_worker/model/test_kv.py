import pytest
import torch

from moe_wire.messages import Segment
from moe_worker.model.attention import padded_keys
from moe_worker.model.kv import LaneCache


def cache() -> LaneCache:
    return LaneCache(layers=2, heads=2, width=4, blocks=8, block_size=4, like=torch.empty(0))


def test_a_sequence_has_the_blocks_that_it_was_given() -> None:
    lane = cache()
    lane.extend([Segment(7, 0, 5, (3, 1), None), Segment(8, 0, 2, (0,), None)])
    assert lane.blocks_in_use == 3
    assert lane.slots(Segment(7, 2, 3, (), None)) == [14, 15, 4]
    assert lane.padded_blocks(7, 0, 4) == [3, 1, 8, 8]
    assert lane.padded_blocks(7, 1, 2) == [1, 8]


def test_freed_blocks_may_be_named_again_and_come_back_empty() -> None:
    lane = cache()
    lane.extend([Segment(7, 0, 4, (3,), None)])
    lane.write(1, torch.tensor([12]), torch.full((1, 2, 4), torch.nan))
    lane.free([7, 99])
    assert lane.blocks_in_use == 0
    lane.extend([Segment(9, 0, 1, (3,), None)])
    assert not lane.data.any()


def test_a_full_block_is_shared_as_it_is_and_outlives_its_first_owner() -> None:
    lane = cache()
    lane.extend([Segment(7, 0, 6, (3, 1), None)])
    lane.write(1, torch.arange(12, 16), torch.ones(4, 2, 4))
    lane.extend([Segment(8, 4, 1, (3, 0), None)])
    assert lane.blocks_in_use == 3
    assert lane.slots(Segment(8, 4, 1, (), None)) == [0]
    lane.free([7])
    assert lane.blocks_in_use == 2
    assert lane.read(1, torch.tensor([3])).eq(1).all()
    lane.free([8])
    assert lane.blocks_in_use == 0
    lane.extend([Segment(9, 4, 1, (3, 1), None)])
    assert lane.read(1, torch.tensor([3])).eq(1).all(), "kept until it is named anew"


def test_a_block_is_not_shared_before_the_step_that_fills_it_nor_over_the_end_of_a_life() -> None:
    lane = cache()
    with pytest.raises(AssertionError, match="not all full"):
        lane.extend([Segment(7, 0, 4, (3,), None), Segment(8, 4, 1, (3, 1), None)])
    lane = cache()
    lane.extend([Segment(7, 0, 4, (3,), None)])
    lane.clear()
    with pytest.raises(AssertionError, match="not all full"):
        lane.extend([Segment(8, 4, 1, (3, 1), None)])


def test_a_sequence_remembers_what_was_told_of_it_until_it_is_freed() -> None:
    lane = cache()
    lane.extend([Segment(7, 0, 2, (3,), None, (5, 6))])
    lane.extend([Segment(7, 2, 1, (), None, (9,))])
    assert lane.history(7) == [5, 6, 9]
    lane.free([7])
    lane.extend([Segment(7, 0, 1, (3,), None)])
    assert lane.history(7) == []


@pytest.mark.parametrize(
    ("segment", "rule"),
    [
        (Segment(7, 3, 1, (), None), "has 4, not 3"),
        (Segment(7, 4, 1, (), None), "lacks blocks"),
        (Segment(7, 4, 1, (0,), None), "in use"),
        (Segment(9, 0, 1, (0,), None), "in use"),
        (Segment(9, 0, 8, (5, 5), None), "in use"),
        (Segment(9, 0, 1, (8,), None), "not all below 8"),
        (Segment(9, 4, 1, (3, 5), None), "not all full"),
        (Segment(9, 6, 1, (0, 5), None), "has 4, not 6"),
        (Segment(9, 4, 1, (0, 0), None), "in use"),
    ],
)
def test_a_head_that_miscounts_is_found_out(segment: Segment, rule: str) -> None:
    lane = cache()
    lane.extend([Segment(7, 0, 4, (0,), None)])
    with pytest.raises(AssertionError, match=rule):
        lane.extend([segment])


def test_padded_sizes_are_few_and_at_most_half_wasted() -> None:
    sizes = {padded_keys(length, 32) for length in range(1, 4097)}
    assert sorted(sizes) == [32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096]
    assert all(length <= padded_keys(length, 32) < length * 1.5 + 32 for length in range(1, 4097))
