"""A declared drill, from the spec to the verdict: real gateway, real supervisors, nothing done by hand."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import httpx
import pytest

from demo.deployed import Deployed
from demo.waiting import Answer, wait_for
from moe_api.conditions import rfc3339
from moe_api.deployment import DrillStatus, MoEDeployment
from moe_local.nodes.addresses import loopback

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
Tell = Callable[[str], None]
METRICS_PORT = 8082
FINAL = ("passed", "failed", "refused")


@pytest.fixture(scope="module")
def drilled(small: Deployed) -> Iterator[Deployed]:
    """The small deployment, left without a drill."""
    yield small
    _declare(small, None)
    small.wait_until_available(timeout=90, show=lambda _: None)


@pytest.mark.parametrize("failure", ["exit", "hang", "device"])
def test_a_declared_failure_is_rehearsed_and_judged(drilled: Deployed, tell: Tell, failure: str) -> None:
    at = rfc3339(datetime.now(UTC))
    # How long a token waits says more about the machine than about the promise; what must hold anywhere is the rest.
    _declare(drilled, {"failure": failure, "at": at, "streams": 4, "stallBelow": "60s"})

    def look() -> Answer:
        drill = _drill(drilled, at)
        return Answer(done=drill is not None and drill.verdict in FINAL, text=drill.message if drill else "not begun")

    wait_for(f"the drill {failure}", look, timeout=120, show=lambda _: None)
    drill = _drill(drilled, at)
    assert drill is not None
    tell(f"{failure}: {drill.verdict}, {drill.message}")
    assert (drill.verdict, drill.failed_requests, drill.wrong_answers) == ("passed", 0, 0)
    assert drill.stall_ms is not None
    drilled.wait_until_available(timeout=60, show=lambda _: None)


def test_the_operators_metrics_tell_of_it(drilled: Deployed) -> None:
    where = ("-n", "moe-system", "get", "pods", "-o", "jsonpath={.items[*].status.podIP}")
    (address,) = drilled.cluster.kubectl(*where).split()
    text = httpx.get(f"http://{loopback(address)}:{METRICS_PORT}/metrics", trust_env=False).raise_for_status().text
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    assert figures['moe_operator_drills_total{verdict="passed"}'] == "3.0"
    assert float(figures['moe_operator_resume_seconds_count{cause="GPUFailed"}']) >= 1
    assert float(figures['moe_operator_reconcile_seconds_count{kind="MoEStage"}']) > 0


def _declare(deployed: Deployed, drill: dict[str, object] | None) -> None:
    deployed.cluster.patch("moedeployments", deployed.name, {"spec": {"failover": {"drill": drill}}})


def _drill(deployed: Deployed, name: str) -> DrillStatus | None:
    raw = deployed.cluster.get("moedeployments", deployed.name)
    assert raw is not None
    return next((one for one in MoEDeployment.load(raw).status.drills if one.name == name), None)
