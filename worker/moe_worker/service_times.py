"""How long experts' rows take on this rank's device, by which it is compared with its peers, and how long steps do.

For experts it is the device's own time, without the network or any wait: a much chosen expert is not slow. Batches of
few rows only, whose time hardly depends on their number; the least of a window, so that a busy machine is not taken for
a slow device.
"""

from collections.abc import Callable, Sequence

from moe_wire.messages import Payload, Segment
from moe_worker.histogram import Histogram
from moe_worker.protocol.compute import Batch, Compute, Sampled

WINDOW_S = 5.0
LONGEST_S = 40.0
USUAL = 2.0
FEW_ROWS = 16
MIN_PASSES = 5
TIMED_PASSES = 8
"""Small ones, the first of each window: where there are enough for a figure, enough are timed."""


class ServiceTimes:
    """`probe` runs a fixed piece of work on the device: seconds. What an expert's rows would take where there are none
    to run follows from it, so an emptied device can show that it is well again. `passes` are over one expert's weights,
    `steps` a micro-batch's whole time in this stage, with all waiting: of both a sample, some of each window.
    """

    def __init__(self, probe: Callable[[], float]) -> None:
        self._probe = probe
        self._least = float("inf")
        self._num_passes = 0
        self._best_pass = self._best_probe = float("inf")
        self._roll_at = self._probe_at = 0.0
        self._probe_s = self._every_s = 0.0
        self._time_next: Callable[[], None] | None = None
        self.figure_us = 0
        """Microseconds, of the window that ended last; 0 while nothing is known."""
        self.passes = Histogram()
        self.steps = Histogram()

    def on_window(self, time_next: Callable[[], None]) -> None:
        """Have this called when a window begins: who timed everything would pay for it with every message."""
        self._time_next = time_next

    def note(self, num_rows: int, seconds: float) -> None:
        """A pass over one expert's weights has taken so long."""
        self.passes.note(seconds)
        if num_rows <= FEW_ROWS:
            self._num_passes += 1
            if seconds < self._least:
                self._least = seconds

    def tick(self, now: float) -> bool:
        """Call it at every beat. End the window if it is time; whether it was."""
        if now < self._roll_at:
            return False
        self._roll_at = now + WINDOW_S
        if self._time_next is not None:
            self._time_next()
        has_passes = self._num_passes >= MIN_PASSES
        if now >= self._probe_at and not (has_passes and self._probe_s):
            self._take_probe(now)
        if has_passes:
            self._best_pass = min(self._best_pass, self._least)
            figure_s = self._least
        else:
            # The best of both belong together: each of them may once have had to wait for a CPU.
            figure_s = self._best_pass * self._probe_s / self._best_probe
        self.figure_us = round(figure_s * 1e6) if figure_s < float("inf") else 0
        self._least, self._num_passes = float("inf"), 0
        return True

    def _take_probe(self, now: float) -> None:
        """Ever more rarely while the device is as fast as usual, for where hundreds share a CPU that adds up; a slow
        one is to be known to be well again soon.
        """
        self._probe_s = self._probe()
        self._best_probe = min(self._best_probe, self._probe_s)
        is_usual = self._probe_s < USUAL * self._best_probe
        self._every_s = min(2 * self._every_s or WINDOW_S, LONGEST_S) if is_usual else WINDOW_S
        self._probe_at = now + self._every_s


class TimedCompute:
    """A Compute of which the first step of each window and its first passes over experts are timed and noted, up to the
    last small one that is wanted. All else goes straight to the compute.
    """

    def __init__(self, compute: Compute, times: ServiceTimes, clock: Callable[[], float]) -> None:
        self._compute = compute
        self._times = times
        self._clock = clock
        self._num_to_time = 0
        self._timed: tuple[int, Batch, float] | None = None
        self.open_lane = compute.open_lane
        self.free = compute.free
        self.attend = compute.attend
        self.combine = compute.combine
        self.load = compute.load
        self.loaded = compute.loaded
        self.drop = compute.drop
        self.begin, self.expert, self.finish = compute.begin, compute.expert, compute.finish
        times.on_window(self._time_next)

    def drop_lane(self, lane: int) -> None:
        if self._timed is not None and self._timed[0] == lane:
            self._timed = None
            self.finish = self._compute.finish
        self._compute.drop_lane(lane)

    def _time_next(self) -> None:
        self._num_to_time = TIMED_PASSES
        self.expert = self._time_expert
        if self._timed is None:
            self.begin = self._time_begin

    def _time_begin(
        self, lane: int, segments: Sequence[Segment], tokens: Sequence[Sequence[int]] | None, hidden: Payload | None
    ) -> Batch:
        started = self._clock()
        batch = self._compute.begin(lane, segments, tokens, hidden)
        self._timed = lane, batch, started
        self.begin, self.finish = self._compute.begin, self._time_finish
        return batch

    def _time_expert(self, expert: int, rows: Sequence[Payload]) -> Sequence[Payload]:
        started = self._clock()
        answers = self._compute.expert(expert, rows)
        seconds = self._clock() - started
        num_rows = rows[0].shape[0] if len(rows) == 1 else sum([some.shape[0] for some in rows])
        self._times.note(num_rows, seconds)
        if num_rows <= FEW_ROWS:
            self._num_to_time -= 1
            if not self._num_to_time:
                self.expert = self._compute.expert
        return answers

    def _time_finish(self, batch: Batch) -> Payload | Sampled:
        finished = self._compute.finish(batch)
        if self._timed is not None and self._timed[1] is batch:
            self._times.steps.note(self._clock() - self._timed[2])
            self._timed = None
            self.finish = self._compute.finish
        return finished
