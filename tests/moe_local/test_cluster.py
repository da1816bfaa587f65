"""Pods on the embedded cluster, seen as a user of Kubernetes sees them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from moe_local import gpus, process
from tests.conftest import ClusterFactory
from tests.local_cluster import LocalCluster

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
FOREVER = "while true; do sleep 0.2; done"
ASK_API = """
import json, os, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
url = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
url += "/apis/authentication.k8s.io/v1/selfsubjectreviews"
body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).encode()
headers = {"Authorization": "Bearer " + open(f"{folder}/token").read(), "Content-Type": "application/json"}
context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
answer = urllib.request.urlopen(urllib.request.Request(url, body, headers), context=context)
user = json.load(answer)["status"]["userInfo"]
print(user["username"], user["extra"]["authentication.kubernetes.io/pod-name"][0],
      user["extra"]["authentication.kubernetes.io/pod-uid"][0])
"""
DRIVE_GPU = """
import fcntl, os, sys, time
path = os.environ["MOE_CPU_DEVICES"].split(",")[0]
device = open(path, "r+")
if not device.read().startswith("healthy"):
    sys.exit(86)
fcntl.lockf(device, fcntl.LOCK_EX)
print("driving", path, os.environ["NVIDIA_VISIBLE_DEVICES"], flush=True)
while True:
    time.sleep(0.05)
    device.seek(0)
    if not device.read().startswith("healthy"):
        sys.exit(86)
"""


def pod(name: str, command: list[str], **spec: Any) -> Json:
    """A pod with one container `main`; `container` in spec adds to that."""
    container = {"name": "main", "image": "none", "command": command} | spec.pop("container", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 2, "containers": [container], **spec},
    }


def shell(name: str, script: str, **spec: Any) -> Json:
    """A pod that runs a shell script."""
    return pod(name, ["sh", "-c", script], **spec)


def status_of(cluster: LocalCluster, namespace: str, name: str) -> Json:
    """The status of its one container."""
    found = cluster.get(namespace, "pod", name).get("status", {}).get("containerStatuses") or [{}]
    return dict(found[0])


def await_phase(cluster: LocalCluster, namespace: str, name: str, phase: str) -> Json:
    """The pod, once it is in this phase."""

    def look() -> Json | None:
        found = cluster.get(namespace, "pod", name)
        return found if found.get("status", {}).get("phase") == phase else None

    found: Json = cluster.until(look, f"pod {name} is {phase}")
    return found


def is_in_process_list(command: str) -> bool:
    """Whether any process of this machine runs this command."""
    return command in subprocess.run(["ps", "ax"], capture_output=True, text=True, check=True).stdout


def run_to_end(cluster: LocalCluster, namespace: str, one: Json) -> str:
    """The output of a pod that runs once."""
    one["spec"]["restartPolicy"] = "Never"
    cluster.apply(namespace, one)
    await_phase(cluster, namespace, one["metadata"]["name"], "Succeeded")
    return cluster.kubectl("-n", namespace, "logs", one["metadata"]["name"])


def test_a_plain_pod_runs_and_its_log_can_be_read(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(namespace, shell("plain", f"for i in 1 2 3; do echo line $i; done; {FOREVER}"))
    found = await_phase(cluster, namespace, "plain", "Running")
    assert re.fullmatch(r"10\.244\.\d+\.\d+", found["status"]["podIP"])
    assert found["status"]["hostIP"] == "127.0.0.1"
    cluster.until(lambda: "line 3" in cluster.kubectl("-n", namespace, "logs", "plain"), "three lines")
    assert cluster.kubectl("-n", namespace, "logs", "plain", "--tail=1", "-c", "main") == "line 3\n"


def test_logs_are_followed_until_the_container_ends(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(namespace, shell("f", "for i in 1 2 3; do echo line $i; sleep 0.5; done", restartPolicy="Never"))
    await_phase(cluster, namespace, "f", "Running")
    assert cluster.kubectl("-n", namespace, "logs", "-f", "f") == "line 1\nline 2\nline 3\n"


def test_environment_and_volumes_are_resolved(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(
        namespace,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "from-config"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "from-secret"}},
    )
    script = (
        "echo $A $B $C $D $ADDRESS; cat /etc/moe-test/config/k /var/run/moe/secret/k; echo; echo kept > /made/here/f;"
        " cat /made/here/f; cat /labels/app; echo; touch /var/run/moe/secret/x 2>/dev/null || echo read-only"
    )
    env = [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "C", "value": "$(A)-and-$(B)"},
        {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    mounts = {"config": "/etc/moe-test/config", "secret": "/var/run/moe/secret", "empty": "/made/here"}
    mounts["labels"] = "/labels"
    labels = {"items": [{"path": "app", "fieldRef": {"fieldPath": "metadata.labels['app']"}}]}
    one = shell(
        "e",
        script,
        container={"env": env, "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()]},
        volumes=[
            {"name": "config", "configMap": {"name": "c"}},
            {"name": "secret", "secret": {"secretName": "s"}},
            {"name": "empty", "emptyDir": {}},
            {"name": "labels", "downwardAPI": labels},
        ],
    )
    lines = run_to_end(cluster, namespace, one).splitlines()
    assert re.fullmatch(r"from-config from-secret from-config-and-from-secret e 127\.244\.\d+\.\d+", lines[0])
    assert lines[1:] == ["from-configfrom-secret", "kept", "e", "read-only"]
    assert not Path("/made").exists()


def test_a_pod_calls_the_api_server_with_a_token_bound_to_itself(cluster: LocalCluster, namespace: str) -> None:
    output = run_to_end(cluster, namespace, pod("caller", [sys.executable, "-c", ASK_API]))
    uid = cluster.get(namespace, "pod", "caller")["metadata"]["uid"]
    assert output.split() == [f"system:serviceaccount:{namespace}:default", "caller", uid]


def test_a_pod_says_what_it_misses_and_starts_when_it_is_there(cluster: LocalCluster, namespace: str) -> None:
    env = [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "late", "key": "k"}}}]
    cluster.apply(namespace, pod("lost", ["no-such-program"]), shell("late", FOREVER, container={"env": env}))

    def reason(name: str) -> Json:
        return dict(status_of(cluster, namespace, name).get("state", {}).get("waiting", {}))

    cluster.until(lambda: reason("lost").get("reason") == "CreateContainerError", "the missing program is told")
    assert '"no-such-program": executable file not found' in reason("lost")["message"]
    cluster.until(lambda: reason("late").get("reason") == "CreateContainerConfigError", "the missing secret is told")
    assert 'secret "late" not found' in reason("late")["message"]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}, "stringData": {"k": "v"}}
    cluster.apply(namespace, secret)
    await_phase(cluster, namespace, "late", "Running")


def test_deletion_gives_the_program_its_grace(cluster: LocalCluster, namespace: str, tmp_path: Path) -> None:
    farewell = tmp_path / "farewell"
    polite = shell("polite", f"trap 'echo bye > {farewell}; exit 0' TERM; {FOREVER}")
    stubborn = shell("stubborn", f"trap '' TERM; setsid sleep 4321 & {FOREVER}")
    cluster.apply(namespace, polite, stubborn)
    await_phase(cluster, namespace, "polite", "Running")
    await_phase(cluster, namespace, "stubborn", "Running")
    cluster.kubectl("-n", namespace, "delete", "pod", "polite")
    assert farewell.read_text() == "bye\n"
    began = time.monotonic()
    cluster.kubectl("-n", namespace, "delete", "pod", "stubborn")
    assert time.monotonic() - began >= 1.5
    assert not is_in_process_list("sleep 4321")


def test_a_container_that_ends_is_restarted_and_its_last_log_stays(cluster: LocalCluster, namespace: str) -> None:
    volume = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    script = f"echo x >> /v/runs; wc -l < /v/runs; [ $(wc -l < /v/runs) -ge 3 ] && {FOREVER}; exit 7"
    cluster.apply(namespace, shell("again", script, container=volume, volumes=[{"name": "v", "emptyDir": {}}]))
    cluster.until(lambda: status_of(cluster, namespace, "again").get("restartCount") == 2, "two restarts")
    cluster.until(lambda: "running" in status_of(cluster, namespace, "again")["state"], "it runs at last")
    assert status_of(cluster, namespace, "again")["lastState"]["terminated"]["exitCode"] == 7
    assert cluster.kubectl("-n", namespace, "logs", "again").strip() == "3"
    assert cluster.kubectl("-n", namespace, "logs", "again", "--previous").strip() == "2"


def test_init_containers_run_first_and_in_order(cluster: LocalCluster, namespace: str) -> None:
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    init = [
        {"name": f"i{number}", "image": "none", "command": ["sh", "-c", f"echo {number} >> /v/order"], **mount}
        for number in (1, 2)
    ]
    one = shell("i", "cat /v/order", container=mount, initContainers=init, volumes=[{"name": "v", "emptyDir": {}}])
    assert run_to_end(cluster, namespace, one) == "1\n2\n"


def test_readiness_and_services_follow_the_probe(cluster: LocalCluster, namespace: str, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "http.server", "8000", "--bind", "$(IP)", "--directory", str(tmp_path)]
    env = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}
    container = {"env": env, "readinessProbe": probe, "ports": [{"name": "http", "containerPort": 8000}]}
    ports = [{"name": "http", "port": 8000, "targetPort": "http"}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": ports},
    }
    cluster.apply(namespace, service, pod("web", program, container=container))
    await_phase(cluster, namespace, "web", "Running")
    refused = cluster.run("url", "web", "-n", namespace, "--timeout", "0.5", check=False)
    assert refused.returncode == 1
    assert "has no ready pod" in refused.stderr
    assert status_of(cluster, namespace, "web")["ready"] is False

    (tmp_path / "ready").write_text("yes")
    url = cluster.run("url", "web", "-n", namespace).stdout.strip()
    assert re.fullmatch(r"http://127\.96\.\d+\.\d+:8000", url)
    with urllib.request.urlopen(f"{url}/ready", timeout=5) as answer:
        assert answer.read() == b"yes"
    (tmp_path / "ready").unlink()
    cluster.until(lambda: not status_of(cluster, namespace, "web")["ready"], "the pod is unready again")


def test_a_failing_liveness_probe_restarts_the_container(cluster: LocalCluster, namespace: str) -> None:
    probe = {"exec": {"command": ["test", "!", "-e", "/v/sick"]}, "periodSeconds": 1, "failureThreshold": 1}
    container = {"livenessProbe": probe, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    script = f"[ -e /v/sick ] && rm /v/sick && {FOREVER}; touch /v/sick; {FOREVER}"
    cluster.apply(namespace, shell("sick", script, container=container, volumes=[{"name": "v", "emptyDir": {}}]))
    cluster.until(lambda: status_of(cluster, namespace, "sick").get("restartCount") == 1, "one restart")


def test_a_claim_bound_to_a_host_path_is_mounted(cluster: LocalCluster, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("weights")
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"pv-{namespace}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "",
            "hostPath": {"path": str(tmp_path)},
            "claimRef": {"namespace": namespace, "name": "models"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models"},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "",
            "volumeName": f"pv-{namespace}",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    cluster.apply(namespace, volume, claim)
    container = {"volumeMounts": [{"name": "m", "mountPath": "/models", "readOnly": True}]}
    volumes = [{"name": "m", "persistentVolumeClaim": {"claimName": "models"}}]
    one = shell("reader", "cat /models/model; touch /models/x || true", container=container, volumes=volumes)
    assert run_to_end(cluster, namespace, one).startswith("weights")
    assert not (tmp_path / "x").exists()


def gpu_pod(name: str, count: int) -> Json:
    """A pod that drives the first of its GPUs."""
    limits = {"resources": {"limits": {gpus_resource(): str(count)}}}
    return pod(name, [sys.executable, "-c", DRIVE_GPU], container=limits)


def gpus_resource() -> str:
    return "nvidia.com/gpu"


def await_driver(cluster: LocalCluster, namespace: str, name: str) -> gpus.Gpu:
    """The GPU that the pod drives now."""

    def look() -> gpus.Gpu | None:
        lines = cluster.kubectl("-n", namespace, "logs", name, check=False).split()
        if len(lines) < 2 or "running" not in status_of(cluster, namespace, name).get("state", {}):
            return None
        file = Path(lines[1])
        found = gpus.read(cluster.state, file.parent.parent.name, int(file.name))
        return found if found.driver else None

    found: gpus.Gpu = cluster.until(look, f"{name} drives a GPU")
    return found


def test_pods_get_gpus_of_their_own_and_give_them_back(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(namespace, *(gpu_pod(f"g{number}", 2) for number in range(6)), gpu_pod("seventh", 2))
    drivers = [await_driver(cluster, namespace, f"g{number}") for number in range(6)]
    assert {(one.node, one.index) for one in drivers} == {
        (node, index) for node in cluster.settings.node_names for index in (0, 2)
    }
    assert cluster.get(namespace, "pod", "seventh")["status"]["phase"] == "Pending"
    cluster.kubectl("-n", namespace, "delete", "pod", "g0")
    await_driver(cluster, namespace, "seventh")
    cluster.kubectl("-n", namespace, "delete", "pods", "--all")


@pytest.mark.parametrize("how", ["exit", "hang", "device"])
def test_a_gpu_fails_in_each_way(cluster: LocalCluster, namespace: str, how: str) -> None:
    cluster.apply(namespace, gpu_pod("driver", 1))
    gpu = await_driver(cluster, namespace, "driver")
    before = status_of(cluster, namespace, "driver")["restartCount"]
    assert gpu.driver is not None
    said = cluster.run("gpu", "fail", gpu.node, str(gpu.index), "--how", how).stdout
    assert str(gpu.driver) in said
    if how == "hang":
        state = Path(f"/proc/{gpu.driver}/stat").read_text().rpartition(")")[2].split()[0]
        assert state == "T"
    else:
        cluster.until(lambda: status_of(cluster, namespace, "driver")["restartCount"] > before, "a restart")
        ended = status_of(cluster, namespace, "driver")["lastState"]["terminated"]["exitCode"]
        assert ended in (137, 86)
    if how == "device":
        cluster.until(
            lambda: status_of(cluster, namespace, "driver")["lastState"]["terminated"]["exitCode"] == 86,
            "the broken device cannot be opened again",
        )
        assert "failed: XID 79" in cluster.run("gpu", "list").stdout
    cluster.run("gpu", "heal", gpu.node, str(gpu.index))
    assert await_driver(cluster, namespace, "driver").health == "healthy"
    cluster.kubectl("-n", namespace, "delete", "pod", "driver", "--grace-period=1")


def test_a_node_without_power_tells_nobody_and_comes_back(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(namespace, gpu_pod("survivor", 1))
    gpu = await_driver(cluster, namespace, "survivor")
    before = cluster.get(namespace, "pod", "survivor")["metadata"]["resourceVersion"]
    cluster.run("node", "stop", gpu.node)
    assert gpu.driver is not None
    identity = process.identify(gpu.driver)
    cluster.until(lambda: identity is None or process.identify(gpu.driver or 0) != identity, "its process is gone", 5)
    assert cluster.get(namespace, "pod", "survivor")["metadata"]["resourceVersion"] == before
    cluster.run("node", "start", gpu.node)
    cluster.until(lambda: status_of(cluster, namespace, "survivor")["restartCount"] == 1, "it is restarted")
    assert await_driver(cluster, namespace, "survivor").index == gpu.index
    cluster.kubectl("-n", namespace, "delete", "pod", "survivor", "--grace-period=1")


def test_pods_live_on_while_the_api_server_is_away(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(namespace, gpu_pod("steady", 1))
    gpu = await_driver(cluster, namespace, "steady")
    cluster.run("plane", "restart", "apiserver", "--kill")
    assert await_driver(cluster, namespace, "steady").driver == gpu.driver
    cluster.apply(namespace, shell("after", FOREVER))
    await_phase(cluster, namespace, "after", "Running")
    cluster.kubectl("-n", namespace, "delete", "pods", "--all", "--grace-period=1")


def test_a_console_script_runs_in_a_fork_of_the_warm_process(cluster: LocalCluster, namespace: str) -> None:
    output = run_to_end(cluster, namespace, pod("forked", ["moe-local", "--help"]))
    assert "Usage: moe-local" in output
    failing = pod("failing", ["moe-local", "gpu", "no-such-command"], restartPolicy="Never")
    cluster.apply(namespace, failing)
    await_phase(cluster, namespace, "failing", "Failed")
    assert status_of(cluster, namespace, "failing")["state"]["terminated"]["exitCode"] == 2


def test_an_idle_cluster_writes_no_pods(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(namespace, shell("idle", FOREVER))
    await_phase(cluster, namespace, "idle", "Running")
    cluster.until(lambda: status_of(cluster, namespace, "idle")["ready"], "it is ready")
    before = cluster.get(namespace, "pod", "idle")["metadata"]["resourceVersion"]
    time.sleep(3)
    assert cluster.get(namespace, "pod", "idle")["metadata"]["resourceVersion"] == before


def test_up_completes_a_half_dead_cluster_and_down_leaves_nothing(local_cluster_factory: ClusterFactory) -> None:
    own = local_cluster_factory(nodes=1, gpus_per_node=1, crds=(), preload=())
    namespace = own.namespace()
    own.apply(namespace, pod("old", ["sleep", "54321"]))
    await_phase(own, namespace, "old", "Running")
    own.run("plane", "stop", "scheduler", "--kill")
    own.run("plane", "stop", "nodes", "--kill")
    own.until(lambda: not is_in_process_list("sleep 54321"), "the pods died with their nodes", 5)
    assert own.run("status", check=False).returncode == 1
    own.run("up", "--nodes", "1", "--gpus-per-node", "1", "--preload", "")
    assert own.run("status").returncode == 0
    own.until(lambda: status_of(own, namespace, "old")["restartCount"] == 1, "the pod of before is back")
    assert "runs with 1" in own.run("up", "--nodes", "2", check=False).stderr
    alive = list(filter(None, map((records := process.Records(own.state.processes)).read, records.names())))
    assert len(alive) == 6
    own.run("down")
    assert not any(process.is_alive(identity) for identity in alive)
    assert not own.state.root.exists()
