"""`moe-local node ...`"""

from __future__ import annotations

from typing import Annotated

import typer

from moe_local.commands.context import clear_errors, state_of
from moe_local.errors import LocalError
from moe_local.remote import Daemon
from moe_local.state import State

app = typer.Typer(help="Cut the power of embedded nodes and bring them back.", no_args_is_help=True)

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


def _daemon(state: State, node: str) -> Daemon:
    settings = state.require()
    if node not in settings.node_names:
        raise LocalError(f"{node}: no such node; there are {', '.join(settings.node_names)}")
    return Daemon(state, settings)
