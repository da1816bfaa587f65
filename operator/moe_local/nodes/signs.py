"""What others than the worker say of a bad GPU, in the words that they use. Pure.

A condition as NVSentinel and node-problem-detector write it, and a taint as remediation controllers set it.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from moe_local.nodes.status import rfc3339

Json = dict[str, Any]

CONDITION = "GpuXidError"
TAINT = "nvidia.com/gpu-unhealthy"


class Sign(StrEnum):
    """Where a bad GPU shows: two are written by watchers of the node, two follow from the device plugin's word."""

    CONDITION = "condition"
    TAINT = "taint"
    ALLOCATABLE = "allocatable"
    RESOURCE = "resource"


def condition(bad: Sequence[int], now: datetime.datetime) -> Json:
    """The node's condition while these GPUs are bad; False when none is."""
    moment = rfc3339(now)
    errors = "".join(
        f"ErrorCode:79 gpu:{index} GPU has fallen off the bus Recommended Action=RESTART_VM;" for index in bad
    )
    return {
        "type": CONDITION,
        "status": "True" if bad else "False",
        "reason": f"{CONDITION}{'IsNotHealthy' if bad else 'IsHealthy'}",
        "message": errors or "No Health Failures",
        "lastHeartbeatTime": moment,
        "lastTransitionTime": moment,
    }


def tainted(taints: Sequence[Json], bad: Sequence[int]) -> list[Json]:
    """A node's taints with ours as it must be now; its value names the GPUs, e.g. `0_3`."""
    others = [one for one in taints if one["key"] != TAINT]
    ours = {"key": TAINT, "value": "_".join(map(str, bad)), "effect": "NoSchedule"}
    return [*others, ours] if bad else others
