from __future__ import annotations

from moe_api import names


def test_names_of_stages_and_pods_come_apart_again() -> None:
    stage = names.stage_name("my-r1-s02", 3, 7)
    assert stage == "my-r1-s02-r3-s07"
    assert names.parse_stage_name(stage) == names.StageName(deployment="my-r1-s02", replica=3, stage=7)
    pod = names.pod_name(stage, 1, 12)
    assert pod == "my-r1-s02-r3-s07-p1-a12"
    assert names.parse_pod_name(pod) == names.PodName(stage=stage, node_rank=1, attempt=12)


def test_foreign_names_are_none() -> None:
    assert names.parse_stage_name("reference") is None
    assert names.parse_pod_name("reference-gateway-abc") is None


def test_the_longest_deployment_name_leaves_pods_a_host_name() -> None:
    stage = names.stage_name("d" * names.MAX_DEPLOYMENT_NAME, 255, 1023)
    assert len(names.pod_name(stage, 511, 99)) <= 63


def test_pod_labels_contain_what_selectors_ask_for() -> None:
    labels = names.pod_labels("ref", 0, 3, 1)
    for selector in (names.deployment_selector("ref"), names.worker_selector("ref"), names.stage_selector("ref", 0, 3)):
        assert all(labels[key] == value for key, value in (part.split("=") for part in selector.split(",")))
