"""A rank's core from outside: views and events in, messages out."""

from moe_wire.messages import (
    NO_TOKEN,
    Broken,
    Cancel,
    Dispatch,
    Emitted,
    Load,
    Logprobs,
    Refused,
    Reset,
    Result,
    Returned,
    Segment,
    Step,
    Tokens,
)
from moe_worker.protocol.compute import Sampled
from moe_worker.protocol.rank import RankCore
from moe_worker.protocol.settings import Identity, Settings
from moe_worker.protocol.transport import Answered, Arrived, ConnectionClosed
from moe_worker.protocol.view import SeatView, View
from tests.moe_worker.protocol.one_rank import FIRST_TERM, GATEWAY, LAST, REQUEST, Rank, around, stage_view, submit
from tests.moe_worker.protocol.recording import ROWS, RecordingCompute, RecordingTransport


def test_it_dials_its_stage_and_its_lanes_next_seats() -> None:
    rank = Rank()
    assert sorted(rank.core.wanted_peers()) == [1, 2]
    rank.told(around(stage_view(0), stage_view(1, epoch=2, lanes={0: 3, 1: 3})))
    assert sorted(rank.core.wanted_peers()) == [1, 3]


def test_it_dials_nobody_once_its_seat_is_anothers() -> None:
    rank = Rank()
    seats = {**stage_view(0).seats, 0: SeatView(rank=0, pod_uid="other", gpu=0, address="10.0.0.9:7")}
    rank.told(around(stage_view(0, epoch=2, seats=seats), stage_view(1)))
    status = rank.core.status()
    assert not rank.core.wanted_peers()
    assert (status.lanes, status.headed, status.held) == ((), (), ())


def test_an_older_view_of_a_stage_changes_nothing() -> None:
    rank = Rank()
    rank.told(around(stage_view(0, epoch=3, lanes={0: 0, 1: 0}), stage_view(1)))
    rank.told(around(stage_view(0, epoch=2), stage_view(1)))
    assert rank.core.status().lanes == (0, 1)
    assert rank.core.status().epoch == 3


def test_a_request_goes_to_a_lane_that_stays_rather_than_to_one_that_is_about_to_move() -> None:
    rank = Rank()
    rank.go_live()
    rank.told(around(stage_view(0, epoch=2, lanes={0: 0, 1: 0}, draining=frozenset({0})), stage_view(1)))
    rank.hear(GATEWAY, submit())
    assert {lane.lane: lane.waiting + lane.running for lane in rank.core.status().headed} == {0: 0, 1: 1}


def test_a_head_starts_its_lane_by_a_reset_of_a_term_of_its_own() -> None:
    rank = Rank()
    assert rank.transport.take_sent() == []
    rank.connect(2)
    assert rank.transport.take_sent() == [(2, Reset(0, FIRST_TERM))]
    assert not rank.core.status().headed[0].live
    rank.hear(LAST, Reset(0, FIRST_TERM))
    assert rank.core.status().headed[0].live


def test_a_request_becomes_a_step_whose_experts_are_asked_together() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.work()
    sent = rank.transport.take_sent()
    assert [(peer, message.expert) for peer, message in sent if isinstance(message, Dispatch)] == [(1, 1)]
    assert ("expert", 0, 1) in rank.compute.take_calls(), "its own expert without the network"
    rank.core.on_event(Answered(1, Result(0, FIRST_TERM, 1, 0, 1, 1, ROWS)), 0.0)
    rank.work()
    (peer, step), *rest = rank.transport.take_sent()
    assert (peer, rest) == (2, [])
    assert isinstance(step, Step)
    assert (step.step, step.hidden) == (1, ROWS)


def test_a_rank_counts_the_rows_of_each_expert_and_what_its_lane_found_in_the_cache() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.work()
    status = rank.core.status()
    assert status.rows_served == {0: 1}
    assert status.headed[0].figures() == {
        "lane": 0,
        "waiting": 0,
        "running": 1,
        "blocks": 8,
        "blocks_used": 1,
        "blocks_cached": 0,
        "tokens_admitted": 2,
        "tokens_found": 0,
    }


def test_tokens_stream_to_the_gateway_until_the_last() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    for number in (1, 2, 3):
        rank.work()
        rank.core.on_event(Answered(1, Result(0, FIRST_TERM, number, 0, 1, 1, ROWS)), 0.0)
        rank.work()
        rank.hear(LAST, Tokens(0, FIRST_TERM, number, ((1, 40 + number),)))
    assert rank.transport.take_replied() == [
        (GATEWAY, Emitted(REQUEST, 0, 41, "")),
        (GATEWAY, Emitted(REQUEST, 1, 42, "")),
        (GATEWAY, Emitted(REQUEST, 2, 43, "length")),
    ]
    assert rank.core.status().blocks_used == 0


def test_logprobs_go_with_the_token_they_belong_to() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.work()
    told = Logprobs(-0.25, ((41, -0.25), (7, -2.0)))
    rank.hear(LAST, Tokens(0, FIRST_TERM, 1, ((9, 5), (1, 41)), (None, told)))
    assert rank.transport.take_replied() == [(GATEWAY, Emitted(REQUEST, 0, 41, "", told))]


def test_a_request_without_a_next_token_fails_and_frees_its_blocks() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.work()
    term = rank.core.status().headed[0].term
    rank.hear(LAST, Tokens(0, term, 1, ((1, NO_TOKEN),)))
    ((connection, message),) = rank.transport.take_replied()
    assert (connection, message.request, message.code) == (GATEWAY, REQUEST, "not_finite")  # type: ignore[union-attr]
    assert "After 2 tokens the model's numbers are infinite or NaN" in message.message  # type: ignore[union-attr]
    assert rank.core.take_notes() == [f"request {REQUEST.hex()} failed: {message.message}"]  # type: ignore[union-attr]
    status = rank.core.status()
    assert (status.requests, status.blocks_used) == (0, 0)


def test_a_draining_lane_that_lives_ends_its_requests() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.told(around(stage_view(0, epoch=2, draining=frozenset({0})), stage_view(1)))
    assert rank.transport.take_replied() == []
    assert rank.core.status().requests == 1


def test_cancel_and_a_lost_gateway_free_everything_at_once() -> None:
    for end in (Arrived(GATEWAY, Cancel(REQUEST)), ConnectionClosed(GATEWAY)):
        rank = Rank()
        rank.go_live()
        rank.hear(GATEWAY, submit())
        rank.work()
        assert rank.core.status().blocks_used == 1
        rank.core.on_event(end, 0.0)
        status = rank.core.status()
        assert (status.requests, status.blocks_used) == (0, 0)


def test_a_request_that_comes_again_leaves_the_older_connection() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.hear(GATEWAY + 5, submit())
    assert rank.transport.take_replied() == [(GATEWAY, Returned(REQUEST, "submitted again over another connection"))]
    rank.hear(GATEWAY, Cancel(REQUEST))
    rank.core.on_event(ConnectionClosed(GATEWAY), 0.0)
    assert rank.core.status().requests == 1


def test_a_request_nobody_can_serve_is_refused_with_the_rule() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit(num_prompt=40))
    ((connection, message),) = rank.transport.take_replied()
    assert connection == GATEWAY
    assert isinstance(message, Refused)
    assert message.code == "context_length_exceeded"
    assert rank.core.status().requests == 0


def test_gateways_are_told_what_all_lanes_that_are_headed_here_have_to_do() -> None:
    rank = Rank()
    rank.told(around(stage_view(0, epoch=2, lanes={0: 0, 1: 0}), stage_view(1)))
    assert rank.core.load() == Load(waiting=0, running=0, blocks=16, blocks_used=0, tokens_admitted=0, tokens_found=0)
    rank.hear(GATEWAY, submit())
    assert rank.core.load() == Load(waiting=1, running=0, blocks=16, blocks_used=0, tokens_admitted=0, tokens_found=0)
    rank.go_live()
    rank.work()
    assert rank.core.load() == Load(waiting=0, running=1, blocks=16, blocks_used=1, tokens_admitted=2, tokens_found=0)
    rank.told(around(stage_view(0, epoch=3, lanes={0: 1, 1: 1}), stage_view(1)))
    assert rank.core.load() is None


def test_requests_that_wait_in_vain_go_back_after_the_patience() -> None:
    rank = Rank()
    rank.hear(GATEWAY, submit())
    assert rank.core.deadline == 0.0
    rank.core.tick(7.0)
    assert rank.core.deadline == 17.0
    rank.core.tick(16.9)
    assert rank.core.status().requests == 1
    rank.core.tick(17.0)
    ((connection, message),) = rank.transport.take_replied()
    assert (connection, message) == (GATEWAY, Returned(REQUEST, "nothing has come round the lane for 10 s"))
    assert rank.core.deadline is None


def test_progress_renews_the_patience() -> None:
    rank = Rank()
    rank.hear(GATEWAY, submit())
    rank.core.tick(7.0)
    rank.go_live()
    rank.core.tick(17.0)
    assert rank.core.status().requests == 1
    assert rank.core.deadline == 27.0


def test_a_single_rank_runs_the_whole_ring_through_itself() -> None:
    rank = Rank(stages=1, outcome=Sampled(((1, 42),)))
    alone = stage_view(0, epoch=2, serving={0: (0,), 1: (0,)}, lanes={0: 0})
    rank.told(View(own=alone, previous=alone, next=alone))
    rank.compute.ended = [(1, None)]
    rank.core.tick(0.0)
    assert rank.core.status().headed[0].live
    rank.hear(GATEWAY, submit(max_tokens=2))
    rank.work()
    assert rank.transport.take_replied() == [
        (GATEWAY, Emitted(REQUEST, 0, 42, "")),
        (GATEWAY, Emitted(REQUEST, 1, 42, "length")),
    ]
    assert rank.transport.take_sent() == []
    assert rank.core.status().blocks_used == 0


def test_steps_are_held_for_no_more_lanes_than_the_rank_may_have_seats_for() -> None:
    transport, compute = RecordingTransport(), RecordingCompute({1: (10, 11)}, ROWS)
    settings = Settings(
        stage=1, stages=2, first_layer=1, num_layers=1, block_size=4, blocks_per_lane=8, lanes_per_rank=1
    )
    core = RankCore(Identity(rank=2, pod_uid="pod2", incarnation=1), settings, compute, transport)
    core.on_view(around(stage_view(1, lanes={0: 3, 1: 3}), stage_view(0)), 0.0)

    def sends_a_step(lane: int) -> None:
        step = Step(lane, 7, 1, (Segment(1, 0, 2, (0,), None),), (), ROWS)
        for message in (Reset(lane, 7), step):
            core.on_event(Arrived(200 + lane, message), 0.0)

    sends_a_step(0)
    assert (core.status().step_rows, transport.take_replied()) == (2, [])
    sends_a_step(1)
    assert (core.status().step_rows, transport.take_replied()) == (2, [(201, Broken(1, 7))])
    assert core.deadline == 0.0, "it is to be told when the steps began to wait"
    core.on_view(around(stage_view(1, epoch=2, lanes={0: 3, 1: 2}), stage_view(0)), 0.0)
    assert (core.status().step_rows, transport.take_replied()) == (0, [(200, Broken(0, 7))])
