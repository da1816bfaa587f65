"""Waiting that says what for, gives up in time, and then says why: conditions, pods, events, the operator's log."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from demo.cluster import Cluster, CommandError
from demo.observe import list_stages, list_workers, read_deployment
from moe_api.conditions import Condition, find

Show = Callable[[str], None]
OPERATOR_NAMESPACE = "moe-system"
NUM_LINES = 12


class NeverHappened(Exception):
    """What was waited for did not come about; carries what it hung on, and a diagnosis."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a look showed: whether the waiting is over, and how things stand in one line."""

    done: bool
    text: str


def wait_for(
    what: str,
    look: Callable[[], Answer],
    *,
    timeout: float,
    show: Show,
    diagnose: Callable[[], str] = lambda: "",
    every: float = 1.0,
) -> float:
    """Look until it is done and give the seconds that took; NeverHappened after `timeout` seconds."""
    began = time.monotonic()
    while True:
        answer = _look(look)
        elapsed = time.monotonic() - began
        if answer.done:
            return elapsed
        show(f"{what}: {answer.text} ({elapsed:.0f} s)")
        if elapsed > timeout:
            raise NeverHappened(
                f"{what} did not happen within {timeout:.0f} s; it stands at: {answer.text}\n{diagnose()}"
            )
        time.sleep(every)


def _look(look: Callable[[], Answer]) -> Answer:
    try:
        return look()
    except httpx.TransportError as error:
        return Answer(done=False, text=f"the API server does not answer ({type(error).__name__})")


def look_at_availability(cluster: Cluster, name: str) -> Answer:
    """Whether the deployment is available as its spec is now, with nothing degraded; and how far it is."""
    found = read_deployment(cluster, name)
    if found is None:
        return Answer(done=False, text=f"moed/{name} is not there")
    status = found.status
    available = find(status.conditions, "Available")
    if status.observed_generation != found.metadata.generation:
        return Answer(done=False, text="the operator has not taken it up yet")
    planned = find(status.conditions, "Planned")
    if planned is not None and planned.status == "False":
        return Answer(done=False, text=_say(planned))
    why = f" - {available.reason}: {available.message}" if available is not None else ""
    degraded = find(status.conditions, "Degraded")
    if available is not None and available.status == "True":
        whole = degraded is None or degraded.status != "True"
        return Answer(done=whole, text=f"degraded: {degraded.message}" if degraded and not whole else "available")
    return Answer(done=False, text=f"{status.experts} experts, {status.gpus} GPUs{why}"[:160])


def diagnose(cluster: Cluster, name: str) -> str:
    """What there is to see of a deployment that does not come about."""
    sections = {
        f"conditions of moed/{name}": lambda: _conditions(cluster, name),
        "stages that are not available": lambda: _stages(cluster, name),
        "pods that are not ready": lambda: _pods(cluster, name),
        "last warnings": lambda: _warnings(cluster),
        "end of the operator's log": lambda: _operator_log(cluster),
    }
    return "\n".join(f"--- {title}\n{_try(read)}" for title, read in sections.items())


def _conditions(cluster: Cluster, name: str) -> str:
    found = read_deployment(cluster, name)
    return "not there" if found is None else "\n".join(map(_say, found.status.conditions))


def _stages(cluster: Cluster, name: str) -> str:
    lines = []
    for stage in list_stages(cluster, name):
        available = find(stage.status.conditions, "Available")
        if available is None or available.status != "True":
            lines.append(f"{stage.metadata.name}: {_say(available) if available else 'no condition yet'}")
    return "\n".join(lines[:NUM_LINES])


def _pods(cluster: Cluster, name: str) -> str:
    lines = []
    for pod in list_workers(cluster, name):
        containers = pod["status"].get("containerStatuses", [])
        if not containers or not all(one.get("ready") for one in containers):
            states = [one.get("state", {}) for one in containers]
            node = pod["spec"].get("nodeName", "no node")
            lines.append(f"{pod['metadata']['name']} on {node}: {pod['status'].get('phase')} {states}")
    return "\n".join(lines[:NUM_LINES])


def _warnings(cluster: Cluster) -> str:
    found = [one for one in cluster.list("events") if one.get("type") == "Warning"]
    found.sort(key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""))
    return "\n".join(
        f"{one['involvedObject'].get('name')}: {one.get('reason')}: {one.get('message')}" for one in found[-NUM_LINES:]
    )


def _operator_log(cluster: Cluster) -> str:
    return cluster.moe_local(
        "kubectl", "-n", OPERATOR_NAMESPACE, "logs", "deployment/moe-operator", f"--tail={NUM_LINES}", timeout=20
    )


def _try(read: Callable[[], str]) -> str:
    try:
        return read() or "none"
    except (CommandError, httpx.HTTPError, OSError, ValueError) as error:
        return f"cannot be read: {error}"


def _say(condition: Condition) -> str:
    return f"{condition.type}={condition.status} {condition.reason}: {condition.message}"
