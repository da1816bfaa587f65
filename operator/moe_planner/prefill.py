"""How long the prompts of a whole batch take until each has its first token. An estimate, from named parts.

Lanes run asynchronously of each other, so computing, reading weights and sending overlap, and the slowest of the three
sets a stage's pace. Prompts go through the pipeline in chunks of `step_tokens` a lane; filling and draining it takes
(chunks + stages - 1)/chunks as long as its slowest stage is busy.
"""

from dataclasses import dataclass
from math import ceil

from moe_planner.activation import busiest_over_mean
from moe_planner.flops import expert_flops, mean_tokens_seen, score_flops
from moe_planner.memory import expert_slice
from moe_planner.problem import Problem
from moe_planner.result import Degrees
from moe_planner.sizes import StageSizes, stage_sizes
from moe_planner.speeds import Speeds
from moe_planner.terms import Term, computed, expected_error, read, repeated, sent, slowest
from moe_planner.traffic import boundary_bytes, dispatch_bytes, exchange, hop, transfer_seconds


@dataclass(frozen=True, kw_only=True)
class Prefill:
    """The slowest stage's `pace`, of `compute`, `reads` and `transfers` the slowest; and what comes on top of it."""

    compute: Term
    reads: Term
    transfers: Term
    latency: Term
    chunks: int
    stages: int
    starved: float
    tokens: int
    gpus: int

    @property
    def pace(self) -> Term:
        return slowest(self.compute, self.reads, self.transfers)

    @property
    def fill(self) -> float:
        """Time of the whole batch over the time that the slowest stage is busy."""
        return (self.chunks + self.stages - 1) / self.chunks

    @property
    def seconds(self) -> float:
        return self.pace.seconds * self.starved * self.fill + self.latency.seconds

    @property
    def throughput(self) -> float:
        """Tokens per second and GPU of a pipeline that is always full."""
        return self.tokens / (self.pace.seconds * self.starved) / self.gpus

    @property
    def error(self) -> float:
        return expected_error((self.pace, self.latency))


def predict_prefill(problem: Problem, speeds: Speeds, degrees: Degrees, copies: int) -> Prefill:
    """Of one replica's share of the batch, all prompts as long as they may be."""
    workload = problem.workload
    sequences = ceil(workload.batch_size / degrees.data)
    lanes = min(degrees.expert, sequences)
    lane_tokens = ceil(sequences / degrees.expert) * workload.max_sequence_length
    chunks = ceil(lane_tokens / workload.step_tokens)
    stages = [
        _stage(stage, problem, speeds, degrees, copies, lane_tokens, chunks)
        for stage in stage_sizes(problem.shape, degrees.pipeline)
    ]
    compute, reads, transfers = max(stages, key=lambda terms: slowest(*terms).seconds)
    return Prefill(
        compute=compute,
        reads=reads,
        transfers=transfers,
        latency=_latency(problem, speeds, degrees),
        chunks=chunks,
        stages=degrees.pipeline,
        starved=max(1.0, degrees.pipeline / (lanes * workload.steps_in_flight)),
        tokens=sequences * workload.max_sequence_length,
        gpus=degrees.gpus_per_stage * degrees.pipeline,
    )


def _stage(
    stage: StageSizes,
    problem: Problem,
    speeds: Speeds,
    degrees: Degrees,
    copies: int,
    lane_tokens: int,
    chunks: int,
) -> tuple[Term, Term, Term]:
    shape, calibration = problem.shape, problem.calibration
    tokens = ceil(problem.workload.batch_size / degrees.data) * problem.workload.max_sequence_length
    rows = _expert_rows(stage, problem, degrees, copies) * tokens
    attention = lane_tokens * (stage.lane_flops + _score_flops(stage, problem))
    flop = (attention + rows * expert_flops(shape)) / degrees.gpus_per_seat
    held = copies * ceil(shape.experts * stage.expert_layers / degrees.expert)
    weights = stage.lane_bytes / degrees.tensor + held * expert_slice(shape, degrees)
    return (
        computed("prefill compute", flop, speeds.flops, calibration),
        read("prefill weight reads", chunks * weights, speeds.memory, calibration),
        _transfers(stage, problem, speeds, degrees, lane_tokens, rows),
    )


def _expert_rows(stage: StageSizes, problem: Problem, degrees: Degrees, copies: int) -> float:
    """Rows that one token brings to the busiest seat of the stage, over all layers."""
    if not stage.expert_layers:
        return 0.0
    shape = problem.shape
    chosen = stage.expert_layers * shape.experts_per_token
    experts = max(
        shape.experts * stage.expert_layers, min(degrees.expert, copies * shape.experts * stage.expert_layers)
    )
    hottest = problem.hottest / copies
    return chosen / degrees.expert * busiest_over_mean(experts, degrees.expert, hottest, chosen)


def _score_flops(stage: StageSizes, problem: Problem) -> float:
    """Attention scores of a mean token of a prompt, over the stage's layers."""
    length = problem.workload.max_sequence_length
    window = min(length, problem.shape.attention_window)
    seen = stage.full_layers * mean_tokens_seen(length, length) + stage.window_layers * mean_tokens_seen(length, window)
    return score_flops(problem.shape) * seen


def _transfers(
    stage: StageSizes, problem: Problem, speeds: Speeds, degrees: Degrees, lane_tokens: int, rows: float
) -> Term:
    """Rows that a GPU sends: to experts as their lane, back as their host, and on to the next stage."""
    shape, gpus_per_node = problem.shape, problem.hardware.gpus_per_node
    seconds = num_bytes = 0.0
    way = exchange(degrees, gpus_per_node, speeds)
    if way is not None:
        num_bytes = stage.expert_layers * dispatch_bytes(shape, lane_tokens) + boundary_bytes(shape, rows)
        seconds = num_bytes / way.bandwidth
    if degrees.pipeline > 1:
        onward = boundary_bytes(shape, lane_tokens)
        num_bytes += onward
        seconds += onward / hop(degrees, gpus_per_node, speeds).bandwidth
    rate = num_bytes / seconds if seconds else speeds.between.bandwidth
    return sent("prefill transfers", num_bytes, rate, problem.calibration)


def _latency(problem: Problem, speeds: Speeds, degrees: Degrees) -> Term:
    """What the last chunk waits for links on its way: there and back in each layer with experts, and every hop."""
    gpus_per_node = problem.hardware.gpus_per_node
    way = exchange(degrees, gpus_per_node, speeds)
    hops = (degrees.pipeline - 1) * transfer_seconds(hop(degrees, gpus_per_node, speeds), 0)
    exchanges = 2 * problem.shape.num_expert_layers * (way.latency if way is not None else 0.0)
    return repeated("prefill latency", 1, hops + exchanges, problem.calibration)
