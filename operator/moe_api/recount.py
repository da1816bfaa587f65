"""Counts again from the MoEStages and pods alone what is deployed: GPUs, nodes, copies, lanes, bytes.

Reads manifests and nothing of the plan, so that a layout and what is deployed cannot disagree unseen.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from pydantic import ValidationError

from moe_api import names, problems
from moe_api.manifest_faults import faults_of
from moe_api.model import BYTES_PER_NUMBER
from moe_api.pod_count import PodCount, count_pods
from moe_api.shape import read_shape_spec
from moe_api.stage import MoEStage, MoEStageSpec
from moe_planner.model import ModelShape

Manifest = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class GpuCount:
    """One rank's GPU: where it is, what it hosts, and the bytes that follow from that."""

    replica: int
    stage: int
    rank: int
    node: str | None
    experts: tuple[int, ...]
    lanes: tuple[int, ...]
    weight_bytes: int
    kv_bytes: int
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Recount:
    """`pods` and `pod_gpus` are 0 where no pods were given. `remote_share`: of the rows that lanes send to experts, in
    the stage where it is largest, with every expert chosen equally often. `faults` are contradictions inside the
    manifests, in words."""

    gpus: tuple[GpuCount, ...]
    stages: int
    pods: int
    pod_gpus: int
    nodes: int
    experts: int
    coverage: int
    remote_share: float
    dispatch_bytes_per_token: int
    boundary_bytes_per_token: int
    faults: tuple[str, ...]


def recount(objects: Iterable[Manifest]) -> Recount:
    """Counts the MoEStages and pods among the objects, `List`s opened; others are passed over.

    Raises ValueError where there is no MoEStage, or one that is none.
    """
    found = list(_opened(objects))
    stages = [_stage(body) for body in found if body.get("kind") == names.STAGE_KIND]
    if not stages:
        raise ValueError("there is no MoEStage among the objects; give e.g. kubectl get moest,pods -o yaml")
    pods = count_pods([body for body in found if body.get("kind") == "Pod"])
    gpus = tuple(gpu for stage in stages for gpu in _gpus(stage.spec, pods))
    shape = _shape(stages[0].spec)
    coverages = [least for stage in stages if (least := _coverage(stage.spec)) is not None]
    return Recount(
        gpus=gpus,
        stages=len(stages),
        pods=len(pods),
        pod_gpus=sum(pod.gpus for pod in pods.values()),
        nodes=len({gpu.node for gpu in gpus if gpu.node is not None}),
        experts=sum(len(stage.spec.experts) for stage in stages),
        coverage=min(coverages, default=0),
        remote_share=max(_remote_share(stage.spec) for stage in stages),
        dispatch_bytes_per_token=shape.experts_per_token * shape.hidden * shape.bytes_per_number,
        boundary_bytes_per_token=shape.hidden * shape.bytes_per_number,
        faults=tuple(fault for stage in stages for fault in faults_of(stage, pods)),
    )


def _opened(objects: Iterable[Manifest]) -> Iterable[Manifest]:
    for body in objects:
        if not isinstance(body, Mapping):
            continue
        if isinstance(body.get("items"), list):
            yield from _opened(body["items"])
        else:
            yield body


def _stage(body: Manifest) -> MoEStage:
    try:
        return MoEStage.load(body)
    except ValidationError as error:
        name = (body.get("metadata") or {}).get("name", "")
        first = problems.of_validation(error, MoEStage)[0]
        raise ValueError(f"MoEStage {name}: {first}") from error


def _shape(spec: MoEStageSpec) -> ModelShape:
    return read_shape_spec(
        spec.model.shape,
        bytes_per_number=BYTES_PER_NUMBER[spec.model.dtype],
        max_positions=spec.engine.max_sequence_length,
    )


def _gpus(spec: MoEStageSpec, pods: Mapping[str, PodCount]) -> Iterable[GpuCount]:
    shape = _shape(spec)
    held: dict[int, list[int]] = defaultdict(list)
    for expert in spec.experts:
        for rank in (*expert.ranks, *expert.loading):
            held[rank].append(expert.expert)
    most = max((len(experts) for experts in held.values()), default=0)
    kept, cache = _weights_beside_experts(spec, shape), _kv_bytes(spec, shape)
    takeover = ceil(most / (spec.ranks_per_stage - 1)) * shape.expert_bytes if spec.ranks_per_stage > 1 else 0
    reserve = takeover + _buffer_bytes(spec, shape, held)
    for seat in spec.ranks:
        pod = pods.get(seat.pod)
        weights = kept + len(held[seat.rank]) * shape.expert_bytes
        yield GpuCount(
            replica=spec.replica,
            stage=spec.stage,
            rank=seat.rank,
            node=(pod.node if pod else None) or seat.node,
            experts=tuple(held[seat.rank]),
            lanes=tuple(lane.lane for lane in spec.lanes if lane.rank == seat.rank),
            weight_bytes=weights,
            kv_bytes=cache,
            memory_bytes=weights + cache + reserve,
        )


def _weights_beside_experts(spec: MoEStageSpec, shape: ModelShape) -> int:
    """What every rank of the stage holds: its layers' attention and the like, and the embeddings at the ends."""
    layers = sum(shape.attention_bytes_of(layer) for layer in _layers(spec))
    is_first, is_last = spec.stage == 0, spec.stage == spec.stages - 1
    matrices = int(is_first) + int(is_last and not (is_first and shape.tied_embeddings))
    return layers + matrices * shape.embedding_bytes


def _kv_bytes(spec: MoEStageSpec, shape: ModelShape) -> int:
    tokens = spec.engine.lanes_per_rank * spec.engine.blocks_per_lane * spec.engine.block_size
    return spec.num_layers * tokens * shape.kv_bytes_per_token_per_layer


def _buffer_bytes(spec: MoEStageSpec, shape: ModelShape, held: Mapping[int, Sequence[int]]) -> int:
    """Rows that the engine's admission lets a rank hold: its lanes' steps, what it asks of others, what is asked."""
    engine, tokens, k = spec.engine, spec.engine.max_step_tokens, shape.experts_per_token
    copies = max((len(expert.ranks) for expert in spec.experts), default=1)
    chosen_here = min(k, ceil(copies * shape.experts / spec.ranks_per_stage))
    waiting = engine.lanes_per_rank * engine.max_steps_in_flight * tokens
    asked_of_others = 2 * engine.lanes_per_rank * tokens * k
    asked_of_us = 2 * spec.ranks_per_stage * tokens * chosen_here
    inner = tokens * k * shape.expert_ffn * (2 if shape.gated else 1)
    return ((waiting + asked_of_others + asked_of_us) * shape.hidden + inner) * shape.bytes_per_number


def _layers(spec: MoEStageSpec) -> range:
    return range(spec.first_layer, spec.first_layer + spec.num_layers)


def _coverage(spec: MoEStageSpec) -> int | None:
    """None for a stage of dense layers, which has nothing to cover."""
    return min((len(set(expert.ranks)) for expert in spec.experts), default=None)


def _remote_share(spec: MoEStageSpec) -> float:
    """Of all pairs of lane and expert, those whose lane's rank is no host of the expert."""
    ranks = Counter(lane.rank for lane in spec.lanes if lane.rank is not None)
    pairs = sum(ranks.values()) * len(spec.experts)
    local = sum(ranks[rank] for expert in spec.experts for rank in set(expert.ranks))
    return 1 - local / pairs if pairs else 0.0
