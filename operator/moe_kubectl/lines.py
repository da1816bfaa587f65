"""A planning file answered: each line judged, what it left open, and the block as it is true. Words and values."""

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
    taken = [row for what, why in file.assumed for row in wrapped(f"{what}: {why}", "   ")]
    block = yaml.safe_dump(corrected(file, plan), sort_keys=False).rstrip()
    parts = [lines, *(["\n".join(["TAKEN, SINCE THE FILE LEAVES IT OPEN", *taken])] if taken else [])]
    return "\n\n".join([*parts, f"THE BLOCK AS THIS PLAN MAKES IT TRUE\n{block}"])


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
