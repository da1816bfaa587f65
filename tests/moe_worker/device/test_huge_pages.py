"""Huge pages change where numbers lie, and never the numbers; where there are none, nothing happens."""

import torch

from moe_worker.device.huge_pages import HUGE_PAGE, use_huge_pages


def test_numbers_stay_as_they_are() -> None:
    numbers = torch.arange(3 * HUGE_PAGE // 8)
    use_huge_pages(numbers.data_ptr(), numbers.nbytes)
    assert torch.equal(numbers, torch.arange(3 * HUGE_PAGE // 8))


def test_less_than_one_page_is_left_alone() -> None:
    numbers = torch.zeros(HUGE_PAGE // 8 - 1)
    assert not use_huge_pages(numbers.data_ptr(), numbers.nbytes)


def test_memory_that_is_not_mapped_is_refused_without_an_error() -> None:
    assert not use_huge_pages(HUGE_PAGE << 40, HUGE_PAGE)
