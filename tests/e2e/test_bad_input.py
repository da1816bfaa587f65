"""Every mistake is told with its value, its rule and its remedy, where its author looks."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import yaml

from demo.cluster import CommandError
from demo.deployed import Deployed
from demo.observe import read_deployment
from demo.waiting import Answer, diagnose, wait_for
from moe_api.conditions import Condition, find
from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
Change = Callable[[dict[str, Any]], None]
Apply = Callable[[Change], str]
NAME = "mistaken"


@pytest.fixture
def mistaken(small: Deployed) -> Iterator[Apply]:
    """Apply the small example under another name, with a mistake in its spec; gone again after the test."""

    def apply(change: Change, *options: str) -> str:
        manifest = yaml.safe_load((ROOT / "examples" / "small.yaml").read_text())
        manifest["metadata"]["name"] = NAME
        change(manifest["spec"])
        return small.cluster.kubectl("apply", *options, "-f", "-", stdin=json.dumps(manifest))

    yield apply
    small.cluster.kubectl("delete", "moed", NAME, "--ignore-not-found", "--wait=true", "--timeout=60s")


def condition_that(deployed: Deployed, kind: str, status: str, reason: str, word: str = "") -> str:
    """Wait until a condition of the mistaken deployment has this status, reason and word, and give its message."""
    seen: list[Condition] = []

    def look() -> Answer:
        found = read_deployment(deployed.cluster, NAME)
        one = find(found.status.conditions, kind) if found else None
        if one is None:
            return Answer(done=False, text="no condition yet")
        seen.append(one)
        done = (one.status, one.reason) == (status, reason) and word in one.message
        return Answer(done=done, text=f"{one.reason}: {one.message}")

    wait_for(
        f"{kind}={status} because of {reason}",
        look,
        timeout=90,
        show=lambda _: None,
        diagnose=lambda: diagnose(deployed.cluster, NAME),
    )
    return seen[-1].message


def test_a_checkpoint_that_is_not_there(small: Deployed, mistaken: Apply) -> None:
    mistaken(lambda spec: spec["model"]["source"].update(path="nowhere"))
    message = condition_that(small, "Degraded", "True", "WorkerError")
    assert "/models/nowhere" in message
    assert "spec.model.source" in message


def test_a_checkpoint_of_another_shape_than_declared(small: Deployed, mistaken: Apply) -> None:
    mistaken(lambda spec: spec["model"]["shape"].update(hiddenSize=128))
    message = condition_that(small, "Degraded", "True", "WorkerError")
    assert "spec.model.shape.hiddenSize is 128 and the checkpoint's is 64" in message


def test_a_plan_that_cannot_be(small: Deployed, mistaken: Apply) -> None:
    mistaken(lambda spec: spec["hardware"].update(gpuMemory="1Mi"))
    message = condition_that(small, "Planned", "False", "PlanRefused")
    assert "1 MiB" in message
    assert "gpuMemory" in message


def test_a_cluster_without_room(small: Deployed, mistaken: Apply) -> None:
    mistaken(lambda spec: None)
    message = condition_that(small, "Progressing", "True", "WaitingForPods", "Unschedulable")
    assert "Insufficient nvidia.com/gpu" in message


def test_the_api_server_names_field_value_and_rule(mistaken: Apply) -> None:
    with pytest.raises(CommandError, match=r"spec\.hardware\.gpusPerNode: Invalid value: 0") as refused:
        mistaken(lambda spec: spec["hardware"].update(gpusPerNode=0), "--dry-run=server")  # type: ignore[call-arg]
    assert "greater than or equal to 1" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "status", "code", "text"),
    [
        ({"model": "gpt-5"}, 404, "model_not_found", "gpt-5"),
        ({"prompt": "word " * 4000}, 400, "context_length_exceeded", "maximum"),
        ({"max_tokens": -1}, 400, None, "max_tokens"),
    ],
    ids=["unknown model", "prompt too long", "negative length"],
)
def test_http_errors_are_openai_s(
    small: Deployed, change: dict[str, object], status: int, code: str, text: str
) -> None:
    body = {"model": small.model, "prompt": "Hello", "max_tokens": 4} | change
    answer = httpx.post(f"{small.url()}/v1/completions", json=body, timeout=30, trust_env=False)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert text in error["message"]
    assert code is None or error["code"] == code
