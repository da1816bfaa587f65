"""How long things took, counted by powers of two of a microsecond: as cheap as a counter, and enough for /metrics."""

from typing import Any

NUM_BUCKETS = 24
"""Bucket n counts what took less than 2**n microseconds and is in no lower one; the last counts all the rest."""


def bound(bucket: int) -> float:
    """What everything in this bucket and the lower ones took less than, seconds."""
    return float("inf") if bucket == NUM_BUCKETS - 1 else (1 << bucket) / 1e6


class Histogram:
    """`seconds` is the sum."""

    def __init__(self) -> None:
        self.seconds = 0.0
        # More than any time needs: noting is part of the hot path, folding is not.
        self._counts = [0] * 64

    def note(self, seconds: float) -> None:
        self._counts[int(seconds * 1e6).bit_length()] += 1
        self.seconds += seconds

    @property
    def buckets(self) -> list[int]:
        counts = self._counts
        return [*counts[: NUM_BUCKETS - 1], sum(counts[NUM_BUCKETS - 1 :])]

    def figures(self) -> dict[str, Any]:
        """As plain data."""
        return {"buckets": self.buckets, "seconds": self.seconds}
