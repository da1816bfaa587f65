"""`moe-local node ...`"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from moe_local.commands.context import clear_errors, state_of
from moe_local.errors import LocalError
from moe_local.remote import Daemon
from moe_local.state import State

app = typer.Typer(help="Cut the power or the network of embedded nodes and bring them back.", no_args_is_help=True)

Node = Annotated[str, typer.Argument(help="The node's name, such as node-03.")]


@app.command()
def stop(context: typer.Context, node: Node) -> None:
    """Power loss: the node's agent and all its pods' processes die at once, and nobody is told."""
    with clear_errors():
        _daemon(state_of(context), node).post(f"/local/nodes/{node}/stop")
        typer.echo(f"{node} is off")


@app.command()
def start(context: typer.Context, node: Node) -> None:
    """The node comes back, as after a reboot: the pods still bound to it are started again."""
    with clear_errors():
        _daemon(state_of(context), node).post(f"/local/nodes/{node}/start")
        typer.echo(f"{node} is on")


class Side(StrEnum):
    """What a node is cut off from."""

    API = "api"
    PEERS = "peers"
    ALL = "all"


WORDS = {
    Side.API: "the API server",
    Side.PEERS: "the other nodes",
    Side.ALL: "the API server and the other nodes",
}


@app.command()
def partition(
    context: typer.Context,
    node: Node,
    side: Annotated[
        Side,
        typer.Option(
            "--from",
            help="api: the node and its pods do not reach the API server. peers: its pods and those of other nodes"
            " do not reach each other (needs root). all: both.",
        ),
    ] = Side.ALL,
) -> None:
    """Pull the network cable: connections go silent, nothing is refused or closed, and nobody is told."""
    with clear_errors():
        _daemon(state_of(context), node).post(f"/local/nodes/{node}/partition/{side.value}")
        typer.echo(f"{node} is cut off from {WORDS[side]}")


@app.command()
def rejoin(context: typer.Context, node: Node) -> None:
    """Put the cable back."""
    with clear_errors():
        _daemon(state_of(context), node).post(f"/local/nodes/{node}/rejoin")
        typer.echo(f"{node} reaches everything again")


def _daemon(state: State, node: str) -> Daemon:
    settings = state.require()
    if node not in settings.node_names:
        raise LocalError(f"{node}: no such node; there are {', '.join(settings.node_names)}")
    return Daemon(state, settings)
