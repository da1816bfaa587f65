from __future__ import annotations

from typing import Any

import pytest

from moe_local.nodes.status import ContainerView, PodView, pod_status, running, terminated, waiting

NOW, LATER = "2030-01-01T00:00:00Z", "2030-01-01T00:00:09Z"


def container(state: dict[str, Any], **more: Any) -> ContainerView:
    return ContainerView(name="main", image="none", state=state, **more)


def view(*containers: ContainerView, policy: str = "Always", **more: Any) -> PodView:
    fixed = {"generation": 1, "init": [], "pod_ip": "10.244.0.1", "host_ip": "127.0.0.1", "start_time": NOW}
    return PodView(policy=policy, containers=containers, **{**fixed, **more})


def ended(code: int) -> dict[str, Any]:
    return terminated(code, NOW, NOW, "id")


@pytest.mark.parametrize(
    ("pod", "phase"),
    [
        (view(container(waiting("ContainerCreating"))), "Pending"),
        (view(container(running(NOW))), "Running"),
        (view(container(running(NOW)), container(waiting("ContainerCreating"))), "Pending"),
        (view(container(ended(1))), "Running"),
        (view(container(waiting("CrashLoopBackOff"), last_state=ended(1))), "Running"),
        (view(container(ended(0)), policy="OnFailure"), "Succeeded"),
        (view(container(ended(1)), policy="OnFailure"), "Running"),
        (view(container(ended(1)), policy="Never"), "Failed"),
        (view(container(ended(0)), container(ended(3)), policy="Never"), "Failed"),
        (view(container(ended(0)), is_over=True), "Succeeded"),
        (view(container(waiting("ContainerCreating")), is_over=True), "Failed"),
        (view(container(waiting("PodInitializing")), init=[container(running(NOW))]), "Pending"),
        (view(container(waiting("PodInitializing")), init=[container(ended(1))], policy="Never"), "Failed"),
    ],
)
def test_the_phase_follows_from_the_containers(pod: PodView, phase: str) -> None:
    assert pod_status(pod, [], NOW)["phase"] == phase


def conditions(status: dict[str, Any]) -> dict[str, Any]:
    return {one["type"]: (one["status"], one["lastTransitionTime"]) for one in status["conditions"]}


def test_the_time_of_a_condition_moves_only_with_its_status() -> None:
    first = pod_status(view(container(running(NOW))), [], NOW)
    assert conditions(first)["Ready"] == ("False", NOW)
    again = pod_status(view(container(running(NOW))), first["conditions"], LATER)
    assert conditions(again)["Ready"] == ("False", NOW)
    ready = pod_status(view(container(running(NOW), ready=True)), again["conditions"], LATER)
    assert conditions(ready)["Ready"] == ("True", LATER)
    assert conditions(ready)["Initialized"] == ("True", NOW)


def test_a_readiness_gate_holds_the_pod_back() -> None:
    pod = view(container(running(NOW), ready=True), gates=["moved.in"])
    assert conditions(pod_status(pod, [], NOW))["Ready"][0] == "False"
    gate = {"type": "moved.in", "status": "True", "lastTransitionTime": NOW}
    assert conditions(pod_status(pod, [gate], NOW))["Ready"][0] == "True"


def test_an_address_from_before_a_reboot_does_not_stay() -> None:
    assert pod_status(view(container(running(NOW))), [], NOW)["podIPs"] == [{"$patch": "replace"}, {"ip": "10.244.0.1"}]
