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


def condition_that(deployed: Deployed, kind: str, reason: str) -> Condition:
    """Wait until the mistaken deployment's condition is False for `reason`."""

    def look() -> Answer:
        found = read_deployment(deployed.cluster, NAME)
        one = find(found.status.conditions, kind) if found else None
        if one is None:
            return Answer(done=False, text="no condition yet")
        return Answer(done=one.status == "False" and one.reason == reason, text=f"{one.reason}: {one.message}")

    wait_for(
        f"{kind}=False because of {reason}",
        look,
        timeout=60,
        show=lambda _: None,
        diagnose=lambda: diagnose(deployed.cluster, NAME),
    )
    found = read_deployment(deployed.cluster, NAME)
    one = find(found.status.conditions, kind) if found else None
    assert one is not None
    return one


def test_a_checkpoint_that_is_not_there(small: Deployed, mistaken: Apply) -> None:
    mistaken(lambda spec: spec["model"]["source"].update(path="nowhere"))
    message = condition_that(small, "Available", "CheckpointMissing").message
    assert "nowhere" in message
    assert "path" in message


def test_a_checkpoint_of_another_shape_than_declared(small: Deployed, mistaken: Apply) -> None:
    mistaken(lambda spec: spec["model"]["shape"].update(hiddenSize=128))
    message = condition_that(small, "Available", "CheckpointMismatch").message
    assert "128" in message
    assert "64" in message


def test_a_plan_that_cannot_be(small: Deployed, mistaken: Apply) -> None:
    mistaken(lambda spec: spec.update(parallelism={"pipeline": 3}))
    assert "3" in condition_that(small, "Planned", "PlanRefused").message


def test_a_cluster_without_room(small: Deployed, mistaken: Apply) -> None:
    mistaken(lambda spec: None)
    assert "pod" in condition_that(small, "Available", "ExpertsStarting").message


def test_the_api_server_names_field_value_and_rule(mistaken: Apply) -> None:
    with pytest.raises(CommandError, match=r"spec\.hardware\.gpusPerNode.*0") as refused:
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
