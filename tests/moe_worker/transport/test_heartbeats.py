"""Who is watched, who is asked, and since when who is silent: exact times, no sockets."""

from moe_worker.protocol.view import SeatView, StageView, View
from moe_worker.transport.heartbeats import Heartbeats, Share, share_of


def beats(*, place: int = 0, num_mates: int = 8) -> Heartbeats:
    """Watches rank 1 from second 10 on."""
    heartbeats = Heartbeats()
    heartbeats.watch(Share(peers=frozenset({1}), place=place, num_mates=num_mates), 10.0)
    return heartbeats


def asks(heartbeats: Heartbeats, now: float, *, has_spoken: bool = False) -> bool:
    """Whether rank 1 is asked with the beat at that time."""
    heartbeats.begin(now)
    return heartbeats.must_ask(1, has_spoken=has_spoken, now=now)


def test_the_ranks_of_a_pod_take_turns_and_each_asks_every_four_seconds_where_they_are_eight() -> None:
    for place in range(8):
        heartbeats = beats(place=place)
        times = [now / 2 for now in range(20, 40) if asks(heartbeats, now / 2, has_spoken=True)]
        assert times == [10.0 + place / 2 + turn for turn in (0.0, 4.0, 8.0) if 10.0 + place / 2 + turn < 20.0]


def test_few_ranks_ask_every_second() -> None:
    heartbeats = beats(num_mates=1)
    assert [now / 2 for now in range(20, 26) if asks(heartbeats, now / 2, has_spoken=True)] == [10.0, 11.0, 12.0]


def test_who_does_not_answer_is_silent_since_it_was_asked_and_until_it_speaks() -> None:
    heartbeats = beats()
    assert asks(heartbeats, 10.0)
    assert not asks(heartbeats, 14.0)
    assert heartbeats.silent(14.5) == {1: 4.5}
    assert not asks(heartbeats, 15.0, has_spoken=True)
    assert heartbeats.silent(15.0) == {}


def test_an_answer_is_a_sign_of_life_at_once_and_tells_a_figure() -> None:
    heartbeats = beats()
    assert asks(heartbeats, 10.0)
    heartbeats.told(1, 70)
    assert (heartbeats.silent(10.1), heartbeats.service_us) == ({}, {1: 70})


def test_when_a_mate_has_a_suspect_nobody_waits_for_its_turn() -> None:
    heartbeats = beats(place=7)
    assert not asks(heartbeats, 10.5)
    heartbeats.ask_all()
    assert asks(heartbeats, 11.0)


def test_the_silence_before_a_lost_connection_is_told_once() -> None:
    heartbeats = beats()
    assert asks(heartbeats, 10.0)
    assert heartbeats.lost(1) == 10.0
    assert heartbeats.lost(1) is None
    assert heartbeats.silent(19.0) == {}


def test_own_sleep_is_no_silence_of_the_others() -> None:
    heartbeats = beats()
    assert asks(heartbeats, 10.0)
    heartbeats.forgive(3.0)
    assert heartbeats.silent(14.0) == {1: 1.0}


def test_who_is_no_longer_watched_owes_nothing() -> None:
    heartbeats = beats()
    assert asks(heartbeats, 10.0)
    heartbeats.watch(Share(peers=frozenset({2}), place=0, num_mates=8), 11.0)
    assert (heartbeats.silent(19.0), heartbeats.service_us) == ({}, {})


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
        shares[seat.rank] = set(share_of(view, seat.rank, seat.pod_uid, wanted).peers)
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
