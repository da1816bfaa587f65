import ast
from pathlib import Path

import pytest

from benchmarks.failover.counted import KINDS, kind_of

WORKER = Path(__file__).resolve().parents[3] / "worker" / "moe_worker"
RANK = "/x/moe_worker/protocol/rank.py"
REQUESTS = "/x/moe_worker/protocol/requests.py"
LOOP = ("/x/moe_worker/rank_loop.py", "_turn")


def test_a_beat_counts_with_all_that_it_calls() -> None:
    stack = [("/x/moe_wire/framing.py", "encode"), ("/x/moe_worker/rank_loop.py", "_beat"), LOOP]
    assert kind_of(stack) == ("signs of life, reports", "rank_loop.py:_beat")


def test_who_was_asked_counts_but_not_that_it_is_sent() -> None:
    asks = [(REQUESTS, "_route"), (REQUESTS, "ask"), LOOP]
    assert kind_of(asks) == ("whom a sub-batch was asked of", "requests.py:_route")
    assert kind_of([("/x/moe_worker/protocol/links.py", "send"), *asks]) is None
    assert kind_of([("<string>", "__init__"), *asks]) is None


def test_the_model_under_the_clock_of_service_times_is_no_bookkeeping() -> None:
    timed = ("/x/moe_worker/service_times.py", "expert")
    assert kind_of([timed, LOOP]) == ("service times", "service_times.py:expert")
    assert kind_of([("/x/moe_worker/model/experts.py", "expert"), timed, LOOP]) is None
    assert kind_of([("/lib/torch/_contextlib.py", "inference_mode"), timed, LOOP]) is None


def test_a_library_that_is_named_like_ours_is_not_ours() -> None:
    assert kind_of([("/lib/requests.py", "get"), (RANK, "run_one"), LOOP]) is None


@pytest.mark.parametrize("place", sorted({place for kind in KINDS for place in kind.whole}))
def test_what_is_named_is_there(place: tuple[str, str]) -> None:
    file, function = place
    trees = [ast.parse(path.read_text()) for path in WORKER.rglob(file)]
    assert function in {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("file", sorted({file for kind in KINDS for file in kind.own}))
def test_a_file_that_is_named_is_there(file: str) -> None:
    assert list(WORKER.rglob(file))
