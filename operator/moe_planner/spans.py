"""Which layers each stage gets when a running pipeline is cut anew: evenly, and those it had where possible."""

from collections.abc import Sequence

Kept = tuple[int, int]
"""Layers that stay with layers they were with, and those of them that keep their stage's number."""


def nearest_spans(current: Sequence[tuple[int, int]], layers: int, stages: int) -> tuple[int, ...]:
    """Layers of each stage, none more than one above another, with the most layers together with their old ones.

    `current` are the (first layer, number of layers) of the running stages. Of equal cuts the one in which most stages
    keep their numbers, then the one whose first stages take what remains.
    """
    small, num_large = divmod(layers, stages)
    best: dict[int, tuple[Kept, tuple[int, ...]]] = {0: ((0, 0), ())}
    for stage in range(stages):
        following: dict[int, tuple[Kept, tuple[int, ...]]] = {}
        for large, (kept, spans) in best.items():
            for size in (small + 1, small):
                now_large = large + (size > small)
                if not num_large - (stages - stage - 1) <= now_large <= num_large:
                    continue
                first = stage * small + large
                together, numbered = _kept(current, stage, first, first + size)
                found = ((kept[0] + together, kept[1] + numbered), (*spans, size))
                if now_large not in following or found > following[now_large]:
                    following[now_large] = found
        best = following
    return best[num_large][1]


def _kept(current: Sequence[tuple[int, int]], stage: int, first: int, last: int) -> Kept:
    """The most layers of the span that one running stage has, and those that the stage of that number has."""
    overlaps = [max(0, min(last, start + number) - max(first, start)) for start, number in current]
    return max(overlaps, default=0), overlaps[stage] if stage < len(overlaps) else 0
