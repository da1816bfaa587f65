"""Gathers this process's memory into huge pages: what is forked from it has a few hundred page table entries to copy
at its birth, and to give up at its death, instead of tens of thousands.

A dead process's connections end only after that; on a machine with hundreds of ranks on few cores it is what takes
longest until a death is noticed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from pathlib import Path

MADV_COLLAPSE = 25
HUGE_BYTES = 2 << 20


def gather_memory() -> int:
    """Gather what the process may write, now; the bytes gathered. What the kernel cannot gather stays as it is."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    gathered = 0
    for start, length in wholes(Path("/proc/self/maps").read_text().splitlines()):
        # One by one: the first that cannot be gathered ends a call.
        if libc.madvise(start, length, MADV_COLLAPSE) == 0:
            gathered += length
    return gathered


def wholes(maps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Start and length of every huge page's worth of private, writable, nameless memory: the heap, and what was mapped
    for Python's objects. `maps` are the lines of /proc/<pid>/maps.
    """
    for line in maps:
        span, modes, _, _, _, *name = line.split(maxsplit=5)
        if not modes.startswith("rw") or not modes.endswith("p") or (name and name[0] != "[heap]"):
            continue
        first, last = (int(end, 16) for end in span.split("-"))
        for start in range(-(-first // HUGE_BYTES) * HUGE_BYTES, last - HUGE_BYTES + 1, HUGE_BYTES):
            yield start, HUGE_BYTES
