"""The expert map: which GPU hosts which expert now, what has moved from the plan, what is masked. Pure."""

from dataclasses import asdict, dataclass
from typing import Any

from moe_api.convert import stage_layout
from moe_api.notes import home_layout
from moe_api.stage import MoEStage, RankSpec
from moe_planner.layout import StageLayout


@dataclass(frozen=True, kw_only=True)
class HostedExpert:
    """An expert on a GPU; `moved` when the plan hosts it elsewhere."""

    layer: int
    expert: int
    state: str
    moved: bool


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One GPU of the map. `state` is what its pod reports, or "masked"."""

    rank: int
    node: str | None
    gpu: int
    pod: str
    state: str
    masked: bool
    reason: str
    lanes: tuple[int, ...]
    experts: tuple[HostedExpert, ...]


@dataclass(frozen=True, kw_only=True)
class StageRow:
    name: str
    replica: int
    stage: int
    epoch: int
    first_layer: int
    num_layers: int
    ready_experts: int
    total_experts: int
    lost_experts: tuple[int, ...]
    homeless_lanes: tuple[int, ...]
    cells: tuple[Cell, ...]


def expert_map(stages: list[MoEStage]) -> tuple[StageRow, ...]:
    """One row per stage, in the order given."""
    return tuple(_row(stage, _home(stage)) for stage in stages)


def as_values(rows: tuple[StageRow, ...]) -> list[dict[str, Any]]:
    """Plain JSON values: stages with their ranks."""
    return [{**{k: v for k, v in asdict(row).items() if k != "cells"}, "ranks": asdict(row)["cells"]} for row in rows]


def _home(stage: MoEStage) -> StageLayout | None:
    """Where the plan of the stage wants everything; None where the operator left no note."""
    try:
        return home_layout(stage)
    except (KeyError, ValueError):
        return None


def _row(stage: MoEStage, planned: StageLayout | None) -> StageRow:
    spec, layout = stage.spec, stage_layout(stage.spec)
    return StageRow(
        name=stage.metadata.name,
        replica=spec.replica,
        stage=spec.stage,
        epoch=stage.metadata.generation,
        first_layer=spec.first_layer,
        num_layers=spec.num_layers,
        ready_experts=stage.status.ready_experts,
        total_experts=len(layout.experts),
        lost_experts=tuple(e for e in layout.experts if not layout.hosts(e)),
        homeless_lanes=tuple(lane.lane for lane in layout.lanes if lane.rank is None),
        cells=tuple(_cell(seat, stage, layout, planned) for seat in spec.ranks),
    )


def _cell(seat: RankSpec, stage: MoEStage, layout: StageLayout, planned: StageLayout | None) -> Cell:
    mask = next((m for m in stage.spec.masked if m.rank == seat.rank), None)
    observed = next((r for r in stage.status.ranks if r.rank == seat.rank), None)
    reported = observed.state if observed else "pending"
    return Cell(
        rank=seat.rank,
        node=(observed.node if observed else None) or seat.node,
        gpu=seat.gpu,
        pod=seat.pod,
        state="masked" if mask else reported,
        masked=mask is not None,
        reason=mask.reason if mask else "",
        lanes=layout.lanes_at(seat.rank),
        experts=tuple(_hosted(expert, seat.rank, stage, layout, planned) for expert in layout.held(seat.rank)),
    )


def _hosted(expert: int, rank: int, stage: MoEStage, layout: StageLayout, planned: StageLayout | None) -> HostedExpert:
    observed = next((e for e in stage.status.experts if e.expert == expert and e.rank == rank), None)
    committed = "loading" if rank in layout.loading(expert) else "pending"
    return HostedExpert(
        layer=expert // layout.experts_per_layer,
        expert=expert,
        state=observed.state if observed else committed,
        moved=planned is not None and rank not in planned.hosts(expert),
    )
