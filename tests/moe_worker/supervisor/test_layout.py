"""What ranks are told of the layout, and when a pod counts as having applied it."""

from typing import Any

from moe_api.stage import MoEStage
from moe_worker.protocol.view import StageView
from moe_worker.supervisor.layout import Ring, pod_seats, stage_view, unapplied, view_of

SHAPE = {
    "layers": 2, "experts": 2, "expertsPerToken": 1, "hiddenSize": 64, "heads": 4, "keyValueHeads": 2, "headSize": 16,
    "expertFfnSize": 64, "vocabularySize": 512,
}  # fmt: skip


def stage(number: int = 0, *, stages: int = 3, generation: int = 4, **changed: Any) -> MoEStage:
    first = number * 2
    spec = {
        "deployment": "d", "replica": 1, "stage": number, "stages": stages, "ranksPerStage": 2,
        "firstLayer": number, "numLayers": 1,
        "model": {"path": "m", "dtype": "float32", "name": "d", "shape": SHAPE}, "engine": {}, "failover": {},
        "ranks": [{"rank": first + i, "pod": f"p{i}", "podUID": f"uid-{number}-{i}", "gpu": 0} for i in range(2)],
        "experts": [{"expert": first + i, "ranks": [first + i]} for i in range(2)],
        "lanes": [{"lane": i, "rank": first + i} for i in range(2)],
        **changed,
    }  # fmt: skip
    ranks = [{"rank": first + i, "podUID": f"uid-{number}-{i}", "address": f"10.0.{number}.{i}:1"} for i in range(2)]
    metadata = {"name": f"d-r1-s{number:02d}", "uid": "u", "generation": generation}
    return MoEStage.load({"metadata": metadata, "spec": spec, "status": {"ranks": ranks}})


def test_the_stages_form_a_ring() -> None:
    assert Ring.around(stage(0)) == Ring(previous="d-r1-s02", own="d-r1-s00", next="d-r1-s01")
    assert Ring.around(stage(2)) == Ring(previous="d-r1-s01", own="d-r1-s02", next="d-r1-s00")
    assert Ring.around(stage(0, stages=1)) == Ring(previous="d-r1-s00", own="d-r1-s00", next="d-r1-s00")


def test_decisions_come_from_the_spec_and_addresses_from_the_status() -> None:
    view = stage_view(stage(), {})
    assert view.epoch == 4
    assert {rank: seat.address for rank, seat in view.seats.items()} == {0: "10.0.0.0:1", 1: "10.0.0.1:1"}
    assert (view.serving, view.loading, view.lanes) == ({0: (0,), 1: (1,)}, {}, {0: 0, 1: 1})


def test_an_address_of_another_pod_uid_is_not_used() -> None:
    ranks = [{"rank": 0, "pod": "p", "podUID": "uid-new", "gpu": 0}, {"rank": 1, "pod": "q", "podUID": None, "gpu": 0}]
    view = stage_view(stage(ranks=ranks), {})
    assert view.seats[0].address is None
    assert 1 not in view.seats


def test_own_addresses_are_known_better_than_the_status_and_empty_means_none() -> None:
    view = stage_view(stage(), {(0, "uid-0-0"): "127.0.0.1:7", (1, "uid-0-1"): ""})
    assert (view.seats[0].address, view.seats[1].address) == ("127.0.0.1:7", None)


def test_a_masked_rank_that_nobody_hears_keeps_its_address_so_that_its_return_is_seen() -> None:
    silent = stage_view(stage(masked=[{"rank": 0, "reason": "HostSilent"}]), {})

    assert silent.seats[0].address == stage_view(stage(), {}).seats[0].address is not None


def test_a_masked_rank_has_a_seat_and_no_address() -> None:
    view = stage_view(stage(masked=[{"rank": 0, "reason": "GPUFailed"}]), {})
    assert view.seats[0].address is None


def test_a_neighbour_that_is_not_known_is_empty() -> None:
    view = view_of(stage(0), None, stage(1), {})
    assert view.previous == StageView.unknown(2)
    assert view.next.stage == 1


def test_a_pod_has_the_seats_that_name_its_uid() -> None:
    assert [seat.rank for seat in pod_seats(stage(), "uid-0-1")] == [1]
    assert pod_seats(stage(), "uid-0-9") == []


def test_what_a_pod_lacks_is_said_in_words() -> None:
    def lacks(held: dict[int, frozenset[int]], epoch: int = 4, **changed: Any) -> list[str]:
        return unapplied(stage(**changed), "uid-0-0", held, dict.fromkeys(held, epoch))

    assert lacks({}) == ["rank 0 is not serving"]
    assert lacks({0: frozenset()}) == ["rank 0 has not loaded expert 0"]
    assert lacks({0: frozenset({0})}, 3) == ["rank 0 follows epoch 3 of 4"]
    assert lacks({0: frozenset({0, 1})}) == []
    assert lacks({}, masked=[{"rank": 0, "reason": "GPUFailed"}]) == []
    assert lacks({}, ranks=[]) == ["the layout names no rank of this pod"]
