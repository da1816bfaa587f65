"""Memory that is handed out in pieces and registered as a whole. Plain bookkeeping: knows neither NIXL nor messages."""

import ctypes
import mmap

ALIGNMENT = 64


class Slab:
    """Pages are taken from the machine as they are first touched. What is taken belongs to the taker until given
    back.
    """

    def __init__(self, num_bytes: int) -> None:
        self._memory = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._view = memoryview(self._memory)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self.num_bytes = num_bytes
        self._free = [(0, num_bytes)]
        self._taken: dict[int, int] = {}

    @property
    def num_taken(self) -> int:
        return len(self._taken)

    def take(self, num_bytes: int) -> int | None:
        """The offset of so many bytes; None while there is no gap that is large enough."""
        size = -(-num_bytes // ALIGNMENT) * ALIGNMENT
        for index, (start, end) in enumerate(self._free):
            if end - start >= size:
                self._free[index : index + 1] = [(start + size, end)] if end - start > size else []
                self._taken[start] = size
                return start
        return None

    def give(self, offset: int) -> None:
        """Back from whoever took it; gaps that touch become one."""
        gap = (offset, offset + self._taken.pop(offset))
        merged: list[tuple[int, int]] = []
        for start, end in sorted([*self._free, gap]):
            if merged and merged[-1][1] == start:
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((start, end))
        self._free = merged

    def view(self, offset: int, num_bytes: int) -> memoryview:
        return self._view[offset : offset + num_bytes]

    def empty(self) -> None:
        """Return the pages to the machine. The addresses stay ours, so that whoever writes late hurts nobody."""
        self._memory.madvise(mmap.MADV_DONTNEED)
