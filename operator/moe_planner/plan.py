"""The planner's front: inputs -> plan, or a PlanError. A list of steps; each lives in a module of its own."""

from moe_planner.amounts import count, gib
from moe_planner.calibration import Calibration
from moe_planner.candidates import Candidate, gpus_per_pod
from moe_planner.growth import grow
from moe_planner.inputs import Constraints, Hardware, Loads, Targets, Workload
from moe_planner.layout import Layout
from moe_planner.model import ModelShape
from moe_planner.placement import place
from moe_planner.problem import Problem
from moe_planner.reasoning import conclude, reason
from moe_planner.rejections import alternatives, figures
from moe_planner.result import Plan
from moe_planner.rules import check_inputs
from moe_planner.search import choose
from moe_planner.topology import topology_notes
from moe_planner.verification import verify
from moe_planner.widening import unsupported


def plan(
    shape: ModelShape,
    hardware: Hardware,
    workload: Workload,
    constraints: Constraints,
    *,
    targets: Targets = Targets(),
    loads: Loads = Loads(),
    calibration: Calibration = Calibration(),
    current: Layout | None = None,
) -> Plan:
    """Same input, byte-identical plan. Raises PlanError(field, value, rule, remedy).

    `targets` are judged in the verification; `loads` and `calibration` correct the predictions; `current` is the
    layout that runs now, from which the new one moves the least.
    """
    check_inputs(shape, hardware, workload, constraints, targets=targets, loads=loads, calibration=calibration)
    problem = Problem(
        shape=shape,
        hardware=hardware,
        workload=workload,
        constraints=constraints,
        targets=targets,
        loads=loads,
        calibration=calibration,
    )
    choice = choose(problem)
    best, losers = choice.best, alternatives(choice)
    layouts, moves = _placed(problem, best, current)
    return Plan(
        layouts=layouts,
        degrees=best.degrees,
        gpus_per_pod=gpus_per_pod(best),
        reasoning=reason(problem, choice, losers, (*topology_notes(hardware, layouts), *moves)),
        verification=verify(problem, best, layouts),
        alternatives=losers,
        conclusion=conclude(shape, hardware, best),
        figures=figures(best),
        unsupported=unsupported(best),
    )


def _placed(problem: Problem, best: Candidate, current: Layout | None) -> tuple[tuple[Layout, ...], tuple[str, ...]]:
    """The layouts, and in words what getting there from the running one loads."""
    shape, hardware, constraints, loads = problem.shape, problem.hardware, problem.constraints, problem.loads
    if current is None:
        return place(shape, hardware, best.degrees, constraints, loads, batch=best.sequences), ()
    grown = grow(shape, current, hardware, best.degrees, constraints, loads, batch=best.sequences)
    words = (
        f"from the layout that runs, {count(len(grown.experts), 'expert')} and {count(len(grown.layers), 'layer')} on "
        f"a GPU are loaded, {gib(grown.num_bytes)}; all else stays where it is"
    )
    return grown.layouts, (words,)
