"""`--measured`: lines that were measured, the plan's error on each before and after calibration. Words and values."""

from collections.abc import Sequence
from typing import Any

from moe_kubectl.errors import CommandError
from moe_kubectl.files import read_documents
from moe_kubectl.planned import Planned
from moe_planner.calibrating import LineError, calibrate
from moe_planner.calibration import Calibration
from moe_planner.errors import PlanError
from moe_planner.measurements import TOTALS, Measured, read_measured
from moe_planner.render import amount
from moe_planner.tables import table


def calibrated(planned: Planned, file: str) -> tuple[Calibration, tuple[LineError, ...]]:
    """Raises CommandError for what are no measured lines, and where the plan predicts none of them."""
    inputs = planned.inputs
    found = calibrate(
        planned.plan,
        _read(file),
        shape=inputs.shape,
        hardware=inputs.hardware,
        workload=inputs.workload,
        constraints=inputs.constraints,
        loads=inputs.loads,
    )
    if not found[1]:
        raise CommandError(
            f"{file}: the plan predicts none of its lines; give the hardware's figures, e.g. --hardware h100-sxm, "
            "and lines that the plan has"
        )
    return found


def _read(file: str) -> tuple[Measured, ...]:
    documents = read_documents(file)
    if len(documents) != 1:
        raise CommandError(f"{file} has {len(documents)} documents; give one, a list of measured lines")
    try:
        return read_measured(documents[0])
    except PlanError as error:
        raise CommandError(f"{file}: {error}") from error


def errors_text(lines: Sequence[LineError]) -> str:
    """A row for each measured line."""
    rows = [
        (
            one.name,
            f"{one.num_samples}",
            amount(one.predicted, _unit(one.name)),
            amount(one.measured, _unit(one.name)),
            f"x {one.factor:.3g}",
            f"{one.before:.1%}",
            "one sample" if one.after is None else f"{one.after:.1%}",
        )
        for one in lines
    ]
    head = ("MEASURED LINE", "SAMPLES", "PREDICTED", "MEASURED", "FACTOR", "ERROR BEFORE", "ERROR AFTER")
    return table(head, rows)


def errors_values(lines: Sequence[LineError]) -> list[dict[str, Any]]:
    """Plain JSON values."""
    return [
        {
            "name": one.name,
            "samples": one.num_samples,
            "predicted": one.predicted,
            "measured": one.measured,
            "factor": one.factor,
            "errorBefore": one.before,
            "errorAfter": one.after,
        }
        for one in lines
    ]


def _unit(name: str) -> str:
    """Throughputs count tokens, everything else is a time."""
    return "tokens/s" if name in TOTALS and "throughput" in name else "s"
