from __future__ import annotations

from dataclasses import replace

from moe_planner.candidates import Candidate, gpus_per_pod, legal, most_replicas, num_pods, widths
from moe_planner.inputs import Constraints
from moe_planner.result import Degrees
from tests.moe_planner.document import DEGREES, problem


def candidate(degrees: Degrees = DEGREES) -> Candidate:
    return Candidate(problem=problem(), degrees=degrees, copies=1)


def test_a_stage_takes_a_part_of_a_node_or_whole_nodes() -> None:
    """With 16 stages a layer's 16 experts go to 1 to 8 GPUs, or to two nodes."""
    found = [c.degrees.expert for c in legal(problem()) if c.degrees.pipeline == 16]
    assert found == [1, 2, 3, 4, 5, 6, 7, 8, 16]
    assert num_pods(candidate()) == 32
    assert gpus_per_pod(candidate(Degrees(expert=4, pipeline=2))) == 4


def test_every_pipeline_is_tried_and_none_beyond_the_gpus() -> None:
    found = [c.degrees for c in legal(problem())]
    assert {degrees.pipeline for degrees in found} == set(range(1, 17))
    assert max(degrees.num_ranks for degrees in found) <= 256
    assert len(set(found)) == len(found)


def test_no_seat_is_without_an_expert_and_none_is_left_out_for_dense_layers() -> None:
    """With two stages of 8 layers, the first with 3 dense ones, a stage has 5 * 16 experts at least."""
    given = problem()
    shape = replace(given.shape, dense_layers=(0, 1, 2), dense_ffn=100)
    found = [c.degrees.expert for c in legal(replace(given, shape=shape)) if c.degrees.pipeline == 2]
    assert max(found) == 80


def test_fixed_degrees_are_the_only_ones() -> None:
    fixed = problem(constraints=Constraints(expert=16, pipeline=4))
    assert [c.degrees for c in legal(fixed)] == [Degrees(expert=16, pipeline=4)]


def test_copies_need_as_many_seats() -> None:
    assert min(c.degrees.expert for c in legal(problem(constraints=Constraints(copies=3)))) == 3


def test_seats_are_tried_from_the_narrowest_on_and_fill_a_node() -> None:
    """38,082 rows do not divide by 4."""
    found = widths(problem())
    assert found[:4] == [(1, 1), (2, 1), (1, 2), (2, 2)]
    assert all(8 % (tensor * sequence) == 0 for tensor, sequence in found)
    assert widths(problem(constraints=Constraints(tensor=2, sequence=2))) == [(2, 2)]
    assert widths(problem(constraints=Constraints(tensor=3))) == []


def test_replicas_end_with_the_nodes_or_the_batch() -> None:
    assert most_replicas(candidate()) == 1
    assert most_replicas(candidate(Degrees(expert=16, pipeline=1))) == 16
    assert most_replicas(candidate(Degrees(expert=1, pipeline=1))) == 128


def test_a_lane_must_hold_its_share_of_the_batch() -> None:
    assert candidate().holds_batch
    assert not candidate(Degrees(expert=15, pipeline=1)).holds_batch
    assert candidate(Degrees(expert=8, pipeline=1, data=2)).holds_batch


def test_sequences_are_those_of_the_fullest_replica() -> None:
    assert candidate(Degrees(expert=8, pipeline=1, data=3)).sequences == 43
