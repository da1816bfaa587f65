"""From what was read to a plan: a MoEDeployment's or a planning file's, by the functions that the operator uses."""

from dataclasses import dataclass, replace
from functools import cached_property

from moe_api import problems
from moe_api.deployment import MoEDeployment
from moe_api.planning import PlannerInputs, planner_inputs
from moe_kubectl.errors import CommandError
from moe_kubectl.files import Source, load_deployment
from moe_kubectl.what_if import WhatIf
from moe_planner import planfile
from moe_planner.calibration import Calibration
from moe_planner.errors import PlanError
from moe_planner.file_words import in_words_of_file
from moe_planner.inputs import Loads
from moe_planner.layout import Layout
from moe_planner.loads import Rates, expert_rates
from moe_planner.memory import experts_that_fit
from moe_planner.moves import Room
from moe_planner.planning_file import PlanFile
from moe_planner.result import Plan


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan and what it was made of: either a deployment or a planning file."""

    source: Source
    inputs: PlannerInputs
    plan: Plan
    deployment: MoEDeployment | None = None
    file: PlanFile | None = None

    @cached_property
    def rates(self) -> Rates:
        """How likely a token chooses each expert."""
        return expert_rates(self.inputs.shape, self.inputs.loads)

    @property
    def room(self) -> Room:
        """What a rank can take when others fail: lanes as the engine allows, experts as its memory does."""
        held = experts_that_fit(self.inputs.shape, self.inputs.hardware, self.plan.degrees, self.inputs.workload)
        return Room(lanes_per_rank=self.inputs.workload.lanes_per_rank, experts_per_rank=held)


def plan_source(
    source: Source,
    what_if: WhatIf,
    *,
    loads: Loads | None = None,
    calibration: Calibration | None = None,
    current: Layout | None = None,
) -> Planned:
    """Raises CommandError with the field as the source's author writes it."""
    try:
        if source.kind == "deployment":
            return _plan_deployment(source, loads, calibration, current)
        return _plan_file(source, what_if, loads, calibration, current)
    except PlanError as error:
        raise CommandError(f"{source.name}: {_told(error, source)}") from error


def _plan_deployment(
    source: Source, loads: Loads | None, calibration: Calibration | None, current: Layout | None
) -> Planned:
    deployment = load_deployment(source.values, source.name)
    inputs = planner_inputs(deployment.spec)
    inputs = inputs if loads is None else replace(inputs, loads=loads)
    return Planned(source=source, inputs=inputs, plan=inputs.plan(calibration, current), deployment=deployment)


def _plan_file(
    source: Source, what_if: WhatIf, loads: Loads | None, calibration: Calibration | None, current: Layout | None
) -> Planned:
    """A planning file has no words for copies and objective, so the flags change what was read."""
    file = planfile.read(source.values)
    copies = dict(what_if.fix).get("copies", file.constraints.copies)
    objective = what_if.objective or file.constraints.objective
    file = replace(file, constraints=replace(file.constraints, copies=copies, objective=objective))
    inputs = PlannerInputs(
        shape=file.shape,
        hardware=file.hardware,
        workload=file.workload,
        constraints=file.constraints,
        targets=file.targets,
        loads=loads or Loads(),
    )
    return Planned(source=source, inputs=inputs, plan=inputs.plan(calibration, current), file=file)


def _told(error: PlanError, source: Source) -> str:
    """A MoEDeployment's fields begin with spec; flags and files of their own are named as they are."""
    if source.kind == "planning":
        return str(in_words_of_file(error))
    if error.field.startswith(("--", "loads", "model.config")):
        return str(error)
    return str(problems.of_plan(error))
