"""`moe-local`: the embedded cluster's command line. Knows only which commands there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moe_local.commands import access, cluster, gpu, node, plane

app = typer.Typer(
    help="A real Kubernetes control plane on this machine, with nodes that run pods as processes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PASS_THROUGH = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@app.callback()
def options(
    state: Annotated[
        Path | None,
        typer.Option(help="The cluster's state folder. [default: .moe-local here]", envvar="MOE_LOCAL_STATE"),
    ] = None,
) -> None:
    """The options of every command."""


app.command()(cluster.up)
app.command()(cluster.down)
app.command()(cluster.status)
app.command()(access.kubeconfig)
app.command(context_settings=PASS_THROUGH)(access.kubectl)
app.command()(access.url)
app.command()(cluster.build)
app.add_typer(gpu.app, name="gpu")
app.add_typer(node.app, name="node")
app.add_typer(plane.app, name="plane")


def main() -> None:
    """The console script."""
    app(prog_name="moe-local")


if __name__ == "__main__":
    main()
