"""What is read of nodes and pods that others than workers write."""

from __future__ import annotations

from moe_api import names
from moe_api.report import Report
from moe_operator.reading import read_node, read_other_pods
from moe_operator.snapshot import Node
from tests.moe_operator.evidence import stage_of

Json = dict[str, object]


def test_a_node_is_read_with_what_is_true_of_it_and_its_taints() -> None:
    raw = {
        "metadata": {"name": "node-0"},
        "spec": {"taints": [{"key": "nvidia.com/gpu-unhealthy", "value": "3"}, {"key": "plain"}]},
        "status": {
            "capacity": {"nvidia.com/gpu": "8"},
            "allocatable": {"nvidia.com/gpu": "7"},
            "conditions": [
                {"type": "GpuXidError", "status": "True", "message": "gpu:3"},
                {"type": "GpuMemWatch", "status": "False", "message": "No Health Failures"},
            ],
        },
    }

    assert read_node(raw) == Node(
        name="node-0",
        is_ready=False,
        conditions={"GpuXidError": "gpu:3"},
        taints={"nvidia.com/gpu-unhealthy": "3", "plain": ""},
        capacity={"nvidia.com/gpu": "8"},
        allocatable={"nvidia.com/gpu": "7"},
    )


def test_a_node_that_a_person_declared_out_of_service_is() -> None:
    taints = [{"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown"}]

    assert read_node({"metadata": {"name": "node-0"}, "spec": {"taints": taints}}).is_out_of_service


def raw_pod(
    name: str, stage: int, *, replica: int = 0, space: str = "default", phase: str = "Running", deleted: bool = False
) -> dict[str, Json]:
    resources = [{"resourceID": "GPU-a", "health": "Healthy"}, {"resourceID": "GPU-b", "health": "Unhealthy"}]
    status = {"name": "nvidia.com/gpu", "resources": resources}
    labels = names.pod_labels("small", replica, stage, 0)
    metadata: Json = {"name": name, "namespace": space, "uid": name, "labels": labels}
    metadata["annotations"] = {"moe-operator.dev/report": Report(epoch=3).to_json()}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    containers = [{"allocatedResourcesStatus": [status]}]
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, "containerStatuses": containers}}


def test_the_replicas_other_pods_are_those_that_run_in_other_stages() -> None:
    raw = [
        raw_pod("small-r0-s00-p0-a0", 0),
        raw_pod("small-r0-s01-p1-a0", 1),
        raw_pod("small-r0-s01-p0-a0", 1),
        raw_pod("small-r0-s01-p2-a0", 1, deleted=True),
        raw_pod("small-r0-s01-p3-a0", 1, phase="Pending"),
        raw_pod("small-r1-s01-p0-a0", 1, replica=1),
        raw_pod("small-r0-s01-p4-a0", 1, space="another"),
    ]

    others = read_other_pods(raw, stage_of(1, 2))

    assert [pod.name for pod in others] == ["small-r0-s01-p0-a0", "small-r0-s01-p1-a0"]
    assert [pod.unhealthy_devices for pod in others] == [("GPU-b",), ("GPU-b",)]
    assert [pod.report for pod in others] == [Report(epoch=3), Report(epoch=3)]
