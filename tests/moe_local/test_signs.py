from __future__ import annotations

import datetime

from moe_local.nodes.signs import condition, tainted

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
OTHER = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
OURS = {"key": "nvidia.com/gpu-unhealthy", "value": "1_3", "effect": "NoSchedule"}


def test_the_condition_names_every_bad_gpu_as_nvsentinel_does() -> None:
    bad = condition([1, 3], NOW)
    assert (bad["type"], bad["status"], bad["reason"]) == ("GpuXidError", "True", "GpuXidErrorIsNotHealthy")
    assert bad["message"] == (
        "ErrorCode:79 gpu:1 GPU has fallen off the bus Recommended Action=RESTART_VM;"
        "ErrorCode:79 gpu:3 GPU has fallen off the bus Recommended Action=RESTART_VM;"
    )
    assert bad["lastTransitionTime"] == "2030-01-01T00:00:00Z"


def test_the_condition_of_a_node_without_bad_gpus_says_so() -> None:
    good = condition([], NOW)
    assert (good["status"], good["reason"], good["message"]) == (
        "False",
        "GpuXidErrorIsHealthy",
        "No Health Failures",
    )


def test_the_taint_names_the_gpus_and_leaves_other_taints_alone() -> None:
    assert tainted([OTHER], [1, 3]) == [OTHER, OURS]
    assert tainted([OTHER, OURS], [1]) == [OTHER, OURS | {"value": "1"}]
    assert tainted([OURS, OTHER], []) == [OTHER]
