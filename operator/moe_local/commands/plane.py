"""`moe-local plane ...`"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from moe_local.commands.context import clear_errors, programs, say, state_of
from moe_local.plane import Plane

app = typer.Typer(help="Stop and start single programs of the control plane.", no_args_is_help=True)


class Name(StrEnum):
    """The programs. `nodes` is the daemon that holds all nodes; their pods end with it."""

    ETCD = "etcd"
    APISERVER = "apiserver"
    CONTROLLER_MANAGER = "controller-manager"
    SCHEDULER = "scheduler"
    NODES = "nodes"


Program = Annotated[Name, typer.Argument(help="Which program; `nodes` is all nodes with their pods.")]


@app.command()
def stop(
    context: typer.Context,
    program: Program,
    kill: Annotated[bool, typer.Option("--kill", help="SIGKILL at once, as a crash would be.")] = False,
) -> None:
    """Stop a program; the others go on."""
    with clear_errors():
        _stop(context, program, kill)


@app.command()
def start(context: typer.Context, program: Program) -> None:
    """Start a program that is stopped, and wait until it is ready."""
    with clear_errors():
        _start(context, program)


@app.command()
def restart(
    context: typer.Context,
    program: Program,
    kill: Annotated[bool, typer.Option("--kill", help="SIGKILL instead of SIGTERM.")] = False,
) -> None:
    """Stop a program, start it again and wait until it is ready."""
    with clear_errors():
        _stop(context, program, kill)
        _start(context, program)


def _plane(context: typer.Context) -> Plane:
    state = state_of(context)
    settings = state.require()
    return Plane(state, settings, programs(settings))


def _stop(context: typer.Context, program: Name, kill: bool) -> None:
    with state_of(context).locked():
        plane = _plane(context)
        stopped = plane.stop(program.value, 0.0) if kill else plane.stop(program.value)
    typer.echo(f"{program.value} {'stopped' if stopped else 'was not running'}")


def _start(context: typer.Context, program: Name) -> None:
    with state_of(context).locked():
        plane = _plane(context)
        started = plane.start(program.value)
        plane.await_ready(program.value, say)
    typer.echo(f"{program.value} {'is ready' if started else 'ran already and is ready'}")
