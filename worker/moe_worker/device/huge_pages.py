"""Huge pages under memory that is read over and over: with small ones the CPU waits for page tables more than for
numbers. Knows addresses, not what lies there.
"""

import ctypes

HUGE_PAGE = 2 << 20
MADV_COLLAPSE = 25  # of Linux 6.1 and later


def use_huge_pages(address: int, size: int) -> bool:
    """Moves what lies there, and what shares its pages, to huge pages; whether it was done.

    It takes some milliseconds of CPU a page, once. Below the size of one nothing is done. Where the kernel cannot do
    it, or has no such pages left, all stays as it is.
    """
    if size < HUGE_PAGE:
        return False
    first = address // HUGE_PAGE * HUGE_PAGE
    end = -(-(address + size) // HUGE_PAGE) * HUGE_PAGE
    advise = ctypes.CDLL(None).madvise
    # Page by page: the outermost may reach past the mapping, which must not keep the others from it.
    places = range(first, end, HUGE_PAGE)
    done = [advise(ctypes.c_void_p(at), ctypes.c_size_t(HUGE_PAGE), MADV_COLLAPSE) == 0 for at in places]
    return any(done)
