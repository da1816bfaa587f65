"""What must hold of the inputs alone, before any layout is tried. Every broken rule is a PlanError.

Sizes come first, so that what follows from them can be computed; then what one input says of another.
"""

from moe_planner.calibration import Calibration
from moe_planner.constraint_rules import check_constraints
from moe_planner.hardware_rules import check_hardware
from moe_planner.inputs import Constraints, Hardware, Loads, Targets, Workload
from moe_planner.model import ModelShape
from moe_planner.shape_rules import check_shape
from moe_planner.workload_rules import check_calibration, check_loads, check_targets, check_workload


def check_inputs(
    shape: ModelShape,
    hardware: Hardware,
    workload: Workload,
    constraints: Constraints,
    *,
    targets: Targets = Targets(),
    loads: Loads = Loads(),
    calibration: Calibration = Calibration(),
) -> None:
    """Raises PlanError for the first rule that is broken."""
    check_shape(shape)
    check_hardware(hardware)
    check_workload(workload, shape.max_positions)
    check_targets(targets)
    check_loads(loads)
    check_calibration(calibration)
    check_constraints(shape, hardware, constraints)
