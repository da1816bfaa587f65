"""GPUs that others than their workers call bad, in the words that those write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moe_api.names import Reason
from moe_operator.decide.leaving import Leaving
from moe_operator.decide.reported import find_reported
from moe_operator.snapshot import DeviceTaint, Node
from tests.moe_operator.evidence import pod, seat, seats_of, stage_of, well

FOUR = {"nvidia.com/gpu": "4"}
FIRST, SECOND = (f"GPU-{digit * 8}-1234-1234-1234-{digit * 12}" for digit in "ab")


def reported(**node: Any) -> Mapping[int, Leaving]:
    """Of two pods of four GPUs each, with such a node under the first."""
    nodes = {"node-0": Node(name="node-0", **node)}
    return find_reported(seats_of(stage_of(2, 4), well(2, 4), nodes=nodes))


def test_a_node_that_says_nothing_of_gpus_loses_none() -> None:
    usual = {"Ready": "kubelet is posting ready status", "GpuDriverReady": "", "MemoryPressure": "memory is low"}
    taints = {"nvidia.com/gpu": "present", "node.kubernetes.io/unreachable": ""}

    assert reported(conditions=usual, taints=taints, capacity=FOUR, allocatable=FOUR) == {}


def test_a_condition_means_the_gpu_that_its_message_names() -> None:
    message = "ErrorCode:79 gpu:2 GPU has fallen off the bus Recommended Action=RESTART_VM;"

    assert reported(conditions={"GpuXidError": message}) == {
        2: Leaving(
            rank=2,
            reason=Reason.GPU_REPORTED_BAD,
            message=f"condition GpuXidError of node node-0: {message}",
            node="node-0",
            gpu=2,
        )
    }


def test_several_gpus_may_be_named_and_in_many_ways() -> None:
    for message in ("GPU 1 and GPU 3 are lost", "gpu=1; gpu index 3", "GPU:1 PCI:0000:0f:00 GPU:3", "GPU-1 GPU_3"):
        assert sorted(reported(conditions={"XIDErrors": message})) == [1, 3], message


def test_a_gpu_is_known_by_its_uuid() -> None:
    pods = [pod(0, [seat(0, 0, device=FIRST), seat(1, 1, device=SECOND)]), *well(2, 2)[1:]]
    node = Node(name="node-0", conditions={"GpuXidError": f"XID 48 on {SECOND}"})

    assert list(find_reported(seats_of(stage_of(2, 2), pods, nodes={"node-0": node}))) == [1]


def test_who_names_no_gpu_means_the_whole_node() -> None:
    assert list(reported(conditions={"NVLinkStatusInactive": "some links are down"})) == [0, 1, 2, 3]
    assert list(reported(taints={"nvidia.com/gpu-unhealthy": "true"})) == [0, 1, 2, 3]


def test_a_taint_names_gpus_by_its_value() -> None:
    found = reported(taints={"nvidia.com/gpu-unhealthy": "0_3"})

    assert list(found) == [0, 3]
    assert found[0].message == "taint nvidia.com/gpu-unhealthy=0_3 of node node-0"


def test_the_index_on_the_node_counts_where_the_worker_knows_it() -> None:
    pods = [pod(0, [seat(0, 0, device="node-0/2"), seat(1, 1, device="node-0/3")]), *well(2, 2)[1:]]
    node = Node(name="node-0", conditions={"GpuXidError": "gpu:2 is bad"})

    assert list(find_reported(seats_of(stage_of(2, 2), pods, nodes={"node-0": node}))) == [0]


def test_the_device_plugin_names_gpus_by_their_ids() -> None:
    for device, id_ in ((SECOND, SECOND), ("node-0/1", "node-0/1"), ("nvidia1", "")):
        pods = [pod(0, [seat(0, 0), seat(1, 1, device=id_)], devices=(device,)), *well(2, 2)[1:]]
        found = find_reported(seats_of(stage_of(2, 2), pods))
        assert [leaving.message for leaving in found.values()] == [f"the device plugin calls {device} unhealthy"]
        assert list(found) == [1]


def test_gpus_that_are_only_counted_empty_the_node() -> None:
    found = reported(capacity=FOUR, allocatable={"nvidia.com/gpu": "3"})

    assert list(found) == [0, 1, 2, 3]
    assert found[0].message == "node node-0 offers 1 GPUs less than it has, and nobody says which"


def test_gpus_that_are_counted_and_known_empty_nothing_more() -> None:
    three = {"nvidia.com/gpu": "3"}
    assert list(reported(capacity=FOUR, allocatable=three, taints={"nvidia.com/gpu-unhealthy": "1"})) == [1]

    (first, *others) = well(2, 4)
    broken = pod(0, [seat(0, 0, bad="XID 79"), *(first.report.seats[1:] if first.report else [])])
    node = Node(name="node-0", capacity=FOUR, allocatable=three)
    assert find_reported(seats_of(stage_of(2, 4), [broken, *others], nodes={"node-0": node})) == {}


def tainted(**taint: Any) -> Mapping[int, Leaving]:
    """Of two pods of four GPUs each, with a taint of a device, xid=79 of gpu-2 on the first node unless said."""
    bad = {"node": "node-0", "driver": "gpu.nvidia.com", "device": "gpu-2", "uuid": "", "value": "79"}
    named = bad | {"key": "gpu.nvidia.com/xid", "effect": "NoSchedule"} | taint
    return find_reported(seats_of(stage_of(2, 4), well(2, 4), device_taints=[DeviceTaint(**named)]))


def test_a_taint_of_a_device_means_that_gpu() -> None:
    words = "taint gpu.nvidia.com/xid=79:NoSchedule of device gpu-2 of gpu.nvidia.com on node node-0"

    assert {rank: one.message for rank, one in tainted().items()} == {2: words}
    assert list(tainted(uuid="node-0/3")) == [3], "its own name counts before the device's"
    assert list(tainted(node="node-1")) == [6]
    assert tainted(node="node-9") == {}
    assert tainted(uuid="GPU-1") == {}
    assert tainted(device="card") == {}


def test_only_a_taint_that_says_bad_or_sends_everybody_away_empties_a_gpu() -> None:
    assert list(tainted(key="example.com/maintenance", value="", effect="NoExecute")) == [2]
    assert list(tainted(key="gpu.nvidia.com/gpu-lost")) == [2]
    assert tainted(key="example.com/reserved") == {}
    assert tainted(effect="None") == {}


def test_a_pod_without_a_node_yet_is_nobodys_business() -> None:
    pods = [replace(one, node=None) for one in well(1, 2)]

    assert find_reported(seats_of(stage_of(1, 2), pods)) == {}
