"""What `kubectl apply --dry-run=server` and `kubectl explain` say of our objects, by a real API server."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import Any

import pytest

from tests.local_cluster import LocalCluster
from tests.moe_api.objects import raw, stage

pytestmark = pytest.mark.cluster

KUBERNETES_SAYS = [
    ("hardware.nodes", 0, "spec.hardware.nodes: Invalid value: 0", "greater than or equal to 1"),
    ("hardware.gpuMemory", "64GB", "spec.hardware.gpuMemory: Invalid value", "64GB is no quantity of bytes; write"),
    ("model.shape.expertsPerToken", 17, "spec.model.shape.expertsPerToken", "17 experts per token cannot be chosen"),
    ("model.shape.keyValueHeads", 3, "spec.model.shape.keyValueHeads", "3 key and value heads do not divide 4"),
    ("model.source.path", "../x", "spec.model.source.path", "../x is no relative folder inside the volume; write"),
    ("model.dtype", "float8", "spec.model.dtype: Unsupported value", '"float32", "bfloat16", "float16"'),
    ("workload.maxSequenceLength", 4096, "spec.workload.maxSequenceLength", "4096 is more than spec.engine.maxSeq"),
    ("parallelism.data", 2, "spec.parallelism.data", "data parallelism 2 differs from spec.replicas = 1; use auto"),
    ("parallelism.pipeline", 3, "spec.parallelism.pipeline", "3 stages need a layer each, and the model has 2; use"),
    ("parallelism.expert", "lots", "spec.parallelism.expert", "lots is no degree of parallelism; use auto or"),
    ("parallelism", {"expert": 8, "pipeline": 2}, "spec.hardware.nodes", "2 nodes x 4 GPUs are fewer than expert 8"),
    ("engine.maxSequenceLength", 8000, "spec.engine.maxSequenceLength", "8000 tokens do not fit the KV cache"),
    (
        "hardware",
        {"nodes": 2, "gpusPerNode": 4},
        "spec.hardware.gpuMemory",
        "the GPUs memory is not known; write gpuMe",
    ),
    ("hardware.flops", "fast", "spec.hardware.flops: Invalid value", "fast is no rate; write units per second"),
    ("hardware.insideNode", {"bandwidth": "1G", "latency": "soon"}, "insideNode.latency", "soon is no duration; write"),
    ("model.shape.expertBits", 0, "spec.model.shape.expertBits: Invalid value: 0", "should be greater than 0"),
    ("experts.survive", "rack", "spec.experts.survive: Unsupported value", '"nothing", "gpu", "node"'),
    ("hardware.nodez", 1, "strict decoding error", 'unknown field "spec.hardware.nodez"'),
]


def apply(cluster: LocalCluster, values: dict[str, Any]) -> str:
    command = (
        cluster.binaries["kubectl"],
        f"--kubeconfig={cluster.kubeconfig}",
        "apply",
        "--dry-run=server",
        "-f",
        "-",
    )
    done = subprocess.run(command, input=json.dumps(values), text=True, capture_output=True, check=False)
    return done.stdout + done.stderr


def changed(path: str, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(raw())
    node = values["spec"]
    *parents, last = path.split(".")
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = value
    return values


@pytest.mark.parametrize("example", ["reference", "small"])
def test_the_examples_are_accepted(cluster: LocalCluster, example: str) -> None:
    assert f"moedeployment.moe-operator.dev/{example} created" in apply(cluster, raw(example))


def test_everything_that_a_plan_may_need_is_accepted(cluster: LocalCluster) -> None:
    link = {"bandwidth": "50G", "latency": "10us"}
    values = raw()
    spec = values["spec"]
    spec["hardware"] |= {
        "profile": "h100-sxm",
        "flops": "989T",
        "insideNode": link,
        "badGpus": [{"node": "a", "gpu": 1}],
    }
    spec["targets"] = {"timeToFirstToken": "10s", "memoryShare": 0.5, "decodeThroughputPerGpu": 10}
    spec["experts"] = {"copiesOf": [{"expert": 3, "copies": 2}], "spareCopies": 1, "survive": "gpu"}
    spec["workload"] |= {"requestsPerSecond": 0.5, "expertLoad": {"kind": "zipf"}}
    latent = {"keyValueRank": 8, "ropeSize": 4, "nopeSize": 4, "valueSize": 4}
    spec["model"]["shape"] |= {
        "family": "deepseek_v3",
        "denseLayers": [0],
        "latentAttention": latent,
        "expertBits": 4.25,
    }
    assert "created" in apply(cluster, values)


@pytest.mark.parametrize(("path", "value", "field", "words"), KUBERNETES_SAYS)
def test_a_wrong_object_is_refused_with_field_value_and_rule(
    cluster: LocalCluster, path: str, value: Any, field: str, words: str
) -> None:
    answer = apply(cluster, changed(path, value))
    assert field in answer
    assert words in answer


def test_a_volume_has_exactly_one_source(cluster: LocalCluster) -> None:
    assert "spec.model.source.volume" in apply(cluster, changed("model.source.volume", {}))
    two = {"hostPath": {"path": "/x"}, "emptyDir": {}}
    assert "must have at most 1 item" in apply(cluster, changed("model.source.volume", two))


def test_a_name_too_long_for_its_pods_is_refused(cluster: LocalCluster) -> None:
    values = raw()
    values["metadata"]["name"] = "n" * 41
    assert "metadata.name has 41 characters" in apply(cluster, values)


def test_defaults_are_filled_in_and_fields_explained(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(namespace, raw())
    stored = cluster.get(namespace, "moed", "small")
    assert stored["spec"]["engine"]["blocksPerLane"] == 256
    assert stored["spec"]["parallelism"]["tensor"] == "auto"
    explained = cluster.kubectl("explain", "moed.spec.model.source")
    assert "Any volume source of a pod" in explained


def test_a_stage_is_stored_and_shown_with_its_columns(cluster: LocalCluster, namespace: str) -> None:
    values: dict[str, Any] = {
        "apiVersion": "moe-operator.dev/v1alpha1",
        "kind": "MoEStage",
        "metadata": {"name": "small-r0-s00"},
        "spec": stage().dump(),
    }
    cluster.apply(namespace, values)
    header, row = cluster.kubectl("-n", namespace, "get", "moest").splitlines()
    assert header.split() == ["NAME", "EPOCH", "RANKS", "EXPERTS", "COVERAGE", "AVAILABLE", "REASON", "AGE"]
    assert row.split()[:2] == ["small-r0-s00", "1"]
    assert cluster.get(namespace, "moest", "small-r0-s00")["spec"]["experts"] == values["spec"]["experts"]
