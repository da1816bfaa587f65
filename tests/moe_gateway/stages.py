"""A first stage as the API server gives it: two ranks in one pod, a lane each."""

from collections.abc import Sequence
from typing import Any


def stage_json(
    *,
    replica: int = 0,
    stage: int = 0,
    lanes: list[dict[str, Any]] | None = None,
    draining_lanes: Sequence[int] = (),
    reported_uid: str = "uid",
    version: int = 1,
    addresses: tuple[str, str] = ("127.244.0.1:4000", "127.244.0.1:4001"),
) -> dict[str, Any]:
    return {
        "apiVersion": "moe-operator.dev/v1alpha1",
        "kind": "MoEStage",
        "metadata": {
            "name": f"demo-r{replica}-s{stage:02d}",
            "namespace": "default",
            "generation": 7,
            "resourceVersion": str(version),
        },
        "spec": {
            "deployment": "demo",
            "replica": replica,
            "stage": stage,
            "stages": 2,
            "ranksPerStage": 2,
            "firstLayer": 0,
            "numLayers": 1,
            "model": {"path": "m", "dtype": "float32", "name": "demo-model", "shape": _SHAPE},
            "engine": {},
            "failover": {},
            "ranks": [{"rank": rank, "pod": "pod", "podUID": "uid", "gpu": rank} for rank in (0, 1)],
            "experts": [{"expert": rank, "ranks": [rank]} for rank in (0, 1)],
            "lanes": [{"lane": rank, "rank": rank} for rank in (0, 1)] if lanes is None else lanes,
            "drainingLanes": list(draining_lanes),
        },
        "status": {
            "ranks": [
                {"rank": rank, "pod": "pod", "podUID": reported_uid, "address": addresses[rank], "state": "serving"}
                for rank in (0, 1)
            ]
        },
    }


_SHAPE = {
    "layers": 2,
    "experts": 2,
    "expertsPerToken": 1,
    "hiddenSize": 8,
    "heads": 2,
    "keyValueHeads": 1,
    "headSize": 4,
    "expertFfnSize": 8,
    "vocabularySize": 16,
}
