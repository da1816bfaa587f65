"""`--fail`: what a failure takes from a plan, what would move where, and what would be lost. Words and values."""

from collections.abc import Sequence
from typing import Any

from moe_kubectl.planned import Planned
from moe_planner.amounts import count, gib
from moe_planner.failures import StageFailure, fail, parse_failures
from moe_planner.tables import table

_MOVES_SHOWN = 12


def failures_of(planned: Planned, written: str) -> tuple[StageFailure, ...]:
    """Raises PlanError for nodes and GPUs that the plan's hardware does not have."""
    failures = parse_failures(written, planned.inputs.hardware)
    layouts, hardware = planned.plan.layouts, planned.inputs.hardware
    return fail(layouts, failures, hardware, planned.room, rates=planned.rates)


def failures_text(planned: Planned, written: str, stages: Sequence[StageFailure]) -> str:
    """What happens, and a row for each stage that is touched."""
    if not stages:
        return f"{written}: the plan uses none of it; nothing moves and nothing is lost\n"
    moves = sum(len(stage.rehosting.moves) for stage in stages)
    num_bytes = moves * planned.inputs.shape.expert_bytes
    lanes = sum(len(stage.rehosting.lane_moves) for stage in stages)
    lost = sum(len(stage.rehosting.lost_experts) for stage in stages)
    homeless = sum(len(stage.rehosting.homeless_lanes) for stage in stages)
    ranks = sum(len(stage.lost_ranks) for stage in stages)
    summary = (
        f"{written}: {count(ranks, 'GPU')} of {count(len(stages), 'stage')} lost; "
        f"{count(moves, 'expert')} to load elsewhere ({gib(num_bytes)}), {count(lanes, 'lane')} to reset; "
        + (f"{count(lost, 'expert')} LOST: nobody has room" if lost else "no expert is lost")
        + (f"; {count(homeless, 'lane')} WITHOUT A RANK: no rank keeps cache for one more" if homeless else "")
    )
    head = (
        "REPLICA",
        "STAGE",
        "LOST RANKS",
        "LOST EXPERTS",
        "LOST LANES",
        "EXPERT → RANK, UNSERVED WHILE IT LOADS",
    )
    return f"{summary}\n\n{table(head, [_row(stage) for stage in stages])}\n"


def failures_values(stages: Sequence[StageFailure]) -> list[dict[str, Any]]:
    """Plain JSON values."""
    return [
        {
            "replica": one.replica,
            "stage": one.stage,
            "lostRanks": list(one.lost_ranks),
            "uncovered": list(one.uncovered),
            "moves": [{"expert": m.expert, "from": m.from_rank, "to": m.to_rank} for m in one.rehosting.moves],
            "laneMoves": [{"lane": m.lane, "from": m.from_rank, "to": m.to_rank} for m in one.rehosting.lane_moves],
            "lostExperts": list(one.rehosting.lost_experts),
            "homelessLanes": list(one.rehosting.homeless_lanes),
        }
        for one in stages
    ]


def _row(stage: StageFailure) -> tuple[str, ...]:
    moves = [f"{move.expert}→{move.to_rank}" for move in stage.rehosting.moves]
    left_out = len(moves) - _MOVES_SHOWN
    shown = ", ".join(moves[:_MOVES_SHOWN]) + (f" and {left_out} more" if left_out > 0 else "")
    lost = stage.rehosting.lost_experts
    return (
        f"{stage.replica}",
        f"{stage.stage}",
        _listed(stage.lost_ranks),
        _listed(lost),
        _listed(stage.rehosting.homeless_lanes),
        shown or ("-" if lost else "none: every expert has another live copy"),
    )


def _listed(numbers: Sequence[int]) -> str:
    """As a span where they follow each other; of many the first."""
    if not numbers:
        return "-"
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]}-{numbers[-1]}"
    more = f" and {len(numbers) - 4} more" if len(numbers) > 4 else ""
    return ",".join(map(str, numbers[:4])) + more
