"""`moe-local kubeconfig`, `kubectl`, `url`: ways into the cluster."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from moe_local.commands.context import clear_errors, programs, say, state_of
from moe_local.errors import LocalError
from moe_local.remote import Daemon

POLL_SECONDS = 0.2
REMINDER_SECONDS = 5.0


def kubeconfig(context: typer.Context) -> None:
    """Print the path of the cluster's kubeconfig."""
    with clear_errors():
        state = state_of(context)
        state.require()
        typer.echo(state.kubeconfig)


def kubectl(context: typer.Context) -> None:
    """Run the kubectl built beside the cluster, with its kubeconfig; all arguments are passed on."""
    with clear_errors():
        state = state_of(context)
        path = programs(state.require())["kubectl"]
        # Beside us lie the plugins, such as kubectl-moe.
        os.execve(path, ["kubectl", *context.args], os.environ | {"KUBECONFIG": str(state.kubeconfig)})


def url(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="The Service's name.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")] = "default",
    port: Annotated[str, typer.Option(help="The name of the port, where there are several.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a ready pod behind it.")] = 60.0,
) -> None:
    """Print a URL at which a Service answers; it stays the same while pods come and go."""
    with clear_errors():
        state = state_of(context)
        daemon = Daemon(state, state.require())
        typer.echo(_await_url(daemon, service, namespace, port, timeout))


def _await_url(daemon: Daemon, service: str, namespace: str, port: str, timeout: float) -> str:
    began, reminded = time.monotonic(), time.monotonic() - REMINDER_SECONDS
    while True:
        missing, ready = _look(daemon, service, namespace, port)
        if ready:
            return ready
        now = time.monotonic()
        if now - began > timeout:
            raise LocalError(f"{missing} after {timeout:g} s; see `moe-local kubectl get pods -n {namespace}`")
        if now - reminded >= REMINDER_SECONDS:
            say(f"waiting: {missing}")
            reminded = now
        time.sleep(POLL_SECONDS)


def _look(daemon: Daemon, service: str, namespace: str, port: str) -> tuple[str, str]:
    """What is missing, or the URL."""
    try:
        found = daemon.get(f"/local/services/{namespace}/{service}")["ports"]
    except LocalError as error:
        if "no such Service" not in str(error):
            raise
        return str(error), ""
    matching = [one for one in found if not port or one["name"] == port]
    if found and not matching:
        names = ", ".join(one["name"] for one in found)
        raise LocalError(f"--port {port}: {namespace}/{service} has no such port; it has {names}")
    for one in matching:
        if one["error"]:
            raise LocalError(f"{one['error']}: stop the program that listens there")
        if one["ready"]:
            return "", f"http://{one['address'][0]}:{one['address'][1]}"
    return f"{namespace}/{service} has no ready pod", ""
