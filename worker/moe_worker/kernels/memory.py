"""Memory that is written once and read over and over: in huge pages, since with small ones the CPU waits for page
tables more than for numbers.
"""

import mmap

import torch

HUGE_PAGE = 2 << 20


def read_often(numbers: int, dtype: torch.dtype) -> torch.Tensor:
    """An empty tensor [numbers], in pages of its own where it would fill a huge one and the kernel has them."""
    size = numbers * dtype.itemsize
    if size < HUGE_PAGE:
        return torch.empty(numbers, dtype=dtype)
    # Asked for before anything is written: the pages come huge, and nothing is moved.
    pages = mmap.mmap(-1, -(-size // HUGE_PAGE) * HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype, count=numbers)
