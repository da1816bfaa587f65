"""What a node tells the API server about itself: its object, its status and its lease. Pure."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from typing import Any

from moe_local.binaries import KUBERNETES
from moe_local.nodes.addresses import HOST_ADDRESS
from moe_local.nodes.gpus import RESOURCE
from moe_local.nodes.status import rfc3339

Json = dict[str, Any]

EMBEDDED_LABEL = "moe-operator.dev/embedded"
NODES_PER_RACK = 8
LEASE_SECONDS = 40
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def capacity(num_gpus: int) -> Mapping[str, str]:
    """What a node offers; generous, as its pods share one machine anyway."""
    return {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "1Ti", "pods": "110", RESOURCE: str(num_gpus)}


def labels(name: str, index: int) -> dict[str, str]:
    """The well-known labels, as a cloud provider would set them."""
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "topology.kubernetes.io/region": "local",
        "topology.kubernetes.io/zone": "local-a",
        "topology.kubernetes.io/rack": f"rack-{index // NODES_PER_RACK}",
        EMBEDDED_LABEL: "true",
    }


def node_object(
    name: str, index: int, num_gpus: int, port: int, now: datetime.datetime, *, num_offered: int | None = None
) -> Json:
    """A Node with its status; `port` is where the node serves logs. Offers all GPUs unless told how many."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels(name, index)},
        "spec": {"providerID": f"moe-local://{name}"},
        "status": node_status(name, num_gpus, port, now, num_offered=num_offered),
    }


def node_status(name: str, num_gpus: int, port: int, now: datetime.datetime, *, num_offered: int | None = None) -> Json:
    """Ready, with every resource free to use, but for the GPUs that are not offered."""
    return {
        "capacity": dict(capacity(num_gpus)),
        "allocatable": dict(capacity(num_gpus if num_offered is None else num_offered)),
        "conditions": [
            _condition("Ready", "True", "KubeletReady", now),
            _condition("MemoryPressure", "False", "KubeletHasSufficientMemory", now),
            _condition("DiskPressure", "False", "KubeletHasNoDiskPressure", now),
            _condition("PIDPressure", "False", "KubeletHasSufficientPID", now),
        ],
        "addresses": [{"type": "InternalIP", "address": HOST_ADDRESS}, {"type": "Hostname", "address": name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": _info(name),
    }


def lease(name: str, uid: str, now: datetime.datetime) -> Json:
    """The node's lease; it goes with the node."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease", "ownerReferences": [owner]},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, **renewal(now)},
    }


def renewal(now: datetime.datetime) -> Json:
    """The part of a lease's spec that a renewal changes."""
    return {"renewTime": now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}


def _condition(kind: str, status: str, reason: str, now: datetime.datetime) -> Json:
    # The server keeps no history here: the last transition is set by whoever flips it, so it moves with the patch.
    moment = rfc3339(now)
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "embedded node",
        "lastHeartbeatTime": moment,
        "lastTransitionTime": moment,
    }


def _info(name: str) -> Json:
    return {
        "machineID": name,
        "systemUUID": name,
        "bootID": name,
        "kernelVersion": platform.release(),
        "osImage": "moe-local",
        "containerRuntimeVersion": "moe-local://1",
        "kubeletVersion": KUBERNETES,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": labels(name, 0)["kubernetes.io/arch"],
    }
