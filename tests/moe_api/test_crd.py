from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moe_api.crd import deployment_crd, files, stage_crd

CRDS = Path(__file__).parents[2] / "crds"


def schema(definition: dict[str, Any]) -> dict[str, Any]:
    root: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")


def test_the_files_are_what_the_models_generate() -> None:
    assert {path.name: path.read_text() for path in CRDS.iterdir()} == files()


@pytest.mark.parametrize("definition", [deployment_crd(), stage_crd()])
def test_the_schema_is_structural(definition: dict[str, Any]) -> None:
    for path, node in nodes(schema(definition)):
        assert not {"$ref", "anyOf", "title", "const"} & set(node), path
        assert node.get("type") or node.get("x-kubernetes-int-or-string"), path


@pytest.mark.parametrize("definition", [deployment_crd(), stage_crd()])
def test_every_field_is_described(definition: dict[str, Any]) -> None:
    missing = [path for path, node in nodes(schema(definition)) if path != ".metadata" and not node.get("description")]
    described_by_parent = [path for path in missing if path.endswith("[]")]
    assert missing == described_by_parent


def test_every_number_of_a_spec_has_bounds() -> None:
    spec = schema(deployment_crd())["properties"]["spec"]
    unbounded = [
        path
        for path, node in nodes(spec)
        if node.get("type") in ("integer", "number") and not {"minimum", "maximum"} <= set(node)
    ]
    assert unbounded == [".hardware.tolerations[].tolerationSeconds"]


def test_what_is_off_when_left_out_is_not_turned_on_by_a_default() -> None:
    experts = schema(deployment_crd())["properties"]["spec"]["properties"]["experts"]
    assert experts["default"] == {"copies": 1, "spareCopies": 0, "survive": "nothing"}
    assert "default" not in experts["properties"]["rebalance"]
    assert experts["properties"]["rebalance"]["properties"]["moves"]["default"] == 4


def test_every_list_says_how_it_merges() -> None:
    for definition in (deployment_crd(), stage_crd()):
        for path, node in nodes(schema(definition)):
            if node.get("type") == "array":
                expected = "map" if path.endswith(".conditions") else "atomic"
                assert node["x-kubernetes-list-type"] == expected, path


def test_a_status_has_no_defaults_and_scale_reads_it() -> None:
    status = schema(deployment_crd())["properties"]["status"]
    assert not [path for path, node in nodes(status) if "default" in node]
    assert deployment_crd()["spec"]["versions"][0]["subresources"]["scale"] == {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    assert {"replicas", "selector"} <= set(status["properties"])


def test_columns_read_fields_that_exist() -> None:
    for definition in (deployment_crd(), stage_crd()):
        status = schema(definition)["properties"]["status"]["properties"]
        for column in definition["spec"]["versions"][0]["additionalPrinterColumns"]:
            path = column["jsonPath"]
            if path.startswith(".status.") and "conditions" not in path:
                assert path.removeprefix(".status.") in status, path
