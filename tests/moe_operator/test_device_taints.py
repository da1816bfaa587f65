"""Taints of GPUs, as drivers write them into their ResourceSlices and people into rules."""

from __future__ import annotations

from typing import Any

from moe_operator.api import Json
from moe_operator.device_taints import read_device_taints
from moe_operator.snapshot import DeviceTaint

UUID = "GPU-5b2e0f6c-0000-4000-8000-000000000001"
XID = {"key": "gpu.nvidia.com/xid", "value": "79", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"}
LOST = {"key": "example.com/lost", "effect": "NoExecute"}


def slice_of(*devices: Json, driver: str = "gpu.nvidia.com", generation: int = 1, **spec: Any) -> Json:
    pool = {"name": "node-0", "generation": generation, "resourceSliceCount": 1}
    return {"spec": {"driver": driver, "pool": pool, "nodeName": "node-0", "devices": list(devices), **spec}}


def device(number: int, *taints: Json, uuid: str = "") -> Json:
    named = {"attributes": {"uuid": {"string": uuid}, "minor": {"int": number}}} if uuid else {}
    return {"name": f"gpu-{number}", **named, **({"taints": list(taints)} if taints else {})}


def rule(**selector: str) -> Json:
    return {"spec": {"deviceSelector": selector, "taint": LOST}}


def told(slices: list[Json], rules: list[Json] | None = None) -> list[tuple[str, str]]:
    return [(taint.device, taint.key) for taint in read_device_taints(slices, rules or [])]


def test_a_taint_is_told_with_the_gpus_own_name() -> None:
    expected = DeviceTaint(
        node="node-0",
        driver="gpu.nvidia.com",
        device="gpu-1",
        uuid=UUID,
        key="gpu.nvidia.com/xid",
        value="79",
        effect="NoSchedule",
    )
    assert read_device_taints([slice_of(device(0), device(1, XID, uuid=UUID))], []) == (expected,)


def test_a_device_without_attributes_has_no_name_of_its_own() -> None:
    (taint,) = read_device_taints([slice_of(device(1, LOST))], [])
    assert (taint.uuid, taint.value) == ("", "")


def test_what_is_no_gpu_of_one_node_is_left_out() -> None:
    cards = slice_of(device(0, XID), driver="net.example.com")
    shared = {"spec": {**slice_of(device(0, XID))["spec"], "nodeName": None, "allNodes": True}}
    assert told([cards, shared]) == []


def test_of_a_pool_that_is_written_anew_the_newest_generation_counts() -> None:
    assert told([slice_of(device(0, XID)), slice_of(device(0), device(1, LOST), generation=2)]) == [
        ("gpu-1", "example.com/lost")
    ]


def test_a_rule_taints_what_all_of_its_selector_means() -> None:
    slices = [slice_of(device(0, XID), device(1))]

    assert told(slices, [rule(driver="gpu.nvidia.com", pool="node-0", device="gpu-1")]) == [
        ("gpu-0", "gpu.nvidia.com/xid"),
        ("gpu-1", "example.com/lost"),
    ]
    assert len(told(slices, [rule()])) == 3, "an empty selector means every device"
    assert len(told(slices, [rule(device="gpu-1", pool="node-1")])) == 1
    assert len(told(slices, [{"spec": {"taint": LOST}}])) == 1, "without a selector it means none"
