"""2 stages x 4 ranks on 3 nodes of 4 GPUs: what one runs while working (`make e2e-small`)."""

from collections.abc import Callable, Iterator

import pytest

from demo.checkpoint import make_checkpoint, read_example
from demo.deployed import Deployed
from demo.promises import broken_by_move, stalls
from demo.reference import Reference
from demo.streams import Prompt, Stream, differing
from tests.e2e.conftest import ROOT, Serve

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
Tell = Callable[[str], None]
EXAMPLE = ROOT / "examples" / "small.yaml"
PROMPTS = [Prompt(text=f"Story {number}: once upon a time", max_tokens=240) for number in range(8)]
AFTER_TOKENS = 8


@pytest.fixture(scope="module")
def deployed(serve: Serve) -> Iterator[Deployed]:
    with serve("small", nodes=3, gpus_per_node=4, seconds=120) as running:
        yield running


@pytest.fixture(scope="module")
def url(deployed: Deployed) -> str:
    return deployed.url()


@pytest.fixture(scope="module")
def calm(deployed: Deployed, url: str, tell: Tell) -> list[Stream]:
    streams = deployed.stream(url, PROMPTS, show=lambda _: None)
    tell(f"longest wait for a token in each stream, undisturbed, ms: {stalls(streams)}")
    return streams


@pytest.fixture
def whole_again(deployed: Deployed) -> Iterator[None]:
    """Heal what a test broke, so that the next one begins with every expert at home."""
    yield
    for seat in deployed.seats():
        deployed.heal(seat)
    deployed.wait_until_available(timeout=90, show=lambda _: None)


def test_tokens_are_those_of_transformers(calm: list[Stream]) -> None:
    checkpoint = make_checkpoint(read_example(EXAMPLE))
    reference = Reference.start(ROOT, checkpoint.folder, PROMPTS)
    try:
        assert differing(calm, reference.finish()) == []
    finally:
        reference.stop()


@pytest.mark.parametrize("how", ["exit", "hang"])
def test_a_rank_whose_gpu_is_fine_comes_back_into_its_seat_and_nothing_moves(
    deployed: Deployed, url: str, calm: list[Stream], tell: Tell, how: str
) -> None:
    before, seat = deployed.snapshot(), deployed.seats()[5]
    disturbed = deployed.stream(
        url, PROMPTS, event=lambda: deployed.fail(seat, how), after_tokens=AFTER_TOKENS, show=lambda _: None
    )
    tell(f"longest wait for a token in each stream, rank {seat.rank} {how}, ms: {stalls(disturbed)}")
    assert differing(disturbed, [stream.tokens for stream in calm]) == []
    assert broken_by_move(before, deployed.snapshot(), []) == []
    assert deployed.incarnation(seat) > seat.incarnation


@pytest.mark.parametrize("rank", [1, 6], ids=["a lane's head", "a later stage"])
@pytest.mark.usefixtures("whole_again")
def test_a_dead_gpu_moves_its_expert_and_its_lane_and_nothing_else(
    deployed: Deployed, url: str, calm: list[Stream], tell: Tell, rank: int
) -> None:
    before, seat = deployed.snapshot(), deployed.seats()[rank]
    known = len(deployed.stage(seat.stage).status.moves)
    disturbed = deployed.stream(
        url, PROMPTS, event=lambda: deployed.fail(seat, "device"), after_tokens=AFTER_TOKENS, show=lambda _: None
    )
    move = deployed.wait_for_move(seat, known=known, show=lambda _: None)
    tell(f"rank {seat.rank} died: noticed {move.detect_ms} ms, committed {move.commit_ms} ms, loaded {move.load_ms} ms")
    tell(f"longest wait for a token in each stream, rank {seat.rank} dead, ms: {stalls(disturbed)}")
    assert differing(disturbed, [stream.tokens for stream in calm]) == []
    assert broken_by_move(before, deployed.snapshot(), [seat]) == []
    assert sorted(move.experts) == sorted(seat.experts)
