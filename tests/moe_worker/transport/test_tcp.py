"""Both transports: order, loss, reconnection, strangers, slow readers."""

import socket

import pytest

from moe_wire.framing import PREFIX, encode
from moe_wire.handshake import Identity, make_hello
from moe_wire.messages import Broken, Challenge, Dispatch, Load, NotHere, Reset, Result, Sampling, Submit
from moe_worker.protocol.transport import Answered, Arrived, Connected, ConnectionClosed, Lost
from moe_worker.protocol.view import SeatView, StageView, View
from moe_worker.transport.tcp import MAX_STRANGERS
from tests.moe_worker.transport.nodes import SECRET, Net, Node, arrived, bound, connected_pair, dispatch, rows

EMPTY = StageView.unknown(0)


def test_peers_of_a_view_connect_and_learn_incarnations(net: Net) -> None:
    a, b = net.add(0), net.add(1, incarnation=7)
    net.introduce()
    net.until(lambda: bool(a.told(Connected) and b.told(Connected)))
    assert a.events == [Connected(1, 7)]


def test_requests_arrive_in_order_and_answers_come_back_on_the_same_connection(net: Net) -> None:
    a, b = connected_pair(net)
    for step in range(500):
        a.transport.send(1, dispatch(step))
    net.until(lambda: len(arrived(b)) == 500)
    assert [message.step for message in arrived(b) if isinstance(message, Dispatch)] == list(range(500))
    connection = next(event.connection for event in b.events if isinstance(event, Arrived))
    b.transport.reply(connection, NotHere(0, 1, 2, 0, 0, 0))
    b.transport.reply(connection, Broken(0, 9))
    net.until(lambda: len(a.told(Answered)) == 2)
    assert a.told(Answered) == [Answered(1, NotHere(0, 1, 2, 0, 0, 0)), Answered(1, Broken(0, 9))]


def test_big_frames_pass_both_ways_at_once_through_tiny_buffers(net: Net) -> None:
    """Both sides write far more than the kernel takes before they read: neither may wait for the other."""
    a, b = net.add(0), net.add(1)
    for node in (a, b):
        node.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        node.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    net.introduce()
    net.until(lambda: a.transport.num_connected() == b.transport.num_connected() == 1)
    for step in range(8):
        a.transport.send(1, dispatch(step, 1 << 20))
        b.transport.send(0, dispatch(step, 1 << 20))
    net.until(lambda: len(arrived(a)) == len(arrived(b)) == 8, 30.0)
    assert arrived(a) == arrived(b) == [dispatch(step, 1 << 20) for step in range(8)]


def test_a_killed_peer_is_lost_and_found_again_where_it_was(net: Net) -> None:
    a, b = connected_pair(net)
    port = b.listener.getsockname()[1]
    net.drop(b)
    net.until(lambda: bool(a.told(Lost)))
    net.until(lambda: 1 in a.transport.unreachable(0.0))
    a.transport.send(1, dispatch(0))
    again = net.add(1, incarnation=2, port=port)
    net.introduce()
    net.until(lambda: len(a.told(Connected)) == 2)
    assert [type(event) for event in a.events] == [Connected, ConnectionClosed, Lost, Connected] or [
        type(event) for event in a.events
    ] == [Connected, Lost, ConnectionClosed, Connected]
    assert a.events[-1] == Connected(1, 2)
    assert a.transport.unreachable(0.0) == {}
    assert arrived(again) == []


def test_a_peer_that_comes_back_is_dialled_at_once_however_long_the_backoff_is(net: Net) -> None:
    a, b = connected_pair(net)
    port = b.listener.getsockname()[1]
    net.drop(b)
    net.until(lambda: 1 in a.transport.unreachable(0.0))
    # By the own clock every further attempt is now a long way off.
    a.ahead_s = -1000.0
    net.add(1, incarnation=2, port=port)
    net.introduce()
    net.until(lambda: len(a.told(Connected)) == 2)


def test_who_leaves_the_view_is_cut_off_on_both_sides(net: Net) -> None:
    a, b = connected_pair(net)
    alone = StageView(stage=0, epoch=2, seats={0: a.seat()}, serving={}, loading={}, lanes={})
    a.transport.follow(View(own=alone, previous=alone, next=alone), {})
    net.until(lambda: bool(a.told(ConnectionClosed)) and bool(a.told(Lost)) and bool(b.told(Lost)))
    net.until(lambda: any("is not in the layout of epoch 2" in line for line in a.log))


def test_another_pod_in_the_same_seat_is_not_let_in(net: Net) -> None:
    a, b = net.add(0), net.add(1)
    seats = {0: a.seat(), 1: SeatView(rank=1, pod_uid="uid-other", gpu=0, address=b.address)}
    stage = StageView(stage=0, epoch=1, seats=seats, serving={}, loading={}, lanes={})
    a.transport.follow(View(own=stage, previous=stage, next=stage), {1: seats[1]})
    b.transport.follow(View(own=stage, previous=stage, next=stage), {0: seats[0]})
    net.until(lambda: any("rank 1 of pod uid-1 is not in the layout" in line for line in a.log))
    assert a.told(Connected) == b.told(Connected) == []


def test_an_older_incarnation_is_not_let_in_after_a_newer_one(net: Net) -> None:
    a, b = net.add(0), net.add(1, incarnation=5)
    net.introduce()
    net.until(lambda: bool(b.told(Connected)))
    net.drop(b)
    net.add(1, incarnation=4)
    net.introduce()
    net.until(lambda: any("incarnation 4 of rank 1 comes after 5" in line for line in a.log))


def test_a_peer_with_another_secret_never_connects(net: Net) -> None:
    a, b = net.add(0), net.add(1, secret=b"x" * 32)
    net.introduce()
    net.until(lambda: any("does not know the deployment's secret" in line for line in a.log))
    assert a.told(Connected) == b.told(Connected) == []


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", PREFIX.pack(2**31, 2**31, 2), b"\xff" * 4096])
def test_a_stranger_that_sends_garbage_is_dropped_and_hurts_nobody(net: Net, garbage: bytes) -> None:
    a, b = connected_pair(net)
    with socket.create_connection(a.listener.getsockname()) as stranger:
        stranger.sendall(garbage)
        net.until(lambda: any("handshake ended" in line for line in a.log))
    a.transport.send(1, dispatch(3))
    net.until(lambda: len(arrived(b)) == 1)


def test_silent_strangers_are_bounded_and_the_oldest_goes_first(net: Net) -> None:
    a, _ = connected_pair(net)
    strangers = [socket.create_connection(a.listener.getsockname()) for _ in range(MAX_STRANGERS + 1)]
    net.until(lambda: any("connections without a handshake" in line for line in a.log))
    for stranger in strangers:
        stranger.close()


def test_a_gateway_is_let_in_on_the_proof_alone_and_may_only_submit(net: Net) -> None:
    a, _ = connected_pair(net)
    who = Identity(kind="gateway", deployment="d", replica=0, rank=-1, pod_uid="g", incarnation=1)
    with socket.create_connection(a.listener.getsockname()) as gateway:
        gateway.setblocking(False)
        challenge = Challenge(_read_frame(net, gateway)[PREFIX.size + 4 :])
        gateway.sendall(b"".join(encode(make_hello(SECRET, who, 0, challenge, b"n" * 32))))
        _read_frame(net, gateway)
        submit = Submit(b"r" * 16, (1, 2), (), Sampling(), 4, ())
        gateway.sendall(b"".join(encode(submit)))
        net.until(lambda: arrived(a) == [submit])
        gateway.sendall(b"".join(encode(Reset(0, 1))))
        net.until(lambda: bool(a.told(ConnectionClosed)))
    assert arrived(a) == [submit]


def test_gateways_are_told_what_ranks_are_not(net: Net) -> None:
    a, b = connected_pair(net)
    who = Identity(kind="gateway", deployment="d", replica=0, rank=-1, pod_uid="g", incarnation=1)
    with socket.create_connection(a.listener.getsockname()) as gateway:
        gateway.setblocking(False)
        challenge = Challenge(_read_frame(net, gateway)[PREFIX.size + 4 :])
        gateway.sendall(b"".join(encode(make_hello(SECRET, who, 0, challenge, b"n" * 32))))
        _read_frame(net, gateway)
        load = Load(1, 2, 30, 4, 5, 6)
        a.transport.tell_gateways(load)
        assert _read_frame(net, gateway) == b"".join(encode(load))
    assert b.told(Answered) == []


def test_an_answer_where_a_request_is_due_ends_the_connection(net: Net) -> None:
    a, b = connected_pair(net)
    a.transport.send(1, Result(0, 1, 2, 0, 0, 0, rows()))
    net.until(lambda: bool(a.told(Lost)))
    assert b.told(Arrived) == []


def test_a_peer_that_does_not_read_is_given_up_when_too_much_waits_for_it(net: Net) -> None:
    a, b = connected_pair(net)
    net.nodes.remove(b)
    for step in range(80):
        a.transport.send(1, dispatch(step, 1 << 20))
    net.until(lambda: bool(a.told(Lost)))
    b.transport.close()


def test_a_peer_that_stands_still_is_out_of_reach_until_it_goes_on_though_its_connection_holds(net: Net) -> None:
    a, b, c = net.add(0), net.add(1), net.add(2)
    b.transport.service_us, c.transport.service_us = 70, 80
    net.introduce()
    net.until(lambda: all(node.transport.num_connected() == 2 for node in net.nodes))
    net.nodes.remove(b)
    a.transport.beat()
    net.until(lambda: a.transport.peers_service_us() == {2: 80})
    a.ahead_s = 2.0
    assert set(a.transport.unreachable(1.5)) == {1}
    assert a.transport.suspects(0.4) == [1]
    assert a.told(Lost) == []
    net.nodes.append(b)
    net.until(lambda: a.transport.peers_service_us() == {1: 70, 2: 80})
    assert a.transport.unreachable(1.5) == {}


def test_a_rank_that_slept_itself_blames_nobody(net: Net) -> None:
    a, b = connected_pair(net)
    net.nodes.remove(b)
    a.transport.beat()
    a.ahead_s = 2.0
    a.transport.beat()
    a.transport.beat(late_s=1.5)
    assert a.transport.unreachable(1.5) == {}
    a.ahead_s = 3.5
    assert set(a.transport.unreachable(1.5)) == {1}
    b.transport.close()


def test_bytes_are_counted_both_ways_by_the_kind_of_the_peer_also_of_connections_that_ended(net: Net) -> None:
    a, b = connected_pair(net)
    a.transport.send(1, dispatch(1, 1 << 16))
    net.until(lambda: len(arrived(b)) == 1)
    net.until(lambda: b.transport.traffic()["stage"] == a.transport.traffic()["stage"][::-1])
    sent, received = a.transport.traffic()["stage"]
    assert sent > 1 << 16 > received > 0
    b.transport.follow(View(own=EMPTY, previous=EMPTY, next=EMPTY), {})
    assert b.transport.traffic() == {"stage": [received, sent]}


def test_a_rank_dials_from_its_own_address() -> None:
    """So that whoever cuts an address off cuts off both what it asks and what it is asked."""
    with bound(host="127.0.0.3") as peer:
        peer.listen()
        node = Node(0, bound(host="127.0.0.2"))
        seat = SeatView(rank=1, pod_uid="uid-1", gpu=0, address=f"127.0.0.3:{peer.getsockname()[1]}")
        stage = StageView(stage=0, epoch=1, seats={1: seat}, serving={}, loading={}, lanes={})
        node.transport.follow(View(own=stage, previous=stage, next=stage), {1: seat})
        node.poll()
        accepted, (host, _) = peer.accept()
        accepted.close()
        node.transport.close()
    assert host == "127.0.0.2"


def _read_frame(net: Net, sock: socket.socket) -> bytes:
    data = b""

    def is_whole() -> bool:
        nonlocal data
        try:
            data += sock.recv(4096)
        except BlockingIOError:
            return False
        return len(data) >= PREFIX.size and len(data) == PREFIX.size + PREFIX.unpack_from(data)[0]

    net.until(is_whole)
    return data
