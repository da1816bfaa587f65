"""Fixtures that tests of several parts share: embedded clusters, each taken down when the session ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from moe_local import cluster as lifecycle
from moe_local.state import DEFAULT_PRELOAD
from moe_worker.device.row_order import keep_row_order
from tests import local_cluster
from tests.local_cluster import LocalCluster

# As where a rank computes with torch's operations. Before any product of this process: it is looked at once.
keep_row_order()

CRDS = Path(__file__).parent.parent / "crds"

# The same examples in every run, so that a red one is its change's doing; `make sweep` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("sweep", max_examples=1000, deadline=None)
settings.load_profile("same")

ClusterFactory = Callable[..., LocalCluster]


@pytest.fixture(scope="session")
def local_cluster_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterFactory]:
    """Call it with nodes, gpus_per_node (and crds, preload) for a cluster of one's own; all go down at the end."""
    running: list[LocalCluster] = []
    # A run that is ended by `timeout` must take its clusters down too.
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: pytest.exit("terminated", returncode=143))

    def start(
        *,
        nodes: int,
        gpus_per_node: int,
        crds: tuple[Path, ...] = (CRDS,),
        preload: tuple[str, ...] = DEFAULT_PRELOAD,
    ) -> LocalCluster:
        folder = tmp_path_factory.mktemp("cluster") / "state"
        one = local_cluster.start(folder, nodes=nodes, gpus_per_node=gpus_per_node, crds=crds, preload=preload)
        running.append(one)
        return one

    yield start
    for one in running:
        lifecycle.down(one.state)
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def cluster(local_cluster_factory: ClusterFactory) -> LocalCluster:
    """A small cluster, 3 nodes of 4 GPUs, shared by all tests that do not break it for the others."""
    return local_cluster_factory(nodes=3, gpus_per_node=4)


@pytest.fixture
def namespace(cluster: LocalCluster) -> str:
    """A new namespace of the shared cluster."""
    return cluster.namespace()
