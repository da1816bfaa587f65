"""What a worker's pod says of itself, read from its manifest alone: GPUs, node, ranks and experts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moe_api import names

_PLAIN_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
_MOST_IN_A_SPAN = 65536


@dataclass(frozen=True, kw_only=True)
class PodCount:
    """`node` is where it runs, else the node that it likes most. `ranks` and `experts` are those of its environment."""

    name: str
    gpus: int
    node: str | None
    ranks: tuple[int, ...]
    experts: tuple[int, ...]
    world_size: int


def count_pods(manifests: Iterable[Mapping[str, Any]]) -> dict[str, PodCount]:
    """The workers' pods among them, by name."""
    workers = (body for body in manifests if _labels(body).get(names.LABEL_APP_COMPONENT) == names.COMPONENT_WORKER)
    return {body["metadata"]["name"]: _count(body) for body in workers}


def _labels(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return (body.get("metadata") or {}).get("labels") or {}


def _count(body: Mapping[str, Any]) -> PodCount:
    spec = body.get("spec") or {}
    (*_, worker) = [c for c in spec.get("containers") or [{}] if c.get("name") in (names.WORKER_CONTAINER, None)] or [
        {}
    ]
    limits = (worker.get("resources") or {}).get("limits") or {}
    env = {one.get("name"): one.get("value") for one in worker.get("env") or ()}
    return PodCount(
        name=body["metadata"]["name"],
        gpus=sum(_whole(value) for name, value in limits.items() if name not in _PLAIN_RESOURCES),
        node=spec.get("nodeName") or _liked(spec),
        ranks=_numbers(env.get("RANKS")),
        experts=_numbers(env.get("EXPERTS")),
        world_size=_whole(env.get("WORLD_SIZE")),
    )


def _liked(spec: Mapping[str, Any]) -> str | None:
    """The node of the strongest wish for one."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    wishes: Sequence[Mapping[str, Any]] = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    liked = [
        (wish.get("weight", 0), expression["values"][0])
        for wish in wishes
        for expression in wish["preference"]["matchExpressions"]
        if expression.get("operator") == "In"
    ]
    return str(max(liked)[1]) if liked else None


def _numbers(text: object) -> tuple[int, ...]:
    """ "48-55" or "1,4-6"; nothing where it is no such text."""
    numbers: list[int] = []
    for part in str(text or "").split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and (last.isdigit() or not last):
            numbers.extend(range(int(first), min(int(last or first), int(first) + _MOST_IN_A_SPAN) + 1))
    return tuple(numbers)


def _whole(text: object) -> int:
    return int(str(text)) if str(text).isdigit() else 0
