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
        self.buckets = [0] * NUM_BUCKETS
        self.seconds = 0.0

    def note(self, seconds: float) -> None:
        self.buckets[min(int(seconds * 1e6).bit_length(), NUM_BUCKETS - 1)] += 1
        self.seconds += seconds

    def figures(self) -> dict[str, Any]:
        """As plain data."""
        return {"buckets": list(self.buckets), "seconds": self.seconds}
