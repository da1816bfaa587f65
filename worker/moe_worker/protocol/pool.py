"""A lane's KV blocks, each of which is used, cached or free; together they are always all.

Used: as many sequences have it as it has references. Cached: no sequence has it, but it is known by name (prefixes.py)
what it holds, so that another may share it. Free: whatever it holds is of no use. Nothing here knows sequences, steps
or what a block is made of.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence


class BlockPool:
    """Hands out blocks 0 to `num_blocks` - 1. What was cached longest without use is given up first."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._references = [0] * num_blocks
        self._free = list(reversed(range(num_blocks)))
        self._cached: OrderedDict[int, None] = OrderedDict()
        self._by_name: dict[bytes, int] = {}
        self._names: dict[int, bytes] = {}

    @property
    def num_used(self) -> int:
        return self.num_blocks - self.num_available

    @property
    def num_cached(self) -> int:
        return len(self._cached)

    @property
    def num_available(self) -> int:
        """Free ones, and cached ones that may be given up for others."""
        return len(self._free) + len(self._cached)

    def references(self, block: int) -> int:
        """How many sequences have the block."""
        return self._references[block]

    def find(self, names: Iterable[bytes]) -> list[int]:
        """The blocks that hold what the names say, up to the first that none holds."""
        found: list[int] = []
        for name in names:
            block = self._by_name.get(name)
            if block is None:
                break
            found.append(block)
        return found

    def num_available_beside(self, blocks: Iterable[int]) -> int:
        """How many could be taken by who also shares these."""
        return self.num_available - sum(block in self._cached for block in blocks)

    def share(self, blocks: Iterable[int]) -> None:
        """One more sequence has these, as they are."""
        for block in blocks:
            self._references[block] += 1
            self._cached.pop(block, None)

    def take(self) -> int:
        """A block for new contents; there must be an available one."""
        block = self._free.pop() if self._free else self._give_up()
        self._references[block] = 1
        return block

    def keep(self, block: int, name: bytes) -> None:
        """The used block holds what the name says. Of two that hold the same, the first is known by it."""
        if self._by_name.setdefault(name, block) == block:
            self._names[block] = name

    def give_back(self, blocks: Sequence[int]) -> None:
        """A sequence has ended; `blocks` in order of position. The deepest are given up first: of a prefix its
        beginning is left.
        """
        for block in reversed(blocks):
            self._references[block] -= 1
            if self._references[block]:
                continue
            if block in self._names:
                self._cached[block] = None
            else:
                self._free.append(block)

    def _give_up(self) -> int:
        block, _ = self._cached.popitem(last=False)
        del self._by_name[self._names.pop(block)]
        return block
