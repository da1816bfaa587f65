"""A deployment that serves and to which nothing happens is left in peace: nobody writes."""

import time

import pytest

from demo.deployed import Deployed
from demo.metrics import count_writes
from demo.streams import Prompt, differing

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.slow]
OURS = frozenset({"moedeployments", "moestages", "pods", "deployments", "services", "secrets", "serviceaccounts"})
SECONDS_TO_SETTLE = 10.0
SECONDS_WATCHED = 60.0


def test_nothing_is_written_over_a_minute_of_idling_and_serving(small: Deployed) -> None:
    url, prompts = small.url(), [Prompt(text="Once upon a time", max_tokens=32)]
    calm = small.stream(url, prompts, show=lambda _: None)
    time.sleep(SECONDS_TO_SETTLE)  # events and statuses of the start are written late
    before, versions = count_writes(small.cluster, OURS), _versions(small)
    deadline = time.monotonic() + SECONDS_WATCHED
    while time.monotonic() < deadline:
        assert differing(small.stream(url, prompts, show=lambda _: None), [calm[0].tokens]) == []
        time.sleep(5.0)
    assert count_writes(small.cluster, OURS) - before == {}
    assert _versions(small) == versions


def test_the_count_sees_a_write(small: Deployed) -> None:
    before = count_writes(small.cluster, OURS)
    pod = min(small.snapshot().pods)
    small.cluster.kubectl("annotate", "pod", pod, "example.com/seen=yes", "--overwrite")
    assert count_writes(small.cluster, OURS) - before == {"PATCH pods": 1}


def _versions(deployed: Deployed) -> dict[str, str]:
    return {
        one["metadata"]["uid"]: one["metadata"]["resourceVersion"]
        for kind in ("moedeployments", "moestages", "pods")
        for one in deployed.cluster.list(kind)
    }
