"""How long experts' rows take on this rank's device: how it compares with its peers, and a histogram for /metrics.

The device's own time, without the network or any wait: a much chosen expert is not slow. Batches of few rows only,
whose time hardly depends on their number; the least of a window, so that a busy machine is not taken for a slow device.
"""

from collections.abc import Callable, Sequence

from moe_wire.messages import Payload
from moe_worker.protocol.compute import Compute

WINDOW_S = 5.0
FEW_ROWS = 16
MIN_PASSES = 5
NUM_BUCKETS = 24
"""Bucket n counts the passes of less than 2**n microseconds that are in no lower one; the last takes all the rest."""


class ServiceTimes:
    """`probe` runs a fixed piece of work on the device: seconds. What an expert's rows would take where there are none
    to run follows from it, so an emptied device can show that it is well again.
    """

    def __init__(self, probe: Callable[[], float]) -> None:
        self._probe = probe
        self._least = float("inf")
        self._num_passes = 0
        self._passes_per_probe = 0.0
        self._roll_at = 0.0
        self.figure_us = 0
        """Microseconds, of the window that ended last; 0 while nothing is known."""
        self.buckets = [0] * NUM_BUCKETS
        self.seconds = 0.0

    def note(self, num_rows: int, seconds: float) -> None:
        """A pass over one expert's weights has taken so long."""
        self.buckets[min(int(seconds * 1e6).bit_length(), NUM_BUCKETS - 1)] += 1
        self.seconds += seconds
        if num_rows <= FEW_ROWS:
            self._num_passes += 1
            if seconds < self._least:
                self._least = seconds

    def tick(self, now: float) -> None:
        """End the window if it is time."""
        if now < self._roll_at:
            return
        self._roll_at = now + WINDOW_S
        probe_s = self._probe()
        if self._num_passes >= MIN_PASSES:
            self._passes_per_probe = self._least / probe_s
        self.figure_us = round(self._passes_per_probe * probe_s * 1e6)
        self._least, self._num_passes = float("inf"), 0


class TimedCompute:
    """A Compute whose experts' passes are noted."""

    def __init__(self, compute: Compute, times: ServiceTimes, clock: Callable[[], float]) -> None:
        self._expert = compute.expert
        self._times = times
        self._clock = clock
        self.open_lane = compute.open_lane
        self.drop_lane = compute.drop_lane
        self.free = compute.free
        self.begin = compute.begin
        self.attend = compute.attend
        self.combine = compute.combine
        self.finish = compute.finish
        self.load = compute.load
        self.loaded = compute.loaded
        self.drop = compute.drop

    def expert(self, expert: int, rows: Sequence[Payload]) -> Sequence[Payload]:
        started = self._clock()
        answers = self._expert(expert, rows)
        self._times.note(sum([payload.shape[0] for payload in rows]), self._clock() - started)
        return answers
