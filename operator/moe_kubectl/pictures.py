"""A plan, and what a failure makes of it, as the values of its picture."""

from collections.abc import Mapping, Sequence

from moe_kubectl.planned import Planned
from moe_planner.failures import StageFailure
from moe_planner.layout import StageLayout
from moe_planner.loads import Rates
from moe_planner.memory import Memory, memory_of_rank
from moe_planner.picture import Picture, draw
from moe_planner.sizes import layer_sizes


def picture_of(planned: Planned, failures: Sequence[StageFailure] = ()) -> str:
    """The SVG."""
    stages = {(r, stage.stage): stage for r, layout in enumerate(planned.plan.layouts) for stage in layout.stages}
    after = {(one.replica, one.stage): one.rehosting for one in failures}
    now = {key: after[key].layout if key in after else stage for key, stage in stages.items()}
    return draw(
        Picture(
            title=planned.plan.conclusion,
            stages=stages,
            memories={key: _memory(planned, stage) for key, stage in stages.items()},
            gpu_memory_bytes=planned.inputs.hardware.gpu_memory_bytes,
            loads={key: _loads(stage, planned.rates) for key, stage in now.items()},
            after=after,
        )
    )


def _memory(planned: Planned, stage: StageLayout) -> Memory:
    """Of the stage's fullest GPU."""
    shape, degrees = planned.inputs.shape, planned.plan.degrees
    is_first, is_last = stage.stage == 0, stage.stage == degrees.pipeline - 1
    matrices = is_first + (is_last and not (is_first and shape.tied_embeddings))
    sizes = layer_sizes(shape, stage.first_layer, stage.first_layer + stage.num_layers, matrices)
    held = max(len(stage.held(rank)) for rank in stage.ranks)
    copies = max(1, planned.inputs.constraints.copies)
    return memory_of_rank(sizes, shape, degrees, planned.inputs.workload, held, copies)


def _loads(stage: StageLayout, rates: Rates) -> Mapping[int, float]:
    """Tokens that each rank expects, over the mean of the ranks that are alive."""
    tokens = {rank: 0.0 for rank in stage.ranks if rank not in stage.masked}
    for expert in stage.experts:
        hosts = stage.hosts(expert)
        for rank in hosts:
            tokens[rank] += rates[expert] / len(hosts)
    mean = sum(tokens.values()) / len(tokens) if tokens else 0.0
    return {rank: load / mean if mean else 0.0 for rank, load in tokens.items()}
