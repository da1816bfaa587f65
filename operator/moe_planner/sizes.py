"""What the stages of a pipeline weigh: layers are summed once, equal stages are told once. Knows no hardware."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from moe_planner.flops import lane_flops
from moe_planner.model import ModelShape


@dataclass(frozen=True, kw_only=True)
class StageSizes:
    """One stage. Bytes and FLOP are sums over its layers.

    `lane_bytes` are the weights that every lane visits (attention, router, shared and dense networks), and
    `lane_flops` what a token costs in them; `embeddings` counts the vocabulary matrices that the stage holds.
    `kv_bytes_per_token` is what a lane stores for a token; of it, `window_kv_bytes_per_token` belongs to the
    `window_layers`, which read no more than a window of it.
    """

    layers: int
    expert_layers: int
    window_layers: int
    lane_bytes: int
    lane_flops: int
    kv_bytes_per_token: int
    window_kv_bytes_per_token: int
    embeddings: int

    @property
    def full_layers(self) -> int:
        """Layers that attend to all that came before."""
        return self.layers - self.window_layers


def layers_of_stages(layers: int, stages: int) -> tuple[int, ...]:
    """Layers of each stage: as even as can be, the first stages take what remains."""
    return tuple(layers // stages + (stage < layers % stages) for stage in range(stages))


@lru_cache(maxsize=1024)
def stage_sizes(shape: ModelShape, stages: int) -> tuple[StageSizes, ...]:
    """The different stages of a pipeline, in their order. Remembered: the search asks for the same ones again."""
    found: dict[StageSizes, None] = {}
    for stage in _representatives(shape, stages):
        first = stage * (shape.layers // stages) + min(stage, shape.layers % stages)
        last = first + shape.layers // stages + (stage < shape.layers % stages)
        ends = (stage == 0) + (stage == stages - 1 and not (stages == 1 and shape.tied_embeddings))
        found[layer_sizes(shape, first, last, ends)] = None
    return tuple(found)


def whole_model(shape: ModelShape) -> StageSizes:
    """All layers as if they were one stage."""
    return stage_sizes(shape, 1)[0]


def layer_sizes(shape: ModelShape, first: int, last: int, embeddings: int) -> StageSizes:
    """A stage of the layers from `first` up to, but without, `last`."""
    start, end = _sums(shape)[first], _sums(shape)[last]
    layers, experts, windows, weights, flops, cache, window_cache = (b - a for a, b in zip(start, end, strict=True))
    return StageSizes(
        layers=layers,
        expert_layers=experts,
        window_layers=windows,
        lane_bytes=weights,
        lane_flops=flops,
        kv_bytes_per_token=cache,
        window_kv_bytes_per_token=window_cache,
        embeddings=embeddings,
    )


def _representatives(shape: ModelShape, stages: int) -> Iterable[int]:
    """Stages that show every kind there is; where all layers are alike, the ends and where the spans change."""
    if shape.dense_layers or shape.window_layers:
        return range(stages)
    longer = shape.layers % stages
    return sorted({0, min(1, stages - 1), max(0, longer - 1), min(longer, stages - 1), max(0, stages - 2), stages - 1})


@lru_cache(maxsize=16)
def _sums(shape: ModelShape) -> tuple[tuple[int, ...], ...]:
    """Sums over the first 0, 1, 2, ... layers of what a stage adds up, in the order of its fields."""
    cache = shape.kv_bytes_per_token_per_layer
    sums: list[tuple[int, ...]] = [(0, 0, 0, 0, 0, 0, 0)]
    for layer in range(shape.layers):
        has_window = layer in shape.window_layers
        own = (
            1,
            int(layer not in shape.dense_layers),
            int(has_window),
            shape.attention_bytes_of(layer),
            lane_flops(shape, layer),
            cache,
            cache if has_window else 0,
        )
        sums.append(tuple(before + here for before, here in zip(sums[-1], own, strict=True)))
    return tuple(sums)
