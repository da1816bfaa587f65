"""`--recount`: a plan beside what manifests say is deployed. Words and values."""

from collections.abc import Sequence
from typing import Any

from moe_api.recount import Recount, recount
from moe_api.recount_lines import RecountLine
from moe_kubectl.errors import CommandError
from moe_kubectl.files import read_documents
from moe_planner.render import amount
from moe_planner.tables import annotated


def read_recount(file: str) -> Recount:
    """Of the MoEStages and pods in the file."""
    try:
        return recount(read_documents(file))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        words = " ".join(str(error).split())
        raise CommandError(f"{file} cannot be counted: {words}") from error


def recount_text(lines: Sequence[RecountLine]) -> str:
    """A table, and whether all of it agrees."""
    rows = [
        ("agrees" if one.agrees else "DIFFERS", one.name, amount(one.planned, one.unit), amount(one.counted, one.unit))
        for one in lines
    ]
    words = [("" if one.agrees else one.note,) for one in lines]
    differing = sum(1 for one in lines if not one.agrees)
    end = f"{differing} of {len(lines)} lines differ" if differing else f"all {len(lines)} lines agree"
    return f"{annotated(('', 'LINE', 'PLANNED', 'COUNTED'), rows, words)}\n\n{end}\n"


def recount_values(lines: Sequence[RecountLine]) -> list[dict[str, Any]]:
    """Plain JSON values."""
    return [
        {
            "name": one.name,
            "planned": one.planned,
            "counted": one.counted,
            "unit": one.unit,
            "agrees": one.agrees,
            "note": one.note,
        }
        for one in lines
    ]
