import json

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
