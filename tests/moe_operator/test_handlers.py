"""Which keys an event marks."""

from __future__ import annotations

from moe_api import names
from moe_operator.handlers import keys_of_labels
from moe_operator.queue import Key


def test_a_pod_marks_its_stage_and_its_deployment() -> None:
    keys = keys_of_labels("space", names.pod_labels("big", 1, 3, 0))

    assert keys == [
        Key(kind="MoEDeployment", namespace="space", name="big"),
        Key(kind="MoEStage", namespace="space", name="big-r1-s03"),
    ]


def test_a_gateway_marks_its_deployment() -> None:
    keys = keys_of_labels("space", names.gateway_labels("big"))

    assert keys == [Key(kind="MoEDeployment", namespace="space", name="big")]


def test_foreign_or_senseless_labels_mark_nothing_of_a_stage() -> None:
    assert keys_of_labels("space", {"app": "other"}) == []
    odd = {names.LABEL_DEPLOYMENT: "big", names.LABEL_REPLICA: "x", names.LABEL_STAGE: "0"}
    assert [key.kind for key in keys_of_labels("space", odd)] == ["MoEDeployment"]
