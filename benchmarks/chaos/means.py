"""How things are broken and repaired without a command being started, which takes seconds on a busy machine."""

from demo.cluster import Cluster
from demo.observe import Seat
from moe_local import gpus
from moe_local.remote import Daemon
from moe_local.state import State

PODS = "/api/v1/namespaces/{}/pods"
OPERATOR_NAMESPACE = "moe-system"


class Means:
    """Of one cluster. Each raises LocalError or CommandError when it is refused."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._state = State(cluster.state)
        self._settings = self._state.require()
        self._daemon = Daemon(self._state, self._settings)

    def node(self, node: str, order: str) -> None:
        """stop, start, partition/api, partition/peers or rejoin."""
        self._daemon.post(f"/local/nodes/{node}/{order}")

    def gpu(self, seat: Seat, order: str) -> None:
        """report/SIGN or clear, as others than its driver say it."""
        self._daemon.post(f"/local/nodes/{seat.node}/gpus/{seat.gpu}/{order}")

    def slow_down(self, seat: Seat) -> None:
        """Its GPU takes longer from now on."""
        gpus.fail(self._state, self._settings, seat.node, seat.gpu, gpus.How.SLOW)

    def cordon(self, node: str, is_cordoned: bool) -> None:
        """As kubectl cordon and uncordon do."""
        self._cluster.order("PATCH", f"/api/v1/nodes/{node}", change={"spec": {"unschedulable": is_cordoned}})

    def delete_pod(self, name: str, grace_s: int) -> None:
        """As kubectl delete does, without waiting for its end."""
        path = f"{PODS.format(self._cluster.namespace)}/{name}"
        self._cluster.order("DELETE", path, params={"gracePeriodSeconds": str(grace_s)})

    def kill_operator(self) -> None:
        """Its pod is gone at once, as by `kubectl delete --grace-period=0 --force`."""
        self._cluster.order("DELETE", PODS.format(OPERATOR_NAMESPACE), params={"gracePeriodSeconds": "0"})

    def kill_api_server(self) -> None:
        """SIGKILL, and start it again; returns when it is ready."""
        self._cluster.moe_local("plane", "restart", "apiserver", "--kill")
