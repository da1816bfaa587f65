from __future__ import annotations

import pytest

from moe_local.nodes.backoff import Backoff, restarts


def test_the_wait_doubles_to_its_limit_and_a_long_run_is_forgiven() -> None:
    backoff = Backoff(first=0.5, limit=3.0, reset=600.0)
    assert [backoff.after(1.0) for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.after(600.0) == 0.5
    assert backoff.after(1.0) == 1.0


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 137, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_the_policy_decides_on_restarts(policy: str, code: int, again: bool) -> None:
    assert restarts(policy, code) is again
