"""GPUs that others than their workers call bad: watchers of nodes by conditions and taints, device plugins by counts,
drivers for dynamic resource allocation by taints of the device itself.

Reads what node-problem-detector, NVSentinel, the kubelet and NVIDIA's DRA driver write. Tolerant: who names no GPU
means the whole node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moe_api.names import Reason
from moe_api.stage import RankSpec
from moe_operator.decide.leaving import Leaving
from moe_operator.decide.seats import Seats
from moe_operator.snapshot import DeviceTaint, Node, Pod

# Types such as GpuXidError, GpuMemWatch, SysLogsXIDError, XIDErrors, GPUMissing, NVLinkStatusInactive, DcgmFailed.
GPU_WORDS = re.compile(r"gpu|xid|nvlink|dcgm|nvidia|rocm", re.IGNORECASE)
GOOD_WORDS = re.compile(r"(ready|healthy|available)$", re.IGNORECASE)
# A taint such as nvidia.com/gpu only keeps other pods away; nvidia.com/gpu-unhealthy says more.
BAD_WORDS = re.compile(r"unhealthy|bad|error|fail|fault|lost|xid|degraded|quarantin", re.IGNORECASE)
UUID = re.compile(r"GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
INDEX = re.compile(r"\bgpu[ _]?(?:index|id)?[ :=#_-]{0,2}(\d{1,4})\b", re.IGNORECASE)
MOST_WORDS = 200


@dataclass(frozen=True, kw_only=True)
class _Sign:
    """What somebody says of the GPUs of a node: of those named by index or id, of all where none is named."""

    words: str
    indices: frozenset[int] = frozenset()
    ids: frozenset[str] = frozenset()

    def means(self, seat: RankSpec, pod: Pod) -> bool:
        if not self.indices and not self.ids:
            return True
        report = pod.seat(seat.rank)
        id_ = report.gpu.id if report else ""
        return id_ in self.ids or _index_on_node(seat, id_) in self.indices


def find_reported(seats: Seats) -> Mapping[int, Leaving]:
    """Every rank on a GPU that somebody else calls bad."""
    by_pod = {pod.uid: (pod, _signs(pod, seats)) for pod in seats.pods.values() if pod is not None}
    found: dict[int, Leaving] = {}
    for seat in seats.snapshot.stage.spec.ranks:
        pod, signs = by_pod.get(seat.pod_uid or "", (None, []))
        words = [sign.words for sign in signs if pod is not None and sign.means(seat, pod)]
        if words and pod is not None and pod.node is not None:
            message = "; ".join(words)
            found[seat.rank] = Leaving(
                rank=seat.rank, reason=Reason.GPU_REPORTED_BAD, message=message, node=pod.node, gpu=seat.gpu
            )
    return found


def _signs(pod: Pod, seats: Seats) -> list[_Sign]:
    node = seats.snapshot.nodes.get(pod.node or "")
    if node is None:
        return []
    named = [*_conditions(node), *_taints(node), *_devices(pod), *_device_taints(node, seats.snapshot.device_taints)]
    known = sum(
        1 for seat in seats.snapshot.stage.spec.ranks if seat.pod_uid == pod.uid and _is_known(seat, pod, named)
    )
    missing = _missing_gpus(node, seats.snapshot.accepted.hardware.resource_name)
    if missing <= known:
        return named
    words = f"node {node.name} offers {missing} GPUs less than it has, and nobody says which"
    return [*named, _Sign(words=words)]


def _conditions(node: Node) -> Iterable[_Sign]:
    for kind, message in node.conditions.items():
        if GPU_WORDS.search(kind) and not GOOD_WORDS.search(kind):
            yield _sign(f"condition {kind} of node {node.name}: {message[:MOST_WORDS]}", message)


def _taints(node: Node) -> Iterable[_Sign]:
    for key, value in node.taints.items():
        if GPU_WORDS.search(key) and BAD_WORDS.search(key):
            indices = frozenset(
                int(number) for number in re.findall(r"(?<![0-9a-fA-F-])\d{1,4}(?![0-9a-fA-F-])", value)
            )
            ids = frozenset(UUID.findall(value))
            yield _Sign(words=f"taint {key}={value} of node {node.name}", indices=indices, ids=ids)


def _device_taints(node: Node, taints: Iterable[DeviceTaint]) -> Iterable[_Sign]:
    """A GPU that everybody is to leave, or that new pods are to keep off because it is bad.

    NoSchedule alone may just reserve a GPU, as a node's taint does, and None says what harms nobody.
    """
    for taint in taints:
        is_bad = taint.effect == "NoExecute" or (taint.effect == "NoSchedule" and BAD_WORDS.search(taint.key))
        number = re.search(r"\d{1,4}$", taint.device)
        if taint.node == node.name and is_bad and (taint.uuid or number):
            told = f"{taint.key}={taint.value}:{taint.effect}" if taint.value else f"{taint.key}:{taint.effect}"
            words = f"taint {told} of device {taint.device} of {taint.driver} on node {node.name}"
            if taint.uuid:
                yield _Sign(words=words, ids=frozenset({taint.uuid}))
            elif number:
                yield _Sign(words=words, indices=frozenset({int(number[0])}))


def _devices(pod: Pod) -> Iterable[_Sign]:
    """A device is known by its id; one such as nvidia2 or node-0/2 also by its number."""
    for device in pod.unhealthy_devices:
        number = None if device.startswith(("GPU-", "MIG-")) else re.search(r"(?<!\d)\d{1,4}$", device)
        indices = frozenset({int(number[0])} if number else ())
        yield _Sign(words=f"the device plugin calls {device} unhealthy", indices=indices, ids=frozenset({device}))


def _sign(words: str, message: str) -> _Sign:
    ids = frozenset(UUID.findall(message))
    indices = frozenset(int(number) for number in INDEX.findall(UUID.sub("", message)))
    return _Sign(words=words, indices=indices, ids=ids)


def _is_known(seat: RankSpec, pod: Pod, signs: Iterable[_Sign]) -> bool:
    """Whether the GPU's fault is known without counting: from the worker itself or from somebody who names it."""
    report = pod.seat(seat.rank)
    is_failed = report is not None and report.is_failed
    return is_failed or any(sign.means(seat, pod) for sign in signs)


def _missing_gpus(node: Node, resource: str) -> int:
    """What kubelet holds back: devices that their plugin calls unhealthy count for capacity, not for allocatable."""
    capacity, allocatable = node.capacity.get(resource, ""), node.allocatable.get(resource, "")
    return int(capacity) - int(allocatable) if capacity.isdigit() and allocatable.isdigit() else 0


def _index_on_node(seat: RankSpec, id_: str) -> int:
    """By its id, such as node-0/2, where that tells; else its index in the pod, which is the same in a whole node."""
    _, _, number = id_.rpartition("/")
    return int(number) if number.isdigit() else seat.gpu
