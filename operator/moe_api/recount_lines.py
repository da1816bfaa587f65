"""A plan beside what the manifests say is deployed, line by line. Reads both, computes neither."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isclose

from moe_api.recount import Recount
from moe_planner.result import Plan

_MEMORY_LINE = "Memory per GPU"
_DIFFERENCES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class RecountLine:
    """`planned` and `counted` in `unit`; `note` names what differs."""

    name: str
    planned: float
    counted: float
    unit: str
    agrees: bool
    note: str = ""


def compare(counted: Recount, planned: Plan) -> tuple[RecountLine, ...]:
    """Every line of the plan that manifests can be counted for; contradictions inside the manifests come last."""
    return (
        *_places(counted, planned),
        _hosts(counted, planned),
        _line("Coverage", _coverage(planned), counted.coverage, "copies"),
        _lanes(counted, planned),
        _line("Rows that leave their GPU", _remote_share(planned), counted.remote_share, "share"),
        *_memory(counted, planned),
        _line("Contradictions", 0, len(counted.faults), "", "; ".join(counted.faults[:_DIFFERENCES_SHOWN])),
    )


def _places(counted: Recount, planned: Plan) -> Iterable[RecountLine]:
    stages = [stage for layout in planned.layouts for stage in layout.stages]
    nodes = {seat.node for stage in stages for seat in stage.seats if seat.node is not None}
    yield _line("GPU count", sum(len(stage.seats) for stage in stages), len(counted.gpus), "GPUs")
    if counted.pods:
        yield _line("GPUs that pods ask for", sum(len(stage.seats) for stage in stages), counted.pod_gpus, "GPUs")
        yield _line("Pods", sum(len({seat.pod for seat in stage.seats}) for stage in stages), counted.pods, "pods")
    yield _line("Nodes", len(nodes), counted.nodes, "nodes")
    yield _line("Stages", len(stages), counted.stages, "stages")


def _hosts(counted: Recount, planned: Plan) -> RecountLine:
    """Copies of experts, each on the rank where the plan has it."""
    wanted = {
        (replica, copy.expert, copy.rank)
        for replica, layout in enumerate(planned.layouts)
        for stage in layout.stages
        for copy in stage.copies
    }
    found = {(gpu.replica, expert, gpu.rank) for gpu in counted.gpus for expert in gpu.experts}
    differing = sorted(wanted ^ found)
    words = [
        f"expert {expert} is {'missing' if (replica, expert, rank) in wanted else 'too much'} on rank {rank}"
        for replica, expert, rank in differing[:_DIFFERENCES_SHOWN]
    ]
    return RecountLine(
        name="Hosts of experts",
        planned=len(wanted),
        counted=len(found),
        unit="copies",
        agrees=not differing,
        note="; ".join(words),
    )


def _coverage(planned: Plan) -> int:
    stages = [stage for layout in planned.layouts for stage in layout.stages]
    return min((stage.coverage for stage in stages if stage.experts), default=0)


def _lanes(counted: Recount, planned: Plan) -> RecountLine:
    wanted = {
        (replica, stage.stage, lane.lane, lane.rank)
        for replica, layout in enumerate(planned.layouts)
        for stage in layout.stages
        for lane in stage.lanes
    }
    found = {(gpu.replica, gpu.stage, lane, gpu.rank) for gpu in counted.gpus for lane in gpu.lanes}
    differing = sorted(wanted ^ found, key=str)
    note = "; ".join(
        f"stage {stage} lane {lane} rank {rank}" for _, stage, lane, rank in differing[:_DIFFERENCES_SHOWN]
    )
    return RecountLine(
        name="Seats of lanes", planned=len(wanted), counted=len(found), unit="seats", agrees=not differing, note=note
    )


def _remote_share(planned: Plan) -> float:
    """Of the rows that lanes send to experts, with a lane at every rank: all but one for each copy and its own lane."""
    stages = [stage for layout in planned.layouts for stage in layout.stages if stage.experts]
    return max((1 - len(stage.copies) / (len(stage.seats) * len(stage.experts)) for stage in stages), default=0.0)


def _memory(counted: Recount, planned: Plan) -> Iterable[RecountLine]:
    fullest = max(counted.gpus, key=lambda gpu: gpu.memory_bytes)
    for check in planned.verification:
        if check.name == _MEMORY_LINE:
            note = f"rank {fullest.rank} is the fullest"
            yield _line(_MEMORY_LINE, check.value, fullest.memory_bytes, "bytes", note)


def _line(name: str, planned: float, counted: float, unit: str, note: str = "") -> RecountLine:
    return RecountLine(
        name=name, planned=planned, counted=counted, unit=unit, agrees=isclose(planned, counted), note=note
    )
