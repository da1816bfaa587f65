import json
from dataclasses import replace

from moe_worker.protocol.view import SeatView, StageView, View


def stage(number: int) -> StageView:
    return StageView(
        stage=number,
        epoch=7,
        seats={
            0: SeatView(rank=0, pod_uid="a", gpu=1, address="10.0.0.1:7"),
            1: SeatView(rank=1, pod_uid="b", gpu=0, address=None),
        },
        serving={3: (0, 1), 4: ()},
        loading={4: (1,)},
        lanes={0: 0, 1: None},
        draining=frozenset({1}),
    )


def test_a_view_survives_json() -> None:
    view = View(own=stage(0), previous=stage(1), next=StageView.unknown(2))
    assert View.from_dict(json.loads(json.dumps(view.to_dict()))) == view


def test_a_rank_sees_all_of_its_stage_who_may_connect_and_where_its_lanes_go_on() -> None:
    view = View(own=stage(1), previous=stage(0), next=replace(stage(2), lanes={0: 1, 1: 0}))
    part = view.of_rank(0)
    assert part.own == view.own
    assert {seat.rank: (seat.pod_uid, seat.address) for seat in part.previous.seats.values()} == {
        0: ("a", None),
        1: ("b", None),
    }
    assert (part.next.lanes, part.next.seats) == ({0: 1}, {1: view.next.seats[1]})
    assert [(beside.epoch, beside.serving, beside.loading) for beside in (part.previous, part.next)] == [
        (7, {}, {})
    ] * 2


def test_only_a_neighbours_epoch_is_no_news() -> None:
    view = View(own=stage(1), previous=stage(0), next=stage(2))
    assert view.is_news_after(None)
    assert not replace(view, previous=replace(view.previous, epoch=8), next=replace(view.next, epoch=9)).is_news_after(
        view
    )
    assert replace(view, own=replace(view.own, epoch=8)).is_news_after(view)
    assert replace(view, next=replace(view.next, lanes={0: 1, 1: None})).is_news_after(view)
