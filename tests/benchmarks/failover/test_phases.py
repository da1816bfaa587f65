from benchmarks.failover.kills import Kill
from benchmarks.failover.phases import Phases, phases
from benchmarks.failover.sightings import EpochSeen, SeatSeen, Sightings
from demo.observe import Seat

SEAT = Seat(stage="s1", rank=5, pod="p", node="n", gpu=1, incarnation=3, experts=(7,), lanes=(1,))


def saw(at: float, rank: int, *experts: int, state: str = "serving", healthy: bool = True, incarnation: int = 3):  # type: ignore[no-untyped-def]
    return SeatSeen(
        at=at, rank=rank, incarnation=incarnation, state=state, is_healthy=healthy, experts=frozenset(experts)
    )


def test_a_rank_that_comes_back_is_noticed_then_started_then_loaded() -> None:
    seen = Sightings(
        seats=[
            saw(9.0, 5, 7),
            saw(10.25, 5, state="starting", incarnation=4),
            saw(10.5, 5, incarnation=4),
            saw(10.75, 5, 7, incarnation=4),
        ]
    )

    found = phases(Kill(how="exit", at=10.0, seat=SEAT), seen, [[9.0, 9.5, 11.0, 15.0]])

    assert found == Phases(detect=0.25, decide=0.0, load=0.5, resume=0.25)


def test_a_dead_gpu_is_noticed_then_decided_then_its_expert_is_loaded_elsewhere() -> None:
    seen = Sightings(
        seats=[saw(1.0, 5, 7), saw(1.0, 6, 8), saw(10.5, 5, state="failed", healthy=False), saw(12.0, 6, 7, 8)],
        epochs=[EpochSeen(at=9.0, stage="s1", epoch=2), EpochSeen(at=10.75, stage="s1", epoch=3)],
    )

    found = phases(Kill(how="device", at=10.0, seat=SEAT), seen, [[9.9, 10.1, 12.5], [9.8, 12.25]])

    assert found == Phases(detect=0.5, decide=0.25, load=1.25, resume=0.5)


def test_with_a_live_copy_nothing_has_to_be_loaded() -> None:
    seen = Sightings(
        seats=[saw(1.0, 5, 7), saw(1.0, 6, 7, 8), saw(10.5, 5, state="failed", healthy=False)],
        epochs=[EpochSeen(at=10.75, stage="s1", epoch=3)],
    )

    assert phases(Kill(how="device", at=10.0, seat=SEAT), seen, [[9.9, 10.25]]).load == 0.0


def test_what_was_not_seen_is_not_made_up() -> None:
    assert phases(Kill(how="exit", at=10.0, seat=SEAT), Sightings(), [[9.0, 11.0]]) == Phases(
        detect=None, decide=None, load=None, resume=None
    )


def test_a_wait_that_began_after_all_was_mended_is_not_the_failures() -> None:
    seen = Sightings(seats=[saw(9.0, 5, 7), saw(10.5, 5, 7, incarnation=4)])
    kill = Kill(how="exit", at=10.0, seat=SEAT)

    assert phases(kill, seen, [[9.9, 10.25, 10.75, 14.0]]).resume == 0.25
    assert phases(kill, seen, [[9.9, 10.0], []]).resume is None
