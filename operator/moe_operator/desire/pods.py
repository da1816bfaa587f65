"""A stage's pods: one worker container each, with the GPUs of its ranks, near the node that the plan prefers."""

from __future__ import annotations

from collections.abc import Sequence

from moe_api import names
from moe_api.deployment import MoEDeploymentSpec
from moe_api.stage import MoEStage, RankSpec
from moe_operator.api import Json
from moe_operator.desire.owner import metadata, owner_of
from moe_operator.desire.settings import Images

HOSTNAME_LABEL = "kubernetes.io/hostname"
# A pod that keeps running on a node the API server has lost sight of still serves; only the operator says it is lost.
STAY_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def pod(
    stage: MoEStage,
    accepted: MoEDeploymentSpec,
    images: Images,
    *,
    node_rank: int,
    attempt: int,
    avoid: Sequence[str] = (),
    is_holding: bool = True,
) -> Json:
    """The pod of one node rank. `avoid` are nodes with a quarantined GPU; `is_holding` says whether it is protected."""
    spec = stage.spec
    seats = [rank for rank in spec.ranks if _node_rank(rank) == node_rank]
    preferred = next((seat.node for seat in seats if seat.node), None)
    affinity = _affinity(accepted, preferred, avoid)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(
            stage.metadata.namespace,
            names.pod_name(stage.metadata.name, node_rank, attempt),
            names.pod_labels(spec.deployment, spec.replica, spec.stage, node_rank) | names.holding_label(is_holding),
            owner_of(stage),
        ),
        "spec": {
            "serviceAccountName": names.worker_service_account(spec.deployment),
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 5,
            "enableServiceLinks": False,
            **({"affinity": {"nodeAffinity": affinity}} if affinity else {}),
            "tolerations": _tolerations(accepted),
            "containers": [_container(stage, accepted, images, seats, node_rank)],
            "volumes": _volumes(spec.deployment, accepted),
        },
    }


def model_path(path: str) -> str:
    """The checkpoint's folder as a container sees it."""
    return f"{names.MODEL_MOUNT}/{path}" if path else names.MODEL_MOUNT


def field_variables() -> list[Json]:
    """What a container learns of its own pod."""
    fields = {"POD_NAME": "metadata.name", "POD_UID": "metadata.uid", "POD_IP": "status.podIP"}
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]


def _container(
    stage: MoEStage, accepted: MoEDeploymentSpec, images: Images, seats: Sequence[RankSpec], node_rank: int
) -> Json:
    hardware = accepted.hardware
    return {
        "name": names.WORKER_CONTAINER,
        "image": accepted.worker.image or images.worker,
        "command": ["moe-worker"],
        "env": _environment(stage, seats, node_rank),
        "resources": {"limits": {hardware.resource_name: str(len(seats))}},
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": names.WORKER_PROBE_PORT},
            "periodSeconds": 2,
            "timeoutSeconds": 2,
        },
        "volumeMounts": [
            {"name": "model", "mountPath": names.MODEL_MOUNT, "readOnly": True},
            {"name": "data-path", "mountPath": names.SECRET_MOUNT, "readOnly": True},
            {"name": "state", "mountPath": names.STATE_MOUNT},
        ],
    }


def _environment(stage: MoEStage, seats: Sequence[RankSpec], node_rank: int) -> list[Json]:
    spec = stage.spec
    ranks = [seat.rank for seat in seats]
    last_layer = spec.first_layer + spec.num_layers - 1
    experts = [expert.expert for expert in spec.experts if set(expert.ranks) & set(ranks)]
    values = {
        "STAGE": str(spec.stage),
        "NODE_RANK": str(node_rank),
        "RANKS": _span(ranks),
        "WORLD_SIZE": str(spec.stages * spec.ranks_per_stage),
        "LOCAL_WORLD_SIZE": str(len(ranks)),
        "LAYERS": _span([spec.first_layer, last_layer]),
        "EXPERTS": _span(experts),
        "MOE_STAGE": stage.metadata.name,
        "MOE_DEPLOYMENT": spec.deployment,
        "MOE_NAMESPACE": stage.metadata.namespace,
        "MODEL_PATH": model_path(spec.model.path),
    }
    node = {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    return [*({"name": name, "value": value} for name, value in values.items()), *field_variables(), node]


def _span(numbers: Sequence[int]) -> str:
    """Ascending numbers for people: 48-55, 3, or 1,4-6."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _affinity(accepted: MoEDeploymentSpec, preferred: str | None, avoid: Sequence[str]) -> Json:
    affinity: Json = {}
    wanted: list[Json] = []
    if accepted.hardware.node_selector:
        labels = [_expression(key, "In", [value]) for key, value in sorted(accepted.hardware.node_selector.items())]
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {
            "nodeSelectorTerms": [{"matchExpressions": labels}]
        }
    # A wish, not a rule: where no other node is free, a pod with one bad GPU serves more than a pod that waits.
    if avoid:
        wanted.append(_wish(100, "NotIn", sorted(avoid)))
    if preferred is not None and preferred not in avoid:
        wanted.append(_wish(50, "In", [preferred]))
    if wanted:
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = wanted
    return affinity


def _wish(weight: int, operator: str, nodes: list[str]) -> Json:
    return {
        "weight": weight,
        "preference": {"matchExpressions": [_expression(HOSTNAME_LABEL, operator, nodes)]},
    }


def _expression(key: str, operator: str, values: list[str]) -> Json:
    return {"key": key, "operator": operator, "values": values}


def _tolerations(accepted: MoEDeploymentSpec) -> list[Json]:
    stay = [{"key": key, "operator": "Exists", "effect": "NoExecute"} for key in STAY_TAINTS]
    return stay + [toleration.dump() for toleration in accepted.hardware.tolerations]


def _volumes(deployment: str, accepted: MoEDeploymentSpec) -> list[Json]:
    return [
        {"name": "model", **accepted.model.source.volume},
        {"name": "data-path", "secret": {"secretName": names.secret_name(deployment)}},
        {"name": "state", "emptyDir": {}},
    ]


def _node_rank(seat: RankSpec) -> int:
    parsed = names.parse_pod_name(seat.pod)
    assert parsed is not None, f"{seat.pod} is no pod name of a stage"
    return parsed.node_rank
