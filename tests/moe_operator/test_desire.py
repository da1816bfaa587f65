"""Golden YAML: the objects of examples/small.yaml, as the API server gets them. `UPDATE_GOLDEN=1` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from moe_api.deployment import MoEDeployment
from moe_api.notes import accepted_spec, home_layout
from moe_api.planning import plan_deployment
from moe_api.stage import MoEStage
from moe_operator.api import Json
from moe_operator.desire.access import access_objects, secret
from moe_operator.desire.disruption import disruption_budget
from moe_operator.desire.gateway import gateway_objects
from moe_operator.desire.pods import pod
from moe_operator.desire.stages import new_stage
from tests.moe_operator.world import EXAMPLES, IMAGES

GOLDEN = Path(__file__).parent / "golden"


def example(name: str) -> MoEDeployment:
    body = yaml.safe_load((EXAMPLES / name).read_text())
    body["metadata"] |= {"namespace": "default", "uid": "the-uid"}
    return MoEDeployment.load(body)


def stage_of(deployment: MoEDeployment, number: int) -> Json:
    body = new_stage(deployment, plan_deployment(deployment), replica=0, stage=number)
    body["metadata"]["uid"] = "the-stage-uid"
    return body


def pod_of(deployment: MoEDeployment, number: int, node_rank: int, **how: Any) -> Json:
    stage = MoEStage.load(stage_of(deployment, number))
    return pod(stage, accepted_spec(stage), IMAGES, node_rank=node_rank, **how)


def objects(name: str) -> list[Json]:
    small = example("small.yaml")
    built = {
        "small-stage": [stage_of(small, 1)],
        "small-pod": [pod_of(small, 1, 0, attempt=0)],
        "small-access": [secret(small, bytes(32)), *access_objects(small)],
        "small-gateway": gateway_objects(small, IMAGES),
        "small-budget": [disruption_budget(MoEStage.load(stage_of(small, 1)))],
        "reference-replacement-pod": [
            pod_of(example("reference.yaml"), 3, 1, attempt=2, avoid=("node-7", "node-2")),
        ],
    }
    return built[name]


@pytest.mark.parametrize(
    "name", ["small-stage", "small-pod", "small-access", "small-gateway", "small-budget", "reference-replacement-pod"]
)
def test_objects_are_as_agreed(name: str) -> None:
    built, golden = objects(name), GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(yaml.safe_dump_all(built, sort_keys=False, width=120))

    assert built == list(yaml.safe_load_all(golden.read_text()))


def test_a_stage_remembers_what_it_was_made_for_and_where_home_is() -> None:
    reference = example("reference.yaml")

    stage = MoEStage.load(stage_of(reference, 3))

    assert accepted_spec(stage) == reference.spec
    assert [home_layout(stage).hosts(expert) for expert in range(48, 64)] == [(rank,) for rank in range(48, 64)]


def test_a_pod_of_the_reference_tells_its_ranks_in_the_environment() -> None:
    built = pod_of(example("reference.yaml"), 3, 0, attempt=0)

    env = {one["name"]: one.get("value") for one in built["spec"]["containers"][0]["env"]}
    assert (env["STAGE"], env["NODE_RANK"], env["RANKS"], env["EXPERTS"], env["LAYERS"]) == (
        "3",
        "0",
        "48-55",
        "48-55",
        "3",
    )
    assert (env["WORLD_SIZE"], env["LOCAL_WORLD_SIZE"]) == ("256", "8")


def test_a_gateway_with_keys_waits_for_their_secret_and_drains_as_long_as_it_may() -> None:
    body = yaml.safe_load((EXAMPLES / "small.yaml").read_text())
    body["metadata"] |= {"namespace": "default", "uid": "the-uid"}
    body["spec"]["gateway"] = {"apiKeysSecret": "team-keys", "drainSeconds": 90}
    pod_spec = gateway_objects(MoEDeployment.load(body), IMAGES)[0]["spec"]["template"]["spec"]
    [container] = pod_spec["containers"]
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert pod_spec["volumes"][-1] == {"name": "api-keys", "secret": {"secretName": "team-keys"}}
    assert container["volumeMounts"][-1] == {"name": "api-keys", "mountPath": env["MOE_API_KEYS"], "readOnly": True}
    assert (env["MOE_DRAIN_SECONDS"], pod_spec["terminationGracePeriodSeconds"]) == ("90", 95)
