"""The command line: `kubectl-moe plan | status | map`. Parses, calls, prints; decides nothing."""

import json
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console, RenderableType

from moe_api import problems
from moe_api.deployment import MoEDeployment
from moe_api.planning import plan_deployment
from moe_kubectl.errors import CommandError
from moe_kubectl.files import read_deployment
from moe_planner.errors import PlanError
from moe_planner.render import as_text
from moe_planner.values import as_dict

_PIPE_COLUMNS = 240
_MAP_COLUMNS = 1000


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("-o", "--output", help="How to print the result.")]
File = Annotated[str, typer.Option("-f", "--filename", help="YAML or JSON file with one MoEDeployment; - for stdin.")]
Name = Annotated[str | None, typer.Argument(help="The MoEDeployment; every one of the namespace when left out.")]
Namespace = Annotated[str | None, typer.Option("-n", "--namespace", help="Default: that of the kubeconfig's context.")]
Kubeconfig = Annotated[str | None, typer.Option(help="Path of the kubeconfig. Default: $KUBECONFIG, ~/.kube/config.")]
Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]

app = typer.Typer(
    name="kubectl-moe",
    help="Plans Mixture-of-Experts deployments and shows where their experts are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def plan(filename: File, output: Output = Format.TABLE) -> None:
    """Show the layout that a MoEDeployment would get, and why. Needs no cluster."""
    deployment = read_deployment(filename)
    try:
        planned = plan_deployment(deployment)
    except PlanError as error:
        source = "stdin" if filename == "-" else filename
        raise CommandError(f"{source}: {problems.of_plan(error)}") from error
    if output is Format.TABLE:
        sys.stdout.write(as_text(planned))
    else:
        _print_values(as_dict(planned), output)


@app.command()
def status(
    name: Name = None,
    namespace: Namespace = None,
    output: Output = Format.TABLE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show conditions, experts and the last failovers."""
    from moe_kubectl.api import connect, current_namespace  # the API client takes a second, and plan needs none
    from moe_kubectl.views import status_view

    cluster = connect(kubeconfig, context)
    namespace = namespace or current_namespace(kubeconfig, context)
    chosen = _choose(cluster.deployments(namespace), name, namespace)
    if output is not Format.TABLE:
        _print_values([deployment.dump() for deployment in chosen], output)
        return
    for deployment in chosen:
        _print(status_view(deployment, cluster.stages(namespace, deployment.metadata.name)))


@app.command(name="map")
def map_(
    name: Name = None,
    namespace: Namespace = None,
    output: Output = Format.TABLE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Draw the expert map: stages as rows, GPUs as cells, masked GPUs and moved experts marked."""
    from moe_kubectl.api import connect, current_namespace  # the API client takes a second, and plan needs none
    from moe_kubectl.expert_map import as_values, expert_map
    from moe_kubectl.views import map_view

    cluster = connect(kubeconfig, context)
    namespace = namespace or current_namespace(kubeconfig, context)
    chosen = _choose(cluster.deployments(namespace), name, namespace)
    maps = {d.metadata.name: expert_map(d, cluster.stages(namespace, d.metadata.name)) for d in chosen}
    if output is not Format.TABLE:
        values = [{"deployment": deployment, "stages": as_values(rows)} for deployment, rows in maps.items()]
        _print_values(values, output)
        return
    for deployment, rows in maps.items():
        _print(deployment)
        _print(map_view(rows), columns=_MAP_COLUMNS)


def _choose(found: list[MoEDeployment], name: str | None, namespace: str) -> list[MoEDeployment]:
    chosen = [deployment for deployment in found if name in (None, deployment.metadata.name)]
    if chosen:
        return chosen
    known = ", ".join(deployment.metadata.name for deployment in found) or "none"
    wanted = f"MoEDeployment {name}" if name else "MoEDeployment"
    raise CommandError(f"namespace {namespace} has no {wanted} (there are: {known}); give another name or -n NAMESPACE")


def _print(view: RenderableType, columns: int | None = None) -> None:
    """As wide as the terminal unless `columns` says otherwise; a pipe gets whole lines. NO_COLOR is respected."""
    wide = columns or (None if sys.stdout.isatty() else _PIPE_COLUMNS)
    Console(width=wide, highlight=False, markup=False).print(view)


def _print_values(values: Any, output: Format) -> None:
    text = json.dumps(values, indent=2) + "\n" if output is Format.JSON else yaml.safe_dump(values, sort_keys=False)
    sys.stdout.write(text)


def main() -> None:
    """Exit codes: 0 done, 2 wrong input or no answer."""
    try:
        app()
    except CommandError as error:
        for message in error.messages:
            sys.stderr.write(f"error: {message}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
