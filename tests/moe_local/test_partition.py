"""Nodes that are cut off, and GPUs that others report as bad, on the embedded cluster."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from pyroute2.nftables.main import NFTables

from moe_local.nodes.firewall import table_name
from tests.local_cluster import LocalCluster

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
LISTENING = """
import os, socket
server = socket.create_server((os.environ["POD_IP"], 5000))
print("listening", flush=True)
while True:
    connection, _ = server.accept()
    while data := connection.recv(100):
        connection.sendall(data)
"""
can_filter = pytest.mark.skipif(os.geteuid() != 0, reason="cutting nodes off from each other needs root")


def listener(name: str, node: str, **container: Any) -> Json:
    """A pod on `node` that sends back what it hears."""
    ip = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    main = {"name": "main", "image": "none", "command": ["python", "-c", LISTENING], "env": [ip]} | container
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [main]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def address_of(cluster: LocalCluster, namespace: str, name: str) -> str:
    """Where the pod listens on this machine, once it does."""
    cluster.until(lambda: "listening" in cluster.kubectl("-n", namespace, "logs", name, check=False), f"{name} listens")
    address: str = cluster.get(namespace, "pod", name)["status"]["podIP"]
    return address.replace("10.", "127.", 1)


def dial(source: str, target: str) -> socket.socket:
    """A connection between two pods' addresses, as one pod's process would make it."""
    return socket.create_connection((target, 5000), timeout=1, source_address=(source, 0))


def answers(connection: socket.socket) -> bool:
    """Whether a word is sent back within a second."""
    try:
        connection.sendall(b"word")
        return connection.recv(100) == b"word"
    except TimeoutError:
        return False


def tables() -> list[str]:
    """Of the machine's packet filter."""
    with NFTables(nfgen_family=2) as nft:
        return [dict(table["attrs"])["NFTA_TABLE_NAME"] for table in nft.get_tables()]


@pytest.fixture
def cut_node(cluster: LocalCluster) -> Iterator[str]:
    """A node that is cut off in the test, and reaches everything again after it."""
    node = cluster.settings.node_names[1]
    yield node
    cluster.run("node", "rejoin", node)


@can_filter
def test_a_node_cut_off_from_its_peers_goes_silent_and_still_talks_to_itself(
    cluster: LocalCluster, namespace: str, cut_node: str
) -> None:
    other = cluster.settings.node_names[0]
    cluster.apply(namespace, listener("here", cut_node), listener("too", cut_node), listener("there", other))
    here, too, there = (address_of(cluster, namespace, name) for name in ("here", "too", "there"))
    with dial(here, there) as outward, dial(there, here) as inward, dial(here, too) as inside:
        assert answers(outward)
        assert answers(inward)
        cluster.run("node", "partition", cut_node, "--from", "peers")
        assert f"{cut_node} from peers" in cluster.run("status").stdout
        assert table_name(cluster.settings.cluster) in tables()
        assert not answers(outward)
        assert not answers(inward)
        assert answers(inside)
        with pytest.raises(TimeoutError):
            dial(there, here)
        assert "listening" in cluster.kubectl("-n", namespace, "logs", "here")
        cluster.run("node", "rejoin", cut_node)
        dial(there, too).close()
    assert table_name(cluster.settings.cluster) not in tables()


def test_a_node_cut_off_from_the_api_server_goes_on_and_catches_up(
    cluster: LocalCluster, namespace: str, cut_node: str
) -> None:
    cluster.apply(namespace, listener("stays", cut_node))
    address = address_of(cluster, namespace, "stays")
    cluster.run("node", "partition", cut_node, "--from", "api")
    cluster.kubectl("-n", namespace, "delete", "pod", "stays", "--wait=false")
    cluster.apply(namespace, listener("late", cut_node))
    with dial("127.0.0.1", address) as connection:
        assert answers(connection)
    assert cluster.get(namespace, "pod", "stays")["metadata"]["deletionTimestamp"]
    assert cluster.get(namespace, "pod", "late")["status"]["phase"] == "Pending"
    cluster.run("node", "rejoin", cut_node)
    cluster.until(lambda: not cluster.get(namespace, "pod", "stays"), "the deleted pod has ended")
    address_of(cluster, namespace, "late")


def test_a_bad_gpu_shows_in_each_place_and_in_none_once_it_is_cleared(cluster: LocalCluster, namespace: str) -> None:
    node = cluster.settings.node_names[2]
    gpus = {"resources": {"limits": {"nvidia.com/gpu": "2"}}}
    cluster.apply(namespace, listener("has-gpus", node, **gpus))
    address_of(cluster, namespace, "has-gpus")

    def shown() -> tuple[list[str], list[str], str, list[str]]:
        found, pod = cluster.get("default", "node", node), cluster.get(namespace, "pod", "has-gpus")
        [resource] = pod["status"]["containerStatuses"][0]["allocatedResourcesStatus"]
        return (
            [
                one["message"]
                for one in found["status"]["conditions"]
                if one["status"] == "True" and "Gpu" in one["type"]
            ],
            [one["value"] for one in found["spec"].get("taints", []) if one["key"] == "nvidia.com/gpu-unhealthy"],
            found["status"]["allocatable"]["nvidia.com/gpu"],
            [one["resourceID"] for one in resource["resources"] if one["health"] == "Unhealthy"],
        )

    assert shown() == ([], [], "4", [])
    for place in ("condition", "taint", "allocatable", "resource"):
        cluster.run("gpu", "report", node, "1", "--as", place)
    message = "ErrorCode:79 gpu:1 GPU has fallen off the bus Recommended Action=RESTART_VM;"
    wanted = ([message], ["1"], "3", [f"{node}/1"])
    cluster.until(lambda: shown() == wanted, f"the bad GPU shows everywhere: {wanted}", 20)
    cluster.run("gpu", "report", node, "1", "--clear")
    cluster.until(lambda: shown() == ([], [], "4", []), "nothing shows any more", 20)
