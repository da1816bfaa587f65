"""What a rank tells of its speed: the least of a window, or what the probe says where there was nothing to do."""

from moe_worker.service_times import ServiceTimes


class Probe:
    seconds = 0.000_05

    def __call__(self) -> float:
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
    times.tick(10.0)
    assert times.figure_us == 2000
    probe.seconds /= 10
    times.tick(15.0)
    assert times.figure_us == 200


def test_passes_are_counted_by_powers_of_two_of_a_microsecond() -> None:
    times = ServiceTimes(Probe())
    noted(times, (1, 0.0000005), (1, 0.000001), (99, 0.000003), (1, 60.0))
    assert (times.buckets[:3], times.buckets[-1]) == ([1, 1, 1], 1)
    assert times.seconds == 60.0000045
