"""Memory that is written once and read over and over: in huge pages, since with small ones the CPU waits for page
tables more than for numbers.
"""

import mmap

import torch

HUGE_PAGE = 2 << 20


def read_often(numbers: int, dtype: torch.dtype) -> torch.Tensor:
    """An empty tensor [numbers], in huge pages as far as it fills them and the kernel has them."""
    size = numbers * dtype.itemsize
    if size < HUGE_PAGE:
        return torch.empty(numbers, dtype=dtype)
    # Of whole huge pages, so that the kernel lays the mapping on a border of theirs; what the tensor would not fill of
    # the last one stays in small pages, untouched. Asked for before anything is written: nothing is moved later.
    pages = mmap.mmap(-1, -(-size // HUGE_PAGE) * HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE, 0, size // HUGE_PAGE * HUGE_PAGE)
    return torch.frombuffer(pages, dtype=dtype, count=numbers)
