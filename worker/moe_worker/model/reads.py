"""How a step's rows read and write the cache in every layer: by our kernels where they lie, or by torch's operations.

Made once a step, used by all of its layers.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from moe_wire.messages import Segment
from moe_worker.kernels.attention import Places
from moe_worker.kernels.attention import attend as attend_natively
from moe_worker.model.attention import Group, attend, plan_groups
from moe_worker.model.head_attention import Attention
from moe_worker.model.indices import index_tensor
from moe_worker.model.kv import LaneCache
from moe_worker.model.rotary import Rotation


class Reads(Protocol):
    """One step's."""

    def attend(self, attention: Attention, normed: torch.Tensor, layer: int) -> torch.Tensor:
        """What normed [rows, hidden] see in the cache's layer (from 0), their own keys and values put there before:
        [rows, heads * value's width].
        """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NativeReads:
    """By our kernels; `rotation` is that of all positions."""

    cache: LaneCache
    places: Places
    rotation: Rotation

    def attend(self, attention: Attention, normed: torch.Tensor, layer: int) -> torch.Tensor:
        cache, reading = self.cache.layer(layer), attention.reading
        query = attention.place(normed, self.rotation, cache, self.places)
        return attend_natively(
            query,
            attention.heads,
            cache,
            self.places,
            latent=reading.latent,
            window=reading.window,
            sinks=reading.sinks,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TorchReads:
    """By torch: keys and values gathered, under masks; `groups` by window (0: none) of the layers that read the cache.
    `rotation` is that of the rows, of which those from `num_rows` on are padding.
    """

    cache: LaneCache
    rotation: Rotation
    slots: torch.Tensor
    groups: dict[int, list[Group]]
    num_rows: int

    def attend(self, attention: Attention, normed: torch.Tensor, layer: int) -> torch.Tensor:
        projected = attention.project(normed, self.rotation)
        is_padded = self.num_rows < normed.shape[0]
        self.cache.write(layer, self.slots, projected.cached[: self.num_rows] if is_padded else projected.cached)
        reading = attention.reading
        return attend(projected.query, self.cache, layer, self.groups[reading.window], reading)


def native_reads(cache: LaneCache, segments: Sequence[Segment], rotation: Rotation) -> NativeReads:
    """Of segments that the cache already counts."""
    positions, slots, spans, blocks = array("q"), array("q"), array("q"), array("q")
    for segment in segments:
        spans.extend((len(positions), segment.start, segment.count, len(blocks)))
        positions.extend(range(segment.start, segment.start + segment.count))
        slots.extend(cache.slots(segment))
        blocks.extend(cache.tables[segment.sequence].blocks)
    places = Places(positions=positions, slots=slots, segments=spans, blocks=blocks, block_size=cache.block_size)
    return NativeReads(cache=cache, places=places, rotation=rotation)


def torch_reads(
    cache: LaneCache, segments: Sequence[Segment], rotation: Rotation, windows: Iterable[int], num_rows: int
) -> TorchReads:
    """The same for a step padded to `num_rows`; `windows`: of its layers."""
    positions = [p for segment in segments for p in range(segment.start, segment.start + segment.count)]
    padded = positions + [0] * (num_rows - len(positions))
    device = cache.data.device
    return TorchReads(
        cache=cache,
        rotation=rotation.at(index_tensor(padded, device)),
        slots=index_tensor([slot for segment in segments for slot in cache.slots(segment)], device),
        groups={window: plan_groups(cache, segments, window) for window in windows},
        num_rows=len(positions),
    )
