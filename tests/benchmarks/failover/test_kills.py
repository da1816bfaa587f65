import random
import time
from datetime import datetime

import pytest

from benchmarks.failover.crowd import Asked, wrong_tokens
from benchmarks.failover.kills import choose
from benchmarks.failover.sightings import LOG_TIME, Sightings
from demo.observe import Seat
from demo.streams import Prompt, Stream


def seat(rank: int, stage: str, experts: tuple[int, ...] = (1,), lane: int = 0) -> Seat:
    return Seat(stage=stage, rank=rank, pod="p", node="n", gpu=0, incarnation=1, experts=experts, lanes=(lane,))


SEATS = [seat(0, "a"), seat(1, "a"), seat(2, "b"), seat(3, "b", experts=())]
NO_LANES = frozenset[int]()


def test_the_stage_that_was_hit_least_is_hit_next_and_never_an_empty_rank() -> None:
    assert {choose(SEATS, [0], NO_LANES, random.Random(seed)).rank for seed in range(9)} == {2}


def test_nobody_is_hit_twice() -> None:
    assert choose(SEATS, [0, 2], NO_LANES, random.Random(0)).rank == 1
    with pytest.raises(ValueError, match="ask for fewer kills"):
        choose(SEATS, [0, 1, 2], NO_LANES, random.Random(0))


def test_a_rank_of_a_lane_with_streams_is_hit_while_there_is_one() -> None:
    seats = [seat(0, "a", lane=0), seat(1, "a", lane=1), seat(2, "b", lane=1)]
    assert choose(seats, [2], {1}, random.Random(0)).rank == 1
    assert choose(seats, [1, 2], {1}, random.Random(0)).rank == 0


def asked(*tokens: int, finish: str = "") -> Asked:
    stream = Stream(prompt=Prompt(text="", max_tokens=9), began=0.0, finish=finish, tokens=list(tokens))
    return Asked(name="x", number=0, stream=stream)


def test_a_stream_under_way_is_right_as_far_as_it_is() -> None:
    assert wrong_tokens([asked(1, 2), asked(1, 2, 3, finish="stop")], [[1, 2, 3]]) == []


def test_a_wrong_token_and_an_early_end_are_found() -> None:
    assert wrong_tokens([asked(1, 9)], [[1, 2, 3]]) == ["x: 2 of 3 tokens, the first wrong one at 1"]
    assert wrong_tokens([asked(1, 2, finish="stop")], [[1, 2, 3]]) == ["x: 2 of 3 tokens, the first wrong one at None"]


def test_the_gateways_log_says_who_headed_a_request_and_when() -> None:
    seen, began = Sightings(), time.time()

    def line(age: float, rank: int) -> str:
        written = datetime.fromtimestamp(began - age).strftime(LOG_TIME)
        return f"{written} INFO moe_gateway.balancer a-1 goes to HeadKey(replica=0, rank={rank}, pod_uid='u') as 0"

    seen.see_line(line(10, 4))
    seen.see_line(line(5, 6))
    seen.see_line("2026 INFO something else")
    now = time.monotonic()
    assert [seen.head_of("a-1", now - age) for age in (20, 7, 0)] == [None, 4, 6]
