"""Which changes of a running MoEDeployment are refused: those that would need another layout or other pods.

Nothing is ignored in silence: a refusal names the field, the committed value, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from moe_api.deployment import MoEDeploymentSpec
from moe_planner.layout import StageLayout

# What may change while running: the number of replicas (with the hardware for them), copies of experts, failover,
# gateway, and what the predictions rest on: targets, the rate of requests, the hardware's figures.
FREE_FIELDS = frozenset(
    {"replicas", "experts", "failover", "gateway", "targets", "parallelism.data", "workload.requestsPerSecond"}
    | {f"hardware.{figure}" for figure in ("nodes", "flops", "memoryBandwidth", "insideNode", "betweenNodes")}
    | {f"hardware.{share}Efficiency" for share in ("flops", "bandwidth")}
)
REMEDY = "set it back, or delete and re-create the MoEDeployment"


def refused_change(accepted: MoEDeploymentSpec, wanted: MoEDeploymentSpec) -> str:
    """The first field that cannot change while running, in words; "" when all changes are fine."""
    for path, before, after in _differences(accepted.dump(), wanted.dump()):
        if not any(path == free or path.startswith(f"{free}.") for free in FREE_FIELDS):
            return f"spec.{path} = {_words(after)}: it is committed as {_words(before)} while stages run; {REMEDY}"
    return ""


def refused_layout(accepted: MoEDeploymentSpec, wanted: MoEDeploymentSpec) -> str:
    """The words for changes that are fine by themselves but give the running stages another layout."""
    changed = [path for path, _, _ in _differences(accepted.dump(), wanted.dump())]
    blamed = next((path for path in changed if path in ("hardware.nodes", "parallelism.data")), changed[0])
    value = _at(wanted.dump(), blamed)
    return f"spec.{blamed} = {_words(value)}: the planner would choose another layout than the one that runs; {REMEDY}"


def is_same_layout(one: StageLayout, other: StageLayout) -> bool:
    """Whether two layouts have the same seats for the same layers.

    Which seats host how many copies is not asked: that follows spec.experts, the loads and the racks while serving.
    """
    return _shape(one) == _shape(other)


def _shape(layout: StageLayout) -> tuple[object, ...]:
    seats = tuple((seat.rank, seat.pod, seat.gpu) for seat in layout.seats)
    return (layout.first_layer, layout.num_layers, seats, layout.experts, layout.lanes)


def _differences(before: Any, after: Any, path: str = "") -> Iterable[tuple[str, Any, Any]]:
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        if before != after:
            yield path, before, after
        return
    for key in sorted({*before, *after}):
        yield from _differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)


def _at(spec: Mapping[str, Any], path: str) -> Any:
    value: Any = spec
    for key in path.split("."):
        value = value[key]
    return value


def _words(value: Any) -> str:
    return "nothing" if value is None else str(value)
