from __future__ import annotations

import base64
from typing import Any

import pytest

from moe_local.errors import StartError
from moe_local.nodes.environment import (
    Facts,
    expand,
    parse_quantity,
    references,
    requests_processor,
    resolve,
    resource_value,
)

Json = dict[str, Any]

POD: Json = {
    "metadata": {
        "name": "p",
        "namespace": "n",
        "uid": "u",
        "labels": {"app": "x", "b": "y"},
        "annotations": {"note": "z"},
    },
    "spec": {"nodeName": "node-00", "serviceAccountName": "robot"},
}
FACTS = Facts(pod=POD, pod_ip="127.244.0.1", host_ip="127.0.0.1", allocatable={"cpu": "64", "memory": "512Gi"})
OBJECTS = {
    ("configmaps", "c"): {"data": {"k": "config"}},
    ("secrets", "s"): {"data": {"k": base64.b64encode(b"secret").decode()}},
}


def lookup(kind: str, name: str) -> Json | None:
    return OBJECTS.get((kind, name))


def variables(container: Json) -> dict[str, str]:
    return resolve(container, {"PATH": "/bin"}, FACTS, lookup)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"),
        ("metadata.uid", "u"),
        ("metadata.labels['app']", "x"),
        ("metadata.annotations['missing']", ""),
        ("metadata.labels", 'app="x"\nb="y"'),
        ("spec.nodeName", "node-00"),
        ("spec.serviceAccountName", "robot"),
        ("status.podIP", "127.244.0.1"),
        ("status.hostIP", "127.0.0.1"),
    ],
)
def test_the_downward_api_tells_of_the_pod(path: str, value: str) -> None:
    env = [{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    assert variables({"env": env})["V"] == value


def test_an_unknown_field_is_refused_with_the_known_ones() -> None:
    env = [{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": "spec.colour"}}}]
    with pytest.raises(StartError, match=r"spec\.colour: not known; use one of metadata\.name"):
        variables({"env": env})


def test_later_sources_win_and_earlier_variables_can_be_used() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "c"}, "prefix": "P_"}, {"secretRef": {"name": "s"}}],
        "env": [
            {"name": "A", "value": "$(P_k)/$(k)/$(PATH)/$(LATER)/$$(k)"},
            {"name": "LATER", "value": "x"},
            {"name": "k", "value": "own"},
        ],
    }
    found = variables(container)
    assert found["A"] == "config/secret//bin/$(LATER)/$(k)"
    assert found["k"] == "own"


def test_keys_of_objects_are_read_and_may_be_optional() -> None:
    container = {
        "env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": True}}},
        ]
    }
    found = variables(container)
    assert found["A"] == "secret"
    assert "B" not in found
    assert references(container) == {("secrets", "s"), ("configmaps", "none")}


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"secretKeyRef": {"name": "none", "key": "k"}}, 'secret "none" not found'),
        ({"configMapKeyRef": {"name": "c", "key": "no"}}, "couldn't find key no in configmap c"),
    ],
)
def test_what_is_missing_is_named(reference: Json, message: str) -> None:
    with pytest.raises(StartError, match=message) as raised:
        variables({"env": [{"name": "V", "valueFrom": reference}]})
    assert raised.value.reason == "CreateContainerConfigError"


def test_resources_come_in_units_of_their_divisor_and_default_to_the_node() -> None:
    container = {"resources": {"limits": {"memory": "1Gi", "cpu": "1500m"}}}
    assert resource_value({"resource": "limits.memory", "divisor": "1Mi"}, container, FACTS) == "1024"
    assert resource_value({"resource": "limits.cpu"}, container, FACTS) == "2"
    assert resource_value({"resource": "limits.cpu", "divisor": "1m"}, container, FACTS) == "1500"
    assert resource_value({"resource": "limits.cpu"}, {}, FACTS) == "64"
    assert resource_value({"resource": "requests.cpu"}, {}, FACTS) == "0"


def test_quantities_are_read_as_kubernetes_writes_them() -> None:
    assert [parse_quantity(text) for text in ("2", "500m", "2Ki", "3M", "1Gi")] == [2.0, 0.5, 2048.0, 3e6, 2.0**30]


def test_unknown_references_stay_as_they_are() -> None:
    assert expand("$(A) $(B) $C $$(A)", {"A": "1"}) == "1 $(B) $C $(A)"


@pytest.mark.parametrize(
    ("resources", "is_promised"),
    [
        (None, False),
        ({"requests": {"memory": "1Gi"}}, False),
        ({"requests": {"cpu": "0"}}, False),
        ({"requests": {"cpu": "100m"}}, True),
        ({"limits": {"cpu": 2}}, True),
    ],
)
def test_processor_time_is_promised_to_whoever_requests_some(resources: object, is_promised: bool) -> None:
    assert requests_processor({"name": "c", "resources": resources}) is is_promised
