"""What must hold of the degrees and copies that the user fixed, beside the model and the nodes that they are for."""

from moe_planner.checks import check_items, check_one_of, check_whole
from moe_planner.errors import PlanError
from moe_planner.inputs import Constraints, Hardware
from moe_planner.limits import MOST_EXPERTS_IN_ALL, MOST_GPUS, shown
from moe_planner.model import ModelShape
from moe_planner.sizes import stage_sizes

_DEGREES = ("expert", "pipeline", "tensor", "sequence", "data")


def check_constraints(shape: ModelShape, hardware: Hardware, constraints: Constraints) -> None:
    """Raises PlanError for the first rule that is broken. Model and hardware have kept theirs."""
    for name in _DEGREES:
        degree = getattr(constraints, name)
        if degree is not None:
            check_whole(f"parallelism.{name}", degree, most=MOST_GPUS)
    check_whole("replicas", constraints.replicas, most=MOST_GPUS)
    check_one_of("parallelism.objective", constraints.objective, ("balance", "cheapest", "fastest"))
    _check_copies(shape, constraints)
    _check_degrees(shape, constraints)
    if constraints.expert is not None:
        _check_expert(constraints.expert, shape, hardware, constraints)


def _check_copies(shape: ModelShape, constraints: Constraints) -> None:
    check_whole("experts.copies", constraints.copies, most=MOST_GPUS)
    check_whole("experts.spareCopies", constraints.spare_copies, least=0, most=MOST_EXPERTS_IN_ALL)
    check_one_of("experts.survive", constraints.survive, ("nothing", "gpu", "node"))
    check_items("experts.copiesOf", constraints.copies_of)
    seen: set[int] = set()
    for pair in constraints.copies_of:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise PlanError("experts.copiesOf", shown(pair), "must be an expert and its copies", "write both")
        expert, copies = pair
        check_whole("experts.copiesOf", expert, least=0, most=shape.layers * shape.experts - 1)
        check_whole("experts.copiesOf", copies, most=MOST_GPUS)
        if expert in seen or expert // shape.experts in shape.dense_layers:
            rule = "names an expert twice" if expert in seen else "names an expert of a layer that has none"
            raise PlanError("experts.copiesOf", expert, rule, "name each expert once, by layer x experts + index")
        seen.add(expert)


def _check_degrees(shape: ModelShape, constraints: Constraints) -> None:
    if constraints.data not in (None, constraints.replicas):
        raise PlanError(
            "parallelism.data",
            constraints.data,
            f"data parallelism is whole pipelines, and replicas = {constraints.replicas}",
            f"use auto, or set replicas to {constraints.data}",
        )
    if constraints.pipeline is not None and constraints.pipeline > shape.layers:
        raise PlanError(
            "parallelism.pipeline",
            constraints.pipeline,
            f"a stage needs at least one of the {shape.layers} layers",
            f"use 1 to {shape.layers}, or auto",
        )


def _check_expert(expert: int, shape: ModelShape, hardware: Hardware, constraints: Constraints) -> None:
    pipeline = constraints.pipeline or 1
    most = shape.experts * min(s.expert_layers for s in stage_sizes(shape, pipeline) if s.expert_layers)
    if expert > most:
        raise PlanError(
            "parallelism.expert",
            expert,
            f"is the expert ranks of one stage, and with {pipeline} stages a stage has {most} experts",
            f"use at most {most} ({_split(expert, pipeline)}), or auto",
        )
    seats = _seats_of_node(hardware, constraints)
    if expert > seats and expert % seats:
        raise PlanError(
            "parallelism.expert",
            expert,
            f"a stage spans whole pods of {seats} GPUs",
            f"use a multiple of {seats}, at most {seats}, or auto",
        )
    if constraints.copies > expert:
        raise PlanError(
            "experts.copies",
            constraints.copies,
            f"copies of an expert need different GPUs, and parallelism.expert gives a stage {expert}",
            f"use at most {expert}",
        )


def _seats_of_node(hardware: Hardware, constraints: Constraints) -> int:
    """Expert ranks on a node, each of as many GPUs as tensor and sequence parallelism take."""
    width = (constraints.tensor or 1) * (constraints.sequence or 1)
    return max(1, hardware.gpus_per_node // width)


def _split(expert: int, pipeline: int) -> str:
    if expert % pipeline:
        return "per stage, not over all stages"
    return f"{expert} expert ranks over {pipeline} stages are {expert // pipeline} per stage"
