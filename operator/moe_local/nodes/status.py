"""A pod's status, computed from what its containers do. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from moe_local.nodes.backoff import restarts

Json = dict[str, Any]


@dataclass(kw_only=True)
class ContainerView:
    """What is known of one container. `state` and `last_state` are as in the API."""

    name: str
    image: str
    id: str = ""
    state: Json = field(default_factory=lambda: waiting("ContainerCreating"))
    last_state: Json = field(default_factory=dict)
    restart_count: int = 0
    ready: bool = False
    started: bool = False
    gpus: Json = field(default_factory=dict)
    """`allocatedResourcesStatus` of its GPUs; empty where it has none."""

    @property
    def exit_code(self) -> int | None:
        """The code it ended with; None while it waits or runs."""
        ended = self.state.get("terminated")
        return int(ended["exitCode"]) if ended else None

    def to_json(self) -> Json:
        """A ContainerStatus."""
        return {
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "containerID": self.id,
            "state": self.state,
            "lastState": self.last_state,
            "restartCount": self.restart_count,
            "ready": self.ready,
            "started": self.started,
        } | ({"allocatedResourcesStatus": [self.gpus]} if self.gpus else {})


@dataclass(kw_only=True)
class PodView:
    """What is known of a pod."""

    policy: str
    generation: int
    init: Sequence[ContainerView]
    containers: Sequence[ContainerView]
    pod_ip: str
    host_ip: str
    start_time: str
    gates: Sequence[str] = ()
    is_over: bool = False
    """Its containers will not be started again."""


def rfc3339(moment: datetime.datetime) -> str:
    """Whole seconds, UTC."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def waiting(reason: str, message: str = "") -> Json:
    """A waiting state."""
    return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}


def running(since: str) -> Json:
    """A running state."""
    return {"running": {"startedAt": since}}


def terminated(code: int, started: str, finished: str, container: str, message: str = "") -> Json:
    """A terminated state."""
    ended = {
        "exitCode": code,
        "reason": "Completed" if code == 0 else "Error",
        "startedAt": started,
        "finishedAt": finished,
        "containerID": container,
    }
    return {"terminated": ended | ({"message": message} if message else {})}


def phase(view: PodView) -> str:
    """Pending, Running, Succeeded or Failed."""
    codes = [container.exit_code for container in view.containers]
    init_codes = [container.exit_code for container in view.init]
    if any(code not in (None, 0) for code in init_codes) and (view.is_over or view.policy == "Never"):
        return "Failed"
    if view.is_over or (codes and all(_is_final(view.policy, code) for code in codes)):
        return "Succeeded" if all(code == 0 for code in codes) else "Failed"
    if any(code != 0 for code in init_codes):
        return "Pending"
    has_begun = [bool(container.last_state or "waiting" not in container.state) for container in view.containers]
    return "Running" if all(has_begun) else "Pending"


def conditions(view: PodView, known: Sequence[Json], now: str) -> list[Json]:
    """The conditions a node owns; the time of one moves only when its status does."""
    before = {condition["type"]: condition for condition in known}
    initialized = all(container.exit_code == 0 for container in view.init)
    unready = [container.name for container in view.containers if not container.ready]
    is_done = phase(view) == "Succeeded"
    why = ("PodCompleted", "") if is_done else ("ContainersNotReady", f"containers with unready status: {unready}")
    gates = [gate for gate in view.gates if before.get(gate, {}).get("status") != "True"]
    results = [
        ("PodReadyToStartContainers", bool(view.pod_ip) and not view.is_over, ("", "")),
        ("Initialized", initialized, ("ContainersNotInitialized", "init containers have not completed")),
        ("ContainersReady", not unready, why),
        ("Ready", not unready and not gates, why if unready else ("ReadinessGatesNotReady", f"gates: {gates}")),
    ]
    return [_condition(before.get(name), name, good, reason, now) for name, good, reason in results]


def pod_status(view: PodView, known: Sequence[Json], now: str) -> Json:
    """The whole status, to be merged into the pod's."""
    status: Json = {
        "observedGeneration": view.generation,
        "phase": phase(view),
        "conditions": conditions(view, known, now),
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        "startTime": view.start_time,
        "containerStatuses": [container.to_json() for container in view.containers],
    }
    if view.init:
        status["initContainerStatuses"] = [container.to_json() for container in view.init]
    if view.pod_ip:
        # Lists of addresses merge by address: without `replace` one from before a reboot would stay.
        status |= {"podIP": view.pod_ip, "podIPs": [{"$patch": "replace"}, {"ip": view.pod_ip}]}
    return status


def _is_final(policy: str, code: int | None) -> bool:
    return code is not None and not restarts(policy, code)


def _condition(before: Json | None, name: str, good: bool, why: tuple[str, str], now: str) -> Json:
    status = "True" if good else "False"
    since = before["lastTransitionTime"] if before and before.get("status") == status else now
    result = {"type": name, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    # Null removes what an earlier state left.
    reason, message = ("", "") if good else why
    return result | {"reason": reason or None, "message": message or None}
