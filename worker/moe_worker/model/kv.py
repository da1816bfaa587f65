"""The paged KV cache of one lane in one stage. It mirrors the block tables of the lane's head, and checks them.

Legend of shapes: H heads of a token's row, D their width, B blocks of a table, T tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from moe_wire.messages import Segment


@dataclass(slots=True)
class Table:
    """The blocks of one sequence, in order, how many tokens they hold, and those of its tokens that were told."""

    blocks: list[int] = field(default_factory=list)
    length: int = 0
    history: list[int] = field(default_factory=list)


class LaneCache:
    """A lane's rows: `data` [layers, H, (blocks + 1) * block_size, D]. What the heads of a row are is the attention's.

    The last block belongs to nobody and stays zero: short tables are filled up with it.
    """

    def __init__(self, *, layers: int, heads: int, width: int, blocks: int, block_size: int, like: torch.Tensor):
        self.blocks = blocks
        self.block_size = block_size
        self.data = like.new_zeros((layers, heads, (blocks + 1) * block_size, width))
        self._paged = self.data.view(layers, heads, blocks + 1, block_size * width)
        # Views by layer, made once: making them is as dear as using them.
        self._layers = list(zip(self.data.unbind(), self._paged.unbind(), strict=True))
        self.tables: dict[int, Table] = {}

    @property
    def blocks_in_use(self) -> int:
        return sum(len(table.blocks) for table in self.tables.values())

    def extend(self, segments: Sequence[Segment]) -> None:
        """Gives each sequence its new blocks, emptied, and counts its new tokens."""
        fresh = [block for segment in segments for block in segment.new_blocks]
        if fresh:
            self._claim(fresh)
        for segment in segments:
            table = self.tables.setdefault(segment.sequence, Table())
            assert segment.start == table.length, f"sequence {segment.sequence} has {table.length}, not {segment.start}"
            table.blocks.extend(segment.new_blocks)
            table.length += segment.count
            table.history.extend(segment.history)
            assert table.length <= len(table.blocks) * self.block_size, f"sequence {segment.sequence} lacks blocks"

    def free(self, sequences: Sequence[int]) -> None:
        """Forgets these sequences; their blocks may be named again."""
        for sequence in sequences:
            self.tables.pop(sequence, None)

    def write(self, layer: int, slots: torch.Tensor, rows: torch.Tensor) -> None:
        """Puts rows [T, H, D] of the cache's layer (from 0) at slots [T]."""
        self._layers[layer][0].index_copy_(1, slots, rows.transpose(0, 1))

    def read(self, layer: int, blocks: torch.Tensor) -> torch.Tensor:
        """What the blocks [B] hold: [H, B, block_size * D], copied."""
        return self._layers[layer][1].index_select(1, blocks)

    def clear(self) -> None:
        self.tables.clear()

    def slots(self, segment: Segment) -> list[int]:
        """Where each token of a segment lies."""
        size, blocks = self.block_size, self.tables[segment.sequence].blocks
        return [blocks[p // size] * size + p % size for p in range(segment.start, segment.start + segment.count)]

    def history(self, sequence: int) -> Sequence[int]:
        """The tokens of a sequence, where its sampling needs them."""
        return self.tables[sequence].history

    def padded_blocks(self, sequence: int, first: int, count: int) -> list[int]:
        """`count` blocks of a sequence from its `first` on; the empty block after its end."""
        blocks = self.tables[sequence].blocks[first : first + count]
        return blocks + [self.blocks] * (count - len(blocks))

    def _claim(self, fresh: list[int]) -> None:
        taken = {block for table in self.tables.values() for block in table.blocks}
        assert len(set(fresh)) == len(fresh), f"blocks {fresh} are in use twice"
        assert taken.isdisjoint(fresh), f"blocks {fresh} are in use"
        assert all(0 <= block < self.blocks for block in fresh), f"blocks {fresh} are not all below {self.blocks}"
        # A masked key's weight is zero, but zero times what a broken sequence left behind (inf, NaN) is not.
        self._paged.index_fill_(2, torch.tensor(fresh, device=self.data.device), 0)
