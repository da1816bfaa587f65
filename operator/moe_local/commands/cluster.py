"""`moe-local up`, `down`, `status`, `build`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from moe_local import cluster
from moe_local.commands.context import clear_errors, programs, say, state_of
from moe_local.errors import ClusterDown
from moe_local.plane import PROGRAM_NAMES, Plane
from moe_local.remote import Daemon
from moe_local.state import DEFAULT_PRELOAD, Settings, State

DEFAULT_CRDS = Path("crds")


def up(
    context: typer.Context,
    nodes: Annotated[int, typer.Option(help="How many nodes.")] = 32,
    gpus_per_node: Annotated[int, typer.Option(help="How many GPUs each node has.")] = 8,
    crds: Annotated[
        list[Path] | None,
        typer.Option(help="A folder of CustomResourceDefinitions to install; repeat it for more. [default: ./crds]"),
    ] = None,
    preload: Annotated[
        str, typer.Option(help="Python modules that the process imports from which pods are forked, comma separated.")
    ] = ",".join(DEFAULT_PRELOAD),
) -> None:
    """Bring the embedded cluster up, or complete it when it is half up. Safe to repeat at any time."""
    with clear_errors():
        state, began = state_of(context), time.monotonic()
        binaries = programs()
        folders = tuple(crds) if crds else (DEFAULT_CRDS,) if DEFAULT_CRDS.is_dir() else ()
        modules = tuple(module for module in preload.split(",") if module)
        wish = cluster.Wish(nodes=nodes, gpus_per_node=gpus_per_node, crds=folders, preload=modules)
        settings = cluster.up(state, wish, binaries, say)
        typer.echo(
            f"cluster with {settings.nodes} nodes of {settings.gpus_per_node} GPUs is up after"
            f" {time.monotonic() - began:.1f} s: {settings.server}\nexport KUBECONFIG={state.kubeconfig}"
        )


def down(context: typer.Context) -> None:
    """Kill everything that belongs to the cluster, pods included, and remove its state. Built programs stay."""
    with clear_errors():
        state = state_of(context)
        typer.echo(f"the cluster at {state.root} {'is gone' if cluster.down(state) else 'did not exist'}")


def status(context: typer.Context) -> None:
    """Show what runs. Ends with 1 when anything is missing."""
    with clear_errors():
        state = state_of(context)
        settings = state.require()
        plane = Plane(state, settings, programs(settings))
        health = {name: _health(plane, name) for name in PROGRAM_NAMES}
        for name, word in health.items():
            typer.echo(f"{name:<20}{word:<12}{plane.log(name)}")
        if health["nodes"] == "healthy":
            _show_nodes(state, settings)
        if set(health.values()) != {"healthy"}:
            raise ClusterDown("the cluster is not complete: run `moe-local up`")


def build() -> None:
    """Build the control plane's programs into the cache, unless they are there."""
    with clear_errors():
        for program, path in programs().paths.items():
            typer.echo(f"{program:<25}{path}")


def _health(plane: Plane, name: str) -> str:
    if not plane.is_running(name):
        return "stopped"
    return "healthy" if plane.is_healthy(name) else "unhealthy"


def _show_nodes(state: State, settings: Settings) -> None:
    nodes = Daemon(state, settings).get("/local/nodes")
    off = [node["name"] for node in nodes if not node["on"]]
    cut = [f"{node['name']} from {' and '.join(node['cut_from'])}" for node in nodes if node["cut_from"]]
    pods = sum(node["pods"] for node in nodes)
    typer.echo(f"{len(nodes)} nodes of {settings.gpus_per_node} GPUs, off: {', '.join(off) or 'none'}; {pods} pods")
    if cut:
        typer.echo(f"cut off: {', '.join(cut)}")
