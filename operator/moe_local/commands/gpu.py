"""`moe-local gpu ...`"""

from __future__ import annotations

from typing import Annotated

import typer

from moe_local import gpus
from moe_local.commands.context import clear_errors, state_of
from moe_local.nodes.signs import Sign
from moe_local.remote import Daemon

app = typer.Typer(help="Fail, heal and list the GPUs of the embedded nodes.", no_args_is_help=True)

Node = Annotated[str, typer.Argument(help="The node's name, such as node-03.")]
Index = Annotated[int, typer.Argument(help="The GPU's index on the node, from 0.")]


@app.command()
def fail(
    context: typer.Context,
    node: Node,
    index: Index,
    how: Annotated[
        gpus.How,
        typer.Option(
            help="exit: the process that drives it is killed, the device stays good. hang: that process is stopped."
            " device: it is killed, and the device stays broken until `gpu heal`. slow: nothing is killed, the device"
            " takes longer until `gpu heal`."
        ),
    ] = gpus.How.DEVICE,
    reason: Annotated[str, typer.Option(help="What a failed device reports.")] = gpus.DEFAULT_REASON,
    factor: Annotated[float, typer.Option(help="How many times as long a slow device takes.")] = gpus.DEFAULT_FACTOR,
) -> None:
    """Make a GPU, or the process that drives it, fail."""
    with clear_errors():
        state = state_of(context)
        typer.echo(gpus.fail(state, state.require(), node, index, how, reason, factor))


@app.command()
def heal(context: typer.Context, node: Node, index: Index) -> None:
    """Make a failed GPU healthy again (and let a stopped process go on)."""
    with clear_errors():
        state = state_of(context)
        typer.echo(gpus.heal(state, state.require(), node, index))


@app.command()
def report(
    context: typer.Context,
    node: Node,
    index: Index,
    sign: Annotated[
        Sign,
        typer.Option(
            "--as",
            help="condition: of the node, as NVSentinel writes it. taint: of the node. allocatable: one GPU less, as"
            " the device plugin does. resource: unhealthy in the status of the pod that has it, as the kubelet does.",
        ),
    ] = Sign.CONDITION,
    clear: Annotated[bool, typer.Option("--clear", help="Take back whatever was reported of this GPU.")] = False,
) -> None:
    """Have others than its driver say that a GPU is bad; the GPU itself goes on."""
    with clear_errors():
        state = state_of(context)
        settings = state.require()
        gpus.check(settings, node, index)
        order = "clear" if clear else f"report/{sign.value}"
        Daemon(state, settings).post(f"/local/nodes/{node}/gpus/{index}/{order}")
        typer.echo(f"{node} GPU {index} is reported {'good' if clear else f'bad: {sign.value}'}")


@app.command("list")
def list_all(context: typer.Context) -> None:
    """Show every GPU: its health and the process that drives it."""
    with clear_errors():
        state = state_of(context)
        typer.echo(f"{'NODE':<12}{'GPU':<6}{'PID':<10}HEALTH")
        for gpu in gpus.inspect(state, state.require()):
            typer.echo(f"{gpu.node:<12}{gpu.index:<6}{gpu.driver or '-':<10}{gpu.health}")
