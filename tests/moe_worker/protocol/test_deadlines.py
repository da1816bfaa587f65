from moe_worker.protocol.deadlines import sooner


def test_never_is_later_than_any_time() -> None:
    assert sooner(None, None) is None
    assert sooner(None, 2.0) == sooner(2.0, None) == 2.0
    assert sooner(1.0, 2.0) == sooner(2.0, 1.0) == 1.0
