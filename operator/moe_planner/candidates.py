"""Every legal choice of degrees, and what is known of one before it is placed. Knows no preference."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from moe_planner.memory import Memory, experts_per_rank, memory_per_gpu, usable_bytes
from moe_planner.problem import Problem
from moe_planner.result import Degrees
from moe_planner.sizes import stage_sizes
from moe_planner.timing import Times, predict


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Degrees that split whole layers and whole pods; the rest is computed when it is asked for."""

    problem: Problem
    degrees: Degrees
    copies: int

    @cached_property
    def experts_per_gpu(self) -> int:
        return experts_per_rank(self.problem.shape, self.degrees, self.copies, self.problem.extra_copies)

    @cached_property
    def nodes(self) -> int | None:
        """None where the nodes do not suffice."""
        return self.problem.capacity.nodes_for(num_pods(self), gpus_per_pod(self))

    @property
    def sequences(self) -> int:
        """Of the fullest replica: tokens of its decode step."""
        return -(-self.problem.workload.batch_size // self.degrees.data)

    @property
    def holds_batch(self) -> bool:
        """Whether the lanes' KV caches take the whole batch at full length; else the youngest sequences wait."""
        workload = self.problem.workload
        in_lane = -(-self.sequences // self.degrees.expert)
        return in_lane * workload.max_sequence_length <= workload.kv_tokens_per_lane

    @cached_property
    def memory(self) -> Memory:
        problem = self.problem
        return memory_per_gpu(problem.shape, self.degrees, problem.workload, self.copies, problem.extra_copies)

    @cached_property
    def fits(self) -> bool:
        return self.memory.total <= usable_bytes(self.problem.hardware)

    @cached_property
    def times(self) -> Times | None:
        return predict(self.problem, self.degrees, self.copies)

    @cached_property
    def decode_step(self) -> float:
        """Seconds to the nanosecond, so that the order of additions decides no tie; infinite where it is unknown."""
        return float("inf") if self.times is None else round(self.times.decode_step, 9)

    def with_replicas(self, replicas: int) -> "Candidate":
        return replace(self, degrees=replace(self.degrees, data=replicas))


def gpus_per_pod(candidate: Candidate) -> int:
    """A pod takes a whole node, or the whole stage where that is smaller; stages never share a pod."""
    return min(candidate.degrees.gpus_per_stage, candidate.problem.hardware.gpus_per_node)


def num_pods(candidate: Candidate) -> int:
    return candidate.degrees.num_ranks // gpus_per_pod(candidate)


def most_replicas(candidate: Candidate) -> int:
    """Replicas that the nodes take and that the batch keeps busy; at least one."""
    pods = num_pods(candidate) // candidate.degrees.data
    room = candidate.problem.capacity.most_pods(gpus_per_pod(candidate)) // pods
    return max(1, min(room, candidate.problem.workload.batch_size))


def legal(problem: Problem, *, tensor: int = 1, sequence: int = 1, data: int = 1) -> Iterator[Candidate]:
    """Every EP and PP, those that the user fixed as they are; whether the nodes and their memory suffice is not asked.

    A stage takes a part of a node or whole nodes, has an expert for each of its seats in a layer or another, and as
    many seats as an expert has copies.
    """
    constraints, width = problem.constraints, tensor * sequence
    seats = problem.hardware.gpus_per_node // width
    for pipeline in _pipelines(problem):
        most = _most_seats(problem, pipeline)
        affordable = max(1, problem.hardware.num_gpus // (pipeline * data * width))
        fixed = () if constraints.expert is None else (constraints.expert,)
        for expert in fixed or _whole_pods(min(most, affordable), problem.hardware.gpus_per_node, width):
            degrees = Degrees(expert=expert, pipeline=pipeline, tensor=tensor, sequence=sequence, data=data)
            if expert > seats and expert % seats:
                continue  # a fixed one that fills whole nodes with seats of one GPU need not with wider ones
            if problem.copies <= expert <= most and _survives_by_size(problem, degrees):
                yield Candidate(problem=problem, degrees=degrees, copies=problem.copies)


def widths(problem: Problem) -> list[tuple[int, int]]:
    """(tensor, sequence) from the narrowest seat on: what the user fixed, else 1 first, and more only where it fits.

    A seat's GPUs are on one node, whole seats fill it, and heads and FFN rows divide by the tensor ranks.
    """
    constraints, gpus_per_node = problem.constraints, problem.hardware.gpus_per_node
    tensors = [constraints.tensor] if constraints.tensor else _divisors(gpus_per_node)
    sequences = [constraints.sequence] if constraints.sequence else _divisors(gpus_per_node)
    pairs = [(t, s) for t in tensors for s in sequences if gpus_per_node % (t * s) == 0 and _splits(problem, t)]
    return sorted(pairs, key=lambda pair: (pair[0] * pair[1], pair[1]))


def _splits(problem: Problem, tensor: int) -> bool:
    shape = problem.shape
    return shape.heads % tensor == 0 and shape.expert_ffn % tensor == 0


def _survives_by_size(problem: Problem, degrees: Degrees) -> bool:
    """A lost node leaves a stage something only where it is on two or more."""
    return problem.constraints.survive != "node" or degrees.gpus_per_stage > problem.hardware.gpus_per_node


def _pipelines(problem: Problem) -> range:
    fixed = problem.constraints.pipeline
    return range(1, problem.shape.layers + 1) if fixed is None else range(fixed, fixed + 1)


def _most_seats(problem: Problem, pipeline: int) -> int:
    """Experts of the stage that has fewest, of those that have any."""
    stages = stage_sizes(problem.shape, pipeline)
    return problem.shape.experts * min((s.expert_layers for s in stages if s.expert_layers), default=0)


def _whole_pods(most: int, gpus_per_node: int, width: int) -> Iterator[int]:
    """Seats of a stage, up to `most`: a part of a node, or whole nodes."""
    yield from range(1, min(most, gpus_per_node // width) + 1)
    yield from range(2 * gpus_per_node // width, most + 1, gpus_per_node // width)


def _divisors(number: int) -> list[int]:
    return [one for one in range(1, number + 1) if number % one == 0]
