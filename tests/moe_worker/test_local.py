"""Real rank processes over TCP: the same tokens at every degree, as from transformers, and with ranks killed under
the streams.
"""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moe_wire.messages import Sampling
from moe_worker.local import LocalCluster
from moe_worker.make_checkpoint import main as make_checkpoint
from moe_worker.protocol.view import StageView
from moe_worker.supervisor.seat import Rules

PROMPTS = [
    [5, 17, 300, 42],
    [7],
    list(range(20, 60)),
    [400, 3, 3, 3, 9, 10],
    [88, 99],
    [250] * 17,
    [1, 2, 3],
    [6, 5, 4],
]
NEW_TOKENS = 24


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_checkpoint([str(folder), "--layers", "2", "--experts", "8", "--initializer-range", "0.2"])
    return folder


@pytest.fixture(scope="module")
def alone(model: Path) -> list[list[int]]:
    """The tokens of one rank alone."""
    with LocalCluster(model, stages=1, ranks=1) as cluster:
        return cluster.generate(PROMPTS, NEW_TOKENS)


@pytest.fixture
def cluster(model: Path) -> Iterator[LocalCluster]:
    with LocalCluster(model, stages=2, ranks=4) as cluster:
        yield cluster


def test_one_rank_gives_the_tokens_of_transformers(model: Path, alone: list[list[int]]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    for prompt, tokens in zip(PROMPTS, alone, strict=True):
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            made = reference.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )
        assert tokens == made[0, len(prompt) :].tolist()


def test_eight_ranks_give_the_tokens_of_one(cluster: LocalCluster, alone: list[list[int]]) -> None:
    assert cluster.generate(PROMPTS, NEW_TOKENS) == alone


def test_a_lane_with_few_blocks_that_lets_few_wait_serves_all_in_the_end(model: Path, alone: list[list[int]]) -> None:
    engine = {"blocks_per_lane": 4, "max_sequence_length": 64, "max_waiting": 1}
    with LocalCluster(model, stages=1, ranks=1, engine=engine) as cluster:
        assert cluster.generate(PROMPTS, NEW_TOKENS) == alone


def test_prompts_are_dealt_to_the_lanes_as_many_at_a_time_as_was_asked_for(
    cluster: LocalCluster, alone: list[list[int]]
) -> None:
    assert cluster.generate(PROMPTS, NEW_TOKENS) == alone
    streams = cluster.client.submit(PROMPTS, 2, Sampling(), None, streams_per_lane=3)
    cluster.wait(lambda: cluster.client.turn(streams), 60.0)
    assert [stream.lane for stream in streams] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert [stream.generated for stream in streams] == [tokens[:2] for tokens in alone]


def test_ranks_tell_their_load(cluster: LocalCluster) -> None:
    cluster.generate([[1, 2, 3]] * 4, 4)
    seats = cluster.crew.seats()
    cluster.wait(lambda: any(seat.lane_figures for seat in seats) and any(seat.expert_tokens for seat in seats), 5.0)
    for seat in seats:
        assert set(seat.expert_tokens) <= set(seat.experts)
        for figures in seat.lane_figures:
            assert (figures["lane"], figures["blocks"], figures["tokens_admitted"] % 3) == (seat.rank, 256, 0)


@pytest.mark.parametrize("rank", [0, 2, 5])
def test_a_rank_killed_under_the_streams_is_forked_again_and_no_token_changes(
    cluster: LocalCluster, alone: list[list[int]], rank: int
) -> None:
    killed: list[int] = []

    def kill_once(_index: int, _token: int) -> None:
        if not killed:
            killed.append(cluster.pid(rank))
            os.kill(killed[0], signal.SIGKILL)

    assert cluster.generate(PROMPTS, NEW_TOKENS, on_token=kill_once) == alone
    cluster.wait(cluster.is_ready, 10.0)
    assert cluster.pid(rank) != killed[0]
    assert [seat.restarts for seat in cluster.crew.seats()] == [int(seat.rank == rank) for seat in cluster.crew.seats()]


@pytest.mark.slow
def test_rows_fetched_with_nixl_give_the_same_tokens_also_with_a_rank_killed_under_the_streams(model: Path) -> None:
    """Prompts of a whole step each: most rows of the prefill are large enough to be fetched."""
    prompts = [[(7 * place * place + 13 * index) % 500 for place in range(256)] for index in range(6)]
    with LocalCluster(model, stages=1, ranks=1) as cluster:
        alone = cluster.generate(prompts, 4)
    with LocalCluster(model, stages=2, ranks=2, transport="nixl") as cluster:
        killed: list[int] = []

        def kill_once(_index: int, _token: int) -> None:
            if not killed:
                killed.append(cluster.pid(3))
                os.kill(killed[0], signal.SIGKILL)

        assert cluster.generate(prompts, 4) == alone
        assert cluster.generate(prompts, 4, on_token=kill_once) == alone
        cluster.wait(cluster.is_ready, 20.0)
        assert cluster.pid(3) != killed[0]


def test_a_stopped_rank_is_killed_for_its_silence_and_the_streams_finish(
    cluster: LocalCluster, alone: list[list[int]]
) -> None:
    os.kill(cluster.pid(6), signal.SIGSTOP)
    started = time.monotonic()
    assert cluster.generate(PROMPTS, NEW_TOKENS) == alone
    assert 1.5 < time.monotonic() - started < 20.0
    assert cluster.crew.members[6].seat.restarts == 1


def test_a_stopped_rank_that_goes_on_after_all_it_had_was_given_away_disturbs_nothing_and_may_host_again(
    cluster: LocalCluster, alone: list[list[int]]
) -> None:
    cluster.crew.rules = Rules(heartbeat_seconds=60.0, restart_budget=3)
    first, second = cluster.layout()
    emptied = without(second, 6, heir=7)
    pids = [cluster.pid(rank) for rank in range(8)]
    num_tokens = 0

    def stop_and_go_on(_index: int, _token: int) -> None:
        nonlocal num_tokens
        num_tokens += 1
        if num_tokens == 1:
            os.kill(pids[6], signal.SIGSTOP)
            cluster.crew.show(cluster.views([first, emptied]))
        elif num_tokens == 60:
            os.kill(pids[6], signal.SIGCONT)

    assert cluster.generate(PROMPTS, NEW_TOKENS, on_token=stop_and_go_on) == alone
    cluster.crew.show(cluster.views([first, replace(second, epoch=3)]))
    assert cluster.generate(PROMPTS, NEW_TOKENS) == alone
    assert [cluster.pid(rank) for rank in range(8)] == pids


def without(stage: StageView, rank: int, *, heir: int) -> StageView:
    """The stage's next epoch, in which the rank is out of service and the heir has what it had."""
    return replace(
        stage,
        epoch=stage.epoch + 1,
        seats={**stage.seats, rank: replace(stage.seats[rank], address=None)},
        serving={expert: tuple(heir if host == rank else host for host in ranks)
                 for expert, ranks in stage.serving.items()},
        lanes={lane: heir if seat == rank else seat for lane, seat in stage.lanes.items()},
    )  # fmt: skip


def test_no_process_outlives_the_cluster(model: Path) -> None:
    with LocalCluster(model, stages=1, ranks=2) as cluster:
        pids = [cluster.pid(0), cluster.pid(1), cluster.fork_server_pid]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
