from __future__ import annotations

from dataclasses import replace

from moe_planner.capacity import Capacity
from moe_planner.inputs import Hardware

HARDWARE = Hardware(nodes=4, gpus_per_node=8, gpu_memory_bytes=1)


def test_pods_fill_whole_nodes_in_order() -> None:
    capacity = Capacity(HARDWARE)
    assert capacity.nodes_for(pods=3, size=8) == 3
    assert capacity.nodes_for(pods=3, size=4) == 2
    assert capacity.nodes_for(pods=5, size=8) is None
    assert capacity.most_pods(size=3) == 8


def test_a_bad_gpu_costs_its_node_one_pod_of_the_whole_node() -> None:
    capacity = Capacity(replace(HARDWARE, bad_gpus=frozenset({("node-1", 3)})))
    assert capacity.good_gpus == 31
    assert capacity.nodes_for(pods=3, size=8) == 3
    assert capacity.nodes_for(pods=4, size=8) is None
    assert capacity.nodes_for(pods=7, size=4) == 4
    assert capacity.most_pods(size=7) == 4
