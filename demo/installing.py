"""The few commands that bring a cluster with the operator up, and a MoEDeployment with its model onto it."""

from collections.abc import Callable
from pathlib import Path

from demo.checkpoint import Checkpoint, offer_volume, prepare_checkpoint, read_example
from demo.cluster import Cluster
from demo.deployed import Deployed

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = ("crds", "manifests")
OPERATOR_ROLLOUT = ("-n", "moe-system", "rollout", "status", "deployment/moe-operator", "--timeout=90s")


def start_cluster(cluster: Cluster, *, nodes: int, gpus_per_node: int, say: Callable[[str], None]) -> None:
    """Control plane, nodes, resources, and the operator as an ordinary pod; safe to repeat."""
    say("starting etcd, the API server, controllers, scheduler and nodes")
    size = (f"--nodes={nodes}", f"--gpus-per-node={gpus_per_node}")
    say(cluster.moe_local("up", *size, f"--crds={ROOT / 'crds'}").strip().splitlines()[0])
    cluster.connect()
    for folder in INSTALLED:
        cluster.moe_local("kubectl", "apply", "-f", str(ROOT / folder))
    say(f"installed {' and '.join(f'{folder}/' for folder in INSTALLED)}; waiting for the operator's pod to be ready")
    cluster.moe_local("kubectl", *OPERATOR_ROLLOUT)
    say("the operator runs as an ordinary pod, under its own service account")


def prepare_model(cluster: Cluster, example: Path) -> Checkpoint:
    """The checkpoint that an example asks for, and the volume in which its pods find it."""
    checkpoint = prepare_checkpoint(read_example(example))
    offer_volume(cluster, checkpoint)
    return checkpoint


def apply(cluster: Cluster, example: Path) -> Deployed:
    """kubectl apply."""
    cluster.kubectl("apply", "-f", str(example))
    deployment = read_example(example)
    return Deployed(cluster=cluster, name=deployment.metadata.name, model=deployment.served_name)
