"""What a rank notes of requests for its log, and under which id."""

from dataclasses import replace

from moe_worker.protocol.compute import Sampled
from moe_worker.protocol.links import Links
from moe_worker.protocol.rank import RankCore
from moe_worker.protocol.settings import Identity, Settings
from moe_worker.protocol.transport import Arrived, ConnectionClosed
from moe_worker.protocol.view import View
from tests.moe_worker.protocol.one_rank import GATEWAY, REQUEST, Rank, around, stage_view, submit
from tests.moe_worker.protocol.recording import RecordingCompute, RecordingTransport

NAME = "mine 1"


def alone(*, log_requests: bool) -> RankCore:
    """A rank that is a whole replica and always draws token 42."""
    settings = Settings(stage=0, stages=1, first_layer=0, num_layers=1, log_requests=log_requests)
    compute = RecordingCompute({0: (0,)}, Sampled(((1, 42),)))
    core = RankCore(Identity(rank=0, pod_uid="pod0", incarnation=1), settings, compute, RecordingTransport())
    own = stage_view(0, serving={0: (0,)}, lanes={0: 0})
    core.on_view(View(own=own, previous=own, next=own), 0.0)
    compute.ended = [(0, None)]
    core.tick(0.0)
    core.on_event(Arrived(GATEWAY, replace(submit(max_tokens=2), name=NAME)), 0.0)
    while core.run_one(0.0):
        pass
    return core


def test_a_note_has_the_client_s_id_as_it_was_sent_and_the_gateway_s() -> None:
    links = Links(0, RecordingTransport())
    links.give_back(GATEWAY, replace(submit(), name=NAME), "no room")
    links.give_back(GATEWAY, submit(), "no room")

    hexed = REQUEST.hex()
    assert links.notes == [f"request {NAME} as {hexed} returned: no room", f"request {hexed} returned: no room"]


def test_what_begins_and_ends_as_it_should_is_noted_where_that_is_asked_for() -> None:
    request = f"request {NAME} as {REQUEST.hex()}"

    assert alone(log_requests=True).take_notes() == [
        f"{request} begins in lane 0 with 2 tokens",
        f"{request} ends in lane 0 after 2 tokens: length",
    ]
    assert not alone(log_requests=False).has_notes


def test_what_becomes_of_a_request_is_noted_under_the_gateway_s_id_for_it() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, submit())
    rank.work()
    assert not rank.core.has_notes
    rank.told(around(stage_view(0, epoch=2, lanes={0: 1, 1: 1}), stage_view(1)))
    assert rank.core.take_notes() == [f"request {REQUEST.hex()} returned: the lane has moved to another rank"]
    assert not rank.core.has_notes
    rank.hear(GATEWAY, submit())
    assert rank.core.take_notes() == [f"request {REQUEST.hex()} returned: no lane has its head at this rank"]


def test_a_request_that_comes_with_tokens_is_noted_and_so_is_one_that_loses_its_gateway() -> None:
    rank = Rank()
    rank.go_live()
    rank.hear(GATEWAY, replace(submit(), generated=(7, 8)))
    assert rank.core.take_notes() == [f"request {REQUEST.hex()} goes on in lane 0 after 2 tokens"]
    rank.core.on_event(ConnectionClosed(GATEWAY), 0.0)
    assert rank.core.take_notes() == [f"request {REQUEST.hex()} dropped: its gateway's connection is gone"]
