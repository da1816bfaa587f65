from moe_worker.histogram import NUM_BUCKETS, Histogram, bound


def test_everything_is_counted_once_below_the_bound_of_its_bucket() -> None:
    histogram = Histogram()
    for seconds in (0.0000005, 0.000001, 0.000003, 60.0):
        histogram.note(seconds)
    assert histogram.figures() == {"buckets": [1, 1, 1, *[0] * (NUM_BUCKETS - 4), 1], "seconds": 60.0000045}
    assert [bound(bucket) for bucket in (0, 1, 10, NUM_BUCKETS - 1)] == [0.000001, 0.000002, 0.001024, float("inf")]
