"""From nothing to a MoEDeployment that is available: cluster, operator, checkpoint, volume, one kubectl apply."""

from pathlib import Path

from demo import installing
from demo.cluster import BIN, run
from demo.observe import list_stages, list_workers
from demo.tour import GPUS_PER_NODE, NAME, NODES, Tour

SECONDS_TO_AVAILABLE = 240.0
SHOWN_STAGES = 4
SHOWN_ENVIRONMENT = ("STAGE", "NODE_RANK", "RANKS", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "LAYERS", "EXPERTS")


def start_cluster(tour: Tour) -> None:
    """A real control plane and 32 node agents, with the resources and the operator installed in it."""
    tour.screen.title(f"The embedded cluster: {NODES} nodes of {GPUS_PER_NODE} GPUs")
    installing.start_cluster(tour.cluster, nodes=NODES, gpus_per_node=GPUS_PER_NODE, say=tour.screen.say)


def apply_deployment(tour: Tour) -> None:
    """The checkpoint, the volume, the plan, the MoEDeployment."""
    tour.screen.title("A Mixture-of-Experts model, and one kubectl apply")
    checkpoint = installing.prepare_model(tour.cluster, tour.example)
    shape = tour.deployment.spec.model.shape
    tour.screen.say(f"checkpoint of {shape.layers} layers x {shape.experts} experts in {_short(checkpoint.folder)}")
    plan = run([str(BIN / "kubectl-moe"), "plan", "-f", str(tour.example)], timeout=60)
    tour.screen.command(f"kubectl-moe plan -f {tour.example}   # the gist of it", gist(plan))
    tour.kubectl("apply", "-f", str(tour.example))


def gist(plan: str) -> str:
    """The conclusion of a printed plan, those of its steps and the first rows of its layout."""
    lines = plan.splitlines()
    conclusions = [line.strip() for line in lines if line.strip().startswith("=>")]
    table = next((number for number, line in enumerate(lines) if line.startswith("REPLICA")), len(lines))
    return "\n".join([plan.partition("\n\n")[0], *conclusions, *lines[table : table + SHOWN_STAGES], "..."])


def wait_until_available(tour: Tour) -> None:
    """Progress until every expert is ready, and nothing is degraded any more by an earlier tour."""
    _heal(tour)
    with tour.screen.progress():
        seconds = tour.deployed.wait_until_available(timeout=SECONDS_TO_AVAILABLE, show=tour.screen.show)
    tour.screen.say(f"available after {seconds:.0f} s")
    tour.kubectl("get", "moed", "-o", "wide")


def show_pods(tour: Tour) -> None:
    """The pods on their nodes; rank and stage in their environment."""
    tour.screen.title("The pods, and every rank on a GPU of its own")
    pods, seats = list_workers(tour.cluster, NAME), tour.deployed.seats()
    nodes, gpus = {seat.node for seat in seats}, {(seat.node, seat.gpu) for seat in seats}
    tour.kubectl("get", "pods", "-o", "wide", lines=6)
    told = f"{len(pods)} worker pods on {len(nodes)} nodes: {len(seats)} ranks on {len(gpus)} GPUs"
    tour.screen.check(len(gpus) == len(seats), told)
    chosen = pods[len(pods) // 2]
    env = {one["name"]: one.get("value") for one in chosen["spec"]["containers"][0]["env"]}
    tour.screen.say(
        f"in {chosen['metadata']['name']}: " + " ".join(f"{name}={env[name]}" for name in SHOWN_ENVIRONMENT)
    )
    tour.kubectl("get", "moest", lines=4)


def _short(path: Path) -> str:
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def _heal(tour: Tour) -> None:
    for stage in list_stages(tour.cluster, NAME):
        for masked in stage.spec.masked:
            if masked.node is not None and masked.gpu is not None:
                tour.screen.say("an earlier tour left a GPU broken:")
                tour.moe_local("gpu", "heal", masked.node, str(masked.gpu))
