"""Streams run, one GPU dies for good under them: what moved, what stayed, and whose tokens came out."""

from collections.abc import Callable, Sequence

from demo.observe import Seat, Snapshot
from demo.promises import broken_by_move, stalls
from demo.screen import one_line
from demo.streams import Stream, differing
from demo.tour import STREAMS, TOKENS_BEFORE_FAILURE, Tour
from moe_api.stage import MoveStatus

SHOWN_TEXTS = 4


def fail_a_gpu(tour: Tour) -> None:
    """The same streams twice, undisturbed and with a GPU dying in their middle; then every promise is checked."""
    tour.screen.title(f"{len(STREAMS)} streams, and a GPU that dies under them")
    calm = _run(tour)
    wrong = differing(calm, tour.expected[1:])
    tour.screen.check(not wrong, f"undisturbed: {len(calm)} streams say what transformers says", "; ".join(wrong))
    before, seat = tour.deployed.snapshot(), choose_seat(tour.deployed.seats())
    tour.screen.say(
        f"rank {seat.rank} is {seat.node} GPU {seat.gpu}: it holds experts {seat.experts}, lanes {seat.lanes}"
    )
    known = len(tour.deployed.stage(seat.stage).status.moves)
    disturbed = _run(tour, lambda: _fail(tour, seat))
    with tour.screen.progress():
        move = tour.deployed.wait_for_move(seat, known=known, show=tour.screen.show)
    _tell_move(tour, move, seat)
    _check_untouched(tour, before, seat)
    wrong = differing(disturbed, [stream.tokens for stream in calm])
    tour.screen.check(not wrong, f"all {len(disturbed)} streams ended with exactly the same tokens", "; ".join(wrong))
    _tell_texts(tour, disturbed)
    _tell_stalls(tour, calm, disturbed)
    tour.kubectl("get", "moed")


def choose_seat(seats: Sequence[Seat]) -> Seat:
    """A rank in the middle of the pipeline, the fourth of its stage: no lane's head is hit."""
    return seats[(len(seats) // 2 + 3) % len(seats)]


def _run(tour: Tour, event: Callable[[], None] | None = None) -> list[Stream]:
    with tour.screen.progress():
        return tour.deployed.stream(
            tour.url, STREAMS, event=event, after_tokens=TOKENS_BEFORE_FAILURE, show=tour.screen.show
        )


def _fail(tour: Tour, seat: Seat) -> None:
    tour.screen.command(f"moe-local gpu fail {seat.node} {seat.gpu} --how device")
    tour.deployed.fail(seat, "device")


def _tell_move(tour: Tour, move: MoveStatus, seat: Seat) -> None:
    hosts = {one.rank: one for one in tour.deployed.seats()}
    targets = ", ".join(f"rank {rank} ({hosts[rank].node} GPU {hosts[rank].gpu})" for rank in move.to_ranks)
    tour.screen.say(f"experts {move.experts} and lanes {move.lanes} of rank {seat.rank} moved to {targets}")
    tour.screen.say(f"cause: {move.cause}")
    told = {"the worker's report took": move.detect_ms, "the commit": move.commit_ms, "loading": move.load_ms}
    tour.screen.say(", ".join(f"{what} {ms} ms" for what, ms in told.items() if ms is not None))
    tour.screen.check(sorted(move.experts) == sorted(seat.experts), "exactly the dead GPU's experts moved")


def _check_untouched(tour: Tour, before: Snapshot, seat: Seat) -> None:
    after = tour.deployed.snapshot()
    wrong = broken_by_move(before, after, [seat])
    tour.screen.check(
        not wrong,
        f"nothing else moved: {len(before.pods)} pods keep UID and restart count, {len(before.epochs) - 1} stages their"
        f" epoch, {len(before.experts) - len(seat.experts)} experts and {len(before.lanes) - len(seat.lanes)} lanes"
        " their ranks",
        "; ".join(wrong),
    )


def _tell_texts(tour: Tour, streams: Sequence[Stream]) -> None:
    tour.screen.say("what some of them said while the GPU died:")
    for stream in streams[:SHOWN_TEXTS]:
        tour.screen.say(f"  {one_line(stream.prompt.text + stream.text)}")


def _tell_stalls(tour: Tour, calm: Sequence[Stream], disturbed: Sequence[Stream]) -> None:
    tour.screen.say(f"longest wait for a token in each stream with the failure, ms: {stalls(disturbed)}")
    tour.screen.say(f"longest wait for a token in each stream undisturbed, ms:      {stalls(calm)}")
