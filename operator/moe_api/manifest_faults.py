"""Where a MoEStage contradicts itself, its model or its pods, in words. Knows no plan."""

from collections import Counter
from collections.abc import Iterable, Mapping

from moe_api.pod_count import PodCount
from moe_api.stage import MoEStage, MoEStageSpec


def faults_of(stage: MoEStage, pods: Mapping[str, PodCount]) -> Iterable[str]:
    """One sentence each; pods are compared where any were given."""
    spec, name = stage.spec, stage.metadata.name
    seats = {seat.rank for seat in spec.ranks}
    if len({(seat.pod, seat.gpu) for seat in spec.ranks}) != len(spec.ranks) or len(seats) != len(spec.ranks):
        yield f"{name}: two ranks have one GPU"
    yield from _expert_faults(spec, name, seats)
    yield from _lane_faults(spec, name, seats)
    if pods:
        yield from _pod_faults(spec, name, pods)


def _expert_faults(spec: MoEStageSpec, name: str, seats: set[int]) -> Iterable[str]:
    shape = spec.model.shape
    dense = set(shape.dense_layers or ())
    having = (layer for layer in range(spec.first_layer, spec.first_layer + spec.num_layers) if layer not in dense)
    expected = {layer * shape.experts + index for layer in having for index in range(shape.experts)}
    named = Counter(expert.expert for expert in spec.experts)
    for expert in sorted(expected ^ set(named)):
        yield f"{name}: expert {expert} {'has no host' if expert in expected else 'is of no layer of the stage'}"
    for one in spec.experts:
        hosts = (*one.ranks, *one.loading)
        if not one.ranks:
            yield f"{name}: expert {one.expert} has no host"
        if len(set(hosts)) != len(hosts) or named[one.expert] > 1:
            yield f"{name}: expert {one.expert} is twice on one GPU"
        if not set(hosts) <= seats:
            yield f"{name}: expert {one.expert} is on a rank that the stage does not have"


def _lane_faults(spec: MoEStageSpec, name: str, seats: set[int]) -> Iterable[str]:
    if sorted(lane.lane for lane in spec.lanes) != list(range(spec.ranks_per_stage)):
        yield f"{name}: its lanes are not 0 to {spec.ranks_per_stage - 1}"
    for lane in spec.lanes:
        if lane.rank not in seats:
            yield f"{name}: lane {lane.lane} has no rank of the stage"


def _pod_faults(spec: MoEStageSpec, name: str, pods: Mapping[str, PodCount]) -> Iterable[str]:
    for pod_name in dict.fromkeys(seat.pod for seat in spec.ranks):
        ranks = sorted(seat.rank for seat in spec.ranks if seat.pod == pod_name)
        experts = {expert.expert for expert in spec.experts if set(expert.ranks) & set(ranks)}
        pod = pods.get(pod_name)
        if pod is None:
            yield f"{name}: there is no pod {pod_name}"
            continue
        if list(pod.ranks) != ranks:
            yield f"{pod_name}: its RANKS are {list(pod.ranks)}, and the stage gives it {ranks}"
        if set(pod.experts) != experts:
            yield f"{pod_name}: its EXPERTS are not those that the stage gives its ranks"
        if pod.gpus != len(ranks):
            yield f"{pod_name}: it asks for {pod.gpus} GPUs and has {len(ranks)} ranks"
        if pod.world_size != spec.stages * spec.ranks_per_stage:
            yield f"{pod_name}: its WORLD_SIZE is {pod.world_size}, and the replica has other ranks"
