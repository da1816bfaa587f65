"""What the cluster holds of one MoEDeployment at one moment, and what differs between two moments. Changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from demo.cluster import Cluster, Json
from moe_api import names
from moe_api.deployment import MoEDeployment
from moe_api.stage import MoEStage

Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class Pod:
    """What must not change of a pod that a failure elsewhere leaves alone."""

    uid: str
    node: str
    restarts: int


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Pods, epochs and decisions of a deployment. Ranks and experts have numbers that are unique over its stages."""

    pods: Mapping[str, Pod]
    epochs: Mapping[str, int]
    experts: Mapping[int, tuple[int, ...]]
    lanes: Mapping[tuple[str, int], int | None]

    def changes_to(self, later: "Snapshot") -> "Changes":
        return Changes(
            pods=_changed(self.pods, later.pods),
            stages=_changed(self.epochs, later.epochs),
            experts=_changed(self.experts, later.experts),
            lanes=_changed(self.lanes, later.lanes),
        )


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Keys whose values differ: pod names, stage names (by epoch), expert ids, (stage, lane)."""

    pods: frozenset[str]
    stages: frozenset[str]
    experts: frozenset[int]
    lanes: frozenset[tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class Seat:
    """Where a rank sits, and what it does there."""

    stage: str
    rank: int
    pod: str
    node: str
    gpu: int
    incarnation: int
    experts: tuple[int, ...]
    lanes: tuple[int, ...]


def take_snapshot(cluster: Cluster, deployment: str) -> Snapshot:
    """Read everything once."""
    stages = list_stages(cluster, deployment)
    return Snapshot(
        pods={pod["metadata"]["name"]: _pod(pod) for pod in list_workers(cluster, deployment)},
        epochs={stage.metadata.name: stage.metadata.generation for stage in stages},
        experts={one.expert: tuple(one.ranks) for stage in stages for one in stage.spec.experts},
        lanes={(stage.metadata.name, one.lane): one.rank for stage in stages for one in stage.spec.lanes},
    )


def read_deployment(cluster: Cluster, name: str) -> MoEDeployment | None:
    """The MoEDeployment, or None when there is none."""
    found = cluster.get("moedeployments", name)
    return None if found is None else MoEDeployment.model_validate(found)


def list_stages(cluster: Cluster, deployment: str) -> list[MoEStage]:
    """The deployment's MoEStages in order."""
    found = cluster.list("moestages", {names.LABEL_DEPLOYMENT: deployment})
    return sorted(map(MoEStage.model_validate, found), key=lambda stage: stage.metadata.name)


def is_settled(stage: MoEStage) -> bool:
    """Whether nothing of a stage is masked, paused, loading or about to move."""
    spec = stage.spec
    is_loading = any(expert.loading for expert in spec.experts)
    is_leaving = bool(spec.draining_lanes) or any(lane.leaving_since for lane in spec.lanes)
    return not (spec.masked or spec.paused or is_loading or is_leaving)


def list_workers(cluster: Cluster, deployment: str) -> list[Json]:
    """The deployment's worker pods by name."""
    labels = {names.LABEL_DEPLOYMENT: deployment, names.LABEL_APP_COMPONENT: names.COMPONENT_WORKER}
    return sorted(cluster.list("pods", labels), key=lambda pod: str(pod["metadata"]["name"]))


def list_seats(cluster: Cluster, deployment: str) -> list[Seat]:
    """Every rank of the deployment, by number."""
    seats = [seat for stage in list_stages(cluster, deployment) for seat in _seats(stage)]
    return sorted(seats, key=lambda seat: seat.rank)


def _seats(stage: MoEStage) -> list[Seat]:
    return [
        Seat(
            stage=stage.metadata.name,
            rank=one.rank,
            pod=one.pod,
            node=one.node or "",
            gpu=one.gpu,
            incarnation=one.incarnation,
            experts=tuple(expert.expert for expert in stage.spec.experts if one.rank in expert.ranks),
            lanes=tuple(lane.lane for lane in stage.spec.lanes if lane.rank == one.rank),
        )
        for one in stage.status.ranks
    ]


def _pod(pod: Json) -> Pod:
    return Pod(
        uid=pod["metadata"]["uid"],
        node=pod["spec"].get("nodeName", ""),
        restarts=sum(one["restartCount"] for one in pod["status"].get("containerStatuses", [])),
    )


def _changed(before: Mapping[Key, object], after: Mapping[Key, object]) -> frozenset[Key]:
    return frozenset(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
