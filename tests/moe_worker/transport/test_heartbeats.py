"""Who is watched, who is asked, and since when who is silent: exact times, no sockets."""

from moe_worker.protocol.view import SeatView, StageView, View
from moe_worker.transport.heartbeats import Heartbeats, peers_to_watch


def beats(*, watched: frozenset[int] = frozenset({1})) -> Heartbeats:
    heartbeats = Heartbeats()
    heartbeats.watch(watched)
    heartbeats.told(1, 0, 0.0)
    return heartbeats


def test_who_talks_is_asked_seldom_and_who_is_silent_at_once_and_once() -> None:
    heartbeats = beats()
    assert not heartbeats.must_ask(1, has_spoken=True, now=0.5)
    assert heartbeats.must_ask(1, has_spoken=False, now=1.0)
    assert not heartbeats.must_ask(1, has_spoken=False, now=1.5)
    assert heartbeats.silent(2.5) == {1: 1.5}
    assert not heartbeats.must_ask(1, has_spoken=True, now=3.0)
    assert heartbeats.silent(3.0) == {}
    assert heartbeats.must_ask(1, has_spoken=True, now=4.0)
    assert heartbeats.silent(4.0) == {}


def test_the_silence_before_a_lost_connection_is_told_once() -> None:
    heartbeats = beats()
    assert heartbeats.must_ask(1, has_spoken=False, now=1.0)
    assert heartbeats.lost(1) == 1.0
    assert heartbeats.lost(1) is None
    assert heartbeats.silent(9.0) == {}


def test_own_sleep_is_no_silence_of_the_others() -> None:
    heartbeats = beats()
    assert heartbeats.must_ask(1, has_spoken=False, now=1.0)
    heartbeats.forgive(3.0)
    assert heartbeats.silent(5.0) == {1: 1.0}


def test_who_is_no_longer_watched_owes_nothing() -> None:
    heartbeats = beats()
    assert heartbeats.must_ask(1, has_spoken=False, now=1.0)
    heartbeats.watch(frozenset({2}))
    assert (heartbeats.silent(9.0), heartbeats.service_us) == ({}, {})


def stage(number: int, pods: dict[int, str], without: tuple[int, ...] = ()) -> StageView:
    seats = {
        rank: SeatView(rank=rank, pod_uid=pod, gpu=0, address=None if rank in without else "a:1")
        for rank, pod in pods.items()
    }
    return StageView(stage=number, epoch=1, seats=seats, serving={}, loading={}, lanes={})


def watched_by_each(own: StageView, following: StageView, lanes: dict[int, int]) -> dict[int, set[int]]:
    view = View(own=own, previous=following, next=following)
    shares = {}
    for seat in own.seats.values():
        wanted = {rank: peer for rank, peer in own.seats.items() if rank != seat.rank and peer.address is not None}
        wanted[lanes[seat.rank]] = following.seats[lanes[seat.rank]]
        shares[seat.rank] = set(peers_to_watch(view, seat.rank, seat.pod_uid, wanted))
    return shares


def test_the_ranks_of_a_pod_watch_all_ranks_of_the_others_and_each_its_lanes_next() -> None:
    own = stage(0, {0: "a", 1: "a", 2: "b", 3: "b", 4: "b"})
    following = stage(1, {5: "c", 6: "c", 7: "c", 8: "c", 9: "c"})
    shares = watched_by_each(own, following, {rank: rank + 5 for rank in range(5)})
    assert shares == {0: {2, 4, 5}, 1: {3, 6}, 2: {0, 7}, 3: {1, 8}, 4: {9}}


def test_the_share_of_a_failed_mate_is_watched_by_the_others() -> None:
    own = stage(0, {0: "a", 1: "a", 2: "b", 3: "b"}, without=(1,))
    following = stage(1, {5: "c"})
    assert watched_by_each(own, following, dict.fromkeys(range(4), 5))[0] == {2, 3, 5}
