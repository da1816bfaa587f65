"""The operator on a real control plane, under its own service account. No worker runs: reports are written by hand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from moe_api import names
from moe_api.report import GpuHealth, Report, SeatReport
from moe_api.stage import MoEStage
from tests.local_cluster import LocalCluster

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent
HANDS = "moe-test/by-hand"
EVICTION = "moe-test/eviction"


@pytest.fixture(scope="module")
def installed(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """The manifests without the operator's pod; the operator runs beside, as that pod would, until the tests end."""
    for manifest in sorted((ROOT / "manifests").glob("*.yaml")):
        if manifest.name != "40-operator.yaml":
            cluster.kubectl("apply", "-f", str(manifest))
    for number in range(3):
        add_node(cluster, f"hand-{number}")
    kubeconfig = tmp_path_factory.mktemp("operator") / "kubeconfig"
    kubeconfig.write_text(config_of(cluster, token(cluster, "moe-system", "moe-operator")))
    environ = os.environ | {"KUBECONFIG": str(kubeconfig), "MOE_WORKER_IMAGE": "worker", "MOE_GATEWAY_IMAGE": "gateway"}
    environ |= {"MOE_TICK_SECONDS": "1"}
    log = kubeconfig.with_name("log")
    with log.open("w") as output:
        command = [sys.executable, "-m", "moe_operator.main"]
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield cluster
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()
            process.wait(timeout=20)
    assert not re.findall(r"Denied: .* cannot .*", log.read_text()), "its service account may do all that it does"


def add_node(cluster: LocalCluster, name: str, label: str = HANDS) -> None:
    """A node that nobody runs: its pods are bound to it and stay as they are."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {label: "yes"}}}
    cluster.kubectl("apply", "--server-side", "-f", "-", text=yaml.safe_dump(node))
    room = {"nvidia.com/gpu": "4", "pods": "110", "cpu": "64", "memory": "64Gi"}
    ready = {"type": "Ready", "status": "True", "reason": "ByHand", "message": "by hand"}
    status = yaml.safe_dump({"status": {"capacity": room, "allocatable": room, "conditions": [ready]}})
    cluster.kubectl("patch", "node", name, "--subresource=status", "--patch", status)
    cluster.kubectl("taint", "node", name, "node.kubernetes.io/not-ready-", check=False)


@contextmanager
def living_nodes(cluster: LocalCluster, label: str, number: int) -> Iterator[None]:
    """Nodes of a label of their own that give signs of life, so that their pods stay ready, and go in the end."""
    named = [f"{label.rpartition('/')[2]}-{index}" for index in range(number)]
    for name in named:
        add_node(cluster, name, label)
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(5):
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now}
            for name in named:
                words = yaml.safe_dump({"status": {"conditions": [ready]}})
                cluster.kubectl("patch", "node", name, "--subresource=status", "--patch", words)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        cluster.kubectl("delete", "node", *named)


def token(cluster: LocalCluster, namespace: str, account: str, pod: Json | None = None) -> str:
    bound = []
    if pod is not None:
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        bound = ["--bound-object-kind=Pod", f"--bound-object-name={name}", f"--bound-object-uid={uid}"]
    return cluster.kubectl("-n", namespace, "create", "token", account, *bound).strip()


def config_of(cluster: LocalCluster, bearer: str) -> str:
    """The admin's kubeconfig with another identity."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": bearer}
    return yaml.safe_dump(config)


def small(namespace: str) -> Json:
    body: Json = yaml.safe_load((ROOT / "examples" / "small.yaml").read_text())
    body["metadata"]["namespace"] = namespace
    body["spec"]["hardware"]["nodeSelector"] = {HANDS: "yes"}
    body["spec"]["model"]["source"]["volume"] = {"hostPath": {"path": "/nowhere"}}
    body["spec"]["gateway"] = {"replicas": 0}
    return body


class Hands:
    """Plays the supervisors of one namespace's pods."""

    def __init__(self, cluster: LocalCluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def pods(self) -> list[Json]:
        return self.cluster.list(self.namespace, "pods", f"{names.LABEL_APP_COMPONENT}={names.COMPONENT_WORKER}")

    def stage(self, name: str) -> MoEStage:
        return MoEStage.load(self.cluster.get(self.namespace, "moestage", name))

    def report(self, bad_ranks: tuple[int, ...] = ()) -> None:
        """Every pod reports that it holds what its stage's spec says, but for the bad ranks."""
        for pod in self.pods():
            stage = self.stage(pod["metadata"]["ownerReferences"][0]["name"])
            mine = [seat for seat in stage.spec.ranks if seat.pod_uid == pod["metadata"]["uid"]]
            seats = [seat_report(stage, seat.rank, seat.gpu, seat.rank in bad_ranks) for seat in mine]
            text = Report(epoch=stage.metadata.generation, seats=seats).to_json()
            name = pod["metadata"]["name"]
            note = f"{names.ANNOTATION_REPORT}={text}"
            self.cluster.kubectl("-n", self.namespace, "annotate", "pod", name, "--overwrite", note)

    def condition(self, type_: str) -> str:
        status = self.cluster.get(self.namespace, "moed", "small").get("status", {})
        found = {c["type"]: f"{c['status']} {c['reason']}" for c in status.get("conditions", [])}
        return found.get(type_, "")

    def reasons(self) -> set[str]:
        """Of the deployment's events so far; they come a second after what they tell of."""
        events = self.cluster.list(self.namespace, "events")
        return {event["reason"] for event in events if event["involvedObject"]["kind"] == names.DEPLOYMENT_KIND}

    def until(self, type_: str, value: str) -> None:
        self.cluster.until(lambda: self.condition(type_) == value, f"{type_} is {value}", seconds=60)


def seat_report(stage: MoEStage, rank: int, gpu: int, is_bad: bool) -> SeatReport:
    if is_bad:
        return SeatReport(rank=rank, state="failed", gpu=GpuHealth(index=gpu, healthy=False, reason="XID 79"))
    held = [e.expert for e in stage.spec.experts if rank in (*e.ranks, *e.loading)]
    return SeatReport(rank=rank, address=f"127.0.0.1:{4000 + rank}", state="serving", experts=held)


def test_a_deployment_comes_up_loses_a_gpu_and_gets_it_back(installed: LocalCluster, namespace: str) -> None:
    hands = Hands(installed, namespace)
    installed.apply(namespace, small(namespace))
    installed.until(lambda: _are_committed(hands), "both pods are in their stages' specs")

    hands.report()
    hands.until("Available", "True AllExpertsReady")
    assert installed.get(namespace, "moed", "small")["status"]["experts"] == "8/8"
    owned = [("secret", "small-data-path"), ("serviceaccount", "small-moe-worker"), ("service", "small-gateway")]
    assert all(installed.get(namespace, kind, name) for kind, name in owned)

    hands.report(bad_ranks=(2,))
    hands.until("Degraded", "True RankMasked")
    stage = hands.stage("small-r0-s00")
    assert [expert.ranks for expert in stage.spec.experts] == [[0], [1], [0], [3]]
    hands.report(bad_ranks=(2,))
    hands.until("Available", "True AllExpertsReady")

    hands.report()
    installed.until(lambda: 2 in hands.stage("small-r0-s00").spec.experts[2].loading, "expert 2 loads at home")
    hands.report()
    hands.until("Degraded", "False Healthy")
    told = {"LayoutPlanned", "GPUFailed", "ExpertRehosted", "LaneMoved", "ExpertReturned"}
    installed.until(lambda: told <= hands.reasons(), "events tell what was planned, moved and given back")

    # The last events and statuses of a change are written a little after it; the operator ticks every second.
    installed.until(lambda: _is_left_in_peace(installed, namespace, 4), "nobody writes any more", seconds=60)


def test_a_pod_is_evicted_once_it_is_empty_and_no_sooner(installed: LocalCluster, namespace: str) -> None:
    hands = Hands(installed, namespace)
    body = small(namespace)
    body["spec"]["model"]["shape"] |= {"layers": 1, "experts": 8}
    body["spec"]["hardware"]["nodeSelector"] = {EVICTION: "yes"}
    body["spec"]["failover"] = {"drainSeconds": 0}
    with living_nodes(installed, EVICTION, 2):
        installed.apply(namespace, body)
        installed.until(lambda: _are_committed(hands), "both pods are in the stage's spec")
        installed.until(lambda: all("nodeName" in pod["spec"] for pod in hands.pods()), "both pods have a node")
        hands.report()
        hands.until("Available", "True AllExpertsReady")
        leaving = next(pod for pod in hands.pods() if pod["metadata"]["name"].endswith("-p1-a0"))
        _is_ready(installed, namespace, leaving)
        installed.until(lambda: "disruption budget" in _evict(installed, namespace, leaving), "nobody may evict it")
        installed.kubectl("cordon", leaving["spec"]["nodeName"])
        installed.until(lambda: _is_emptied(hands), "all that it held is elsewhere", seconds=60)
        hands.report()
        installed.until(lambda: _evict(installed, namespace, leaving) == "", "it may be evicted", seconds=60)


def _is_ready(cluster: LocalCluster, namespace: str, pod: Json) -> None:
    """As its kubelet would say: a pod that is not ready may be evicted whatever it holds."""
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    name = pod["metadata"]["name"]
    words = yaml.safe_dump({"status": status})
    cluster.kubectl("-n", namespace, "patch", "pod", name, "--subresource=status", "--patch", words)


def _evict(cluster: LocalCluster, namespace: str, pod: Json) -> str:
    """Why the pod may not be evicted; "" when it is."""
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    command = [cluster.binaries["kubectl"], f"--kubeconfig={cluster.kubeconfig}", "create", "--raw", path, "-f", "-"]
    return subprocess.run(
        [str(word) for word in command], input=json.dumps(eviction), capture_output=True, text=True
    ).stderr


def _is_emptied(hands: Hands) -> bool:
    hands.report()
    stage = hands.stage("small-r0-s00")
    hosts = {rank for expert in stage.spec.experts for rank in (*expert.ranks, *expert.loading)}
    return not {4, 5, 6, 7} & (hosts | {lane.rank for lane in stage.spec.lanes})


def test_a_worker_may_change_its_own_pods_report_and_nothing_else(
    installed: LocalCluster, namespace: str, tmp_path: Path
) -> None:
    hands = Hands(installed, namespace)
    installed.apply(namespace, small(namespace))
    installed.until(lambda: len(hands.pods()) == 2, "both pods exist")
    mine, other = hands.pods()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(config_of(installed, token(installed, namespace, "small-moe-worker", mine)))

    def refusal(*arguments: str) -> str:
        command = [installed.binaries["kubectl"], f"--kubeconfig={kubeconfig}", "-n", namespace, *arguments]
        return subprocess.run([str(word) for word in command], capture_output=True, text=True).stderr

    own, another = mine["metadata"]["name"], other["metadata"]["name"]
    report = f"{names.ANNOTATION_REPORT}={{}}"
    assert refusal("annotate", "pod", own, "--overwrite", report) == ""
    assert "own pod only" in refusal("annotate", "pod", another, "--overwrite", report)
    assert "gateway may change moe-operator.dev/report only" in refusal("annotate", "pod", own, "more=1")
    assert "labels" in refusal("label", "pod", own, "more=1")
    image = '[{"op":"replace","path":"/spec/containers/0/image","value":"evil"}]'
    assert "spec" in refusal("patch", "pod", own, "--type=json", "-p", image)
    assert "forbidden" in refusal("delete", "pod", own)
    assert "forbidden" in refusal("get", "secrets")
    stage = mine["metadata"]["ownerReferences"][0]["name"]
    assert "forbidden" in refusal("annotate", "moestage", stage, "more=1")
    assert refusal("get", "moestages") == ""


def test_a_gateway_may_report_on_its_own_pod_and_nothing_else(
    installed: LocalCluster, namespace: str, tmp_path: Path
) -> None:
    body = small(namespace)
    body["spec"]["gateway"] = {"replicas": 1}
    installed.apply(namespace, body)
    ours = f"{names.LABEL_APP_COMPONENT}={names.COMPONENT_GATEWAY}"
    installed.until(lambda: len(installed.list(namespace, "pods", ours)) == 1, "the gateway's pod exists")
    installed.until(lambda: len(Hands(installed, namespace).pods()) == 2, "the workers' pods exist")
    (mine,), another = installed.list(namespace, "pods", ours), Hands(installed, namespace).pods()[0]
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(config_of(installed, token(installed, namespace, "small-moe-gateway", mine)))
    # kubectl reads a pod before it patches it, which a gateway may not.
    api = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))

    def refusal(pod: Json, metadata: Json) -> str:
        try:
            api.patch_namespaced_pod(pod["metadata"]["name"], namespace, {"metadata": metadata})
        except client.ApiException as error:
            return str(error.body)
        return ""

    report = {"annotations": {names.ANNOTATION_REPORT: "{}"}}
    assert refusal(mine, report) == ""
    assert "own pod only" in refusal(another, report)
    assert "may change moe-operator.dev/report only" in refusal(mine, {"annotations": {"more": "1"}})
    assert "labels" in refusal(mine, {"labels": {"more": "1"}})


def _are_committed(hands: Hands) -> bool:
    stages = hands.cluster.list(hands.namespace, "moestages")
    seats = [seat for stage in stages for seat in MoEStage.load(stage).spec.ranks]
    return len(seats) == 8 and all(seat.pod_uid for seat in seats)


def _is_left_in_peace(cluster: LocalCluster, namespace: str, seconds: float) -> bool:
    """Other tests' namespaces live in the same cluster, so the server's own counts of requests say nothing here."""
    before = _versions(cluster, namespace)
    time.sleep(seconds)
    return _versions(cluster, namespace) == before


def _versions(cluster: LocalCluster, namespace: str) -> dict[str, str]:
    kinds = ("moedeployments", "moestages", "pods", "events", "secrets", "services", "serviceaccounts", "deployments")
    found = [one["metadata"] for kind in kinds for one in cluster.list(namespace, kind)]
    return {metadata["uid"]: metadata["resourceVersion"] for metadata in found}
