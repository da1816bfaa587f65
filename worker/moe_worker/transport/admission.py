"""Whom this rank lets in: those whom its view names, in their newest incarnation, and gateways that know the secret."""

from moe_wire.errors import HandshakeError
from moe_wire.messages import Hello
from moe_worker.protocol.view import View


class Admission:
    """Judged after the proof. `epoch` is that of the own stage, told to peers."""

    def __init__(self) -> None:
        self.epoch = 0
        self._pods: dict[int, str] = {}
        self._incarnations: dict[tuple[int, str], int] = {}

    def follow(self, view: View) -> None:
        """Peers of the own stage send expert batches, those of the stage before send steps."""
        self.epoch = view.own.epoch
        seats = [*view.previous.seats.values(), *view.own.seats.values()]
        self._pods = {seat.rank: seat.pod_uid for seat in seats}
        named = set(self._pods.items())
        self._incarnations = {who: newest for who, newest in self._incarnations.items() if who in named}

    def names(self, rank: int, pod_uid: str) -> bool:
        return self._pods.get(rank) == pod_uid

    def judge(self, hello: Hello) -> None:
        """Raises HandshakeError for a rank that the view does not name or that has a successor already."""
        if hello.kind == "gateway":
            return
        if not self.names(hello.rank, hello.pod_uid):
            raise HandshakeError(f"rank {hello.rank} of pod {hello.pod_uid} is not in the layout of epoch {self.epoch}")
        newest = self._incarnations.get((hello.rank, hello.pod_uid), 0)
        if hello.incarnation < newest:
            raise HandshakeError(f"incarnation {hello.incarnation} of rank {hello.rank} comes after {newest}")
        self._incarnations[hello.rank, hello.pod_uid] = hello.incarnation
