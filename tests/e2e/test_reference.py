"""The reference deployment: 256 ranks on 32 nodes of 8 GPUs, under load, with one rank and one GPU lost."""

from collections.abc import Callable, Iterator

import pytest

from demo.deployed import Deployed
from demo.promises import broken_by_move, stalls
from demo.streams import Prompt, Stream, differing
from demo.tour import SPEAKERS
from tests.e2e.conftest import Serve

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.slow]
Tell = Callable[[str], None]
PROMPTS = [Prompt(text=f"In those days {speaker} went up to", max_tokens=40) for speaker in SPEAKERS]
AFTER_TOKENS = 5
KILLED_RANK = 133
HEAD_RANK = 6


@pytest.fixture(scope="module")
def deployed(serve: Serve) -> Iterator[Deployed]:
    with serve("reference", nodes=32, gpus_per_node=8, seconds=300) as running:
        yield running


@pytest.fixture(scope="module")
def url(deployed: Deployed) -> str:
    return deployed.url()


@pytest.fixture(scope="module")
def calm(deployed: Deployed, url: str, tell: Tell) -> list[Stream]:
    streams = deployed.stream(url, PROMPTS, show=lambda _: None)
    assert [stream.error for stream in streams if stream.error] == []
    tell(f"longest wait for a token in each stream, undisturbed, ms: {stalls(streams)}")
    return streams


def test_every_gpu_has_one_expert_on_a_node_of_its_own(deployed: Deployed) -> None:
    seats = deployed.seats()
    assert [seat.rank for seat in seats] == list(range(256))
    assert [seat.experts for seat in seats] == [(rank,) for rank in range(256)]
    pods = deployed.snapshot().pods
    assert len(pods) == len({pod.node for pod in pods.values()}) == 32


def test_a_killed_rank_comes_back_into_its_seat_and_nothing_moves(
    deployed: Deployed, url: str, calm: list[Stream], tell: Tell
) -> None:
    before, seat = deployed.snapshot(), deployed.seats()[KILLED_RANK]
    disturbed = deployed.stream(
        url, PROMPTS, event=lambda: deployed.fail(seat, "exit"), after_tokens=AFTER_TOKENS, show=lambda _: None
    )
    tell(f"longest wait for a token in each stream, rank {seat.rank} killed, ms: {stalls(disturbed)}")
    assert differing(disturbed, [stream.tokens for stream in calm]) == []
    assert broken_by_move(before, deployed.snapshot(), []) == []
    assert deployed.incarnation(seat) > seat.incarnation


def test_a_dead_gpu_of_a_lane_s_head_moves_its_expert_and_its_lane_and_nothing_else(
    deployed: Deployed, url: str, calm: list[Stream], tell: Tell
) -> None:
    before, seat = deployed.snapshot(), deployed.seats()[HEAD_RANK]
    known = len(deployed.stage(seat.stage).status.moves)
    disturbed = deployed.stream(
        url, PROMPTS, event=lambda: deployed.fail(seat, "device"), after_tokens=AFTER_TOKENS, show=lambda _: None
    )
    move = deployed.wait_for_move(seat, known=known, show=lambda _: None)
    tell(f"rank {seat.rank} died: noticed {move.detect_ms} ms, committed {move.commit_ms} ms, loaded {move.load_ms} ms")
    tell(f"longest wait for a token in each stream, head {seat.rank} dead, ms: {stalls(disturbed)}")
    assert differing(disturbed, [stream.tokens for stream in calm]) == []
    assert broken_by_move(before, deployed.snapshot(), [seat]) == []
    assert sorted(move.experts) == sorted(seat.experts)
