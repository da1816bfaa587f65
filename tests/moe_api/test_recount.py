from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from moe_api.recount import recount
from moe_api.recount_lines import compare
from moe_planner.result import Plan
from tests.moe_api.objects import deployment
from tests.moe_operator.manifests import manifests_of

Objects = list[dict[str, Any]]


def deployed(name: str, **spec: Any) -> tuple[Plan, Objects]:
    """The plan of an example, and the YAML of every MoEStage and pod that the operator makes of it."""
    planned, objects = manifests_of(deployment(name, **spec))
    return planned, list(yaml.safe_load_all(yaml.safe_dump_all(objects)))


def differing(objects: Objects, planned: Plan) -> dict[str, str]:
    return {line.name: line.note for line in compare(recount(objects), planned) if not line.agrees}


def of_kind(objects: Objects, kind: str, number: int = 0) -> Any:
    return [body for body in objects if body["kind"] == kind][number]


def test_what_the_operator_makes_of_the_reference_is_what_was_planned() -> None:
    planned, objects = deployed("reference")
    counted = recount(objects)
    assert (len(counted.gpus), counted.pod_gpus, counted.pods, counted.nodes, counted.stages) == (256, 256, 32, 32, 16)
    assert (counted.experts, counted.coverage, counted.faults) == (256, 1, ())
    assert counted.remote_share == 15 / 16
    assert counted.dispatch_bytes_per_token == 2 * 64 * 4
    assert [line.name for line in compare(counted, planned) if not line.agrees] == []
    assert {gpu.experts for gpu in counted.gpus} == {(expert,) for expert in range(256)}


def test_bytes_of_a_gpu_are_counted_by_hand() -> None:
    _, objects = deployed("small")
    first, last = recount(objects).gpus[0], recount(objects).gpus[-1]
    # float32: q and o 64 x 64, k and v 64 x 32, norms 2 x 64 and 2 x 16, router 64 x 4; an expert 3 x 64 x 32.
    attention = (2 * 64 * 64 + 2 * 64 * 32 + 128 + 32 + 256) * 4
    assert first.weight_bytes == last.weight_bytes == attention + 3 * 64 * 32 * 4 + 512 * 64 * 4
    assert first.kv_bytes == 3 * 256 * 16 * (2 * 2 * 16 * 4)


@pytest.mark.parametrize(
    "spec",
    [
        {"experts": {"copies": 2}},
        {"replicas": 2, "hardware": {"nodes": 4, "gpusPerNode": 4, "gpuMemory": "64Gi"}},
        {"hardware": {"nodes": 1, "gpusPerNode": 2, "gpuMemory": "64Gi"}},
    ],
)
def test_copies_replicas_and_crowded_gpus_agree_too(spec: dict[str, Any]) -> None:
    planned, objects = deployed("small", **spec)
    assert differing(objects, planned) == {}


def test_a_list_of_objects_is_opened_and_other_kinds_are_passed_over() -> None:
    planned, objects = deployed("small")
    listed: Objects = [{"kind": "List", "items": [*objects, {"kind": "Service", "metadata": {}}]}]
    assert differing(listed, planned) == {}


def test_stages_alone_are_compared_without_pods() -> None:
    planned, objects = deployed("small")
    assert differing([body for body in objects if body["kind"] == "MoEStage"], planned) == {}


def moved_expert(objects: Objects) -> None:
    of_kind(objects, "MoEStage")["spec"]["experts"][1]["ranks"] = [0]


def lost_expert(objects: Objects) -> None:
    of_kind(objects, "MoEStage")["spec"]["experts"][1]["ranks"] = []


def dropped_expert(objects: Objects) -> None:
    del of_kind(objects, "MoEStage")["spec"]["experts"][1]


def moved_lane(objects: Objects) -> None:
    of_kind(objects, "MoEStage")["spec"]["lanes"][2]["rank"] = 0


def fewer_gpus(objects: Objects) -> None:
    of_kind(objects, "Pod")["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = "3"


def missing_pod(objects: Objects) -> None:
    objects.remove(of_kind(objects, "Pod", 1))


def other_ranks(objects: Objects) -> None:
    env = of_kind(objects, "Pod")["spec"]["containers"][0]["env"]
    next(one for one in env if one["name"] == "RANKS")["value"] = "0-2,7"


def more_cache(objects: Objects) -> None:
    of_kind(objects, "MoEStage")["spec"]["engine"]["blocksPerLane"] *= 2


def fewer_stages(objects: Objects) -> None:
    objects.remove(of_kind(objects, "MoEStage", 1))


@pytest.mark.parametrize(
    ("tamper", "lines"),
    [
        (moved_expert, {"Hosts of experts", "Memory per GPU"}),
        (lost_expert, {"Hosts of experts", "Coverage", "Rows that leave their GPU", "Contradictions"}),
        (dropped_expert, {"Hosts of experts", "Contradictions"}),
        (moved_lane, {"Seats of lanes"}),
        (fewer_gpus, {"GPUs that pods ask for", "Contradictions"}),
        (missing_pod, {"GPUs that pods ask for", "Pods", "Contradictions"}),
        (other_ranks, {"Contradictions"}),
        (more_cache, {"Memory per GPU"}),
        (fewer_stages, {"GPU count", "Nodes", "Stages", "Hosts of experts", "Seats of lanes"}),
    ],
)
def test_a_tampered_manifest_is_caught(tamper: Any, lines: set[str]) -> None:
    planned, objects = deployed("small")
    changed = copy.deepcopy(objects)
    tamper(changed)
    assert set(differing(changed, planned)) == lines


def test_a_difference_is_named() -> None:
    planned, objects = deployed("small")
    dropped_expert(objects)
    notes = differing(objects, planned)
    assert notes["Hosts of experts"] == "expert 1 is missing on rank 1"
    assert notes["Contradictions"] == (
        "small-r0-s00: expert 1 has no host; "
        "small-r0-s00-p0-a0: its EXPERTS are not those that the stage gives its ranks"
    )


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([], "there is no MoEStage among the objects"),
        (["words", 7], "there is no MoEStage among the objects"),
        ([{"kind": "MoEStage", "metadata": {"name": "a"}, "spec": {}}], "MoEStage a: spec.deployment: is missing"),
    ],
)
def test_what_cannot_be_counted_is_refused(objects: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recount(objects)
