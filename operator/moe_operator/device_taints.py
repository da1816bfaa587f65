"""From ResourceSlices and DeviceTaintRules to the taints of GPUs. Tolerates what is missing; judges no taint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from moe_operator.api import Json
from moe_operator.snapshot import DeviceTaint

GPU_DRIVER = "gpu"
"""In the names of the drivers of GPUs, such as gpu.nvidia.com; others offer network cards, or channels between GPUs."""


def read_device_taints(slices: Iterable[Json], rules: Iterable[Json]) -> tuple[DeviceTaint, ...]:
    """Every taint of every GPU that is on one node, by its driver's word and then by the rules' that select it."""
    ruled = [rule["spec"] for rule in rules if rule["spec"].get("deviceSelector") is not None]
    return tuple(
        _taint(spec, device, taint)
        for spec in _newest(slices)
        for device in spec.get("devices") or ()
        for taint in (
            *(device.get("taints") or ()),
            *(rule["taint"] for rule in ruled if _selects(rule["deviceSelector"], spec, device)),
        )
    )


def _newest(slices: Iterable[Json]) -> list[Json]:
    """The specs of slices of GPUs; a pool that is being written anew counts by its newest generation alone."""
    specs = [one["spec"] for one in slices if GPU_DRIVER in one["spec"]["driver"] and one["spec"].get("nodeName")]
    newest: dict[tuple[str, str], int] = {}
    for spec in specs:
        newest[_pool(spec)] = max(newest.get(_pool(spec), 0), spec["pool"].get("generation", 0))
    return [spec for spec in specs if spec["pool"].get("generation", 0) == newest[_pool(spec)]]


def _pool(spec: Json) -> tuple[str, str]:
    return spec["driver"], spec["pool"]["name"]


def _selects(selector: Mapping[str, Any], spec: Json, device: Json) -> bool:
    """An empty selector means all devices, as Kubernetes has it."""
    known = {"driver": spec["driver"], "pool": spec["pool"]["name"], "device": device["name"]}
    return all(known[key] == wanted for key, wanted in selector.items() if key in known)


def _taint(spec: Json, device: Json, taint: Json) -> DeviceTaint:
    uuid = (device.get("attributes") or {}).get("uuid") or {}
    return DeviceTaint(
        node=spec["nodeName"],
        driver=spec["driver"],
        device=device["name"],
        uuid=uuid.get("string", ""),
        key=taint["key"],
        value=taint.get("value") or "",
        effect=taint["effect"],
    )
