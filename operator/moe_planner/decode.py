"""How long a decode step takes: one more token for every sequence of the batch. An estimate, from named parts.

The parts follow one another on a sequence's way through the layers, so they add up. Each is what the busiest GPU of a
layer takes: to read what it must, or to compute, where that is longer.
"""

from dataclasses import dataclass
from math import ceil

from moe_planner.activation import busiest_over_mean, most_activated
from moe_planner.flops import expert_flops, output_flops, score_flops
from moe_planner.memory import expert_slice, kv_shards
from moe_planner.problem import Problem
from moe_planner.result import Degrees
from moe_planner.sizes import StageSizes, whole_model
from moe_planner.speeds import Speeds
from moe_planner.terms import Term, computed, expected_error, read, repeated
from moe_planner.traffic import boundary_bytes, dispatch_bytes, exchange, hop, reduction, transfer_seconds


@dataclass(frozen=True, kw_only=True)
class Decode:
    """One replica's step, and the parts that it is the sum of."""

    terms: tuple[Term, ...]
    sequences: float
    gpus: int

    @property
    def seconds(self) -> float:
        return sum(term.seconds for term in self.terms)

    @property
    def throughput(self) -> float:
        """Tokens per second and GPU."""
        return self.sequences / self.seconds / self.gpus

    @property
    def error(self) -> float:
        return expected_error(self.terms)


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One candidate's step: `lane` sequences on the fullest lane, `tokens` in all lanes of a stage."""

    problem: Problem
    speeds: Speeds
    degrees: Degrees
    copies: int
    model: StageSizes
    lane: int
    tokens: int


def predict_decode(
    problem: Problem, speeds: Speeds, degrees: Degrees, copies: int, *, steps_in_flight: int = 1
) -> Decode:
    """Of sequences that are as long as they may be, in `steps_in_flight` groups that follow each other."""
    sequences = ceil(problem.workload.batch_size / degrees.data)
    step = _Step(
        problem=problem,
        speeds=speeds,
        degrees=degrees,
        copies=copies,
        model=whole_model(problem.shape),
        lane=ceil(sequences / degrees.expert / steps_in_flight),
        tokens=ceil(sequences / steps_in_flight),
    )
    terms = (_experts(step), _attention(step), _cache(step), _exchanges(step), _sums(step), _hops(step), _output(step))
    return Decode(
        terms=tuple(term for term in terms if term.amount),
        sequences=problem.workload.batch_size / degrees.data,
        gpus=degrees.gpus_per_stage * degrees.pipeline,
    )


def _experts(step: _Step) -> Term:
    """Every expert that the step wakes on the busiest seat is read once."""
    shape, degrees, layers = step.problem.shape, step.degrees, step.model.expert_layers
    share = step.problem.activated_share(step.tokens)
    seats = min(degrees.expert, step.copies * shape.experts)
    held = ceil(step.copies * shape.experts / seats)
    num_bytes = layers * most_activated(held, seats, share) * expert_slice(shape, degrees)
    return _slower(
        step, "decode experts", num_bytes, layers * _rows(step) * expert_flops(shape) / degrees.gpus_per_seat
    )


def _attention(step: _Step) -> Term:
    """The weights that every lane visits: attention, router, shared and dense networks."""
    tensor = step.degrees.tensor
    return _slower(step, "decode attention", step.model.lane_bytes / tensor, step.lane * step.model.lane_flops / tensor)


def _cache(step: _Step) -> Term:
    """All that the lane's sequences have cached."""
    shape, model, length = step.problem.shape, step.model, step.problem.workload.max_sequence_length
    window = min(length, shape.attention_window)
    full_bytes = model.kv_bytes_per_token - model.window_kv_bytes_per_token
    num_bytes = step.lane * (full_bytes * length + model.window_kv_bytes_per_token * window)
    flop = step.lane * score_flops(shape) * (model.full_layers * length + model.window_layers * window)
    return _slower(
        step, "decode KV cache", num_bytes / kv_shards(shape, step.degrees), flop / step.degrees.gpus_per_seat
    )


def _output(step: _Step) -> Term:
    shape, tensor = step.problem.shape, step.degrees.tensor
    return _slower(step, "decode output", shape.embedding_bytes / tensor, step.lane * output_flops(shape) / tensor)


def _exchanges(step: _Step) -> Term:
    """Rows to the chosen experts and back, in every layer that has experts."""
    way = exchange(step.degrees, step.problem.hardware.gpus_per_node, step.speeds)
    shape = step.problem.shape
    each = 0.0
    if way is not None:
        num_bytes = max(dispatch_bytes(shape, step.lane), boundary_bytes(shape, _rows(step)))
        each = transfer_seconds(way, num_bytes)
    times = 2 * step.model.expert_layers if way is not None else 0
    return repeated("decode all-to-all", times, each, step.problem.calibration)


def _sums(step: _Step) -> Term:
    """Where several GPUs share a seat: one sum after attention, one after the experts, in every layer."""
    if step.degrees.gpus_per_seat == 1:
        return repeated("decode sums", 0, 0.0, step.problem.calibration)
    link = reduction(step.degrees, step.speeds)
    each = transfer_seconds(link, boundary_bytes(step.problem.shape, step.lane))
    return repeated("decode sums", 2 * step.model.layers, each, step.problem.calibration)


def _hops(step: _Step) -> Term:
    link = hop(step.degrees, step.problem.hardware.gpus_per_node, step.speeds)
    each = transfer_seconds(link, boundary_bytes(step.problem.shape, step.lane))
    return repeated("decode hops", step.degrees.pipeline - 1, each, step.problem.calibration)


def _rows(step: _Step) -> float:
    """Rows of one layer on the busiest seat."""
    shape = step.problem.shape
    seats = min(step.degrees.expert, step.copies * shape.experts)
    uneven = busiest_over_mean(
        max(shape.experts, seats), seats, step.problem.hottest / step.copies, shape.experts_per_token
    )
    return step.tokens * shape.experts_per_token / seats * uneven


def _slower(step: _Step, name: str, num_bytes: float, flop: float) -> Term:
    """Reading and computing overlap."""
    known, calibration = step.speeds, step.problem.calibration
    if num_bytes / known.memory >= flop / known.flops:
        return read(name, num_bytes, known.memory, calibration)
    return computed(name, flop, known.flops, calibration)
