"""2 stages x 4 ranks on 3 nodes of 4 GPUs: what one runs while working (`make e2e-small`)."""

from collections.abc import Callable, Iterator

import pytest

from demo.checkpoint import prepare_checkpoint, read_example
from demo.deployed import Deployed
from demo.promises import broken_by_move, stalls
from demo.reference import Reference
from demo.streams import Prompt, Stream, differing
from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
Tell = Callable[[str], None]
EXAMPLE = ROOT / "examples" / "small.yaml"
PROMPTS = [Prompt(text=f"Story {number}: once upon a time", max_tokens=240) for number in range(8)]
AFTER_TOKENS = 8


@pytest.fixture(scope="module")
def url(small: Deployed) -> str:
    return small.url()


@pytest.fixture(scope="module")
def calm(small: Deployed, url: str, tell: Tell) -> list[Stream]:
    streams = small.stream(url, PROMPTS, show=lambda _: None)
    tell(f"longest wait for a token in each stream, undisturbed, ms: {stalls(streams)}")
    return streams


@pytest.fixture
def whole_again(small: Deployed) -> Iterator[None]:
    """Heal what a test broke, so that the next one begins with every expert and lane at home."""
    home = small.snapshot()
    yield
    for seat in small.seats():
        small.heal(seat)
    small.wait_until_available(timeout=90, show=lambda _: None)
    small.wait_until_at(home, timeout=90, show=lambda _: None)


def test_tokens_are_those_of_transformers(calm: list[Stream]) -> None:
    checkpoint = prepare_checkpoint(read_example(EXAMPLE))
    reference = Reference.start(ROOT, checkpoint.folder, PROMPTS)
    try:
        assert differing(calm, reference.finish()) == []
    finally:
        reference.stop()


@pytest.mark.parametrize("how", ["exit", "hang"])
def test_a_rank_whose_gpu_is_fine_comes_back_into_its_seat_and_nothing_moves(
    small: Deployed, url: str, calm: list[Stream], tell: Tell, how: str
) -> None:
    before, seat = small.snapshot(), small.seats()[5]
    disturbed = small.stream(
        url, PROMPTS, event=lambda: small.fail(seat, how), after_tokens=AFTER_TOKENS, show=lambda _: None
    )
    tell(f"longest wait for a token in each stream, rank {seat.rank} {how}, ms: {stalls(disturbed)}")
    assert differing(disturbed, [stream.tokens for stream in calm]) == []
    assert broken_by_move(before, small.snapshot(), []) == []
    assert small.incarnation(seat) > seat.incarnation


@pytest.mark.parametrize("rank", [1, 6], ids=["a lane's head", "a later stage"])
@pytest.mark.usefixtures("whole_again")
def test_a_dead_gpu_moves_its_expert_and_its_lane_and_nothing_else(
    small: Deployed, url: str, calm: list[Stream], tell: Tell, rank: int
) -> None:
    before, seat = small.snapshot(), small.seats()[rank]
    known = len(small.stage(seat.stage).status.moves)
    disturbed = small.stream(
        url, PROMPTS, event=lambda: small.fail(seat, "device"), after_tokens=AFTER_TOKENS, show=lambda _: None
    )
    move = small.wait_for_move(seat, known=known, show=lambda _: None)
    tell(f"rank {seat.rank} died: noticed {move.detect_ms} ms, committed {move.commit_ms} ms, loaded {move.load_ms} ms")
    tell(f"longest wait for a token in each stream, rank {seat.rank} dead, ms: {stalls(disturbed)}")
    assert differing(disturbed, [stream.tokens for stream in calm]) == []
    assert broken_by_move(before, small.snapshot(), [seat]) == []
    assert sorted(move.experts) == sorted(seat.experts)
