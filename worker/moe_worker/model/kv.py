"""The paged KV cache of one lane in one stage. It mirrors the block tables of the lane's head, and checks them.

Legend of shapes: H heads of a token's row, D their width, B blocks of a table, T tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from moe_wire.messages import Segment
from moe_worker.model.indices import index_tensor


@dataclass(slots=True)
class Table:
    """The blocks of one sequence, in order, how many tokens they hold, and those of its tokens that were told."""

    blocks: list[int] = field(default_factory=list)
    length: int = 0
    history: list[int] = field(default_factory=list)


class LaneCache:
    """A lane's rows: `data` [layers, H, (blocks + 1) * block_size, D]. What the heads of a row are is the attention's.

    The last block belongs to nobody and stays zero: short tables are filled up with it. Sequences may share full
    blocks; `_references` counts who has a block, `_full` are those that hold a token at every place.
    """

    def __init__(self, *, layers: int, heads: int, width: int, blocks: int, block_size: int, like: torch.Tensor):
        self.blocks = blocks
        self.block_size = block_size
        self.data = like.new_zeros((layers, heads, (blocks + 1) * block_size, width))
        self._paged = self.data.view(layers, heads, blocks + 1, block_size * width)
        # Views by layer, made once: making them is as dear as using them.
        self._layers = list(zip(self.data.unbind(), self._paged.unbind(), strict=True))
        self.tables: dict[int, Table] = {}
        self._references = [0] * blocks
        self._full: set[int] = set()

    @property
    def blocks_in_use(self) -> int:
        return sum(map(bool, self._references))

    def extend(self, segments: Sequence[Segment]) -> None:
        """Gives each sequence its new blocks, all but the shared ones emptied, and counts its new tokens."""
        fresh: list[int] = []
        for segment in segments:
            fresh += self._extend(segment)
        if fresh:
            # A masked key's weight is zero, but zero times what a broken sequence left behind (inf, NaN) is not.
            self._paged.index_fill_(2, index_tensor(fresh, self.data.device), 0)
        for segment in segments:
            end = segment.start + segment.count
            blocks = self.tables[segment.sequence].blocks
            self._full.update(blocks[segment.start // self.block_size : end // self.block_size])

    def free(self, sequences: Sequence[int]) -> None:
        """Forgets these sequences; what nobody else shares may be named anew."""
        for sequence in sequences:
            for block in self.tables.pop(sequence, Table()).blocks:
                self._references[block] -= 1

    def layer(self, layer: int) -> torch.Tensor:
        """The cache's layer (from 0): [H, tokens of all blocks, D]."""
        return self._layers[layer][0]

    def write(self, layer: int, slots: torch.Tensor, rows: torch.Tensor) -> None:
        """Puts rows [T, H, D] of the cache's layer (from 0) at slots [T]."""
        self._layers[layer][0].index_copy_(1, slots, rows.transpose(0, 1))

    def read(self, layer: int, blocks: torch.Tensor) -> torch.Tensor:
        """What the blocks [B] hold: [H, B, block_size * D], copied."""
        return self._layers[layer][1].index_select(1, blocks)

    def clear(self) -> None:
        self.tables.clear()
        self._references = [0] * self.blocks
        self._full.clear()

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

    def _extend(self, segment: Segment) -> Sequence[int]:
        """The new blocks that are to be emptied."""
        table, fresh = self.tables.get(segment.sequence), segment.new_blocks
        assert all(0 <= block < self.blocks for block in fresh), f"blocks {fresh} are not all below {self.blocks}"
        if table is None:
            num_shared = segment.start // self.block_size
            fresh = segment.new_blocks[num_shared:]
            table = self.tables[segment.sequence] = self._share(segment.new_blocks[:num_shared])
        assert segment.start == table.length, f"sequence {segment.sequence} has {table.length}, not {segment.start}"
        for block in fresh:
            assert not self._references[block], f"block {block} is in use"
            self._references[block] = 1
        self._full.difference_update(fresh)
        table.blocks.extend(fresh)
        table.length += segment.count
        table.history.extend(segment.history)
        assert table.length <= len(table.blocks) * self.block_size, f"sequence {segment.sequence} lacks blocks"
        return fresh

    def _share(self, blocks: Sequence[int]) -> Table:
        """A table that begins with what others have computed in earlier steps."""
        assert self._full.issuperset(blocks), f"blocks {blocks} are not all full"
        for block in blocks:
            self._references[block] += 1
        return Table(list(blocks), len(blocks) * self.block_size)
