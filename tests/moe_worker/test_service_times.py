"""What a rank tells of its speed: the least of a window, or what the probe says where there was nothing to do."""

from itertools import count
from typing import Any

from moe_wire.messages import DType, Payload
from moe_worker.service_times import ServiceTimes, TimedCompute


class Probe:
    seconds = 0.000_05
    num_taken = 0

    def __call__(self) -> float:
        self.num_taken += 1
        return self.seconds


def noted(times: ServiceTimes, *passes: tuple[int, float]) -> None:
    for num_rows, seconds in passes:
        times.note(num_rows, seconds)


def test_the_figure_is_the_least_of_the_windows_small_passes() -> None:
    times = ServiceTimes(Probe())
    times.tick(0.0)
    noted(times, (1, 0.0004), (4, 0.0002), (16, 0.0009), (2, 0.0003), (3, 0.0003), (17, 0.0001))
    times.tick(4.9)
    assert times.figure_us == 0
    times.tick(5.0)
    assert times.figure_us == 200


def test_few_passes_tell_nothing_and_before_any_nothing_is_known() -> None:
    times = ServiceTimes(Probe())
    times.tick(0.0)
    noted(times, *[(1, 0.0002)] * 4)
    times.tick(5.0)
    assert times.figure_us == 0


def test_an_idle_device_is_as_fast_as_its_probe_says() -> None:
    probe = Probe()
    times = ServiceTimes(probe)
    times.tick(0.0)
    noted(times, *[(1, 0.0002)] * 5)
    times.tick(5.0)
    probe.seconds *= 10
    times.tick(15.0)
    assert times.figure_us == 2000
    probe.seconds /= 10
    times.tick(20.0)
    assert times.figure_us == 200


def test_a_usual_device_is_probed_ever_more_rarely_and_a_slow_one_with_every_window() -> None:
    probe = Probe()
    times = ServiceTimes(probe)
    taken = []
    for now in range(0, 121, 5):
        probe.seconds = 0.000_05 if now < 75 else 0.000_1
        before = probe.num_taken
        times.tick(now)
        taken += [now] * (probe.num_taken - before)
    assert taken == [0, 5, 15, 35, 75, 80, 85, 90, 95, 100, 105, 110, 115, 120]


def test_a_busy_device_is_probed_once_and_again_when_it_has_become_idle() -> None:
    probe = Probe()
    times = ServiceTimes(probe)
    taken = []
    for now in range(0, 31, 5):
        before = probe.num_taken
        times.tick(now)
        taken += [now] * (probe.num_taken - before)
        noted(times, *[(1, 0.0002)] * (5 if now < 20 else 0))
    assert taken == [0, 25]


def test_a_tick_says_whether_a_window_has_ended() -> None:
    times = ServiceTimes(Probe())
    assert [times.tick(now) for now in (0.0, 4.9, 5.0, 9.9, 11.0)] == [True, False, True, False, True]


def test_a_probe_that_once_had_to_wait_makes_no_idle_device_fast() -> None:
    probe = Probe()
    times = ServiceTimes(probe)
    times.tick(0.0)
    probe.seconds *= 10
    noted(times, *[(1, 0.0002)] * 5)
    times.tick(5.0)
    probe.seconds /= 10
    times.tick(10.0)
    assert times.figure_us == 200


class FakeCompute:
    """Answers at once; a batch is a fresh object."""

    def begin(self, *_: object) -> object:
        return object()

    def expert(self, _: int, rows: list[Payload]) -> list[Payload]:
        return rows

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


def timed(*, seconds: float) -> tuple[TimedCompute, ServiceTimes]:
    """Each look at the clock comes so long after the one before."""
    times = ServiceTimes(Probe())
    ticks = (seconds * tick for tick in count())
    compute: Any = FakeCompute()
    return TimedCompute(compute, times, lambda: next(ticks)), times


def rows(number: int) -> list[Payload]:
    return [Payload(DType.FLOAT32, (number, 1), bytes(4 * number))]


def step(compute: TimedCompute, lane: int = 0) -> None:
    batch = compute.begin(lane, (), None, None)
    compute.finish(batch)


def test_the_first_eight_passes_of_a_window_are_noted_and_its_first_step() -> None:
    compute, times = timed(seconds=0.5)
    for windows in (1, 2):
        times.tick(5.0 * windows)
        for _ in range(9):
            assert compute.expert(4, some := rows(3)) is some
            step(compute)
        assert (times.passes.seconds, sum(times.passes.buckets)) == (4.0 * windows, 8 * windows)
        assert sum(times.steps.buckets) == windows
        times.tick(5.0 * windows + 4.5)


def test_before_the_first_window_nothing_is_timed() -> None:
    compute, times = timed(seconds=0.5)
    compute.expert(4, rows(3))
    step(compute)
    assert not sum(times.passes.buckets) + sum(times.steps.buckets)


def test_passes_of_many_rows_do_not_stand_for_the_small_ones() -> None:
    compute, times = timed(seconds=0.5)
    times.tick(0.0)
    for number in [17] * 9 + [16] * 8 + [17, 16]:
        compute.expert(4, rows(number))
    assert sum(times.passes.buckets) == 17


def test_few_passes_are_all_timed_and_tell_a_slow_device() -> None:
    compute, times = timed(seconds=0.25)
    times.tick(0.0)
    for second in range(1, 6):
        compute.expert(4, rows(1))
        times.tick(float(second))
    assert times.figure_us == 250_000


def test_a_step_is_noted_from_its_beginning_to_its_end_whatever_ends_meanwhile() -> None:
    compute, times = timed(seconds=0.5)
    times.tick(0.0)
    first, second = (compute.begin(lane, (), None, None) for lane in (0, 1))
    compute.finish(second)
    times.tick(5.0)
    step(compute, lane=1)
    assert sum(times.steps.buckets) == 0
    compute.finish(first)
    assert (times.steps.seconds, sum(times.steps.buckets)) == (0.5, 1)


def test_an_abandoned_step_is_never_noted_and_the_next_one_is() -> None:
    compute, times = timed(seconds=0.5)
    times.tick(0.0)
    lost = compute.begin(0, (), None, None)
    compute.drop_lane(0)
    compute.finish(lost)
    assert sum(times.steps.buckets) == 0
    times.tick(5.0)
    step(compute)
    assert sum(times.steps.buckets) == 1
