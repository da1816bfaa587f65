"""Places in spec.failover that name nothing: a node that is not there, a GPU that no pod on it has. Judges words only.

Nothing else follows from it: such an entry may be early, or late, and takes effect when what it names comes.
"""

from __future__ import annotations

from collections.abc import Iterable

from moe_api.deployment import MoEDeployment
from moe_api.engine import GpuPlace
from moe_api.stage import MoEStage, RankStatus
from moe_operator.snapshot import DeploymentSnapshot

REMEDY = "correct it or take it out"


def has_places(deployment: MoEDeployment) -> bool:
    """Whether the spec names any node at all."""
    failover = deployment.spec.failover
    return bool(failover.evacuate or failover.cleared)


def unknown_places(snapshot: DeploymentSnapshot) -> tuple[str, ...]:
    """Every entry that names nothing, with its field, value and what to do."""
    if snapshot.deployment is None:
        return ()
    failover, hardware = snapshot.deployment.spec.failover, snapshot.deployment.spec.hardware
    nodes = frozenset(node.name for node in snapshot.nodes)
    named: list[tuple[str, GpuPlace]] = [
        *((f"spec.failover.evacuate[{index}]", place) for index, place in enumerate(failover.evacuate)),
        *((f"spec.failover.cleared[{index}]", place) for index, place in enumerate(failover.cleared)),
    ]
    faults = []
    for field, place in named:
        if place.node not in nodes:
            faults.append(f"{field}.node = {place.node}: no node is called so; it counts when one comes, else {REMEDY}")
        elif fault := _gpu_fault(place, _ranks_on(place.node, snapshot.stages), hardware.gpus_per_node):
            faults.append(f"{field}.{fault}; {REMEDY}")
    return tuple(faults)


def _gpu_fault(place: GpuPlace, ranks: list[RankStatus], gpus_per_node: int) -> str:
    """What the place says wrongly of the GPUs of a node that is there; "" where nothing, or nobody can tell yet."""
    if not ranks:
        is_beyond = place.gpu is not None and place.gpu >= gpus_per_node
        return f"gpu = {place.gpu}: spec.hardware.gpusPerNode is {gpus_per_node}" if is_beyond else ""
    gpus = sorted({rank.gpu for rank in ranks})
    if place.gpu is not None and place.gpu not in gpus:
        return f"gpu = {place.gpu}: the pods on {place.node} have GPUs {', '.join(map(str, gpus))}"
    if place.uuid is None or not all(rank.uuid for rank in ranks):
        return ""
    meant = [rank for rank in ranks if rank.uuid == place.uuid]
    if not meant:
        known = ", ".join(sorted({str(rank.uuid) for rank in ranks}))
        return f"uuid = {place.uuid}: the pods on {place.node} have {known}"
    if place.gpu is not None and all(rank.gpu != place.gpu for rank in meant):
        return f"gpu = {place.gpu}: {place.uuid} is GPU {meant[0].gpu} of its pod"
    return ""


def _ranks_on(node: str, stages: Iterable[MoEStage]) -> list[RankStatus]:
    return [rank for stage in stages for rank in stage.status.ranks if rank.node == node]
