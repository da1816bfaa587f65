"""A planning file answered: each line judged, what it left open, and the block as it is true. Words and values."""

from collections.abc import Sequence
from typing import Any

import yaml

from moe_planner.correcting import corrected
from moe_planner.judging import judge
from moe_planner.planning_file import PlanFile
from moe_planner.result import Plan
from moe_planner.tables import annotated, wrapped


def answer_text(file: PlanFile, plan: Plan) -> str:
    """For a terminal of 120 columns."""
    verdicts = judge(file, plan)
    rows = [(one.verdict, one.key, one.written, one.computed) for one in verdicts]
    head = ("VERDICT", "LINE OF THE FILE", "WRITTEN", "COMPUTED")
    lines = annotated(head, rows, [(one.why,) for one in verdicts])
    block = yaml.safe_dump(corrected(file, plan), sort_keys=False).rstrip()
    parts = [lines, _taken("TAKEN, SINCE THE FILE LEAVES IT OPEN", file.assumed)]
    return "\n\n".join([*(part for part in parts if part), f"THE BLOCK AS THIS PLAN MAKES IT TRUE\n{block}"])


def taken_text(file: PlanFile, plan: Plan) -> str:
    """What a plan made from flags alone takes for what they leave open."""
    work = file.workload
    lengths = f"{work.min_sequence_length} to {work.max_sequence_length} tokens"
    load = ("workload", f"{work.batch_size} sequences of {lengths} at a time; a planning file says otherwise")
    return _taken("TAKEN, SINCE THE FLAGS LEAVE IT OPEN", (load, *file.assumed))


def _taken(head: str, assumed: Sequence[tuple[str, str]]) -> str:
    lines = [row for what, why in assumed for row in wrapped(f"{what}: {why}", "   ")]
    return "\n".join([head, *lines]) if lines else ""


def answer_values(file: PlanFile, plan: Plan) -> dict[str, Any]:
    """Plain JSON values."""
    return {
        "lines": [
            {
                "key": one.key,
                "written": one.written,
                "computed": one.computed,
                "verdict": one.verdict,
                "why": one.why,
            }
            for one in judge(file, plan)
        ],
        "assumed": [{"what": what, "why": why} for what, why in file.assumed],
        "corrected": corrected(file, plan),
    }
