from __future__ import annotations

import json

import pytest

from tests.local_cluster import LocalCluster
from tests.moe_kubectl.command import run
from tests.moe_kubectl.stages import small_with_a_masked_gpu

pytestmark = pytest.mark.cluster


def test_map_and_status_read_what_the_operator_wrote(cluster: LocalCluster, namespace: str) -> None:
    deployment, stages = small_with_a_masked_gpu()
    labels = {"moe-operator.dev/deployment": "small"}
    for values in (deployment.dump(), *(stage.dump() for stage in stages)):
        notes = values["metadata"].get("annotations", {})
        metadata = {"name": values["metadata"]["name"], "labels": labels, "annotations": notes}
        cluster.apply(namespace, {**{k: values[k] for k in ("apiVersion", "kind", "spec")}, "metadata": metadata})
    access = ("--kubeconfig", str(cluster.kubeconfig), "-n", namespace)
    shown = run("map", "small", *access)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "4,6*" in shown.stdout
    values = json.loads(run("map", *access, "-o", "json").stdout)
    assert [stage["name"] for stage in values[0]["stages"]] == ["small-r0-s00", "small-r0-s01"]
    assert f"{namespace}/small" in run("status", *access).stdout
    assert "\x1b[" not in run("status", *access, NO_COLOR="1").stdout


def test_an_unknown_name_is_answered_with_the_known_ones(cluster: LocalCluster, namespace: str) -> None:
    done = run("status", "nobody", "--kubeconfig", str(cluster.kubeconfig), "-n", namespace)
    assert done.returncode == 2
    assert f"namespace {namespace} has no MoEDeployment nobody (there are: none)" in done.stderr
