"""The command line: `kubectl-moe plan | init | status | map | drill`. Parses, calls, prints; decides nothing."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console, RenderableType
from typer.exceptions import TyperException

from moe_api.deployment import MoEDeployment
from moe_kubectl.errors import CommandError
from moe_kubectl.files import read_config
from moe_kubectl.initial import initial_deployment, name_of
from moe_kubectl.plan_command import Asked, answer
from moe_planner.errors import PlanError
from moe_planner.profiles import NAMES

if TYPE_CHECKING:
    from moe_kubectl.api import KubeCluster

_PIPE_COLUMNS = 240
_MAP_COLUMNS = 1000


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("-o", "--output", help="How to print the result.")]
File = Annotated[
    str | None,
    typer.Option("-f", "--filename", help="A MoEDeployment, or a bare planning file; - for stdin."),
]
Model = Annotated[str | None, typer.Option("--model", help="Folder with a config.json, instead of the file's model.")]
Gpus = Annotated[int | None, typer.Option("--gpus", min=1, help="GPUs in all.")]
Nodes = Annotated[int | None, typer.Option("--nodes", min=1, help="Nodes.")]
GpusPerNode = Annotated[int | None, typer.Option("--gpus-per-node", min=1, help="GPUs of each node.")]
Hardware = Annotated[str | None, typer.Option("--hardware", help=f"Profile of the GPUs: {', '.join(NAMES)}.")]
Fix = Annotated[
    list[str] | None, typer.Option("--fix", help="Fix ep, pp, tp, sp, dp or copies, e.g. ep=16; may be given again.")
]
Objective = Annotated[str | None, typer.Option("--objective", help="balance, cheapest or fastest.")]
LoadsOption = Annotated[
    str | None, typer.Option("--loads", help="uniform, zipf, zipf:EXPONENT, or a file of measured counts.")
]
MeasuredOption = Annotated[
    str | None,
    typer.Option(
        "--measured",
        help="Calibrate with a file of measured lines, and show the error of each before and after: "
        '[{"name": "Decode step", "value": 4.1, "unit": "ms", "conditions": {"batch_size": 64}}].',
    ),
]
Fail = Annotated[
    str | None, typer.Option("--fail", help="Show what a loss moves and loses, e.g. node-3,gpu:7/2 (GPU 2 of node 7).")
]
Compare = Annotated[
    str | None,
    typer.Option("--compare", help="Show this file's plan beside; the same file shows what the flags change."),
]
GrowFrom = Annotated[
    str | None,
    typer.Option(
        "--grow-from", help="Start from the layout that this file's plan has, and show what is loaded where, in bytes."
    ),
]
RecountOption = Annotated[
    str | None,
    typer.Option("--recount", help="Count the MoEStages and pods of this file again; exit code 1 if they differ."),
]
SvgOption = Annotated[str | None, typer.Option("--svg", help="Write the expert map and the memory bars as a picture.")]
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
def plan(
    filename: File = None,
    output: Output = Format.TABLE,
    model: Model = None,
    gpus: Gpus = None,
    nodes: Nodes = None,
    gpus_per_node: GpusPerNode = None,
    hardware: Hardware = None,
    fix: Fix = None,
    objective: Objective = None,
    loads: LoadsOption = None,
    measured: MeasuredOption = None,
    fail: Fail = None,
    compare: Compare = None,
    grow_from: GrowFrom = None,
    recount: RecountOption = None,
    svg: SvgOption = None,
) -> None:
    """Show the layout that a MoEDeployment or planning file would get, and why. Needs no cluster."""
    found = answer(
        Asked(
            file=filename,
            model=model,
            gpus=gpus,
            nodes=nodes,
            gpus_per_node=gpus_per_node,
            hardware=hardware,
            fix=tuple(fix or ()),
            objective=objective,
            loads=loads,
            measured=measured,
            fail=fail,
            compare=compare,
            grow_from=grow_from,
            recount=recount,
            svg=svg,
        )
    )
    if output is Format.TABLE:
        sys.stdout.write(found.text)
    else:
        _print_values(found.values, output)
    if not found.agrees:
        raise typer.Exit(1)


@app.command()
def init(
    model: Annotated[str, typer.Argument(help="Folder of a Hugging Face model, with its config.json.")],
    name: Annotated[str | None, typer.Option("--name", help="Of the MoEDeployment. Default: the folder's.")] = None,
    hardware: Hardware = None,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Nodes.")] = 1,
    gpus_per_node: Annotated[int, typer.Option("--gpus-per-node", min=1, help="GPUs of each node.")] = 8,
) -> None:
    """Write a MoEDeployment for a model's folder, to be edited and applied."""
    folder = Path(model).resolve().name
    wanted: dict[str, Any] = {"nodes": nodes, "gpusPerNode": gpus_per_node}
    known = {"profile": hardware} if hardware else {"gpuMemory": "80G"}
    try:
        text = initial_deployment(
            read_config(model), name=name or name_of(folder), folder=folder, hardware=wanted | known
        )
    except PlanError as error:
        raise CommandError(f"{model}: {error}") from error
    sys.stdout.write(text)


@app.command()
def status(
    name: Name = None,
    namespace: Namespace = None,
    output: Output = Format.TABLE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show conditions, experts, the plan's verdicts and the last failovers."""
    from moe_kubectl.views import status_view

    cluster, chosen = _chosen(name, namespace, kubeconfig, context)
    if output is not Format.TABLE:
        _print_values([deployment.dump() for deployment in chosen], output)
        return
    for deployment in chosen:
        _print(status_view(deployment, cluster.stages(deployment.metadata.namespace, deployment.metadata.name)))


@app.command(name="map")
def map_(
    name: Name = None,
    namespace: Namespace = None,
    output: Output = Format.TABLE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Draw the expert map: stages as rows, GPUs as cells, masked GPUs and moved experts marked."""
    from moe_kubectl.expert_map import as_values, expert_map
    from moe_kubectl.views import map_view

    cluster, chosen = _chosen(name, namespace, kubeconfig, context)
    maps = {d.metadata.name: expert_map(cluster.stages(d.metadata.namespace, d.metadata.name)) for d in chosen}
    if output is not Format.TABLE:
        values = [{"deployment": deployment, "stages": as_values(rows)} for deployment, rows in maps.items()]
        _print_values(values, output)
        return
    for deployment, rows in maps.items():
        _print(deployment)
        _print(map_view(rows), columns=_MAP_COLUMNS)


@app.command()
def drill(
    name: Name = None,
    namespace: Namespace = None,
    output: Output = Format.TABLE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show the last drills: what was made to fail, what requests met meanwhile, and the verdict."""
    from moe_kubectl.drills import drills_view

    _, chosen = _chosen(name, namespace, kubeconfig, context)
    if output is not Format.TABLE:
        drills = [(d.metadata.name, [one.dump() for one in d.status.drills]) for d in chosen]
        _print_values([{"deployment": deployment, "drills": told} for deployment, told in drills], output)
        return
    for deployment in chosen:
        _print(drills_view(deployment))


def _chosen(
    name: str | None, namespace: str | None, kubeconfig: str | None, context: str | None
) -> tuple["KubeCluster", list[MoEDeployment]]:
    """The cluster, and the deployments of that name in the namespace."""
    from moe_kubectl.api import connect, current_namespace  # the API client takes a second, and plan needs none

    cluster = connect(kubeconfig, context)
    namespace = namespace or current_namespace(kubeconfig, context)
    return cluster, _choose(cluster.deployments(namespace), name, namespace)


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
    """Exit codes: 0 done, 1 a recount differs, 2 wrong input or no answer."""
    try:
        sys.exit(app(args=sys.argv[1:] or ["--help"], standalone_mode=False) or 0)
    except CommandError as error:
        _complain(*error.messages)
    except TyperException as error:
        words = error.format_message() if hasattr(error, "format_message") else "stopped"
        _complain(f"{' '.join(words.split()).rstrip('.')}; see kubectl-moe {_command()}--help")
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def _complain(*messages: str) -> None:
    for message in messages:
        sys.stderr.write(f"error: {message}\n")
    sys.exit(2)


def _command() -> str:
    """The command that was called, where it is one."""
    return f"{sys.argv[1]} " if sys.argv[1] in ("plan", "init", "status", "map", "drill") else ""


if __name__ == "__main__":
    main()
