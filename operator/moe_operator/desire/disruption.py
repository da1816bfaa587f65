"""A stage's PodDisruptionBudget: no pod that holds experts or lanes is evicted, an emptied one is."""

from __future__ import annotations

from moe_api import names
from moe_api.stage import MoEStage
from moe_operator.api import Json
from moe_operator.desire.owner import metadata, owner_of


def disruption_budget(stage: MoEStage) -> Json:
    """As many pods must be left as the stage has: whoever is held is never let go.

    The API server judges a percentage or maxUnavailable only for controllers with a scale subresource. A pod that is
    not ready protects nothing, and may always go.
    """
    spec, labels = stage.spec, names.stage_labels(stage.spec.deployment, stage.spec.replica, stage.spec.stage)
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(stage.metadata.namespace, stage.metadata.name, labels, owner_of(stage)),
        "spec": {
            "minAvailable": len({rank.pod for rank in spec.ranks}),
            "selector": {"matchLabels": _selected(labels)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _selected(labels: dict[str, str]) -> dict[str, str]:
    keys = (names.LABEL_DEPLOYMENT, names.LABEL_REPLICA, names.LABEL_STAGE)
    return {key: labels[key] for key in keys} | names.holding_label(True)
