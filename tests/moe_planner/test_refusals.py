from __future__ import annotations

from dataclasses import replace

import pytest

from moe_planner.errors import PlanError
from moe_planner.inputs import Constraints
from moe_planner.problem import Problem
from moe_planner.search import choose
from tests.moe_planner.document import GB, problem


def refused(given: Problem) -> PlanError:
    with pytest.raises(PlanError) as caught:
        choose(given)
    assert caught.value.remedy
    return caught.value


def test_too_many_replicas_name_the_nodes_that_they_need() -> None:
    error = refused(problem(constraints=Constraints(expert=16, pipeline=16, replicas=2)))
    assert error.field == "hardware.nodes"
    assert "2 x 16 stages x 16 ranks need 512 GPUs in pods of 8, 64 nodes of 8 GPUs; there are 256 GPUs" in error.rule


def test_bad_gpus_are_named_where_they_are_in_the_way() -> None:
    given = problem(constraints=Constraints(expert=16, pipeline=16))
    bad = frozenset({("node-3", 1), ("node-3", 2)})
    error = refused(replace(given, hardware=replace(given.hardware, bad_gpus=bad)))
    assert error.rule.endswith("there are 256 GPUs, 2 of them bad, which leaves room for 31 pods")
    assert error.remedy.startswith("use at least 32 nodes without bad GPUs")


def test_too_little_memory_names_every_part_of_it() -> None:
    """Fixed to one GPU a seat, the leanest is one of 16 stages of 16 ranks."""
    given = problem(constraints=Constraints(tensor=1, sequence=1))
    error = refused(replace(given, hardware=replace(given.hardware, gpu_memory_bytes=GB // 4)))
    assert error.field == "hardware.gpuMemory"
    for part in ("experts", "takeover", "attention", "embeddings", "KV cache", "buffers"):
        assert part in error.rule


def test_seats_that_do_not_fill_a_node_are_refused() -> None:
    assert refused(problem(constraints=Constraints(tensor=3))).field == "parallelism.tensor"
    assert refused(problem(constraints=Constraints(sequence=5))).field == "parallelism.sequence"


def test_more_copies_than_any_stage_has_seats() -> None:
    assert refused(problem(constraints=Constraints(copies=500))).field == "experts.copies"
