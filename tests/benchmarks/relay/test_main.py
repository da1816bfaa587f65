from benchmarks.relay.__main__ import Row, report


def test_the_ratio_is_of_the_rounds_that_were_taken_together() -> None:
    text = report([Row(in_flight=16, engine=(10.0, 20.0, 40.0), relay=(30.0, 40.0, 60.0))], tokens=32)
    assert "| 16 | 20.0 (10.0 to 40.0) | 40.0 (30.0 to 60.0) | 2.00 (1.50 to 3.00) |" in text
    assert "32 tokens of each sequence" in text
