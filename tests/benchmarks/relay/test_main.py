from benchmarks.relay.__main__ import Row, Sample, dealings, report


def samples(*rates: float) -> tuple[Sample, ...]:
    return tuple(Sample(rate=rate, cpu_ms=100 / rate) for rate in rates)


def test_the_ratios_are_of_the_rounds_that_were_taken_together() -> None:
    text = report([Row(in_flight=16, per_lane=4, engine=samples(10, 20, 40), relay=samples(30, 40, 60))], tokens=32)
    assert "| 16 | 4 | 20.00 (10.00 to 40.00) | 40.00 (30.00 to 60.00) | 2.00 (1.50 to 3.00) |" in text
    assert "| 5.00 (2.50 to 10.00) | 2.50 (1.67 to 3.33) | 2.00 (1.50 to 3.00) |" in text
    assert "32 tokens of each sequence" in text


def test_what_fills_the_lanes_alike_is_measured_once() -> None:
    assert dealings([1, 16, 256], [1, 4], lanes=16) == [(1, 1), (16, 1), (16, 4), (256, 1)]
